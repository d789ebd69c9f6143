#!/usr/bin/env python3
"""Press dumps of TensorRT's Python API, one file a version, into one small file of facts.

Usage: tensorrt_facts.py DUMPS FACTS

DUMPS is a folder of JSON files, each named ``VERSION.json`` and with the keys ``top`` (names of the
module) and ``classes`` (by name: ``members``, by name: ``property`` or the signature lines of the
docstring, joined with `` || ``; ``enum``, members and values or null; ``bases``).  The contract
test reads FACTS, normally ``test/contract/tensorrt_api.json``.

FACTS says for every name in which versions it is there: ``"*"`` in all, else spans joined with
commas, where ``8.6.0..10.16.1.11`` includes both and an open end means from the first or up to the
last version.  Signatures lose ``self`` (``static`` says that there was none) and the types of
parameters; a parameter with a default keeps the ``=``.  A member that a class inherits unchanged is
listed with its base only.

It needs nothing but Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_MODULE_PREFIX = re.compile(r"\b(?:tensorrt\w*\.)+|\b(?:\w+::)+")
_OVERLOAD_NUMBER = re.compile(r"^\d+\. ")
_NO_OVERLOAD = "(*args, **kwargs)"
_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_OLD_GENERICS = re.compile(r"\b(List|Tuple|Dict)\[")
_NEW_NAMES = {"typing_extensions.CapsuleType": "capsule", "typing_extensions.Buffer": "buffer"}
_BOUND_BY_PYBIND11 = "pybind11_object"
_NOT_API = ("_pybind11_conduit_v1_",)

Variants = tuple[str, ...]
"""What one member is in one version: ``property``, ``value``, ``class``, or its overloads."""


class FactsError(ValueError):
    """A dump that cannot be read; the message names the file and what is wrong."""


def read_dumps(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the dumps of a folder.

    Returns
    -------
    By version, oldest first.

    Raises
    ------
    FactsError
        If the folder has no dump, or a file is not one.

    """
    dumps = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: _version_key(path.stem)):
        try:
            dump = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise FactsError(f"{path}: not JSON ({error}); dump that version again") from error
        if not isinstance(dump, dict) or not {"top", "classes"} <= dump.keys():
            raise FactsError(f"{path}: lacks 'top' or 'classes'; dump that version again")
        dumps[path.stem] = dump
    if not dumps:
        raise FactsError(f"{folder}: no dump, as 8.6.1.json, is there; name the folder of dumps")
    return dumps


