#!/usr/bin/env python3
"""Check the tensorrt backend against the real TensorRT; ``tensorrt_check/command.py`` says how."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # that interpreter has no installation of this package

from tensorrt_check.command import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
