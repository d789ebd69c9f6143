from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from jetson_detect.conversion.annotations import foxglove_messages, to_image_annotations
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections

HEADER = FrameHeader(17, 250, "camera")
LABELS = ("ball", "box")


@dataclass
class Point2:
    x: float = 0.0
    y: float = 0.0


@dataclass
class Color:
    r: float = 0.0
    g: float = 0.0
    b: float = 0.0
    a: float = 0.0


@dataclass
class PointsAnnotation:
    LINE_LOOP: ClassVar[int] = 2
    timestamp: Any = None
    type: int = 0
    points: list[Point2] = field(default_factory=list)
    outline_color: Color = field(default_factory=Color)
    outline_colors: list[Color] = field(default_factory=list)
    fill_color: Color = field(default_factory=Color)
    thickness: float = 0.0


@dataclass
class TextAnnotation:
    timestamp: Any = None
    position: Point2 = field(default_factory=Point2)
    text: str = ""
    font_size: float = 0.0
    text_color: Color = field(default_factory=Color)
    background_color: Color = field(default_factory=Color)


@dataclass
class ImageAnnotations:
    circles: list[Any] = field(default_factory=list)
    points: list[PointsAnnotation] = field(default_factory=list)
    texts: list[TextAnnotation] = field(default_factory=list)


MESSAGES = SimpleNamespace(
    Point2=Point2,
    Color=Color,
    PointsAnnotation=PointsAnnotation,
    TextAnnotation=TextAnnotation,
    ImageAnnotations=ImageAnnotations,
)
"""In place of foxglove_msgs, whose fields these are: docs.foxglove.dev, "Foxglove schemas"."""

RED, BLACK = Color(1.0, 38 / 255, 38 / 255, 1.0), Color(a=1.0)


def detections(*rows, angles=None) -> Detections:
    found = Detections.from_best(
        np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([class_id for class_id, _, _ in rows], np.int32),
    )
    return Detections(found.boxes, found.scores, found.class_ids, angles)


def annotations(found: Detections, size: tuple[int, int] = (640, 480)) -> ImageAnnotations:
    return to_image_annotations(MESSAGES, found, HEADER, size, LABELS)


def corners(annotation: PointsAnnotation) -> list[tuple[float, float]]:
    return [(point.x, point.y) for point in annotation.points]


def test_an_object_is_outlined_and_named_in_pixels_of_the_image():
    stamp = Time(sec=17, nanosec=250)
    assert annotations(detections((0, 0.75, (10.5, 20, 30, 60)))) == ImageAnnotations(
        points=[
            PointsAnnotation(
                timestamp=stamp,
                type=2,
                points=[Point2(10.5, 20), Point2(30, 20), Point2(30, 60), Point2(10.5, 60)],
                outline_color=RED,
                thickness=2.0,
            )
        ],
        texts=[
            TextAnnotation(
                timestamp=stamp,
                position=Point2(10.5, 20),
                text="ball 0.75",
                font_size=12.0,
                text_color=BLACK,
                background_color=RED,
            )
        ],
    )


def test_the_best_object_lies_on_top():
    made = annotations(detections((0, 0.9, (0, 0, 9, 9)), (1, 0.4, (0, 0, 9, 9))))
    assert [text.text for text in made.texts] == ["box 0.40", "ball 0.90"]
    assert made.points[1].outline_color == RED
    assert made.points[0].outline_color != RED


def test_a_rotated_box_is_outlined_as_it_lies_and_named_above_it():
    angles = np.array([np.pi / 2], np.float32)
    made = annotations(detections((0, 0.9, (30, 30, 70, 50)), angles=angles))
    np.testing.assert_allclose(
        corners(made.points[0]), [(60, 20), (60, 60), (40, 60), (40, 20)], atol=1e-5
    )
    position = made.texts[0].position
    np.testing.assert_allclose((position.x, position.y), (40, 20), atol=1e-5)


def test_the_name_of_an_object_at_the_upper_edge_stays_in_the_image():
    made = annotations(detections((0, 0.9, (0, 3, 30, 30))))
    assert (made.texts[0].position.x, made.texts[0].position.y) == (0, 12)


def test_lines_and_letters_grow_with_the_image():
    made = annotations(detections((0, 0.9, (0, 100, 30, 130))), size=(1920, 1080))
    assert (made.points[0].thickness, made.texts[0].font_size) == (4.0, 36.0)


def test_a_class_beyond_the_labels_is_named_by_its_index():
    assert annotations(detections((7, 0.5, (0, 0, 9, 9)))).texts[0].text == "7 0.50"


def test_nothing_found_clears_the_image():
    assert annotations(detections()) == ImageAnnotations()


def test_foxglove_msgs_is_used_where_it_is_installed(monkeypatch):
    package, messages = ModuleType("foxglove_msgs"), ModuleType("foxglove_msgs.msg")
    monkeypatch.setitem(sys.modules, "foxglove_msgs", package)
    monkeypatch.setitem(sys.modules, "foxglove_msgs.msg", messages)
    assert foxglove_messages() is messages


@pytest.mark.parametrize("name", ["foxglove_msgs", "foxglove_msgs.msg"])
def test_without_foxglove_msgs_there_are_no_annotations(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert foxglove_messages() is None
