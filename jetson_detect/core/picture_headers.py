"""What the first bytes of a compressed picture say of it, without decoding any of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from jetson_detect.core.pixels import PixelError


class PictureKind(str, Enum):
    """How a picture is compressed."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"


@dataclass(frozen=True)
class PictureHeader:
    """What is known of a picture before it is decoded."""

    kind: PictureKind
    width: int
    """In pixels, as they are stored: a rotation that Exif data asks for is not applied."""
    height: int
    channels: int
    """1 for grey, 3 for colours, 4 for those of printing (CMYK); an alpha channel left aside."""


def read_picture_header(data: memoryview) -> PictureHeader:
    """Read kind and size of a picture, and see whether it has an end.

    Parameters
    ----------
    data:
        The whole picture, as bytes.

    Raises
    ------
    PixelError
        If it is of another kind, contradicts itself or is cut off.

    """
    start = bytes(data[:12])
    if start[:2] == b"\xff\xd8":
        return _jpeg_header(data)
    if start[:8] == _PNG_SIGNATURE:
        return _png_header(data)
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return _webp_header(data)
    shown = f"begins with 0x{start[:8].hex()}" if start else "is empty"
    raise PixelError(
        f"a compressed picture of {len(data)} bytes {shown}: it is no JPEG, PNG or WebP; let the "
        "camera publish one of these"
    )


# -- JPEG -----------------------------------------------------------------------------------------
# ITU-T T.81, annex B: markers are 0xFF and a number; most are followed by the length of a segment.

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODABLE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended and progressive; lossless and hierarchical ones no decoder here knows."""
_FRAME = struct.Struct(">BHHB")
"""Bits, height, width, components."""


def _jpeg_header(data: memoryview) -> PictureHeader:
    header = None
    for marker, place, length in _jpeg_segments(data):
        if marker in _FRAMES:
            if length < _FRAME.size:
                raise PixelError(f"a JPEG picture's frame header has {length} bytes")
            bits, height, width, components = _FRAME.unpack_from(data, place)
            if marker not in _DECODABLE or bits != 8:
                raise PixelError(
                    f"a JPEG picture of process 0x{marker:02x} with {bits} bits cannot be decoded; "
                    "let the camera publish baseline JPEG with 8 bits"
                )
            header = _checked(PictureKind.JPEG, width, height, components)
        elif marker == _START_OF_SCAN:
            if header is None:
                raise PixelError("a JPEG picture has no frame header before its first scan")
            # Some cameras fill up behind the end; before the scan a thumbnail may have one too.
            if bytes(data[-2:]) != _END_OF_IMAGE and bytes(data).rfind(_END_OF_IMAGE, place) < 0:
                raise _cut_off(PictureKind.JPEG, data, "its end marker is missing")
            return header
    raise _cut_off(PictureKind.JPEG, data, "there is no scan")


def _jpeg_segments(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Give each segment's marker, where its content begins and how long it is."""
    place, total = 2, len(data)
    while place + 4 <= total:
        if data[place] != 0xFF:
            raise PixelError(
                f"a JPEG picture has 0x{data[place]:02x} at byte {place}, where a marker should be"
            )
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
        elif marker in _STANDALONE:
            place += 2
        else:
            length = data[place + 2] << 8 | data[place + 3]
            if length < 2 or place + 2 + length > total:
                return
            yield marker, place + 4, length - 2
            place += 2 + length


# -- PNG ------------------------------------------------------------------------------------------
# ISO/IEC 15948: a signature, then chunks, of which IHDR is the first and IEND the last.

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = struct.Struct(">I4sIIBB")
"""Length and name of the chunk, width, height, bits, colour type."""
_GREY_TYPES = (0, 4)


def _png_header(data: memoryview) -> PictureHeader:
    if len(data) < len(_PNG_SIGNATURE) + _PNG_HEADER.size:
        raise _cut_off(PictureKind.PNG, data, "there is no header")
    _, name, width, height, _, color_type = _PNG_HEADER.unpack_from(data, len(_PNG_SIGNATURE))
    if name != b"IHDR":
        raise PixelError(f"a PNG picture begins with the chunk {name!r} in place of IHDR")
    if bytes(data[-8:-4]) != b"IEND" and bytes(data).rfind(b"IEND") < 0:
        raise _cut_off(PictureKind.PNG, data, "its end chunk is missing")
    return _checked(PictureKind.PNG, width, height, 1 if color_type in _GREY_TYPES else 3)


# -- WebP -----------------------------------------------------------------------------------------
# RFC 9649: a RIFF file with one chunk, or an extended header and several.

_VP8_START = b"\x9d\x01\x2a"
_WEBP_HEADER_BYTES = 30


def _webp_header(data: memoryview) -> PictureHeader:
    (size,) = struct.unpack_from("<I", data, 4)
    if len(data) < max(size + 8, _WEBP_HEADER_BYTES):
        raise _cut_off(PictureKind.WEBP, data, f"it announces {size + 8}")
    chunk = bytes(data[12:16])
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif chunk == b"VP8L" and data[20] == 0x2F:
        packed = int.from_bytes(data[21:25], "little")
        width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    elif chunk == b"VP8 " and bytes(data[23:26]) == _VP8_START:
        width, height = (each & 0x3FFF for each in struct.unpack_from("<HH", data, 26))
    else:
        raise PixelError(f"a WebP picture has the chunk {chunk!r} where its picture should be")
    return _checked(PictureKind.WEBP, width, height, 3)


# -- all ------------------------------------------------------------------------------------------

_MOST_PIXELS = 1 << 27
"""More than any camera has (134 million): a size that damaged bytes made up would ask for gigabytes
of memory."""


def _checked(kind: PictureKind, width: int, height: int, channels: int) -> PictureHeader:
    if not 1 <= width * height <= _MOST_PIXELS:
        raise PixelError(
            f"a {kind.name} picture says it is {width}x{height}; its header is damaged, or it has "
            f"no pixels or more than {_MOST_PIXELS}"
        )
    return PictureHeader(kind, width, height, channels)


def _cut_off(kind: PictureKind, data: memoryview, what: str) -> PixelError:
    return PixelError(f"a {kind.name} picture is cut off after {len(data)} bytes: {what}")
