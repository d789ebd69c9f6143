from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jetson_detect.builder.engine_targets import EngineTarget, find_folder, fingerprint
from jetson_detect.core.model import Precision
from jetson_detect.share import find_model

DEMO = find_model("demo")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Two trusted folders and one beside them; `both` is in the two, `outside` in the other."""
    for name in ("first/both", "second/both", "second/only", "elsewhere/outside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.yaml").touch()
    (tmp_path / "second" / "no_model").mkdir()
    return [str(tmp_path / "first"), str(tmp_path / "second")]


def test_a_model_is_found_in_the_first_folder_that_has_it(folders, tmp_path):
    assert find_folder("both", folders) == tmp_path / "first" / "both"
    assert find_folder("only", folders) == tmp_path / "second" / "only"


def test_without_folders_the_package_brings_the_models():
    assert find_folder("demo", []) == DEMO


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/etc", "../elsewhere/outside", "only/../../elsewhere/outside", "a\\b", "a\0b"],
)
def test_what_could_lead_out_of_the_folders_is_refused(folders, name):
    with pytest.raises(ValueError, match="is a path or empty: give the bare name of a folder"):
        find_folder(name, folders)


@pytest.mark.parametrize("name", ["outside", "no_model", "~", "onl"])
def test_a_name_without_a_model_is_refused_with_those_that_are_there(folders, name):
    with pytest.raises(ValueError, match=r"there is no model .*; there are: both, only$"):
        find_folder(name, folders)


def test_a_target_is_called_by_what_a_user_knows():
    assert str(EngineTarget("demo", Precision.FP16)) == "engine fp16 of model 'demo'"


def test_a_fingerprint_changes_with_each_file_of_the_model_and_with_no_other(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    saved_model = folder / "saved_model"
    (saved_model / "variables").mkdir(parents=True)
    (saved_model / "variables" / "data").write_bytes(b"weights")
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(
        text.replace("files:\n", "files:\n  - {format: saved_model, path: saved_model}\n")
    )
    before = fingerprint(folder)
    (folder / "notes.txt").touch()
    assert fingerprint(folder) == before
    for name in ("model.yaml", "demo.onnx", "saved_model/variables/data"):
        os.utime(folder / name, ns=(0, 0))
        after = fingerprint(folder)
        assert after != before
        before = after
    (folder / "demo.onnx").unlink()
    assert fingerprint(folder) != before
