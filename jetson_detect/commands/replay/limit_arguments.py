"""The part of ``replay``'s command line that says what answers are compared with, and judged by."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from jetson_detect.commands.numbers import at_least
from jetson_detect.core.replay_limits import (
    ACCURACY_LIMITS,
    GOLDEN_LIMITS,
    OBJECT_LIMITS,
    Allowance,
    ReplayLimits,
)


def add_comparison_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the answers are compared with, and the limits."""
    _add_comparison(parser.add_argument_group("what the answers are compared with"))
    _add_limits(
        parser.add_argument_group(
            "limits", f"each topic has to keep them; those of --compare, if not given: {_golden()}"
        )
    )


def check_comparison(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Leave the process if the arguments do not fit each other."""
    from jetson_detect.core.golden_comparison import MatchRule

    try:
        MatchRule(options.match_iou, options.sure_score)
    except ValueError as error:
        parser.error(f"--match-iou, --sure-score: {error}")
    if options.update_golden:
        if options.compare is None:
            parser.error("--update-golden needs --compare, the bag that is to be written")
        if options.output is not None:
            parser.error("--update-golden writes the bag of --compare: leave --output out")
    if options.compare is None and options.truth is None:
        for name in (*OBJECT_LIMITS, *ACCURACY_LIMITS, "sure_score", "match_iou"):
            if getattr(options, name) != parser.get_default(name):
                parser.error(
                    f"--{name.replace('_', '-')} needs something to compare with: --compare or "
                    "--truth"
                )
    if options.compare is None and options.max_score_drift is not None:
        parser.error("--max-score-drift needs --compare: the truth has no scores")


def limits_from(options: argparse.Namespace) -> ReplayLimits:
    """Collect the limits of a command line."""
    return ReplayLimits(**{each.name: getattr(options, each.name) for each in fields(ReplayLimits)})


def _add_comparison(group: Any) -> None:
    group.add_argument(
        "--compare",
        metavar="GOLDEN",
        type=Path,
        help="a bag with the detections of an earlier run, on the topics of --detections",
    )
    group.add_argument(
        "--update-golden",
        action="store_true",
        help="make that bag of this run, or anew; done only if every frame was answered",
    )
    group.add_argument(
        "--truth",
        nargs="+",
        metavar="TOPIC",
        help="detections in BAG that are the truth, one topic for each image topic; frames without "
        "any are not compared",
    )
    group.add_argument(
        "--match-iou",
        type=at_least(float, 0.0),
        default=0.5,
        metavar="X",
        help="boxes that overlap less are different objects (default: 0.5)",
    )
    group.add_argument(
        "--sure-score",
        type=at_least(float, 0.0),
        default=0.0,
        metavar="X",
        help="what only one of the two has counts from this score on; somewhat above the score "
        "threshold it ignores what lies just beside that one (default: 0)",
    )


def _add_limits(group: Any) -> None:
    share = "N, or a share of the reference's objects as 2%%"
    for name, kind, text in (
        ("max-missed", _allowance, f"objects of the reference that are not found: {share}"),
        ("max-extra", _allowance, f"objects found that are not in the reference: {share}"),
        ("max-moved-px", None, "the most that an edge of a box may be off, pixels"),
        ("max-score-drift", None, "the most that a score may be off"),
        ("min-map50", None, "mean average precision at an IoU of 0.5, 0 to 1"),
        ("min-map75", None, "the same at 0.75"),
        ("min-map50-95", None, "the same, mean of 0.5 to 0.95"),
        ("max-latency-ms-p50", None, "median from a frame to its answer, milliseconds"),
        ("max-latency-ms-p99", None, "99th percentile of the same"),
        ("min-fps", None, "answers a second"),
    ):
        group.add_argument(f"--{name}", type=kind or at_least(float, 0.0), metavar="X", help=text)


def _golden() -> str:
    return ", ".join(
        f"--{name.replace('_', '-')} {getattr(GOLDEN_LIMITS, name)}" for name in OBJECT_LIMITS
    )


def _allowance(text: str) -> Any:
    try:
        return Allowance.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
