"""Write a short bag of drawn scenes with their ground truth."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jetson_detect.commands.stop_signals import StopSignals

_DESCRIPTION = """\
Write a short bag of drawn scenes: images on /camera/image_raw, and on /camera/ground_truth what is
in them.  The same arguments give the same pictures, stamps and truth.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for an error, 130 or 143 when stopped."""
    with StopSignals() as stop:
        try:
            return _run(_parser().parse_args(arguments), stop)
        except KeyboardInterrupt:
            return stop.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_demo_bag",
        description=_DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("bag", type=Path, help="folder to write the bag to")
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="number of images")
    parser.add_argument("--fps", type=float, default=30.0, help="images a second, by their stamps")
    parser.add_argument("--size", type=_size, default="640x480", metavar="WxH", help="of an image")
    parser.add_argument("--seed", type=int, default=7, help="other pictures for another seed")
    parser.add_argument(
        "--storage", choices=("mcap", "sqlite3"), default="mcap", help="file format"
    )
    parser.add_argument("--force", action="store_true", help="replace a bag that exists")
    return parser


def _run(options: argparse.Namespace, stop: StopSignals) -> int:
    # Imported here so that --help answers at once.
    from jetson_detect.bags.demo_bag import DemoBagConfig, write_demo_bag
    from jetson_detect.bags.errors import BagError, BagExistsError

    def check_stop(number: int) -> None:
        if stop.requested:
            raise KeyboardInterrupt

    width, height = options.size
    start = time.monotonic()
    try:
        if options.frames < 1 or not 0 < options.fps <= 1000:
            raise ValueError(
                f"--frames {options.frames} --fps {options.fps:g}: "
                "at least 1 frame is needed and a rate above 0, up to 1000"
            )
        config = DemoBagConfig(
            frames=options.frames,
            fps=options.fps,
            width=width,
            height=height,
            seed=options.seed,
            storage=options.storage,
        )
        write_demo_bag(options.bag, config, overwrite=options.force, on_frame=check_stop)
    except BagExistsError as error:
        print(f"make_demo_bag: {error}; --force replaces it", file=sys.stderr)
        return 2
    except (BagError, ValueError) as error:
        print(f"make_demo_bag: {error}", file=sys.stderr)
        return 2
    size = sum(file.stat().st_size for file in options.bag.expanduser().iterdir())
    print(
        f"{options.bag}: {options.frames} images of {width}x{height}, {size / 1e6:.0f} MB, "
        f"in {time.monotonic() - start:.1f} s"
    )
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is not like 640x480")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
