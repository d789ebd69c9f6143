"""The parameters that say what of each camera's image the network is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from jetson_detect.core.camera_views import ROTATIONS, CameraView, Region, RegionError
from jetson_detect.nodes.parameters import parameter

T = TypeVar("T")

_OF_EACH = "one for all cameras, or one for each of image_topics"


@dataclass(frozen=True)
class CameraViewConfig:
    """What of the images is looked at; boxes are published in pixels of the whole image anyway."""

    regions: tuple[str, ...] = parameter(
        (),
        f"the part that is shown to the network, 'x,y,width,height' in pixels: {_OF_EACH}; empty "
        "text for the whole image",
    )
    rotations: tuple[int, ...] = parameter(
        (0,),
        f"by how many degrees the image is turned clockwise to stand upright: {_OF_EACH}",
        choices=ROTATIONS,
    )
    rectify: tuple[bool, ...] = parameter(
        (False,),
        "whether the lens's distortion is taken out, by the camera_info that is published beside "
        f"the image: {_OF_EACH}",
    )

    def views(self, cameras: int) -> tuple[CameraView, ...]:
        """Return what is seen of each camera.

        Parameters
        ----------
        cameras:
            How many entries image_topics has; one that is a pattern counts as one.

        Raises
        ------
        ValueError
            If a region is none, a rotation is no quarter turn, or a camera has no entry of its own.

        """
        regions = _of_each("regions", [_region(text) for text in self.regions], None, cameras)
        rotations = _of_each("rotations", self.rotations, 0, cameras)
        rectify = _of_each("rectify", self.rectify, False, cameras)
        return tuple(map(CameraView, regions, rotations, rectify))


def _region(text: str) -> Region | None:
    if not text.strip():
        return None
    try:
        return Region.parse(text)
    except RegionError as error:
        raise ValueError(f"parameter 'view.regions': {error}") from error


def _of_each(name: str, given: Sequence[T], default: T, cameras: int) -> Sequence[T]:
    """Spell out what each camera has.

    Raises
    ------
    ValueError
        If that is not clear.

    """
    if len(given) == cameras:
        return given
    if len(given) > 1:
        raise ValueError(
            f"parameter 'view.{name}' has {len(given)} entries for {cameras} image_topics; give "
            f"{_OF_EACH}"
        )
    return [given[0] if given else default] * cameras
