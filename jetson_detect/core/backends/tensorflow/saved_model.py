"""SavedModel folders, by signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.tensorflow.network import Network, describe
from jetson_detect.core.model import ModelFile

_DEFAULT_SIGNATURE = "serving_default"


def load_saved_model(tf: Any, file: ModelFile) -> Network:
    """Load a signature of a SavedModel, with the names of its inputs and outputs.

    Raises
    ------
    BackendError
        If there is no such signature.  What TensorFlow raises is not caught.

    """
    if not any((file.path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise BackendError(
            f"{file.path}: is no SavedModel: it is not a folder with a saved_model.pb in it; "
            "correct 'files' in model.yaml"
        )
    loaded = tf.saved_model.load(str(file.path))
    function = _signature(loaded.signatures, file)
    _, inputs = function.structured_input_signature

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = function(**tensors)
        return outputs

    return describe(tf, inputs, function.structured_outputs, call, owner=loaded)


def _signature(signatures: Mapping[str, Any], file: ModelFile) -> Any:
    names = list(signatures)
    if not names:
        raise BackendError(
            f"{file.path}: has no signature; save the model with signatures= or by model.export()"
        )
    wanted = file.signature or (names[0] if len(names) == 1 else _DEFAULT_SIGNATURE)
    if wanted not in names:
        raise BackendError(
            f"{file.path}: has no signature '{wanted}'; it has {', '.join(names)}: "
            "name one of them as this file's signature in model.yaml"
        )
    return signatures[wanted]
