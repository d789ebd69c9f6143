"""The names that are known at a place of the source."""

from __future__ import annotations

from source_tree import ClassInfo, FunctionInfo, ModuleInfo
from value_types import Value


class Scope:
    """The names of a function, of a module, or of a comprehension."""

    def __init__(
        self,
        module: ModuleInfo,
        parent: Scope | None = None,
        owner: ClassInfo | None = None,
        function: FunctionInfo | None = None,
    ) -> None:
        self.module = module
        self.parent = parent
        self.owner = owner
        self.function = function
        self.class_body = False
        self.methods: dict[str, FunctionInfo] = {}
        """Of a class's body: what is defined there."""
        self.names: dict[str, Value] = {}
        self.narrowed: dict[str, Value] = {}

    def find(self, name: str) -> Value | None:
        """Look a local name up, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.narrowed:
                return scope.narrowed[name]
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def narrowing(self, text: str) -> Value | None:
        """Return what ``isinstance`` said about an expression."""
        scope: Scope | None = self
        while scope is not None:
            if text in scope.narrowed:
                return scope.narrowed[text]
            scope = scope.parent
        return None

    def inner(self) -> Scope:
        """Return a scope for a comprehension or lambda."""
        return Scope(self.module, self, self.owner, self.function)
