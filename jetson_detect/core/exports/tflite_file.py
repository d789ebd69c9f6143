"""TensorFlow Lite files in four flavours."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendError, TensorInfo
from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.backends.tflite import TfliteBackend
from jetson_detect.core.exports.detection_postprocess import DetectionPostprocess
from jetson_detect.core.exports.errors import ExportError, refusing
from jetson_detect.core.exports.frozen_network import FrozenNetwork, freeze
from jetson_detect.core.exports.input_shapes import Shape
from jetson_detect.core.exports.report import ExportReport
from jetson_detect.core.exports.trial import Tensors, check_inputs, compare, made_up_inputs
from jetson_detect.core.exports.unknown_operations import remedies_for
from jetson_detect.core.model import Format, ModelFile, Precision

_OPERATION = re.compile(r"'tf\.(\w+)'|\bFlex(\w+)|\btf\.([A-Z]\w+)")
"""How the converter names an operation that it cannot convert."""


class TfliteFlavour(str, Enum):
    """Which numbers a TFLite file computes with."""

    FP32 = "fp32"
    FP16 = "fp16"
    """Weights are stored in 16 bits; on a CPU they are widened when the file is loaded."""
    DYNAMIC = "dynamic"
    """Weights in 8 bits, activations quantised at run time: smaller, but slower on XNNPACK."""
    INT8 = "int8"
    """All in 8 bits, inputs and outputs too; needs calibration frames."""


_PRECISIONS = {
    TfliteFlavour.FP32: Precision.FP32,
    TfliteFlavour.FP16: Precision.FP16,
    TfliteFlavour.DYNAMIC: Precision.INT8,
    TfliteFlavour.INT8: Precision.INT8,
}


def write_tflite(
    source: ModelFile,
    output: Path,
    flavour: TfliteFlavour,
    calibration: Iterable[Tensors] | None = None,
    *,
    shapes: Mapping[str, Shape] | None = None,
    postprocess: DetectionPostprocess | None = None,
) -> ExportReport:
    """Write a network for TensorFlow Lite, and run it once beside its source.

    Parameters
    ----------
    source:
        A SavedModel, Keras file or frozen graph.
    output:
        The file.
    flavour:
        Its numbers.
    calibration:
        Inputs as the network takes them, by name: for :attr:`TfliteFlavour.INT8`, from which the
        ranges are read.  The first serves to compare file and source, else noise does.
    shapes:
        By input, sizes for open dimensions; an open first one becomes 1 without.
    postprocess:
        Ends the network with TensorFlow Lite's own suppression.

    Raises
    ------
    ExportError
        If the source cannot be read, has operations that TensorFlow Lite has not, or the file
        does not run or lacks weights.

    """
    network = freeze(source, 1, shapes)
    open_inputs = [info.name for info in network.inputs if None in info.shape]
    if open_inputs:
        raise ExportError(
            f"{source.path}: input '{open_inputs[0]}' has dimensions that are open, which "
            "TensorFlow Lite runs slowly or not at all; give sizes for them in shapes"
        )
    frames = _Frames(network, calibration, flavour)
    changes = list(network.changes)
    expected = network.run(frames.first)
    content = _with_names(network, _convert(network, flavour, frames, postprocess))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(content)
    if postprocess is not None:
        changes.append(str(postprocess))
    try:
        errors = _check(output, flavour, frames.first, expected, postprocess)
    except ExportError:
        output.unlink()  # or somebody would run it
        raise
    return ExportReport(
        output,
        tuple(changes),
        {"flavour": flavour.value, "size": len(content), "errors": errors},
    )


class _Frames:
    """Calibration frames, to be read once, of which the first is looked at before."""

    def __init__(
        self, network: FrozenNetwork, frames: Iterable[Tensors] | None, flavour: TfliteFlavour
    ) -> None:
        self._network = network
        self._rest = iter(frames or ())
        first = next(self._rest, None)
        if first is None and flavour is TfliteFlavour.INT8:
            raise ExportError(
                f"{network.source.path}: int8 needs calibration frames, and there are none; give "
                "some hundred of real scenes"
            )
        self.first = made_up_inputs(network.inputs) if first is None else dict(first)
        self._check(self.first)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield each frame, by the signature's names."""
        arguments = self._network.arguments
        for frame in itertools.chain([self.first], self._rest):
            self._check(frame)
            yield {arguments[info.name]: frame[info.name] for info in self._network.inputs}

    def _check(self, frame: Tensors) -> None:
        check_inputs(self._network.source.path, "calibration", self._network.inputs, frame)


