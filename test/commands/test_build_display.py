from __future__ import annotations

import io
import os
import signal

import pytest
from rich.console import Console

from jetson_detect.builder.build_progress import BuildProgress
from jetson_detect.commands.build_display import BuildDisplay
from jetson_detect.commands.stop_signals import StopSignals

HALF = BuildProgress("demo", "fp16", "building", 0.5, 12.0, 24.0)


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


def test_a_build_is_cancelled_with_the_first_progress_after_a_signal():
    with StopSignals() as stop, BuildDisplay(console(terminal=False), stop) as display:
        display.show(HALF)
        assert not display.cancel.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not display.cancel.is_set()
        display.show(HALF)
        assert display.cancel.is_set()


def test_where_no_terminal_listens_a_phase_is_told_once():
    out = console(terminal=False)
    with BuildDisplay(out, StopSignals()) as display:
        display.show(HALF)
        display.show(HALF)
        display.done("engine of [demo]")
        display.show(HALF)
    line = "demo fp16: building 50%, 12 of about 24 s\n"
    assert out.file.getvalue() == f"{line}engine of [demo]\n{line}"


HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
"""The cursor, which is out of the way while a bar moves."""


@pytest.mark.parametrize("closes", [1, 2])
def test_on_a_terminal_a_bar_moves_from_the_first_progress_to_the_end(closes):
    out = console(terminal=True)
    with BuildDisplay(out, StopSignals()) as display:
        assert HIDDEN not in out.file.getvalue()
        display.show(HALF)
        assert HIDDEN in out.file.getvalue()
        assert SHOWN not in out.file.getvalue()
        display.done("came of it")
        for _ in range(closes):
            display.close()
        assert SHOWN in out.file.getvalue()
    assert "came of it" in out.file.getvalue()
