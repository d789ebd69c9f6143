"""ONNX file in, TensorRT's network out, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.engines.build_errors import BuildError
from jetson_detect.core.engines.build_options import BuildOptions, is_strongly_typed
from jetson_detect.core.model import Precision
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class NetworkContents:
    """What matters for a build of what a network holds."""

    types: frozenset[Precision]
    """Those that some tensor has; by the file only where the network is strongly typed."""
    quantized: bool
    """Whether there are QuantizeLinear nodes."""
    suppression: bool
    """Whether non-maximum suppression is inside."""
    misused_byte_inputs: tuple[str, ...]
    """Inputs of uint8 that something else than a cast reads, in the form ``image (Transpose_1)``.
    """


def make_network(
    library: TensorrtLibrary, builder: trt.Builder, options: BuildOptions
) -> trt.INetworkDefinition:
    """Return an empty network of the kind that the options ask for."""
    trt, features = library.trt, library.features
    flags = 0
    if features.explicit_batch_flag:
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if features.strongly_typed_flag and is_strongly_typed(features, options):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return builder.create_network(flags)


def read_onnx(
    library: TensorrtLibrary, network: trt.INetworkDefinition, onnx: Path
) -> trt.OnnxParser:
    """Read a file into a network; the parser has to outlive it.

    Raises
    ------
    BuildError
        With each of the parser's complaints, and what to do about them.

    """
    trt = library.trt
    mark = library.errors.mark()
    # Networks may hold nodes that are plugins, EfficientNMS_TRT for one.
    if not trt.init_libnvinfer_plugins(library.logger, ""):
        raise BuildError(
            f"{library} cannot load its plugins ({library.errors.since(mark)}); install it again"
        )
    parser = trt.OnnxParser(network, library.logger)
    # From the file and not from its bytes: weights may lie in other files beside it.
    if not parser.parse_from_file(str(onnx)):
        problems = [
            _describe(library, parser.get_error(index)) for index in range(parser.num_errors)
        ]
        reason = "; ".join(problems) or library.errors.since(mark)
        raise BuildError(f"{onnx}: {library} cannot parse it: {reason}; {_parsing_remedy(reason)}")
    return parser


def survey(library: TensorrtLibrary, network: trt.INetworkDefinition) -> NetworkContents:
    """Look at all layers of a network that was read."""
    trt, features = library.trt, library.features
    names = {
        trt.DataType.FLOAT: Precision.FP32,
        trt.DataType.HALF: Precision.FP16,
        trt.DataType.INT8: Precision.INT8,
    }
    if features.bf16_tensors:
        names[trt.DataType.BF16] = Precision.BF16
    if features.fp8_tensors:
        names[trt.DataType.FP8] = Precision.FP8
    # Besides casts, those that read no numbers.
    readers = {trt.LayerType.IDENTITY, trt.LayerType.SHAPE}
    if features.cast_layers:
        readers.add(trt.LayerType.CAST)
    byte_inputs = set()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor.dtype == trt.DataType.UINT8:
            byte_inputs.add(tensor.name)
    types, kinds, misused = set(), set(), {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kinds.add(layer.type)
        for output in range(layer.num_outputs):
            made = layer.get_output(output)
            if made is not None:
                types.add(made.dtype)
        if byte_inputs and layer.type not in readers:
            for place in range(layer.num_inputs):
                read = layer.get_input(place)
                if read is not None and read.name in byte_inputs:
                    misused[read.name] = f"{read.name} ({layer.name})"
    return NetworkContents(
        types=frozenset(name for dtype, name in names.items() if dtype in types),
        quantized=trt.LayerType.QUANTIZE in kinds,
        suppression=trt.LayerType.NMS in kinds,
        misused_byte_inputs=tuple(misused.values()),
    )


def require_contents(
    library: TensorrtLibrary, contents: NetworkContents, options: BuildOptions, onnx: Path
) -> None:
    """See that a network holds what the options suppose.

    Without this TensorRT would build another engine than was asked for, in silence: one of FP32
    for a file that was never quantised, one of INT8 for fp32.

    Raises
    ------
    BuildError
        Naming what is missing, or too much.

    """
    wanted = options.precision
    if contents.misused_byte_inputs:
        raise BuildError(
            f"{onnx}: {library} takes uint8 inputs only where a Cast reads them, and not "
            f"{', '.join(contents.misused_byte_inputs)}: export with float_inputs, or put a Cast "
            "behind the input"
        )
    if wanted in (Precision.INT8, Precision.FP8):
        if not contents.quantized:
            raise BuildError(
                f"precision {wanted.value}: {onnx} holds no QuantizeLinear, so that {library} "
                "knows no ranges: quantise it with calibration frames first, or build it with "
                "precision fp16"
            )
        if wanted is Precision.FP8 and Precision.FP8 not in contents.types:
            raise BuildError(
                f"precision fp8: {onnx} is quantised, but to int8: build it with precision int8, "
                "or quantise it to fp8 (FLOAT8E4M3FN)"
            )
    elif contents.quantized:
        held = Precision.FP8 if Precision.FP8 in contents.types else Precision.INT8
        raise BuildError(
            f"precision {wanted.value}: {onnx} is quantised: build it with precision {held.value}, "
            "or take the file as it was before"
        )
    if (
        is_strongly_typed(library.features, options)
        and wanted in (Precision.FP16, Precision.BF16)
        and wanted not in contents.types
    ):
        raise BuildError(
            f"precision {wanted.value}: {library} takes the precision from the ONNX file: convert "
            f"{onnx} to {wanted.value} first; no tensor in it is"
        )


def _describe(library: TensorrtLibrary, error: trt.ParserError) -> str:
    """Write one of the parser's errors, with the node's name where the version tells it."""
    features = library.features
    node = f"node {error.node()}"
    if features.parser_node_name:
        node += f" '{error.node_name()}' ({error.node_operator()})"
    return f"{node}: {error.desc()}"


def _parsing_remedy(reason: str) -> str:
    reason = reason.lower()
    if "uint8" in reason:
        return "export with float_inputs: only a Cast may read a uint8 input"
    if "plugin" in reason or "nonmaxsuppression" in reason:
        return (
            "cut the suppression out of the network (nms: cut) if it is that, else export with "
            "operators that this version knows"
        )
    return "export it with operators and an opset that this version knows"
