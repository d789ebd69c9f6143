from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.engines.proof.detection_agreement import (
    AveragePrecision,
    Spread,
    WorstFrame,
    compare_frames,
    precision_against_source,
    precision_against_truth,
)
from jetson_detect.core.model import ColorOrder, InputSpec, Layout

INPUT = InputSpec(160, 160, Layout.NHWC, ColorOrder.RGB)
SURE = 0.5


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of x_min, y_min, x_max, y_max, score, class, and an angle if all have one."""
    if not rows:
        return Detections.empty()
    table = np.array(rows, np.float32)
    found = Detections.from_best(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))
    if table.shape[1] == 6:
        return found
    return Detections(found.boxes, found.scores, found.class_ids, table[:, 6])


A = (10, 10, 50, 50, 0.9, 0)
B = (80, 80, 120, 140, 0.8, 1)


def test_what_both_find_in_all_frames_is_added_up():
    engine = [detections(A, B), detections(), detections(A)]
    source = [detections(A), detections(A), detections(A, (*B[:4], 0.4, 1))]
    agreement = compare_frames(engine, source, [(160, 160)] * 3, INPUT, SURE)
    assert (agreement.objects, agreement.matched) == (3, 2)
    assert (agreement.missed, agreement.extra) == (1, 1)
    assert agreement.disagreement == 0.5


def test_differences_are_the_largest_of_each_frame_with_a_match():
    moved = (12, 10, 50, 50, 0.85, 0)
    engine = [detections(A), detections(moved), detections()]
    agreement = compare_frames(engine, [detections(A)] * 3, [(160, 160)] * 3, INPUT, SURE)
    assert agreement.box_px == Spread(mean=1.0, p99=pytest.approx(1.98), largest=2.0)
    assert agreement.score.largest == pytest.approx(0.05)
    assert agreement.score.mean == pytest.approx(0.025)


def test_edges_are_also_told_in_pixels_of_the_input_whatever_the_size_of_the_picture():
    moved = (14, 10, 50, 50, 0.9, 0)
    # 640x480 fits into 160x160 at a quarter, 80x80 at the double.
    agreement = compare_frames(
        [detections(moved)] * 2, [detections(A)] * 2, [(640, 480), (80, 80)], INPUT, SURE
    )
    assert agreement.box_px == Spread(4.0, 4.0, 4.0)
    assert agreement.box_input_px.largest == 8.0
    assert agreement.box_input_px.mean == 4.5


def test_the_worst_frame_is_the_one_with_most_objects_that_only_one_finds_then_by_edges():
    moved, other = (13, 10, 50, 50, 0.9, 0), (*A[:5], 1)
    engine = [detections(A), detections(moved), detections(A)]
    worst = compare_frames(engine, [detections(A)] * 3, [(160, 160)] * 3, INPUT, SURE).worst
    assert worst == WorstFrame(index=1, missed=0, extra=0, box_px=3.0)
    engine[2] = detections(other)
    worst = compare_frames(engine, [detections(A)] * 3, [(160, 160)] * 3, INPUT, SURE).worst
    assert worst == WorstFrame(index=2, missed=1, extra=1, box_px=0.0)


def test_boxes_that_are_turned_otherwise_do_not_agree():
    source = detections((10, 40, 90, 60, 0.9, 0, 0.0))
    turned = detections((10, 40, 90, 60, 0.9, 0, 0.1))
    assert compare_frames([source], [source], [(160, 160)], INPUT, SURE).box_px.largest == 0
    # Upright: half a height of 40 sin 0.1 + 10 cos 0.1 instead of 10.
    agreement = compare_frames([turned], [source], [(160, 160)], INPUT, SURE)
    assert agreement.box_px.largest == pytest.approx(40 * np.sin(0.1) + 10 * np.cos(0.1) - 10)


def test_other_numbers_of_frames_cannot_be_compared():
    with pytest.raises(ValueError, match="2, 1 and 1 frames"):
        compare_frames([detections()] * 2, [detections()], [(1, 1)], INPUT, SURE)


def test_the_sources_sure_objects_are_the_truth_for_the_engine():
    weak = (*B[:4], 0.3, 1)
    assert precision_against_source(
        [detections(A, weak)], [detections(A, weak)], SURE
    ) == AveragePrecision(1, pytest.approx(1.0), pytest.approx(1.0))
    # One of two objects of class 0 is found: recall 0.5 at precision 1, by 101 points.
    half = precision_against_source([detections(A), detections()], [detections(A)] * 2, SURE)
    assert half.engine50 == pytest.approx(51 / 101)
    assert half.drop50 == pytest.approx(50 / 101)


def test_a_class_beyond_the_labels_is_compared_too():
    strange, other = (*A[:5], 977), (*A[:5], -3)
    assert (
        precision_against_source([detections(strange)], [detections(strange)], SURE).engine50 > 0.99
    )
    assert precision_against_source([detections(other)], [detections(strange)], SURE).engine50 == 0
    assert precision_against_source([detections(other)], [detections(other)], SURE).engine50 > 0.99


def test_turned_boxes_have_an_average_precision():
    turned = detections((10, 40, 90, 60, 0.9, 0, 0.7))
    assert precision_against_source([turned], [turned], SURE).engine50 == pytest.approx(1.0)


def test_without_objects_there_is_no_average_precision():
    assert precision_against_source([detections(A)], [detections()], SURE) is None
    assert precision_against_truth([detections(A)], [detections(A)], [None]) is None
    assert precision_against_truth([detections(A)], [detections(A)], [detections()]) is None


def test_engine_and_source_are_compared_with_the_truth_of_the_frames_that_have_any():
    both = precision_against_truth(
        [detections(), detections(A), detections()],
        [detections(A), detections(A), detections()],
        [detections(A), detections(A), None],
    )
    assert (both.objects, both.source50) == (2, pytest.approx(1.0))
    assert both.engine50 == pytest.approx(51 / 101)
    assert both.drop50 == pytest.approx(50 / 101)
