"""Whether the running ROS takes what :class:`DetectionWriter` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.utilities import get_rmw_implementation_identifier
from vision_msgs.msg import Detection2DArray

from jetson_detect.conversion.cdr_buffer import ENCAPSULATION
from jetson_detect.conversion.detection_writer import DetectionWriter
from jetson_detect.conversion.detections import ClassIdFormat, to_detection_array
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.core.detections import Detections

_STAMP = 1_700_000_000, 123_456_789
# The headers with these end in the middle of a word and at its end.
_HEADERS = ("ab", ClassIdFormat.LABEL), ("camera", ClassIdFormat.INDEX)
# Objects and hypotheses for each way of writing: none, a few, many with one hypothesis, with more.
_SIZES = (0, 1), (3, 3), (12, 1), (27, 3)


def difference_from_typed_path(
    labels: Sequence[str],
    serialize: Callable[[Detection2DArray], bytes] = serialize_message,
    deserialize: Callable[[bytes, type[Detection2DArray]], Detection2DArray] = deserialize_message,
) -> str | None:
    """Serialise samples both ways, once at start: it takes some 15 ms.

    Parameters
    ----------
    labels:
        Of the model.
    serialize:
        What the middleware makes of a message object.
    deserialize:
        The way back.

    Returns
    -------
    None if the middleware reads from the writer's bytes what the typed path says; otherwise why
    the typed path must be taken: the middleware encodes in another way, or the installed
    ``vision_msgs`` has other fields.

    """
    writer = DetectionWriter(labels)
    for frame_id, class_id_format in _HEADERS:
        header = FrameHeader(*_STAMP, frame_id)
        for count, hypotheses in _SIZES:
            detections = _sample(count, hypotheses, len(labels))
            typed = to_detection_array(detections, header.to_message(), labels, class_id_format)
            written = bytes(writer(detections, header, class_id_format))
            difference = _difference(written, serialize(typed), typed, deserialize)
            if difference is not None:
                return (
                    f"{get_rmw_implementation_identifier()} serialises "
                    f"vision_msgs/Detection2DArray in another way: {difference}"
                )
    return None


def _difference(
    written: bytes,
    expected: bytes,
    typed: Detection2DArray,
    deserialize: Callable[[bytes, type[Detection2DArray]], Detection2DArray],
) -> str | None:
    start = expected[: len(ENCAPSULATION)]
    if start != ENCAPSULATION:
        return f"it begins with {start.hex(' ')}, not {ENCAPSULATION.hex(' ')} (little endian CDR)"
    if len(written) != len(expected):
        return (
            f"{len(typed.detections)} detections take {len(expected)} bytes, not {len(written)}; "
            "does the installed vision_msgs have other fields?"
        )
    try:
        # Bytes are not compared: what Fast DDS leaves in the padding is not defined.
        read = deserialize(written, Detection2DArray)
    except Exception as error:  # whatever the middleware raises, the typed path is the answer
        return f"it does not read {len(typed.detections)} detections that were written: {error}"
    if read != typed:
        return f"it reads {len(typed.detections)} detections with other values"
    return None


def _sample(count: int, hypotheses: int, classes: int) -> Detections:
    index = np.arange(count, dtype=np.float32)[:, None]
    ranks = np.arange(hypotheses, dtype=np.float32)
    scores = 1 / (1 + index + ranks)
    if hypotheses > 1:
        # Of some objects a hypothesis is padding, of others each.
        scores[1::3, 1:] = 0
        scores[2::3] = 0
    # Some are beyond the labels.
    class_ids = (index + ranks).astype(np.int32) % (classes + 2)
    corners = np.array([[1, 2, 3, 4]], np.float32)
    boxes = (index + corners).astype(np.float32) * corners
    return Detections(boxes, scores.astype(np.float32), class_ids, index[:, 0] / np.float32(8))
