"""What every decoder of network outputs looks like from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.heads.sieve import Sieve
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


@runtime_checkable
class SievedHead(Head, Protocol):
    """A head that need not see all candidates."""

    @property
    def sieve(self) -> Sieve | None:
        """What tells those that it has to see, by the parts' names; None where nothing can."""

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        selection: Selection,
        among: NDArray[np.intp] | None = None,
    ) -> Candidates:
        """Decode one image; see :meth:`Head.decode`.

        Parameters
        ----------
        outputs, selection:
            As there.
        among:
            (M,), ascending: the candidates that passed the sieve.  The outputs may hold anything
            at the others' places.  All are looked at without it.

        """
