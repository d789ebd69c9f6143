from __future__ import annotations

from dataclasses import replace

import pytest

from jetson_detect.core.camera_views import WHOLE_IMAGE, CameraView, Region
from jetson_detect.nodes.camera_view_config import CameraViewConfig
from jetson_detect.nodes.parameters import ParameterError, specifications

DEFAULT = CameraViewConfig()
LOWER, UPPER = Region(0, 240, 640, 240), Region(0, 0, 640, 240)


def test_by_default_every_camera_shows_its_whole_image_as_it_comes():
    assert DEFAULT.views(3) == (WHOLE_IMAGE,) * 3


def test_one_entry_is_for_all_cameras():
    config = replace(DEFAULT, regions=("0,240,640,240",), rotations=(180,), rectify=(True,))
    assert config.views(2) == (CameraView(LOWER, 180, True),) * 2


def test_each_camera_can_have_an_entry_of_its_own():
    config = replace(
        DEFAULT,
        regions=("0,240,640,240", "", " 0, 0, 640, 240 "),
        rotations=(0, 90, 270),
        rectify=(False, True, False),
    )
    assert config.views(3) == (
        CameraView(LOWER),
        CameraView(None, 90, rectify=True),
        CameraView(UPPER, 270),
    )


@pytest.mark.parametrize("name", ["regions", "rotations", "rectify"])
def test_no_entry_leaves_all_cameras_as_they_are(name):
    assert replace(DEFAULT, **{name: ()}).views(2) == (WHOLE_IMAGE,) * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": ("1,2,3",)}, r"'view\.regions': region '1,2,3' must be four integers"),
        ({"regions": ("1,2,0,4",)}, r"'view\.regions'.*at least 1"),
        ({"regions": ("1,2,3,4",) * 2}, r"'view\.regions' has 2 entries for 3 image_topics"),
        ({"rotations": (0,) * 4}, r"'view\.rotations' has 4 entries for 3 image_topics"),
        ({"rectify": (True, False)}, r"'view\.rectify' has 2 entries for 3 image_topics"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_parameter_and_the_remedy(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(DEFAULT, **changes).views(3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rotations", [0, 45], "a list with each item one of 0, 90, 180, 270, not 45"),
        ("rotations", [90.0], "a list with each item one of 0, 90, 180, 270, not 90.0"),
        ("rectify", [1], "a list of true and false, not 1"),
        ("rectify", True, "a list of true and false, not True; write [true, false]"),
    ],
)
def test_only_quarter_turns_and_truth_values_are_taken(name, value, message):
    parameters = {each.name: each for each in specifications(CameraViewConfig)}
    assert parameters["rotations"].parse([90, 0]) == (90, 0)
    with pytest.raises(ParameterError) as caught:
        parameters[name].parse(value)
    assert str(caught.value) == f"parameter '{name}' must be {message}"
