from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="networks are written with the onnx package")
onnxruntime = pytest.importorskip("onnxruntime", reason="networks are run with ONNX Runtime")

import random_networks  # noqa: E402
from random_networks import ARCHITECTURES, SCORE, SizeError, ssd, write_model_folder, yolo  # noqa: E402

from jetson_detect.core.backends import open_backend  # noqa: E402
from jetson_detect.core.detector import Detector  # noqa: E402
from jetson_detect.core.model import load_model  # noqa: E402
from jetson_detect.core.pixels import Pixels  # noqa: E402
from jetson_detect.core.scenes import SceneSequence  # noqa: E402
from jetson_detect.core.selection import Selection  # noqa: E402

SIZE = 320
SCENE = SceneSequence(seed=11, width=SIZE, height=SIZE).frame(40).image
MODELS = ("yolo", "ssd")


@cache
def built(architecture: str, dynamic: bool = False) -> onnx.ModelProto:
    return ARCHITECTURES[architecture].build(SIZE, dynamic=dynamic)


def picture(architecture: str, image: np.ndarray = SCENE) -> np.ndarray:
    tensor = image[None].astype(np.float32) / 255
    if architecture == "yolo":
        return np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
    return tensor * 2 - 1


def run(model: onnx.ModelProto, tensor: np.ndarray, optimize: bool = True) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {session.get_inputs()[0].name: tensor}))


def rounded_to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Round every weight and every value in between to half precision."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    for weights in half.graph.initializer:
        array = onnx.numpy_helper.to_array(weights)
        if array.dtype == np.float32:
            rounded = array.astype(np.float16).astype(np.float32)
            weights.CopyFrom(onnx.numpy_helper.from_array(rounded, weights.name))
    nodes: list[Any] = []
    for node in half.graph.node:
        nodes.append(node)
        if node.op_type in ("Add", "Clip", "Conv", "Mul", "Sigmoid", "Softmax", "Sub"):
            (name,) = node.output
            node.output[0] = f"{name}/wide"
            nodes += [
                onnx.helper.make_node("Cast", [f"{name}/wide"], [f"{name}/half"], to=10),
                onnx.helper.make_node("Cast", [f"{name}/half"], [name], to=1),
            ]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    return half


def with_all_values(model: onnx.ModelProto) -> onnx.ModelProto:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    present = {output.name for output in shown.graph.output}
    for node in shown.graph.node:
        if node.op_type in ("Conv", "Mul", "Clip", "Add") and node.output[0] not in present:
            shown.graph.output.append(
                onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
            )
    return shown


def scores_of(architecture: str, outputs: list[np.ndarray]) -> np.ndarray:
    """The best class score of each candidate."""
    if architecture == "yolo":
        return outputs[0][0, 4:].max(axis=0)
    return 1 / (1 + np.exp(-outputs[1][0, :, 1:].max(axis=1)))


def parameters(model: onnx.ModelProto) -> int:
    """Those of convolutions."""
    weights = {weights.name: int(np.prod(weights.dims)) for weights in model.graph.initializer}
    return sum(
        weights[name]
        for node in model.graph.node
        if node.op_type == "Conv"
        for name in node.input[1:]
    )


def test_yolo_has_the_parameters_that_ultralytics_counts_for_yolov8n():
    # "YOLOv8n summary (fused): 168 layers, 3151904 parameters, 0 gradients, 8.7 GFLOPs"
    assert parameters(built("yolo")) == 3_151_904


def test_ssd_has_the_layers_of_mobilenet_v2():
    model = built("ssd")
    depthwise = [
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]
    assert len(depthwise) == 17
    assert sum(node.op_type == "Add" for node in model.graph.node) == 10 + 6  # shortcuts, scores
    assert parameters(model) == 18_450_847


@pytest.mark.parametrize(("size", "candidates"), [(320, 2100), (640, 8400)])
def test_yolo_gives_a_box_and_scores_for_each_cell(size, candidates):
    model = yolo(size, classes=7)
    (image,), (output,) = model.graph.input, model.graph.output
    assert (image.name, output.name) == ("images", "output0")
    result = run(model, np.zeros((1, 3, size, size), np.float32))[0]
    assert result.shape == (1, 11, candidates)


@pytest.mark.parametrize(("size", "candidates"), [(320, 2034), (640, 8028)])
def test_ssd_gives_a_box_and_logits_for_each_anchor(size, candidates):
    model = ssd(size, classes=3)
    assert [output.name for output in model.graph.output] == ["box_encodings", "class_logits"]
    boxes, logits = run(model, np.zeros((1, size, size, 3), np.float32))
    assert (boxes.shape, logits.shape) == ((1, candidates, 4), (1, candidates, 4))


