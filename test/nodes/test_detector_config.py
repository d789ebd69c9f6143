from __future__ import annotations

from typing import Any

import pytest
import yaml

from jetson_detect.nodes.builder_config import BuilderConfig
from jetson_detect.nodes.detector_config import DetectorConfig
from jetson_detect.nodes.parameters import specifications
from jetson_detect.share import share_folder


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


@pytest.mark.parametrize(
    ("file", "config"), [("detector.yaml", DetectorConfig), ("builder.yaml", BuilderConfig)]
)
def test_the_parameter_file_holds_every_parameter_with_its_default(file, config):
    text = (share_folder() / "config" / file).read_text()
    in_file = flatten(yaml.safe_load(text)["/**"]["ros__parameters"])
    declared = {each.name: each.to_ros(each.default).value for each in specifications(config)}
    assert in_file == declared


@pytest.mark.parametrize("config", [DetectorConfig, BuilderConfig])
def test_every_parameter_is_described(config):
    assert all(len(each.description) > 10 for each in specifications(config))
