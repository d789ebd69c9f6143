#!/usr/bin/env python3
"""Compile the letterbox kernel: ``letterbox.cu`` to the ``letterbox.ptx`` beside it.

Usage: compile_letterbox.py

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

SOURCE = (
    Path(__file__).resolve().parent.parent / "jetson_detect/core/backends/tensorrt/letterbox.cu"
)
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


def compiled(nvrtc: Any, source: bytes) -> str:
    """Return the PTX of a source.

    Raises
    ------
    SystemExit
        With the compiler's log, if it refuses it.

    """
    program = ctypes.c_void_p()
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={ARCHITECTURE}".encode())
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, SOURCE.name.encode(), 0, None, None)
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
    source = SOURCE.read_bytes()
    ptx = compiled(compiler(), source)
    ptx, count = re.subn(r"^\.version \S+$", f".version {PTX_VERSION}", ptx, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"the PTX has {count} lines '.version', not 1: another NVRTC is needed")
    target = SOURCE.with_suffix(".ptx")
    target.write_text(f"// {SOURCE.name} {hashlib.sha256(source).hexdigest()}\n{ptx.strip()}\n")
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
