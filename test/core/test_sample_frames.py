from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.backends import Quantization, TensorInfo
from jetson_detect.core.model import load_model
from jetson_detect.core.pictures import PictureError
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor
from jetson_detect.core.sample_frames import (
    CalibrationBatches,
    FrameChoice,
    SampleFrame,
    frame_sha256,
    frames_sha256,
    join_sha256,
    spread,
    take_frames,
    thin_out,
)
from jetson_detect.core.scenes import CLASS_NAMES, SceneSequence
from jetson_detect.share import find_model

MODEL = load_model(find_model("demo"))
MEGABYTE = 1 << 20


def plain(value: int, height: int = 48, width: int = 64) -> Pixels:
    return Pixels.from_array(np.full((height, width, 3), value, np.uint8))


def values(frames) -> list[int]:
    """What the plain pictures are filled with, in tens: a video is not exact."""
    return [round(int(frame.pixels.data[0, 0, 0]) / 10) * 10 for frame in frames]


def write_images(folder: Path, count: int) -> None:
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:03}.png"), plain(10 * index).data)


def write_video(path: Path, fills: list[int]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for fill in fills:
        writer.write(plain(fill).data)
    writer.release()


def no_warning(text: str) -> None:
    pytest.fail(text)


def test_drawn_scenes_come_with_their_truth_for_a_model_of_their_classes():
    choice = FrameChoice(count=4, seed=7, step=10, width=320, height=240)
    frames = take_frames(choice, CLASS_NAMES, no_warning)
    scenes = SceneSequence(7, 320, 240)
    assert len(frames) == 4
    for index, frame in enumerate(frames):
        scene = scenes.frame(10 * index)
        np.testing.assert_array_equal(frame.pixels.data, scene.image)
        np.testing.assert_array_equal(frame.truth.boxes, scene.boxes)
        assert frame.truth.best_class_ids.tolist() == scene.class_ids.tolist()
        assert (frame.truth.best_scores == 1).all()


def test_drawn_scenes_have_no_truth_for_a_model_of_other_classes():
    (frame,) = take_frames(FrameChoice(count=1), ("person",), no_warning)
    assert frame.truth is None


def test_images_of_a_folder_are_evenly_spaced_and_read_when_looked_at(tmp_path):
    write_images(tmp_path, 9)
    frames = take_frames(FrameChoice((str(tmp_path),), count=3), (), no_warning)
    assert values(frames) == [10, 40, 70]
    assert values(frames[1:]) == [40, 70]
    (tmp_path / "004.png").write_bytes(b"no image any more")
    assert values([frames[0]]) == [10]
    with pytest.raises(PictureError, match=r"004\.png cannot be read: take it out of its folder"):
        frames[1]


def test_several_sources_follow_one_another(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_images(tmp_path / name, 2)
    sources = (str(tmp_path / "b" / "001.png"), str(tmp_path / "a"))
    assert values(take_frames(FrameChoice(sources), (), no_warning)) == [10, 0, 10]


def test_frames_of_a_video_are_evenly_spaced(tmp_path):
    write_video(tmp_path / "v.avi", [10 * index for index in range(20)])
    frames = take_frames(FrameChoice((str(tmp_path),), count=4), (), no_warning)
    # With eight kept every other one goes, twice: 0, 40, 80, 120, 160 are left, and four of these.
    assert values(frames) == [0, 40, 120, 160]


def test_a_video_that_cannot_be_read_is_told_of(tmp_path):
    (tmp_path / "a.avi").write_bytes(b"no video")
    write_images(tmp_path, 2)
    told: list[str] = []
    frames = take_frames(FrameChoice((str(tmp_path),)), (), told.append)
    assert values(frames) == [0, 10]
    assert len(told) == 1
    assert "a.avi cannot be read" in told[0]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(PictureError, match=rf"{tmp_path} holds no image or video; known are"):
        take_frames(FrameChoice((str(tmp_path),)), (), no_warning)


def test_a_source_that_shows_nothing_is_refused():
    with pytest.raises(PictureError, match="not a single picture"):
        thin_out([], 3)


@pytest.mark.parametrize("change", [{"count": 0}, {"step": 0}])
def test_a_count_or_step_below_one_is_refused(change):
    with pytest.raises(ValueError, match="must be at least 1"):
        take_frames(replace(FrameChoice(), **change), (), no_warning)


@given(st.integers(0, 2000), st.integers(1, 300))
def test_indices_are_spread_evenly(length, count):
    indices = spread(length, count)
    assert len(indices) == min(length, count)
    assert indices == sorted(set(indices))
    gaps = np.diff(indices)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    if indices:  # half a share before the first and behind the last
        assert abs(indices[0] - (length - 1 - indices[-1])) <= 1


@given(st.integers(1, 700), st.integers(1, 40))
def test_a_sequence_of_unknown_length_is_thinned_out_evenly(length, count):
    pictures = (plain(0, 1, index + 1) for index in range(length))
    indices = [frame.pixels.size[0] - 1 for frame in thin_out(pictures, count)]
    assert len(indices) == min(length, count)
    assert indices == sorted(set(indices))
    widest = max(np.diff([-1, *indices, length]))
    assert widest <= 3 * max(1, length / len(indices))


def test_frames_kept_of_a_sequence_stay_within_their_memory():
    pictures = (plain(index, 512, 1024) for index in range(50))  # 1.5 MB each
    frames = thin_out(pictures, 40, memory_mb=9)
    # Six fit: at the seventh every other one goes, which leaves 0, 2, 4, 6, and so on.
    assert [int(frame.pixels.data[0, 0, 0]) for frame in frames] == [0, 16, 32, 48]
    assert sum(frame.pixels.data.nbytes for frame in frames) <= 9 * MEGABYTE


def test_one_frame_is_kept_however_large_it_is():
    frames = thin_out((plain(index, 1024, 1024) for index in range(3)), 2, memory_mb=1)
    assert len(frames) == 1


def test_the_hash_is_that_of_what_is_seen():
    frame = SampleFrame(plain(3))
    padded = np.zeros((48, 100, 3), np.uint8)
    padded[:, :64] = 3
    same = SampleFrame(Pixels.from_array(padded[:, :64]))
    assert frame_sha256(frame) == frame_sha256(same)
    others = [
        SampleFrame(plain(4)),
        SampleFrame(plain(3, 64, 48)),
        SampleFrame(Pixels.from_array(plain(3).data, "rgb8")),
    ]
    assert len({frame_sha256(each) for each in (frame, *others)}) == 4


def test_the_hash_knows_colours_that_have_a_plane_of_their_own_and_the_order_of_bytes():
    grey = np.full((48, 32), 128, np.uint8)
    coloured = grey.copy()
    coloured[32:] = 7
    deep = np.full((32, 32), 0x1234, np.uint16)
    frames = [
        SampleFrame(Pixels.from_array(grey, "nv12")),
        SampleFrame(Pixels.from_array(coloured, "nv12")),
        SampleFrame(Pixels.from_array(coloured, "nv21")),
        SampleFrame(Pixels.from_array(deep.astype("<u2"), "mono16")),
        SampleFrame(Pixels.from_array(deep.astype(">u2"), "mono16")),
    ]
    assert len({frame_sha256(each) for each in frames}) == len(frames)


def test_the_hash_of_frames_depends_on_their_order():
    one, two = SampleFrame(plain(1)), SampleFrame(plain(2))
    assert frames_sha256([one, two]) != frames_sha256([two, one])
    assert frames_sha256([one, two]) == join_sha256([frame_sha256(one), frame_sha256(two)])


def test_the_same_choice_gives_the_same_frames():
    choice = FrameChoice(count=3)
    assert frames_sha256(take_frames(choice, (), no_warning)) == frames_sha256(
        take_frames(choice, CLASS_NAMES, no_warning)
    )


@pytest.mark.parametrize("quantization", [None, Quantization(1 / 255, -128)])
def test_calibration_batches_are_what_the_node_gives_the_network(quantization):
    dtype = np.dtype(np.float32 if quantization is None else np.int8)
    tensor = TensorInfo("input_1", (None, 160, 160, 3), dtype, quantization)
    frames = take_frames(FrameChoice(count=3), MODEL.labels, no_warning)
    batches = CalibrationBatches(MODEL.input, tensor, frames)
    assert len(batches) == 3
    for _ in range(2):  # may be gone through again
        kept = list(batches)
        preprocess = Preprocessor(MODEL.input, tensor)
        for batch, frame in zip(kept, frames):
            assert list(batch) == ["input_1"]
            assert batch["input_1"].dtype == dtype
            np.testing.assert_array_equal(batch["input_1"], preprocess(frame.pixels)[0])


def test_calibration_of_a_network_of_another_size_is_refused():
    tensor = TensorInfo("image", (1, 320, 320, 3), np.dtype(np.float32))
    with pytest.raises(ValueError, match=r"correct 'input' in model\.yaml"):
        CalibrationBatches(MODEL.input, tensor, [])
