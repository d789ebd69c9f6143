"""From a Keras file to a pruned one, with the report of both."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.pruning.errors import PruningError
from jetson_detect.core.pruning.fine_tuning import ReportProgress, TrainingSetup, prune
from jetson_detect.core.pruning.keras_files import (
    KERAS_SUFFIX,
    load_keras_model,
    save_keras_model,
)
from jetson_detect.core.pruning.options import PruningOptions
from jetson_detect.core.pruning.report import ModelSize, PruningReport


@dataclass(frozen=True)
class PruningFiles:
    """What is read and what is written."""

    source: Path
    """A ``.keras`` file of Keras 3."""
    output: Path
    """The pruned one."""
    saved_model: Path | None = None
    """A folder that the pruned network is exported to as a SavedModel as well."""
    overwrite: bool = False
    """Whether outputs that exist are replaced."""

    @property
    def report(self) -> Path:
        """The report, as JSON, beside the output."""
        return self.output.with_suffix(".json")

    def check(self) -> None:
        """Look before the work begins whether its results can be written.

        Raises
        ------
        PruningError
            If the output is no ``.keras`` file or the source itself, its folder is missing, or
            something is there already that is not to be overwritten.

        """
        if self.output.suffix != KERAS_SUFFIX:
            raise PruningError(f"output {self.output}: name it with the suffix {KERAS_SUFFIX}")
        if self.output.resolve() == self.source.resolve():
            raise PruningError(f"output {self.output} is the source itself; name another file")
        for path in filter(None, (self.output, self.report, self.saved_model)):
            if not path.parent.is_dir():
                raise PruningError(f"output {path}: there is no folder {path.parent}; make it")
            if path.exists() and not self.overwrite:
                raise PruningError(f"output {path} exists; remove it, or allow overwriting")


def prune_file(
    files: PruningFiles,
    make_training: Callable[[Any], TrainingSetup],
    options: PruningOptions | None = None,
    progress: ReportProgress | None = None,
) -> PruningReport:
    """Prune the network of a Keras file.

    Args:
        files: what is read and written.
        make_training: given the Keras model, says how it is trained on and judged.
        options: what is pruned, and how far.
        progress: told after every batch.

    Raises
    ------
    PruningError
        If that is not possible; nothing is written then.  What ``make_training`` and the training
        itself raise is not caught.

    """
    options = options or PruningOptions()
    files.check()
    started = time.monotonic()
    model = load_keras_model(files.source)
    size_before = _size_without_optimizer(model)
    setup = make_training(model)
    accuracy_before = _judge(setup, model)
    kernels = prune(model, setup, options, progress)
    # A model as it was loaded: without the optimizer and what else training has attached.
    pruned = load_keras_model(files.source)
    pruned.set_weights(model.get_weights())
    accuracy = _judge(setup, pruned)
    save_keras_model(pruned, files.output)
    if files.saved_model is not None:
        _export_saved_model(pruned, files.saved_model)
    report = PruningReport(
        source=files.source,
        output=files.output,
        options=options,
        kernels=kernels,
        size_before=size_before,
        size=ModelSize.of(pruned, files.output),
        accuracy_before=accuracy_before,
        accuracy=accuracy,
        batches=setup.steps_per_epoch * setup.epochs,
        seconds=time.monotonic() - started,
    )
    files.report.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return report


def _size_without_optimizer(model: Any) -> ModelSize:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{KERAS_SUFFIX}"
        save_keras_model(model, file)
        return ModelSize.of(model, file)


def _judge(setup: TrainingSetup, model: Any) -> Mapping[str, float]:
    return {name: float(value) for name, value in setup.evaluate(model).items()}


def _export_saved_model(model: Any, folder: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            whole = Path(scratch) / folder.name
            model.export(whole, verbose=False)
            if folder.exists():
                shutil.rmtree(folder)
            whole.rename(folder)
    except OSError as error:
        raise PruningError(f"{folder}: cannot be written ({reason(error)})") from error
