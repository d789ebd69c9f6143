"""Keras files: ``.keras`` in safe mode, and ``.h5`` from before."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.refusals import import_library, reason
from jetson_detect.core.backends.tensorflow.network import Network, describe
from jetson_detect.core.model import ModelFile

_HDF5_SUFFIXES = (".h5", ".hdf5")


def load_keras_file(tf: Any, file: ModelFile) -> Network:
    """Load a Keras model as a graph, with the names that it gives its inputs and outputs.

    Code that comes with a file is not run: a file that asks for it is refused.

    Raises
    ------
    BackendError
        If no Keras that is installed can load it.  What it raises in running is not caught.

    """
    model = _load(file)
    inputs = tf.nest.flatten(model.input)
    names = [str(tensor.name).split(":")[0] for tensor in inputs]
    specs = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(names, inputs)
    }

    def graph(*tensors: Any) -> Mapping[str, Any]:
        structured = tf.nest.pack_sequence_as(model.input, list(tensors))
        return _by_name(tf, model, model(structured, training=False))

    function = tf.function(graph, input_signature=list(specs.values())).get_concrete_function()

    def call(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = function(*(tensors[name] for name in names))
        return outputs

    return describe(tf, specs, function.structured_outputs, call, owner=model)


def _by_name(tf: Any, model: Any, outputs: Any) -> Mapping[str, Any]:
    """Name a model's outputs: by their keys if it returns a dictionary, else by their layers."""
    if isinstance(outputs, Mapping):
        return outputs
    return dict(zip(model.output_names, tf.nest.flatten(outputs)))


def _load(file: ModelFile) -> Any:
    """Load with the Keras of this TensorFlow, else with Keras 2 where that is there as well."""
    if file.path.suffix in _HDF5_SUFFIXES:
        _refuse_lambdas(file)
        options: dict[str, Any] = {"compile": False}
    else:
        options = {"compile": False, "safe_mode": True}
    # Keras 3 reads this when it is first imported; its other backends make no TensorFlow graphs.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    refusals: list[str] = []
    versions: list[str] = []
    for module in filter(find_spec, ("keras", "tf_keras")):
        name = module
        try:
            keras = import_library(module, "install the release that fits TensorFlow")
            versions.append(keras.__version__)
            name = f"{module} {keras.__version__}"
            backend = keras.backend.backend()
            if backend != "tensorflow":
                raise BackendError(f"it runs on {backend}; set KERAS_BACKEND=tensorflow")
            return keras.models.load_model(str(file.path), **options)
        except Exception as error:  # a wrong file makes Keras raise almost anything
            refusals.append(f"{name}: {reason(error)}")
    saved_with = _version_that_saved(file)
    # Where that one is installed, it is not the version that keeps the file from being loaded.
    other = saved_with not in ("", *versions)
    remedy = f"it was saved with Keras {saved_with}: install that, " if other else ""
    raise BackendError(
        f"{file.path}: cannot be loaded: {'; '.join(refusals) or 'Keras is missing'}; "
        f"{remedy}save it again with this version of Keras, or give a SavedModel (model.export)"
    )


def _version_that_saved(file: ModelFile) -> str:
    """Return the release of Keras that wrote a ``.keras`` file; empty if the file does not tell."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return ""


def _refuse_lambdas(file: ModelFile) -> None:
    """Refuse Python code in an HDF5 file, for which many releases of Keras ignore safe mode."""
    h5py = import_library("h5py", "pip install h5py")
    with h5py.File(str(file.path), "r") as content:
        config = content.attrs.get("model_config")
    if config is None:
        raise BackendError(
            f"{file.path}: holds weights only; save the whole model with model.save()"
        )
    if _has_lambda(json.loads(config)):
        raise BackendError(
            f"{file.path}: has a Lambda layer, that is code which would be run; "
            "replace the layer, or give a SavedModel (model.export)"
        )


def _has_lambda(config: Any) -> bool:
    if isinstance(config, dict):
        return config.get("class_name") == "Lambda" or any(map(_has_lambda, config.values()))
    return isinstance(config, list) and any(map(_has_lambda, config))
