"""pytest's ``replay_bag``: bags as tests; see docs/bags-as-tests.md.

pytest imports this module wherever the package is installed, so it imports nothing heavy itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jetson_detect.bags.offline_detector import OfflineDetector, OfflineOptions
    from jetson_detect.testing.replayed_bag import ReplayedBag

_UPDATE = "--update-golden-bags"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update-golden-bags``."""
    parser.getgroup("jetson_detect").addoption(
        _UPDATE,
        action="store_true",
        help="write the golden bags of assert_matches() anew instead of comparing with them",
    )


class LoadedDetectors:
    """The detectors of a test session: each is loaded once, when it is first wanted."""

    def __init__(self, stack: ExitStack) -> None:
        """Have ``stack`` close them."""
        self._stack = stack
        self._loaded: dict[OfflineOptions, OfflineDetector] = {}

    def get(self, options: OfflineOptions) -> OfflineDetector:
        """Return one, loaded.

        Raises
        ------
        ModelError, BackendError
            If there is no such model or nothing runs it.

        """
        from jetson_detect.bags.offline_detector import OfflineDetector

        if options not in self._loaded:
            self._loaded[options] = self._stack.enter_context(OfflineDetector(options))
        return self._loaded[options]


@pytest.fixture(scope="session")
def loaded_detectors() -> Iterator[LoadedDetectors]:
    """The detectors that ``replay_bag`` has loaded."""
    with ExitStack() as stack:
        yield LoadedDetectors(stack)


@pytest.fixture(scope="module")
def replay_bag(
    request: pytest.FixtureRequest, loaded_detectors: LoadedDetectors
) -> Callable[..., ReplayedBag]:
    """Run a bag through a detector: ``replay_bag("my_bag", model="demo")``.

    Relative paths, of bags, golden bags and models, are relative to the test's file.  Keywords are
    those of :func:`jetson_detect.testing.bag_run.run_bag` and the fields of
    :class:`jetson_detect.bags.offline_detector.OfflineOptions`.
    """
    asked: Any = request
    # Humble's pytest is 6.2, which has no request.path.
    folder = Path(asked.path if hasattr(asked, "path") else asked.fspath).parent
    return partial(_replay, folder, loaded_detectors, bool(request.config.getoption(_UPDATE)))


def _replay(
    folder: Path,
    detectors: LoadedDetectors,
    updates_golden: bool,
    bag: str | Path,
    *,
    model: str | Path = "",
    backends: str | tuple[str, ...] | list[str] = (),
    precision: str | None = None,
    topics: tuple[str, ...] | list[str] = (),
    detections: tuple[str, ...] | list[str] = (),
    limit: int | None = None,
    **options: Any,
) -> ReplayedBag:
    from jetson_detect.bags.offline_detector import OfflineOptions
    from jetson_detect.core.model import Precision
    from jetson_detect.testing.bag_run import run_bag

    if model:
        own = folder / model
        options["model"] = str(own if own.exists() else model)
    if backends:
        options["backends"] = (backends,) if isinstance(backends, str) else tuple(backends)
    if precision is not None:
        options["precision"] = Precision(precision)
    return run_bag(
        folder / bag,
        detectors.get(OfflineOptions(**options)),
        topics=topics,
        detections=detections,
        limit=limit,
        updates_golden=updates_golden,
        folder=folder,
    )