def facts_of(dumps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Press dumps, oldest first, into facts.

    Returns
    -------
    ``versions``, oldest first; ``module``, name to span for what is no class; ``classes``, by name:
    ``in``, its span, ``bases``, name to span, ``values``, enum member to span, and ``members``,
    name to variant to span.

    """
    versions = list(dumps)
    module: dict[str, set[str]] = {}
    classes: dict[str, dict[str, Any]] = {}
    for version, dump in dumps.items():
        for name in set(dump["top"]) - set(dump["classes"]):
            module.setdefault(name, set()).add(version)
        for name, entry in _classes_of(dump, version).items():
            facts = classes.setdefault(
                name, {"in": set(), "bases": {}, "values": {}, "members": {}}
            )
            facts["in"].add(version)
            for base in entry["bases"]:
                facts["bases"].setdefault(base, set()).add(version)
            for value in entry["values"]:
                facts["values"].setdefault(value, set()).add(version)
            for member, variants in entry["members"].items():
                for variant in variants:
                    spans = facts["members"].setdefault(member, {})
                    spans.setdefault(variant, set()).add(version)
    spanned: dict[str, Any] = _spanned({"module": module, "classes": classes}, versions)
    return {"versions": versions, **spanned}


def _classes_of(dump: Mapping[str, Any], version: str) -> dict[str, dict[str, Any]]:
    """Return a version's classes, without what they inherit, and with nested enums."""
    own: dict[str, dict[str, Any]] = {}
    variants = {
        name: {
            member: _variants(member, text, f"{version}: {name}.{member}")
            for member, text in entry["members"].items()
            if member not in _NOT_API
        }
        for name, entry in dump["classes"].items()
    }
    for name, entry in dump["classes"].items():
        bases = [base for base in entry["bases"] if base != _BOUND_BY_PYBIND11]
        enum = entry["enum"] or {}
        members = {}
        for member, kinds in variants[name].items():
            inherited = next(
                (variants[base][member] for base in bases if member in variants.get(base, {})), ()
            )
            of_enum = member in enum or (enum and member in ("__init__", "name", "value"))
            if kinds and not of_enum and (kinds != inherited or member == "__init__"):
                members[member] = kinds
        own[name] = {"bases": bases, "values": list(enum), "members": members}
        for member, kinds in variants[name].items():
            if kinds == ("class",) and member in members:
                values = [value for value, text in entry["members"].items() if text == member]
                own[f"{name}.{member}"] = {"bases": [], "values": values, "members": {}}
    return own


def _variants(member: str, text: str, place: str) -> Variants:
    """Return what a dumped member is; nothing for a constructor that is not there."""
    if "(" in text:
        lines = text.split(" || ")
        return tuple(
            dict.fromkeys(
                _signature(line, place) for line in lines if not line.endswith(_NO_OVERLOAD)
            )
        )
    if text == "":
        # pybind11 shows no signature for an abstract constructor, a nested class and a name of an
        # enum that is shadowed by its own member.
        if member == "__init__":
            return ()
        return ("class",) if member[0].isupper() else ("property",)
    return ("property",) if text == "property" else ("value",)


def _signature(line: str, place: str) -> str:
    """Return ``(name, other=) -> type`` of a docstring's signature."""
    line = _OVERLOAD_NUMBER.sub("", line.strip())
    head, arrow, result = line.rpartition(" -> ")
    if not arrow:
        raise FactsError(f"{place}: no result in '{line}'; dump that version again")
    parameters = _split(head[head.index("(") + 1 : head.rindex(")")])
    bound = bool(parameters) and parameters[0].startswith("self:")
    names = []
    for parameter in parameters[bound:]:
        name, _, annotation = parameter.partition(":")
        names.append(name + ("=" if len(_split(annotation, "=")) > 1 else ""))
    return f"{'' if bound else 'static '}({', '.join(names)}) -> {_type(result)}"


def _split(text: str, separator: str = ",") -> list[str]:
    """Split at separators outside of brackets and quotes; no empty parts."""
    parts = [""]
    closing: list[str] = []
    for character in text:
        if closing and character == closing[-1]:
            closing.pop()
        elif character in "'\"":
            closing.append(character)
        elif character in _BRACKETS:
            closing.append(_BRACKETS[character])
        if character == separator and not closing:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _type(text: str) -> str:
    """Return a type without the names of modules, and by one name in all versions."""
    text = _OLD_GENERICS.sub(lambda found: f"{found[1].lower()}[", _MODULE_PREFIX.sub("", text))
    return _NEW_NAMES.get(text, text)


def _spanned(tree: Any, versions: Sequence[str]) -> Any:
    """Put spans in the place of sets of versions."""
    if isinstance(tree, set):
        return span(tree, versions)
    return {key: _spanned(tree[key], versions) for key in sorted(tree)}


def span(present: Iterable[str], versions: Sequence[str]) -> str:
    """Write a set of versions down.

    Parameters
    ----------
    present:
        Some of ``versions``.
    versions:
        All of them, oldest first.

    """
    wanted = set(present)
    runs: list[list[str]] = []
    previous = None
    for position, version in enumerate(versions):
        if version in wanted:
            if previous == position - 1 and runs:
                runs[-1][-1] = version
            else:
                runs.append([version, version])
            previous = position
    if runs == [[versions[0], versions[-1]]]:
        return "*"
    return ",".join(
        first
        if first == last
        else f"{'' if first == versions[0] else first}..{'' if last == versions[-1] else last}"
        for first, last in runs
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("dumps", type=Path, help="folder with VERSION.json files")
    parser.add_argument("facts", type=Path, help="the file to write")
    options = parser.parse_args(arguments)
    try:
        facts = facts_of(read_dumps(options.dumps))
    except FactsError as error:
        print(error, file=sys.stderr)
        return 1
    text = json.dumps(facts, indent=1) + "\n"
    options.facts.write_text(text)
    print(
        f"{options.facts}: {len(facts['versions'])} versions, {len(facts['classes'])} classes, "
        f"{len(text)} bytes"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
