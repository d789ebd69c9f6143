"""What the facts file says about one version of an API: names, members, signatures."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PROPERTY = "property"
VALUE = "value"
CLASS = "class"


@dataclass(frozen=True)
class Signature:
    """One way to call something."""

    names: tuple[str, ...]
    required: frozenset[str]
    result: str
    static: bool = False

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read ``(name, other=) -> type``."""
        static = text.startswith("static ")
        parameters, _, result = text.removeprefix("static ")[1:].rpartition(") -> ")
        parts = [part for part in parameters.split(", ") if part]
        return cls(
            names=tuple(part.removesuffix("=") for part in parts),
            required=frozenset(part for part in parts if not part.endswith("=")),
            result=result,
            static=static,
        )

    def takes(self, positional: int, keywords: Collection[str], open_ended: bool = False) -> bool:
        """Say whether a call fits; ``open_ended`` for one with ``*values`` or ``**options``."""
        if positional > len(self.names):
            return False
        # pybind11 writes arg0, arg1 … for what has no name and cannot be given by one.
        by_name = {name for name in self.names[positional:] if not _is_nameless(name)}
        if not by_name.issuperset(keywords):
            return False
        return open_ended or not (set(self.names[positional:]) & self.required) - set(keywords)

    def __str__(self) -> str:
        return ", ".join(name if name in self.required else f"{name}=" for name in self.names)


def _is_nameless(name: str) -> bool:
    return name.startswith("arg") and name[3:].isdigit()


@dataclass(frozen=True)
class Member:
    """One member of a class, in one version."""

    kind: str
    """:data:`PROPERTY`, :data:`VALUE`, :data:`CLASS` or, with signatures, ``method``."""
    signatures: tuple[Signature, ...] = ()


class Api:
    """An API through all its versions.

    Parameters
    ----------
    facts:
        As ``scripts/tensorrt_facts.py`` writes them.  ``functions`` may say how to call what
        stands in ``module``, and ``callbacks`` what a class calls of its subclasses although it
        has no such member itself; both by name, variant and span as ``members``.

    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.versions: tuple[str, ...] = tuple(facts["versions"])
        self._position = {version: index for index, version in enumerate(self.versions)}
        self.facts = facts

    @classmethod
    def read(cls, path: Path, **more: Any) -> Api:
        """Read a facts file; ``more`` are further keys of the facts."""
        return cls({**json.loads(path.read_text()), **more})

    @cached_property
    def member_names(self) -> frozenset[str]:
        """Names of all members and module names, of any version, without the special ones."""
        names: set[str] = set(self.facts["module"])
        for name, entry in self.facts["classes"].items():
            names.add(name.rpartition(".")[2])
            names.update(entry["members"], entry["values"])
        return frozenset(name for name in names if not name.startswith("_"))

    def at(self, version: str) -> ApiVersion:
        """Return what one version has."""
        return ApiVersion(self, version)

    def holds(self, span: str, version: str) -> bool:
        """Say whether a version lies in a span."""
        if span == "*":
            return True
        position = self._position[version]
        for part in span.split(","):
            first, dots, last = part.partition("..")
            last = last if dots else first
            start = self._position[first] if first else 0
            end = self._position[last] if last else len(self.versions)
            if start <= position <= end:
                return True
        return False

    def where(self, class_name: str | None, name: str) -> str:
        """Return in which versions a name is there, as a span; empty where it never is."""
        if class_name is None:
            classes = self.facts["classes"]
            return str(
                self.facts["module"].get(name) or (classes[name]["in"] if name in classes else "")
            )
        present = [
            version
            for version in self.versions
            if self.at(version).member(class_name, name) is not None
        ]
        if not present:
            return ""
        return present[0] if len(present) == 1 else f"{present[0]}..{present[-1]}"


class ApiVersion:
    """What one version has."""

    def __init__(self, api: Api, version: str) -> None:
        self.api = api
        self.version = version
        self._members: dict[tuple[str, str], Member | None] = {}

    def has_class(self, name: str) -> bool:
        """Say whether a class, or a nested one as ``ILogger.Severity``, is there."""
        entry = self.api.facts["classes"].get(name)
        return entry is not None and self._now(entry["in"])

    def is_enum(self, name: str) -> bool:
        """Say whether a class is an enum."""
        return bool(self.api.facts["classes"].get(name, {}).get("values"))

    def has_name(self, name: str) -> bool:
        """Say whether the module has a name that is no class."""
        return self._now(self.api.facts["module"].get(name, ""))

    def function(self, name: str) -> tuple[Signature, ...]:
        """Return how a function of the module is called; nothing where that is not known."""
        return self._signatures(self.api.facts.get("functions", {}).get(name, {}))

    def bases(self, name: str) -> list[str]:
        """Return a class and what it inherits from, nearest first as far as that matters."""
        entry = self.api.facts["classes"].get(name, {})
        bases = [base for base, span in entry.get("bases", {}).items() if self._now(span)]
        # Deepest first, as a class overrides what its bases have.
        bases.sort(key=lambda base: -len(self.api.facts["classes"].get(base, {}).get("bases", {})))
        return [name, *bases]

    def member(self, class_name: str, name: str) -> Member | None:
        """Look a member up in a class and its bases."""
        key = class_name, name
        if key not in self._members:
            self._members[key] = self._find(class_name, name)
        return self._members[key]

    def callback(self, class_name: str, name: str) -> Member | None:
        """Look a method up that the class calls of its subclasses."""
        for base in self.bases(class_name):
            callbacks = self.api.facts.get("callbacks", {}).get(base)
            if callbacks is not None:
                signatures = self._signatures(callbacks.get(name, {}))
                return Member("method", signatures) if signatures else None
        return self.member(class_name, name)

    def near(self, class_name: str | None, name: str) -> list[str]:
        """Return names that this version has and that look like one that it lacks."""
        facts = self.api.facts
        if class_name is None:
            names: Iterable[str] = [n for n in facts["module"] if self.has_name(n)]
            names = [*names, *(n for n in facts["classes"] if self.has_class(n))]
        else:
            names = {
                member
                for base in self.bases(class_name)
                for member in (
                    *facts["classes"].get(base, {}).get("members", ()),
                    *facts["classes"].get(base, {}).get("values", ()),
                )
                if self.member(class_name, member)
            }
        return difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.6)

    def _find(self, class_name: str, name: str) -> Member | None:
        if not self.has_class(class_name):
            return None
        for base in self.bases(class_name):
            entry = self.api.facts["classes"].get(base)
            if entry is None:
                continue
            if self._now(entry["values"].get(name, "")):
                return Member(VALUE)
            variants = {
                variant: span
                for variant, span in entry["members"].get(name, {}).items()
                if self._now(span)
            }
            if variants:
                kind = next(iter(variants))
                if kind in (PROPERTY, VALUE, CLASS):
                    return Member(kind)
                return Member("method", self._signatures(variants))
        if self.is_enum(class_name) and name in ("name", "value", "__members__"):
            return Member(PROPERTY)
        return None

    def _signatures(self, variants: Mapping[str, str]) -> tuple[Signature, ...]:
        return tuple(Signature.parse(text) for text, span in variants.items() if self._now(span))

    def _now(self, span: str) -> bool:
        return bool(span) and self.api.holds(span, self.version)
