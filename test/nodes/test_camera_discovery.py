"""Which topics of a graph are cameras; the graph is a table."""

from __future__ import annotations

import pytest

from jetson_detect.nodes.camera_discovery import CameraDiscovery, whole_name

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class Graph:
    """What a node knows of topics."""

    def __init__(self) -> None:
        self.topics: dict[str, list[str]] = {}
        self.silent: set[str] = set()

    def get_topic_names_and_types(self) -> list[tuple[str, list[str]]]:
        return list(self.topics.items())

    def count_publishers(self, topic: str) -> int:
        return int(topic in self.topics and topic not in self.silent)

    def get_namespace(self) -> str:
        return "/robot"

    def get_fully_qualified_name(self) -> str:
        return "/robot/detector"

    def resolve_topic_name(self, topic: str) -> str:
        return topic if topic.startswith("/") else f"/robot/{topic}"


@pytest.fixture
def graph() -> Graph:
    return Graph()


def test_images_with_a_publisher_are_found_in_order_and_only_once(graph):
    graph.topics = {
        "/cam2/image_raw": [RAW],
        "/cam1/image_raw": [RAW],
        "/cam3/image_raw": [RAW],
        "/cam1/camera_info": ["sensor_msgs/msg/CameraInfo"],
        "/other/image_raw": [RAW],
    }
    graph.silent = {"/cam3/image_raw"}
    discovery = CameraDiscovery(graph, ["/cam*/**"])
    assert discovery.find(()) == ["/cam1/image_raw", "/cam2/image_raw"]
    assert discovery.find({"/cam1/image_raw"}) == ["/cam2/image_raw"]
    graph.silent.clear()
    assert "/cam3/image_raw" in discovery.find(())


def test_what_detectors_paint_and_depth_are_no_cameras(graph):
    graph.topics = {
        "/cam/debug_image": [RAW],
        "/cam/debug_image/compressed": [COMPRESSED],
        "/cam/image_raw/compressedDepth": [COMPRESSED],
        "/cam/image_raw": [RAW],
    }
    discovery = CameraDiscovery(graph, ["/**"])
    for _ in range(2):
        assert discovery.find(()) == ["/cam/image_raw"]


@pytest.mark.parametrize("pattern", ["/*/debug_image/compressed", "/**/compressed", "/cam*/**"])
def test_no_pattern_takes_what_another_detector_paints_for_a_camera(graph, pattern):
    graph.topics = {"/cam/debug_image/compressed": [COMPRESSED]}
    discovery = CameraDiscovery(graph, [pattern])
    assert [discovery.find(()) for _ in range(3)] == [[], [], []]


def test_of_a_camera_that_is_raw_and_compressed_raw_is_taken_also_if_it_comes_second(graph):
    discovery = CameraDiscovery(graph, ["/cam/**"])
    graph.topics = {"/cam/image_raw/compressed": [COMPRESSED]}
    assert discovery.find(()) == []
    graph.topics["/cam/image_raw"] = [RAW]
    assert discovery.find(()) == ["/cam/image_raw"]
    assert discovery.find({"/cam/image_raw"}) == []


def test_a_camera_that_is_compressed_only_is_taken_at_the_second_look(graph):
    discovery = CameraDiscovery(graph, ["/cam/**"])
    graph.topics = {"/cam/image_raw/compressed": [COMPRESSED]}
    assert discovery.find(()) == []
    assert discovery.find(()) == ["/cam/image_raw/compressed"]


def test_names_without_stars_are_not_looked_for(graph):
    graph.topics = {"/cam/image_raw": [RAW]}
    discovery = CameraDiscovery(graph, ["/cam/image_raw"])
    assert not discovery.is_needed
    assert discovery.find(()) == []


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("/cam*/x", "/cam*/x"),
        ("cam*/x", "/robot/cam*/x"),
        ("~/cam*", "/robot/detector/cam*"),
        ("cam/x", "/robot/cam/x"),
    ],
)
def test_patterns_are_resolved_as_names_are(graph, name, whole):
    assert whole_name(graph, name) == whole
