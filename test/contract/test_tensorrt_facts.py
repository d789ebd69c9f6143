import importlib.util
import json
import sys
from pathlib import Path

import pytest
from api_facts import Api, Signature
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[2] / "scripts" / "tensorrt_facts.py"
_spec = importlib.util.spec_from_file_location("tensorrt_facts", SCRIPT)
tensorrt_facts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tensorrt_facts)

VERSIONS = ("8.6.1", "10.0.1", "10.10.0")


def dump(**classes):
    return {"top": sorted([*classes, "volume"]), "classes": classes}


def a_class(members, bases=(), enum=None):
    return {"members": members, "bases": [*bases, "pybind11_object"], "enum": enum}


@pytest.fixture
def dumps(tmp_path):
    folder = tmp_path / "dumps"
    folder.mkdir()
    flag = a_class(
        {
            "FP16": "Flag",
            "name": "property",
            "__init__": "__init__(self: t.Flag, value: int) -> None",
        },
        enum={"FP16": 0},
    )
    old = dump(
        Flag=flag,
        Base=a_class({"name": "property", "run": "run(self: tensorrt.tensorrt.Base) -> None"}),
        Engine=a_class(
            {
                "__init__": "",
                "name": "property",
                "run": "run(self: tensorrt.tensorrt.Base) -> None",
                "shapes": "shapes(self: tensorrt.tensorrt.Engine) -> List[tensorrt.tensorrt.Dims]",
                "old": "old(self: tensorrt.tensorrt.Engine, batch: int = 1, where: a::b) -> a::B",
            },
            bases=["Base"],
        ),
        Logger=a_class({"Severity": "", "ERROR": "Severity", "INFO": "Severity"}),
    )
    new = dump(
        Flag=flag,
        Base=old["classes"]["Base"],
        Engine=a_class(
            {
                "__init__": "__init__(self: bindings.Engine, path: str) -> None",
                "name": "property",
                "run": "run(*args, **kwargs) || 1. run(self: tensorrt_bindings.tensorrt.Engine) "
                "-> bool || 2. run(self: tensorrt_bindings.tensorrt.Engine, "
                "shape: tuple[int, int] = (1, 2)) -> bool",
                "shapes": "shapes(self: tensorrt_bindings.tensorrt.Engine) "
                "-> list[tensorrt_bindings.tensorrt.Dims]",
                "parse": "parse(text: str) -> tensorrt_bindings.tensorrt.Engine",
            },
            bases=["Base"],
        ),
        Logger=old["classes"]["Logger"],
    )
    for version, content in zip(VERSIONS, (old, new, new)):
        (folder / f"{version}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def facts(dumps, tmp_path):
    path = tmp_path / "facts.json"
    assert tensorrt_facts.main([str(dumps), str(path)]) == 0
    return json.loads(path.read_text())


def test_versions_are_in_their_own_order_and_not_the_alphabets(facts):
    assert facts["versions"] == list(VERSIONS)


def test_a_member_says_in_which_versions_it_is_what(facts):
    assert facts["classes"]["Engine"]["members"] == {
        "__init__": {"(path) -> None": "10.0.1.."},
        "old": {"(batch=, where) -> B": "8.6.1"},
        "parse": {"static (text) -> Engine": "10.0.1.."},
        "run": {"() -> bool": "10.0.1..", "(shape=) -> bool": "10.0.1.."},
        "shapes": {"() -> list[Dims]": "*"},
    }


def test_what_a_class_inherits_is_said_once(facts):
    engine, base = facts["classes"]["Engine"], facts["classes"]["Base"]
    assert engine["bases"] == {"Base": "*"}
    assert base["members"] == {"name": {"property": "*"}, "run": {"() -> None": "*"}}
    api = Api(facts)
    assert api.at("8.6.1").member("Engine", "run").signatures[0].result == "None"
    assert api.at("10.0.1").member("Engine", "run").signatures[0].result == "bool"
    assert api.at("10.0.1").member("Engine", "name").kind == "property"


def test_enums_keep_their_members_but_no_numbers(facts):
    assert facts["classes"]["Flag"] == {
        "bases": {}, "in": "*", "members": {}, "values": {"FP16": "*"}
    }  # fmt: skip
    assert facts["classes"]["Logger.Severity"]["values"] == {"ERROR": "*", "INFO": "*"}
    assert facts["classes"]["Logger"]["members"]["ERROR"] == {"value": "*"}


def test_a_folder_without_dumps_is_refused(tmp_path, capsys):
    assert tensorrt_facts.main([str(tmp_path), str(tmp_path / "facts.json")]) == 1
    assert f"{tmp_path}: no dump" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"top": []}'])
def test_a_file_that_is_no_dump_is_named(dumps, tmp_path, capsys, text):
    (dumps / "9.0.0.json").write_text(text)
    assert tensorrt_facts.main([str(dumps), str(tmp_path / "facts.json")]) == 1
    assert "9.0.0.json" in capsys.readouterr().err


def test_a_signature_that_cannot_be_read_is_named_with_its_version(dumps, tmp_path, capsys):
    (dumps / "9.0.0.json").write_text(json.dumps(dump(Base=a_class({"run": "run(self: t.Base)"}))))
    assert tensorrt_facts.main([str(dumps), str(tmp_path / "facts.json")]) == 1
    assert "9.0.0: Base.run: no result in 'run(self: t.Base)'" in capsys.readouterr().err


@given(st.sets(st.sampled_from([str(number) for number in range(8)])))
def test_a_span_holds_exactly_the_versions_that_it_was_written_for(present):
    versions = [str(number) for number in range(8)]
    api = Api({"versions": versions, "module": {}, "classes": {}})
    span = tensorrt_facts.span(present, versions)
    assert {version for version in versions if span and api.holds(span, version)} == present


@pytest.mark.parametrize(
    ("text", "positional", "keywords", "fits"),
    [
        ("(name, shape) -> bool", 2, (), True),
        ("(name, shape) -> bool", 1, ("shape",), True),
        ("(name, shape) -> bool", 1, (), False),
        ("(name, shape) -> bool", 3, (), False),
        ("(name, shape) -> bool", 2, ("shape",), False),
        ("(name, shape) -> bool", 1, ("dims",), False),
        ("(name, index=) -> int", 1, (), True),
        ("(first=, second) -> int", 0, ("second",), True),
        ("(arg0) -> int", 1, (), True),
        ("(arg0) -> int", 0, ("arg0",), False),
        ("() -> int", 0, (), True),
        ("() -> int", 1, (), False),
    ],
)
def test_a_signature_takes_what_it_has_parameters_for(text, positional, keywords, fits):
    assert Signature.parse(text).takes(positional, keywords) is fits


def test_the_script_needs_the_standard_library_only():
    imported = {
        line.split()[1].partition(".")[0]
        for line in SCRIPT.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= set(sys.stdlib_module_names)
