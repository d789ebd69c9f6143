"""The cache when processes are killed, disks are full and folders cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jetson_detect.core.engines.cache import CacheError, EngineCache

sys.path.insert(0, str(Path(__file__).parent))
from engine_samples import RECORD, identity, python

OLD, NEW = b"old plan", b"new plan" * 1000


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    """A cache with one engine."""
    cache = EngineCache(tmp_path / "engines")
    cache.promote(identity(), OLD, RECORD)
    return cache


def run(code: str, *arguments: object) -> str:
    """Run Python code to its end and return what it printed."""
    process = python(code, *arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


KILLED_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path
from engine_samples import RECORD, identity
from jetson_detect.core.engines.cache import EngineCache

cache, old, new = EngineCache(Path(sys.argv[1])), b"old plan", b"new plan" * 1000
os.fsync = lambda handle: None  # a killed process loses nothing that it wrote
STEPS = ("open", "os.", "fcntl.", "shutil.", "tempfile.")

def promote(last_step):
    steps = 0
    def hook(event, _):
        nonlocal steps
        if event.startswith(STEPS):
            steps += 1
            if steps == last_step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    cache.promote(identity(), new, RECORD)

step, killed, seen = 0, True, []
while killed:
    step += 1
    child = os.fork()
    if not child:
        promote(step)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    found = cache.find(identity()).plan.read_bytes()
    assert found in (old, new), (step, found)
    assert killed or found == new
    assert cache.verify() == (), step
    seen.append(found == new)
    cache.promote(identity(), old, RECORD)
    assert cache.find(identity()).plan.read_bytes() == old
    assert list((cache.folder / "work").iterdir()) == [], step
    assert len(list((cache.folder / "entries").iterdir())) == 1, step
print(step, sum(seen))
"""


def test_killed_at_any_step_a_promotion_leaves_the_old_engine_or_the_new(cache):
    steps, new = map(int, run(KILLED_AT_EACH_STEP, cache.folder).split())
    assert steps > 40
    assert 1 < new < steps


KILLED_AT_RANDOM = """
import os, random, signal, sys, time
from pathlib import Path
from engine_samples import RECORD, identity
from jetson_detect.core.engines.cache import EngineCache

cache, kills, left = EngineCache(Path(sys.argv[1]), size_limit_mb=16), 10, 0
moments = random.Random(4)
for _ in range(kills):
    child = os.fork()
    if not child:
        for recipe in range(2, 1000):
            cache.promote(identity(recipe=recipe), os.urandom(1 << 20), RECORD)
        os._exit(0)
    time.sleep(moments.uniform(0.0, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    left += len(list((cache.folder / "work").iterdir()))
    assert cache.verify() == ()
    cache.promote(identity(), b"old plan", RECORD)
    assert cache.find(identity()).plan.read_bytes() == b"old plan"
    assert list((cache.folder / "work").iterdir()) == []
    assert cache.size_bytes <= 16 << 20
print(left)
"""


def test_killed_at_ten_random_moments_promotions_leave_the_cache_usable(cache):
    run(KILLED_AT_RANDOM, cache.folder)
    assert cache.find(identity()).plan.read_bytes() == OLD


def test_what_a_killed_builder_was_working_on_is_removed_and_what_a_living_one_does_stays(cache):
    code = (
        "import sys; from pathlib import Path\n"
        "from jetson_detect.core.engines.cache import EngineCache\n"
        "with EngineCache(Path(sys.argv[1])).working_folder('build') as folder:\n"
        "    (folder / 'network.onnx').write_bytes(b'half')\n"
        "    print(folder, flush=True); sys.stdin.read()\n"
    )
    killed, living = (python(code, cache.folder) for _ in range(2))
    folders = [Path(process.stdout.readline().strip()) for process in (killed, living)]
    killed.kill()
    killed.communicate()
    with cache.lock(identity()):
        assert [folder.exists() for folder in folders] == [False, True]
    living.communicate("")
    assert not folders[1].exists()


def assert_unchanged(cache: EngineCache) -> None:
    assert cache.find(identity()).plan.read_bytes() == OLD
    assert cache.verify() == ()
    assert len(cache.entries()) == 1
    assert not list((cache.folder / "work").iterdir())


