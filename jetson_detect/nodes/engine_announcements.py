"""What builders announce, for whoever looks for engines."""

from __future__ import annotations

import threading
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

from jetson_detect.conversion.engine_announcement import announced_models
from jetson_detect.nodes.qos import LATCHED

_BUILDERS = 10
"""Each builder has an announcement of its own that is kept for late subscribers."""

Listener = Callable[[frozenset[str]], None]
"""Is told the names of models that have new engines, on the executor's thread."""


class EngineAnnouncements:
    """One subscription of the node for all of its models.

    Models come and go on threads of their own.  A subscription must not: an executor that just
    waits for it fails when another thread destroys it.
    """

    def __init__(self, node: LifecycleNode, topic: str) -> None:
        """Subscribe."""
        self._node = node
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._subscription = node.create_subscription(
            DiagnosticArray,
            topic,
            self._tell,
            QoSProfile(
                depth=_BUILDERS, reliability=LATCHED.reliability, durability=LATCHED.durability
            ),
        )

    def listen(self, listener: Listener) -> None:
        """Tell of what is announced from now on; on any thread."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def forget(self, listener: Listener) -> None:
        """Tell no more; on any thread.  A call that is under way may still end."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def destroy(self) -> None:
        """Unsubscribe; on the executor's thread."""
        self._node.destroy_subscription(self._subscription)

    def _tell(self, message: DiagnosticArray) -> None:
        models = announced_models(message)
        for listener in self._listeners:
            listener(models)
