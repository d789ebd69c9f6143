"""The training's maths, without TensorFlow; and its network, where TensorFlow is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _training_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    # The folder is not installed with the package.
    monkeypatch.syspath_prepend(str(_ROOT))
    for name in [name for name in sys.modules if name.split(".")[0] == "training"]:
        where = getattr(sys.modules[name], "__file__", None) or ""
        if not where.startswith(str(_ROOT / "training")):
            monkeypatch.delitem(sys.modules, name)


def _sorted(
    boxes: NDArray[np.float32], class_ids: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    # Rounded, as boxes that begin at the border differ in the last digits of that only.
    order = np.lexsort((*boxes.T.round(1), class_ids))
    return boxes[order], class_ids[order]


def _spread_boxes(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return boxes whose centres are far enough apart that no two share a 3 x 3 neighbourhood."""
    centres = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2) * 30.0
    centres = centres + rng.uniform(8.0, 22.0, centres.shape)
    half = np.exp(rng.uniform(np.log(2.0), np.log(60.0), centres.shape))
    chosen = rng.permutation(len(centres))[:8]
    corners = np.concatenate([centres - half, centres + half], axis=1)[chosen]
    return np.clip(corners, 0.0, 160.0).astype(np.float32)


def test_targets_decode_to_the_boxes_that_they_were_made_from() -> None:
    from training.targets import decode, encode

    rng = np.random.default_rng(0)
    for _ in range(50):
        boxes = _spread_boxes(rng)
        class_ids = rng.integers(0, 6, len(boxes)).astype(np.int32)
        targets = encode(boxes, class_ids, 6)
        found = decode(targets.heatmap, targets.offset, targets.size, threshold=0.999, overlap=1.0)
        expected, expected_ids = _sorted(boxes, class_ids)
        got, got_ids = _sorted(found.boxes, found.class_ids)
        np.testing.assert_array_equal(got_ids, expected_ids)
        np.testing.assert_allclose(got, expected, atol=1e-3)
        np.testing.assert_array_equal(found.scores, 1.0)


def test_cells_beside_the_centre_name_the_same_box() -> None:
    from training.targets import decode, encode

    boxes = np.array([[30.0, 41.0, 71.5, 99.0]], np.float32)
    targets = encode(boxes, np.array([2], np.int32), 6)
    rows, columns = np.nonzero(targets.weight)
    assert len(rows) == 9
    for row, column in zip(rows, columns):
        heatmap = np.zeros_like(targets.heatmap)
        heatmap[row, column, 2] = 0.9
        found = decode(heatmap, targets.offset, targets.size)
        np.testing.assert_allclose(found.boxes, boxes, atol=1e-3)


def test_a_picture_without_objects_has_empty_targets() -> None:
    from training.targets import decode, encode

    targets = encode(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), 6)
    assert not targets.heatmap.any()
    assert not targets.weight.any()
    assert len(decode(targets.heatmap, targets.offset, targets.size).boxes) == 0


def test_a_box_at_the_border_has_its_centre_in_the_grid() -> None:
    from training.targets import decode, encode

    boxes = np.array([[156.0, 150.0, 160.0, 160.0], [0.0, 0.0, 160.0, 160.0]], np.float32)
    targets = encode(boxes, np.array([0, 1], np.int32), 6)
    found = decode(targets.heatmap, targets.offset, targets.size, threshold=0.999)
    np.testing.assert_allclose(_sorted(found.boxes, found.class_ids)[0], boxes, atol=1e-3)


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (1280, 720), (333, 97), (160, 160), (48, 64), (240, 320)]
)
def test_a_letterbox_and_its_inverse_cancel(width: int, height: int) -> None:
    from jetson_detect.core.geometry import ImageTransform

    rng = np.random.default_rng(1)
    corners = np.sort(rng.uniform(0.0, 1.0, (20, 2, 2)), axis=1).reshape(20, 4)
    boxes = (corners * [width, height, width, height]).astype(np.float32)
    transform = ImageTransform.fit((width, height), (160, 160))
    fitted = transform.boxes_to_network(boxes)
    assert fitted.min() >= 0.0
    assert fitted.max() <= 160.0
    np.testing.assert_allclose(transform.boxes_to_source(fitted), boxes, atol=1e-3)


