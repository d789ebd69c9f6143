"""The training loop."""

from __future__ import annotations

import keras
from keras import layers

from training.dataset import Samples, batches
from training.losses import box_loss, detection_loss, heatmap_loss

_WARM_UP = 0.04  # share of the steps in which the learning rate rises


def make_trainer(model: keras.Model) -> keras.Model:
    """Return a model, not compiled, that trains the layers of ``model``.

    It takes bytes, ``(B, 160, 160, 3)`` ``uint8`` RGB, and gives all outputs as the one tensor that
    :mod:`training.losses` wants to see at once.
    """
    pictures = keras.Input(model.input_shape[1:], dtype="uint8", name="pictures")
    outputs = model(layers.Rescaling(1.0 / 255.0)(pictures))
    joined = layers.Concatenate()([outputs["heatmap"], outputs["offset"], outputs["size"]])
    return keras.Model(pictures, joined)


def fit(
    model: keras.Model,
    samples: Samples,
    seed: int,
    epochs: int,
    batch_size: int,
    peak_rate: float,
    workers: int,
) -> None:
    """Train ``model`` in place; its weights end as their running average.

    Args:
        model: from :func:`training.network.build`.
        samples: what to learn from.
        seed: of the order and the variation of the samples.
        epochs: how often each sample is seen.
        batch_size: samples in a step.
        peak_rate: highest learning rate; it rises for a short while, then falls along half a
            cosine to 1 %.
        workers: processes that prepare batches.
    """
    steps = len(samples) // batch_size
    warm_up = max(1, int(_WARM_UP * steps * epochs))
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak_rate / warm_up,
        decay_steps=max(1, steps * epochs - warm_up),
        alpha=0.01,
        warmup_target=peak_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(
        learning_rate=rate,
        weight_decay=1e-4,
        global_clipnorm=10.0,
        use_ema=True,
        ema_momentum=0.998,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    trainer = make_trainer(model)
    trainer.compile(optimizer, loss=detection_loss, metrics=[heatmap_loss, box_loss])
    with batches(samples, seed, epochs, batch_size, workers) as prepared:
        trainer.fit(prepared, steps_per_epoch=steps, epochs=epochs, verbose=2)
