"""The account that an observer keeps."""

from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.watch_log import WatchLog

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def boxes_at(*lefts: float, class_id: int = 0, score: float = 0.9) -> Detections:
    count = len(lefts)
    boxes = np.array([(left, 10, left + 20, 40) for left in lefts], np.float32).reshape(-1, 4)
    return Detections.from_best(
        boxes, np.full(count, score, np.float32), np.full(count, class_id, np.int32)
    )


def test_answers_are_counted_and_timed_by_their_stamps() -> None:
    log = WatchLog()
    log.names.learn_labels({0: "ball", 1: "cup"})
    for number in range(11):
        stamp = NOW + number * SECOND // 10
        found = boxes_at(0, 50) if number else boxes_at()
        log.add_answer(stamp, found, stamp + SECOND // 50, 100.0 + number / 10)
    summary = log.summary()
    assert (summary.frames, summary.empty, summary.detections) == (11, 1, 20)
    assert summary.by_class == {"ball": 20}
    assert summary.fps == pytest.approx(10.0)
    assert summary.latency_p50_s == pytest.approx(0.02)
    assert summary.accuracy is None


@pytest.mark.parametrize("stamp", [0, NOW - 61 * SECOND, NOW + 61 * SECOND])
def test_latency_is_unknown_for_stamps_of_another_time(stamp: int) -> None:
    log = WatchLog()
    log.add_answer(stamp, boxes_at(), NOW, 1.0)
    assert log.summary().latency_p50_s is None


def test_answers_without_stamps_are_all_counted() -> None:
    log = WatchLog()
    for number in range(3):
        log.add_answer(0, boxes_at(), NOW, float(number))
    assert log.frames == 3


def test_a_second_answer_to_the_same_frame_is_not_counted_as_a_frame() -> None:
    log = WatchLog()
    for _ in range(2):
        log.add_answer(NOW, boxes_at(1), NOW, 1.0)
    assert (log.summary().frames, log.summary().repeated) == (1, 1)


@pytest.mark.parametrize("truth_first", [True, False])
def test_accuracy_compares_answer_and_truth_of_the_same_stamp(truth_first: bool) -> None:
    log = WatchLog(with_truth=True)
    log.names.learn_labels({0: "ball", 1: "cup"})
    for number in range(4):
        stamp, found = NOW + number, boxes_at(10 * number)
        missed = boxes_at(500) if number == 3 else found
        if truth_first:
            log.add_truth(stamp, found)
        log.add_answer(stamp, missed, NOW, float(number))
        if not truth_first:
            log.add_truth(stamp, found)
    assert log.uncompared == 0
    summary = log.summary(final=True)
    assert summary.compared == 4
    assert summary.accuracy is not None
    assert summary.accuracy.map50 == pytest.approx(0.75, abs=0.02)
    assert list(summary.accuracy.ap50_by_class) == ["ball"]
    assert summary.to_json()["map50"] == summary.accuracy.map50


def test_answers_that_wait_for_their_truth_are_known() -> None:
    log = WatchLog(with_truth=True)
    log.add_answer(NOW, boxes_at(1), NOW, 1.0)
    assert log.uncompared == 1
    log.add_truth(NOW, boxes_at(1))
    assert log.uncompared == 0


def test_an_image_is_given_with_its_answer_and_truth() -> None:
    log = WatchLog(with_truth=True, with_images=True)
    answer, truth = boxes_at(1), boxes_at(2)
    assert log.add_image(NOW, "image") == []
    assert log.add_answer(NOW, answer, NOW, 1.0) == []
    (seen,) = log.add_truth(NOW, truth)
    assert (seen.number, seen.image) == (0, "image")
    assert seen.detections is answer
    assert seen.truth is truth


def test_an_image_whose_truth_never_comes_is_given_at_the_end() -> None:
    log = WatchLog(with_truth=True, with_images=True)
    log.add_image(NOW, "image")
    log.add_answer(NOW, boxes_at(1), NOW, 1.0)
    log.add_image(NOW + 1, "never answered")
    (seen,) = log.remaining_images()
    assert seen.image == "image"
    assert seen.truth is None


def test_images_that_are_never_answered_do_not_pile_up() -> None:
    log = WatchLog(with_images=True)
    first = bytearray(1)
    log.add_image(1, first)
    for stamp in range(2, 200):
        log.add_image(stamp, b"")
    assert log.add_answer(1, boxes_at(), NOW, 1.0) == []
