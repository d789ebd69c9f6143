"""Proposed heads, for outputs named and shaped as exporters name and shape them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.heads import HEADS, make_head
from jetson_detect.core.heads.proposal import (
    HeadProposalError,
    head_as_yaml,
    propose_head,
    resolve_head,
)
from jetson_detect.core.model import ModelError, load_model

COCO = 80
SQUARE = (640, 640)


def infos(outputs):
    """Output descriptions; a name that ends in an exclamation mark has integers."""
    return [
        TensorInfo(
            name.rstrip("!"),
            tuple(shape),
            np.dtype(np.int32 if name.endswith("!") else np.float32),
        )
        for name, shape in outputs.items()
    ]


TF2 = {
    "detection_anchor_indices": (1, 100),
    "detection_boxes": (1, 100, 4),
    "detection_classes": (1, 100),
    "detection_multiclass_scores": (1, 100, 91),
    "detection_scores": (1, 100),
    "num_detections": (1,),
    "raw_detection_boxes": (1, 51150, 4),
    "raw_detection_scores": (1, 51150, 91),
}
TFLITE1 = {
    "TFLite_Detection_PostProcess": (1, 10, 4),
    "TFLite_Detection_PostProcess:1": (1, 10),
    "TFLite_Detection_PostProcess:2": (1, 10),
    "TFLite_Detection_PostProcess:3": (1,),
}
TFLITE2 = {
    "StatefulPartitionedCall:1": (1, 25),
    "StatefulPartitionedCall:3": (1, 25, 4),
    "StatefulPartitionedCall:0": (1,),
    "StatefulPartitionedCall:2": (1, 25),
}
LEVELS = {3: 64, 4: 32, 5: 16, 6: 8, 7: 4}
EFFICIENTDET = {
    **{f"class_net/p{level}": (1, n, n, 9 * COCO) for level, n in LEVELS.items()},
    **{f"box_net/p{level}": (1, n, n, 36) for level, n in LEVELS.items()},
}

# type: outputs, input, labels, expected outputs by part, expected options
KNOWN = {
    "TensorFlow Object Detection API": (
        "tf_object_detection", TF2, SQUARE, 90,
        {"boxes": "detection_boxes", "scores": "detection_scores",
         "classes": "detection_classes", "count": "num_detections"}, {}),
    "frozen graph": (
        "tf_object_detection",
        {"num_detections:0": (None,), "detection_boxes:0": (None, 100, 4),
         "detection_scores:0": (None, 100), "detection_classes:0": (None, 100)}, (300, 300), 90,
        {"boxes": "detection_boxes:0", "scores": "detection_scores:0",
         "classes": "detection_classes:0", "count": "num_detections:0"}, {}),
    "TensorFlow Lite, version 1": (
        "tflite_detection_postprocess", TFLITE1, (300, 300), 90,
        {"boxes": "TFLite_Detection_PostProcess", "classes": "TFLite_Detection_PostProcess:1",
         "scores": "TFLite_Detection_PostProcess:2", "count": "TFLite_Detection_PostProcess:3"},
        {}),
    "TensorFlow Lite, version 2, out of order": (
        "tflite_detection_postprocess", TFLITE2, (320, 320), 90,
        {"boxes": "StatefulPartitionedCall:3", "classes": "StatefulPartitionedCall:2",
         "scores": "StatefulPartitionedCall:1", "count": "StatefulPartitionedCall:0"}, {}),
    "TensorFlow Lite with a signature": (
        "tflite_detection_postprocess",
        {"output_0": (1,), "output_1": (1, 25), "output_2": (1, 25), "output_3": (1, 25, 4)},
        (320, 320), 90,
        {"boxes": "output_3", "classes": "output_2", "scores": "output_1", "count": "output_0"},
        {}),
    "EfficientNMS": (
        "efficient_nms",
        {"num_detections!": (1, 1), "detection_boxes": (1, 100, 4), "detection_scores": (1, 100),
         "detection_classes!": (1, 100)}, SQUARE, 90,
        {"boxes": "detection_boxes", "scores": "detection_scores",
         "classes": "detection_classes", "count": "num_detections"}, {}),
    "YOLOv7 with EfficientNMS": (
        "efficient_nms",
        {"num_dets!": (1, 1), "det_boxes": (1, 100, 4), "det_scores": (1, 100),
         "det_classes!": (1, 100)}, SQUARE, COCO,
        {"boxes": "det_boxes", "scores": "det_scores", "classes": "det_classes",
         "count": "num_dets"}, {}),
    "BatchedNMS": (
        "efficient_nms",
        {"num_detections!": (1, 1), "nmsed_boxes": (1, 200, 4), "nmsed_scores": (1, 200),
         "nmsed_classes": (1, 200)}, (960, 544), 3,
        {"boxes": "nmsed_boxes", "scores": "nmsed_scores", "classes": "nmsed_classes",
         "count": "num_detections"}, {"box_units": "normalized"}),
    "RT-DETR with its postprocessor": (
        "rt_detr_postprocessed",
        {"labels!": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, SQUARE, COCO,
        {"boxes": "boxes", "scores": "scores", "classes": "labels"}, {}),
    "the demo": (
        "centernet",
        {"heatmap": (1, 40, 40, 6), "offset": (1, 40, 40, 2), "size": (1, 40, 40, 2)},
        (160, 160), 6, {"heatmap": "heatmap", "offset": "offset", "size": "size"}, {}),
    "CenterNet of its authors": (
        "centernet",
        {"hm": (1, 80, 128, 128), "wh": (1, 2, 128, 128), "reg": (1, 2, 128, 128)},
        (512, 512), COCO, {"heatmap": "hm", "offset": "reg", "size": "wh"}, {}),
    "SSD without postprocessing": (
        "ssd",
        {"raw_outputs/box_encodings": (1, 1917, 4), "raw_outputs/class_predictions": (1, 1917, 91)},
        (300, 300), 90,
        {"boxes": "raw_outputs/box_encodings", "scores": "raw_outputs/class_predictions"},
        {"activation": "none"}),
    "SSD by its shapes": (
        "ssd", {"a": (1, 1917, 91), "b": (1, 1917, 4)}, (300, 300), 90,
        {"boxes": "b", "scores": "a"}, {}),
    "EfficientDet level by level": (
        "efficientdet", EFFICIENTDET, (512, 512), COCO,
        {f"{kind}_{level}": f"{name}/p{level}"
         for kind, name in (("classes", "class_net"), ("boxes", "box_net")) for level in LEVELS},
        {}),
    "EfficientDet in one piece": (
        "efficientdet", {"regression": (1, 49104, 4), "classification": (1, 49104, 90)},
        (512, 512), 90, {"classes": "classification", "boxes": "regression"}, {}),
    "YOLOv5": (
        "yolov5", {"output0": (1, 25200, 85)}, SQUARE, COCO, {"predictions": "output0"}, {}),
    "YOLOv5 for large inputs": (
        "yolov5", {"output0": (1, 102000, 85)}, (1280, 1280), COCO, {"predictions": "output0"},
        {}),
    "YOLOv5 in TensorFlow Lite": (
        "yolov5", {"StatefulPartitionedCall:0": (1, 6300, 85)}, (320, 320), COCO,
        {"predictions": "StatefulPartitionedCall:0"}, {"box_units": "normalized"}),
    "YOLOv8": (
        "yolov8", {"output0": (1, 84, 8400)}, SQUARE, COCO, {"predictions": "output0"}, {}),
    "YOLOv8 of any size": (
        "yolov8", {"output0": (None, 84, None)}, SQUARE, COCO, {"predictions": "output0"}, {}),
    "YOLOv8 with two labels": (
        "yolov8", {"output0": (1, 6, 8400)}, SQUARE, 2, {"predictions": "output0"}, {}),
    "YOLOv8 in TensorFlow Lite, transposed": (
        "yolov8", {"Identity": (1, 2100, 84)}, (320, 320), COCO, {"predictions": "Identity"},
        {"box_units": "normalized"}),
    "YOLOX": ("yolox", {"output": (1, 8400, 85)}, SQUARE, COCO, {"predictions": "output"}, {}),
    "YOLOX-Nano": (
        "yolox", {"output": (1, 3549, 85)}, (416, 416), COCO, {"predictions": "output"}, {}),
    "YOLOv10": (
        "yolo_end_to_end", {"output0": (1, 300, 6)}, SQUARE, COCO, {"predictions": "output0"}, {}),
    "YOLOv10 with two labels": (
        "yolo_end_to_end", {"output0": (1, 300, 6)}, SQUARE, 2, {"predictions": "output0"}, {}),
    "YOLO26 with oriented boxes": (
        "yolo_end_to_end", {"output0": (1, 300, 7)}, (1024, 1024), 15,
        {"predictions": "output0"}, {}),
    "YOLO11 with oriented boxes": (
        "yolo_obb", {"output0": (1, 20, 21504)}, (1024, 1024), 15, {"predictions": "output0"}, {}),
    "DETR": (
        "detr", {"logits": (None, 100, 92), "pred_boxes": (None, 100, 4)}, (800, 800), 91,
        {"logits": "logits", "boxes": "pred_boxes"}, {}),
    "RF-DETR": (
        "detr", {"dets": (1, 300, 4), "labels": (1, 300, 91)}, (560, 560), 91,
        {"logits": "labels", "boxes": "dets"}, {}),
    "RT-DETR of Ultralytics": (
        "detr", {"output0": (1, 300, 84)}, SQUARE, COCO, {"predictions": "output0"}, {}),
    "DetectNet_v2": (
        "detectnet", {"output_bbox/BiasAdd": (None, 12, 34, 60),
                      "output_cov/Sigmoid": (None, 3, 34, 60)}, (960, 544), 3,
        {"coverage": "output_cov/Sigmoid", "boxes": "output_bbox/BiasAdd"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_exporters_make_is_recognised(name):
    kind, outputs, size, labels, parts, options = KNOWN[name]
    spec = propose_head(infos(outputs), size, labels)
    assert (spec.type, dict(spec.outputs), dict(spec.options)) == (kind, parts, options)


def test_every_head_is_proposed_for_something():
    assert {entry[0] for entry in KNOWN.values()} == set(HEADS)


def test_every_head_is_described_in_the_documentation():
    text = (Path(__file__).parents[3] / "docs" / "model-folder.md").read_text(encoding="utf-8")
    assert [kind for kind in HEADS if f"| `{kind}`" not in text] == []


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_proposed_can_be_made(model, name):
    kind, outputs, (width, height), labels, _, _ = KNOWN[name]
    by_name = {info.name: info for info in infos(outputs)}
    spec = propose_head(list(by_name.values()), (width, height), labels)
    is_nhwc = name == "the demo" or kind == "efficientdet"
    layout = type(model.input.layout)("NHWC" if is_nhwc else "NCHW")
    fitting = replace(
        model,
        head=spec,
        labels=tuple(f"class {index}" for index in range(labels)),
        input=replace(model.input, width=width, height=height, layout=layout),
    )
    head = make_head(fitting, {part: by_name[name] for part, name in spec.outputs.items()})
    assert isinstance(head, HEADS[kind])


@pytest.mark.parametrize(
    ("outputs", "labels", "named"),
    [
        # Without labels, 85 columns may be 4 + 81 or 5 + 80; without sizes, cells tell nothing.
        ({"output": (1, 8400, 85)}, None, ["yolov8", "yolox"]),
        ({"output": (1, None, 85)}, COCO, ["yolox", "yolov5"]),
        ({"output": (1, 84, 8400)}, None, ["yolov8", "yolo_obb"]),
        ({"output": (1, None, 84)}, COCO, ["yolov8", "detr"]),
        ({"a": (1, None, 4), "b": (1, None, 90)}, 90, ["ssd", "efficientdet", "detr"]),
        ({"a": (1, 300, 4), "b": (1, 300, 4)}, 4, ["logits: b", "logits: a"]),
    ],
)
def test_what_may_be_several_is_refused_with_all_of_them(outputs, labels, named):
    with pytest.raises(HeadProposalError, match="several heads fit the outputs") as refusal:
        propose_head(infos(outputs), SQUARE, labels)
    assert [name for name in named if name not in str(refusal.value)] == []


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": (1, 1000)},
        {"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)},  # masks
        {"output0": (1, 56, 8400)},  # key points
        {"boxes": (1, 3000, 4), "scores": (1, 3000, 81)},  # anchors of no generator known here
        {"StatefulPartitionedCall:0": (1, 25, 4), "StatefulPartitionedCall:1": (1, 25),
         "StatefulPartitionedCall:2": (1, 25), "StatefulPartitionedCall:3": (1,)},
        {},
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_with_what_was_seen_and_what_is_known(outputs):
    with pytest.raises(HeadProposalError) as refusal:
        propose_head(infos(outputs), SQUARE, COCO)
    message = str(refusal.value)
    assert message.startswith("no head fits the outputs")
    assert "input 640x640; 80 labels; known are centernet, detectnet, detr," in message
    assert [name for name in outputs if f"'{name}' (1" not in message] == []


def test_raw_grids_are_proposed_and_then_ask_for_their_anchors(model):
    outputs = infos({"a": (1, 3, 20, 20, 7), "b": (1, 3, 80, 80, 7), "c": (1, 3, 40, 40, 7)})
    spec = propose_head(outputs, SQUARE, 2)
    assert dict(spec.outputs) == {"p3": "b", "p4": "c", "p5": "a"}
    with pytest.raises(ModelError, match="there are no anchors; add anchors"):
        make_head(replace(model, head=spec), dict(zip(("p5", "p3", "p4"), outputs)))


def test_a_proposal_can_be_put_into_model_yaml():
    spec = propose_head(infos({"Identity": (1, 2100, 84)}), (320, 320), COCO)
    assert head_as_yaml(spec) == (
        "head: {type: yolov8, outputs: {predictions: Identity}, box_units: normalized}"
    )


# -- head: {type: auto} ----------------------------------------------------------------------------

MODEL = """\
name: tiny
license: Apache-2.0
files: [{format: onnx, path: tiny.onnx}]
input: {width: 640, height: 640, layout: NCHW, color_order: RGB}
head: HEAD
labels: [ball, box]
"""


@pytest.fixture
def model(tmp_path):
    return load(tmp_path, "{type: auto}")


def load(folder, head):
    (folder / "tiny.onnx").write_bytes(b"")
    (folder / "model.yaml").write_text(MODEL.replace("HEAD", head))
    return load_model(folder)


def test_auto_becomes_the_proposal(model):
    spec = resolve_head(model, infos({"output0": (1, 6, 8400)}))
    assert (spec.type, dict(spec.outputs)) == ("yolov8", {"predictions": "output0"})


def test_what_stands_beside_auto_goes_before_the_proposal(tmp_path):
    given = load(tmp_path, "{type: auto, box_units: pixels}")
    spec = resolve_head(given, infos({"Identity": (1, 6, 8400)}))
    assert spec.options == {"box_units": "pixels"}


def test_a_head_that_is_named_is_left_alone(tmp_path):
    given = load(tmp_path, "{type: yolov8, outputs: {predictions: out}}")
    assert resolve_head(given, infos({"nonsense": (7,)})) is given.head


def test_auto_that_fits_nothing_names_the_file_and_the_remedy(model):
    with pytest.raises(
        ModelError,
        match=r"model.yaml: head.type: no head fits the outputs 'x' \(1, \?\) float32; input "
        r"640x640; 2 labels; known are .*; write head.type and head.outputs instead of auto",
    ):
        resolve_head(model, infos({"x": (1, None)}))


def test_only_auto_may_leave_its_outputs_out(tmp_path):
    with pytest.raises(
        ModelError, match=r"model.yaml:5: head.*: 'outputs' is missing: add it \(wh"
    ):
        load(tmp_path, "{type: yolov8}")
