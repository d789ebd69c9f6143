"""What every inference backend looks like from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.model import InputSpec, ModelFile

if TYPE_CHECKING:
    from jetson_detect.core.geometry import ImageTransform
    from jetson_detect.core.heads.sieve import Sieve
    from jetson_detect.core.pixels import Pixels


class BackendError(RuntimeError):
    """A backend that cannot load a file or run it; the message names file and remedy."""


class BackendUnavailableError(BackendError):
    """A backend that cannot work in this process, however often it is tried.

    Its library is not installed, or there is no GPU that it could use.
    """


@dataclass(frozen=True)
class Quantization:
    """``real = (stored - zero_point) * scale``, the same for a whole tensor."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class TensorInfo:
    """One input or output of a network."""

    name: str
    shape: tuple[int | None, ...]
    """None for a dimension that is not fixed."""
    dtype: np.dtype[Any]
    quantization: Quantization | None = None
    """For an input: what the backend wants to be given.  Outputs come back dequantised."""


class TensorrtRuntime(str, Enum):
    """Which of TensorRT's runtime libraries runs a plan."""

    FULL = "full"
    LEAN = "lean"
    """Only runs plans that were built version compatible; a tenth of the size."""


class Preprocessing(str, Enum):
    """Where pictures become tensors."""

    AUTO = "auto"
    """On the GPU where it can do what the model asks for, else on the CPU."""
    GPU = "gpu"
    """On the GPU; a model that it cannot serve is an error."""
    CPU = "cpu"


class Postprocessing(str, Enum):
    """Where candidates that cannot become detections are left aside."""

    AUTO = "auto"
    """On the GPU where head and plan allow it, else on the CPU."""
    CPU = "cpu"


@dataclass(frozen=True)
class TensorrtOptions:
    """What only the tensorrt backend can be told."""

    runtime: TensorrtRuntime = TensorrtRuntime.FULL
    plugin_libraries: tuple[str, ...] = ()
    """Shared libraries with plugins, loaded before the plan."""
    cuda_graph: bool = True
    """Whether an inference with fixed shapes is recorded once and replayed."""
    device: int = 0
    """The GPU's index."""
    dla_core: int = -1
    """The DLA core that runs a plan built for DLA; below 0 for none."""
    preprocessing: Preprocessing = Preprocessing.AUTO
    postprocessing: Postprocessing = Postprocessing.AUTO
    """On the GPU it spares the CPU the copy of all outputs and a look at them."""
    spin: bool = False
    """Whether a thread that waits for the GPU keeps its CPU core busy.

    It hears of the end some ten microseconds earlier, and takes a whole core for it.  On Tegra
    boards the driver may let it sleep all the same, by the board's power profile ("CUDA Driver
    API", cuCtxCreate, CU_CTX_SCHED_AUTO).
    """


@dataclass(frozen=True)
class TensorflowOptions:
    """What only the tensorflow backend can be told."""

    gpu_memory_limit_mb: int = 0
    """The most GPU memory that TensorFlow may take; 0 lets it grow by need.

    Read when TensorFlow first touches the GPU in a process.  On boards whose CPU and GPU share
    their memory a limit is needed: 2048 works on a Jetson Nano.
    """


@dataclass(frozen=True)
class TfliteOptions:
    """What only the tflite backend can be told."""

    xnnpack: bool = True
    """Whether float and int8 layers run on XNNPACK where it knows them."""


@dataclass(frozen=True)
class OnnxruntimeOptions:
    """What only the onnxruntime backend can be told."""

    providers: tuple[str, ...] = ()
    """Execution providers, best first, as ``CUDAExecutionProvider``; empty for what is there."""


@dataclass(frozen=True)
class BatchOptions:
    """How many pictures a backend may be given at once."""

    max_size: int = 1
    """The most pictures of one call, where the file takes as many; memory is taken for them."""
    on_cpu: bool = False
    """Whether networks that run on the CPU are given several, too.

    They hardly gain by it (docs/backends.md, "Several cameras, one engine"), and the first of the
    pictures waits for the last.
    """

    def largest(self, *, on_cpu: bool) -> int:
        """Return the most pictures of one call, for a network that runs there."""
        return self.max_size if self.on_cpu or not on_cpu else 1


@dataclass(frozen=True)
class BackendOptions:
    """How a backend may use the machine."""

    threads: int = 0
    """CPU threads of an inference on the CPU; 0 leaves the choice to the backend."""
    tensorrt: TensorrtOptions = TensorrtOptions()
    tensorflow: TensorflowOptions = TensorflowOptions()
    tflite: TfliteOptions = TfliteOptions()
    onnxruntime: OnnxruntimeOptions = OnnxruntimeOptions()
    batch: BatchOptions = BatchOptions()


@dataclass(frozen=True, eq=False)
class BackendDescription:
    """What runs: for the log, the status and whoever feeds tensors."""

    backend: str
    """The name that the ``backends`` parameter knows."""
    runtime: str
    """The library and its version."""
    device: str
    file: ModelFile
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    details: Mapping[str, str] = field(default_factory=dict)
    """Anything else worth a line: delegates, threads, profiles."""
    max_batch: int = 1
    """How many pictures one call may take, along the first axis of every input and output."""
    min_batch: int = 1
    """How many it must be given; of fewer pictures the rest of the input may be anything."""

    def __str__(self) -> str:
        details = "".join(f", {key} {value}" for key, value in self.details.items())
        if self.max_batch > 1:
            details += f", up to {self.max_batch} pictures at once"
        return (
            f"{self.backend} ({self.runtime}) on {self.device}: "
            f"{self.file.path} [{self.file.precision.value}]{details}"
        )


