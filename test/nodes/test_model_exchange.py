"""Models that are loaded, exchanged and given back, without a node."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from jetson_detect.core.backends import BackendError
from jetson_detect.nodes.model_exchange import ModelExchange


class Loaded:
    """Stands for a model with its backends."""

    is_settled = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.chain = object()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Loader:
    """Loads what it is asked for, unless that is to fail."""

    def __init__(self) -> None:
        self.loaded: list[Loaded] = []
        self.errors: dict[str, Exception] = {}
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.begun = threading.Event()

    def __call__(self, name: str) -> Any:
        self.begun.set()
        assert self.may_go_on.wait(10.0)
        if name in self.errors:
            raise self.errors[name]
        self.loaded.append(Loaded(name))
        return self.loaded[-1]


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def models(loader: Loader) -> ModelExchange:
    exchange = ModelExchange(loader)
    exchange.start("a")
    return exchange


def test_a_model_is_loaded_once_however_often_it_is_wanted(models, loader):
    models.prepare("b")
    models.prepare("b")
    assert models.demand("b") is models.demand("b") is loader.loaded[1]
    assert models.running is loader.loaded[0]
    models.prepare("a")  # it runs
    assert [each.name for each in loader.loaded] == ["a", "b"]


def test_what_is_demanded_without_preparation_is_loaded_then(models, loader):
    assert models.demand("b") is loader.loaded[1]


@pytest.mark.parametrize("prepared", [True, False])
def test_a_refusal_is_told_once_and_the_next_demand_tries_again(models, loader, prepared):
    loader.errors["b"] = BackendError("the file is corrupt")
    if prepared:
        models.prepare("b")
    with pytest.raises(ValueError, match="model 'b' is not taken: the file is corrupt"):
        models.demand("b")
    loader.errors.clear()
    assert models.demand("b").name == "b"


def test_an_error_that_nobody_expected_is_a_refusal_too(models, loader):
    loader.errors["b"] = RuntimeError("out of luck")
    with pytest.raises(ValueError, match=r"not taken: RuntimeError\('out of luck'\)"):
        models.demand("b")


def test_the_old_model_goes_on_until_it_is_retired(models, loader):
    models.demand("b")
    new = models.exchange("b")
    old = loader.loaded[0]
    assert models.running is new
    assert models.model_of(old.chain) is old
    assert old.closed == 0
    models.retire(new)
    assert (old.closed, new.closed) == (1, 0)
    assert models.model_of(old.chain) is None


def test_a_model_that_is_overtaken_while_it_answers_is_kept(models, loader):
    for name in ("b", "c"):
        models.demand(name)
        models.exchange(name)
    _, second, third = loader.loaded
    models.retire(second)  # who answers has not heard of the third yet
    assert [each.closed for each in loader.loaded] == [1, 0, 0]
    models.retire(third)
    assert [each.closed for each in loader.loaded] == [1, 1, 0]


def test_what_was_not_demanded_cannot_run(models):
    with pytest.raises(ValueError, match="'b' is not loaded"):
        models.exchange("b")


def test_what_is_discarded_is_closed_and_loaded_anew_when_it_is_wanted(models, loader):
    models.prepare("b")
    models.discard("b")
    models.discard("b")
    assert loader.loaded[1].closed == 1
    assert models.demand("b") is loader.loaded[2]


def test_all_that_is_left_is_closed_in_the_end(models, loader):
    for name in ("b", "c"):
        models.demand(name)
    models.exchange("b")
    models.close()
    assert [each.closed for each in loader.loaded] == [1, 1, 1]
    assert models.running is None


def test_what_is_still_being_loaded_in_the_end_is_closed_as_soon_as_it_is_there(models, loader):
    loader.begun.clear()
    loader.may_go_on.clear()
    loading = threading.Thread(target=models.prepare, args=("b",))
    loading.start()
    assert loader.begun.wait(10.0)
    assert not models.is_settled
    models.close()
    loader.may_go_on.set()
    loading.join(10.0)
    assert [each.closed for each in loader.loaded] == [1, 1]
    with pytest.raises(ValueError, match="stopping"):
        models.demand("c")
    assert [each.name for each in loader.loaded] == ["a", "b"]


def test_frames_wait_in_line_for_a_moment_after_a_model_was_loaded(models, monkeypatch):
    assert models.is_settled
    models.prepare("b")
    assert not models.is_settled
    monkeypatch.setattr("time.monotonic", lambda: 1e9)
    assert models.is_settled
