from __future__ import annotations

from typing import Any

import pytest
import yaml

from jetson_detect.core.tracking.camera_tracker import TrackingConfig
from jetson_detect.nodes.parameters import specifications
from jetson_detect.nodes.tracker_config import TrackerConfig
from jetson_detect.share import share_folder


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        nested = flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {}
        flat.update(nested or {prefix + name: value})
    return flat


def test_the_parameter_file_holds_every_parameter_with_its_default():
    text = (share_folder() / "config" / "tracker.yaml").read_text()
    in_file = flatten(yaml.safe_load(text)["/**"]["ros__parameters"])
    declared = {e.name: e.to_ros(e.default).value for e in specifications(TrackerConfig)}
    assert in_file == declared


def test_every_parameter_is_described():
    assert all(len(each.description) > 10 for each in specifications(TrackerConfig))


def test_each_parameter_of_tracking_is_taken_over():
    given = TrackingConfig(0.11, 0.12, 0.13, 0.14, 1.5, 6, False, 17.0)
    assert TrackerConfig(**vars(given)).tracking == given


@pytest.mark.parametrize(
    ("inputs", "outputs", "topics"),
    [
        (("detections",), (), (("detections", "tracks"),)),
        (("/a/detections", "b/c"), (), (("/a/detections", "/a/tracks"), ("b/c", "b/tracks"))),
        (("/detections",), (), (("/detections", "/tracks"),)),
        (("/a/x", "/a/y"), ("t", "/u"), (("/a/x", "t"), ("/a/y", "/u"))),
    ],
)
def test_tracks_go_beside_the_detections_or_where_they_are_told_to(inputs, outputs, topics):
    assert TrackerConfig(detection_topics=inputs, output_topics=outputs).topics == topics


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((), (), "'detection_topics' is empty"),
        (("/a/x", "/b/x"), ("/t",), "'output_topics' has 1 entries for 2 detection_topics"),
        (("/a/x", "/a/y"), (), "'output_topics': /a/tracks would stand for two cameras"),
        (("/a/x", "/a/x"), ("/t", "/u"), "'detection_topics': /a/x would stand for two cameras"),
        (("/a/tracks",), (), "/a/tracks is in 'detection_topics' too, .* would hear itself"),
    ],
)
def test_topics_that_do_not_go_together_are_refused_by_name(inputs, outputs, message):
    with pytest.raises(ValueError, match=message):
        _ = TrackerConfig(detection_topics=inputs, output_topics=outputs).topics
