"""``vision_msgs/Detection2DArray`` as bytes, without message objects.

A message object for each detection costs more than finding it: its 36 covariances alone are
checked one by one.  Here the bytes of a class are copied from templates, and stamps, scores and
boxes written over them as arrays.  :func:`jetson_detect.conversion.detections.to_detection_array`
is the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jetson_detect.conversion.cdr_buffer import LEAD, WORD, CdrBuffer
from jetson_detect.conversion.detection_templates import (
    BOX_WORDS,
    CLOSING,
    EMPTY_ID,
    LAST_PADDING,
    NO_CLASS,
    NO_ROTATION,
    SCORE_AND_POSE,
    DetectionTemplates,
    Piece,
)
from jetson_detect.conversion.detections import ClassIdFormat, class_name
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections

_FEW_SINGLE = 10
"""Objects up to which a loop is quicker than arrays, if each has one hypothesis."""
_FEW_RANKED = 25
"""The same if they have any number, which takes more operations on arrays."""
_STRANGERS_KEPT = 1024
_CLOSING_WORDS = CLOSING.size // WORD
_SCORE_AND_POSE_WORDS = SCORE_AND_POSE.size // WORD


class DetectionWriter:
    """Writes the messages of one camera, over and over, into one buffer.

    The templates are those of one ``frame_id`` and are made anew when it changes: give each camera
    a writer of its own.  Not for several threads at a time.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Prepare for a model's classes.

        Parameters
        ----------
        labels:
            Of the model.  A class beyond them is published by its index.

        """
        self._labels = labels
        self._buffer = CdrBuffer(BOX_WORDS)
        self._made_for: tuple[str, ClassIdFormat] | None = None
        self._templates: DetectionTemplates
        self._rows: NDArray[np.intp] = np.arange(1, len(labels) + 1)
        self._strangers: dict[int, int] = {}

    def __call__(
        self, detections: Detections, header: FrameHeader, class_id_format: ClassIdFormat
    ) -> memoryview:
        """Serialise the message of one image.

        Parameters
        ----------
        detections:
            In pixels of the image.
        header:
            Of the image; the array and each detection get it.
        class_id_format:
            What the hypotheses' ``class_id`` holds.

        Returns
        -------
        The message in little endian CDR, its encapsulation included, valid until the next call.
        Padding is zero.

        Raises
        ------
        struct.error
            If the stamp is out of its message's range.
        UnicodeEncodeError
            If the ``frame_id`` or a label cannot be encoded (a lone surrogate).

        """
        if self._made_for != (header.frame_id, class_id_format):
            self._make_templates(header.frame_id, class_id_format)
        count, hypotheses = detections.scores.shape
        if hypotheses == 1 and count > _FEW_SINGLE and detections.scores.min() > 0.0:
            return self._write_single(detections, header)
        if hypotheses > 0 and count > _FEW_RANKED:
            return self._write_ranked(detections, header)
        return self._write_few(detections, header)

    def _write_few(self, detections: Detections, header: FrameHeader) -> memoryview:
        """Write a few objects, or none, one after the other."""
        rows = self._rows_of(detections.class_ids).tolist()
        templates = self._templates
        sec, nanosec, _ = header
        scores = detections.scores
        headers = [templates.header(sec, nanosec, count) for count in range(scores.shape[1] + 1)]
        parts = [LEAD, templates.header(sec, nanosec, len(rows))]
        pack_score, pack_closing = SCORE_AND_POSE.pack, CLOSING.pack
        # The opening ends at a word, the headers behind it perhaps not.
        first_names, names_at_word = templates.names_at_word, templates.names_at_word
        for box, ranks, classes in zip(
            _published_boxes(detections).tolist(), scores.tolist(), rows
        ):
            names, count, header_at = first_names, 0, len(parts)
            parts.append(b"")
            for score, row in zip(ranks, classes):
                if score > 0.0:
                    parts += names[row], pack_score(score, NO_ROTATION)
                    names = names_at_word
                    count += 1
            parts[header_at] = headers[count]
            if count == 0:
                parts.append(names[NO_CLASS])
            parts.append(pack_closing(*box, EMPTY_ID))
            first_names = templates.names_after_header
        size = self._buffer.fill(parts)
        return self._buffer.message(size - (LAST_PADDING if len(detections) else 0))

    def _write_single(self, detections: Detections, header: FrameHeader) -> memoryview:
        """Write objects of which each has one hypothesis, as most models give."""
        slots = self._rows_of(detections.class_ids[:, 0])
        slots[0] += Piece.LAST * self._templates.rows
        ends = self._copy(header, len(slots), 1, slots)
        self._buffer.numbers[ends - (_CLOSING_WORDS + _SCORE_AND_POSE_WORDS)] = detections.scores[
            :, 0
        ]
        return self._finish(detections, ends)

    def _write_ranked(self, detections: Detections, header: FrameHeader) -> memoryview:
        """Write objects with any number of hypotheses."""
        published = detections.scores > 0.0
        counts = published.sum(axis=1)
        blank = counts == 0
        # An object without a hypothesis is one template too, but without a score.
        chosen = published.copy()
        chosen[:, 0] |= blank
        objects = chosen.nonzero()[0]
        scored = published[chosen]
        slots = np.full(len(objects), NO_CLASS, np.intp)
        slots[scored] = self._rows_of(detections.class_ids[published])
        opens = np.ones(len(objects), bool)
        opens[1:] = objects[1:] != objects[:-1]
        closes = np.ones(len(objects), bool)
        closes[:-1] = opens[1:]
        opens[0] = False  # its header is in the opening
        slots += self._templates.rows * (Piece.FIRST * ~closes + Piece.LAST * ~opens)
        piece_ends = self._copy(header, len(counts), int(counts[0]), slots)
        scores_at = (piece_ends - (_SCORE_AND_POSE_WORDS + _CLOSING_WORDS * closes))[scored]
        self._buffer.numbers[scores_at] = detections.scores[published]
        ends = piece_ends[closes]
        self._buffer.halves[2 * ends[:-1] + self._templates.count_at] = counts[1:]
        return self._finish(detections, ends)

    def _copy(
        self, header: FrameHeader, detections: int, hypotheses: int, slots: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Fill the buffer with an opening and templates; return where each of these ends, in words.

        The opening tells how many detections there are, and how many hypotheses of the first one.
        A slot is a row of the templates plus ``Piece`` times their rows.
        """
        templates = self._templates
        sec, nanosec, _ = header
        array_header = templates.header(sec, nanosec, detections)
        first_header = templates.header(sec, nanosec, hypotheses)
        self._buffer.fill(
            [LEAD, array_header, first_header, *templates.pieces.take(slots).tolist()]
        )
        ends: NDArray[np.intp] = templates.words.take(slots).cumsum()
        ends += (len(LEAD) + len(array_header) + len(first_header)) // WORD
        return ends

    def _finish(self, detections: Detections, ends: NDArray[np.intp]) -> memoryview:
        """Write stamps and boxes of detections that end at these words; return the message."""
        buffer = self._buffer
        # The payload begins with the stamp, and each detection where the one before it ends.
        buffer.words[ends[:-1]] = buffer.words[len(LEAD) // WORD]
        buffer.rows[ends - _CLOSING_WORDS] = _published_boxes(detections)
        return buffer.message(int(ends[-1]) * WORD - LAST_PADDING)

    def _rows_of(self, class_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the row of the templates for each class, as a new array."""
        try:
            # Unsigned, a negative class is out of range like any other that is beyond the labels.
            return self._rows.take(class_ids.astype(np.uint32))
        except IndexError:
            return self._rows_with_strangers(class_ids)

    def _rows_with_strangers(self, class_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """Give classes beyond the labels templates too."""
        known, strangers = len(self._labels), self._strangers
        classes, inverse = np.unique(class_ids, return_inverse=True)
        beyond = [index for index in classes.tolist() if not 0 <= index < known]
        if not strangers.keys() >= set(beyond):
            if len(strangers) > _STRANGERS_KEPT:
                strangers.clear()
            for index in beyond:
                strangers.setdefault(index, 1 + known + len(strangers))
            assert self._made_for is not None
            self._make_templates(*self._made_for)
        rows = [strangers.get(index, index + 1) for index in classes.tolist()]
        # Up to NumPy 1.26 the inverse is flat.
        return np.array(rows, np.intp)[inverse].reshape(class_ids.shape)

    def _make_templates(self, frame_id: str, class_id_format: ClassIdFormat) -> None:
        classes = [*range(len(self._labels)), *self._strangers]
        names = [class_name(index, self._labels, class_id_format) for index in classes]
        self._templates = DetectionTemplates(frame_id, names)
        self._made_for = frame_id, class_id_format


def _published_boxes(detections: Detections) -> NDArray[np.float64]:
    """(N, 5): x, y and theta of the centre, width and height."""
    low, high = detections.boxes[:, :2], detections.boxes[:, 2:]
    boxes = np.zeros((len(detections), BOX_WORDS))
    # Computed in the boxes' own precision, as in the typed message.
    boxes[:, :2] = (low + high) / 2
    boxes[:, 3:] = high - low
    if detections.angles is not None:
        boxes[:, 2] = detections.angles
    return boxes
