"""A ROS domain for one run of the benchmark."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jetson_detect.benchmark.transport_choice import TransportChoice
from jetson_detect.ros_domain import free_domain
from jetson_detect.transport import localhost_environment


@dataclass(frozen=True, eq=False)
class Session:
    """What contestants and cameras share."""

    environment: Mapping[str, str]
    """Of the contestants' processes, beside this one's."""
    folder: Path
    """For logs and clocks."""


@contextlib.contextmanager
def open_session(transport: TransportChoice) -> Iterator[Session]:
    """Open a ROS domain that nobody else uses; what it left behind goes at the end.

    Changes this process's environment, which the middleware reads when it starts.
    """
    with tempfile.TemporaryDirectory(prefix="jetson_detect_benchmark_") as folder:
        environment = {
            **localhost_environment(),
            **transport.environment(),
            "ROS_DOMAIN_ID": str(free_domain()),
            "ROS_LOG_DIR": folder,
        }
        os.environ.update(environment)
        yield Session(environment, Path(folder))
