"""The processes of a command, and that none is left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jetson_detect.commands import child_processes
from jetson_detect.commands.child_processes import Child, ChildError, Children

MODULE = "some_child"


@pytest.fixture
def children(tmp_path: Path) -> Children:
    """Children that find the module which :func:`write_module` writes."""
    return Children(tmp_path, {"PYTHONPATH": str(tmp_path)})


def write_module(folder: Path, *lines: str) -> None:
    (folder / f"{MODULE}.py").write_text("\n".join(("import signal, sys, time", *lines)))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_written(child: Child, text: str) -> Callable[[], bool]:
    return lambda: text in child.log.read_text()


def test_a_child_gets_its_arguments_and_its_output_is_in_its_log(
    tmp_path: Path, children: Children
) -> None:
    write_module(tmp_path, "print(*sys.argv[1:])", "print('oh', file=sys.stderr)", "sys.exit(3)")
    with children:
        child = children.start("helper", MODULE, "--count", 5)
        wait_until(lambda: child.status is not None)
    assert child.status == 3
    assert child.log == tmp_path / "helper.log"
    assert child.log.read_text() == "--count 5\noh\n"


def test_an_error_names_the_child_and_shows_the_end_of_its_log(
    tmp_path: Path, children: Children
) -> None:
    write_module(tmp_path, "for number in range(40): print('line', number)")
    with children:
        child = children.start("helper", MODULE)
        wait_until(lambda: child.status is not None)
    error = child.failure("ended with status 0")
    assert isinstance(error, ChildError)
    first, *rest = str(error).splitlines()
    assert first == f"the helper ended with status 0; its log, {tmp_path}/helper.log, ends with:"
    assert rest == [f"  line {number}" for number in range(25, 40)]


def test_children_are_told_to_end_by_sigint_when_the_block_ends(
    tmp_path: Path, children: Children
) -> None:
    write_module(
        tmp_path,
        "try:",
        "    print('ready')",
        "    time.sleep(60)",
        "except KeyboardInterrupt:",
        "    print('in order')",
    )
    with children:
        started = [children.start(name, MODULE) for name in ("one", "two")]
        for child in started:
            wait_until(has_written(child, "ready"))
    assert [child.status for child in started] == [0, 0]
    assert all("in order" in child.log.read_text() for child in started)


def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_processes, "_STOP_S", 0.2)
    write_module(
        tmp_path,
        "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)",
        "print('ready')",
        "time.sleep(60)",
    )
    with children:
        child = children.start("deaf", MODULE)
        wait_until(has_written(child, "ready"))
    assert child.status == -signal.SIGKILL
