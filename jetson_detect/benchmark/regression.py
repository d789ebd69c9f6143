"""Ratios of this run beside those that were written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from jetson_detect.benchmark.ratio import Ratio

TOLERANCE = 0.2
"""Which part of a ratio may be lost before it counts as a regression."""


class RatioFileError(ValueError):
    """A file of ratios that cannot be read; the message names it and the remedy."""


def read_ratios(file: Path) -> dict[str, float]:
    """Read what :func:`write_ratios` wrote.

    Raises
    ------
    RatioFileError
        If it cannot be read or holds something else.

    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in document.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise RatioFileError(
            f"{file}: holds no ratios ({error}); write it anew with --ratios {file}"
        ) from error


def write_ratios(file: Path, ratios: Iterable[Ratio]) -> None:
    """Write ratios for later runs to be compared with.

    Raises
    ------
    OSError
        If the file cannot be written.

    """
    document = {each.name: round(each.value, 3) for each in ratios}
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def find_regressions(
    expected: Mapping[str, float], ratios: Iterable[Ratio], tolerance: float = TOLERANCE
) -> dict[str, str]:
    """Return a sentence for each ratio that has become worse, by its name.

    Parameters
    ----------
    expected:
        What was written down, by name.
    ratios:
        What was measured.
    tolerance:
        Which part of a ratio may be lost.

    """
    measured = {each.name: each.value for each in ratios}
    regressions = {}
    for name, value in expected.items():
        if name not in measured:
            regressions[name] = f"{name}: was not measured; {value:.2f} is written down"
        elif not measured[name] >= value * (1 - tolerance):
            regressions[name] = (
                f"{name}: {measured[name]:.2f}, more than {tolerance:.0%} below the "
                f"{value:.2f} that is written down"
            )
    return regressions
