"""A replay as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jetson_detect.core.golden_comparison import MatchRule
from jetson_detect.core.replay_limits import Check
from jetson_detect.report.errors import ReportError
from jetson_detect.report.page import make_page
from jetson_detect.report.replayed_frame import ReplayedFrame
from jetson_detect.report.topic_record import PictureChoice, TopicRecord

_TEMPLATES = Path(__file__).parent / "template"
_TEMPLATE = "report.html.j2"


class HtmlReport:
    """Takes frames as they are answered; of most of them it keeps only numbers."""

    def __init__(
        self,
        title: str,
        environment: Mapping[str, str] | None = None,
        choice: PictureChoice | None = None,
        rule: MatchRule | None = None,
    ) -> None:
        """Begin a report, and check that it can be written, which one wants to know beforehand.

        Parameters
        ----------
        title:
            Such as the name of the bag.
        environment:
            What it ran on, told as it is: model, backend, versions.
        choice:
            Which frames are shown, and how large; None for the usual ones.
        rule:
            When an object found and one of the truth, or of an earlier run, are the same; None for
            the usual rule.

        Raises
        ------
        ReportError
            If Jinja2 is missing.

        """
        self._title = title
        self._choice, self._rule = choice or PictureChoice(), rule or MatchRule()
        self._environment = dict(environment or {})
        self._template = _load_template()
        self._records: dict[str, TopicRecord] = {}

    def add(self, frame: ReplayedFrame) -> None:
        """Take a frame that was answered; its picture may change afterwards."""
        self._record(frame.topic).add(frame)

    def add_lost(self, topic: str) -> None:
        """Count a frame that was not answered."""
        self._record(topic).lost += 1

    def write(self, path: Path, checks: Sequence[Check] = ()) -> None:
        """Write the file, in place of one that is there; frames may be added afterwards.

        Parameters
        ----------
        path:
            Of the file, usually ``*.html``.
        checks:
            What was demanded of the run, shown first, and whether it was met.

        Raises
        ------
        ReportError
            If the file cannot be written.

        """
        page = make_page(
            self._title,
            list(self._records.values()),
            self._choice,
            checks,
            self._environment,
        )
        try:
            with path.open("wb") as file:
                # A file's name may hold bytes that are no text.
                self._template.stream(page=page).dump(file, encoding="utf-8", errors="replace")
        except OSError as error:
            raise ReportError(
                f"{path}: the report cannot be written ({error.strerror}); is there such a folder, "
                "and room on the disk?"
            ) from error

    def _record(self, topic: str) -> TopicRecord:
        record = self._records.get(topic)
        if record is None:
            record = self._records[topic] = TopicRecord(topic, self._choice, self._rule)
        return record


def _load_template() -> Any:
    try:
        jinja2: Any = importlib.import_module("jinja2")
    except ImportError as error:
        raise ReportError(
            f"an HTML report needs Jinja2 ({error}): pip install jinja2, or apt-get install "
            "python3-jinja2"
        ) from error
    # Topics, labels and names come from outside: whatever they hold is text.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE)
