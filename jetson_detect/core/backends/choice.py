"""Which backends are tried for a model, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jetson_detect.core.backends import (
    BACKENDS,
    BackendError,
    BackendUnavailableError,
    files_for,
)
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.model import ModelFile, ModelSpec, Precision
from jetson_detect.core.tensorrt_library.driver import CudaDriver

AUTO = "auto"
NO_ENGINES = EngineFiles()
_WITH_GPU = ("tensorrt", "tensorflow", "onnxruntime", "tflite")
_WITHOUT_GPU = ("tensorrt", "tflite", "onnxruntime", "tensorflow")
"""TensorRT all the same, so that its refusal says why there is no GPU."""


@dataclass(frozen=True)
class BackendChoice:
    """A backend and the file that it is to run."""

    backend: str
    file: ModelFile
    expected: bool = True
    """Whether the user asked for this backend by name."""

    def __str__(self) -> str:
        return f"{self.backend} ({self.file.path.name})"


@dataclass(frozen=True)
class MissingChoice:
    """A backend for which the model has no file, or not the one that it should run."""

    backend: str
    reason: str
    expected: bool = True


def find_choices(
    model: ModelSpec,
    names: Sequence[str] = (AUTO,),
    precision: Precision | None = None,
    engines: EngineFiles = NO_ENGINES,
) -> tuple[tuple[BackendChoice, ...], tuple[MissingChoice, ...]]:
    """Spell out the order in which a model's files are tried.

    Parameters
    ----------
    model:
        The model.
    names:
        Keys of :data:`~jetson_detect.core.backends.BACKENDS`, best first.  ``auto`` stands for
        the ones that are not named, in an order that suits the machine: on a CPU TFLite starts
        soonest and runs fastest, on a GPU TensorFlow and ONNX Runtime can use it and TFLite cannot.
    precision:
        Take only files of this precision; None takes any.
    engines:
        What was built for the model on this machine; tried before the engines that it brings.

    Returns
    -------
    What to try, best first, and what cannot be tried: the backends that the model has no file for,
    and the engines that were built for it and are refused, where it runs one that it brings itself.

    Raises
    ------
    ValueError
        If a name is unknown or comes twice, or there is none.

    """
    check_names(names)
    ordered: list[tuple[str, bool]] = []
    for name in names:
        if name == AUTO:
            machine = _WITH_GPU if has_gpu() else _WITHOUT_GPU
            ordered += [(each, False) for each in machine if each not in names]
        else:
            ordered.append((name, True))
    choices: list[BackendChoice] = []
    missing: list[MissingChoice] = []
    for name, expected in ordered:
        built = engines if name == "tensorrt" else NO_ENGINES
        files = built.of(precision)
        reasons = () if files else built.refusals
        try:
            files += files_for(model, name, precision)
        except BackendError as error:
            if not files:
                told = filter(None, (str(error), *reasons, built.absence))
                missing.append(MissingChoice(name, "; ".join(told), expected))
        else:
            if reasons:
                # The model's own engine runs on this backend: no reason to warn.
                missing.append(MissingChoice(name, "; ".join(reasons), expected=False))
        choices += [BackendChoice(name, file, expected) for file in files]
    return tuple(choices), tuple(missing)


def check_names(names: Sequence[str]) -> None:
    """Check a list of backends.

    Raises
    ------
    ValueError
        If a name is unknown or comes twice, or there is none.

    """
    known = (AUTO, *BACKENDS)
    if not names:
        raise ValueError(f"no backend is named; use '{AUTO}' or some of {', '.join(BACKENDS)}")
    for name in names:
        if name not in known:
            raise ValueError(f"backend '{name}' is not known; use {', '.join(known)}")
    if len(set(names)) != len(names):
        raise ValueError(f"backends {', '.join(names)}: one is named twice; name each once")


@cache
def has_gpu() -> bool:
    """Whether NVIDIA's driver is installed and knows a GPU; asked once, since starting it is slow.

    The choices are spelt out again for each change of any of the node's parameters.
    """
    try:
        CudaDriver()
    except BackendUnavailableError:
        return False
    return True
