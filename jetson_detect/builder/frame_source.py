"""Where the frames come from that an engine is calibrated and proven on; bags among it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jetson_detect.core.sample_frames import FrameChoice, SampleFrame, take_frames, thin_out

_logger = logging.getLogger("jetson_detect.builder")


@dataclass(frozen=True)
class FrameSource:
    """Frames of a folder, a video or a bag; drawn scenes where nothing is named."""

    choice: FrameChoice = FrameChoice()
    topic: str = ""
    """The bag's topic of images; may be left out where it has one."""

    def __str__(self) -> str:
        what = " ".join((*self.choice.sources, self.topic)).rstrip() or "drawn scenes"
        return f"up to {self.choice.count} frames of {what}"

    def frames(self, labels: Sequence[str]) -> Sequence[SampleFrame]:
        """Take the frames.

        Parameters
        ----------
        labels:
            The model's; drawn scenes come with their truth if it was trained on such.

        Raises
        ------
        PictureError, BagError
            If there are none, or they cannot be read.

        """
        sources = [Path(source).expanduser() for source in self.choice.sources]
        if not (self.topic or any(map(_is_bag, sources))):
            return take_frames(self.choice, labels, _logger.warning)
        from jetson_detect.bags.pictures import BagPictures

        if len(sources) != 1:
            raise ValueError(f"{len(sources)} sources and the topic '{self.topic}': name one bag")
        pictures = BagPictures(sources[0], self.topic)
        return thin_out(pictures, self.choice.count, self.choice.memory_mb)


def _is_bag(path: Path) -> bool:
    from jetson_detect.bags.reader import STORAGE_SUFFIXES

    return path.suffix in STORAGE_SUFFIXES or (path / "metadata.yaml").is_file()
