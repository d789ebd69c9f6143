#!/usr/bin/env python3
"""Check the tensorrt backend against the real TensorRT on a machine with an NVIDIA GPU.

Usage: check_tensorrt.py [--output DIR] [--results FILE]    run the checks under this interpreter
       check_tensorrt.py --lean …                           with tensorrt_lean instead of tensorrt
       check_tensorrt.py --report FILE                      one table of all versions that were run

Plans are built, compared with ONNX Runtime on the CPU and timed; features are tried; faults are
injected, each in a process of its own, which has to report the error and go on.  Every check is a
row of FILE, written as soon as it is known; rows of other versions are kept.  The exit status is 1
if a check failed.

Run it with the interpreter that has TensorRT, once for each version, with the same DIR: plans of
one version are what the next one must refuse.  It needs tensorrt, pycuda, numpy, cv2, yaml,
jsonschema, onnx and onnxruntime; with ``--lean`` only tensorrt_lean, numpy, yaml and jsonschema.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # that interpreter has no installation of this package

from jetson_detect.commands.numbers import at_least  # noqa: E402
from jetson_detect.core.backends import (  # noqa: E402
    Backend,
    BackendError,
    BackendOptions,
    BackendUnavailableError,
    OnnxruntimeOptions,
    TensorInfo,
    TensorrtOptions,
    TensorrtRuntime,
    open_file,
)
from jetson_detect.core.model import (  # noqa: E402
    MODEL_FILE,
    Format,
    Layout,
    ModelFile,
    ModelSpec,
    Precision,
    load_model,
)
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary, open_library  # noqa: E402
from jetson_detect.core.timing import time_runs  # noqa: E402

if TYPE_CHECKING:
    import onnx

    from jetson_detect.core.backends.tensorrt.gpu import Gpu
    from jetson_detect.core.engines.building import BuildOptions

TACTIC_SOURCES = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")
"""Those that need neither cuBLAS nor cuDNN."""
OPTIMIZATION_LEVEL = 1
PRECISIONS = ("fp32", "fp16")
TOLERANCE = {Precision.FP32: 0.001, Precision.FP16: 0.05}
"""How far an output may be off, as a share of its largest value."""
DISAGREEMENT = {Precision.FP32: 0.02, Precision.FP16: 0.1}
"""The share of objects that only one of two backends may find."""
SCENES = 20
"""Drawn pictures in which detections are compared."""
OPENINGS = 20
"""How often a plan is opened and closed to see what stays behind."""
LEAK_MB = 2.0
"""What may stay behind after them."""
CHILD_TIMEOUT_S = 300.0
MEGABYTE = 1 << 20

Tensors = Mapping[str, NDArray[Any]]


class Result(str, Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return str.__str__(self)


@dataclass(frozen=True)
class Row:
    """One check under one version."""

    version: str
    check: str
    result: Result
    text: str
    """Numbers, the error that was seen, or why it was skipped."""
    seconds: float = 0.0


class CheckFailed(Exception):  # noqa: N818
    """What a check found wrong."""


class CheckSkipped(Exception):  # noqa: N818
    """Why a check could not be done."""


# What is checked with: networks and their plans


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
    source = ROOT / "models" / "demo"
    shutil.copytree(source, folder, dirs_exist_ok=True)
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


def _save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Mapping[str, tuple[int, Sequence[int | str | None]]],
    weights: Mapping[str, NDArray[Any]],
) -> Path:
    """Write a graph; inputs and outputs by name: ONNX's type, and the shape."""
    import onnx
    from random_networks import IR_VERSION, OPSET

    graph = onnx.helper.make_graph(
        nodes,
        path.stem,
        [onnx.helper.make_tensor_value_info(name, *info) for name, info in inputs.items()],
        [onnx.helper.make_tensor_value_info(name, *info) for name, info in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), str(path))
    return path


def _save_affine(path: Path) -> Path:
    """Write ``y = x * a + b``."""
    from onnx import TensorProto, helper

    numbers = np.random.RandomState(1).standard_normal((2, 1, 64)).astype(np.float32)
    return _save_graph(
        path,
        [helper.make_node("Mul", ["x", "a"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])],
        {"x": (TensorProto.FLOAT, [1, 64])},
        {"y": (TensorProto.FLOAT, [1, 64])},
        {"a": numbers[0], "b": numbers[1]},
    )


def _save_convolution(path: Path) -> Path:
    """Write a convolution with a bend behind it, of pictures of any number and size."""
    from onnx import TensorProto, helper

    kernels = np.random.RandomState(2).standard_normal((8, 3, 3, 3)).astype(np.float32)
    return _save_graph(
        path,
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        {"x": (TensorProto.FLOAT, ["batch", 3, "height", "width"])},
        {"y": (TensorProto.FLOAT, ["batch", 8, "height", "width"])},
        {"w": kernels},
    )


