from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.camera_views import ROTATIONS, CameraView, Region, Viewer
from jetson_detect.core.compressed_pictures import CompressedPicture, has_simplejpeg
from jetson_detect.core.detections import Detections
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixels import PixelError, Pixels

BACKGROUND, OBJECT = 40, 220


def network(width: int, height: int | None = None) -> InputSpec:
    return InputSpec(
        width, height or width, Layout.NHWC, ColorOrder.RGB, mean=(0.0,) * 3, scale=(1.0,) * 3
    )


def painted(size: tuple[int, int], box: tuple[int, int, int, int], channels: int = 3) -> Pixels:
    """A picture with an object: x_min, y_min, x_max, y_max in pixels."""
    image = np.full((size[1], size[0], channels), BACKGROUND, np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = OBJECT
    return (
        Pixels.from_array(image, "bgr8")
        if channels == 3
        else Pixels.from_array(image[..., 0], "mono8")
    )


def seen_box(pixels: Pixels) -> list[int] | None:
    """Where the object is, as a perfect network would say."""
    grey = pixels.data if pixels.data.ndim == 2 else pixels.data[..., 0]
    rows, columns = np.nonzero(grey > (BACKGROUND + OBJECT) // 2)
    if not len(rows):
        return None
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def found(*boxes: object, angles: object = None) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.linspace(0.9, 0.5, count, dtype=np.float32)[:, None],
        np.arange(count, dtype=np.int32)[:, None],
        None if angles is None else np.array(angles, np.float32),
    )


@st.composite
def scenes(draw):
    """An image's size, a region of it or none, and an object in the image."""
    width, height = draw(st.integers(4, 90)), draw(st.integers(4, 70))
    region = None
    if draw(st.booleans()):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        region = Region(x, y, draw(st.integers(1, 100)), draw(st.integers(1, 100)))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (width, height), region, (left, top, right, bottom)


def within(box: tuple[int, int, int, int], region: Region | None) -> list[int] | None:
    if region is None:
        return list(box)
    left, top = max(box[0], region.x), max(box[1], region.y)
    right, bottom = min(box[2], region.right), min(box[3], region.bottom)
    return [left, top, right, bottom] if left < right and top < bottom else None


# -- region and rotation --------------------------------------------------------------------------


@settings(max_examples=200)
@given(scenes(), st.sampled_from(ROTATIONS), st.sampled_from([1, 3]))
def test_what_is_seen_comes_back_where_it_was_painted(scene, rotation, channels):
    size, region, box = scene
    view = Viewer(CameraView(region, rotation)).look(painted(size, box, channels))
    seen, expected = seen_box(view.pixels), within(box, region)
    if expected is None:
        assert seen is None
    else:
        np.testing.assert_array_equal(view.to_source(found(seen)).boxes, [expected])


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_network_sees_the_picture_turned_clockwise(rotation):
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    seen = Viewer(CameraView(rotation=rotation)).look(Pixels.from_array(image))
    np.testing.assert_array_equal(seen.pixels.data, np.rot90(image, -rotation // 90))
    assert seen.picture.data is image


def test_a_region_is_seen_without_a_copy():
    image = np.zeros((48, 64, 3), np.uint8)
    seen = Viewer(CameraView(Region(8, 4, 16, 20))).look(Pixels.from_array(image))
    assert seen.pixels.size == (16, 20)
    assert np.shares_memory(seen.pixels.data, image)


def test_the_whole_image_is_passed_on_as_it_is():
    pixels = painted((64, 48), (1, 2, 3, 4))
    seen = Viewer().look(pixels, network(32))
    detections = found([1, 2, 3, 4])
    assert seen.pixels is pixels is seen.picture
    assert seen.to_source(detections) is detections is seen.to_picture(detections)


@given(
    scenes(),
    st.sampled_from(ROTATIONS),
    st.floats(-math.pi, math.pi),
    st.floats(1, 20),
    st.floats(1, 20),
)
def test_the_corners_of_a_turned_box_come_back_where_they_were(scene, rotation, angle, wide, high):
    size, region, _ = scene
    region = region.within(size) if region else Region.whole(size)
    view = Viewer(CameraView(region, rotation)).look(painted(size, (0, 0, 1, 1)))
    seen_size = view.pixels.size
    center = np.array(seen_size) / 3
    half = np.array([wide, high]) / 2
    seen = found([*(center - half), *(center + half)], angles=[angle])
    source = view.to_source(seen)
    assert np.abs(source.angles).max() <= math.pi + 1e-6
    # In homogeneous pixels, from the definition of a turn by 90 degrees: (x, y) was (y, h - x).
    points = seen.corners()[0].astype(float)
    width, height = seen_size
    for _ in range(rotation // 90):
        points = np.stack([points[:, 1], width - points[:, 0]], axis=1)
        width, height = height, width
    expected = points + np.array([region.x, region.y])
    np.testing.assert_allclose(source.corners()[0], expected, atol=1e-3)


def test_boxes_that_the_region_cuts_off_end_at_its_edge():
    view = Viewer(CameraView(Region(10, 20, 30, 40))).look(painted((100, 100), (0, 0, 1, 1)))
    seen = found([-5, -5, 10, 10], [20, 30, 99, 99], [31, 0, 40, 10])
    source = view.to_source(seen)
    np.testing.assert_array_equal(source.boxes, [[10, 20, 20, 30], [30, 50, 40, 60]])
    np.testing.assert_array_equal(source.best_class_ids, [0, 1])


def test_no_detections_stay_none():
    view = Viewer(CameraView(Region(1, 1, 2, 2), 90)).look(painted((9, 9), (0, 0, 1, 1)))
    assert len(view.to_source(Detections.empty())) == 0


def test_a_region_outside_the_image_costs_the_frame_and_names_the_parameter():
    viewer = Viewer(CameraView(Region(640, 0, 10, 10)))
    for _ in range(2):
        with pytest.raises(PixelError, match=r"640,0,10,10.*640x480.*'view\.regions'"):
            viewer.look(painted((640, 480), (0, 0, 1, 1)))
    assert viewer.look(painted((650, 480), (0, 0, 1, 1))).pixels.size == (10, 10)


def test_a_change_is_taken_over_with_the_next_picture():
    viewer, pixels = Viewer(), painted((60, 40), (10, 10, 20, 15))
    first = viewer.look(pixels)
    viewer.view = CameraView(Region(10, 5, 20, 30), 90)
    second = viewer.look(pixels)
    assert (first.pixels.size, second.pixels.size) == ((60, 40), (30, 20))
    viewer.view = replace(viewer.view, rotation=0)
    assert viewer.look(pixels).pixels.size == (20, 30)
    # A frame that is in work keeps its own.
    np.testing.assert_array_equal(second.to_source(found([0, 0, 30, 20])).boxes, [[10, 5, 30, 35]])


def test_a_turned_picture_stays_as_long_as_somebody_holds_it():
    viewer = Viewer(CameraView(rotation=90))
    held = [viewer.look(painted((60, 40), (n, n, n + 5, n + 5))) for n in (0, 10)]
    assert [seen_box(each.pixels) for each in held] == [[35, 0, 40, 5], [25, 10, 30, 15]]
    places = {each.pixels.data.ctypes.data for each in held}
    del held
    again = viewer.look(painted((60, 40), (0, 0, 1, 1)))
    assert again.pixels.data.ctypes.data in places


@pytest.mark.parametrize("encoding", ["yuyv", "uyvy"])
@pytest.mark.parametrize("rotation", [0, 90])
def test_a_region_of_shared_colours_grows_to_their_edges(encoding, rotation):
    image = np.full((40, 60, 2), 128, np.uint8)
    luma = 0 if encoding == "yuyv" else 1
    image[..., luma] = BACKGROUND
    image[10:20, 12:31, luma] = OBJECT
    view = Viewer(CameraView(Region(11, 5, 20, 30), rotation)).look(
        Pixels.from_array(image, encoding)
    )
    upright = (22, 30)
    assert view.pixels.size == (upright if rotation == 0 else upright[::-1])
    seen = [2, 5, 21, 15] if rotation == 0 else [15, 2, 25, 21]
    if rotation:
        assert seen_box(view.pixels) == seen
    np.testing.assert_array_equal(view.to_source(found(seen)).boxes, [[12, 10, 31, 20]])
    # The column that came along is not part of the region.
    whole = found([0, 0, *view.pixels.size])
    np.testing.assert_array_equal(view.to_source(whole).boxes, [[11, 5, 31, 35]])


@pytest.mark.parametrize("rotation", [-90, 45, 360])
def test_only_quarter_turns_are_possible(rotation):
    with pytest.raises(ValueError, match="0, 90, 180, 270"):
        CameraView(rotation=rotation)


# -- compressed pictures --------------------------------------------------------------------------


def compressed(pixels: Pixels) -> CompressedPicture:
    quality = (cv2.IMWRITE_JPEG_QUALITY, 100)
    return CompressedPicture.read(cv2.imencode(".jpg", pixels.data, quality)[1].tobytes())


@pytest.mark.parametrize(
    ("size", "view", "input_size", "reduction"),
    [
        ((1920, 1080), CameraView(), 640, 2),
        ((1920, 1080), CameraView(), 320, 4),
        ((1280, 720), CameraView(), 640, 2),
        ((1279, 720), CameraView(), 640, 1),
        ((1280, 720), CameraView(), 161, 4),
        ((1280, 720), CameraView(), 160, 8),
        ((640, 480), CameraView(), 640, 1),
        ((1920, 1080), CameraView(Region(0, 0, 640, 640)), 320, 2),
        ((1920, 1080), CameraView(Region(0, 0, 600, 300)), 320, 1),
        ((1920, 1080), CameraView(rotation=90), 540, 2),
        ((1920, 1080), CameraView(rotation=90), 480, 4),
    ],
)
def test_a_jpeg_picture_is_decoded_as_small_as_the_network_allows(
    size, view, input_size, reduction
):
    seen = Viewer(view).look(compressed(painted(size, (0, 0, 8, 8))), network(input_size))
    assert seen.geometry.reduction == reduction
    assert seen.picture.size == (-(-size[0] // reduction), -(-size[1] // reduction))


def test_a_turned_picture_is_decoded_for_the_network_that_sees_it_turned():
    picture = compressed(painted((1920, 1080), (0, 0, 8, 8)))
    for rotation, reduction in ((0, 2), (90, 4)):
        # Upright 569x320 of 1920x1080, turned 180x320 of 1080x1920.
        seen = Viewer(CameraView(rotation=rotation)).look(picture, network(640, 320))
        assert seen.geometry.reduction == reduction


def test_without_a_network_it_is_decoded_whole():
    seen = Viewer().look(compressed(painted((640, 480), (0, 0, 8, 8))))
    assert seen.pixels.size == (640, 480)


@settings(max_examples=60, deadline=None)
@given(scenes(), st.sampled_from(ROTATIONS), st.integers(2, 24))
def test_what_is_seen_in_a_reduced_picture_comes_back_to_its_pixels(scene, rotation, input_size):
    size, region, box = scene
    picture = compressed(painted(size, box))
    view = Viewer(CameraView(region, rotation)).look(picture, network(input_size))
    reduction = view.geometry.reduction
    shown, expected = within((0, 0, *size), region), within(box, region)
    # All that is shown is the region.
    whole = view.to_source(found([0, 0, *view.pixels.size]))
    np.testing.assert_array_equal(whole.boxes, [shown])
    seen = seen_box(view.pixels)
    # Of a smaller object there may be no pixel that is half its own.
    if expected and seen and min(box[2] - box[0], box[3] - box[1]) >= 2 * reduction:
        source = view.to_source(found(seen))
        assert np.abs(source.boxes - expected).max() <= reduction


def test_a_camera_may_change_how_it_compresses():
    viewer, pixels = Viewer(), painted((641, 481), (64, 128, 320, 256))
    png = CompressedPicture.read(cv2.imencode(".png", pixels.data)[1].tobytes())
    reductions = [
        viewer.look(each, network(320)).geometry.reduction
        for each in (compressed(pixels), png, pixels, compressed(pixels))
    ]
    assert reductions == [2, 1, 1, 2]


def test_detections_are_painted_on_the_picture_that_was_decoded():
    view = Viewer().look(compressed(painted((640, 480), (64, 128, 320, 256))), network(320))
    source = view.to_source(found(seen_box(view.pixels)))
    np.testing.assert_array_equal(source.boxes, [[64, 128, 320, 256]])
    painted_on = view.to_picture(source)
    np.testing.assert_array_equal(painted_on.boxes, [[32, 64, 160, 128]])
    assert view.picture.size == (320, 240)


def test_the_memory_of_decoded_pictures_is_used_again():
    if not has_simplejpeg():
        pytest.skip("OpenCV decodes into memory of its own; optional: pip install simplejpeg")
    viewer, picture = Viewer(), compressed(painted((640, 480), (64, 128, 320, 256)))
    places = {viewer.look(picture).pixels.data.ctypes.data for _ in range(5)}
    assert len(places) == 1
