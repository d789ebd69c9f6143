"""How well a file agrees with its source and what it costs, as cells of a table."""

from __future__ import annotations

from jetson_detect.core.engines.proof import Comparison


def comparison_cells(seen: Comparison) -> tuple[str, ...]:
    """Write down what the tables of ``build_engine`` and ``export_model`` both show.

    Returns
    -------
    The largest rms error of an output, mAP50 with the source as truth, mAP50 of source and file
    with known truth, the 99th percentile of how far edges move in pixels, the objects that both,
    only the source and only the file find, and milliseconds of an inference of source and file;
    ``-`` for what was not measured.

    """
    rms = [error.rms for error in seen.tensors.errors]
    found, truth = seen.detections, seen.against_truth
    return (
        f"{max(rms):.1e}" if rms else "-",
        "-" if seen.against_source is None else f"{seen.against_source.engine50:.4f}",
        "-" if truth is None else f"{truth.source50:.4f} {truth.engine50:.4f}",
        f"{found.box_px.p99:.2f}",
        f"{found.matched} {found.missed} {found.extra}",
        f"{seen.source.inference.p50_ms:.2f}",
        f"{seen.engine.inference.p50_ms:.2f}",
    )
