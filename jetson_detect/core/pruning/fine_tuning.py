"""Training on while small weights are held at zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jetson_detect.core.pruning.errors import PruningError
from jetson_detect.core.pruning.keras_files import import_keras
from jetson_detect.core.pruning.kernels import Kernel, find_kernels
from jetson_detect.core.pruning.masks import Pattern, magnitude_mask, two_of_four_mask
from jetson_detect.core.pruning.options import PruningOptions
from jetson_detect.core.pruning.report import KernelReport, count_zeros
from jetson_detect.core.pruning.schedule import PolynomialSchedule

_TWO_OF_FOUR_SPARSITY = 0.5


@dataclass(frozen=True)
class TrainingSetup:
    """How a network is trained on, and how it is judged: what only its owner knows."""

    trainer: Any
    """A compiled Keras model that trains the network's own layers: the network itself, or a model
    around it that brings input and outputs into the form that the loss wants."""
    dataset: Any
    """What ``trainer.fit`` takes as its first argument: batches of inputs and truths."""
    steps_per_epoch: int
    """Batches in an epoch."""
    epochs: int
    """How often the data is seen.  With ``steps_per_epoch`` it says how long pruning takes."""
    evaluate: Callable[[Any], Mapping[str, float]]
    """Judges the network (not the trainer) on data that it is not trained on: numbers by name."""


@dataclass(frozen=True)
class PruningProgress:
    """Where a training is."""

    batch: int
    """Batches done."""
    batches: int
    sparsity: float
    """Share of the pruned kernels' weights that are held at zero now."""
    loss: float


ReportProgress = Callable[[PruningProgress], None]
"""Called after every batch."""


def prune(
    model: Any,
    setup: TrainingSetup,
    options: PruningOptions | None = None,
    progress: ReportProgress | None = None,
) -> tuple[KernelReport, ...]:
    """Prune a network in place while it is trained on.

    Its smallest weights are set to zero, more of them as the schedule goes on, and set to zero
    again after every batch.  What has been pruned stays so.  In the end they are plain weights
    that are zero: nothing is added to the network.

    Args:
        model: a Keras 3 model on TensorFlow.
        setup: how it is trained.
        options: what is pruned, and how far.
        progress: told after every batch.

    Returns
    -------
    What became of each kernel.

    Raises
    ------
    PruningError
        If the model or the setup cannot be used so, the data runs out, or training diverges.

    """
    options = options or PruningOptions()
    keras = import_keras()
    _check(keras, model, setup)
    batches = setup.steps_per_epoch * setup.epochs
    kernels = find_kernels(keras, model, setup.trainer.trainable_variables, options)
    zeros_before = [count_zeros(kernel.variable) for kernel in kernels]
    masks = KernelMasks(
        keras,
        [kernel for kernel in kernels if not kernel.kept],
        None
        if options.pattern is Pattern.TWO_OF_FOUR
        else PolynomialSchedule.within(
            batches,
            options.initial_sparsity,
            options.final_sparsity,
            options.ramp,
            options.frequency,
        ),
    )

    def after_batch(number: int, logs: Mapping[str, Any] | None = None) -> None:
        masks.after_batch()
        if progress is not None:
            loss = float((logs or {}).get("loss", np.nan))
            progress(PruningProgress(masks.batch, batches, masks.sparsity, loss))

    masks.begin()
    setup.trainer.fit(
        setup.dataset,
        steps_per_epoch=setup.steps_per_epoch,
        epochs=setup.epochs,
        # Keras warns where it is asked to and cannot, which is everywhere else.
        shuffle=isinstance(setup.dataset, keras.utils.PyDataset),
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=after_batch)],
        verbose=0,
    )
    if masks.batch < batches:
        raise PruningError(
            f"training ended after {masks.batch} of {batches} batches, before pruning was done: "
            "repeat the dataset, or lower steps_per_epoch or epochs"
        )
    # An optimizer that averages the weights has put the average in their place, with weights in it
    # from before they were pruned.
    masks.apply()
    _check_finite(model)
    return tuple(
        _report(kernel, before) for kernel, before in zip(kernels, zeros_before, strict=True)
    )


class KernelMasks:
    """The masks of a network's kernels in the course of a training."""

    def __init__(
        self, keras: Any, kernels: Sequence[Kernel], schedule: PolynomialSchedule | None
    ) -> None:
        """Prepare; nothing is changed yet.

        Args:
            keras: the library.
            kernels: those to prune.
            schedule: of the sparsity; without one, the pattern 2:4 from the beginning.
        """
        self._keras, self._kernels, self._schedule = keras, kernels, schedule
        self._masks: list[Any] = []
        self.batch = 0
        """Batches since the beginning."""

    @property
    def sparsity(self) -> float:
        """The share of each kernel that is held at zero."""
        if self._schedule is None:
            return _TWO_OF_FOUR_SPARSITY
        return self._schedule.sparsity(self.batch)

    def begin(self) -> None:
        """Prune for the first batch."""
        self._draw()
        self.apply()

    def after_batch(self) -> None:
        """Undo what a batch has done to pruned weights, and prune further if it is time."""
        self.batch += 1
        self.apply()
        if self._schedule is not None and self._schedule.changes_after(self.batch):
            self._draw()
            self.apply()

    def apply(self) -> None:
        """Set the pruned weights to zero."""
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.variable.assign(kernel.variable * mask)

    def _draw(self) -> None:
        self._masks = [
            self._keras.ops.cast(self._mask(kernel), kernel.variable.dtype)
            for kernel in self._kernels
        ]

    def _mask(self, kernel: Kernel) -> Any:
        weights = np.asarray(kernel.variable)
        if self._schedule is None:
            assert kernel.input_axis is not None  # find_kernels leaves others out
            return two_of_four_mask(weights, kernel.input_axis)
        return magnitude_mask(weights, self.sparsity)


def _check(keras: Any, model: Any, setup: Any) -> None:
    if not isinstance(model, keras.Model):
        raise PruningError(
            f"the model is a {type(model).__module__}.{type(model).__name__}, not a model of "
            "Keras 3; models of legacy Keras (tf_keras) cannot be pruned: convert it as "
            "docs/pruning.md shows"
        )
    if not isinstance(setup, TrainingSetup):
        raise PruningError(
            f"make_training gave a {type(setup).__name__}; "
            "return a jetson_detect.core.pruning.TrainingSetup"
        )
    trainer = setup.trainer
    if not isinstance(trainer, keras.Model) or not trainer.compiled:
        raise PruningError(
            "TrainingSetup.trainer is not a compiled model of Keras 3; "
            "call compile() with an optimizer and a loss on it"
        )
    if trainer.steps_per_execution != 1:
        raise PruningError(
            f"TrainingSetup.trainer has steps_per_execution={trainer.steps_per_execution}, but "
            "pruned weights are set to zero again after every batch; compile with 1"
        )
    if min(setup.steps_per_epoch, setup.epochs) < 1:
        raise PruningError(
            f"TrainingSetup: {setup.epochs} epochs of {setup.steps_per_epoch} steps; "
            "both must be at least 1"
        )


def _check_finite(model: Any) -> None:
    for variable in model.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise PruningError(
                f"training diverged: {variable.path} holds numbers that are not finite; lower the "
                "learning rate in make_training"
            )


def _report(kernel: Kernel, zeros_before: int) -> KernelReport:
    return KernelReport(
        layer=kernel.layer,
        kernel=kernel.name,
        shape=tuple(int(length) for length in kernel.variable.shape),
        zeros_before=zeros_before,
        zeros=count_zeros(kernel.variable),
        kept=kernel.kept,
    )
