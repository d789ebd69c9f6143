"""What managed nodes have in common."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from jetson_detect.nodes.managed_config import ManagedConfig
from jetson_detect.nodes.managed_node import ManagedNode

pytestmark = pytest.mark.dds


class BareNode(ManagedNode):
    """Managed, and nothing else."""

    config = ManagedConfig()

    def _stop(self) -> None:
        pass

    def _release(self) -> None:
        pass


def test_a_destroyed_node_offers_no_service_any_more_though_somebody_still_holds_it(graph: Any):
    watcher = graph.node("watcher")

    def offered() -> set[str]:
        services = {name for name, _ in watcher.get_service_names_and_types() if "/bare/" in name}
        return services - {"/bare/get_type_description"}  # rclpy never takes that one back

    node = BareNode("bare", context=graph.context)
    graph.spin_until(lambda: "/bare/change_state" in offered(), what="the node's services")
    gc.disable()
    try:
        node.destroy_node()
        graph.spin_until(lambda: not offered(), timeout=10.0, what="the end of its services")
    finally:
        gc.enable()
