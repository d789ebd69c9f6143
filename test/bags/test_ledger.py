from __future__ import annotations

import json

import numpy as np
import pytest

from jetson_detect.bags import ledger as ledger_module
from jetson_detect.bags.ledger import FrameLedger, SentFrame, Verdict
from jetson_detect.core.detections import Detections

NOTHING = Detections.empty()
BALL_AND_BOX = Detections.from_best(
    np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.array([0, 1], np.int32)
)


def frame(number: int, topic: str = "/image", stamp: int | None = None) -> SentFrame:
    stamp = 1000 + number if stamp is None else stamp
    return SentFrame(topic, number, stamp, recorded_at=0)


def test_a_replay_without_trouble_adds_up():
    ledger = FrameLedger()
    for number in range(4):
        ledger.send(frame(number), at=10.0 + number)
        detections = BALL_AND_BOX if number else NOTHING
        verdict, answered, _ = ledger.answer("/image", 1000 + number, detections, 10.25 + number)
        assert (verdict, answered) == (Verdict.ANSWER, frame(number))
    report = ledger.report(["ball", "box"])
    assert (report.sent, report.answered, report.lost) == (4, 4, ())
    assert (report.empty, report.detections) == (1, 6)
    assert report.detections_by_class == {"ball": 3, "box": 3}
    assert report.duration_s == pytest.approx(3.25)
    assert report.fps == pytest.approx(1.0)
    assert report.latency_p50_ms == pytest.approx(250.0)
    assert report.latency_max_ms == pytest.approx(250.0)
    assert not any((report.resent, report.late, report.duplicates, report.unknown))
    assert report.out_of_order == 0


def test_a_frame_given_up_is_lost_and_its_answer_late():
    ledger = FrameLedger()
    key = ledger.send(frame(0), 1.0)
    assert ledger.is_waiting(key)
    assert ledger.give_up(key) == frame(0)
    assert not ledger.is_waiting()
    assert ledger.answer("/image", 1000, BALL_AND_BOX, 9.0)[0] is Verdict.LATE
    report = ledger.report([])
    assert (report.answered, report.lost, report.late) == (0, (frame(0),), 1)
    assert report.detections == 0


def test_a_second_answer_is_a_duplicate_unless_the_frame_was_sent_twice():
    ledger = FrameLedger()
    ledger.resend(ledger.send(frame(0), 1.0))
    ledger.send(frame(1), 2.0)
    verdicts = [ledger.answer("/image", stamp, NOTHING, 3.0)[0] for stamp in (1000, 1000, 1000)]
    assert verdicts == [Verdict.ANSWER, Verdict.REPEATED, Verdict.DUPLICATE]
    verdicts = [ledger.answer("/image", 1001, NOTHING, 3.0)[0] for _ in range(2)]
    assert verdicts == [Verdict.ANSWER, Verdict.DUPLICATE]
    report = ledger.report([])
    assert (report.answered, report.resent, report.duplicates) == (2, 1, 2)


def test_each_topic_has_figures_of_its_own():
    ledger = FrameLedger()
    ledger.send(frame(0, "/front"), 1.0)
    ledger.answer("/front", 1000, BALL_AND_BOX, 1.25)
    for number, latency in ((0, 0.5), (1, None)):
        key = ledger.send(frame(number, "/rear"), 2.0 + number)
        if latency is None:
            ledger.give_up(key)
        else:
            assert ledger.answer("/rear", 1000, NOTHING, 2.0 + latency).latency_s == latency
    assert ledger.topics == ("/front", "/rear")
    front, rear = (ledger.report(["ball", "box"], topic) for topic in ledger.topics)
    assert (front.sent, front.answered, front.detections) == (1, 1, 2)
    assert (front.latency_p50_ms, front.duration_s) == (250.0, 0.25)
    assert (rear.sent, rear.answered, rear.empty, rear.detections) == (2, 1, 1, 0)
    assert (rear.latency_p99_ms, rear.lost) == (500.0, (frame(1, "/rear"),))
    both = ledger.report(["ball", "box"])
    assert (both.sent, both.answered, both.detections, len(both.lost)) == (3, 2, 2, 1)
    assert (both.latency_max_ms, both.duration_s) == (500.0, 1.5)


