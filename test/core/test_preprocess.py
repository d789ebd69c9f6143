from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends.base import Quantization, TensorInfo
from jetson_detect.core.encodings import PIXEL_FORMATS
from jetson_detect.core.geometry import Alignment, ImageTransform, ResizeMode
from jetson_detect.core.model import ColorOrder, InputSpec, Interpolation, Layout
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

PLAIN = sorted(name for name, each in PIXEL_FORMATS.items() if each.is_plain)


def spec(**changes: object) -> InputSpec:
    fields = {
        "width": 8,
        "height": 8,
        "layout": Layout.NHWC,
        "color_order": ColorOrder.RGB,
        "mean": (0.0, 0.0, 0.0),
        "scale": (1.0, 1.0, 1.0),
        **changes,
    }
    return InputSpec(**fields)


def info(shape: tuple[int | None, ...] = (1, 8, 8, 3), dtype=np.float32, quantization=None):
    return TensorInfo("image", shape, np.dtype(dtype), quantization)


def picture(width: int = 8, height: int = 8, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_memory_that_is_given_is_filled_in_place(kind):
    memory = np.zeros((1, 8, 8, 3), kind)
    tensor, _ = Preprocessor(spec(), info(dtype=kind), memory)(Pixels.from_array(picture()))
    assert tensor is memory
    np.testing.assert_array_equal(memory[0], picture()[..., ::-1])


def test_memory_that_does_not_fit_is_left_alone():
    memory = np.full((1, 4, 4, 3), 7, np.float32)
    tensor, _ = Preprocessor(spec(), info(), memory)(Pixels.from_array(picture()))
    assert tensor.shape == (1, 8, 8, 3)
    assert (memory == 7).all()


def test_a_picture_of_the_right_size_only_changes_its_colour_order():
    image = picture()
    tensor, _ = Preprocessor(spec(), info())(Pixels.from_array(image))
    np.testing.assert_array_equal(tensor[0], image[..., ::-1])


def test_nchw_has_its_channels_first():
    image = picture()
    tensor, _ = Preprocessor(spec(layout=Layout.NCHW), info((1, 3, 8, 8)))(Pixels.from_array(image))
    np.testing.assert_array_equal(tensor[0], image[..., ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("layout", Layout)
def test_mean_and_scale_act_on_each_channel_in_the_networks_order(layout):
    image = picture()
    mean, scale = (1.0, 2.0, 3.0), (0.5, 0.25, 2.0)
    shape = (1, 8, 8, 3) if layout is Layout.NHWC else (1, 3, 8, 8)
    tensor, _ = Preprocessor(spec(mean=mean, scale=scale, layout=layout), info(shape))(
        Pixels.from_array(image)
    )
    expected = ((image[..., ::-1].astype(np.float64) - mean) * scale).astype(np.float32)
    if layout is Layout.NCHW:
        expected = expected.transpose(2, 0, 1)
    np.testing.assert_array_equal(tensor[0], expected)


@pytest.mark.parametrize(
    ("dtype", "zero_point", "expected"),
    [(np.int8, -128, [-128, 0, 127]), (np.uint8, 0, [0, 128, 255])],
)
def test_a_quantised_input_is_written_without_a_float_step(dtype, zero_point, expected):
    image = np.zeros((8, 8, 3), np.uint8)
    image[0, :3] = np.array([0, 128, 255])[:, None]
    scale = (1 / 255,) * 3
    tensor, _ = Preprocessor(
        spec(scale=scale), info(dtype=dtype, quantization=Quantization(1 / 255, zero_point))
    )(Pixels.from_array(image))
    assert tensor.dtype == dtype
    assert tensor[0, 0, :3, 0].tolist() == expected


def test_quantised_values_outside_the_range_saturate():
    image = np.full((8, 8, 3), 255, np.uint8)
    tensor, _ = Preprocessor(spec(), info(dtype=np.int8, quantization=Quantization(1.0, 0)))(
        Pixels.from_array(image)
    )
    assert np.unique(tensor).tolist() == [127]


def test_half_precision_inputs_are_filled_too():
    image = picture()
    for layout, shape in ((Layout.NHWC, (1, 8, 8, 3)), (Layout.NCHW, (1, 3, 8, 8))):
        tensor, _ = Preprocessor(
            spec(scale=(0.5, 1.0, 1.0), layout=layout), info(shape, np.float16)
        )(Pixels.from_array(image))
        assert tensor.dtype == np.float16
        red = tensor[0, 0] if layout is Layout.NCHW else tensor[0, ..., 0]
        np.testing.assert_array_equal(red, (image[..., 2] * 0.5).astype(np.float16))


def test_letterbox_bars_hold_the_padding_value_after_normalisation():
    image = np.full((4, 8, 3), 200, np.uint8)
    tensor, transform = Preprocessor(spec(padding_value=114, scale=(0.5,) * 3), info())(
        Pixels.from_array(image)
    )
    assert (transform.content_y, transform.content_height) == (2, 4)
    assert np.unique(tensor[0, :2]).tolist() == [57.0]
    assert np.unique(tensor[0, 2:6]).tolist() == [100.0]
    assert np.unique(tensor[0, 6:]).tolist() == [57.0]


def test_a_second_size_leaves_nothing_of_the_first_in_the_bars():
    preprocess = Preprocessor(spec(padding_value=7), info())
    preprocess(Pixels.from_array(np.full((4, 8, 3), 200, np.uint8)))
    tensor, _ = preprocess(Pixels.from_array(np.full((8, 4, 3), 100, np.uint8)))
    assert np.unique(tensor[0, :, :2]).tolist() == [7.0]
    assert np.unique(tensor[0, :, 2:6]).tolist() == [100.0]
    assert np.unique(tensor[0, :, 6:]).tolist() == [7.0]


def test_the_tensor_is_the_same_memory_on_every_call():
    preprocess = Preprocessor(spec(), info())
    first, _ = preprocess(Pixels.from_array(picture()))
    second, _ = preprocess(Pixels.from_array(picture(20, 10)))
    assert first is second


def test_shrinking_by_area_averages_what_it_covers():
    image = np.zeros((16, 16, 3), np.uint8)
    image[::2, ::2] = 200
    tensor, _ = Preprocessor(spec(interpolation=Interpolation.AREA), info())(
        Pixels.from_array(image)
    )
    assert np.unique(tensor).tolist() == [50.0]


def test_a_grey_network_takes_colour_pictures():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 1] = 255
    tensor, _ = Preprocessor(
        spec(color_order=ColorOrder.GRAY, mean=(0.0,), scale=(1.0,)), info((1, 8, 8, 1))
    )(Pixels.from_array(image))
    assert np.unique(tensor).tolist() == [150.0]  # green weighs 0.587 in BT.601


@pytest.mark.parametrize("size", [(8, 8), (20, 10)])
def test_a_grey_picture_fills_each_channel_with_or_without_an_axis_for_its_own(size):
    image = picture(*size, channels=1)
    preprocess = Preprocessor(spec(layout=Layout.NCHW), info((1, 3, 8, 8)))
    flat = preprocess(Pixels.from_array(image, "mono8"))[0].copy()
    tensor, _ = preprocess(Pixels.from_array(image[..., None], "mono8"))
    np.testing.assert_array_equal(tensor, flat)
    np.testing.assert_array_equal(tensor[0], np.stack([tensor[0, 0]] * 3))


def test_a_tensor_of_another_shape_than_model_yaml_says_is_refused():
    with pytest.raises(
        ValueError, match=r"shape \(1, 3, 8, 8\), but model.yaml says \(1, 8, 8, 3\)"
    ):
        Preprocessor(spec(), info((1, 3, 8, 8)))


def test_dimensions_that_the_network_leaves_open_fit():
    image = picture()
    tensor, _ = Preprocessor(spec(), info((None, None, None, 3)))(Pixels.from_array(image))
    assert tensor.shape == (1, 8, 8, 3)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(PLAIN),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 9),
    st.sampled_from(ColorOrder),
    st.sampled_from(Layout),
    st.sampled_from(ResizeMode),
    st.sampled_from(Alignment),
    st.sampled_from(Interpolation),
)
def test_a_picture_of_one_colour_stays_that_colour(
    encoding, width, height, padding, order, layout, resize, alignment, interpolation
):
    """Whatever the encoding, step and size: the content is the colour, the bars the padding."""
    colors = {"BGR": (10, 120, 230), "RGB": (230, 120, 10)}
    pixel_format = PIXEL_FORMATS[encoding]
    if pixel_format.channels == 1:
        pixel, blue_green_red = bytes([77]), (77, 77, 77)
    else:
        pixel = bytes(colors[pixel_format.color_order]) + b"\x05" * (pixel_format.channels - 3)
        blue_green_red = colors["BGR"]
    step = width * len(pixel) + padding
    data = (pixel * width + b"\xee" * padding) * height
    pixels = Pixels.from_buffer(data, width=width, height=height, step=step, encoding=encoding)
    grey = order is ColorOrder.GRAY
    channels = 1 if grey else 3
    shape = (1, 12, 9, channels) if layout is Layout.NHWC else (1, channels, 12, 9)
    tensor, transform = Preprocessor(
        spec(
            width=9,
            height=12,
            layout=layout,
            color_order=order,
            mean=(0.0,) * channels,
            scale=(1.0,) * channels,
            resize=resize,
            alignment=alignment,
            interpolation=interpolation,
            padding_value=3,
        ),
        info(shape),
    )(pixels)
    if grey:
        weights = (0.114, 0.587, 0.299)
        expected = np.array([sum(w * c for w, c in zip(weights, blue_green_red))])
    else:
        expected = np.array(blue_green_red if order is ColorOrder.BGR else blue_green_red[::-1])
    image = tensor[0] if layout is Layout.NHWC else tensor[0].transpose(1, 2, 0)
    rows = slice(transform.content_y, transform.content_y + transform.content_height)
    columns = slice(transform.content_x, transform.content_x + transform.content_width)
    assert np.abs(image[rows, columns] - expected).max() <= 1.0
    outside = np.ones(image.shape[:2], bool)
    outside[rows, columns] = False
    assert (image[outside] == 3).all()


