"""A fake of ``pycuda.driver``: its names, and the rules of ``src/cpp/cuda.hpp`` in 2025.1.2."""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Any

import numpy as np
import simulated_gpu
from simulated_gpu import MACHINE, POISON, CudaError

simulated_gpu.install()


class Error(Exception):
    pass


class MemoryError(Error):  # noqa: A001
    pass


class LogicError(Error):
    pass


class LaunchError(Error):
    pass


class RuntimeError(Error):  # noqa: A001
    pass


def _translated(error: CudaError) -> Error:
    kind = {2: MemoryError, 719: LaunchError, 100: RuntimeError}.get(error.code, LogicError)
    return kind(str(error))


def _guarded(function: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except CudaError as error:
            translated = _translated(error)
        # Outside: the real one is C++, its errors keep no frames and thus no arguments alive.
        try:
            raise translated
        finally:
            del translated  # which else would keep itself alive through this frame

    return call


class event_flags(IntEnum):  # noqa: N801
    DEFAULT = 0
    BLOCKING_SYNC = 1
    DISABLE_TIMING = 2


class device_attribute(IntEnum):  # noqa: N801
    INTEGRATED = 18
    CAN_MAP_HOST_MEMORY = 19


class host_alloc_flags:  # noqa: N801
    PORTABLE = 1
    DEVICEMAP = 2


_stacks = threading.local()


def _stack() -> list[Context]:
    if not hasattr(_stacks, "contexts"):
        _stacks.contexts = []
    return _stacks.contexts


def _active() -> Context | None:
    stack = _stack()
    while stack and not stack[-1].valid:
        stack.pop()
    return stack[-1] if stack else None


@_guarded
def init(flags: int = 0) -> None:
    if MACHINE.init_status or MACHINE.refuses("cuInit"):
        raise CudaError(MACHINE.init_status or 1, "cuInit")


class Device:
    @_guarded
    def __init__(self, ordinal: int) -> None:
        if not 0 <= ordinal < MACHINE.device_count or MACHINE.refuses("cuDeviceGet"):
            raise CudaError(1, "cuDeviceGet")

    def name(self) -> str:
        return MACHINE.name

    def compute_capability(self) -> tuple[int, int]:
        return MACHINE.compute_capability

    def get_attribute(self, attribute: device_attribute) -> int:
        return int(MACHINE.integrated or attribute is device_attribute.CAN_MAP_HOST_MEMORY)

    @_guarded
    def retain_primary_context(self) -> Context:
        if MACHINE.refuses("cuDevicePrimaryCtxRetain"):
            raise CudaError(2, "cuDevicePrimaryCtxRetain")
        MACHINE.primary.retained += 1
        return Context(MACHINE.primary)


class Context:
    """Floating but for the top one: pushing and popping swap what lies on CUDA's own stack."""

    def __init__(self, raw: simulated_gpu.Context) -> None:
        self.raw = raw
        self.valid = True
        self.thread = threading.get_ident()

    @_guarded
    def push(self) -> None:
        MACHINE.check("cuCtxPushCurrent")
        if MACHINE.refuses("cuCtxPushCurrent"):
            raise CudaError(201, "cuCtxPushCurrent")
        if _stack():
            MACHINE.stack.pop()
        MACHINE.stack.append(self.raw)
        _stack().append(self)

    @staticmethod
    @_guarded
    def pop() -> None:
        MACHINE.check("cuCtxPopCurrent")
        if not _stack():
            raise CudaError(201, "context::pop")
        MACHINE.stack.pop()
        _stack().pop()
        below = _active()
        if below is not None:
            MACHINE.stack.append(below.raw)

    @_guarded
    def detach(self) -> None:
        if not self.valid:
            raise CudaError(201, "context::detach")
        active = _active() is self
        if not active:
            if self.thread != threading.get_ident():
                self.valid = False
                return
            MACHINE.stack.append(self.raw)
        # cuDevicePrimaryCtxRelease pops nothing, though pycuda's comment says so.
        MACHINE.release_primary()
        self.valid = False
        if active:
            below = _active()
            if below is not None:
                MACHINE.stack.append(below.raw)

    def __del__(self) -> None:
        if self.valid:
            MACHINE.complaints.append("a context was dropped without detach()")
            self.detach()


class _InContext:
    """What belongs to the context that is current when it is made."""

    def __init__(self) -> None:
        self._context: Context | None = _active()
        if self._context is None:
            raise LogicError("explicit_context_dependent failed: no currently active context?")

    def _reachable(self, what: str) -> bool:
        """Say whether it can be given back; pycuda passes over it in silence if not."""
        context = self._context
        assert context is not None
        reachable = context.valid and context.thread == threading.get_ident()
        if not reachable:
            MACHINE.complaints.append(f"{what} outlived its context")
        return reachable


class Stream(_InContext):
    @_guarded
    def __init__(self, flags: int = 0) -> None:
        self.handle = 0
        super().__init__()
        context = MACHINE.current("cuStreamCreate")
        if MACHINE.refuses("cuStreamCreate"):
            raise CudaError(1, "cuStreamCreate")
        self.handle = MACHINE.handle()
        MACHINE.streams[self.handle] = simulated_gpu.Stream(self.handle, context)

    @_guarded
    def synchronize(self) -> None:
        MACHINE.stream(self.handle, "cuStreamSynchronize").flush()

    @_guarded
    def wait_for_event(self, event: Event) -> None:
        waiting = MACHINE.stream(self.handle, "cuStreamWaitEvent")
        if MACHINE.refuses("cuStreamWaitEvent"):
            raise CudaError(1, "cuStreamWaitEvent")
        stream, mark = event._stream, event._mark
        if waiting.recording is not None or event._captured:
            # Recordings of more than one stream are not simulated.
            waiting.spoilt = True
            raise CudaError(907 if event._captured else 905, "cuStreamWaitEvent")
        if stream is not None:
            waiting.put(lambda: stream.flush(mark))

    def __del__(self) -> None:
        if self.handle and self._reachable("a stream"):
            del MACHINE.streams[self.handle]


class Event(_InContext):
    @_guarded
    def __init__(self, flags: int = 0) -> None:
        self._made = False
        self._flags = flags
        super().__init__()
        MACHINE.current("cuEventCreate")
        if MACHINE.refuses("cuEventCreate"):
            raise CudaError(1, "cuEventCreate")
        self._made = True
        self._stream: simulated_gpu.Stream | None = None
        self._mark: Any = None
        self._captured = False
        MACHINE.events += 1

    @_guarded
    def record(self, stream: Stream | None = None) -> Event:
        self._stream = MACHINE.stream(0 if stream is None else stream.handle, "cuEventRecord")
        self._captured = self._stream.recording is not None
        self._mark = self._stream.mark()
        return self

    @_guarded
    def synchronize(self) -> Event:
        MACHINE.check("cuEventSynchronize")
        if MACHINE.refuses("cuEventSynchronize"):
            raise CudaError(719, "cuEventSynchronize")
        if self._captured:
            raise CudaError(907, "cuEventSynchronize")
        MACHINE.blocking_waits.add(bool(self._flags & event_flags.BLOCKING_SYNC))
        if self._stream is not None:
            self._stream.flush(self._mark)
        return self

    def time_till(self, end: Event) -> float:
        """Return a time in ms, as an event that was recorded without timing could not."""
        if (self._flags | end._flags) & event_flags.DISABLE_TIMING:
            raise LogicError("cuEventElapsedTime failed: invalid resource handle")
        return 0.125

    def __del__(self) -> None:
        if self._made and self._reachable("an event"):
            MACHINE.events -= 1


class _Allocation(_InContext):
    def __init__(self, size: int, kind: str, where: str) -> None:
        self._block: simulated_gpu.Block | None = None
        super().__init__()
        self._block = MACHINE.allocate(size, kind, where)

    @_guarded
    def free(self) -> None:
        if self._block is None:
            raise CudaError(400, "free")
        block, self._block = self._block, None
        if self._reachable(f"{block.kind} memory"):
            del MACHINE.blocks[block.address]
            block.data[:] = POISON

    def _address(self) -> int:
        if self._block is None:
            raise CudaError(400, "address of freed memory")
        return self._block.address

    def __del__(self) -> None:
        if self._block is not None:
            self.free()


class DeviceAllocation(_Allocation):
    @_guarded
    def __init__(self, size: int) -> None:
        super().__init__(size, "device", "cuMemAlloc")

    def __int__(self) -> int:
        return self._address()

    __index__ = __int__


class PagelockedHostAllocation(_Allocation):
    @_guarded
    def __init__(self, size: int, flags: int) -> None:
        self._mapped = bool(flags & host_alloc_flags.DEVICEMAP)
        super().__init__(size, "host", "cuMemHostAlloc")
        assert self._block is not None
        self._data = self._block.data  # a view that is used after free() finds rubbish, no crash

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._data.__array_interface__

    @_guarded
    def get_device_pointer(self) -> int:
        if not self._mapped:
            raise CudaError(1, "cuMemHostGetDevicePointer")
        return self._address()


def mem_alloc(size: int) -> DeviceAllocation:
    return DeviceAllocation(size)


def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.asarray(PagelockedHostAllocation(size, mem_flags))
    return array.view(dtype).reshape(shape) if np.dtype(dtype) != np.uint8 else array


@_guarded
def mem_get_info() -> tuple[int, int]:
    MACHINE.current("cuMemGetInfo")
    return MACHINE.total_memory - MACHINE.used_memory, MACHINE.total_memory


def _flat(array: np.ndarray) -> np.ndarray:
    if not array.flags.c_contiguous:
        raise ValueError("ndarray is not contiguous")
    return array.reshape(-1).view(np.uint8)


@_guarded
def memcpy_htod_async(dest: Any, src: np.ndarray, stream: Stream) -> None:
    """Read ``src`` when the stream gets there, not now."""
    queue, address, source = (
        MACHINE.stream(stream.handle, "cuMemcpyHtoDAsync"),
        int(dest),
        _flat(src),
    )
    if MACHINE.refuses("cuMemcpyHtoDAsync"):
        raise CudaError(1, "cuMemcpyHtoDAsync")
    MACHINE.require_page_locked(source.ctypes.data, source.nbytes)

    def copy() -> None:
        MACHINE.bytes_at(address, source.nbytes, "cuMemcpyHtoDAsync")[:] = source

    queue.put(copy)


@_guarded
def memcpy_dtoh_async(dest: np.ndarray, src: Any, stream: Stream) -> None:
    """Leave rubbish in ``dest`` until the stream gets there."""
    queue, address, target = (
        MACHINE.stream(stream.handle, "cuMemcpyDtoHAsync"),
        int(src),
        _flat(dest),
    )
    if MACHINE.refuses("cuMemcpyDtoHAsync"):
        raise CudaError(1, "cuMemcpyDtoHAsync")
    MACHINE.require_page_locked(target.ctypes.data, target.nbytes)
    target[:] = POISON

    def copy() -> None:
        target[:] = MACHINE.bytes_at(address, target.nbytes, "cuMemcpyDtoHAsync")

    queue.put(copy)
