"""Frames that stand for what a robot sees: to calibrate a network with, and to prove it on.

Whoever needs them, in whichever process, takes them by the same :class:`FrameChoice` and gets the
same frames; :func:`frames_sha256` tells whether they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backend_measurement import SCENE_SIZE, SCENES_SEED
from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.detections import Detections
from jetson_detect.core.model import InputSpec
from jetson_detect.core.pictures import (
    VIDEO_SUFFIXES,
    PictureError,
    find_files,
    read_pictures,
)
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.scenes import CLASS_NAMES, SceneSequence

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class SampleFrame:
    """A picture, and what is in it where that is known."""

    pixels: Pixels
    truth: Detections | None = None
    """In pixels of the picture, every score 1; None where nobody knows."""


@dataclass(frozen=True)
class FrameChoice:
    """Which frames are taken."""

    sources: tuple[str, ...] = ()
    """Images, videos and folders of these; none for drawn scenes."""
    count: int = 200
    """How many, evenly spaced over all there are; of drawn scenes, which have no end, each ``step``
    ahead of the last."""
    memory_mb: int = 512
    """The most that frames of videos may take; where ``count`` of them take more, there are fewer.
    Images are read, and scenes drawn, whenever they are looked at, and take none."""
    seed: int = SCENES_SEED
    """Of drawn scenes: another seed gives other scenes."""
    step: int = 5
    """Of drawn scenes: from one frame to the next, which show nearly the same if it is 1."""
    width: int = SCENE_SIZE[0]
    """Of drawn scenes, in pixels."""
    height: int = SCENE_SIZE[1]
    """Of drawn scenes, in pixels."""


def take_frames(
    choice: FrameChoice, labels: Sequence[str], warn: Callable[[str], None]
) -> Sequence[SampleFrame]:
    """Take frames of files, or drawn ones.

    Parameters
    ----------
    choice:
        Which.
    labels:
        The model's.  Where they are those of the drawn scenes, these come with their truth.
    warn:
        Told of a video that cannot be read and is left out.

    Returns
    -------
    At least one frame.  A frame may be read or drawn anew each time it is looked at.

    Raises
    ------
    PictureError
        If there are none; and when a frame is looked at, if its file cannot be read.
    ValueError
        If ``count`` or ``step`` is below 1, or the size or seed of drawn scenes is impossible.

    """
    if choice.count < 1 or choice.step < 1:
        raise ValueError(f"count {choice.count}, step {choice.step}: both must be at least 1")
    if not choice.sources:
        return _drawn_frames(choice, with_truth=tuple(labels) == CLASS_NAMES)
    files = [file for source in choice.sources for file in find_files(source)]
    if not any(file.suffix.lower() in VIDEO_SUFFIXES for file in files):
        return _LazyFrames([files[index] for index in spread(len(files), choice.count)], _read)
    pictures = (Pixels.from_array(each.image) for each in read_pictures(files, warn))
    return thin_out(pictures, choice.count, choice.memory_mb)


def thin_out(
    pictures: Iterable[Pixels], count: int, memory_mb: int = FrameChoice.memory_mb
) -> Sequence[SampleFrame]:
    """Keep evenly spaced frames of a sequence whose length is not known, in one pass.

    Every frame is kept until there are twice as many as wanted, or they take too much memory; then
    every other one goes, and of those that follow every other one is kept, and so on.

    Parameters
    ----------
    pictures:
        Of a video or a bag, say; each must stay as it is when the next one is asked for.
    count:
        How many frames to keep.
    memory_mb:
        The most that kept frames may take meanwhile.

    Returns
    -------
    ``count`` frames, or fewer where there are fewer or the memory does not suffice; at least one.

    Raises
    ------
    PictureError
        If there is none.

    """
    kept: list[Pixels] = []
    stride = 1
    size = 0
    for index, pixels in enumerate(pictures):
        if index % stride:
            continue
        kept.append(pixels)
        size += _bytes_of(pixels)
        if len(kept) >= 2 * count or (size > memory_mb << 20 and len(kept) > 1):
            kept = kept[::2]
            size = sum(map(_bytes_of, kept))
            stride *= 2
    if not kept:
        raise PictureError("there is not a single picture: give a source that shows some")
    return [SampleFrame(kept[index]) for index in spread(len(kept), count)]


def spread(length: int, count: int) -> list[int]:
    """Return ``count`` indices, evenly spaced over a sequence; all of them if it has no more.

    Each stands in the middle of its share of the sequence.
    """
    if length <= count:
        return list(range(length))
    return [(2 * index + 1) * length // (2 * count) for index in range(count)]


def frame_sha256(frame: SampleFrame) -> str:
    """Return a hash of what a frame shows: its pixels, their format and size; not of its truth."""
    pixels = frame.pixels
    # Of plain pixels the shape tells the rest; engines in caches are known by such hashes.
    described = pixels.format.color_order if pixels.format.is_plain else repr(pixels.format)
    digest = hashlib.sha256(f"{pixels.data.shape} {described}".encode())
    for plane in pixels.planes:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _bytes_of(pixels: Pixels) -> int:
    return sum(plane.nbytes for plane in pixels.planes)


def frames_sha256(frames: Iterable[SampleFrame]) -> str:
    """Return a hash of what frames show, in this order."""
    return join_sha256(frame_sha256(frame) for frame in frames)


def join_sha256(hashes: Iterable[str]) -> str:
    """Return the hash of frames from that of each, as :func:`frames_sha256` does."""
    digest = hashlib.sha256()
    for each in hashes:
        digest.update(each.encode())
    return digest.hexdigest()


class CalibrationBatches(Iterable[Mapping[str, NDArray[Any]]]):
    """The tensors that a network is calibrated with, made as the node makes those that it runs on.

    For each frame (1, H, W, C) or (1, C, H, W) in the input's dtype, by the input's name; the
    caller's to keep.  May be gone through again and again, by one at a time.
    """

    def __init__(self, spec: InputSpec, tensor: TensorInfo, frames: Sequence[SampleFrame]) -> None:
        """Prepare for a network's input.

        Parameters
        ----------
        spec:
            What the model expects of its pixels.
        tensor:
            The input of the network that is calibrated.
        frames:
            The pictures.

        Raises
        ------
        ValueError
            If model and network disagree about the shape.

        """
        self._name, self._frames = tensor.name, frames
        self._preprocess = Preprocessor(spec, tensor)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        for frame in self._frames:
            yield {self._name: self._preprocess(frame.pixels)[0].copy()}


class _LazyFrames(Sequence[SampleFrame], Generic[Key]):
    """Frames that are made whenever they are looked at."""

    def __init__(self, keys: Sequence[Key], make: Callable[[Key], SampleFrame]) -> None:
        self._keys, self._make = keys, make

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> SampleFrame: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[SampleFrame]: ...

    def __getitem__(self, index: int | slice) -> SampleFrame | Sequence[SampleFrame]:
        if isinstance(index, slice):
            return _LazyFrames(self._keys[index], self._make)
        return self._make(self._keys[index])


def _drawn_frames(choice: FrameChoice, *, with_truth: bool) -> Sequence[SampleFrame]:
    scenes = SceneSequence(choice.seed, choice.width, choice.height)

    def draw(index: int) -> SampleFrame:
        scene = scenes.frame(index)
        pixels = Pixels.from_array(scene.image)
        if not with_truth:
            return SampleFrame(pixels)
        certain = np.ones(len(scene.boxes), np.float32)
        return SampleFrame(pixels, Detections.from_best(scene.boxes, certain, scene.class_ids))

    return _LazyFrames(range(0, choice.count * choice.step, choice.step), draw)


def _read(file: Path) -> SampleFrame:
    try:
        picture = next(read_pictures([file], lambda _: None))
    except PictureError as error:
        raise PictureError(
            f"{file} cannot be read: take it out of its folder, or replace it by an image of a "
            "format that OpenCV knows"
        ) from error
    return SampleFrame(Pixels.from_array(picture.image))
