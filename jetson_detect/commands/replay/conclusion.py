"""The end of a replay: the verdict, on screen and in files, and the exit status."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from jetson_detect.bags.ledger import FrameLedger
from jetson_detect.bags.played_topics import Ending
from jetson_detect.bags.replay_plan import ReplayPlan
from jetson_detect.bags.verdict import GOLDEN, Comparisons, ReplayResult, judge
from jetson_detect.commands.replay.display import show_checks, show_result
from jetson_detect.commands.replay.junit_file import junit_xml
from jetson_detect.commands.replay.limit_arguments import limits_from
from jetson_detect.commands.replay.records import ReplayRecords
from jetson_detect.commands.result_files import write_atomically
from jetson_detect.commands.stop_signals import StopSignals
from jetson_detect.report.html_report import HtmlReport

_EXIT_FINE, _EXIT_FAILED, _EXIT_ERROR = 0, 1, 2


class ReplayConclusion:
    """Sums up and tells, once the player is done."""

    def __init__(
        self,
        options: argparse.Namespace,
        plan: ReplayPlan,
        records: ReplayRecords,
        environment: Mapping[str, str],
        stop: StopSignals,
    ) -> None:
        """Prepare.

        Raises
        ------
        ReportError
            If a page is wanted and cannot be made.

        """
        self.ledger = FrameLedger()
        """To be kept by the player."""
        self.status = _EXIT_FAILED
        """The exit status."""
        self.passed = False
        """Whether it came to its end and kept all limits."""
        self._options, self._plan, self._records = options, plan, records
        self._stop = stop
        self._environment = {**environment, "mode": self._mode}
        self._page: HtmlReport | None = None
        if options.html is not None:
            title = f"Replay of {Path(options.bag).name}"
            self._page = HtmlReport(title, self._environment, rule=records.rule)
            records.show_in(self._page)

    def conclude(self, ending: Ending, problem: str) -> None:
        """Judge, write the files and tell.

        Raises
        ------
        ResultFileError, ReportError
            If a file cannot be written.

        """
        options = self._options
        comparisons = self._records.figures()
        uncompared = self._why_not_compared(comparisons) if ending is Ending.FINISHED else ""
        problem = problem or uncompared
        result = self._result(ending, problem, comparisons)
        self.passed = result.passed and not uncompared
        if ending is Ending.STOPPED:
            self.status = self._stop.exit_status
        elif uncompared:
            self.status = _EXIT_ERROR
        else:
            self.status = _EXIT_FINE if result.passed else _EXIT_FAILED
        if options.report is not None:
            write_atomically(options.report, json.dumps(self._document(result), indent=2) + "\n")
        if options.junit is not None:
            suite = Path(options.bag).name
            seconds = result.report.duration_s or 0.0
            text = junit_xml(suite, result.checks, seconds, self._environment, problem)
            write_atomically(options.junit, text)
        if self._page is not None:
            self._page.write(options.html, checks=result.checks)
        if not options.quiet:
            show_result(result)
        show_checks(result, options.quiet)
        if problem:
            print(f"replay: {problem}", file=sys.stderr)

    @property
    def _mode(self) -> str:
        if self._options.offline:
            return "offline"
        return "lock-step" if self._options.lock_step else "timed"

    def _result(self, ending: Ending, problem: str, comparisons: Comparisons) -> ReplayResult:
        labels = self._records.names.names
        by_topic = {topic: self.ledger.report(labels, topic) for topic in self.ledger.topics}
        limit = self._options.limit
        report = self.ledger.report(labels)
        checks = judge(
            limits_from(self._options),
            by_topic,
            comparisons,
            must_answer=self._mode != "timed",
            is_update=self._options.update_golden,
            is_whole=ending is Ending.FINISHED and (limit is None or report.sent < limit),
        )
        return ReplayResult(
            ending=ending,
            problem=problem,
            report=report,
            by_topic=by_topic,
            comparisons=comparisons,
            checks=tuple(checks),
            environment=self._environment,
        )

    def _document(self, result: ReplayResult) -> dict[str, object]:
        return {
            "bag": str(Path(self._options.bag).expanduser().absolute()),
            "topics": {camera.published: camera.detections for camera in self._plan.cameras},
            "mode": self._mode,
            "rate": self._options.rate if self._mode == "timed" else None,
            "exit_status": self.status,
            **result.to_json(),
        }

    def _why_not_compared(self, comparisons: Comparisons) -> str:
        """Say if something was compared with what is of another recording altogether."""
        for kind, by_topic in comparisons.items():
            if kind == GOLDEN and self._options.update_golden:
                continue
            for topic, figures in by_topic.items():
                if figures.unknown and not figures.frames:
                    where = self._options.compare if kind == GOLDEN else self._plan.truths[topic]
                    return (
                        f"{where}: none of the {len(figures.unknown)} frames of {topic} has its "
                        "stamp there, so nothing was compared; is it of another recording?"
                    )
        return ""
