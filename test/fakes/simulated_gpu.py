"""The machine behind the fakes: contexts, memory, streams and graphs, with CUDA's rules."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fake_plan import COMPUTE_CAPABILITY, GPU

POISON = 0xFF  # as float16 and float32: NaN
PLUGINS = b"fake plugins"
"""The content of a plugin library that leaves it to TensorRT to register its plugins."""

NAMES = {
    1: ("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
    2: ("CUDA_ERROR_OUT_OF_MEMORY", "out of memory"),
    35: ("CUDA_ERROR_INSUFFICIENT_DRIVER", "CUDA driver version is insufficient"),
    100: ("CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"),
    209: ("CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution"),
    218: ("CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"),
    500: ("CUDA_ERROR_NOT_FOUND", "named symbol not found"),
    712: ("CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "memory is already mapped"),
    713: ("CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "memory was not registered"),
    201: ("CUDA_ERROR_INVALID_CONTEXT", "invalid device context"),
    400: ("CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"),
    700: ("CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    719: ("CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    900: (
        "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        "operation not permitted when stream is capturing",
    ),
    901: ("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error"),
    905: ("CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work"),
    907: ("CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in one"),
}


class CudaError(Exception):
    """A call that CUDA refuses; pycuda's fake makes its own exceptions of it."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"{where} failed: {NAMES[code][1]}")
        self.code = code


class Context:
    """A device's primary context."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.retained = 0


class Block:
    """A piece of memory that the GPU can address."""

    def __init__(self, address: int, data: np.ndarray, kind: str) -> None:
        self.address = address
        self.data = data
        self.kind = kind


class Stream:
    """Work in order, done only when somebody waits for it."""

    def __init__(self, handle: int, context: Context) -> None:
        self.handle = handle
        self.context = context
        self.queue: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.spoilt = False

    def put(self, work: Callable[[], None]) -> None:
        (self.queue if self.recording is None else self.recording).append(work)

    def mark(self) -> Callable[[], None]:
        """Put a mark on the stream, to flush it until there."""

        def marked() -> None:
            pass

        self.put(marked)
        return marked

    def flush(self, until: Callable[[], None] | None = None) -> None:
        """Do what was queued; up to a mark if one is given, which may have been passed."""
        if self.recording is not None:
            self.spoilt = True
            raise CudaError(900, "cuStreamSynchronize")
        if until is not None and until not in self.queue:
            return
        while self.queue:
            step = self.queue.pop(0)
            step()
            if step is until:
                break


class Inference:
    """One of a context's inferences, which must not overtake each other."""

    def __init__(self, machine: Machine, order: list[object], work: Callable[[], None]) -> None:
        self._machine, self._order, self._work = machine, order, work

    def launched(self) -> Callable[[], None]:
        """Return what is put on a stream when this is launched."""
        ticket = object()
        self._order.append(ticket)

        def infer() -> None:
            if self._order[0] is not ticket:
                self._machine.complaints.append("two inferences of one context at once")
            self._order.remove(ticket)
            self._work()

        return infer

    def __call__(self) -> None:
        raise AssertionError("put launched() on a stream")


