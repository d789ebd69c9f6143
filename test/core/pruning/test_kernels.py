from __future__ import annotations

from importlib.util import find_spec

import pytest

from jetson_detect.core.pruning import Pattern, PruningError, PruningOptions
from jetson_detect.core.pruning.kernels import find_kernels

# Not importorskip, which would spend seconds on the import while tests are only collected.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)


def kept(keras, model, **options) -> dict[str, str]:
    found = find_kernels(keras, model, model.trainable_variables, PruningOptions(**options))
    return {f"{kernel.layer}.{kernel.name}": kernel.kept for kernel in found}


def test_ends_and_depthwise_kernels_are_left_out_unless_asked_for(keras, model):
    assert kept(keras, model) == {
        "first.kernel": "first layer",
        "filter.kernel": "depthwise",
        "middle.kernel": "",
        "wide.kernel": "",
        "sep.depthwise_kernel": "depthwise",
        "sep.pointwise_kernel": "",
        "last.kernel": "last layer",
    }
    assert set(kept(keras, model, prune_ends=True, prune_depthwise=True).values()) == {""}


def test_layers_are_skipped_by_name_and_if_they_are_frozen(keras, model):
    model.get_layer("wide").trainable = False
    found = kept(keras, model, skip=("s?p",))
    assert found["sep.pointwise_kernel"] == "skipped (s?p)"
    assert found["wide.kernel"] == "not trained"
    assert found["middle.kernel"] == ""


def test_two_of_four_needs_input_channels_in_fours(keras, model):
    found = kept(keras, model, pattern=Pattern.TWO_OF_FOUR, prune_depthwise=True)
    assert found["middle.kernel"] == ""
    assert found["wide.kernel"] == "10 input channels, not a multiple of 4"
    assert found["filter.kernel"] == "depthwise: no input channels to group"


def test_a_network_with_branches_and_models_in_it_has_several_ends(keras):
    layers = keras.layers
    inner_in = keras.Input((8,))
    inner = layers.Dense(8, name="entry")(inner_in)
    inner = keras.Model(inner_in, layers.Dense(8, name="exit")(inner), name="inner")
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    x = inner(left * 2.0) + layers.Dense(8, name="right_first")(right)
    x = layers.Dense(8, name="shared")(x)
    tail = keras.Sequential(
        [layers.Dense(8, name="tail_1"), layers.ReLU(), layers.Dense(3, name="tail_2")],
        name="tail",
    )
    outputs = {"a": tail(x), "b": layers.Dense(2, activation="relu", name="b")(x)}
    model = keras.Model([left, right], outputs)
    reasons = kept(keras, model)
    assert {name for name, reason in reasons.items() if reason == "first layer"} == {
        "inner/entry.kernel",
        "right_first.kernel",
    }
    assert {name for name, reason in reasons.items() if reason == "last layer"} == {
        "tail/tail_2.kernel",
        "b.kernel",
    }
    assert {name for name, reason in reasons.items() if not reason} == {
        "inner/exit.kernel",
        "shared.kernel",
        "tail/tail_1.kernel",
    }


def test_a_transposed_convolution_sums_over_its_last_axis(keras):
    layers = [keras.layers.Conv2DTranspose(5, 2, name="up"), keras.layers.Conv2D(6, 1, name="mix")]
    model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    up, mix = find_kernels(keras, model, model.trainable_variables, PruningOptions(prune_ends=True))
    assert up.variable.shape[up.input_axis] == 3
    assert mix.variable.shape[mix.input_axis] == 5


def test_a_model_without_a_graph_has_no_known_ends(keras):
    class Coded(keras.Model):
        def __init__(self):
            super().__init__(name="coded")
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x)

    model = Coded()
    model(keras.ops.ones((1, 4)))
    with pytest.raises(PruningError, match=r"'coded' is a Coded with code.*set prune_ends"):
        kept(keras, model)
    assert list(kept(keras, model, prune_ends=True).values()) == [""]


def test_a_name_that_fits_no_layer_is_refused(keras, model):
    with pytest.raises(PruningError, match=r"skip: 'midle' fits none.*they are first, filter, mid"):
        kept(keras, model, skip=("midle",))


def test_a_training_that_trains_nothing_of_the_model_is_refused(keras, model):
    copy = keras.models.clone_model(model)
    with pytest.raises(PruningError, match=r"nothing of model 'tiny'.*wide: not trained.*a copy"):
        find_kernels(keras, model, copy.trainable_variables, PruningOptions())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"initial_sparsity": 0.9}, r"from 0\.9 to 0\.8"),
        ({"final_sparsity": 1.0}, "from 0.5 to 1"),
        ({"ramp": 0.0}, "ramp 0"),
        ({"frequency": 0}, "frequency 0"),
    ],
)
def test_options_out_of_their_range_are_refused(options, problem):
    with pytest.raises(PruningError, match=problem):
        PruningOptions(**options)
