"""What an engine was made of, for what and how: the key of the cache."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from jetson_detect.core.engines.machine import MachineIdentity
from jetson_detect.core.engines.plain_json import canonical, digest, plain
from jetson_detect.core.model import Precision

KEY_LENGTH = 32
"""Hexadecimal digits of :attr:`EngineIdentity.key`."""

_SHORT = 12
"""Digits of a hash that a person is shown."""
_SHA256 = re.compile("[0-9a-f]{64}")
_MACHINE_LABELS = {
    "tensorrt": "TensorRT",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "driver": "driver",
    "l4t": "L4T",
}


@dataclass(frozen=True, eq=False)
class EngineIdentity:
    """All that decides what a plan is; equal identities make interchangeable plans.

    Raises
    ------
    ValueError
        If a field cannot be what it should; the message names it.

    """

    model: str
    """The name in model.yaml."""
    source: str
    """:func:`~jetson_detect.core.engines.content_hash.content_sha256` of the file it is made of."""
    precision: str
    """A value of :class:`~jetson_detect.core.model.Precision`."""
    shapes: Mapping[str, Any]
    """Shape, or smallest, best and largest shape, by input."""
    options: Mapping[str, Any]
    """How it is built: whatever JSON can hold, by name."""
    calibration: str
    """A hash of the calibration frames; empty without calibration."""
    recipe: int
    """The version of this package's conversion."""
    machine: MachineIdentity

    def __post_init__(self) -> None:
        for name in ("model", "source", "calibration"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name), "a string")
        _require(bool(self.model), "model", self.model, "the model's name")
        _require(bool(_SHA256.fullmatch(self.source)), "source", self.source, "a SHA-256")
        known = [precision.value for precision in Precision]
        precision = plain(self.precision, "precision")
        _require(precision in known, "precision", precision, f"one of {', '.join(known)}")
        whole = type(self.recipe) is int and self.recipe >= 0
        _require(whole, "recipe", self.recipe, "a whole number from 0 on")
        object.__setattr__(self, "precision", precision)
        for name in ("shapes", "options"):
            value = getattr(self, name)
            _require(isinstance(value, Mapping), name, value, "a mapping")
            object.__setattr__(self, name, plain(value, name))

    @cached_property
    def canonical(self) -> str:
        """The one way in which this identity is written as JSON."""
        return canonical(self.to_json())

    @cached_property
    def key(self) -> str:
        """A name for it: the first 32 hexadecimal digits of the SHA-256 of :attr:`canonical`."""
        return digest(self.to_json())[:KEY_LENGTH]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EngineIdentity) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    def differences(self, wanted: EngineIdentity) -> tuple[str, ...]:
        """Name each thing in which this one is not what is wanted, with both values.

        Returns
        -------
        Fragments as ``TensorRT 8.5.3.1 instead of 8.6.0``; none if the two are equal.

        """
        return (
            *_differing("model", self.model, wanted.model),
            *source_difference(self.source, wanted.source),
            *_differing("precision", self.precision, wanted.precision),
            *_differing_entries("shape of ", self.shapes, wanted.shapes),
            *_differing_entries("", self.options, wanted.options),
            *_differing_hash("calibration", self.calibration, wanted.calibration),
            *_differing("recipe", self.recipe, wanted.recipe),
            *machine_differences(self.machine, wanted.machine),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON; :meth:`from_json` undoes it."""
        return {
            "model": self.model,
            "source": self.source,
            "precision": self.precision,
            "shapes": self.shapes,
            "options": self.options,
            "calibration": self.calibration,
            "recipe": self.recipe,
            "machine": asdict(self.machine),
        }

    @classmethod
    def from_json(cls, document: Any) -> EngineIdentity:
        """Make one from what :meth:`to_json` returned.

        Raises
        ------
        ValueError
            If a field is missing, unknown or of the wrong kind; the message names it.

        """
        values = _exactly(document, [field.name for field in fields(cls)], "identity")
        machine = _exactly(
            values["machine"], [field.name for field in fields(MachineIdentity)], "machine"
        )
        for name, value in machine.items():
            _require(isinstance(value, str), f"machine.{name}", value, "a string")
        return cls(**{**values, "machine": MachineIdentity(**machine)})


def source_difference(built: str, *wanted: str) -> tuple[str, ...]:
    """Say that the file that an engine was made of is none of those that are there now."""
    if built in wanted:
        return ()
    if len(wanted) == 1:
        (fragment,) = _differing_hash("source", built, wanted[0])
    else:
        there = " or ".join(sorted(source[:_SHORT] for source in wanted))
        fragment = f"source {built[:_SHORT]} instead of {there or 'any file that is there'}"
    return (f"{fragment} (the model's file changed)",)


def machine_differences(
    built: MachineIdentity, wanted: MachineIdentity, ignored: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Name each thing in which a machine is not the one that is wanted, with both values.

    Args:
        built: the machine of an engine.
        wanted: the machine that is to run it.
        ignored: fields of :class:`MachineIdentity` that do not count.

    """
    return tuple(
        fragment
        for name, label in _MACHINE_LABELS.items()
        if name not in ignored
        for fragment in _differing(label, getattr(built, name), getattr(wanted, name))
    )


def _differing(label: str, here: Any, wanted: Any) -> tuple[str, ...]:
    if canonical(here) == canonical(wanted):
        return ()
    shown, shown_wanted = _shown(here), _shown(wanted)
    if shown == shown_wanted:  # the number 1 and the text "1"
        shown, shown_wanted = canonical(here), canonical(wanted)
    return (f"{label} {shown} instead of {shown_wanted}",)


def _differing_hash(label: str, here: str, wanted: str) -> tuple[str, ...]:
    """Show no more of hashes than one needs to tell them apart."""
    if here[:_SHORT] != wanted[:_SHORT]:
        here, wanted = here[:_SHORT], wanted[:_SHORT]
    return _differing(label, here, wanted)


def _differing_entries(
    prefix: str, here: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[str]:
    for name in sorted({*here, *wanted}):
        label = f"{prefix}{name}"
        if name not in here:
            yield f"{label} unset instead of {_shown(wanted[name])}"
        elif name not in wanted:
            yield f"{label} {_shown(here[name])} instead of unset"
        else:
            yield from _differing(label, here[name], wanted[name])


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else canonical(value)


def _exactly(document: Any, names: list[str], where: str) -> dict[str, Any]:
    """Return a mapping that has these keys and no others."""
    _require(isinstance(document, Mapping), where, document, "a mapping")
    missing, unknown = sorted(set(names) - set(document)), sorted(set(document) - set(names))
    if missing or unknown:
        raise ValueError(
            f"{where}: "
            + "; ".join(
                f"{problem} {', '.join(found)}"
                for problem, found in (("there is no", missing), ("unknown is", unknown))
                if found
            )
        )
    return dict(document)


def _require(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise ValueError(f"{name}: {value!r} is not {expected}")
