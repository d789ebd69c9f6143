"""Boxes painted on a picture, for people."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.detections import Detections
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.statistics import class_label

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO_STEP = 0.61803398875  # hues that follow each other lie far apart


def class_hue(class_id: int) -> float:
    """Return the hue of a class, 0 to 1; neighbours in the label list differ most."""
    return (class_id * _GOLDEN_RATIO_STEP) % 1.0


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the colour of a class as BGR."""
    red, green, blue = colorsys.hsv_to_rgb(class_hue(class_id), 0.85, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def to_bgr(pixels: Pixels) -> NDArray[np.uint8]:
    """Return a BGR copy of a picture of any encoding, (H, W, 3), that may be painted on."""
    plain = PixelConverter()(pixels, "BGR")
    conversion = plain.conversion_to("BGR")
    if conversion is None:
        return plain.data.copy() if plain is pixels else plain.data
    bgr: NDArray[np.uint8] = np.asarray(cv2.cvtColor(plain.data, conversion), np.uint8)
    return bgr


def line_unit(size: tuple[int, int]) -> int:
    """Return the pixels that lines and letters are multiples of, on an image of (width, height)."""
    return max(1, round(min(size) / 360))


def caption(class_id: int, score: float, labels: Sequence[str]) -> str:
    """Return what is written at an object, its class named as in a table of statistics."""
    return f"{class_label(class_id, labels)} {score:.2f}"


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Paint boxes, names and scores on a BGR image in place, and return it."""
    unit = line_unit((image.shape[1], image.shape[0]))
    font_scale = 0.42 * unit
    # Worst first, so that the best lies on top.
    for box, corners, score, class_id in zip(
        detections.upright().boxes[::-1],
        detections.corners()[::-1],
        detections.best_scores[::-1],
        detections.best_class_ids[::-1],
    ):
        color = class_color(int(class_id))
        left, top, right, bottom = (round(float(value)) for value in box)
        if detections.angles is None:
            cv2.rectangle(image, (left, top), (right - 1, bottom - 1), color, 1 + unit)
        else:
            cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, color, 1 + unit)
        text = caption(int(class_id), float(score), labels)
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
