"""Choosing a ROS domain."""

from __future__ import annotations

import socket

from jetson_detect.ros_domain import free_domain


def test_a_domain_in_which_somebody_is_is_not_chosen() -> None:
    taken = free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.bind(("", 7410 + 250 * taken))
        chosen = {free_domain() for _ in range(1000)}
    assert taken not in chosen
    assert len(chosen) > 10
    assert all(1 <= domain < 100 for domain in chosen)
