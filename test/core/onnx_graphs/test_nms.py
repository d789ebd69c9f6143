from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends import open_file
from jetson_detect.core.detector import Detector
from jetson_detect.core.geometry import ResizeMode
from jetson_detect.core.heads.boxes import BoxFormat, BoxUnits
from jetson_detect.core.model import (
    ColorOrder,
    Format,
    HeadSpec,
    InputSpec,
    Layout,
    ModelError,
    ModelFile,
    ModelSpec,
    Thresholds,
)
from jetson_detect.core.onnx_graphs import (
    NmsMode,
    NmsOptions,
    OnnxGraphError,
    float_inputs,
    tidy,
    treat_nms,
)
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection

SIZE = 32
CLASSES = 3
CANDIDATES = 64
SCORE, IOU, MOST = 0.3, 0.5, CANDIDATES
SELECTION = Selection(SCORE, IOU, MOST)
OPTIONS = NmsOptions(CLASSES)


def picture(seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def candidates(background: bool = False) -> dict[str, np.ndarray]:
    """Boxes, two for each of 32 places so that one suppresses the other; what a picture adds to
    them and to the scores; a class of its own that each candidate is good at."""
    random = np.random.default_rng(3)
    low = random.uniform(0.1, 0.6, (CANDIDATES // 2, 2))
    places = np.concatenate([low, low + random.uniform(0.15, 0.3, low.shape)], axis=1)
    boxes = np.concatenate([places, places + random.uniform(-0.01, 0.01, places.shape)])
    good_at = np.tile(random.integers(0, CLASSES, CANDIDATES // 2), 2)
    bias = np.full((CANDIDATES, CLASSES + background), -6.0)
    bias[np.arange(CANDIDATES), good_at + background] = random.uniform(-1.5, 2, CANDIDATES)
    if background:
        bias[:, 0] = random.uniform(-1, 3, CANDIDATES)
    features = SIZE * SIZE * 3 // CANDIDATES
    return {
        "boxes0": boxes.astype("f4")[None],
        "bias": bias.astype("f4")[None],
        "to_boxes": (random.standard_normal((features, 4)) * 1e-3).astype("f4"),
        "to_scores": (random.standard_normal((features, CLASSES + background)) * 0.05).astype("f4"),
        "features": np.int64([1, CANDIDATES, features]),
        "byte": np.float32(1 / 255),
        **{f"i{value}": np.int64([value]) for value in range(6)},
        "most": np.int64([MOST]),
        "iou": np.float32([IOU]),
        "score": np.float32([SCORE]),
    }


BACKBONE = [
    ("Cast", ["image"], ["real"], {"to": 1}),
    ("Mul", ["real", "byte"], ["unit"]),
    ("Reshape", ["unit", "features"], ["rows"]),
    ("MatMul", ["rows", "to_boxes"], ["shift"]),
    ("Add", ["boxes0", "shift"], ["boxes1"]),
    ("MatMul", ["rows", "to_scores"], ["logits0"]),
    ("Add", ["logits0", "bias"], ["logits"]),
    ("Sigmoid", ["logits"], ["probabilities"]),
]
IMAGE = [("image", "uint8", [1, SIZE, SIZE, 3])]
FINAL = [
    ("final_boxes", "float32", None),
    ("final_scores", "float32", None),
    ("final_classes", "int64", None),
]
FINISH = [
    ("Gather", ["selected", "i2"], ["rows2"], {"axis": 1}),
    ("Squeeze", ["rows2", "i1"], ["chosen"]),
    ("Gather", ["selected", "i1"], ["classes2"], {"axis": 1}),
    ("Squeeze", ["classes2", "i1"], ["final_classes"]),
    ("GatherND", ["by_class", "selected"], ["final_scores"]),
    ("Squeeze", ["boxes", "i0"], ["flat_boxes"]),
    ("Gather", ["flat_boxes", "chosen"], ["final_boxes"]),
]


def suppressed_graph(build, boxes="boxes1", before=(), more=(), outputs=(), **nms):
    """One NonMaxSuppression for all classes; boxes are ``boxes`` when they reach it."""
    return build(
        [
            *BACKBONE,
            *before,
            ("Identity", [boxes], ["boxes"]),
            ("Transpose", ["probabilities"], ["by_class"], {"perm": [0, 2, 1]}),
            ("NonMaxSuppression", ["boxes", "by_class", "most", "iou", "score"], ["selected"], nms),
            *FINISH,
            *more,
        ],
        IMAGE,
        [*FINAL, *outputs],
        {**candidates(), "edge": np.float32(SIZE), "half": np.float32(0.5)},
    )


def spec(head: HeadSpec, labels: int = CLASSES) -> ModelSpec:
    return ModelSpec(
        Path("model.yaml"),
        "test",
        "Apache-2.0",
        (),
        InputSpec(SIZE, SIZE, Layout.NHWC, ColorOrder.BGR, resize=ResizeMode.STRETCH),
        head,
        tuple(f"class{index}" for index in range(labels)),
    )


def detect(onnx, model, head: HeadSpec, path: Path, image: np.ndarray):
    onnx.save(model, str(path))
    file = ModelFile(Format.ONNX, path, head=head)
    backend = open_file("onnxruntime", file)
    with Detector(spec(HeadSpec("auto", {})), backend) as detector:
        return detector.detect(Pixels.from_array(image), SELECTION)


def in_order(boxes, scores, classes):
    order = np.lexsort((boxes[:, 0], boxes[:, 1], -scores))
    return boxes[order], scores[order], classes[order]


def assert_finds_what_the_uncut_graph_finds(onnx, run_onnx, tmp_path, model, result, to_xyxy):
    """``to_xyxy`` brings the graph's own boxes to corners in pixels."""
    for seed in (5, 6):
        image = picture(seed)
        found = detect(onnx, result.model, result.head, tmp_path / f"{seed}.onnx", image)
        boxes, scores, classes = run_onnx(model, {"image": image[None]})[:3]
        assert 5 < len(boxes) < CANDIDATES // 2  # some are suppressed, some score too little
        wanted = in_order(to_xyxy(boxes), scores, classes)
        got = in_order(found.boxes, found.best_scores, found.best_class_ids)
        np.testing.assert_allclose(got[0], wanted[0], atol=1e-3)
        np.testing.assert_allclose(got[1], wanted[1], atol=1e-5)
        np.testing.assert_array_equal(got[2], wanted[2])


def yxyx_normalized(boxes):
    return boxes[:, [1, 0, 3, 2]] * SIZE


def as_they_are(boxes):
    return boxes


def operations(model) -> set[str]:
    return {node.op_type for node in model.graph.node}


def output_shapes(model) -> dict[str, list[int]]:
    return {
        info.name: [size.dim_value for size in info.type.tensor_type.shape.dim]
        for info in model.graph.output
    }


@pytest.mark.parametrize("mode", [NmsMode.CUT, NmsMode.AUTO])
def test_cut_before_one_suppression_of_all_classes(onnx, build, run_onnx, tmp_path, mode):
    model = suppressed_graph(build)
    result = treat_nms(model, mode, OPTIONS)
    assert result.head == HeadSpec(
        "ssd",
        {"boxes": "boxes_1", "scores": "scores"},
        {
            "decoded": True,
            "activation": "none",
            "box_format": "yxyx",
            "box_units": "normalized",
        },
    )
    assert output_shapes(result.model) == {
        "boxes_1": [1, CANDIDATES, 4],
        "scores": [1, CANDIDATES, CLASSES],
    }
    # The scores are there in the wanted order already: nothing is turned round and back.
    assert "Transpose" not in operations(result.model)
    assert_finds_what_the_uncut_graph_finds(
        onnx, run_onnx, tmp_path, model, result, yxyx_normalized
    )


def test_what_was_cut_is_told_by_name(build):
    changes = " ".join(treat_nms(suppressed_graph(build), NmsMode.CUT, OPTIONS).changes)
    assert "before NonMaxSuppression selected:" in changes
    assert "the boxes 'boxes' and the scores 'probabilities' of all 64 candidates" in changes
    for name in ("selected", "chosen", "final_boxes", "by_class"):
        assert name in changes
    assert "logits" not in changes
    assert "the outputs final_boxes, final_scores, final_classes" in changes
    assert "read as yxyx, for the input has its channels last" in changes


def test_boxes_in_pixels_are_told_by_a_run(onnx, build, run_onnx, tmp_path):
    model = suppressed_graph(build, "pixels", before=[("Mul", ["boxes1", "edge"], ["pixels"])])
    model.producer_name = "pytorch"
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    assert result.head.options["box_units"] == "pixels"
    assert result.head.options["box_format"] == "xyxy"
    assert_finds_what_the_uncut_graph_finds(onnx, run_onnx, tmp_path, model, result, as_they_are)


def test_boxes_of_centre_and_size_are_read_so(onnx, build, run_onnx, tmp_path):
    to_centres = [
        ("Split", ["boxes1"], ["low", "high"], {"axis": 2}),
        ("Sub", ["high", "low"], ["sizes"]),
        ("Add", ["high", "low"], ["sums"]),
        ("Mul", ["sums", "half"], ["centres"]),
        ("Concat", ["centres", "sizes"], ["centred"], {"axis": 2}),
    ]
    model = suppressed_graph(build, "centred", before=to_centres, center_point_box=1)
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    assert result.head.options["box_format"] == "cxcywh"

    def corners(boxes):
        half = boxes[:, 2:] / 2
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1) * SIZE

    assert_finds_what_the_uncut_graph_finds(onnx, run_onnx, tmp_path, model, result, corners)


def test_what_the_caller_knows_counts(build):
    options = replace(OPTIONS, box_format=BoxFormat.XYXY, box_units=BoxUnits.PIXELS)
    head = treat_nms(suppressed_graph(build), NmsMode.CUT, options).head
    assert (head.options["box_format"], head.options["box_units"]) == ("xyxy", "pixels")


def test_a_centre_stays_one_whatever_the_final_boxes_are(build):
    model = suppressed_graph(build, center_point_box=1)
    head = treat_nms(model, NmsMode.CUT, replace(OPTIONS, box_format=BoxFormat.YXYX)).head
    assert head.options["box_format"] == "cxcywh"
    told = replace(OPTIONS, box_format=BoxFormat.CYCXHW)
    assert treat_nms(model, NmsMode.CUT, told).head.options["box_format"] == "cycxhw"


def test_what_is_done_to_boxes_before_they_are_suppressed_is_kept(onnx, build, run_onnx, tmp_path):
    model = suppressed_graph(
        build,
        "window",
        before=[
            ("Squeeze", ["boxes1", "i0"], ["flat"]),
            ("Clip", ["flat", "low", "high"], ["clipped"]),
            ("Unsqueeze", ["clipped", "i0"], ["window"]),
        ],
    )
    for name, value in (("low", 0.2), ("high", 0.8)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), name))
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    assert "Clip" in operations(result.model)
    assert_finds_what_the_uncut_graph_finds(
        onnx, run_onnx, tmp_path, model, result, yxyx_normalized
    )


def per_class_graph(build, background: bool):
    """As TensorFlow's Object Detection API has it: a node for each class, fed by a slice."""
    first = int(background)
    nodes = [
        *BACKBONE,
        ("Identity", ["boxes1"], ["boxes"]),
        ("Squeeze", ["boxes1", "i0"], ["flat_boxes"]),
        ("Unsqueeze", ["flat_boxes", "i0"], ["again"]),
        ("Squeeze", ["probabilities", "i0"], ["flat_scores"]),
    ]
    found = []
    for index in range(CLASSES):
        c = f"c{index}_"
        nodes += [
            ("Slice", ["flat_scores", f"i{first + index}", f"i{first + index + 1}", "i1"],
             [c + "slice"]),
            ("Reshape", [c + "slice", "flat"], [c + "scores"]),
            ("Unsqueeze", [c + "scores", "leading"], [c + "table"]),
            ("NonMaxSuppression", ["again", c + "table", "most", "iou", "score"], [c + "selected"]),
            ("Gather", [c + "selected", "i2"], [c + "rows"], {"axis": 1}),
            ("Squeeze", [c + "rows", "i1"], [c + "index"]),
            ("Gather", ["flat_boxes", c + "index"], [c + "boxes"]),
            ("Gather", [c + "scores", c + "index"], [c + "best"]),
            ("Mul", [c + "index", "i0"], [c + "zeros"]),
            ("Add", [c + "zeros", f"i{index}"], [c + "classes"]),
        ]  # fmt: skip
        found.append(c)
    nodes += [
        ("Concat", [c + part for c in found], [f"final_{part if part != 'best' else 'scores'}"],
         {"axis": 0})
        for part in ("boxes", "best", "classes")
    ]  # fmt: skip
    constants = candidates(background) | {"flat": np.int64([-1]), "leading": np.int64([0, 1])}
    return build(nodes, IMAGE, FINAL, constants)


@pytest.mark.parametrize("background", [False, True])
def test_cut_before_a_suppression_for_each_class(onnx, build, run_onnx, tmp_path, background):
    model = per_class_graph(build, background)
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    _, scores = output_shapes(result.model).values()
    assert scores == [1, CANDIDATES, CLASSES + background]
    assert_finds_what_the_uncut_graph_finds(
        onnx, run_onnx, tmp_path, model, result, yxyx_normalized
    )


_BY_THRESHOLD = [
    ("NonZero", ["enough"], ["where"]),
    ("Transpose", ["where"], ["index"], {"perm": [1, 0]}),
    ("GatherND", ["all_boxes", "index"], ["box"]),
    ("GatherND", ["all_best", "index"], ["best"]),
    ("GatherND", ["all_classes", "index"], ["class"]),
]
_BY_RANK = [
    ("TopK", ["masked", "most_wanted"], ["best", "index"]),
    ("Gather", ["all_boxes", "index"], ["unclipped"]),
    ("Clip", ["unclipped", "nothing", "edge"], ["box"]),
    ("Gather", ["all_classes", "index"], ["class"]),
]
_BY_MASK = [
    ("Cast", ["enough"], ["mask"], {"to": 1}),
    ("Mul", ["all_best", "mask"], ["masked"]),
    *_BY_RANK,
]
_BY_CHOICE = [("Where", ["enough", "all_best", "nothing"], ["masked"]), *_BY_RANK]


def offset_graph(build, choice):
    """As PyTorch's ``batched_nms``: the best class of what scores enough, boxes moved apart."""
    nodes = [
        *BACKBONE,
        ("Mul", ["boxes1", "edge"], ["pixels"]),
        ("Concat", ["pixels", "probabilities"], ["prediction"], {"axis": 2}),
        ("Split", ["prediction", "widths"], ["p_boxes", "p_scores"], {"axis": 2}),
        ("Gather", ["p_boxes", "zero"], ["all_boxes"]),
        ("ReduceMax", ["p_scores"], ["maxima"], {"axes": [2], "keepdims": 0}),
        ("Gather", ["maxima", "zero"], ["all_best"]),
        ("ArgMax", ["p_scores"], ["arg"], {"axis": 2, "keepdims": 0}),
        ("Gather", ["arg", "zero"], ["all_classes"]),
        ("Greater", ["all_best", "score"], ["enough"]),
        *choice,
        ("Div", ["box", "edge"], ["unit_box"]),
        ("Cast", ["class"], ["class_real"], {"to": 1}),
        ("Unsqueeze", ["class_real", "i1"], ["class_column"]),
        ("Add", ["unit_box", "class_column"], ["apart"]),
        ("Unsqueeze", ["apart", "i0"], ["nms_boxes"]),
        ("Unsqueeze", ["best", "leading"], ["nms_scores"]),
        ("NonMaxSuppression", ["nms_boxes", "nms_scores", "most", "iou", "score"], ["selected"]),
        ("Gather", ["selected", "two"], ["keep"], {"axis": 1}),
        ("Gather", ["box", "keep"], ["final_boxes"]),
        ("Gather", ["best", "keep"], ["final_scores"]),
        ("Gather", ["class", "keep"], ["final_classes"]),
    ]
    constants = candidates() | {
        "edge": np.float32(SIZE),
        "nothing": np.float32(0),
        "zero": np.int64(0),
        "two": np.int64(2),
        "leading": np.int64([0, 1]),
        "widths": np.int64([4, CLASSES]),
        "most_wanted": np.int64([CANDIDATES - 4]),
    }
    return build(nodes, IMAGE, FINAL, constants, producer="pytorch")


@pytest.mark.parametrize("choice", [_BY_THRESHOLD, _BY_MASK, _BY_CHOICE])
def test_cut_before_boxes_are_chosen_and_moved_apart(onnx, build, run_onnx, tmp_path, choice):
    model = offset_graph(build, choice)
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    assert not {"NonZero", "TopK", "Where"} & operations(result.model)
    assert output_shapes(result.model) == {
        "boxes": [1, CANDIDATES, 4],
        "scores": [1, CANDIDATES, CLASSES],
    }
    assert_finds_what_the_uncut_graph_finds(onnx, run_onnx, tmp_path, model, result, as_they_are)


def test_shapes_that_are_not_inferred_are_seen_in_a_run(onnx, build, run_onnx, tmp_path):
    # Where the columns end follows from the picture, so no inference tells how many there are.
    model = suppressed_graph(
        build,
        "seen",
        before=[
            ("ReduceMin", ["unit"], ["darkest"], {"keepdims": 0}),
            ("Floor", ["darkest"], ["nothing"]),
            ("Cast", ["nothing"], ["nothing_whole"], {"to": 7}),
            ("Add", ["nothing_whole", "i4"], ["columns"]),
            ("Slice", ["boxes1", "i0", "columns", "i2"], ["seen"]),
        ],
    )
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    assert_finds_what_the_uncut_graph_finds(
        onnx, run_onnx, tmp_path, model, result, yxyx_normalized
    )


@pytest.fixture(scope="module")
def tensorflow_model(tf):
    """A multi-class suppression as the Object Detection API exports it: over the batch maps a
    function that suppresses each class by ``NonMaxSuppressionV5``; in ONNX that is a loop."""
    tf2onnx = pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    values = candidates()

    def one_picture(boxes_and_scores):
        boxes, scores = boxes_and_scores
        found_boxes, found_scores, found_classes = [], [], []
        for index in range(CLASSES):
            begin, size = [0, index], tf.stack([tf.shape(scores)[0], 1])
            class_scores = tf.reshape(tf.slice(scores, begin, size), [-1])
            chosen, best = tf.image.non_max_suppression_with_scores(
                boxes, class_scores, MOST, IOU, SCORE
            )
            found_boxes.append(tf.gather(boxes, chosen))
            found_scores.append(best)
            found_classes.append(tf.fill(tf.shape(chosen), float(index + 1)))
        scores, order = tf.nn.top_k(tf.concat(found_scores, 0), tf.size(found_scores[0]) * 0 + 8)
        boxes = tf.clip_by_value(tf.gather(tf.concat(found_boxes, 0), order), 0.0, 1.0)
        return boxes, scores, tf.gather(tf.concat(found_classes, 0), order)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8, name="image")])
    def network(image):
        rows = tf.reshape(tf.cast(image, tf.float32) / 255.0, [-1, *values["features"][1:]])
        boxes = values["boxes0"] + rows @ values["to_boxes"]
        scores = tf.sigmoid(values["bias"] + rows @ values["to_scores"])
        kinds = (tf.float32,) * 3
        boxes, scores, classes = tf.map_fn(one_picture, (boxes, scores), fn_output_signature=kinds)
        return {"detection_boxes": boxes, "detection_scores": scores, "classes": classes}

    model, _ = tf2onnx.convert.from_function(network, network.input_signature, opset=17)
    # The loop is there because the batch was open; networks are exported with a batch of 1.
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model


