"""How far a build is, by how long its stages took before."""

from __future__ import annotations

from collections.abc import Mapping

_NEARLY = 0.99
"""The most that a stage is said to have behind it while it still runs."""


class Forecast:
    """The stages of one build, in their order, with how long each took the last times."""

    def __init__(self, expected_s: Mapping[str, float | None]) -> None:
        """Take the seconds of each stage; None for one that was never run here."""
        self._expected = dict(expected_s)
        known = [seconds for seconds in self._expected.values() if seconds is not None]
        self.total_s = sum(known) if known and len(known) == len(self._expected) else None
        """The whole build; None if a stage was never run here."""

    def fraction(self, stage: str, told: float | None, seconds: float) -> float | None:
        """Return which part of the whole build is behind.

        Parameters
        ----------
        stage:
            The one that runs.
        told:
            Which part of it is behind, where it says so itself.
        seconds:
            For how long it has been running.

        Returns
        -------
        0 to 1; for a first build what the stage says of itself, None if it says nothing.

        """
        if not self.total_s or stage not in self._expected:
            return told
        before = 0.0
        for name, expected in self._expected.items():
            assert expected is not None
            if name == stage:
                part = told if told is not None else seconds / max(expected, 1e-3)
                return (before + min(part, _NEARLY) * expected) / self.total_s
            before += expected
        raise AssertionError(stage)
