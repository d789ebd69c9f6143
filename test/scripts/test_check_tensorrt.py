from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorrt_check.check import Check, CheckFailed, CheckSkipped, perform, run_checks
from tensorrt_check.command import parse, wanted
from tensorrt_check.comparison import Difference, difference, differences, require_close, worst
from tensorrt_check.faults import FAULTS
from tensorrt_check.isolation import ProbeAnswer, check_probe, judge
from tensorrt_check.lean import LEAN_PROBES
from tensorrt_check.plans import list_plans
from tensorrt_check.probes import Expectation, Probe
from tensorrt_check.rows import Result, Row, add_row, read_rows, report, write_rows
from tensorrt_check.subjects import SUBJECTS

from jetson_detect.core.model import Format, Precision, load_model

pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "test" / "fakes"
SCRIPT = ROOT / "scripts" / "check_tensorrt.py"
ARRAY = np.array([[1.0, -4.0], [2.0, 0.5]], np.float32)
REFUSED = ProbeAnswer(
    "done", "x.plan: broken; build it again", "BackendError", True, unchanged=True
)
SAID = "Segmentation fault"


def run_script(
    output: Path, *arguments: str, version: str = "8.6.0", faults: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(FAKES), "FAKE_TENSORRT_VERSION": version}
    if faults is not None:
        environment["FAKE_TENSORRT_FAULTS"] = str(faults)
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--output", str(output), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def rows_of(output: Path, version: str = "8.6.0") -> dict[str, Row]:
    return {row.check: row for row in read_rows(output / "results.json") if row.version == version}


# Comparison


def test_a_difference_is_a_share_of_the_references_largest_value():
    shifted = ARRAY.copy()
    shifted[1, 1] += 0.5
    assert difference("y", shifted, ARRAY) == Difference("y", 0.5, 0.125)


def test_bytes_do_not_wrap_around_in_a_difference():
    low, high = np.array([1], np.uint8), np.array([255], np.uint8)
    assert difference("y", low, high).absolute == 254
    assert difference("y", high, low).absolute == 254


