"""Decoders: one class for each kind of network output, chosen by ``head.type`` of model.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads.base import Head
from jetson_detect.core.heads.centernet import CenterNetHead
from jetson_detect.core.model import ModelSpec

__all__ = ["HEADS", "CenterNetHead", "Head", "make_head"]

HEADS = {"centernet": CenterNetHead}
"""By ``head.type``."""


def make_head(model: ModelSpec, outputs: Mapping[str, TensorInfo]) -> Head:
    """Make the decoder that ``model.yaml`` names.

    Parameters
    ----------
    model:
        The model.
    outputs:
        The network's outputs by their part (the keys of ``head.outputs``).

    Raises
    ------
    ModelError
        If the type is unknown, or the outputs do not fit it.

    """
    if model.head.type not in HEADS:
        raise model.error(
            "head.type", f"'{model.head.type}' is not known", f"use one of {', '.join(HEADS)}"
        )
    return HEADS[model.head.type](model, outputs)