def test_cut_before_the_loop_that_tensorflow_suppresses_in(
    onnx, run_onnx, tmp_path, tensorflow_model
):
    assert "Loop" in operations(tensorflow_model)
    result = treat_nms(tensorflow_model, NmsMode.AUTO, OPTIONS)
    assert not {"Loop", "NonMaxSuppression", "TopK"} & operations(result.model)
    assert any("for tf2onnx wrote the file" in change for change in result.changes)
    names = [info.name for info in tensorflow_model.graph.output]
    for seed in (5, 6):
        image = picture(seed)
        outputs = dict(zip(names, run_onnx(tensorflow_model, {"image": image[None]})))
        found = detect(onnx, result.model, result.head, tmp_path / f"{seed}.onnx", image)
        best = found.take(np.arange(8))
        np.testing.assert_allclose(best.best_scores, outputs["detection_scores"][0], atol=1e-5)
        np.testing.assert_array_equal(best.best_class_ids + 1, outputs["classes"][0])
        np.testing.assert_allclose(
            best.boxes, yxyx_normalized(outputs["detection_boxes"][0]), atol=1e-3
        )


def test_cut_where_tensorflow_suppresses_all_classes_at_once(onnx, run_onnx, tmp_path, tf):
    tf2onnx = pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    values = candidates()

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.uint8, name="image")])
    def network(image):
        rows = tf.reshape(tf.cast(image, tf.float32) / 255.0, values["features"])
        boxes = values["boxes0"] + rows @ values["to_boxes"]
        scores = tf.sigmoid(values["bias"] + rows @ values["to_scores"])
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None], scores, MOST, MOST, IOU, SCORE
        )
        return {"detection_boxes": found[0], "detection_scores": found[1], "classes": found[2]}

    model, _ = tf2onnx.convert.from_function(network, network.input_signature, opset=17)
    result = treat_nms(model, NmsMode.CUT, OPTIONS)
    image = picture()
    names = [info.name for info in model.graph.output]
    outputs = dict(zip(names, run_onnx(model, {"image": image[None]})))
    found = detect(onnx, result.model, result.head, tmp_path / "cut.onnx", image)
    count = len(found)
    assert count == np.count_nonzero(outputs["detection_scores"]) > 5
    np.testing.assert_array_equal(found.best_class_ids, outputs["classes"][0, :count])
    np.testing.assert_allclose(
        found.boxes, yxyx_normalized(outputs["detection_boxes"][0, :count]), atol=1e-3
    )


