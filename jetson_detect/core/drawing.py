"""Boxes painted on a picture, for people."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections
from jetson_detect.core.pixels import Pixels

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO_STEP = 0.61803398875  # hues that follow each other lie far apart


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the colour of a class as BGR; neighbours in the label list differ most."""
    hue = (class_id * _GOLDEN_RATIO_STEP) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def to_bgr(pixels: Pixels) -> NDArray[np.uint8]:
    """Return a BGR copy, (H, W, 3), that may be painted on."""
    conversion = pixels.conversion_to("BGR")
    if conversion is None:
        copy: NDArray[np.uint8] = pixels.data.copy()
        return copy
    bgr: NDArray[np.uint8] = np.asarray(cv2.cvtColor(pixels.data, conversion), np.uint8)
    return bgr


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Paint boxes, names and scores on a BGR image in place, and return it."""
    unit = max(1, round(min(image.shape[:2]) / 360))
    font_scale = 0.42 * unit
    # Worst first, so that the best lies on top.
    for box, corners, score, class_id in zip(
        detections.upright().boxes[::-1],
        detections.corners()[::-1],
        detections.best_scores[::-1],
        detections.best_class_ids[::-1],
    ):
        color = class_color(int(class_id))
        name = labels[class_id] if 0 <= class_id < len(labels) else str(class_id)
        left, top, right, bottom = (round(float(value)) for value in box)
        if detections.angles is None:
            cv2.rectangle(image, (left, top), (right - 1, bottom - 1), color, 1 + unit)
        else:
            cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, color, 1 + unit)
        text = f"{name} {score:.2f}"
        (width, height), baseline = cv2.getTextSize(text, _FONT, font_scale, unit)
        text_top = max(0, top - height - baseline - unit)
        cv2.rectangle(
            image, (left, text_top), (left + width + 2, text_top + height + baseline), color, -1
        )
        cv2.putText(
            image,
            text,
            (left + 1, text_top + height),
            _FONT,
            font_scale,
            (0, 0, 0),
            unit,
            cv2.LINE_AA,
        )
    return image
