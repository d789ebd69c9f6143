"""What every decoder of network outputs looks like from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from jetson_detect.core.selection import Candidates, Selection


class Head(Protocol):
    """Decodes the outputs of one kind of network.

    Built as ``Head(model, outputs)`` from the model's spec and the backend's descriptions of the
    outputs, by the names of ``head.outputs``; raises
    :class:`~jetson_detect.core.model.ModelError` where they do not fit together.
    """

    suppressed: bool
    """Whether the outputs have been through non-maximum suppression already."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], selection: Selection) -> Candidates:
        """Decode one image.

        Parameters
        ----------
        outputs:
            The network's outputs by their part for this decoder (the keys of ``head.outputs``).
        selection:
            Candidates with no hypothesis that it wants are not decoded at all.

        Returns
        -------
        Boxes in network pixels.

        """
