"""Memory of one tensor: a page-locked side for NumPy and a side for the GPU."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.tensorrt.gpu import Gpu, MemoryMode, in_megabytes

_logger = logging.getLogger(__name__)


class TensorMemory:
    """Grows when it has to and never shrinks; all calls need the GPU's context to be current."""

    def __init__(self, gpu: Gpu, name: str, mode: MemoryMode | None = None) -> None:
        """Hold nothing yet.

        Parameters
        ----------
        gpu:
            Whose memory it is.
        name:
            The tensor's, for error messages.
        mode:
            Whether the GPU has a side of its own; as suits the GPU without it.

        """
        self._gpu = gpu
        self._mode = gpu.memory_mode if mode is None else mode
        self._name = name
        self._host: Any = None
        self._device: Any = None

    @property
    def capacity(self) -> int:
        """Bytes."""
        return 0 if self._host is None else int(self._host.nbytes)

    @property
    def address(self) -> int:
        """Where the GPU finds it."""
        if self._device is not None:
            return int(self._device)
        return self.mapped_address

    @property
    def mapped_address(self) -> int:
        """Where the GPU finds the host's side."""
        return int(self._host.base.get_device_pointer())

    @property
    def host_address(self) -> int:
        """Where the CPU finds it."""
        address: int = self._host.__array_interface__["data"][0]
        return address

    def reserve(self, size: int) -> None:
        """See to room for ``size`` bytes; what was there is lost if it has to grow.

        Raises
        ------
        BackendError
            If memory is used up.

        """
        size = max(size, 1)  # CUDA gives no address for nothing
        if size <= self.capacity:
            return
        self.free()
        cuda = self._gpu.cuda
        try:
            if self._mode is MemoryMode.PINNED:
                self._device = cuda.mem_alloc(size)
            self._host = cuda.pagelocked_empty(
                size, np.uint8, mem_flags=cuda.host_alloc_flags.DEVICEMAP
            )
        except cuda.MemoryError as error:
            self.free()
            raise BackendError(
                f"tensor '{self._name}' needs {in_megabytes(size)}, "
                f"{in_megabytes(self._gpu.free_memory())} are free ({error}): close what else uses "
                "the GPU, or take a smaller input or model"
            ) from error

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the host's side as an array; it must not be used after :meth:`free`."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        view: NDArray[Any] = self._host[:size].view(dtype).reshape(shape)
        return view

    def to_device(self, array: NDArray[Any], stream: Any) -> None:
        """Queue the copy of :meth:`array` to the GPU; nothing in zero-copy mode."""
        if self._device is not None and array.nbytes:
            self._gpu.cuda.memcpy_htod_async(self._device, array, stream)

    def to_host(self, array: NDArray[Any], stream: Any) -> None:
        """Queue the copy from the GPU to :meth:`array`; nothing in zero-copy mode."""
        if self._device is not None and array.nbytes:
            self._gpu.cuda.memcpy_dtoh_async(array, self._device, stream)

    def free(self) -> None:
        """Give the memory back; may be called twice."""
        device, self._device = self._device, None
        host, self._host = self._host, None
        # Explicitly: a traceback or a caller that still holds a view must not keep it.
        for allocation in (device, None if host is None else host.base):
            if allocation is not None:
                try:
                    allocation.free()
                except self._gpu.cuda.Error as error:
                    _logger.warning("memory of '%s' was not freed: %s", self._name, error)
