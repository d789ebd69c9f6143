"""The bytes of a ``vision_msgs/Detection2D`` that depend on its class alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from jetson_detect.conversion.cdr_buffer import WORD

SCORE_AND_POSE = struct.Struct("<d24x24xd288x")
"""A hypothesis behind its class: score, position, orientation (w is packed), covariance."""
CLOSING = struct.Struct("<5dI4x")
"""What follows the hypotheses: x, y and theta of the box's centre, size_x, size_y, the id's length.

The empty id is a string of one byte, the NUL; the other three pad it to the next detection.
"""
BOX_WORDS = 5
"""Words of ``BoundingBox2D``, at the start of :data:`CLOSING`."""
LAST_PADDING = 3
"""Bytes of the last :data:`CLOSING` that are not part of the message."""
NO_ROTATION = 1.0
"""The w of the orientation in a message that says nothing of it."""
EMPTY_ID = 1
"""The id's length: its NUL."""

NO_CLASS = 0
"""Row of the templates of a detection without a hypothesis; class ``i`` has the row ``i + 1``."""


class Piece(IntEnum):
    """Where a hypothesis stands in its detection."""

    ONLY = 0
    """With the detection's header before it and the box behind it."""
    LAST = 1
    """With the box behind it."""
    FIRST = 2
    """With the detection's header before it."""
    INNER = 3


class DetectionTemplates:
    """Templates for the hypotheses of each class, and what begins a message.

    Each begins and ends at a word, whatever the lengths of the strings: a detection ends with
    numbers and an empty id, so the next one begins at a word.  The first detection may begin in
    the middle of one, but its header is as long as the array's own, which begins the payload: the
    two together are whole words.  They make the opening, and the first detection needs no template
    with a header.

    Attributes
    ----------
    pieces
        (4 * rows,): the templates, those of ``Piece.ONLY`` first.  Scores, boxes and stamps are 0,
        the count of hypotheses is 1 (0 in a detection without one).
    words
        (4 * rows,): their lengths.
    rows
        How many templates there are of each :class:`Piece`: classes and :data:`NO_CLASS`.
    count_at
        Position of the count of hypotheses in a detection, in half words.
    names_at_word
        (rows,): the classes, as strings from the start of a word to the end of one.
    names_after_header
        (rows,): the same, but behind the header of a detection that begins at a word.

    """

    def __init__(self, frame_id: str, class_names: Sequence[str]) -> None:
        """Make the templates.

        Parameters
        ----------
        frame_id:
            Of the headers.
        class_names:
            What ``class_id`` holds for each class.

        """
        frame = _string(frame_id)
        self._frame = frame + bytes(-len(frame) % 4)
        self._header = struct.Struct(f"<iI{len(self._frame)}sI")
        self.count_at = self._header.size // 4 - 1
        names = [b"", *(_string(name) for name in class_names)]
        self.rows = len(names)
        self.names_at_word = [_padded(name, 0) for name in names]
        self.names_after_header = [_padded(name, self._header.size) for name in names]
        pieces = [self._piece(piece, row) for piece in Piece for row in range(self.rows)]
        self.pieces: NDArray[np.object_] = np.empty(len(pieces), object)
        self.pieces[:] = pieces
        self.words: NDArray[np.intp] = np.array([len(piece) // WORD for piece in pieces], np.intp)

    def header(self, sec: int, nanosec: int, count: int) -> bytes:
        """Return the header of the array or of a detection, and the count that follows either.

        Raises
        ------
        struct.error
            If the stamp is out of its message's range.

        """
        return self._header.pack(sec, nanosec, self._frame, count)

    def _piece(self, piece: Piece, row: int) -> bytes:
        if piece in (Piece.ONLY, Piece.FIRST):
            start = self.header(0, 0, int(row != NO_CLASS)) + self.names_after_header[row]
        else:
            start = self.names_at_word[row]
        behind_class = b"" if row == NO_CLASS else SCORE_AND_POSE.pack(0.0, NO_ROTATION)
        is_end = piece in (Piece.ONLY, Piece.LAST)
        return start + behind_class + (CLOSING.pack(*[0.0] * 5, EMPTY_ID) if is_end else b"")


def _string(text: str) -> bytes:
    """Return a CDR string; as in typed messages it ends at the first NUL."""
    content = text.encode().split(b"\0", 1)[0] + b"\0"
    return struct.pack("<I", len(content)) + content


def _padded(content: bytes, start: int) -> bytes:
    """Pad to the end of a word what begins at a position."""
    return content + bytes(-(start + len(content)) % WORD)
