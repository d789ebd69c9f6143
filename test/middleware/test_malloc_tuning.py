from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from jetson_detect.middleware import malloc_tuning
from jetson_detect.middleware.malloc_tuning import keep_large_blocks

MESSAGES_IN_A_THREAD = """
import ctypes, resource, sys, threading
from jetson_detect.middleware.malloc_tuning import keep_large_blocks

print(keep_large_blocks())
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
size, count = map(int, sys.argv[1:])

def faults_for_each_message():
    blocks = []
    for turn in range(10 * count):
        if turn == 5 * count:
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        if len(blocks) == count:
            libc.free(ctypes.c_void_p(blocks.pop(0)))
        blocks.append(libc.malloc(ctypes.c_size_t(size)))
        ctypes.memset(blocks[-1], 1, size)
    after = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    print((after - before) // (5 * count))

thread = threading.Thread(target=faults_for_each_message)
thread.start()
thread.join()
"""


@pytest.fixture(autouse=True)
def asked_anew():
    keep_large_blocks.cache_clear()
    yield
    keep_large_blocks.cache_clear()


def reason_and_faults(size: int, count: int, variable: str) -> tuple[str, int]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")
    }
    output = subprocess.run(
        [sys.executable, "-c", MESSAGES_IN_A_THREAD, str(size), str(count)],
        env={**environment, malloc_tuning.MALLOC_VARIABLE: variable},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return output[0], int(output[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
@pytest.mark.parametrize(
    ("width", "height", "count"), [(1920, 1080, 1), (1920, 1080, 3), (3840, 2160, 3)]
)
def test_images_find_their_memory_as_the_last_ones_left_it(width, height, count):
    assert reason_and_faults(width * height * 3, count, "") == ("None", 0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives pages back")
def test_the_allocator_stays_as_it_is_where_that_is_wished():
    reason, faults = reason_and_faults(3840 * 2160 * 3, 3, "default")
    assert reason == "JETSON_DETECT_MALLOC is 'default'"
    assert faults > 100


def test_a_c_library_without_mallopt_is_the_reason(monkeypatch):
    monkeypatch.setattr(malloc_tuning.ctypes, "CDLL", lambda name: object())
    assert keep_large_blocks() == "this C library has no mallopt; only glibc has"


def test_what_mallopt_refuses_is_the_reason(monkeypatch):
    class Refusing:
        @staticmethod
        def mallopt(name: int, value: int) -> int:
            return int(name != -3)

    monkeypatch.setattr(malloc_tuning.ctypes, "CDLL", lambda name: Refusing)
    assert keep_large_blocks().startswith("mallopt refused [-3] of {")
