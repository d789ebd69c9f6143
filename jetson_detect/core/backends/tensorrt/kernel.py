"""The project's CUDA kernels on a GPU.

Each has its source, ``NAME.cu``, and ``NAME.ptx``, which ``scripts/compile_kernels.py`` made of it:
assembly for no GPU in particular, which the driver translates for the one that it finds.  It does
so once for each GPU and driver and keeps the result by itself, in ``~/.nv/ComputeCache`` (or
``CUDA_CACHE_PATH``), so neither nvcc nor any other part of the CUDA toolkit is needed.
"""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

from jetson_detect.core.tensorrt_library.driver import CudaDriver, CudaDriverError

_logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent


class Kernel:
    """A kernel whose only argument is a structure; calls need the GPU's context to be current."""

    def __init__(self, driver: CudaDriver, name: str) -> None:
        """Load it; ``name`` is that of its files and of its function.

        Raises
        ------
        CudaDriverError
            If the driver cannot translate it.

        """
        self._driver, self._name = driver, name
        self._module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        driver.call(
            "cuModuleLoadData",
            ctypes.byref(self._module),
            ctypes.create_string_buffer((FOLDER / f"{name}.ptx").read_bytes()),
        )
        try:
            driver.call(
                "cuModuleGetFunction",
                ctypes.byref(self._function),
                self._module,
                ctypes.c_char_p(name.encode()),
            )
        except CudaDriverError:
            self.close()
            raise

    def launch(
        self,
        task: ctypes.Structure,
        threads: tuple[int, int],
        block: tuple[int, int],
        stream: ctypes.c_void_p,
    ) -> None:
        """Queue at least so many threads; ``task`` is read before this returns.

        Parameters
        ----------
        task:
            The argument.
        threads, block:
            How many threads there are, and in a block, in x and in y.
        stream:
            Where they are queued.

        Raises
        ------
        CudaDriverError
            If they cannot be queued.

        """
        (columns, rows), (width, height) = threads, block
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(task))
        self._driver.call(
            "cuLaunchKernel",
            self._function,
            -(-columns // width),
            -(-rows // height),
            1,
            width,
            height,
            1,
            0,
            stream,
            arguments,
            None,
        )

    def close(self) -> None:
        """Give it back; may be called twice."""
        module, self._module = self._module, ctypes.c_void_p()
        if module.value:
            try:
                self._driver.call("cuModuleUnload", module)
            except CudaDriverError as error:
                _logger.warning("the %s kernel was not unloaded: %s", self._name, error)
