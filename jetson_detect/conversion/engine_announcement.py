"""``diagnostic_msgs/DiagnosticArray`` that tells which engines there are.

It holds no path: who hears it looks into the cache of the own machine, and takes from there what
it has proven to itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import Header

from jetson_detect.conversion.diagnostics import to_key_values
from jetson_detect.core.engines.entry import Entry


def to_announcement(engines: Iterable[Entry], stamp: Time) -> DiagnosticArray:
    """Tell of engines that were promoted.

    Parameters
    ----------
    engines:
        From the cache.
    stamp:
        The time of telling.

    Returns
    -------
    A status for each engine: ``name`` is its model, ``hardware_id`` the GPU, ``message`` the
    figures of its proof.  Keys: ``precision``, ``key`` (in the cache), ``source`` (SHA-256 of the
    file that it was built from), ``tensorrt`` (version) and ``created``.

    """
    return DiagnosticArray(
        header=Header(stamp=stamp), status=[_to_status(engine) for engine in engines]
    )


def announced_models(message: DiagnosticArray) -> frozenset[str]:
    """Return the names of the models that engines were announced for."""
    return frozenset(status.name for status in message.status)


def _to_status(engine: Entry) -> DiagnosticStatus:
    identity = engine.identity
    values = {
        "precision": identity.precision,
        "key": identity.key,
        "source": identity.source,
        "tensorrt": identity.machine.tensorrt,
        "created": engine.sidecar.created,
    }
    return DiagnosticStatus(
        level=DiagnosticStatus.OK,
        name=identity.model,
        message=", ".join(
            f"{name} {_shown(value)}" for name, value in engine.record.figures.items()
        )
        or "proven",
        hardware_id=identity.machine.gpu,
        values=to_key_values(values),
    )


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
