"""A camera's pictures as the network is shown them, and its detections as the camera's user is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from jetson_detect.core.camera_views.calibration import CalibrationError, CameraCalibration
from jetson_detect.core.camera_views.camera_view import WHOLE_IMAGE, CameraView
from jetson_detect.core.camera_views.rectification import Rectification
from jetson_detect.core.camera_views.region import Region, RegionError
from jetson_detect.core.camera_views.view_geometry import ViewGeometry, rotated_size
from jetson_detect.core.compressed_pictures import REDUCTIONS, CompressedPicture
from jetson_detect.core.detections import Detections
from jetson_detect.core.model import InputSpec, Interpolation
from jetson_detect.core.pixel_conversion import PixelConverter
from jetson_detect.core.pixels import PixelError, Pixels
from jetson_detect.core.resizing import resize
from jetson_detect.core.reused_memory import ReusedMemory

_ROTATIONS = {
    1: cv2.ROTATE_90_CLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True, eq=False)
class ViewedPicture:
    """One picture of a camera."""

    pixels: Pixels
    """What the network is shown."""
    picture: Pixels
    """All of the image as it was decoded, neither rectified nor turned; may be smaller than it."""
    geometry: ViewGeometry
    """How the two lie in the published image."""
    problem: str = ""
    """Why the view is not what was asked for; empty if it is."""

    def to_source(self, found: Detections) -> Detections:
        """Map what was found in :attr:`pixels` to pixels of the published image."""
        return self.geometry.to_source(found)

    def to_picture(self, found: Detections) -> Detections:
        """Map detections from the published image to :attr:`picture`, to be painted there."""
        return self.geometry.to_picture(found)


@dataclass(frozen=True)
class _Circumstances:
    """What a geometry depends on."""

    view: CameraView
    calibration: CameraCalibration | CalibrationError | None
    size: tuple[int, int]
    kind: tuple[int, int] | bool
    """Columns and rows of pixels that have one colour; before it is decoded whether it can be
    reduced."""
    network: InputSpec | None


class Viewer:
    """Looks at the pictures of one camera; used by one thread.

    :attr:`view` and :attr:`calibration` may be set by another: the next picture is looked at that
    way.
    """

    def __init__(self, view: CameraView = WHOLE_IMAGE) -> None:
        self.view = view
        self.calibration: CameraCalibration | CalibrationError | None = None
        """What the camera says of its lens, or why that is of no use; None as long as it has said
        nothing."""
        self._circumstances: _Circumstances | None = None
        self._geometry: ViewGeometry | None = None
        self._problem = ""
        self._decoded, self._shrunk, self._rectified, self._turned = (
            ReusedMemory() for _ in range(4)
        )
        self._convert = PixelConverter()

    def look(
        self, picture: Pixels | CompressedPicture, network: InputSpec | None = None
    ) -> ViewedPicture:
        """Show the network what it is to see.

        A region is a view on the picture's memory; what is decoded, rectified or turned goes into
        memory that is used again when nobody looks at it any more.

        An image that cannot be rectified, as its CameraInfo is missing or does not fit, is shown
        as it is, with the reason as its :attr:`~ViewedPicture.problem`: boxes are in pixels of the
        published image either way, so that they are right, if perhaps fewer.

        Parameters
        ----------
        picture:
            Of the camera.
        network:
            What it is shown to.  A JPEG picture is decoded only as large as that needs.

        Raises
        ------
        PixelError
            If the picture cannot be decoded, or the view's region lies outside it.

        """
        geometry = self._geometry_of(picture, network)
        if isinstance(picture, CompressedPicture):
            decoded = picture.decode(geometry.reduction, self._decoded)
        else:
            decoded = picture
        shown, part = decoded, geometry.part
        if part.size != decoded.size:
            shown = decoded.cropped(part.x, part.y, part.width, part.height)
        if geometry.rectification is not None or geometry.quarter_turns:
            shown = self._convert(shown, network.color_order.value if network else "BGR")
        if geometry.rectification is not None:
            if geometry.shrinkage > 1:
                shown = self._shrink(shown, geometry.shrinkage)
            shown = self._rectify(shown, geometry.rectification)
        if geometry.quarter_turns:
            shown = self._turn(shown, geometry.quarter_turns)
        return ViewedPicture(shown, decoded, geometry, self._problem)

    def _geometry_of(
        self, picture: Pixels | CompressedPicture, network: InputSpec | None
    ) -> ViewGeometry:
        view = self.view
        calibration = self.calibration if view.rectify else None
        kind = picture.format.shared if isinstance(picture, Pixels) else picture.can_be_reduced
        circumstances = _Circumstances(view, calibration, picture.size, kind, network)
        if self._geometry is None or circumstances != self._circumstances:
            self._circumstances = None
            problem = ""
            if calibration is None and view.rectify:
                problem = "no CameraInfo has come"
            elif isinstance(calibration, CalibrationError):
                problem, calibration = str(calibration), None
            try:
                self._geometry = _geometry(picture, view, calibration, network)
            except CalibrationError as error:
                problem = str(error)
                self._geometry = _geometry(picture, view, None, network)
            self._problem = f"{problem}: not rectified" if problem else ""
            self._circumstances = circumstances
        return self._geometry

    def _shrink(self, pixels: Pixels, shrinkage: int) -> Pixels:
        """Return the means of the pixels that become one, as a reduced JPEG picture has them."""
        width, height = (length // shrinkage for length in pixels.size)
        shrunk = self._shrunk.array(height, width, *pixels.data.shape[2:])
        resize(pixels.data, shrunk, Interpolation.AREA)
        return Pixels(shrunk, pixels.format)

    def _rectify(self, pixels: Pixels, rectification: Rectification) -> Pixels:
        width, height = rectification.size
        target = self._rectified.array(height, width, *pixels.data.shape[2:])
        rectification.apply(pixels.data, target)
        return Pixels(target, pixels.format)

    def _turn(self, pixels: Pixels, quarter_turns: int) -> Pixels:
        width, height = rotated_size(pixels.size, quarter_turns)
        target = self._turned.array(height, width, *pixels.data.shape[2:])
        cv2.rotate(pixels.data, _ROTATIONS[quarter_turns], dst=target)
        return Pixels(target, pixels.format)


def _geometry(
    picture: Pixels | CompressedPicture,
    view: CameraView,
    calibration: CameraCalibration | None,
    network: InputSpec | None,
) -> ViewGeometry:
    """Work out what is shown of a picture.

    Raises
    ------
    CalibrationError
        If it cannot be rectified.
    PixelError
        If the region lies outside it.

    """
    size = picture.size
    try:
        region = Region.whole(size) if view.region is None else view.region.within(size)
    except RegionError as error:
        raise PixelError(f"{error}; correct parameter 'view.regions'") from error
    shared = picture.format.shared if isinstance(picture, Pixels) else (1, 1)
    part = region.aligned(*shared)
    rectification = None
    if calibration is not None and not calibration.changes_nothing:
        rectification = Rectification.make(calibration, size, region, part)
    shown = region.size if rectification is None else rectification.size
    factor = 1.0
    if network is not None:
        factor = _spare_factor(rotated_size(shown, view.quarter_turns), network)
    reduction = shrinkage = 1
    if isinstance(picture, CompressedPicture):
        reduction = picture.find_reduction(factor)
        part = region.reduced(reduction)
    if rectification is not None and calibration is not None:
        if reduction == 1:
            shrinkage = _shrinkage(size, factor)
            part = region.aligned(*(max(each, shrinkage) for each in shared))
        if reduction * shrinkage > 1:
            rectification = Rectification.make(
                calibration, size, region, part.reduced(shrinkage), reduction * shrinkage
            )
    return ViewGeometry(size, region, part, reduction, view.quarter_turns, rectification, shrinkage)


def _shrinkage(size: tuple[int, int], factor: float) -> int:
    """Return by how much an image can be shrunk with none of its pixels left over."""
    return next(
        each for each in REDUCTIONS if each <= max(factor, 1) and not any(n % each for n in size)
    )


def _spare_factor(size: tuple[int, int], network: InputSpec) -> float:
    """By how much a picture may be reduced and still not have to be enlarged for the network."""
    fit = network.fit(size)
    return min(size[0] / fit.content_width, size[1] / fit.content_height)
