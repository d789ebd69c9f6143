from __future__ import annotations

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from jetson_detect.bags.frames import frames
from jetson_detect.bags.ledger import FrameLedger
from jetson_detect.bags.offline_detector import OfflineDetector, OfflineOptions
from jetson_detect.bags.offline_player import OfflinePlayer
from jetson_detect.bags.played_topics import Ending, PlayedCamera
from jetson_detect.bags.reader import BagMessage
from jetson_detect.bags.recorded_detections import read_detections
from jetson_detect.bags.stamps import read_stamp
from jetson_detect.conversion.compressed_image import read_compressed_image
from jetson_detect.core.backends import BackendError
from jetson_detect.core.camera_views import Viewer
from jetson_detect.core.class_names import ClassNames
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.scenes import SceneSequence

RAW, COMPRESSED = "/camera/image_raw", "/rear/image/compressed"
SCENES = SceneSequence(7, 320, 240)


@pytest.fixture(scope="module")
def detector():
    with OfflineDetector(OfflineOptions(backends=("tflite",), threads=1)) as detector:
        yield detector


def camera(topic: str) -> PlayedCamera:
    kind = "CompressedImage" if topic == COMPRESSED else "Image"
    return PlayedCamera(topic, topic, f"sensor_msgs/msg/{kind}", topic + "/detections")


def header(number: int) -> Header:
    made = Header(frame_id="camera")
    made.stamp.sec, made.stamp.nanosec = 5, number
    return made


def raw(number: int, encoding: str = "bgr8") -> BagMessage:
    picture = SCENES.frame(number).image
    data = picture if encoding == "bgr8" else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    message = Image(
        header=header(number),
        height=240,
        width=320,
        encoding=encoding,
        step=960,
        data=data.tobytes(),
    )
    return BagMessage(RAW, "sensor_msgs/msg/Image", number, serialize_message(message))


def compressed(number: int, suffix: str = ".png", scenes: SceneSequence = SCENES) -> BagMessage:
    encoded = cv2.imencode(suffix, scenes.frame(number).image)[1]
    message = CompressedImage(header=header(number), format=suffix[1:], data=encoded.tobytes())
    return BagMessage(
        COMPRESSED, "sensor_msgs/msg/CompressedImage", number, serialize_message(message)
    )


def play(detector, messages, **arguments):
    answers, losses, ledger = [], [], FrameLedger()
    player = OfflinePlayer(
        detector.detector,
        detector.selection,
        [camera(RAW), camera(COMPRESSED)],
        ledger,
        on_answer=answers.append,
        on_lost=lambda frame, reason: losses.append((frame.number, reason)),
        **arguments,
    )
    ending = player.play(frames(messages, [RAW, COMPRESSED]))
    return player, ending, answers, losses, ledger


def test_every_image_is_answered_with_what_the_detector_finds(detector):
    _, ending, answers, losses, ledger = play(detector, [raw(number) for number in range(5)])
    assert (ending, losses) == (Ending.FINISHED, [])
    for number, answer in enumerate(answers):
        found = detector.detector.detect(
            Pixels.from_array(SCENES.frame(number).image), detector.selection
        )
        np.testing.assert_array_equal(answer.detections.boxes, found.boxes)
        np.testing.assert_array_equal(answer.detections.scores, found.scores)
        assert read_stamp(answer.data) == 5 * 10**9 + number == answer.sent.stamp
        assert answer.sent.recorded_at == number
        message = deserialize_message(answer.data, Detection2DArray)
        assert message.header.frame_id == "camera"
        names = ClassNames()
        names.learn_labels(dict(enumerate(detector.detector.model.labels)))
        written = read_detections(answer.data, names)
        np.testing.assert_array_equal(written.best_class_ids, found.best_class_ids)
        np.testing.assert_allclose(written.boxes, found.boxes, atol=1e-4)
    report = ledger.report(detector.detector.model.labels)
    assert (report.sent, report.answered) == (5, 5)
    assert report.detections == sum(len(answer.detections) for answer in answers) > 0
    assert 0 < report.latency_p50_ms <= report.latency_max_ms


def test_encodings_and_lossless_compression_make_no_difference(detector):
    for number in range(3):
        messages = [raw(number), raw(number, "rgb8"), compressed(number)]
        _, _, answers, losses, _ = play(detector, messages)
        assert not losses
        first, *others = (answer.detections for answer in answers)
        for other in others:
            np.testing.assert_array_equal(other.boxes, first.boxes)
            np.testing.assert_array_equal(other.class_ids, first.class_ids)


