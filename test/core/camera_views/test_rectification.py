from __future__ import annotations

import math
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from jetson_detect.core.camera_views import (
    CalibrationError,
    CameraCalibration,
    CameraView,
    DistortionModel,
    Region,
    Viewer,
)
from jetson_detect.core.camera_views.rectification import Rectification
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.core.detections import Detections
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixels import Pixels

SIZE = WIDTH, HEIGHT = 320, 240
K = (200.0, 0.0, 163.0, 0.0, 205.0, 117.0, 0.0, 0.0, 1.0)
P = (180.0, 0.0, 160.0, 0.0, 0.0, 185.0, 121.0, 0.0, 0.0, 0.0, 1.0, 0.0)
NO_TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
A_TURN = tuple(cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0].ravel().tolist())
DISTORTIONS = {
    DistortionModel.PLUMB_BOB: (-0.25, 0.08, 0.001, -0.002, -0.01),
    DistortionModel.RATIONAL_POLYNOMIAL: (-0.2, 0.05, 0.001, -0.001, 0.01, 0.1, -0.02, 0.005),
    DistortionModel.EQUIDISTANT: (-0.02, 0.01, -0.003, 0.001),
}
MODELS = pytest.mark.parametrize("model", DistortionModel, ids=lambda model: model.value)


def calibration(model: DistortionModel = DistortionModel.PLUMB_BOB, **changes) -> CameraCalibration:
    values = {
        "size": SIZE,
        "model": model,
        "distortion": DISTORTIONS[model],
        "camera_matrix": K,
        "rectification": NO_TURN,
        "projection": P,
    }
    return CameraCalibration(**{**values, **changes})


def drawn(size: tuple[int, int] = SIZE) -> np.ndarray:
    image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 3)


def network(size: int) -> InputSpec:
    return InputSpec(size, size, Layout.NHWC, ColorOrder.RGB, mean=(0.0,) * 3, scale=(1.0,) * 3)


def rectified(image: np.ndarray, camera: CameraCalibration, **view) -> np.ndarray:
    viewer = Viewer(CameraView(rectify=True, **view))
    viewer.calibration = camera
    seen = viewer.look(Pixels.from_array(image))
    assert seen.problem == ""
    return seen.pixels.data


def make(camera: CameraCalibration, region: Region | None = None, size=SIZE) -> Rectification:
    region = region or Region.whole(size)
    return Rectification.make(camera, size, region, region)


def full_maps(camera: CameraCalibration) -> np.ndarray:
    """(H, W, 2): where each pixel of the rectified sensor is, as OpenCV says."""
    library = cv2.fisheye if camera.model is DistortionModel.EQUIDISTANT else cv2
    matrix = np.array(camera.camera_matrix).reshape(3, 3)
    turn = np.array(camera.rectification).reshape(3, 3)
    view = np.array(camera.projection).reshape(3, 4)[:, :3]
    maps = library.initUndistortRectifyMap(
        matrix, np.array(camera.distortion), turn, view, camera.size, cv2.CV_32FC1
    )
    return np.dstack(maps)


def centers(rectification: Rectification, step: int = 7) -> np.ndarray:
    width, height = rectification.size
    return np.stack(np.meshgrid(np.arange(0, width, step), np.arange(0, height, step)), -1) + 0.5


# -- what is seen ---------------------------------------------------------------------------------


@MODELS
def test_the_view_is_what_opencv_undistorts(model):
    image, camera = drawn(), calibration(model)
    matrix, view = np.array(K).reshape(3, 3), np.array(P).reshape(3, 4)[:, :3]
    coefficients = np.array(camera.distortion)
    if model is DistortionModel.EQUIDISTANT:
        expected = cv2.fisheye.undistortImage(image, matrix, coefficients, Knew=view)
    else:
        expected = cv2.undistort(image, matrix, coefficients, None, view)
    difference = np.abs(rectified(image, camera).astype(int) - expected)
    assert difference.max() <= 2


@MODELS
def test_the_view_without_a_projection_keeps_the_raw_matrix(model):
    image = drawn()
    bare = calibration(model, projection=(0.0,) * 12, rectification=(0.0,) * 9)
    same = calibration(model, projection=(*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0))
    np.testing.assert_array_equal(rectified(image, bare), rectified(image, same))


def test_a_picture_without_distortion_is_passed_on_as_it_is():
    plain = calibration(distortion=(), projection=(*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0))
    image = drawn()
    assert np.shares_memory(rectified(image, plain), image)
    assert not np.shares_memory(rectified(image, replace(plain, rectification=A_TURN)), image)
    fisheye = replace(plain, model=DistortionModel.EQUIDISTANT, distortion=(0.0,) * 4)
    assert not np.shares_memory(rectified(image, fisheye), image)


