from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from jetson_detect.commands import compare_backends
from jetson_detect.commands.compare_backends import main
from jetson_detect.core.backends import choice
from jetson_detect.core.engines.cache import EngineCache, EngineRecord
from jetson_detect.core.engines.content_hash import content_sha256
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.machine import MachineIdentity, read_machine
from jetson_detect.core.model import Format, load_model
from jetson_detect.share import find_model

FAKES = Path(__file__).parents[1] / "fakes"
sys.path.insert(0, str(FAKES / "fixtures"))

pytest_plugins = ("gpu_fixture",)

# Where the columns are, counted from the last one, since the first ones are of several words.
START_UP, GPU_MB, PEAK, RSS = -1, -2, -3, -4
DETECTION_RATIO, DETECTION_FPS = -5, -6
RATIO, FPS, P95 = -10, -11, -12
P50, MAP, MISSED, SCORE, BOX_PX = -14, -15, -16, -17, -18


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """Measurements of both TFLite files and of ONNX Runtime, as --json writes them."""
    file = tmp_path_factory.mktemp("measured") / "here.json"
    arguments = ["--backends", "tflite,onnxruntime", "--pictures", "12", "--runs", "20"]
    assert main([*arguments, "--warm-up", "3", "--json", str(file)]) == 0
    return file


def rows(file: Path) -> dict[str, dict]:
    return {row["file"]: row for row in json.loads(file.read_text())}


def table(output: str) -> dict[str, list[str]]:
    """Return the words of each line by its file."""
    return {
        word: line.split()
        for line in output.splitlines()
        for word in line.split()
        if word.startswith("demo") and "/mAP" not in line
    }


def latency(fps: float) -> dict[str, float]:
    return {"p50_ms": 900 / fps, "p95_ms": 1500 / fps, "mean_ms": 1000 / fps, "runs": 1000}


@pytest.fixture
def on_gpu(measured, tmp_path) -> Path:
    """Measurements with speeds and memory that are known."""
    figures = {
        "demo_fp32.tflite": (50.0, 40.0, 100.0, None),
        "demo_int8.tflite": (400.0, 200.0, 900.4, 0.0),
        "demo.onnx": (100.0, 80.0, 1000.0, 500.0),
    }
    changed = rows(measured)
    for name, (inference, detection, rss_mb, gpu_mb) in figures.items():
        times = {"inference": latency(inference), "detection": latency(detection)}
        changed[name] |= {"latency": times, "rss_mb": rss_mb, "gpu_mb": gpu_mb, "warm_up": 50}
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps(list(changed.values())))
    return file


def test_each_file_is_measured_in_a_process_of_its_own(measured):
    measurements = rows(measured)
    assert list(measurements) == ["demo_fp32.tflite", "demo_int8.tflite", "demo.onnx"]
    for row in measurements.values():
        # Not by how much: all are of a few runs on a machine that does other things.
        for part in ("inference", "detection"):
            times = row["latency"][part]
            assert 0.02 < times["p50_ms"] < 500
            assert times["p50_ms"] <= times["p95_ms"] < 5000
            assert times["runs"] == 20
        assert row["warm_up"] == 3
        assert 30 < row["rss_mb"] < 2000
        assert row["peak_rss_mb"] is None or row["rss_mb"] - 1 <= row["peak_rss_mb"] < 4000
        assert 0.1 < row["start_up_s"] < 60
        assert len(row["detections"]) == 12
        assert row["map50"] > 0.9
    assert measurements["demo_int8.tflite"]["precision"] == "int8"


def test_the_table_compares_with_the_reference(measured, capsys):
    assert main(["--backends", "", "--add", str(measured)]) == 0
    lines = table(capsys.readouterr().out)
    assert "reference" in lines["demo.onnx"]
    fp32 = lines["demo_fp32.tflite"]
    assert 0 <= float(fp32[BOX_PX]) < 0.01  # another library, the same network
    assert 0 <= float(fp32[SCORE]) < 1e-3
    assert fp32[MISSED] == "0/0"
    assert float(lines["demo_int8.tflite"][BOX_PX]) > float(fp32[BOX_PX])


def test_the_table_tells_throughput_and_how_many_times_the_references_it_is(on_gpu, capsys):
    assert main(["--backends", "", "--add", str(on_gpu)]) == 0
    lines = table(capsys.readouterr().out)
    fp32, int8 = lines["demo_fp32.tflite"], lines["demo_int8.tflite"]
    assert (fp32[P50], fp32[P95], fp32[FPS], fp32[RATIO]) == ("18.00", "30.00", "50.0", "0.50×")
    assert (int8[FPS], int8[RATIO]) == ("400", "4.00×")
    assert (int8[DETECTION_FPS], int8[DETECTION_RATIO]) == ("200", "2.50×")
    assert lines["demo.onnx"][RATIO] == "1.00×"
    assert (fp32[RSS], fp32[GPU_MB]) == ("100", "-")
    assert (int8[RSS], int8[GPU_MB]) == ("900", "0")


def test_a_file_of_medians_alone_can_still_be_shown(measured, tmp_path, capsys):
    older = json.loads(measured.read_text())
    for row in older:
        del row["latency"], row["peak_rss_mb"], row["gpu_mb"], row["warm_up"]
        row |= {"inference_ms": 1.25, "detect_ms": 2.5}
    file = tmp_path / "older.json"
    file.write_text(json.dumps(older))
    assert main(["--backends", "", "--add", str(file)]) == 0
    line = table(capsys.readouterr().out)["demo_fp32.tflite"]
    assert (line[P50], line[P95], line[FPS], line[RATIO]) == ("1.25", "-", "-", "-")
    assert (line[PEAK], line[GPU_MB]) == ("(-)", "-")


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
    assert lines[0][BOX_PX : MISSED + 1] == lines[1][BOX_PX : MISSED + 1]


