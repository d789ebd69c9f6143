from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.agreement import Agreement, compare_detections, iou_matrix
from jetson_detect.core.detections import Detections


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Rows of x_min, y_min, x_max, y_max, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections.from_best(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def test_the_iou_of_boxes_is_their_common_area_by_that_of_both():
    first = np.array([[0, 0, 10, 10], [0, 0, 4, 5]], np.float32)
    second = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32)
    # 50 of 150; apart; the same.  4 x 5 against the first: apart; 20 of 100.
    np.testing.assert_allclose(iou_matrix(first, second), [[1 / 3, 0, 1], [0, 0, 0.2]])


def test_two_empty_boxes_at_one_place_do_not_overlap():
    point = np.array([[3, 3, 3, 3]], np.float32)
    assert iou_matrix(point, point).tolist() == [[0.0]]


def test_the_largest_differences_over_all_pictures_count():
    found = [detections((0, 0, 10, 10, 0.9, 0)), detections((5, 5, 25, 25.5, 0.6, 1))]
    reference = [detections((0, 0, 10.25, 10, 0.85, 0)), detections((5, 5, 25, 25, 0.8, 1))]
    agreement = compare_detections(found, reference, 0.5)
    assert (agreement.matched, agreement.missed, agreement.extra) == (2, 0, 0)
    assert agreement.box_px == 0.5
    assert agreement.score == pytest.approx(0.2, abs=1e-6)


def test_what_only_one_of_them_is_sure_of_is_missed_or_extra():
    found = [detections((0, 0, 10, 10, 0.9, 0))]
    reference = [detections((50, 50, 60, 60, 0.9, 0), (80, 80, 90, 90, 0.9, 1))]
    assert compare_detections(found, reference, 0.5) == Agreement(0, 2, 1, 0.0, 0.0)


def test_objects_of_different_classes_do_not_match():
    box = (0.0, 0.0, 10.0, 10.0, 0.9)
    agreement = compare_detections([detections((*box, 0))], [detections((*box, 1))], 0.5)
    assert (agreement.matched, agreement.missed, agreement.extra) == (0, 1, 1)


def test_a_candidate_just_below_the_threshold_is_no_disagreement():
    found = [detections((0, 0, 10, 10, 0.49, 0), (50, 50, 60, 60, 0.1, 0))]
    reference = [detections((0, 0, 10, 10, 0.51, 0))]
    agreement = compare_detections(found, reference, 0.5)
    assert (agreement.matched, agreement.missed, agreement.extra) == (1, 0, 0)


def test_the_pair_that_overlaps_most_matches_first_and_each_box_once():
    found = [detections((0, 0, 10, 10, 0.9, 0), (1, 0, 11, 10, 0.9, 0))]
    reference = [detections((1, 0, 11, 10, 0.9, 0))]
    agreement = compare_detections(found, reference, 0.5)
    assert (agreement.matched, agreement.extra, agreement.box_px) == (1, 1, 0.0)


def test_empty_pictures_agree():
    assert compare_detections([Detections.empty()], [Detections.empty()], 0.5).matched == 0


def test_different_numbers_of_pictures_cannot_be_compared():
    with pytest.raises(ValueError, match="1 pictures cannot be compared with 2"):
        compare_detections([detections()], [detections(), detections()], 0.5)


def test_with_a_threshold_of_0_boxes_that_do_not_touch_match_but_classes_still_tell_apart():
    ours = [detections((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 1))]
    theirs = [detections((50, 50, 60, 60, 0.9, 0))]
    agreement = compare_detections(ours, theirs, 0.5, iou_threshold=0.0)
    assert (agreement.matched, agreement.missed, agreement.extra) == (1, 0, 1)