def _save_nonzero(path: Path) -> Path:
    """Write a network whose output is as long as its input has numbers other than 0."""
    from onnx import TensorProto, helper

    return _save_graph(
        path,
        [helper.make_node("NonZero", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, [4, 16])},
        {"y": (TensorProto.INT64, [2, None])},
        {},
    )


def _save_uint8(path: Path) -> Path:
    """Write a network that takes and gives bytes: each divided by two."""
    from onnx import TensorProto, helper

    return _save_graph(
        path,
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "half"], ["h"]),
            helper.make_node("Cast", ["h"], ["y"], to=TensorProto.UINT8),
        ],
        {"x": (TensorProto.UINT8, [1, 8, 8, 3])},
        {"y": (TensorProto.UINT8, [1, 8, 8, 3])},
        {"half": np.array([0.5], np.float32)},
    )


def _save_sum(dtype: type[np.generic], path: Path) -> Path:
    """Write ``y = x + x + 1`` of one type."""
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return _save_graph(
        path,
        [
            helper.make_node("Add", ["x", "x"], ["twice"]),
            helper.make_node("Add", ["twice", "one"], ["y"]),
        ],
        {"x": (kind, [1, 64])},
        {"y": (kind, [1, 64])},
        {"one": np.ones(1, dtype)},
    )


GRAPHS: Mapping[str, Callable[[Path], Path]] = {
    "affine": _save_affine,
    "convolution": _save_convolution,
    "nonzero": _save_nonzero,
    "uint8": _save_uint8,
    "float16": partial(_save_sum, np.float16),
    "int64": partial(_save_sum, np.int64),
}
"""Small networks, one for each feature."""


@dataclass
class Bench:
    """Where and with what the checks run."""

    output: Path
    version: str
    library: TensorrtLibrary
    deadline: float | None = None
    """When no build is started any more, as ``time.monotonic()``."""
    reuse: bool = False
    """Whether plans that are there already are taken as they are."""
    warm_up: int = 50
    runs: int = 300
    _networks: dict[str, Path] = field(default_factory=dict)
    _built: set[Path] = field(default_factory=set)

    def network(self, name: str) -> Path:
        """Return a subject's or graph's ONNX file, written in the first call."""
        if name not in self._networks:
            if name in SUBJECTS:
                path = SUBJECTS[name].write(self.output / f"{name}_trt{self.version}")
                list_plans(path.parent, self.output, self.version)  # of earlier runs
            else:
                path = GRAPHS[name](self.output / f"{name}.onnx")
            self._networks[name] = path
        return self._networks[name]

    def model(self, name: str) -> ModelSpec:
        """Return a subject's model."""
        return load_model(self.network(name).parent)

    def plan_path(self, name: str, precision: Precision) -> Path:
        """Return where a plan of this version lies or will lie."""
        return self.output / f"{name}_{precision.value}_trt{self.version}.plan"

    def has(self, path: Path) -> bool:
        """Whether a plan is there that this run built or may take as it is."""
        return path in self._built or (self.reuse and path.exists())

    def plan(self, name: str, precision: Precision = Precision.FP32) -> Path:
        """Return a plan that was built.

        Raises
        ------
        CheckSkipped
            If it was not.

        """
        path = self.plan_path(name, precision)
        if not self.has(path):
            raise CheckSkipped(f"{path.name} was not built in this run")
        return path

    def small_plan(self, name: str, **options: Any) -> Path:
        """Return the plan of a graph, built in the first call; see :meth:`build`."""
        path = self.plan_path(name, options.get("precision", Precision.FP32))
        return path if self.has(path) else self.build(name, **options)

    def build(self, name: str, **options: Any) -> Path:
        """Build a plan with the options that this version has.

        Raises
        ------
        CheckSkipped
            If the time is up, or this version has no such precision.
        BuildError
            If it cannot be built.

        """
        from jetson_detect.core.engines.building import build_engine

        if self.deadline is not None and time.monotonic() > self.deadline:
            raise CheckSkipped("left out: the time was up")
        settings = self._build_options(**options)
        path = self.plan_path(name, settings.precision)
        plan = build_engine(self.network(name), settings)
        path.write_bytes(plan)
        self._built.add(path)
        return path

    def good_plan(self) -> Path:
        """Return a plan that must run: the demo's where it was built."""
        demo = self.plan_path("demo", Precision.FP32)
        return demo if self.has(demo) else self.small_plan("affine")

    def _build_options(self, **options: Any) -> BuildOptions:
        from jetson_detect.core.engines.building import BuildOptions

        features, trt = self.library.features, self.library.trt
        if options.get("precision") is Precision.FP16 and not features.fp16_flag:
            raise CheckSkipped("this version takes the precision from the ONNX file")
        known = trt.TacticSource.__members__
        return BuildOptions(
            optimization_level=OPTIMIZATION_LEVEL if features.builder_optimization_level else None,
            tactic_sources=tuple(name for name in TACTIC_SOURCES if name in known),
            tf32=False,  # else FP32 is FP32 in name only
            **options,
        )


