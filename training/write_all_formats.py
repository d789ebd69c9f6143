#!/usr/bin/env python3
"""Make a model folder with the demo model in every format that a backend reads.

    python training/write_all_formats.py --output build/demo_all_formats
    compare_backends build/demo_all_formats

Copies what ``models/demo`` has and writes a SavedModel and a frozen graph beside it.  Engines for
TensorRT are built on the machine that runs them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# Run as a script, this file finds the package and its own neighbours from the repository root.
sys.path.insert(0, str(_ROOT))

_DEMO = _ROOT / "models" / "demo"
_ADDED = (
    "  - {format: saved_model, path: saved_model, precision: fp32}\n"
    "  - {format: frozen_graph, path: demo.pb, precision: fp32}\n"
)


def main() -> None:
    """Write the folder, over what is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    output: Path = parser.parse_args().output
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    from training import export

    shutil.copytree(_DEMO, output, dirs_exist_ok=True)
    model = keras.saving.load_model(output / "demo.keras")
    export.write_saved_model(model, output / "saved_model")
    export.write_frozen_graph(model, output / "demo.pb")
    description = (output / "model.yaml").read_text(encoding="utf-8")
    description = description.replace("\n\ninput:", f"\n{_ADDED}\ninput:", 1)
    (output / "model.yaml").write_text(description, encoding="utf-8")
    print(f"{output}: {', '.join(sorted(path.name for path in output.iterdir()))}")


if __name__ == "__main__":
    main()
