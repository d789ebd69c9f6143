"""INT8 written into a graph as pairs of ``QuantizeLinear`` and ``DequantizeLinear`` (Q/DQ).

The one way to INT8 that all TensorRT versions from 8.5 to 11 know.  Only what convolutions read is
quantised: their inputs, for a whole tensor, and their weights, for each output channel, both
symmetric (zero point 0, the only one TensorRT takes).  Whatever else reads such an input reads its
quantised form too: the sum of a residual block takes its shortcut in INT8, so that TensorRT can
compute it with the convolution.  That is how NVIDIA places Q/DQ ("Working with Quantized Types",
https://docs.nvidia.com/deeplearning/tensorrt/): everything else follows from moving Q and DQ
through layers that do not care.  Heads behind the last convolution, transposed convolutions and
matrix products stay as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_onnx, import_onnxruntime
from jetson_detect.core.onnx_graphs.plugins import PluginsDetached
from jetson_detect.core.onnx_graphs.tidying import tidy

if TYPE_CHECKING:
    import onnx

_CONVOLUTION = "Conv"
_SUM = "Add"
_ACTIVATIONS = ("Clip", "Relu", "LeakyRelu", "HardSwish")
_INT8_LARGEST = 127.0
_OLDEST_OPSET = 13
"""The first whose ``QuantizeLinear`` knows channels."""
_BATCHES_AT_ONCE = 8
"""All tensors of so many batches are held in memory before they are counted."""
_PERCENTILE_BINS = 2048
_ENTROPY_BINS = 512
"""The time it takes grows with the square: of 76 small tensors 47 s, and 136 s with 2048."""
_INT8_LEVELS = 128
_EXTRA_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    # Weights stay float32 with Q and DQ behind: TensorRT 8 quantises them itself.
    "AddQDQPairToWeight": True,
    "OpTypesToExcludeOutputQuantization": [_CONVOLUTION],
}


class Calibration(str, Enum):
    """How the range of a tensor follows from the values seen."""

    MINMAX = "minmax"
    """All of them."""
    ENTROPY = "entropy"
    """What loses least information (Migacz: "8-bit inference with TensorRT", 2017)."""
    PERCENTILE = "percentile"
    """All but the outermost; see :attr:`Int8Options.percentile`."""


@dataclass(frozen=True)
class Int8Options:
    """How a network is quantised."""

    calibration: Calibration = Calibration.MINMAX
    """The best on the demo model: its mAP50 falls from 0.981 to 0.977, with the percentiles 99.9 to
    99.9999 to 0.90 to 0.92, with entropy to 0.93."""
    percentile: float = 99.99
    """How many in a hundred values the range holds, with :attr:`Calibration.PERCENTILE`."""
    max_batches: int = 200
    """How many batches are looked at, at most."""
    excluded_nodes: tuple[str, ...] = ()
    """Convolutions that stay as they are, by the names of their nodes."""


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A network with Q/DQ inside."""

    model: onnx.ModelProto
    changes: tuple[str, ...]
    """What was done, in sentences."""
    quantized_nodes: int
    """How many convolutions compute in INT8."""


