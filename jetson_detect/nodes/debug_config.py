"""Parameters of what a camera publishes for people."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.nodes.parameters import parameter


@dataclass(frozen=True)
class DebugImageConfig:
    """How debug images are made."""

    jpeg_quality: int = parameter(
        80,
        "Quality of debug_image/compressed: higher is sharper, larger and takes longer.",
        range=(1, 100),
    )
