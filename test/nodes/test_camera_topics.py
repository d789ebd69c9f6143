from __future__ import annotations

import pytest

from jetson_detect.nodes.camera_topics import namespace_beside, output_namespaces
from jetson_detect.nodes.detector_config import DetectorConfig


def namespaces(*topics: str, given: tuple[str, ...] = ()) -> tuple[str, ...]:
    return output_namespaces(DetectorConfig(image_topics=topics, output_namespaces=given))


def test_answers_go_beside_the_image_raw_or_compressed():
    assert namespaces("/a/image_raw", "/b/image_raw/compressed", "image") == ("/a", "/b", "")
    assert namespace_beside("/a/b/image_raw/compressed") == "/a/b"


def test_namespaces_that_are_given_count():
    assert namespaces("/a/x", "/a/y", given=("/left/", "right")) == ("/left", "right")


def test_an_image_and_what_is_compressed_of_it_would_share_their_answers():
    with pytest.raises(ValueError, match="/a/image_raw and /a/image_raw/compressed would share"):
        namespaces("/a/image_raw", "/a/image_raw/compressed")


def test_patterns_share_nothing_before_they_find_something():
    assert namespaces("/a/*", "/a/image_raw", given=("", "/x")) == ("", "/x")
    assert len(namespaces("/a/*", "/a/b*")) == 2


def test_a_pattern_cannot_have_a_namespace_of_its_own():
    with pytest.raises(ValueError, match=r"'/x' for the pattern /a/\*.*leave it empty"):
        namespaces("/a/*", given=("/x",))


def test_each_topic_needs_its_namespace():
    with pytest.raises(ValueError, match="has 1 entries for 2 image_topics"):
        namespaces("/a/x", "/b/x", given=("/y",))