def texts(picture: Path) -> list[str]:
    """Return what is written in a picture; matplotlib puts each text into a comment."""
    return [
        line.strip().removeprefix("<!-- ").removesuffix(" -->")
        for line in picture.read_text().splitlines()
        if line.strip().startswith("<!-- ")
    ]


def test_the_plot_shows_throughput_and_memory_and_their_ratios(on_gpu, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plots")
    picture = tmp_path / "plot.svg"
    assert main(["--backends", "", "--add", str(on_gpu), "--plot", str(picture)]) == 0
    whole = "\n".join(texts(picture))
    inference = ["50.0  (0.50x)", "400  (4.0x)", "100"]
    detection = ["40.0  (0.50x)", "200  (2.5x)", "80.0"]
    resident = ["100  (0.10x)", "900  (0.90x)", "1000"]
    gpu = ["-", "0", "500"]
    for bars in (inference, detection, resident, gpu):  # one after the other, from top to bottom
        assert "\n".join(bars) in whole
    for label in ("inference alone", "whole detection", "resident", "GPU"):
        assert f"\n{label}\n" in f"\n{whole}\n"
    assert "1000 runs after 50 to warm up, ratios to onnxruntime" in whole
    assert "demo_int8.tflite on CPU" in whole


def test_a_plot_is_a_picture_large_enough_to_print(on_gpu, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plots")
    import cv2

    picture = tmp_path / "plot.png"
    assert main(["--backends", "", "--add", str(on_gpu), "--plot", str(picture)]) == 0
    pixels = cv2.imread(str(picture))
    assert pixels.shape[1] > 1500
    assert pixels.std() > 20


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("plot.docx", "'.docx' is no format of pictures; end the name in .png"),
        ("no/such/plot.png", "there is no folder"),
    ],
)
def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_measured(
    name, problem, tmp_path, capsys
):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plots")
    assert main(["--backends", "tflite", "--plot", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line


def test_without_matplotlib_the_remedy_is_told_before_anything_is_measured(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert main(["--backends", "tflite", "--plot", str(tmp_path / "plot.png")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install matplotlib, or write --json here" in line


def test_nothing_measured_draws_nothing(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plots")
    assert main(["--backends", "", "--plot", str(tmp_path / "plot.png")]) == 1
    assert "nothing was measured" in capsys.readouterr().err
    assert not (tmp_path / "plot.png").exists()


def test_a_backend_that_the_model_has_no_file_for_is_told(capsys):
    assert main(["--backends", "tensorrt"]) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "not measured: tensorrt" in told
    assert "needs a file of format tensorrt" in told


@pytest.fixture
def machine(gpu, monkeypatch) -> MachineIdentity:
    """A simulated GPU with TensorRT, for this process and for its children."""
    monkeypatch.setenv("PYTHONPATH", str(FAKES), prepend=os.pathsep)
    monkeypatch.setattr(choice, "has_gpu", lambda: True)
    monkeypatch.setattr(compare_backends, "_SETTLE_S", 0.0)
    return read_machine()


def promote(folder: Path, plan: Path, machine: MachineIdentity, **changes: Any) -> None:
    model = load_model(find_model("demo"))
    (source,) = model.files_for([Format.ONNX])
    fields = {"source": content_sha256(source), "precision": "fp16", "calibration": "", **changes}
    identity = EngineIdentity(
        model=model.name, shapes={}, options={}, recipe=1, machine=machine, **fields
    )
    EngineCache(folder).promote(identity, plan, EngineRecord(latency_ms=1.0))


def test_engines_of_the_cache_are_measured_too(gpu, machine, tmp_path, capsys):
    folder, file = tmp_path / "engines", tmp_path / "engines.json"
    plan = gpu.plan(find_model("demo") / "demo.onnx")
    promote(folder, plan, machine)
    promote(folder, plan, machine, precision="int8")
    arguments = ["--backends", "tensorrt", "--engine-cache", str(folder), "--pictures", "5"]
    assert main([*arguments, "--runs", "5", "--warm-up", "1", "--json", str(file)]) == 0
    output = capsys.readouterr().out
    measurements = json.loads(file.read_text())
    assert sorted(row["precision"] for row in measurements) == ["fp16", "int8"]
    for row in measurements:
        assert row["backend"] == "tensorrt"
        assert row["map50"] > 0.9
        # As much of its key as the cache's list shows.
        label, _, key = row["file"].rpartition("-")
        assert label == f"demo-{row['precision']}"
        assert [each.name for each in (folder / "entries").glob(f"{row['file']}*")]
        assert len(key) == 12
        assert key in output
    assert "not measured" not in output


def test_engines_are_left_out_when_told_so_and_unfit_ones_say_why(gpu, machine, tmp_path, capsys):
    folder = tmp_path / "engines"
    plan = gpu.plan(find_model("demo") / "demo.onnx")
    promote(folder, plan, machine, source="ab" * 32)
    arguments = ["--backends", "tensorrt", "--engine-cache", str(folder)]
    assert main([*arguments, "--no-engines"]) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "needs a file of format tensorrt" in told
    assert "demo-fp16" not in told
    assert main(arguments) == 0
    assert "demo-fp16" in capsys.readouterr().out


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
    assert "not measured: tflite (broken.tflite): " in capsys.readouterr().out


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
