from __future__ import annotations

import json
import logging
from multiprocessing.pool import ThreadPool

import pytest

from jetson_detect.core.engines.cache import EngineCache


@pytest.fixture
def cache(tmp_path):
    tmp_path.chmod(0o700)
    return EngineCache(tmp_path)


def test_the_first_time_nothing_is_expected(cache):
    assert cache.expected_seconds("demo", "fp16", "build") is None


def test_the_median_of_the_last_five_times_is_expected(cache):
    for seconds in (1000.0, 30.0, 10.0, 20.0, 50.0, 40.0):
        cache.record_seconds("demo", "fp16", "build", seconds)
    cache.record_seconds("demo", "fp32", "build", 7.0)
    cache.record_seconds("demo", "fp16", "convert", 8.0)
    assert cache.expected_seconds("demo", "fp16", "build") == 30.0
    assert cache.expected_seconds("demo", "fp32", "build") == 7.0
    assert cache.expected_seconds("demo", "fp16", "convert") == 8.0


def test_builders_at_the_same_time_lose_nothing(cache):
    def record(stage: int) -> None:
        EngineCache(cache.folder).record_seconds("demo", "fp16", str(stage), stage)

    with ThreadPool(8) as pool:
        pool.map(record, range(1, 17))
    found = [cache.expected_seconds("demo", "fp16", str(stage)) for stage in range(1, 17)]
    assert found == list(range(1, 17))


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 1}', b'{"a": ["x"]}', b'{"a": [NaN]}'])
def test_a_broken_file_is_forgotten_with_a_warning(cache, content, caplog):
    (cache.folder / "durations.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert cache.expected_seconds("demo", "fp16", "build") is None
    assert "durations of past builds are forgotten" in caplog.text
    cache.record_seconds("demo", "fp16", "build", 3.0)
    assert cache.expected_seconds("demo", "fp16", "build") == 3.0
    assert list(json.loads((cache.folder / "durations.json").read_bytes()).values()) == [[3.0]]


def test_a_build_does_not_fail_because_its_time_cannot_be_written(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    EngineCache(tmp_path / "file").record_seconds("demo", "fp16", "build", 3.0)
    assert "cannot be written" in caplog.text