def open_plan(path: Path, precision: Precision = Precision.FP32, **options: Any) -> Backend:
    """Load a plan as the project does; options are those of TensorrtOptions."""
    file = ModelFile(Format.TENSORRT, path, precision)
    return open_file("tensorrt", file, BackendOptions(tensorrt=TensorrtOptions(**options)))


def open_reference(path: Path) -> Backend:
    """Load an ONNX file on the CPU."""
    providers = OnnxruntimeOptions(providers=("CPUExecutionProvider",))
    return open_file(
        "onnxruntime", ModelFile(Format.ONNX, path), BackendOptions(onnxruntime=providers)
    )


def run_copied(backend: Backend, inputs: Tensors) -> dict[str, NDArray[Any]]:
    """Infer; the answer stays as it is."""
    return {name: output.copy() for name, output in backend.run(inputs).items()}


# Comparison


@dataclass(frozen=True)
class Difference:
    """How far an output is from the reference's."""

    name: str
    absolute: float
    """The largest difference; infinite if shapes differ or a number is not finite."""
    relative: float
    """The same as a share of the reference's largest value."""

    def __str__(self) -> str:
        return f"{self.name} {self.absolute:.2g} ({self.relative:.1e})"


def difference(name: str, output: NDArray[Any], reference: NDArray[Any]) -> Difference:
    """Compare an output with the reference's, in float64."""
    if output.shape != reference.shape or not np.isfinite(output).all():
        return Difference(name, float("inf"), float("inf"))
    if not output.size:
        return Difference(name, 0.0, 0.0)
    wanted = reference.astype(np.float64)
    absolute = float(np.abs(output - wanted).max())
    largest = float(np.abs(wanted).max())
    return Difference(name, absolute, absolute / largest if largest else absolute)


def differences(outputs: Tensors, reference: Tensors) -> list[Difference]:
    """Compare all outputs.

    Raises
    ------
    CheckFailed
        If they are called otherwise.

    """
    if set(outputs) != set(reference):
        raise CheckFailed(f"outputs are {', '.join(outputs)}, not {', '.join(reference)}")
    return [difference(name, outputs[name], reference[name]) for name in reference]


def worst(all_differences: Iterable[Difference]) -> list[Difference]:
    """Return the largest difference of each output."""
    by_name: dict[str, Difference] = {}
    for found in all_differences:
        known = by_name.get(found.name)
        if known is None or found.relative > known.relative:
            by_name[found.name] = found
    return list(by_name.values())


def require_close(found: Sequence[Difference], tolerance: float) -> str:
    """Return the differences as text.

    Raises
    ------
    CheckFailed
        If one is larger than the tolerance, relative.

    """
    text = "max |Δ| " + ", ".join(map(str, found))
    if any(not each.relative <= tolerance for each in found):
        raise CheckFailed(f"{text}: more than {tolerance:.0e}")
    return text


# Checks of detection networks


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


def list_plans(folder: Path, plans: Path, version: str) -> None:
    """Name the plans of a version first in a model folder ``NAME_trtVERSION``."""
    import yaml

    source = folder / MODEL_FILE
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    name = folder.name.removesuffix(f"_trt{version}")
    entries = [
        {"format": "tensorrt", "path": os.path.relpath(path, folder), "precision": precision}
        for precision in PRECISIONS
        if (path := plans / f"{name}_{precision}_trt{version}.plan").exists()
    ]
    others = [file for file in document["files"] if file["format"] != "tensorrt"]
    document["files"] = entries + others
    source.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


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


# Features

_SMALLEST, _BEST, _LARGEST = (1, 3, 16, 16), (1, 3, 32, 48), (4, 3, 64, 64)


def check_dynamic_shapes(bench: Bench) -> str:
    """Run at the ends and the middle of a profile, and beyond it."""
    plan = bench.small_plan("convolution", profiles={"x": (_SMALLEST, _BEST, _LARGEST)})
    random = np.random.default_rng(3)
    found = []
    with open_plan(plan) as backend, open_reference(bench.network("convolution")) as reference:
        for shape in (_SMALLEST, _BEST, _LARGEST, _BEST, _SMALLEST):
            inputs = {"x": random.standard_normal(shape).astype(np.float32)}
            found += differences(backend.run(inputs), reference.run(inputs))
        refusal = _refusal(lambda: backend.run({"x": np.zeros((5, 3, 64, 64), np.float32)}))
        inputs = {"x": random.standard_normal(_BEST).astype(np.float32)}
        found += differences(backend.run(inputs), reference.run(inputs))
    text = require_close(worst(found), TOLERANCE[Precision.FP32])
    return f"{text}; beyond the profile: {refusal}"


