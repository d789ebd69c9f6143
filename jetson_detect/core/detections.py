"""What a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects of one image, best first.

    Every object carries ``K`` hypotheses, best first; most models give one.  A hypothesis with
    score 0 is padding and is never published.
    """

    boxes: NDArray[np.float32]
    """(N, 4): x_min, y_min, x_max, y_max in pixels of the source image.

    Coordinates are edges, not pixel indices: the box of a whole image is ``0, 0, width, height``.
    """
    scores: NDArray[np.float32]
    """(N, K): confidence of each hypothesis, 0 to 1, falling along both axes."""
    class_ids: NDArray[np.int32]
    """(N, K): index of each hypothesis into the model's labels."""
    angles: NDArray[np.float32] | None = None
    """(N,): rotation in radians about the box's centre (x towards y), or None if axis aligned.

    With an angle, ``boxes`` holds the extent before the rotation.
    """

    def __post_init__(self) -> None:
        count = len(self.boxes)
        hypotheses = self.scores.shape[1] if self.scores.ndim == 2 else -1
        if self.boxes.shape != (count, 4):
            raise ValueError(f"boxes must have shape (N, 4), not {self.boxes.shape}")
        if self.scores.shape != (count, hypotheses) or self.class_ids.shape != self.scores.shape:
            raise ValueError(
                f"scores and class_ids must both have shape ({count}, K), "
                f"not {self.scores.shape} and {self.class_ids.shape}"
            )
        if self.angles is not None and self.angles.shape != (count,):
            raise ValueError(f"angles must have shape ({count},), not {self.angles.shape}")

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: NDArray[Any]) -> Detections:
        """Return some of the objects, in the order of the index."""
        return Detections(
            self.boxes[index],
            self.scores[index],
            self.class_ids[index],
            None if self.angles is None else self.angles[index],
        )

    @classmethod
    def empty(cls) -> Detections:
        """No objects."""
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros((0, 1), np.float32),
            class_ids=np.zeros((0, 1), np.int32),
        )

    @classmethod
    def from_best(
        cls, boxes: NDArray[np.float32], scores: NDArray[np.float32], class_ids: NDArray[np.int32]
    ) -> Detections:
        """One hypothesis an object: ``scores`` and ``class_ids`` of shape (N,)."""
        return cls(boxes=boxes, scores=scores[:, None], class_ids=class_ids[:, None])

    def corners(self) -> NDArray[np.float32]:
        """(N, 4, 2): x and y of the corners, from the top left one clockwise, rotations applied."""
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
        centers = (self.boxes[:, None, :2] + self.boxes[:, None, 2:]) / 2
        arms = (self.boxes[:, None, 2:] - self.boxes[:, None, :2]) / 2 * signs
        if self.angles is not None:
            cosine, sine = np.cos(self.angles)[:, None], np.sin(self.angles)[:, None]
            x, y = arms[..., 0], arms[..., 1]
            arms = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=2)
        corners: NDArray[np.float32] = (centers + arms).astype(np.float32, copy=False)
        return corners

    def upright(self) -> Detections:
        """Return the same objects in the smallest upright boxes that hold the rotated ones."""
        if self.angles is None:
            return self
        corners = self.corners()
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return Detections(boxes, self.scores, self.class_ids)

    @property
    def best_scores(self) -> NDArray[np.float32]:
        """(N,): score of each object's best hypothesis."""
        best: NDArray[np.float32] = self.scores[:, 0]
        return best

    @property
    def best_class_ids(self) -> NDArray[np.int32]:
        """(N,): class of each object's best hypothesis."""
        best: NDArray[np.int32] = self.class_ids[:, 0]
        return best