def test_the_latency_of_a_frame_sent_twice_is_not_known():
    ledger = FrameLedger()
    ledger.resend(ledger.send(frame(0), 1.0))
    ledger.answer("/image", 1000, NOTHING, 5.0)
    assert ledger.report([]).latency_max_ms is None


def test_answers_out_of_order_are_counted_per_topic():
    ledger = FrameLedger()
    for number in range(3):
        ledger.send(frame(number), 1.0)
        ledger.send(frame(number, "/other"), 1.0)
    for topic, stamp in (
        ("/other", 1002),
        ("/image", 1000),
        ("/image", 1002),
        ("/image", 1001),
        ("/other", 1000),
        ("/other", 1001),
    ):
        ledger.answer(topic, stamp, NOTHING, 2.0)
    assert ledger.report([]).out_of_order == 3


def test_an_answer_to_a_stamp_never_sent_belongs_to_no_frame():
    ledger = FrameLedger()
    ledger.send(frame(0), 1.0)
    assert ledger.answer("/image", 7, NOTHING, 2.0) == (Verdict.UNKNOWN, None, None)
    assert ledger.answer("/other", 1000, NOTHING, 2.0) == (Verdict.UNKNOWN, None, None)
    assert ledger.report([]).unknown == 2


def test_frames_that_share_a_stamp_are_answered_one_after_the_other():
    ledger = FrameLedger()
    for number in range(3):
        ledger.send(frame(number, stamp=0), 1.0)
    answered = [ledger.answer("/image", 0, NOTHING, 2.0) for _ in range(4)]
    assert [verdict for verdict, _, _ in answered] == [Verdict.ANSWER] * 3 + [Verdict.DUPLICATE]
    assert [sent.number for _, sent, _ in answered[:3]] == [0, 1, 2]


def test_what_still_waits_at_an_interruption_is_neither_answered_nor_lost():
    ledger = FrameLedger()
    ledger.send(frame(0), 1.0)
    report = ledger.report([])
    assert (report.sent, report.answered, report.lost, report.duration_s) == (1, 0, (), None)
    ledger.give_up_all()
    assert ledger.report([]).lost == (frame(0),)


def test_the_report_is_json_with_frame_and_stamp_of_what_was_lost():
    ledger = FrameLedger()
    ledger.send(frame(12, stamp=1_700_000_000_400_000_000), 1.0)
    ledger.give_up_all()
    values = json.loads(json.dumps(ledger.report([]).to_json()))
    assert values["lost"] == [{"topic": "/image", "frame": 12, "stamp": "1700000000.400000000"}]
    assert values["fps"] is None


def test_what_a_pass_did_not_get_an_answer_to_is_lost_when_the_next_one_sends_it_again():
    ledger = FrameLedger()
    for loop in range(2):
        for number in range(2):
            ledger.send(SentFrame("/image", number, number, number, loop), 100.0 * loop)
    verdict, sent, latency = ledger.answer("/image", 1, NOTHING, 100.5)
    assert (verdict, latency) == (Verdict.ANSWER, 0.5)
    assert (sent.number, sent.loop) == (1, 1)
    report = ledger.report([])
    assert [(each.number, each.loop) for each in report.lost] == [(0, 0), (1, 0)]
    assert (report.sent, report.latency_max_ms) == (4, 500.0)


@pytest.mark.parametrize("stamp_of", [lambda number: number, lambda number: 0])
def test_a_replay_without_end_is_not_remembered_frame_by_frame(monkeypatch, stamp_of):
    monkeypatch.setattr(ledger_module, "_STAMPS_KEPT", 10)
    ledger = FrameLedger()
    for number in range(1000):
        ledger.send(frame(number, stamp=stamp_of(number)), number)
        assert ledger.answer("/image", stamp_of(number), NOTHING, number + 0.5).frame.number == (
            number
        )
    remembered = [entry for entries in ledger._by_stamp.values() for entry in entries]
    assert len(remembered) <= 10
    report = ledger.report([])
    assert (report.sent, report.answered, report.lost) == (1000, 1000, ())