def step_by_step(pixels: Pixels, wanted: InputSpec, kind: np.dtype) -> np.ndarray:
    """The tensor as textbooks make it: (1, H, W, C) or (1, C, H, W)."""
    fit = ImageTransform.fit(
        pixels.size, (wanted.width, wanted.height), wanted.resize, wanted.alignment
    )
    size = (fit.content_width, fit.content_height)
    image = cv2.resize(pixels.data, size, interpolation=cv2.INTER_LINEAR)
    conversion = pixels.conversion_to(wanted.color_order.value)
    image = image if conversion is None else cv2.cvtColor(image, conversion)
    canvas = np.full((wanted.height, wanted.width, wanted.channels), float(wanted.padding_value))
    rows = slice(fit.content_y, fit.content_y + size[1])
    canvas[rows, fit.content_x : fit.content_x + size[0]] = image.reshape(*size[::-1], -1)
    canvas = (canvas - wanted.mean) * wanted.scale
    if kind.kind in "iu":
        canvas = np.clip(np.rint(canvas), np.iinfo(kind).min, np.iinfo(kind).max)
    tensor = canvas[None].astype(kind)
    return tensor if wanted.layout is Layout.NHWC else tensor.transpose(0, 3, 1, 2)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PLAIN),
            st.sampled_from([(9, 12), (27, 36), (9, 5), (45, 15), (30, 17), (1, 8), (11, 3)]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(ColorOrder),
    st.sampled_from(Layout),
    st.sampled_from(ResizeMode),
    st.sampled_from(Alignment),
    st.sampled_from([np.float32, np.float16, np.uint8, np.int8]),
    st.sampled_from([(0.0, 1 / 255), (0.0, 1.0), (128.0, 1.0), (123.675, 1 / 58.395)]),
    st.booleans(),
)
def test_picture_after_picture_the_tensor_is_what_is_made_step_by_step(
    pictures, order, layout, resize, alignment, kind, normalisation, is_uneven
):
    """Sizes and encodings alternate; nothing of a picture is left in the next one's tensor."""
    channels = 1 if order is ColorOrder.GRAY else 3
    mean, scale = normalisation
    wanted = spec(
        width=9,
        height=12,
        layout=layout,
        color_order=order,
        mean=tuple(mean + (is_uneven and 3 * channel) for channel in range(channels)),
        scale=(scale,) * channels,
        resize=resize,
        alignment=alignment,
        padding_value=114,
    )
    shape = (1, 12, 9, channels) if layout is Layout.NHWC else (1, channels, 12, 9)
    preprocess = Preprocessor(wanted, info(shape, kind))
    for encoding, (width, height) in pictures:
        pixels = Pixels.from_array(
            picture(width, height, PIXEL_FORMATS[encoding].channels), encoding
        )
        tensor, _ = preprocess(pixels)
        assert tensor is preprocess.tensor
        np.testing.assert_array_equal(tensor, step_by_step(pixels, wanted, np.dtype(kind)))
