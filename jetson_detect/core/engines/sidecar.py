"""The JSON file beside a plan: what the plan is, how it was proven, and a seal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.plain_json import digest, plain
from jetson_detect.core.model import HeadSpec

SCHEMA = 1
"""The version of the file's layout."""


@dataclass(frozen=True)
class EngineRecord:
    """What is told about an engine beside its identity."""

    tensors: Mapping[str, str] = field(default_factory=dict)
    """As :attr:`~jetson_detect.core.model.ModelFile.tensors` of the plan."""
    head: HeadSpec | None = None
    """As :attr:`~jetson_detect.core.model.ModelFile.head` of the plan."""
    proof: Mapping[str, Any] = field(default_factory=dict)
    """The comparison with its source: whatever JSON can hold; NaN is kept as null."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The proof's few numbers that a list of engines shows, by name and unit."""
    latency_ms: float | None = None
    """Of one inference, as measured in the proof; engines are preferred by it."""
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds that each stage of the build took."""
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """What was changed in the network on its way into the plan."""


@dataclass(frozen=True)
class Sidecar:
    """All that the file says."""

    identity: EngineIdentity
    record: EngineRecord
    plan_sha256: str
    plan_size: int
    """In bytes."""
    created: str
    """UTC, as ``2026-11-21T13:05:00Z``."""
    package: str
    """The version of this package that stored it."""

    def to_bytes(self) -> bytes:
        """Write it, sealed.

        Raises
        ------
        ValueError
            If the record holds what JSON has no form for.

        """
        record = self.record
        head = record.head and {
            "type": record.head.type,
            "outputs": record.head.outputs,
            "options": record.head.options,
        }
        told = {
            "file": {"tensors": record.tensors, "head": head},
            "proof": record.proof,
            "figures": record.figures,
            "latency_ms": record.latency_ms,
            "timing": record.timing,
            "warnings": record.warnings,
            "changes": record.changes,
        }
        document = {
            "schema": SCHEMA,
            "identity": self.identity.to_json(),
            "plan": {"sha256": self.plan_sha256, "size": self.plan_size},
            "created": self.created,
            "package": self.package,
            **plain(told, "record", nan_as_null=True),
        }
        sealed = {**document, "seal": digest(document)}
        return (json.dumps(sealed, indent=2, allow_nan=False) + "\n").encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> Sidecar:
        """Read what :meth:`to_bytes` wrote.

        Raises
        ------
        ValueError
            If that is not it to the letter; the message says what is wrong with it.

        """
        try:
            document = json.loads(content)
        except ValueError as error:
            raise ValueError(f"is no JSON ({error})") from error
        if not isinstance(document, dict):
            raise ValueError("is no JSON object")
        seal = document.pop("seal", None)
        if seal != digest(document):
            raise ValueError("was changed since it was written: its seal does not fit")
        if document.get("schema") != SCHEMA:
            raise ValueError(
                f"has schema {document.get('schema')!r}, and this version of the package reads "
                f"{SCHEMA}"
            )
        try:
            return cls._of(document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"does not hold what it should ({error!r})") from error

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Sidecar:
        file, plan = document["file"], document["plan"]
        record = EngineRecord(
            tensors=file["tensors"],
            head=None if file["head"] is None else HeadSpec(**file["head"]),
            proof=document["proof"],
            figures=document["figures"],
            latency_ms=document["latency_ms"],
            timing=document["timing"],
            warnings=tuple(document["warnings"]),
            changes=tuple(document["changes"]),
        )
        return cls(
            identity=EngineIdentity.from_json(document["identity"]),
            record=record,
            plan_sha256=str(plan["sha256"]),
            plan_size=int(plan["size"]),
            created=str(document["created"]),
            package=str(document["package"]),
        )
