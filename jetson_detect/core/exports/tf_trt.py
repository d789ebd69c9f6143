"""SavedModels in which TensorRT runs what it can, and TensorFlow the rest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jetson_detect.core.backends.base import BackendError, BackendOptions
from jetson_detect.core.backends.tensorflow import TensorflowBackend
from jetson_detect.core.backends.tensorflow.process import set_up
from jetson_detect.core.exports.errors import ExportError, refusing
from jetson_detect.core.exports.frozen_network import (
    SIGNATURE,
    FrozenNetwork,
    freeze,
    import_tensorflow,
)
from jetson_detect.core.exports.input_shapes import Shape
from jetson_detect.core.exports.report import ExportReport, size_on_disk
from jetson_detect.core.exports.tf_trt_census import Census, forbid_builds, take_census
from jetson_detect.core.exports.tf_trt_library import TfTrtLibrary, open_tf_trt
from jetson_detect.core.exports.trial import Tensors, check_inputs, compare
from jetson_detect.core.model import Format, ModelFile, Precision

_PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)
_EXCLUDED = "TF_TRT_OP_DENYLIST"
"""Read while a graph is cut into segments (tensorflow/compiler/tf2tensorrt/segment/segment.cc)."""
_FALL_BACK = "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"
"""Read when an engine cannot run; without, that is an error (kernels/trt_engine_op.cc)."""
_PROFILES = ("Range", "Optimal", "Range+Optimal")


@dataclass(frozen=True)
class TfTrtOptions:
    """How TF-TRT converts; its names are those of ``TrtGraphConverterV2``."""

    precision: Precision = Precision.FP32
    """fp32, fp16 or int8: the lowest that layers may run in."""
    workspace_mb: int = 1024
    """The most scratch memory that an engine may take, in MB."""
    minimum_segment_size: int = 3
    """The fewest operations that become an engine."""
    maximum_cached_engines: int = 1
    """How many engines each part has, for inputs of different shapes."""
    excluded_ops: tuple[str, ...] = ()
    """Types of operations that stay in TensorFlow."""
    explicit_batch: bool = True
    """Whether engines know the batch dimension (``use_dynamic_shape``), as TensorRT 8 advises."""
    profile_strategy: str = "Range"
    """How profiles follow from several shapes: Range, Optimal or Range+Optimal."""
    allow_build_at_runtime: bool = False
    """Whether a shape for which there is no engine has one built when it comes, for minutes;
    otherwise TensorFlow runs that part."""


def write_tf_trt(
    source: ModelFile,
    output: Path,
    options: TfTrtOptions = TfTrtOptions(),
    batches: Iterable[Tensors] = (),
) -> ExportReport:
    """Convert a network by TF-TRT, build its engines on this GPU, and run it beside its source.

    Parameters
    ----------
    source:
        A SavedModel, Keras file or frozen graph.
    output:
        The SavedModel folder, which may not be there yet.
    options:
        How.
    batches:
        Inputs as the network takes them, by name.  Engines are built for their shapes: a dimension
        that is the same in all is fixed.  For int8 the ranges are read from them.

    Returns
    -------
    A report, of which ``details`` has the counts of
    :class:`jetson_detect.core.exports.tf_trt_census.Census` and the ``errors`` of each output.

    Raises
    ------
    ExportError
        If TF-TRT does not work here, cannot convert the network, or left all of it in TensorFlow.

    """
    tf = import_tensorflow()
    _check_options(options)
    library = open_tf_trt(tf, set_up(tf, BackendOptions()).has_gpu)
    if output.exists():
        raise ExportError(f"{output}: is there already; name a folder that is not")
    fed = tuple(batches)
    if not fed:
        raise ExportError(
            f"{source.path}: TF-TRT builds engines for the shapes of real inputs; give at least one"
        )
    network = freeze(source, None, _common_shapes(fed))
    for batch in fed:
        check_inputs(source.path, "batches", network.inputs, batch)
    _refuse_shapes(network, fed, options)
    try:
        _convert(library, network, output, options, fed)
        census = take_census(output, SIGNATURE)
        _refuse_no_op(source.path, census, options)
        if not options.allow_build_at_runtime:
            forbid_builds(output)
        errors = _run(network, output, census, options, fed[0])
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)  # of which nobody may think that it is one
        raise
    changes = (*network.changes, _describe(census))
    arguments = network.arguments
    renamed = {name: argument for name, argument in arguments.items() if name != argument}
    return ExportReport(
        output,
        changes,
        {
            "tensorrt": library.tensorrt,
            "engines": census.engines,
            "engines_built": census.engines_built,
            "operations_in_engines": dict(census.operations_in_engines),
            "operations_left": dict(census.operations_left),
            "segments_left": census.segments_left,
            "size": size_on_disk(output),
            "errors": errors,
            **({"tensors": renamed} if renamed else {}),
        },
    )


def _check_options(options: TfTrtOptions) -> None:
    if options.precision not in _PRECISIONS:
        raise ExportError(
            f"precision {options.precision.value}: TF-TRT has none but "
            f"{', '.join(precision.value for precision in _PRECISIONS)}"
        )
    if options.profile_strategy not in _PROFILES:
        raise ExportError(
            f"profile_strategy '{options.profile_strategy}': use one of {', '.join(_PROFILES)}"
        )


def _common_shapes(batches: Sequence[Tensors]) -> dict[str, Shape]:
    """Return the shape of each input, open where batches differ."""
    shapes: dict[str, Shape] = {}
    for name in batches[0]:
        seen = [batch[name].shape for batch in batches if name in batch]
        if len({len(shape) for shape in seen}) == 1:
            shapes[name] = tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*seen))
    return shapes


def _refuse_shapes(
    network: FrozenNetwork, batches: Sequence[Tensors], options: TfTrtOptions
) -> None:
    shapes = {tuple(batch[info.name].shape for info in network.inputs) for batch in batches}
    path = network.source.path
    if len(shapes) == 1:
        return
    if options.precision is Precision.INT8:
        raise ExportError(
            f"{path}: batches: {len(shapes)} different shapes, but int8 is calibrated with one; "
            "give batches of one shape"
        )
    if len(shapes) > options.maximum_cached_engines and not options.explicit_batch:
        raise ExportError(
            f"{path}: maximum_cached_engines {options.maximum_cached_engines}: there are "
            f"{len(shapes)} shapes, each of which needs an engine; raise it to that"
        )


def _convert(
    library: TfTrtLibrary,
    network: FrozenNetwork,
    output: Path,
    options: TfTrtOptions,
    batches: Sequence[Tensors],
) -> None:
    arguments = network.arguments

    def feed(some: Iterable[Tensors]) -> Iterator[dict[str, Any]]:
        for batch in some:
            yield {arguments[info.name]: batch[info.name] for info in network.inputs}

    one_of_each_shape = {
        tuple(batch[info.name].shape for info in network.inputs): batch for batch in batches
    }.values()
    calibrates = options.precision is Precision.INT8
    with (
        refusing(
            network.source,
            f"TF-TRT (TensorRT {library.tensorrt}) cannot convert it",
            "exclude the operations that it names, or build an engine from ONNX",
        ),
        tempfile.TemporaryDirectory() as folder,
    ):
        network.save(folder)
        converter = library.converter(
            input_saved_model_dir=folder,
            input_saved_model_signature_key=SIGNATURE,
            precision_mode=options.precision.name,
            max_workspace_size_bytes=options.workspace_mb << 20,
            minimum_segment_size=options.minimum_segment_size,
            maximum_cached_engines=options.maximum_cached_engines,
            use_calibration=calibrates,
            use_dynamic_shape=options.explicit_batch,
            dynamic_shape_profile_strategy=options.profile_strategy,
            # As TensorFlow 2.21's save() loses the names of outputs where it is False.
            allow_build_at_runtime=True,
        )
        with _environment({_EXCLUDED: ",".join(options.excluded_ops)}):
            converter.convert(calibration_input_fn=(lambda: feed(batches)) if calibrates else None)
        converter.build(input_fn=lambda: feed(one_of_each_shape))
        converter.save(str(output))


def _refuse_no_op(path: Path, census: Census, options: TfTrtOptions) -> None:
    """Refuse a conversion after which TensorFlow runs everything, of which TF-TRT says nothing."""
    excluded = sorted(set(options.excluded_ops) & set(census.operations_in_engines))
    if excluded:
        raise ExportError(
            f"{path}: excluded_ops: {', '.join(excluded)} are in engines nevertheless: this "
            f"TensorFlow does not know {_EXCLUDED}; take them out of the options"
        )
    left = ", ".join(f"{count} {name}" for name, count in census.operations_left.items())
    if not census.engines:
        raise ExportError(
            f"{path}: TF-TRT made no engine of it, TensorFlow runs all: {left or 'nothing'}; "
            f"lower minimum_segment_size ({options.minimum_segment_size}), exclude fewer "
            f"operations ({', '.join(options.excluded_ops) or 'none is excluded'}), or give "
            "batches of one shape"
        )
    if not census.engines_built:
        raise ExportError(
            f"{path}: TensorRT built none of the {census.engines} engines, so TensorFlow would run "
            "all; TensorFlow's log says why (TF-TRT Warning): give more workspace than "
            f"{options.workspace_mb} MB if memory is what it lacks, or exclude operations"
        )


def _run(
    network: FrozenNetwork, output: Path, census: Census, options: TfTrtOptions, batch: Tensors
) -> dict[str, float]:
    """Load the folder and run it, with no way back where every engine was built."""
    arguments = network.arguments
    expected = {arguments[name]: tensor for name, tensor in network.run(batch).items()}
    complete = census.engines_built >= census.engines
    try:
        with (
            _environment({_FALL_BACK: "False"} if complete else {}),
            TensorflowBackend(
                ModelFile(Format.TF_TRT, output, options.precision, SIGNATURE)
            ) as backend,
        ):
            found = backend.run({arguments[name]: tensor for name, tensor in batch.items()})
            return compare(output, expected, found)
    except BackendError as error:
        raise ExportError(
            f"{output}: was converted, but does not run ({error}); build it again, or build an "
            "engine from ONNX"
        ) from error


def _describe(census: Census) -> str:
    inside, left = (
        sum(counts.values()) for counts in (census.operations_in_engines, census.operations_left)
    )
    missing = census.engines - census.engines_built
    return (
        f"{inside} operations run in {census.engines} TensorRT engines, {left} stay in TensorFlow, "
        f"in {census.segments_left} parts"
        + (f"; {missing} engines could not be built, TensorFlow runs them" if missing > 0 else "")
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which TensorFlow reads when it needs them; empty ones are not."""
    values = {name: value for name, value in values.items() if value}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