class Machine:
    """One GPU, and what a test may ask of it and do to it."""

    def __init__(self) -> None:
        self.name = GPU
        self.compute_capability = COMPUTE_CAPABILITY
        self.device_count = 1
        self.integrated = os.environ.get("FAKE_GPU_INTEGRATED") == "1"
        self.total_memory = 8 << 30
        self.init_status = 0
        self.records_graphs = True
        self.tells_shapes = True
        """Whether TensorRT tells shapes that depend on the data."""
        self.fail_call: int | None = None
        """The number of the call that fails, of those that can."""
        self.calls: list[str] = []
        self.complaints: list[str] = []
        """What the real libraries would have crashed on or printed while cleaning up."""
        self.objects: list[str] = []
        """TensorRT's objects that are alive."""
        self.plugin_libraries: list[str] = []
        """Those that TensorRT registered."""
        self.executions = 0
        self.reserved = 0
        """GPU memory that TensorRT took."""
        self.blocks: dict[int, Block] = {}
        self.streams: dict[int, Stream] = {}
        self.events = 0
        self.blocking_waits: set[bool] = set()
        """Whether threads slept while they waited for events."""
        self.graphs: dict[int, Any] = {}
        self.modules: dict[int, str] = {}
        """The names of the kernels that are loaded."""
        self.compiles_kernels = True
        """Whether the driver can make the project's kernels run."""
        self.uploads: list[int] = []
        """Bytes of each copy to the GPU that was queued through the driver."""
        self.launches: Counter[str] = Counter()
        """Kernels that ran."""
        self.broken = False
        self.primary = Context(0x1000)
        self.threads = threading.local()
        self._addresses = itertools.count(0x7F0000000000, 1 << 32)
        self._handles = itertools.count(0x5000, 0x10)

    # What a test asks

    def leaks(self) -> list[str]:
        """Say what is not as it was before anything was made."""
        leaks = [f"{block.kind} memory" for block in self.blocks.values()]
        leaks += [f"stream {handle:#x}" for handle in self.streams]
        leaks += ["event"] * self.events + ["graph"] * len(self.graphs)
        leaks += ["module"] * len(self.modules)
        leaks += ["primary context"] * self.primary.retained
        leaks += ["context on the stack"] * len(self.stack)
        leaks += self.objects + self.complaints
        return leaks + ([f"{self.reserved} bytes of TensorRT's"] if self.reserved else [])

    def faults(self) -> dict[str, Any]:
        """Read what is to go wrong now."""
        path = os.environ.get("FAKE_TENSORRT_FAULTS")
        try:
            return json.loads(Path(path).read_text() or "{}") if path else {}
        except (FileNotFoundError, json.JSONDecodeError):  # absent, or being written
            return {}

    # What the fakes ask

    def refuses(self, call: str) -> bool:
        """Count a call that may fail; say whether this is the one that has to."""
        self.calls.append(call)
        return len(self.calls) - 1 == self.fail_call

    def handle(self) -> int:
        return next(self._handles)

    @property
    def stack(self) -> list[Context]:
        """CUDA's own context stack of this thread."""
        if not hasattr(self.threads, "stack"):
            self.threads.stack = []
        return self.threads.stack

    def current(self, where: str) -> Context:
        """Return the current context; an error if there is none that lives."""
        self.check(where)
        if not self.stack or not self.stack[-1].retained:
            raise CudaError(201, where)
        return self.stack[-1]

    def check(self, where: str) -> None:
        """A GPU that has failed answers every call with its error."""
        if self.broken:
            raise CudaError(719, where)

    def release_primary(self) -> None:
        self.primary.retained -= 1
        if self.primary.retained:
            return
        self.primary = Context(self.handle())
        if self.broken:
            # The driver takes everything with the context.  With a healthy GPU it does so too, but
            # then it is a leak that leaks() shall tell.
            for belongings in (self.blocks, self.streams, self.graphs, self.modules):
                belongings.clear()
            self.events, self.broken = 0, False

    def stream(self, handle: int, where: str) -> Stream:
        context = self.current(where)
        stream = self.streams.get(handle)
        if stream is None or stream.context is not context:
            raise CudaError(400, where)
        return stream

    @property
    def used_memory(self) -> int:
        return self.reserved + sum(
            block.data.nbytes for block in self.blocks.values() if block.kind == "device"
        )

    def allocate(self, size: int, kind: str, where: str) -> Block:
        self.current(where)
        for stream in self.streams.values():
            if stream.recording is not None:
                stream.spoilt = True
                raise CudaError(900, where)
        if size <= 0:
            raise CudaError(1, where)
        if kind == "device" and self.used_memory + size > self.total_memory:
            raise CudaError(2, where)
        if self.refuses(where):
            raise CudaError(2, where)
        data = np.full(size, POISON, np.uint8)
        block = Block(next(self._addresses), data, kind)
        self.blocks[block.address] = block
        return block

    def bytes_at(self, address: int, size: int, where: str) -> np.ndarray:
        """Return the memory at an address; the GPU fails for good if it is none."""
        for block in self.blocks.values():
            start = address - block.address
            if start >= 0 and start + size <= block.data.nbytes:
                return block.data[start : start + size]
        self.broken = True
        raise CudaError(700, where)

    def require_page_locked(self, address: int, size: int) -> None:
        """Complain of an asynchronous copy from or to memory of the CPU's that may move."""
        if not self._is_page_locked(address, size):
            self.complaints.append("an asynchronous copy from memory that may move")

    def _is_page_locked(self, address: int, size: int) -> bool:
        return any(
            block.kind != "device"
            and 0 <= address - block.data.ctypes.data <= block.data.nbytes - size
            for block in self.blocks.values()
        )

    def register(self, address: int, size: int) -> None:
        """Page-lock memory that somebody else allocated."""
        self.current("cuMemHostRegister")
        for block in self.blocks.values():
            start = block.data.ctypes.data
            locked = block.kind != "device"
            if locked and start < address + size and address < start + block.data.nbytes:
                raise CudaError(712, "cuMemHostRegister")
        data = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        block = Block(next(self._addresses), data, "registered")
        self.blocks[block.address] = block

    def registered_at(self, address: int) -> Block | None:
        """Return what was registered at an address of the CPU's."""
        return next(
            (
                block
                for block in self.blocks.values()
                if block.kind == "registered" and block.data.ctypes.data == address
            ),
            None,
        )

    def count_execution(self) -> dict[str, Any]:
        """Count an inference and return what goes wrong with it."""
        self.executions += 1
        number = self.executions
        while number >= self.faults().get("hang_at", number + 1):
            time.sleep(0.01)
        return {
            name.removesuffix("_at"): True
            for name, first in self.faults().items()
            if name.endswith("_at") and number >= first
        }


