"""Reads the code of a function for what would not replay, and for what it calls.

Statements are read in the order in which they stand, so that a name means what was last assigned to
it. A block under `sandbox_unrestricted()` is left alone: whoever wrote it knows what it does.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from perdure._check import rules
from perdure._check.order import INSENSITIVE, ordered_arguments
from perdure._check.project import FUNCTIONS, Function, imported
from perdure._check.rules import Entry, Rule
from perdure._check.sharing import Shared
from perdure._check.values import SET, TASKS, Definition, Scope, Value, Values, runs_here

Report = Callable[[ast.AST, Rule, str, str], None]
"""Takes where, which rule, what breaks it, and what to use instead."""

_PLAIN_FUTURES = frozenset({"asyncio.gather", "asyncio.Future"})
"""Their hashes are their addresses."""

_NEXUS = "nexus"
"""The mark of what handles Nexus operations: workflows name it, and it runs elsewhere."""


class Reader:
    """Reads one function."""

    def __init__(self, values: Values, report: Report) -> None:
        self._values = values
        self._report = report
        self._shared = Shared(values, report)
        self._in_order: set[int] = set()
        self.calls: list[Definition] = []
        """What the function calls of the project, in the order of its calls."""

    def read(self, found: Definition) -> None:
        """Reads a function, or what happens when a class is instantiated."""
        scope = Scope(found.module, found.owner)
        if isinstance(found.node, FUNCTIONS):
            self._function(found.node, scope, is_method=found.owner is not None)
        elif isinstance(found.node, ast.ClassDef):
            self._instantiation(found)

    def _instantiation(self, found: Definition) -> None:
        assert isinstance(found.node, ast.ClassDef)
        for name in ("__init__", "__post_init__"):
            method = self._values.method(found, name)
            if method is not None:
                self.calls.append(method)
        scope = Scope(found.module, found.node)
        for statement in found.node.body:
            # `field(default_factory=uuid4)`
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.value, ast.Call):
                for keyword in statement.value.keywords:
                    if keyword.arg in ("default_factory", "factory"):
                        self._expression(keyword.value, scope)

    def _function(self, node: Function | ast.Lambda, scope: Scope, *, is_method: bool) -> None:
        self._values.bind_arguments(node.args, scope)
        first = next(iter([*node.args.posonlyargs, *node.args.args]), None)
        if is_method and first is not None and isinstance(node, FUNCTIONS):
            scope.locals[first.arg] = self._first_argument(node, first, scope)
        if isinstance(node, ast.Lambda):
            self._expression(node.body, scope)
        else:
            self._body(node.body, scope)

    def _first_argument(self, node: Function, first: ast.arg, scope: Scope) -> Value | None:
        assert scope.owner is not None
        marks = {one.id for one in node.decorator_list if isinstance(one, ast.Name)}
        if "staticmethod" in marks:
            return scope.locals[first.arg]
        name = f"{scope.module.name}.{scope.owner.name}"
        return Value("name" if "classmethod" in marks else "object", name)

    # Statements

    def _body(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope.locals[node.name] = None
                self._function(node, scope.nested(), is_method=False)
            case ast.ClassDef():
                scope.locals[node.name] = None
            case ast.Import() | ast.ImportFrom():
                package = scope.module.name.rpartition(".")[0]
                for name, dotted in imported(node, package):
                    scope.locals[name] = Value("name", dotted)
            case ast.Global():
                scope.global_names.update(node.names)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._assignment(node, scope)
            case ast.Delete():
                self._shared.assigned(node.targets, scope)
                self._children(node, scope)
            case ast.For() | ast.AsyncFor():
                self._iterated(node.iter, scope)
                self._expression(node.iter, scope)
                self._forget(node.target, scope)
                self._body([*node.body, *node.orelse], scope)
            case ast.With() | ast.AsyncWith():
                self._with(node, scope)
            case _:
                self._children(node, scope)

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            value = self._values.of(_called(item.context_expr), scope)
            if value is not None and value.name.endswith("unsafe.sandbox_unrestricted"):
                return
            self._expression(item.context_expr, scope)
            self._entered(item.context_expr, scope)
            if item.optional_vars is not None:
                self._forget(item.optional_vars, scope)
        self._body(node.body, scope)

    def _entered(self, node: ast.expr, scope: Scope) -> None:
        value = self._values.of(node, scope)
        manager = None if value is None else self._values.definition(value.name)
        if manager is None or not isinstance(manager.node, ast.ClassDef):
            return
        for name in ("__enter__", "__aenter__", "__exit__", "__aexit__"):
            method = self._values.method(manager, name)
            if method is not None:
                self.calls.append(method)

    def _assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: Scope) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None:
            self._expression(node.value, scope)
            if any(isinstance(target, ast.Tuple | ast.List) for target in targets):
                self._iterated(node.value, scope)
        self._shared.assigned(targets, scope)
        for target in targets:
            if not isinstance(target, ast.Name):
                self._children(target, scope)
                self._forget(target, scope)
            elif isinstance(node, ast.AnnAssign):
                annotated = self._values.of_annotation(node.annotation, scope)
                scope.locals[target.id] = annotated or self._known(node.value, scope)
            elif isinstance(node, ast.Assign):
                scope.locals[target.id] = self._known(node.value, scope)

    def _known(self, node: ast.expr | None, scope: Scope) -> Value | None:
        return None if node is None else self._values.of(node, scope)

    def _forget(self, target: ast.expr, scope: Scope) -> None:
        """The names of a target stand for something unknown from here on."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope.locals[node.id] = None

    def _children(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, scope)
            elif isinstance(child, ast.expr):
                self._expression(child, scope)
            elif isinstance(child, ast.ExceptHandler):
                # Which errors it catches calls nothing.
                if child.name is not None:
                    scope.locals[child.name] = None
                self._body(child.body, scope)
            elif isinstance(child, ast.match_case):
                scope.locals.update(dict.fromkeys(_captured_names(child.pattern)))
                self._children(child, scope)
            else:
                self._children(child, scope)

    # Expressions

    def _expression(self, node: ast.expr, scope: Scope) -> None:
        match node:
            case ast.Call():
                self._call(node, scope)
            case ast.Name() | ast.Attribute():
                self._mention(node, scope, called=False)
            case ast.Lambda():
                self._function(node, scope.nested(), is_method=False)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node, scope.nested())
            case ast.NamedExpr():
                self._expression(node.value, scope)
                scope.locals[node.target.id] = self._values.of(node.value, scope)
            case ast.Starred():
                self._iterated(node.value, scope)
                self._expression(node.value, scope)
            case _:
                self._children(node, scope)

    def _comprehension(self, node: Any, scope: Scope) -> None:
        is_in_order = not isinstance(node, ast.SetComp) and id(node) not in self._in_order
        for generator in node.generators:
            if is_in_order:
                self._iterated(generator.iter, scope)
            self._expression(generator.iter, scope)
            self._forget(generator.target, scope)
            for condition in generator.ifs:
                self._expression(condition, scope)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self._expression(getattr(node, part), scope)

    def _iterated(self, node: ast.expr, scope: Scope) -> None:
        if self._values.of(node, scope) == SET:
            subject = f"iterating over {_short(node)}"
            self._report(node, rules.SET_ORDER, subject, "sorted(), or a list or dict")

    def _call(self, node: ast.Call, scope: Scope) -> None:
        function = node.func
        value = self._values.of(function, scope)
        name = "" if value is None else value.name
        if name in INSENSITIVE:
            self._in_order.update(id(one) for one in node.args)
        for argument in ordered_arguments(name, node):
            self._iterated(argument, scope)
        self._special(node, name, scope)
        if isinstance(function, ast.Name | ast.Attribute):
            enough = rules.TIME_OPTIONAL.get(name)
            if enough is None or len(node.args) < enough:
                self._mention(function, scope, called=True)
        else:
            self._expression(function, scope)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self._expression(argument, scope)

    def _special(self, node: ast.Call, name: str, scope: Scope) -> None:
        function = node.func
        if name in rules.UNSEEDED and not (node.args or node.keywords):
            self._report(node, *_told(rules.UNSEEDED[name], f"{name}()"))
        self._sets_of_asyncio(node, name, scope)
        self._shared.called(node, name, scope)
        if isinstance(function, ast.Attribute):
            entry = rules.ANY_METHOD.get(function.attr)
            if entry is not None:
                self._report(function, *_told(entry, f"{function.attr}()"))
            is_pop = function.attr == "pop" and not node.args
            if is_pop and self._values.of(function.value, scope) == SET:
                self._report(node, rules.SET_ORDER, "pop()", "sorted(), or a list or dict")

    def _sets_of_asyncio(self, node: ast.Call, name: str, scope: Scope) -> None:
        entry = rules.ASYNCIO_SETS.get(name)
        if entry is None:
            return
        given = next((one.value for one in node.keywords if one.arg == "fs"), None)
        given = node.args[0] if node.args else given
        if given is None or not runs_here(scope.module):
            is_ordered = False
        elif name == "asyncio.wait":
            called = self._called_within(given, scope)
            is_ordered = not any(one in _PLAIN_FUTURES for one in called)
        else:
            # Unlike `wait`, it takes coroutines too, and would begin them in any order.
            is_ordered = self._values.of(given, scope) == TASKS
        if not is_ordered:
            self._report(node.func, *_told(entry, name))

    def _called_within(self, node: ast.expr, scope: Scope) -> Iterator[str]:
        """The names of what is called to make the elements of a container."""
        match node:
            case ast.List() | ast.Tuple() | ast.Set():
                elements = node.elts
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                elements = [node.elt]
            case _:
                elements = []
        for element in elements:
            if isinstance(element, ast.Call):
                value = self._values.of(element.func, scope)
                yield "" if value is None else value.name

    def _mention(self, node: ast.Name | ast.Attribute, scope: Scope, *, called: bool) -> None:
        """A function that is called, or handed to somebody who may call it."""
        value = self._values.of(node, scope)
        if value is not None and value.kind in ("name", "method"):
            entry = _entry(value, called=called)
            if entry is not None:
                self._report(node, *_told(entry, value.name.removeprefix("builtins.")))
                return
            self._follow(node, value, scope, called=called)
        if isinstance(node, ast.Attribute):
            self._expression(node.value, scope)

    def _follow(self, node: ast.expr, value: Value, scope: Scope, *, called: bool) -> None:
        found = self._values.definition(value.name)
        if found is None or found.node is None:
            return
        marks = set(self.marks(found))
        if "activity.defn" in marks:
            if called:
                instead = "workflow.execute_activity()"
                self._report(node, rules.ACTIVITY, f"calling {found.name}()", instead)
        elif _NEXUS in marks:
            return
        elif called or not isinstance(found.node, ast.ClassDef):
            self.calls.append(found)

    def marks(self, found: Definition) -> Iterator[str]:
        """The decorators of our SDK, or of the official one, on a definition."""
        scope = Scope(found.module)
        for decorator in () if found.node is None else found.node.decorator_list:
            value = self._values.of(_called(decorator), scope)
            sdk, _, name = ("", "", "") if value is None else value.name.partition(".")
            if sdk in ("perdure", "temporalio"):
                yield name
            elif sdk == "nexusrpc":
                yield _NEXUS


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _captured_names(pattern: ast.pattern) -> Iterator[str]:
    for node in ast.walk(pattern):
        match node:
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                yield name
            case ast.MatchMapping(rest=str() as name):
                yield name


def _entry(value: Value, *, called: bool) -> Entry | None:
    if value.kind == "name":
        return rules.entry_of(value.name, called=called)
    owner, _, method = value.name.rpartition(".")
    return rules.METHODS.get(owner, {}).get(method)


def _told(entry: Entry, subject: str) -> tuple[Rule, str, str]:
    rule, instead = entry
    return rule, subject, instead


_SHOWN_LENGTH_MAX = 40


def _short(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}..."
