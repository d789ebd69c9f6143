from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
import yaml

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.builder.engine_builder import EngineBuilder
from jetson_detect.builder.frame_source import FrameSource
from jetson_detect.builder.job import BuildJob
from jetson_detect.builder.outcome import BuildOutcome, OutcomeKind
from jetson_detect.builder.stage_errors import BuildCancelledError, StageError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.core.engines.build_options import BuildOptions
from jetson_detect.core.engines.cache import BuildLockedError, EngineCache, EngineRecord, Entry
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.lookup import EngineLookup
from jetson_detect.core.engines.proof import ProofLimits, RunOptions
from jetson_detect.core.model import Precision, load_model
from jetson_detect.core.sample_frames import FrameChoice
from jetson_detect.core.scenes import CLASS_NAMES
from jetson_detect.share import find_model

pytest_plugins = ("gpu_fixture",)

FEW = FrameSource(FrameChoice(count=4))
QUICK = RunOptions(warm_up=2, runs=10)


class Workshop:
    """A builder that lives on, on a cache of its own: what a model's engines share is made once."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "demo"
        self.model.mkdir()
        self.restore_model()
        text = (find_model("demo") / "model.yaml").read_text()
        lines = [line for line in text.splitlines() if "tflite" not in line and "keras" not in line]
        (self.model / "model.yaml").write_text("\n".join(lines))
        pictures = folder / "pictures"
        pictures.mkdir()
        for index, frame in enumerate(FEW.frames(CLASS_NAMES)):
            cv2.imwrite(str(pictures / f"{index}.png"), frame.pixels.data)
        self.pictures = FrameSource(FrameChoice(sources=(str(pictures),), count=4))
        self.cache = EngineCache(folder / "engines")
        self.told: list[BuildProgress] = []
        self.builder = EngineBuilder(self.cache, on_progress=self.told.append)
        self._first: tuple[EngineIdentity, bytes, EngineRecord] | None = None

    def restore_model(self) -> None:
        shutil.copy(find_model("demo") / "demo.onnx", self.model)

    def engine(self) -> Entry:
        """Put an engine into the cache, which is built when it is asked for the first time."""
        if self._first is None:
            entry = self.builder.build(self.job()).entry
            self._first = entry.identity, entry.plan.read_bytes(), entry.record
            return entry
        return self.cache.promote(*self._first)

    def job(self, precision: Precision = Precision.FP16, **changes: Any) -> BuildJob:
        options = BuildOptions(precision=precision)
        job = BuildJob(self.model, options=options, proof=self.pictures, runs=QUICK)
        return replace(job, **changes)

    def build(self, **changes: Any) -> BuildOutcome:
        return self.builder.build(self.job(**changes))

    def build_alone(self, *jobs: BuildJob, **arguments: Any) -> list[BuildOutcome]:
        """Build with a builder that ends with it."""
        work = set((self.cache.folder / "work").iterdir())
        with EngineBuilder(self.cache, **arguments) as builder:
            outcomes = [builder.build(each) for each in jobs]
        assert set((self.cache.folder / "work").iterdir()) == work
        return outcomes

    def find(self) -> EngineFiles:
        with EngineLookup(self.cache) as lookup:
            return lookup.find(load_model(self.model))


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    yield workshop
    workshop.builder.close()
    assert not list((workshop.cache.folder / "work").iterdir())


@pytest.fixture
def workshop(machine: Any, building: Workshop) -> Workshop:
    """The module's workshop, with an empty cache and the model as it was."""
    assert building.cache.clear().kept == ()
    building.told.clear()
    building.restore_model()
    return building


def test_engines_are_built_proven_and_found_by_a_detector(workshop):
    told: list[BuildProgress] = []
    precisions = Precision.FP32, Precision.FP16, Precision.INT8
    jobs = [workshop.job(each, proof=FEW, calibration=FEW) for each in precisions]
    outcomes = workshop.build_alone(*jobs, on_progress=told.append)
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

    found = workshop.find()
    assert sorted(file.precision.value for file in found.files) == ["fp16", "fp32", "int8"]
    assert all(file.path.read_bytes() for file in found.files)


def test_what_is_in_the_cache_is_not_built_again(workshop):
    first = workshop.engine()
    again = workshop.build()
    assert again.kind is OutcomeKind.FOUND
    assert again.entry.folder == first.folder
    assert again.proof.passed
    assert again.proof.figures() == first.record.figures
    assert workshop.told[-1].phase == "looking into the cache"
    # Other options make another engine; the same ones are built anew when that is asked for.
    level = BuildOptions(precision=Precision.FP16, optimization_level=1)
    assert workshop.build(options=level).kind is OutcomeKind.PROMOTED
    workshop.told.clear()
    assert workshop.build(force=True).kind is OutcomeKind.PROMOTED
    # It is known by now how long it takes.
    assert workshop.told[-1].expected_s is not None
    fractions = [each.fraction for each in workshop.told if each.fraction is not None]
    assert fractions == sorted(fractions)


