"""Quality of service profiles from parameters."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from jetson_detect.nodes.parameters import parameter

RELIABILITIES = ("best_effort", "reliable")
DURABILITIES = ("volatile", "transient_local")


@dataclass(frozen=True)
class QoSConfig:
    """What parameters say about a subscription; the defaults match any publisher."""

    reliability: str = parameter(
        "best_effort",
        "best_effort receives from any publisher, reliable only from reliable ones",
        choices=RELIABILITIES,
    )
    durability: str = parameter(
        "volatile",
        "volatile receives from any publisher, transient_local only from latched ones",
        choices=DURABILITIES,
    )
    depth: int = parameter(
        10,
        "messages that the middleware keeps while the process is held up, and that wait in line "
        "while a backend is exchanged; else the newest one of each topic counts",
        range=(1, 1000),
    )

    def profile(self) -> QoSProfile:
        """Make the profile: keep the last ``depth`` messages."""
        return QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self.depth,
            reliability=ReliabilityPolicy[self.reliability.upper()],
            durability=DurabilityPolicy[self.durability.upper()],
        )


ENGINES_TOPIC = "/jetson_detect/engines"
"""Where builders tell which engines there are."""

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""For topics whose last message a late subscriber must get."""

RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""For small results: a reliable publisher serves reliable and best-effort subscribers alike."""
