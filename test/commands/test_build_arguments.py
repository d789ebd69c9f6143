from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from jetson_detect.commands.build_arguments import add_source_argument, wanted_sources
from jetson_detect.core.model import Format, ModelError, ModelFile, ModelSpec, load_model
from jetson_detect.share import find_model


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    """A model whose SavedModel is missing."""
    kinds = (Format.TFLITE, Format.SAVED_MODEL, Format.KERAS, Format.ONNX)
    files = tuple(ModelFile(kind, tmp_path / kind.value) for kind in kinds)
    for file in files:
        if file.format is not Format.SAVED_MODEL:
            file.path.touch()
    return replace(load_model(find_model("demo")), files=files)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_source_argument(parser, "which file")
    return parser.parse_args(arguments)


def test_unless_a_source_is_named_the_best_one_is_taken(model):
    assert wanted_sources(parse(), model) == [None]


def test_a_named_source_is_taken_if_it_is_there(model):
    assert wanted_sources(parse("--source", "keras"), model) == [Format.KERAS]
    with pytest.raises(ModelError, match="no saved_model file of precision fp32 is there"):
        wanted_sources(parse("--source", "saved_model"), model)


def test_all_sources_are_those_that_exist_and_engines_are_built_from(model):
    assert wanted_sources(parse("--source", "all"), model) == [Format.ONNX, Format.KERAS]


def test_a_format_that_engines_are_not_built_from_is_refused():
    with pytest.raises(argparse.ArgumentError, match="invalid choice: 'tflite'"):
        parse("--source", "tflite")
