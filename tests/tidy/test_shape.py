"""Functions fit a screen, what is public is described, nothing is caught or printed unseen."""

from __future__ import annotations

import pytest

from tests.tidy.imports import is_within
from tests.tidy.shape import (
    BROAD_EXCEPT_BOUNDARIES,
    FILE_LINES_MAX,
    FUNCTION_LINES_MAX,
    SIZE_EXCEPTIONS,
    broad_excepts,
    not_excepted,
    oversized,
    prints,
    undescribed,
)
from tests.tidy.source import report, snippet, sources


def function_of(lines: int) -> str:
    return "def function():\n" + "    step()\n" * (lines - 1)


def test_functions_and_files_fit_their_limits() -> None:
    checked = sources("src", "sim", "tests", "bench", "examples")
    found = (finding for source in checked for finding in oversized(source))
    report(not_excepted(found, SIZE_EXCEPTIONS))


def test_everything_is_caught_only_at_named_boundaries() -> None:
    found = (finding for source in sources("src") for finding in broad_excepts(source))
    report(not_excepted(found, BROAD_EXCEPT_BOUNDARIES))


def test_everything_public_is_described() -> None:
    report(finding for source in sources("src") for finding in undescribed(source))


def test_only_the_command_line_prints() -> None:
    checked = [s for s in sources("src") if not is_within(s.module, "perdure.cli")]
    report(finding for source in checked for finding in prints(source))


def test_every_exception_has_a_reason() -> None:
    reasons = [*SIZE_EXCEPTIONS.values(), *BROAD_EXCEPT_BOUNDARIES.values()]
    assert all(len(reason.split()) >= 3 for reason in reasons)


def test_a_size_up_to_the_limit_passes() -> None:
    text = function_of(FUNCTION_LINES_MAX) + "\n" * (FILE_LINES_MAX - FUNCTION_LINES_MAX)
    assert list(oversized(snippet(text))) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (function_of(FUNCTION_LINES_MAX + 1), "src/perdure/example.py:function"),
        (
            "class Class:\n    async def method(self):\n" + "        step()\n" * FUNCTION_LINES_MAX,
            "src/perdure/example.py:Class.method",
        ),
        ("\n" * (FILE_LINES_MAX + 1), "src/perdure/example.py"),
    ],
    ids=["function", "method", "file"],
)
def test_a_size_beyond_the_limit_is_found(text: str, key: str) -> None:
    assert [found for found, _ in oversized(snippet(text))] == [key]


def test_an_exception_covers_its_finding_and_only_that() -> None:
    findings = [("a", "a is long"), ("b", "b is long")]
    assert list(not_excepted(iter(findings), {"a": "a generated table"})) == ["b is long"]


def test_an_exception_that_nothing_needs_is_found() -> None:
    assert list(not_excepted(iter([]), {"gone": "was once long"})) == [
        "gone: listed as an exception, but needs none"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    step()\nexcept:\n    raise",
        "try:\n    step()\nexcept Exception:\n    raise",
        "try:\n    step()\nexcept BaseException as error:\n    raise",
        "try:\n    step()\nexcept (ValueError, Exception):\n    raise",
        "import builtins\ntry:\n    step()\nexcept builtins.Exception:\n    raise",
        "try:\n    step()\nexcept* Exception:\n    raise",
        "with contextlib.suppress(Exception):\n    step()",
    ],
)
def test_a_catch_all_is_found(text: str) -> None:
    assert [key for key, _ in broad_excepts(snippet(text))] == ["src/perdure/example.py"]


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    step()\nexcept (ValueError, KeyError):\n    raise",
        "with contextlib.suppress(KeyError):\n    step()",
        "class Problem(Exception): ...",
    ],
)
def test_a_narrow_except_passes(text: str) -> None:
    assert list(broad_excepts(snippet(text))) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("x = 1", "the module has no docstring"),
        ('"""\nLate."""', "the module has no docstring"),
        ('"""Module."""\nclass Public: ...', "Public has no docstring"),
        ('"""Module."""\ndef public(): ...', "public has no docstring"),
        ('"""Module."""\nasync def public():\n    """\n    Late."""', "public has no docstring"),
        (
            '"""Module."""\nclass Public:\n    """Class."""\n    def method(self): ...',
            "Public.method has no docstring",
        ),
        ('"""Module."""\nif x:\n    def public(): ...', "public has no docstring"),
    ],
)
def test_what_is_undescribed_is_found(text: str, finding: str) -> None:
    findings = list(undescribed(snippet(text)))
    assert len(findings) == 1
    assert findings[0].endswith(finding)


@pytest.mark.parametrize(
    "text",
    [
        '"""Module."""\ndef _private(): ...',
        '"""Module."""\nclass _Private:\n    def method(self): ...',
        '"""Module."""\ndef public():\n    """Promise."""\n    def inner(): ...',
        '"""Module."""\nclass Public:\n    """Promise."""\n    def __init__(self): ...',
        '"""Module."""\n@overload\ndef public(): ...\ndef public():\n    """Promise."""',
    ],
)
def test_what_needs_no_description_passes(text: str) -> None:
    assert list(undescribed(snippet(text))) == []


def test_a_private_module_needs_only_a_docstring_of_its_own() -> None:
    path = "src/perdure/_replay/loop.py"
    assert list(undescribed(snippet('"""Module."""\ndef public(): ...', path))) == []
    assert list(undescribed(snippet("def public(): ...", path))) != []


def test_a_print_is_found() -> None:
    assert list(prints(snippet("def f():\n    print('here')")))
    assert list(prints(snippet("console.print('here')\nfingerprint()"))) == []