def test_an_output_besides_is_kept_under_its_name(build, run_onnx):
    more = [("ReduceMean", ["unit"], ["brightness"], {"keepdims": 0})]
    outputs = [("brightness", "float32", [])]
    model = suppressed_graph(build, more=more, outputs=outputs)
    options = replace(OPTIONS, keep_outputs=("brightness",))
    cut = treat_nms(model, NmsMode.CUT, options).model
    assert list(output_shapes(cut)) == ["brightness", "boxes_1", "scores"]
    feed = {"image": picture()[None]}
    assert run_onnx(cut, feed)[0] == run_onnx(model, feed)[3]


def test_an_output_behind_the_suppression_cannot_be_kept(build):
    options = replace(OPTIONS, keep_outputs=("final_scores",))
    with pytest.raises(OnnxGraphError, match="final_scores depends on the suppression"):
        treat_nms(suppressed_graph(build), NmsMode.CUT, options)
    options = replace(OPTIONS, keep_outputs=("nothing",))
    with pytest.raises(OnnxGraphError, match="no output 'nothing' to keep; the graph has final_b"):
        treat_nms(suppressed_graph(build), NmsMode.CUT, options)


def test_a_wrong_number_of_labels_is_told_with_the_shapes_seen(build):
    with pytest.raises(OnnxGraphError, match=r"'probabilities' \(1, 64, 3\).*correct the labels"):
        treat_nms(suppressed_graph(build), NmsMode.CUT, NmsOptions(7))


