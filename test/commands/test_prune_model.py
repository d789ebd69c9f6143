from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.commands.prune_model import main

ROOT = Path(__file__).resolve().parents[2]

needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)

MAKE_TRAINING = """\
import keras
import numpy as np

from data_of_mine import batches, scale
from jetson_detect.core.pruning import TrainingSetup


@keras.saving.register_keras_serializable("mine")
class Scaled(keras.layers.Layer):
    def call(self, x):
        return x * scale


def make_training(model):
    model.compile(keras.optimizers.SGD(0.01), loss="mse", run_eagerly=True)
    def evaluate(network):
        kernel = np.asarray(network.get_layer("middle").kernel)
        return {"zeros_in_middle": float((kernel == 0).sum())}
    return TrainingSetup(model, batches(), steps_per_epoch=5, epochs=1, evaluate=evaluate)
"""

DATA = """\
import numpy as np

scale = 0.5


def batches():
    while True:
        yield np.ones((2, 8), np.float32), np.ones((2, 3), np.float32)
"""


@pytest.fixture(autouse=True)
def _modules_do_not_stay(monkeypatch):
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if name in ("mine", "data_of_mine", "pruning_demo", "empty"):
            del sys.modules[name]


@pytest.fixture
def mine(tmp_path) -> Path:
    """A user's file, with another one beside it that it imports."""
    (tmp_path / "data_of_mine.py").write_text(DATA)
    path = tmp_path / "mine.py"
    path.write_text(MAKE_TRAINING)
    return path


@pytest.fixture
def saved(tmp_path) -> Path:
    """A model with a layer that only the user's file knows."""
    keras = pytest.importorskip("keras", reason="TensorFlow is not installed")

    @keras.saving.register_keras_serializable("mine")
    class Scaled(keras.layers.Layer):
        def call(self, x):
            return x * 0.5

    layers = [keras.layers.Dense(16, name="entry"), keras.layers.Dense(10, name="middle")]
    model = keras.Sequential([keras.Input((8,)), *layers, Scaled(), keras.layers.Dense(3)])
    path = tmp_path / "model.keras"
    model.save(path)
    del keras.saving.get_custom_objects()["mine>Scaled"]
    return path


@needs_tensorflow
def test_a_model_is_pruned_by_a_file_of_the_users(saved, mine, tmp_path, capsys):
    arguments = [str(saved), "--train-module", str(mine), "--frequency", "1"]
    assert main([*arguments, "--final-sparsity", "0.75"]) == 0
    import keras

    output = tmp_path / "model_pruned.keras"
    kernel = np.asarray(keras.saving.load_model(output).get_layer("middle").kernel)
    assert (kernel == 0).sum() == 120  # of 16 × 10
    report = json.loads((tmp_path / "model_pruned.json").read_text())
    assert report["accuracy_before"] == {"zeros_in_middle": 0.0}
    assert report["accuracy"] == {"zeros_in_middle": 120.0}
    told = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in told.splitlines() if line.split()}
    assert rows["middle"] == ["middle", "16×10", "160", "120", "75.0%"]
    assert rows["entry"][2:] == ["128", "0", "0.0%", "first", "layer"]
    assert rows["zeros_in_middle"][1:] == ["0.0000", "120.0000", "+120.0000"]
    assert f"written: {output}, {output.with_suffix('.json')}" in told

    # What is there is not overwritten by a second run, and is with --force.
    sys.modules.pop("mine")
    assert main(arguments) == 2
    assert f"output {output} exists" in capsys.readouterr().err
    assert main([*arguments, "--force", "--pattern", "2:4", "--skip", "entry"]) == 2
    assert "--frequency has no meaning with --pattern 2:4" in capsys.readouterr().err
    assert main([*arguments[:3], "--force", "--pattern", "2:4", "--prune-ends"]) == 0
    groups = np.asarray(keras.saving.load_model(output).get_layer("entry").kernel).reshape(2, 4, 16)
    assert ((groups == 0).sum(axis=1) == 2).all()


@needs_tensorflow
@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.py", "x = 1\n", "defines no function make_training(model)"),
        ("empty.txt", "x = 1\n", "is not a Python file"),
        ("json.py", "x = 1\n", "a module named json is in use already; rename the file"),
    ],
)
def test_a_training_module_that_is_none_ends_in_one_line(name, content, problem, tmp_path, capsys):
    file = tmp_path / name
    file.write_text(content)
    assert main([str(tmp_path / "model.keras"), "--train-module", str(file)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("prune_model: ")
    assert problem in line


@needs_tensorflow
def test_the_demos_training_module_gives_what_pruning_needs(monkeypatch):
    import keras

    monkeypatch.syspath_prepend(str(ROOT))  # training/ is not installed with the package
    from training.pruning_demo import DemoTraining, make_training

    model = keras.saving.load_model(ROOT / "models" / "demo" / "demo.keras", compile=False)
    options = DemoTraining(scenes=6, epochs=2, batch=2, stills=12, workers=1)
    setup = make_training(model, options)
    assert (setup.steps_per_epoch, setup.epochs) == (3, 2)
    given = list(setup.dataset)
    assert len(given) == 6
    for pictures, truths in given:
        assert pictures.shape == (2, 160, 160, 3)
        assert setup.trainer.compute_output_shape(pictures.shape) == (*truths.shape[:3], 10)
    trained = {id(variable) for variable in setup.trainer.trainable_variables}
    assert trained == {id(variable) for variable in model.trainable_variables}
    accuracy = setup.evaluate(model)
    assert list(accuracy) == ["mAP50", "mAP75", "mAP50-95"]
    assert 0.8 < accuracy["mAP50"] <= 1
