from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.selection import (
    Candidates,
    Selection,
    class_mask,
    rank_hypotheses,
    suppress,
)


def candidates(*rows: tuple[float, float, float, float, float, int]) -> Candidates:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Candidates(table[:, :4], table[:, 4:5], table[:, 5:].astype(np.int32))


# Two boxes that overlap by 0.6 (15 of 25 columns), and one far away.
OVERLAPPING = ((0, 0, 20, 10, 0.8, 0), (5, 0, 25, 10, 0.9, 0), (50, 50, 60, 60, 0.5, 0))


def test_the_better_of_two_overlapping_boxes_stays_best_first():
    kept = suppress(candidates(*OVERLAPPING), Selection(iou_threshold=0.5))
    np.testing.assert_allclose(kept.scores[:, 0], [0.9, 0.5])


def test_boxes_that_overlap_less_than_the_threshold_both_stay():
    kept = suppress(candidates(*OVERLAPPING), Selection(iou_threshold=0.61))
    assert len(kept) == 3


def test_a_threshold_of_one_suppresses_nothing():
    same = candidates((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0))
    assert len(suppress(same, Selection(iou_threshold=1.0))) == 2


@pytest.mark.parametrize(("class_agnostic", "expected"), [(False, 2), (True, 1)])
def test_other_classes_suppress_only_when_asked_to(class_agnostic, expected):
    stacked = candidates((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 5))
    kept = suppress(stacked, Selection(iou_threshold=0.5, class_agnostic=class_agnostic))
    assert len(kept) == expected


def test_boxes_left_of_the_origin_do_not_meet_boxes_of_another_class():
    rows = candidates((-40, 0, -20, 10, 0.9, 1), (1, 0, 21, 10, 0.8, 0), (-40, 0, -20, 10, 0.7, 0))
    assert len(suppress(rows, Selection(iou_threshold=0.1))) == 3


def test_at_most_max_detections_are_kept_the_best_ones():
    kept = suppress(candidates(*OVERLAPPING), Selection(iou_threshold=1.0, max_detections=2))
    np.testing.assert_allclose(kept.scores[:, 0], [0.9, 0.8])


def test_no_candidates_give_no_detections():
    assert len(suppress(candidates(), Selection())) == 0


def test_hypotheses_are_ranked_and_those_below_the_threshold_are_blank():
    scores, class_ids = rank_hypotheses(
        np.array([[0.1, 0.9, 0.5]], np.float32), Selection(score_threshold=0.4, hypotheses=3)
    )
    assert class_ids.tolist() == [[1, 2, 0]]
    np.testing.assert_allclose(scores, [[0.9, 0.5, 0.0]])


def test_no_more_hypotheses_than_classes():
    scores, class_ids = rank_hypotheses(
        np.array([[0.7, 0.9]], np.float32), Selection(hypotheses=10)
    )
    assert scores.shape == class_ids.shape == (1, 2)


def test_the_class_mask_ignores_classes_that_do_not_exist():
    assert class_mask(3, Selection()) is None
    mask = class_mask(3, Selection(class_ids=frozenset({1, 7})))
    assert mask is not None
    assert mask.tolist() == [False, True, False]
