from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import caption
from jetson_detect.core.golden_comparison import MatchRule
from jetson_detect.report.object_marks import ComparedObjects, FrameDifference
from jetson_detect.report.replayed_frame import ReplayedFrame

BALL = (0, 0.9, (10, 10, 30, 30))
BALL_MOVED = (0, 1.0, (12, 10, 32, 30))
BOX_THERE = (1, 0.8, (10, 10, 30, 30))
CONE_FAR = (2, 0.7, (100, 50, 120, 90))


def compare(frame: ReplayedFrame, **rule: float) -> ComparedObjects:
    return ComparedObjects.of(frame, MatchRule(**rule))


def marks(compared: ComparedObjects) -> list[tuple[str, str]]:
    return [(mark.kind, mark.text) for mark in compared.marks()]


def test_objects_of_one_class_that_overlap_are_the_same(make_frame, objects):
    compared = compare(make_frame(found=objects(BALL), truth=objects(BALL_MOVED)))
    assert compared.difference("truth") == FrameDifference(missed=0, extra=0)
    assert marks(compared) == [("truth", "ball"), ("found", "ball 0.90")]


def test_another_class_in_the_same_place_is_missed_and_extra(make_frame, objects):
    compared = compare(make_frame(found=objects(BOX_THERE), truth=objects(BALL)))
    assert compared.difference("truth") == FrameDifference(missed=1, extra=1)
    assert compared.difference("truth").total == 2
    assert marks(compared) == [("truth", "missed: ball"), ("found", "extra: box 0.80")]


def test_truth_judges_what_is_extra_where_both_are_known(make_frame, objects):
    frame = make_frame(found=objects(BALL, CONE_FAR), truth=objects(BALL), golden=objects(CONE_FAR))
    compared = compare(frame)
    assert compared.difference("truth") == FrameDifference(missed=0, extra=1)
    assert compared.difference("golden") == FrameDifference(missed=0, extra=1)
    assert marks(compared) == [
        ("truth", "ball"),
        ("golden", "cone 0.70"),
        ("found", "extra: cone 0.70"),
        ("found", "ball 0.90"),
    ]


def test_without_truth_the_earlier_run_judges(make_frame, objects):
    compared = compare(make_frame(found=objects(BALL), golden=objects()))
    assert marks(compared) == [("found", "extra: ball 0.90")]


def test_with_nothing_to_compare_with_nothing_is_wrong(make_frame, objects):
    compared = compare(make_frame(found=objects(BALL)))
    assert compared.references == {}
    assert marks(compared) == [("found", "ball 0.90")]


def test_what_only_one_of_the_two_has_counts_from_the_sure_score_on(make_frame, objects):
    weak, sure = (0, 0.4, (100, 50, 120, 90)), (2, 0.5, (60, 50, 90, 90))
    far = (1, 0.3, (10, 80, 30, 100))
    frame = make_frame(found=objects(BALL, sure, weak), golden=objects(BALL, far))
    compared = compare(frame, sure_score=0.5)
    assert compared.difference("golden") == FrameDifference(missed=0, extra=1)


def test_the_truth_is_sure_whatever_its_scores_are(make_frame, objects):
    unscored = (2, 0.0, (100, 50, 120, 90))
    frame = make_frame(found=objects(BALL), truth=objects(BALL, unscored))
    compared = compare(frame, sure_score=0.5)
    assert compared.difference("truth") == FrameDifference(missed=1, extra=0)


@pytest.mark.parametrize(("iou", "differences"), [(0.81, 0), (0.82, 2)])
def test_how_far_boxes_must_overlap_can_be_said(make_frame, objects, iou, differences):
    # 18 of 22 columns are in both.
    frame = make_frame(found=objects(BALL), truth=objects(BALL_MOVED))
    assert compare(frame, iou=iou).difference("truth").total == differences


def test_rotated_boxes_are_compared_by_their_hulls_and_drawn_as_they_are(make_frame, objects):
    upright = objects((0, 0.9, (40, 20, 60, 60)))
    turned = Detections(
        np.array([[30, 30, 70, 50]], np.float32),
        upright.scores,
        upright.class_ids,
        np.array([np.pi / 2], np.float32),
    )
    compared = compare(make_frame(found=turned, truth=upright))
    assert compared.difference("truth").total == 0
    np.testing.assert_allclose(
        compared.marks()[-1].corners, [(60, 20), (60, 60), (40, 60), (40, 20)], atol=1e-5
    )


def test_classes_without_a_name_are_told_as_at_the_painted_boxes(make_frame, objects):
    box = (0, 0, 10, 10)
    frame = make_frame(found=objects((0, 0.9, box), (7, 0.8, box), (-1, 0.7, box)))
    texts = [mark.text for mark in compare(frame).marks()]
    assert texts == ["unknown 0.70", "7 0.80", "ball 0.90"]
    assert texts == [caption(*row, frame.labels) for row in ((-1, 0.7), (7, 0.8), (0, 0.9))]
