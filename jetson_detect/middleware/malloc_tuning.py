"""Memory of large messages that stays with the process."""

from __future__ import annotations

import ctypes
import functools
import os

MALLOC_VARIABLE = "JETSON_DETECT_MALLOC"
"""Environment variable; ``default`` leaves the allocator as it is."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""Numbers of ``<malloc.h>``."""

_SETTINGS = {
    # The highest that glibc takes (``DEFAULT_MMAP_THRESHOLD_MAX`` of 64-bit machines).
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_TRIM_THRESHOLD: 512 << 20,
    _M_ARENA_MAX: 1,
}


@functools.cache
def keep_large_blocks() -> str | None:
    """Have malloc keep the memory of large messages; before the process starts other threads.

    glibc gives the pages of large blocks back when they are freed: at once for those that it maps
    one by one, and else when enough of the heap is free.  The middleware allocates and frees such
    blocks for every image, and the kernel zeroes each page anew: some 4,500 page faults, 7 of the
    9 ms of CPU time that receiving a 1080p image takes.
    With blocks up to 32 MB on the heap, and a heap that is only trimmed above 512 MB, the pages
    are the same for each image.  One heap for all threads, because those of single threads are
    64 MB long and returned whole when they are empty, whatever the trim threshold says: with three
    4K images in turn, 2,000 page faults each.  The price: memory that was in use at the same time
    stays with the process.  See mallopt(3).

    Returns
    -------
    None when it is in force, else why it is not.

    """
    if os.environ.get(MALLOC_VARIABLE) == "default":
        return f"{MALLOC_VARIABLE} is 'default'"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "this C library has no mallopt; only glibc has"
    refused = [name for name, value in _SETTINGS.items() if mallopt(name, value) != 1]
    return f"mallopt refused {refused} of {_SETTINGS}" if refused else None
