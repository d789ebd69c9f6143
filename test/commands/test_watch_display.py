"""What a watch shows."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from jetson_detect.commands.watch_display import progress_line, summary_table
from jetson_detect.core.evaluation import Evaluation
from jetson_detect.core.watch_log import WatchSummary

SUMMARY = WatchSummary(
    frames=120,
    empty=7,
    repeated=0,
    detections=300,
    by_class={"cup": 200, "ball": 100},
    fps=29.97,
    recent_fps=31.0,
    latency_p50_s=0.0123,
    latency_p99_s=0.045,
    compared=119,
    accuracy=Evaluation(
        images=119,
        ground_truths=310,
        predictions=300,
        map50=0.95,
        map75=0.8,
        map50_95=0.7,
        ap50_by_class={"ball": 0.9, "cone": 0.0, "cup": 1.0},
        ap75_by_class={"ball": 0.625, "cone": 0.0, "cup": 0.975},
    ),
)
NOTHING = WatchSummary(0, 0, 0, 0, {}, None, None, None, None, 0, None)


def rendered(summary: WatchSummary, **arguments: Any) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table(summary, "/camera/detections", **arguments))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def test_the_table_shows_the_stream_and_each_class() -> None:
    text = rendered(SUMMARY)
    assert "frames 120 (7 without an object)" in text
    assert "rate 30.0 fps" in text
    assert "latency p50 12.3 ms, p99 45.0 ms" in text
    assert "accuracy mAP50 0.950, mAP75 0.800, mAP50-95 0.700 on 119 frames" in text
    assert "cup 200 1.000 0.975" in text
    assert "ball 100 0.900 0.625" in text
    assert "cone 0 0.000 0.000" in text  # in the truth, never found


def test_the_live_table_shows_the_rate_of_the_last_seconds_and_a_note() -> None:
    text = rendered(SUMMARY, live=True, note="something is odd")
    assert "rate 31.0 fps" in text
    assert "something is odd" in text


def test_what_is_not_known_is_a_dash() -> None:
    text = rendered(NOTHING)
    assert "rate – fps" in text
    assert "latency p50 –, p99 –" in text
    assert "accuracy" not in text
    assert progress_line(NOTHING) == "    0 frames  – fps  latency p50 –, p99 –  0 detections"


def test_a_progress_line_fits_a_narrow_terminal() -> None:
    line = progress_line(SUMMARY)
    assert line == "  120 frames  31.0 fps  latency p50 12.3 ms, p99 45.0 ms  mAP50 0.950"
    assert len(line) < 80
