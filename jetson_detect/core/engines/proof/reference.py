"""What a source answers, kept for the proof of engines that are built from it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends import open_by_format
from jetson_detect.core.detections import Detections
from jetson_detect.core.engines.proof.errors import ProofError
from jetson_detect.core.engines.proof.frame_run import (
    FrameRun,
    NetworkFacts,
    Opener,
    RunOptions,
    run_frames,
)
from jetson_detect.core.model import HeadSpec, ModelFile, ModelSpec
from jetson_detect.core.sample_frames import SampleFrame, join_sha256

_LAYOUT = 1
"""Of the file; another one is refused."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A source's answers to frames."""

    model: str
    """The model's name."""
    run: FrameRun

    @property
    def frames_sha256(self) -> str:
        """The hash of the frames, as :func:`~jetson_detect.core.sample_frames.frames_sha256`."""
        return join_sha256(self.run.frame_hashes)

    def save(self, path: Path) -> None:
        """Write a NumPy archive (.npz).

        Raises
        ------
        OSError
            If it cannot be written.

        """
        run = self.run
        tensors = [
            (index, name, tensor)
            for index, each in run.tensors.items()
            for name, tensor in each.items()
        ]
        document = {
            "layout": _LAYOUT,
            "model": self.model,
            "facts": asdict(run.facts),
            "head": asdict(run.head),
            "listed": run.listed,
            "frame_hashes": run.frame_hashes,
            "tensors": [(index, name) for index, name, _ in tensors],
        }
        arrays: dict[str, Any] = {
            f"tensor_{number}": tensor for number, (_, _, tensor) in enumerate(tensors)
        }
        rotated = any(each.angles is not None for each in run.detections)
        if rotated:
            angles = [
                np.zeros(len(each), np.float32) if each.angles is None else each.angles
                for each in run.detections
            ]
            arrays["angles"] = np.concatenate(angles)
        # Not given a path, NumPy would append .npz where it is missing.
        with path.open("wb") as file:
            np.savez(
                file,
                document=np.array(json.dumps(document)),
                counts=np.array([len(each) for each in run.detections], np.int64),
                boxes=np.concatenate([each.boxes for each in run.detections]),
                scores=np.concatenate([each.best_scores for each in run.detections]),
                class_ids=np.concatenate([each.best_class_ids for each in run.detections]),
                **arrays,
            )

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ProofError
            If there is no such file, or it is damaged or of another layout.

        """
        try:
            with np.load(path) as archive:
                return _read(archive)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ProofError(
                f"{path}: is no reference that can be read ({error}): run the source again"
            ) from error


def run_reference(
    model: ModelSpec,
    file: ModelFile,
    frames: Sequence[SampleFrame],
    options: RunOptions = RunOptions(),
    opener: Opener = open_by_format,
) -> Reference:
    """Run a source on frames with its own backend.

    Parameters
    ----------
    model, file:
        The model, and the file that engines are built from.
    frames:
        At least one.
    options:
        How it is run, what is kept and what is timed.
    opener:
        Opens the file.

    Raises
    ------
    ProofError
        If there are no frames.
    FaultyNetworkError
        If the file does not load, does not fit the model, or fails on a frame.
    BackendUnavailableError
        If its backend cannot work in this process.

    """
    if not len(frames):
        raise ProofError(f"{model.source}: there are no frames to run it on: give at least one")
    return Reference(model.name, run_frames(model, file, frames, options, opener))


def _read(archive: Any) -> Reference:
    document = json.loads(str(archive["document"]))
    if document["layout"] != _LAYOUT:
        raise ValueError(f"layout {document['layout']}, not {_LAYOUT}")
    ends = np.cumsum(archive["counts"])[:-1]
    columns = [np.split(archive[name], ends) for name in ("boxes", "scores", "class_ids")]
    found = [Detections.from_best(*each) for each in zip(*columns)]
    if "angles" in archive:
        found = [
            Detections(each.boxes, each.scores, each.class_ids, angles)
            for each, angles in zip(found, np.split(archive["angles"], ends))
        ]
    tensors: dict[int, dict[str, NDArray[Any]]] = {}
    for number, (index, name) in enumerate(document["tensors"]):
        tensors.setdefault(index, {})[name] = archive[f"tensor_{number}"]
    hashes = tuple(document["frame_hashes"])
    if len(hashes) != len(found):
        raise ValueError(f"{len(found)} frames' detections, but {len(hashes)} hashes")
    run = FrameRun(
        NetworkFacts.from_json(document["facts"]),
        HeadSpec(**document["head"]),
        document["listed"],
        hashes,
        tuple(found),
        tensors,
    )
    return Reference(document["model"], run)
