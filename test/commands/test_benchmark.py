"""The command line of the benchmark, its tables and its plots."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jetson_detect.benchmark import message_level, node_level
from jetson_detect.benchmark.ratio import Ratio
from jetson_detect.benchmark.report import Section
from jetson_detect.benchmark.rows import CostRow, StreamRow
from jetson_detect.benchmark.stream_round import StreamRound
from jetson_detect.commands.benchmark.command import main

STAGES = {"receive": 0.001, "preprocess": 0.002, "infer": 0.003, "postprocess": 0.004}


def a_row(way: str, cpu_s: float, drive: str = "1 in flight") -> StreamRow:
    stages = {**STAGES, "publish": 0.005} if drive == "1 in flight" else {}
    rounds = (StreamRound(10, 9, 0.5, cpu_s, tuple(float(each) for each in range(9)), stages),)
    return StreamRow("1920x1080", way, drive, rounds, 123.4)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known numbers in place of a measurement of messages and of nodes."""
    message = Section(
        "message",
        "publishing",
        (CostRow("100 detections", "ours", "µs CPU", (50.0, 51.0, 60.0)),),
        ratios=(Ratio("message 100 detections: message objects / ours", 32.0),),
    )
    node = Section(
        "node",
        "nodes",
        streams=(a_row("plain", 0.09), a_row("ours", 0.018), a_row("ours", 0.018, "30 Hz")),
        ratios=(Ratio("node 1920x1080 CPU: plain / ours", 5.0),),
        notes=("tensorrt: there is no GPU",),
    )
    monkeypatch.setattr(message_level, "measure_messages", lambda level, repeats, session: message)
    monkeypatch.setattr(node_level, "measure_nodes", lambda level, repeats, session: node)
    monkeypatch.setattr(os, "environ", dict(os.environ))


def words(output: str, *wanted: str) -> list[str]:
    """Return the words of the line that has all the wanted ones."""
    (line,) = (line for line in output.splitlines() if all(each in line for each in wanted))
    return line.split()


def test_the_tables_show_medians_stages_and_ratios(measured, capsys) -> None:
    assert main(["node"]) == 0
    output = capsys.readouterr().out
    plain = words(output, "1920x1080", "plain", "in flight")
    assert plain[5:12] == ["18", "10.00", "0.11", "0.22", "0.33", "0.44", "0.56"]
    assert plain[12:] == ["4.00", "/", "7.60", "/", "7.92", "1/10", "123", "-"]
    assert words(output, "30 Hz")[5:10] == ["2.00", "-", "-", "-", "-"]
    assert words(output, "plain / ours")[-1] == "5.00×"
    assert "not measured: tensorrt: there is no GPU" in output
    assert main(["message"]) == 0
    assert words(capsys.readouterr().out, "100 detections", "CPU")[3:] == [
        "51", "µs", "CPU", "50", "-", "60",
    ]  # fmt: skip


def test_json_and_ratios_are_written(measured, tmp_path, capsys) -> None:
    file, ratios = tmp_path / "all.json", tmp_path / "ratios.json"
    assert main(["node", "--json", str(file), "--ratios", str(ratios)]) == 0
    (section,) = json.loads(file.read_text())["sections"]
    assert section["streams"][0]["cpu_ms"] == pytest.approx(10.0)
    assert json.loads(ratios.read_text()) == {"node 1920x1080 CPU: plain / ours": 5.0}


def test_a_ratio_that_got_worse_is_named_and_ends_with_1(measured, tmp_path, capsys) -> None:
    file = tmp_path / "ratios.json"
    name = "node 1920x1080 CPU: plain / ours"
    file.write_text(json.dumps({name: 6.0, "message 300 detections": 50.0}))
    assert main(["node", "--check", str(file)]) == 0  # within 20 %, and no messages were measured
    assert f"none of 1 ratios is worse than in {file}" in capsys.readouterr().out
    file.write_text(json.dumps({name: 6.3}))
    assert main(["node", "--check", str(file)]) == 1
    assert f"worse: {name}: 5.00, more than 20% below the 6.30" in capsys.readouterr().err


def test_a_ratio_that_was_worse_once_is_measured_again(
    measured, tmp_path, capsys, monkeypatch
) -> None:
    file = tmp_path / "ratios.json"
    name = "node 1920x1080 CPU: plain / ours"
    file.write_text(json.dumps({name: 5.0}))
    values = iter([3.9, 4.1])
    monkeypatch.setattr(
        node_level,
        "measure_nodes",
        lambda level, repeats, session: Section("node", "n", ratios=(Ratio(name, next(values)),)),
    )
    assert main(["node", "--check", str(file)]) == 0
    output = capsys.readouterr()
    assert f"worse, measured again: {name}: 3.90, more than 20% below the 5.00" in output.err
    assert "none of 1 ratios is worse" in output.out


def test_a_file_of_ratios_that_is_missing_is_told_before_anything_is_measured(
    tmp_path, capsys
) -> None:
    assert main(["node", "--check", str(tmp_path / "none.json")]) == 2
    assert "none.json: holds no ratios" in capsys.readouterr().err


def test_every_section_has_its_plots(measured, tmp_path, capsys) -> None:
    folder = tmp_path / "plots"
    assert main(["message", "--plots", str(folder)]) == 0
    assert main(["node", "--plots", str(folder)]) == 0
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["message_cost.png", "node_cpu.png", "node_latency.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["node", "--sizes", "8k"], "'8k' is not known: use 480p, 720p, 1080p, 4k"),
        (["node", "--rates", "0"], "'0' is not above 0"),
        (["model", "--levels", ","], "the list is empty"),
        (["node", "--rounds", "0"], "'0' is below 1"),
        ([], "LEVEL"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path, capsys) -> None:
    assert main(["model", str(tmp_path / "nothing")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.dds
def test_a_model_is_measured_on_every_level(tmp_path, capfd, monkeypatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    file = tmp_path / "model.json"
    arguments = ["--backends", "tflite,tensorrt", "--sizes", "480p", "--rounds", "1"]
    arguments += ["--frames", "3", "--warm-up", "1", "--json", str(file)]
    assert main(["model", "demo", *arguments]) == 0
    (section,) = json.loads(file.read_text())["sections"]
    rows = {(row["way"], row["drive"]): row for row in section["streams"]}
    assert list(rows) == [
        ("engine", "back to back"),
        ("pipeline", "back to back"),
        ("pipeline, by stage", "back to back"),
        ("node", "1 in flight"),
        ("node", "2 in flight"),
    ]
    for row in rows.values():
        assert row["case"] == "demo tflite fp32 640x480"
        assert row["sent"] == 3
    assert rows["node", "1 in flight"]["lost"] == 0
    assert rows["pipeline, by stage", "back to back"]["stages_ms"]["infer"] > 0
    assert len(section["ratios"]) == 2
    assert "tensorrt" in section["notes"][0]
