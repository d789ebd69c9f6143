from __future__ import annotations

import sys

from jetson_detect.share import find_model


def test_a_checkout_needs_no_ros_to_find_its_models(monkeypatch):
    monkeypatch.setitem(sys.modules, "ament_index_python", None)
    monkeypatch.setitem(sys.modules, "ament_index_python.packages", None)
    assert (find_model("demo") / "model.yaml").is_file()
