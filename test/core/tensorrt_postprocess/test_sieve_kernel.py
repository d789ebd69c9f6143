"""The sieve kernel, run on the CPU, against NumPy and against heads that see all candidates."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends.tensorrt.sieve_kernel import (
    ELEMENT_TYPES,
    SieveTable,
    SieveTask,
)
from jetson_detect.core.heads import Head
from jetson_detect.core.heads.base import SievedHead
from jetson_detect.core.heads.sieve import Sieve
from jetson_detect.core.selection import Selection

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

RUBBISH = 77


class Run:
    """What the kernel makes of some pictures' outputs: of each (B, N, columns) or transposed."""

    def __init__(
        self, kernel: Any, sieve: Sieve, outputs: Mapping[str, np.ndarray], limit: float, room=1000
    ) -> None:
        columns = {sieve.scores: sieve.columns, **sieve.others}
        pictures = len(outputs[sieve.scores])
        self.copies = {name: np.full_like(outputs[name], RUBBISH) for name in columns}
        self.counts = np.zeros((pictures, 2), np.uint32)
        self._found = np.full((pictures, room), 2**32 - 1, np.uint32)
        limits = np.array([limit], np.float32)
        task = SieveTask(
            limit=limits.ctypes.data,
            counts=self.counts.ctypes.data,
            found=self._found.ctypes.data,
            table_count=len(columns),
            capacity=room,
            first=sieve.first,
            compared=sieve.compared,
            subtracted=-1 if sieve.subtracted is None else sieve.subtracted,
        )
        for number, (name, width) in enumerate(columns.items()):
            array = outputs[name]
            by_candidate = array.shape[2] == width
            task.candidate_count = array.shape[1 if by_candidate else 2]
            task.tables[number] = SieveTable(
                source=array.ctypes.data,
                target=self.copies[name].ctypes.data,
                picture_step=array[0].size,
                candidate_step=width if by_candidate else 1,
                column_step=1 if by_candidate else task.candidate_count,
                columns=width,
                element_type=ELEMENT_TYPES[array.dtype],
            )
        kernel.run_sieve(ctypes.byref(task), pictures)

    def found(self, picture: int = 0) -> np.ndarray:
        count = self.counts[picture, 0]
        return np.sort(self._found[picture, :count]).astype(np.intp)


def test_the_task_is_laid_out_as_in_the_source(sieve_kernel):
    assert ctypes.sizeof(SieveTask) == sieve_kernel.size_of_sieve_task()


def test_every_half_is_read_as_numpy_reads_it(sieve_kernel):
    sieve_kernel.value_of_half.restype = ctypes.c_float
    bits = np.arange(1 << 16, dtype=np.uint16)
    values = [sieve_kernel.value_of_half(int(each)) for each in bits]
    np.testing.assert_array_equal(np.array(values, np.float32), bits.view(np.float16))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_passes_is_found_and_copied_and_nothing_else(sieve_kernel, data):
    dtype = data.draw(st.sampled_from([np.float32, np.float16]))
    pictures, candidates, columns = (data.draw(st.integers(1, top)) for top in (3, 40, 7))
    first = data.draw(st.integers(0, columns - 1))
    compared = data.draw(st.integers(1, columns - first))
    subtracted = data.draw(st.none() | st.integers(0, columns - 1))
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    table = random.normal(size=(pictures, candidates, columns)).astype(dtype)
    other = random.normal(size=(pictures, 4, candidates)).astype(np.float32)
    for _ in range(data.draw(st.integers(0, 3))):
        odd = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        table[tuple(random.integers(0, table.shape))] = odd
    assume(candidates not in (columns, 4))  # which axis is which no reader could tell
    limit = np.float32(data.draw(st.floats(-2, 2, width=32)))
    sieve = Sieve("a", columns, first, compared, subtracted=subtracted, others={"b": 4})
    turned = data.draw(st.booleans())
    outputs = {"a": np.ascontiguousarray(table.swapaxes(1, 2)) if turned else table, "b": other}
    run = Run(sieve_kernel, sieve, outputs, float(limit))
    wide = table.astype(np.float32)
    limits = limit if subtracted is None else wide[..., subtracted, None] + limit
    with np.errstate(invalid="ignore"):
        passes = (wide[..., first : first + compared] >= limits).any(axis=2)
    assert run.counts[:, 1].tolist() == (~np.isfinite(table)).sum(axis=(1, 2)).tolist()
    copied = run.copies["a"].swapaxes(1, 2) if turned else run.copies["a"]
    for picture in range(pictures):
        kept = passes[picture]
        np.testing.assert_array_equal(run.found(picture), np.flatnonzero(kept))
        np.testing.assert_array_equal(copied[picture][kept], table[picture][kept])
        assert (copied[picture][~kept] == RUBBISH).all()
        np.testing.assert_array_equal(run.copies["b"][picture][:, kept], other[picture][:, kept])
        assert (run.copies["b"][picture][:, ~kept] == RUBBISH).all()


def test_of_more_candidates_than_there_is_room_for_all_are_counted(sieve_kernel):
    table = np.ones((2, 30, 5), np.float32)
    run = Run(sieve_kernel, Sieve("a", 5, 0, 5), {"a": table}, 0.5, room=10)
    assert run.counts.tolist() == [[30, 0], [30, 0]]
    assert (run.copies["a"] == 1).any(axis=2).sum() == 20


