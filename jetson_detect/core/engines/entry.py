"""One engine in the cache: its plan, what is told about it, and a hold on it while it runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from jetson_detect.core.closing import Closing
from jetson_detect.core.engines.cache_folder import CacheError, require_trusted
from jetson_detect.core.engines.content_hash import ContentError, file_sha256
from jetson_detect.core.engines.file_lock import is_still
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.sidecar import EngineRecord, Sidecar
from jetson_detect.core.model import Format, ModelFile, Precision

PLAN = "engine.plan"
SIDECAR = "engine.json"
SHORT_KEY = 12
"""Digits of a key that a person is shown, and may give."""

_REMEDY = "build the engine again, or remove it with the cache's clear"


class BrokenEntryError(CacheError):
    """An engine that is not what was stored; the message says what is wrong with it."""


def utc(seconds: float) -> str:
    """Write a time since the epoch as ``2026-11-21T13:05:00Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Entry:
    """A plan in the cache whose sidecar is sound."""

    folder: Path
    sidecar: Sidecar

    @property
    def identity(self) -> EngineIdentity:
        """What it was made of, for what and how."""
        return self.sidecar.identity

    @property
    def record(self) -> EngineRecord:
        """What else is told about it."""
        return self.sidecar.record

    @property
    def key(self) -> str:
        """The identity's."""
        return self.identity.key

    @property
    def plan(self) -> Path:
        """The file for TensorRT."""
        return self.folder / PLAN

    @cached_property
    def model_file(self) -> ModelFile:
        """The plan as a backend takes it."""
        return ModelFile(
            format=Format.TENSORRT,
            path=self.plan,
            precision=Precision(self.identity.precision),
            tensors=self.record.tensors,
            head=self.record.head,
        )

    @property
    def last_used(self) -> float:
        """When it was last found or held, in seconds since the epoch; 0 if it is gone."""
        return last_used(self.folder)

    def touch(self) -> None:
        """Note that it is used now; a cache that may only be read keeps no such notes."""
        with suppress(OSError):
            os.utime(self.folder / SIDECAR)

    def hold(self) -> EntryHold:
        """Keep it from being removed, by any process, until the hold is closed.

        Raises
        ------
        CacheError
            If it was removed meanwhile.

        """
        return EntryHold(self)

    def check_plan(self, fresh: bool = False) -> None:
        """Compare the plan with what was stored.

        Args:
            fresh: read it even if it seems not to have changed since it was last read.

        Raises
        ------
        BrokenEntryError
            If it is another one, or cannot be read.

        """
        expected = self.sidecar
        try:
            _require_trusted(self.plan)
            size = self.plan.stat().st_size
            if size != expected.plan_size:
                raise BrokenEntryError(
                    f"{self.plan}: has {size} bytes instead of {expected.plan_size}; {_REMEDY}"
                )
            found = file_sha256(self.plan, fresh)
        except (OSError, ContentError) as error:
            raise BrokenEntryError(f"{self.plan}: cannot be read ({error}); {_REMEDY}") from error
        if found != expected.plan_sha256:
            raise BrokenEntryError(
                f"{self.plan}: was changed since it was stored (SHA-256 {found[:12]} instead of "
                f"{expected.plan_sha256[:12]}); {_REMEDY}"
            )

    def summary(self) -> dict[str, str]:
        """Return the row of a list of engines: texts by column."""
        machine, latency = self.identity.machine, self.record.latency_ms
        figures = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.record.figures.items()
            if value is not None
        )
        return {
            "model": self.identity.model,
            "precision": self.identity.precision,
            "key": self.key[:SHORT_KEY],
            "size": f"{self.sidecar.plan_size / (1 << 20):.1f} MB",
            "latency": "" if latency is None else f"{latency:.2f} ms",
            "proof": figures,
            "created": self.sidecar.created,
            "last used": utc(self.last_used),
            "GPU": machine.gpu,
            "TensorRT": machine.tensorrt,
        }


class EntryHold(Closing):
    """Keeps an engine in the cache while a process uses it; the kernel ends it with the process."""

    def __init__(self, entry: Entry) -> None:
        path = entry.folder / SIDECAR
        self._handle = -1
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _gone(entry) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            if not is_still(handle, path):
                raise _gone(entry)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        entry.touch()

    def close(self) -> None:
        """Let it go; may be called twice."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def read_entry(folder: Path) -> Entry:
    """Read the sidecar of an engine; the plan itself is not looked at.

    Raises
    ------
    BrokenEntryError
        If the sidecar is missing, was changed, or may have been written by somebody else.

    """
    path = folder / SIDECAR
    try:
        for part in (folder, path):
            _require_trusted(part)
        sidecar = Sidecar.from_bytes(path.read_bytes())
    except OSError as error:
        raise BrokenEntryError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except ValueError as error:
        raise BrokenEntryError(f"{path}: {error}; {_REMEDY}") from error
    return Entry(folder, sidecar)


def last_used(folder: Path) -> float:
    """Return when an engine, sound or not, was last used, in seconds since the epoch."""
    for path in (folder / SIDECAR, folder):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


@contextmanager
def unheld(folder: Path) -> Iterator[bool]:
    """Say whether no living process holds an engine, and let none begin to in a ``with`` block."""
    try:
        handle = os.open(folder / SIDECAR, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # nobody can hold it
        yield True
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _require_trusted(path: Path) -> None:
    try:
        require_trusted(path)
    except CacheError as error:
        raise BrokenEntryError(str(error)) from error


def _gone(entry: Entry) -> CacheError:
    return CacheError(f"{entry.folder}: was removed from the cache meanwhile; look for another")
