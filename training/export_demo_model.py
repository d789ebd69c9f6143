#!/usr/bin/env python3
"""Make every other format of a trained demo model, and measure them all.

    python training/export_demo_model.py --output models/demo

Reads ``demo.keras``, writes TFLite (32-bit floating point, 8 bit) and ONNX beside it, and prints a
table of what each reaches on pictures that were not trained on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

# Run as a script, this file finds the package and its own neighbours from the repository root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_CALIBRATION_PICTURES = 400


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--output", type=Path, required=True, help="folder that holds demo.keras")
    parser.add_argument("--seed", type=int, default=500_001, help="of the calibration pictures")
    parser.add_argument("--stills", type=int, default=600, help="stills to evaluate on")
    parser.add_argument("--frames", type=int, default=200, help="demo frames to evaluate on")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def main() -> None:
    """Export and evaluate."""
    arguments = _arguments()
    output: Path = arguments.output
    started = time.monotonic()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    from training import dataset, evaluation, export

    keras_path = output / "demo.keras"
    model = keras.saving.load_model(keras_path)
    fp32_path, int8_path = output / "demo_fp32.tflite", output / "demo_int8.tflite"
    onnx_path = output / "demo.onnx"
    export.write_tflite(model, fp32_path)
    calibration = dataset.draw_samples(arguments.seed, _CALIBRATION_PICTURES, arguments.workers)
    export.write_tflite_int8(model, int8_path, calibration.images)
    export.write_onnx(model, onnx_path)
    print(f"exported after {time.monotonic() - started:.0f} s", flush=True)

    print(
        "| file | bytes | pictures | objects | mAP50 | mAP75 | mAP50-95 | best F1 | at score "
        "| empty pictures with a false alarm |\n" + "|---" * 10 + "|"
    )
    runners = (
        (keras_path, export.run_keras(model)),
        (fp32_path, export.run_tflite(fp32_path)),
        (int8_path, export.run_tflite(int8_path)),
        (onnx_path, export.run_onnx(onnx_path)),
    )
    for path, runner in runners:
        for name, scenes in (
            ("stills", evaluation.held_out_stills(arguments.stills)),
            ("demo bag", evaluation.demo_frames(arguments.frames)),
        ):
            found = evaluation.evaluate(runner, scenes)
            print(
                f"| {path.name} | {path.stat().st_size} | {found.pictures} {name} "
                f"| {found.objects} | {found.map_50:.3f} | {found.map_75:.3f} "
                f"| {found.map_all:.3f} | {found.best_f1:.3f} | {found.best_threshold:.2f} "
                f"| {100.0 * found.false_alarms:.1f} % |",
                flush=True,
            )
    print(f"finished after {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
