from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jetson_detect.core.engines.building import BuildOptions, build_engine
from jetson_detect.core.engines.timing_cache import TimingCacheFile
from jetson_detect.core.tensorrt_library.access import open_library

pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

FAKES = Path(__file__).parents[2] / "fakes"
sys.path.insert(0, str(FAKES / "fixtures"))
pytest_plugins = ("gpu_fixture",)
from small_networks import save_convolution, save_quantized  # noqa: E402

BUILD = """
import sys
import threading
from pathlib import Path
from jetson_detect.core.engines.building import BuildOptions, build_engine
from jetson_detect.core.model import Precision
onnx, cache, precision = sys.argv[1:]
options = BuildOptions(precision=Precision(precision), timing_cache=Path(cache))
build_engine(Path(onnx), options)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "caches" / "times"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return save_convolution(tmp_path / "network.onnx")


def times_in(cache: Path) -> dict[str, float]:
    return json.loads(cache.read_bytes().removeprefix(b"faketiming "))["times"]


@pytest.mark.parametrize("version", ["8.5.3.1", "8.6.0", "10.3.0", "11.4.0.106"])
def test_times_are_kept_and_used_by_the_next_build(gpu, cache, network, version):
    gpu.use(version)
    options = BuildOptions(timing_cache=cache)
    notes = build_engine(network, options).notes
    assert (notes.timing_cache_used, notes.timing_cache_bytes) == (False, cache.stat().st_size)
    assert set(times_in(cache)) == {"first", "bend", "second"}
    assert build_engine(network, options).notes.timing_cache_used
    assert [path.name for path in cache.parent.iterdir()] == ["times"]


def test_without_a_path_nothing_is_written(gpu, network):
    before = set(network.parent.rglob("*"))
    notes = build_engine(network).notes
    assert (notes.timing_cache_used, notes.timing_cache_bytes) == (False, 0)
    assert set(network.parent.rglob("*")) == before


def test_times_of_another_version_are_told_of_and_written_over(gpu, cache, network):
    options = BuildOptions(timing_cache=cache)
    build_engine(network, options)
    gpu.use("8.6.0")
    notes = build_engine(network, options).notes
    assert not notes.timing_cache_used
    assert "does not take it (TensorRT: 1: Serialization" in notes.warnings[0]
    assert "it is of another version or GPU" in notes.warnings[0]
    assert build_engine(network, options).notes.timing_cache_used


def test_times_of_another_gpu_are_not_mixed_in(gpu, cache, network):
    options = BuildOptions(timing_cache=cache)
    build_engine(network, options)
    cache.write_bytes(cache.read_bytes().replace(b'"first"', b'"foreign"'))
    gpu.machine.name = "Fake Xavier"
    notes = build_engine(network, options).notes
    assert not notes.timing_cache_used
    assert "of another version or GPU" in notes.warnings[0]
    assert set(times_in(cache)) == {"first", "bend", "second"}


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_a_broken_file_costs_nothing_but_its_times(gpu, cache, network, content):
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert build_engine(network, BuildOptions(timing_cache=cache)).plan
    assert "first" in times_in(cache)


def test_what_another_process_wrote_meanwhile_stays(gpu, cache, network, tmp_path):
    build_engine(network, BuildOptions(timing_cache=cache))
    first = cache.read_bytes()

    def progress(words, fraction):
        if words == "building":  # the cache was read by now
            cache.write_bytes(first.replace(b'"first"', b'"others"'))

    build_engine(network, BuildOptions(timing_cache=cache), progress)
    assert set(times_in(cache)) == {"first", "bend", "second", "others"}


def test_two_processes_lose_nothing_of_each_other(cache, network, tmp_path):
    quantized = save_quantized(tmp_path / "quantized.onnx")
    environment = {**os.environ, "PYTHONPATH": str(FAKES), "FAKE_TENSORRT_VERSION": "8.6.0"}
    builds = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(onnx), str(cache), precision], env=environment
        )
        for onnx, precision in ((network, "fp32"), (quantized, "int8"))
    ]
    assert [build.wait(timeout=60) for build in builds] == [0, 0]
    assert set(times_in(cache)) == {"first", "bend", "second", "conv"}


def test_a_save_waits_for_whoever_holds_the_lock(gpu, cache, network):
    cache.parent.mkdir()
    build = threading.Thread(target=build_engine, args=(network, BuildOptions(timing_cache=cache)))
    with cache.with_name("times.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build.start()
        build.join(timeout=0.5)
        assert build.is_alive()
        assert not cache.exists()
    build.join(timeout=60)
    assert "first" in times_in(cache)


def test_a_folder_that_cannot_be_made_is_told_and_the_plan_is_built(gpu, network, tmp_path):
    (tmp_path / "file").write_text("no folder")
    built = build_engine(network, BuildOptions(timing_cache=tmp_path / "file" / "times"))
    assert built.plan
    assert "timing_cache" in built.notes.warnings[0]
    assert "Not a directory" in " ".join(built.notes.warnings)


def test_a_full_disk_is_told_and_leaves_the_old_times(gpu, cache, network, monkeypatch):
    options = BuildOptions(timing_cache=cache)
    build_engine(network, options)
    before = cache.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    notes = build_engine(network, options).notes
    assert "not written (No space left on device)" in notes.warnings[0]
    assert notes.timing_cache_bytes == 0
    assert cache.read_bytes() == before
    assert [path.name for path in cache.parent.iterdir()] == ["times"]


def test_a_tensorrt_that_makes_no_cache_is_told(gpu, cache):
    class Config:
        def create_timing_cache(self, content):
            return None

    told: list[str] = []
    file = TimingCacheFile(open_library(), cache, told.append)
    file.attach(Config())
    file.save(Config())
    assert told == ["timing_cache: TensorRT 10.3.0 made none (TensorRT gave no reason)"]
    assert not cache.exists()
