"""Accuracy of a network on pictures that it was not trained on, in pixels of the pictures."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jetson_detect.core.scenes import CLASS_NAMES, Scene, SceneSequence, draw_scene
from training.targets import Decoded, decode, letterbox

Outputs = dict[str, NDArray[np.float32]]
"""``heatmap``, ``offset`` and ``size``, ``(1, rows, columns, ...)``."""

Predictor = Callable[[NDArray[np.float32]], Outputs]
"""Runs a network on ``(1, 160, 160, 3)`` ``float32`` RGB in 0..1."""

STILLS_SEED = 900_001
DEMO_SEED = 7


def held_out_stills(count: int, width: int = 640, height: int = 480) -> Iterable[Scene]:
    """Draw stills from seeds that training does not use."""
    for number in range(count):
        yield draw_scene(np.random.default_rng([STILLS_SEED, number]), width, height)


def demo_frames(count: int, width: int = 640, height: int = 480) -> Iterable[Scene]:
    """Draw the first frames of the sequence that the demo bag holds."""
    sequence = SceneSequence(DEMO_SEED, width, height)
    for index in range(count):
        yield sequence.frame(index)


def detect(predict: Predictor, image: NDArray[np.uint8], threshold: float = 0.05) -> Decoded:
    """Find objects in ``image`` ``(H, W, 3)`` BGR; boxes are in its pixels, clipped to it."""
    fitted, transform = letterbox(image)
    rgb = fitted[..., ::-1]
    outputs = predict((rgb.astype(np.float32) / np.float32(255.0))[None])
    found = decode(outputs["heatmap"][0], outputs["offset"][0], outputs["size"][0], threshold)
    return Decoded(transform.boxes_to_source(found.boxes), found.scores, found.class_ids)


@dataclass(frozen=True)
class Accuracy:
    """How well a network does.

    Attributes:
        map_50, map_75, map_all: mean average precision at an IoU of 0.5, at 0.75, and averaged
            over 0.5 to 0.95, as COCO defines them.
        best_f1, best_threshold: highest F1 at an IoU of 0.5, and the score that gives it.
        false_alarms: share of the pictures without objects in which something is found at
            ``best_threshold``; NaN if there are none.
        pictures, objects: what was measured.
    """

    map_50: float
    map_75: float
    map_all: float
    best_f1: float
    best_threshold: float
    false_alarms: float
    pictures: int
    objects: int


def evaluate(predict: Predictor, scenes: Iterable[Scene]) -> Accuracy:
    """Measure ``predict`` on ``scenes``."""
    images: list[dict[str, int]] = []
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    empty: list[int] = []
    for number, scene in enumerate(scenes):
        height, width = scene.image.shape[:2]
        images.append({"id": number, "width": width, "height": height})
        if len(scene.boxes) == 0:
            empty.append(number)
        for box, class_id in zip(scene.boxes.astype(float), scene.class_ids):
            span = box[2:] - box[:2]
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": number,
                    "category_id": int(class_id) + 1,
                    "bbox": [*box[:2].tolist(), *span.tolist()],
                    "area": float(span.prod()),
                    "iscrowd": 0,
                }
            )
        found = detect(predict, scene.image)
        for box, score, class_id in zip(found.boxes.astype(float), found.scores, found.class_ids):
            results.append(
                {
                    "image_id": number,
                    "category_id": int(class_id) + 1,
                    "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                    "score": float(score),
                }
            )
    if not results:
        return Accuracy(0.0, 0.0, 0.0, 0.0, 0.5, 0.0, len(images), len(truths))
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        coco = COCO()
        coco.dataset = {"images": images, "annotations": truths, "categories": categories}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    f1, threshold = _best_f1(judge, len(truths))
    alarmed = {result["image_id"] for result in results if result["score"] >= threshold}
    alarms = float(np.mean([number in alarmed for number in empty])) if empty else float("nan")
    average, half, three_quarters = (float(value) for value in judge.stats[:3])
    return Accuracy(half, three_quarters, average, f1, threshold, alarms, len(images), len(truths))


def _best_f1(judge: COCOeval, objects: int) -> tuple[float, float]:
    """Return the highest F1 at an IoU of 0.5 over all classes, and its score threshold."""
    everything = judge.params.areaRng[0]
    scores: list[float] = []
    hits: list[bool] = []
    for entry in judge.evalImgs:
        if entry is None or entry["aRng"] != everything:
            continue
        scores += entry["dtScores"]
        hits += [bool(match) for match in entry["dtMatches"][0]]
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.cumsum(np.array(hits)[order])
    f1 = 2.0 * right / (np.arange(1, len(order) + 1) + objects)
    best = int(np.argmax(f1))
    return float(f1[best]), float(np.array(scores)[order][best])
