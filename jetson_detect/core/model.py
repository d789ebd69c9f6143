"""A model is a folder with a ``model.yaml`` that says everything needed to run it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from jetson_detect.core.geometry import Alignment, ImageTransform, ResizeMode

MODEL_FILE = "model.yaml"
AUTO_HEAD = "auto"
"""The ``head.type`` that is replaced by a proposal once the network's outputs are known."""


class ModelError(ValueError):
    """A model folder that cannot be used; the message names file, key and remedy."""


class Format(str, Enum):
    """What kind of file holds the network."""

    TENSORRT = "tensorrt"
    SAVED_MODEL = "saved_model"
    TF_TRT = "tf_trt"
    KERAS = "keras"
    FROZEN_GRAPH = "frozen_graph"
    TFLITE = "tflite"
    ONNX = "onnx"


class Precision(str, Enum):
    """The number format of a file's weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    FP8 = "fp8"


class Layout(str, Enum):
    """The order of an image tensor's dimensions."""

    NHWC = "NHWC"
    NCHW = "NCHW"


class ColorOrder(str, Enum):
    """The order of an image tensor's channels."""

    RGB = "RGB"
    BGR = "BGR"
    GRAY = "GRAY"


class Interpolation(str, Enum):
    """How pixels are resampled in a resize."""

    LINEAR = "linear"
    AREA = "area"
    NEAREST = "nearest"
    CUBIC = "cubic"


@dataclass(frozen=True)
class HeadSpec:
    """How the network's outputs become boxes."""

    type: str
    """The decoder, or :data:`AUTO_HEAD`."""
    outputs: Mapping[str, str]
    """Which output tensor plays which part for the decoder; may be empty for :data:`AUTO_HEAD`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else the decoder of this type needs; it checks them itself."""


@dataclass(frozen=True)
class ModelFile:
    """One file (or SavedModel folder) that holds the network."""

    format: Format
    path: Path
    precision: Precision = Precision.FP32
    signature: str | None = None
    """Signature of a SavedModel or TFLite file; None for its default."""
    tensors: Mapping[str, str] = field(default_factory=dict)
    """This file's own names for tensors that ``input`` and ``head`` name otherwise."""
    head: HeadSpec | None = None
    """How this file's outputs become boxes, where they are others than the model's: an engine whose
    suppression was cut out, for one."""

    def tensor_name(self, name: str) -> str:
        """Return this file's name for a tensor of model.yaml."""
        return self.tensors.get(name, name)


@dataclass(frozen=True)
class InputSpec:
    """What the network expects of its pixels: ``(pixel - mean) * scale``, pixel in 0..255."""

    width: int
    height: int
    layout: Layout
    color_order: ColorOrder
    name: str | None = None
    """The input tensor; None where there is only one."""
    mean: tuple[float, ...] = (0.0,)
    """One for each channel, in the network's colour order."""
    scale: tuple[float, ...] = (1.0,)
    """One for each channel, in the network's colour order."""
    resize: ResizeMode = ResizeMode.LETTERBOX
    alignment: Alignment = Alignment.CENTER
    interpolation: Interpolation = Interpolation.LINEAR
    padding_value: int = 114

    @property
    def channels(self) -> int:
        """3, or 1 for a grey input."""
        return 1 if self.color_order is ColorOrder.GRAY else 3

    @property
    def tensor_shape(self) -> tuple[int, int, int, int]:
        """Of the tensor, batch 1: (1, H, W, C) or (1, C, H, W)."""
        if self.layout is Layout.NHWC:
            return 1, self.height, self.width, self.channels
        return 1, self.channels, self.height, self.width

    def fit(self, source_size: tuple[int, int]) -> ImageTransform:
        """Return how a picture of this width and height lies in the input."""
        return ImageTransform.fit(
            source_size, (self.width, self.height), self.resize, self.alignment
        )

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Whether a network's input of this shape, None where it is open, takes the tensor."""
        return len(shape) == len(self.tensor_shape) and all(
            actual in (wanted, None) for actual, wanted in zip(shape, self.tensor_shape)
        )


@dataclass(frozen=True)
class Thresholds:
    """Which candidates are reported."""

    score: float = 0.3
    iou: float = 0.5
    max_detections: int = 100


@dataclass(frozen=True)
class ModelSpec:
    """A validated ``model.yaml``."""

    source: Path
    """The ``model.yaml`` it was read from."""
    name: str
    license: str
    files: tuple[ModelFile, ...]
    input: InputSpec
    head: HeadSpec
    labels: tuple[str, ...]
    description: str = ""
    thresholds: Thresholds = Thresholds()

    def error(self, key: str, problem: str, remedy: str) -> ModelError:
        """Make an error about one key of this model's file."""
        return ModelError(f"{self.source}: {key}: {problem}; {remedy}")

    def files_for(
        self, formats: Iterable[Format], precision: Precision | None = None
    ) -> tuple[ModelFile, ...]:
        """Return the files of some formats, in the order of the file; of one precision if given."""
        wanted = set(formats)
        return tuple(
            file
            for file in self.files
            if file.format in wanted and precision in (None, file.precision)
        )


