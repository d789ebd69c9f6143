"""Every encoding of a camera, against pictures that numpy wrote in it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.drawing import to_bgr
from jetson_detect.core.encodings import PIXEL_FORMATS, PixelError
from jetson_detect.core.geometry import ResizeMode
from jetson_detect.core.model import ColorOrder, InputSpec, Interpolation, Layout
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

WIDTH, HEIGHT = 36, 24

GREY = ("mono8", "8UC1", "mono16", "16UC1")
YUV = ("yuyv", "yuv422_yuy2", "uyvy", "yuv422", "nv12", "nv21", "nv24")
BAYER = tuple(
    f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)
)
ORDERS = {
    **dict.fromkeys(("bgr8", "8UC3", "bgr16"), "bgr"),
    **dict.fromkeys(("rgb8", "rgb16"), "rgb"),
    **dict.fromkeys(("bgra8", "8UC4", "bgra16"), "bgra"),
    **dict.fromkeys(("rgba8", "rgba16"), "rgba"),
}
CASES = [
    (encoding, gap, big_endian)
    for encoding in sorted(PIXEL_FORMATS)
    for gap in (0, 1, 28)
    for big_endian in ((False, True) if "16" in encoding else (False,))
]

OFF = {**dict.fromkeys(YUV, 2), **dict.fromkeys(BAYER, 1)}
"""How far a colour may be off, of 255; all others are exact.

