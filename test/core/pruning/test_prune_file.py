from __future__ import annotations

import gzip
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.pruning import PruningError, PruningFiles, PruningOptions, prune_file

# Not importorskip, which would spend seconds on the import while tests are only collected.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)


@pytest.fixture
def source(model, tmp_path) -> Path:
    path = tmp_path / "tiny.keras"
    model.save(path)
    return path


def write_archive(path: Path, **metadata: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
    return path


def test_the_report_says_what_the_files_hold(keras, source, setup, tmp_path):
    files = PruningFiles(source, tmp_path / "pruned.keras", tmp_path / "saved")

    def make_training(model):
        model.get_layer("middle").trainable = False
        return setup(model, steps=5)

    report = prune_file(files, make_training, PruningOptions(frequency=2))
    pruned, dense = (keras.saving.load_model(path) for path in (files.output, source))
    assert not pruned.compiled
    assert pruned.get_layer("middle").trainable
    arrays = [np.asarray(variable) for variable in pruned.weights]
    assert (report.size.parameters, report.size.zeros) == (
        sum(array.size for array in arrays),
        sum(int((array == 0).sum()) for array in arrays),
    )
    assert (report.pruned_parameters, report.pruned_zeros) == (1080 + 96, 864 + 77)
    raw = b"".join(array.tobytes() for array in arrays)
    assert report.size.weights == len(raw) == 4 * report.size.parameters
    assert report.size.weights_gzip == len(gzip.compress(raw))
    assert report.size.weights_gzip < 0.7 * report.size_before.weights_gzip
    assert report.size.file == files.output.stat().st_size
    assert report.size_before.file == pytest.approx(source.stat().st_size, rel=0.02)
    for accuracy, model in ((report.accuracy_before, dense), (report.accuracy, pruned)):
        expected = np.abs(np.asarray(model.get_layer("wide").kernel)).mean()
        assert accuracy == {"mean weight": pytest.approx(expected, rel=1e-5)}
    np.testing.assert_array_equal(
        np.asarray(pruned.get_layer("middle").kernel), np.asarray(dense.get_layer("middle").kernel)
    )

    document = json.loads(files.report.read_text())
    assert document["size"]["zeros"] == report.size.zeros
    assert document["options"]["pattern"] == "unstructured"
    wide = next(each for each in document["kernels"] if each["layer"] == "wide")
    assert (wide["zeros_before"], wide["zeros"], wide["sparsity"]) == (0, 864, 0.8)
    assert document["accuracy"] == dict(report.accuracy)

    import tensorflow as tf

    served = tf.saved_model.load(str(files.saved_model)).signatures["serving_default"]
    image = np.random.default_rng(0).normal(size=(1, 6, 6, 4)).astype(np.float32)
    (output,) = served(tf.constant(image)).values()
    np.testing.assert_allclose(output, pruned(image), atol=1e-5)


def test_a_file_of_legacy_keras_is_refused_with_the_way_out(tmp_path, setup):
    old = write_archive(tmp_path / "old.keras", keras_version="2.15.0")
    files = PruningFiles(old, tmp_path / "new.keras")
    with pytest.raises(PruningError, match=r"by legacy Keras 2\.15\.0.*build.*docs/pruning\.md"):
        prune_file(files, setup)
    with pytest.raises(PruningError, match=r"old\.h5: pruning reads \.keras.*save\(\) it as old"):
        prune_file(PruningFiles(tmp_path / "old.h5", tmp_path / "new.keras"), setup)
    assert not files.output.exists()


def test_a_file_that_is_none_is_refused(tmp_path, setup):
    bad = tmp_path / "bad.keras"
    files = PruningFiles(bad, tmp_path / "new.keras")
    with pytest.raises(PruningError, match=r"bad\.keras: cannot be read \(No such file"):
        prune_file(files, setup)
    bad.write_bytes(b"PK but no more")
    with pytest.raises(PruningError, match=r"bad\.keras: is not a \.keras file"):
        prune_file(files, setup)
    write_archive(bad, keras_version="3.15.1")
    with pytest.raises(PruningError, match=r"bad\.keras: cannot be loaded by Keras 3"):
        prune_file(files, setup)


def test_outputs_are_looked_at_before_the_work_begins(tmp_path):
    source, output = tmp_path / "a.keras", tmp_path / "b.keras"
    for files, problem in (
        (PruningFiles(source, tmp_path / "b.h5"), "name it with the suffix .keras"),
        (PruningFiles(source, source), "is the source itself"),
        (PruningFiles(source, tmp_path / "no" / "b.keras"), "there is no folder"),
    ):
        with pytest.raises(PruningError, match=problem):
            files.check()
    output.with_suffix(".json").touch()
    with pytest.raises(PruningError, match=r"b\.json exists; remove it"):
        PruningFiles(source, output).check()
    PruningFiles(source, output, overwrite=True).check()


def test_keras_that_is_too_old_or_runs_elsewhere_is_refused(keras, monkeypatch):
    from jetson_detect.core.pruning.keras_files import import_keras

    with monkeypatch.context() as patch:
        patch.setattr(keras, "__version__", "2.12.0")
        with pytest.raises(PruningError, match=r"here is Keras 2\.12\.0; pip install"):
            import_keras()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(PruningError, match="runs on jax; set KERAS_BACKEND=tensorflow"):
        import_keras()


def test_without_keras_the_refusal_says_what_to_install(monkeypatch):
    import sys

    from jetson_detect.core.pruning.keras_files import import_keras

    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(PruningError, match=r"needs Keras 3: keras cannot be imported.*pip install"):
        import_keras()
