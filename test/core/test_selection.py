from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetson_detect.core.selection import (
    MAX_CANDIDATES,
    MAX_ROTATED_CANDIDATES,
    Candidates,
    Selection,
    class_mask,
    concatenate,
    keep_best,
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


def overlap(a, b):
    """Intersection over union of two boxes, by the numbers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def greedy(boxes, scores, classes, threshold, agnostic, overlap_of=overlap):
    """Suppress as the textbook does: the best first, then all that it covers go."""
    left = sorted(range(len(boxes)), key=lambda index: -scores[index])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [
            index
            for index in left
            if not (agnostic or classes[index] == classes[best])
            or overlap_of(boxes[best], boxes[index]) <= threshold
        ]
    return kept


@st.composite
def crowds(draw):
    """Boxes on a coarse grid, so that many overlap; all scores differ."""
    count = draw(st.integers(0, 40))
    corner, size = st.integers(-5, 20), st.integers(1, 12)
    boxes = [
        (x, y, x + draw(size), y + draw(size))
        for x, y in (draw(st.tuples(corner, corner)) for _ in range(count))
    ]
    classes = [draw(st.integers(0, 3)) for _ in range(count)]
    order = draw(st.permutations(range(count)))
    return boxes, [0.3 + 0.6 * rank / 40 for rank in order], classes


def as_candidates(boxes, scores, classes, angles=None):
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32).reshape(-1, 1),
        np.array(classes, np.int32).reshape(-1, 1),
        angles if angles is None else np.array(angles, np.float32),
    )


# Between the fractions that boxes of whole pixels overlap by, so that rounding decides nothing.
thresholds = st.sampled_from([0.1003, 0.3002, 0.5003, 0.7001])


@given(crowds(), thresholds, st.booleans(), st.integers(1, 40))
def test_suppression_keeps_what_the_textbook_keeps(crowd, threshold, agnostic, most):
    boxes, scores, classes = crowd
    selection = Selection(iou_threshold=threshold, class_agnostic=agnostic, max_detections=most)
    kept = suppress(as_candidates(boxes, scores, classes), selection)
    expected = greedy(boxes, scores, classes, threshold, agnostic)[:most]
    assert kept.boxes.tolist() == [list(map(float, boxes[index])) for index in expected]
    assert kept.class_ids[:, 0].tolist() == [classes[index] for index in expected]


@pytest.mark.parametrize("agnostic", [False, True])
def test_thousands_of_candidates_keep_what_the_textbook_keeps(agnostic):
    rng = np.random.default_rng(7)
    corners = rng.integers(0, 600, (3000, 2))
    boxes = np.concatenate([corners, corners + rng.integers(10, 90, (3000, 2))], axis=1)
    scores = rng.permutation(3000) / 3000
    classes = rng.integers(0, 80, 3000)
    selection = Selection(iou_threshold=0.4503, class_agnostic=agnostic, max_detections=300)
    kept = suppress(as_candidates(boxes, scores, classes), selection)
    expected = greedy(boxes.tolist(), scores, classes, 0.4503, agnostic)[:300]
    np.testing.assert_array_equal(kept.boxes, boxes[expected])


def test_what_ranks_below_the_cap_is_not_looked_at():
    count = MAX_CANDIDATES + 5
    boxes = np.zeros((count, 4))
    boxes[:, 0] = np.arange(count) * 20
    boxes[:, 2:] = boxes[:, :2] + 10
    crowd = as_candidates(boxes, np.linspace(0.9, 0.3, count), np.zeros(count))
    assert len(suppress(crowd, Selection(max_detections=10**6))) == MAX_CANDIDATES


def test_hypotheses_stay_with_their_boxes():
    pair = Candidates(
        np.array([[0, 0, 9, 9], [50, 0, 59, 9]], np.float32),
        np.array([[0.5, 0.4], [0.9, 0.3]], np.float32),
        np.array([[1, 2], [3, 4]], np.int32),
    )
    kept = suppress(pair, Selection())
    assert kept.class_ids.tolist() == [[3, 4], [1, 2]]


def test_suppression_compares_the_best_class_alone():
    pair = Candidates(
        np.array([[0, 0, 9, 9], [0, 0, 9, 9]], np.float32),
        np.array([[0.9, 0.4], [0.8, 0.3]], np.float32),
        np.array([[1, 2], [2, 1]], np.int32),
    )
    assert len(suppress(pair, Selection())) == 2


# -- rotated ---------------------------------------------------------------------------------------


def polygon_overlap(a, b):
    """Intersection over union of (box, angle) pairs as polygons; and whether one is inside."""
    shapes = []
    for (x1, y1, x2, y2), angle in (a, b):
        x, y, cos, sin = (x1 + x2) / 2, (y1 + y2) / 2, math.cos(angle), math.sin(angle)
        offsets = [(x1 - x, y1 - y), (x2 - x, y1 - y), (x2 - x, y2 - y), (x1 - x, y2 - y)]
        shapes.append(
            np.array(
                [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in offsets],
                np.float32,
            )
        )
    shared, _ = cv2.intersectConvexConvex(*shapes)
    areas = [cv2.contourArea(shape) for shape in shapes]
    return shared / (sum(areas) - shared), shared > 0.99 * min(areas)


CROSS = as_candidates(
    [[0, 40, 100, 60], [0, 40, 100, 60]], [0.9, 0.8], [0, 0], [math.pi / 4, -math.pi / 4]
)


def test_crossing_boxes_with_the_same_hull_do_not_suppress_each_other():
    # They share 20 x 20 of 2 * 2000 - 400: 0.11.
    assert len(suppress(CROSS, Selection(iou_threshold=0.2))) == 2
    assert len(suppress(CROSS, Selection(iou_threshold=0.1))) == 1


def test_half_a_turn_makes_no_difference():
    turned = as_candidates([[0, 40, 100, 60]] * 2, [0.9, 0.8], [0, 0], [0.3, 0.3 + math.pi])
    kept = suppress(turned, Selection(iou_threshold=0.9))
    np.testing.assert_allclose(kept.angles, [0.3], rtol=1e-6)


@pytest.mark.parametrize(("class_agnostic", "expected"), [(False, 2), (True, 1)])
def test_rotated_boxes_of_other_classes_suppress_only_when_asked_to(class_agnostic, expected):
    stacked = as_candidates([[0, 40, 100, 60]] * 2, [0.9, 0.8], [4, 1000], [0.3, 0.3])
    kept = suppress(stacked, Selection(iou_threshold=0.5, class_agnostic=class_agnostic))
    assert len(kept) == expected


def test_a_box_wholly_inside_a_better_one_of_its_class_counts_as_covered():
    # 10 x 10 in 100 x 100 overlap by 0.01; OpenCV's rotated overlap is 1 for whatever is enclosed.
    nested = as_candidates([[0, 0, 100, 100], [45, 45, 55, 55]], [0.9, 0.8], [0, 0], [0.0, 0.3])
    assert len(suppress(nested, Selection(iou_threshold=0.5))) == 1


@settings(deadline=None, max_examples=50)
@given(crowds(), st.lists(st.integers(-8, 24), min_size=40, max_size=40), st.booleans())
def test_rotated_suppression_keeps_what_the_textbook_keeps(crowd, turns, agnostic):
    threshold = 0.3
    rows = []
    for box, score, class_id, turn in zip(*crowd, turns):
        shape = (box, turn * math.pi / 32)
        overlaps = [polygon_overlap(shape, other) for other, *_ in rows]
        # Leave out what float32 could see either way, and what one box encloses of another.
        if all(abs(share - threshold) > 0.01 and not nested for share, nested in overlaps):
            rows.append((shape, score, class_id))
    shapes, scores, classes = zip(*rows) if rows else ((), (), ())
    kept = suppress(
        as_candidates([box for box, _ in shapes], scores, classes, [turn for _, turn in shapes]),
        Selection(iou_threshold=threshold, class_agnostic=agnostic),
    )
    expected = greedy(
        shapes, scores, classes, threshold, agnostic, lambda a, b: polygon_overlap(a, b)[0]
    )
    assert kept.boxes.tolist() == [list(map(float, shapes[index][0])) for index in expected]


def test_rotated_boxes_have_a_cap_of_their_own():
    count = MAX_ROTATED_CANDIDATES + 5
    boxes = np.zeros((count, 4))
    boxes[:, 0] = np.arange(count) * 20
    boxes[:, 2:] = boxes[:, :2] + 10
    crowd = as_candidates(boxes, np.linspace(0.9, 0.3, count), np.zeros(count), np.full(count, 0.5))
    assert len(suppress(crowd, Selection(max_detections=10**6))) == MAX_ROTATED_CANDIDATES


# -- without suppression ---------------------------------------------------------------------------


def test_lists_of_detections_are_sorted_and_cut():
    kept = keep_best(candidates(*OVERLAPPING), Selection(max_detections=2))
    np.testing.assert_allclose(kept.scores[:, 0], [0.9, 0.8])


def test_pieces_are_joined_with_their_angles():
    one = as_candidates([[0, 0, 1, 1]], [0.5], [1], [0.25])
    none = as_candidates([], [], [], [])
    joined = concatenate([one, none, one])
    assert joined.boxes.tolist() == [[0, 0, 1, 1]] * 2
    assert joined.angles is not None
    assert joined.angles.tolist() == [0.25, 0.25]
    assert len(concatenate([none, none])) == 0