def quantize_int8(
    model: onnx.ModelProto,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    options: Int8Options = Int8Options(),
) -> QuantizedModel:
    """Quantise a network's convolutions; inputs and outputs keep their types.

    Parameters
    ----------
    model:
        An FP32 network; the given one is not changed.  Plugins of TensorRT may end it.
    batches:
        Its inputs, by name, preprocessed as for inference.  Each is read before the next is asked
        for, so one array may hold them all.
    options:
        How.

    Raises
    ------
    OnnxGraphError
        If there is no batch, no convolution, a node to exclude is unknown, or ONNX Runtime fails.
    BackendUnavailableError
        If onnx, onnx-graphsurgeon or ONNX Runtime is not installed.

    Notes
    -----
    Files that ONNX Runtime needs meanwhile, some times the size of the model, go into a folder of
    :func:`tempfile.gettempdir` (``TMPDIR``) and are removed.

    """
    detached = PluginsDetached(tidy(model))
    with tempfile.TemporaryDirectory(prefix="jetson_detect_int8_") as folder:
        fused = _fuse(_with_channels(detached.model), Path(folder))
        channels = {tensor.name: tensor.dims[:1] for tensor in fused.graph.initializer}
        made = {
            node.name: channels[node.input[1]][0]
            for node in fused.graph.node
            if node.op_type == _CONVOLUTION and node.input[1] in channels
        }
        names = list(made)
        unknown = sorted(set(options.excluded_nodes) - set(names))
        if unknown:
            raise OnnxGraphError(
                f"no convolution to exclude is called '{unknown[0]}'; there are "
                f"{', '.join(names) or 'none'}"
            )
        # TensorRT 8.5 and 8.6 take the one scale of a single channel for that of the whole tensor,
        # and refuse the kernel ("misaligns with the input kernel shape").
        single = [name for name, count in made.items() if count == 1]
        excluded = {*options.excluded_nodes, *single}
        chosen = [name for name in names if name not in excluded]
        if not chosen:
            raise OnnxGraphError(
                f"graph '{model.graph.name}' has no convolution with constant weights to quantise; "
                "build it as FP16"
            )
        seen = islice(batches, options.max_batches)
        quantized, count = _quantize(fused, seen, chosen, options, Path(folder))
    finished = tidy(detached.attach(quantized))
    finished.producer_name = model.producer_name
    _require_symmetric(finished)
    foreign = [entry.domain for entry in finished.opset_import if entry.domain]
    if foreign:
        raise OnnxGraphError(
            f"quantised, the graph has operators of {', '.join(foreign)}, which TensorRT does not "
            "know; exclude the nodes around them"
        )
    changes = [
        f"{len(chosen)} of {len(names)} convolutions are INT8, calibrated by "
        f"{options.calibration.value} on {count} batches; the rest stays as it was."
    ]
    if single:
        changes.append(f"They make one channel each, and stay: {', '.join(single)}.")
    if options.excluded_nodes:
        changes.append(f"Excluded as asked: {', '.join(options.excluded_nodes)}.")
    return QuantizedModel(finished, tuple(changes), len(chosen))


class _Reader:
    """Batches as ONNX Runtime asks for them, a few at a time: it holds what they make."""

    def __init__(self, batches: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self._batches = iter(batches)
        self._left = 0
        self.count = 0
        self.is_finished = False

    def start_group(self) -> None:
        """Let the next few be taken."""
        self._left = _BATCHES_AT_ONCE

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next of the few; None after the last."""
        if self._left == 0:
            return None
        batch = next(self._batches, None)
        if batch is None:
            self.is_finished = True
            return None
        self._left -= 1
        self.count += 1
        return dict(batch)


def _with_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring older opsets up to the first that quantises by channel."""
    onnx = import_onnx()
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    if opset >= _OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _OLDEST_OPSET)
    except Exception as error:
        raise OnnxGraphError(
            f"the graph is of opset {opset} and cannot be brought to {_OLDEST_OPSET} "
            f"({reason(error)}), which INT8 needs; export it with opset 13 to 17"
        ) from error


