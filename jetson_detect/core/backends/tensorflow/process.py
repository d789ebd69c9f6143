"""What TensorFlow fixes once for a process: CPU threads and GPU memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jetson_detect.core.backends.base import BackendOptions

_TOO_LATE = "TensorFlow was already running in this process"


@dataclass(frozen=True)
class Process:
    """How TensorFlow is set up in this process."""

    device: str
    has_gpu: bool
    details: Mapping[str, str]
    """For the description; where a setting came too late, they say so."""


def set_up(tf: Any, options: BackendOptions) -> Process:
    """Apply the options as far as TensorFlow still takes them, and say what holds."""
    gpus = tf.config.list_physical_devices("GPU")
    details = {"threads": _set_threads(tf, options.threads)}
    if not gpus:
        return Process("CPU", False, details)
    details["gpu_memory"] = _limit_memory(tf, gpus, options.tensorflow.gpu_memory_limit_mb)
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    return Process(f"GPU ({name})", True, details)


def _set_threads(tf: Any, wanted: int) -> str:
    """Bound the CPU threads of an inference; 0 leaves them to TensorFlow."""
    threading = tf.config.threading
    if wanted:
        with suppress(RuntimeError):
            threading.set_intra_op_parallelism_threads(wanted)
            threading.set_inter_op_parallelism_threads(1)
    holds = threading.get_intra_op_parallelism_threads()
    text = str(holds or "as TensorFlow chooses")
    return text if wanted in (0, holds) else f"{text} (not {wanted}: {_TOO_LATE})"


def _limit_memory(tf: Any, gpus: Sequence[Any], limit_mb: int) -> str:
    """Keep TensorFlow from taking a whole GPU at once; 0 lets it grow by need."""
    wanted = f"at most {limit_mb} MB" if limit_mb else "grows by need"
    try:
        for gpu in gpus:
            if limit_mb:
                limit = tf.config.LogicalDeviceConfiguration(memory_limit=limit_mb)
                tf.config.set_logical_device_configuration(gpu, [limit])
            else:
                tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError):  # set in another way by whoever came first
        holds = _memory_limits(tf, gpus)
        return holds if holds == wanted else f"{holds} (not '{wanted}': {_TOO_LATE})"
    return wanted


def _memory_limits(tf: Any, gpus: Sequence[Any]) -> str:
    """Say what limits the GPUs' memory now."""
    for gpu in gpus:
        for logical in tf.config.get_logical_device_configuration(gpu) or ():
            if logical.memory_limit:
                return f"at most {logical.memory_limit} MB"
    with suppress(RuntimeError, ValueError):
        if tf.config.experimental.get_memory_growth(gpus[0]):
            return "grows by need"
    return "all of it"
