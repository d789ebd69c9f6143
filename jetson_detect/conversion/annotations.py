"""``foxglove_msgs/ImageAnnotations``: detections that Foxglove draws over the camera's own images.

foxglove_msgs is optional, and no dependency of the package.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections
from jetson_detect.core.drawing import caption, class_color, line_unit

_LETTERS = 12.0
"""Height of the letters in units of a line's width: as high as in a debug image."""


def foxglove_messages() -> Any | None:
    """Return the module ``foxglove_msgs.msg``, or None if it is not installed."""
    try:
        return importlib.import_module("foxglove_msgs.msg")
    except ImportError:
        return None


def to_image_annotations(
    messages: Any,
    detections: Detections,
    header: FrameHeader,
    size: tuple[int, int],
    labels: Sequence[str],
) -> Any:
    """Outline the objects and write name and score at each, in the colours of the debug image.

    Foxglove puts annotations on the image of the same stamp.  Its pixels are ours: the origin is
    the outer corner of the top left one.  What later releases of foxglove_msgs added to the
    messages is left at its default.

    Parameters
    ----------
    messages:
        What :func:`foxglove_messages` returned.
    detections, header:
        What was found, in pixels of the image, and the image's header.
    size:
        Width and height of the image in pixels; lines and letters go by it.
    labels:
        Of the classes; one beyond them is named by its index.

    Returns
    -------
    A ``foxglove_msgs/ImageAnnotations``, the best object last, so that it lies on top.

    """
    stamp = header.to_message().stamp
    unit = line_unit(size)
    annotations = messages.ImageAnnotations()
    rows = zip(
        detections.corners()[::-1].tolist(),
        detections.upright().boxes[::-1].tolist(),
        detections.best_scores[::-1].tolist(),
        detections.best_class_ids[::-1].tolist(),
    )
    points, texts = [], []
    for corners, (left, top, _, _), score, class_id in rows:
        blue, green, red = (channel / 255 for channel in class_color(class_id))
        color = messages.Color(r=red, g=green, b=blue, a=1.0)
        points.append(
            messages.PointsAnnotation(
                timestamp=stamp,
                type=messages.PointsAnnotation.LINE_LOOP,
                points=[messages.Point2(x=x, y=y) for x, y in corners],
                outline_color=color,
                thickness=float(1 + unit),
            )
        )
        texts.append(
            messages.TextAnnotation(
                timestamp=stamp,
                # Its bottom left corner; letters must not be cut off by the image's edge.
                position=messages.Point2(x=left, y=max(top, _LETTERS * unit)),
                text=caption(class_id, score, labels),
                font_size=_LETTERS * unit,
                text_color=messages.Color(r=0.0, g=0.0, b=0.0, a=1.0),
                background_color=color,
            )
        )
    annotations.points, annotations.texts = points, texts
    return annotations
