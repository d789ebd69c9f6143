"""Tells detectors which engines there are, on a latched topic."""

from __future__ import annotations

import threading

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode

from jetson_detect.conversion.engine_announcement import to_announcement
from jetson_detect.core.engines.cache import CacheError, EngineCache
from jetson_detect.core.engines.entry import Entry
from jetson_detect.nodes.qos import LATCHED


class EngineAnnouncer:
    """Publishes what is in the cache, each time that it is something else."""

    def __init__(self, node: LifecycleNode, cache: EngineCache, topic: str) -> None:
        """Make the publisher."""
        self._node = node
        self._cache = cache
        self._publisher = node.create_publisher(DiagnosticArray, topic, LATCHED)
        self._lock = threading.Lock()
        self._announced: list[tuple[str, str]] | None = None

    def announce(self) -> tuple[Entry, ...]:
        """Look into the cache and publish what has changed; returns the engines in it."""
        with self._lock:
            try:
                entries = self._cache.entries()
            except CacheError as error:
                self._node.get_logger().warning(str(error), throttle_duration_sec=60.0)
                return ()
            content = [(entry.key, entry.sidecar.created) for entry in entries]
            if content != self._announced and self._node.context.ok():
                self._announced = content
                stamp = self._node.get_clock().now().to_msg()
                self._publisher.publish(to_announcement(entries, stamp))
            return entries

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_publisher(self._publisher)