Of YUV brightness and colours are each rounded by 1/2 at most and weigh up to 1.164 and 2.018 in a
colour, which is rounded too: 0.58 + 1.01 + 0.5 is above 2 for none of the whole numbers that can be
between.  Of Bayer the mix of rounded neighbours is rounded.
"""


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3) RGB: colours that two by two pixels share, and brightness that no two do.

    What is added to all three colours leaves U and V as they are: subsampling loses nothing.
    """
    random = np.random.default_rng(4)
    blocks = random.integers(60, 190, ((height + 1) // 2, (width + 1) // 2, 3))
    colors = blocks.repeat(2, 0).repeat(2, 1)[:height, :width]
    return (colors + random.integers(-50, 50, (height, width, 1))).astype(np.uint8)


def ramp(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3) RGB: each colour a plane of its own slope, of which a mosaic loses nothing."""
    y, x = np.mgrid[:height, :width]
    return np.stack([20 + 4 * x + y, 210 - 3 * x - 2 * y, 40 + 5 * y], -1).astype(np.uint8)


HALF_A_PIXEL = 2.5
"""What half a pixel to the right and half a one down differ in a colour of :func:`ramp`."""


def true_picture(encoding: str, *size: int) -> np.ndarray:
    rgb = ramp(*size) if encoding in BAYER else picture(*size)
    if encoding in GREY:
        return rgb[..., :1].repeat(3, -1)
    return rgb


def encoded(rgb: np.ndarray, encoding: str) -> list[np.ndarray]:
    """Rows of uint8 or uint16 numbers, a list of planes, as the names of ROS define them."""
    height, width = rgb.shape[:2]
    deep = encoding.rstrip("C1").endswith("16") or encoding.startswith("16")
    if encoding in YUV:
        r, g, b = (rgb[..., index] / 255.0 for index in range(3))
        # ITU-R BT.601, limited range, as OpenCV has it.
        luma = np.rint(16 + 65.481 * r + 128.553 * g + 24.966 * b).astype(np.uint8)
        u = 128 - 37.797 * r - 74.203 * g + 112.0 * b
        v = 128 + 112.0 * r - 93.786 * g - 18.214 * b
        if encoding == "nv24":
            return [luma, np.rint(np.stack([u, v], -1)).astype(np.uint8).reshape(height, -1)]
        if encoding.startswith("nv"):
            means = [
                np.rint(each.reshape(height // 2, 2, width // 2, 2).mean((1, 3))) for each in (u, v)
            ]
            pair = means if encoding == "nv12" else means[::-1]
            return [luma, np.stack(pair, -1).astype(np.uint8).reshape(height // 2, width)]
        u, v = (np.rint(each.reshape(height, width // 2, 2).mean(2)) for each in (u, v))
        first, second = luma[:, ::2], luma[:, 1::2]
        is_yuyv = encoding in ("yuyv", "yuv422_yuy2")
        four = (first, u, second, v) if is_yuyv else (u, first, v, second)
        return [np.stack(four, -1).astype(np.uint8).reshape(height, 2 * width)]
    if encoding in BAYER:
        pattern = encoding[len("bayer_") :][:4]
        values = np.empty((height, width), np.uint8)
        for place, color in enumerate(pattern):
            rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
            values[rows, columns] = rgb[rows, columns, "rgb".index(color)]
    elif encoding in GREY:
        values = rgb[..., 0]
    else:
        alpha = np.full((height, width), 7, np.uint8)
        named = dict(zip("rgba", (*np.moveaxis(rgb, -1, 0), alpha)))
        values = np.stack([named[color] for color in ORDERS[encoding]], -1).reshape(height, -1)
    if deep:  # the lower byte is anything
        low = np.random.default_rng(1).integers(0, 256, values.shape)
        values = (values.astype(np.uint16) << 8) | low.astype(np.uint16)
    return [values]


def message_of(rgb: np.ndarray, encoding: str, gap: int = 0, big_endian: bool = False) -> dict:
    """What a camera publishes of a picture, as arguments of Pixels.from_buffer."""
    height, width = rgb.shape[:2]
    planes = [
        plane.astype(plane.dtype.newbyteorder(">" if big_endian else "<")).view(np.uint8)
        for plane in encoded(rgb, encoding)
    ]
    step = planes[0].shape[1] + gap
    parts = []
    for plane in planes:
        rows, row_bytes = plane.shape
        own_step = 2 * step if encoding == "nv24" and parts else step
        padded = np.full((rows, own_step), 0xEE, np.uint8)
        padded[:, :row_bytes] = plane
        parts.append(padded.tobytes())
    return {
        "buffer": b"".join(parts),
        "width": width,
        "height": height,
        "step": step,
        "encoding": encoding,
        "is_bigendian": big_endian,
    }


def inside(image: np.ndarray, encoding: str) -> np.ndarray:
    """Leave out the border of a mosaic, where colours have no neighbours to be mixed of."""
    return image[1:-1, 1:-1] if encoding in BAYER else image


def off_by(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return np.abs(found.astype(float) - expected).max()


def spec_of(width: int, height: int, **changes: object) -> InputSpec:
    order = changes.get("color_order", ColorOrder.RGB)
    channels = 1 if order is ColorOrder.GRAY else 3
    fields = {
        "layout": Layout.NHWC,
        "color_order": order,
        "mean": (0.0,) * channels,
        "scale": (1.0,) * channels,
        "resize": ResizeMode.STRETCH,
        **changes,
    }
    return InputSpec(width, height, **fields)


def fitted(pixels: Pixels, spec: InputSpec) -> np.ndarray:
    """(H, W, C): what a network gets."""
    shape = (1, spec.height, spec.width, spec.channels)
    if spec.layout is Layout.NCHW:
        shape = (1, spec.channels, spec.height, spec.width)
    tensor, _ = Preprocessor(spec, TensorInfo("x", shape, np.dtype(np.float32)))(pixels)
    image = tensor[0] if spec.layout is Layout.NHWC else tensor[0].transpose(1, 2, 0)
    return image.copy()


def test_all_encodings_are_tested():
    assert set(PIXEL_FORMATS) == {*GREY, *YUV, *BAYER, *ORDERS}


@pytest.mark.parametrize(("encoding", "gap", "big_endian"), CASES)
def test_an_encoded_picture_comes_back(encoding, gap, big_endian):
    rgb = true_picture(encoding)
    message = message_of(rgb, encoding, gap, big_endian)
    limit = OFF.get(encoding, 0)
    pixels = Pixels.from_buffer(**message)
    assert pixels.size == (WIDTH, HEIGHT)
    seen = np.frombuffer(message["buffer"], np.uint8)
    assert all(np.shares_memory(plane, seen) for plane in pixels.planes)
    assert off_by(inside(to_bgr(pixels), encoding), inside(rgb[..., ::-1], encoding)) <= limit
    for order in (ColorOrder.RGB, ColorOrder.BGR):
        expected = rgb if order is ColorOrder.RGB else rgb[..., ::-1]
        for layout in Layout:
            found = fitted(pixels, spec_of(WIDTH, HEIGHT, color_order=order, layout=layout))
            assert off_by(inside(found, encoding), inside(expected, encoding)) <= limit
    # ITU-R BT.601: a mono network sees the same grey of each encoding; it is rounded once more.
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    found = fitted(pixels, spec_of(WIDTH, HEIGHT, color_order=ColorOrder.GRAY))[..., 0]
    assert off_by(inside(found, encoding), inside(grey, encoding)) <= limit + 0.5
    # A third of the size is made of the pixels in the middle, half of it of the mean of four.
    limit += HALF_A_PIXEL if encoding in BAYER else 0
    third = fitted(pixels, spec_of(WIDTH // 3, HEIGHT // 3))
    assert off_by(third, rgb[1::3, 1::3]) <= limit
    half = fitted(pixels, spec_of(WIDTH // 2, HEIGHT // 2))
    means = rgb.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3))
    assert off_by(inside(half, encoding), inside(means, encoding)) <= limit + 1


@pytest.mark.parametrize("encoding", sorted(set(PIXEL_FORMATS) - set(BAYER)))
@pytest.mark.parametrize("interpolation", Interpolation)
def test_what_is_converted_in_part_is_as_if_the_whole_was_converted(encoding, interpolation):
    """Of any bytes, also such that are no colour; of NV24 only if they are."""
    pixel_format = PIXEL_FORMATS[encoding]
    step = WIDTH * pixel_format.pixel_bytes + 3
    data = np.random.default_rng(8).integers(0, 256, step * HEIGHT * 3 // 2, dtype=np.uint8)
    message = {"buffer": data, "width": WIDTH, "height": HEIGHT, "step": step, "encoding": encoding}
    # The numbers of NV24 are rounded before they weigh 1.164 and 2.018 in a colour.
    limit = 4 if encoding == "nv24" else 1
    if encoding == "nv24":
        message = message_of(picture(), encoding)
    pixels = Pixels.from_buffer(**message)
    whole = Pixels.from_array(to_bgr(pixels))
    limit = 0 if interpolation is Interpolation.NEAREST else limit
    for size in ((12, 8), (18, 12), (36, 8), (12, 24), (9, 6), (17, 11), (40, 30), (30, 30)):
        spec = spec_of(*size, interpolation=interpolation)
        assert off_by(fitted(pixels, spec), fitted(whole, spec)) <= limit


@pytest.mark.parametrize("encoding", BAYER)
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_mosaic_of_half_the_size_or_less_has_a_pixel_of_each_block(encoding, gap, big_endian):
    rgb = picture()
    pixels = Pixels.from_buffer(**message_of(rgb, encoding, gap, big_endian))
    blocks = rgb.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).transpose(0, 2, 1, 3, 4)
    blocks = blocks.reshape(HEIGHT // 2, WIDTH // 2, 4, 3)
    pattern = encoding[len("bayer_") :][:4]
    greens = [place for place in range(4) if pattern[place] == "g"]
    red, blue = (blocks[:, :, pattern.index(color), "rgb".index(color)] for color in "rb")
    expected = np.stack([red, blocks[:, :, greens, 1].mean(2), blue], -1)
    for order in (ColorOrder.RGB, ColorOrder.BGR):
        found = fitted(pixels, spec_of(WIDTH // 2, HEIGHT // 2, color_order=order))
        assert off_by(found, expected[..., :: -1 if order is ColorOrder.BGR else 1]) <= 0.5
    for interpolation in (Interpolation.LINEAR, Interpolation.NEAREST):
        small = cv2.resize(expected, (6, 8), interpolation=cv2.INTER_NEAREST)
        if interpolation is Interpolation.LINEAR:
            small = cv2.resize(expected, (6, 8), interpolation=cv2.INTER_LINEAR)
        found = fitted(pixels, spec_of(6, 8, interpolation=interpolation))
        assert off_by(found, small) <= 1.5


@pytest.mark.parametrize("size", [(19, 12), (18, 13), (36, 8), (9, 6), (40, 30)])
def test_a_mosaic_that_shrinks_less_or_not_quickly_is_mixed_of_neighbours(size):
    pixels = Pixels.from_buffer(**message_of(picture(), "bayer_gbrg8"))
    whole = Pixels.from_array(to_bgr(pixels))
    np.testing.assert_array_equal(fitted(pixels, spec_of(*size)), fitted(whole, spec_of(*size)))


def test_a_mosaic_of_odd_size_has_no_blocks_at_its_end():
    rgb = ramp(37, 25)
    pixels = Pixels.from_buffer(**message_of(rgb, "bayer_rggb8"))
    found = fitted(pixels, spec_of(12, 8))
    assert off_by(found[1:-1, 1:-1], cv2.resize(rgb, (12, 8))[1:-1, 1:-1]) <= 2


@pytest.mark.parametrize("encoding", ["mono16", "yuyv", "uyvy", "nv12", "nv24"])
def test_brightness_resized_before_its_range_is_as_if_after(encoding):
    rgb = picture()
    pixels = Pixels.from_buffer(**message_of(rgb, encoding))
    grey = {"color_order": ColorOrder.GRAY}
    whole = fitted(pixels, spec_of(WIDTH, HEIGHT, **grey)).astype(np.uint8)
    for size in ((12, 8), (18, 12), (17, 11), (40, 30)):
        spec = spec_of(*size, **grey)
        assert off_by(fitted(pixels, spec), fitted(Pixels.from_array(whole, "mono8"), spec)) <= 2


def test_pictures_of_different_encodings_take_turns_in_the_same_memory():
    convert = PixelConverter()
    pictures = [
        (encoding, Pixels.from_buffer(**message_of(true_picture(encoding, *size), encoding)), size)
        for size in ((36, 24), (12, 40), (36, 24))
        for encoding in sorted(PIXEL_FORMATS)
    ]
    for encoding, pixels, size in pictures:
        plain = convert(pixels, "RGB")
        assert plain.format.is_plain
        if encoding in (*YUV, *BAYER):
            expected = inside(true_picture(encoding, *size), encoding)
            assert off_by(inside(plain.data, encoding), expected) <= OFF[encoding]
    places = [
        [convert(pixels, "RGB").data.ctypes.data for _, pixels, _ in pictures] for _ in range(2)
    ]
    assert places[0] == places[1]
    assert len(set(places[0])) <= 3 + len(GREY) * len(pictures)


def test_a_plain_picture_is_not_touched():
    for encoding in ("bgr8", "rgba8", "mono8", "8UC4"):
        pixels = Pixels.from_buffer(**message_of(true_picture(encoding), encoding))
        assert PixelConverter()(pixels, "RGB", (12, 8)) is pixels


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding", sorted(each for each in PIXEL_FORMATS if "16" in each))
def test_the_higher_bytes_of_16_bits_are_a_view_of_the_picture_in_8(encoding, big_endian):
    rgb = true_picture(encoding)
    message = message_of(rgb, encoding, 5, big_endian)
    seen = Pixels.from_buffer(**message).high_bytes()
    assert np.shares_memory(seen.data, np.frombuffer(message["buffer"], np.uint8))
    assert seen.format.bits == 8
    assert seen.high_bytes() is seen
    expected = encoded(rgb, encoding)[0] >> 8
    np.testing.assert_array_equal(seen.data.reshape(HEIGHT, -1), expected)


def test_a_bgr_copy_may_be_painted_on():
    for encoding in sorted(PIXEL_FORMATS):
        message = message_of(true_picture(encoding), encoding)
        before = bytes(message["buffer"])
        pixels = Pixels.from_buffer(**message)
        painted = to_bgr(pixels)
        painted[...] = 0
        assert message["buffer"] == before
        assert to_bgr(pixels).any()


@pytest.mark.parametrize("encoding", sorted(PIXEL_FORMATS))
@pytest.mark.parametrize("gap", [0, 5])
def test_a_part_is_a_view_of_the_same_colours(encoding, gap):
    rgb = true_picture(encoding)
    message = message_of(rgb, encoding, gap)
    pixels = Pixels.from_buffer(**message)
    seen = np.frombuffer(message["buffer"], np.uint8)
    for x, y, width, height in ((4, 2, 10, 6), (0, 0, WIDTH, HEIGHT), (30, 20, 6, 4), (3, 5, 7, 9)):
        columns, rows = pixels.format.shared
        if x % columns or y % rows or width % columns or height % rows:
            continue
        part = pixels.cropped(x, y, width, height)
        assert part.size == (width, height)
        assert all(np.shares_memory(plane, seen) for plane in part.planes)
        expected = rgb[y : y + height, x : x + width, ::-1]
        found = to_bgr(part)
        assert off_by(inside(found, encoding), inside(expected, encoding)) <= OFF.get(encoding, 0)
        half = part.cropped(2, 2, 4, 2) if encoding not in BAYER else part.cropped(1, 0, 3, 3)
        left, top = (x + 2, y + 2) if encoding not in BAYER else (x + 1, y)
        middle = rgb[top : top + half.size[1], left : left + half.size[0], ::-1]
        off = off_by(inside(to_bgr(half), encoding), inside(middle, encoding))
        assert off <= OFF.get(encoding, 0)


@pytest.mark.parametrize(
    ("encoding", "region", "needed"),
    [
        ("yuyv", (1, 0, 4, 3), r"2x1 pixels of YUYV share: x and width must be even"),
        ("uyvy", (0, 1, 3, 3), r"2x1 pixels of UYVY share: x and width must be even"),
        ("nv12", (2, 1, 4, 4), r"2x2 pixels of NV12 share: x, y, width and height must be even"),
        ("nv21", (2, 2, 4, 5), r"2x2 pixels of NV21 share"),
        ("bgr8", (30, 0, 7, 4), r"region 30,0 of 7x4 pixels is not within the 36x24 picture"),
        ("mono16", (-1, 0, 7, 4), r"is not within"),
        ("bgr8", (3, 3, 0, 4), r"0x4: it has no pixels"),
        ("bayer_rggb8", (3, 3, 2, 4), r"2x4 picture in BAYER_GGBR|2x4 picture in BAYER_BGGR"),
    ],
)
def test_a_part_that_cannot_be_is_refused_with_what_is_needed(encoding, region, needed):
    pixels = Pixels.from_buffer(**message_of(true_picture(encoding), encoding))
    with pytest.raises(PixelError, match=needed):
        pixels.cropped(*region)


@pytest.mark.parametrize("encoding", sorted(PIXEL_FORMATS))
def test_arrays_of_an_encoding_are_the_same_picture(encoding):
    rgb = true_picture(encoding)
    height, width = rgb.shape[:2]
    planes = encoded(rgb, encoding)
    if len(planes) == 2:
        array = np.concatenate([planes[0], planes[1].reshape(-1, width)])
    else:
        channels = planes[0].shape[1] // width
        array = planes[0].reshape((height, width) if channels == 1 else (height, width, channels))
    expected = to_bgr(Pixels.from_buffer(**message_of(rgb, encoding)))
    for each in (array, array.astype(array.dtype.newbyteorder(">"))):
        np.testing.assert_array_equal(to_bgr(Pixels.from_array(each, encoding)), expected)


@pytest.mark.parametrize(
    ("shape", "kind", "encoding", "text"),
    [
        ((4, 4), np.uint8, "mono16", "array of uint8 is not mono16, which has 16 bits"),
        ((4, 4), np.uint16, "mono8", "array of uint16 is not mono8, which has 8 bits"),
        ((4, 4), np.int16, "mono16", "array of int16 is not mono16"),
        ((4, 4), np.uint8, "nv12", r"\(4, 4\) is not nv12, which has 1.5 rows of bytes for each"),
        ((6, 5), np.uint8, "nv21", r"\(6, 5\) is not nv21"),
        ((10, 4), np.uint8, "nv12", r"\(10, 4\) is not nv12"),
        ((4, 4), np.uint8, "nv24", r"\(4, 4\) is not nv24, which has 3 rows"),
        ((4, 3, 2), np.uint8, "yuyv", "3x4 picture in YUYV has half a colour.*an even size"),
        ((2, 2), np.uint8, "bayer_rggb8", "2x2 picture in BAYER_RGGB is too small"),
    ],
)
def test_an_array_that_is_not_of_its_encoding_is_refused(shape, kind, encoding, text):
    with pytest.raises(PixelError, match=text):
        Pixels.from_array(np.zeros(shape, kind), encoding)


def test_a_height_that_counts_rows_of_colours_is_refused_with_the_reason():
    with pytest.raises(PixelError, match="3456 bytes of data, but 36x96 nv12 with step 36 needs "):
        Pixels.from_buffer(bytes(3456), width=36, height=96, step=36, encoding="nv12")
    message = message_of(picture(), "nv12")
    message["height"] = HEIGHT * 3 // 2
    with pytest.raises(PixelError, match="its height is that of the picture, without rows of col"):
        Pixels.from_buffer(**message)


@pytest.mark.parametrize("encoding", sorted(PIXEL_FORMATS))
def test_the_last_row_may_end_with_its_last_pixel_and_not_before(encoding):
    rgb = true_picture(encoding)
    message = message_of(rgb, encoding, gap=9)
    planes = Pixels.from_buffer(**message).planes
    start = np.frombuffer(message["buffer"], np.uint8).ctypes.data
    _, end = (
        np.lib.array_utils.byte_bounds(planes[-1])
        if hasattr(np.lib, "array_utils")
        else (np.byte_bounds(planes[-1]))
    )
    whole = message["buffer"]
    message["buffer"] = whole[: end - start]
    expected = rgb[..., ::-1]
    found = to_bgr(Pixels.from_buffer(**message))
    assert off_by(inside(found, encoding), inside(expected, encoding)) <= OFF.get(encoding, 0)
    message["buffer"] = whole[: end - start - 1]
    with pytest.raises(PixelError, match=f"{end - start - 1} bytes of data.*needs {end - start}"):
        Pixels.from_buffer(**message)


def in_bounds(pixels: Pixels, buffer: bytes) -> bool:
    first = np.frombuffer(buffer, np.uint8).ctypes.data
    for plane in pixels.planes:
        start = plane.ctypes.data
        end = start + 1 + sum((n - 1) * s for n, s in zip(plane.shape, plane.strides))
        if not first <= start < end <= first + len(buffer):
            return False
    return True


SIZES = st.one_of(st.integers(-1, 12), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([*sorted(PIXEL_FORMATS), "", "yuv420", "32FC1", "bayer_rggb12"]),
    SIZES,
    SIZES,
    st.one_of(st.integers(-1, 80), st.integers(0, 2**32 - 1)),
    st.integers(0, 1200),
    st.booleans(),
    st.tuples(*[st.integers(-2, 13)] * 4),
)
def test_whatever_the_numbers_are_a_picture_is_within_its_bytes_or_refused(
    encoding, width, height, step, length, is_bigendian, region
):
    buffer = bytes(range(256)) * 5
    buffer = buffer[:length]
    try:
        pixels = Pixels.from_buffer(
            buffer,
            width=width,
            height=height,
            step=step,
            encoding=encoding,
            is_bigendian=is_bigendian,
        )
    except PixelError:
        return
    assert in_bounds(pixels, buffer)
    assert to_bgr(pixels).shape == (height, width, 3)
    try:
        part = pixels.cropped(*region)
    except PixelError:
        return
    assert in_bounds(part, buffer)
    assert to_bgr(part).shape == (region[3], region[2], 3)


def test_a_step_of_zero_shows_no_row_twice():
    with pytest.raises(PixelError, match="step 0 is shorter than a row"):
        Pixels.from_buffer(bytes(100), width=4, height=4, step=0, encoding="mono8")


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_the_first_two_by_two_pixels_have_the_colours_of_the_patterns_name(pattern):
    """Colours as cameras see them: only red light, or only blue, or only green."""
    for index, color in enumerate("bgr"):
        mosaic = np.zeros((8, 8), np.uint8)
        for place, letter in enumerate(pattern):
            if letter == color:
                mosaic[place // 2 :: 2, place % 2 :: 2] = 200
        found = to_bgr(Pixels.from_array(mosaic, f"bayer_{pattern}8"))
        expected = np.zeros(3)
        expected[index] = 200
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


def test_a_view_of_columns_only_is_read_without_its_neighbours():
    rgb = picture(16, 12)
    wide = np.zeros((12, 40), np.uint8)
    view = as_strided(wide[:, 3:], (12, 16, 2), (40, 2, 1))
    view[...] = encoded(rgb, "uyvy")[0].reshape(12, 16, 2)
    found = to_bgr(Pixels.from_array(view, "uyvy"))
    assert off_by(found, rgb[..., ::-1]) <= 2
    expected = cv2.cvtColor(np.ascontiguousarray(view), cv2.COLOR_YUV2BGR_UYVY)
    np.testing.assert_array_equal(found, expected)
