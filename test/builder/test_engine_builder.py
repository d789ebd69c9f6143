from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.engine_builder import EngineBuilder
from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.outcome import OutcomeKind
from jetson_detect.builder.stage_errors import BuildCancelledError, StageError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.core.engines.build_options import BuildOptions
from jetson_detect.core.engines.cache import BuildLockedError, EngineCache
from jetson_detect.core.engines.lookup import EngineLookup
from jetson_detect.core.engines.proof import ProofLimits
from jetson_detect.core.model import Precision, load_model
from jetson_detect.core.sample_frames import FrameChoice
from jetson_detect.share import find_model

FEW = FrameSource(FrameChoice(count=4))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the demo model with its ONNX file alone."""
    folder = tmp_path / "demo"
    folder.mkdir()
    shutil.copy(find_model("demo") / "demo.onnx", folder)
    text = (find_model("demo") / "model.yaml").read_text()
    lines = [line for line in text.splitlines() if "tflite" not in line and "keras" not in line]
    (folder / "model.yaml").write_text("\n".join(lines))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def job(model: Path, precision: Precision = Precision.FP16, **changes: Any) -> BuildJob:
    options = BuildOptions(precision=precision)
    return replace(BuildJob(model, options=options, proof=FEW, calibration=FEW), **changes)


def build(cache: EngineCache, *jobs: BuildJob, **arguments: Any) -> Any:
    with EngineBuilder(cache, **arguments) as builder:
        outcomes = [builder.build(each) for each in jobs]
    assert not list((cache.folder / "work").iterdir())
    return outcomes[0] if len(outcomes) == 1 else outcomes


def test_engines_are_built_proven_and_found_by_a_detector(machine, model, cache):
    told: list[BuildProgress] = []
    jobs = [job(model, each) for each in (Precision.FP32, Precision.FP16, Precision.INT8)]
    outcomes = build(cache, *jobs, on_progress=told.append)
    assert [each.kind for each in outcomes] == [OutcomeKind.PROMOTED] * 3
    assert all(each.proof.passed for each in outcomes)
    layers = [each.proof.comparison.layers for each in outcomes]
    ran = [[name for name, count in each.items() if count] for each in layers]
    assert ran == [["FP32"], ["FP16"], ["INT8"]]
    record = outcomes[2].entry.record
    assert "convolutions are INT8, calibrated by minmax on 4 batches" in record.changes[-1]
    # The ONNX file and the source's answers were made once.
    assert sorted(record.timing) == ["build", "prove", "quantize"]
    assert sorted(outcomes[0].entry.record.timing) == [
        "build",
        "convert",
        "identify",
        "prove",
        "reference",
    ]
    phases = [each.phase for each in told if each.precision == "fp32"]
    assert {"parsing", "building", "comparing with the source on 4 frames"} <= set(phases)

    with EngineLookup(cache) as lookup:
        found = lookup.find(load_model(model))
    assert sorted(file.precision.value for file in found.files) == ["fp16", "fp32", "int8"]
    assert all(file.path.read_bytes() for file in found.files)


def test_what_is_in_the_cache_is_not_built_again(machine, model, cache):
    first = build(cache, job(model))
    told: list[BuildProgress] = []
    again = build(cache, job(model), on_progress=told.append)
    assert again.kind is OutcomeKind.FOUND
    assert again.entry.folder == first.entry.folder
    assert again.proof == first.proof
    assert told[-1].phase == "looking into the cache"
    # Other options make another engine; the same ones are built anew when that is asked for.
    level = BuildOptions(precision=Precision.FP16, optimization_level=1)
    assert build(cache, job(model, options=level)).kind is OutcomeKind.PROMOTED
    told.clear()
    assert build(cache, job(model, force=True), on_progress=told.append).kind is (
        OutcomeKind.PROMOTED
    )
    # It is known by now how long it takes.
    assert told[-1].expected_s is not None
    fractions = [each.fraction for each in told if each.fraction is not None]
    assert fractions == sorted(fractions)


def test_an_engine_that_finds_something_else_is_kept_aside_and_promotes_nothing(
    machine, model, cache
):
    machine.faults(plan_noise=0.3)
    outcome = build(cache, job(model))
    assert outcome.kind is OutcomeKind.SET_ASIDE
    assert not outcome.usable
    assert "failed its proof" in str(outcome)
    assert cache.entries() == ()
    (kept,) = cache.entries(rejected=True)
    assert kept.record.proof["failures"] == list(outcome.proof.failures)
    assert "was built and failed its proof" in cache.why_not(outcome.identity)
    with EngineLookup(cache) as lookup:
        assert lookup.find(load_model(model)).files == ()
    machine.faults()
    assert build(cache, job(model)).kind is OutcomeKind.PROMOTED


def test_an_fp16_engine_that_is_fp32_in_truth_is_refused(machine, model, cache):
    machine.faults(ignore_fp16=True)
    outcome = build(cache, job(model))
    assert outcome.kind is OutcomeKind.SET_ASIDE
    (failure,) = outcome.proof.failures
    assert "fp16" in failure.lower()


def test_limits_of_the_proof_may_be_set(machine, model, cache):
    limits = ProofLimits.for_precision(Precision.FP16, min_speedup=1e6)
    outcome = build(cache, job(model, limits=limits))
    assert outcome.kind is OutcomeKind.SET_ASIDE


def test_skipped_tactics_are_counted_and_say_what_to_give(machine, model, cache):
    machine.faults(tactics_need_mb=3000)
    outcome = build(cache, job(model))
    assert outcome.kind is OutcomeKind.PROMOTED
    note = next(note for note in outcome.notes if "tactics" in note)
    assert note.startswith("TensorRT skipped 3 tactics")
    assert "give workspace_mb: 3000" in note


def test_a_model_that_changed_under_the_cache_has_no_engine(machine, model, cache):
    build(cache, job(model))
    import onnx

    network = onnx.load(model / "demo.onnx")
    network.producer_name = "somebody else"
    onnx.save(network, model / "demo.onnx")
    with EngineLookup(cache) as lookup:
        found = lookup.find(load_model(model))
    assert found.files == ()
    assert "(the model's file changed)" in found.refusals[0]
    assert build(cache, job(model)).kind is OutcomeKind.PROMOTED
    assert len(cache.entries()) == 2


def test_an_engine_of_another_tensorrt_is_not_loaded_and_says_so(machine, model, cache):
    build(cache, job(model))
    machine.use("8.5.3.1")
    with EngineLookup(cache) as lookup:
        found = lookup.find(load_model(model))
    assert found.files == ()
    assert "TensorRT 8.6.0 instead of 8.5.3.1" in found.refusals[0]
    assert build(cache, job(model)).kind is OutcomeKind.PROMOTED


def test_a_damaged_engine_is_named_not_loaded_and_built_again(machine, model, cache):
    entry = build(cache, job(model)).entry
    plan = entry.plan.read_bytes()
    entry.plan.write_bytes(plan[: len(plan) // 2])
    with EngineLookup(cache) as lookup:
        found = lookup.find(load_model(model))
    assert found.files == ()
    assert f"has {len(plan) // 2} bytes instead of {len(plan)}" in found.refusals[0]
    assert build(cache, job(model)).kind is OutcomeKind.PROMOTED
    assert cache.verify() == ()


def children() -> list[int]:
    """Return the processes that this one has started."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


