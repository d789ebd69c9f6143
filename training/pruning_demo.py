"""How the demo model is trained on while it is pruned.

    prune_model models/demo/demo.keras --train-module training/pruning_demo.py \
        --skip 'down4_*' --skip 'at4_*' --skip 'up4_*' --skip 'wh*_mix' --output demo_pruned.keras

Gives ``prune_model`` what it needs: drawn scenes, the detection loss, and mAP on scenes that were
neither trained on nor are in the demo bag.  What is skipped are the small kernels at the finest
resolution, one in twenty of the weights.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Run from its path, this file finds the package and its own neighbours from the repository root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras

from jetson_detect.core.pruning import TrainingSetup
from training import dataset, evaluation, export, fitting, losses


@dataclass(frozen=True)
class DemoTraining:
    """How long and how the demo model is trained on; the defaults suit two cores without a GPU."""

    scenes: int = 2400
    epochs: int = 12
    batch: int = 16
    rate: float = 4e-3
    """Learning rate at the start, near that of the training from nothing: what is left of the
    network has much to make good.  It falls along half a cosine to 1 %."""
    seed: int = 2
    """Of the scenes; the model was trained on those of seed 1."""
    stills: int = 200
    """Scenes to evaluate on."""
    workers: int = os.cpu_count() or 1
    """Processes that draw scenes and prepare batches."""


def make_training(model: keras.Model, options: DemoTraining | None = None) -> TrainingSetup:
    """Draw scenes and say how the demo model is trained on with them."""
    options = options or DemoTraining()
    samples = dataset.draw_samples(options.seed, options.scenes, options.workers)
    steps = len(samples) // options.batch

    def batches() -> Iterator[Any]:
        with dataset.batches(
            samples, options.seed, options.epochs, options.batch, options.workers
        ) as prepared:
            yield from prepared

    def evaluate(network: keras.Model) -> dict[str, float]:
        stills = evaluation.held_out_stills(options.stills)
        found = evaluation.evaluate(export.run_keras(network), stills)
        return {"mAP50": found.map_50, "mAP75": found.map_75, "mAP50-95": found.map_all}

    return TrainingSetup(
        trainer=_trainer(model, options.rate, steps * options.epochs),
        dataset=batches(),
        steps_per_epoch=steps,
        epochs=options.epochs,
        evaluate=evaluate,
    )


def _trainer(model: keras.Model, rate: float, steps: int) -> keras.Model:
    """Return the model that is trained, compiled.

    Batch normalisation goes on learning its statistics: those of the dense network do not fit one
    whose weights are mostly zero.
    """
    trainer = fitting.make_trainer(model)
    falling = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
    trainer.compile(
        keras.optimizers.AdamW(falling, weight_decay=1e-4, global_clipnorm=10.0),
        loss=losses.detection_loss,
    )
    return trainer
