"""Scenes as the network sees them: drawn, letterboxed, and varied while training."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.scenes import CLASS_NAMES, Scene, SceneSequence, draw_scene
from training.targets import INPUT_SIDE, encode, letterbox

SOURCE_SIZES = (
    (320, 240),
    (320, 240),
    (400, 300),
    (640, 480),
    (640, 480),
    (480, 270),
    (640, 360),
    (320, 320),
    (480, 480),
    (240, 320),
)
"""Widths and heights of the pictures that are drawn; the common ones are named twice."""

_CHUNK = 100  # scenes that are drawn as one job
_FROM_SEQUENCES = 0.3  # share of the jobs that draw frames of moving sequences
_FRAMES_PER_SEQUENCE = 10
# Sequences with low seeds are for demonstrations and for the evaluation.
_FIRST_SEQUENCE_SEED = 1_000_000


@dataclass(frozen=True, eq=False)
class Samples:
    """Pictures in the network's input format, and the objects in them.

    Attributes:
        images: ``(N, 160, 160, 3)`` ``uint8`` RGB.
        boxes: per picture ``(M, 4)`` ``float32``, in pixels of the input.
        class_ids: per picture ``(M,)`` ``int32``.
    """

    images: NDArray[np.uint8]
    boxes: list[NDArray[np.float32]]
    class_ids: list[NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.images)


def _letterboxed(scene: Scene, shrink: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    fitted, transform = letterbox(scene.image, shrink)
    boxes: NDArray[np.float32] = transform.boxes_to_network(scene.boxes).astype(np.float32)
    return np.ascontiguousarray(fitted[..., ::-1]), boxes


def _draw_chunk(job: tuple[int, int, int]) -> Samples:
    """Draw ``count`` scenes for a ``(seed, chunk, count)``; runs in a process of its own."""
    seed, chunk, count = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, chunk])
    images = np.empty((count, INPUT_SIDE, INPUT_SIDE, 3), np.uint8)
    boxes, class_ids = [], []
    moving = rng.uniform() < _FROM_SEQUENCES
    sequence: SceneSequence | None = None
    for number in range(count):
        width, height = SOURCE_SIZES[int(rng.integers(len(SOURCE_SIZES)))]
        if moving:
            if sequence is None or number % _FRAMES_PER_SEQUENCE == 0:
                sequence_seed = _FIRST_SEQUENCE_SEED + int(rng.integers(1 << 30))
                sequence = SceneSequence(sequence_seed, width, height)
            scene = sequence.frame(int(rng.integers(600)))
        else:
            scene = draw_scene(rng, width, height)
        shrink = cv2.INTER_AREA if rng.uniform() < 0.7 else cv2.INTER_LINEAR
        images[number], fitted = _letterboxed(scene, shrink)
        boxes.append(fitted)
        class_ids.append(scene.class_ids)
    return Samples(images, boxes, class_ids)


def draw_samples(seed: int, count: int, workers: int) -> Samples:
    """Draw ``count`` scenes; the result depends on ``seed`` and ``count`` only."""
    jobs = [
        (seed, chunk, min(_CHUNK, count - start))
        for chunk, start in enumerate(range(0, count, _CHUNK))
    ]
    # Fresh processes: forking one that has TensorFlow's threads in it can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        chunks = list(pool.map(_draw_chunk, jobs))
    return Samples(
        np.concatenate([chunk.images for chunk in chunks]),
        [boxes for chunk in chunks for boxes in chunk.boxes],
        [class_ids for chunk in chunks for class_ids in chunk.class_ids],
    )


def _vary(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``image`` ``(H, W, 3)`` with other brightness, contrast, colour, noise or blur."""
    if rng.uniform() < 0.7:
        contrast = np.exp(rng.normal(0.0, 0.15))
        gain = contrast * np.exp(rng.normal(0.0, 0.05, 3))
        shift = rng.normal(0.0, 10.0) + 110.0 * (1.0 - contrast)
        levels = np.arange(256.0)[:, None] * gain + shift
        table = np.clip(levels + 0.5, 0.0, 255.0).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table.reshape(1, 256, 3)), np.uint8)
    chance = rng.uniform()
    if chance < 0.15:
        noise = rng.integers(0, 256, image.shape, np.uint8)
        amount = rng.uniform(0.01, 0.08)
        mixed = cv2.addWeighted(image, 1.0, noise, amount, -128.0 * amount)
        image = np.asarray(mixed, np.uint8)
    elif chance < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 0.9)), np.uint8)
    return image


def _prepare(job: tuple[int, int, NDArray[np.intp]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make one batch, varied, from a ``(seed, step, numbers of the samples)``."""
    seed, step, numbers = job
    assert _samples is not None
    rng = np.random.default_rng([seed, 77, step])
    images, truths = [], []
    for number in numbers:
        image, boxes = _samples.images[number], _samples.boxes[number]
        if rng.uniform() < 0.5:  # mirrored
            image = np.ascontiguousarray(image[:, ::-1])
            boxes = boxes.copy()
            boxes[:, [0, 2]] = INPUT_SIDE - boxes[:, [2, 0]]
        images.append(_vary(rng, np.asarray(image)))
        target = encode(boxes, _samples.class_ids[number], len(CLASS_NAMES))
        truths.append(
            np.concatenate(
                [target.heatmap, target.offset, target.size, target.weight[..., None]], axis=-1
            )
        )
    return np.stack(images), np.stack(truths)


_samples: Samples | None = None  # of a process that prepares batches


def _attach(file: Path, boxes: list[NDArray[Any]], class_ids: list[NDArray[Any]]) -> None:
    """Give a process that prepares batches its samples; the pictures stay shared, in the file."""
    global _samples
    cv2.setNumThreads(1)
    _samples = Samples(np.load(file, mmap_mode="r"), boxes, class_ids)


@contextmanager
def batches(
    samples: Samples, seed: int, epochs: int, batch_size: int, workers: int
) -> Iterator[Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]]:
    """Prepare batches ahead, in processes: each epoch in a new order, what is left over left out.

    The pictures ``(B, 160, 160, 3)`` are RGB bytes, the truths ``(B, 40, 40, channels)`` as in
    :mod:`training.losses`.  Both depend on ``seed`` only, not on the number of processes.
    """
    steps = len(samples) // batch_size

    def jobs() -> Iterator[tuple[int, int, NDArray[np.intp]]]:
        for epoch in range(epochs):
            order = np.random.default_rng([seed, 78, epoch]).permutation(len(samples))
            for step in range(steps):
                numbers = order[step * batch_size : (step + 1) * batch_size]
                yield seed, epoch * steps + step, numbers

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pictures.npy"
        np.save(file, samples.images)
        arguments = (file, samples.boxes, samples.class_ids)
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, context, _attach, arguments) as pool:

            def prepared() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
                ahead: deque[Any] = deque()
                for job in jobs():
                    ahead.append(pool.submit(_prepare, job))
                    if len(ahead) > 2 * workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()

            yield prepared()
