"""Pictures side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from jetson_detect.core.contact_sheet import write_contact_sheet


def test_the_contact_sheet_shows_pictures_side_by_side(tmp_path: Path) -> None:
    pictures = []
    for number in range(5):
        pictures.append(tmp_path / f"frame_{number}.png")
        cv2.imwrite(str(pictures[-1]), np.full((480, 640, 3), 40 * (number + 1), np.uint8))
    assert write_contact_sheet(pictures, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (480, 1280, 3)
    assert [int(sheet[120, column, 0]) for column in (160, 480, 800, 1120)] == [40, 80, 120, 160]
    assert [int(sheet[360, column, 0]) for column in (160, 480)] == [200, 0]


def test_without_pictures_there_is_no_contact_sheet(tmp_path: Path) -> None:
    assert not write_contact_sheet([], tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
