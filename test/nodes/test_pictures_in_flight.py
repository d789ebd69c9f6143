"""The memory of pictures that are in work, while the next ones are decoded, converted and turned.

A picture's memory is used again: never before what was found in it was published.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import cv2
import numpy as np
import pytest

from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.camera_views import CameraView, Region, ViewedPicture, Viewer
from jetson_detect.core.compressed_pictures import CompressedPicture
from jetson_detect.core.drawing import to_bgr
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection
from jetson_detect.nodes.frame_worker import FrameWorker, Service

PATIENCE_S = 10.0
FRAMES = 24
NETWORK = InputSpec(32, 32, Layout.NHWC, ColorOrder.RGB, mean=(0.0,) * 3, scale=(1.0,) * 3)
SIZE = WIDTH, HEIGHT = 96, 64


def grey(number: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), number, np.uint8)


def jpeg(number: int) -> CompressedPicture:
    return CompressedPicture.read(cv2.imencode(".jpg", grey(number))[1].tobytes())


def png(number: int) -> CompressedPicture:
    return CompressedPicture.read(cv2.imencode(".png", grey(number))[1].tobytes())


def mosaic(number: int) -> Pixels:
    return Pixels.from_array(grey(number)[..., 0], "bayer_rggb8")


def deep(number: int) -> Pixels:
    return Pixels.from_array(grey(number).astype(np.uint16) * 257, "rgb16")


def plain(number: int) -> Pixels:
    return Pixels.from_array(grey(number))


class Camera:
    """Sends pictures of one grey value, which is their number, and notes what it is shown."""

    def __init__(self, make: Any, view: CameraView) -> None:
        self.make, self.viewer = make, Viewer(view)
        self.published: list[tuple[set[int], int, list[int]]] = []
        """What the network saw, the frame's number, and what a debug image is painted on."""
        self.problems: list[Exception] = []

    def read(self, number: int) -> Any:
        return FrameHeader(number, 0, ""), self.make(number)

    def look(self, picture: Any, network: InputSpec) -> ViewedPicture:
        return self.viewer.look(picture, network)

    def publish(self, found: set[int], header: Any, seen: ViewedPicture, _: Any) -> None:
        painted_on = np.unique(to_bgr(seen.picture)).tolist()
        self.published.append((found, header.sec, painted_on))

    def report_bad_frame(self, error: Exception) -> None:
        self.problems.append(error)


class LateChain:
    """Looks at pictures as late as a backend may: when their answers are asked for."""

    def __init__(self, depth: int, max_batch: int) -> None:
        self.depth, self.max_batch = depth, max_batch
        self.pictures: deque[np.ndarray] = deque()
        self.go_on = threading.Event()

    def submit(self, *pictures: Pixels, selection: Selection) -> None:
        # Their bytes alone, as a GPU would: whoever submits has to hold the rest.
        self.pictures.extend(np.asarray(Borrowed(pixels.data)) for pixels in pictures)

    def result(self) -> set[int]:
        assert self.go_on.wait(PATIENCE_S)
        return set(np.unique(self.pictures.popleft()).tolist())


class Borrowed:
    """An array's memory, which it does not keep alive."""

    def __init__(self, array: np.ndarray) -> None:
        self.__array_interface__ = {**array.__array_interface__, "strides": array.strides}


@pytest.mark.parametrize("make", [jpeg, png, mosaic, deep, plain])
@pytest.mark.parametrize(
    "view",
    [CameraView(), CameraView(Region(8, 8, 64, 40)), CameraView(Region(8, 8, 64, 40), 90)],
    ids=["whole", "region", "region turned"],
)
@pytest.mark.parametrize(("depth", "max_batch"), [(2, 1), (2, 3), (4, 2)])
def test_pictures_stay_as_they_are_until_they_are_answered(make, view, depth, max_batch):
    chain = LateChain(depth, max_batch)
    service = Service(chain, Selection(), max_batch=max_batch, network=NETWORK)  # type: ignore[arg-type]
    worker = FrameWorker(lambda: service, None)  # type: ignore[arg-type]
    cameras = [Camera(make, view) for _ in range(3)]
    try:
        for number in range(100, 100 + FRAMES):
            for camera in cameras:
                worker.put(camera, number, keep=FRAMES)  # type: ignore[arg-type]
        chain.go_on.set()
        end = time.monotonic() + PATIENCE_S
        while any(len(camera.published) + len(camera.problems) < FRAMES for camera in cameras):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.001)
    finally:
        chain.go_on.set()
        assert worker.close(PATIENCE_S)
    for camera in cameras:
        assert camera.problems == []
        for number, published in zip(range(100, 100 + FRAMES), camera.published):
            # 16 bits are shown by their higher bytes and JPEG's grey is exact.
            assert published == ({number}, number, [number])
