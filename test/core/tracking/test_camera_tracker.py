"""What is made of an associator's numbers; a stand-in that tells by place associates here."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.tracking.associator import UNTRACKED, AssociationOptions
from jetson_detect.core.tracking.camera_tracker import NO_ID, CameraTracker, TrackingConfig
from jetson_detect.core.tracking.observations import Observations

FRAME_NS = 50_000_000
"""20 frames a second."""
AT_ONCE = TrackingConfig(min_hits=1, frame_rate=20.0)


class ByPlace:
    """Objects in the same 100 pixels are one, for ever; its own numbers begin at 0."""

    made: list[ByPlace]

    def __init__(self, options: AssociationOptions) -> None:
        self.options = options
        self.frames: list[int] = []
        self._numbers: dict[int, int] = {}
        ByPlace.made.append(self)

    def update(self, boxes, scores):
        self.frames.append(len(boxes))
        places = (boxes[:, 0] // 100).astype(int).tolist()
        strong = (scores >= self.options.strong_score).tolist()
        return np.array(
            [
                self._numbers.setdefault(place, len(self._numbers)) if is_strong else UNTRACKED
                for place, is_strong in zip(places, strong)
            ],
            np.int64,
        )


@pytest.fixture(autouse=True)
def nothing_made():
    ByPlace.made = []


def seen(*objects: tuple[float, str] | tuple[float, str, float]) -> Observations:
    """Objects of 40 x 20 pixels by x, class and score."""
    rows = [(*each, 0.9)[:3] for each in objects]
    x = np.array([each[0] for each in rows], float)
    boxes = np.stack([x, np.full(len(x), 10.0), x + 40, np.full(len(x), 30.0)], axis=1)
    return Observations(
        boxes, np.array([each[2] for each in rows], float), tuple(each[1] for each in rows)
    )


def ids_of(tracker: CameraTracker, frame: float, *objects) -> list[int]:
    return tracker.update(round(frame * FRAME_NS), seen(*objects)).ids.tolist()


def test_an_object_gets_its_id_when_it_was_seen_as_often_as_asked():
    tracker = CameraTracker(TrackingConfig(min_hits=3, frame_rate=20.0), ByPlace)
    assert [ids_of(tracker, frame, (5, "cup")) for frame in range(4)] == [
        [NO_ID],
        [NO_ID],
        [1],
        [1],
    ]
    assert (tracker.ids_given, tracker.confirmed) == (1, 1)


def test_ids_stand_in_the_order_of_the_detections():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    assert ids_of(tracker, 0, (5, "cup"), (205, "cup")) == [1, 2]
    assert ids_of(tracker, 1, (205, "cup"), (305, "cup"), (5, "cup")) == [2, 3, 1]


@pytest.mark.parametrize(("unseen", "same"), [(20, True), (21, False), (500, False)])
def test_an_object_keeps_its_id_for_as_long_as_max_age_and_no_longer(unseen, same):
    """Though this associator never forgets, and the other object goes on."""
    tracker = CameraTracker(AT_ONCE, ByPlace)
    assert ids_of(tracker, 0, (5, "cup"), (205, "cup")) == [1, 2]
    for frame in range(1, unseen):
        assert ids_of(tracker, frame, (205, "cup")) == [2]
    assert ids_of(tracker, unseen, (205, "cup"), (5, "cup")) == [2, 1 if same else 3]


@pytest.mark.parametrize(("unseen", "same"), [(20, True), (21, False), (10**6, False)])
def test_frames_that_never_came_age_the_tracks_like_empty_ones(unseen, same):
    tracker = CameraTracker(AT_ONCE, ByPlace)
    ids_of(tracker, 0, (5, "cup"))
    assert ids_of(tracker, unseen, (5, "cup")) == [1 if same else 2]


@pytest.mark.parametrize("stamp_ns", [0, 1_700_000_000_000_000_000])
@pytest.mark.parametrize(("unseen", "same"), [(20, True), (21, False), (60, False)])
def test_while_stamps_stand_still_frames_age_the_tracks(stamp_ns, unseen, same):
    tracker = CameraTracker(AT_ONCE, ByPlace)
    tracker.update(stamp_ns, seen((5, "cup"), (205, "cup")))
    for _ in range(1, unseen):
        assert tracker.update(stamp_ns, seen((205, "cup"))).ids.tolist() == [2]
    found = tracker.update(stamp_ns, seen((205, "cup"), (5, "cup"))).ids.tolist()
    assert found == [2, 1 if same else 3]
    assert tracker.resets == 0


@pytest.mark.parametrize(("unseen", "same"), [(120, True), (121, False)])
def test_a_camera_without_clock_and_rate_is_taken_for_a_fast_one(unseen, same):
    tracker = CameraTracker(TrackingConfig(min_hits=1), ByPlace)
    ids = [tracker.update(0, seen((5, "cup"))).ids.tolist()]
    for _ in range(1, unseen):
        tracker.update(0, seen())
    ids.append(tracker.update(0, seen((5, "cup"))).ids.tolist())
    assert ids == [[1], [1 if same else 2]]


def test_without_a_clock_no_more_tracks_are_kept_than_max_age_allows():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    confirmed = []
    for frame in range(100):  # each object is seen once
        tracker.update(0, seen((100.0 * frame + 5, "cup")))
        confirmed.append(tracker.confirmed)
    assert max(confirmed) == confirmed[-1] == 21


def test_time_that_goes_on_after_standing_still_ages_by_stamps_again():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    assert ids_of(tracker, 0, (5, "cup")) == [1]
    for _ in range(15):
        ids_of(tracker, 0)
    for frame in range(1, 20):
        ids_of(tracker, frame)
    assert ids_of(tracker, 20, (5, "cup")) == [1]


def test_empty_frames_end_what_was_there():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    ids_of(tracker, 0, (5, "cup"))
    confirmed = []
    for frame in range(1, 25):
        assert ids_of(tracker, frame) == []
        confirmed.append(tracker.confirmed)
    assert confirmed == [1] * 20 + [0] * 4


def test_the_associator_is_told_of_frames_that_are_missing():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    for frame in (0, 1, 4, 5):
        ids_of(tracker, frame, (5, "cup"))
    (associator,) = ByPlace.made
    assert associator.frames == [1, 1, 0, 0, 1, 1]


def test_the_associator_keeps_for_max_age_what_is_not_seen():
    config = TrackingConfig(min_hits=1, frame_rate=20.0, max_age_s=1.5, strong_score=0.3)
    ids_of(CameraTracker(config, ByPlace), 0, (5, "cup"))
    assert ByPlace.made[0].options == AssociationOptions(max_missed=31, strong_score=0.3)


def test_with_no_rate_known_the_associator_keeps_long_enough_for_a_fast_camera():
    ids_of(CameraTracker(TrackingConfig(max_age_s=0.5), ByPlace), 0, (5, "cup"))
    assert ByPlace.made[0].options.max_missed >= 60


def test_a_detection_of_another_class_is_another_object():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    assert ids_of(tracker, 0, (5, "cup"), (205, "ball")) == [1, 2]
    assert ids_of(tracker, 1, (5, "bottle"), (205, "ball")) == [3, 2]
    assert ids_of(tracker, 2, (5, "cup"), (205, "ball")) == [1, 2]


def test_without_classes_place_alone_counts():
    config = TrackingConfig(min_hits=1, frame_rate=20.0, per_class=False)
    tracker = CameraTracker(config, ByPlace)
    assert ids_of(tracker, 0, (5, "cup"), (205, "ball")) == [1, 2]
    assert ids_of(tracker, 1, (205, "ball"), (5, "bottle")) == [2, 1]
    assert len(ByPlace.made) == 1


def test_what_is_needed_for_a_class_is_given_up_with_its_last_track():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    for number in range(50):
        ids_of(tracker, 100 * number, (5, f"class {number}"), (205, "weak", 0.1))
    held = weakref.WeakSet(ByPlace.made)
    ByPlace.made = []
    assert [each.options for each in held] == [AssociationOptions(max_missed=21)]


@pytest.mark.parametrize("back_to", [0.0, 8.0])
def test_a_jump_back_in_time_ends_all_tracks_and_no_id_is_used_again(back_to):
    tracker = CameraTracker(AT_ONCE, ByPlace)
    for frame in range(10):
        ids_of(tracker, frame, (5, "cup"), (205, "cup"))
    assert ids_of(tracker, back_to, (5, "cup"), (205, "cup")) == [3, 4]
    assert (tracker.resets, tracker.confirmed, tracker.ids_given) == (1, 2, 4)
    assert ids_of(tracker, back_to + 1, (5, "cup"), (205, "cup")) == [3, 4]


def test_a_stamp_that_is_a_little_early_ends_nothing():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    ids_of(tracker, 1, (5, "cup"))
    assert ids_of(tracker, 0.9, (5, "cup")) == [1]
    assert tracker.resets == 0


@pytest.mark.parametrize(
    "bad",
    [
        (float("nan"), 0, 40, 20, 0.9),
        (0, 0, float("inf"), 20, 0.9),
        (0, 0, 0, 20, 0.9),
        (0, 20, 40, 0, 0.9),
        (0, 0, 40, 20, float("nan")),
        (0, 0, 40, 20, 0.0),
    ],
    ids=["x", "width", "no width", "upside down", "score", "no hypothesis"],
)
def test_what_cannot_be_followed_gets_no_id_and_the_others_keep_theirs(bad):
    *box, score = bad
    tracker = CameraTracker(AT_ONCE, ByPlace)
    good = seen((205, "cup"))
    both = Observations(
        np.vstack([np.array([box], float), good.boxes]),
        np.array([score, 0.9]),
        ("cup", "cup"),
    )
    assert tracker.update(0, good).ids.tolist() == [1]
    assert tracker.update(FRAME_NS, both).ids.tolist() == [NO_ID, 1]
    assert ByPlace.made[0].frames == [1, 1]


def test_boxes_come_back_as_they_were():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    for frame, x in enumerate((5, 15, 35)):
        observations = seen((x, "cup"))
        tracks = tracker.update(frame * FRAME_NS, observations)
        assert tracks.boxes.tolist() == observations.boxes.tolist()


def test_smoothing_keeps_a_share_of_the_former_box():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    edges = []
    for frame, x in enumerate((0, 40, 40)):
        given_boxes = seen((x, "cup"))
        tracks = tracker.update(frame * FRAME_NS, given_boxes, smoothing=0.25)
        edges.append(tracks.boxes[0].tolist())
        assert given_boxes.boxes[0, 0] == x  # what was given is left alone
    assert edges == [[0, 10, 40, 30], [30, 10, 70, 30], [37.5, 10, 77.5, 30]]


def test_smoothing_begins_with_the_box_of_a_new_track():
    tracker = CameraTracker(AT_ONCE, ByPlace)
    tracker.update(0, seen((0, "cup")), smoothing=0.5)
    tracks = tracker.update(30 * FRAME_NS, seen((60, "cup")), smoothing=0.5)
    assert (tracks.ids.tolist(), tracks.boxes[0, 0]) == ([2], 60.0)


def test_a_turned_box_is_told_by_the_upright_one_around_it():
    """A 400 x 20 box on end reaches 200 pixels up and down, and 10 to each side."""
    given_boxes: list[list[float]] = []

    class Noting(ByPlace):
        def update(self, boxes, scores):
            given_boxes.extend(boxes.tolist())
            return super().update(boxes, scores)

    turned = Observations(
        np.array([[300.0, 290.0, 700.0, 310.0]]), np.array([0.9]), ("cup",), np.array([np.pi / 2])
    )
    tracks = CameraTracker(AT_ONCE, Noting).update(0, turned)
    assert given_boxes == [pytest.approx([490, 100, 510, 500], abs=1e-3)]
    assert tracks.boxes.tolist() == [[300, 290, 700, 310]]


FRAMES = st.lists(
    st.tuples(
        st.integers(-30, 60),  # how many frames on, or back
        st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.sampled_from([0.0, 0.2, 0.9])),
            max_size=6,
            unique_by=lambda each: each[0],
        ),
    ),
    max_size=30,
)


@given(frames=FRAMES, per_class=st.booleans(), min_hits=st.integers(1, 3))
def test_no_id_stands_twice_in_a_frame_or_comes_back_after_a_jump(frames, per_class, min_hits):
    ByPlace.made = []
    tracker = CameraTracker(
        TrackingConfig(min_hits=min_hits, frame_rate=20.0, per_class=per_class), ByPlace
    )
    time, resets, forbidden, all_ids = 1000, 0, 0, set()
    for step, objects in frames:
        time = max(0, time + step)
        before = tracker.ids_given
        ids = ids_of(tracker, time, *((100.0 * place, *rest) for place, *rest in objects))
        if tracker.resets > resets:
            resets, forbidden = tracker.resets, before
        given_ids = [each for each in ids if each != NO_ID]
        assert len(ids) == len(objects)
        assert len(set(given_ids)) == len(given_ids)
        assert all(each > forbidden for each in given_ids)
        assert tracker.confirmed <= tracker.ids_given
        all_ids.update(given_ids)
    assert all_ids == set(range(1, tracker.ids_given + 1))