class Backend(Protocol):
    """A loaded network.  Made ready by its constructor, usable until :meth:`close`.

    An instance is made, run and closed by one and the same thread: a CUDA context belongs to the
    thread that it was pushed on.
    """

    @property
    def description(self) -> BackendDescription:
        """What runs, and the names, shapes and dtypes of its tensors."""

    @property
    def input_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Memory of its own for inputs, by name, which :meth:`run` reads without a copy.

        C-contiguous, in shape and dtype of the description, for as many pictures as its
        ``max_batch``; to be filled in place and given to :meth:`run`, as it is or the first
        pictures of it (``array[:n]``).  A backend without such memory has none.
        """

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Infer.

        Parameters
        ----------
        inputs:
            A tensor for each input, by name, in the dtype of the description; all of them of as
            many pictures, :attr:`BackendDescription.min_batch` to ``max_batch``.

        Returns
        -------
        A tensor for each output, by name; quantised outputs as float32.  Valid until the next
        call of :meth:`run` or :meth:`close`; may be read-only.

        Raises
        ------
        BackendError
            If inference fails or the backend was closed.

        """

    def close(self) -> None:
        """Give everything back; may be called twice."""

    def __enter__(self) -> Backend: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class PicturePreprocessor(Protocol):
    """Makes a network's input of pictures where the network runs."""

    def __call__(self, pixels: Pixels, index: int = 0) -> ImageTransform:
        """Take a picture of the next inference.

        The input that is missing in the next call of :meth:`Backend.run` or
        :meth:`PipelinedBackend.start` is made of it.  Memory of :meth:`keep` must stay as it is
        that inference is finished; other memory may change as soon as this returns.

        Parameters
        ----------
        pixels:
            The picture.
        index:
            Its place in the batch; pictures are taken in this order, and 0 begins anew.

        Returns
        -------
        The transform that undoes the resize.

        Raises
        ------
        PixelError
            If it cannot read such pictures.
        BackendError
            If memory is used up, the backend was closed, or all that it can hold is in flight.

        """

    def keep(self, memory: NDArray[np.uint8]) -> bool:
        """Take note of memory that pictures will lie in, so that they are read without a copy.

        Parameters
        ----------
        memory:
            C-contiguous; kept alive until the backend is closed.

        Returns
        -------
        Whether it will be; pictures from other memory are taken too, and copied.

        Raises
        ------
        BackendError
            If the backend was closed or belongs to another thread.

        """


@runtime_checkable
class PictureBackend(Backend, Protocol):
    """A backend that can make its input of pictures itself."""

    def preprocessor(self, name: str, spec: InputSpec) -> PicturePreprocessor | None:
        """Return what makes an input of pictures, as ``core.preprocess.Preprocessor`` would.

        Afterwards ``description.details["preprocessing"]`` says where it is done, and if that is
        the CPU, why.

        Parameters
        ----------
        name:
            The input.
        spec:
            What the model expects of its pixels.

        Returns
        -------
        None where the backend cannot do what the model asks for, or was told not to.

        Raises
        ------
        BackendError
            If it was told to and cannot, or was closed.

        """


class CandidateSieve(Protocol):
    """Leaves a network's outputs where they are, but for candidates that may become detections."""

    def aim(self, limit: float) -> None:
        """Leave aside candidates of the next inference that is started, and of no other.

        Parameters
        ----------
        limit:
            What they must reach; see :meth:`jetson_detect.core.heads.sieve.Sieve.limit`.  Minus
            infinity leaves none aside.

        """

    def candidates(self, limit: float) -> Sequence[NDArray[np.intp]] | None:
        """Return the candidates of the inference that was finished last.

        Parameters
        ----------
        limit:
            What they must reach now; more outputs are read if it is less than it was.

        Returns
        -------
        For each picture (M,), ascending: those that passed.  Only their places in the outputs hold
        their numbers; all numbers of the outputs are finite.  None: the outputs are complete, and
        nothing is known of them.

        Raises
        ------
        BackendError
            If the outputs cannot be read.

        """


@runtime_checkable
class SievingBackend(Backend, Protocol):
    """A backend that can tell candidates apart where its outputs are."""

    def sieve(self, sieve: Sieve) -> CandidateSieve | None:
        """Return what hands candidates over, in place of what an earlier call returned.

        For the same sieve it is the same.  Afterwards ``description.details["postprocessing"]``
        says where they are told apart, and if that is the CPU, why.

        Parameters
        ----------
        sieve:
            What tells them, by the outputs' names.

        Returns
        -------
        None where the backend cannot, or was told not to.

        Raises
        ------
        BackendError
            If it was closed.

        """


@runtime_checkable
class PipelinedBackend(Backend, Protocol):
    """A backend that can be given the next inference before the last is finished.

    ``run(inputs)`` is ``start(inputs)`` and ``finish()``, and is refused between the two.  Inputs
    of :attr:`Backend.input_arrays` are then those of the next inference that is started, not those
    of the last.
    """

    @property
    def depth(self) -> int:
        """How many inferences may be started and not finished; asked anew before each start."""

    def start(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Begin an inference and return at once; see :meth:`Backend.run` for inputs and errors.

        Raises
        ------
        BackendError
            If :attr:`depth` are unfinished, or as :meth:`Backend.run`.

        """

    def finish(self) -> Mapping[str, NDArray[Any]]:
        """Wait for the oldest inference that was started.

        Returns
        -------
        As :meth:`Backend.run`; valid until the next but one :meth:`start`, where the depth is 2.

        Raises
        ------
        BackendError
            If none was started, or as :meth:`Backend.run`.

        """
