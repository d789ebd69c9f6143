"""The times of kernels, kept in a file from build to build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jetson_detect.core.engines.durable_files import replace_durably
from jetson_detect.core.engines.file_lock import FileLock
from jetson_detect.core.tensorrt_library.access import TensorrtLibrary

if TYPE_CHECKING:
    import tensorrt as trt


class TimingCacheFile:
    """A file that several builds, of several processes, may read and add to.

    Nothing of it stops a build: what goes wrong is told, and the build measures anew.
    """

    _cache: trt.ITimingCache | None

    def __init__(
        self, library: TensorrtLibrary, path: Path | None, warn: Callable[[str], None]
    ) -> None:
        """Do nothing yet; nothing at all without a path.

        Parameters
        ----------
        library:
            TensorRT.
        path:
            The file; it and its folder need not be there.
        warn:
            Told, in a sentence, what goes wrong.

        """
        self._library = library
        self._path = path
        self._warn = warn
        self._cache = None
        self.used = False
        """Whether there were times of an earlier build."""
        self.size = 0
        """Bytes that were written."""

    def attach(self, config: trt.IBuilderConfig) -> None:
        """Give a build the times of earlier ones; this object must outlive the build."""
        if self._path is None:
            return
        content = b""
        try:
            # No lock: the file is only ever replaced as a whole.
            content = self._path.read_bytes()
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warn(f"timing_cache: {self._path}: cannot be read ({error.strerror})")
        mark = self._library.errors.mark()
        cache: trt.ITimingCache | None = None
        if content:
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                self._cache, self.used = cache, True
                return
            self._warn(
                f"timing_cache: {self._path}: {self._library} does not take it "
                f"({self._library.errors.since(mark)}): it is of another version or GPU, and "
                "starts anew"
            )
        cache = config.create_timing_cache(b"")
        if cache is not None and config.set_timing_cache(cache, False):
            self._cache = cache
        else:
            self._warn(
                f"timing_cache: {self._library} made none ({self._library.errors.since(mark)})"
            )

    def save(self, config: trt.IBuilderConfig) -> None:
        """Write what the build added, together with what others wrote meanwhile."""
        if self._path is None or self._cache is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_name(f"{self._path.name}.lock")):
                self._add_others(config, self._cache, self._path)
                serialized: trt.IHostMemory | None = self._cache.serialize()
                if serialized is None:
                    self._warn(f"timing_cache: {self._library} gave none; {self._path} stays")
                    return
                content = bytes(serialized)
                replace_durably(self._path, content)
            self.size = len(content)
        except OSError as error:
            self._warn(f"timing_cache: {self._path}: not written ({error.strerror or error})")

    def _add_others(self, config: trt.IBuilderConfig, cache: trt.ITimingCache, path: Path) -> None:
        """Add what lies in the file by now, unless TensorRT does not take it."""
        content = path.read_bytes() if path.exists() else b""
        if not content:
            return
        others: trt.ITimingCache | None = config.create_timing_cache(content)
        # False for one of another GPU; its times would be wrong here.
        if others is not None:
            cache.combine(others, False)
