"""The vision_msgs in use is wire compatible with the released one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

TYPE_HASHES = {
    "Detection2DArray": "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "Detection2D": "0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "VisionInfo": "95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
}


@pytest.mark.parametrize("name", sorted(TYPE_HASHES))
def test_the_type_hash_is_that_of_the_released_vision_msgs(name):
    path = Path(get_package_share_directory("vision_msgs")) / "msg" / f"{name}.json"
    if not path.exists():
        pytest.skip("this ROS distribution has no type hashes (they came with Iron)")
    description = json.loads(path.read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes[f"vision_msgs/msg/{name}"] == f"RIHS01_{TYPE_HASHES[name]}"