def test_a_jpeg_is_decoded_as_large_as_the_network_needs_it_and_boxes_are_in_its_own_pixels(
    detector,
):
    large = compressed(1, ".jpg", SceneSequence(7, 1280, 960))
    _, _, (answer,), _, _ = play(detector, [large])
    picture = read_compressed_image(large.data)[1]
    seen = Viewer().look(picture, detector.detector.model.input)
    assert seen.geometry.reduction > 1
    expected = seen.to_source(detector.detector.detect(seen.pixels, detector.selection))
    assert len(expected) > 0
    np.testing.assert_array_equal(answer.detections.boxes, expected.boxes)
    np.testing.assert_array_equal(answer.detections.scores, expected.scores)
    whole = detector.detector.detect(picture.decode(), detector.selection)
    assert not np.array_equal(expected.scores, whole.scores)
    by_edge = [np.sort(each.boxes[:, 0]) for each in (expected, whole)]
    np.testing.assert_allclose(*by_edge, atol=4)
    # Who shows the image has to decode it.
    assert answer.pixels is None
    assert answer.image == large


def test_a_jpeg_that_is_small_is_decoded_at_its_full_size(detector):
    small = compressed(1, ".jpg", SceneSequence(7, 160, 120))
    _, _, (answer,), _, _ = play(detector, [small])
    assert answer.pixels.size == (160, 120)


def test_a_damaged_image_is_lost_with_the_reason_and_the_replay_goes_on(detector):
    bad = raw(1)
    bad = bad._replace(data=bad.data[:5000])
    _, ending, answers, losses, ledger = play(detector, [raw(0), bad, raw(2)])
    assert ending is Ending.FINISHED
    assert [answer.sent.number for answer in answers] == [0, 2]
    ((number, reason),) = losses
    assert number == 1
    assert "bytes of pixels" in reason
    assert [frame.number for frame in ledger.report([]).lost] == [1]


def test_three_lost_frames_in_a_row_end_it(detector):
    bad = compressed(1)._replace(data=compressed(1).data[:200])
    player, ending, answers, losses, _ = play(detector, [raw(0), bad, bad, bad, raw(1)])
    assert ending is Ending.TOO_MANY_LOST
    assert (len(answers), len(losses)) == (1, 3)
    assert player.problem == (
        f"3 frames in a row were not answered, the last one for: {losses[-1][1]}"
    )


def test_an_answer_between_lost_frames_lets_it_go_on(detector):
    bad = compressed(1)._replace(data=compressed(1).data[:200])
    _, ending, answers, losses, _ = play(detector, [bad, bad, raw(0), bad, bad, raw(1)])
    assert (ending, len(answers), len(losses)) == (Ending.FINISHED, 2, 4)


def test_a_stop_is_obeyed_between_two_frames(detector):
    asked = iter([False, False, True])
    _, ending, answers, _, _ = play(
        detector, [raw(number) for number in range(9)], should_stop=lambda: next(asked)
    )
    assert (ending, len(answers)) == (Ending.STOPPED, 2)


def test_classes_are_renamed_where_other_names_were_known_before(detector):
    labels = list(detector.detector.model.labels)
    names = ClassNames()
    names.learn_labels(dict(enumerate(["lamp", *reversed(labels)])))
    _, _, answers, _, _ = play(detector, [raw(number) for number in range(5)], names=names)
    plain = play(detector, [raw(number) for number in range(5)])[2]
    seen = 0
    for ours, theirs in zip(answers, plain):
        assert ours.data == theirs.data
        renamed = [names.names[each] for each in ours.detections.best_class_ids]
        assert renamed == [labels[each] for each in theirs.detections.best_class_ids]
        seen += len(renamed)
    assert seen > 0


def test_a_backend_that_does_not_load_gives_way_and_is_told():
    options = OfflineOptions(backends=("tensorrt", "tflite"))
    with OfflineDetector(options) as detector:
        assert detector.environment["backend"] == "tflite"
        (refusal,) = detector.refusals
    assert refusal.startswith("tensorrt: ")
    with pytest.raises(BackendError, match="model 'demo' runs on none of tensorrt:\n  tensorrt: "):
        OfflineDetector(OfflineOptions(backends=("tensorrt",)))


def test_the_options_decide_what_is_reported(detector):
    few = OfflineOptions(backends=("tflite",), max_detections=1, score_threshold=0.6)
    with OfflineDetector(few) as strict:
        assert (strict.selection.max_detections, strict.selection.score_threshold) == (1, 0.6)
        assert strict.selection.iou_threshold == detector.selection.iou_threshold
    with pytest.raises(ValueError, match="backend 'tf' is not known"):
        OfflineOptions(backends=("tf",))
