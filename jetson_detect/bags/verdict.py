"""What is known of a replay when it is over, and whether it keeps its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from jetson_detect.bags.ledger import ReplayReport
from jetson_detect.bags.played_topics import Ending
from jetson_detect.core.golden_comparison import ComparisonFigures
from jetson_detect.core.replay_limits import (
    ACCURACY_LIMITS,
    GOLDEN_LIMITS,
    OBJECT_LIMITS,
    Check,
    ReplayLimits,
    check_accuracy,
    check_known,
    check_objects,
    check_played,
    check_speed,
    shortened,
)

GOLDEN, TRUTH = "golden", "truth"

Comparisons: TypeAlias = Mapping[str, Mapping[str, ComparisonFigures]]
"""By :data:`GOLDEN` and :data:`TRUTH`, then by topic of the images."""


@dataclass(frozen=True)
class ReplayResult:
    """All that is known when a replay is over."""

    ending: Ending
    problem: str
    """Why it did not finish; empty if it did."""
    report: ReplayReport
    by_topic: Mapping[str, ReplayReport]
    comparisons: Comparisons
    checks: tuple[Check, ...]
    environment: Mapping[str, str]
    """What ran."""

    @property
    def passed(self) -> bool:
        """Whether it came to its end and kept all limits."""
        return self.ending is Ending.FINISHED and all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "ending": self.ending.value,
            "problem": self.problem,
            **self.report.to_json(),
            "by_topic": {topic: each.to_json() for topic, each in self.by_topic.items()},
            "comparison": {
                kind: {topic: each.to_json() for topic, each in figures.items()}
                for kind, figures in self.comparisons.items()
            },
            "checks": [asdict(check) for check in self.checks],
            "environment": dict(self.environment),
        }


def judge(
    limits: ReplayLimits,
    by_topic: Mapping[str, ReplayReport],
    comparisons: Comparisons,
    must_answer: bool,
    is_update: bool = False,
    is_whole: bool = True,
) -> Iterator[Check]:
    """Check each topic.

    Objects are judged beside the golden bag, or else the truth; average precision beside the truth,
    or else the golden bag.

    Parameters
    ----------
    limits
        What is demanded.
    by_topic
        What came back, by topic of the images.
    comparisons
        What it was compared with, and how it differs.
    must_answer
        Whether no frame may be lost.
    is_update
        Whether the golden bag is made anew, so that it demands nothing.
    is_whole
        Whether the bag was played to its end: then each frame of the golden bag has to be in it.

    """
    golden = {} if is_update else comparisons.get(GOLDEN, {})
    truth = comparisons.get(TRUTH, {})
    for topic, report in by_topic.items():
        if must_answer:
            yield _check_answered(topic, report)
        latencies = (report.latency_p50_ms, report.latency_p99_ms)
        yield from check_speed(topic, limits, *latencies, report.fps)
        if topic in golden:
            yield check_known(topic, golden[topic])
            beside_golden = limits.only(OBJECT_LIMITS).or_else(GOLDEN_LIMITS)
            yield from check_objects(topic, beside_golden, golden[topic])
        elif topic in truth:
            yield from check_objects(topic, limits, truth[topic])
        reference = truth.get(topic) or golden.get(topic)
        if reference is not None:
            yield from check_accuracy(topic, limits.only(ACCURACY_LIMITS), reference)
    if is_whole:
        # Also of topics that have no image left.
        yield from (check_played(topic, figures) for topic, figures in golden.items())


def _check_answered(topic: str, report: ReplayReport) -> Check:
    lost = [str(frame) for frame in report.lost]
    measured = f"{report.answered} of {report.sent} frames were answered"
    return Check("answered", topic, not lost, measured, "all of them", shortened(lost))
