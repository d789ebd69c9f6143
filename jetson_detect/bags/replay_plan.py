"""Which topics of a bag are played, and where their answers come from or go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.played_topics import PlayedCamera, PlayedTopic
from jetson_detect.bags.reader import BagReader
from jetson_detect.bags.recorded_detections import check_detections
from jetson_detect.bags.recorded_image import COMPRESSED_IMAGE, IMAGE, image_topics
from jetson_detect.core.camera_topic_names import namespace_beside


@dataclass(frozen=True)
class WantedTopics:
    """What somebody wants played."""

    images: tuple[str, ...] = ()
    """Empty for all topics of images; see :func:`~jetson_detect.bags.recorded_image.image_topics`.
    """
    also: tuple[str, ...] = ()
    """Other topics that are published along."""
    truth: tuple[str, ...] = ()
    """Detections of the bag that are the truth: one topic for each of the images', or none."""
    detections: tuple[str, ...] = ()
    """Where the answers are, one for each image topic; empty for ``detections`` beside it."""
    remap: Mapping[str, str] | None = None
    """Names to publish by."""
    flag: str = "--"
    """How the fields' names begin where errors speak of them."""


@dataclass(frozen=True)
class ReplayPlan:
    """What is played."""

    cameras: tuple[PlayedCamera, ...]
    """Those that have a message."""
    companions: tuple[PlayedTopic, ...]
    truths: Mapping[str, str]
    """Topic of the truth by the published name of the image topic."""
    silent: tuple[PlayedCamera, ...] = ()
    """Cameras whose topic is in the bag, but has no message."""

    @property
    def recorded(self) -> list[str]:
        """Names in the bag of all topics that are read."""
        played = [topic.recorded for topic in (*self.cameras, *self.companions)]
        return list(dict.fromkeys((*played, *self.truths.values())))


def make_plan(bag: BagReader, wanted: WantedTopics) -> ReplayPlan:
    """Fit wishes and bag together.

    Raises
    ------
    BagError
        If a topic is not in the bag, or topics get in each other's way.

    """
    flag = wanted.flag
    images = list(dict.fromkeys(wanted.images or image_topics(bag)))
    if not images:
        raise BagError(
            f"{bag.path}: has no topic of type {IMAGE} or {COMPRESSED_IMAGE}; it has\n"
            f"{bag.describe_topics()}\nChoose with {flag}topics what to play."
        )
    also = list(dict.fromkeys(wanted.also))
    remap = dict(wanted.remap or {})
    for name, topics in (("topics", images), ("also", also), ("remap", list(remap))):
        if missing := [topic for topic in topics if topic not in bag.topics]:
            raise BagError(
                f"{bag.path}: has no topic {', '.join(missing)} ({flag}{name}); "
                f"it has\n{bag.describe_topics()}"
            )
    if both := [topic for topic in also if topic in images]:
        raise BagError(f"{', '.join(both)}: is an image topic already; take it out of {flag}also")
    if unused := [topic for topic in remap if topic not in (*images, *also)]:
        raise BagError(
            f"{flag}remap {unused[0]}:=…: is not published; add it to {flag}topics or {flag}also"
        )
    empty = [topic for topic in images if bag.topics[topic].count == 0]
    if len(empty) == len(images):
        raise BagError(f"{bag.path}: holds no message of {', '.join(images)}")
    published = {topic: remap.get(topic, topic) for topic in (*images, *also)}
    detections = _answers(wanted, images, published)
    truths = _truths(bag, wanted, images)
    cameras = [
        PlayedCamera(topic, published[topic], bag.topics[topic].type_name, answers)
        for topic, answers in zip(images, detections)
    ]
    return ReplayPlan(
        cameras=tuple(camera for camera in cameras if camera.recorded not in empty),
        silent=tuple(camera for camera in cameras if camera.recorded in empty),
        companions=tuple(
            PlayedTopic(topic, published[topic], bag.topics[topic].type_name) for topic in also
        ),
        truths={
            published[image]: truth for image, truth in zip(images, truths) if image not in empty
        },
    )


def _answers(
    wanted: WantedTopics, images: Sequence[str], published: Mapping[str, str]
) -> Sequence[str]:
    flag = wanted.flag
    answers: Sequence[str] = wanted.detections
    if not answers:
        answers = [f"{namespace_beside(published[image])}/detections" for image in images]
    if len(answers) != len(images):
        raise BagError(
            f"{flag}detections names {len(answers)} topics for {len(images)} image topics, "
            f"{', '.join(images)}; name one for each"
        )
    outward = [*published.values(), *answers]
    if twice := sorted({name for name in outward if outward.count(name) > 1}):
        raise BagError(
            f"{', '.join(twice)} would be used for more than one thing; "
            f"keep topics apart with {flag}remap and {flag}detections"
        )
    return answers


def _truths(bag: BagReader, wanted: WantedTopics, images: Sequence[str]) -> Sequence[str]:
    check_detections(bag, wanted.truth)
    if wanted.truth and len(wanted.truth) != len(images):
        raise BagError(
            f"{wanted.flag}truth names {len(wanted.truth)} topics for {len(images)} image topics, "
            f"{', '.join(images)}; name one for each"
        )
    return wanted.truth
