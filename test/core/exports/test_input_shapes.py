from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.exports import ExportError
from jetson_detect.core.exports.input_shapes import describe_fixed, fix_shapes

PATH = Path("model")


def info(*shape: int | None, name: str = "image") -> TensorInfo:
    return TensorInfo(name, shape, np.dtype(np.float32))


def test_the_batch_fills_an_open_first_dimension_and_no_other():
    inputs = [info(None, None, 8), info(4, None, name="other"), info(name="threshold")]
    assert fix_shapes(PATH, inputs, 1, {}) == {
        "image": (1, None, 8),
        "other": (4, None),
        "threshold": (),
    }


def test_sizes_fill_what_is_open_and_none_leaves_it():
    assert fix_shapes(PATH, [info(None, None, None, 3)], 1, {"image": (None, 6, 8, 3)}) == {
        "image": (None, 6, 8, 3)
    }


@pytest.mark.parametrize("wanted", [(1, 6, 8), (1, 6, 8, 4), (0, 6, 8, 3)])
def test_sizes_that_contradict_the_network_are_refused(wanted):
    with pytest.raises(ExportError, match=r"does not fit input 'image', which is \(\?, \?, 8, 3\)"):
        fix_shapes(PATH, [info(None, None, 8, 3)], 1, {"image": wanted})


def test_sizes_for_an_input_that_is_not_there_are_refused():
    with pytest.raises(ExportError, match=r"model: shapes: has no input 'picture', but image"):
        fix_shapes(PATH, [info(1)], 1, {"picture": (1,)})


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 9)), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 9)),
)
def test_what_was_fixed_stays_and_a_change_is_told(shape, batch):
    (source,) = [info(*shape)]
    fixed = fix_shapes(PATH, [source], batch, {})
    assert fixed["image"][0] == (batch if shape[0] is None else shape[0])
    assert list(fixed["image"][1:]) == shape[1:]
    assert bool(describe_fixed([source], fixed)) == (fixed["image"] != source.shape)


def test_a_change_names_both_shapes():
    assert describe_fixed([info(None, 3)], {"image": (2, 3)}) == (
        "input 'image' has the shape (2, 3), which was (?, 3)",
    )
