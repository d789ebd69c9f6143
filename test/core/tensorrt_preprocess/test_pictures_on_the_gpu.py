"""Pictures as inputs of the tensorrt backend, on the simulated GPU."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from jetson_detect.core.backends import BackendError, BackendOptions, TensorrtOptions
from jetson_detect.core.backends.base import PictureBackend, Preprocessing, TensorInfo
from jetson_detect.core.backends.tensorrt import TensorrtBackend
from jetson_detect.core.backends.tensorrt.picture_input import _tell_converted
from jetson_detect.core.backends.tensorrt.source_format import (
    PictureLayout,
    SourceFormat,
    address_of,
)
from jetson_detect.core.encodings import PIXEL_FORMATS, PixelError, PixelFormat
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import (
    ColorOrder,
    Format,
    InputSpec,
    Interpolation,
    Layout,
    ModelFile,
)
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.preprocess import Preprocessor

onnx = pytest.importorskip("onnx", reason="the simulated TensorRT reads models with onnx")
pytest.importorskip("onnxruntime", reason="the simulated TensorRT runs on it")

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)

SPEC = InputSpec(
    width=24,
    height=16,
    layout=Layout.NCHW,
    color_order=ColorOrder.RGB,
    mean=(10.0, 20.0, 30.0),
    scale=(0.5, 0.25, 1.0),
)
RANDOM = np.random.default_rng(5)
ENCODINGS = {"bgr8": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4, "mono8": 1}


def doubling(shape=(1, 3, 16, 24), kind=onnx.TensorProto.FLOAT, inputs=("x",)) -> bytes:
    """Make a network that adds its inputs, the first of them twice."""
    helper = onnx.helper
    sums = ["x", *(f"sum{index}" for index in range(1, len(inputs))), "y"]
    nodes = [
        helper.make_node("Add", pair, [sums[index + 1]])
        for index, pair in enumerate(zip(sums, inputs))
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name in inputs],
        [helper.make_tensor_value_info("y", kind, list(shape))],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def load(path: Path, **options: object) -> TensorrtBackend:
    return TensorrtBackend(
        ModelFile(Format.TENSORRT, path), BackendOptions(tensorrt=TensorrtOptions(**options))
    )


def picture(width: int = 60, height: int = 30, encoding: str = "bgr8") -> Pixels:
    channels = ENCODINGS[encoding]
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Pixels.from_array(RANDOM.integers(0, 256, shape, dtype=np.uint8), encoding)


def camera_picture(encoding: str, gap: int = 0, width: int = 60, height: int = 30) -> Pixels:
    """Random bytes in rows that lie ``gap`` bytes apart."""
    step = width * PIXEL_FORMATS[encoding].pixel_bytes + gap
    data = RANDOM.integers(0, 256, 3 * height * step, dtype=np.uint8)
    return Pixels.from_buffer(data, width=width, height=height, step=step, encoding=encoding)


def on_the_cpu(pixels: Pixels, spec: InputSpec = SPEC) -> tuple[np.ndarray, ImageTransform]:
    info = TensorInfo("x", (1, 3, spec.height, spec.width), np.dtype(np.float32))
    tensor, transform = Preprocessor(spec, info)(pixels)
    return tensor.copy(), transform


def check(backend: TensorrtBackend, preprocess, pixels: Pixels) -> None:
    tensor, transform = on_the_cpu(pixels)
    assert preprocess(pixels) == transform
    np.testing.assert_allclose(backend.run({})["y"] / 2, tensor, atol=1.0)


@pytest.fixture(autouse=True)
def _compiler(kernel) -> None:
    """Skip where there is none: the simulated GPU runs the kernel compiled for the CPU."""


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_picture_becomes_the_tensor_that_the_cpu_would_make(machine, gpu, cuda_graph):
    with load(gpu.plan(doubling()), cuda_graph=cuda_graph) as backend:
        assert isinstance(backend, PictureBackend)
        preprocess = backend.preprocessor("x", SPEC)
        assert backend.description.details["preprocessing"] == "GPU"
        for encoding in ENCODINGS:
            check(backend, preprocess, picture(encoding=encoding))
        assert gpu.machine.launches["letterbox"] == len(ENCODINGS)
        ones = np.ones((1, 3, 16, 24), np.float32)
        assert (backend.run({"x": ones})["y"] == 2).all()
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("encoding", sorted(set(PIXEL_FORMATS) - set(ENCODINGS)))
def test_every_encoding_of_a_camera_is_taken(machine, gpu, encoding):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        packed, padded, kept = (camera_picture(encoding, gap) for gap in (0, 7, 0))
        parts = [pixels.cropped(6, 4, 30, 20) for pixels in (packed, padded)]
        assert preprocess.keep(kept.data)
        for pixels in (packed, *parts, padded, kept, packed):
            check(backend, preprocess, pixels)
    assert gpu.machine.leaks() == []


def test_mosaics_of_two_sizes_that_shrink_to_one_are_told_apart(machine, gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        small, large = (camera_picture("bayer_rggb8", 0, 60 * n, 30 * n) for n in (1, 2))
        for pixels in (small, large, small):
            check(backend, preprocess, pixels)
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("source", list(SourceFormat))
@pytest.mark.parametrize("gap", [0, 1, 6])
def test_a_picture_that_is_copied_in_one_piece_has_no_byte_of_what_follows(source, gap):
    pixels = camera_picture(source.encoding, gap)
    layout = PictureLayout.of(pixels)
    last = pixels.planes[-1]
    end = address_of(last) + sum((n - 1) * s for n, s in zip(last.shape, last.strides)) + 1
    if source is SourceFormat.NV24 and gap:
        assert layout is None  # with gaps its colours are further apart than its brightness
    else:
        assert layout.size == end - address_of(pixels.data)
    assert PictureLayout.packed(pixels).size == sum(plane.size for plane in pixels.planes)


def test_the_encodings_that_the_kernel_reads_are_not_converted_before(gpu, monkeypatch):
    def refuse(self: PixelConverter, *arguments: object) -> Pixels:
        raise AssertionError("converted on the CPU")

    pictures = [camera_picture(name) for name in ("yuyv", "uyvy", "nv12", "nv21", "nv24")]
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        with monkeypatch.context() as patch:
            patch.setattr(PixelConverter, "__call__", refuse)
            for pixels in pictures:
                preprocess(pixels)
                backend.run({})
        luma, two_rows = 60 * 30, 2 * 60 * 30
        assert gpu.machine.uploads == [two_rows, two_rows, luma * 3 // 2, luma * 3 // 2, luma * 3]


def test_an_encoding_that_the_kernel_does_not_read_is_told_once(gpu, caplog):
    caplog.set_level("INFO")
    _tell_converted.cache_clear()
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        for encoding in ("bayer_grbg8", "nv12", "bayer_grbg8", "bayer_grbg16"):
            check(backend, preprocess, camera_picture(encoding))
    told = [message for message in caplog.messages if "colours on the CPU" in message]
    assert len(told) == 1
    assert "pictures in BAYER_GRBG get" in told[0]


def test_rows_may_be_longer_than_their_pixels_or_lie_in_any_order(machine, gpu):
    whole = picture(90, 40).data
    raw = np.concatenate([picture(60, 30).data.reshape(30, 180), np.zeros((30, 5), np.uint8)], 1)
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        for pixels in (
            Pixels.from_buffer(raw, width=60, height=30, step=185, encoding="bgr8"),
            Pixels.from_array(whole[5:35, 10:30]),  # a small part of long rows
            Pixels.from_array(whole[:, 10:70]),
            Pixels.from_array(whole[::-1]),
            Pixels.from_array(whole[:, ::-1]),
        ):
            check(backend, preprocess, pixels)
    assert gpu.machine.leaks() == []


def test_pictures_of_many_sizes_take_turns(machine, gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        for _ in range(2):
            for width in range(20, 140, 12):
                check(backend, preprocess, picture(width, 50))
        calls = len(gpu.machine.calls)
        check(backend, preprocess, picture(128, 50))
        assert not [call for call in gpu.machine.calls[calls:] if "Alloc" in call]
    assert gpu.machine.leaks() == []


def test_rows_that_are_not_read_are_not_copied(gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        shrunk_to_a_third, small_part, kept = picture(72, 48), picture(30, 160), picture(72, 48)
        assert preprocess.keep(kept.data)
        for pixels in (shrunk_to_a_third, small_part, picture(24, 16), kept, shrunk_to_a_third):
            check(backend, preprocess, pixels)
        # Each pixel of a third lies on one of the source, of a tenth between two.
        a_third, a_tenth, whole = 16 * 72 * 3, 32 * 30 * 3, 24 * 16 * 3
        assert gpu.machine.uploads == [a_third, a_tenth, whole, 48 * 72 * 3, a_third]
    assert gpu.machine.leaks() == []


def test_a_picture_that_is_kept_in_part_is_copied(machine, gpu):
    memory = np.zeros((60, 60, 3), np.uint8)
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        assert preprocess.keep(memory[:50])
        check(backend, preprocess, Pixels.from_array(memory[10:40]))
        check(backend, preprocess, Pixels.from_array(memory[30:]))


def test_a_part_of_kept_rows_is_taken_out_of_them(machine, gpu):
    whole = picture(90, 40).data
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        assert preprocess.keep(whole)
        for part in (whole[5:35, 10:30], whole[:, 20:80], whole[5:35, 60:]):
            check(backend, preprocess, Pixels.from_array(part))
    assert gpu.machine.leaks() == []


def test_a_frame_that_fails_leaves_nothing_queued_that_would_read_the_next_picture(gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        preprocess(picture())
        gpu.faults(fail_at=1)
        with pytest.raises(BackendError, match="inference failed"):
            backend.run({})
        assert not any(stream.queue for stream in gpu.machine.streams.values())
        gpu.faults()
        check(backend, preprocess, picture())


def test_a_picture_is_taken_at_once_unless_its_memory_is_kept(machine, gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        memory = np.zeros(60 * 30 * 3 + 100, np.uint8)
        pixels = Pixels.from_buffer(memory[100:], width=60, height=30, step=180, encoding="bgr8")
        black, _ = on_the_cpu(pixels)
        preprocess(pixels)
        memory[:] = 200
        np.testing.assert_allclose(backend.run({})["y"] / 2, black, atol=1e-5)
        assert preprocess.keep(memory)
        assert preprocess.keep(memory)
        memory[:] = 0
        preprocess(pixels)
        memory[:] = 200
        grey, _ = on_the_cpu(pixels)
        np.testing.assert_allclose(backend.run({})["y"] / 2, grey, atol=1e-5)
    assert gpu.machine.leaks() == []


def test_memory_that_cannot_be_kept_is_copied(machine, gpu, caplog):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        pixels = picture()
        gpu.machine.fail_call = len(gpu.machine.calls) + 1  # behind the context's push
        assert not preprocess.keep(pixels.data)
        assert "cuMemHostRegister_v2: CUDA_ERROR_INVALID_VALUE" in caplog.text
        check(backend, preprocess, pixels)
        pieces = [np.zeros(64, np.uint8) for _ in range(33)]
        assert [preprocess.keep(piece) for piece in pieces] == [True] * 32 + [False]
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize("first", [0, 1])
def test_memory_that_two_backends_keep_is_unlocked_by_the_last(gpu, first):
    plan, memory = gpu.plan(doubling()), np.zeros((30, 60, 3), np.uint8)
    backends = [load(plan), load(plan)]
    preprocessors = [backend.preprocessor("x", SPEC) for backend in backends]
    assert [preprocess.keep(memory) for preprocess in preprocessors] == [True, True]
    backends.pop(first).close()
    preprocessors.pop(first)
    check(backends[0], preprocessors[0], Pixels.from_array(memory))
    assert gpu.machine.complaints == []
    backends[0].close()
    assert gpu.machine.leaks() == []


def test_a_tensor_that_is_given_goes_before_the_picture(gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        preprocess(picture())
        ones = np.ones((1, 3, 16, 24), np.float32)
        assert (backend.run({"x": ones})["y"] == 2).all()
        with pytest.raises(BackendError, match="input 'x' was not given"):
            backend.run({})


def test_a_picture_beside_other_inputs(machine, gpu):
    with load(gpu.plan(doubling(inputs=("x", "z")))) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        pixels = picture()
        tensor, _ = on_the_cpu(pixels)
        preprocess(pixels)
        other = np.full((1, 3, 16, 24), 1000, np.float32)
        found = backend.run({"z": other})["y"]
        np.testing.assert_allclose((found - 1000) / 2, tensor, atol=1.0)


@pytest.mark.parametrize("kind", [onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT16])
def test_other_types_of_inputs_are_written_as_well(gpu, kind):
    spec = InputSpec(24, 16, Layout.NHWC, ColorOrder.BGR, mean=(0.0,) * 3, scale=(0.25,) * 3)
    with load(gpu.plan(doubling((1, 16, 24, 3), kind))) as backend:
        preprocess = backend.preprocessor("x", spec)
        pixels = picture(24, 16)
        preprocess(pixels)
        found = backend.run({})["y"][0].astype(float)
    exact = pixels.data / 4.0
    expected = np.rint(exact) if kind == onnx.TensorProto.UINT8 else exact
    np.testing.assert_array_equal(found, 2 * expected)


def test_bfloat16_inputs_are_written_as_such(gpu):
    plan = gpu.plan(doubling(), types={"x": "BF16"})
    with load(plan) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        pixels = picture(24, 16)
        tensor, _ = on_the_cpu(pixels)
        preprocess(pixels)
        np.testing.assert_allclose(backend.run({})["y"] / 2, tensor, rtol=2**-8)


def test_a_plan_for_any_number_of_pictures_takes_one(gpu):
    profiles = [{"x": [[1, 3, 16, 24], [1, 3, 16, 24], [4, 3, 16, 24]]}]
    with load(gpu.plan(doubling(("n", 3, 16, 24)), profiles=profiles)) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        check(backend, preprocess, picture())
        backend.run({"x": np.zeros((4, 3, 16, 24), np.float32)})
        check(backend, preprocess, picture())
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize(
    ("network", "changes", "reason"),
    [
        ({}, {"interpolation": Interpolation.AREA}, "interpolation area; the GPU knows"),
        ({"kind": onnx.TensorProto.INT32}, {}, "input 'x' is int32; the GPU writes"),
        ({}, {"width": 32}, "input 'x' is 1x3x16x24, model.yaml says 1x3x16x32"),
    ],
)
def test_what_the_gpu_cannot_do_is_left_to_the_cpu_with_the_reason(gpu, network, changes, reason):
    fields = {**SPEC.__dict__, **changes}
    plan = gpu.plan(doubling(**network))
    with load(plan) as backend:
        assert backend.preprocessor("x", InputSpec(**fields)) is None
        said = backend.description.details["preprocessing"]
        assert said.startswith(f"CPU ({reason}")
    with (
        load(plan, preprocessing=Preprocessing.GPU) as backend,
        pytest.raises(BackendError, match="preprocessing is gpu, but that cannot be done"),
    ):
        backend.preprocessor("x", InputSpec(**fields))


def test_the_cpu_prepares_pictures_if_told_so(gpu):
    with load(gpu.plan(doubling()), preprocessing=Preprocessing.CPU) as backend:
        assert backend.preprocessor("x", SPEC) is None
        assert backend.description.details["preprocessing"] == "CPU (tensorrt.preprocessing)"
    assert "cuModuleLoadData" not in gpu.machine.calls


def test_a_driver_that_cannot_translate_the_kernel_leaves_it_to_the_cpu(gpu):
    gpu.machine.compiles_kernels = False
    with load(gpu.plan(doubling())) as backend:
        assert backend.preprocessor("x", SPEC) is None
        assert backend.description.details["preprocessing"] == (
            "CPU (cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU, no kernel image is available "
            "for execution)"
        )
        ones = np.ones((1, 3, 16, 24), np.float32)
        assert (backend.run({"x": ones})["y"] == 2).all()
    assert gpu.machine.leaks() == []


def test_a_picture_that_the_kernel_cannot_read_costs_one_frame(gpu):
    data = np.zeros((30, 61, 2), np.uint8)
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        with pytest.raises(PixelError, match="does not know pictures of 2 channels DEPTH"):
            preprocess(Pixels(data, PixelFormat(2, "DEPTH")))
        with pytest.raises(PixelError, match="61x30 picture in YUYV has half a colour"):
            preprocess(Pixels(data, PixelFormat(2, "YUYV")))
        check(backend, preprocess, picture())


def test_a_picture_that_does_not_fit_into_memory_is_told(gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        gpu.machine.total_memory = gpu.machine.used_memory + 1000
        with pytest.raises(BackendError, match=r"tensor 'x: picture' needs .* are free"):
            preprocess(picture())
        gpu.machine.total_memory = 8 << 30
        check(backend, preprocess, picture())
    assert gpu.machine.leaks() == []


def test_a_picture_that_does_not_fit_leaves_smaller_ones_as_they_were(machine, gpu):
    with load(gpu.plan(doubling())) as backend:
        preprocess = backend.preprocessor("x", SPEC)
        check(backend, preprocess, picture())
        gpu.machine.fail_call = len(gpu.machine.calls) + 1  # behind the context's push
        with pytest.raises(BackendError, match="tensor 'x: picture' needs"):
            preprocess(picture(600, 400))
        check(backend, preprocess, picture())
        check(backend, preprocess, picture(600, 400))
    assert gpu.machine.leaks() == []


def test_another_specification_of_the_same_input_has_pictures_of_its_own(machine, gpu):
    unscaled = InputSpec(24, 16, Layout.NCHW, ColorOrder.RGB, mean=(0.0,) * 3, scale=(1.0,) * 3)
    pixels = picture()
    with load(gpu.plan(doubling())) as backend:
        for spec in (SPEC, unscaled, SPEC):
            tensor, _ = on_the_cpu(pixels, spec)
            backend.preprocessor("x", spec)(pixels)
            np.testing.assert_allclose(backend.run({})["y"] / 2, tensor, atol=1.0)
    assert gpu.machine.leaks() == []


def test_a_closed_backend_takes_no_pictures(gpu):
    backend = load(gpu.plan(doubling()))
    preprocess = backend.preprocessor("x", SPEC)
    preprocess(picture())
    backend.close()
    for call in (
        lambda: preprocess(picture()),
        lambda: preprocess.keep(np.zeros(9, np.uint8)),
        lambda: backend.preprocessor("x", SPEC),
    ):
        with pytest.raises(BackendError, match="was closed"):
            call()
    assert gpu.machine.leaks() == []


def test_whatever_fails_with_pictures_is_told_and_leaves_nothing_behind(gpu):
    plan, memory = gpu.plan(doubling()), np.zeros((30, 60, 3), np.uint8)

    def use() -> None:
        with load(plan) as backend:
            preprocess = backend.preprocessor("x", SPEC)
            if preprocess is None:
                return
            preprocess.keep(memory)
            for pixels in (picture(), Pixels.from_array(memory)):
                preprocess(pixels)
                backend.run({})

    use()
    calls = list(gpu.machine.calls)
    assert {"cuModuleLoadData", "cuLaunchKernel", "cuMemHostRegister"} <= set(calls)
    for number, call in enumerate(calls[:-1]):
        gpu.use(gpu.version)
        gpu.machine.fail_call = number
        with suppress(BackendError):
            use()
        assert gpu.machine.leaks() == [], f"{number} {call}"
