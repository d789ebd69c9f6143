from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import jetson_detect
from jetson_detect.core.engines.cache import (
    BrokenEntryError,
    CacheError,
    EngineCache,
    EngineRecord,
    default_cache_folder,
)
from jetson_detect.core.engines.plain_json import digest
from jetson_detect.core.model import Format, HeadSpec, ModelFile, Precision

sys.path.insert(0, str(Path(__file__).parent))
from engine_samples import MACHINE, RECORD, SOURCE, identity

PLAN = b"plan" * 1000
MB = 1 << 20


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def age(entry, seconds):
    """Make an engine look as if it was last used that long ago."""
    used = (entry.folder / "engine.json").stat().st_mtime - seconds
    os.utime(entry.folder / "engine.json", (used, used))


def edit(entry, change, seal=False):
    """Edit a sidecar by hand; with ``seal`` as somebody who knows how it is sealed."""
    path = entry.folder / "engine.json"
    document = json.loads(path.read_bytes())
    change(document)
    if seal:
        del document["seal"]
        document["seal"] = digest(document)
    path.write_text(json.dumps(document))


def names(entries):
    return [entry.identity.model for entry in entries]


# Stored and found


def test_what_was_promoted_is_found_with_all_that_was_told_about_it(cache, tmp_path):
    head = HeadSpec("yolov8", {"predictions": "output0"}, {"box_units": "pixels"})
    record = EngineRecord(
        tensors={"image": "images"},
        head=head,
        proof={"passed": True, "mAP50": 0.75, "px": math.nan},
        figures={"boxes p99 px": 0.1234, "mAP50 against truth": None},
        latency_ms=2.5,
        timing={"build": 12.25},
        warnings=("3 tactics were skipped",),
        changes=("NMS was cut out",),
    )
    (tmp_path / "made.plan").write_bytes(PLAN)
    promoted = cache.promote(identity(), tmp_path / "made.plan", record)
    found = EngineCache(cache.folder).find(identity())
    assert found == promoted
    assert found.plan.read_bytes() == PLAN
    assert found.record == replace(record, proof={"passed": True, "mAP50": 0.75, "px": None})
    assert found.identity == identity()
    assert found.model_file == ModelFile(
        Format.TENSORRT, found.plan, Precision.FP16, None, {"image": "images"}, head
    )
    assert found.sidecar.package == jetson_detect.__version__
    row = found.summary()
    assert row.pop("created") == found.sidecar.created
    assert row.pop("last used") >= found.sidecar.created
    assert row == {
        "model": "demo",
        "precision": "fp16",
        "key": identity().key[:12],
        "size": "0.0 MB",
        "latency": "2.50 ms",
        "proof": "boxes p99 px 0.123",
        "GPU": "Orin",
        "TensorRT": "8.6.0",
    }
    assert cache.verify() == ()
    assert not list((cache.folder / "work").iterdir())


def test_only_the_very_identity_is_found(cache):
    cache.promote(identity(), PLAN, RECORD)
    assert cache.find(identity(driver="1.2")) is None
    assert cache.find(identity(precision="fp32")) is None


def test_a_model_may_have_any_name(cache):
    for model in ("../../etc/passwd", "..", "a b/c", "ä" * 300):
        entry = cache.promote(identity(model=model), PLAN, RECORD)
        assert entry.folder.parent == cache.folder / "entries"
        assert cache.find(identity(model=model)) == entry


def test_an_engine_that_is_built_again_replaces_the_old_one(cache):
    cache.promote(identity(), PLAN, RECORD)
    cache.promote(identity(), b"newer", RECORD)
    assert cache.find(identity()).plan.read_bytes() == b"newer"
    assert len(cache.entries()) == 1
    assert len(list((cache.folder / "entries").iterdir())) == 1


def test_a_plan_that_is_not_there_is_named(cache, tmp_path):
    with pytest.raises(CacheError, match=r"gone\.plan: cannot be read .*build the engine again"):
        cache.promote(identity(), tmp_path / "gone.plan", RECORD)


def test_a_record_that_json_cannot_hold_changes_nothing(cache):
    with pytest.raises(ValueError, match=r"record\.proof\.folder: .*PosixPath"):
        cache.promote(identity(), PLAN, EngineRecord(proof={"folder": Path()}))
    assert cache.find(identity()) is None
    assert not list((cache.folder / "work").iterdir())


# Broken and foreign engines


def flip(path):
    with path.open("r+b") as file:
        file.seek(1234)
        byte = file.read(1)[0]
        file.seek(1234)
        file.write(bytes([byte ^ 1]))


