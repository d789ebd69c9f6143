"""The plan files of the fake TensorRT: a header in JSON and the ONNX model."""

from __future__ import annotations

import json
import struct
from typing import Any

MAGIC = b"fakeplan"
GPU = "Fake Orin"
COMPUTE_CAPABILITY = (8, 7)

Profiles = list[dict[str, list[list[int]]]]


def make_plan(
    onnx: bytes,
    version: str,
    gpu: str = GPU,
    profiles: Profiles | None = None,
    **header: Any,
) -> bytes:
    """Make a plan; ``header`` may hold types, formats and locations by tensor, device_memory."""
    fields = {"version": version, "gpu": gpu, "profiles": profiles or [{}], **header}
    text = json.dumps(fields).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + onnx


def read_plan(plan: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and ONNX model; ValueError if it is no plan."""
    if not plan.startswith(MAGIC):
        raise ValueError("no plan")
    (size,) = struct.unpack_from("<I", plan, len(MAGIC))
    start = len(MAGIC) + 4
    return json.loads(plan[start : start + size]), plan[start + size :]