def _refusal(action: Callable[[], object]) -> str:
    """Return the text of the BackendError that an action has to raise."""
    try:
        action()
    except BackendError as error:
        return str(error)
    raise CheckFailed("what should have been refused was not")


def check_data_dependent_output(bench: Bench) -> str:
    """Run with many, few and no numbers other than 0."""
    counts = (1, 64, 7, 0, 30)
    places = np.random.default_rng(4).permutation(64)
    with (
        open_plan(bench.small_plan("nonzero")) as backend,
        open_reference(bench.network("nonzero")) as reference,
    ):
        for count in counts:
            numbers = np.zeros(64, np.float32)
            numbers[places[:count]] = 1.5
            inputs = {"x": numbers.reshape(4, 16)}
            found = differences(backend.run(inputs), reference.run(inputs))
            if found[0].absolute:
                raise CheckFailed(f"{count} numbers: {found[0]}")
    return f"exact with {', '.join(map(str, counts))} numbers"


def check_type(bench: Bench, name: str) -> str:
    """Run a graph that takes and gives another type than float32."""
    precision = Precision.FP16 if name == "float16" else Precision.FP32
    plan = bench.small_plan(name, precision=precision)
    with open_plan(plan, precision) as backend, open_reference(bench.network(name)) as reference:
        (info,) = backend.description.inputs
        (wanted,) = reference.description.inputs
        size = [length or 1 for length in info.shape]
        numbers = np.random.default_rng(5).integers(0, 200, size)
        outputs = run_copied(backend, {"x": numbers.astype(info.dtype)})
        exact = reference.run({"x": numbers.astype(wanted.dtype)})
        text = require_close(differences(outputs, exact), 0.0)
        return f"{info.dtype} in, {outputs['y'].dtype} out; {text}"


def check_two_threads(bench: Bench) -> str:
    """Load and run a plan in two threads at once."""
    plan, runs = bench.small_plan("affine"), 500

    def work(seed: int) -> float:
        random = np.random.default_rng(seed)
        largest = 0.0
        with open_reference(bench.network("affine")) as reference, open_plan(plan) as backend:
            for _ in range(runs):
                inputs = {"x": random.standard_normal((1, 64)).astype(np.float32)}
                (found,) = differences(backend.run(inputs), reference.run(inputs))
                largest = max(largest, found.relative)
        return largest

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, (6, 7)))
    if max(found) > TOLERANCE[Precision.FP32]:
        raise CheckFailed(f"outputs are off by {found[0]:.1e} and {found[1]:.1e}")
    return f"2 × {runs} runs, off by {max(found):.1e} at most"


def check_leaks(bench: Bench) -> str:
    """Load, run and close a plan again and again, and look at the memory."""
    plan = bench.good_plan()
    with _gpu(bench.library) as gpu:
        for _ in range(3):
            _run_once(plan)
        before = _free_memory(gpu), _resident_mb()
        for _ in range(OPENINGS):
            _run_once(plan)
        after = _free_memory(gpu), _resident_mb()
    grown = (before[0] - after[0]) / MEGABYTE
    text = (
        f"{OPENINGS} times: GPU memory {grown:+.1f} MB, resident memory "
        f"{after[1] - before[1]:+.1f} MB"
    )
    if grown > LEAK_MB:
        raise CheckFailed(text)
    return text


def _run_once(plan: Path) -> dict[str, NDArray[Any]]:
    """Load a plan, run it on numbers that are always the same, and close it."""
    with open_plan(plan) as backend:
        return run_copied(backend, _numbers(backend))


def _numbers(backend: Backend) -> Tensors:
    random = np.random.default_rng(8)
    return {
        info.name: random.random([size or 1 for size in info.shape]).astype(info.dtype)
        for info in backend.description.inputs
    }


@contextmanager
def _gpu(library: TensorrtLibrary) -> Iterator[Gpu]:
    """Hold the GPU's primary context beside the backends."""
    from jetson_detect.core.backends.tensorrt.gpu import Gpu

    gpu = Gpu(library.driver, 0)
    try:
        yield gpu
    finally:
        gpu.release()


def _free_memory(gpu: Gpu) -> int:
    with gpu.current():
        return gpu.free_memory()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


# Probes: what may end the process, each in one of its own


