"""Class names in the order of their coming, whatever messages call them."""

from __future__ import annotations

from jetson_detect.core.class_names import ClassNames


def test_classes_get_indices_in_the_order_of_their_coming() -> None:
    classes = ClassNames()
    assert [classes.name(each) for each in ("cup", "ball", "cup")] == ["cup", "ball", "cup"]
    assert classes.names == ["cup", "ball"]


def test_indices_become_labels_when_the_labels_are_known() -> None:
    classes = ClassNames()
    classes.learn_labels({0: "ball", 1: "cup"})
    assert classes.name("1") == "cup"
    assert classes.names == ["ball", "cup"]


def test_classes_keep_their_index_when_their_label_comes_late() -> None:
    classes = ClassNames()
    classes.name("1")
    classes.name("cone")
    classes.learn_labels({0: "ball", 1: "cup", 2: "cone"})
    assert classes.names == ["cup", "cone", "ball"]
    assert classes.name("1") == "cup"
