"""Write bags that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.rosbag2 import StoragePlugin, Writer

from jetson_detect.bags.errors import BagError, BagExistsError
from jetson_detect.bags.reader import BagTopic
from jetson_detect.bags.types import message_definition, metadata_version

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
"""By the names that ``ros2 bag record --storage`` knows."""


class BagWriter:
    """A bag being written; a context manager.

    The bag is made in a folder beside its place and moved there when the ``with`` block ends well;
    when it ends with an exception, nothing is left.
    """

    def __init__(self, path: str | Path, storage: str = "mcap", overwrite: bool = False) -> None:
        """Check that the bag can be written; nothing is created yet.

        Parameters
        ----------
        path
            The bag's folder; parents are made as needed.
        storage
            ``mcap`` or ``sqlite3``.
        overwrite
            Replace a bag that is there; anything else than a bag is never replaced.

        Raises
        ------
        BagExistsError
            If a bag is there that is not to be replaced.
        BagError
            If the storage is unknown or something else is in the way.

        """
        self.path = Path(path).expanduser().absolute()
        if storage not in STORAGES:
            raise BagError(f"storage '{storage}' is not known; choose {' or '.join(STORAGES)}")
        self._plugin = STORAGES[storage]
        self._overwrite = overwrite
        self._check_place()
        self._connections: dict[str, Any] = {}
        self._workshop: Path | None = None
        self._writer: Any = None

    def add_topic(self, topic: str, type_name: str) -> None:
        """Announce a topic; also one without messages is listed in the bag.

        Raises
        ------
        BagError
            If the type, ``sensor_msgs/msg/Image`` for one, is not installed.

        """
        definition, type_hash = message_definition(type_name)
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, msgdef=definition, rihs01=type_hash
        )

    def add_copy(self, topic: BagTopic) -> None:
        """Announce a topic as another bag has it, also of a type that is not installed here.

        Raises
        ------
        BagError
            If the bag does not define the type, and it is not installed, or there are several.

        """
        definition, type_hash = topic.definition, topic.type_hash
        if not definition or not type_hash:
            definition, type_hash = message_definition(topic.type_name)
        self._connections[topic.name] = self._writer.add_connection(
            topic.name,
            topic.type_name,
            msgdef=definition,
            rihs01=type_hash,
            offered_qos_profiles=topic.qualities,
        )

    def note(self, key: str, text: str) -> None:
        """Write something into the bag's ``custom_data``, for whoever wonders where it is from."""
        self._writer.set_custom_data(key, text)

    def write(self, topic: str, timestamp: int, data: bytes) -> None:
        """Write a serialised message of a topic that was added.

        Parameters
        ----------
        topic
            Its name.
        timestamp
            When it was recorded, in nanoseconds, not negative.
        data
            Plain CDR.

        Raises
        ------
        BagError
            If the topic was not added or the disk does not take the message.

        """
        if topic not in self._connections:
            raise BagError(f"{self.path}: topic {topic} was not added before its first message")
        try:
            self._writer.write(self._connections[topic], timestamp, data)
        except Exception as error:  # sqlite3, the file system: whatever the storage meets
            raise BagError(f"{self.path}: cannot be written: {error}") from error

    def __enter__(self) -> BagWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            workshop = tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            self._workshop = Path(workshop)
            # The storage file is named after its folder, so the name must be the final one.
            self._writer = Writer(
                self._workshop / self.path.name,
                version=metadata_version(),
                storage_plugin=self._plugin,
            )
            self._writer.open()
        except OSError as error:
            self._clear()
            raise BagError(f"{self.path}: cannot be written: {error}") from error
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
            else:
                self._writer.abort()
        finally:
            self._clear()

    def _publish(self) -> None:
        assert self._workshop is not None
        try:
            self._writer.close()
            self._check_place()  # something may have come there meanwhile
            replaced = self._workshop / "replaced"
            if self.path.exists():
                self.path.rename(replaced)
            try:
                (self._workshop / self.path.name).rename(self.path)
            except OSError:
                if replaced.exists():
                    replaced.rename(self.path)
                raise
        except BagError:
            raise
        except Exception as failure:  # sqlite3, the file system: whatever the storage meets
            raise BagError(f"{self.path}: cannot be written: {failure}") from failure

    def _check_place(self) -> None:
        if not self.path.exists():
            return
        if not (self.path / "metadata.yaml").is_file():
            raise BagError(f"{self.path}: exists already and is no bag; choose another name")
        if not self._overwrite:
            raise BagExistsError(f"{self.path}: exists already")

    def _clear(self) -> None:
        if self._workshop is not None:
            shutil.rmtree(self._workshop, ignore_errors=True)
            self._workshop = None
