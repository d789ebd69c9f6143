from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.engines.proof.frame_run import FrameRun, NetworkFacts
from jetson_detect.core.engines.proof.tensor_error import TensorComparison, compare_tensors
from jetson_detect.core.model import HeadSpec
from jetson_detect.core.timing import Latency

LATENCY = Latency(1.0, 2.0, 1.0, 10)
FACTS = NetworkFacts("f", "onnx", "fp32", "stub", "none", "nowhere", LATENCY, LATENCY, 1.0)
HEAD = HeadSpec("yolov8", {"predictions": "out"})


def run(*tensors: np.ndarray, name: str = "out", head: HeadSpec = HEAD) -> FrameRun:
    kept = {index: {name: tensor} for index, tensor in enumerate(tensors)}
    return FrameRun(FACTS, head, False, (), (), kept)


def array(*numbers: float) -> np.ndarray:
    return np.array([numbers], np.float32)


def test_errors_are_taken_over_all_frames():
    (error,) = compare_tensors(
        run(array(1, 2, 3), array(0, 0, -4)), run(array(1, 2.5, 3), array(0, 1, -4))
    ).errors
    assert (error.name, error.frames) == ("out", 2)
    assert error.largest == 1.0
    assert error.relative == 0.25  # of 4
    assert error.mean == 1.5 / 6
    squares = 1 + 2.5**2 + 9 + 1 + 16
    assert error.rms == pytest.approx(np.sqrt(1.25 / squares))
    product = 1 + 5 + 9 + 16
    assert error.cosine == pytest.approx(product / np.sqrt(squares * (1 + 4 + 9 + 16)))


@given(
    st.lists(st.floats(-1e3, 1e3, width=32).filter(lambda x: abs(x) > 1e-3), min_size=1),
    st.sampled_from([0.5, 0.75, 1.25, 2.0]),
)
def test_an_output_that_is_scaled_is_off_by_that_much_and_points_the_same_way(numbers, factor):
    source = array(*numbers)
    (error,) = compare_tensors(run(source * np.float32(factor)), run(source)).errors
    assert error.relative == pytest.approx(abs(factor - 1), rel=1e-5)
    assert error.rms == pytest.approx(abs(factor - 1), rel=1e-5)
    assert error.cosine == pytest.approx(1.0)


def test_half_precision_is_compared_in_double():
    source = array(60000, -60000)
    (error,) = compare_tensors(run(-source.astype(np.float16)), run(source)).errors
    assert error.largest == 2 * float(np.float16(60000))
    assert error.cosine == pytest.approx(-1.0)


@pytest.mark.parametrize(("ours", "relative", "cosine"), [((0, 0), 0.0, 1.0), ((0, 3), 3.0, 0.0)])
def test_where_the_source_is_zero_throughout_there_is_no_share(ours, relative, cosine):
    (error,) = compare_tensors(run(array(*ours)), run(array(0, 0))).errors
    assert (error.relative, error.cosine) == (relative, cosine)
    assert error.rms == pytest.approx(relative / np.sqrt(2))


def test_an_empty_output_is_no_error():
    (error,) = compare_tensors(run(array()), run(array())).errors
    assert (error.largest, error.rms, error.cosine) == (0.0, 0.0, 1.0)


def test_an_output_that_only_the_source_has_is_skipped_with_the_reason():
    cut = HeadSpec("yolov8", {"predictions": "raw"})
    compared = compare_tensors(run(array(1), name="raw", head=cut), run(array(1)))
    assert compared.errors == ()
    (reason,) = compared.skipped
    assert reason.startswith("out: the engine has no such output")


def test_another_shape_is_broken_where_both_are_decoded_alike_and_else_skipped():
    sentence = "out: has shape (1, 2) in the engine and (1, 3) in the source"
    ours, theirs = run(array(1, 2)), run(array(1, 2, 3))
    assert compare_tensors(ours, theirs) == TensorComparison(broken=(sentence,))
    other = replace(ours, head=HeadSpec("ssd", HEAD.outputs))
    assert compare_tensors(other, theirs) == TensorComparison(skipped=(sentence,))


def test_whole_numbers_are_skipped():
    compared = compare_tensors(run(np.array([1])), run(np.array([2])))
    assert compared == TensorComparison(
        skipped=("out: holds whole numbers, whose differences say nothing",)
    )


@pytest.mark.parametrize("who", ["engine", "source"])
def test_lists_of_objects_are_skipped(who):
    runs = {"engine": run(array(1)), "source": run(array(2))}
    runs[who] = replace(runs[who], listed=True)
    compared = compare_tensors(**runs)
    assert compared.errors == ()
    assert compared.skipped[0].startswith(f"outputs: the {who}'s are lists of objects")


def test_outputs_that_took_too_much_memory_are_skipped():
    assert "more memory than tensor_mb" in compare_tensors(run(), run(array(1))).skipped[0]
