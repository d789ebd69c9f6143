"""The detection networks that plans are built of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jetson_detect.core.model import Format, load_model

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"


@dataclass(frozen=True)
class Subject:
    """A detection network that plans are built of."""

    name: str
    write: Callable[[Path], Path]
    """Makes a model folder; returns the ONNX file in it."""
    sizes: tuple[int, ...] = ()
    """Widths (and heights) to run it with, where they are open."""

    @property
    def profiles(self) -> Mapping[str, tuple[tuple[int, ...], ...]]:
        """The range of the input, where its size is open."""
        if not self.sizes:
            return {}
        shapes = [(1, 3, size, size) for size in self.sizes]
        return {"images": (shapes[0], shapes[0], shapes[-1])}


def _copy_demo(folder: Path) -> Path:
    shutil.copytree(DEMO, folder, dirs_exist_ok=True)
    return load_model(folder).files_for([Format.ONNX])[0].path


def _write_random(architecture: str, size: int, dynamic: bool, folder: Path) -> Path:
    # Imported here: it needs onnx, which the lean runtime's interpreter may lack.
    from random_networks import write_model_folder

    return write_model_folder(folder, architecture, size, dynamic=dynamic)


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("demo", _copy_demo),
        *(
            Subject(f"{kind}_{size}", partial(_write_random, kind, size, False))
            for kind in ("yolo", "ssd")
            for size in (320, 640)
        ),
        Subject("yolo_dynamic", partial(_write_random, "yolo", 320, True), sizes=(320, 480)),
    )
}
