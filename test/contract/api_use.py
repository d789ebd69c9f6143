"""What the source does with an API, held against one version of it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from api_facts import CLASS, PROPERTY, VALUE, ApiVersion, Signature
from findings import Finding, Findings
from scope import Scope
from source_tree import ClassInfo, FunctionInfo
from value_types import (
    NOTHING,
    PLAIN,
    UNKNOWN,
    ApiCallable,
    ApiClass,
    ApiModule,
    ApiObject,
    Maker,
    Manager,
    Many,
    Nothing,
    Plain,
    Row,
    Text,
    Truth,
    Value,
    joined,
    options_of,
)

TITLES = {"trt": "TensorRT", "cuda": "pycuda.driver"}

_MODULE_SPECIALS = ("__version__", "__name__", "__file__", "__doc__", "__path__")

_SAME_RESULT = {"IParserError": "ParserError", "IEngineInspector": "EngineInspector"}
"""C++ names in signatures of the bindings that have another name in Python."""


class ApiUse:
    """Checks single uses, and notes what it finds.

    Parameters
    ----------
    apis:
        A version of each API, by the name in :data:`source_tree.API_IDENTIFIERS`.
    property_types:
        What properties of the API give, as ``{"ICudaEngine.num_layers": "int"}``.
    required:
        Methods that a subclass of the API's class must have: for each class, groups of which one
        method must be there.

    """

    def __init__(
        self,
        apis: Mapping[str, ApiVersion],
        property_types: Mapping[str, str],
        required: Mapping[str, tuple[tuple[str, ...], ...]],
    ) -> None:
        self._apis = apis
        self._property_types = property_types
        self._required = required
        self._member_names = {api: at.api.member_names for api, at in apis.items()}
        self.found = Findings()
        self.quiet = 0
        """While it is not 0, nothing is noted."""

    def violation(self, node: ast.AST, scope: Scope, text: str) -> None:
        """Note what this version lacks, or would not take."""
        self._note(self.found.violations, node, scope, text)

    def unknown(self, node: ast.AST, scope: Scope, text: str) -> None:
        """Note what looks like the API and cannot be checked."""
        self._note(self.found.unknown, node, scope, text)

    def _note(self, into: set[Finding], node: ast.AST, scope: Scope, text: str) -> None:
        if not self.quiet:
            into.add(Finding(scope.module.path, getattr(node, "lineno", 0), text))

    def missing(
        self, node: ast.AST, scope: Scope, api: str, class_name: str | None, name: str
    ) -> Value:
        """Note a name that is not there; of the module where there is no class."""
        at = self._apis[api]
        if class_name is not None and not at.has_class(class_name):
            return self.missing(node, scope, api, None, class_name)
        shown = f"{class_name or api}.{name}"
        span = at.api.where(class_name, name)
        near = ", ".join(at.near(class_name, name))
        self.violation(
            node,
            scope,
            f"{shown} is not in {TITLES[api]} {at.version}; "
            f"{f'it is in {span}' if span else 'it is in no version'}"
            f"{f'; near: {near}' if near else ''}",
        )
        return UNKNOWN

    def _checked(self, node: ast.AST, scope: Scope, text: str) -> None:
        self._note(self.found.resolved, node, scope, text)

    def looks_like_api(self, node: Any, owner: Value, scope: Scope) -> None:
        """Note an attribute that an API has, of what is not known to be of that API."""
        if isinstance(owner, (Text, Truth, Nothing, Maker, Manager)):
            return
        having = [
            TITLES[api]
            for api, names in self._member_names.items()
            if node.attr in names
            and (not isinstance(owner, Plain) or is_distinctive(node.attr, api))
        ]
        if having:
            self.unknown(
                node,
                scope,
                f"{ast.unparse(node)}: '{node.attr}' is in {' and '.join(having)}, and what "
                f"{ast.unparse(node.value)} is cannot be told: annotate it",
            )

    def of_module(self, owner: ApiModule, name: str, node: ast.AST, scope: Scope) -> Value:
        """Return what a name of the API's module is."""
        at = self._apis[owner.api]
        if at.has_class(name):
            self._checked(node, scope, f"{owner.api}.{name}")
            return ApiClass(owner.api, name)
        if at.has_name(name):
            self._checked(node, scope, f"{owner.api}.{name}")
            if name in self._property_types:
                return self.parsed(self._property_types[name], owner.api)
            return ApiCallable(owner.api, name, at.function(name))
        if name in _MODULE_SPECIALS:
            return PLAIN
        return self.missing(node, scope, owner.api, None, name)

    def of_class(self, owner: ApiClass, name: str, node: ast.AST, scope: Scope) -> Value:
        """Return what an attribute of one of its classes is."""
        at = self._apis[owner.api]
        member = at.member(owner.name, name)
        if member is None:
            return self.missing(node, scope, owner.api, owner.name, name)
        self._checked(node, scope, f"{owner.name}.{name}")
        if member.kind == CLASS:
            return ApiClass(owner.api, self._nested(owner, name))
        if member.kind == VALUE:
            return ApiObject(owner.api, self._enum_of(owner, name))
        if member.kind == PROPERTY:
            return Many(PLAIN) if name == "__members__" else UNKNOWN
        return ApiCallable(owner.api, f"{owner.name}.{name}", member.signatures, bound=False)

    def of_object(self, owner: ApiObject, name: str, node: ast.AST, scope: Scope) -> Value:
        """Return what an attribute of one of its objects is."""
        at = self._apis[owner.api]
        member = at.member(owner.name, name)
        if member is None:
            return self.missing(node, scope, owner.api, owner.name, name)
        self._checked(node, scope, f"{owner.name}.{name}")
        if member.kind == PROPERTY:
            if at.is_enum(owner.name):
                return PLAIN
            for base in at.bases(owner.name):
                if f"{base}.{name}" in self._property_types:
                    return self.parsed(self._property_types[f"{base}.{name}"], owner.api)
            return UNKNOWN
        if member.kind in (VALUE, CLASS):
            return self.of_class(ApiClass(owner.api, owner.name), name, node, scope)
        return ApiCallable(owner.api, f"{owner.name}.{name}", member.signatures)

    def _nested(self, owner: ApiClass, name: str) -> str:
        at = self._apis[owner.api]
        for base in at.bases(owner.name):
            if at.has_class(f"{base}.{name}"):
                return f"{base}.{name}"
        return f"{owner.name}.{name}"

    def _enum_of(self, owner: ApiClass, value: str) -> str:
        """Return the enum that a member belongs to: its class, or one nested there."""
        at = self._apis[owner.api]
        if at.is_enum(owner.name):
            return owner.name
        for base in at.bases(owner.name):
            for name in at.api.facts["classes"]:
                if name.startswith(f"{base}.") and at.member(name, value):
                    return str(name)
        return owner.name

    def set_property(self, owner: ApiObject, target: ast.Attribute, scope: Scope) -> None:
        """Check that an attribute of one of its objects can be assigned."""
        member = self._apis[owner.api].member(owner.name, target.attr)
        if member is None:
            self.missing(target, scope, owner.api, owner.name, target.attr)
        elif member.kind != PROPERTY:
            self.violation(
                target, scope, f"{owner.name}.{target.attr} is a {member.kind}: not assignable"
            )
        else:
            self._checked(target, scope, f"{owner.name}.{target.attr}")

    def overrides(
        self, info: ClassInfo, base: ApiClass, live: Mapping[str, FunctionInfo], scope: Scope
    ) -> None:
        """Check the methods of a subclass of the API's class."""
        at = self._apis[base.api]
        for name, method in live.items():
            if name.startswith("_") or method.is_property:
                continue
            member = at.callback(base.name, name)
            if member is None or not member.signatures:
                self.missing(method.node, scope, base.api, base.name, name)
                continue
            names = [argument.arg for argument in method.parameters[1:]]
            if not any(_overrides(names, signature) for signature in member.signatures):
                shown = " or ".join(f"({signature})" for signature in member.signatures)
                self.violation(
                    method.node,
                    scope,
                    f"{base.name}.{name} of {TITLES[base.api]} {at.version} is called with "
                    f"{shown}, not ({', '.join(names)})",
                )
        for group in self._required.get(base.name, ()):
            wanted = [name for name in group if at.callback(base.name, name)]
            if wanted and not any(name in live for name in wanted):
                self.violation(
                    info.node,
                    scope,
                    f"{info.name} lacks {' or '.join(wanted)}, which {TITLES[base.api]} "
                    f"{at.version} calls of a {base.name}",
                )
        constructor = live.get("__init__")
        if constructor is not None and not _constructs_base(constructor.node):
            self.violation(
                constructor.node,
                scope,
                f"{info.name}.__init__ does not call the constructor of {base.name}",
            )

    def agrees(self, declared: Value, value: Value, node: ast.AST, scope: Scope) -> None:
        """Check that what is annotated as an object of an API is not one of another class."""
        wanted = [option for option in options_of(declared) if isinstance(option, ApiObject)]
        given = [option for option in options_of(value) if isinstance(option, ApiObject)]
        for option in given if wanted else ():
            bases = self._apis[option.api].bases(option.name)
            if not any(option.api == one.api and one.name in bases for one in wanted):
                names = " or ".join(sorted(one.name for one in wanted))
                self.violation(node, scope, f"annotated as {names}, and a {option.name} is given")

    def call(
        self,
        callee: ApiCallable,
        arguments: list[ast.expr],
        keywords: list[ast.keyword],
        node: ast.AST,
        scope: Scope,
    ) -> Value:
        """Check the arguments of a call; return its result."""
        at = self._apis[callee.api]
        if not callee.signatures:
            self.unknown(node, scope, f"{callee.name}: the facts do not say how it is called")
            return UNKNOWN
        count = sum(not isinstance(argument, ast.Starred) for argument in arguments)
        names = [keyword.arg for keyword in keywords if keyword.arg is not None]
        open_ended = count < len(arguments) or len(names) < len(keywords)
        fitting = [
            signature
            for signature in callee.signatures
            if signature.takes(
                count - (not callee.bound and not signature.static), names, open_ended
            )
        ]
        if not fitting:
            given = ", ".join([*(["…"] * count), *(f"{name}=" for name in names)])
            known = " or ".join(f"({signature})" for signature in callee.signatures)
            self.violation(
                node,
                scope,
                f"{callee.name}({given}) does not fit {TITLES[callee.api]} {at.version}, "
                f"which takes {known}",
            )
            return UNKNOWN
        return joined(self.parsed(signature.result, callee.api) for signature in fitting)

    def construct(self, callee: ApiClass, node: ast.Call, scope: Scope) -> Value:
        """Check the arguments of a constructor; return the new object."""
        at = self._apis[callee.api]
        made = ApiObject(callee.api, callee.name)
        if at.is_enum(callee.name):
            self.violation(
                node, scope, f"{callee.name} by number: numbers differ between versions; use names"
            )
            return made
        member = at.member(callee.name, "__init__")
        if member is None:
            self.violation(
                node, scope, f"{callee.name} cannot be made in {TITLES[callee.api]} {at.version}"
            )
            return made
        constructor = ApiCallable(callee.api, callee.name, member.signatures)
        self.call(constructor, node.args, node.keywords, node, scope)
        return made

    def given_away(self, node: ast.expr, value: Value, scope: Scope) -> None:
        """Note a method that is given to somebody who will call it."""
        for option in options_of(value):
            if isinstance(option, ApiCallable):
                self.unknown(
                    node, scope, f"{option.name} is given away: the call of it cannot be checked"
                )

    def parsed(self, text: str, api: str) -> Value:
        """Return the value that a result in a signature stands for."""
        text = _SAME_RESULT.get(text, text)
        if text == "None":
            return NOTHING
        if text in ("", "object", "handle"):
            return UNKNOWN
        if text.startswith("list["):
            return Many(self.parsed(text[5:-1], api))
        if text.startswith("tuple["):
            return Row(tuple(self.parsed(part, api) for part in _parts(text[6:-1])))
        if text in self._apis[api].api.facts["classes"]:
            return ApiObject(api, text)
        return PLAIN


def is_distinctive(name: str, api: str) -> bool:
    """Say whether a name is an API's alone, so that it is suspicious on anything."""
    return api == "trt" and "_" in name.strip("_") and name not in _SHARED_NAMES


_SHARED_NAMES = frozenset(
    {
        "infer_shapes",  # of onnx.shape_inference
        "is_constant",  # of our own ONNX graphs
        "node_name",  # of rclpy's TopicEndpointInfo
        "set_weights",  # of Keras' models
        "avg_timing_iterations",  # these of our own BuildOptions
        "max_aux_streams",
        "tactic_sources",
    }
)
"""Names that look like TensorRT's alone and are not."""


def _overrides(names: list[str], signature: Signature) -> bool:
    """Say whether a method can be called with what a signature has, in that order."""
    if len(names) != len(signature.names):
        return False
    return all(
        own.removeprefix("_") == other.removeprefix("_") or other[:3] == "arg"
        for own, other in zip(names, signature.names)
    )


def _constructs_base(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr == "__init__"
        for inner in ast.walk(node)
    )


def _parts(text: str) -> list[str]:
    """Split the insides of a generic type at its own commas."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
