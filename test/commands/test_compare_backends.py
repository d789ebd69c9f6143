from __future__ import annotations

import json
from pathlib import Path

import pytest

from jetson_detect.commands.compare_backends import main


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """Measurements of both TFLite files and of ONNX Runtime, as --json writes them."""
    file = tmp_path_factory.mktemp("measured") / "here.json"
    arguments = ["--backends", "tflite,onnxruntime", "--pictures", "12", "--runs", "20"]
    assert main([*arguments, "--json", str(file)]) == 0
    return file


def rows(file: Path) -> dict[str, dict]:
    return {row["file"]: row for row in json.loads(file.read_text())}


def test_each_file_is_measured_in_a_process_of_its_own(measured):
    measurements = rows(measured)
    assert list(measurements) == ["demo_fp32.tflite", "demo_int8.tflite", "demo.onnx"]
    for row in measurements.values():
        # Not by how much: both are medians of a few runs on a machine that does other things.
        assert 0.02 < row["inference_ms"] < 500
        assert 0.05 < row["detect_ms"] < 500
        assert 30 < row["rss_mb"] < 2000
        assert 0.1 < row["start_up_s"] < 60
        assert len(row["detections"]) == 12
        assert row["map50"] > 0.9
    assert measurements["demo_int8.tflite"]["precision"] == "int8"


def test_the_table_compares_with_the_reference(measured, capsys):
    assert main(["--backends", "", "--add", str(measured)]) == 0
    lines = {
        line.split()[3]: line.split()
        for line in capsys.readouterr().out.splitlines()
        if "(" in line
    }
    assert "reference" in lines["demo.onnx"]
    fp32 = lines["demo_fp32.tflite"]
    box_px, score = float(fp32[6]), float(fp32[7])
    assert 0 <= box_px < 0.01  # another library, the same network
    assert 0 <= score < 1e-3
    assert float(lines["demo_int8.tflite"][6]) > box_px


def test_each_machines_rows_are_compared_with_the_reference_of_that_machine(
    measured, tmp_path, capsys
):
    elsewhere = json.loads(measured.read_text())
    for row in elsewhere:  # other pictures: all boxes are 50 pixels further right
        for picture in row["detections"]:
            picture["boxes"] = [
                [box[0] + 50, box[1], box[2] + 50, box[3]] for box in picture["boxes"]
            ]
    other = tmp_path / "elsewhere.json"
    other.write_text(json.dumps(elsewhere))
    assert main(["--backends", "", "--add", str(measured), "--add", str(other)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "fp32.tflite" in line]
    assert len(lines) == 2
    assert lines[0][6:10] == lines[1][6:10]


def test_a_backend_that_the_model_has_no_file_for_is_told(capsys):
    assert main(["--backends", "tensorrt"]) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "not measured: tensorrt" in told
    assert "needs a file of format tensorrt" in told


def test_a_file_that_does_not_load_is_told_and_fails_the_command(tmp_path, capsys):
    (tmp_path / "broken.tflite").write_bytes(b"TFL3 but no more")
    (tmp_path / "model.yaml").write_text(
        "name: broken\nlicense: Apache-2.0\n"
        "files: [{format: tflite, path: broken.tflite}]\n"
        "input: {width: 160, height: 160, layout: NHWC, color_order: RGB}\n"
        "head: {type: centernet, outputs: {heatmap: h, offset: o, size: s}}\n"
        "labels: [ball]\n"
    )
    assert main([str(tmp_path), "--backends", "tflite"]) == 1
    assert "not measured: tflite (broken.tflite)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--backends", "tenssort"], "backend 'tenssort' is not known"),
        (["no_such_model"], "no_such_model"),
        (["--add", "/no/such.json"], "/no/such.json"),
    ],
)
def test_a_wrong_argument_ends_in_one_line(arguments, problem, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
