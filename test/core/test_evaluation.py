"""COCO's measure against numbers worked out by hand."""

from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest

from jetson_detect.core.detections import Detections
from jetson_detect.core.evaluation import Evaluation, Evaluator

LABELS = ("ball", "box")
A = (10, 10, 20, 20)
B = (50, 50, 60, 60)


def found(*objects: tuple[tuple[float, ...], int, float]) -> Detections:
    """(box, class, score) each."""
    if not objects:
        return Detections.empty()
    boxes, class_ids, scores = zip(*objects)
    return Detections.from_best(
        np.array(boxes, np.float32), np.array(scores, np.float32), np.array(class_ids, np.int32)
    )


def evaluate(*images: tuple[Detections, Detections]) -> Evaluation:
    evaluator = Evaluator(LABELS)
    for predicted, truth in images:
        evaluator.add(predicted, truth)
    return evaluator.result()


def test_perfect_detections_score_one_in_every_measure():
    truth = found((A, 0, 1.0), (B, 1, 1.0))
    result = evaluate((found((A, 0, 0.9), (B, 1, 0.4)), truth), (truth, truth))
    assert (result.images, result.ground_truths, result.predictions) == (2, 4, 4)
    assert result.map50 == pytest.approx(1.0)
    assert result.map75 == pytest.approx(1.0)
    assert result.map50_95 == pytest.approx(1.0)
    assert result.ap50_by_class == {"ball": pytest.approx(1.0), "box": pytest.approx(1.0)}


def test_of_half_the_objects_found_the_51_recall_points_up_to_a_half_count():
    result = evaluate((found((A, 0, 0.9)), found((A, 0, 1.0), (B, 0, 1.0))))
    assert result.map50 == pytest.approx(51 / 101)
    assert result.map50_95 == pytest.approx(51 / 101)


@pytest.mark.parametrize(
    ("shift", "thresholds_met"),
    [  # the IoU of two 10x10 boxes is (10 - shift) / (10 + shift)
        (0.2, 10),  # 0.961
        (1.0, 7),  # 0.818: up to 0.80
        (2.0, 4),  # 0.667: up to 0.65
        (3.0, 1),  # 0.538: 0.50 alone
        (4.0, 0),  # 0.429
    ],
)
def test_a_shifted_box_is_found_up_to_the_thresholds_that_its_overlap_meets(shift, thresholds_met):
    shifted = (10 + shift, 10, 20 + shift, 20)
    result = evaluate((found((shifted, 0, 0.9)), found((A, 0, 1.0))))
    assert result.map50 == pytest.approx(1.0 if thresholds_met >= 1 else 0.0)
    assert result.map75 == pytest.approx(1.0 if thresholds_met >= 6 else 0.0)
    assert result.map50_95 == pytest.approx(thresholds_met / 10)


def test_a_duplicate_is_a_false_positive_at_its_score():
    truth = found((A, 0, 1.0))
    # In the order of scores: found, duplicate, found; so precision 1 up to recall 1/2, then 2/3.
    result = evaluate(
        (found((A, 0, 0.9), (A, 0, 0.8)), truth),
        (found((A, 0, 0.7)), truth),
    )
    assert result.map50 == pytest.approx((51 * 1.0 + 50 * 2 / 3) / 101)


def test_a_box_where_nothing_is_lowers_precision_also_in_an_empty_image():
    result = evaluate(
        (found((A, 0, 0.9)), found()),
        (found((A, 0, 0.8)), found((A, 0, 1.0))),
    )
    assert result.map50 == pytest.approx(0.5)


def test_images_without_anything_change_nothing():
    truth = found((A, 0, 1.0))
    result = evaluate((found(), found()), (truth, truth), (found(), found()))
    assert result.images == 3
    assert result.map50_95 == pytest.approx(1.0)


def test_without_truth_or_images_the_score_is_zero():
    assert evaluate().map50 == 0.0
    result = evaluate((found((A, 0, 0.9)), found()))
    assert (result.map50, result.map75, result.map50_95) == (0.0, 0.0, 0.0)
    assert result.ap50_by_class == {}
    assert result.ap75_by_class == {}
    assert result.predictions == 1


def test_each_class_has_its_precision_at_both_overlaps():
    # An IoU of 0.667 for the ball, and one of two boxes exactly.
    shifted = (12, 10, 22, 20)
    result = evaluate(
        (found((shifted, 0, 0.9), (B, 1, 0.8)), found((A, 0, 1.0), (A, 1, 1.0), (B, 1, 1.0)))
    )
    assert result.ap50_by_class == {"ball": pytest.approx(1.0), "box": pytest.approx(51 / 101)}
    assert result.ap75_by_class == {"ball": 0.0, "box": pytest.approx(51 / 101)}
    assert list(result.ap75_by_class) == ["ball", "box"]
    assert result.map75 == pytest.approx(51 / 101 / 2)


def test_nothing_found_scores_zero():
    result = evaluate((found(), found((A, 1, 1.0))))
    assert result.map50 == 0.0
    assert result.ap50_by_class == {"box": 0.0}
    assert result.ap75_by_class == {"box": 0.0}


def test_only_classes_of_the_truth_enter_the_mean():
    result = evaluate((found((A, 0, 0.9), (B, 1, 0.9)), found((A, 0, 1.0))))
    assert result.ap50_by_class == {"ball": pytest.approx(1.0)}
    assert result.map50 == pytest.approx(1.0)


def test_a_class_without_label_is_counted_and_finds_nothing():
    truth = found((A, 0, 1.0), (B, 0, 1.0))
    result = evaluate((found((A, 0, 0.9), (B, -1, 0.8), (B, 7, 0.7)), truth))
    assert result.predictions == 3
    assert result.map50 == pytest.approx(51 / 101)


def test_the_best_hypothesis_of_an_object_counts():
    two = Detections(
        boxes=np.array([A], np.float32),
        scores=np.array([[0.8, 0.1]], np.float32),
        class_ids=np.array([[1, 0]], np.int32),
    )
    assert evaluate((two, found((A, 1, 1.0)))).map50 == pytest.approx(1.0)
    assert evaluate((two, found((A, 0, 1.0)))).map50 == 0.0


def test_a_result_can_be_asked_for_more_than_once_and_says_nothing_on_screen(capsys):
    evaluator = Evaluator(LABELS)
    truth = found((A, 0, 1.0))
    evaluator.add(truth, truth)
    first = evaluator.result()
    evaluator.add(found(), truth)
    assert first.map50 == pytest.approx(1.0)
    assert evaluator.result().map50 == pytest.approx(51 / 101)
    assert capsys.readouterr().out == ""


def test_truth_of_a_class_without_label_is_refused():
    with pytest.raises(ValueError, match=r"image 0 has class 2.*ball, box"):
        Evaluator(LABELS).add(found(), found((A, 2, 1.0)))


def test_rotated_boxes_are_refused():
    rotated = Detections(
        boxes=np.array([A], np.float32),
        scores=np.ones((1, 1), np.float32),
        class_ids=np.zeros((1, 1), np.int32),
        angles=np.array([0.5], np.float32),
    )
    with pytest.raises(ValueError, match="rotated"):
        Evaluator(LABELS).add(rotated, found())


def test_without_pycocotools_the_error_says_how_to_install_it(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("pycocotools"):
            raise ImportError(f"No module named '{name}'")
        return original(name, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith("pycocotools")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    evaluator = Evaluator(LABELS)
    evaluator.add(found((A, 0, 0.9)), found((A, 0, 1.0)))
    with pytest.raises(RuntimeError, match="pip install pycocotools"):
        evaluator.result()
