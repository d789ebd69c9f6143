"""Measure one backend; the child process of ``compare_backends``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="measure_backend", description=__doc__)
    parser.add_argument("model", help="folder with a model.yaml")
    parser.add_argument("backend", help="name of the backend")
    parser.add_argument("file", type=int, help="index into the files that it can run")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--started-at", type=float, default=time.time())
    options = parser.parse_args(arguments)
    # Imported here, after the clock of the start-up was started.
    from jetson_detect.core.backend_measurement import measure_backend
    from jetson_detect.core.backends import BackendError, BackendOptions
    from jetson_detect.core.backends.choice import find_choices
    from jetson_detect.core.model import ModelError, load_model

    try:
        model = load_model(options.model)
        choices, _ = find_choices(model, (options.backend,))
        measurement = measure_backend(
            model,
            choices[options.file],
            BackendOptions(threads=options.threads),
            options.pictures,
            options.runs,
            options.started_at,
        )
    except (BackendError, ModelError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    options.output.write_text(json.dumps(measurement.to_json()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
