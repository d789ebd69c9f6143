"""What the core logs, in the log of nodes."""

from __future__ import annotations

import logging

from jetson_detect.nodes.library_log import LibraryLog


class Logger:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


class Context:
    def ok(self) -> bool:
        return True


class Node:
    def __init__(self) -> None:
        self.logger, self.context = Logger(), Context()

    def get_logger(self) -> Logger:
        return self.logger


def test_of_two_nodes_in_a_process_the_younger_one_passes_a_warning_on():
    core = logging.getLogger("jetson_detect.core.something")
    older, younger = Node(), Node()
    first = LibraryLog(older)
    core.warning("one")
    second = LibraryLog(younger)
    core.warning("two")
    second.close()
    core.warning("three")
    first.close()
    assert older.logger.warnings == ["one", "three"]
    assert younger.logger.warnings == ["two"]
