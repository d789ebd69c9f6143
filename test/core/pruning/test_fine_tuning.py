from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from jetson_detect.core.pruning import Pattern, PruningError, PruningOptions, prune

# Not importorskip, which would spend seconds on the import while tests are only collected.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)

OPTIONS = PruningOptions(frequency=3, ramp=0.6)
"""In 20 batches: up to 80 % in four steps, until batch 12."""
SHORT = PruningOptions(frequency=1, ramp=1.0)


def kernels(model) -> dict[str, np.ndarray]:
    names = ("first", "filter", "middle", "wide", "last")
    found = {name: np.asarray(model.get_layer(name).kernel).copy() for name in names}
    return {**found, "sep": np.asarray(model.get_layer("sep").pointwise_kernel).copy()}


def test_sparsity_follows_the_schedule_and_what_is_pruned_stays_zero(keras, model, setup):
    seen = []
    before = kernels(model)

    def look(progress):
        seen.append((progress, kernels(model)))

    reports = prune(model, setup(model, run_eagerly=False), OPTIONS, look)
    assert [progress.batch for progress, _ in seen] == list(range(1, 21))
    cubes = {3: 27 / 64, 6: 1 / 8, 9: 1 / 64, 12: 0.0}
    zeros = {name: np.zeros(values.shape, bool) for name, values in before.items()}
    for progress, now in seen:
        cube = cubes.get(progress.batch // 3 * 3, 0.0) if progress.batch >= 3 else 1.0
        assert progress.sparsity == pytest.approx(0.8 - 0.3 * cube)
        assert progress.loss > 0
        for name in ("middle", "wide", "sep"):
            assert (now[name] == 0).sum() == round(progress.sparsity * now[name].size)
            assert (now[name][zeros[name]] == 0).all()
            zeros[name] = now[name] == 0
    after = kernels(model)
    for name in ("first", "filter", "last"):
        assert np.count_nonzero(after[name]) == after[name].size
    # 10 × 12 weights of 3 × 3, 8 × 10 and 12 × 8.
    pruned = {each.layer: each for each in reports if not each.kept}
    assert {name: each.zeros for name, each in pruned.items()} == {
        "middle": 64,
        "wide": 864,
        "sep": 77,
    }
    assert pruned["wide"].shape == (3, 3, 10, 12)
    assert pruned["wide"].sparsity == 0.8


def test_an_optimizer_that_averages_weights_brings_none_back(keras, model, setup):
    optimizer = keras.optimizers.SGD(1e-2, use_ema=True, ema_momentum=0.9)
    prune(model, setup(model, steps=4, epochs=1, optimizer=optimizer), SHORT)
    assert (kernels(model)["wide"] == 0).sum() == 864


def test_two_of_four_are_pruned_at_once_and_to_the_end(keras, model, setup):
    before = kernels(model)["middle"]
    options = PruningOptions(pattern=Pattern.TWO_OF_FOUR)
    reports = prune(model, setup(model, steps=3, epochs=1), options)
    after = kernels(model)["middle"]
    # Channels are the last axis but one of 1 × 1 × 8 × 10.
    larger = np.sort(np.abs(before).reshape(2, 4, 10), axis=1)[:, 2:3]
    np.testing.assert_array_equal(
        after.reshape(2, 4, 10) != 0, abs(before).reshape(2, 4, 10) >= larger
    )
    assert {each.layer: each.sparsity for each in reports if not each.kept} == {
        "middle": 0.5,
        "sep": 0.5,
    }


def test_a_trainer_around_the_model_trains_it(keras, model, setup):
    image = keras.Input((6, 6, 4))
    trainer = keras.Model(image, model(keras.layers.Rescaling(0.5)(image)))
    reports = prune(model, setup(trainer, steps=2, epochs=1), SHORT)
    assert sum(each.zeros for each in reports) == 64 + 864 + 77


def test_data_that_runs_out_is_no_success(keras, model, setup):
    with pytest.raises(PruningError, match=r"ended after 3 of 4 batches.*repeat the dataset"):
        prune(model, setup(model, steps=2, batches_given=3), SHORT)


def test_a_training_that_diverges_is_no_success(keras, model, setup):
    optimizer = keras.optimizers.SGD(1e30)
    with pytest.raises(PruningError, match=r"diverged: .*lower the learning rate"):
        prune(model, setup(model, steps=3, epochs=1, optimizer=optimizer), SHORT)


def test_setups_that_cannot_work_are_refused(keras, model, setup):
    uncompiled = keras.models.clone_model(model)
    good = setup(model)
    with pytest.raises(PruningError, match=r"not a compiled model.*call compile"):
        prune(model, replace(good, trainer=uncompiled))
    with pytest.raises(PruningError, match="2 epochs of 0 steps"):
        prune(model, replace(good, steps_per_epoch=0))
    with pytest.raises(PruningError, match=r"gave a dict; return a .*TrainingSetup"):
        prune(model, {"trainer": model})
    with pytest.raises(PruningError, match=r"steps_per_execution=4.*compile with 1"):
        prune(model, setup(model, steps_per_execution=4))


def test_a_model_of_another_library_is_refused(keras, model, setup):
    class Functional:
        """As tf_keras has one."""

    with pytest.raises(PruningError, match=r"is a .*Functional, not a model of Keras 3.*tf_keras"):
        prune(Functional(), setup(model))
