"""Annotated frames in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jetson_detect.core.detections import Detections
from jetson_detect.core.frame_saving import FrameSaver, annotate
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.watch_log import SeenFrame


def boxes_at(*lefts: float, class_id: int = 0, score: float = 0.9) -> Detections:
    count = len(lefts)
    boxes = np.array([(left, 10, left + 20, 40) for left in lefts], np.float32).reshape(-1, 4)
    return Detections.from_best(
        boxes, np.full(count, score, np.float32), np.full(count, class_id, np.int32)
    )


def seen_frame(number: int, width: int = 120) -> SeenFrame:
    image = np.zeros((80, width, 3), np.uint8)
    return SeenFrame(number, image, boxes_at(10), boxes_at(60))


def test_annotation_paints_detections_in_colour_and_truth_thin_and_white() -> None:
    image = annotate(np.zeros((80, 120, 3), np.uint8), boxes_at(10), boxes_at(60), ["ball"])
    assert tuple(image[25, 60]) == (255, 255, 255)
    assert tuple(image[25, 61]) == (0, 0, 0)
    assert len(set(image[25, 10].tolist())) > 1  # a colour, not a grey


def test_one_frame_in_so_many_is_written_and_named_by_its_number(tmp_path: Path) -> None:
    saver = FrameSaver(tmp_path / "frames", Pixels.from_array, every=10)
    for number in range(25):
        saver.save(seen_frame(number), ["ball"])
    saver.close()
    names = ["frame_000000.jpg", "frame_000010.jpg", "frame_000020.jpg"]
    assert [path.name for path in saver.paths] == names
    assert [path.name for path in sorted((tmp_path / "frames").iterdir())] == names
    image = cv2.imread(str(saver.paths[0]))
    assert image is not None
    assert image.shape == (80, 120, 3)


def test_a_frame_that_cannot_be_written_is_told_and_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    saver = FrameSaver(tmp_path / "frames", Pixels.from_array, every=1)
    (tmp_path / "frames" / "frame_000001.jpg").mkdir()
    for number in range(3):
        saver.save(seen_frame(number), ["ball"])
    saver.close()
    assert len(saver.paths) == 2
    (error,) = saver.errors
    assert "frame_000001.jpg cannot be written" in error


def test_an_image_that_cannot_be_read_is_told_and_does_not_stop_the_others(tmp_path: Path) -> None:
    def view(image: Any) -> Pixels:
        return Pixels.from_array(image, "bgr8" if image.shape[1] == 120 else "bayer")

    saver = FrameSaver(tmp_path / "frames", view, every=1)
    for number, width in enumerate((120, 60, 120)):
        saver.save(seen_frame(number, width), ["ball"])
    saver.close()
    assert [path.name for path in saver.paths] == ["frame_000000.jpg", "frame_000002.jpg"]
    (error,) = saver.errors
    assert "encoding 'bayer' is not supported" in error
