"""The tracker node's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jetson_detect.core.tracking.camera_tracker import TrackingConfig
from jetson_detect.nodes.managed_config import ManagedConfig
from jetson_detect.nodes.parameters import parameter
from jetson_detect.nodes.qos import QoSConfig

_SCORES = (0.0, 1.0)


class Publish(str, Enum):
    """Which detections are published."""

    CONFIRMED = "confirmed"
    """Those that belong to a confirmed track."""
    ALL = "all"
    """All of them; the others with an empty id."""


@dataclass(frozen=True)
class TrackerConfig(ManagedConfig):
    """What can be said about the tracker node."""

    detection_topics: tuple[str, ...] = parameter(
        ("detections",),
        "Topics of vision_msgs/Detection2DArray, one for each camera; each is tracked by itself.",
        read_only=True,
    )
    output_topics: tuple[str, ...] = parameter(
        (),
        "Where each camera's tracked detections go, one topic for each of detection_topics; empty "
        "for 'tracks' beside the detections.",
        read_only=True,
    )
    detections_qos: QoSConfig = parameter(
        QoSConfig(), "Quality of service of the detections' subscriptions", read_only=True
    )
    algorithm: str = parameter(
        "bytetrack",
        "What tells which detections are one object: bytetrack (needs trackforge), or "
        "module:callable for one of your own, see docs/tracking.md.",
        read_only=True,
    )
    strong_score: float = parameter(
        TrackingConfig.strong_score,
        "Detections with at least this score are given to tracks first; weaker ones can go on with "
        "a track, but not begin one.",
        range=_SCORES,
        read_only=True,
    )
    new_track_score: float = parameter(
        TrackingConfig.new_track_score,
        "A detection that belongs to no track begins one from this score on.",
        range=_SCORES,
        read_only=True,
    )
    min_iou: float = parameter(
        TrackingConfig.min_iou,
        "How much a strong detection overlaps (intersection over union) with the box that its "
        "track is expected in, at least.",
        range=_SCORES,
        read_only=True,
    )
    weak_min_iou: float = parameter(
        TrackingConfig.weak_min_iou,
        "The same for a detection below strong_score.",
        range=_SCORES,
        read_only=True,
    )
    max_age_s: float = parameter(
        TrackingConfig.max_age_s,
        "Seconds, by the header stamps, that an object may be unseen and keep its id.",
        range=(0.0, 3600.0),
        read_only=True,
    )
    min_hits: int = parameter(
        TrackingConfig.min_hits,
        "Frames in which an object was seen, before its track is confirmed and gets an id.",
        range=(1, 1000),
        read_only=True,
    )
    per_class: bool = parameter(
        TrackingConfig.per_class,
        "Whether a detection only belongs to a track of its own class; else place alone counts, "
        "and a track goes on when the detector changes its mind about the class.",
        read_only=True,
    )
    frame_rate: float = parameter(
        TrackingConfig.frame_rate,
        "Frames a second that the cameras should give; 0 to learn it from the header stamps.",
        range=(0.0, 1000.0),
        read_only=True,
    )
    publish: Publish = parameter(
        Publish.CONFIRMED,
        "Which detections are published: those of confirmed tracks, or all, the others with an "
        "empty id.",
    )
    smoothing: float = parameter(
        0.0,
        "Share of a track's former box that is kept in each frame; 0 leaves the detector's boxes "
        "as they are, more is calmer and lags behind what moves.",
        range=(0.0, 0.99),
    )

    @property
    def tracking(self) -> TrackingConfig:
        """How objects are followed."""
        return TrackingConfig(
            strong_score=self.strong_score,
            new_track_score=self.new_track_score,
            min_iou=self.min_iou,
            weak_min_iou=self.weak_min_iou,
            max_age_s=self.max_age_s,
            min_hits=self.min_hits,
            per_class=self.per_class,
            frame_rate=self.frame_rate,
        )

    @property
    def topics(self) -> tuple[tuple[str, str], ...]:
        """Each camera's detections, and where they go.

        Raises
        ------
        ValueError
            If there are none, two cameras would share a topic, or one would feed itself.

        """
        inputs, outputs = self.detection_topics, self.output_topics
        if not inputs:
            raise ValueError(
                "parameter 'detection_topics' is empty: name at least one topic of detections"
            )
        if not outputs:
            outputs = tuple(tracks_beside(topic) for topic in inputs)
        elif len(outputs) != len(inputs):
            raise ValueError(
                f"parameter 'output_topics' has {len(outputs)} entries for {len(inputs)} "
                "detection_topics; give one for each, or none"
            )
        for name, topics in (("detection_topics", inputs), ("output_topics", outputs)):
            twice = sorted({topic for topic in topics if topics.count(topic) > 1})
            if twice:
                raise ValueError(
                    f"parameter '{name}': {twice[0]} would stand for two cameras; give each camera "
                    "a topic of its own in 'detection_topics' and 'output_topics'"
                )
        fed = sorted(set(inputs) & set(outputs))
        if fed:
            raise ValueError(
                f"parameter 'output_topics': {fed[0]} is in 'detection_topics' too, and the "
                "tracker would hear itself; publish on another topic"
            )
        return tuple(zip(inputs, outputs))


def tracks_beside(detection_topic: str) -> str:
    """Return the topic of the tracks that belong to a topic of detections."""
    namespace, slash, _ = detection_topic.rpartition("/")
    return f"{namespace}{slash}tracks"


def check_topics(config: TrackerConfig) -> None:
    """Refuse topics that do not go together.

    Raises
    ------
    ValueError
        If they do not.

    """
    _ = config.topics
