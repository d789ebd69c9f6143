"""Who takes part in a comparison of nodes."""

from __future__ import annotations

from enum import Enum

_NODES = "jetson_detect.benchmark.nodes"


class Contestant(str, Enum):
    """A way to write the node; the values are the names in tables."""

    TUTORIAL = "tutorial"
    """Typed messages, a copy as of cv_bridge, a Python loop over all candidates."""
    PLAIN = "plain"
    """Typed messages, a copy as of cv_bridge, vectorised NumPy."""
    OURS = "ours"
    """The detector node."""
    INLINE = "inline"
    """The detector node's steps on the thread that receives, without the node around them."""
    FLOOR = "floor"
    """Receives, resizes and publishes a constant: no node can do less."""

    EMPTY = "empty"
    """Answers with nothing: what rclpy takes to start."""

    @property
    def module(self) -> str:
        """The program."""
        return f"{_NODES}.{'our' if self is Contestant.OURS else self.value}_node"