def test_a_letterboxed_picture_lies_where_its_boxes_lie() -> None:
    from training.targets import PADDING, letterbox

    picture = np.full((360, 640, 3), 10, np.uint8)
    picture[90:270, 160:480] = 250
    for shrink in (cv2.INTER_AREA, cv2.INTER_LINEAR):
        fitted, transform = letterbox(picture, shrink)
        assert fitted.shape == (160, 160, 3)
        assert (fitted[:35] == PADDING).all()
        assert (fitted[125:] == PADDING).all()
        rows, columns = np.nonzero(fitted[..., 0] > 180)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        box = transform.boxes_to_network(np.array([[160.0, 90.0, 480.0, 270.0]], np.float32))[0]
        np.testing.assert_allclose(seen, box, atol=0.51)


def test_equal_neighbours_are_one_object() -> None:
    from training.targets import decode, encode

    boxes = np.array([[40.0, 40.0, 80.0, 80.0]], np.float32)
    targets = encode(boxes, np.array([0], np.int32), 6)
    heatmap = targets.heatmap.copy()
    heatmap[15, 14:17, 0] = 1.0  # as 8-bit outputs saturate
    assert len(decode(heatmap, targets.offset, targets.size).boxes) == 1


def test_the_network_has_the_outputs_that_the_targets_expect() -> None:
    missing = [name for name in ("tensorflow", "keras") if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    from training.network import build

    model = build(6)
    shapes = {name: tuple(output.shape[1:]) for name, output in model.output.items()}
    assert shapes == {"heatmap": (40, 40, 6), "offset": (40, 40, 2), "size": (40, 40, 2)}
    assert model.input.name == "image"
    assert 150_000 < model.count_params() < 250_000


def test_the_trainer_takes_bytes_and_gives_what_the_losses_want() -> None:
    missing = [name for name in ("tensorflow", "keras") if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    import keras

    from training.fitting import make_trainer
    from training.losses import CHANNELS

    image = keras.Input((4, 4, 3))
    parts = [keras.layers.Conv2D(count, 1)(image) for count in CHANNELS]
    model = keras.Model(image, dict(zip(("heatmap", "offset", "size"), parts)))
    picture = np.random.default_rng(3).integers(0, 256, (2, 4, 4, 3), np.uint8)
    outputs = model(picture / np.float32(255.0))
    guess = make_trainer(model)(picture)
    expected = [np.asarray(outputs[name]) for name in ("heatmap", "offset", "size")]
    np.testing.assert_allclose(guess, np.concatenate(expected, axis=-1), rtol=0, atol=1e-6)
    assert {id(each) for each in make_trainer(model).trainable_variables} == {
        id(each) for each in model.trainable_variables
    }


def test_the_losses_are_least_at_the_truth() -> None:
    missing = [name for name in ("tensorflow", "keras") if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    from training.losses import box_loss, detection_loss, heatmap_loss
    from training.targets import encode

    boxes = np.array([[30.0, 41.0, 71.5, 99.0], [100.0, 20.0, 140.0, 50.0]], np.float32)
    targets = encode(boxes, np.array([2, 4], np.int32), 6)
    parts = (targets.heatmap, targets.offset, targets.size, targets.weight[..., None])
    truth = np.concatenate(parts, axis=-1)[None]

    def guess(heatmap: float = 1.0, offset: float = 0.0, size: float = 0.0) -> NDArray[np.float32]:
        sure = heatmap * (targets.heatmap >= 1.0)
        parts = (sure, targets.offset + offset, targets.size + size)
        return np.concatenate(parts, axis=-1)[None].astype(np.float32)

    assert float(box_loss(truth, guess())) == pytest.approx(0.0, abs=1e-3)
    assert float(box_loss(truth, guess(offset=0.5))) > 0.5
    assert float(box_loss(truth, guess(size=0.3))) > 0.5
    assert float(heatmap_loss(truth, guess())) < float(heatmap_loss(truth, guess(heatmap=0.5)))
    for worse in (guess(heatmap=0.5), guess(offset=0.5), guess(size=0.3)):
        assert float(detection_loss(truth, guess())) < float(detection_loss(truth, worse))