@dataclass(frozen=True)
class ProbeCase:
    """What a probe has to do with."""

    plan: Path
    """One that runs."""
    folder: Path
    """For files of its own; empty at the beginning."""
    output: Path
    """Where plans of all versions lie."""
    runtime: TensorrtRuntime

    def damaged(self, content: bytes) -> Path:
        """Write something that is called a plan."""
        path = self.folder / "damaged.plan"
        path.write_bytes(content)
        return path

    def foreign_plan(self) -> Path:
        """Return a plan of another version.

        Raises
        ------
        CheckSkipped
            If there is none.

        """
        own = _version_of(self.plan)
        for path in sorted(self.output.glob("*_trt*.plan"), key=lambda p: p.stat().st_size):
            if _version_of(path) != own:
                return path
        raise CheckSkipped(f"{self.output} has no plan of another version")

    def library(self) -> TensorrtLibrary:
        """Open TensorRT as the backend does."""
        return open_library(self.runtime)


def _version_of(plan: Path) -> str:
    match = re.search(r"_trt([\d.]+)\.plan$", plan.name)
    return match[1] if match else ""


class Expectation(Enum):
    """What has to become of a probe."""

    REFUSAL = "a BackendError"
    SURVIVAL = "a BackendError or an answer"
    ANSWER = "an answer"


@dataclass(frozen=True)
class Probe:
    """Something that is tried in a process of its own."""

    action: Callable[[ProbeCase], str]
    """Returns what happened, or raises."""
    expects: Expectation = Expectation.REFUSAL


def _open_and_run(path: Path, case: ProbeCase, **options: Any) -> str:
    """Load and run what should not be loaded; say how far off the outputs are."""
    with open_plan(path, runtime=case.runtime, **options) as backend:
        outputs = run_copied(backend, _numbers(backend))
    found = differences(outputs, _run_once(case.plan))
    return "TensorRT takes it; " + "max |Δ| " + ", ".join(map(str, worst(found)))


def _missing_file(case: ProbeCase) -> str:
    return _open_and_run(case.folder / "missing.plan", case)


def _cut(share: float, case: ProbeCase) -> str:
    content = case.plan.read_bytes()
    return _open_and_run(case.damaged(content[: int(len(content) * share)]), case)


def _random_bytes(case: ProbeCase) -> str:
    content = np.random.default_rng(9).integers(0, 256, MEGABYTE, np.uint8).tobytes()
    return _open_and_run(case.damaged(content), case)


def _flipped(first: float, last: float, case: ProbeCase) -> str:
    """Turn all bits of 64 bytes between two places, as shares of the length."""
    content = np.frombuffer(case.plan.read_bytes(), np.uint8).copy()
    places = np.linspace(first * len(content), last * len(content), 64, endpoint=False)
    content[places.astype(int)] ^= 0xFF
    return _open_and_run(case.damaged(content.tobytes()), case)


def _other_version(case: ProbeCase) -> str:
    return _open_and_run(case.foreign_plan(), case)


def _wrong_inputs(change: Callable[[NDArray[Any]], NDArray[Any]], case: ProbeCase) -> str:
    with open_plan(case.plan) as backend:
        inputs = {name: change(array) for name, array in _numbers(backend).items()}
        backend.run(inputs)
    return "it ran"


def _input_not_given(case: ProbeCase) -> str:
    with open_plan(case.plan) as backend:
        backend.run({})
    return "it ran"


def _other_thread(case: ProbeCase) -> str:
    with open_plan(case.plan) as backend, ThreadPoolExecutor(1) as pool:
        pool.submit(backend.run, _numbers(backend)).result()
    return "it ran"


def _closed(case: ProbeCase) -> str:
    backend = open_plan(case.plan)
    inputs = _numbers(backend)
    backend.close()
    backend.run(inputs)
    return "it ran"


def _missing_plugins(case: ProbeCase) -> str:
    return _open_and_run(case.plan, case, plugin_libraries=(str(case.folder / "libplugins.so"),))


def _no_such_gpu(case: ProbeCase) -> str:
    return _open_and_run(case.plan, case, device=99)


def _no_such_dla(case: ProbeCase) -> str:
    return _open_and_run(case.plan, case, dla_core=99)


def _no_memory(left_mb: int, case: ProbeCase) -> str:
    """Load a plan while nearly all of the GPU's memory is taken."""
    with _gpu(case.library()) as gpu:
        blocks = _take_memory(gpu, left_mb * MEGABYTE)
        try:
            return _open_and_run(case.plan, case)
        finally:
            with gpu.current():
                blocks.clear()  # an allocation that nobody holds is given back


def _take_memory(gpu: Gpu, left: int) -> list[Any]:
    """Allocate until only ``left`` bytes are free, in pieces that get smaller."""
    blocks = []
    with gpu.current():
        size = gpu.free_memory()
        while size >= MEGABYTE:
            if gpu.free_memory() - size < left:
                size //= 2
                continue
            try:
                blocks.append(gpu.cuda.mem_alloc(size))
            except gpu.cuda.MemoryError:
                size //= 2
    return blocks


