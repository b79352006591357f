"""What an expression stands for, as far as that can be told without running anything.

Six answers: a *name* (a module, a function, a class: whatever has a dotted name), an *object* of a
class, a *method* of such an object, a *set*, a *task*, or *tasks* in any container. Everything else
is unknown, and nothing is said of it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from perdure._check.project import BUILTINS, FUNCTIONS, Function, Module, Project
from perdure._check.rules import METHODS


class Value(NamedTuple):
    """What an expression stands for."""

    kind: Literal["name", "object", "method", "set", "task", "tasks"]
    name: str = ""


SET = Value("set")
TASK = Value("task")
TASKS = Value("tasks")
"""Also a set of them: its order is the same on replay."""

_SET_TYPES = frozenset(
    {
        "builtins.set",
        "builtins.frozenset",
        "typing.Set",
        "typing.FrozenSet",
        "typing.AbstractSet",
        "collections.abc.Set",
        "collections.abc.MutableSet",
    }
)
_SET_METHODS = frozenset(
    {"union", "intersection", "difference", "symmetric_difference", "copy", "keys"}
)
_ORDERED_ELEMENTS = frozenset({"builtins.int", "builtins.bool", "builtins.float"})
"""Their hashes are the same in each process, and so is the order of a set of them."""

_TASK_TYPES = frozenset({"asyncio.Task", "perdure.workflow.ActivityHandle"})
_MAKES_A_TASK = frozenset(
    {
        "asyncio.create_task",
        "asyncio.ensure_future",
        *(
            f"perdure.workflow.start_{kind}activity{by}"
            for kind in ("", "local_")
            for by in ("", "_method", "_class")
        ),
    }
)
_MAKES_A_TASK_WHEN_AWAITED = frozenset({"perdure.workflow.start_child_workflow"})
_KEEPS_ELEMENTS = frozenset(f"builtins.{name}" for name in ("set", "frozenset", "list", "tuple"))

LOOKUP_DEPTH_MAX = 20
"""Names that are imported from one module to the next are followed so far."""


class Definition(NamedTuple):
    """Something that the project defines."""

    module: Module
    owner: ast.ClassDef | None
    node: Function | ast.ClassDef | None
    """None: a variable of the module."""
    name: str


@dataclass
class Scope:
    """Where an expression stands."""

    module: Module
    owner: ast.ClassDef | None = None
    locals: dict[str, Value | None] = field(default_factory=dict)
    global_names: set[str] = field(default_factory=set)

    def nested(self) -> Scope:
        """The scope of a function within."""
        return Scope(self.module, self.owner, dict(self.locals), set(self.global_names))


class Values:
    """Tells what expressions stand for."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._attributes: dict[int, dict[str, Value | None]] = {}
        self._busy: set[int] = set()

    def of(self, node: ast.expr, scope: Scope) -> Value | None:
        """What the expression stands for."""
        match node:
            case ast.Name():
                return self._of_name(node.id, scope)
            case ast.Attribute():
                return self._of_attribute(node, scope)
            case ast.Set() | ast.List() | ast.Tuple():
                return self._of_display(node, scope)
            case ast.SetComp() | ast.ListComp() | ast.GeneratorExp():
                return self._of_comprehension(node, scope)
            case ast.Call():
                return self._of_call(node, scope)
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() | ast.BitXor() | ast.Sub()):
                sides = (node.left, node.right)
                return SET if any(self._is_set_like(side, scope) for side in sides) else None
            case ast.BoolOp():
                return self._first(node.values, scope)
            case ast.IfExp():
                return self._first([node.body, node.orelse], scope)
            case ast.NamedExpr():
                return self.of(node.value, scope)
            case ast.Await():
                return self._of_awaited(node.value, scope)
        return None

    def _of_display(self, node: ast.Set | ast.List | ast.Tuple, scope: Scope) -> Value | None:
        if node.elts and all(self._is_of_tasks(one, scope) for one in node.elts):
            return TASKS
        if isinstance(node, ast.Set) and not all(_is_number(one) for one in node.elts):
            return SET
        return None

    def _of_comprehension(
        self, node: ast.SetComp | ast.ListComp | ast.GeneratorExp, scope: Scope
    ) -> Value | None:
        inner = scope.nested()
        for generator in node.generators:
            inner.locals.update(dict.fromkeys(_stored_names(generator.target)))
        if self._is_of_tasks(node.elt, inner):
            return TASKS
        return SET if isinstance(node, ast.SetComp) else None

    def _is_of_tasks(self, element: ast.expr, scope: Scope) -> bool:
        """Whether an element, or what is unpacked into its place, adds tasks whose order replays:
        those of the official SDK's event loop have none."""
        if not runs_here(scope.module):
            return False
        if isinstance(element, ast.Starred):
            return self.of(element.value, scope) == TASKS
        return self.of(element, scope) == TASK

    def _of_awaited(self, node: ast.expr, scope: Scope) -> Value | None:
        if isinstance(node, ast.Call):
            function = self.of(node.func, scope)
            if function is not None and function.name in _MAKES_A_TASK_WHEN_AWAITED:
                return TASK
        value = self.of(node, scope)
        return None if value == TASK else value

    def _first(self, nodes: list[ast.expr], scope: Scope) -> Value | None:
        found = (self.of(node, scope) for node in nodes)
        return next((value for value in found if value is not None), None)

    def _is_set_like(self, node: ast.expr, scope: Scope) -> bool:
        """A set, or the keys of a mapping, which make a set with others."""
        if self.of(node, scope) == SET:
            return True
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("keys", "items")
        )

    def _of_name(self, name: str, scope: Scope) -> Value | None:
        if name in scope.locals and name not in scope.global_names:
            return scope.locals[name]
        return self._of_global(name, scope.module)

    def _of_global(self, name: str, module: Module) -> Value | None:
        if name in module.functions or name in module.classes:
            return Value("name", f"{module.name}.{name}")
        if name in module.imports:
            return self._of_dotted(module.imports[name])
        if name in module.variables:
            return self._of_variable(name, module)
        return Value("name", f"builtins.{name}") if name in BUILTINS else None

    def _of_variable(self, name: str, module: Module) -> Value | None:
        annotation, value = module.variables[name]
        key = id(annotation or value)
        if key in self._busy:
            return None
        self._busy.add(key)
        try:
            scope = Scope(module)
            found = None if annotation is None else self.of_annotation(annotation, scope)
            return found or (None if value is None else self.of(value, scope))
        finally:
            self._busy.discard(key)

    def _of_dotted(self, dotted: str) -> Value | None:
        found = self.definition(dotted)
        if found is not None and found.node is None:
            return self._of_variable(found.name, found.module)
        return Value("name", dotted)

    def _of_attribute(self, node: ast.Attribute, scope: Scope) -> Value | None:
        base = self.of(node.value, scope)
        if base is None or base.kind not in ("name", "object"):
            return None
        dotted = f"{base.name}.{node.attr}"
        if base.kind == "name":
            return self._of_dotted(dotted)
        owner = self.definition(base.name)
        if owner is not None and isinstance(owner.node, ast.ClassDef):
            known = self._attribute(owner, node.attr)
            if known is not None:
                return known
        return Value("method", dotted)

    def _of_call(self, node: ast.Call, scope: Scope) -> Value | None:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in _SET_METHODS:
            base = self.of(function.value, scope)
            if base == SET and function.attr != "keys":
                return SET
        if isinstance(function, ast.Attribute) and function.attr == "create_task":
            return TASK  # of `asyncio`, a `TaskGroup` or a loop
        value = self.of(function, scope)
        if value is None:
            return None
        if value.name in _MAKES_A_TASK:
            return TASK
        if value.name in _KEEPS_ELEMENTS and node.args and self.of(node.args[0], scope) == TASKS:
            return TASKS
        if value.kind == "name" and value.name in ("builtins.set", "builtins.frozenset"):
            return SET if node.args else None
        if value.kind == "name" and value.name in METHODS:
            return Value("object", value.name)
        found = self.definition(value.name)
        if found is None:
            return None
        if isinstance(found.node, ast.ClassDef):
            return Value("object", dotted_of(found)) if value.kind == "name" else None
        if found.node is not None and found.node.returns is not None:
            return self.of_annotation(found.node.returns, Scope(found.module, found.owner))
        return None

    # Types

    def of_annotation(self, node: ast.expr, scope: Scope) -> Value | None:
        """What a value with this annotation is."""
        match node:
            case ast.Constant(value=str() as text):
                try:
                    return self.of_annotation(ast.parse(text, mode="eval").body, scope)
                except SyntaxError:
                    return None
            case ast.BinOp(op=ast.BitOr()):
                left = self.of_annotation(node.left, scope)
                return left or self.of_annotation(node.right, scope)
            case ast.Subscript():
                return self._of_generic(node, scope)
            case ast.Name() | ast.Attribute():
                return self._of_type(self.of(node, scope))
        return None

    def _of_generic(self, node: ast.Subscript, scope: Scope) -> Value | None:
        generic = self.of(node.value, scope)
        if generic is None or generic.kind != "name":
            return None
        if generic.name in _SET_TYPES:
            inner = node.slice
            element = self.of(inner.value if isinstance(inner, ast.Subscript) else inner, scope)
            if element is not None and element.name in _TASK_TYPES and runs_here(scope.module):
                return TASKS
            return None if element is not None and element.name in _ORDERED_ELEMENTS else SET
        if generic.name in ("typing.Optional", "typing.Annotated", "typing.Final"):
            inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
            return self.of_annotation(inner, scope)
        return None

    def _of_type(self, value: Value | None) -> Value | None:
        if value is None or value.kind != "name":
            return None
        if value.name in _SET_TYPES:
            return SET
        found = self.definition(value.name)
        is_class = found is not None and isinstance(found.node, ast.ClassDef)
        return Value("object", value.name) if is_class or value.name in METHODS else None

    # The project's classes

    def definition(self, dotted: str, depth: int = 0) -> Definition | None:
        """What the project defines under a dotted name, wherever that is imported from."""
        split = self._project.split(dotted)
        if split is None or not split[1] or depth > LOOKUP_DEPTH_MAX:
            return None
        module, (name, *rest) = split
        if name in module.imports and name not in module.functions | module.classes:
            return self.definition(".".join([module.imports[name], *rest]), depth + 1)
        if name in module.classes:
            owner = module.classes[name]
            if not rest:
                return Definition(module, None, owner, name)
            return self.method(Definition(module, None, owner, name), rest[0])
        if rest:
            return None
        if name in module.functions:
            return Definition(module, None, module.functions[name], name)
        return Definition(module, None, None, name) if name in module.variables else None

    def method(self, owner: Definition, name: str, depth: int = 0) -> Definition | None:
        """A method of a class, or of one that it inherits from."""
        assert isinstance(owner.node, ast.ClassDef)
        for statement in owner.node.body:
            if isinstance(statement, FUNCTIONS) and statement.name == name:
                return Definition(owner.module, owner.node, statement, name)
        for base in self.bases(owner):
            found = self.method(base, name, depth + 1) if depth < LOOKUP_DEPTH_MAX else None
            if found is not None:
                return found
        return None

    def bases(self, owner: Definition) -> list[Definition]:
        """The classes of the project that a class inherits from."""
        assert isinstance(owner.node, ast.ClassDef)
        scope = Scope(owner.module)
        values = [self.of(base, scope) for base in owner.node.bases]
        found = [self.definition(value.name) for value in values if value is not None]
        return [one for one in found if one is not None and isinstance(one.node, ast.ClassDef)]

    def _attribute(self, owner: Definition, name: str) -> Value | None:
        """What the class says that an attribute is."""
        node = owner.node
        assert isinstance(node, ast.ClassDef)
        known = self._attributes.get(id(node))
        if known is None:
            known = self._attributes[id(node)] = {}
            known.update(self._attributes_of(owner.module, node))
        return known.get(name)

    def _attributes_of(self, module: Module, node: ast.ClassDef) -> dict[str, Value | None]:
        found: dict[str, Value | None] = {}
        for part in node.body:
            scope = Scope(module, node)
            if isinstance(part, FUNCTIONS):
                scope.locals.update(dict.fromkeys(_stored_names(part)))
                self.bind_arguments(part.args, scope)
            self._add_attributes(found, part, scope)
        return found

    def _add_attributes(self, found: dict[str, Value | None], part: ast.stmt, scope: Scope) -> None:
        for statement in ast.walk(part):
            name, value = "", None
            if isinstance(statement, ast.AnnAssign):
                name = _attribute_name(statement.target)
                value = self.of_annotation(statement.annotation, scope)
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                name = _attribute_name(statement.targets[0])
                value = self.of(statement.value, scope)
            if name and found.get(name) is None:
                found[name] = value

    def bind_arguments(self, arguments: ast.arguments, scope: Scope) -> None:
        """In its scope, a function's arguments are what their annotations say."""
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for one in filter(None, (*every, arguments.vararg, arguments.kwarg)):
            annotation = one.annotation
            scope.locals[one.arg] = (
                None if annotation is None else self.of_annotation(annotation, scope)
            )


def dotted_of(found: Definition) -> str:
    """The dotted name of what the project defines."""
    owner = [] if found.owner is None else [found.owner.name]
    return ".".join([found.module.name, *owner, found.name])


def _attribute_name(target: ast.expr) -> str:
    """`x` of `self.x`, and of `x: int` in the body of a class."""
    match target:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
        case ast.Name(id=name):
            return name
    return ""


def runs_here(module: Module) -> bool:
    """Whether a module's workflows are run by this SDK, as far as it tells."""
    names = module.imports.values()
    return not any(one == "temporalio" or one.startswith("temporalio.workflow") for one in names)


def _stored_names(part: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(part)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)
