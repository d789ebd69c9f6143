from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.detections import Detections
from jetson_detect.core.golden_comparison import GoldenComparison, MatchRule, compare_frame

NAMES = ["ball", "box", "cone"]


def objects(*rows: tuple[float, ...], angles: list[float] | None = None) -> Detections:
    """Make detections of rows x_min, y_min, x_max, y_max, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    made = Detections.from_best(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))
    if angles is None:
        return made
    return Detections(made.boxes, made.scores, made.class_ids, np.array(angles, np.float32))


BALL = (10, 10, 30, 30, 0.9, 0)
BOX = (50, 10, 90, 40, 0.8, 1)
CONE = (100, 100, 120, 140, 0.7, 2)


def test_what_only_one_of_the_two_has_is_missed_or_extra_by_its_class():
    frame = compare_frame(objects(BALL, CONE), objects(BALL, BOX), NAMES, name="frame 3")
    assert (frame.objects, frame.matched) == (2, 1)
    assert (frame.missed, frame.extra) == ({"box": 1}, {"cone": 1})
    assert (frame.missed_count, frame.extra_count, frame.differences) == (1, 1, 2)
    assert (frame.moved_px, frame.score_drift) == (0.0, 0.0)
    assert str(frame) == "frame 3: missed box, extra cone"


def test_an_object_in_its_place_but_of_another_class_is_missed_and_extra():
    frame = compare_frame(objects((*BALL[:5], 1)), objects(BALL), NAMES)
    assert (frame.matched, frame.missed, frame.extra) == (0, {"ball": 1}, {"box": 1})


def test_the_move_is_that_of_the_edge_that_moved_most_and_the_drift_that_of_the_score():
    found = objects((13.5, 10, 30, 30, 0.85, 0), (50, 10, 91, 40, 0.8, 1))
    frame = compare_frame(found, objects(BALL, BOX), NAMES)
    assert (frame.matched, frame.differences) == (2, 0)
    assert str(frame) == ": moved 3.50 px, score differs by 0.050"
    assert frame.moved_px == pytest.approx(3.5)
    assert frame.score_drift == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(("iou", "matched"), [(0.5, 1), (0.51, 0)])
def test_boxes_match_from_the_overlap_on_that_the_rule_names(iou, matched):
    half = objects((0, 0, 20, 10, 0.9, 0))  # half of the other: an IoU of exactly 0.5
    frame = compare_frame(half, objects((0, 0, 20, 20, 0.9, 0)), NAMES, MatchRule(iou=iou))
    assert (frame.matched, frame.missed_count, frame.extra_count) == (
        matched, 1 - matched, 1 - matched
    )  # fmt: skip


def test_below_the_sure_score_nothing_is_missed_or_extra():
    weak_cone = (*CONE[:4], 0.31, 2)
    rule = MatchRule(sure_score=0.35)
    frame = compare_frame(objects(BALL, weak_cone), objects(BALL, BOX), NAMES, rule)
    assert (frame.missed, frame.extra) == ({"box": 1}, {})
    frame = compare_frame(objects(BALL), objects(BALL, weak_cone), NAMES, rule)
    assert (frame.objects, frame.differences) == (1, 0)


def test_a_weak_object_matches_a_sure_one():
    rule = MatchRule(sure_score=0.8)
    frame = compare_frame(objects((*BALL[:4], 0.4, 0)), objects(BALL), NAMES, rule)
    assert (frame.matched, frame.differences) == (1, 0)
    assert frame.score_drift == pytest.approx(0.5, abs=1e-6)


def test_rotated_boxes_are_compared_by_their_upright_hulls():
    turned = objects((0, 10, 40, 30, 0.9, 0), angles=[np.pi / 2])
    frame = compare_frame(turned, objects((10, 0, 30, 40, 0.9, 0)), NAMES)
    assert frame.matched == 1
    assert frame.moved_px == pytest.approx(0.0, abs=1e-4)


def test_a_class_beyond_the_names_is_named_by_its_index_and_no_class_is_unknown():
    frame = compare_frame(objects((*BALL[:5], 7), (*BOX[:5], -1)), objects(), NAMES)
    assert frame.extra == {"7": 1, "unknown": 1}


def test_two_classes_of_one_name_are_counted_together():
    two = objects((*BALL[:5], 3), (*BOX[:5], -1))
    names = [*NAMES, "unknown"]
    assert compare_frame(two, objects(), names).extra == {"unknown": 2}
    assert compare_frame(objects(), two, names).missed == {"unknown": 2}


boxes = st.tuples(
    *[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2, st.integers(1, 100), st.integers(0, 2)
).map(lambda row: (row[0], row[1], row[0] + row[2], row[1] + row[3], row[4] / 100, row[5]))
sets = st.lists(boxes, max_size=12).map(
    lambda rows: objects(*sorted(rows, key=lambda row: -row[4]))
)


@given(sets, sets, st.sampled_from([0.1, 0.5, 0.9]))
def test_each_object_is_matched_once_or_alone(found, reference, iou):
    frame = compare_frame(found, reference, NAMES, MatchRule(iou))
    assert frame.matched + frame.missed_count == len(reference) == frame.objects
    assert frame.matched + frame.extra_count == len(found)
    for class_id, name in enumerate(NAMES):
        ours, theirs = (int((each.best_class_ids == class_id).sum()) for each in (found, reference))
        both = ours - frame.extra.get(name, 0)
        assert both == theirs - frame.missed.get(name, 0)
        assert 0 <= both <= min(ours, theirs)


@given(sets, sets)
def test_seen_from_the_other_side_missed_is_extra(found, reference):
    frame, mirrored = (
        compare_frame(*pair, NAMES) for pair in ((found, reference), (reference, found))
    )
    assert frame.matched == mirrored.matched
    assert (frame.missed, frame.extra) == (mirrored.extra, mirrored.missed)


@given(sets)
def test_a_run_differs_in_nothing_from_itself(found):
    frame = compare_frame(found, found, NAMES)
    assert (frame.matched, frame.differences) == (len(found), 0)
    assert (frame.moved_px, frame.score_drift) == (0.0, 0.0)


def test_the_figures_of_a_run_add_up():
    comparison = GoldenComparison(NAMES)
    comparison.add("frame 0", 100, objects(BALL, CONE), objects(BALL, BOX))
    comparison.add("frame 1", 200, objects((12, 10, 30, 30, 0.8, 0)), objects(BALL))
    comparison.add("frame 2", 300, objects(), objects())
    assert comparison.add("frame 3", 400, objects(BALL), None) is None
    figures = comparison.figures()
    assert [frame.name for frame in figures.frames] == ["frame 0", "frame 1", "frame 2"]
    assert [frame.stamp_ns for frame in figures.frames] == [100, 200, 300]
    assert figures.unknown == ("frame 3",)
    assert (figures.objects, figures.matched) == (3, 2)
    assert (figures.missed, figures.extra) == (1, 1)
    assert (figures.moved_px.largest, figures.moved_px.mean) == (2.0, 1.0)
    assert figures.score_drift.largest == pytest.approx(0.1, abs=1e-6)
    # Ball: both found; box: never; cone is not in the truth.
    assert figures.accuracy is not None
    assert figures.accuracy.ap50_by_class == {"ball": pytest.approx(1.0), "box": 0.0}
    assert figures.accuracy.map50 == pytest.approx(0.5)


def test_the_figures_are_json_with_the_worst_frames_first():
    comparison = GoldenComparison(NAMES)
    comparison.add("frame 0", 1, objects(BALL), objects(BALL))
    comparison.add("frame 1", 2, objects(), objects(BALL))
    comparison.add("frame 2", 3, objects(CONE), objects(BALL, BOX))
    document = json.loads(json.dumps(comparison.figures().to_json()))
    assert [frame["name"] for frame in document["worst_frames"]] == ["frame 2", "frame 1"]
    assert document["worst_frames"][0]["missed"] == {"ball": 1, "box": 1}
    assert (document["frames"], document["missed"], document["extra"]) == (3, 3, 1)
    # A third of the balls is found, which 34 of COCO's 101 recalls are not above; no box is.
    assert document["map50"] == pytest.approx(34 / 101 / 2)


def test_without_an_object_in_the_reference_the_accuracy_is_unknown():
    comparison = GoldenComparison(NAMES)
    comparison.add("frame 0", 1, objects(BALL), objects())
    figures = comparison.figures()
    assert figures.accuracy is None
    assert figures.accuracy_problem == "the reference holds no object"
    assert figures.to_json()["map50"] is None


def test_labels_without_a_score_are_as_sure_as_the_truth_is():
    truth = objects((*BALL[:4], 0.0, 0), (*BOX[:4], 0.0, 1))
    rule = MatchRule(sure_score=0.35, is_truth=True)
    frame = compare_frame(objects(BALL), truth, NAMES, rule)
    assert (frame.objects, frame.matched, frame.missed) == (2, 1, {"box": 1})
    assert frame.score_drift == 0.0


@pytest.mark.parametrize("rule", [{"iou": 0.0}, {"iou": 1.1}, {"sure_score": 2.0}])
def test_a_rule_by_which_anything_or_nothing_matches_is_refused(rule):
    with pytest.raises(ValueError, match="is not"):
        MatchRule(**rule)
