"""ONNX file in, TensorRT plan out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.engines.build_config import make_config
from jetson_detect.core.engines.build_errors import BuildCancelledError, BuildError
from jetson_detect.core.engines.build_notes import BuildNotes, NoteTaker
from jetson_detect.core.engines.build_options import (
    BuildOptions,
    HardwareCompatibility,
    OnnxForm,
    onnx_form,
)
from jetson_detect.core.engines.build_progress import (
    ProgressCallback,
    ProgressTracker,
    progress_monitor,
)
from jetson_detect.core.engines.network_reading import (
    NetworkContents,
    make_network,
    read_onnx,
    require_contents,
    survey,
)
from jetson_detect.core.engines.timing_cache import TimingCacheFile
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary, open_library

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = [
    "BuildCancelledError",
    "BuildError",
    "BuildNotes",
    "BuildOptions",
    "BuiltEngine",
    "HardwareCompatibility",
    "OnnxForm",
    "ProgressCallback",
    "build_engine",
    "onnx_form",
]


@dataclass(frozen=True, eq=False)
class BuiltEngine:
    """What a build gives."""

    plan: bytes
    """The content of a plan file."""
    notes: BuildNotes


def build_engine(
    onnx: Path, options: BuildOptions = BuildOptions(), progress: ProgressCallback | None = None
) -> BuiltEngine:
    """Build a plan for the current GPU; takes seconds to many minutes.

    Parameters
    ----------
    onnx:
        The network; weights in files beside it are found.  It has to be of the form that
        :func:`onnx_form` tells.
    options:
        How.
    progress:
        Told the phase and how much of the whole build is done; None where TensorRT does not tell
        (8.5, 8.6).  It is called often, one call at a time, in threads of TensorRT's too.  What it
        raises, a :class:`BuildCancelledError` for one, stops the build and comes out of here;
        versions that tell no progress stop between phases only.

    Raises
    ------
    BackendUnavailableError
        If TensorRT, the driver or the GPU are missing.
    BuildError
        If the file cannot be read or parsed, TensorRT lacks what an option asks for, or it fails.
    BuildCancelledError
        If ``progress`` raised it.

    """
    library = open_library()
    if not onnx.is_file():
        raise BuildError(f"{onnx}: no such file")
    start = time.monotonic()
    notes = NoteTaker()
    tracker = ProgressTracker(progress, library.features)
    cache = TimingCacheFile(library, options.timing_cache, notes.warn)
    with library.watchers.watching(notes.watch):
        plan = _build(library, onnx, options, tracker, cache, notes)
    return BuiltEngine(plan, notes.notes(time.monotonic() - start, cache.used, cache.size))


def _build(
    library: TensorrtLibrary,
    onnx: Path,
    options: BuildOptions,
    tracker: ProgressTracker,
    cache: TimingCacheFile,
    notes: NoteTaker,
) -> bytes:
    features = library.features
    # Made in this order and, as local variables, kept alive until the plan is there.
    tracker.enter("parsing")
    builder = _make_builder(library)
    network = make_network(library, builder, options)
    parser = read_onnx(library, network, onnx)
    contents = survey(library, network)
    config = make_config(library, builder, network, options, onnx)
    require_contents(library, contents, options, onnx)
    cache.attach(config)
    monitor = progress_monitor(library.trt, features, tracker)
    if features.progress_monitor:
        config.progress_monitor = monitor
    tracker.enter("building")
    mark = library.errors.mark()
    plan: trt.IHostMemory | None = builder.build_serialized_network(network, config)
    del parser
    if tracker.failure is not None:
        raise tracker.failure
    if plan is None:
        reason = library.errors.since(mark)
        raise BuildError(
            f"{onnx}: {library} built no plan ({reason}): "
            f"{_building_remedy(reason, contents, options, notes.notes(0.0))}"
        )
    tracker.enter("serialising", finished=True)
    content = bytes(plan)
    cache.save(config)
    return content


def _make_builder(library: TensorrtLibrary) -> trt.Builder:
    trt = library.trt
    mark = library.errors.mark()
    try:
        return trt.Builder(library.logger)
    except TypeError as error:
        # What pybind11 makes of a null pointer.
        raise BuildError(
            f"{library} does not start ({library.errors.since(mark)}): see that its version fits "
            f"the driver (CUDA {library.driver.cuda_version})"
        ) from error


def _building_remedy(
    reason: str, contents: NetworkContents, options: BuildOptions, notes: BuildNotes
) -> str:
    """Say what may help, for what TensorRT said."""
    remedies = []
    if contents.suppression and "find any implementation" in reason:
        # Seen with 8.5.3 on SavedModel exports: {ForeignNode[…NonMaxSuppression…]}.
        remedies.append("cut the suppression out of the network (nms: cut)")
    if "out of memory" in reason.lower():
        remedies.append("close what else uses the GPU")
    advice = notes.advice(options.workspace_mb)
    remedies.append(
        advice or f"give it more workspace than {options.workspace_mb} MB if that is what it lacks"
    )
    return ", or ".join(remedies)