def test_auto_keeps_what_cannot_be_cut_and_says_why(build):
    model = suppressed_graph(build)
    result = treat_nms(model, NmsMode.AUTO, NmsOptions(7))
    assert result.model is model
    assert result.head is None
    assert "left in the graph" in result.changes[0]
    assert "correct the labels" in result.changes[0]


def test_two_stages_cannot_be_cut(build):
    second = [
        ("Gather", ["selected", "i2"], ["kept"], {"axis": 1}),
        ("Squeeze", ["kept", "i1"], ["kept1"]),
        ("Slice", ["kept1", "i0", "i4"], ["four"]),
        ("Pad", ["four", "padding"], ["padded"]),
        ("Slice", ["padded", "i0", "i4"], ["exactly"]),
        ("Gather", ["boxes1", "exactly"], ["stage_boxes"], {"axis": 1}),
        ("Gather", ["probabilities", "exactly"], ["stage_scores0"], {"axis": 1}),
        ("Relu", ["stage_boxes"], ["stage_boxes1"]),
        ("Relu", ["stage_scores0"], ["stage_scores1"]),
        ("Transpose", ["stage_scores1"], ["stage_scores"], {"perm": [0, 2, 1]}),
        ("NonMaxSuppression", ["stage_boxes1", "stage_scores", "most", "iou"], ["last"]),
    ]
    model = suppressed_graph(build, more=second, outputs=[("last", "int64", None)])
    padding = np.int64([0, 4])
    model.graph.initializer.add().CopyFrom(_tensor("padding", padding))
    first = [node for node in model.graph.output if node.name != "last"]
    for info in first:
        model.graph.output.remove(info)
    with pytest.raises(OnnxGraphError, match=r"two stages cannot be cut; keep"):
        treat_nms(model, NmsMode.CUT, OPTIONS)