def test_where_the_reference_is_zero_the_difference_itself_counts():
    zeros = np.zeros(3, np.float32)
    assert difference("y", zeros + np.float32(0.25), zeros) == Difference("y", 0.25, 0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_infinitely_far_off(bad):
    broken = ARRAY.copy()
    broken[0, 0] = bad
    assert difference("y", broken, ARRAY).relative == float("inf")


def test_another_shape_is_infinitely_far_off():
    assert difference("y", ARRAY[:1], ARRAY).absolute == float("inf")


def test_outputs_without_numbers_are_equal():
    assert difference("y", np.zeros((2, 0)), np.zeros((2, 0), np.int64)).absolute == 0


def test_other_names_of_outputs_are_told():
    with pytest.raises(CheckFailed, match="outputs are a, not b"):
        differences({"a": ARRAY}, {"b": ARRAY})


def test_the_worst_difference_of_each_output_counts():
    found = [Difference("a", 1, 0.1), Difference("b", 9, 0.3), Difference("a", 0.5, 0.2)]
    assert worst(found) == [Difference("a", 0.5, 0.2), Difference("b", 9, 0.3)]


def test_a_difference_up_to_the_tolerance_is_close():
    found = [Difference("a", 3.0, 0.01), Difference("b", 0.0, 0.0)]
    assert require_close(found, 0.01) == "max |Δ| a 3 (1.0e-02), b 0 (0.0e+00)"


@pytest.mark.parametrize("relative", [0.011, float("inf"), float("nan")])
def test_a_larger_difference_fails(relative):
    with pytest.raises(CheckFailed, match="more than 1e-02"):
        require_close([Difference("a", 3.0, relative)], 0.01)


# Probes


def test_a_refusal_with_a_good_run_afterwards_is_what_a_fault_must_give():
    text = judge(Probe(str), REFUSED, 0, "")
    assert text == ("BackendError: x.plan: broken; build it again; a good plan then ran as before")


@pytest.mark.parametrize(
    ("answer", "expects", "problem"),
    [
        (ProbeAnswer("done", "it ran", unchanged=True), Expectation.REFUSAL, "expected a BackendE"),
        (
            ProbeAnswer("done", "'x'", "KeyError", unchanged=True),
            Expectation.REFUSAL,
            "KeyError: 'x' .expected a BackendError",
        ),
        (
            ProbeAnswer("done", "'x'", "KeyError", unchanged=True),
            Expectation.SURVIVAL,
            "KeyError: 'x' .expected a BackendError or an answer",
        ),
        (REFUSED, Expectation.ANSWER, "expected an answer"),
        (
            ProbeAnswer("done", "broken", "BackendError", True, unchanged=False),
            Expectation.REFUSAL,
            "a good plan then gave something else",
        ),
    ],
)
def test_anything_else_fails(answer, expects, problem):
    with pytest.raises(CheckFailed, match=problem):
        judge(Probe(str, expects), answer, 0, "")


def test_an_answer_is_as_good_as_a_refusal_where_tensorrt_need_not_notice():
    answer = ProbeAnswer("done", "TensorRT takes it", unchanged=True)
    assert judge(Probe(str, Expectation.SURVIVAL), answer, 0, "").startswith("TensorRT takes it")


@pytest.mark.parametrize(
    ("stage", "status", "problem"),
    [
        ("the probe itself", -signal.SIGSEGV, "SIGSEGV while the probe itself; it said: Segm"),
        ("running a good plan afterwards", 1, "exit status 1 while running a good plan afterw"),
        ("done", -signal.SIGABRT, "SIGABRT at its end"),
        ("starting", 0, "exit status 0 while starting"),
    ],
)
def test_a_process_that_ends_early_fails_with_its_signal(stage, status, problem):
    with pytest.raises(CheckFailed, match=problem):
        judge(Probe(str), ProbeAnswer(stage), status, SAID)


def test_a_probe_that_cannot_be_tried_is_skipped():
    answer = ProbeAnswer("done", "no plan of another version", skipped=True)
    with pytest.raises(CheckSkipped, match="no plan of another version"):
        judge(Probe(str), answer, 0, "")


@pytest.fixture
def small_machine(tmp_path, monkeypatch):
    """The script on a simulated GPU of 48 MB, with one probe that really crashes."""
    wrapper = tmp_path / "wrapper.py"
    wrapper.write_text(
        f"import ctypes, sys\n"
        f"sys.path[:0] = [{str(SCRIPT.parent)!r}, {str(FAKES)!r}]\n"
        f"import simulated_gpu, check_tensorrt\n"
        f"simulated_gpu.MACHINE.total_memory = 48 << 20\n"
        f"from tensorrt_check import faults, probes\n"
        f"crash = probes.Probe(lambda case: ctypes.string_at(0))\n"
        f"faults.FAULTS['wrong shape'] = crash\n"
        f"sys.exit(check_tensorrt.main())\n"
    )
    monkeypatch.setenv("FAKE_TENSORRT_VERSION", "8.6.0")
    monkeypatch.setattr("tensorrt_check.isolation.SCRIPT", wrapper)
    run_script(tmp_path, "--models", "demo", "--precisions", "fp32", "--only", "* build")
    return tmp_path


@pytest.mark.parametrize(
    ("fault", "text"),
    [("memory used up", "BackendError: .*ran as before"), ("file missing", "no such file")],
)
def test_a_fault_is_injected_in_another_process(small_machine, fault, text):
    plan = small_machine / "demo_fp32_trt8.6.0.plan"
    found = check_probe(small_machine, plan, False, fault)
    assert re.search(text, found)


def test_a_crash_is_reported_and_survived(small_machine):
    plan = small_machine / "demo_fp32_trt8.6.0.plan"
    with pytest.raises(CheckFailed, match="ended with SIGSEGV while the probe itself"):
        check_probe(small_machine, plan, False, "wrong shape")


# Rows


def test_whatever_a_check_raises_is_a_row(capsys):
    def fail(error: Exception) -> str:
        raise error

    def row(error: Exception) -> tuple[Result, str]:
        found = perform(Check("c", lambda: fail(error)), "8.6.0")
        assert (found.version, found.check) == ("8.6.0", "c")
        return found.result, found.text

    assert row(CheckFailed("off")) == (Result.FAILED, "off")
    assert row(CheckSkipped("no plan")) == (Result.SKIPPED, "no plan")
    assert row(KeyError("x")) == (Result.FAILED, "KeyError: 'x'")
    assert perform(Check("c", lambda: "0.1"), "8.6.0").result is Result.OK


def test_a_new_row_takes_the_place_of_the_old_one_of_its_version():
    old = [Row("8.5.3.1", "a", Result.OK, "1"), Row("8.6.0", "a", Result.FAILED, "2")]
    new = Row("8.6.0", "a", Result.OK, "3")
    assert add_row(old, new) == [old[0], new]
    assert add_row(old[:1], new) == [old[0], new]


def test_rows_come_back_from_the_file(tmp_path):
    rows = [Row("8.6.0", "a", Result.SKIPPED, "max |Δ| 0.1", 1.5)]
    write_rows(tmp_path / "new" / "results.json", rows)
    assert read_rows(tmp_path / "new" / "results.json") == rows
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["results.json"]
    assert read_rows(tmp_path / "none.json") == []


def test_each_row_is_written_before_the_next_check_starts(tmp_path, capsys):
    results = tmp_path / "results.json"
    seen = []

    def look() -> str:
        seen.append(len(read_rows(results)))
        return ""

    assert run_checks([Check(str(n), look) for n in range(3)], "8.6.0", results) == 0
    assert seen == [0, 1, 2]
    assert "ok" in capsys.readouterr().out


def test_the_report_puts_versions_of_a_check_below_each_other():
    rows = [
        Row("10.3.0", "first", Result.OK, "0.1"),
        Row("10.3.0", "second", Result.FAILED, "a|b\nc"),
        Row("lean 10.16.1.11", "first", Result.OK, ""),
        Row("8.5.3.1", "first", Result.SKIPPED, "no plan"),
    ]
    assert report(rows).splitlines() == [
        "| check | TensorRT | result | |",
        "| --- | --- | --- | --- |",
        "| first | 8.5.3.1 | skipped | no plan |",
        "| first | 10.3.0 | ok | 0.1 |",
        "| first | lean 10.16.1.11 | ok |  |",
        "| second | 10.3.0 | failed | a\\|b c |",
        "",
        "TensorRT 8.5.3.1: 0 ok, 0 failed, 1 skipped.",
        "TensorRT 10.3.0: 1 ok, 1 failed, 0 skipped.",
        "TensorRT lean 10.16.1.11: 1 ok, 0 failed, 0 skipped.",
    ]


# Command line


def test_models_and_precisions_are_chosen_by_name():
    options = parse(["--models", "demo,yolo_320", "--precisions", "fp16"])
    assert options.models == ["demo", "yolo_320"]
    assert options.precisions == [Precision.FP16]
    assert parse([]).models == list(SUBJECTS)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--models", "demo,resnet"], "resnet: use some of demo, yolo_320"),
        (["--precisions", "int8"], "use fp32, fp16 or both"),
        (["--precisions", "fp64"], "fp64"),
        (["--runs", "0"], "below 1"),
        (["--minutes", "-1"], "below 0"),
    ],
)
def test_what_is_not_known_is_refused(arguments, problem, capsys):
    with pytest.raises(SystemExit):
        parse(arguments)
    assert problem in capsys.readouterr().err


