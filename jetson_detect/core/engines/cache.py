"""The cache of engines: whole or not there, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import logging
import math
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import jetson_detect
from jetson_detect.core.engines.cache_folder import (
    VARIABLE,
    CacheError,
    default_cache_folder,
    require_trusted,
)
from jetson_detect.core.engines.compatibility import obstacles
from jetson_detect.core.engines.durable_files import sync_folder, write_durably
from jetson_detect.core.engines.durations import BuildDurations
from jetson_detect.core.engines.entry import (
    PLAN,
    SIDECAR,
    BrokenEntryError,
    Entry,
    EntryHold,
    read_entry,
    utc,
)
from jetson_detect.core.engines.file_lock import FileLock
from jetson_detect.core.engines.identity import EngineIdentity, source_difference
from jetson_detect.core.engines.lock import (
    BuildLock,
    BuildLockedError,
    LockOwner,
    LockWaitCancelledError,
)
from jetson_detect.core.engines.machine import MachineIdentity
from jetson_detect.core.engines.shelf import Place, Shelf, label_of
from jetson_detect.core.engines.sidecar import EngineRecord, Sidecar
from jetson_detect.core.engines.working_folder import WorkingFolders
from jetson_detect.core.model import Precision

__all__ = [
    "DEFAULT_SIZE_LIMIT_MB",
    "BrokenEntryError",
    "BuildLock",
    "BuildLockedError",
    "CacheError",
    "Cleared",
    "EngineCache",
    "EngineRecord",
    "Entry",
    "EntryHold",
    "LockOwner",
    "LockWaitCancelledError",
    "Usable",
    "default_cache_folder",
]

DEFAULT_SIZE_LIMIT_MB = 8192

_logger = logging.getLogger(__name__)

_REJECTED_KEPT = 5
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Usable:
    """What a detector may run, and why not the rest."""

    entries: tuple[Entry, ...]
    """Best first: of the newest recipe, then with the lowest proven latency, then the newest."""
    refusals: tuple[str, ...]
    """A sentence for each engine of the model that is not among them."""
    absence: str
    """That none was built yet, where there is neither one nor the other; empty else."""


@dataclass(frozen=True)
class Cleared:
    """What was removed."""

    count: int
    freed_bytes: int
    kept: tuple[str, ...]
    """A sentence for each engine that stays because somebody needs it."""


class EngineCache:
    """Engines by identity, in one folder that processes share.

    An engine is moved into its place in one step when it is complete and on the disk, and never
    changed there.  Every plan is compared with its SHA-256 before it is handed out.
    """

    def __init__(self, folder: Path, size_limit_mb: int = DEFAULT_SIZE_LIMIT_MB) -> None:
        """Keep engines in ``folder``, which need not exist yet, up to ``size_limit_mb``.

        Raises
        ------
        ValueError
            If the limit is not positive.

        """
        if size_limit_mb < 1:
            raise ValueError(f"size_limit_mb: {size_limit_mb} is not positive; give megabytes")
        self.folder = folder.expanduser().absolute()
        self._limit = size_limit_mb << 20
        self._promoted = Shelf(self.folder / "entries")
        self._rejected = Shelf(self.folder / "rejected")
        self._locks = self.folder / "locks"
        self._work = WorkingFolders(self.folder / "work", self._guard)
        self._durations = BuildDurations(self.folder / "durations.json", self._guard)

    # What is there

    def find(self, identity: EngineIdentity) -> Entry | None:
        """Return the engine of this identity, complete and unchanged, and note that it is used.

        Raises
        ------
        CacheError
            If others may write into the cache's folder.

        """
        for place in self._places(self._promoted, identity.key):
            try:
                entry = self._sound(place)
            except BrokenEntryError as error:
                _logger.warning("%s", error)
                continue
            entry.touch()
            return entry
        return None

    def why_not(self, identity: EngineIdentity) -> str:
        """Say why :meth:`find` finds nothing: what is broken, or what differs.

        Raises
        ------
        CacheError
            If others may write into the cache's folder.

        """
        broken = self._problems(self._places(self._promoted, identity.key))
        if broken:
            return "; ".join(broken)
        for place in self._places(self._rejected, identity.key):
            return (
                f"the engine of model '{identity.model}' was built and failed its proof: see "
                f"{place.path / SIDECAR}"
            )
        candidates = [
            (entry.identity.differences(identity), entry)
            for entry in self.entries()
            if entry.identity.model == identity.model
        ]
        if not candidates:
            return self._nothing_built(identity.model)
        candidates.sort(key=lambda candidate: candidate[1].sidecar.created, reverse=True)
        differences, nearest = min(candidates, key=lambda candidate: len(candidate[0]))
        return f"the nearest engine, {nearest.folder.name}, has {', '.join(differences)}"

    def usable(
        self,
        model: str,
        sources: Collection[str],
        machine: MachineIdentity,
        precision: Precision | None = None,
    ) -> Usable:
        """Return the engines that a detector may load for its model.

        Args:
            model: the name in model.yaml.
            sources: hashes of the model's files, from
                :func:`~jetson_detect.core.engines.content_hash.sources_by_hash`.
            machine: where they are to run.
            precision: only this one; None for any.

        Raises
        ------
        CacheError
            If others may write into the cache's folder.

        """
        entries, refusals = [], []
        for place in self._places(self._promoted):
            try:
                entry = read_entry(place.path)
                if entry.identity.model != model:
                    continue
                reasons = _unfit(entry.identity, sources, machine, precision)
                if reasons:
                    refusals.append(f"{place.path.name}: {', '.join(reasons)}")
                    continue
                entry.check_plan()
            except BrokenEntryError as error:
                if _may_be_of(place, model):
                    refusals.append(str(error))
                continue
            entries.append(entry)
        absence = "" if entries or refusals else self._nothing_built(model)
        entries.sort(key=lambda entry: entry.sidecar.created, reverse=True)
        entries.sort(key=_slowness)
        return Usable(tuple(entries), tuple(refusals), absence)

    def entries(self, rejected: bool = False) -> tuple[Entry, ...]:
        """Return the engines whose sidecars are sound, by model, precision and age.

        Their plans are not read; :meth:`verify` does that, and tells of the others.

        Args:
            rejected: those that failed their proof, instead of those that passed.

        Raises
        ------
        CacheError
            If others may write into the cache's folder.

        """
        found = []
        for place in self._places(self._rejected if rejected else self._promoted):
            try:
                found.append(read_entry(place.path))
            except BrokenEntryError as error:
                _logger.debug("%s", error)
        return tuple(
            sorted(
                found,
                key=lambda entry: (
                    entry.identity.model,
                    entry.identity.precision,
                    entry.sidecar.created,
                ),
            )
        )

    def verify(self, entry: Entry | None = None) -> tuple[str, ...]:
        """Read all plans, or one, from the disk and compare them with what was stored.

        Returns
        -------
        A sentence for each engine that is broken, the rejected ones too.

        Raises
        ------
        CacheError
            If others may write into the cache's folder.

        """
        places = [*self._places(self._promoted), *self._places(self._rejected)]
        if entry is not None:
            places = [place for place in places if place.path == entry.folder]
            if not places:
                return (f"{entry.folder}: is not in the cache any more",)
        return self._problems(places, fresh=True)

    @property
    def size_bytes(self) -> int:
        """What the engines take, the rejected ones too."""
        return sum(
            place.size
            for shelf in (self._promoted, self._rejected)
            for place in self._places(shelf)
        )

    # What changes it

    def promote(self, identity: EngineIdentity, plan: Path | bytes, record: EngineRecord) -> Entry:
        """Store a proven engine; from then on it is found.

        When this returns it is on the disk.  Killed at any moment, it leaves the cache as it was
        or with the new engine, and what else lies about is removed by the next that writes.  Then
        engines go, rejected ones first and then the least recently used, until the cache keeps
        its limit; those that a process holds and the new one stay.

        Raises
        ------
        CacheError
            If it cannot be written, the disk being full for one; the cache is as it was.
        ValueError
            If the record holds what JSON has no form for.

        """
        entry = self._store(self._promoted, identity, plan, record)
        self._keep_limit(entry.folder)
        return entry

    def set_aside(
        self, identity: EngineIdentity, plan: Path | bytes, record: EngineRecord
    ) -> Entry:
        """Keep an engine that failed its proof, with its report; it is never found.

        The newest five are kept, as far as the cache's limit allows.  Errors are those of
        :meth:`promote`.
        """
        entry = self._store(self._rejected, identity, plan, record)
        self._keep_limit(entry.folder, only_rejected=True)
        return entry

    def clear(
        self,
        model: str | None = None,
        keys: Collection[str] | None = None,
        promoted: bool = True,
        rejected: bool = True,
    ) -> Cleared:
        """Remove engines, broken ones too; those in use and targets that are being built stay.

        Args:
            model: only those of this model.
            keys: only those whose key begins with one of these.
            promoted: whether to remove engines that passed their proof.
            rejected: whether to remove engines that failed it.

        Raises
        ------
        CacheError
            If the folder cannot be written.

        """
        count, freed, kept = 0, 0, []
        with self._writing(), self._work.make("clear") as bin_folder, self._guard():
            for place in [
                *(self._places(self._promoted) if promoted else ()),
                *(self._places(self._rejected) if rejected else ()),
            ]:
                if not _is_meant(place, model, keys):
                    continue
                with FileLock(self._lock_file(place.key)).attempt() as idle:
                    size = place.take_away(bin_folder) if idle else None
                if size is None:
                    reason = "is in use" if idle else "is being built"
                    kept.append(f"{place.path.name}: {reason}")
                else:
                    count, freed = count + 1, freed + size
        return Cleared(count, freed, tuple(kept))

    # What a build needs

    def lock(self, identity: EngineIdentity) -> BuildLock:
        """Return the right to build a target, to be taken by ``with`` or its ``acquire``.

        Raises
        ------
        CacheError
            If the folder cannot be written.

        """
        with self._writing():
            self._work.remove_abandoned()
        target = f"the {identity.precision} engine of model '{identity.model}'"
        return BuildLock(self._lock_file(identity.key), target)

    @contextmanager
    def working_folder(self, label: str = "build") -> Iterator[Path]:
        """Make a folder for a build's files, removed after a ``with`` block.

        That of a killed process is removed by the next that writes into the cache.

        Args:
            label: what its name begins with, in letters that any file system takes.

        Raises
        ------
        CacheError
            If it cannot be made.

        """
        with ExitStack() as stack:
            with self._writing():
                path = stack.enter_context(self._work.make(label))
            yield path

    def expected_seconds(self, model: str, precision: str, stage: str) -> float | None:
        """Return how long a stage of a build takes here, in seconds; None if it is not known."""
        return self._durations.expected(model, precision, stage)

    def record_seconds(self, model: str, precision: str, stage: str, seconds: float) -> None:
        """Note how long a stage of a build took; without effect if it cannot be written."""
        self._durations.record(model, precision, stage, seconds)

    # How

    def _guard(self) -> FileLock:
        """Keep this process alone with what takes no time: moves, removals, small files."""
        return FileLock(self.folder / "cache.lock")

    def _lock_file(self, key: str) -> Path:
        return self._locks / f"{key}.lock"

    def _places(self, shelf: Shelf, key: str | None = None) -> list[Place]:
        """Return what is on a shelf that can be trusted."""
        try:
            for folder in (self.folder, shelf.folder):
                require_trusted(folder)
            return shelf.places(key)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CacheError(
                f"{error.filename}: cannot be read ({error.strerror}); give this user the right "
                f"to, or set {VARIABLE} to a folder of its own"
            ) from error

    @contextmanager
    def _writing(self, needed: int = 0) -> Iterator[None]:
        """Make the folders; say what an error of the file system means for the cache."""
        try:
            # The cache is this user's; what is shared on purpose is made so by an administrator.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_trusted(self.folder)
            for name in ("entries", "rejected", "locks", "work"):
                (self.folder / name).mkdir(mode=0o755, exist_ok=True)
                require_trusted(self.folder / name)
            yield
        except OSError as error:
            raise self._cannot_write(error, needed) from error

    def _cannot_write(self, error: OSError, needed: int) -> CacheError:
        if error.errno in _NO_SPACE:
            there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
            free = shutil.disk_usage(there).free
            return CacheError(
                f"{self.folder}: there is no space for the engine ({error.strerror}): it needs "
                f"{_megabytes(needed)} and {_megabytes(free)} are free; free some, clear the "
                f"cache, or set {VARIABLE} to a folder on another disk; the cache is as it was"
            )
        return CacheError(
            f"{error.filename or self.folder}: cannot be written ({error.strerror}); give this "
            f"user the right to, or set {VARIABLE} to a folder of its own"
        )

    def _store(
        self, shelf: Shelf, identity: EngineIdentity, plan: Path | bytes, record: EngineRecord
    ) -> Entry:
        with ExitStack() as stack:
            content: BinaryIO | bytes
            if isinstance(plan, bytes):
                content, needed = plan, len(plan)
            else:
                try:
                    content = stack.enter_context(plan.open("rb"))
                    needed = plan.stat().st_size
                except OSError as error:
                    raise CacheError(
                        f"{plan}: cannot be read ({error.strerror}); build the engine again"
                    ) from error
            stack.enter_context(self._writing(needed))
            self._work.remove_abandoned()
            work = stack.enter_context(self._work.make("store"))
            made = work / "engine"
            made.mkdir(mode=0o755)
            sha256, size = write_durably(made / PLAN, content)
            sidecar = Sidecar(
                identity, record, sha256, size, utc(time.time()), jetson_detect.__version__
            )
            write_durably(made / SIDECAR, sidecar.to_bytes())
            sync_folder(made)
            with self._guard():
                place = shelf.put(made, identity)
                for older in shelf.places(identity.key)[1:]:
                    older.take_away(work)
            return read_entry(place.path)

    def _keep_limit(self, newest: Path, only_rejected: bool = False) -> None:
        """Remove engines until the cache keeps its limit; a failure is logged."""
        try:
            self._remove_excess(newest, only_rejected)
        except CacheError as error:
            _logger.warning("%s", error)

    def _remove_excess(self, newest: Path, only_rejected: bool) -> None:
        with self._writing(), self._work.make("limit") as bin_folder, self._guard():
            rejected, promoted = (
                sorted(self._places(shelf), key=lambda place: place.last_used)
                for shelf in (self._rejected, self._promoted)
            )
            too_many = rejected[:-_REJECTED_KEPT]
            excess = self.size_bytes - self._limit
            for place in [*rejected, *(() if only_rejected else promoted)]:
                if place.path == newest or (excess <= 0 and place not in too_many):
                    continue
                excess -= place.take_away(bin_folder) or 0
        if excess > 0 and not only_rejected:
            _logger.warning(
                "%s: keeps %s more than its limit of %s: the rest is in use; raise the limit",
                self.folder,
                _megabytes(excess),
                _megabytes(self._limit),
            )

    def _sound(self, place: Place, fresh: bool = False) -> Entry:
        """Read an engine and its plan; BrokenEntryError if it is not what was stored."""
        entry = read_entry(place.path)
        if entry.key != place.key:
            raise BrokenEntryError(
                f"{place.path}: holds the engine {entry.key}; remove it with the cache's clear"
            )
        entry.check_plan(fresh)
        return entry

    def _problems(self, places: list[Place], fresh: bool = False) -> tuple[str, ...]:
        problems = []
        for place in places:
            try:
                self._sound(place, fresh)
            except BrokenEntryError as error:
                problems.append(str(error))
        return tuple(problems)

    def _nothing_built(self, model: str) -> str:
        return f"no engine of model '{model}' was built yet in {self.folder}"


def _unfit(
    engine: EngineIdentity,
    sources: Collection[str],
    machine: MachineIdentity,
    precision: Precision | None,
) -> tuple[str, ...]:
    """Say why a detector must not run a sound engine."""
    reasons: tuple[str, ...] = ()
    if precision is not None and engine.precision != precision.value:
        reasons += (f"precision {engine.precision} instead of {precision.value}",)
    if engine.source not in sources:
        reasons += source_difference(engine.source, *sources)
    return reasons + obstacles(engine, machine)


def _slowness(entry: Entry) -> tuple[int, float]:
    latency = entry.record.latency_ms
    return -entry.identity.recipe, math.inf if latency is None else latency


def _is_meant(place: Place, model: str | None, keys: Collection[str] | None) -> bool:
    if keys is not None and not place.key.startswith(tuple(keys)):
        return False
    if model is None:
        return True
    try:
        return read_entry(place.path).identity.model == model
    except BrokenEntryError:
        return _may_be_of(place, model)


def _may_be_of(place: Place, model: str) -> bool:
    """Say whether an engine whose sidecar cannot be read may be one of a model."""
    return place.label in {label_of(model, precision.value) for precision in Precision}


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"