@pytest.mark.timeout(240)
def test_a_build_that_is_killed_at_any_moment_says_so_and_leaves_the_cache_usable(
    machine, model, cache
):
    machine.faults(build_seconds=0.5)
    moments = random.Random(11)
    killed: list[str] = []
    stop = threading.Event()

    def kill_soon() -> None:
        stop.wait(moments.uniform(0.05, 2.0))
        while not stop.is_set():
            for pid in children():
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.001)

    while len(killed) < 10:
        stop.clear()
        killer = threading.Thread(target=kill_soon)
        killer.start()
        try:
            outcome = build(cache, job(model, force=True))
        except StageError as error:
            killed.append(str(error))
        else:
            # It was quicker than its killer.
            assert outcome.kind is OutcomeKind.PROMOTED
        stop.set()
        killer.join()
        assert cache.verify() == ()
    assert all("its process was killed (SIGKILL)" in text for text in killed)
    machine.faults()
    assert build(cache, job(model, force=True)).usable
    assert cache.verify() == ()


def test_a_cancelled_build_leaves_nothing_behind(machine, model, cache):
    machine.faults(build_seconds=60)
    cancel = threading.Event()

    def watch(progress: BuildProgress) -> None:
        if progress.phase == "building":
            cancel.set()

    with EngineBuilder(cache, on_progress=watch) as builder, pytest.raises(BuildCancelledError):
        builder.build(job(model), cancel)
    assert children() == []
    assert cache.entries() == ()
    assert not list((cache.folder / "work").iterdir())


def test_a_stage_beyond_its_memory_or_its_deadline_is_ended(machine, model, cache):
    with pytest.raises(StageError, match="its limit is 20 MB"):
        build(cache, job(model), limits=StageLimits(memory_mb=20))
    machine.faults(build_seconds=60)
    with pytest.raises(StageError, match=r"build: ended after .* its deadline is 4 s"):
        build(cache, job(model), limits=StageLimits(deadline_s=4))
    assert cache.entries() == ()


def run_command(model: Path, cache: EngineCache, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jetson_detect.commands.build_engine", str(model)]
    command += ["--cache", str(cache.folder), "--proof-frames", "4", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )


def test_of_two_builders_of_one_engine_one_builds_and_the_other_waits(machine, model, cache):
    machine.faults(build_seconds=2)
    commands = [run_command(model, cache) for _ in range(2)]
    texts = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], texts
    waited, built = sorted(texts, key=lambda text: "promoted after" in text)
    assert "is in the cache already" in waited
    assert "waiting for process" in waited
    assert "promoted after" in built
    assert len(cache.entries()) == 1


def test_who_does_not_want_to_wait_is_told_who_builds(machine, model, cache):
    outcome = build(cache, job(model))
    lock = cache.lock(outcome.identity)
    lock.acquire()
    owner = f"is being built by process {os.getpid()}"
    with lock, EngineBuilder(cache) as builder, pytest.raises(BuildLockedError, match=owner):
        builder.build(job(model, force=True), wait=False)


def test_a_full_disk_ends_a_build_in_words_and_leaves_the_cache_usable(machine, model, cache):
    first = build(cache, job(model))
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from jetson_detect.commands.build_engine import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = [str(model), "--cache", str(cache.folder), "--force", "--proof-frames", "4"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the disk is full" in done.stdout, done.stdout + done.stderr
    assert cache.verify() == ()
    assert cache.find(first.identity) is not None


def test_an_interrupted_command_ends_its_build(machine, model, cache):
    machine.faults(build_seconds=60)
    command = run_command(model, cache)
    assert command.stdout is not None
    for line in command.stdout:
        if "building" in line:
            break
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=20)
    assert command.returncode == 130
    assert cache.entries() == ()
