from __future__ import annotations

import pytest

from jetson_detect.nodes.managed_config import ManagedConfig
from jetson_detect.nodes.managed_node import ManagedNode


class BareNode(ManagedNode):
    """Managed, and nothing else."""

    config = ManagedConfig()

    def _stop(self) -> None:
        pass

    def _release(self) -> None:
        pass


@pytest.fixture
def bare_node() -> type[ManagedNode]:
    """The class of a node that is managed, and nothing else."""
    return BareNode
