"""Numbers on a command line, with what is wrong with them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

N = TypeVar("N", int, float)


def at_least(kind: type[N], lowest: N) -> Callable[[str], N]:
    """Make an argument's ``type``: a finite number not below ``lowest``."""

    def parse(text: str) -> N:
        value = _number(kind, text)
        if not lowest <= value < float("inf"):
            raise ArgumentTypeError(f"'{text}' is below {lowest}")
        return value

    return parse


def positive(kind: type[N]) -> Callable[[str], N]:
    """Make an argument's ``type``: a finite number above 0."""

    def parse(text: str) -> N:
        value = _number(kind, text)
        if not 0 < value < float("inf"):
            raise ArgumentTypeError(f"'{text}' is not above 0")
        return value

    return parse


def _number(kind: type[N], text: str) -> N:
    try:
        return kind(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a number") from None
