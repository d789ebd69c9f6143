"""What of a camera's image the network is shown, and which way up."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.core.camera_views.region import Region

ROTATIONS = (0, 90, 180, 270)


@dataclass(frozen=True)
class CameraView:
    """How one camera is looked at: first rectified and cut, then turned."""

    region: Region | None = None
    """In pixels of the image as it is published; None for all of it.  What reaches beyond the image
    is cut off."""
    rotation: int = 0
    """By how many degrees the image is turned clockwise to stand upright: 0, 90, 180 or 270.  A
    camera that is rolled clockwise, so that its top points right (seen from behind), needs 90."""
    rectify: bool = False
    """Whether the lens's distortion is taken out, by what the camera says of it."""

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS:
            raise ValueError(
                f"rotation must be one of {', '.join(map(str, ROTATIONS))} degrees, "
                f"not {self.rotation}"
            )

    @property
    def quarter_turns(self) -> int:
        """Clockwise."""
        return self.rotation // 90


WHOLE_IMAGE = CameraView()
"""The image as it comes."""