FAULTS: Mapping[str, Probe] = {
    "file missing": Probe(_missing_file),
    "empty file": Probe(partial(_cut, 0.0)),
    "plan cut after 1 %": Probe(partial(_cut, 0.01)),
    "plan cut in the middle": Probe(partial(_cut, 0.5)),
    "plan with flipped bytes at its start": Probe(partial(_flipped, 0.0, 0.002)),
    # Weights are bytes like others: TensorRT need not notice.
    "plan with flipped bytes all over": Probe(partial(_flipped, 0.0, 1.0), Expectation.SURVIVAL),
    "random bytes": Probe(_random_bytes),
    "plan of another version": Probe(_other_version),
    "wrong shape": Probe(partial(_wrong_inputs, lambda array: array[..., :-1])),
    "wrong number of dimensions": Probe(partial(_wrong_inputs, lambda array: array[0])),
    "wrong type": Probe(partial(_wrong_inputs, lambda array: array.astype(np.float64))),
    "input not given": Probe(_input_not_given),
    "used by another thread": Probe(_other_thread),
    "used after close": Probe(_closed),
    "missing plugin library": Probe(_missing_plugins),
    "no such GPU": Probe(_no_such_gpu),
    "no such DLA core": Probe(_no_such_dla),
    "memory used up": Probe(partial(_no_memory, 0)),
    "memory used up but for 64 MB": Probe(partial(_no_memory, 64), Expectation.SURVIVAL),
}
"""Each has to leave a process in which a good plan runs as before."""


def _lean_library(case: ProbeCase) -> str:
    library = case.library()
    return f"{library}, {library.driver.device_count} GPU(s), CUDA {library.driver.cuda_version}"


def _lean_runtime(case: ProbeCase) -> str:
    library = case.library()
    with _context(library):
        runtime = library.trt.Runtime(library.logger)
        text = f"{type(runtime).__name__} made, {runtime.num_DLA_cores} DLA cores"
        del runtime
    return text


def _lean_refuses(case: ProbeCase) -> str:
    """Load a full version's plan with the lean library, which needs no pycuda."""
    library, plan = case.library(), case.foreign_plan()
    with _context(library):
        mark = library.errors.mark()
        runtime = library.trt.Runtime(library.logger)
        engine = runtime.deserialize_cuda_engine(plan.read_bytes())
        loaded = engine is not None
        del engine, runtime
    if loaded:
        raise CheckFailed(f"{plan.name} was loaded")
    return f"{plan.name}: {library.errors.since(mark)}"


@contextmanager
def _context(library: TensorrtLibrary) -> Iterator[None]:
    """Make the GPU's context current; without pycuda TensorRT does so itself."""
    with ExitStack() as stack:
        with suppress(BackendUnavailableError):
            stack.enter_context(stack.enter_context(_gpu(library)).current())
        yield


LEAN_PROBES: Mapping[str, Probe] = {
    "library and driver": Probe(_lean_library, Expectation.ANSWER),
    "runtime made": Probe(_lean_runtime, Expectation.ANSWER),
    "plan of another version, TensorRT's own words": Probe(_lean_refuses, Expectation.ANSWER),
    "plan of another version": Probe(_other_version),
    "file missing": Probe(_missing_file),
    "random bytes": Probe(_random_bytes),
}


@dataclass(frozen=True)
class ProbeAnswer:
    """What a probe's process wrote down; JSON holds it."""

    stage: str
    """How far it came."""
    text: str = ""
    error: str = ""
    """The exception's class, if there was one."""
    refused: bool = False
    """Whether it is a BackendError."""
    skipped: bool = False
    unchanged: bool | None = None
    """Whether a good plan ran afterwards as before; None where that was not tried."""


def run_probe(probe: Probe, case: ProbeCase, answer: Path) -> None:
    """Do a probe in this process and write down what happens, before it may end."""
    tries_good = case.runtime is TensorrtRuntime.FULL
    _note(answer, ProbeAnswer("running a good plan"))
    before = _run_once(case.plan) if tries_good else {}
    _note(answer, ProbeAnswer("the probe itself"))
    try:
        found = ProbeAnswer("", text=probe.action(case))
    except CheckSkipped as error:
        _note(answer, ProbeAnswer("done", text=str(error), skipped=True))
        return
    except Exception as error:
        found = ProbeAnswer(
            "",
            text=str(error),
            error=type(error).__name__,
            refused=isinstance(error, BackendError),
        )
    _note(answer, replace(found, stage="running a good plan afterwards"))
    unchanged = None
    if tries_good:
        after = _run_once(case.plan)
        unchanged = all(np.array_equal(after[name], before[name]) for name in before)
    _note(answer, replace(found, stage="done", unchanged=unchanged))


def _note(path: Path, answer: ProbeAnswer) -> None:
    path.write_text(json.dumps(asdict(answer)), encoding="utf-8")


