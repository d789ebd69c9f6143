"""Probes in processes of their own: run there, and judged here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from jetson_detect.core.backends import BackendError, TensorrtRuntime

from .check import CheckFailed, CheckSkipped
from .faults import FAULTS
from .lean import LEAN_PROBES
from .probes import Expectation, Probe, ProbeCase
from .running import run_once

SCRIPT = Path(__file__).resolve().parents[1] / "check_tensorrt.py"
"""What is run again for each probe."""
CHILD_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ProbeAnswer:
    """What a probe's process wrote down; JSON holds it."""

    stage: str
    """How far it came."""
    text: str = ""
    error: str = ""
    """The exception's class, if there was one."""
    refused: bool = False
    """Whether it is a BackendError."""
    skipped: bool = False
    unchanged: bool | None = None
    """Whether a good plan ran afterwards as before; None where that was not tried."""


def probe_named(name: str, lean: bool) -> Probe:
    """Return a lean runtime's probe or a fault."""
    return (LEAN_PROBES if lean else FAULTS)[name]


def run_probe(probe: Probe, case: ProbeCase, answer: Path) -> None:
    """Do a probe in this process and write down what happens, before it may end."""
    tries_good = case.runtime is TensorrtRuntime.FULL
    _note(answer, ProbeAnswer("running a good plan"))
    before = run_once(case.plan) if tries_good else {}
    _note(answer, ProbeAnswer("the probe itself"))
    try:
        found = ProbeAnswer("", text=probe.action(case))
    except CheckSkipped as error:
        _note(answer, ProbeAnswer("done", text=str(error), skipped=True))
        return
    except Exception as error:
        found = ProbeAnswer(
            "",
            text=str(error),
            error=type(error).__name__,
            refused=isinstance(error, BackendError),
        )
    _note(answer, replace(found, stage="running a good plan afterwards"))
    unchanged = None
    if tries_good:
        after = run_once(case.plan)
        unchanged = all(np.array_equal(after[name], before[name]) for name in before)
    _note(answer, replace(found, stage="done", unchanged=unchanged))


def _note(path: Path, answer: ProbeAnswer) -> None:
    path.write_text(json.dumps(asdict(answer)), encoding="utf-8")


def judge(probe: Probe, answer: ProbeAnswer, status: int, said: str) -> str:
    """Return what a probe shows.

    Parameters
    ----------
    probe:
        What was tried.
    answer:
        What its process wrote down.
    status:
        The process's exit status; negative for a signal.
    said:
        The end of what it printed.

    Raises
    ------
    CheckFailed, CheckSkipped
        If it is not what was expected; if it could not be tried.

    """
    if answer.stage != "done" or status:
        end = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        when = "at its end" if answer.stage == "done" else f"while {answer.stage}"
        seen = f"; before: {answer.error} {answer.text}" if answer.text else ""
        raise CheckFailed(f"the process ended with {end} {when}{seen}; it said: {said}")
    if answer.skipped:
        raise CheckSkipped(answer.text)
    text = f"{answer.error}: {answer.text}" if answer.error else answer.text
    if answer.error and not (answer.refused and probe.expects is not Expectation.ANSWER):
        raise CheckFailed(f"{text} (expected {probe.expects.value})")
    if not answer.error and probe.expects is Expectation.REFUSAL:
        raise CheckFailed(f"{text} (expected {probe.expects.value})")
    if answer.unchanged is False:
        raise CheckFailed(f"{text}; a good plan then gave something else than before")
    return text + ("; a good plan then ran as before" if answer.unchanged else "")


def check_probe(output: Path, plan: Path, lean: bool, name: str) -> str:
    """Try a probe in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        _note(answer, ProbeAnswer("starting"))
        case = [f"--probe={name}", f"--plan={plan}", f"--answer={answer}", f"--output={output}"]
        command = [sys.executable, str(SCRIPT), *case]
        try:
            ended = subprocess.run(
                [*command, "--lean"] if lean else command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=CHILD_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            stage = json.loads(answer.read_text(encoding="utf-8"))["stage"]
            raise CheckFailed(f"it hung for {CHILD_TIMEOUT_S:.0f} s while {stage}") from None
        found = ProbeAnswer(**json.loads(answer.read_text(encoding="utf-8")))
    said = " / ".join(ended.stdout.strip().splitlines()[-3:]) or "nothing"
    return judge(probe_named(name, lean), found, ended.returncode, said)
