from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.engines import content_hash
from jetson_detect.core.engines.content_hash import (
    ContentError,
    content_sha256,
    file_sha256,
    sources_by_hash,
)
from jetson_detect.core.engines.onnx_external_data import external_data_files
from jetson_detect.core.model import Format, ModelFile, load_model
from jetson_detect.share import find_model

LONG_AGO = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Something like a SavedModel."""
    for name, content in {
        "saved_model.pb": b"graph",
        "variables/variables.index": b"index",
        "variables/variables.data": b"data",
    }.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "model"


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    """A network with weights in two files beside it, one of them of a tensor inside a branch."""
    onnx = pytest.importorskip("onnx", reason="writes the file")
    from onnx import helper, numpy_helper

    def external(name: str, location: str) -> object:
        tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), name)
        onnx.external_data_helper.set_external_data(tensor, location, offset=0, length=16)
        tensor.ClearField("raw_data")
        return tensor

    value = helper.make_tensor_value_info
    floats = onnx.TensorProto.FLOAT
    inner = helper.make_node("Constant", [], ["c"], value=external("c", "inner.bin"))
    branch = helper.make_graph([inner], "branch", [], [value("c", floats, [4])])
    choice = helper.make_node("If", ["b"], ["d"], then_branch=branch, else_branch=branch)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [choice, add],
        "network",
        [value("x", floats, [4]), value("b", onnx.TensorProto.BOOL, [])],
        [value("y", floats, [4])],
        [external("w", "weights/w.bin"), numpy_helper.from_array(np.ones(3), "unused")],
    )
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(16))
    (tmp_path / "inner.bin").write_bytes(bytes(16))
    path = tmp_path / "network.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_a_file_has_the_hash_that_sha256sum_prints(tmp_path):
    path = tmp_path / "network.pb"
    path.write_bytes(b"weights" * 500_000)
    assert content_sha256(path) == hashlib.sha256(b"weights" * 500_000).hexdigest()
    demo = load_model(find_model("demo")).files_for([Format.ONNX])[0]
    assert content_sha256(demo) == hashlib.sha256(demo.path.read_bytes()).hexdigest()


def test_a_folder_is_the_same_wherever_it_lies(folder):
    before = content_sha256(folder)
    assert content_sha256(folder.rename(folder.with_name("elsewhere"))) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "variables" / "variables.data").write_bytes(b"datA"),
        lambda folder: (folder / "saved_model.pb").rename(folder / "saved_model.pbtxt"),
        lambda folder: (folder / "variables" / "variables.index").unlink(),
        lambda folder: (folder / "more").write_bytes(b""),
    ],
    ids=["content", "name", "one file less", "one file more"],
)
def test_whatever_changes_in_a_folder_changes_its_hash(folder, change):
    before = content_sha256(folder)
    change(folder)
    assert content_sha256(folder) != before


def test_links_in_a_folder_count_with_what_they_lead_to(folder):
    before = content_sha256(folder)
    (folder / "variables").rename(folder.with_name("store"))
    (folder / "variables").symlink_to(folder.with_name("store"))
    assert content_sha256(folder) == before


def test_links_in_circles_are_named(folder):
    (folder / "variables" / "again").symlink_to(folder)
    with pytest.raises(ContentError, match=r"again: is a link to a folder that it lies in"):
        content_sha256(folder)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ContentError, match="is an empty folder"):
        content_sha256(tmp_path)


@pytest.mark.parametrize("name", ["weights/w.bin", "inner.bin", "network.onnx"])
def test_an_onnx_file_counts_with_the_files_that_its_weights_lie_in(onnx_file, name):
    before = content_sha256(onnx_file)
    path = onnx_file.parent / name
    content = path.read_bytes()
    if name == "network.onnx":
        path.write_bytes(content.replace(b"network", b"netwerk"))
    else:
        path.write_bytes(content[:-1] + b"\x01")
    assert content_sha256(onnx_file) != before


def places_of_tensors(onnx):
    """Find all ways, without going in circles, from a model to a tensor in it."""
    ways = {"ModelProto": [()]}
    found, waiting = [], [("ModelProto", ())]
    while waiting:
        kind, way = waiting.pop()
        for field in getattr(onnx, kind).DESCRIPTOR.fields:
            if field.message_type is None or "type" in field.name or field.name == "value_info":
                continue
            inner, longer = field.message_type.name, (*way, field.name)
            if inner == "TensorProto":
                found.append(longer)
            elif hasattr(onnx, inner) and len(longer) <= 4 and longer not in ways.get(inner, ()):
                ways.setdefault(inner, []).append(longer)
                waiting.append((inner, longer))
    return found


def test_weights_are_found_wherever_the_format_allows_a_tensor(tmp_path):
    onnx = pytest.importorskip("onnx", reason="knows the format")
    places = places_of_tensors(onnx)
    assert ("graph", "node", "attribute", "sparse_tensors", "values") in places
    for place in places:
        model = onnx.ModelProto()
        model.graph.name = "network"
        message = model
        for name in place:
            message = getattr(message, name)
            message = message.add() if hasattr(message, "add") else message
        message.external_data.add(key="offset", value="0")
        message.external_data.add(key="location", value="w.bin")
        path = tmp_path / "network.onnx"
        path.write_bytes(model.SerializeToString())
        assert external_data_files(path) == ("w.bin",), place


def test_files_that_merely_lie_beside_an_onnx_file_do_not_count(onnx_file):
    before = content_sha256(onnx_file)
    (onnx_file.parent / "network.onnx.data").write_bytes(b"of an older export")
    assert content_sha256(onnx_file) == before


def test_missing_weights_of_an_onnx_file_are_named(onnx_file):
    (onnx_file.parent / "inner.bin").unlink()
    with pytest.raises(ContentError, match=r"inner\.bin: cannot be read .*network\.onnx: copy it"):
        content_sha256(onnx_file)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd"])
def test_weights_outside_the_folder_are_refused(onnx_file, location):
    content = onnx_file.read_bytes()
    old = b"\x12\x0dweights/w.bin"
    assert old in content
    # The lengths of all messages around it stay.
    padded = location.ljust(13, "/").encode()
    onnx_file.write_bytes(content.replace(old, b"\x12\x0d" + padded))
    with pytest.raises(ContentError, match="which is not beside it"):
        content_sha256(onnx_file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"\x08\x08", b"\xff" * 64])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(ContentError, match=r"network\.onnx: is .*no ONNX file.*export it again"):
        content_sha256(path)


def test_an_onnx_file_that_was_cut_is_refused(onnx_file):
    onnx_file.write_bytes(onnx_file.read_bytes()[:-10])
    with pytest.raises(ContentError, match="damaged"):
        content_sha256(onnx_file)


def test_the_format_and_not_the_name_tells_an_onnx_file(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"a frozen graph")
    assert content_sha256(ModelFile(Format.FROZEN_GRAPH, path)) == file_sha256(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ContentError, match=r"gone\.pb: cannot be read .*No such file"):
        content_sha256(tmp_path / "gone.pb")


def test_a_file_that_did_not_change_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "network.pb"
    path.write_bytes(b"weights")
    monkeypatch.setattr(content_hash, "_SETTLED_S", -1.0)
    before = file_sha256(path)
    monkeypatch.setattr(content_hash.hashlib, "sha256", None)
    assert file_sha256(path) == before
    with pytest.raises(TypeError):
        file_sha256(path, fresh=True)


def test_a_file_that_has_just_been_written_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "network.pb"
    path.write_bytes(b"weights")
    file_sha256(path)
    monkeypatch.setattr(content_hash.hashlib, "sha256", None)
    with pytest.raises(TypeError):
        file_sha256(path)


def test_a_changed_byte_is_seen_even_if_size_and_time_are_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(content_hash, "_SETTLED_S", -1.0)
    path = tmp_path / "network.pb"
    path.write_bytes(b"weights")
    os.utime(path, (LONG_AGO, LONG_AGO))
    before = file_sha256(path)
    time.sleep(0.01)  # a tick of the clock that the kernel stamps changes with
    with path.open("r+b") as file:
        file.write(b"W")
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert file_sha256(path) != before


def test_the_sources_of_a_model_are_what_engines_are_built_from():
    model = load_model(find_model("demo"))
    files = [file for file in model.files if file.format in (Format.ONNX, Format.KERAS)]
    assert sources_by_hash(model) == {content_sha256(file): file for file in files}
    assert len(files) >= 1


def test_of_sources_with_one_content_the_first_stands_for_all(tmp_path):
    for name in ("a.pb", "b.pb"):
        (tmp_path / name).write_bytes(b"weights")
    first, second, missing = (
        ModelFile(Format.FROZEN_GRAPH, tmp_path / name) for name in ("b.pb", "a.pb", "c.pb")
    )
    model = replace(load_model(find_model("demo")), files=(missing, first, second))
    assert list(sources_by_hash(model).values()) == [first]


def test_a_source_that_cannot_be_read_is_left_out_and_told(tmp_path, caplog):
    empty, good = tmp_path / "empty", tmp_path / "good.pb"
    empty.mkdir()
    good.write_bytes(b"weights")
    files = (ModelFile(Format.SAVED_MODEL, empty), ModelFile(Format.FROZEN_GRAPH, good))
    model = replace(load_model(find_model("demo")), files=files)
    assert list(sources_by_hash(model).values()) == [files[1]]
    assert f"{empty}: is an empty folder" in caplog.text
