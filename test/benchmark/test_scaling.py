from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from jetson_detect.benchmark import scaling_level
from jetson_detect.benchmark.drive import Drive
from jetson_detect.benchmark.repeats import Repeats
from jetson_detect.benchmark.scaling_level import ScalingLevel, measure_scaling
from jetson_detect.benchmark.stream_round import StreamRound

COST_MS = {1: 2.0, 4: 2.1, 8: 2.5}
"""CPU time of a frame, by cameras."""


class FakeNode:
    """Costs what :data:`COST_MS` says; more by rate than with one frame in flight."""

    rss_mb = 1.0

    def __init__(self, contestant: Any, session: Any, size: Any, work: Any) -> None:
        self.cameras = work.cameras
        self.drives: list[Drive] = session
        """The session stands for where drives are written down."""

    def __enter__(self) -> FakeNode:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_until_ready(self, warm_up: int) -> None:
        pass

    def round_of(self, drive: Drive) -> Any:
        return partial(self._measure, drive)

    def _measure(self, drive: Drive) -> StreamRound:
        self.drives.append(drive)
        frames = drive.frames * self.cameras
        cost_s = COST_MS[self.cameras] * (2 if drive.rate else 1) / 1e3
        return StreamRound(frames, frames, 1.0, cost_s * frames, (1.0,) * frames, {})


def test_cameras_are_compared_at_the_same_rate_in_all_and_of_each(monkeypatch) -> None:
    monkeypatch.setattr(scaling_level, "RunningNode", FakeNode)
    drives: list[Drive] = []
    level = ScalingLevel(
        cameras=(1, 4, 8), detections=(17,), sizes=("480p",), total_rate=40.0, camera_rate=10.0
    )
    section = measure_scaling(level, Repeats(1, 80, 1), drives)  # type: ignore[arg-type]
    assert drives[:3] == [Drive(80), Drive(20), Drive(10)]
    assert drives[3:6] == [Drive(80, 40.0), Drive(20, 10.0), Drive(10, 5.0)]
    assert drives[6:9] == [Drive(10, 10.0)] * 3
    assert {ratio.name: ratio.value for ratio in section.ratios} == {
        "scaling cameras: 1 in proportion / 4": pytest.approx(2.0 / 2.1),
        "scaling cameras: 1 in proportion / 8": pytest.approx(2.0 / 2.5),
        "scaling cameras, 40 Hz in all, CPU of a frame: 1 / 4": pytest.approx(2.0 / 2.1),
        "scaling cameras, 40 Hz in all, CPU of a frame: 1 / 8": pytest.approx(2.0 / 2.5),
        "scaling cameras, 10 Hz each, CPU of a frame: 1 / 4": pytest.approx(2.0 / 2.1),
        "scaling cameras, 10 Hz each, CPU of a frame: 1 / 8": pytest.approx(2.0 / 2.5),
    }
