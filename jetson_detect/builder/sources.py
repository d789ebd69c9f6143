"""Which of a model's files an engine is built from, and what else can vouch for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jetson_detect.core.backends import backend_of
from jetson_detect.core.engines.content_hash import SOURCE_FORMATS
from jetson_detect.core.model import Format, ModelFile, ModelSpec, Precision


def choose_source(
    model: ModelSpec, wanted: Format | None = None, formats: Sequence[Format] = SOURCE_FORMATS
) -> ModelFile:
    """Choose the file that an engine is built from, or another format written from.

    Parameters
    ----------
    model:
        The model.
    wanted:
        Its format; None for the best one that is there.
    formats:
        Those that come into question, best first.

    Raises
    ------
    ModelError
        If the model has none that exists.

    """
    formats = formats if wanted is None else (wanted,)
    if wanted is not None and wanted not in SOURCE_FORMATS:
        known = ", ".join(each.value for each in SOURCE_FORMATS)
        raise ValueError(f"source {wanted.value}: engines are built from {known}")
    for kind in formats:
        for file in model.files_for([kind], Precision.FP32):
            if file.path.exists():
                return file
    names = " or ".join(kind.value for kind in formats)
    present = ", ".join(f"{file.path.name} ({file.format.value})" for file in model.files)
    raise model.error(
        "files",
        f"no {names} file of precision fp32 is there to build an engine from, only {present}",
        "add one",
    )


def witnesses(model: ModelSpec, source: ModelFile) -> Iterator[tuple[str, ModelFile]]:
    """Yield what can say what the source finds, with its backend: itself, then its siblings."""
    others = [file for file in model.files if file != source and file.precision is Precision.FP32]
    for file in (source, *others):
        # What was itself converted for TensorRT would vouch for its own faults.
        if file.format not in (Format.TENSORRT, Format.TF_TRT) and file.path.exists():
            yield backend_of(file), file
