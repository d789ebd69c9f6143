#!/usr/bin/env python3
"""Train the demo model from nothing.

    python training/train_demo_model.py --output models/demo

Writes ``demo.keras``; ``export_demo_model.py`` makes the other formats of it.  Any backend of Keras
does (KERAS_BACKEND=jax uses a GPU).  Scenes, order, variation and start weights come from
``--seed``: the same options on the same kind of machine give the same model.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

# Run as a script, this file finds the package and its own neighbours from the repository root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jetson_detect.core.scenes import CLASS_NAMES


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for demo.keras")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default 1)")
    parser.add_argument("--scenes", type=int, default=40000, help="training scenes to draw")
    parser.add_argument("--epochs", type=int, default=40, help="times that each scene is seen")
    parser.add_argument("--batch", type=int, default=64, help="scenes in a step")
    parser.add_argument("--rate", type=float, default=5e-3, help="highest learning rate")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--quick", action="store_true", help="a run of a minute that shows that all parts work"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.scenes, arguments.epochs = 400, 2
    return arguments


def main() -> None:
    """Draw and train."""
    arguments = _arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    # Sums in a fixed order; read by the backends when they are imported.
    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Keras is imported here and not above: the processes that draw scenes import this file
    # again, and have no use for it.
    import keras

    from training import dataset, fitting, network

    keras.utils.set_random_seed(arguments.seed)
    print(f"drawing {arguments.scenes} scenes", flush=True)
    samples = dataset.draw_samples(arguments.seed, arguments.scenes, arguments.workers)
    print(f"drawn in {time.monotonic() - started:.0f} s", flush=True)
    model = network.build(len(CLASS_NAMES))
    print(f"{model.count_params()} parameters, Keras on {keras.backend.backend()}", flush=True)
    fitting.fit(
        model,
        samples,
        arguments.seed,
        arguments.epochs,
        arguments.batch,
        arguments.rate,
        arguments.workers,
    )
    model.save(arguments.output / "demo.keras")
    print(f"finished after {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
