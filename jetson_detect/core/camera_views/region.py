"""A rectangle of whole pixels."""

from __future__ import annotations

from dataclasses import dataclass


class RegionError(ValueError):
    """A rectangle that is none, or lies outside the image it is meant for."""


@dataclass(frozen=True)
class Region:
    """A rectangle in pixels of an image."""

    x: int
    """Left edge."""
    y: int
    """Top edge."""
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise RegionError(
                f"region {self} needs x and y of at least 0 and width and height of at least 1"
            )

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read ``x,y,width,height``.

        Raises
        ------
        RegionError
            If it is anything else.

        """
        try:
            x, y, width, height = (int(part) for part in text.split(","))
        except ValueError:
            raise RegionError(
                f"region '{text}' must be four integers 'x,y,width,height', in pixels"
            ) from None
        return cls(x, y, width, height)

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Region:
        """All of an image of this width and height."""
        return cls(0, 0, *size)

    @property
    def right(self) -> int:
        """Right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Bottom edge."""
        return self.y + self.height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def within(self, size: tuple[int, int]) -> Region:
        """Return the part that lies in an image of this width and height.

        Raises
        ------
        RegionError
            If there is none.

        """
        width, height = size
        if self.x >= width or self.y >= height:
            raise RegionError(
                f"region {self} (x,y,width,height) lies outside the image of {width}x{height}"
            )
        return Region(
            self.x, self.y, min(self.right, width) - self.x, min(self.bottom, height) - self.y
        )

    def reduced(self, reduction: int) -> Region:
        """Return the smallest region that holds this one where ``reduction`` pixels became one."""
        x, y = self.x // reduction, self.y // reduction
        return Region(x, y, -(-self.right // reduction) - x, -(-self.bottom // reduction) - y)

    def aligned(self, columns: int, rows: int) -> Region:
        """Return the smallest region that holds this one, with edges at multiples of these."""
        x, y = self.x // columns * columns, self.y // rows * rows
        width = -(-self.right // columns) * columns - x
        return Region(x, y, width, -(-self.bottom // rows) * rows - y)
