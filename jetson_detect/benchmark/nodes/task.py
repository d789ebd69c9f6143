"""What a contestant is told to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from jetson_detect.benchmark.workload import USUAL_WORKLOAD, Workload


@dataclass(frozen=True)
class NodeWork:
    """What a contestant works on."""

    cameras: int = 1
    workload: Workload = USUAL_WORKLOAD
    model: str = ""
    """Folder of a model that is really run; empty for the workload's constant output."""
    backend: str = ""
    """What runs that model."""
    precision: str = ""
    """Of the file that it runs; empty for any."""


USUAL_WORK = NodeWork()
"""One camera, and a constant output."""


@dataclass(frozen=True)
class NodeTask:
    """The command line of a contestant."""

    namespace: str
    """Of its topics: ``/namespace/camera0/image_raw`` is answered on ``…/camera0/detections``."""
    stages: Path
    """File of the clock of its stages."""
    work: NodeWork = USUAL_WORK

    @property
    def image_topics(self) -> tuple[str, ...]:
        """Where each camera's images come from."""
        return tuple(f"{each}/image_raw" for each in self._cameras)

    @property
    def answer_topics(self) -> tuple[str, ...]:
        """Where each camera's detections go to."""
        return tuple(f"{each}/detections" for each in self._cameras)

    @property
    def _cameras(self) -> tuple[str, ...]:
        return tuple(f"/{self.namespace}/camera{index}" for index in range(self.work.cameras))

    def to_argument(self) -> str:
        """Write it as one argument of a command line."""
        return json.dumps({**asdict(self), "stages": str(self.stages)})

    @classmethod
    def from_argument(cls, argument: str) -> NodeTask:
        """Read :meth:`to_argument`'s answer back."""
        fields = json.loads(argument)
        work = fields["work"]
        workload = Workload(**work["workload"])
        return cls(
            fields["namespace"],
            Path(fields["stages"]),
            NodeWork(**{**work, "workload": workload}),
        )
