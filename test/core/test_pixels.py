from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.pixels import PixelError, Pixels


def view(data: bytes, **fields: object) -> Pixels:
    described = {"width": 2, "height": 2, "step": 6, "encoding": "bgr8", **fields}
    return Pixels.from_buffer(data, **described)


def test_pixels_are_a_view_of_the_bytes():
    data = bytearray(range(12))
    pixels = view(data)
    data[3] = 99
    assert pixels.data[0, 1].tolist() == [99, 4, 5]
    assert pixels.size == (2, 2)


@pytest.mark.parametrize("step", [6, 7, 8, 64])
def test_rows_may_be_padded_by_any_number_of_bytes(step):
    rows = [bytes(range(i, i + 6)) + b"\xff" * (step - 6) for i in (0, 100)]
    pixels = view(b"".join(rows), step=step)
    np.testing.assert_array_equal(pixels.data.reshape(2, 6), [range(6), range(100, 106)])


def test_the_last_row_may_lack_its_padding():
    pixels = view(bytes(range(8)) + bytes(range(100, 106)), step=8)
    assert pixels.data[1, 1].tolist() == [103, 104, 105]


def test_mono_pixels_have_two_dimensions():
    assert view(bytes(4), step=2, encoding="mono8").data.shape == (2, 2)


def test_four_channels_keep_their_alpha():
    assert view(bytes(16), step=8, encoding="rgba8").data.shape == (2, 2, 4)


def test_too_few_bytes_are_refused_with_the_numbers():
    with pytest.raises(PixelError, match="11 bytes of data, but 2x2 bgr8 with step 6 needs 12"):
        view(bytes(11))


def test_a_step_shorter_than_a_row_is_refused():
    with pytest.raises(PixelError, match="step 5 is shorter than a row: 2 pixels of bgr8 are 6"):
        view(bytes(12), step=5)


def test_an_unknown_encoding_is_refused_with_the_known_ones():
    with pytest.raises(PixelError, match=r"'32FC1' is not supported.*bgr8, rgb8"):
        view(bytes(12), encoding="32FC1")


def test_an_image_without_pixels_is_refused():
    with pytest.raises(PixelError, match="0x2"):
        view(b"", width=0)


def test_an_array_of_another_depth_than_its_encoding_is_refused():
    with pytest.raises(PixelError, match=r"\(4, 4\) is not bgr8"):
        Pixels.from_array(np.zeros((4, 4), np.uint8), "bgr8")
