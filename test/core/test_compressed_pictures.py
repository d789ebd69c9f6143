from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jetson_detect.core import compressed_pictures
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.core.picture_headers import PictureKind
from jetson_detect.core.pixels import PixelError
from jetson_detect.core.reused_memory import ReusedMemory

WIDTH, HEIGHT = 203, 101
FORMATS = ("jpg", "png", "webp")


def drawn(channels: int = 3) -> np.ndarray:
    """A smooth picture, so that lossy compression changes little of it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) * 255 // (WIDTH + HEIGHT)]
    picture = np.stack(planes, axis=-1).astype(np.uint8)
    return picture if channels == 3 else picture[..., 0]


def encoded(image: np.ndarray, suffix: str = "jpg", *options: int) -> bytes:
    return cv2.imencode(f".{suffix}", image, options)[1].tobytes()


@pytest.fixture(params=["opencv", "simplejpeg"])
def decoder(request, monkeypatch):
    """Which library decodes JPEG."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg", reason="optional: pip install simplejpeg")
    else:
        monkeypatch.setattr(compressed_pictures, "_simplejpeg", lambda: None)
    return request.param


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_decodes_to_what_was_compressed(decoder, suffix):
    picture = CompressedPicture.read(encoded(drawn(), suffix))
    assert picture.size == (WIDTH, HEIGHT)
    decoded = picture.decode()
    assert decoded.format.color_order == "BGR"
    assert np.abs(decoded.data.astype(int) - drawn()).max() <= (0 if suffix == "png" else 12)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_grey_pictures_stay_grey(decoder, suffix):
    decoded = CompressedPicture.read(encoded(drawn(1), suffix)).decode()
    assert decoded.format.color_order == "GRAY"
    assert np.abs(decoded.data.astype(int) - drawn(1)).max() <= 3


def test_of_16_bits_the_upper_8_are_the_picture():
    deep = drawn().astype(np.uint16) * 256 + 255
    decoded = CompressedPicture.read(encoded(deep, "png"), "rgb16; png compressed bgr16").decode()
    np.testing.assert_array_equal(decoded.data, drawn())


def test_an_alpha_channel_is_left_out():
    with_alpha = np.dstack([drawn(), np.full((HEIGHT, WIDTH), 9, np.uint8)])
    decoded = CompressedPicture.read(encoded(with_alpha, "png")).decode()
    np.testing.assert_array_equal(decoded.data, drawn())


@pytest.mark.parametrize("kind", ["lossy", "lossless", "extended"])
def test_every_layout_of_webp_tells_its_size(kind):
    image = drawn()
    if kind == "extended":  # an alpha channel needs it
        image = np.dstack([image, np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256])
    data = encoded(image.astype(np.uint8), "webp", cv2.IMWRITE_WEBP_QUALITY, 80)
    if kind == "lossless":
        data = encoded(image, "webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    chunk = {"lossy": b"VP8 ", "lossless": b"VP8L", "extended": b"VP8X"}[kind]
    assert data[12:16] == chunk
    picture = CompressedPicture.read(data)
    assert picture.header.kind is PictureKind.WEBP
    assert picture.size == (WIDTH, HEIGHT)
    assert picture.decode().size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("description", "color_order"),
    [
        ("jpeg", "BGR"),
        ("", "BGR"),
        ("rgb8; jpeg compressed bgr8", "BGR"),
        ("bgr8; jpeg compressed bgr8", "BGR"),
        ("rgb8; png compressed rgb8", "RGB"),
    ],
)
def test_the_format_says_when_red_and_blue_are_exchanged_in_the_file(description, color_order):
    picture = CompressedPicture.read(encoded(drawn(), "png"), description)
    decoded = picture.decode()
    assert decoded.format.color_order == color_order
    np.testing.assert_array_equal(decoded.data, drawn())


@pytest.mark.parametrize("bits", [8, 16])
def test_a_bayer_pattern_is_one_again(bits):
    mosaic = drawn(1).astype(f"uint{bits}") << (bits - 8)
    picture = CompressedPicture.read(
        encoded(mosaic, "png"), f"bayer_grbg{bits}; png compressed bayer_grbg{bits}"
    )
    decoded = picture.decode()
    assert decoded.format.color_order == "BAYER_GRBG"
    np.testing.assert_array_equal(decoded.data, drawn(1))


def test_a_bayer_pattern_is_never_reduced():
    data = encoded(drawn(1))
    assert CompressedPicture.read(data, "mono8; jpeg compressed ").find_reduction(8) == 8
    assert CompressedPicture.read(data, "bayer_rggb8; jpeg compressed ").find_reduction(8) == 1