def test_checks_are_chosen_by_patterns():
    assert wanted("demo fp32: build", [], [])
    assert wanted("demo fp32: build", ["fault*", "*build"], [])
    assert not wanted("demo fp32: build", ["fault*"], [])
    assert not wanted("fault: memory used up", [], ["fault: memory*"])


def test_plans_are_listed_before_other_files_once(tmp_path):
    folder = tmp_path / "demo_trt8.6.0"
    SUBJECTS["demo"].write(folder)
    for name in ("demo_fp32_trt8.6.0", "demo_fp16_trt8.6.0", "demo_fp32_trt8.5.3.1"):
        (tmp_path / f"{name}.plan").write_bytes(b"plan")
    for _ in range(2):
        list_plans(folder, tmp_path, "8.6.0")
    files = load_model(folder).files
    plans = [file for file in files if file.format is Format.TENSORRT]
    assert list(files[:2]) == plans
    assert [file.precision for file in plans] == [Precision.FP32, Precision.FP16]
    assert [file.path.resolve().name for file in plans] == [
        "demo_fp32_trt8.6.0.plan",
        "demo_fp16_trt8.6.0.plan",
    ]
    assert len(files) == 6


# The whole


def test_two_versions_are_checked_and_reported_in_one_table(tmp_path):
    chosen = ["--models", "demo", "--precisions", "fp32,fp16", "--runs", "5"]
    skipped = [f"--skip=fault: {pattern}" for pattern in ("memory*", "plan with*", "wr*", "no*")]
    # What says most takes longest, and is the same for both.
    quick = ["--skip=pictures*", "--skip=*pipeline"]
    for version, left_out in (("8.5.3.1", quick), ("8.6.0", [])):
        ended = run_script(tmp_path, *chosen, *skipped, *left_out, version=version)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = rows_of(tmp_path)
    assert {name for name in rows if not re.match("pictures|.*pipeline", name)} == set(
        rows_of(tmp_path, "8.5.3.1")
    )
    for precision in ("fp32", "fp16"):
        row = rows.pop(f"demo {precision}: candidates")
        assert (row.result, row.text) == (Result.SKIPPED, "postprocessing CPU (head)")
    assert {row.result for row in rows.values()} == {Result.OK}
    assert rows["demo fp32: parity"].text == (
        "max |Δ| heatmap 0 (0.0e+00), offset 0 (0.0e+00), size 0 (0.0e+00)"
    )
    assert re.search(r"heatmap \S+ \(\d\.\de-04\)", rows["demo fp16: parity"].text)
    assert "0 missed, 0 extra" in rows["demo fp32: detections"].text
    assert "graph on: p50" in rows["demo fp32: time"].text
    assert "kept pictures, two in flight" in rows["demo fp32: pipeline"].text
    assert "480 cases off by rounding at most" in rows["pictures: as on the CPU"].text
    assert "BGR8: kernel 0.0" in rows["pictures: time"].text
    assert "no profile holds x 5x3x64x64" in rows["feature: dynamic shapes"].text
    assert "int32 in, int32 out" in rows["feature: int64 tensors"].text
    assert "GPU memory +0.0 MB" in rows["feature: nothing stays behind"].text
    # What the older version could not find, the newer one refuses.
    assert rows_of(tmp_path, "8.5.3.1")["fault: plan of another version"].result is Result.SKIPPED
    assert "got 8.5.3.1" in rows["fault: plan of another version"].text
    document = yaml.safe_load((tmp_path / "demo_trt8.6.0" / "model.yaml").read_text())
    assert [file["path"] for file in document["files"][:2]] == [
        "../demo_fp32_trt8.6.0.plan",
        "../demo_fp16_trt8.6.0.plan",
    ]
    table = run_script(tmp_path, "--report", str(tmp_path / "results.json")).stdout
    assert f"TensorRT 8.6.0: {len(rows)} ok, 0 failed, 2 skipped." in table
    assert table.count("| demo fp32: parity |") == 2


