"""The project's own modules: read once each, with what their names stand for."""

from __future__ import annotations

import ast
import builtins
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef

SKIPPED = frozenset({"__pycache__", "node_modules", "build", "dist", "site-packages"})
"""Directories that hold no code of the project, besides those that begin with a dot."""

TOO_DEEP = "what is nested too deeply"
"""Told of code that neither Python nor we can read within its stack."""

SDKS = frozenset({"perdure", "temporalio"})
"""What workflow code may call, however it is made."""


@dataclass
class Module:
    """A module: its syntax tree, and what its global names stand for."""

    path: Path
    name: str
    lines: Sequence[str]
    tree: ast.Module
    imports: dict[str, str] = field(default_factory=dict)
    """Names and the dotted names that they were imported from."""
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    variables: dict[str, tuple[ast.expr | None, ast.expr | None]] = field(default_factory=dict)
    """Other global names, with their annotation and first value."""


class Project:
    """Modules by their names, read when something asks for them."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = list(dict.fromkeys(roots))
        self._by_path: dict[Path, Module] = {}
        self._by_name: dict[str, Module | None] = {}

    def read(self, path: Path) -> Module:
        """The module in a file. Raises SyntaxError, OSError or UnicodeDecodeError."""
        path = path.resolve()
        module = self._by_path.get(path)
        if module is None:
            with tokenize.open(path) as file:
                text = file.read()
            name = module_name(path)
            module = Module(path, name, text.splitlines(), _parse(text, path))
            self._by_path[path] = module
            is_package = path.name == "__init__.py"
            _bind(module, name if is_package else name.rpartition(".")[0])
        return module

    def module(self, name: str) -> Module | None:
        """The project's module of that name, if it has one that can be read."""
        if name not in self._by_name:
            self._by_name[name] = self._find(name)
        return self._by_name[name]

    def _find(self, name: str) -> Module | None:
        if name.partition(".")[0] in SDKS:
            return None
        relative = Path(*name.split("."))
        for root in self._roots:
            for path in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
                if path.is_file():
                    try:
                        return self.read(path)
                    except (SyntaxError, UnicodeDecodeError, OSError):
                        return None
        return None

    def split(self, dotted: str) -> tuple[Module, list[str]] | None:
        """The project's module that a dotted name begins with, and the rest of the name."""
        parts = dotted.split(".") if dotted else []
        for length in range(len(parts), 0, -1):
            module = self.module(".".join(parts[:length]))
            if module is not None:
                return module, parts[length:]
        return None


def _parse(text: str, path: Path) -> ast.Module:
    """Raises SyntaxError."""
    try:
        return ast.parse(text, str(path))
    except RecursionError:
        raise SyntaxError(TOO_DEEP) from None
    except ValueError as error:  # a null byte
        raise SyntaxError(str(error)) from None


def python_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and those in the directories."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for found in sorted(path.rglob("*.py")):
            within = found.relative_to(path).parts[:-1]
            is_left_out = any(part in SKIPPED or part.startswith(".") for part in within)
            if not is_left_out and found.is_file():
                yield found


def roots_of(paths: Sequence[Path]) -> list[Path]:
    """Where imports of the project begin: above the packages of the files, and here."""
    roots = [_above_packages(path.resolve()) for path in paths]
    here = Path.cwd()
    return [*roots, here, here / "src"]


def _above_packages(path: Path) -> Path:
    directory = path if path.is_dir() else path.parent
    while (directory / "__init__.py").exists():
        directory = directory.parent
    return directory


def module_name(path: Path) -> str:
    """The dotted name by which the packages around a file import it."""
    root = _above_packages(path)
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) or path.parent.name


def _bind(module: Module, package: str) -> None:
    for statement in _statements(module.tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            module.imports.update(imported(statement, package))
        elif isinstance(statement, FUNCTIONS):
            module.functions[statement.name] = statement
        elif isinstance(statement, ast.ClassDef):
            module.classes[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    module.variables.setdefault(target.id, (None, statement.value))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found = (statement.annotation, statement.value)
            module.variables.setdefault(statement.target.id, found)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Also those within `if`, `try` and `with`, such as `imports_passed_through()`."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, name, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body)


def imported(statement: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, and the dotted name that it stands for."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
        return
    base = statement.module or ""
    if statement.level:
        parts = package.split(".") if package else []
        kept = parts[: len(parts) - (statement.level - 1)]
        base = ".".join([*kept, *([base] if base else [])])
    for alias in statement.names:
        yield alias.asname or alias.name, f"{base}.{alias.name}"


BUILTINS = frozenset(vars(builtins))
