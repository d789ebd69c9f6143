"""The detector node's parameters."""

from __future__ import annotations

from dataclasses import dataclass

from jetson_detect.conversion.detections import ClassIdFormat
from jetson_detect.nodes.parameters import parameter
from jetson_detect.nodes.qos import QoSConfig

AUTO = "auto"
MODELS_OWN = -1.0
"""A threshold below 0 stands for the one in model.yaml."""


@dataclass(frozen=True)
class DetectorConfig:
    """What can be said about the detector node."""

    model: str = parameter(
        "demo",
        "The model: a folder with a model.yaml, or the name of one that comes with the package.",
        read_only=True,
    )
    precision: str = parameter(
        AUTO,
        "Which of the model's files to run; auto takes the first that the backend can run.",
        choices=(AUTO, "fp32", "fp16", "bf16", "int8", "fp8"),
        read_only=True,
    )
    threads: int = parameter(
        0,
        "CPU threads of an inference on the CPU; 0 leaves the choice to the backend.",
        range=(0, 256),
        read_only=True,
    )
    image_topics: tuple[str, ...] = parameter(
        ("image_raw",),
        "Topics of sensor_msgs/Image, one for each camera.",
        read_only=True,
    )
    output_namespaces: tuple[str, ...] = parameter(
        (),
        "Where each camera's detections, label_info and debug_image go, one namespace for each "
        "image topic; empty for beside the image.",
        read_only=True,
    )
    image_qos: QoSConfig = parameter(
        QoSConfig(), "Quality of service of the image subscriptions", read_only=True
    )
    autostart: bool = parameter(
        True,
        "Configure and activate at start; false leaves that to a life cycle manager.",
        read_only=True,
    )
    silence_warning_s: float = parameter(
        5.0,
        "Say so when a camera has sent nothing for this many seconds; 0 is never.",
        range=(0.0, 3600.0),
        read_only=True,
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
    class_id_format: ClassIdFormat = parameter(
        ClassIdFormat.LABEL,
        "What ObjectHypothesis.class_id holds: the label, or its index in decimal.",
    )
