"""What managed nodes have in common."""

from __future__ import annotations

import gc
from typing import Any

import pytest

pytestmark = pytest.mark.dds


def test_a_destroyed_node_offers_no_service_any_more_though_somebody_still_holds_it(
    graph: Any, bare_node: Any
):
    watcher = graph.node("watcher")

    def offered() -> set[str]:
        services = {name for name, _ in watcher.get_service_names_and_types() if "/bare/" in name}
        return services - {"/bare/get_type_description"}  # rclpy never takes that one back

    node = bare_node("bare", context=graph.context)
    graph.spin_until(lambda: "/bare/change_state" in offered(), what="the node's services")
    gc.disable()
    try:
        node.destroy_node()
        graph.spin_until(lambda: not offered(), timeout=10.0, what="the end of its services")
    finally:
        gc.enable()
