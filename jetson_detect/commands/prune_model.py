"""Prune a Keras model while it is trained on, and report what that changes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetson_detect.commands.numbers import at_least

# What takes its time to import is imported when it is used, so that --help answers at once.
if TYPE_CHECKING:
    from jetson_detect.core.pruning import (
        ModelSize,
        PruningOptions,
        PruningProgress,
        PruningReport,
    )

_EXIT_FINE, _EXIT_ERROR, _EXIT_STOPPED = 0, 2, 130

_MAKE_TRAINING = "make_training"

_DESCRIPTION = """\
Prune a Keras 3 model: its smallest weights become zero, more and more of them, while it is trained
on with data and a loss that a Python file of yours gives.  Writes the pruned model and beside it a
report as JSON; prints sparsity, sizes and accuracy before and after.  See docs/pruning.md.
"""

_EPILOG = """\
exit status:
  0    the pruned model and the report are written
  1    FILE.py raised an error; nothing is written
  2    that is not possible; nothing is written
  130  stopped by Ctrl-C; nothing is written
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    # Read when they are imported: Keras 3 otherwise takes what the user's configuration says.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from jetson_detect.core.pruning import PruningError

    try:
        return _run(options)
    except PruningError as error:
        print(f"prune_model: {error}", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        print("prune_model: stopped; nothing is written", file=sys.stderr)
        return _EXIT_STOPPED


def _run(arguments: argparse.Namespace) -> int:
    from jetson_detect.core.pruning import PruningError, PruningFiles, prune_file
    from jetson_detect.core.pruning.keras_files import import_keras

    source: Path = arguments.model
    files = PruningFiles(
        source=source,
        output=arguments.output or source.with_name(f"{source.stem}_pruned.keras"),
        saved_model=arguments.saved_model,
        overwrite=arguments.force,
    )
    files.check()
    options = _pruning_options(arguments)
    import_keras().utils.set_random_seed(arguments.seed)
    # Before the model: it may register layers that the model is made of.
    module = _load_module(arguments.train_module)
    make_training = getattr(module, _MAKE_TRAINING, None)
    if not callable(make_training):
        raise PruningError(
            f"{arguments.train_module}: defines no function {_MAKE_TRAINING}(model); "
            "see docs/pruning.md"
        )
    with _ProgressBar() as progress:
        report = prune_file(files, make_training, options, progress)
    _print_report(report)
    written = [files.output, files.report, *filter(None, [files.saved_model])]
    print(f"written: {', '.join(map(str, written))}")
    return _EXIT_FINE


def _load_module(file: Path) -> Any:
    """Run the user's file as a module; modules beside it can be imported by it."""
    from jetson_detect.core.pruning import PruningError

    spec = importlib.util.spec_from_file_location(file.stem, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise PruningError(
            f"--train-module {file}: is not a Python file; name one that ends in .py"
        )
    if file.stem in sys.modules:
        raise PruningError(
            f"--train-module {file}: a module named {file.stem} is in use already; rename the file"
        )
    module = importlib.util.module_from_spec(spec)
    # So that processes which the file starts find it, and modules beside it, by their names.
    sys.path.insert(0, str(file.resolve().parent))
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def _pruning_options(arguments: argparse.Namespace) -> PruningOptions:
    from jetson_detect.core.pruning import Pattern, PruningError, PruningOptions

    pattern = Pattern(arguments.pattern)
    rise = {
        name: getattr(arguments, name)
        for name in ("initial_sparsity", "final_sparsity", "ramp", "frequency")
        if getattr(arguments, name) is not None
    }
    if rise and pattern is Pattern.TWO_OF_FOUR:
        unused = ", ".join(f"--{name.replace('_', '-')}" for name in rise)
        raise PruningError(
            f"{unused} has no meaning with --pattern {pattern.value}, which is one half at once; "
            "leave it out"
        )
    return PruningOptions(
        pattern=pattern,
        prune_ends=arguments.prune_ends,
        prune_depthwise=arguments.prune_depthwise,
        skip=tuple(arguments.skip),
        **rise,
    )


class _ProgressBar:
    """Shows on the terminal where the training is."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("preparing", total=None)

    def __call__(self, progress: PruningProgress) -> None:
        """Show progress."""
        self._bar.update(
            self._task,
            description=(
                f"batch {progress.batch} of {progress.batches}, "
                f"{progress.sparsity:.1%} zeros, loss {progress.loss:.4f}"
            ),
            completed=progress.batch,
            total=progress.batches,
        )

    def __enter__(self) -> _ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


def _print_report(report: PruningReport) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    kernels = Table(box=box.SIMPLE_HEAD)
    kernels.add_column("layer", overflow="fold")
    kernels.add_column("shape")
    for name in ("weights", "zeros", "sparsity"):
        kernels.add_column(name, justify="right")
    kernels.add_column("not pruned")
    for each in report.kernels:
        kernels.add_row(
            each.layer,
            "×".join(map(str, each.shape)),
            f"{each.parameters:,}",
            f"{each.zeros:,}",
            f"{each.sparsity:.1%}",
            each.kept,
        )
    kernels.add_section()
    kernels.add_row(
        "all that were pruned",
        "",
        f"{report.pruned_parameters:,}",
        f"{report.pruned_zeros:,}",
        f"{report.pruned_zeros / report.pruned_parameters:.1%}",
        "",
    )
    changes = Table(box=box.SIMPLE_HEAD)
    changes.add_column("")
    for name in ("before", "after", "change"):
        changes.add_column(name, justify="right")
    for row in (*_size_rows(report.size_before, report.size), *_accuracy_rows(report)):
        changes.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(kernels)
    console.print(changes)
    console.print(f"{report.batches} batches, {report.seconds:.0f} s in all", highlight=False)


def _size_rows(before: ModelSize, after: ModelSize) -> list[tuple[str, ...]]:
    numbers = (
        ("weights, all", before.parameters, after.parameters),
        ("zeros among them", before.zeros, after.zeros),
        ("weights, bytes", before.weights, after.weights),
        ("weights, bytes after gzip", before.weights_gzip, after.weights_gzip),
        (".keras file, bytes", before.file, after.file),
        (".keras file, bytes after gzip", before.file_gzip, after.file_gzip),
    )
    return [
        (name, f"{old:,}", f"{new:,}", f"{new / old - 1:+.1%}" if old else f"{new - old:+,}")
        for name, old, new in numbers
    ]


def _accuracy_rows(report: PruningReport) -> list[tuple[str, ...]]:
    return [
        (name, f"{old:.4f}", f"{report.accuracy[name]:.4f}", f"{report.accuracy[name] - old:+.4f}")
        for name, old in report.accuracy_before.items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prune_model",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="MODEL.keras", help="a model of Keras 3")
    parser.add_argument(
        "--train-module",
        type=Path,
        required=True,
        metavar="FILE.py",
        help=f"Python file of yours, which is run; its {_MAKE_TRAINING}(model) returns a "
        "TrainingSetup",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="(MODEL_pruned.keras, beside the model)",
    )
    parser.add_argument(
        "--saved-model", type=Path, metavar="FOLDER", help="also export a SavedModel"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument(
        "--pattern",
        choices=("unstructured", "2:4"),
        default="unstructured",
        help="2:4: two of every four input channels, for sparse tensor cores (%(default)s)",
    )
    parser.add_argument(
        "--initial-sparsity", type=float, metavar="S", help="share of zeros from the start (0.5)"
    )
    parser.add_argument(
        "--final-sparsity", type=float, metavar="S", help="share of zeros in the end (0.8)"
    )
    parser.add_argument(
        "--ramp", type=float, metavar="R", help="share of the batches in which it rises (0.4)"
    )
    parser.add_argument(
        "--frequency",
        type=at_least(int, 1),
        metavar="N",
        help="batches between two steps of the rise (20)",
    )
    parser.add_argument(
        "--prune-ends", action="store_true", help="prune first and last layers as well"
    )
    parser.add_argument(
        "--prune-depthwise", action="store_true", help="prune depthwise kernels as well"
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="LAYER",
        help="leave a layer as it is; * and ? stand for anything; may be given again",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of Keras, NumPy and Python (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
