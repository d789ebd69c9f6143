"""Walk the project's source as one version of an API would meet it.

An abstract interpreter over :mod:`ast`: each expression gets a value of :mod:`value_types`, from
annotations, from the results in the API's signatures, and from what was assigned.  Branches that
the version table closes are not entered; other conditions are taken both ways.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api_facts import ApiVersion
from api_use import ApiUse
from findings import Findings
from scope import Scope
from source_tree import (
    API_IDENTIFIERS,
    API_MODULES,
    ClassInfo,
    FunctionInfo,
    SourceTree,
    imports,
)
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
    OwnClass,
    OwnFunction,
    OwnModule,
    OwnObject,
    Plain,
    Row,
    Super,
    Table,
    Text,
    Truth,
    Value,
    carries_api,
    joined,
    options_of,
)

_FEATURES = ("features", "_features")
_PLAIN_BUILTINS = {
    "abs", "all", "any", "ascii", "bin", "bool", "bytearray", "bytes", "callable", "chr",
    "divmod", "float", "format", "hash", "hex", "id", "int", "isinstance", "issubclass", "len",
    "memoryview", "oct", "open", "ord", "pow", "print", "range", "repr", "round", "str", "sum",
}  # fmt: skip
_ELEMENTWISE_BUILTINS = {"list", "tuple", "set", "frozenset", "sorted", "reversed", "iter"}
_ELEMENT_BUILTINS = {"next", "min", "max"}


class Walk:
    """A walk through the source for one version of each API.

    Parameters
    ----------
    tree:
        The project's source.
    apis:
        A version of each API, by the name in :data:`source_tree.API_IDENTIFIERS`.
    features:
        The version table's row for that version.
    property_types, required:
        As :class:`api_use.ApiUse` takes them.

    """

    def __init__(
        self,
        tree: SourceTree,
        apis: Mapping[str, ApiVersion],
        features: object,
        property_types: Mapping[str, str] = {},
        required: Mapping[str, tuple[tuple[str, ...], ...]] = {},
    ) -> None:
        self._tree = tree
        self._apis = apis
        self._features = features
        self._use = ApiUse(apis, property_types, required)
        self._attributes: dict[ClassInfo, dict[str, Value]] = {}
        self._assigned: dict[ClassInfo, dict[str, Value]] = {}
        self._constants: dict[tuple[str, str], Value] = {}
        self._scopes: dict[ClassInfo, Scope] = {}
        self._pending: dict[int, tuple[FunctionInfo, Scope]] = {}
        self._expressions: dict[type, Callable[[Any, Scope], Value]] = {
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.Constant: self._constant,
            ast.BoolOp: self._boolean,
            ast.UnaryOp: self._unary,
            ast.IfExp: self._conditional,
            ast.NamedExpr: self._walrus,
            ast.Lambda: self._lambda,
            ast.Subscript: self._subscript,
            ast.List: self._display,
            ast.Set: self._display,
            ast.Tuple: self._tuple,
            ast.Dict: self._dict,
            ast.ListComp: self._comprehension,
            ast.SetComp: self._comprehension,
            ast.GeneratorExp: self._comprehension,
            ast.DictComp: self._dict_comprehension,
            ast.Starred: lambda node, scope: self._element(self._value(node.value, scope)),
            ast.Await: lambda node, scope: self._value(node.value, scope),
            ast.Yield: self._yield,
            ast.YieldFrom: self._yield,
        }
        self._statements: dict[type, Callable[[Any, Scope], bool]] = {
            ast.FunctionDef: self._define,
            ast.AsyncFunctionDef: self._define,
            ast.ClassDef: self._define_class,
            ast.Return: self._return,
            ast.Raise: self._raise,
            ast.Assign: self._assign,
            ast.AnnAssign: self._assign_annotated,
            ast.AugAssign: self._assign_augmented,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.While: self._while,
            ast.If: self._if,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.Try: self._try,
            ast.Match: self._match,
            ast.Assert: self._assert,
            ast.Import: self._import,
            ast.ImportFrom: self._import,
            ast.Break: lambda node, scope: True,
            ast.Continue: lambda node, scope: True,
        }
        if hasattr(ast, "TryStar"):
            self._statements[ast.TryStar] = self._try

    def run(self, modules: Iterable[str]) -> Findings:
        """Walk some of the modules, by name."""
        names = list(modules)
        for quiet in (1, 0):
            self._use.quiet = quiet
            self._assigned = {}
            for name in names:
                module = self._tree.modules[name]
                self._block(module.tree.body, Scope(module))
                while self._pending:
                    function, scope = self._pending.pop(next(iter(self._pending)))
                    self._function_body(function, scope)
            self._attributes = self._assigned
            self._constants = {}
        return self._use.found

    # ---- what is found

    # ---- statements

    def _block(self, statements: Iterable[ast.stmt], scope: Scope) -> bool:
        """Walk statements; say whether the end of them is never reached."""
        for statement in statements:
            walk = self._statements.get(type(statement))
            if walk is None:
                for child in ast.iter_child_nodes(statement):
                    if isinstance(child, ast.expr):
                        self._value(child, scope)
            elif walk(statement, scope):
                return True
        return False

    def _branches(self, scope: Scope, *branches: Callable[[], bool]) -> bool:
        """Walk alternatives from the same start; say whether none of them goes on."""
        start = scope.names
        going_on: list[dict[str, Value]] = []
        ended: list[dict[str, Value]] = []
        for branch in branches:
            scope.names = dict(start)
            (ended if branch() else going_on).append(scope.names)
        # Where none goes on, a closure or a finally block still sees the names.
        ends = going_on or ended
        names = {name for end in ends for name in end}
        scope.names = {name: joined(end[name] for end in ends if name in end) for name in names}
        return not going_on

    def _define(self, node: ast.FunctionDef, scope: Scope) -> bool:
        for expression in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if expression is not None:
                self._value(expression, scope)
        info = self._tree.function_info(node, scope.module)
        if scope.class_body:
            scope.methods[node.name] = info
        else:
            scope.names[node.name] = OwnFunction(info)
        self._pending[id(node)] = (info, scope)
        return False

    def _function_body(self, info: FunctionInfo, outer: Scope) -> None:
        if outer.class_body and outer.parent is not None:
            outer = outer.parent  # a method does not see the names of its class's body
        scope = Scope(info.module, outer, info.owner or outer.owner, info)
        arguments = info.node.args
        positional = info.parameters
        for argument in (*positional, *arguments.kwonlyargs):
            scope.names[argument.arg] = self._tree.annotation(argument.annotation, info.module)
        if arguments.vararg:
            annotated = self._tree.annotation(arguments.vararg.annotation, info.module)
            scope.names[arguments.vararg.arg] = Many(annotated)
        if arguments.kwarg:
            annotated = self._tree.annotation(arguments.kwarg.annotation, info.module)
            scope.names[arguments.kwarg.arg] = Table(PLAIN, annotated)
        if info.owner is not None and positional and "staticmethod" not in info.decorators:
            by_class = "classmethod" in info.decorators or info.node.name == "__new__"
            own = OwnClass(info.owner) if by_class else OwnObject(info.owner)
            scope.names[positional[0].arg] = own
        self._block(info.node.body, scope)

    def _define_class(self, node: ast.ClassDef, scope: Scope) -> bool:
        info = self._tree.class_info(node, scope.module)
        for expression in (*node.decorator_list, *(keyword.value for keyword in node.keywords)):
            self._value(expression, scope)
        bases = [self._value(base, scope) for base in node.bases]
        self._scopes[info] = scope
        body = Scope(scope.module, scope, info)
        body.class_body = True
        self._block(node.body, body)
        scope.names[node.name] = OwnClass(info)
        self._assigned.setdefault(info, {}).update(body.names)
        for base in bases:
            if isinstance(base, ApiClass):
                self._use.overrides(info, base, body.methods, body)
        return False

    def _return(self, node: ast.Return, scope: Scope) -> bool:
        if node.value is not None:
            value = self._value(node.value, scope)
            self._use.given_away(node.value, value, scope)
            if scope.function is not None:
                declared = self._tree.annotation(scope.function.node.returns, scope.module)
                self._use.agrees(declared, value, node, scope)
        return True

    def _raise(self, node: ast.Raise, scope: Scope) -> bool:
        for expression in (node.exc, node.cause):
            if expression is not None:
                self._value(expression, scope)
        return True

    def _assert(self, node: ast.Assert, scope: Scope) -> bool:
        self._value(node.test, scope)
        if node.msg is not None:
            self._value(node.msg, scope)
        scope.narrowed.update(self._narrowings(node.test, scope))
        return False

    def _assign(self, node: ast.Assign, scope: Scope) -> bool:
        value = self._value(node.value, scope)
        for target in node.targets:
            self._bind(target, value, scope)
        return False

    def _assign_annotated(self, node: ast.AnnAssign, scope: Scope) -> bool:
        declared = self._tree.annotation(node.annotation, scope.module)
        if node.value is not None:
            value = self._value(node.value, scope)
            self._use.agrees(declared, value, node, scope)
            if declared == UNKNOWN or (_is_constant(node.target) and _names_text(value)):
                declared = value
        self._bind(node.target, declared, scope)
        return False

    def _assign_augmented(self, node: ast.AugAssign, scope: Scope) -> bool:
        target: Any = node.target
        before = self._name(target, scope) if isinstance(target, ast.Name) else PLAIN
        after = joined([before, self._value(node.value, scope)])
        self._bind(target, PLAIN if isinstance(after, Text) else after, scope)
        return False

    def _bind(self, target: ast.expr, value: Value, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            if isinstance(value, (Many, Table)) and not _is_constant(target):
                value = _without_text(value)
            scope.names[target.id] = value
            scope.narrowed.pop(target.id, None)
        elif isinstance(target, (ast.Tuple, ast.List)):
            rows = [o for o in options_of(value) if isinstance(o, Row)]
            starred = any(isinstance(part, ast.Starred) for part in target.elts)
            for index, part in enumerate(target.elts):
                if rows and not starred and all(len(r.elements) == len(target.elts) for r in rows):
                    self._bind(part, joined(row.elements[index] for row in rows), scope)
                elif isinstance(part, ast.Starred):
                    self._bind(part.value, Many(self._element(value)), scope)
                else:
                    self._bind(part, self._element(value), scope)
        elif isinstance(target, ast.Attribute):
            owner = self._value(target.value, scope)
            self._use.found.reached.add(id(target))
            for option in options_of(owner):
                self._set_attribute(option, target, value, scope)
        elif isinstance(target, ast.Subscript):
            self._value(target.value, scope)
            self._value(target.slice, scope)

    def _set_attribute(
        self, owner: Value, target: ast.Attribute, value: Value, scope: Scope
    ) -> None:
        if isinstance(owner, ApiObject):
            self._use.set_property(owner, target, scope)
        elif isinstance(owner, (ApiClass, ApiModule)):
            self._use.violation(target, scope, f"{ast.unparse(target)} is assigned")
        elif isinstance(owner, OwnObject):
            if isinstance(value, Truth):
                value = PLAIN  # an attribute may be assigned from where this walk does not come
            if target.attr in owner.info.annotations:
                declared = self._tree.annotation(
                    owner.info.annotations[target.attr], owner.info.module
                )
                self._use.agrees(declared, value, target, scope)
            known = self._assigned.setdefault(owner.info, {})
            before = [known[target.attr]] if target.attr in known else []
            known[target.attr] = joined([*before, value])
        elif not isinstance(owner, (OwnClass, OwnModule)):
            self._use.looks_like_api(target, owner, scope)

    def _for(self, node: ast.For, scope: Scope) -> bool:
        iterable = self._value(node.iter, scope)
        self._in_loop(scope, lambda: self._bind(node.target, self._element(iterable), scope), node)
        return self._block(node.orelse, scope) and not _breaks(node)

    def _while(self, node: ast.While, scope: Scope) -> bool:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        test = self._value(node.test, scope)
        if test == Truth(False):
            return self._block(node.orelse, scope)
        self._in_loop(scope, lambda: self._value(node.test, scope), node)
        return (endless or self._block(node.orelse, scope)) and not _breaks(node)

    def _in_loop(
        self, scope: Scope, start: Callable[[], object], node: ast.For | ast.While
    ) -> None:
        """Walk a body twice: names that its end binds are there at its start."""
        for quiet in (1, 0):
            self._use.quiet += quiet

            def body() -> bool:
                start()
                self._block(node.body, scope)
                return False

            self._branches(scope, lambda: False, body)
            self._use.quiet -= quiet

    def _if(self, node: ast.If, scope: Scope) -> bool:
        test = self._value(node.test, scope)
        if isinstance(test, Truth):
            return self._block(node.body if test.value else node.orelse, scope)
        before = dict(scope.narrowed)

        def body() -> bool:
            scope.narrowed.update(self._narrowings(node.test, scope))
            ended = self._block(node.body, scope)
            scope.narrowed = dict(before)
            return ended

        ended: list[bool] = []

        def first() -> bool:
            ended.append(body())
            return ended[0]

        result = self._branches(scope, first, lambda: self._block(node.orelse, scope))
        if ended[0] and isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            scope.narrowed.update(self._narrowings(node.test.operand, scope))
        return result

    def _narrowings(self, test: ast.expr, scope: Scope) -> dict[str, Value]:
        """Return what holds, by expression, where a test with ``isinstance`` does."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            return {
                text: value
                for part in test.values
                for text, value in self._narrowings(part, scope).items()
            }
        if not (
            isinstance(test, ast.Call)
            and isinstance(test.func, ast.Name)
            and test.func.id == "isinstance"
            and len(test.args) == 2
        ):
            return {}
        kinds = self._value(test.args[1], scope)
        parts = kinds.elements if isinstance(kinds, Row) else (kinds,)
        instances = [self._instance(part) for part in parts]
        if any(instance == UNKNOWN for instance in instances):
            return {}
        return {ast.unparse(test.args[0]): joined(instances)}

    @staticmethod
    def _instance(kind: Value) -> Value:
        if isinstance(kind, ApiClass):
            return ApiObject(kind.api, kind.name)
        if isinstance(kind, OwnClass):
            return OwnObject(kind.info)
        return kind if kind == PLAIN else UNKNOWN

    def _with(self, node: ast.With, scope: Scope) -> bool:
        swallows = False
        for item in node.items:
            manager = self._value(item.context_expr, scope)
            swallows = swallows or "suppress" in ast.unparse(item.context_expr)
            entered = joined(
                self._entered(option, item.context_expr, scope) for option in options_of(manager)
            )
            if item.optional_vars is not None:
                self._bind(item.optional_vars, entered, scope)
        return self._block(node.body, scope) and not swallows

    def _entered(self, manager: Value, node: ast.expr, scope: Scope) -> Value:
        if isinstance(manager, Manager):
            return manager.result
        if isinstance(manager, OwnObject):
            enter = self._method_of(manager.info, "__enter__")
            return self._result(enter, manager) if enter else manager
        if isinstance(manager, ApiObject):
            member = self._apis[manager.api].member(manager.name, "__enter__")
            if member is None:
                self._use.unknown(node, scope, f"with {manager.name}: the API does not show one")
            return manager
        return manager if manager in (PLAIN, UNKNOWN) else UNKNOWN

    def _try(self, node: ast.Try, scope: Scope) -> bool:
        start = dict(scope.names)

        def body() -> bool:
            return self._block(node.body, scope) or self._block(node.orelse, scope)

        ends: list[dict[str, Value]] = []

        def tracked() -> bool:
            ended = body()
            ends.append(scope.names)
            return ended

        def handler(part: ast.ExceptHandler) -> Callable[[], bool]:
            def run() -> bool:
                # The exception may come from anywhere in the body.
                for name, value in ends[0].items():
                    known = [start[name]] if name in start else []
                    scope.names[name] = joined([*known, value])
                if part.type is not None:
                    kinds = self._value(part.type, scope)
                    if part.name:
                        found = kinds.elements if isinstance(kinds, Row) else (kinds,)
                        scope.names[part.name] = joined(self._instance(kind) for kind in found)
                return self._block(part.body, scope)

            return run

        ended = self._branches(scope, tracked, *(handler(part) for part in node.handlers))
        return self._block(node.finalbody, scope) or ended

    def _match(self, node: ast.Match, scope: Scope) -> bool:
        self._value(node.subject, scope)

        def case(part: ast.match_case) -> Callable[[], bool]:
            def run() -> bool:
                for pattern in ast.walk(part.pattern):
                    if isinstance(pattern, ast.expr) and not isinstance(pattern, ast.expr_context):
                        self._value(pattern, scope)
                    for field_name in ("name", "rest"):
                        name = getattr(pattern, field_name, None)
                        if isinstance(name, str):
                            scope.names[name] = UNKNOWN
                if part.guard is not None:
                    self._value(part.guard, scope)
                return self._block(part.body, scope)

            return run

        total = any(
            isinstance(part.pattern, ast.MatchAs)
            and part.pattern.pattern is None
            and not part.guard
            for part in node.cases
        )
        rest = () if total else (lambda: False,)
        return self._branches(scope, *(case(part) for part in node.cases), *rest)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> bool:
        for name, found in imports(node, scope.module).items():
            if found.module in API_MODULES and found.name is not None:
                scope.names[name] = self._use.of_module(
                    ApiModule(API_MODULES[found.module]), found.name, node, scope
                )
                continue
            value = self._tree.find(found.module, found.name)
            scope.names[name] = (
                self._module_value(found.module, found.name or "") if value is None else value
            )
        return False

    # ---- expressions

    def _value(self, node: ast.expr, scope: Scope) -> Value:
        evaluate = self._expressions.get(type(node))
        if evaluate is not None:
            return evaluate(node, scope)
        # Arithmetic, comparisons, formatted text, slices: numbers, truths and text come of them.
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._value(child, scope)
        return PLAIN

    def _constant(self, node: ast.Constant, scope: Scope) -> Value:
        if isinstance(node.value, str):
            return Text(frozenset([node.value]))
        return NOTHING if node.value is None else PLAIN

    def _name(self, node: ast.Name, scope: Scope) -> Value:
        found = scope.find(node.id)
        if found is None:
            symbol = self._tree.find(scope.module.name, node.id)
            if node.id in scope.module.symbols:
                found = self._module_value(scope.module.name, node.id) if symbol is None else symbol
            elif hasattr(builtins, node.id):
                found = PLAIN
            else:
                found = UNKNOWN
        if found in (PLAIN, UNKNOWN, NOTHING) and node.id in API_IDENTIFIERS:
            return ApiModule(API_IDENTIFIERS[node.id])
        return found

    def _module_value(self, module: str, name: str) -> Value:
        """Return the value of what a module assigns."""
        key = module, name
        if key not in self._constants:
            self._constants[key] = UNKNOWN  # for what refers to itself
            place = self._tree.assigned(module, name)
            if place is not None:
                where, symbol = place
                value = self._tree.annotation(symbol.annotation, where)
                if value in (UNKNOWN, PLAIN) or isinstance(value, (Many, Table, Row)):
                    # What stands there says more: literal names, for instance.
                    self._use.quiet += 1
                    shown = [self._value(e, Scope(where)) for e in symbol.expressions]
                    self._use.quiet -= 1
                    if value == UNKNOWN or any(_names_text(v) for v in shown):
                        value = joined(shown)
                self._constants[key] = value
        return self._constants[key]

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> Value:
        closing = isinstance(node.op, ast.Or)
        inner = scope.inner()
        values = []
        for part in node.values:
            value = self._value(part, inner)
            if value == Truth(closing):
                # What follows is never asked; whether this one is does not matter.
                return Truth(closing)
            values.append(value)
            if not closing:
                inner.narrowed.update(self._narrowings(part, inner))
        scope.names.update(inner.names)
        if all(isinstance(value, Truth) for value in values):
            return Truth(not closing)
        return joined(values)

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> Value:
        value = self._value(node.operand, scope)
        if isinstance(node.op, ast.Not) and isinstance(value, Truth):
            return Truth(not value.value)
        return PLAIN

    def _conditional(self, node: ast.IfExp, scope: Scope) -> Value:
        test = self._value(node.test, scope)
        if isinstance(test, Truth):
            return self._value(node.body if test.value else node.orelse, scope)
        inner = scope.inner()
        inner.narrowed.update(self._narrowings(node.test, scope))
        return joined([self._value(node.body, inner), self._value(node.orelse, scope)])

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> Value:
        value = self._value(node.value, scope)
        self._bind(node.target, value, scope)
        return value

    def _lambda(self, node: ast.Lambda, scope: Scope) -> Value:
        inner = scope.inner()
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            inner.names[argument.arg] = UNKNOWN
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self._value(default, scope)
        return Maker(self._value(node.body, inner))

    def _display(self, node: ast.List | ast.Set, scope: Scope) -> Value:
        return Many(joined(self._value(part, scope) for part in node.elts))

    def _tuple(self, node: ast.Tuple, scope: Scope) -> Value:
        values = tuple(self._value(part, scope) for part in node.elts)
        if any(isinstance(part, ast.Starred) for part in node.elts):
            return Many(joined(values))
        return Row(values)

    def _dict(self, node: ast.Dict, scope: Scope) -> Value:
        keys, values = [], []
        for key, value in zip(node.keys, node.values):
            found = self._value(value, scope)
            if key is not None:
                keys.append(self._value(key, scope))
                values.append(found)
            else:
                for option in options_of(found):
                    keys.append(option.key if isinstance(option, Table) else UNKNOWN)
                    values.append(option.element if isinstance(option, Table) else UNKNOWN)
        return Table(joined(keys), joined(values))

    def _comprehended(self, node: Any, scope: Scope) -> Scope | None:
        """Return the names inside; None where the version table lets nothing in."""
        inner = scope.inner()
        for generator in node.generators:
            iterable = self._value(generator.iter, inner)
            self._bind(generator.target, self._element(iterable), inner)
            for condition in generator.ifs:
                if self._value(condition, inner) == Truth(False):
                    return None
                inner.narrowed.update(self._narrowings(condition, inner))
        return inner

    def _comprehension(self, node: Any, scope: Scope) -> Value:
        inner = self._comprehended(node, scope)
        return Many(PLAIN if inner is None else self._value(node.elt, inner))

    def _dict_comprehension(self, node: ast.DictComp, scope: Scope) -> Value:
        inner = self._comprehended(node, scope)
        if inner is None:
            return Table(PLAIN, PLAIN)
        return Table(self._value(node.key, inner), self._value(node.value, inner))

    def _yield(self, node: Any, scope: Scope) -> Value:
        if node.value is not None:
            self._use.given_away(node.value, self._value(node.value, scope), scope)
        return UNKNOWN

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        value = self._value(node.value, scope)
        self._value(node.slice, scope)
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        results = []
        for option in options_of(value):
            if isinstance(option, Row) and isinstance(index, int) and index < len(option.elements):
                results.append(option.elements[index])
            elif isinstance(option, (Many, Row)) and isinstance(node.slice, ast.Slice):
                results.append(Many(self._element(option)))
            elif isinstance(option, Table):
                results.append(option.element)
            elif isinstance(option, ApiObject):
                method = self._use.of_object(option, "__getitem__", node, scope)
                results.append(
                    joined(self._use.parsed(s.result, option.api) for s in method.signatures)
                    if isinstance(method, ApiCallable)
                    else UNKNOWN
                )
            elif isinstance(option, OwnObject):
                getitem = self._method_of(option.info, "__getitem__")
                results.append(self._result(getitem, option) if getitem else UNKNOWN)
            elif option in (PLAIN, NOTHING) or isinstance(option, (Text, OwnClass)):
                results.append(PLAIN if not isinstance(option, OwnClass) else option)
            else:
                results.append(self._element(option))
        return joined(results)

    def _element(self, value: Value) -> Value:
        """Return what iterating over a value gives."""
        results = []
        for option in options_of(value):
            if isinstance(option, Many):
                results.append(option.element)
            elif isinstance(option, Table):
                results.append(option.key)
            elif isinstance(option, Row):
                results.append(joined(option.elements))
            elif isinstance(option, ApiObject):
                member = self._apis[option.api].member(option.name, "__getitem__")
                results.extend(
                    self._use.parsed(signature.result, option.api)
                    for signature in (member.signatures if member else ())
                )
            elif isinstance(option, OwnObject):
                iterate = self._method_of(option.info, "__iter__")
                results.append(self._element(self._result(iterate, option)) if iterate else UNKNOWN)
            elif isinstance(option, (Plain, Text, Truth, Nothing)):
                results.append(PLAIN)
            else:
                results.append(UNKNOWN)
        return joined(results)

    # ---- attributes

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        owner = self._value(node.value, scope)
        self._use.found.reached.add(id(node))
        narrowed = scope.narrowing(ast.unparse(node)) if scope.narrowed else None
        if narrowed is not None:
            return narrowed
        results = [self._of(option, node.attr, node, scope) for option in options_of(owner)]
        result = joined(results)
        if node.attr in API_IDENTIFIERS and result in (PLAIN, UNKNOWN):
            return ApiModule(API_IDENTIFIERS[node.attr])
        return result

    def _of(self, owner: Value, name: str, node: ast.expr, scope: Scope) -> Value:
        """Return an attribute of a value."""
        if self._is_features(owner, node):
            if not hasattr(self._features, name):
                self._use.violation(node, scope, f"Features has no field {name}")
                return UNKNOWN
            if not self._use.quiet:
                self._use.found.guards.add(name)
            return Truth(bool(getattr(self._features, name)))
        if isinstance(owner, ApiModule):
            return self._use.of_module(owner, name, node, scope)
        if isinstance(owner, ApiClass):
            return self._use.of_class(owner, name, node, scope)
        if isinstance(owner, ApiObject):
            return self._use.of_object(owner, name, node, scope)
        if isinstance(owner, OwnObject):
            found = self._of_own(owner, owner.info, name, node, scope)
            return UNKNOWN if found is None else found
        if isinstance(owner, OwnClass):
            method = self._method_of(owner.info, name)
            if method is not None:
                return OwnFunction(method)
            if name in owner.info.classes:
                return OwnClass(owner.info.classes[name])
            found = self._of_own(OwnObject(owner.info), owner.info, name, node, scope)
            return UNKNOWN if found is None else found
        if isinstance(owner, Super):
            return self._of_super(owner, name, node, scope)
        if isinstance(owner, OwnModule):
            found = self._tree.find(owner.name, name)
            return self._module_value(owner.name, name) if found is None else found
        if isinstance(owner, (Many, Table, Row)):
            return self._of_container(owner, name)
        self._use.looks_like_api(node, owner, scope)
        return PLAIN if isinstance(owner, (Plain, Text, Truth, Nothing)) else UNKNOWN

    def _is_features(self, owner: Value, node: ast.expr) -> bool:
        if isinstance(owner, OwnObject) and owner.info.name == "Features":
            return True
        holder = node.value if isinstance(node, ast.Attribute) else None
        named = getattr(holder, "attr", getattr(holder, "id", None))
        return named in _FEATURES and owner in (UNKNOWN, PLAIN)

    def _of_own(
        self, owner: OwnObject, info: ClassInfo, name: str, node: ast.expr, scope: Scope
    ) -> Value | None:
        """Return an attribute of an object of the project, None where it has no such thing."""
        if name in info.annotations:
            declared = self._tree.annotation(info.annotations[name], info.module)
            if declared != UNKNOWN:
                return declared
        method = info.methods.get(name)
        if method is not None:
            return self._result(method, owner) if method.is_property else OwnFunction(method)
        for attributes in (self._attributes, self._assigned):
            if name in attributes.get(info, {}):
                return attributes[info][name]
        if name in info.annotations:
            return UNKNOWN
        if name in info.classes:
            return OwnClass(info.classes[name])
        for base in self._bases(info):
            if isinstance(base, OwnClass):
                found = self._of_own(owner, base.info, name, node, scope)
                if found is not None:
                    return found
            elif isinstance(base, ApiClass):
                return self._use.of_object(ApiObject(base.api, base.name), name, node, scope)
            elif base == PLAIN:
                return PLAIN
        if name in ("__class__", "__dict__", "__doc__", "__name__", "__module__"):
            return PLAIN
        return None

    def _bases(self, info: ClassInfo) -> list[Value]:
        scope = self._scopes.get(info) or Scope(info.module)
        self._use.quiet += 1
        values = [self._value(base, scope) for base in info.node.bases]
        self._use.quiet -= 1
        return values

    def _method_of(self, info: ClassInfo, name: str) -> FunctionInfo | None:
        if name in info.methods:
            return info.methods[name]
        for base in self._bases(info):
            if isinstance(base, OwnClass):
                method = self._method_of(base.info, name)
                if method is not None:
                    return method
        return None

    def _of_super(self, owner: Super, name: str, node: ast.expr, scope: Scope) -> Value:
        for base in self._bases(owner.info):
            if isinstance(base, ApiClass):
                return self._use.of_object(ApiObject(base.api, base.name), name, node, scope)
            if isinstance(base, OwnClass):
                method = self._method_of(base.info, name)
                if method is not None:
                    return OwnFunction(method)
        return PLAIN

    def _of_container(self, owner: Many | Table | Row, name: str) -> Value:
        element = owner.element if isinstance(owner, Table) else self._element(owner)
        if isinstance(owner, Table):
            results = {
                "items": Many(Row((owner.key, owner.element))),
                "keys": Many(owner.key),
                "values": Many(owner.element),
                "copy": owner,
                "popitem": Row((owner.key, owner.element)),
            }
        else:
            results = {"copy": owner, "union": owner, "difference": owner, "intersection": owner}
        if name in ("get", "pop", "popleft", "setdefault", "__getitem__"):
            return Maker(element)
        return Maker(results.get(name, PLAIN))

    # ---- calls

    def _call(self, node: ast.Call, scope: Scope) -> Value:
        if isinstance(node.func, ast.Name) and scope.find(node.func.id) is None:
            special = {
                "getattr": self._getattr,
                "hasattr": self._hasattr,
                "setattr": self._setattr,
                "super": self._super,
                "cast": self._cast,
            }.get(node.func.id)
            if special is not None:
                return special(node, scope)
        callee = self._value(node.func, scope)
        positional = [self._value(argument, scope) for argument in node.args]
        by_name = [self._value(keyword.value, scope) for keyword in node.keywords]
        arguments = [*positional, *by_name]
        if self._hands_on(node, positional, scope):
            return UNKNOWN
        for argument, value in zip([*node.args, *(k.value for k in node.keywords)], arguments):
            self._use.given_away(argument, value, scope)
        if isinstance(node.func, ast.Name) and callee == PLAIN:
            found = self._of_builtin(node.func.id, positional)
            if found is not None:
                return found
        for option in options_of(callee):
            if isinstance(option, OwnFunction):
                self._own_arguments(option.info, node, positional, scope)
        return joined(self._called(option, node, arguments, scope) for option in options_of(callee))

    def _own_arguments(
        self, info: FunctionInfo, node: ast.Call, positional: list[Value], scope: Scope
    ) -> None:
        """Check positional arguments against the annotations of a function of the project."""
        parameters = info.parameters
        if info.owner is not None and "staticmethod" not in info.decorators:
            parameters = parameters[1:]
        for parameter, argument, value in zip(parameters, node.args, positional):
            if isinstance(argument, ast.Starred):
                return
            declared = self._tree.annotation(parameter.annotation, info.module)
            self._use.agrees(declared, value, argument, scope)

    def _called(self, callee: Value, node: ast.Call, arguments: list[Value], scope: Scope) -> Value:
        if isinstance(callee, ApiCallable):
            return self._use.call(callee, node.args, node.keywords, node, scope)
        if isinstance(callee, ApiClass):
            return self._use.construct(callee, node, scope)
        if isinstance(callee, OwnClass):
            return OwnObject(callee.info)
        if isinstance(callee, OwnFunction):
            return self._result(callee.info, None)
        if isinstance(callee, Maker):
            return callee.result
        if isinstance(callee, ApiObject):
            self._use.unknown(node, scope, f"{ast.unparse(node.func)}: a {callee.name} is called")
            return UNKNOWN
        if isinstance(callee, OwnObject):
            method = self._method_of(callee.info, "__call__")
            return self._result(method, callee) if method else UNKNOWN
        if callee == PLAIN and not any(carries_api(argument) for argument in arguments):
            return PLAIN
        return PLAIN if _is_numpy(node.func) else UNKNOWN

    def _result(self, info: FunctionInfo, receiver: Value | None) -> Value:
        """Return what a function of the project promises to return."""
        returns = info.node.returns
        if isinstance(returns, ast.Name) and returns.id == "Self" and receiver is not None:
            return receiver
        value = self._tree.annotation(returns, info.module)
        if "contextmanager" in info.decorators:
            return Manager(self._element(value))
        return value

    def _hands_on(self, node: ast.Call, positional: list[Value], scope: Scope) -> bool:
        """Check a call that is put off, as ``stack.callback(method, argument)``."""
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name not in ("callback", "partial", "finalize"):
            return False
        first = 1 if name == "finalize" else 0
        if len(positional) <= first or not isinstance(positional[first], ApiCallable):
            return False
        self._use.call(positional[first], node.args[first + 1 :], node.keywords, node, scope)
        return True

    def _of_builtin(self, name: str, arguments: list[Value]) -> Value | None:
        if name in _PLAIN_BUILTINS:
            return PLAIN
        if not arguments:
            return None
        if name in _ELEMENTWISE_BUILTINS:
            return Many(self._element(arguments[0]))
        if name in _ELEMENT_BUILTINS:
            return joined([self._element(arguments[0]), *arguments[1:]])
        if name == "enumerate":
            return Many(Row((PLAIN, self._element(arguments[0]))))
        if name == "zip":
            return Many(Row(tuple(self._element(argument) for argument in arguments)))
        if name == "dict":
            return arguments[0] if isinstance(arguments[0], Table) else None
        return None

    def _names_of(self, node: ast.Call, scope: Scope) -> tuple[Value, list[str] | None]:
        """Return whose attributes ``getattr`` and its like want, and which, if that is known."""
        owner = self._value(node.args[0], scope)
        wanted = self._value(node.args[1], scope)
        for argument in node.args[2:]:
            self._value(argument, scope)
        return owner, sorted(wanted.values) if isinstance(wanted, Text) else None

    def _getattr(self, node: ast.Call, scope: Scope) -> Value:
        owner, names = self._names_of(node, scope)
        if names is None:
            if carries_api(owner):
                self._use.unknown(node, scope, f"{ast.unparse(node)}: which names is not known")
            return UNKNOWN if owner != PLAIN else PLAIN
        if len(node.args) < 3:
            return joined(
                self._of(option, name, _as_attribute(node, name), scope)
                for option in options_of(owner)
                for name in names
            )
        default = self._value(node.args[2], scope)
        results = [default]
        for option in options_of(owner):
            for name in names:
                results.append(self._optional(option, name, node, scope))
        return joined(results)

    def _optional(self, owner: Value, name: str, node: ast.Call, scope: Scope) -> Value:
        """Return an attribute that this version may lack; some version must have it."""
        if not isinstance(owner, (ApiModule, ApiClass, ApiObject)):
            return self._of(owner, name, _as_attribute(node, name), scope)
        at = self._apis[owner.api]
        class_name = None if isinstance(owner, ApiModule) else owner.name
        if not at.api.where(class_name, name):
            return self._use.missing(node, scope, owner.api, class_name, name)
        present = (
            at.has_class(name) or at.has_name(name)
            if class_name is None
            else at.member(class_name, name) is not None
        )
        return self._of(owner, name, _as_attribute(node, name), scope) if present else NOTHING

    def _hasattr(self, node: ast.Call, scope: Scope) -> Value:
        owner, _ = self._names_of(node, scope)
        if carries_api(owner):
            self._use.violation(
                node,
                scope,
                f"{ast.unparse(node)}: ask the version table, a name that is missing is an error",
            )
        return PLAIN

    def _setattr(self, node: ast.Call, scope: Scope) -> Value:
        owner, names = self._names_of(node, scope)
        if carries_api(owner) and names is None:
            self._use.unknown(node, scope, f"{ast.unparse(node)}: which names is not known")
        for option in options_of(owner):
            for name in names or ():
                self._set_attribute(option, _as_attribute(node, name), UNKNOWN, scope)
        return NOTHING

    def _super(self, node: ast.Call, scope: Scope) -> Value:
        return Super(scope.owner) if scope.owner is not None else UNKNOWN

    def _cast(self, node: ast.Call, scope: Scope) -> Value:
        self._value(node.args[1], scope)
        return self._tree.annotation(node.args[0], scope.module)


def _breaks(node: ast.For | ast.While) -> bool:
    """Say whether a loop has a ``break`` of its own."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, ast.Break):
            return True
        if not isinstance(inner, (ast.For, ast.While, ast.FunctionDef, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(inner))
        elif isinstance(inner, (ast.For, ast.While)):
            waiting.extend(inner.orelse)
    return False


def _names_text(value: Value) -> bool:
    return any(
        isinstance(option, Text)
        or (isinstance(option, Many) and _names_text(option.element))
        or (isinstance(option, Table) and (_names_text(option.key) or _names_text(option.element)))
        or (isinstance(option, Row) and any(_names_text(part) for part in option.elements))
        for option in options_of(value)
    )


def _is_constant(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id.isupper()


def _without_text(value: Value) -> Value:
    """Forget the literals in what may be filled with others."""
    if isinstance(value, Many):
        return Many(_without_text(value.element))
    if isinstance(value, Table):
        return Table(_without_text(value.key), _without_text(value.element))
    return PLAIN if isinstance(value, Text) else value


def _is_numpy(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id == "np"


def _as_attribute(node: ast.Call, name: str) -> ast.Attribute:
    attribute = ast.Attribute(node.args[0], name, ast.Load())
    return ast.copy_location(attribute, node)
