"""Comments that suppress a finding: `# perdure: ignore[PD101] because ...`.

A comment is about its own line, or, alone on a line, about the next. Without a reason it suppresses
nothing, and one that is not needed is told: otherwise nobody would ever know.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from perdure._check.finding import Finding
from perdure._check.project import Module
from perdure._check.rules import NO_REASON, UNUSED

_COMMENT = re.compile(r"#\s*perdure:\s*ignore(?:\[([^\]]*)\])?(.*)$")


def is_suppressed(line: str) -> bool:
    """Whether a comment in a line suppresses something, with a reason."""
    found = _COMMENT.search(line)
    return found is not None and bool(_codes(found)) and bool(_reason(found))


def unsuppressed(module: Module, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings in a module that nothing suppresses, and what is wrong with its comments."""
    comments = dict(_comments(module))
    used: set[int] = set()
    for finding in findings:
        line = next((one for one in _lines_of(module, finding.line) if one in comments), None)
        if line is not None and finding.rule.code in _codes(comments[line]):
            used.add(line)
            if _reason(comments[line]):
                continue
        yield finding
    for line, comment in comments.items():
        rule = None
        if not _reason(comment):
            rule = NO_REASON
        elif line not in used:
            rule = UNUSED
        if rule is not None:
            column = comment.start() + 1
            yield Finding(module.path, line, column, rule, comment[0].strip())


def _comments(module: Module) -> Iterator[tuple[int, re.Match[str]]]:
    texts = {line for node in ast.walk(module.tree) for line in _lines_within(node)}
    for number, line in enumerate(module.lines, start=1):
        found = _COMMENT.search(line)
        if found is not None and number not in texts:
            yield number, found


def _lines_within(node: ast.AST) -> range:
    """The lines of a text that goes over several, the last excepted: no comment can be there."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    if not is_text or node.end_lineno is None:  # type: ignore[attr-defined]
        return range(0)
    return range(node.lineno, node.end_lineno)  # type: ignore[attr-defined]


def _lines_of(module: Module, line: int) -> Iterator[int]:
    yield line
    if line >= 2 and module.lines[line - 2].lstrip().startswith("#"):
        yield line - 1


def _codes(comment: re.Match[str]) -> set[str]:
    return {code.strip() for code in (comment[1] or "").split(",")}


def _reason(comment: re.Match[str]) -> str:
    return comment[2].strip(" \t-\u2013\u2014:,;")
