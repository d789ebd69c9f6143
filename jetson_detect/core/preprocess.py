"""From a picture to the tensor that a network takes, without an allocation per frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import InputSpec, Interpolation, Layout
from jetson_detect.core.pixels import Pixels

_INTERPOLATIONS = {
    Interpolation.LINEAR: cv2.INTER_LINEAR,
    Interpolation.AREA: cv2.INTER_AREA,
    Interpolation.NEAREST: cv2.INTER_NEAREST,
    Interpolation.CUBIC: cv2.INTER_CUBIC,
}


class Preprocessor:
    """Resize, pad, reorder colours, normalise, quantise and lay out, in that order.

    A pixel is 8 bits and every step after the resize acts on one value at a time, so mean, scale
    and quantisation together are one table of 256 entries a channel.  The resize is done on bytes;
    the table then writes each value once, straight into the network's input.

    One instance holds one tensor, which the next call overwrites.
    """

    def __init__(
        self, spec: InputSpec, tensor: TensorInfo, memory: NDArray[Any] | None = None
    ) -> None:
        """Prepare for a network's input.

        Parameters
        ----------
        spec:
            What the model expects of its pixels.
        tensor:
            The backend's own description of the input: dtype and quantisation.
        memory:
            The backend's own memory for it, if it has any: filled in place, it needs no copy.

        Raises
        ------
        ValueError
            If the model and the backend disagree about the shape.

        """
        self._spec = spec
        channels = spec.channels
        expected = (
            (1, spec.height, spec.width, channels)
            if spec.layout is Layout.NHWC
            else (1, channels, spec.height, spec.width)
        )
        fits = len(tensor.shape) == 4 and all(
            actual in (wanted, None) for actual, wanted in zip(tensor.shape, expected)
        )
        if not fits:
            raise ValueError(
                f"the model's input '{tensor.name}' has shape {tensor.shape}, but model.yaml says "
                f"{expected} ({spec.layout.value}); correct 'input' in model.yaml"
            )
        self._tables = _tables(spec, tensor)
        uniform = all(np.array_equal(table, self._tables[0]) for table in self._tables)
        self._joint_table = self._tables[0] if uniform else np.stack(self._tables, axis=-1)[None]
        """For all channels at once: (256,) where they are alike, else (1, 256, C)."""
        if memory is None or memory.shape != expected or memory.dtype != tensor.dtype:
            memory = np.empty(expected, tensor.dtype)
        self._tensor: NDArray[Any] = memory
        canvas_shape = (spec.height, spec.width) + ((channels,) if channels > 1 else ())
        self._canvas: NDArray[np.uint8] = np.empty(canvas_shape, np.uint8)
        self._planes: list[NDArray[np.uint8]] = [
            np.empty((spec.height, spec.width), np.uint8) for _ in range(channels)
        ]
        self._resized: NDArray[np.uint8] = np.empty(0, np.uint8)
        """The content before its colours are reordered."""
        self._transform: ImageTransform | None = None

    def __call__(self, pixels: Pixels) -> tuple[NDArray[Any], ImageTransform]:
        """Fit a picture into the network's input.

        Returns
        -------
        The tensor, (1, H, W, C) or (1, C, H, W) in the backend's dtype, valid until the next call,
        and the transform that undoes the resize.

        """
        transform = self._fit(pixels.size)
        top, left = transform.content_y, transform.content_x
        content = self._canvas[
            top : top + transform.content_height, left : left + transform.content_width
        ]
        self._resize(pixels, content)
        self._normalise()
        return self._tensor, transform

    def _fit(self, source_size: tuple[int, int]) -> ImageTransform:
        """Return the transform for this source size; on a new size, paint the padding once."""
        current = self._transform
        if current is None or (current.source_width, current.source_height) != source_size:
            current = ImageTransform.fit(
                source_size,
                (self._spec.width, self._spec.height),
                self._spec.resize,
                self._spec.alignment,
            )
            self._canvas[:] = self._spec.padding_value
            self._transform = current
        return current

    def _resize(self, pixels: Pixels, content: NDArray[np.uint8]) -> None:
        """Resize into ``content`` and bring the colours into the model's order."""
        height, width = content.shape[:2]
        source: NDArray[np.uint8] = pixels.data
        conversion = pixels.conversion_to(self._spec.color_order.value)
        if source.shape[:2] != (height, width):
            interpolation = _INTERPOLATIONS[self._spec.interpolation]
            if interpolation == cv2.INTER_AREA and (
                width > source.shape[1] or height > source.shape[0]
            ):
                interpolation = cv2.INTER_LINEAR  # enlarged by area, pixels would be repeated
            if conversion is None:
                cv2.resize(source, (width, height), dst=content, interpolation=interpolation)
                return
            shape = (height, width, *source.shape[2:])
            if self._resized.shape != shape:
                self._resized = np.empty(shape, np.uint8)
            cv2.resize(source, (width, height), dst=self._resized, interpolation=interpolation)
            source = self._resized
        if conversion is None:
            np.copyto(content, source)
        else:
            cv2.cvtColor(source, conversion, dst=content)

    def _normalise(self) -> None:
        """Write the canvas through the tables into the tensor."""
        tensor, tables = self._tensor[0], self._tables
        if self._spec.channels == 1:
            plane = tensor[0] if self._spec.layout is Layout.NCHW else tensor[..., 0]
            _look_up(self._canvas, tables[0], plane)
        elif self._spec.layout is Layout.NCHW:
            cv2.split(self._canvas, self._planes)
            for plane, table, target in zip(self._planes, tables, tensor):
                _look_up(plane, table, target)
        else:
            _look_up(self._canvas, self._joint_table, tensor)


def _tables(spec: InputSpec, tensor: TensorInfo) -> list[NDArray[Any]]:
    """One table of 256 network values for each channel."""
    byte = np.arange(256, dtype=np.float64)
    tables = []
    for mean, scale in zip(spec.mean, spec.scale):
        values = (byte - mean) * scale
        if tensor.quantization is not None:
            values = values / tensor.quantization.scale + tensor.quantization.zero_point
        if np.issubdtype(tensor.dtype, np.integer):
            limits = np.iinfo(tensor.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        tables.append(values.astype(tensor.dtype))
    return tables


def _look_up(source: NDArray[np.uint8], table: NDArray[Any], target: NDArray[Any]) -> None:
    """``target[...] = table[source]``, in place where OpenCV knows the type."""
    if table.dtype in (np.uint8, np.int8, np.float32, np.float64):
        written = cv2.LUT(source, table, dst=target)
        if written is not target:  # OpenCV takes a new array where it cannot use ours
            np.copyto(target, written.reshape(target.shape))
    elif table.ndim == 1:
        np.take(table, source, out=target)
    else:
        for channel in range(source.shape[2]):
            target[..., channel] = table[0, :, channel][source[..., channel]]