def _tensor(name, values):
    from onnx import numpy_helper

    return numpy_helper.from_array(values, name)


def test_the_plugin_takes_the_place_of_suppression(build, onnx):
    options = replace(OPTIONS, thresholds=Thresholds(0.25, 0.6, 40))
    result = treat_nms(suppressed_graph(build), NmsMode.EFFICIENT_NMS, options)
    node = result.model.graph.node[-1]
    assert (node.op_type, node.domain) == ("EfficientNMS_TRT", "")
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert attributes == {
        "plugin_version": b"1",
        "score_threshold": pytest.approx(0.25),
        "iou_threshold": pytest.approx(0.6),
        "max_output_boxes": 40,
        "background_class": -1,
        "score_activation": 0,
        "box_coding": 0,
    }
    assert output_shapes(result.model) == {
        "num_detections": [1, 1],
        "detection_boxes": [1, 40, 4],
        "detection_scores": [1, 40],
        "detection_classes": [1, 40],
    }
    kinds = [info.type.tensor_type.elem_type for info in result.model.graph.output]
    assert kinds == [6, 1, 1, 6]  # int32, float, float, int32
    assert result.head == HeadSpec(
        "efficient_nms",
        {
            "boxes": "detection_boxes",
            "scores": "detection_scores",
            "classes": "detection_classes",
            "count": "num_detections",
        },
        {"class_offset": 0, "box_format": "yxyx", "box_units": "normalized"},
    )
    assert list(node.input) == ["boxes_1", "scores"]
    assert tidy(result.model) == result.model


