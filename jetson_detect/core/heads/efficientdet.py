"""EfficientDet: class scores and boxes relative to anchors of five levels, before suppression.

Tan, Pang, Le: EfficientDet, 2020; anchors and box coding as ``efficientdet/anchors.py``
(https://github.com/google/automl/tree/master/efficientdet) has them: ty, tx, th, tw without
further factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.anchors import (
    Anchors,
    decode_boxes,
    efficientdet_anchors,
    grid_sizes,
)
from jetson_detect.core.heads.options import HeadOptions
from jetson_detect.core.heads.parts import map_pattern, require_parts, require_shape, shape_error
from jetson_detect.core.heads.scores import Activation, find_survivors
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.model import Layout, ModelSpec
from jetson_detect.core.selection import Candidates, Selection, concatenate

LEVELS = (3, 4, 5, 6, 7)
"""Level n has a stride of 2**n."""
NUM_SCALES = 3
ASPECT_RATIOS = (1.0, 2.0, 0.5)
_NO_FACTORS = (1.0, 1.0, 1.0, 1.0)


class EfficientDetHead:
    """Class logits and boxes (ty, tx, th, tw), in one piece or level by level.

    Either ``classes`` (1, N, C) and ``boxes`` (1, N, 4) with all anchors in the order of level,
    row, column, scale, aspect ratio; or for each level 3 to 7 ``classes_n`` (1, h, w, A * C) and
    ``boxes_n`` (1, h, w, A * 4), with channels first if the input has.
    """

    suppressed = False

    def __init__(self, model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> None:
        """Check the outputs and make the anchors.

        Raises
        ------
        ModelError
            Naming the output or option and what does not fit.

        """
        options = HeadOptions(model)
        self._activation = options.choice("activation", Activation.SIGMOID)
        scale = options.number("anchor_scale", 4.0)
        num_scales = max(1, options.integer("num_scales", NUM_SCALES))
        ratios = _read_aspect_ratios(options)
        options.close()
        self._labels = len(model.labels)
        self._channels_last = model.input.layout is Layout.NHWC
        size = (model.input.width, model.input.height)
        self._levels: dict[str, Anchors] = {
            f"_{level}": efficientdet_anchors(
                size, grid, ratios, anchor_scale=scale, num_scales=num_scales
            )
            for level, grid in zip(LEVELS, grid_sizes(size, [2**level for level in LEVELS]))
        }
        self._shapes = num_scales * len(ratios)
        if "classes" in outputs or "boxes" in outputs:
            require_parts(model, outputs, ("classes", "boxes"))
            self._levels = {"": np.concatenate(list(self._levels.values()))}
        else:
            parts = [f"{kind}{level}" for kind in ("classes", "boxes") for level in self._levels]
            require_parts(model, outputs, parts)
        for level, anchors in self._levels.items():
            for kind, depth in (("classes", self._labels), ("boxes", 4)):
                part = f"{kind}{level}"
                self._check(model, part, outputs[part], depth, len(anchors))

    def _check(
        self, model: ModelSpec, part: str, info: TensorInfo, depth: int, anchors: int
    ) -> None:
        in_one_piece = part in ("classes", "boxes")
        pattern = (1, "N", depth) if in_one_piece else map_pattern(model, self._shapes * depth)
        require_shape(model, part, info, [pattern], " for these labels and anchors")
        grid = info.shape[1:2] if in_one_piece else info.shape[1:3]
        if not in_one_piece and not self._channels_last:
            grid = info.shape[2:4]
        cells = anchors if in_one_piece else anchors // self._shapes
        if None not in grid and grid and int(np.prod([n or 0 for n in grid])) != cells:
            raise shape_error(
                model,
                part,
                info,
                f"the input of {model.input.width}x{model.input.height} has "
                f"{cells} {'anchors' if in_one_piece else 'cells'} there: correct input or anchors",
            )

    @property
    def sieve(self) -> Sieve | None:
        """See :attr:`jetson_detect.core.heads.base.SievedHead.sieve`."""
        if "" not in self._levels or self._activation is Activation.SOFTMAX:
            return None
        return Sieve(
            "classes", self._labels, 0, self._labels, self._activation, others={"boxes": 4}
        )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`jetson_detect.core.heads.base.SievedHead.decode`."""
        return concatenate(
            [
                self._decode_level(
                    outputs[f"classes{level}"][0],
                    outputs[f"boxes{level}"][0],
                    anchors,
                    selection,
                    among,
                )
                for level, anchors in self._levels.items()
            ]
        )

    def _decode_level(
        self,
        classes: NDArray[Any],
        codes: NDArray[Any],
        anchors: Anchors,
        selection: Selection,
        among: NDArray[np.intp] | None,
    ) -> Candidates:
        if classes.ndim == 3:
            classes, codes = self._by_anchor(classes, self._labels), self._by_anchor(codes, 4)
            anchors = anchors.reshape(codes.shape)
        found = find_survivors(classes, selection, self._activation, among=among)
        boxes = decode_boxes(codes[found.where], anchors[found.where], _NO_FACTORS)
        return Candidates(boxes, found.scores, found.class_ids)

    def _by_anchor(self, feature_map: NDArray[Any], depth: int) -> NDArray[Any]:
        """View a level's map as (h, w, A, depth)."""
        if self._channels_last:
            return feature_map.reshape(*feature_map.shape[:2], self._shapes, depth)
        split = feature_map.reshape(self._shapes, depth, *feature_map.shape[1:])
        by_anchor: NDArray[Any] = split.transpose(2, 3, 0, 1)
        return by_anchor


def _read_aspect_ratios(options: HeadOptions) -> list[tuple[float, float]]:
    """Return factors of width and height; a number stands for its root and the inverse of it."""
    given = options.read("aspect_ratios")
    if given is None:
        given = list(ASPECT_RATIOS)
    ratios = []
    for ratio in given if isinstance(given, list) and given else [None]:
        pair = ratio if isinstance(ratio, list) else [ratio]
        numbers = [n for n in pair if isinstance(n, (int, float)) and not isinstance(n, bool)]
        if len(numbers) != len(pair) or len(pair) not in (1, 2) or min(numbers) <= 0:
            raise options.error("aspect_ratios", given, "use numbers or [width, height] pairs")
        wide, high = numbers if len(pair) == 2 else (numbers[0] ** 0.5, numbers[0] ** -0.5)
        ratios.append((float(wide), float(high)))
    return ratios
