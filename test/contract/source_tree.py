"""The project's source: its modules, what they define, and what annotations mean."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from value_types import (
    NOTHING,
    PLAIN,
    UNKNOWN,
    ApiClass,
    ApiModule,
    ApiObject,
    Maker,
    Many,
    OwnClass,
    OwnFunction,
    OwnModule,
    OwnObject,
    Row,
    Table,
    Value,
    joined,
)

API_IDENTIFIERS = {"trt": "trt", "_trt": "trt", "cuda": "cuda", "_cuda": "cuda"}
"""By convention a variable or attribute with such a name is the API's module, and nothing else."""

API_MODULES = {
    "tensorrt": "trt",
    "tensorrt_lean": "trt",
    "tensorrt_dispatch": "trt",
    "pycuda.driver": "cuda",
}

_ITERABLES = {
    "list", "set", "frozenset", "deque", "Iterable", "Iterator", "Sequence", "MutableSequence",
    "Collection", "Set", "AbstractSet", "Generator", "Reversible", "List", "FrozenSet",
}  # fmt: skip
_MAPPINGS = {"dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "Dict"}
_WRAPPERS = {"Optional", "Final", "ClassVar", "Annotated", "Required", "NotRequired"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(eq=False)
class FunctionInfo:
    """A function or method."""

    module: ModuleInfo
    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: ClassInfo | None = None

    @property
    def decorators(self) -> set[str]:
        """The last parts of the decorators' names."""
        names = set()
        for decorator in self.node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            names.add(target.attr if isinstance(target, ast.Attribute) else ast.unparse(target))
        return names

    @property
    def parameters(self) -> list[ast.arg]:
        """What can be given by position, with ``self``."""
        return [*self.node.args.posonlyargs, *self.node.args.args]

    @property
    def is_property(self) -> bool:
        """Whether it is read like an attribute."""
        return bool(self.decorators & {"property", "cached_property"})


@dataclass(eq=False)
class ClassInfo:
    """A class: what stands in its body, also behind an ``if``."""

    module: ModuleInfo
    node: ast.ClassDef
    methods: dict[str, FunctionInfo] = field(default_factory=dict)
    annotations: dict[str, ast.expr] = field(default_factory=dict)
    classes: dict[str, ClassInfo] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.node.name


@dataclass(eq=False)
class Import:
    """A name that an import made."""

    module: str
    name: str | None = None
    """None for the module itself."""


@dataclass(eq=False)
class Assigned:
    """A name of a module that was assigned."""

    expressions: list[ast.expr] = field(default_factory=list)
    annotation: ast.expr | None = None


Symbol = FunctionInfo | ClassInfo | Import | Assigned


@dataclass(eq=False)
class ModuleInfo:
    """A module of the project."""

    name: str
    path: str
    tree: ast.Module
    is_package: bool
    symbols: dict[str, Symbol] = field(default_factory=dict)


class SourceTree:
    """The project's modules.

    Parameters
    ----------
    sources:
        Text by path, relative to the repository's root.

    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.modules: dict[str, ModuleInfo] = {}
        self._annotations: dict[int, Value] = {}
        self._quoted: list[ast.expr] = []
        self._classes: dict[int, ClassInfo] = {}
        self._functions: dict[int, FunctionInfo] = {}
        for path, text in sources.items():
            parts = Path(path).with_suffix("").parts
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            module = ModuleInfo(name, path, ast.parse(text, path), package)
            self.modules[name] = module
            for statement in module.tree.body:
                self._index(statement, module)

    @classmethod
    def read(cls, root: Path, *folders: str) -> SourceTree:
        """Read all Python files of some folders."""
        paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
        return cls({path.relative_to(root).as_posix(): path.read_text() for path in paths})

    def with_text(self, path: str, text: str) -> SourceTree:
        """Return the same tree with another text for one of its files."""
        tree = SourceTree({path: text})
        changed = next(iter(tree.modules.values()))
        tree.modules = {**self.modules, changed.name: changed}
        tree._classes.update(self._classes)
        tree._functions.update(self._functions)
        return tree

    def class_info(self, node: ast.ClassDef, module: ModuleInfo) -> ClassInfo:
        """Return a class, made when it is met first."""
        info = self._classes.get(id(node))
        if info is None:
            info = self._classes[id(node)] = ClassInfo(module, node)
            for statement in _flat(node.body):
                if isinstance(statement, _FUNCTIONS):
                    method = self.function_info(statement, module, info)
                    # Not the setter, which follows the property and has its name.
                    if "setter" not in method.decorators:
                        info.methods[statement.name] = method
                    for inner in ast.walk(statement):
                        target = getattr(inner, "target", None)
                        if isinstance(inner, ast.AnnAssign) and _is_of_self(target):
                            info.annotations.setdefault(target.attr, inner.annotation)
                elif isinstance(statement, ast.AnnAssign) and isinstance(
                    statement.target, ast.Name
                ):
                    info.annotations[statement.target.id] = statement.annotation
                elif isinstance(statement, ast.ClassDef):
                    info.classes[statement.name] = self.class_info(statement, module)
        return info

    def function_info(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef,
        module: ModuleInfo,
        owner: ClassInfo | None = None,
    ) -> FunctionInfo:
        """Return a function, made when it is met first."""
        info = self._functions.get(id(node))
        if info is None:
            info = self._functions[id(node)] = FunctionInfo(module, node, owner)
        return info

    def find(self, module: str, name: str | None, seen: frozenset[str] = frozenset()) -> Value:
        """Return what ``from module import name`` gets, without what only has a value."""
        if module in API_MODULES:
            return ApiModule(API_MODULES[module]) if name is None else None
        if name is not None and f"{module}.{name}" in API_MODULES:
            return ApiModule(API_MODULES[f"{module}.{name}"])
        if module not in self.modules:
            return OwnModule(module) if name is None and self._has_package(module) else PLAIN
        if name is None:
            return OwnModule(module)
        symbol = self.modules[module].symbols.get(name)
        if isinstance(symbol, ClassInfo):
            return OwnClass(symbol)
        if isinstance(symbol, FunctionInfo):
            return OwnFunction(symbol)
        if isinstance(symbol, Import):
            key = f"{symbol.module}:{symbol.name}"
            return UNKNOWN if key in seen else self.find(symbol.module, symbol.name, seen | {key})
        if symbol is None and f"{module}.{name}" in self.modules:
            return OwnModule(f"{module}.{name}")
        return UNKNOWN if symbol is None else None

    def assigned(self, module: str, name: str) -> tuple[ModuleInfo, Assigned] | None:
        """Return where a name that ``find`` has nothing for is assigned."""
        for _ in range(8):
            if module not in self.modules:
                return None
            symbol = self.modules[module].symbols.get(name)
            if isinstance(symbol, Assigned):
                return self.modules[module], symbol
            if not isinstance(symbol, Import) or symbol.name is None:
                return None
            module, name = symbol.module, symbol.name
        return None

    def annotation(self, node: ast.expr | None, module: ModuleInfo) -> Value:
        """Return what an annotation promises."""
        if node is None:
            return UNKNOWN
        if id(node) not in self._annotations:
            self._annotations[id(node)] = self._annotated(node, module)
            self._quoted.append(node)  # an id is good for as long as the node lives
        return self._annotations[id(node)]

    def _annotated(self, node: ast.expr, module: ModuleInfo) -> Value:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                try:
                    quoted = ast.parse(node.value, mode="eval").body
                except SyntaxError:
                    return PLAIN  # a remark inside of Annotated
                return self.annotation(quoted, module)
            return NOTHING if node.value is None else PLAIN
        if isinstance(node, ast.BinOp):
            return joined(self.annotation(side, module) for side in (node.left, node.right))
        if isinstance(node, ast.Subscript):
            return self._generic(node, module)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in API_IDENTIFIERS:
                return ApiObject(API_IDENTIFIERS[node.value.id], node.attr)
            owner = self.annotation(node.value, module)
            if isinstance(owner, ApiObject):
                return ApiObject(owner.api, f"{owner.name}.{node.attr}")
            if isinstance(owner, OwnModule):
                return self._instance(self.find(owner.name, node.attr))
            return PLAIN if node.attr not in ("Any", "ModuleType") else UNKNOWN
        if isinstance(node, ast.Name):
            return self._named(node.id, module)
        return UNKNOWN

    def _named(self, name: str, module: ModuleInfo) -> Value:
        symbol = module.symbols.get(name)
        if isinstance(symbol, Assigned):
            # A type alias.
            return joined(self.annotation(value, module) for value in symbol.expressions)
        if symbol is not None:
            if isinstance(symbol, Import) and name in ("Any", "ModuleType", "Self", "Callable"):
                return Maker(UNKNOWN) if name == "Callable" else UNKNOWN
            if isinstance(symbol, Import) and name in _ITERABLES:
                return Many(UNKNOWN)
            if isinstance(symbol, Import) and name in _MAPPINGS:
                return Table(UNKNOWN, UNKNOWN)
            found = self.find(module.name, name)
            if found is None and isinstance(symbol, Import) and symbol.name is not None:
                if symbol.module in API_MODULES:
                    return ApiObject(API_MODULES[symbol.module], symbol.name)
                place = self.assigned(module.name, name)
                if place is not None:
                    return joined(self.annotation(e, place[0]) for e in place[1].expressions)
            return self._instance(found)
        if name in ("list", "set", "frozenset", "tuple"):
            return Many(UNKNOWN)
        if name == "dict":
            return Table(UNKNOWN, UNKNOWN)
        return PLAIN if hasattr(builtins, name) and name != "object" else UNKNOWN

    def _generic(self, node: ast.Subscript, module: ModuleInfo) -> Value:
        target = node.value
        name = target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Literal":
            return PLAIN
        if name == "Callable":
            return Maker(self.annotation(inner[-1], module))
        values = [self.annotation(part, module) for part in inner]
        if name == "tuple":
            if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...:
                return Many(values[0])
            return Row(tuple(values))
        if name in _ITERABLES:
            return Many(values[0])
        if name in _MAPPINGS and len(values) == 2:
            return Table(values[0], values[1])
        if name in _WRAPPERS:
            return values[0]
        if name == "Union":
            return joined(values)
        if name == "type":
            return {ApiObject: ApiClass, OwnObject: OwnClass}.get(type(values[0]), _unknown)(
                *vars(values[0]).values()
            )
        outer = self.annotation(target, module)
        if outer == PLAIN and not _is_numpy(target, module) and any(map(_is_api, values)):
            return UNKNOWN  # what somebody else's object gives back may be what it was given
        return outer

    @staticmethod
    def _instance(found: Value) -> Value:
        if isinstance(found, OwnClass):
            return OwnObject(found.info)
        return UNKNOWN if isinstance(found, OwnFunction) or found is None else found

    def _has_package(self, name: str) -> bool:
        return any(module.startswith(f"{name}.") for module in self.modules)

    def _index(self, statement: ast.stmt, module: ModuleInfo) -> None:
        for inner in _flat([statement]):
            if isinstance(inner, _FUNCTIONS):
                module.symbols[inner.name] = self.function_info(inner, module)
            elif isinstance(inner, ast.ClassDef):
                module.symbols[inner.name] = self.class_info(inner, module)
            elif isinstance(inner, (ast.Import, ast.ImportFrom)):
                module.symbols.update(imports(inner, module))
            elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                symbol = self._assigned(module, inner.target.id)
                symbol.annotation = inner.annotation
                if inner.value is not None:
                    symbol.expressions.append(inner.value)
            elif isinstance(inner, ast.Assign):
                for target in inner.targets:
                    if isinstance(target, ast.Name):
                        self._assigned(module, target.id).expressions.append(inner.value)

    @staticmethod
    def _assigned(module: ModuleInfo, name: str) -> Assigned:
        symbol = module.symbols.get(name)
        if not isinstance(symbol, Assigned):
            symbol = module.symbols[name] = Assigned()
        return symbol


def imports(node: ast.Import | ast.ImportFrom, module: ModuleInfo) -> dict[str, Import]:
    """Return the names that an import makes."""
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: Import(
                alias.name if alias.asname else alias.name.partition(".")[0]
            )
            for alias in node.names
        }
    source = node.module or ""
    if node.level:
        parts = module.name.split(".")
        parts = parts[: len(parts) - node.level + module.is_package]
        source = ".".join([*parts, *([source] if source else [])])
    return {alias.asname or alias.name: Import(source, alias.name) for alias in node.names}


def _flat(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements and those inside ``if``, ``try`` and ``with``, not inside definitions."""
    for statement in statements:
        yield statement
        if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _flat(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from _flat(handler.body)


def _is_of_self(target: object) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    )


def _is_api(value: Value) -> bool:
    return isinstance(value, (ApiObject, ApiClass, ApiModule)) or value == UNKNOWN


def _is_numpy(node: ast.expr, module: ModuleInfo) -> bool:
    """Say whether a generic type is one of NumPy's: its elements are numbers."""
    while isinstance(node, ast.Attribute):
        node = node.value
    symbol = module.symbols.get(ast.unparse(node))
    return isinstance(symbol, Import) and symbol.module.partition(".")[0] == "numpy"


def _unknown(*_: object) -> Value:
    return UNKNOWN