NO_SPACE = r"engines: there is no space for the engine \(.*\): it needs {} MB and \d.* MB are free"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_disk_that_fills_at_any_file_leaves_the_cache_as_it_was(cache, monkeypatch, code, last):
    calls = []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == last:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CacheError, match=NO_SPACE.format("0.0")):
        cache.promote(identity(), NEW, RECORD)
    assert_unchanged(cache)


def test_a_limit_of_the_file_size_leaves_the_cache_as_it_was(cache):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))
    try:
        with pytest.raises(CacheError, match=NO_SPACE.format("3.0")):
            cache.promote(identity(), bytes(3 << 20), RECORD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_unchanged(cache)


def test_a_disk_that_is_really_full_leaves_the_cache_as_it_was(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs rights that this user has not")
    try:
        cache = EngineCache(disk / "engines")
        cache.promote(identity(), OLD, RECORD)
        with pytest.raises(CacheError, match=NO_SPACE.format("2.0")) as error:
            cache.promote(identity(), bytes(2 << 20), RECORD)
        assert "clear the cache, or set JETSON_DETECT_CACHE to a folder" in str(error.value)
        assert_unchanged(cache)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


READ_ONLY = """
import os, sys
from pathlib import Path
from engine_samples import MACHINE, RECORD, SOURCE, identity
from jetson_detect.core.engines.cache import CacheError, EngineCache

cache = EngineCache(Path(sys.argv[1]))
if os.geteuid() == 0:
    os.setuid(65534)
entry = cache.find(identity())
assert cache.usable("demo", [SOURCE], MACHINE).entries == (entry,)
assert cache.verify() == ()
with entry.hold():
    print(entry.plan.read_bytes().decode())
cache.record_seconds("demo", "fp16", "build", 1.0)
for write in (
    lambda: cache.promote(identity(), b"", RECORD), cache.clear, lambda: cache.lock(identity()),
):
    try:
        write()
    except CacheError as error:
        print(error)
"""


def test_a_cache_that_may_only_be_read_serves_its_engines(cache):
    folders = [cache.folder, *(path for path in cache.folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    # So that another user than root gets there at all.
    for folder in cache.folder.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    try:
        output = run(READ_ONLY, cache.folder)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    lines = [line for line in output.splitlines() if "durations" not in line]
    assert lines[0] == OLD.decode()
    assert len(lines) == 4
    for line in lines[1:]:
        assert "cannot be written (Permission denied); give this user the right to" in line


HOLDER = """
import sys; from pathlib import Path
from engine_samples import identity
from jetson_detect.core.engines.cache import EngineCache
hold = EngineCache(Path(sys.argv[1])).find(identity()).hold()
print("held", flush=True)
sys.stdin.read()
"""


def test_an_engine_that_a_process_runs_stays_until_the_process_ends(tmp_path):
    cache = EngineCache(tmp_path / "engines", size_limit_mb=1)
    entry = cache.promote(identity(), bytes(1 << 19), RECORD)
    detector = python(HOLDER, cache.folder)
    assert detector.stdout.readline() == "held\n"
    cache.promote(identity(recipe=2), bytes(1 << 20), RECORD)
    assert cache.find(identity()) == entry
    newer = cache.promote(identity(), bytes(1 << 18), RECORD)
    assert entry.plan.exists()
    assert cache.find(identity()) == newer
    assert cache.clear().kept == (f"{entry.folder.name}: is in use",)
    detector.kill()
    detector.communicate()
    assert cache.clear().count == 1


def test_a_hold_on_an_engine_that_was_removed_meanwhile_says_so(cache):
    entry = cache.find(identity())
    cache.clear()
    with pytest.raises(CacheError, match="was removed from the cache meanwhile; look for another"):
        entry.hold()


def test_a_hold_that_comes_too_late_by_a_moment_says_so(cache, monkeypatch):
    entry, flock = cache.find(identity()), fcntl.flock

    def removed_first(handle: int, operation: int) -> None:
        monkeypatch.undo()
        assert cache.clear().count == 1
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with pytest.raises(CacheError, match="was removed from the cache meanwhile"):
        entry.hold()


def test_a_hold_ends_when_it_is_closed(cache):
    with cache.find(identity()).hold() as hold:
        assert cache.clear().count == 0
        hold.close()
        assert cache.clear().count == 1
