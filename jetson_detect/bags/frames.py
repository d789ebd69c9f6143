"""The images of a bag one after the other, each with what belongs to it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from jetson_detect.bags.errors import BagError
from jetson_detect.bags.reader import BagMessage
from jetson_detect.bags.stamps import StampError, read_stamp

_LOOK_AHEAD_NS = 500_000_000
"""How much later than its image a message of the same stamp may have been recorded."""


@dataclass(frozen=True)
class Frame:
    """One image of a bag."""

    image: BagMessage
    number: int
    """Counts the images of its topic from 0."""
    stamp: int
    """``header.stamp`` of the image, nanoseconds."""
    companions: tuple[BagMessage, ...]
    """Messages of other topics to be sent just before the image."""
    loop: int = 0
    """How often the bag was played to its end before."""
    delay_ns: int = 0
    """How much later than recorded it is played for that reason, nanoseconds."""

    @property
    def position_ns(self) -> int:
        """When it is due, on a clock that began as the recording did and never goes back."""
        return self.image.timestamp + self.delay_ns


@dataclass
class _Pending:
    image: BagMessage
    number: int
    stamp: int
    companions: list[BagMessage] = field(default_factory=list)


def frames(
    messages: Iterable[BagMessage],
    image_topics: Collection[str],
    stamped_topics: Collection[str] = (),
) -> Iterator[Frame]:
    """Sort recorded messages into frames, in the order of the images.

    A message of ``stamped_topics`` goes with the image of the same stamp, recorded up to half a
    second apart; where several cameras share stamps, with the first of them.  One without such an
    image, and one of any other topic, goes with the next image; after the last image, with none.

    Parameters
    ----------
    messages
        In the order of recording.
    image_topics
        Topics of images.
    stamped_topics
        Other topics, whose messages start with a header.

    Raises
    ------
    BagError
        If the bytes of an image or a stamped message do not start with a header.

    """
    pending: deque[_Pending] = deque()
    early: dict[int, list[BagMessage]] = {}  # by stamp, image not seen yet
    loose: list[BagMessage] = []
    numbers: Counter[str] = Counter()
    wanted = set(stamped_topics)

    for message in messages:
        horizon = message.timestamp - _LOOK_AHEAD_NS
        while pending and pending[0].image.timestamp < horizon:
            yield _finished(pending.popleft())
        if early:
            for stamp in [key for key, waiting in early.items() if waiting[0].timestamp < horizon]:
                loose += early.pop(stamp)
        if message.topic in image_topics:
            stamp = _stamp_of(message)
            companions = [*loose, *early.pop(stamp, [])]
            loose = []
            pending.append(_Pending(message, numbers[message.topic], stamp, companions))
            numbers[message.topic] += 1
        elif message.topic in wanted:
            stamp = _stamp_of(message)
            image = next((one for one in pending if one.stamp == stamp), None)
            if image is not None:
                image.companions.append(message)
            else:
                early.setdefault(stamp, []).append(message)
        else:
            loose.append(message)
        while pending and wanted <= {companion.topic for companion in pending[0].companions}:
            yield _finished(pending.popleft())
    while pending:
        yield _finished(pending.popleft())


def _finished(pending: _Pending) -> Frame:
    return Frame(pending.image, pending.number, pending.stamp, tuple(pending.companions))


def _stamp_of(message: BagMessage) -> int:
    try:
        return read_stamp(message.data)
    except StampError as error:
        raise BagError(f"{message.topic}: a message has no stamp: {error}") from error
