"""Optimisation profiles: the ranges of input shapes that a plan was built for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jetson_detect.core.backends.batch_sizes import BatchSizes

Shape = tuple[int, ...]


def as_text(shape: Sequence[int | None]) -> str:
    """Write a shape as 1x3x640x640; a scalar's as ``scalar``."""
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of one input in one profile."""

    minimum: Shape
    optimum: Shape
    maximum: Shape

    def holds(self, shape: Shape) -> bool:
        """Say whether a shape lies inside."""
        return len(shape) == len(self.minimum) and all(
            low <= size <= high for low, size, high in zip(self.minimum, shape, self.maximum)
        )

    def __str__(self) -> str:
        return f"{as_text(self.minimum)}..{as_text(self.maximum)} (best {as_text(self.optimum)})"


@dataclass(frozen=True)
class Profile:
    """One profile: a range for each input whose shape is not fixed by the network itself."""

    index: int
    ranges: Mapping[str, ShapeRange]

    def holds(self, shapes: Mapping[str, Shape]) -> bool:
        """Say whether all shapes lie inside."""
        return all(span.holds(shapes[name]) for name, span in self.ranges.items())

    def batch_sizes(self) -> BatchSizes:
        """How many pictures it allows, if that is what it leaves open in all inputs alike."""
        spans = list(self.ranges.values())
        sizes = {BatchSizes(span.minimum[0], span.maximum[0]) for span in spans if span.minimum}
        if len(sizes) != 1 or any(span.minimum[1:] != span.maximum[1:] for span in spans):
            return BatchSizes()
        return sizes.pop()

    def __str__(self) -> str:
        return ", ".join(f"{name} {span}" for name, span in self.ranges.items())


def choose_profile(
    profiles: Sequence[Profile], shapes: Mapping[str, Shape], active: int
) -> Profile | None:
    """Return a profile that holds the shapes, the active one before others; None if none does.

    Changing the profile costs a pause, so one that fits is kept even if another is built closer to
    these shapes.
    """
    fitting = [profile for profile in profiles if profile.holds(shapes)]
    return min(fitting, key=lambda profile: (profile.index != active, profile.index), default=None)


def fixed_sizes(profiles: Sequence[Profile], name: str, shape: Shape) -> tuple[int | None, ...]:
    """Return an input's shape, None where more than one size is possible.

    A dimension that the network leaves open (-1) is fixed all the same if every profile allows one
    size for it, the same.
    """

    def size_at(axis: int) -> int | None:
        if shape[axis] >= 0:
            return shape[axis]
        sizes = {
            bound[axis]
            for profile in profiles
            for bound in (profile.ranges[name].minimum, profile.ranges[name].maximum)
        }
        return sizes.pop() if len(sizes) == 1 else None

    return tuple(size_at(axis) for axis in range(len(shape)))
