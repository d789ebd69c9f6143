"""TensorRT plans behind the backend protocol."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jetson_detect.core.backends.base import (
    BackendDescription,
    BackendError,
    BackendOptions,
    CandidateSieve,
    Preprocessing,
    TensorInfo,
)
from jetson_detect.core.backends.batch_sizes import BatchSizes, batch_sizes
from jetson_detect.core.backends.tensorrt.binding import Binding
from jetson_detect.core.backends.tensorrt.frame_slot import FrameSlot
from jetson_detect.core.backends.tensorrt.gpu import in_megabytes
from jetson_detect.core.backends.tensorrt.output_allocator import GrowingOutputs
from jetson_detect.core.backends.tensorrt.output_sieve import OutputSieve
from jetson_detect.core.backends.tensorrt.output_sieve import (
    reason_for_cpu as reason_for_sieving_on_cpu,
)
from jetson_detect.core.backends.tensorrt.picture_input import PictureInput
from jetson_detect.core.backends.tensorrt.picture_preprocessor import (
    PicturePreparation,
    reason_for_cpu,
)
from jetson_detect.core.backends.tensorrt.plan_tensors import (
    read_profiles,
    read_tensors,
)
from jetson_detect.core.backends.tensorrt.profiles import (
    Profile,
    Shape,
    as_text,
    choose_profile,
    fixed_sizes,
)
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.closing import Closing
from jetson_detect.core.model import InputSpec, ModelFile
from jetson_detect.core.tensorrt_library.access import open_library
from jetson_detect.core.tensorrt_library.driver import CudaDriverError

if TYPE_CHECKING:
    import tensorrt as trt

    from jetson_detect.core.heads.sieve import Sieve


_logger = logging.getLogger(__name__)


class TensorrtBackend(Closing):
    """A plan file on one GPU.

    Where the plan allows one shape only, the constructor infers once and records the inference as a
    CUDA graph.  Where only the number of pictures is open and several are wanted, it takes memory
    for as many and infers once on them; an inference of fewer has its true size.  That is not
    recorded: each size would need an execution context of its own ("NVIDIA TensorRT Developer
    Guide", "CUDA Graphs").  Else shapes are those of the arrays that are given, and memory grows
    when they do.

    In the first two cases two inferences may be in flight (:meth:`start`): each has memory and a
    stream of its own, so that copies and preprocessing of one overlap the inference of the other.
    The inferences themselves follow each other, for they share the memory between layers.
    """

    def __init__(self, file: ModelFile, options: BackendOptions = BackendOptions()) -> None:
        """Load a plan; the calling thread is the one that has to run and close it.

        Raises
        ------
        BackendUnavailableError
            If TensorRT, pycuda, the driver or the GPU are missing.
        BackendError
            If the plan cannot be loaded or run.

        """
        self._file = file
        self._options = options.tensorrt
        self._library = library = open_library(options.tensorrt.runtime)
        self._session = session = Session(library, options.tensorrt, file.path)
        # A backend that was never closed is, at the latest when the interpreter ends: afterwards
        # the destructors of TensorRT would find no context.
        self._finalizer = weakref.finalize(self, session.close_if_mine)
        self._mark = library.errors.mark()
        self._shapes: dict[str, Shape] | None = None
        """Of the inputs, as TensorRT was told last."""
        self._all_shapes: dict[str, Shape] = {}
        """Of the inputs, and of the outputs as far as they follow from them."""
        self._growing: tuple[Binding, ...] = ()
        self._next = 0
        """The slot of the next inference."""
        self._started: deque[FrameSlot] = deque()
        self._sieve: OutputSieve | None = None
        self._inferred: FrameSlot | None = None
        """The slot of the last inference."""
        self._bound: FrameSlot | None = None
        """The slot whose addresses TensorRT has."""
        with session.closed_on_failure(), session.in_context("cannot be loaded"):
            self._tensors = tensors = read_tensors(library, session.engine, file.path)
            self._profiles = read_profiles(session.engine, tensors)
            slot = FrameSlot(session, tensors)
            self._slots = [slot]
            self._allocator = GrowingOutputs(
                library.trt,
                library.features,
                {name: binding.memory for name, binding in slot.outputs.items()},
            )
            self._input_infos = {
                tensor.name: TensorInfo(
                    tensor.name,
                    fixed_sizes(self._profiles, tensor.name, tensor.shape),
                    tensor.storage.real,
                )
                for tensor in tensors
                if tensor.is_input
            }
            self._sizes = self._find_batch_sizes(options.batch.max_size)
            graph = self._prepare(slot)
            self._description = self._describe(slot, graph)
            self._depth = 2 if self._largest is not None and not self._growing else 1

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""
        return self._description

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Page-locked arrays of the next inference, for the largest batch, where that is known.

        Gone after :meth:`close`.
        """
        return {} if self._session.is_closed else self._slots[self._next].input_arrays

    @property
    def depth(self) -> int:
        """2 where all but the number of pictures is fixed and memory suffices, else 1."""
        return self._depth

    def preprocessor(self, name: str, spec: InputSpec) -> PicturePreparation | None:
        """Return what makes an input of pictures on the GPU, or None.

        See :meth:`jetson_detect.core.backends.base.PictureBackend.preprocessor`.
        """
        slot = self._idle_slot()
        tensor, info = slot.inputs[name].tensor, self._input_infos[name]
        if self._sizes.most > 1:
            info = replace(info, shape=(1, *info.shape[1:]))
        reason = reason_for_cpu(self._options.preprocessing, spec, tensor, info)
        if reason is None:
            with self._session.in_context("preprocessing cannot be prepared"):
                try:
                    _ = self._session.letterbox
                    self._record_inference(slot)
                except CudaDriverError as error:
                    reason = str(error)
        self._tell_where("preprocessing", reason)
        if reason is None:
            return PicturePreparation(self._session, spec, tensor, info, self._idle_slot)
        if self._options.preprocessing is Preprocessing.GPU:
            raise BackendError(
                f"{self._file.path}: tensorrt.preprocessing is gpu, but that cannot be done "
                f"({reason}): set it to auto"
            )
        return None

    def sieve(self, sieve: Sieve) -> CandidateSieve | None:
        """Return what hands candidates over, or None.

        See :meth:`jetson_detect.core.backends.base.SievingBackend.sieve`.
        """
        slot = self._idle_slot()
        if self._sieve is not None:
            if self._sieve.sieve == sieve:
                return self._sieve
            self._sieve.give_up()
            self._sieve = None
        largest = self._largest
        known = {} if largest is None else slot.outputs
        known = {name: each for name, each in known.items() if each not in self._growing}
        reason = reason_for_sieving_on_cpu(self._options.postprocessing, sieve, known)
        if reason is None:
            with self._session.in_context("candidates cannot be told apart on the GPU"):
                try:
                    made = OutputSieve(self._session, sieve, self._copy_all)
                    assert largest is not None
                    for each in self._slots:
                        self._fit(each, largest)  # fewer pictures may have been there last
                        self._record_inference(each)
                        made.prepare(each, record=each.inference is not None)
                    self._sieve = made
                except self._recording_errors as error:
                    slot.lane.settle()
                    reason = str(error)
        self._tell_where("postprocessing", reason)
        return self._sieve if reason is None else None

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer; see :meth:`jetson_detect.core.backends.base.Backend.run`.

        Outputs lie in page-locked memory that the next run writes over.
        """
        slot = self._idle_slot()
        if self._started:
            raise BackendError(
                f"{self._file.path}: {len(self._started)} inferences were started: finish() them "
                "before run()"
            )
        self._check_all(slot, inputs)
        with self._session.in_context("inference failed"):
            self._queue(slot, inputs, alone=True)
            slot.wait()
        if self._sieve is not None:
            self._sieve.finish(slot)
        return slot.results

    def start(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Begin an inference; see :class:`jetson_detect.core.backends.base.PipelinedBackend`."""
        slot = self._idle_slot()
        self._check_all(slot, inputs)
        with self._session.in_context("inference failed"):
            if self._depth > len(self._slots):
                self._add_slot()
            limit = None if self._sieve is None else self._sieve.next_limit()
            self._queue(slot, inputs, alone=self._depth == 1, limit=limit)
        self._started.append(slot)
        self._next = (self._next + 1) % self._depth

    def finish(self) -> Mapping[str, NDArray[Any]]:
        """Wait for the oldest inference that was started.

        See :class:`jetson_detect.core.backends.base.PipelinedBackend`; outputs lie in page-locked
        memory.
        """
        if not self._started:
            raise BackendError(
                f"{self._file.path}: no inference was started: call start() before finish()"
            )
        slot = self._started.popleft()
        with self._session.in_context("inference failed"):
            slot.wait()
        if self._sieve is not None:
            self._sieve.finish(slot)
        return slot.results

    def close(self) -> None:
        """Give everything back; may be called twice, by the thread that loaded the plan only."""
        self._session.close()
        self._finalizer.detach()
        self._started.clear()
        for slot in self._slots:
            slot.results = {}

    @property
    def _largest(self) -> dict[str, Shape] | None:
        """The inputs' shapes of the largest batch; None if more than its size is open."""
        infos = self._input_infos.values()
        if all(None not in info.shape for info in infos):
            return {info.name: _sizes(info) for info in infos}
        if self._sizes.most == 1:
            return None
        return {info.name: (self._sizes.most, *_sizes(info)[1:]) for info in infos}

    def _find_batch_sizes(self, wanted: int) -> BatchSizes:
        """Return how many pictures the plan takes, of which ``wanted`` are enough."""
        sizes = batch_sizes(self._input_infos.values(), 0)
        if sizes.most > 0:
            return sizes
        allowed = max((profile.batch_sizes() for profile in self._profiles), key=lambda p: p.most)
        return BatchSizes(allowed.least, min(allowed.most, max(wanted, allowed.least)))

    def _idle_slot(self) -> FrameSlot:
        """Return the slot of the next inference, if it is free."""
        self._session.require_open()
        if len(self._started) >= self._depth:
            raise BackendError(
                f"{self._file.path}: {len(self._started)} inferences are in flight, no more fit: "
                "finish() one of them"
            )
        return self._slots[self._next]

    def _check_all(self, slot: FrameSlot, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Refuse tensors that are not given, where there is no picture, or of another type."""
        for name, info in self._input_infos.items():
            if name in inputs or name not in slot.staged:
                self._check(name, info, inputs)

    def _check(self, name: str, info: TensorInfo, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Refuse what is not given or of another type."""
        if name not in inputs:
            raise BackendError(
                f"{self._file.path}: input '{name}' was not given; the plan takes "
                f"{', '.join(self._input_infos)}"
            )
        if inputs[name].dtype != info.dtype:
            raise BackendError(
                f"{self._file.path}: input '{name}' takes {info.dtype}, "
                f"not {inputs[name].dtype}: convert it"
            )

    def _prepare(self, slot: FrameSlot) -> str:
        """Infer once, if shapes are known, and record it; return whether there is a graph."""
        largest = self._largest
        if largest is None:
            return "off (dynamic shapes)"
        self._fit(slot, largest)
        slot.keep_inputs()
        self._infer_nothing(slot)
        if self._sizes.least < self._sizes.most:
            return "off (batches of several sizes)"
        if not self._options.cuda_graph:
            return "off (tensorrt.cuda_graph)"
        if self._growing:
            return "off (shapes of outputs depend on the data)"
        try:
            graph = slot.lane.record(lambda: self._enqueue(slot, {}))
            graph.launch()
            slot.lane.end()
            slot.wait()
        except self._recording_errors as error:
            slot.lane.settle()
            # A recording that was given up must leave a backend that works.
            self._infer_nothing(slot)
            return f"off ({error})"
        slot.whole = graph
        return "on"

    @property
    def _recording_errors(self) -> tuple[type[Exception], ...]:
        """What a recording may fail with; the backend works without it."""
        return BackendError, CudaDriverError, self._session.gpu.cuda.Error

    def _infer_nothing(self, slot: FrameSlot) -> None:
        """Infer on zeros: the first inference initialises lazily, which cannot be recorded."""
        for binding in slot.inputs.values():
            binding.stored.fill(0)
        self._enqueue(slot, {})
        slot.lane.end()
        slot.wait()

    def _record_inference(self, slot: FrameSlot) -> None:
        """Record a slot's inference without its copies, if graphs work at all."""
        if slot.inference is not None or self._slots[0].whole is None:
            return
        self._bind(slot)
        try:
            slot.inference = slot.lane.record(lambda: self._execute(slot))
        except self._recording_errors as error:
            slot.lane.settle()
            _logger.warning("%s: inferences are not replayed: %s", self._file.path, str(error))

    def _add_slot(self) -> None:
        """Make the second slot, while nothing is in flight; without memory the depth becomes 1."""
        slot = FrameSlot(self._session, self._tensors)
        largest = self._largest
        assert largest is not None
        try:
            self._fit(slot, largest)
        except BackendError as error:
            slot.close()
            self._depth = 1
            _logger.warning("%s: one inference at a time: %s", self._file.path, str(error))
            return
        slot.keep_inputs()
        try:
            self._infer_nothing(slot)
        except BaseException:
            slot.close()  # the next start makes another one
            raise
        self._slots.append(slot)
        for each in self._slots:
            self._record_inference(each)
        if self._sieve is not None:
            self._prepare_sieve(slot)

    def _prepare_sieve(self, slot: FrameSlot) -> None:
        """Let candidates of a new slot be told apart too; without memory those of none are."""
        assert self._sieve is not None
        try:
            self._sieve.prepare(slot, record=slot.inference is not None)
        except self._recording_errors as error:
            slot.lane.settle()
            self._sieve.give_up()
            self._sieve = None
            self._tell_where("postprocessing", str(error))
            _logger.warning("%s: all outputs are copied: %s", self._file.path, str(error))

    def _fit(self, slot: FrameSlot, shapes: dict[str, Shape]) -> None:
        """Set the inputs' shapes, and the memory of all of a slot's tensors."""
        if shapes != self._shapes:
            self._set_shapes(slot, shapes)
        if slot.shapes != self._all_shapes and slot.reserve(self._all_shapes):
            self._bound = None
        self._bind(slot)

    def _set_shapes(self, slot: FrameSlot, shapes: dict[str, Shape]) -> None:
        """Tell TensorRT the inputs' shapes, and find out those of the outputs."""
        execution: trt.IExecutionContext = self._session.execution
        profile = self._choose_profile(slot, shapes)
        self._shapes = self._bound = None
        if profile.index != execution.active_optimization_profile:
            self._require(
                execution.set_optimization_profile_async(profile.index, slot.lane.stream.handle),
                f"profile {profile.index} cannot be activated",
            )
        for name, binding in slot.inputs.items():
            if binding.tensor.is_open:
                self._require(
                    execution.set_input_shape(name, shapes[name]),
                    f"input '{name}' cannot be {as_text(shapes[name])}",
                )
        growing = []
        all_shapes = dict(shapes)
        for name, binding in slot.outputs.items():
            shape = tuple(int(size) for size in execution.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                growing.append(binding)
                self._require(
                    execution.set_output_allocator(name, self._allocator.allocator),
                    f"output '{name}' cannot be given an allocator",
                )
            else:
                all_shapes[name] = shape
        self._growing = tuple(growing)
        self._all_shapes, self._shapes = all_shapes, shapes

    def _bind(self, slot: FrameSlot) -> None:
        """Give TensorRT the addresses of a slot's tensors."""
        if self._bound is slot:
            return
        self._bound = None
        execution: trt.IExecutionContext = self._session.execution
        for name, binding in (*slot.inputs.items(), *slot.outputs.items()):
            if binding not in self._growing:
                self._require(
                    execution.set_tensor_address(name, binding.memory.address),
                    f"tensor '{name}' cannot be bound",
                )
        self._bound = slot

    def _choose_profile(self, slot: FrameSlot, shapes: Mapping[str, Shape]) -> Profile:
        """Return the profile for some shapes, or say what shapes there are."""
        for name, binding in slot.inputs.items():
            if not binding.tensor.is_open and shapes[name] != binding.tensor.shape:
                raise BackendError(
                    f"{self._file.path}: input '{name}' takes {as_text(binding.tensor.shape)}, "
                    f"not {as_text(shapes[name])}: correct the input's size in model.yaml"
                )
        execution: trt.IExecutionContext = self._session.execution
        profile = choose_profile(self._profiles, shapes, execution.active_optimization_profile)
        if profile is None:
            given = ", ".join(
                f"{name} {as_text(shapes[name])}"
                for name, binding in slot.inputs.items()
                if binding.tensor.is_open
            )
            known = "; ".join(f"profile {p.index}: {p}" for p in self._profiles)
            raise BackendError(
                f"{self._file.path}: no profile holds {given}; the plan has {known}: correct the "
                "input's size in model.yaml, or build the plan with a profile for it"
            )
        return profile

    def _queue(
        self,
        slot: FrameSlot,
        inputs: Mapping[str, NDArray[Any]],
        *,
        alone: bool,
        limit: float | None = None,
    ) -> None:
        """Queue all of one inference; pictures that were staged are used up.

        Where it is not alone, copies are not part of the recording: the other slot's inference may
        begin as soon as this one's has ended.  With a limit only candidates that reach it are
        handed over.
        """
        self._mark = self._library.errors.mark()
        pictures = {name: made for name, made in slot.staged.items() if name not in inputs}
        slot.staged.clear()
        slot.sifted = None
        shapes = {
            name: self._shape_of(pictures[name]) if name in pictures else inputs[name].shape
            for name in self._input_infos
        }
        if shapes != self._shapes or slot.shapes != self._all_shapes:
            self._fit(slot, shapes)
        for name, binding in slot.inputs.items():
            if name not in pictures:
                binding.fill(inputs[name])
        try:
            if slot.whole is not None and alone and not pictures and limit is None:
                slot.whole.launch()
            else:
                self._enqueue(slot, pictures, limit)
            slot.lane.end()
        except BaseException:
            slot.lane.settle()  # its memory must be free for the next frame
            raise

    def _shape_of(self, pictures: Sequence[PictureInput]) -> Shape:
        """Return the shape of the input that is made of pictures, perhaps of a few more."""
        return (max(len(pictures), self._sizes.least), *pictures[0].shape[1:])

    def _enqueue(
        self,
        slot: FrameSlot,
        pictures: Mapping[str, Sequence[PictureInput]],
        limit: float | None = None,
    ) -> None:
        """Queue copies, preprocessing and inference."""
        for name, of_input in pictures.items():
            binding = slot.inputs[name]
            size = binding.stored.nbytes // len(binding.stored)
            for index, picture in enumerate(of_input):
                picture.queue(binding.memory, index * size)
        slot.copy_in(without=pictures)
        before = self._inferred
        if before is not None and before is not slot:
            slot.lane.follow(before.lane)
        if slot.inference is not None:
            slot.inference.launch()
        else:
            self._bind(slot)
            self._execute(slot)
        if len(self._slots) > 1:
            slot.lane.end_inference()
            self._inferred = slot
        if self._sieve is None or limit is None:
            slot.copy_out()
        else:
            pictures_there = next(len(binding.stored) for binding in slot.inputs.values())
            self._sieve.queue(slot, pictures_there, limit)

    def _copy_all(self, slot: FrameSlot) -> None:
        """Copy the outputs of a slot's last inference, and wait for them."""
        slot.sifted = None
        with self._session.in_context("outputs cannot be read"):
            slot.copy_out()
            slot.lane.end()
            slot.wait()

    def _execute(self, slot: FrameSlot) -> None:
        """Queue the inference itself, for the slot that is bound."""
        allocator = self._allocator
        execution: trt.IExecutionContext = self._session.execution
        allocator.reset()
        if not execution.execute_async_v3(slot.lane.stream.handle):
            raise allocator.failure or self._failure("inference failed")
        for binding in self._growing:
            self._grow(slot, binding)

    def _grow(self, slot: FrameSlot, binding: Binding) -> None:
        """Take the shape that an output got in this inference."""
        name = binding.tensor.name
        shape = self._allocator.shapes.get(name)
        if shape is None:
            raise self._failure(f"the shape of output '{name}' was not told")
        binding.memory.reserve(0)  # TensorRT asks for none for an output without elements
        binding.fit(shape)
        slot.results[name] = binding.real

    def _require(self, granted: bool, problem: str) -> None:
        """Raise unless TensorRT says that a call succeeded."""
        if not granted:
            raise self._failure(problem)

    def _failure(self, problem: str) -> BackendError:
        """Make the error for what TensorRT refused, with what it logged in this call."""
        reason = self._library.errors.since(self._mark)
        return BackendError(
            f"{self._file.path}: {problem} ({reason}); build the plan again on this machine if it "
            "keeps failing"
        )

    def _tell_where(self, step: str, reason: str | None) -> None:
        """Let the description say where a step is done: on the GPU, or why not."""
        where = "GPU" if reason is None else f"CPU ({reason})"
        details = {**self._description.details, step: where}
        self._description = replace(self._description, details=details)

    def _describe(self, slot: FrameSlot, graph: str) -> BackendDescription:
        session, gpu, sizes = self._session, self._session.gpu, self._sizes
        engine: trt.ICudaEngine = session.engine
        major, minor = gpu.compute_capability
        outputs = []
        for name, binding in slot.outputs.items():
            known = self._shapes is not None and binding not in self._growing
            shape = binding.stored.shape if known else binding.tensor.shape
            if known and sizes.least < sizes.most and binding.tensor.shape[:1] == (-1,):
                shape = (-1, *shape[1:])
            outputs.append(
                TensorInfo(
                    name,
                    tuple(None if size < 0 else int(size) for size in shape),
                    binding.tensor.storage.real,
                )
            )
        details = {
            "memory": gpu.memory_mode.value,
            "device memory": in_megabytes(session.device_memory()),
            "layers": str(engine.num_layers),
            "cuda graph": graph,
        }
        if any(profile.ranges for profile in self._profiles):
            details["profile"] = "; ".join(str(profile) for profile in self._profiles)
        return BackendDescription(
            backend="tensorrt",
            runtime=str(self._library),
            device=f"{gpu.name} (compute capability {major}.{minor})",
            file=self._file,
            inputs=tuple(self._input_infos.values()),
            outputs=tuple(outputs),
            details=details,
            max_batch=sizes.most,
            min_batch=sizes.least,
        )


def _sizes(info: TensorInfo) -> Shape:
    """Return the shape of an input that is fixed."""
    return tuple(size or 0 for size in info.shape)
