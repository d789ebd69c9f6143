"""Keras 3 and its files, and the refusal of what came before."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from jetson_detect.core.backends.base import BackendUnavailableError
from jetson_detect.core.backends.refusals import import_library, reason
from jetson_detect.core.pruning.errors import PruningError

KERAS_SUFFIX = ".keras"

_INSTALL = "pip install 'tensorflow>=2.16' 'keras>=3', in an environment of its own if need be"
_CONVERT = (
    "build the same network with Keras 3, load the weights that legacy Keras saves by "
    "save_weights('weights.h5') into it, and save() it as .keras; see docs/pruning.md"
)


def import_keras() -> Any:
    """Import Keras 3 on TensorFlow.

    Raises
    ------
    PruningError
        If it is not there, or another release or backend of Keras is.

    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # read when Keras is first imported
    try:
        keras = import_library("keras", _INSTALL)
    except BackendUnavailableError as error:
        raise PruningError(f"pruning needs Keras 3: {error}") from error
    if int(keras.__version__.split(".")[0]) < 3:
        raise PruningError(f"pruning needs Keras 3, here is Keras {keras.__version__}; {_INSTALL}")
    if keras.backend.backend() != "tensorflow":
        raise PruningError(
            f"pruning needs Keras on TensorFlow, here it runs on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow"
        )
    return keras


def load_keras_model(path: Path) -> Any:
    """Load a ``.keras`` file of Keras 3, without optimizer; code in the file is not run.

    Raises
    ------
    PruningError
        If it is none, is one of legacy Keras, or cannot be loaded.

    """
    if path.suffix != KERAS_SUFFIX:
        raise PruningError(
            f"{path}: pruning reads .keras files of Keras 3; load it with Keras 3 (compile=False) "
            f"and save() it as {path.stem}.keras; if that fails, {_CONVERT}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            version = str(json.loads(archive.read("metadata.json"))["keras_version"])
    except OSError as error:
        raise PruningError(f"{path}: cannot be read ({error.strerror})") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise PruningError(
            f"{path}: is not a .keras file ({reason(error)}); write one with model.save()"
        ) from error
    if not version.startswith("3."):
        raise PruningError(
            f"{path}: was written by legacy Keras {version}, pruning needs Keras 3; {_CONVERT}"
        )
    keras = import_keras()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a wrong file makes Keras raise almost anything
        raise PruningError(
            f"{path}: cannot be loaded by Keras {keras.__version__} ({reason(error)}); layers of "
            "your own must be registered by the training module "
            "(keras.saving.register_keras_serializable)"
        ) from error


def save_keras_model(model: Any, path: Path) -> None:
    """Write a ``.keras`` file whole or not at all.

    Raises
    ------
    PruningError
        If it cannot be written.

    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
            whole = Path(folder) / f"model{KERAS_SUFFIX}"
            model.save(whole)
            whole.replace(path)
    except OSError as error:
        raise PruningError(f"{path}: cannot be written ({reason(error)})") from error
