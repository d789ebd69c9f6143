"""Checks of detection networks: built, compared with the reference, timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from jetson_detect.core.backends import Backend, Postprocessing, TensorInfo
from jetson_detect.core.model import Layout, ModelSpec, Precision
from jetson_detect.core.timing import time_runs

from .bench import Bench
from .check import CheckFailed, CheckSkipped
from .comparison import TOLERANCE, differences, require_close, worst
from .plans import list_plans
from .running import Tensors, open_plan, open_reference
from .subjects import Subject

DISAGREEMENT = {Precision.FP32: 0.02, Precision.FP16: 0.1}
"""The share of objects that only one of two backends may find."""
SCENES = 20
"""Drawn pictures in which detections are compared."""


def check_build(bench: Bench, subject: Subject, precision: Precision) -> str:
    """Build a plan and enter it in the subject's model folder."""
    path = bench.plan_path(subject.name, precision)
    origin = "there from an earlier run"
    if not bench.has(path):
        start = time.monotonic()
        bench.build(subject.name, precision=precision, profiles=subject.profiles)
        origin = f"{time.monotonic() - start:.1f} s"
    list_plans(bench.network(subject.name).parent, path.parent, bench.version)
    return f"{path.stat().st_size / 1e6:.1f} MB, {origin}"


def check_parity(bench: Bench, subject: Subject, precision: Precision) -> str:
    """Compare raw outputs with the reference's for drawn scenes."""
    plan = bench.plan(subject.name, precision)
    found = []
    with (
        open_plan(plan, precision) as backend,
        open_reference(bench.network(subject.name)) as reference,
    ):
        for inputs in _pictures(bench.model(subject.name), subject.sizes, backend):
            found += differences(backend.run(inputs), reference.run(inputs))
    return require_close(worst(found), TOLERANCE[precision])


def _pictures(
    model: ModelSpec, sizes: Sequence[int], backend: Backend, count: int = 3
) -> Iterator[Tensors]:
    """Draw scenes as inputs; of each of some sizes, if the input's is open."""
    from jetson_detect.core.pixels import Pixels
    from jetson_detect.core.preprocess import Preprocessor
    from jetson_detect.core.scenes import SceneSequence

    (info,) = backend.description.inputs
    for size in sizes or (None,):
        spec = model.input if size is None else replace(model.input, width=size, height=size)
        area = (spec.height, spec.width)
        shape = (1, *area, 3) if spec.layout is Layout.NHWC else (1, 3, *area)
        preprocess = Preprocessor(spec, TensorInfo(info.name, shape, info.dtype))
        scenes = SceneSequence(seed=11)
        for index in range(count):
            picture = Pixels.from_array(scenes.frame(40 + 20 * index).image)
            yield {info.name: preprocess(picture)[0]}


def check_detections(bench: Bench, subject: Subject, precision: Precision) -> str:
    """Compare what is found in drawn scenes."""
    from jetson_detect.core.agreement import compare_detections
    from jetson_detect.core.detector import Detector
    from jetson_detect.core.pixels import Pixels
    from jetson_detect.core.scenes import SceneSequence
    from jetson_detect.core.selection import Selection

    plan = bench.plan(subject.name, precision)
    if subject.sizes:
        raise CheckSkipped("the size of its input is open")
    model = bench.model(subject.name)
    sure = model.thresholds.score
    # Weaker ones too: what lies just beside the threshold for one backend is no disagreement.
    selection = replace(
        Selection.from_thresholds(model.thresholds), score_threshold=sure / 2, max_detections=300
    )
    scenes = SceneSequence(seed=23)
    pictures = [Pixels.from_array(scenes.frame(7 * index).image) for index in range(SCENES)]
    found = []
    for backend in (open_plan(plan, precision), open_reference(bench.network(subject.name))):
        with Detector(model, backend) as detector:
            found.append([detector.detect(picture, selection) for picture in pictures])
    agreement = compare_detections(found[0], found[1], sure)
    alone = agreement.missed + agreement.extra
    text = (
        f"{agreement.matched} matched, {agreement.missed} missed, {agreement.extra} extra; "
        f"max |Δ| boxes {agreement.box_px:.2f} px, scores {agreement.score:.4f}"
    )
    if not agreement.matched or alone > DISAGREEMENT[precision] * (agreement.matched + alone):
        raise CheckFailed(text)
    return text