class DriverLibrary:
    """What ``ctypes.CDLL("libcuda.so.1")`` answers."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def cuInit(self, flags: Any) -> int:  # noqa: N802
        return self._machine.init_status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._machine.device_count
        return 0

    def cuDeviceGet(self, device: Any, ordinal: Any) -> int:  # noqa: N802
        device._obj.value = ordinal.value
        return 0 if 0 <= ordinal.value < self._machine.device_count else 101

    def cuDeviceGetName(self, name: Any, size: Any, device: Any) -> int:  # noqa: N802
        name.value = self._machine.name.encode()[: size.value - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: Any, device: Any) -> int:  # noqa: N802
        major, minor = self._machine.compute_capability
        known = {75: major, 76: minor}
        if attribute.value not in known:
            return 1
        value._obj.value = known[attribute.value]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 12060
        return 0

    def cuGetErrorName(self, code: Any, text: Any) -> int:  # noqa: N802
        return self._text(0, code, text)

    def cuGetErrorString(self, code: Any, text: Any) -> int:  # noqa: N802
        return self._text(1, code, text)

    @staticmethod
    def _text(part: int, code: Any, text: Any) -> int:
        if code.value not in NAMES:
            return 1
        text._obj.value = NAMES[code.value][part].encode()
        return 0

    def cuCtxGetCurrent(self, handle: Any) -> int:  # noqa: N802
        stack = self._machine.stack
        handle._obj.value = stack[-1].handle if stack else None
        return 0

    def cuCtxPopCurrent_v2(self, handle: Any) -> int:  # noqa: N802
        if not self._machine.stack:
            return 201
        handle._obj.value = self._machine.stack.pop().handle
        return 0

    def cuStreamBeginCapture_v2(self, handle: Any, mode: Any) -> int:  # noqa: N802
        stream, status = self._stream(handle, "cuStreamBeginCapture")
        if status or stream.recording is not None or self._machine.refuses("cuStreamBeginCapture"):
            return status or 1
        if stream.queue:
            self._machine.complaints.append("recording began with work in the stream")
        stream.recording, stream.spoilt = [], False
        return 0

    def cuStreamEndCapture(self, handle: Any, graph: Any) -> int:  # noqa: N802
        stream, status = self._stream(handle, "cuStreamEndCapture")
        if status or stream.recording is None:
            return status or 1
        work, stream.recording = stream.recording, None
        if stream.spoilt or self._machine.refuses("cuStreamEndCapture"):
            graph._obj.value = None
            return 901
        graph._obj.value = self._keep(work)
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: Any) -> int:  # noqa: N802
        if self._machine.refuses("cuGraphInstantiate"):
            return 1
        executable._obj.value = self._keep(self._machine.graphs[graph.value])
        return 0

    def cuGraphLaunch(self, executable: Any, handle: Any) -> int:  # noqa: N802
        stream, status = self._stream(handle, "cuGraphLaunch")
        if status or self._machine.refuses("cuGraphLaunch"):
            return status or 1
        faults = self._machine.count_execution()
        if faults.get("break"):
            self._machine.broken = True
        if faults.get("fail") or self._machine.broken:
            return 719
        for work in self._machine.graphs[executable.value]:
            stream.put(work.launched() if isinstance(work, Inference) else work)
        return 0

    def cuGraphDestroy(self, graph: Any) -> int:  # noqa: N802
        return 0 if self._machine.graphs.pop(graph.value, None) is not None else 400

    cuGraphExecDestroy = cuGraphDestroy  # noqa: N815

    def cuModuleLoadData(self, module: Any, image: Any) -> int:  # noqa: N802
        if self._machine.refuses("cuModuleLoadData") or b".visible .entry" not in image.value:
            return 218
        if not self._machine.compiles_kernels or compiled_kernels().COMPILER is None:
            return 209
        module._obj.value = self._machine.handle()
        (entry,) = re.findall(rb"\.visible \.entry (\w+)\(", image.value)
        self._machine.modules[module._obj.value] = entry.decode()
        return 0

    def cuModuleGetFunction(self, function: Any, module: Any, name: Any) -> int:  # noqa: N802
        entry = self._machine.modules.get(module.value)
        if entry is None:
            return 400
        if name.value.decode() != entry or self._machine.refuses("cuModuleGetFunction"):
            return 500
        function._obj.value = module.value
        return 0

    def cuModuleUnload(self, module: Any) -> int:  # noqa: N802
        self._machine.modules.pop(module.value, None)
        return 0

    def cuLaunchKernel(self, function: Any, *launch: Any) -> int:  # noqa: N802
        """Run one of the project's kernels, compiled for the CPU, when the stream gets there."""
        grid, block, handle, parameters = launch[:3], launch[3:6], launch[7], launch[8]
        stream, status = self._stream(handle, "cuLaunchKernel")
        if status or function.value not in self._machine.modules:
            return status or 400
        if self._machine.refuses("cuLaunchKernel"):
            return 719
        name = self._machine.modules[function.value]
        covered = [count * size for count, size in zip(grid, block)]
        prepare = {"letterbox": prepare_letterbox, "sieve": prepare_sieve}[name]
        work = prepare(parameters[0], covered, self._machine)

        def run() -> None:
            self._machine.launches[name] += 1
            work()

        stream.put(run)
        return 0

    def cuMemsetD32Async(  # noqa: N802
        self, target: Any, value: Any, count: Any, handle: Any
    ) -> int:
        stream, status = self._stream(handle, "cuMemsetD32Async")
        if status or self._machine.refuses("cuMemsetD32Async"):
            return status or 1

        def fill() -> None:
            there = self._machine.bytes_at(target.value, 4 * count.value, "cuMemsetD32Async")
            there.view(np.uint32)[...] = value.value

        stream.put(fill)
        return 0

    def cuMemcpyHtoDAsync_v2(  # noqa: N802
        self, target: Any, source: Any, size: Any, handle: Any
    ) -> int:
        stream, status = self._stream(handle, "cuMemcpyHtoDAsync")
        if status or self._machine.refuses("cuMemcpyHtoDAsync"):
            return status or 1
        self._machine.require_page_locked(source.value, size.value)
        self._machine.uploads.append(size.value)

        def copy() -> None:
            there = self._machine.bytes_at(target.value, size.value, "cuMemcpyHtoDAsync")
            ctypes.memmove(there.ctypes.data, source.value, size.value)

        stream.put(copy)
        return 0

    def cuMemHostRegister_v2(self, address: Any, size: Any, flags: Any) -> int:  # noqa: N802
        if self._machine.refuses("cuMemHostRegister"):
            return 1
        try:
            self._machine.register(address.value, size.value)
        except CudaError as error:
            return error.code
        return 0

    def cuMemHostGetDevicePointer_v2(  # noqa: N802
        self, pointer: Any, address: Any, flags: Any
    ) -> int:
        block = self._machine.registered_at(address.value)
        if block is None or self._machine.refuses("cuMemHostGetDevicePointer"):
            return 1
        pointer._obj.value = block.address
        return 0

    def cuMemHostUnregister(self, address: Any) -> int:  # noqa: N802
        block = self._machine.registered_at(address.value)
        if block is None:
            return 713
        del self._machine.blocks[block.address]
        return 0

    def _keep(self, work: list[Callable[[], None]]) -> int:
        handle = self._machine.handle()
        self._machine.graphs[handle] = work
        return handle

    def _stream(self, handle: Any, where: str) -> tuple[Any, int]:
        try:
            return self._machine.stream(handle.value, where), 0
        except CudaError as error:
            return None, error.code


