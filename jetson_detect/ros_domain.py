"""ROS domains and who is in them."""

from __future__ import annotations

import random
import socket

_DOMAINS = range(1, 100)  # above 101 a domain's ports reach into Linux's ephemeral range
_DDS_PORT, _DDS_PORTS_OF_DOMAIN, _DDS_FIRST_UNICAST = 7400, 250, 10  # RTPS 2.5, table 9.8


def free_domain() -> int:
    """Choose a ROS domain in which no process of this machine is.

    Each DDS process listens on a port that its domain and its number in it determine; where the
    first ones are free, nobody is there.

    Raises
    ------
    OSError
        If there is none.

    """
    # At random, so that two demos started together do not both take the first one.
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        first = _DDS_PORT + _DDS_PORTS_OF_DOMAIN * domain + _DDS_FIRST_UNICAST
        if all(_is_free(port) for port in range(first, first + 4)):
            return domain
    raise OSError("every ROS domain is in use on this machine; choose one with --domain-id")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
