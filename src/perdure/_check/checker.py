"""`check(paths)`: findings in the workflow code of some files, and in what it calls."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from perdure._check.finding import Finding
from perdure._check.project import (
    FUNCTIONS,
    TOO_DEEP,
    Module,
    Project,
    python_files,
    roots_of,
)
from perdure._check.reading import Reader
from perdure._check.rules import SYNTAX, Rule
from perdure._check.suppressing import unsuppressed
from perdure._check.values import Definition, Values, dotted_of

FOLLOWED_MAX = 10_000
"""Functions that are read for one class: nothing that people write comes near it."""


def check(paths: Sequence[Path]) -> list[Finding]:
    """What would not replay, in the order of files and lines."""
    project = Project(roots_of(paths))
    checker = _Checker(project)
    modules = []
    for path in python_files(paths):
        try:
            modules.append(project.read(path))
        except SyntaxError as error:
            checker.add(Finding(path, error.lineno or 1, error.offset or 1, SYNTAX, error.msg))
        except (UnicodeDecodeError, OSError) as error:
            checker.add(Finding(path, 1, 1, SYNTAX, str(error)))
    for module in modules:
        for node in module.classes.values():
            checker.check_class(Definition(module, None, node, node.name))
    return checker.finish(modules)


class _Checker:
    """Collects findings, each once."""

    def __init__(self, project: Project) -> None:
        self._values = Values(project)
        self._findings: dict[tuple[Path, int, int, str], Finding] = {}
        self._modules: dict[Path, Module] = {}
        self._read: set[int] = set()

    def add(self, finding: Finding) -> None:
        key = (finding.path, finding.line, finding.column, finding.rule.code)
        self._findings.setdefault(key, finding)

    def check_class(self, found: Definition) -> None:
        """Checks a class, if it is a workflow that is guarded."""
        if not self._is_workflow(found):
            return
        assert isinstance(found.node, ast.ClassDef)
        todo: deque[tuple[Definition, tuple[str, ...]]] = deque()
        for owner in (found, *self._all_bases(found)):
            assert isinstance(owner.node, ast.ClassDef)
            for statement in owner.node.body:
                if isinstance(statement, FUNCTIONS):
                    method = Definition(owner.module, owner.node, statement, statement.name)
                    todo.append((method, (f"{found.name}.{statement.name}",)))
        for _ in range(FOLLOWED_MAX):
            if not todo:
                break
            self._follow(*todo.popleft(), todo)

    def _follow(
        self,
        found: Definition,
        via: tuple[str, ...],
        todo: deque[tuple[Definition, tuple[str, ...]]],
    ) -> None:
        if id(found.node) in self._read:
            return
        self._read.add(id(found.node))
        self._modules[found.module.path] = found.module

        def report(node: ast.AST, rule: Rule, subject: str, instead: str) -> None:
            line, column = node.lineno, node.col_offset + 1  # type: ignore[attr-defined]
            self.add(Finding(found.module.path, line, column, rule, subject, instead, via))

        reader = Reader(self._values, report)
        try:
            reader.read(found)
        except RecursionError:
            line = 1 if found.node is None else found.node.lineno
            self.add(Finding(found.module.path, line, 1, SYNTAX, TOO_DEEP, "", via))
        for called in reader.calls:
            name = dotted_of(called).removeprefix(f"{called.module.name}.")
            todo.append((called, via if name == via[-1] else (*via, name)))

    def _is_workflow(self, found: Definition) -> bool:
        reader = Reader(self._values, lambda *_: None)
        if "workflow.defn" not in set(reader.marks(found)):
            return False
        assert isinstance(found.node, ast.ClassDef)
        options = [
            keyword
            for decorator in found.node.decorator_list
            if isinstance(decorator, ast.Call)
            for keyword in decorator.keywords
        ]
        return not any(
            option.arg == "sandboxed"
            and isinstance(option.value, ast.Constant)
            and option.value.value is False
            for option in options
        )

    def _all_bases(self, found: Definition) -> list[Definition]:
        bases: list[Definition] = []
        for base in self._values.bases(found):
            if all(base.node is not one.node for one in bases) and base.node is not found.node:
                bases += [base, *self._all_bases(base)]
        return bases

    def finish(self, modules: Sequence[Module]) -> list[Finding]:
        """What is left when comments have been heard."""
        every = {module.path: module for module in modules} | self._modules
        kept = [one for one in self._findings.values() if one.path not in every]
        for path, module in every.items():
            own = [one for one in self._findings.values() if one.path == path]
            kept += unsuppressed(module, own)
        return sorted(kept, key=lambda one: (str(one.path), one.line, one.column, one.rule.code))
