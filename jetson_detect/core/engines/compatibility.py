"""Which machines may run an engine: its own, and what two options of TensorRT add to that."""

from __future__ import annotations

import re

from jetson_detect.core.engines.identity import EngineIdentity, machine_differences
from jetson_detect.core.engines.machine import MachineIdentity

VERSION_COMPATIBLE = "version_compatible"
"""The option, true or false, of ``BuilderFlag.VERSION_COMPATIBLE``."""
HARDWARE_COMPATIBILITY = "hardware_compatibility"
"""The option that names a ``HardwareCompatibilityLevel`` in lower case."""

_AMPERE = (8, 0)
_SYSTEM = frozenset({"driver", "l4t"})


def obstacles(engine: EngineIdentity, machine: MachineIdentity) -> tuple[str, ...]:
    """Name each thing that keeps a machine from running an engine; none if it may.

    Without options the machine has to be the one that the engine was built on.  A version
    compatible engine runs on later versions of the same major version, a hardware compatible one
    on GPUs of Ampere and newer, or of the same compute capability; neither depends on the driver.
    https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/advanced.html
    """
    built = engine.machine
    ignored: frozenset[str] = frozenset()
    if engine.options.get(VERSION_COMPATIBLE) is True:
        ignored |= _SYSTEM
        if _is_later_minor(built.tensorrt, machine.tensorrt):
            ignored |= {"tensorrt"}
    hardware = engine.options.get(HARDWARE_COMPATIBILITY)
    if hardware == "ampere_plus":
        ignored |= _SYSTEM
        if _numbers(machine.compute_capability) >= _AMPERE:
            ignored |= {"gpu", "compute_capability"}
    elif hardware == "same_compute_capability":
        ignored |= _SYSTEM
        if built.compute_capability == machine.compute_capability:
            ignored |= {"gpu"}
    return machine_differences(built, machine, ignored)


def _is_later_minor(built: str, running: str) -> bool:
    older, newer = _numbers(built), _numbers(running)
    return older[:1] == newer[:1] and older <= newer


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
