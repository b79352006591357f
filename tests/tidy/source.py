"""What the tidy rules look at: the project's files, each read and parsed once per session."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Source:
    """One parsed Python file; `path` is relative to the root of the project, with slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name under which the file is imported; a package's is that of its folder."""
        parts = self.path.removeprefix("src/").removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        """The dotted name that relative imports in the file start from."""
        return self.module if self.path.endswith("/__init__.py") else self.module.rpartition(".")[0]


def snippet(text: str, path: str = "src/perdure/example.py") -> Source:
    """Parse a few lines as if they stood in the project at `path`: how the rules are tested."""
    return Source(path=path, text=text, tree=ast.parse(text))


@functools.cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file under the named folders of the project, in the order of their paths."""
    return tuple(
        _source(path)
        for path in project_files()
        if path.endswith(".py") and path.split("/", 1)[0] in folders
    )


@functools.cache
def _source(path: str) -> Source:
    return snippet((ROOT / path).read_text(encoding="utf-8"), path)


@functools.cache
def project_files() -> tuple[str, ...]:
    """The files that belong to the project, relative to its root.

    Git knows what is ignored. A copy without its repository (an unpacked source distribution) is
    walked instead, without hidden and generated folders.
    """
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    paths = listing.stdout.decode().split("\0") if listing.returncode == 0 else _walk(ROOT)
    return tuple(sorted(path for path in paths if path and (ROOT / path).is_file()))


def _walk(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_file():
            yield entry.relative_to(ROOT).as_posix()
        elif entry.name == ".ci" or not entry.name.startswith(
            (".", "__pycache__", "build", "dist")
        ):
            yield from _walk(entry)


def functions(tree: ast.Module) -> Iterator[tuple[str, FunctionNode]]:
    """Every function with its qualified name (`Class.method`, `outer.inner`), nested ones too."""
    for name, node in definitions(tree):
        if not isinstance(node, ast.ClassDef):
            yield name, node


def definitions(tree: ast.Module) -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """Every class and function with its qualified name, wherever it is nested."""
    yield from _definitions(tree, prefix="")


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
            yield from _definitions(child, prefix=f"{prefix}{child.name}.")
        else:
            yield from _definitions(child, prefix)


def report(findings: Iterable[str]) -> None:
    """Fail the test with one finding a line, or pass when there is none."""
    lines = sorted(findings)
    assert not lines, "\n" + "\n".join(lines)
