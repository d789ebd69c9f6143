"""The parameters that say when frames of several cameras share an inference."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.core.backends import BatchOptions
from jetson_detect.nodes.parameters import parameter

_MILLISECONDS = 1e3


@dataclass(frozen=True)
class BatchingConfig:
    """Frames of several cameras in one inference."""

    max_size: int = parameter(
        8,
        "the most frames, of one camera each, that go into one inference, where the model's file "
        "takes several; 1 for one at a time",
        range=(1, 256),
        read_only=True,
    )
    on_cpu: bool = parameter(
        BatchOptions.on_cpu,
        "whether that is done on the CPU, too, where it gains little and the first frame waits for "
        "the last",
        read_only=True,
    )
    max_wait_ms: float = parameter(
        2.0,
        "how many milliseconds a frame waits for those of other cameras, if one of them is due by "
        "then; 0 takes what is there",
        range=(0.0, 1000.0),
    )

    @property
    def max_wait_s(self) -> float:
        """The same in seconds."""
        return self.max_wait_ms / _MILLISECONDS

    def options(self) -> BatchOptions:
        """Say the same to the core."""
        return BatchOptions(self.max_size, self.on_cpu)