def test_the_plugin_knows_of_a_background(build):
    result = treat_nms(per_class_graph(build, True), NmsMode.EFFICIENT_NMS, OPTIONS)
    node = result.model.graph.node[-1]
    background = {each.name: each.i for each in node.attribute}["background_class"]
    assert (background, result.head.options["class_offset"]) == (0, 1)


def test_the_plugin_makes_corners_of_centres(build):
    model = suppressed_graph(build, center_point_box=1)
    result = treat_nms(model, NmsMode.EFFICIENT_NMS, OPTIONS)
    node = result.model.graph.node[-1]
    coding = {each.name: each.i for each in node.attribute}["box_coding"]
    assert (coding, result.head.options["box_format"]) == (1, "xyxy")


@pytest.mark.parametrize("mode", list(NmsMode))
def test_a_graph_without_suppression_is_left_alone(build, mode):
    model = build(BACKBONE, IMAGE, [("probabilities", "float32", None)], candidates())
    result = treat_nms(model, mode, OPTIONS)
    assert (result.model, result.head, result.changes) == (model, None, ())


@pytest.mark.parametrize("mode", list(NmsMode))
def test_tensorrts_own_suppression_is_left_alone(build, mode):
    nodes = [*BACKBONE, ("BatchedNMS_TRT", ["boxes1", "probabilities"], ["n", "b", "s", "c"])]
    model = build(nodes, IMAGE, [("n", "int32", [1, 1])], candidates())
    result = treat_nms(model, mode, OPTIONS)
    assert (result.model, result.head) == (model, None)
    assert "left alone: BatchedNMS_TRT n." in result.changes[0]