BROKEN = {
    "truncated": (
        lambda entry: os.truncate(entry.plan, 3999),
        r"engine\.plan: has 3999 bytes instead of 4000; build the engine again",
    ),
    "one byte flipped": (
        lambda entry: flip(entry.plan),
        r"engine\.plan: was changed since it was stored \(SHA-256 \w{12} instead of \w{12}\)",
    ),
    "no plan": (lambda entry: entry.plan.unlink(), r"engine\.plan: cannot be read"),
    "plan by a link": (
        lambda entry: entry.plan.symlink_to(entry.plan.rename(entry.plan.with_name("p"))),
        r"engine\.plan: is a link",
    ),
    "value edited": (
        lambda entry: edit(entry, lambda document: document.update(latency_ms=0.1)),
        r"engine\.json: was changed since it was written: its seal does not fit; build",
    ),
    "seal edited": (
        lambda entry: edit(entry, lambda document: document.update(seal="0" * 64)),
        "its seal does not fit",
    ),
    "no seal": (
        lambda entry: edit(entry, lambda document: document.pop("seal")),
        "its seal does not fit",
    ),
    "other schema": (
        lambda entry: edit(entry, lambda document: document.update(schema=2), seal=True),
        "has schema 2, and this version of the package reads 1",
    ),
    "identity cut": (
        lambda entry: (
            edit(entry, lambda document: document["identity"].pop("gpu", 0), seal=True)
            or edit(entry, lambda document: document["identity"].pop("recipe"), seal=True)
        ),
        "identity: there is no recipe",
    ),
    "identity of another": (
        lambda entry: edit(
            entry, lambda document: document["identity"].update(recipe=9), seal=True
        ),
        "holds the engine [0-9a-f]{32}; remove it",
    ),
    "part missing": (
        lambda entry: edit(entry, lambda document: document.pop("plan"), seal=True),
        r"does not hold what it should \(KeyError\('plan'\)\)",
    ),
    "no JSON": (
        lambda entry: (entry.folder / "engine.json").write_bytes(b'{"schema'),
        "is no JSON",
    ),
    "no object": (
        lambda entry: (entry.folder / "engine.json").write_bytes(b"[]"),
        "is no JSON object",
    ),
    "no sidecar": (
        lambda entry: (entry.folder / "engine.json").unlink(),
        r"engine\.json: cannot be read \(No such file",
    ),
    "plan that everybody may write": (
        lambda entry: entry.plan.chmod(0o666),
        r"engine\.plan: everybody may write there \(mode 666\)",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_engine_is_never_found_and_the_reason_is_told(cache, how):
    spoil, reason = BROKEN[how]
    spoil(cache.promote(identity(), PLAN, RECORD))
    assert cache.find(identity()) is None
    (problem,) = cache.verify()
    for told in (problem, cache.why_not(identity())):
        assert_matches(told, reason)
    if how != "identity of another":  # a forgery that every check but its name stands
        usable = cache.usable("demo", [SOURCE], MACHINE)
        assert usable.entries == ()
        assert_matches(usable.refusals[0], reason)


def assert_matches(text, pattern):
    with pytest.raises(RuntimeError, match=pattern):
        raise RuntimeError(text)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_engine_is_mended_by_building_it_again(cache, how):
    BROKEN[how][0](cache.promote(identity(), PLAN, RECORD))
    cache.promote(identity(), PLAN, RECORD)
    assert cache.find(identity()).plan.read_bytes() == PLAN
    assert cache.verify() == ()


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_engine_can_be_removed(cache, how):
    BROKEN[how][0](cache.promote(identity(), PLAN, RECORD))
    assert cache.clear(model="demo").count == 1
    assert cache.verify() == ()
    assert not list((cache.folder / "entries").iterdir())


def test_one_engine_can_be_verified(cache):
    sound, broken = (cache.promote(identity(recipe=n), PLAN, RECORD) for n in (1, 2))
    flip(broken.plan)
    assert cache.verify(sound) == ()
    assert len(cache.verify(broken)) == 1
    cache.clear()
    assert_matches(cache.verify(sound)[0], "is not in the cache any more")


def test_the_reason_names_what_differs_from_the_nearest_engine(cache):
    assert cache.why_not(identity()) == (
        f"no engine of model 'demo' was built yet in {cache.folder}"
    )
    cache.promote(identity(model="other"), PLAN, RECORD)
    cache.promote(identity(precision="fp32", recipe=0, l4t=""), PLAN, RECORD)
    near = cache.promote(identity(gpu="Thor", tensorrt="8.5.3.1"), PLAN, RECORD)
    assert cache.why_not(identity()) == (
        f"the nearest engine, {near.folder.name}, has TensorRT 8.5.3.1 instead of 8.6.0, "
        "GPU Thor instead of Orin"
    )


def test_an_engine_that_failed_its_proof_is_kept_aside_and_never_found(cache):
    aside = cache.set_aside(identity(), PLAN, EngineRecord(proof={"passed": False}))
    assert cache.find(identity()) is None
    assert cache.usable("demo", [SOURCE], MACHINE).entries == ()
    assert cache.entries() == ()
    assert cache.entries(rejected=True) == (aside,)
    assert cache.why_not(identity()) == (
        "the engine of model 'demo' was built and failed its proof: see "
        f"{aside.folder / 'engine.json'}"
    )


def test_only_the_newest_five_of_those_set_aside_are_kept(cache):
    for recipe in range(8):
        age(cache.set_aside(identity(recipe=recipe), PLAN, RECORD), 100 - recipe)
    kept = {entry.identity.recipe for entry in cache.entries(rejected=True)}
    assert kept == {3, 4, 5, 6, 7}


# What a detector may load


def test_the_fastest_engine_of_the_newest_recipe_comes_first(cache):
    for recipe, precision, latency in (
        (1, "fp16", 1.0),
        (2, "fp32", 5.0),
        (2, "int8", 2.0),
        (2, "bf16", None),
        (2, "fp16", 3.0),
    ):
        record = EngineRecord(latency_ms=latency)
        cache.promote(identity(recipe=recipe, precision=precision), PLAN, record)
    usable = cache.usable("demo", [SOURCE], MACHINE)
    found = [(entry.identity.recipe, entry.identity.precision) for entry in usable.entries]
    assert found == [(2, "int8"), (2, "fp16"), (2, "fp32"), (2, "bf16"), (1, "fp16")]
    assert (usable.refusals, usable.absence) == ((), "")


def test_engines_of_other_machines_sources_and_precisions_are_refused_by_name(cache):
    cache.promote(identity(model="other"), PLAN, RECORD)
    foreign = cache.promote(identity(gpu="Thor", tensorrt="8.5.3.1"), PLAN, RECORD)
    changed = cache.promote(identity(source="cd" * 32), PLAN, RECORD)
    other = cache.promote(identity(precision="fp32"), PLAN, RECORD)
    usable = cache.usable("demo", [SOURCE], MACHINE, Precision.FP16)
    assert usable.entries == ()
    assert set(usable.refusals) == {
        f"{foreign.folder.name}: TensorRT 8.5.3.1 instead of 8.6.0, GPU Thor instead of Orin",
        f"{changed.folder.name}: source cdcdcdcdcdcd instead of abababababab "
        "(the model's file changed)",
        f"{other.folder.name}: precision fp32 instead of fp16",
    }


def test_a_model_without_engines_or_files_says_so(cache):
    usable = cache.usable("demo", [], MACHINE)
    assert usable.absence == f"no engine of model 'demo' was built yet in {cache.folder}"
    assert usable.refusals == ()
    cache.promote(identity(), PLAN, RECORD)
    usable = cache.usable("demo", [], MACHINE)
    assert usable.absence == ""
    (refusal,) = usable.refusals
    assert refusal.endswith(
        "source abababababab instead of any file that is there (the model's file changed)"
    )


def test_a_version_compatible_engine_is_usable_after_an_upgrade_but_not_found_by_a_builder(cache):
    portable = identity(options={"version_compatible": True})
    entry = cache.promote(portable, PLAN, RECORD)
    upgraded = replace(MACHINE, tensorrt="8.6.1", driver="1.2", l4t="")
    assert cache.usable("demo", [SOURCE], upgraded).entries == (entry,)
    assert cache.find(replace(portable, machine=upgraded)) is None


# Size


@pytest.fixture
def small(tmp_path: Path) -> EngineCache:
    """A cache with a limit of 4 MB."""
    return EngineCache(tmp_path / "engines", size_limit_mb=4)


def fill(cache, *models):
    """Store engines of a little less than 1 MB, the first used longest ago."""
    stored = []
    for index, model in enumerate(models):
        stored.append(cache.promote(identity(model=model), bytes(MB - 20_000), RECORD))
        age(stored[-1], 1000 - index)
    return stored


def test_the_least_recently_used_engines_go_when_there_is_no_room(small):
    fill(small, "a", "b", "c", "d")
    assert small.find(identity(model="a")) is not None
    fill(small, "e")
    assert names(small.entries()) == ["a", "c", "d", "e"]
    assert 3 * MB < small.size_bytes <= 4 * MB


def test_engines_that_failed_their_proof_go_first(small):
    fill(small, "a", "b", "c")
    small.set_aside(identity(), bytes(MB - 20_000), RECORD)
    fill(small, "e")
    assert names(small.entries()) == ["a", "b", "c", "e"]
    assert small.entries(rejected=True) == ()


def test_an_engine_that_failed_drives_none_out_that_passed(small):
    fill(small, "a", "b", "c", "d")
    small.set_aside(identity(), bytes(MB), RECORD)
    assert names(small.entries()) == ["a", "b", "c", "d"]
    assert len(small.entries(rejected=True)) == 1


def test_an_engine_larger_than_the_limit_is_kept_alone(small, caplog):
    fill(small, "a")
    entry = small.promote(identity(), bytes(5 * MB), RECORD)
    assert small.entries() == (entry,)
    assert "keeps 1.0 MB more than its limit of 4.0 MB" in caplog.text


def test_a_limit_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="size_limit_mb: 0 is not positive"):
        EngineCache(tmp_path, size_limit_mb=0)


def test_clear_removes_what_is_meant_and_says_how_much(cache):
    for model in ("a", "b"):
        for recipe in (1, 2):
            cache.promote(identity(model=model, recipe=recipe), bytes(MB), RECORD)
        cache.set_aside(identity(model=model), bytes(MB), RECORD)
    one = cache.clear(keys=[identity(model="a", recipe=1).key[:12]], rejected=False)
    assert (one.count, one.kept) == (1, ())
    assert MB < one.freed_bytes < MB + 5000
    assert names(cache.entries()) == ["a", "b", "b"]
    assert cache.clear(model="b", promoted=False).count == 1
    assert names(cache.entries(rejected=True)) == ["a"]
    assert cache.clear(keys=[]).count == 0
    assert cache.clear().count == 4
    assert cache.size_bytes == 0
    assert not list((cache.folder / "work").iterdir())


# Where it lies


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"JETSON_DETECT_CACHE": "/data/cache", "XDG_CACHE_HOME": "/xdg"}, "/data/cache/engines"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/jetson_detect/engines"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/robot/.cache/jetson_detect/engines"),
        ({}, "/home/robot/.cache/jetson_detect/engines"),
    ],
)
def test_the_folder_follows_the_environment(environment, folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/robot")
    assert default_cache_folder(environment) == Path(folder)


def test_a_folder_that_everybody_may_write_to_is_refused(cache):
    entry = cache.promote(identity(), PLAN, RECORD)
    for folder in (cache.folder, cache.folder / "entries"):
        folder.chmod(0o777)
        for use in (
            lambda: cache.find(identity()),
            lambda: cache.usable("demo", [SOURCE], MACHINE),
            lambda: cache.promote(identity(), PLAN, RECORD),
        ):
            with pytest.raises(CacheError, match=rf"{folder}: everybody may write .*chmod o-w"):
                use()
        folder.chmod(0o755)
    entry.folder.chmod(0o777)
    assert cache.find(identity()) is None
    assert "everybody may write there" in cache.why_not(identity())


def test_a_folder_of_another_user_is_refused(cache, monkeypatch):
    cache.promote(identity(), PLAN, RECORD)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    if me == 0:  # root's files are trusted by everybody
        assert cache.find(identity()) is not None
        os.chown(cache.folder, 4711, -1)
        me = 4711
    with pytest.raises(CacheError, match=rf"belongs to user {me}, not to user .*chown it"):
        cache.find(identity())


def test_a_loose_umask_does_not_open_the_cache_to_everybody(cache):
    before = os.umask(0)
    try:
        cache.promote(identity(), PLAN, RECORD)
        with cache.lock(identity()):
            cache.record_seconds("demo", "fp16", "build", 1.0)
    finally:
        os.umask(before)
    assert cache.find(identity()) is not None
    for path in [cache.folder, *cache.folder.rglob("*")]:
        assert not path.stat().st_mode & 0o022, path


def test_what_does_not_belong_there_is_overlooked(cache):
    cache.promote(identity(), PLAN, RECORD)
    (cache.folder / "entries" / "notes.txt").write_text("mine")
    assert len(cache.entries()) == 1
    assert cache.clear().count == 1
    assert (cache.folder / "entries" / "notes.txt").read_text() == "mine"


def test_broken_entries_have_an_error_of_their_own(cache):
    entry = cache.promote(identity(), PLAN, RECORD)
    flip(entry.plan)
    with pytest.raises(BrokenEntryError, match="was changed since it was stored"):
        entry.check_plan()