def test_a_seed_settles_every_byte():
    first = yolo(64, seed=3).SerializeToString(deterministic=True)
    assert yolo(64, seed=3).SerializeToString(deterministic=True) == first
    assert yolo(64, seed=4).SerializeToString(deterministic=True) != first


def test_weights_do_not_depend_on_the_size():
    small, large = (
        {weights.name: weights for weights in model.graph.initializer if "conv" in weights.name}
        for model in (yolo(64), yolo(96))
    )
    assert small == large


@pytest.mark.parametrize("architecture", MODELS)
def test_old_parsers_can_read_it(architecture):
    model = built(architecture)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8


@pytest.mark.parametrize("architecture", MODELS)
def test_no_value_on_the_way_vanishes_or_explodes(architecture):
    values = run(with_all_values(built(architecture)), picture(architecture), optimize=False)
    shown = [value for value in values if value.ndim == 4]
    assert len(shown) > 50
    for value in shown:
        assert np.abs(value).max() < 1000  # float16 ends at 65504
        assert value.std() > 0.05


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("kind", ["scene", "noise"])
def test_in_half_precision_it_says_nearly_the_same(architecture, kind):
    noise = np.random.default_rng(5).integers(0, 256, SCENE.shape, np.uint8)
    tensor = picture(architecture, SCENE if kind == "scene" else noise)
    single = run(built(architecture), tensor)
    half = run(rounded_to_half(built(architecture)), tensor, optimize=False)
    assert all(np.isfinite(output).all() for output in half)
    scores = scores_of(architecture, single), scores_of(architecture, half)
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.15
    spread = single[0][0].std()
    assert np.abs(single[0] - half[0]).max() < 0.25 * spread


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_any_picture_a_few_candidates_score_high(architecture, seed):
    random = np.random.default_rng(seed)
    cells = random.integers(0, 256, (SIZE // 2**seed,) * 2 + (3,), np.uint8)
    image = cells.repeat(2**seed, axis=0).repeat(2**seed, axis=1)
    scores = scores_of(architecture, run(built(architecture), picture(architecture, image)))
    assert 0.001 < (scores > SCORE).mean() < 0.1


@pytest.mark.parametrize("architecture", MODELS)
def test_open_sizes_change_nothing_at_the_same_size(architecture):
    tensor = picture(architecture)
    fixed = run(built(architecture), tensor)
    free = run(built(architecture, dynamic=True), np.concatenate([tensor, -tensor]))
    for one, two in zip(fixed, free):
        assert len(two) == 2
        np.testing.assert_allclose(two[:1], one, atol=2e-3 * np.abs(one).max())


def test_open_sizes_take_other_sizes():
    model = built("yolo", dynamic=True)
    (table,) = run(model, np.full((1, 3, 96, 192), 0.5, np.float32))
    cells = [(96 // stride) * (192 // stride) for stride in (8, 16, 32)]
    assert table.shape == (1, 84, sum(cells))
    # Boxes lie at random around the centres of their cells, which go on by 8 pixels.
    x, y = table[0, :2, : 12 * 24].reshape(2, 12, 24)
    assert np.polyfit(np.arange(24), x.mean(axis=0), 1)[0] == pytest.approx(8, abs=2)
    assert np.polyfit(np.arange(12), y.mean(axis=1), 1)[0] == pytest.approx(8, abs=2)
    (square,) = run(yolo(64), np.full((1, 3, 64, 64), 0.5, np.float32))
    np.testing.assert_allclose(
        run(model, np.full((1, 3, 64, 64), 0.5, np.float32))[0], square, atol=0.05
    )


@pytest.mark.parametrize("size", [0, -32, 100])
def test_a_size_that_does_not_divide_is_refused(size):
    for build in (yolo, ssd):
        with pytest.raises(SizeError, match=f"size {size}: use a positive multiple of 32"):
            build(size)


@pytest.mark.parametrize("architecture", MODELS)
def test_a_model_folder_detects(tmp_path, architecture):
    path = write_model_folder(tmp_path / "model", architecture, 96, classes=5)
    model = load_model(path.parent)
    assert model.labels == ("class_0", "class_1", "class_2", "class_3", "class_4")
    selection = Selection(score_threshold=0.02, max_detections=20)
    with Detector(model, open_backend(model, "onnxruntime")) as detector:
        found = detector.detect(Pixels.from_array(SCENE), selection)
    assert len(found) > 0
    assert (found.boxes >= 0).all()
    assert (found.boxes <= SIZE).all()


def test_the_command_line_writes_one_file(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    assert random_networks.main(["yolo", "--size", "64", "--output", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: {path.stat().st_size / 1e6:.1f} MB\n"
    assert onnx.load(str(path)) == yolo(64)


def test_the_command_line_says_what_size_it_takes(tmp_path, capsys):
    assert random_networks.main(["ssd", "--size", "50", "--folder", str(tmp_path / "m")]) == 1
    assert "multiple of 32" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
