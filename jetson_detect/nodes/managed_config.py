"""The parameters that all managed nodes of this package have."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.nodes.parameters import parameter


@dataclass(frozen=True)
class ManagedConfig:
    """What can be said about a managed node, whatever it does."""

    autostart: bool = parameter(
        True,
        "Configure and activate at start; false leaves that to a life cycle manager.",
        read_only=True,
    )
    diagnostics_period_s: float = parameter(
        1.0,
        "Seconds between two messages on /diagnostics; 0 for none.",
        range=(0.0, 3600.0),
        read_only=True,
    )