def test_a_plan_that_answers_nonsense_fails(tmp_path):
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"nan_at": 2}))
    ended = run_script(
        tmp_path, "--models=demo", "--precisions=fp32", "--only=demo*", "--runs=2", faults=faults
    )
    assert ended.returncode == 1
    rows = rows_of(tmp_path)
    assert rows["demo fp32: build"].result is Result.OK
    assert rows["demo fp32: parity"].result is Result.FAILED
    assert "heatmap inf" in rows["demo fp32: parity"].text
    assert rows["demo fp32: detections"].result is Result.FAILED
    assert "not finite" in rows["demo fp32: detections"].text


def test_no_build_starts_after_the_time_is_up(tmp_path):
    ended = run_script(tmp_path, "--models=demo", "--precisions=fp32", "--only=d*", "--minutes=0")
    assert ended.returncode == 0
    rows = rows_of(tmp_path)
    assert rows["demo fp32: build"].text == "left out: the time was up"
    assert rows["demo fp32: parity"].text == "demo_fp32_trt8.6.0.plan was not built in this run"
    assert {row.result for row in rows.values()} == {Result.SKIPPED}


def test_plans_of_an_earlier_run_are_taken_only_when_told(tmp_path):
    run_script(tmp_path, "--models=demo", "--precisions=fp32", "--only=demo*build")
    run_script(tmp_path, "--models=demo", "--precisions=fp32", "--only=demo*parity")
    assert rows_of(tmp_path)["demo fp32: parity"].result is Result.SKIPPED
    run_script(tmp_path, "--models=demo", "--precisions=fp32", "--only=demo*", "--reuse")
    rows = rows_of(tmp_path)
    assert "there from an earlier run" in rows["demo fp32: build"].text
    assert rows["demo fp32: parity"].result is Result.OK


