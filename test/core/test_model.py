from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.geometry import ResizeMode
from jetson_detect.core.model import Format, HeadSpec, Layout, ModelError, Precision, load_model

VALID = """\
name: tiny
license: Apache-2.0
files:
  - {format: tflite, path: tiny.tflite}
  - {format: tflite, path: tiny_int8.tflite, precision: int8}
  - {format: onnx, path: tiny.onnx, tensors: {image: input_1}}
input:
  width: 32
  height: 16
  layout: NHWC
  color_order: RGB
  scale: [0.5]
head:
  type: centernet
  outputs: {heatmap: h, offset: o, size: s}
  size_encoding: log
labels: [ball, box]
thresholds: {score: 0.4}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.yaml").write_text(VALID)
    (tmp_path / "tiny.tflite").write_bytes(b"")
    return tmp_path


def refusal(folder: Path, text: str) -> str:
    (folder / "model.yaml").write_text(text)
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    return str(caught.value)


def test_a_valid_folder_is_read_whole(folder):
    model = load_model(folder)
    assert (model.name, model.license, model.labels) == ("tiny", "Apache-2.0", ("ball", "box"))
    assert model.input.resize is ResizeMode.LETTERBOX
    assert model.input.layout is Layout.NHWC
    assert (model.input.mean, model.input.scale) == ((0.0,) * 3, (0.5,) * 3)
    assert model.head.options == {"size_encoding": "log"}
    assert (model.thresholds.score, model.thresholds.iou) == (0.4, 0.5)
    assert model.files[1].precision is Precision.INT8
    assert model.files[1].path == folder / "tiny_int8.tflite"
    assert model.files[2].tensor_name("image") == "input_1"
    assert model.files[2].tensor_name("h") == "h"


def test_the_file_itself_may_be_named_instead_of_its_folder(folder):
    assert load_model(folder / "model.yaml") == load_model(folder)


def test_files_are_chosen_by_format_and_precision(folder):
    model = load_model(folder)
    assert [f.path.name for f in model.files_for([Format.TFLITE])] == [
        "tiny.tflite",
        "tiny_int8.tflite",
    ]
    assert [f.path.name for f in model.files_for([Format.TFLITE], Precision.INT8)] == [
        "tiny_int8.tflite"
    ]
    assert model.files_for([Format.TENSORRT]) == ()


def test_a_missing_folder_is_named_with_what_a_model_is(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere/model.yaml: cannot be read.*with a model.yaml"):
        load_model(tmp_path / "nowhere")


def test_broken_yaml_is_named_with_its_line(folder):
    assert "line 2" in refusal(folder, "name: [\nlicense: x: y\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "layout: NHWC",
            "layout: HWC",
            "model.yaml:10: input.layout (the order of the tensor's dimensions): "
            "'HWC' is not known: use one of NHWC, NCHW",
        ),
        ("width: 32", "width: 0", "model.yaml:8: input.width (pixels): 0 is less than the minimum"),
        ("  width: 32\n", "", "input (what the network expects of its pixels): 'width' is missing"),
        ("  scale: [0.5]", "  scales: [0.5]", "unknown key 'scales': use one of alignment,"),
        ("format: onnx", "format: onxx", "model.yaml:6: files[2].format (what kind of file it is)"),
        ("labels: [ball, box]", "labels: []", "model.yaml:17: labels"),
        ("labels: [ball, box]", "labels: [ball, ball]", "non-unique"),
        ("score: 0.4", "score: 1.4", "model.yaml:18: thresholds.score"),
        ("license: Apache-2.0\n", "", "'license' is missing: add it (the SPDX identifier"),
        ("scale: [0.5]", "scale: [0.5, 0.5]", "input.scale: 2 numbers for 3 channel(s)"),
        ("scale: [0.5]", "scale: [0]", "input.scale"),
    ],
)
def test_a_wrong_key_is_named_with_file_line_value_and_remedy(folder, old, new, expected):
    assert old in VALID
    assert expected in refusal(folder, VALID.replace(old, new))


def test_all_mistakes_are_listed_at_once(folder):
    message = refusal(folder, VALID.replace("NHWC", "X").replace("score: 0.4", "score: 2"))
    assert "input.layout" in message
    assert "thresholds.score" in message


def test_a_model_none_of_whose_files_exist_is_refused(folder):
    (folder / "tiny.tflite").unlink()
    with pytest.raises(
        ModelError, match=r"none of tiny.tflite, tiny_int8.tflite, tiny.onnx exists"
    ):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "just words", "null"])
def test_a_document_that_is_no_mapping_is_refused(folder, text):
    assert "the file" in refusal(folder, text)


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)
keys = st.sampled_from(sorted(yaml.safe_load(VALID)))


@given(keys, yaml_values)
def test_any_value_in_any_place_gives_a_model_or_a_model_error(tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("model")
    document = {**yaml.safe_load(VALID), key: value}
    (folder / "tiny.tflite").write_bytes(b"")
    (folder / "model.yaml").write_text(yaml.safe_dump(document))
    with contextlib.suppress(ModelError):
        assert load_model(folder).labels


def test_a_file_may_have_a_head_of_its_own(folder):
    text = VALID.replace(
        "{format: onnx, path: tiny.onnx, tensors: {image: input_1}}",
        "{format: onnx, path: tiny.onnx, head: {type: ssd, outputs: {boxes: b, scores: s}, x: 1}}",
    )
    (folder / "model.yaml").write_text(text)
    model = load_model(folder)
    assert model.files[2].head == HeadSpec("ssd", {"boxes": "b", "scores": "s"}, {"x": 1})
    assert model.files[0].head is None
    without_outputs = text.replace("outputs: {boxes: b, scores: s}, ", "")
    assert "files[2].head" in refusal(folder, without_outputs)
