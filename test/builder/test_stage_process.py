from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.builder.stage_errors import BuildCancelledError, StageError
from jetson_detect.builder.stage_limits import StageLimits
from jetson_detect.builder.stage_process import run_stage
from jetson_detect.builder.stage_remedies import StageRemedies

STAGES = Path(__file__).parent / "stages_for_tests"
REMEDIES = StageRemedies(deadline="hurry", memory="be thrifty")


@pytest.fixture
def stages(monkeypatch) -> Any:
    monkeypatch.syspath_prepend(str(STAGES))
    monkeypatch.setenv("PYTHONPATH", str(STAGES), prepend=os.pathsep)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what a stage prints may not get lost
    import example_stages

    return example_stages


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stage.log"


def refusal(log: Path, stage: Any, task: Any = None, **limits: Any) -> str:
    with pytest.raises(StageError) as caught:
        run_stage("build", stage, task, log, limits=StageLimits(**limits), remedies=REMEDIES)
    return str(caught.value)


def test_a_stage_returns_what_it_made_and_tells_how_far_it_is(stages, log):
    told = []
    result = run_stage(
        "build",
        stages.double,
        21,
        log,
        limits=StageLimits(),
        on_progress=lambda *progress: told.append(progress),
    )
    assert result.value == 42
    assert told == [("doubling", 0.5)]
    assert result.peak_mb > 5
    assert log.read_text() == "some library's chatter\n"


def test_a_stage_goes_behind_the_detector_and_is_the_first_to_be_ended_by_the_kernel(stages, log):
    told = run_stage("build", stages.tell_of_itself, None, log, limits=StageLimits(niceness=3))
    assert told.value["niceness"] == os.nice(0) + 3
    assert told.value["oom_score_adj"] == 1000
    assert told.value["pid"] != os.getpid()


def test_what_a_stage_refuses_comes_out_in_its_own_words(stages, log):
    assert refusal(log, stages.fail, "a.onnx: no such file") == "build: a.onnx: no such file"


def test_a_fault_of_the_stage_itself_is_shown_with_the_end_of_its_log(stages, log):
    text = refusal(log, stages.have_a_bug)
    assert text.startswith("build: its process ended with status 1\n")
    assert text.endswith("KeyError: 'missing'")


def test_a_crash_and_a_kill_from_outside_are_told_apart(stages, log):
    assert "its process crashed (SIGSEGV)" in refusal(log, stages.crash)
    killed = refusal(log, stages.kill_itself)
    assert "was killed (SIGKILL)" in killed
    assert "the kernel ran out of memory (see dmesg): be thrifty" in killed


def test_a_stage_that_takes_too_much_memory_is_ended(stages, log):
    text = refusal(log, stages.take_memory, 400, memory_mb=200)
    assert text.endswith("its limit is 200 MB: allow more (memory_mb), be thrifty")


def test_a_stage_that_takes_too_long_is_ended(stages, log, tmp_path):
    text = refusal(log, stages.sleep, tmp_path / "started", deadline_s=0.5)
    assert text.endswith("its deadline is 0.5 s: hurry")
    assert not is_alive(int((tmp_path / "started").read_text() or 0))


def test_a_cancelled_stage_is_ended(stages, log, tmp_path):
    cancel, started = threading.Event(), tmp_path / "started"
    threading.Thread(target=lambda: (wait_for(started), cancel.set())).start()
    with pytest.raises(BuildCancelledError, match="build: cancelled"):
        run_stage("build", stages.sleep, started, log, limits=StageLimits(), cancel=cancel)
    assert not is_alive(int(started.read_text()))


def test_a_stage_does_not_outlive_the_process_that_started_it(stages, tmp_path):
    started = tmp_path / "started"
    program = (
        "from pathlib import Path; import example_stages\n"
        "from jetson_detect.builder.stage_limits import StageLimits\n"
        "from jetson_detect.builder.stage_process import run_stage\n"
        f"run_stage('build', example_stages.sleep, Path({str(started)!r}),"
        f" Path({str(tmp_path / 'log')!r}), limits=StageLimits())"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    wait_for(started)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while is_alive(int(started.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(int(started.read_text()))


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not asked for its status does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