def judge(probe: Probe, answer: ProbeAnswer, status: int, said: str) -> str:
    """Return what a probe shows.

    Parameters
    ----------
    probe:
        What was tried.
    answer:
        What its process wrote down.
    status:
        The process's exit status; negative for a signal.
    said:
        The end of what it printed.

    Raises
    ------
    CheckFailed, CheckSkipped
        If it is not what was expected; if it could not be tried.

    """
    if answer.stage != "done" or status:
        end = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        when = "at its end" if answer.stage == "done" else f"while {answer.stage}"
        seen = f"; before: {answer.error} {answer.text}" if answer.text else ""
        raise CheckFailed(f"the process ended with {end} {when}{seen}; it said: {said}")
    if answer.skipped:
        raise CheckSkipped(answer.text)
    text = f"{answer.error}: {answer.text}" if answer.error else answer.text
    if answer.error and not (answer.refused and probe.expects is not Expectation.ANSWER):
        raise CheckFailed(f"{text} (expected {probe.expects.value})")
    if not answer.error and probe.expects is Expectation.REFUSAL:
        raise CheckFailed(f"{text} (expected {probe.expects.value})")
    if answer.unchanged is False:
        raise CheckFailed(f"{text}; a good plan then gave something else than before")
    return text + ("; a good plan then ran as before" if answer.unchanged else "")


def check_probe(output: Path, plan: Path, lean: bool, name: str) -> str:
    """Try a probe in a process of its own."""
    probe = (LEAN_PROBES if lean else FAULTS)[name]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        _note(answer, ProbeAnswer("starting"))
        case = [f"--probe={name}", f"--plan={plan}", f"--answer={answer}", f"--output={output}"]
        command = [sys.executable, str(Path(__file__).resolve()), *case]
        try:
            ended = subprocess.run(
                [*command, "--lean"] if lean else command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=CHILD_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            stage = json.loads(answer.read_text(encoding="utf-8"))["stage"]
            raise CheckFailed(f"it hung for {CHILD_TIMEOUT_S:.0f} s while {stage}") from None
        found = ProbeAnswer(**json.loads(answer.read_text(encoding="utf-8")))
    said = " / ".join(ended.stdout.strip().splitlines()[-3:]) or "nothing"
    return judge(probe, found, ended.returncode, said)


# The registry


@dataclass(frozen=True)
class Check:
    """A row to be."""

    name: str
    run: Callable[[], str]
    """Returns numbers; raises CheckFailed, CheckSkipped or whatever goes wrong."""


def full_checks(
    bench: Bench, subjects: Sequence[str], precisions: Sequence[Precision]
) -> Iterator[Check]:
    """All checks of a whole TensorRT."""
    networks = (
        ("build", check_build),
        ("parity", check_parity),
        ("detections", check_detections),
        ("time", check_timing),
    )
    for name in subjects:
        for precision in precisions:
            for title, check in networks:
                yield Check(
                    f"{name} {precision.value}: {title}",
                    partial(check, bench, SUBJECTS[name], precision),
                )
    yield Check("feature: dynamic shapes", partial(check_dynamic_shapes, bench))
    yield Check("feature: data-dependent output", partial(check_data_dependent_output, bench))
    for kind in ("uint8", "float16", "int64"):
        yield Check(f"feature: {kind} tensors", partial(check_type, bench, kind))
    yield Check("feature: two threads at once", partial(check_two_threads, bench))
    yield Check("feature: nothing stays behind", partial(check_leaks, bench))
    for name in FAULTS:
        yield Check(f"fault: {name}", partial(_check_fault, bench, name))


def _check_fault(bench: Bench, name: str) -> str:
    return check_probe(bench.output, bench.good_plan(), False, name)


def lean_checks(output: Path) -> Iterator[Check]:
    """All checks of a lean runtime; there is no plan that it could run."""
    for name in LEAN_PROBES:
        run = partial(check_probe, output, output / "none.plan", True, name)
        yield Check(f"lean: {name}", run)


def perform(check: Check, version: str) -> Row:
    """Run a check; whatever goes wrong is a row."""
    start = time.monotonic()
    try:
        result, text = Result.OK, check.run()
    except CheckSkipped as error:
        result, text = Result.SKIPPED, str(error)
    except CheckFailed as error:
        result, text = Result.FAILED, str(error)
    except Exception as error:
        traceback.print_exc()
        result, text = Result.FAILED, f"{type(error).__name__}: {error}"
    return Row(version, check.name, result, text, round(time.monotonic() - start, 1))


# Results


def read_rows(path: Path) -> list[Row]:
    """Read the results of all runs; none if there is no file."""
    if not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Row(**{**row, "result": Result(row["result"])}) for row in rows]


