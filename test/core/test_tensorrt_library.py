from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from jetson_detect.core.backends.base import BackendUnavailableError, TensorrtRuntime
from jetson_detect.core.tensorrt_library import driver
from jetson_detect.core.tensorrt_library.access import open_library
from jetson_detect.core.tensorrt_library.features import Features, features_of, releases_with
from jetson_detect.core.tensorrt_library.logger import ErrorLog

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)


@pytest.mark.parametrize(
    ("feature", "without", "first", "last", "gone"),
    [
        ("explicit_batch_flag", None, "8.5.3.1", "10.16.1.11", "11.0.0.114"),
        ("fp16_flag", None, "8.5.3.1", "10.16.1.11", "11.0.0.114"),
        ("reallocate_output", None, "8.5.3.1", "8.6.1", "10.0.1"),
        ("builder_optimization_level", "8.5.3.1", "8.6.0", "11.4.0.106", None),
        ("engine_host_code_allowed", "8.5.3.1", "8.6.0", "11.4.0.106", None),
        ("plugin_registry_of_runtime", "8.5.3.1", "8.6.0", "11.4.0.106", None),
        ("int64_tensors", "8.6.1", "10.0.1", "11.4.0.106", None),
        ("bf16_tensors", "8.6.1", "10.0.1", "11.4.0.106", None),
        ("parser_node_name", "8.6.1", "10.0.1", "11.4.0.106", None),
        ("reallocate_output_async", "8.6.1", "10.0.1", "11.4.0.106", None),
        ("device_memory_size_v2", "10.0.1", "10.1.0", "11.4.0.106", None),
        ("int8_flag", None, "8.5.3.1", "10.16.1.11", "11.0.0.114"),
        ("fp8_flag", "8.5.3.1", "8.6.0", "10.16.1.11", "11.0.0.114"),
        ("bf16_flag", "8.6.1", "10.0.1", "10.16.1.11", "11.0.0.114"),
        ("strongly_typed_flag", "8.6.1", "10.0.1", "11.4.0.106", None),
        ("progress_monitor", "8.6.1", "10.0.1", "11.4.0.106", None),
        ("same_compute_capability", "10.8.0.43", "10.9.0.34", "11.4.0.106", None),
    ],
)
def test_a_feature_is_there_from_its_first_version_to_its_last(feature, without, first, last, gone):
    for version, expected in ((without, False), (first, True), (last, True), (gone, False)):
        if version is not None:
            assert getattr(features_of(version), feature) is expected, version


def test_every_feature_has_a_row_and_every_row_a_feature():
    assert {field.name for field in fields(Features)} == set(vars(features_of("10.0.1")))


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("max_aux_streams", "8.6 and newer"),
        ("bf16_flag", "10.0 to 10.16"),
        ("fp16_flag", "8.5 to 10.16"),
    ],
)
def test_the_releases_with_a_feature_are_told_in_words(feature, text):
    assert releases_with(feature) == text


def test_ten_is_newer_than_eight_and_two_digit_minors_than_one_digit_ones():
    assert not features_of("8.10.0").int64_tensors
    assert features_of("10.10.0.31").device_memory_size_v2


@pytest.mark.parametrize("version", ["8.4.3.1", "7.1.3", "12.0.1"])
def test_a_version_outside_the_table_is_refused_with_those_inside(version):
    with pytest.raises(BackendUnavailableError, match=rf"{version} is not supported: install 8.5"):
        features_of(version)


def test_a_version_that_is_none_is_refused():
    with pytest.raises(BackendUnavailableError, match="'unknown', which is none"):
        features_of("unknown")


@pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import tensorrt"], capture_output=True).returncode == 0,
    reason="TensorRT is installed here",
)
@pytest.mark.parametrize("runtime", list(TensorrtRuntime))
def test_without_tensorrt_the_error_says_how_to_install_it(runtime):
    with pytest.raises(BackendUnavailableError, match=r"tensorrt.* cannot be imported .*install"):
        open_library(runtime)


