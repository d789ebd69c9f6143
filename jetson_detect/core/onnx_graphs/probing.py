"""What tensors inside a network look like when it runs: asked of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendUnavailableError
from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.onnx_graphs.errors import OnnxGraphError
from jetson_detect.core.onnx_graphs.libraries import import_onnx, import_onnxruntime
from jetson_detect.core.onnx_graphs.tidying import tidy

if TYPE_CHECKING:
    import onnx

OPEN_SIZE = 320
"""What open heights and widths of an input are taken as, in pixels."""
_SEED = 20


def can_probe() -> bool:
    """Whether ONNX Runtime is there."""
    try:
        import_onnxruntime()
    except BackendUnavailableError:
        return False
    return True


def probe(model: onnx.ModelProto, names: Sequence[str]) -> list[dict[str, NDArray[Any]]]:
    """Run a network on a picture of noise and a grey one.

    Parameters
    ----------
    model:
        The network; bytes go from 0 to 255, other inputs from 0 to 1.
    names:
        Tensors of its main graph.

    Returns
    -------
    For each picture the tensors by name.

    Raises
    ------
    OnnxGraphError
        If it does not run; the message is ONNX Runtime's.
    BackendUnavailableError
        If ONNX Runtime is not installed.

    """
    onnx, ort = import_onnx(), import_onnxruntime()
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    inputs = {info.name for info in part.graph.input}
    wanted = [name for name in names if name not in inputs]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    _type_outputs(part, model)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(
            tidy(part).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [
            {**feed, **dict(zip(wanted, session.run(wanted, feed)))} for feed in _feeds(session)
        ]
    except OnnxGraphError:
        raise
    except Exception as error:
        raise OnnxGraphError(
            f"ONNX Runtime does not run graph '{model.graph.name}' ({reason(error)}); "
            "name box_format and box_units, so that it need not be tried"
        ) from error


def _type_outputs(part: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Give new outputs their inferred types; ONNX Runtime wants at least the element's."""
    onnx = import_onnx()
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    for info in part.graph.output:
        if info.name in known:
            info.CopyFrom(known[info.name])
        else:
            info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _feeds(session: Any) -> Iterator[dict[str, NDArray[Any]]]:
    random = np.random.default_rng(_SEED)
    for is_noise in (True, False):
        feed = {}
        for info in session.get_inputs():
            shape = [
                size if isinstance(size, int) else (1 if axis == 0 else OPEN_SIZE)
                for axis, size in enumerate(info.shape)
            ]
            values = random.random(shape) if is_noise else np.full(shape, 0.5)
            dtype = _DTYPES.get(info.type, np.float32)
            if np.issubdtype(dtype, np.integer):
                values = values * 255
            feed[info.name] = values.astype(dtype)
        yield feed


_DTYPES: dict[str, Any] = {
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
"""Others are float32."""
