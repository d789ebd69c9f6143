from __future__ import annotations

import gc

import numpy as np
import pytest

from jetson_detect.core.encodings import PIXEL_FORMATS
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.reused_memory import ReusedMemory


def place(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_an_array_has_the_shape_that_is_asked_for_and_can_be_written():
    array = ReusedMemory().array(4, 5, 3)
    array[...] = 7
    assert array.shape == (4, 5, 3)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    assert (array == 7).all()


def test_memory_that_nobody_looks_at_is_given_out_again():
    memory = ReusedMemory()
    places = []
    for _ in range(5):
        array = memory.array(100, 100)
        places.append(place(array))
        del array
    assert len(set(places)) == 1


def test_memory_is_kept_as_long_as_a_view_of_a_view_looks_at_it():
    memory = ReusedMemory()
    array = memory.array(10, 10)
    array[...] = 1
    view = array[2:, 2:][::2].T
    first = place(array)
    del array
    other = memory.array(10, 10)
    other[...] = 2
    assert place(other) != first
    assert (view == 1).all()
    del view
    gc.collect()
    assert place(memory.array(10, 10)) == first


def test_smaller_arrays_use_larger_memory_again():
    memory = ReusedMemory()
    large = memory.array(100, 100)
    first = place(large)
    del large
    small = memory.array(10, 7)
    assert (place(small), small.shape) == (first, (10, 7))


def test_sizes_that_take_turns_each_find_their_memory_again():
    memory = ReusedMemory()
    places = []
    for _ in range(3):
        large = memory.array(100, 100)
        small = memory.array(10, 10)
        places.append((place(large), place(small)))
        del large
        del small  # the last one given back is too small for the next picture
    assert len(set(places)) == 1


@pytest.mark.parametrize("encoding", ["bgr8", "mono16", "yuyv", "nv12", "bayer_rggb16"])
def test_memory_is_kept_as_long_as_a_part_of_a_picture_looks_at_it(encoding):
    memory = ReusedMemory()
    step = 32 * PIXEL_FORMATS[encoding].pixel_bytes
    array = memory.array(36 * step)
    first = place(array)
    part = Pixels.from_buffer(array, width=32, height=24, step=step, encoding=encoding)
    # The last plane alone: of NV12 its colours.
    view = part.cropped(4, 4, 8, 8).high_bytes().planes[-1]
    del array, part
    assert place(memory.array(36 * step)) != first
    del view
    assert place(memory.array(36 * step)) == first
