"""Names of topics with wildcards."""

from __future__ import annotations

import re

_ANY_SEGMENTS = "**"


def is_pattern(name: str) -> bool:
    """Whether a name stands for more than one topic."""
    return "*" in name


class TopicPattern:
    """``*`` stands for any characters of one segment, ``**`` for any number of segments, or none.

    ``/robot*/camera/image_raw`` matches ``/robot7/camera/image_raw``, and ``/robot7/**/image_raw``
    matches that too, and ``/robot7/image_raw``.
    """

    def __init__(self, pattern: str) -> None:
        """Read a pattern.

        Parameters
        ----------
        pattern:
            A whole name, from the first slash on.

        Raises
        ------
        ValueError
            If it is none.

        """
        if not pattern.startswith("/") or pattern.endswith("/") or "//" in pattern:
            raise ValueError(
                f"'{pattern}' is no pattern of topics: write it as /robot*/camera/image_raw"
            )
        self.pattern = pattern
        self._expression = re.compile("".join(map(self._segment, pattern[1:].split("/"))))

    def matches(self, topic: str) -> bool:
        """Whether a whole topic name is one of those that are meant."""
        return self._expression.fullmatch(topic) is not None

    def _segment(self, segment: str) -> str:
        if segment == _ANY_SEGMENTS:
            return "(?:/[^/]+)*"
        if _ANY_SEGMENTS in segment:
            raise ValueError(
                f"'{self.pattern}' has '{segment}': '**' stands for whole segments, as in "
                "/robot/**/image_raw; write '*' for a part of one"
            )
        return "/" + "[^/]*".join(map(re.escape, segment.split("*")))
