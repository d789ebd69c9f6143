"""Outputs of which the CPU gets only what may become a detection."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import Postprocessing
from jetson_detect.core.backends.tensorrt.binding import Binding
from jetson_detect.core.backends.tensorrt.gpu import MemoryMode
from jetson_detect.core.backends.tensorrt.profiles import as_text
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.backends.tensorrt.sieve_kernel import (
    ELEMENT_TYPES,
    MOST_TABLES,
    SieveTable,
    SieveTask,
)

if TYPE_CHECKING:
    from jetson_detect.core.backends.tensorrt.cuda_graph import CudaGraph
    from jetson_detect.core.backends.tensorrt.frame_slot import FrameSlot
    from jetson_detect.core.heads.sieve import Sieve

CAPACITY = 512
"""Candidates of a picture that the GPU hands over one by one; of more all outputs are copied.

It writes each of their numbers into the CPU's memory by itself, which a copy of everything soon
outruns.
"""
_REST = 64
"""Inferences whose outputs are copied at once after there were more candidates than that."""

_UINT32, _FLOAT32 = np.dtype(np.uint32), np.dtype(np.float32)


def reason_for_cpu(
    postprocessing: Postprocessing, sieve: Sieve, outputs: Mapping[str, Binding]
) -> str | None:
    """Say why candidates cannot be told apart on the GPU; None if they can.

    Parameters
    ----------
    postprocessing:
        What the options say.
    sieve:
        What tells them, by the outputs' names.
    outputs:
        Those whose shape is known, but perhaps for the number of pictures.

    """
    if postprocessing is Postprocessing.CPU:
        return "tensorrt.postprocessing"
    if len(sieve.outputs) > MOST_TABLES:
        return f"{len(sieve.outputs)} outputs; the GPU reads {MOST_TABLES}"
    counts = set()
    for name, columns in _columns_of(sieve).items():
        binding = outputs.get(name)
        if binding is None:
            return f"the shape of output '{name}' is not known before"
        storage = binding.tensor.storage
        if storage.converted or storage.stored not in ELEMENT_TYPES:
            kind = "bfloat16" if storage.converted else storage.stored
            return f"output '{name}' is {kind}; the GPU reads float and half"
        shape = binding.stored.shape
        if len(shape) != 3 or columns not in shape[1:]:
            return f"output '{name}' is {as_text(shape)}, not {columns} numbers for each candidate"
        counts.add(_candidates_of(shape, columns))
    return None if len(counts) == 1 else "the outputs have candidates of their own"


class OutputSieve:
    """Hands candidates over.

    What queues or takes memory needs the GPU's context to be current.

    The host's side of an output then holds what passed, where it always is; the rest of it is what
    was there before.
    """

    def __init__(
        self, session: Session, sieve: Sieve, copy_all: Callable[[FrameSlot], None]
    ) -> None:
        """Prepare; :func:`reason_for_cpu` must be None.

        Parameters
        ----------
        session:
            Whose GPU it is.
        sieve:
            What tells candidates, by the outputs' names.
        copy_all:
            Brings the outputs of a slot's last inference to the host after all, and waits.

        """
        self.sieve = sieve
        """What tells candidates."""
        self._session = session
        self._copy_all = copy_all
        self._limit = -math.inf
        """Of the next inference; it holds for that one only."""
        self._rest = 0
        self._slots: dict[FrameSlot, _SlotSieve] = {}
        self._finished: FrameSlot | None = None

    def aim(self, limit: float) -> None:
        """Leave aside candidates of the next inference; see :class:`CandidateSieve`."""
        self._limit = limit

    def candidates(self, limit: float) -> list[NDArray[np.intp]] | None:
        """Return those of the inference that was finished last; see :class:`CandidateSieve`."""
        slot = self._finished
        if slot is None or slot.sifted is None:
            return None
        used, pictures = slot.sifted
        slot_sieve = self._slots[slot]
        counts: list[list[int]] = slot_sieve.counts[:pictures].tolist()
        too_many = any(count > CAPACITY for count, _ in counts)
        if too_many:
            self._rest = _REST
        # Numbers that are not finite are told by whoever sees them all.
        if too_many or limit < used or any(odd for _, odd in counts):
            self._copy_all(slot)
            return None
        found = slot_sieve.found
        return [
            np.sort(found[picture, :count]).astype(np.intp)
            for picture, (count, _) in enumerate(counts)
        ]

    def finish(self, slot: FrameSlot) -> None:
        """Take note of the slot whose inference is finished."""
        self._finished = slot

    def give_up(self) -> None:
        """Know nothing of any inference from now on: all outputs are copied."""
        self._finished = None

    def next_limit(self) -> float | None:
        """Return the limit of the inference that is begun now; None where all is to be copied."""
        limit, self._limit = self._limit, -math.inf
        if self._rest:
            self._rest -= 1
            return None
        return limit if limit > -math.inf else None

    def prepare(self, slot: FrameSlot, *, record: bool) -> None:
        """Take memory for a slot whose shapes are known, and record what is queued in it.

        Raises
        ------
        BackendError, CudaDriverError
            If memory is used up, or it cannot be recorded.

        """
        slot_sieve = _SlotSieve(self._session, self.sieve, slot)
        pictures = len(slot_sieve.counts)
        # The first launch may load code, which cannot be recorded.
        slot_sieve.limit[0] = math.inf
        slot_sieve.queue(pictures)
        slot.lane.end()
        slot.lane.wait()
        if record:
            slot_sieve.graph = slot.lane.record(lambda: slot_sieve.queue(pictures))
        self._slots[slot] = slot_sieve

    def queue(self, slot: FrameSlot, pictures: int, limit: float) -> None:
        """Queue the look at a slot's outputs, after the inference that makes them.

        Raises
        ------
        CudaDriverError
            If the driver refuses.

        """
        slot_sieve = self._slots[slot]
        slot_sieve.limit[0] = limit
        slot.sifted = (limit, pictures)
        if slot_sieve.graph is not None:
            slot_sieve.graph.launch()
        else:
            slot_sieve.queue(pictures)


class _SlotSieve:
    """What one slot has of its own."""

    def __init__(self, session: Session, sieve: Sieve, slot: FrameSlot) -> None:
        """Take memory for the largest batch."""
        self._session, self._lane = session, slot.lane
        bindings = {name: slot.outputs[name] for name in _columns_of(sieve)}
        batch = len(bindings[sieve.scores].stored)
        # Many threads count at once: in memory of the GPU's own.
        self._counts = session.memory("counts of candidates", MemoryMode.PINNED)
        self._found = session.memory("candidates", MemoryMode.ZERO_COPY)
        self._limit = session.memory("limit of candidates", MemoryMode.ZERO_COPY)
        for memory, numbers in (
            (self._counts, 2 * batch),
            (self._found, batch * CAPACITY),
            (self._limit, 1),
        ):
            memory.reserve(numbers * _UINT32.itemsize)
        self.counts = self._counts.array((batch, 2), _UINT32)
        """(pictures, 2): candidates that passed, and numbers that are not finite."""
        self.found = self._found.array((batch, CAPACITY), _UINT32)
        """(pictures, capacity): which candidates passed, in any order."""
        self.limit = self._limit.array((1,), _FLOAT32)
        self.graph: CudaGraph | None = None
        columns = _columns_of(sieve)
        self._task = SieveTask(
            limit=self._limit.address,
            counts=self._counts.address,
            found=self._found.address,
            table_count=len(columns),
            candidate_count=_candidates_of(
                bindings[sieve.scores].stored.shape, columns[sieve.scores]
            ),
            capacity=CAPACITY,
            first=sieve.first,
            compared=sieve.compared,
            subtracted=-1 if sieve.subtracted is None else sieve.subtracted,
        )
        zero_copy = session.gpu.memory_mode is MemoryMode.ZERO_COPY
        for number, (name, width) in enumerate(columns.items()):
            memory, stored = bindings[name].memory, bindings[name].stored
            rows = stored.shape[2] == width
            self._task.tables[number] = SieveTable(
                source=memory.address,
                target=None if zero_copy else memory.mapped_address,
                picture_step=stored[0].size,
                candidate_step=width if rows else 1,
                column_step=1 if rows else stored.shape[2],
                columns=width,
                element_type=ELEMENT_TYPES[stored.dtype],
            )

    def queue(self, pictures: int) -> None:
        """Queue the look at so many pictures' outputs."""
        lane = self._lane
        self._session.library.driver.call(
            "cuMemsetD32Async",
            ctypes.c_void_p(self._counts.address),
            ctypes.c_uint(0),
            ctypes.c_size_t(self.counts.size),
            lane.handle,
        )
        self._session.sieve.find(self._task, pictures, lane.handle)
        self._counts.to_host(self.counts, lane.stream)


def _columns_of(sieve: Sieve) -> dict[str, int]:
    """Return the numbers of a candidate by the output's name, the scores first."""
    return {sieve.scores: sieve.columns, **sieve.others}


def _candidates_of(shape: tuple[int, ...], columns: int) -> int:
    """Return how many there are in (batch, N, columns) or (batch, columns, N)."""
    return shape[1] if shape[2] == columns else shape[2]
