"""Frames as they are shown: a picture, and over it what was found and what should have been."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from jetson_detect.bags.stamps import format_stamp
from jetson_detect.core.drawing import class_hue
from jetson_detect.core.sample_frames import spread
from jetson_detect.report.object_marks import FOUND, MISSED, ObjectMark
from jetson_detect.report.topic_record import ShownFrame, TopicRecord

_OBJECTS_IN_WORDS = 12
"""Objects that a picture's alternative text names."""

_NO_ROOM_ABOVE, _NO_ROOM_BELOW = 6.0, 94.0
"""Percent of a picture's height."""


@dataclass(frozen=True)
class OverlaidObject:
    """An object over its picture."""

    mark: ObjectMark
    hue: int
    """Of its class, degrees."""
    points: str
    """Of an SVG polygon, in pixels of the picture."""
    has_tag: bool
    """Whether its name is written at it."""
    place: str
    """CSS of the tag's place."""

    @classmethod
    def of(cls, mark: ObjectMark, size: tuple[int, int], has_tag: bool) -> OverlaidObject:
        """Lay an object over a picture of this width and height."""
        xs, ys = zip(*mark.corners)
        left, right = (_percent(edge, size[0]) for edge in (min(xs), max(xs)))
        top, bottom = (_percent(edge, size[1]) for edge in (min(ys), max(ys)))
        # Tags grow from the box into the picture, so that none is cut off at its edges; those of
        # missed objects stand below, where none of an object found in their place lies over them.
        across = f"left:{left:.2f}%" if left <= 60 else f"right:{100 - right:.2f}%"
        if mark.fault == MISSED:
            upright = f"top:{bottom:.2f}%"
            upwards = bottom > _NO_ROOM_BELOW
        else:
            upright = f"top:{top:.2f}%"
            upwards = top > _NO_ROOM_ABOVE
        return cls(
            mark=mark,
            hue=round(360 * class_hue(mark.class_id)),
            points=" ".join(f"{x:.1f},{y:.1f}" for x, y in mark.corners),
            has_tag=has_tag,
            place=f"{across};{upright}" + (";transform:translateY(-100%)" if upwards else ""),
        )


@dataclass(frozen=True)
class FrameFigure:
    """A frame with its objects."""

    anchor: str
    frame: ShownFrame
    stamp: str
    is_worst: bool
    source: str
    """Of the picture, a ``data:`` URL."""
    objects: tuple[OverlaidObject, ...]
    description: str
    """In place of the picture, for those who cannot see it."""
    facts: tuple[str, ...]


def frames_within(budget: float, record: TopicRecord) -> list[ShownFrame]:
    """Return the frames to show in the order of time, the worst ones before all others.

    ``budget`` is in bytes of pictures; one frame is shown whatever it costs.
    """
    chosen: dict[int, ShownFrame] = {}
    left = budget
    for frame in record.worst:
        if len(frame.jpeg) <= left or not chosen:
            chosen[frame.number] = frame
            left -= len(frame.jpeg)
    others = [frame for frame in record.evenly_spaced if frame.number not in chosen]
    if others:
        mean_bytes = sum(len(frame.jpeg) for frame in others) / len(others)
        fitting = max(int(left / mean_bytes), 0 if chosen else 1)
        for place in spread(len(others), fitting) if fitting else ():
            chosen[others[place].number] = others[place]
    return [frame for _, frame in sorted(chosen.items())]


def make_figure(frame: ShownFrame, anchor: str, is_worst: bool, topic: str) -> FrameFigure:
    """Lay a frame's objects over its picture, and say in words what they are."""
    judge = next(iter(frame.differences), "")
    facts = [
        f"{difference.missed} missed, {difference.extra} extra by {kind}"
        for kind, difference in frame.differences.items()
    ]
    if frame.latency_ms is not None:
        facts.append(f"{frame.latency_ms:.1f} ms")
    said = [
        mark.text for mark in reversed(frame.marks) if mark.kind == FOUND or _is_told(mark, judge)
    ]
    if len(said) > _OBJECTS_IN_WORDS:
        said[_OBJECTS_IN_WORDS:] = [f"and {len(said) - _OBJECTS_IN_WORDS} more"]
    return FrameFigure(
        anchor=anchor,
        frame=frame,
        stamp=format_stamp(frame.stamp_ns),
        is_worst=is_worst,
        source=f"data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode('ascii')}",
        objects=tuple(
            OverlaidObject.of(mark, frame.size, mark.kind == FOUND or _is_told(mark, judge))
            for mark in frame.marks
        ),
        description=f"Frame {frame.number} of {topic}: {', '.join(said) or 'nothing found'}",
        facts=tuple(facts),
    )


def _is_told(mark: ObjectMark, judge: str) -> bool:
    """Whether it is missed by the one that judges; that another misses it too is seen, not told."""
    return mark.fault == MISSED and mark.kind == judge


def _percent(edge: float, size: int) -> float:
    return 100 * min(max(edge / size, 0.0), 1.0)
