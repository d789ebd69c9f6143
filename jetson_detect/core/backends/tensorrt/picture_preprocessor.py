"""Pictures made into tensors on the GPU, behind the protocol of backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import Preprocessing, TensorInfo
from jetson_detect.core.backends.tensorrt.letterbox_kernel import element_type_of
from jetson_detect.core.backends.tensorrt.picture_input import PictureInput
from jetson_detect.core.backends.tensorrt.plan_tensors import PlanTensor
from jetson_detect.core.backends.tensorrt.profiles import as_text
from jetson_detect.core.backends.tensorrt.session import Session
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import InputSpec, Interpolation
from jetson_detect.core.pixels import Pixels

if TYPE_CHECKING:
    from jetson_detect.core.backends.tensorrt.frame_slot import FrameSlot

_KNOWN = (Interpolation.LINEAR, Interpolation.NEAREST)
"""The others mix as many pixels as the picture is larger, or 16, for each that they make."""


def reason_for_cpu(
    preprocessing: Preprocessing, spec: InputSpec, tensor: PlanTensor, info: TensorInfo
) -> str | None:
    """Say why an input cannot be made on the GPU; None if it can."""
    if preprocessing is Preprocessing.CPU:
        return "tensorrt.preprocessing"
    if spec.interpolation not in _KNOWN:
        return f"interpolation {spec.interpolation.value}; the GPU knows linear and nearest"
    if element_type_of(tensor.storage) is None:
        return f"input '{info.name}' is {info.dtype}; the GPU writes float, half and bytes"
    if not spec.fits(info.shape):
        wanted = as_text(spec.tensor_shape)
        return f"input '{info.name}' is {as_text(info.shape)}, model.yaml says {wanted}"
    return None


class PicturePreparation:
    """Stages pictures in the slot of the next inference."""

    def __init__(
        self,
        session: Session,
        spec: InputSpec,
        tensor: PlanTensor,
        info: TensorInfo,
        next_slot: Callable[[], FrameSlot],
    ) -> None:
        """Prepare; :func:`reason_for_cpu` must be None."""
        element_type = element_type_of(tensor.storage)
        assert element_type is not None
        self._session = session
        self._spec = spec
        self._info = info
        self._element_type = element_type
        self._next_slot = next_slot
        self._pictures: dict[tuple[FrameSlot, int], PictureInput] = {}
        """Those of this specification, by their place; another one has its own."""

    def __call__(self, pixels: Pixels, index: int = 0) -> ImageTransform:
        """Take a picture of the next inference; see :class:`PicturePreprocessor`."""
        slot = self._next_slot()
        picture = self._pictures.get((slot, index))
        if picture is None:
            picture = self._pictures[slot, index] = PictureInput(
                self._session,
                slot.lane,
                self._spec,
                self._info,
                self._element_type,
                self._spec.tensor_shape,
            )
        staged = slot.staged.pop(self._info.name, [])[:index]
        try:
            transform = picture.stage(pixels)
            staged.append(picture)
        finally:
            if staged:
                slot.staged[self._info.name] = staged
        return transform

    def keep(self, memory: NDArray[np.uint8]) -> bool:
        """Page-lock memory of pictures; see :class:`PicturePreprocessor`."""
        self._session.require_open()
        with self._session.in_context("memory of pictures cannot be kept"):
            return self._session.page_locks.lock(memory)
