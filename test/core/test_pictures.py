from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from jetson_detect.core.pictures import (
    Picture,
    PictureError,
    PicturesAhead,
    drawn_pictures,
    find_files,
    read_pictures,
)
from jetson_detect.core.scenes import SceneSequence


def plain(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write_image(path: Path, value: int, width: int = 64, height: int = 48) -> Path:
    assert cv2.imwrite(str(path), plain(value, width, height))
    return path


def write_video(path: Path, values: list[int]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    assert writer.isOpened()
    for value in values:
        writer.write(plain(value))
    writer.release()
    return path


def values_of(pictures: Iterator[Picture], count: int = 100) -> list[int]:
    """The brightness of the first pictures, tens only: video is not exact."""
    return [round(int(each.image[0, 0, 0]) / 10) * 10 for each in itertools.islice(pictures, count)]


def test_a_folder_is_shown_in_the_order_of_names_videos_among_images(tmp_path: Path) -> None:
    write_image(tmp_path / "c.PNG", 30)
    write_image(tmp_path / "a.png", 10)
    write_video(tmp_path / "b.avi", [100, 150])
    (tmp_path / "notes.txt").write_text("not shown")
    files = find_files(str(tmp_path))
    assert values_of(read_pictures(files, pytest.fail)) == [10, 100, 150, 30]
    again = read_pictures(files, pytest.fail, loop=True)
    assert values_of(again, 6) == [10, 100, 150, 30, 10, 100]


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    path = write_image(tmp_path / "only.png", 50)
    assert values_of(read_pictures(find_files(str(path)), pytest.fail)) == [50]


def test_an_unreadable_file_costs_one_warning_however_often_it_comes_round(tmp_path: Path) -> None:
    write_image(tmp_path / "good.png", 20)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    warnings: list[str] = []
    pictures = read_pictures(find_files(str(tmp_path)), warnings.append, loop=True)
    assert values_of(pictures, 3) == [20] * 3
    assert warnings == [
        f"{bad} cannot be read and is skipped; is it an image of a format that OpenCV knows?",
        f"{broken} cannot be read and is skipped; is it a video with a codec that OpenCV knows?",
    ]


def test_a_source_of_unreadable_files_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(PictureError) as caught:
        list(read_pictures(find_files(str(tmp_path)), lambda text: None, loop=True))
    assert str(caught.value) == (
        f"none of 1 file(s) can be read, the first is {tmp_path / 'bad.png'}"
    )


def test_a_source_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="does not exist; give an image, a video or a folder"):
        find_files(str(tmp_path / "nowhere"))
    with pytest.raises(PictureError, match=r"holds no image or video; known are \.avi, \.bmp"):
        find_files(str(tmp_path))


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (0, 0, (48, 64)),
        (32, 0, (24, 32)),
        (0, 96, (96, 128)),
        (50, 50, (50, 50)),
    ],
)
def test_a_size_of_zero_is_the_pictures_own_or_keeps_the_proportions(
    tmp_path: Path, width: int, height: int, shape: tuple[int, int]
) -> None:
    path = write_image(tmp_path / "a.png", 10)
    picture = next(read_pictures([path], pytest.fail, width=width, height=height))
    assert picture.image.shape == (*shape, 3)
    assert picture.scene is None


def test_scenes_are_those_of_the_seed_and_size() -> None:
    pictures = list(itertools.islice(drawn_pictures(3, width=160), 3))
    sequence = SceneSequence(3, 160, 120)
    for index, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture.image, sequence.frame(index).image)
        assert picture.scene is not None


def test_pictures_are_drawn_ahead_but_not_more_than_may_wait() -> None:
    drawn = threading.Semaphore(0)

    def pictures() -> Iterator[Picture]:
        for value in itertools.count():
            drawn.release()
            yield Picture(plain(value % 256))

    ahead = PicturesAhead(pictures(), depth=2)
    # Two wait and a third is in the thread's hands.
    assert all(drawn.acquire(timeout=5) for _ in range(3))
    assert not drawn.acquire(timeout=0.2)
    first = ahead.take(5)
    assert first is not None
    assert first.image[0, 0, 0] == 0
    assert drawn.acquire(timeout=5)
    ahead.close()
    assert not ahead._thread.is_alive()


def test_an_error_while_drawing_comes_after_the_pictures_before_it() -> None:
    def pictures() -> Iterator[Picture]:
        yield Picture(plain(1))
        raise PictureError("out of paint")

    ahead = PicturesAhead(pictures())
    assert ahead.take(5) is not None
    with pytest.raises(PictureError, match="out of paint"):
        ahead.take(5)
    ahead.close()


def test_the_end_of_the_pictures_is_told() -> None:
    ahead = PicturesAhead(iter([Picture(plain(1))]))
    assert ahead.take(5) is not None
    assert ahead.take(5) is None
    assert ahead.ended
    ahead.close()
