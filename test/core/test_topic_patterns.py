from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.topic_patterns import TopicPattern, is_pattern

SEGMENT = st.text("abz019_", min_size=1, max_size=5)
TOPIC = st.lists(SEGMENT, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("/camera/image_raw", "/camera/image_raw", True),
        ("/cam*/image_raw", "/camera/image_raw", True),
        ("/cam*/image_raw", "/cam/image_raw", True),
        ("/cam*/image_raw", "/cam/left/image_raw", False),
        ("/*/image_raw", "/image_raw", False),
        ("/robot*/*_raw", "/robot7/image_raw", True),
        ("/**/image_raw", "/image_raw", True),
        ("/**/image_raw", "/a/b/c/image_raw", True),
        ("/**/image_raw", "/a/b/image_rect", False),
        ("/robot/**", "/robot/a/b", True),
        ("/robot/**", "/robots/a", False),
        ("/robot/**/left*", "/robot/left_image", True),
        ("/a.b/*", "/axb/c", False),
    ],
)
def test_a_star_is_a_part_of_a_segment_and_two_are_segments(pattern, topic, matches):
    assert TopicPattern(pattern).matches(topic) is matches


@given(TOPIC)
def test_two_stars_match_all_topics_and_a_topic_matches_itself(topic):
    assert TopicPattern("/**").matches(topic)
    assert TopicPattern(topic).matches(topic)


@given(TOPIC, TOPIC)
def test_a_pattern_without_stars_matches_nothing_else(topic, other):
    assert TopicPattern(topic).matches(other) is (topic == other)


@given(TOPIC, st.data())
def test_a_star_in_place_of_a_segment_matches_what_was_there(topic, data):
    parts = topic[1:].split("/")
    parts[data.draw(st.integers(0, len(parts) - 1))] = "*"
    assert TopicPattern("/" + "/".join(parts)).matches(topic)


@pytest.mark.parametrize("pattern", ["camera/*", "/camera/*/", "/camera//*", "/a**/image"])
def test_what_is_no_pattern_is_refused_with_what_was_written(pattern):
    with pytest.raises(ValueError, match="write") as caught:
        TopicPattern(pattern)
    assert f"'{pattern}'" in str(caught.value)


def test_a_name_with_a_star_is_a_pattern():
    assert is_pattern("/a*/b")
    assert not is_pattern("/a/b")
