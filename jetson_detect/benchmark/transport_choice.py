"""How messages of a benchmark go from one process to another."""

from __future__ import annotations

from enum import Enum

from jetson_detect.transport import shared_memory_environment


class TransportChoice(str, Enum):
    """Settings of the middleware, the same for cameras and all contestants."""

    SHARED_MEMORY = "shared-memory"
    """The profile of this package: room for images in shared memory."""
    DEFAULT = "default"
    """What the middleware does by itself."""

    def environment(self) -> dict[str, str]:
        """Environment variables of all processes."""
        environment = shared_memory_environment()
        # An empty name stands for no profile, and keeps nodes from choosing one by themselves.
        return environment if self is self.SHARED_MEMORY else dict.fromkeys(environment, "")
