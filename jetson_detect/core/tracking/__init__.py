"""Following objects from frame to frame: which algorithms there are."""

from __future__ import annotations

from importlib import import_module

from jetson_detect.core.tracking.associator import MakeAssociator, TrackerUnavailableError
from jetson_detect.core.tracking.bytetrack import ByteTrack

ALGORITHMS: dict[str, MakeAssociator] = {"bytetrack": ByteTrack}


def find_algorithm(name: str) -> MakeAssociator:
    """Return what makes an associator.

    Parameters
    ----------
    name:
        One of :data:`ALGORITHMS`, or ``module:callable`` for one that is not in this package.

    Raises
    ------
    TrackerUnavailableError
        If there is none of this name.

    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise TrackerUnavailableError(
            f"there is no tracking algorithm '{name}'; there are: {', '.join(ALGORITHMS)}, or "
            "write module:callable for one of your own"
        )
    try:
        found: MakeAssociator = getattr(import_module(module_name), attribute)
    except Exception as error:
        raise TrackerUnavailableError(
            f"tracking algorithm '{name}' cannot be imported ({type(error).__name__}: {error}); "
            "is the module on PYTHONPATH?"
        ) from error
    return found
