"""The parameters that say how backends run and when one gives way to another."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jetson_detect.core.backends import (
    BackendOptions,
    OnnxruntimeOptions,
    Postprocessing,
    Preprocessing,
    TensorflowOptions,
    TensorrtOptions,
    TensorrtRuntime,
    TfliteOptions,
)
from jetson_detect.core.fallback import FallbackPolicy
from jetson_detect.nodes.parameters import parameter


@dataclass(frozen=True)
class FallbackConfig:
    """When a backend gives way to the next one, and when it is tried again."""

    deadline_s: float = parameter(
        FallbackPolicy.deadline_s,
        "a frame that takes longer has missed its deadline; 0 for no deadline",
        range=(0.0, 3600.0),
    )
    missed_deadlines: int = parameter(
        FallbackPolicy.missed_deadlines,
        "so many missed deadlines in a row, and the next backend takes over",
        range=(1, 1000),
    )
    load_timeout_s: float = parameter(
        FallbackPolicy.load_timeout_s,
        "a backend that is not ready after this many seconds is passed over",
        range=(0.1, 86400.0),
    )
    retry_initial_s: float = parameter(
        FallbackPolicy.retry_initial_s,
        "a backend that failed is tried again after this many seconds, then twice as many",
        range=(0.01, 86400.0),
    )
    retry_maximum_s: float = parameter(
        FallbackPolicy.retry_maximum_s,
        "the longest time between two tries",
        range=(0.01, 86400.0),
    )

    def policy(self) -> FallbackPolicy:
        """Say the same to the core."""
        return FallbackPolicy(**asdict(self))


@dataclass(frozen=True)
class TensorrtConfig:
    """What only the tensorrt backend can be told."""

    runtime: TensorrtRuntime = parameter(
        TensorrtOptions.runtime,
        "full, or the lean runtime, which only runs version compatible engines",
    )
    plugin_libraries: tuple[str, ...] = parameter(
        TensorrtOptions.plugin_libraries, "shared libraries with plugins, loaded before the engine"
    )
    cuda_graph: bool = parameter(
        TensorrtOptions.cuda_graph,
        "whether an inference with fixed shapes is recorded once and replayed",
    )
    device: int = parameter(TensorrtOptions.device, "the GPU's index", range=(0, 63))
    preprocessing: Preprocessing = parameter(
        TensorrtOptions.preprocessing,
        "where images become the network's input: the GPU, the CPU, or auto for the GPU where it "
        "can do what model.yaml asks for",
    )
    postprocessing: Postprocessing = parameter(
        TensorrtOptions.postprocessing,
        "where candidates below the score threshold are left aside: the CPU, or auto for the GPU "
        "where the model's head and engine allow it",
    )
    spin: bool = parameter(
        TensorrtOptions.spin,
        "whether the thread that waits for the GPU keeps a CPU core busy: quicker by some ten "
        "microseconds",
    )
    dla_core: int = parameter(
        TensorrtOptions.dla_core,
        "the DLA core that runs an engine built for DLA; below 0 for none",
        range=(-1, 7),
    )


@dataclass(frozen=True)
class TensorflowConfig:
    """What only the tensorflow backend can be told."""

    gpu_memory_limit_mb: int = parameter(
        TensorflowOptions.gpu_memory_limit_mb,
        "the most GPU memory it may take; 0 lets it grow by need; on a board whose CPU and GPU "
        "share their memory set a limit (2048 works on a Jetson Nano)",
        range=(0, 1048576),
    )


@dataclass(frozen=True)
class TfliteConfig:
    """What only the tflite backend can be told."""

    xnnpack: bool = parameter(TfliteOptions.xnnpack, "whether layers run on XNNPACK")


@dataclass(frozen=True)
class OnnxruntimeConfig:
    """What only the onnxruntime backend can be told."""

    providers: tuple[str, ...] = parameter(
        OnnxruntimeOptions.providers,
        "execution providers, best first, as CUDAExecutionProvider; empty for what is there",
    )


def backend_options(
    threads: int,
    tensorrt: TensorrtConfig,
    tensorflow: TensorflowConfig,
    tflite: TfliteConfig,
    onnxruntime: OnnxruntimeConfig,
) -> BackendOptions:
    """Say the same to the core."""
    return BackendOptions(
        threads=threads,
        tensorrt=TensorrtOptions(**asdict(tensorrt)),
        tensorflow=TensorflowOptions(**asdict(tensorflow)),
        tflite=TfliteOptions(**asdict(tflite)),
        onnxruntime=OnnxruntimeOptions(**asdict(onnxruntime)),
    )
