"""Finds what changes the state that all workflows of a worker share: modules and classes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from perdure._check import rules
from perdure._check.project import FUNCTIONS
from perdure._check.rules import Rule
from perdure._check.values import Scope, Values

_CHANGES = frozenset(
    [
        "append",
        "appendleft",
        "extend",
        "insert",
        "remove",
        "pop",
        "popleft",
        "popitem",
        "clear",
        "update",
        "setdefault",
        "add",
        "discard",
        "sort",
        "reverse",
    ]
)
_CONTAINERS = frozenset(
    {
        "builtins.list",
        "builtins.dict",
        "builtins.set",
        "collections.defaultdict",
        "collections.deque",
        "collections.OrderedDict",
        "collections.Counter",
    }
)
_INSTEAD = "an attribute of self"


class Shared:
    """Reports what changes shared state."""

    def __init__(self, values: Values, report: Callable[[ast.AST, Rule, str, str], None]) -> None:
        self._values = values
        self._report = report

    def assigned(self, targets: Iterable[ast.expr], scope: Scope) -> None:
        """Something is assigned to these, or they are deleted."""
        for target in targets:
            if isinstance(target, ast.Tuple | ast.List):
                self.assigned(target.elts, scope)
            elif self._is_changed(target, scope):
                self._tell(target, f"assigning to {ast.unparse(target)}")

    def called(self, node: ast.Call, name: str, scope: Scope) -> None:
        """Something is called: `CACHE.update()`, `next(COUNTER)`."""
        function = node.func
        if name == "builtins.next" and node.args and self._is_counter(node.args[0], scope):
            self._tell(node, f"taking from {ast.unparse(node.args[0])}")
        if not isinstance(function, ast.Attribute) or function.attr not in _CHANGES:
            return
        if self._is_container(function.value, scope):
            self._tell(node, f"changing {ast.unparse(function.value)}")

    def _tell(self, node: ast.AST, subject: str) -> None:
        self._report(node, rules.GLOBAL, subject, _INSTEAD)

    def _is_changed(self, target: ast.expr, scope: Scope) -> bool:
        if isinstance(target, ast.Name):
            return target.id in scope.global_names
        is_part = isinstance(target, ast.Attribute | ast.Subscript)
        return is_part and self._is_shared(target.value, scope)  # type: ignore[attr-defined]

    def _is_shared(self, node: ast.expr, scope: Scope) -> bool:
        """A module, a class, or a variable of one."""
        if isinstance(node, ast.Subscript):
            return self._is_shared(node.value, scope)
        if self._is_container(node, scope):
            return True
        if isinstance(node, ast.Name) and node.id in scope.locals:
            value = scope.locals[node.id]
            return value is not None and value.kind == "name"
        if isinstance(node, ast.Name):
            known = (scope.module.imports, scope.module.classes, scope.module.variables)
            return any(node.id in names for names in known)
        if isinstance(node, ast.Attribute):
            value = self._values.of(node, scope)
            is_name = value is not None and value.kind == "name"
            return is_name or ast.unparse(node) == "self.__class__"
        return isinstance(node, ast.Call) and ast.unparse(node) == "type(self)"

    def _is_counter(self, node: ast.expr, scope: Scope) -> bool:
        value = self._first_value(node, scope)
        return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("count")

    def _is_container(self, node: ast.expr, scope: Scope) -> bool:
        """A list, dict or set that belongs to a module or a class."""
        value = self._first_value(node, scope)
        if isinstance(value, ast.Call):
            called = self._values.of(value.func, Scope(scope.module))
            return called is not None and called.name in _CONTAINERS
        return isinstance(
            value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
        )

    def _first_value(self, node: ast.expr, scope: Scope) -> ast.expr | None:
        """What a variable of a module or a class begins with."""
        if isinstance(node, ast.Name):
            if node.id in scope.locals and node.id not in scope.global_names:
                return None
            return self._of_variable(node.id, scope)
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            return None
        if node.value.id in ("self", "cls") and scope.owner is not None:
            return _of_class(scope.owner, node.attr)
        owner = self._values.of(node.value, scope)
        if owner is None or owner.kind != "name":
            return None
        found = self._values.definition(f"{owner.name}.{node.attr}")
        if found is not None and found.node is None:
            return found.module.variables[found.name][1]
        holder = self._values.definition(owner.name)
        is_class = holder is not None and isinstance(holder.node, ast.ClassDef)
        return _of_class(holder.node, node.attr) if is_class and holder else None  # type: ignore[arg-type]

    def _of_variable(self, name: str, scope: Scope) -> ast.expr | None:
        module = scope.module
        if name in module.variables:
            return module.variables[name][1]
        found = self._values.definition(module.imports.get(name, ""))
        if found is None or found.node is not None:
            return None
        return found.module.variables[found.name][1]


def _of_class(owner: ast.ClassDef, name: str) -> ast.expr | None:
    """The value that the class gives to all its objects, unless they get their own."""
    for node in ast.walk(owner):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(one, ast.Attribute) and one.attr == name for one in targets):
            return None
    for statement in owner.body:
        if isinstance(statement, FUNCTIONS):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        if any(isinstance(one, ast.Name) and one.id == name for one in targets):
            value = statement.value  # type: ignore[attr-defined]
            return value if isinstance(value, ast.expr) else None
    return None
