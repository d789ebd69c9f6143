"""Pictures at a glance, small and side by side in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SHEET_PICTURES = 12
"""As many as a sheet shows."""

_SHEET_COLUMNS, _SHEET_TILE = 4, (320, 240)


def write_contact_sheet(pictures: Sequence[Path], sheet: Path) -> bool:
    """Write small copies of pictures side by side into one file; returns whether there were any."""
    tiles = []
    for path in sorted(pictures)[:SHEET_PICTURES]:
        image = cv2.imread(str(path))
        if image is not None:
            tiles.append(cv2.resize(image, _SHEET_TILE, interpolation=cv2.INTER_AREA))
    if not tiles:
        return False
    while len(tiles) % _SHEET_COLUMNS:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [
        cv2.hconcat(tiles[start : start + _SHEET_COLUMNS])
        for start in range(0, len(tiles), _SHEET_COLUMNS)
    ]
    return bool(cv2.imwrite(str(sheet), cv2.vconcat(rows)))
