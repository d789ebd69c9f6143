"""Draw pictures of objects that a robot might meet, with exact ground truth.

Nothing is downloaded: every picture is computed from a seed, so the demo model can be trained,
the synthetic camera can run and the accuracy checks can be repeated on any machine.

How a picture is made:

1. a background (a room, a yard or a plain studio) with clutter that belongs to no class;
2. one *sprite* per object, a shaded picture of a solid with an alpha channel, which is warped
   into place over its shadow;
3. light, blur and sensor noise over everything.

The box of an object is measured, not computed: it is the bounding rectangle of the pixels that
its warped alpha covers by at least one half, inside the image, as if no other object stood in
front of it. An object that shows too little of itself is in the picture but not in the truth.

Images are ``uint8`` BGR of shape ``(H, W, 3)``. Boxes are in pixels and name edges, so a box
around the whole image is ``0, 0, W, H``. Only numpy and OpenCV are needed.
"""

from __future__ import annotations

from jetson_detect.core.scenes.scene import (
    CLASS_NAMES,
    MIN_BOX_SIDE,
    MIN_VISIBLE_FRACTION,
    Scene,
)
from jetson_detect.core.scenes.sequences import SceneSequence
from jetson_detect.core.scenes.stills import draw_scene

__all__ = [
    "CLASS_NAMES",
    "MIN_BOX_SIDE",
    "MIN_VISIBLE_FRACTION",
    "Scene",
    "SceneSequence",
    "draw_scene",
]