def test_an_engine_that_finds_something_else_is_kept_aside_and_promotes_nothing(machine, workshop):
    machine.faults(plan_noise=0.3)
    outcome = workshop.build()
    assert outcome.kind is OutcomeKind.SET_ASIDE
    assert not outcome.usable
    assert "failed its proof" in str(outcome)
    assert workshop.cache.entries() == ()
    (kept,) = workshop.cache.entries(rejected=True)
    assert kept.record.proof["failures"] == list(outcome.proof.failures)
    assert "was built and failed its proof" in workshop.cache.why_not(outcome.identity)
    assert workshop.find().files == ()
    machine.faults()
    assert workshop.build().kind is OutcomeKind.PROMOTED


def test_an_fp16_engine_that_is_fp32_in_truth_is_refused(machine, workshop):
    machine.faults(ignore_fp16=True)
    outcome = workshop.build()
    assert outcome.kind is OutcomeKind.SET_ASIDE
    (failure,) = outcome.proof.failures
    assert "fp16" in failure.lower()


def test_limits_of_the_proof_may_be_set(workshop):
    limits = ProofLimits.for_precision(Precision.FP16, min_speedup=1e6)
    assert workshop.build(limits=limits).kind is OutcomeKind.SET_ASIDE


def test_skipped_tactics_are_counted_and_say_what_to_give(machine, workshop):
    machine.faults(tactics_need_mb=3000)
    outcome = workshop.build()
    assert outcome.kind is OutcomeKind.PROMOTED
    note = next(note for note in outcome.notes if "tactics" in note)
    assert note.startswith("TensorRT skipped 3 tactics")
    assert "give workspace_mb: 3000" in note


def test_a_model_that_changed_under_the_cache_and_its_builder_is_built_anew(workshop):
    workshop.engine()
    import onnx

    network = onnx.load(workshop.model / "demo.onnx")
    network.producer_name = "somebody else"
    onnx.save(network, workshop.model / "demo.onnx")
    found = workshop.find()
    assert found.files == ()
    assert "(the model's file changed)" in found.refusals[0]
    outcome = workshop.build()
    assert outcome.kind is OutcomeKind.PROMOTED
    # Nothing that the builder had kept of the other file was used.
    assert {"convert", "reference"} <= set(outcome.entry.record.timing)
    assert len(workshop.cache.entries()) == 2


def test_a_detector_is_told_where_nothing_was_built_yet(workshop):
    found = workshop.find()
    assert (found.files, found.refusals) == ((), ())
    assert found.absence.startswith("no engine of model 'demo' was built yet in ")
    workshop.engine()
    assert workshop.find().absence == ""


def test_a_found_engine_has_the_tensors_names_that_its_source_has_in_the_model_now(workshop):
    workshop.engine()
    path = workshop.model / "model.yaml"
    before = path.read_text()
    description = yaml.safe_load(before)
    names = {"heatmap": "other"}
    for file in description["files"]:
        if file["format"] == "onnx":
            file["tensors"] = names
    path.write_text(yaml.safe_dump(description))
    found = workshop.find()
    path.write_text(before)
    assert [file.tensors for file in found.files] == [names]
    assert [file.tensors for file in workshop.find().files] == [{}]


def test_an_engine_of_another_tensorrt_is_not_loaded_and_says_so(machine, workshop):
    workshop.engine()
    machine.use("8.5.3.1")
    found = workshop.find()
    assert found.files == ()
    assert "TensorRT 8.6.0 instead of 8.5.3.1" in found.refusals[0]
    (outcome,) = workshop.build_alone(workshop.job())
    assert outcome.kind is OutcomeKind.PROMOTED