def _fuse(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Fuse what follows a convolution into its weights, so that they are quantised as used."""
    onnx, ort = import_onnx(), import_onnxruntime()
    source, fused = folder / "float.onnx", folder / "fused.onnx"
    onnx.save(model, str(source))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(fused)
    try:
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise OnnxGraphError(
            f"ONNX Runtime does not run graph '{model.graph.name}' ({reason(error)}), which "
            "calibration needs; build it as FP16"
        ) from error
    # It leaves imports of its own sets of operators behind, which TensorRT refuses.
    return tidy(onnx.load(str(fused)))


def _quantize(
    model: onnx.ModelProto,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    chosen: list[str],
    options: Int8Options,
    folder: Path,
) -> tuple[onnx.ModelProto, int]:
    """Return the model with Q/DQ, and how many batches were seen."""
    quantization = import_onnxruntime("onnxruntime.quantization")
    quantizer_class = import_onnxruntime("onnxruntime.quantization.qdq_quantizer").QDQQuantizer
    reader = _Reader(batches)
    try:
        ranges = _calibrate(model, reader, options, folder)
        quantizer = quantizer_class(
            model,
            True,  # a scale for each channel
            False,  # all 8 bits
            quantization.QuantType.QInt8,
            quantization.QuantType.QInt8,
            ranges,
            chosen,
            [],
            [_CONVOLUTION],
            _EXTRA_OPTIONS,
        )
        quantizer.quantize_model()
        _quantize_summands(quantizer.model.model, ranges)
    except OnnxGraphError:
        raise
    except Exception as error:
        raise OnnxGraphError(
            f"ONNX Runtime cannot quantise graph '{model.graph.name}' ({reason(error)}); "
            "check the calibration pictures, or build it as FP16"
        ) from error
    return quantizer.model.model, reader.count


def _quantize_summands(model: onnx.ModelProto, ranges: Any) -> None:
    """Quantise what is added to a convolution's result before the sum is quantised.

    TensorRT makes one INT8 kernel of the convolution, the sum and the activation, and wants all
    that it reads in INT8.  8.5.3 and 8.6.0 on an H200 lost a real summand: a network whose
    pyramid adds an upsampled map found nothing, its outputs were those that it has without the
    upsampled maps, and were right as soon as the sums were outputs of the engine too, and so not
    fused.  With the summand quantised both compute what ONNX Runtime does.  A shortcut needs
    nothing: it reads what is quantised already.
    """
    onnx = import_onnx()
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    order = {name: index for index, node in enumerate(graph.node) for name in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in [node for node in graph.node if node.op_type == _SUM]:
        kinds = [makers[name].op_type if name in makers else "" for name in node.input]
        if _CONVOLUTION not in kinds or not _is_quantised_next(node, readers):
            continue
        # Of two convolutions the later one takes the sum in.
        fused = max(
            (name for name, kind in zip(node.input, kinds) if kind == _CONVOLUTION),
            key=lambda name: order[name],
        )
        summand = next((name for name in node.input if name != fused), fused)
        if summand in weights or kinds[list(node.input).index(summand)] == "DequantizeLinear":
            continue
        largest = max(abs(float(np.max(bound))) for bound in ranges[summand].range_value)
        if largest <= 0.0:
            continue
        base = f"{summand}_to_{node.name}"
        scale = np.float32(largest / _INT8_LARGEST)
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(scale), f"{base}_scale"))
        zero = np.array(0, np.int8)
        graph.initializer.append(onnx.numpy_helper.from_array(zero, f"{base}_zero_point"))
        steps = (f"{base}_scale", f"{base}_zero_point")
        position = next(index for index, each in enumerate(graph.node) if each is node)
        for kind, source, target in (
            ("QuantizeLinear", summand, f"{base}_quantized"),
            ("DequantizeLinear", f"{base}_quantized", f"{base}_dequantized"),
        ):
            made = onnx.helper.make_node(kind, [source, *steps], [target], f"{base}_{kind}")
            graph.node.insert(position, made)
            position += 1
        for index, name in enumerate(node.input):
            if name == summand:
                node.input[index] = f"{base}_dequantized"


def _is_quantised_next(node: Any, readers: dict[str, list[Any]]) -> bool:
    """Whether a sum, or what an activation makes of it, is quantised."""
    following = readers.get(node.output[0], [])
    if len(following) == 1 and following[0].op_type in _ACTIVATIONS:
        following = readers.get(following[0].output[0], [])
    return any(each.op_type == "QuantizeLinear" for each in following)


def _calibrate(model: onnx.ModelProto, reader: _Reader, options: Int8Options, folder: Path) -> Any:
    """Return the range of each tensor that a convolution or a sum reads or makes."""
    onnx = import_onnx()
    quantization = import_onnxruntime("onnxruntime.quantization")
    methods: dict[Calibration, tuple[Any, dict[str, Any]]] = {
        Calibration.MINMAX: (quantization.CalibrationMethod.MinMax, {}),
        Calibration.ENTROPY: (
            quantization.CalibrationMethod.Entropy,
            {"num_bins": _ENTROPY_BINS, "num_quantized_bins": _INT8_LEVELS},
        ),
        Calibration.PERCENTILE: (
            quantization.CalibrationMethod.Percentile,
            {"num_bins": _PERCENTILE_BINS, "percentile": options.percentile},
        ),
    }
    method, extra = methods[options.calibration]
    path = folder / "calibrated.onnx"
    onnx.save(model, str(path))
    calibrator = quantization.create_calibrator(
        str(path),
        [_CONVOLUTION, _SUM],
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=method,
        extra_options={"symmetric": True, **extra},
    )
    while not reader.is_finished:
        before = reader.count
        reader.start_group()
        try:
            calibrator.collect_data(reader)
        except ValueError:
            # What it says to a group without batches, which the last one is at times.
            if reader.count != before:
                raise
    if not reader.count:
        raise OnnxGraphError("there was no calibration batch; give a folder or bag with pictures")
    return calibrator.compute_data()


def _require_symmetric(model: onnx.ModelProto) -> None:
    """Check what TensorRT insists on: zero points of 0 and scales above 0."""
    onnx = import_onnx()
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = onnx.numpy_helper.to_array(weights[node.input[1]])
        zero_point = onnx.numpy_helper.to_array(weights[node.input[2]])
        if not (scale > 0).all() or zero_point.any():
            raise OnnxGraphError(
                f"'{node.input[0]}' was quantised with scale {scale.min():g} and zero point "
                f"{np.abs(zero_point).max()}, but TensorRT needs a scale above 0 and no zero "
                f"point; exclude the convolution at '{node.name}'"
            )
