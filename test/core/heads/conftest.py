"""Heads for outputs that are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads import Head, make_head
from jetson_detect.core.model import load_model

HeadFactory = Callable[..., Head]


@pytest.fixture
def head_for(tmp_path: Path) -> HeadFactory:
    """Make ``head_for(type, shapes by part, labels=, size=, layout=, **options)``.

    Each output is called like its part; the model has as many labels as are asked for.
    """

    def make(
        kind: str,
        shapes: Mapping[str, Sequence[int | None]],
        labels: int = 3,
        size: tuple[int, int] = (640, 480),
        layout: str = "NCHW",
        **options: Any,
    ) -> Head:
        width, height = size
        document = {
            "name": "made up",
            "license": "Apache-2.0",
            "files": [{"format": "onnx", "path": "net.onnx"}],
            "input": {"width": width, "height": height, "layout": layout, "color_order": "RGB"},
            "head": {"type": kind, "outputs": {part: part for part in shapes}, **options},
            "labels": [f"class {index}" for index in range(labels)],
        }
        (tmp_path / "net.onnx").write_bytes(b"")
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(document))
        outputs = {
            part: TensorInfo(part, tuple(shape), np.dtype(np.float32))
            for part, shape in shapes.items()
        }
        return make_head(load_model(tmp_path), outputs)

    return make