def check_candidates(bench: Bench, subject: Subject, precision: Precision) -> str:
    """Compare detections when the GPU leaves candidates aside with those of whole outputs."""
    from jetson_detect.core.detections import Detections
    from jetson_detect.core.detector import Detector
    from jetson_detect.core.pixels import Pixels
    from jetson_detect.core.scenes import SceneSequence
    from jetson_detect.core.selection import Selection

    plan = bench.plan(subject.name, precision)
    model = bench.model(subject.name)
    selection = replace(Selection.from_thresholds(model.thresholds), max_detections=300)
    # For a lower threshold than the last frame's all outputs are read.
    selections = [selection, replace(selection, score_threshold=selection.score_threshold / 2)]
    scenes = SceneSequence(seed=24, width=1920, height=1080)
    pictures = [Pixels.from_array(scenes.frame(7 * index).image) for index in range(SCENES)]
    found: dict[Postprocessing, list[Detections]] = {}
    texts = []
    for where in (Postprocessing.CPU, Postprocessing.AUTO):
        with Detector(model, open_plan(plan, precision, postprocessing=where)) as detector:
            told = detector.description.details.get("postprocessing", "CPU (head)")
            if where is Postprocessing.AUTO and told != "GPU":
                if subject.sizes or "postprocessing" not in detector.description.details:
                    raise CheckSkipped(f"postprocessing {told}")
                raise CheckFailed(f"postprocessing {told}")
            detector.warm_up()
            answers = [
                detector.detect(picture, selections[index % 2])
                for index, picture in enumerate(pictures)
            ]
            for index, picture in enumerate(pictures):
                if index >= detector.depth:
                    answers.append(detector.finish(selection))
                detector.start(picture)
            answers += [detector.finish(selection) for _ in range(detector.depth)]
            found[where] = answers
            detect = partial(detector.detect, pictures[0], selection)
            times = time_runs(detect, bench.warm_up, bench.runs)
            texts.append(f"{told.split()[0]} p50 {np.percentile(times, 50):.3f} ms")
    for index, (one, other) in enumerate(zip(*found.values())):
        same = (
            np.array_equal(one.boxes, other.boxes)
            and np.array_equal(one.scores, other.scores)
            and np.array_equal(one.class_ids, other.class_ids)
        )
        if not same:
            raise CheckFailed(f"answer {index}: {len(one)} objects and {len(other)}, not the same")
    count = sum(map(len, found[Postprocessing.CPU]))
    if not count:
        raise CheckFailed("nothing was detected")
    return f"{count} objects, all the same; {', '.join(texts)}"


def check_timing(bench: Bench, subject: Subject, precision: Precision) -> str:
    """Time the backend's ``run``, with and without a CUDA graph."""
    plan = bench.plan(subject.name, precision)
    texts = []
    for cuda_graph in (True, False):
        with open_plan(plan, precision, cuda_graph=cuda_graph) as backend:
            inputs = dict(next(_pictures(bench.model(subject.name), subject.sizes, backend)))
            for name, array in backend.input_arrays.items():
                np.copyto(array, inputs[name])
                inputs[name] = array
            times = time_runs(partial(backend.run, inputs), bench.warm_up, bench.runs)
            p50, p99 = np.percentile(times, (50, 99))
            graph = backend.description.details["cuda graph"]
        texts.append(f"graph {graph}: p50 {p50:.3f} ms, p99 {p99:.3f} ms")
        if cuda_graph and not subject.sizes and graph != "on":
            raise CheckFailed(f"no CUDA graph was recorded: {'; '.join(texts)}")
    return "; ".join(texts)