def test_a_grey_picture_is_rectified_like_a_coloured_one():
    image = drawn()
    viewer = Viewer(CameraView(rectify=True))
    viewer.calibration = calibration()
    grey = viewer.look(Pixels.from_array(image[..., 1].copy(), "mono8")).pixels
    assert grey.format.color_order == "GRAY"
    np.testing.assert_array_equal(grey.data, rectified(image, calibration())[..., 1])


def test_a_view_is_rectified_before_it_is_turned():
    image = drawn()
    upright = rectified(image, calibration())
    np.testing.assert_array_equal(
        rectified(image, calibration(), rotation=90), np.rot90(upright, -1)
    )


@pytest.mark.parametrize(
    ("size", "input_size", "shrinkage"),
    [
        ((320, 240), 320, 1),
        ((320, 240), 160, 2),
        ((320, 240), 161, 1),
        ((320, 240), 80, 4),
        ((320, 240), 20, 8),
        ((324, 240), 20, 4),
        ((322, 241), 20, 1),
    ],
)
def test_a_large_image_is_shrunk_before_it_is_rectified_as_far_as_the_network_allows(
    size, input_size, shrinkage
):
    viewer = Viewer(CameraView(rectify=True))
    viewer.calibration = replace(calibration(), size=size)
    image = drawn(size)
    seen = viewer.look(Pixels.from_array(image), network(input_size))
    assert seen.geometry.shrinkage == shrinkage
    assert seen.pixels.size == (size[0] // shrinkage, size[1] // shrinkage)
    whole = rectified(image, viewer.calibration).astype(float)
    height, width = (each // shrinkage for each in image.shape[:2])
    whole = whole[: height * shrinkage, : width * shrinkage]
    means = whole.reshape(height, shrinkage, width, shrinkage, 3).mean(axis=(1, 3))
    # Averaged before and after; at the edge with what lies beyond it, which is black.
    inner = slice(2, -2), slice(2, -2)
    assert np.abs(seen.pixels.data[inner] - means[inner]).mean() < 2


# -- region of interest and binning ---------------------------------------------------------------


@MODELS
@pytest.mark.parametrize("turn", [NO_TURN, A_TURN], ids=["mono", "stereo"])
def test_points_come_back_to_where_the_maps_took_them_from(model, turn):
    camera = calibration(model, rectification=turn)
    view = make(camera)
    points = centers(view)
    expected = full_maps(camera)[::7, ::7] + 0.5
    np.testing.assert_allclose(view.points_to_source(points), expected, atol=2e-3)


@MODELS
def test_a_region_of_interest_shows_that_part_of_the_rectified_sensor(model):
    roi = Region(40, 30, 200, 160)
    whole, part = calibration(model), calibration(model, region=roi)
    view = make(part, size=roi.size)
    assert view.size == roi.size
    expected = full_maps(whole)[roi.y : roi.bottom, roi.x : roi.right] - [roi.x, roi.y] + 0.5
    seen = view.points_to_source(centers(view))
    np.testing.assert_allclose(seen, expected[::7, ::7], atol=2e-3)
    # And so does the picture, as far as the camera sent what is seen there.
    image = drawn()
    cut = np.ascontiguousarray(image[roi.y : roi.bottom, roi.x : roi.right])
    inside = (expected > 1).all(axis=2) & (expected < np.array(roi.size) - 1).all(axis=2)
    assert inside.mean() > 0.9
    of_whole = rectified(image, whole)[roi.y : roi.bottom, roi.x : roi.right]
    np.testing.assert_array_equal(rectified(cut, part)[inside], of_whole[inside])


@MODELS
@pytest.mark.parametrize("roi", [None, Region(40, 30, 200, 160)], ids=["all", "roi"])
def test_binned_pixels_are_scaled_as_image_geometry_does(model, roi):
    bin_x, bin_y = 2, 4
    left, top = (roi.x, roi.y) if roi else (0, 0)
    full_size = roi.size if roi else SIZE
    size = full_size[0] // bin_x, full_size[1] // bin_y
    view = make(calibration(model, binning=(bin_x, bin_y), region=roi), size=size)
    assert view.size == size
    maps = full_maps(calibration(model))[top::bin_y, left::bin_x][: size[1], : size[0]]
    # There a binned pixel is where the first of its pixels is, by their indices.
    expected = (maps - [left, top]) / [bin_x, bin_y] + 0.5
    seen = view.points_to_source(centers(view, 1))
    np.testing.assert_allclose(seen, expected, atol=2e-3)


@MODELS
@pytest.mark.parametrize("by", ["do_rectify", "region"])
def test_all_of_a_part_is_seen_rectified_and_no_more(model, by):
    part = Region(20, 16, 120, 100)
    if by == "do_rectify":
        camera = calibration(model, region=part, rectifies_region=True)
        view, corner, size = make(camera, size=part.size), (0, 0), part.size
    else:
        view, corner, size = make(calibration(model), part), (part.x, part.y), SIZE
    camera = calibration(model)
    maps = full_maps(camera)
    inside = ((maps > [19.5, 15.5]) & (maps < [139.5, 115.5])).all(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert view.size == (np.ptp(columns) + 1, np.ptp(rows) + 1)
    first = view.points_to_source(np.array([[0.5, 0.5]]))[0] - 0.5
    offset = np.array([part.x, part.y]) - corner
    np.testing.assert_allclose(first + offset, maps[rows[0], columns[0]], atol=2e-3)
    assert size[0] >= part.width


def test_a_part_that_is_not_seen_rectified_is_shown_as_it_is_with_the_reason():
    narrow = (2000.0, 0.0, 160.0, 0.0, 0.0, 2000.0, 121.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    viewer = Viewer(CameraView(Region(0, 0, 20, 20), rectify=True))
    viewer.calibration = calibration(projection=narrow)
    seen = viewer.look(Pixels.from_array(drawn()))
    assert "nothing of region 0,0,20,20 is seen" in seen.problem
    assert seen.pixels.size == (20, 20)


# -- boxes ----------------------------------------------------------------------------------------


def boxes_found(*boxes: object, angles: object = None) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.full((count, 1), 0.9, np.float32),
        np.zeros((count, 1), np.int32),
        None if angles is None else np.array(angles, np.float32),
    )


@MODELS
@pytest.mark.parametrize(
    ("region", "rotation"),
    [(None, 0), (Region(30, 20, 220, 190), 0), (Region(30, 20, 220, 190), 90)],
)
@pytest.mark.parametrize("smaller", ["", "decoded", "shrunk"])
def test_the_box_of_what_is_seen_holds_what_was_painted(model, region, rotation, smaller):
    viewer = Viewer(CameraView(region, rotation, rectify=True))
    viewer.calibration = calibration(model, rectification=A_TURN)
    # In a corner, where distortion is largest.
    box = np.array([48, 40, 112, 88])
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 235
    pixels: Pixels | CompressedPicture = Pixels.from_array(image)
    if smaller == "decoded":
        quality = (cv2.IMWRITE_JPEG_QUALITY, 100)
        pixels = CompressedPicture.read(cv2.imencode(".jpg", image, quality)[1].tobytes())
    seen = viewer.look(pixels, network(96) if smaller else None)
    reduction = 2 if smaller else 1
    assert seen.geometry.reduction == (reduction if smaller == "decoded" else 1)
    assert seen.geometry.shrinkage == (reduction if smaller == "shrunk" else 1)
    rows, columns = np.nonzero(seen.pixels.data[..., 0] > 128)
    low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
    (source,) = seen.to_source(boxes_found([*low, *high])).boxes
    assert (source[:2] <= box[:2] + reduction).all()
    assert (source[2:] >= box[2:] - reduction).all()
    # A hull of a hull: with as much distortion as here a box of 64 pixels grows by so many.
    assert (np.abs(source - box) < 12).all()


@MODELS
def test_the_hull_holds_every_point_of_a_box(model):
    view = make(calibration(model))
    # Not in the middle, so that no side reaches farthest in its own.
    box = (2.0, 5.0, 230.0, 100.0)
    (hull,) = view.to_source(boxes_found(box)).boxes
    steps = np.linspace(0, 1, 501)
    x, y = box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])
    outline = np.concatenate(
        [np.stack([x, np.full_like(x, edge)], 1) for edge in (box[1], box[3])]
        + [np.stack([np.full_like(y, edge), y], 1) for edge in (box[0], box[2])]
    )
    mapped = view.points_to_source(outline)
    # Between two samples a side may bend by a fraction of a pixel.
    np.testing.assert_allclose(hull[:2], mapped.min(axis=0), atol=0.25)
    np.testing.assert_allclose(hull[2:], mapped.max(axis=0), atol=0.25)


@MODELS
def test_a_small_turned_box_keeps_its_turn_and_place(model):
    view = make(calibration(model, projection=(*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0)))
    # Where the camera looks there is hardly any distortion.
    center = np.array([163.5, 117.5])
    for angle in (0.0, 0.4, -1.2, 3.0):
        half = np.array([9.0, 3.0])
        found = boxes_found([*(center - half), *(center + half)], angles=[angle])
        source = view.to_source(found)
        difference = (source.angles[0] - angle + math.pi) % (2 * math.pi) - math.pi
        assert abs(difference) < 0.01
        np.testing.assert_allclose(source.boxes, found.boxes, atol=0.15)


@MODELS
def test_a_turned_box_holds_the_outline_that_it_had(model):
    view = make(calibration(model))
    found = boxes_found([40, 60, 140, 90], angles=[0.5])
    source = view.to_source(found)
    corners = view.points_to_source(found.corners().astype(float))[0]
    cos, sin = math.cos(source.angles[0]), math.sin(source.angles[0])
    (box,) = source.boxes
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    x, y = (corners - center).T
    along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
    assert (along <= half[0] + 1e-3).all()
    assert (across <= half[1] + 1e-3).all()
    assert along.max() > half[0] - 4
    assert across.max() > half[1] - 4


def test_no_boxes_stay_none():
    assert len(make(calibration()).to_source(Detections.empty())) == 0


# -- calibrations that do not serve ---------------------------------------------------------------


@pytest.mark.parametrize("missing", ["calibration", "size", "fault"])
def test_an_image_that_cannot_be_rectified_is_shown_as_it_is_with_the_reason(missing):
    viewer = Viewer(CameraView(Region(0, 0, 100, 100), rotation=90, rectify=True))
    image, reason = drawn(), "no CameraInfo has come"
    if missing == "size":
        viewer.calibration = calibration(size=(640, 480))
        reason = "CameraInfo is for images of 640x480 .* but this one is 320x240"
    elif missing == "fault":
        viewer.calibration = CalibrationError("it is wrong")
        reason = "it is wrong: not rectified"
    seen = viewer.look(Pixels.from_array(image))
    np.testing.assert_array_equal(seen.pixels.data, np.rot90(image[:100, :100], -1))
    assert re.search(reason, seen.problem)
    viewer.calibration = calibration()
    assert viewer.look(Pixels.from_array(image)).problem == ""


def test_the_reason_follows_what_the_camera_says():
    viewer = Viewer(CameraView(rectify=True))
    problems = []
    for camera in (None, CalibrationError("one"), CalibrationError("two"), calibration(), None):
        viewer.calibration = camera
        problems.append(viewer.look(Pixels.from_array(drawn())).problem)
    assert problems == [
        "no CameraInfo has come: not rectified",
        "one: not rectified",
        "two: not rectified",
        "",
        "no CameraInfo has come: not rectified",
    ]


def test_the_maps_are_made_once_and_again_when_the_calibration_changes(monkeypatch):
    made = []
    make_maps = Rectification.make
    monkeypatch.setattr(
        Rectification, "make", lambda *given: made.append(given) or make_maps(*given)
    )
    viewer = Viewer(CameraView(rectify=True))
    for camera in (calibration(), calibration(), calibration(projection=(0.0,) * 12)):
        viewer.calibration = camera
        viewer.look(Pixels.from_array(drawn()))
        viewer.look(Pixels.from_array(drawn()))
    assert len(made) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera_matrix": (0.0,) * 9}, "not calibrated"),
        ({"size": (0, 0)}, "not calibrated"),
        (
            {"distortion": (0.1, 0.2, 0.3)},
            "3 coefficients for 'plumb_bob', which takes 0 or 4 or 5",
        ),
        ({"distortion": (math.nan,) * 5}, "not finite"),
        ({"projection": (1.0,) + (0.0,) * 11}, "cannot be undone"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused_with_the_reason(changes, message):
    with pytest.raises(CalibrationError, match=message):
        calibration(**changes)


@pytest.mark.parametrize(
    ("binning", "size", "fits"),
    [
        ((1, 1), (320, 240), True),
        ((1, 1), (319, 240), False),
        ((3, 1), (106, 240), True),
        ((3, 1), (107, 240), True),
        ((3, 1), (108, 240), False),
        ((2, 2), (160, 240), False),
    ],
)
def test_an_image_belongs_to_a_calibration_by_its_size(binning, size, fits):
    camera = calibration(binning=binning)
    if fits:
        camera.check_image(size)
    else:
        with pytest.raises(CalibrationError, match=f"this one is {size[0]}x{size[1]}"):
            camera.check_image(size)