def test_a_version_without_an_fp16_flag_skips_fp16(tmp_path):
    ended = run_script(tmp_path, "--models=demo", "--only=demo fp16*", version="11.4.0.106")
    assert ended.returncode == 0
    build = rows_of(tmp_path, "11.4.0.106")["demo fp16: build"]
    assert build == Row(
        "11.4.0.106",
        "demo fp16: build",
        Result.SKIPPED,
        "this version takes the precision from the ONNX file",
        build.seconds,
    )


def test_the_lean_runtime_is_checked_with_what_it_has(tmp_path):
    run_script(tmp_path, "--models=demo", "--precisions=fp32", "--only=demo*build")
    ended = run_script(tmp_path, "--lean", version="10.16.1.11")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = rows_of(tmp_path, "lean 10.16.1.11")
    assert set(rows) == {f"lean: {name}" for name in LEAN_PROBES}
    assert rows["lean: library and driver"].text.startswith("TensorRT lean 10.16.1.11, 1 GPU")
    assert "got 8.6.0" in rows["lean: plan of another version"].text


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_without_tensorrt_it_says_what_to_install(tmp_path):
    environment = {**os.environ, "PYTHONPATH": ""}
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--output", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("BackendUnavailableError: tensorrt cannot be imported")


def test_the_list_has_every_fault_and_runs_nothing(tmp_path):
    names = run_script(tmp_path, "--list").stdout.splitlines()
    assert {name for name in names if name.startswith("fault")} == {f"fault: {n}" for n in FAULTS}
    assert "ssd_640 fp16: time" in names
    assert list(tmp_path.iterdir()) == []


def test_candidates_told_apart_on_the_gpu_are_those_of_whole_outputs(tmp_path):
    chosen = ["--models", "ssd_320", "--precisions", "fp32", "--runs", "5"]
    ended = run_script(tmp_path, *chosen, "--only=*build", "--only=*candidates", version="8.6.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    row = rows_of(tmp_path)["ssd_320 fp32: candidates"]
    assert row.result is Result.OK
    assert re.match(r"\d+ objects, all the same; CPU p50 \S+ ms, GPU p50 \S+ ms", row.text)