def _convert(
    network: FrozenNetwork,
    flavour: TfliteFlavour,
    frames: _Frames,
    postprocess: DetectionPostprocess | None,
) -> bytes:
    tf, source = network.tf, network.source
    then = None if postprocess is None else postprocess.bind(tf, network)
    with tempfile.TemporaryDirectory() as folder:
        with refusing(source, "cannot be saved for the converter", "export the model again"):
            network.save(folder, then)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.allow_custom_ops = postprocess is not None
        _set_flavour(tf, converter, network, flavour, frames)
        try:
            content: bytes = converter.convert()
        except ExportError:
            raise
        except Exception as error:  # ConverterError, or what the calibrator raises
            raise _cannot_convert(source, flavour, error) from error
    return content


def _set_flavour(
    tf: Any, converter: Any, network: FrozenNetwork, flavour: TfliteFlavour, frames: _Frames
) -> None:
    if flavour is TfliteFlavour.FP32:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if flavour is TfliteFlavour.FP16:
        converter.target_spec.supported_types = [tf.float16]
    elif flavour is TfliteFlavour.INT8:
        converter.representative_dataset = lambda: iter(frames)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if all(np.issubdtype(info.dtype, np.floating) for info in network.inputs):
            converter.inference_input_type = tf.int8
        if all(np.issubdtype(info.dtype, np.floating) for info in network.outputs):
            converter.inference_output_type = tf.int8


def _cannot_convert(source: ModelFile, flavour: TfliteFlavour, error: Exception) -> ExportError:
    text = str(error)
    found = {next(filter(None, groups)) for groups in _OPERATION.findall(text)}
    if not found:
        return ExportError(
            f"{source.path}: cannot be converted to TensorFlow Lite {flavour.value}: "
            f"{reason(error)}; try another flavour"
        )
    return ExportError(
        f"{source.path}: TensorFlow Lite has nothing for {', '.join(sorted(found))}; "
        f"{remedies_for(found)}"
    )


def _with_names(network: FrozenNetwork, content: bytes) -> bytes:
    """Give the signature's tensors the names of the network's, which arguments cannot all have."""
    names = {
        argument.encode(): name.encode()
        for name, argument in network.arguments.items()
        if name != argument
    }
    if not names:
        return content
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for signature in model.signatureDefs:
        for tensor in (*signature.inputs, *signature.outputs):
            tensor.name = names.get(tensor.name, tensor.name)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _check(
    output: Path,
    flavour: TfliteFlavour,
    inputs: Tensors,
    expected: Tensors,
    postprocess: DetectionPostprocess | None,
) -> dict[str, float]:
    """Run the file, and return how far it is from its source."""
    try:
        with TfliteBackend(ModelFile(Format.TFLITE, output, _PRECISIONS[flavour])) as backend:
            found = backend.run(
                {info.name: _stored(info, inputs) for info in backend.description.inputs}
            )
            if postprocess is not None:
                return {}  # of which TensorFlow has nothing to compare with
            return compare(output, expected, found)
    except BackendError as error:
        raise ExportError(str(error)) from error


def _stored(info: TensorInfo, inputs: Tensors) -> NDArray[Any]:
    """Return an input as a file takes it, quantised where it is."""
    real = inputs[info.name]
    if info.quantization is None:
        return real
    limits = np.iinfo(info.dtype)
    stored = np.rint(real / info.quantization.scale) + info.quantization.zero_point
    quantized: NDArray[Any] = np.clip(stored, limits.min, limits.max).astype(info.dtype)
    return quantized
