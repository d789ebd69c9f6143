"""What every contestant is given, and that they all make the same of it."""

from __future__ import annotations

import numpy as np
import pytest

from jetson_detect.benchmark.constant_network import ConstantBackend, write_constant_model
from jetson_detect.benchmark.message_level import draw_detections
from jetson_detect.benchmark.nodes.plain_node import select
from jetson_detect.benchmark.nodes.task import NodeTask, NodeWork
from jetson_detect.benchmark.picture import draw_picture
from jetson_detect.benchmark.preprocess_level import (
    OPENCV_REDUCED,
    OURS,
    RESIZED,
    decoding_acts,
    preprocessing_acts,
)
from jetson_detect.benchmark.stage_clock import Stage, StageClock
from jetson_detect.benchmark.staged_detector import StagedDetector
from jetson_detect.benchmark.workload import Workload
from jetson_detect.core.model import Interpolation, load_model
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection

SIZE = (640, 480)


@pytest.mark.parametrize("detections", [0, 1, 17, 100, 300])
def test_a_usual_decoder_finds_as_many_objects_as_were_asked_for(detections) -> None:
    workload = Workload(detections)
    assert workload.output.shape == (1, 84, 8400)
    assert len(select(workload.output, workload, *SIZE)) == detections


@pytest.mark.parametrize("detections", [1, 17, 300])
def test_the_detector_finds_the_boxes_that_the_usual_decoder_finds(detections, tmp_path) -> None:
    workload = Workload(detections)
    write_constant_model(tmp_path, workload)
    model = load_model(tmp_path)
    clock = StageClock(tmp_path / "stages")
    backend = ConstantBackend(workload, model.files[0])
    with StagedDetector(model, backend, clock) as detector:
        found = detector.detect(
            Pixels.from_array(draw_picture(SIZE)), Selection.from_thresholds(model.thresholds)
        )
    usual = np.array(select(workload.output, workload, *SIZE))
    corners = np.concatenate([usual[:, :2], usual[:, :2] + usual[:, 2:4]], axis=1)
    np.testing.assert_allclose(found.boxes, corners, atol=1e-3)
    np.testing.assert_allclose(found.best_scores, usual[:, 4], atol=1e-6)
    assert found.best_class_ids.tolist() == usual[:, 5].tolist()


def test_more_objects_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="5000 detections do not fit into 640x640: ask for fewer"):
        _ = Workload(5000).output


@pytest.mark.parametrize(
    ("size", "network_size", "interpolation", "rounding"),
    [(SIZE, 320, Interpolation.LINEAR, 1e-6), ((640, 480), 160, Interpolation.AREA, 1.01 / 255)],
)
def test_every_way_to_preprocess_makes_the_same_tensor(
    size, network_size, interpolation, rounding
) -> None:
    acts = preprocessing_acts(size, network_size, interpolation)
    tensors = {name: act() for name, act in acts.items()}
    assert tensors[OURS].shape == (1, 3, network_size, network_size)
    for tensor in tensors.values():
        np.testing.assert_allclose(tensor, tensors[OURS], atol=1.01 / 255)
    np.testing.assert_allclose(tensors[RESIZED], tensors[OURS], atol=rounding)


def test_a_clock_of_another_process_tells_the_stages(tmp_path) -> None:
    ours, theirs = StageClock(tmp_path / "clock"), StageClock(tmp_path / "clock")
    before = ours.seconds()
    with theirs.stage(Stage.INFER):
        sum(range(200_000))
    spent = ours.since(before)
    assert spent["infer"] > 0.0005
    assert spent["preprocess"] == spent["postprocess"] == spent["publish"] == 0.0


def test_a_task_survives_the_command_line(tmp_path) -> None:
    work = NodeWork(2, Workload(5), "demo", "tflite", "int8")
    task = NodeTask("ours_1", tmp_path / "stages", work)
    assert NodeTask.from_argument(task.to_argument()) == task
    assert task.image_topics == ("/ours_1/camera0/image_raw", "/ours_1/camera1/image_raw")
    assert task.answer_topics == ("/ours_1/camera0/detections", "/ours_1/camera1/detections")


def test_made_up_detections_are_as_many_as_asked_for_and_best_first() -> None:
    found = draw_detections(40)
    assert len(found) == 40
    assert np.all(np.diff(found.best_scores) <= 0)
    assert np.all(found.boxes[:, 2:] > found.boxes[:, :2])


def test_every_way_to_decode_makes_nearly_the_same_tensor() -> None:
    tensors = {name: act().copy() for name, act in decoding_acts((1280, 960), 320).items()}
    np.testing.assert_allclose(tensors[OPENCV_REDUCED], tensors[OURS], atol=2.01 / 255)
    for tensor in tensors.values():
        # Reduced are the means of four pixels, of which linear interpolation takes one or two.
        assert np.abs(tensor - tensors[OURS]).mean() < 0.02