def test_a_missing_driver_is_told_before_anything_of_tensorrt_is_made(gpu, monkeypatch):
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.so.none")
    with pytest.raises(BackendUnavailableError, match=r"no NVIDIA driver .*--gpus all"):
        open_library()
    assert gpu.machine.calls == []


@pytest.mark.parametrize(
    ("status", "said"), [(100, "cuInit: CUDA_ERROR_NO_DEVICE, no CUDA-capable"), (999, "error 999")]
)
def test_a_driver_that_does_not_start_is_told_with_cudas_error(gpu, status, said):
    gpu.machine.init_status = status
    with pytest.raises(BackendUnavailableError, match=said):
        open_library()


def test_a_machine_whose_gpus_are_hidden_is_told(gpu):
    gpu.machine.device_count = 0
    with pytest.raises(BackendUnavailableError, match="knows no GPU: unset CUDA_VISIBLE_DEVICES"):
        open_library()


@pytest.mark.parametrize("version", ["8.5.3.1", "8.6.0", "10.3.0", "11.4.0.106"])
def test_the_library_says_its_version_and_its_features(gpu, version):
    gpu.use(version)
    library = open_library()
    assert str(library) == f"TensorRT {version}"
    assert library.features == features_of(version)
    assert library.driver.cuda_version == "12.6"


def test_the_lean_runtime_is_a_module_of_its_own(gpu):
    library = open_library(TensorrtRuntime.LEAN)
    assert library.trt.__name__ == "tensorrt_lean"
    assert str(library) == "TensorRT lean 10.3.0"


def test_a_version_that_is_too_old_is_refused_before_anything_of_it_is_used(gpu):
    gpu.use("8.4.1")
    with pytest.raises(BackendUnavailableError, match=r"8.4.1 is not supported"):
        open_library()


def test_what_tensorrt_logs_goes_to_pythons_log_and_its_errors_are_kept(gpu, caplog):
    library = open_library()
    severity = library.trt.ILogger.Severity
    mark = library.errors.mark()
    with caplog.at_level(logging.DEBUG, "jetson_detect.tensorrt"):
        library.logger.log(severity.VERBOSE, "kernel 100%")
        library.logger.log(severity.INFO, "loaded %s")
        library.logger.log(severity.WARNING, "old plan")
        library.logger.log(severity.ERROR, "no memory")
        library.logger.log(severity.INTERNAL_ERROR, "assertion")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "loaded %s"),
        ("WARNING", "old plan"),
        ("ERROR", "no memory"),
        ("ERROR", "assertion"),
    ]
    assert library.errors.since(mark) == "TensorRT: no memory | assertion"


def test_watchers_see_all_but_the_flood_of_verbose_lines_for_as_long_as_they_watch(gpu):
    library = open_library()
    severity = library.trt.ILogger.Severity
    seen: list[tuple[int, str]] = []
    others: list[tuple[int, str]] = []
    with library.watchers.watching(lambda level, text: others.append((level, text))):
        with library.watchers.watching(lambda level, text: seen.append((level, text))):
            library.logger.log(severity.VERBOSE, "tactic")
            library.logger.log(severity.INFO, "workspace")
            library.logger.log(severity.ERROR, "no memory")
        library.logger.log(severity.WARNING, "later")
    library.logger.log(severity.WARNING, "last")
    assert seen == [(logging.DEBUG, "workspace"), (logging.ERROR, "no memory")]
    assert others == [*seen, (logging.WARNING, "later")]


def test_all_users_of_tensorrt_share_one_logger(gpu):
    assert open_library().logger is open_library().logger


def test_only_errors_after_the_mark_are_told_and_the_oldest_go_first():
    log = ErrorLog(size=2)
    log.add("before")
    mark = log.mark()
    assert log.since(mark) == "TensorRT gave no reason"
    for text in ("one", "two", "three"):
        log.add(text)
    assert log.since(mark) == "TensorRT: two | three"


def test_the_core_imports_neither_tensorrt_nor_pycuda():
    code = (
        "import sys, jetson_detect.core.backends.tensorrt, jetson_detect.core.engines.building;"
        "sys.exit(any(name.split('.')[0] in ('tensorrt', 'pycuda') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0
