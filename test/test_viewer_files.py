from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from jetson_detect.conversion.camera_diagnostics import to_camera_status
from jetson_detect.core.camera_condition import CameraCondition, Presence
from jetson_detect.core.camera_statistics import CameraStatistics, DropReason
from jetson_detect.share import share_folder

TOPICS = {
    "/camera/annotations",
    "/camera/debug_image",
    "/camera/debug_image/compressed",
    "/camera/detections",
    "/camera/detector/transition_event",
    "/camera/image_raw",
    "/diagnostics",
}
"""What there is with demo.launch.py."""


def config(name: str) -> Path:
    return share_folder() / "config" / name


@pytest.fixture(scope="module")
def layout() -> Any:
    return json.loads(config("foxglove_layout.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rviz() -> Any:
    return yaml.safe_load(config("detections.rviz").read_text(encoding="utf-8"))


def leaves(tree: Any) -> Iterator[str]:
    """The panels of a mosaic."""
    if isinstance(tree, str):
        yield tree
    else:
        assert tree["direction"] in ("row", "column")
        assert 0 < tree["splitPercentage"] < 100
        yield from leaves(tree["first"])
        yield from leaves(tree["second"])


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings(key)
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def test_every_panel_of_the_layout_is_configured_and_shown_once(layout):
    shown = list(leaves(layout["layout"]))
    tabs = [tab for panel in shown for tab in layout["configById"][panel].get("tabs", ())]
    shown += [panel for tab in tabs for panel in leaves(tab["layout"])]
    assert sorted(shown) == sorted(layout["configById"])


def test_the_layout_asks_for_topics_that_there_are(layout):
    paths = [text for text in strings(layout["configById"]) if text.startswith("/")]
    topics = {re.match(r"[^.{\[]+", path).group() for path in paths}
    assert topics <= TOPICS
    assert {"/camera/annotations", "/camera/image_raw", "/diagnostics"} <= topics


def test_the_plots_ask_for_what_diagnostics_tell_of_a_camera(layout):
    condition = CameraCondition(
        topic="/camera/image_raw",
        message_type="sensor_msgs/msg/Image",
        presence=Presence.THERE,
        is_active=True,
        is_enabled=True,
        silence_warning_s=5.0,
        silence_reasons=(),
        recently_dropped=dict.fromkeys(DropReason, 0),
        last_failure="",
        report=CameraStatistics().report(),
    )
    status = to_camera_status(condition, "detector: camera")
    assert status.hardware_id == "/camera/image_raw"
    asked = {
        key
        for name in ("Plot!rate", "Plot!latency")
        for path in layout["configById"][name]["paths"]
        for key in re.findall(r'values\[:\]\{key=="(.*?)"\}', path["value"])
    }
    assert len(asked) == 4
    assert asked <= {value.key for value in status.values}


def test_rviz_shows_what_the_detector_paints(rviz):
    displays = rviz["Visualization Manager"]["Displays"]
    assert [each["Class"] for each in displays] == ["rviz_default_plugins/Image"] * 2
    assert [each["Topic"]["Value"] for each in displays if each["Enabled"]] == [
        "/camera/debug_image"
    ]
    # A reliable subscription is never matched with a camera that sends best effort.
    raw = next(each for each in displays if each["Topic"]["Value"] == "/camera/image_raw")
    assert raw["Topic"]["Reliability Policy"] == "Best Effort"
    assert rviz["Visualization Manager"]["Global Options"]["Fixed Frame"] == "camera"
