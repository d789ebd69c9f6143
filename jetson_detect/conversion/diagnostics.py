"""``diagnostic_msgs/DiagnosticStatus`` from what a fallback chain runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from jetson_detect.core.fallback import ChainStatus


def to_key_values(values: Mapping[str, str]) -> list[KeyValue]:
    """Spell a mapping as tools show it, in its order."""
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def to_diagnostic_status(
    status: ChainStatus, name: str, model: str, more: Mapping[str, str] = MappingProxyType({})
) -> DiagnosticStatus:
    """Tell what runs, why, and what was refused.

    Parameters
    ----------
    status:
        Of the chain.
    name:
        Of the component, as tools show it.
    model:
        The model's name.
    more:
        What else there is to say.

    Returns
    -------
    OK with the wanted backend, WARN while another stands in for it, ERROR if none runs.  Keys:
    ``model``, ``backend``, ``runtime``, ``device``, ``file``, ``precision``, ``why``,
    ``takeovers``, whatever else the backend says of itself, and one ``refused: NAME`` with the
    reason for each backend that was refused; then ``more``.

    """
    message = DiagnosticStatus(name=name)
    values = {"model": model}
    running = status.running
    if running is None:
        message.level = DiagnosticStatus.ERROR
        message.message = "no backend works"
    else:
        message.hardware_id = running.device
        values.update(
            backend=running.backend,
            runtime=running.runtime,
            device=running.device,
            file=str(running.file.path),
            precision=running.file.precision.value,
            **running.details,
        )
        message.level = DiagnosticStatus.WARN if status.degraded else DiagnosticStatus.OK
        message.message = f"runs on {running.backend}"
        if status.degraded:
            refused = ", ".join(refusal.backend for refusal in status.refusals)
            message.message += f" in place of {refused}" if refused else ""
    values.update(why=status.why, takeovers=str(status.takeovers))
    for refusal in status.refusals:
        retry = (
            f"; tried again in {refusal.retry_in_s:.0f} s" if refusal.retry_in_s is not None else ""
        )
        values[f"refused: {refusal.backend}" + (f" ({refusal.file})" if refusal.file else "")] = (
            refusal.reason + retry
        )
    values.update(more)
    message.values = to_key_values(values)
    return message