def load_model(folder: str | Path) -> ModelSpec:
    """Read and validate a model folder.

    Parameters
    ----------
    folder:
        The folder that holds ``model.yaml``, or that file itself.

    Raises
    ------
    ModelError
        Naming the file, the line and key where there is one, the value seen and the remedy.

    """
    source = Path(folder).expanduser()
    if source.is_dir() or source.suffix not in (".yaml", ".yml"):
        source = source / MODEL_FILE
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"{source}: cannot be read ({error.strerror}); "
            f"a model is a folder with a {MODEL_FILE} in it"
        ) from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelError(f"{source}: is not valid YAML: {error}") from error
    _check_schema(document, source, text)
    return _build(document, source)


@cache
def _validator() -> Any:
    import jsonschema  # not needed by a process that is handed a model which another has read

    schema_text = (
        resources.files("jetson_detect.core") / "schema" / "model.schema.json"
    ).read_text(encoding="utf-8")
    return jsonschema.Draft7Validator(json.loads(schema_text))


def _check_schema(document: Any, source: Path, text: str) -> None:
    """Raise one ModelError that lists every violation."""
    errors = sorted(_validator().iter_errors(document), key=lambda error: list(error.absolute_path))
    if not errors:
        return
    root = yaml.compose(text)
    lines = []
    for error in errors:
        path = list(error.absolute_path)
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        where = f"{source}:{_line_of(root, path)}"
        description = error.schema.get("description") if isinstance(error.schema, dict) else None
        meaning = f" ({description})" if description else ""
        lines.append(f"{where}: {key.lstrip('.') or 'the file'}{meaning}: {_problem(error)}")
    raise ModelError("\n".join(lines))


def _problem(error: Any) -> str:
    """Say what is wrong and what to do, from one schema violation."""
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        properties = error.schema.get("properties", {})
        return "; ".join(
            f"'{name}' is missing: add it ({properties.get(name, {}).get('description', '')})"
            for name in missing
        )
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known))
        return f"unknown key {', '.join(map(repr, unknown))}: use one of {', '.join(known)}"
    if error.validator == "enum":
        return f"{error.instance!r} is not known: use one of {', '.join(error.validator_value)}"
    return f"{error.message}"


def _line_of(node: Any, path: list[Any]) -> int:
    """Return the 1-based line of the deepest part of ``path`` that the document has."""
    line: int = node.start_mark.line + 1 if node is not None else 1
    for part in path:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if key_node.value == str(part):
                    line, child = key_node.start_mark.line + 1, value_node
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line


def _build(document: dict[str, Any], source: Path) -> ModelSpec:
    """Turn a document that fits the schema into dataclasses; check what a schema cannot."""
    folder = source.parent
    files = tuple(
        ModelFile(
            format=Format(entry["format"]),
            path=folder / entry["path"],
            precision=Precision(entry.get("precision", Precision.FP32.value)),
            signature=entry.get("signature"),
            tensors=entry.get("tensors", {}),
            head=_build_head(entry["head"]) if "head" in entry else None,
        )
        for entry in document["files"]
    )
    spec = ModelSpec(
        source=source,
        name=document["name"],
        license=document["license"],
        description=document.get("description", ""),
        files=files,
        input=_build_input(document["input"], source),
        head=_build_head(document["head"]),
        labels=tuple(document["labels"]),
        thresholds=Thresholds(**document.get("thresholds", {})),
    )
    if not any(file.path.exists() for file in files):
        raise spec.error(
            "files",
            f"none of {', '.join(file.path.name for file in files)} exists in {folder}",
            "copy the model's files there or correct the paths",
        )
    return spec


def _build_head(entry: Mapping[str, Any]) -> HeadSpec:
    options = dict(entry)
    return HeadSpec(options.pop("type"), options.pop("outputs", {}), options)


def _build_input(entry: dict[str, Any], source: Path) -> InputSpec:
    channels = 1 if entry["color_order"] == ColorOrder.GRAY.value else 3
    options: dict[str, Any] = {}
    for key in ("mean", "scale"):
        values = tuple(float(value) for value in entry.get(key, getattr(InputSpec, key)))
        if len(values) not in (1, channels):
            raise ModelError(
                f"{source}: input.{key}: {len(values)} numbers for {channels} channel(s); "
                f"give one for all or one for each"
            )
        options[key] = values if len(values) == channels else values * channels
    for key, kind in (
        ("resize", ResizeMode),
        ("alignment", Alignment),
        ("interpolation", Interpolation),
    ):
        if key in entry:
            options[key] = kind(entry[key])
    for key in ("name", "padding_value"):
        if key in entry:
            options[key] = entry[key]
    return InputSpec(
        width=entry["width"],
        height=entry["height"],
        layout=Layout(entry["layout"]),
        color_order=ColorOrder(entry["color_order"]),
        **options,
    )
