from __future__ import annotations

import pytest

from jetson_detect.commands.detect_and_track import main, split_sections


@pytest.mark.parametrize(
    ("line", "before", "sections"),
    [
        ("", [], {}),
        ("-h", ["-h"], {}),
        (
            "--detector -p a:=1 -r x:=y --tracker -p b:=2",
            [],
            {"--detector": ["-p", "a:=1", "-r", "x:=y"], "--tracker": ["-p", "b:=2"]},
        ),
        (
            "--tracker -p a:=1 --builder --tracker -p b:=2",
            [],
            {"--tracker": ["-p", "a:=1", "-p", "b:=2"], "--builder": []},
        ),
        (
            "--detector -p a:=1 --ros-args -r __ns:=/front --detector --ros-args",
            [],
            {
                "--detector": ["-p", "a:=1"],
                "--ros-args": ["-r", "__ns:=/front", "--detector", "--ros-args"],
            },
        ),
    ],
)
def test_a_command_line_is_split_into_what_each_node_is_told(line, before, sections):
    assert split_sections(line.split()) == (before, sections)


def test_what_belongs_to_no_node_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["-p", "model:=demo", "--tracker"])
    assert stop.value.code == 2
    assert "unrecognized arguments: -p model:=demo" in capsys.readouterr().err


def test_help_tells_of_the_sections(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("--detector", "--tracker", "--builder", "--ros-args"))


@pytest.mark.dds
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tracker", "--no-such"], "error: --tracker --no-such: ['--no-such']"),
        (["--tracker", "-p", "algorithm:=sort"], "no tracking algorithm 'sort'"),
    ],
)
def test_a_node_that_cannot_start_ends_all_of_them_and_says_why(graph, arguments, said):
    process = graph.start("jetson_detect.commands.detect_and_track", *arguments)
    assert process.wait() == 1
    assert said in process.output
    assert "Traceback" not in process.output
