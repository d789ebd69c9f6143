"""Time that goes back: a bag that starts again, a simulation that is reset."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

_QUIET_S = 10.0


class ClockJumps:
    """Tells when a node's clock jumps back, or begins or ceases to follow ``/clock``."""

    def __init__(self, node: Node, on_jump: Callable[[], None]) -> None:
        """Begin to listen.

        Parameters
        ----------
        node:
            Whose clock it is.
        on_jump:
            Called on the thread that sets the clock; must be quick.

        """
        self._node = node
        self._on_jump = on_jump
        self._told_at = float("-inf")
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1))
        self._handle = node.get_clock().create_jump_callback(threshold, post_callback=self._jumped)

    def destroy(self) -> None:
        """Listen no longer."""
        self._handle.unregister()

    def _jumped(self, jump: Any) -> None:
        self._on_jump()
        now = time.monotonic()
        back_s = -jump.delta.nanoseconds * 1e-9
        if back_s > 0.0 and now - self._told_at >= _QUIET_S:
            self._told_at = now
            self._node.get_logger().info(
                f"time went back by {back_s:.3f} s (a bag that starts again, for one): latencies "
                "are counted anew"
            )