def yolo_rows(random: np.random.Generator, count: int, classes: int, more: int = 0) -> np.ndarray:
    """(count, 4 + more + classes + ...): boxes in an input of 320 pixels, scores from 0 to 1."""
    boxes = random.uniform(10, 150, (count, 4))
    return np.concatenate([boxes, random.uniform(0, 1, (count, classes + more)) ** 3], axis=1)


def anchors_and_logits(
    random: np.random.Generator, count: int, classes: int
) -> dict[str, np.ndarray]:
    return {
        "boxes": random.normal(0, 1, (1, count, 4)),
        "scores": random.normal(-2, 2, (1, count, classes)),
    }


def ssd(more: int, **options: Any) -> Callable[..., Any]:
    def make(random: np.random.Generator) -> Any:
        outputs = anchors_and_logits(random, 400, 5 + more)
        anchors = {"feature_maps": [[10, 10]], "strides": [32], "scales": [0.3]}
        ratios = {"aspect_ratios": [1.0, 2.0, 0.5], "reduce_boxes_in_lowest_layer": False}
        return "ssd", outputs, {"anchors": {**anchors, **ratios}, **options}

    return make


def yolo(kind: str, more: int, turned: bool, **options: Any) -> Callable[..., Any]:
    def make(random: np.random.Generator) -> Any:
        count = 2100 if kind == "yolox" else 300
        rows = yolo_rows(random, count, 5, more)[None]
        return kind, {"predictions": rows.swapaxes(1, 2) if turned else rows}, options

    return make


def efficientdet(random: np.random.Generator) -> Any:
    # 320 by 320: 40, 20, 10, 5 and 3 cells a side, nine anchors in each.
    count = 9 * (40**2 + 20**2 + 10**2 + 5**2 + 3**2)
    outputs = anchors_and_logits(random, count, 5)
    return "efficientdet", {"classes": outputs["scores"], "boxes": outputs["boxes"]}, {}


HEADS = {
    "yolov8": yolo("yolov8", 0, turned=True),
    "yolov8 by candidate": yolo("yolov8", 0, turned=False),
    "yolov5": yolo("yolov5", 1, turned=False),
    "yolox": yolo("yolox", 1, turned=False, decoded=True),
    "yolox of cells": yolo("yolox", 1, turned=False),
    "yolo_obb": yolo("yolo_obb", 1, turned=True),
    "ssd": ssd(0),
    "ssd with a background": ssd(1),
    "ssd of a softmax": ssd(1, activation="softmax"),
    "ssd of a softmax, background last": ssd(1, activation="softmax", background="last"),
    "ssd without activation": ssd(0, activation="none"),
    "efficientdet": efficientdet,
}
SELECTIONS = {
    "plain": Selection(score_threshold=0.3),
    "some classes": Selection(score_threshold=0.2, class_ids=frozenset({1, 3})),
    "three hypotheses": Selection(score_threshold=0.4, hypotheses=3),
    "nothing reaches it": Selection(score_threshold=1.0),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_a_head_finds_the_same_among_those_that_passed(
    sieve_kernel, head_for, make, selection, dtype
):
    kind, outputs, options = make(np.random.default_rng(7))
    outputs = {part: np.ascontiguousarray(array, dtype) for part, array in outputs.items()}
    shapes = {part: array.shape for part, array in outputs.items()}
    head = head_for(kind, shapes, labels=5, size=(320, 320), **options)
    assert isinstance(head, SievedHead)
    assert head.sieve is not None
    run = Run(sieve_kernel, head.sieve, outputs, head.sieve.limit(selection), room=20000)
    everything = head.decode(outputs, selection)
    among = head.decode(run.copies, selection, run.found())
    assert len(everything) or selection.score_threshold == 1.0
    for wanted, found in (
        (everything.boxes, among.boxes),
        (everything.scores, among.scores),
        (everything.class_ids, among.class_ids),
        (everything.angles, among.angles),
    ):
        np.testing.assert_array_equal(wanted, found)


def test_heads_whose_candidates_no_row_tells_have_no_sieve(head_for):
    def head(kind: str, shapes: dict[str, tuple[int | None, ...]], **options: Any) -> Head:
        return head_for(kind, shapes, labels=2, size=(320, 320), **options)

    ssd_shapes = {"boxes": (1, 100, 4), "scores": (1, 100, 2)}
    assert head("ssd", ssd_shapes, decoded=True).sieve is not None
    assert head("ssd", ssd_shapes, decoded=True, activation="softmax").sieve is None
    unknown = {"boxes": (), "scores": ()}
    assert head("ssd", unknown, decoded=True).sieve is None
    grids = {name: (1, 1, size, size, 7) for name, size in (("p3", 40), ("p4", 20), ("p5", 10))}
    anchors = {name: [10, 10] for name in grids}
    assert head("yolov5", grids, anchors=anchors).sieve is None
    shapes = {"heatmap": (1, 2, 8, 8), "offset": (1, 2, 8, 8), "size": (1, 2, 8, 8)}
    assert not isinstance(head("centernet", shapes), SievedHead)