def compiled_kernels() -> Any:
    """Import what compiles the kernels; where it lies is on no path in child processes."""
    return import_module("fixtures.compiled_kernels")


def prepare_sieve(address: int, covered: list[int], machine: Machine) -> Callable[[], None]:
    """Take the argument of the sieve kernel, and return what runs it."""
    from jetson_detect.core.backends.tensorrt.sieve_kernel import SieveTask

    queued = SieveTask.from_buffer_copy(SieveTask.from_address(address))
    pictures = covered[1]
    if covered[0] < queued.candidate_count:
        machine.complaints.append("the sieve kernel does not cover the candidates")

    def run() -> None:
        task = SieveTask.from_buffer_copy(queued)

        def find(holder: Any, field: str, size: int) -> None:
            memory = machine.bytes_at(getattr(holder, field), size, f"sieve: {field}")
            setattr(holder, field, memory.ctypes.data)

        find(task, "limit", 4)
        find(task, "counts", 8 * pictures)
        find(task, "found", 4 * task.capacity * pictures)
        for table in task.tables[: task.table_count]:
            size = (4, 2)[table.element_type] * pictures * table.columns * task.candidate_count
            find(table, "source", size)
            if table.target:
                find(table, "target", size)
        compiled_kernels().load("sieve").run_sieve(ctypes.byref(task), pictures)

    return run


