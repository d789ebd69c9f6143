from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jetson_detect.core.engines.cache import (
    BuildLockedError,
    EngineCache,
    LockWaitCancelledError,
)

sys.path.insert(0, str(Path(__file__).parent))
from engine_samples import RECORD, identity, python

BUILDER = """
import subprocess, sys
from pathlib import Path
from engine_samples import identity
from jetson_detect.core.engines.cache import EngineCache
with EngineCache(Path(sys.argv[1])).lock(identity()) as lock:
    child = None
    if len(sys.argv) > 2:
        child = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[lock.fileno()])
    print("building", child and child.pid, flush=True)
    sys.stdin.read()
"""

BUILDERS = """
import os, sys
from pathlib import Path
from engine_samples import identity
from jetson_detect.core.engines.cache import EngineCache
lock = EngineCache(Path(sys.argv[1])).lock(identity())
children = 3
for child in range(children):
    if not os.fork():
        for _ in range(3):
            lock.acquire(wait=True)
            with lock:
                os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))
                os.unlink(sys.argv[2])
        os._exit(0)
for _ in range(children):
    assert os.wait()[1] == 0
"""


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


@pytest.fixture
def builder(cache):
    """Another process that has the lock."""
    process = python(BUILDER, cache.folder)
    assert process.stdout.readline() == "building None\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def taken(cache):
    """The lock, taken; for the kernel this process is no better than another."""
    with EngineCache(cache.folder).lock(identity()) as lock:
        yield lock


def test_a_second_builder_is_told_who_builds_and_since_when(cache, builder):
    with pytest.raises(BuildLockedError) as error, cache.lock(identity()):
        pass
    assert re.fullmatch(
        rf"the fp16 engine of model 'demo' is being built by process {builder.pid} on "
        rf"{re.escape(socket.gethostname())} since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ "
        r"\(.*python -c .*\); wait for it, or cancel it there",
        str(error.value),
    )
    assert error.value.owner.pid == builder.pid


def test_other_targets_can_be_built_meanwhile(cache, taken):
    with cache.lock(identity(precision="fp32")) as lock:
        assert lock.owner.pid == os.getpid()


def test_a_killed_builder_leaves_no_lock(cache, builder):
    builder.kill()
    builder.wait()
    assert list((cache.folder / "locks").iterdir())
    with cache.lock(identity()) as lock:
        assert lock.owner.pid == os.getpid()
    assert not list((cache.folder / "locks").iterdir())


def test_a_second_builder_can_wait(cache, taken):
    told = []

    def on_wait(owner, seconds):
        told.append((owner.pid, seconds))
        taken.release()

    lock = cache.lock(identity())
    lock.acquire(wait=True, on_wait=on_wait)
    with lock, pytest.raises(BuildLockedError):
        taken.acquire()
    ((owner, seconds),) = told
    assert owner == os.getpid()
    assert 0.0 <= seconds < 5.0


def test_the_wait_can_be_cancelled(cache, taken):
    cancel = threading.Event()
    began = time.monotonic()
    with pytest.raises(
        LockWaitCancelledError, match=rf"the wait for process {os.getpid()} .* was cancelled"
    ):
        cache.lock(identity()).acquire(True, lambda *_: cancel.set(), cancel)
    assert time.monotonic() - began < 5.0
    with pytest.raises(BuildLockedError):
        cache.lock(identity()).acquire()


def test_a_lock_whose_owner_has_not_said_who_it_is_is_taken(cache, taken):
    (note,) = (cache.folder / "locks").iterdir()
    note.write_bytes(b"")
    with pytest.raises(BuildLockedError, match="is being built by another process; wait") as error:
        cache.lock(identity()).acquire()
    assert error.value.owner is None


def test_of_many_builders_at_once_one_builds_at_a_time(cache):
    process = python(BUILDERS, cache.folder, cache.folder.parent / "alone")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


def test_a_child_that_inherits_the_lock_keeps_it_when_its_parent_is_killed(cache):
    process = python(BUILDER, cache.folder, 60)
    child = int(process.stdout.readline().split()[1])
    process.kill()
    process.wait()
    try:
        with pytest.raises(BuildLockedError):
            cache.lock(identity()).acquire()
    finally:
        subprocess.run(["kill", str(child)], check=True)
    process.communicate()
    cache.lock(identity()).acquire(wait=True)


def test_what_is_being_built_is_not_cleared(cache, taken):
    entry = cache.promote(identity(), b"plan", RECORD)
    cache.promote(identity(recipe=2), b"plan", RECORD)
    cleared = cache.clear()
    assert cleared.count == 1
    assert cleared.kept == (f"{entry.folder.name}: is being built",)
    assert cache.entries() == (entry,)


def test_a_lock_can_be_taken_again_after_it_was_given_back(cache):
    lock = cache.lock(identity())
    for _ in range(2):
        with lock:
            lock.acquire()  # it has it already
            with pytest.raises(BuildLockedError):
                cache.lock(identity()).acquire()
    lock.release()
