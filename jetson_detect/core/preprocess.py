"""From a picture to the tensor that a network takes, without an allocation per frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.base import TensorInfo
from jetson_detect.core.geometry import ImageTransform
from jetson_detect.core.model import ColorOrder, InputSpec, Layout
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixel_values import channel_writer, table_writer, value_tables
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.resizing import resize


class Preprocessor:
    """Resize, reorder colours, normalise, quantise and lay out, in that order.

    Pictures of 16 bits, YUV and Bayer are made plain before all that, as far as is needed
    (:mod:`jetson_detect.core.pixel_conversion`).  A pixel is 8 bits then and every step after the
    resize acts on one value at a time, so mean, scale and quantisation together are one function
    of 256 values a channel.  The resize is done on bytes; then each value is written once, straight
    into its place in the network's input.

    One instance holds one tensor, of one or more pictures, of which the next call overwrites one.
    The padding around it is written when a picture of another size comes to the same place: nobody
    else may write there.
    """

    def __init__(
        self,
        spec: InputSpec,
        tensor: TensorInfo,
        memory: NDArray[Any] | None = None,
        batch: int = 1,
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
        batch:
            How many pictures the tensor holds.

        Raises
        ------
        ValueError
            If the model and the backend disagree about the shape.

        """
        self._spec = spec
        expected = spec.tensor_shape
        if not spec.fits(tensor.shape):
            raise ValueError(
                f"the model's input '{tensor.name}' has shape {tensor.shape}, but model.yaml says "
                f"{expected} ({spec.layout.value}); correct 'input' in model.yaml"
            )
        shape = (batch, *expected[1:])
        if memory is None or memory.shape != shape or memory.dtype != tensor.dtype:
            memory = np.empty(shape, tensor.dtype)
        self._tensor: NDArray[Any] = memory
        tables = value_tables(spec, tensor)
        self._padding = [table[spec.padding_value] for table in tables]
        self._writers = [
            channel_writer(table, mean, scale)
            for table, mean, scale in zip(tables, spec.mean, spec.scale)
        ]
        self._in_planes = spec.channels == 1 or spec.layout is Layout.NCHW
        """Whether channels are written one by one: their order then costs nothing."""
        if not self._in_planes and any(
            not np.array_equal(table, tables[0]) for table in tables[1:]
        ):
            self._writers[0] = table_writer(np.stack(tables, axis=-1)[None])
        self._places: dict[int, tuple[ImageTransform, list[NDArray[Any]]]] = {}
        """By index, how the last picture lay there, and its :attr:`_content`."""
        self._content: list[NDArray[Any]] = []
        """Where the picture goes: (h, w) for each channel, or (h, w, C) for all together."""
        self._converter = PixelConverter()
        self._resized: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._ordered: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._planes: NDArray[np.uint8] = np.empty(0, np.uint8)

    @property
    def tensor(self) -> NDArray[Any]:
        """The network's input, the same array at all times."""
        return self._tensor

    def __call__(self, pixels: Pixels, index: int = 0) -> tuple[NDArray[Any], ImageTransform]:
        """Fit a picture into the network's input, at ``index`` of its first axis.

        Returns
        -------
        The tensor, (batch, H, W, C) or (batch, C, H, W) in the backend's dtype, valid until the
        next call, and the transform that undoes the resize.

        """
        transform = self._fit(pixels.size, index)
        if not pixels.format.is_plain:
            pixels = self._convert(pixels)
        resized = self._resize(pixels.data)
        if self._in_planes:
            for plane, write, content in zip(
                self._split(resized, pixels), self._writers, self._content
            ):
                write(plane, content)
        else:
            self._writers[0](self._reorder(resized, pixels), self._content[0])
        return self._tensor, transform

    def _fit(self, source_size: tuple[int, int], index: int) -> ImageTransform:
        """Return the transform for this source size; on a new size, paint the padding once."""
        place = self._places.get(index)
        if place is None or (place[0].source_width, place[0].source_height) != source_size:
            place = self._places[index] = self._make_place(source_size, index)
        transform, self._content = place
        return transform

    def _make_place(
        self, source_size: tuple[int, int], index: int
    ) -> tuple[ImageTransform, list[NDArray[Any]]]:
        """Paint the padding around pictures of a size, and return where they go."""
        transform = self._spec.fit(source_size)
        top, left = transform.content_y, transform.content_x
        bottom, right = top + transform.content_height, left + transform.content_width
        image = self._tensor[index]
        planes = image.transpose(2, 0, 1) if self._spec.layout is Layout.NHWC else image
        for plane, value in zip(planes, self._padding):
            plane[:top] = plane[bottom:] = value
            plane[top:bottom, :left] = plane[top:bottom, right:] = value
        if self._in_planes:
            return transform, [plane[top:bottom, left:right] for plane in planes]
        return transform, [image[top:bottom, left:right]]

    def _convert(self, pixels: Pixels) -> Pixels:
        """Return a plain picture, of any size between its own and that of the content."""
        height, width = self._content[0].shape[:2]
        order, interpolation = self._spec.color_order.value, self._spec.interpolation
        return self._converter(pixels, order, (width, height), interpolation)

    def _resize(self, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture in the size of the content, in the colours that it has."""
        size = self._content[0].shape[:2]
        if source.shape[:2] == size:
            return source
        self._resized = _with_shape(self._resized, (*size, *source.shape[2:]))
        resize(source, self._resized, self._spec.interpolation)
        return self._resized

    def _reorder(self, image: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.uint8]:
        """Return a picture in the model's colours."""
        conversion = pixels.conversion_to(self._spec.color_order.value)
        if conversion is None:
            return image
        grey = self._spec.color_order is ColorOrder.GRAY
        self._ordered = _with_shape(self._ordered, image.shape[:2] + (() if grey else (3,)))
        cv2.cvtColor(image, conversion, dst=self._ordered)
        return self._ordered

    def _split(self, image: NDArray[np.uint8], pixels: Pixels) -> list[NDArray[np.uint8]]:
        """Return a plane, (h, w), for each of the model's channels."""
        order = self._spec.color_order
        if pixels.format.channels == 1:
            return [image.reshape(image.shape[:2])] * self._spec.channels
        if order is ColorOrder.GRAY:
            return [self._reorder(image, pixels)]
        self._planes = _with_shape(self._planes, (image.shape[2], *image.shape[:2]))
        planes = list(self._planes)
        cv2.split(image, planes)
        return planes[:3] if order.value == pixels.format.color_order else planes[2::-1]


def _with_shape(array: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array, or a new one if its shape is another."""
    return array if array.shape == shape else np.empty(shape, np.uint8)