def prepare_letterbox(address: int, covered: list[int], machine: Machine) -> Callable[[], None]:
    """Take the argument of the letterbox kernel, and return what runs it."""
    from jetson_detect.core.backends.tensorrt.letterbox_kernel import LetterboxTask

    task = LetterboxTask.from_buffer_copy(LetterboxTask.from_address(address))
    if covered[0] < task.width or covered[1] < task.height:
        machine.complaints.append("the letterbox kernel does not cover its tensor")
    return lambda: run_letterbox(task, machine)


def run_letterbox(task: Any, machine: Machine) -> None:
    """Run the letterbox kernel with the addresses of the simulated machine."""
    from jetson_detect.core.backends.tensorrt.source_format import SourceFormat

    table = machine.bytes_at(task.rows, 4 * task.content_height, "letterbox: rows").view(np.uint32)
    rows = int(((table >> 12) + ((table & 4095) > 0)).max()) + 1
    source = SourceFormat(task.source_format)
    if source.pixel_format.has_planes:  # the colours are behind all of the brightness
        rows = min(rows + rows % 2, task.source_height)
        rows = task.source_height + source.rows_of_bytes(rows) - rows
    row_bytes = task.source_width * source.pixel_bytes
    values = task.width * task.height * (1 if task.color_order == 2 else 3)
    sizes = {
        "source": task.source_step * (rows - 1) + row_bytes,
        "tensor": values * (4, 2, 2, 1, 1)[task.element_type],
        "columns": 4 * task.content_width,
        "rows": 4 * task.content_height,
    }
    for field, size in sizes.items():
        memory = machine.bytes_at(getattr(task, field), size, f"letterbox: {field}")
        setattr(task, field, memory.ctypes.data)
    compiled_kernels().load("letterbox").run_letterbox(ctypes.byref(task))


MACHINE = Machine()
_REAL_CDLL = ctypes.CDLL


class _Cdll(_REAL_CDLL):
    """Loads libraries as ever, but for the driver's."""

    def __new__(cls, name: str | None = None, *arguments: Any, **options: Any) -> Any:
        if name == "libcuda.so.1":
            return DriverLibrary(MACHINE)
        if name is not None and Path(name).is_file() and Path(name).read_bytes() == PLUGINS:
            return SimpleNamespace(getCreators=None)
        return _REAL_CDLL(name, *arguments, **options)


def install() -> None:
    """Put the simulated driver in the place of the real one."""
    ctypes.CDLL = _Cdll  # type: ignore[misc]


def uninstall() -> None:
    """Take the simulated driver away again."""
    ctypes.CDLL = _REAL_CDLL  # type: ignore[misc]
