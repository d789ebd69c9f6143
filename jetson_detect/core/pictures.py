"""Pictures to show in place of a camera: drawn scenes, images and videos."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes import Scene, SceneSequence

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

_AHEAD = 4
"""Pictures drawn before they are due: enough to ride out a busy moment, 25 MB at 1080p."""
_SCENE_WIDTH, _SCENE_HEIGHT = 640, 480


class PictureError(ValueError):
    """A source of pictures that shows none."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture to show."""

    image: NDArray[np.uint8]
    """(H, W, 3), BGR."""
    scene: Scene | None = None
    """What was drawn, or None for a picture whose content nobody knows."""


def drawn_pictures(seed: int, width: int = 0, height: int = 0) -> Iterator[Picture]:
    """Draw scenes without an end; sizes in pixels, 0 as for :func:`read_pictures`."""
    width, height = _missing_side(width, height, own_width=_SCENE_WIDTH, own_height=_SCENE_HEIGHT)
    sequence = SceneSequence(seed, width, height)
    index = 0
    while True:
        scene = sequence.frame(index)
        yield Picture(scene.image, scene)
        index += 1


def find_files(source: str) -> list[Path]:
    """List the images and videos that a source names, a folder's in the order of their names.

    Raises
    ------
    PictureError
        If there are none.

    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PictureError(f"{path} does not exist; give an image, a video or a folder of these")
    files = sorted(
        each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    )
    if not files:
        raise PictureError(
            f"the folder {path} holds no image or video; known are "
            f"{', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}"
        )
    return files


def read_pictures(
    files: Sequence[Path],
    warn: Callable[[str], None],
    *,
    width: int = 0,
    height: int = 0,
    loop: bool = False,
) -> Iterator[Picture]:
    """Read images and videos, over and over if ``loop`` says so.

    Sizes are in pixels; 0 is the picture's own or, where one side is given, what keeps the
    proportions.  A file that cannot be read is skipped and ``warn`` is told of it once.

    Raises
    ------
    PictureError
        If no file could be read.

    """
    unreadable: set[Path] = set()
    while True:
        for path in files:
            if path in unreadable:
                continue
            is_video = path.suffix.lower() in VIDEO_SUFFIXES
            read_any = False
            for image in _video_frames(path) if is_video else _image_frames(path):
                read_any = True
                yield Picture(_resized(image, width, height))
            if not read_any:
                unreadable.add(path)
                kind = "a video with a codec" if is_video else "an image of a format"
                warn(f"{path} cannot be read and is skipped; is it {kind} that OpenCV knows?")
        if len(unreadable) == len(files):
            raise PictureError(f"none of {len(files)} file(s) can be read, the first is {files[0]}")
        if not loop:
            return


def _image_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    with contextlib.suppress(cv2.error):  # raised for absurd sizes; None is the usual refusal
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is not None:
            yield np.asarray(image, np.uint8)


def _video_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            read, image = capture.read()
            if not read:
                return
            yield np.asarray(image, np.uint8)
    finally:
        capture.release()


def _missing_side(width: int, height: int, *, own_width: int, own_height: int) -> tuple[int, int]:
    """Fill in the sides given as 0; one side alone keeps the proportions."""
    if not width and not height:
        return own_width, own_height
    return (
        width or max(1, round(height * own_width / own_height)),
        height or max(1, round(width * own_height / own_width)),
    )


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    own_height, own_width = image.shape[:2]
    size = _missing_side(width, height, own_width=own_width, own_height=own_height)
    if size == (own_width, own_height):
        return image
    shrinks = size[0] * size[1] < own_width * own_height
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


class PicturesAhead:
    """Draws or reads pictures in a thread of its own, a few ahead of their time.

    So that the time a picture takes, and how that varies, does not show in when it is published.
    """

    def __init__(self, pictures: Iterable[Picture], depth: int = _AHEAD) -> None:
        """Start at once.

        Args:
            pictures: what to iterate over.
            depth: how many pictures may wait.
        """
        self._pictures = pictures
        self._depth = depth
        self._waiting: deque[Picture] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether no picture is left and none will come."""
        with self._changed:
            return self._ended and not self._waiting

    def take(self, timeout_s: float = 0.0) -> Picture | None:
        """Return the next picture, or None if it is not ready within ``timeout_s``.

        Raises
        ------
        Exception
            What the pictures' iterator raised, after the pictures before.

        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, timeout_s)
            if self._waiting:
                picture = self._waiting.popleft()
                self._changed.notify_all()
                return picture
            if self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """Stop drawing and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            for picture in self._pictures:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._depth)
                    if self._closed:
                        return
                    self._waiting.append(picture)
                    self._changed.notify_all()
        except Exception as raised:  # whatever it is, it belongs to who takes the pictures
            error = raised
        finally:
            with self._changed:
                self._error, self._ended = error, True
                self._changed.notify_all()
