"""The detector node's parameters."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from jetson_detect.builder.engine_targets import find_folder
from jetson_detect.conversion.detections import ClassIdFormat
from jetson_detect.core.backends import BACKENDS, BackendOptions
from jetson_detect.core.backends.choice import AUTO
from jetson_detect.core.engines.cache import EngineCache, default_cache_folder
from jetson_detect.core.model import Precision
from jetson_detect.nodes.backend_config import (
    FallbackConfig,
    OnnxruntimeConfig,
    TensorflowConfig,
    TensorrtConfig,
    TfliteConfig,
    backend_options,
)
from jetson_detect.nodes.batching_config import BatchingConfig
from jetson_detect.nodes.camera_view_config import CameraViewConfig
from jetson_detect.nodes.debug_config import DebugImageConfig
from jetson_detect.nodes.managed_config import ManagedConfig
from jetson_detect.nodes.parameters import parameter
from jetson_detect.nodes.qos import ENGINES_TOPIC, QoSConfig
from jetson_detect.nodes.transport_config import TransportConfig
from jetson_detect.share import find_model

NOT_REQUIRED = ""
NO_CACHE = "off"
MODELS_OWN = -1.0
"""A threshold below 0 stands for the one in model.yaml."""


@dataclass(frozen=True)
class DetectorConfig(ManagedConfig):
    """What can be said about the detector node."""

    model: str = parameter(
        "demo",
        "The model: a folder with a model.yaml, or the name of one that comes with the package or "
        "lies in model_folders. While the node runs it changes to another by name, between two "
        "frames and once that is loaded: to those of models, or if these are not given to any of "
        "model_folders.",
    )
    models: tuple[str, ...] = parameter(
        (),
        "Names of the models that may be changed to while the node runs, each with a service "
        "~/use_model/NAME; empty for all that are in model_folders, without services.",
        read_only=True,
    )
    model_folders: tuple[str, ...] = parameter(
        (),
        "Folders whose models may be changed to by name, the first one first; empty for the models "
        "that come with the package.",
        read_only=True,
    )
    threads: int = parameter(
        BackendOptions.threads,
        "CPU threads of an inference on the CPU; 0 leaves the choice to the backend.",
        range=(0, 256),
        read_only=True,
    )
    tensorrt: TensorrtConfig = parameter(TensorrtConfig(), "TensorRT", read_only=True)
    tensorflow: TensorflowConfig = parameter(TensorflowConfig(), "TensorFlow", read_only=True)
    tflite: TfliteConfig = parameter(TfliteConfig(), "TensorFlow Lite", read_only=True)
    onnxruntime: OnnxruntimeConfig = parameter(OnnxruntimeConfig(), "ONNX Runtime", read_only=True)
    engine_cache: str = parameter(
        "",
        "Folder with the engines that were built for this machine; empty for "
        "$JETSON_DETECT_CACHE/engines or ~/.cache/jetson_detect/engines, off for none.",
        read_only=True,
    )
    engines_topic: str = parameter(
        ENGINES_TOPIC,
        "Topic on which builders tell which engines there are; one that was promoted is taken over "
        "between two frames.",
        read_only=True,
    )
    image_topics: tuple[str, ...] = parameter(
        ("image_raw",),
        "Topics of images, one for each camera. A name may be a pattern: * stands for any "
        "characters of one part of it, ** for any number of parts; what matches is taken in when "
        "it appears. A pattern is not remapped.",
        read_only=True,
    )
    output_namespaces: tuple[str, ...] = parameter(
        (),
        "Where each camera's detections, label_info and debug_image go, one namespace for each "
        "image topic; empty for beside the image, as always for patterns.",
        read_only=True,
    )
    image_qos: QoSConfig = parameter(
        QoSConfig(), "Quality of service of the image subscriptions", read_only=True
    )
    transport: TransportConfig = parameter(
        TransportConfig(), "How frames come in and detections go out", read_only=True
    )
    opencv_threads: int = parameter(
        1,
        "CPU threads of OpenCV, which resizes the images; more make a frame of a large camera "
        "quicker and take cores from everything else; 0 for OpenCV's own choice. One setting for a "
        "process: of several nodes in it the one configured last decides.",
        range=(0, 256),
        read_only=True,
    )
    silence_warning_s: float = parameter(
        5.0,
        "Say so when a camera has sent nothing for this many seconds; 0 is never.",
        range=(0.0, 3600.0),
        read_only=True,
    )
    backends: tuple[str, ...] = parameter(
        (AUTO,),
        "What may run the model, best first: the next one takes over when one fails. auto stands "
        "for those that are not named, in an order that suits the machine. A change is taken over "
        "between two frames, once the new backend is ready.",
        choices=(AUTO, *BACKENDS),
    )
    require: str = parameter(
        NOT_REQUIRED,
        "Run on this backend or not at all: without it the node does not start, and frames are "
        "not answered while it fails. Empty for no such demand.",
        choices=(NOT_REQUIRED, *BACKENDS),
    )
    precision: str = parameter(
        AUTO,
        "Which of the model's files to run; auto takes the first that the backend can run.",
        choices=(AUTO, *(precision.value for precision in Precision)),
    )
    fallback: FallbackConfig = parameter(FallbackConfig(), "Falling back to the next backend")
    pipelining: bool = parameter(
        True,
        "Whether the next frame, if one waits, is begun before the last is answered, where the "
        "backend can (TensorRT): more frames a second, each a little older.",
    )
    batching: BatchingConfig = parameter(
        BatchingConfig(), "Frames of several cameras in one inference"
    )
    view: CameraViewConfig = parameter(CameraViewConfig(), "What of each camera's image is seen")
    max_age_s: float = parameter(
        0.0,
        "Frames whose stamp is older than this when their turn comes are dropped, by the node's "
        "clock (use_sim_time); 0 answers frames of any age.",
        range=(0.0, 3600.0),
    )
    enabled: bool = parameter(True, "Whether frames are processed; others are dropped unanswered.")
    score_threshold: float = parameter(
        MODELS_OWN,
        "Hypotheses with a lower score are left out; below 0 the model's own threshold, which is "
        "put here when the node is configured.",
        range=(-1.0, 1.0),
    )
    iou_threshold: float = parameter(
        MODELS_OWN,
        "Of two boxes that overlap by more than this (intersection over union), the better stays; "
        "below 0 the model's own threshold, which is put here when the node is configured.",
        range=(-1.0, 1.0),
    )
    max_detections: int = parameter(
        0,
        "The most objects published for an image; 0 for the model's own limit, which is put here "
        "when the node is configured.",
        range=(0, 10000),
    )
    max_hypotheses: int = parameter(
        1, "The most hypotheses published for an object, best first.", range=(1, 1000)
    )
    class_agnostic: bool = parameter(
        False, "Whether boxes of different classes suppress each other."
    )
    classes: tuple[str, ...] = parameter((), "Only these labels; empty for all.")
    debug_image: DebugImageConfig = parameter(
        DebugImageConfig(), "Images painted for people, while somebody subscribes"
    )
    class_id_format: ClassIdFormat = parameter(
        ClassIdFormat.LABEL,
        "What ObjectHypothesis.class_id holds: the label, or its index in decimal.",
    )

    def first_model_folder(self) -> Path:
        """Return the folder of the model that the node starts with, whose name may be a path."""
        if self.model_folders and len(Path(self.model).parts) == 1:
            with contextlib.suppress(ValueError):
                return find_folder(self.model, self.model_folders)
        return find_model(self.model)

    def check_models(self) -> None:
        """Refuse names of models that are in no folder.

        Raises
        ------
        ValueError
            Naming the first of them.

        """
        for name in self.models:
            try:
                find_folder(name, self.model_folders)
            except ValueError as error:
                raise ValueError(f"parameter 'models': {error}") from error

    def offered_model_folder(self, name: str) -> Path:
        """Return the folder of a model that may be changed to.

        Raises
        ------
        ValueError
            If the name, which may have come over the network, is not one that was offered.

        """
        try:
            if self.models and name not in self.models:
                raise ValueError(f"'{name}' is not one of {', '.join(self.models)} (models)")
            return find_folder(name, self.model_folders)
        except ValueError as error:
            raise ValueError(f"parameter 'model': {error}") from error

    @property
    def wants_tensorrt(self) -> bool:
        """Whether an engine may run."""
        return not {AUTO, "tensorrt"}.isdisjoint(self.wanted_backends)

    def open_engine_cache(self) -> EngineCache | None:
        """Return the cache that engines are taken from; None for none.

        Raises
        ------
        CacheError
            If there is no place for it.

        """
        if self.engine_cache == NO_CACHE:
            return None
        folder = Path(self.engine_cache) if self.engine_cache else default_cache_folder()
        return EngineCache(folder)

    @property
    def wanted_backends(self) -> tuple[str, ...]:
        """Names of the backends that may run, best first."""
        return (self.require,) if self.require else self.backends

    @property
    def wanted_precision(self) -> Precision | None:
        """The precision of the files that may run; None for any."""
        return None if self.precision == AUTO else Precision(self.precision)

    def backend_options(self) -> BackendOptions:
        """How the backends may use the machine."""
        options = backend_options(
            self.threads, self.tensorrt, self.tensorflow, self.tflite, self.onnxruntime
        )
        return replace(options, batch=self.batching.options())