def test_suppression_can_be_kept(build):
    model = suppressed_graph(build)
    result = treat_nms(model, NmsMode.KEEP, OPTIONS)
    assert (result.model, result.head) == (model, None)
    assert "kept as asked: NonMaxSuppression selected." in result.changes[0]


def test_a_model_yaml_tells_how_boxes_are_written():
    model = replace(
        spec(HeadSpec("tf_object_detection", {}), 5), thresholds=Thresholds(0.1, 0.2, 3)
    )
    assert NmsOptions.for_model(model) == NmsOptions(
        5, BoxFormat.YXYX, BoxUnits.NORMALIZED, (), Thresholds(0.1, 0.2, 3)
    )
    told = replace(model, head=HeadSpec("efficient_nms", {}, {"box_units": "normalized"}))
    assert NmsOptions.for_model(told).box_format is BoxFormat.XYXY
    assert NmsOptions.for_model(told).box_units is BoxUnits.NORMALIZED
    wrong = replace(model, head=HeadSpec("efficient_nms", {}, {"box_units": "metres"}))
    with pytest.raises(ModelError, match=r"head.box_units: 'metres' is not known"):
        NmsOptions.for_model(wrong)
    auto = NmsOptions.for_model(spec(HeadSpec("auto", {})))
    assert (auto.box_format, auto.box_units) == (None, None)


def test_a_cut_graph_takes_reals_as_well(build, run_onnx):
    cut = treat_nms(suppressed_graph(build), NmsMode.CUT, OPTIONS).model
    real = float_inputs(cut)
    assert real.changes == (
        "Input 'image' takes the numbers 0 to 255 as float32 instead of uint8.",
    )
    image = picture()[None]
    for before, after in zip(
        run_onnx(cut, {"image": image}), run_onnx(real.model, {"image": image.astype(np.float32)})
    ):
        np.testing.assert_array_equal(after, before)
