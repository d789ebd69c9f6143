"""Plan files: what they are called, and how model folders name them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jetson_detect.core.model import MODEL_FILE, Precision

PRECISIONS = (Precision.FP32, Precision.FP16)


def plan_name(name: str, precision: Precision, version: str) -> str:
    """Return what the plan of a network is called."""
    return f"{name}_{precision.value}_trt{version}.plan"


def version_of(plan: Path) -> str:
    """Return the version that a plan's name tells; nothing if it tells none."""
    match = re.search(r"_trt([\d.]+)\.plan$", plan.name)
    return match[1] if match else ""


def list_plans(folder: Path, plans: Path, version: str) -> None:
    """Name the plans of a version first in a model folder ``NAME_trtVERSION``."""
    import yaml

    source = folder / MODEL_FILE
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    name = folder.name.removesuffix(f"_trt{version}")
    entries = [
        {"format": "tensorrt", "path": os.path.relpath(path, folder), "precision": precision.value}
        for precision in PRECISIONS
        if (path := plans / plan_name(name, precision, version)).exists()
    ]
    others = [file for file in document["files"] if file["format"] != "tensorrt"]
    document["files"] = entries + others
    source.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
