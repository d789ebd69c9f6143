"""``vision_msgs/Detection2DArray`` read and given ids as bytes, without message objects.

Message objects cost several times what tracking does: their 36 covariances are checked one by one.
Here only what a tracker wants is read, and everything else copied as it is.
:class:`jetson_detect.conversion.tracked_detections.DetectionMessage` is the reference.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from jetson_detect.conversion.cdr_buffer import ENCAPSULATION, WORD
from jetson_detect.conversion.tracked_detections import id_text, observations_from_rows
from jetson_detect.core.stamp_time import to_nanoseconds
from jetson_detect.core.tracking.camera_tracker import Tracks
from jetson_detect.core.tracking.observations import Observations

_START = len(ENCAPSULATION)
"""Of the payload, from which CDR counts alignment."""
_STAMP = struct.Struct("<iI")
_LENGTH = struct.Struct("<I")
_SCORE = struct.Struct("<d")
_HYPOTHESIS_SIZE = (1 + 7 + 36) * 8
"""Bytes behind the class: score, position and orientation, covariance."""
_BOX = struct.Struct("<5d")
"""x, y and theta of the centre, size_x, size_y."""


class EncodingError(ValueError):
    """Bytes that are not a message in little endian CDR."""


class _Span(NamedTuple):
    """Where one detection stands, as positions in the message."""

    start: int
    """Of its header, at a multiple of 4."""
    opening_end: int
    """Of the first class, or of the count of hypotheses where there are none."""
    numbers: int
    """The next multiple of 8, from which on all is where it is relative to that."""
    id_start: int


class DetectionBytes:
    """A message as it came from the middleware."""

    def __init__(self, data: bytes) -> None:
        """Find out where everything is.

        Parameters
        ----------
        data:
            The message in CDR, its encapsulation included.

        Raises
        ------
        EncodingError
            If it is encoded in another way, or ends too early.

        """
        if data[:2] != ENCAPSULATION[:2]:
            raise EncodingError(f"it begins with {data[:_START].hex(' ')}: no little endian CDR")
        self._data = data
        self._spans: list[_Span] = []
        self._rows: list[tuple[float, ...]] = []
        self._scores: list[float] = []
        self._classes: list[str] = []
        try:
            sec, nanosec = _STAMP.unpack_from(data, _START)
            self.stamp_ns: int = to_nanoseconds(sec, nanosec)
            count, place = self._count_behind_header(_START)
            self._count_at = place - _LENGTH.size
            for _ in range(count):
                place = self._read_detection(place)
        except struct.error as error:
            raise EncodingError(f"{len(data)} bytes are no whole message: {error}") from error

    def observations(self) -> Observations:
        """Read the objects, as of a message object."""
        return observations_from_rows(self._rows, self._scores, self._classes)

    def with_tracks(self, tracks: Tracks, *, confirmed_only: bool, boxes: bool) -> bytes:
        """Return the message with ids, everything else in it as it came.

        The parameters are those of
        :meth:`~jetson_detect.conversion.tracked_detections.DetectionMessage.with_tracks`.
        """
        data = self._data
        parts = [data[: self._count_at], b""]
        place, kept = self._count_at + _LENGTH.size, 0
        for span, track_id, row, edges in zip(
            self._spans, tracks.ids.tolist(), self._rows, tracks.boxes.tolist()
        ):
            text = id_text(track_id).encode()
            if confirmed_only and not text:
                continue
            # The id before it is not as long as it was: only what counts from a word moves along.
            padding = -(place - _START) % 4
            place += padding + span.opening_end - span.start
            to_word = -(place - _START) % WORD
            numbers = data[span.numbers : span.id_start]
            if boxes and text:
                numbers = numbers[: -_BOX.size] + _box(row, edges)
            parts += (
                bytes(padding),
                data[span.start : span.opening_end],
                bytes(to_word),
                numbers,
                _LENGTH.pack(len(text) + 1),
                text,
                b"\0",
            )
            place += to_word + len(numbers) + _LENGTH.size + len(text) + 1
            kept += 1
        parts[1] = _LENGTH.pack(kept)
        return b"".join(parts)

    def _read_detection(self, place: int) -> int:
        """Note a detection that begins at or behind a position; return where it ends."""
        start = _aligned(place, 4)
        hypotheses, place = self._count_behind_header(start)
        best_class, best_score = "", 0.0
        opening_end, numbers = place, _aligned(place, WORD)
        for rank in range(hypotheses):
            class_start, place = self._string(place)
            if rank == 0:
                opening_end, numbers = place, _aligned(place, WORD)
            score_at = _aligned(place, WORD)
            (score,) = _SCORE.unpack_from(self._data, score_at)
            if rank == 0 or score > best_score:
                # Its last byte is the NUL; what is no UTF-8 tells classes apart all the same.
                best_class = self._data[class_start : place - 1].decode(errors="replace")
                best_score = score
            place = score_at + _HYPOTHESIS_SIZE
        box_at = _aligned(place, WORD)
        x, y, theta, width, height = _BOX.unpack_from(self._data, box_at)
        id_start = box_at + _BOX.size
        self._spans.append(_Span(start, opening_end, numbers, id_start))
        self._rows.append((x, y, width, height, theta))
        self._scores.append(best_score)
        self._classes.append(best_class)
        return self._string(id_start)[1]

    def _count_behind_header(self, place: int) -> tuple[int, int]:
        """Return the length of the sequence that follows a header, and where it begins."""
        _, place = self._string(place + _STAMP.size)
        place = _aligned(place, 4)
        return _LENGTH.unpack_from(self._data, place)[0], place + _LENGTH.size

    def _string(self, place: int) -> tuple[int, int]:
        """Return where the characters of a string begin, and where its NUL ends."""
        place = _aligned(place, 4)
        (length,) = _LENGTH.unpack_from(self._data, place)
        begin = place + _LENGTH.size
        if begin + length > len(self._data):
            raise EncodingError(f"a string of {length} bytes does not fit the message")
        return begin, begin + int(length)


def _aligned(place: int, size: int) -> int:
    return place + -(place - _START) % size


def _box(row: tuple[float, ...], edges: list[float]) -> bytes:
    """Write a box with other edges and the rotation that it had."""
    x_min, y_min, x_max, y_max = edges
    return _BOX.pack((x_min + x_max) / 2, (y_min + y_max) / 2, row[4], x_max - x_min, y_max - y_min)
