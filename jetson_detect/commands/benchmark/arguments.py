"""The command line of the benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jetson_detect.commands.numbers import at_least, positive

T = TypeVar("T")

MESSAGE, PREPROCESS, NODE, START, SCALING = "message", "preprocess", "node", "start", "scaling"
MODEL, ALL, QUICK = "model", "all", "quick"

_DESCRIPTION = """\
Measure what detection costs on this machine: CPU time, latency, throughput, memory, lost frames.
Each measurement is made in turns with how it is usually done (A B C A B C ...), and every claim is
a ratio of the medians' rounds.  docs/speed.md tells how to read it.
"""
_EPILOG = """\
examples:
  benchmark node                        the node beside others, 480p to 1080p, no inference
  benchmark model demo --backends tflite
  benchmark all --plots build/speed --json build/speed.json
  benchmark quick --check ratios.json   exit status 1 if a ratio is more than 20 % worse
"""
_SIZES = ("480p", "720p", "1080p", "4k")


def benchmark_parser() -> argparse.ArgumentParser:
    """Make the parser; what it gives has ``level`` and the options of that level."""
    parser = argparse.ArgumentParser(
        prog="benchmark",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    levels = parser.add_subparsers(dest="level", metavar="LEVEL", required=True)
    shared = _shared_options()

    def add(
        name: str, text: str, shared: argparse.ArgumentParser = shared
    ) -> argparse.ArgumentParser:
        return levels.add_parser(
            name,
            help=text,
            description=text,
            parents=[shared],
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    add(MESSAGE, "publish 1 to 300 detections: message objects beside ours")
    add(PREPROCESS, "pictures to tensors: as usual beside ours")
    node = add(NODE, "whole nodes over DDS without inference: tutorial, plain, ours, inline, floor")
    _add_sizes(node, ("480p", "720p", "1080p"))
    _add_rates(node)
    node.add_argument(
        "--detections", type=at_least(int, 0), default=17, metavar="N", help="objects in sight"
    )
    node.add_argument(
        "--no-baseline", action="store_true", help="only ours; there are no ratios then"
    )
    model = add(MODEL, "a model, level upon level: engine alone, picture to detections, node")
    _add_model(model, "tflite,onnxruntime,tensorflow,tensorrt")
    _add_sizes(model, ("1080p",))
    _add_rates(model)
    model.add_argument(
        "--levels",
        type=_list_of(str, ("engine", "pipeline", "node")),
        default=("engine", "pipeline", "node"),
        metavar="LIST",
        help="of engine, pipeline and node",
    )
    model.add_argument(
        "--cameras",
        type=_list_of(at_least(int, 1)),
        default=(1,),
        metavar="LIST",
        help="so many cameras on one node; the batch is 1",
    )
    model.add_argument(
        "--spin",
        action="store_true",
        help="engine and pipeline keep a CPU core busy while they wait for the GPU",
    )
    model.add_argument(
        "--postprocessing",
        choices=("auto", "cpu"),
        help="tensorrt.postprocessing of the pipeline: auto leaves candidates aside on the GPU",
    )
    start = add(START, "from the start of a process to its first answer, beside an empty node")
    _add_model(start, "tflite")
    add(SCALING, "1 to 8 cameras, 1 to 300 detections, 480p to 4K")
    everything = add(ALL, "all of these, the model on every backend that runs it")
    _add_model(everything, "tflite,onnxruntime,tensorflow,tensorrt")
    add(
        QUICK,
        "messages, preprocessing and nodes at 720p, in a minute: for --check",
        _shared_options(frames=60, warm_up=20),
    )
    return parser


def _shared_options(frames: int = 200, warm_up: int = 50) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    for name, lowest, default, text in (
        ("rounds", 1, 5, "in each of which everything has its turn"),
        ("frames", 1, frames, "frames, or calls, of each in a round"),
        ("warm-up", 0, warm_up, "frames, or calls, of each before the first round"),
    ):
        shared.add_argument(
            f"--{name}", type=at_least(int, lowest), default=default, metavar="N", help=text
        )
    shared.add_argument(
        "--transport",
        choices=("shared-memory", "default"),
        default="shared-memory",
        help="with this package's room for images in shared memory, or as DDS is by itself",
    )
    shared.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers")
    shared.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw them")
    shared.add_argument("--ratios", type=Path, metavar="FILE", help="also write the ratios alone")
    shared.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="compare with what --ratios wrote; exit status 1 if one is more than 20 %% worse",
    )
    return shared


def _add_model(parser: argparse.ArgumentParser, backends: str) -> None:
    parser.add_argument(
        "model", nargs="?", default="demo", help="folder with a model.yaml, or a model's name"
    )
    parser.add_argument(
        "--backends",
        type=_list_of(str),
        default=tuple(backends.split(",")),
        metavar="LIST",
        help="which, each in a process of its own",
    )


def _add_sizes(parser: argparse.ArgumentParser, default: tuple[str, ...]) -> None:
    parser.add_argument(
        "--sizes",
        type=_list_of(str, _SIZES),
        default=default,
        metavar="LIST",
        help=f"pictures, of {', '.join(_SIZES)}",
    )


def _add_rates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rates",
        type=_list_of(positive(float)),
        default=(),
        metavar="LIST",
        help="frames a second of each camera, beside the closed loop",
    )


def _list_of(
    parse: Callable[[str], T], allowed: tuple[T, ...] | None = None
) -> Callable[[str], tuple[T, ...]]:
    """Make an argument's ``type``: items with commas between them."""

    def parse_list(text: str) -> tuple[T, ...]:
        items = tuple(parse(each) for each in text.split(",") if each)
        if not items:
            raise argparse.ArgumentTypeError("the list is empty")
        for item in items:
            if allowed is not None and item not in allowed:
                raise argparse.ArgumentTypeError(
                    f"'{item}' is not known: use {', '.join(map(str, allowed))}"
                )
        return items

    return parse_list