@pytest.mark.parametrize(
    ("factor", "reduction"), [(0.5, 1), (1.99, 1), (2, 2), (3.9, 2), (4, 4), (8, 8), (100, 8)]
)
def test_the_largest_reduction_that_loses_nothing_is_found(factor, reduction):
    assert CompressedPicture.read(encoded(drawn())).find_reduction(factor) == reduction
    assert CompressedPicture.read(encoded(drawn(), "png")).find_reduction(factor) == 1


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_reduced_pixel_is_the_mean_of_those_that_it_covers(decoder, reduction, channels):
    image = drawn(channels)
    picture = CompressedPicture.read(encoded(image, "jpg", cv2.IMWRITE_JPEG_QUALITY, 100))
    decoded = picture.decode(reduction)
    width, height = picture.reduced_size(reduction)
    assert decoded.size == (width, height) == (-(-WIDTH // reduction), -(-HEIGHT // reduction))
    rows, columns = HEIGHT // reduction, WIDTH // reduction
    whole = image[: rows * reduction, : columns * reduction].astype(float)
    means = whole.reshape(rows, reduction, columns, reduction, -1).mean(axis=(1, 3))
    seen = decoded.data[:rows, :columns].reshape(means.shape)
    # The means of colours are rounded in another colour space.
    assert np.abs(seen - means).max() <= 4


def test_both_libraries_decode_to_the_same(monkeypatch):
    pytest.importorskip("simplejpeg", reason="optional: pip install simplejpeg")
    picture = CompressedPicture.read(encoded(drawn()))
    quick = [picture.decode(reduction).data for reduction in (1, 2, 4, 8)]
    monkeypatch.setattr(compressed_pictures, "_simplejpeg", lambda: None)
    for reduction, image in zip((1, 2, 4, 8), quick):
        np.testing.assert_allclose(picture.decode(reduction).data, image, atol=2)


def test_a_subsampling_that_only_opencv_knows_is_decoded_with_simplejpeg_installed(decoder):
    data = bytearray(encoded(drawn()))
    frame = data.find(b"\xff\xc0")
    factors = [frame + 11 + 3 * component for component in range(3)]
    assert [data[place] for place in factors] == [0x22, 0x11, 0x11]
    # Cr with twice the columns of Cb.  The file holds no such thing, but that is seen too late.
    data[factors[2]] = 0x21
    decoded = CompressedPicture.read(bytes(data)).decode(1, ReusedMemory())
    assert decoded.size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(
        decoded.data, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    )


def test_pictures_of_one_camera_share_their_memory_once_they_are_gone():
    pytest.importorskip("simplejpeg", reason="optional: pip install simplejpeg")
    picture, memory = CompressedPicture.read(encoded(drawn())), ReusedMemory()
    expected = picture.decode().data
    held = picture.decode(1, memory)
    other = picture.decode(1, memory)
    np.testing.assert_array_equal(held.data, expected)
    places = {each.data.__array_interface__["data"][0] for each in (held, other)}
    assert len(places) == 2
    del held, other
    assert picture.decode(1, memory).data.__array_interface__["data"][0] in places


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    content = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def test_exif_turns_nothing(decoder):
    plain = encoded(drawn())
    turned = CompressedPicture.read(with_exif_orientation(plain, 6))
    assert cv2.imdecode(np.frombuffer(turned.data, np.uint8), 1).shape[:2] == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(turned.decode().data, CompressedPicture.read(plain).decode().data)


def test_bytes_behind_the_end_are_no_harm(decoder):
    data = encoded(drawn())
    np.testing.assert_array_equal(
        CompressedPicture.read(data + bytes(500)).decode().data,
        CompressedPicture.read(data).decode().data,
    )


def test_progressive_jpeg_and_fill_bytes_are_read(decoder):
    data = encoded(drawn(), "jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    picture = CompressedPicture.read(data[:2] + b"\xff\xff" + data[2:])
    assert picture.size == picture.decode().size == (WIDTH, HEIGHT)


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.99])
def test_a_picture_that_is_cut_off_is_refused_before_it_is_decoded(suffix, share):
    data = encoded(drawn(), suffix)
    with pytest.raises(PixelError, match="cut off after"):
        CompressedPicture.read(data[: int(len(data) * share)])


def test_a_thumbnail_is_not_taken_for_the_end():
    data = encoded(drawn())
    thumbnail = b"\xff\xe1\x00\x06\xff\xd9\xff\xd9"
    with pytest.raises(PixelError, match="end marker"):
        CompressedPicture.read(data[:2] + thumbnail + data[2:-2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"GIF89a", "no JPEG, PNG or WebP"),
        (b"\xff\xd8\xff\xda\0\4\0\0\xff\xd9", "no frame header"),
        (b"\xff\xd8\0\0\0\0", "where a marker should be"),
        (b"\xff\xd8\xff\xc0\0\4\0\0\xff\xd9", "frame header has 2 bytes"),
        (b"\xff\xd8\xff\xc3\0\x08\x08\0\1\0\1\1\xff\xda\0\2\xff\xd9", "baseline JPEG"),
        (b"\xff\xd8\xff\xc0\0\x08\x0c\0\1\0\1\1\xff\xda\0\2\xff\xd9", "with 12 bits"),
        (b"\xff\xd8\xff\xc0\0\x08\x08\0\0\0\1\1\xff\xda\0\2\xff\xd9", "1x0"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(data, message):
    with pytest.raises(PixelError, match=message):
        CompressedPicture.read(data)


def test_a_size_that_would_fill_the_memory_is_refused():
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR"))
    with pytest.raises(PixelError, match="60000x60000"):
        CompressedPicture.read(b"\x89PNG\r\n\x1a\n" + chunk + bytes(4) + b"IEND" + bytes(4))


@pytest.mark.parametrize("description", ["16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_compressed_depth_is_refused_with_the_remedy(description):
    with pytest.raises(PixelError, match="colour or infrared"):
        CompressedPicture.read(encoded(drawn(1), "png"), description)


SOURCES = {suffix: encoded(drawn(), suffix) for suffix in FORMATS}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    st.floats(0.0, 1.0),
    st.booleans(),
)
def test_damaged_bytes_cost_at_most_their_picture(decoder, suffix, changes, kept, cut):
    data = bytearray(SOURCES[suffix])
    for place, value in changes:
        # Half of them in the headers, where they matter most.
        data[int(place * (len(data) if value % 2 else 40))] = value
    if cut:
        data = data[: int(kept * len(data))]
    try:
        picture = CompressedPicture.read(bytes(data))
        if picture.size[0] * picture.size[1] > 4_000_000:
            return  # such a picture is allowed, and takes its time
        decoded = picture.decode()
    except PixelError:
        return
    assert decoded.size == picture.size
