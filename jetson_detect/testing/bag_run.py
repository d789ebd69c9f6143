"""Runs a bag through a detector for a test."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from jetson_detect.bags.answers import Answer
from jetson_detect.bags.frames import frames
from jetson_detect.bags.ledger import FrameLedger, SentFrame
from jetson_detect.bags.offline_detector import OfflineDetector
from jetson_detect.bags.offline_player import OfflinePlayer
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.replay_plan import WantedTopics, make_plan
from jetson_detect.core.class_names import ClassNames
from jetson_detect.testing.replayed_bag import AnsweredFrame, ReplayedBag


def run_bag(
    path: str | Path,
    detector: OfflineDetector,
    *,
    topics: Iterable[str] = (),
    detections: Iterable[str] = (),
    limit: int | None = None,
    updates_golden: bool = False,
    folder: Path | None = None,
) -> ReplayedBag:
    """Run the images of a bag through a detector, in this process and without ROS's network.

    Parameters
    ----------
    path
        A rosbag2 folder or file.
    detector
        Loaded; not closed.
    topics
        Of the images; all of them if left out.
    detections
        Where answers belong, one topic for each of the images'; ``detections`` beside it if left
        out.
    limit
        Stop after so many images.
    updates_golden
        Whether :meth:`ReplayedBag.assert_matches` writes the golden bag anew.
    folder
        What paths of golden bags are relative to; None for the working folder.

    Raises
    ------
    BagError
        If the bag cannot be read or a topic is not in it.

    """
    names = ClassNames()
    ledger = FrameLedger()
    answered: list[AnsweredFrame] = []
    losses: dict[SentFrame, str] = {}

    def keep(answer: Answer) -> None:
        latency = answer.latency_ms or 0.0
        topic = answer.camera.detections
        answered.append(AnsweredFrame(answer.sent, answer.detections, latency, answer.data, topic))

    with BagReader(path) as bag:
        wanted = WantedTopics(images=tuple(topics), detections=tuple(detections), flag="")
        plan = make_plan(bag, wanted)
        player = OfflinePlayer(
            detector.detector,
            detector.selection,
            plan.cameras,
            ledger,
            on_answer=keep,
            on_lost=losses.__setitem__,
            names=names,
        )
        sequence = frames(bag.messages(plan.recorded), plan.recorded)
        player.play(islice(sequence, limit))
    return ReplayedBag(
        path=Path(path),
        plan=plan,
        answered=answered,
        losses=losses,
        ledger=ledger,
        names=names,
        environment=detector.environment,
        is_whole=limit is None or len(answered) + len(losses) < limit,
        updates_golden=updates_golden,
        folder=Path() if folder is None else folder,
    )