def test_a_damaged_engine_is_named_not_loaded_and_built_again(workshop):
    entry = workshop.engine()
    plan = entry.plan.read_bytes()
    entry.plan.write_bytes(plan[: len(plan) // 2])
    found = workshop.find()
    assert found.files == ()
    assert f"has {len(plan) // 2} bytes instead of {len(plan)}" in found.refusals[0]
    assert workshop.build().kind is OutcomeKind.PROMOTED
    assert workshop.cache.verify() == ()


def children() -> list[int]:
    """Return the processes of stages that this one has started."""
    started = [
        psutil.Process(int(pid))
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]
    stages = []
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            # Python's own helpers, as multiprocessing's, may live beside them.
            if "jetson_detect.builder.stage_process" in process.cmdline():
                stages.append(process.pid)
    return stages


@pytest.mark.timeout(240)
def test_a_build_that_is_killed_at_any_moment_says_so_and_leaves_the_cache_usable(
    machine, workshop
):
    machine.faults(build_seconds=0.5)
    moments = random.Random(11)
    killed: list[str] = []
    stop = threading.Event()

    def kill_soon() -> None:
        stop.wait(moments.uniform(0.05, 1.6))
        while not stop.is_set():
            for pid in children():
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.001)

    while len(killed) < 10:
        # Its second build finds what the first has left, and comes further.
        with EngineBuilder(workshop.cache) as builder:
            for _ in range(2):
                stop.clear()
                killer = threading.Thread(target=kill_soon)
                killer.start()
                try:
                    outcome = builder.build(workshop.job(force=True))
                except StageError as error:
                    killed.append(str(error))
                else:
                    # It was quicker than its killer.
                    assert outcome.kind is OutcomeKind.PROMOTED
                stop.set()
                killer.join()
                assert workshop.cache.verify() == ()
    assert all("its process was killed (SIGKILL)" in text for text in killed)
    machine.faults()
    assert workshop.build(force=True).usable
    assert workshop.cache.verify() == ()


def test_a_cancelled_build_leaves_nothing_behind(machine, workshop):
    machine.faults(build_seconds=60)
    cancel = threading.Event()

    def watch(progress: BuildProgress) -> None:
        if progress.phase == "building":
            cancel.set()

    work = set((workshop.cache.folder / "work").iterdir())
    with (
        EngineBuilder(workshop.cache, on_progress=watch) as builder,
        pytest.raises(BuildCancelledError),
    ):
        builder.build(workshop.job(), cancel)
    assert children() == []
    assert workshop.cache.entries() == ()
    assert set((workshop.cache.folder / "work").iterdir()) == work


def test_a_stage_beyond_its_memory_or_its_deadline_is_ended(workshop):
    with pytest.raises(StageError, match=r"its limit is 20 MB: .*\(workspace_mb\)"):
        workshop.build_alone(workshop.job(), limits=StageLimits(memory_mb=20))
    late = r"identify: ended after .* its deadline is 0.01 s: .*optimization_level"
    with pytest.raises(StageError, match=late):
        workshop.build_alone(workshop.job(), limits=StageLimits(deadline_s=0.01))
    assert workshop.cache.entries() == ()


def run_command(workshop: Workshop, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jetson_detect.commands.build_engine", str(workshop.model)]
    command += ["--cache", str(workshop.cache.folder), "--proof-frames", "4", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )


def wait_for_output(command: subprocess.Popen[str], text: str) -> None:
    assert command.stdout is not None
    lines = []
    for line in command.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f"{text} is not in {lines}")


def test_of_two_builders_of_one_engine_one_builds_and_the_other_waits(machine, workshop):
    machine.faults(build_seconds=2)
    command = run_command(workshop)
    wait_for_output(command, "building")
    outcome = workshop.build()
    rest = command.communicate()[0]
    assert command.returncode == 0, rest
    assert "promoted after" in rest
    assert outcome.kind is OutcomeKind.FOUND
    assert "is in the cache already" in str(outcome)
    (waited,) = {told.phase for told in workshop.told if "waiting" in told.phase}
    assert waited.startswith(f"waiting for process {command.pid} ")
    assert len(workshop.cache.entries()) == 1


def test_who_does_not_want_to_wait_is_told_who_builds(workshop):
    lock = workshop.cache.lock(workshop.engine().identity)
    lock.acquire()
    owner = f"is being built by process {os.getpid()}"
    with lock, pytest.raises(BuildLockedError, match=owner):
        workshop.builder.build(workshop.job(force=True), wait=False)


def test_an_engine_without_its_weights_is_refused_at_once(workshop):
    with pytest.raises(ValueError, match="strip: an engine without its weights"):
        workshop.builder.build(workshop.job(options=BuildOptions(strip=True)))
    assert workshop.told == []


def test_a_full_disk_ends_a_build_in_words_and_leaves_the_cache_usable(workshop):
    first = workshop.engine()
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from jetson_detect.commands.build_engine import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = [str(workshop.model), "--cache", str(workshop.cache.folder), "--force"]
    arguments += ["--proof-frames", "4"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the disk is full" in done.stdout, done.stdout + done.stderr
    assert workshop.cache.verify() == ()
    assert workshop.cache.find(first.identity) is not None


def test_an_interrupted_command_ends_its_build(machine, workshop):
    machine.faults(build_seconds=60)
    command = run_command(workshop)
    wait_for_output(command, "building")
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=20)
    assert command.returncode == 130
    assert workshop.cache.entries() == ()
