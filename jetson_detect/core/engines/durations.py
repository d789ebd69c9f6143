"""How long builds took here, to say how long the next one will."""

from __future__ import annotations

import json
import logging
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jetson_detect.core.engines.durable_files import replace_durably
from jetson_detect.core.engines.file_lock import FileLock

_logger = logging.getLogger(__name__)

_KEPT = 5
"""Builds of each kind that count: their median is not moved by one with a filled timing cache."""


class BuildDurations:
    """Seconds by model, precision and stage, in one small file.

    Nothing depends on the file: a broken one is forgotten, one that cannot be written is left.
    """

    def __init__(self, path: Path, guard: Callable[[], FileLock]) -> None:
        """Keep them in ``path``; ``guard`` keeps its writers apart."""
        self._path = path
        self._guard = guard

    def expected(self, model: str, precision: str, stage: str) -> float | None:
        """Return the median of the last times, in seconds; None if it is the first time."""
        known = self._read().get(_name(model, precision, stage))
        return statistics.median(known) if known else None

    def record(self, model: str, precision: str, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        name = _name(model, precision, stage)
        try:
            with self._guard():
                known = self._read()
                known[name] = [*known.get(name, []), round(seconds, 3)][-_KEPT:]
                replace_durably(self._path, json.dumps(known, indent=1, sort_keys=True).encode())
        except OSError as error:
            _logger.warning("%s: cannot be written (%s)", self._path, error.strerror)

    def _read(self) -> dict[str, list[float]]:
        try:
            document = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            return self._forgotten(str(error))
        return document if _is_sound(document) else self._forgotten("it is not what was written")

    def _forgotten(self, problem: str) -> dict[str, list[float]]:
        _logger.warning("%s: durations of past builds are forgotten: %s", self._path, problem)
        return {}


def _name(model: str, precision: str, stage: str) -> str:
    return json.dumps([model, precision, stage])


def _is_sound(document: Any) -> bool:
    return isinstance(document, dict) and all(
        isinstance(known, list)
        and all(type(value) in (int, float) and math.isfinite(value) for value in known)
        for known in document.values()
    )