def add_row(rows: Sequence[Row], row: Row) -> list[Row]:
    """Return the rows with one more; it takes the place of an older one of the same check."""
    kept = list(rows)
    for index, old in enumerate(kept):
        if (old.version, old.check) == (row.version, row.check):
            kept[index] = row
            return kept
    return [*kept, row]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the results; a file that is there is replaced as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)


def report(rows: Sequence[Row]) -> str:
    """Write the results as one table in Markdown: each check's versions below each other."""
    order = {name: index for index, name in enumerate(dict.fromkeys(row.check for row in rows))}
    lines = ["| check | TensorRT | result | |", "| --- | --- | --- | --- |"]
    for row in sorted(rows, key=lambda row: (order[row.check], _version_key(row.version))):
        text = " ".join(row.text.split()).replace("|", "\\|")
        lines.append(f"| {row.check} | {row.version} | {row.result} | {text} |")
    lines.append("")
    for version in sorted({row.version for row in rows}, key=_version_key):
        own = [row.result for row in rows if row.version == version]
        counts = ", ".join(f"{own.count(result)} {result}" for result in Result)
        lines.append(f"TensorRT {version}: {counts}.")
    return "\n".join(lines)


def _version_key(version: str) -> tuple[bool, list[int]]:
    return version.startswith("lean"), [int(part) for part in re.findall(r"\d+", version)]


# Command line


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="print the table and end")
    parser.add_argument(
        "--output", type=Path, default=Path("tensorrt_check"), help="folder for plans and models"
    )
    parser.add_argument("--results", type=Path, help="default: results.json in the output folder")
    parser.add_argument("--lean", action="store_true", help="check tensorrt_lean")
    parser.add_argument("--models", type=_subjects, default=list(SUBJECTS), metavar="A,B")
    parser.add_argument(
        "--precisions",
        type=_precisions,
        default=[Precision.FP32, Precision.FP16],
        metavar="fp32,fp16",
    )
    for option, meaning in (("--only", "these checks"), ("--skip", "all checks but these")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"{meaning}; * and ? as in file names; may be given again",
        )
    parser.add_argument(
        "--minutes",
        type=at_least(float, 0),
        help="start no build after this time; the table says which were left out",
    )
    parser.add_argument("--reuse", action="store_true", help="take plans that are there already")
    parser.add_argument(
        "--runs", type=at_least(int, 1), default=300, help="timed runs of each plan"
    )
    parser.add_argument("--list", action="store_true", help="print the checks' names and end")
    for option in ("--probe", "--plan", "--answer"):  # how the script calls itself
        parser.add_argument(option, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _subjects(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: use some of {', '.join(SUBJECTS)}")
    return names


def _precisions(text: str) -> list[Precision]:
    try:
        found = [Precision(name) for name in text.split(",") if name]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if set(found) - set(TOLERANCE):
        raise argparse.ArgumentTypeError("use fp32, fp16 or both")
    return found


def wanted(name: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    """Whether a check is to be done."""
    chosen = not only or any(fnmatch(name, pattern) for pattern in only)
    return chosen and not any(fnmatch(name, pattern) for pattern in skip)


def run_checks(checks: Iterable[Check], version: str, results: Path) -> int:
    """Run checks one after the other; return how many failed."""
    start = time.monotonic()
    rows = read_rows(results)
    failed = 0
    for check in checks:
        print(f"[{time.monotonic() - start:6.1f} s] {check.name} …", flush=True)
        row = perform(check, version)
        failed += row.result is Result.FAILED
        rows = add_row(rows, row)
        write_rows(results, rows)
        print(f"           {row.result.value} ({row.seconds:.1f} s): {row.text}", flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = parse(arguments)
    if options.report is not None:
        rows = read_rows(options.report)
        print(report(rows) if rows else f"{options.report}: no results")
        return 0 if rows else 1
    runtime = TensorrtRuntime.LEAN if options.lean else TensorrtRuntime.FULL
    output = options.output.resolve()
    if options.probe is not None:
        probe = (LEAN_PROBES if options.lean else FAULTS)[options.probe]
        with tempfile.TemporaryDirectory() as folder:
            case = ProbeCase(Path(options.plan), Path(folder), output, runtime)
            run_probe(probe, case, Path(options.answer))
        return 0
    output.mkdir(parents=True, exist_ok=True)
    try:
        library = open_library(runtime)
    except BackendError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if options.lean:
        checks, version = lean_checks(output), f"lean {library.version}"
    else:
        deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        bench = Bench(output, library.version, library, deadline, options.reuse, runs=options.runs)
        checks, version = full_checks(bench, options.models, options.precisions), library.version
    chosen = [check for check in checks if wanted(check.name, options.only, options.skip)]
    if options.list:
        print("\n".join(check.name for check in chosen))
        return 0
    failed = run_checks(chosen, version, options.results or output / "results.json")
    print(f"{failed} of {len(chosen)} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
