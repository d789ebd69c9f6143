#!/usr/bin/env python3
"""Compile the CUDA kernels: each ``NAME.cu`` to the ``NAME.ptx`` beside it.

Usage: compile_kernels.py

It needs NVIDIA's run-time compiler, which needs no GPU and no toolkit:
``pip install nvidia-cuda-nvrtc-cu11``.  The first line of the PTX holds the SHA-256 of the source
that it was made of, by which a test sees that they belong together.

The result is for drivers from CUDA 9 on and GPUs from the Jetson Nano's on: it uses no instruction
that came later, so the version that the compiler writes into it is lowered.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parent.parent / "jetson_detect/core/backends/tensorrt"
PACKAGE = "nvidia-cuda-nvrtc-cu11"
ARCHITECTURE = "compute_53"
PTX_VERSION = "6.0"


def compiler() -> Any:
    """Load NVRTC.

    Raises
    ------
    SystemExit
        If it is not installed.

    """
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise SystemExit(f"NVRTC is not installed: pip install {PACKAGE}") from None
    for file in files:
        if re.fullmatch(r"libnvrtc\.so\.[0-9.]+", file.name):
            return ctypes.CDLL(str(file.locate()))
    raise SystemExit(f"{PACKAGE} has no libnvrtc.so: install it again")


def compiled(nvrtc: Any, source: Path) -> str:
    """Return the PTX of a source.

    Raises
    ------
    SystemExit
        With the compiler's log, if it refuses it.

    """
    program = ctypes.c_void_p()
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={ARCHITECTURE}".encode())
    text, name = source.read_bytes(), source.name.encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None)
    if nvrtc.nvrtcCompileProgram(program, 1, options):
        raise SystemExit(_text(nvrtc, "ProgramLog", program))
    return _text(nvrtc, "PTX", program)


def _text(nvrtc: Any, kind: str, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{kind}")(program, text)
    return text.value.decode()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    nvrtc = compiler()
    for source in sorted(SOURCES.glob("*.cu")):
        write(source, compiled(nvrtc, source))


def write(source: Path, ptx: str) -> None:
    """Write the PTX of a source, for old drivers.

    Raises
    ------
    SystemExit
        If it is not as PTX was.

    """
    ptx, count = re.subn(r"^\.version \S+$", f".version {PTX_VERSION}", ptx, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"the PTX has {count} lines '.version', not 1: another NVRTC is needed")
    target = source.with_suffix(".ptx")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    target.write_text(f"// {source.name} {digest}\n{ptx.strip()}\n")
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
