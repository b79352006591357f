"""What no file may say: traces of private machines, and promises instead of code.

The patterns are spelled so that this file does not match them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

UNFINISHED = re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK|[N]otImplementedError)\b")

PRIVATE = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w.~*)}])/(?:home|Users|root|work|tmp|mnt|private|var/tmp)/|[A-Z]:\\\\?Users"
    ),
    "a path outside the project": re.compile(r"\.\./[s]hared\b"),
    "an address of a private network": re.compile(
        r"(?<![\d.])(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\d.])"
    ),
    "a host of a private network": re.compile(
        r"(?:://|@)[\w.-]+\.(?:internal|intranet|lan|corp|local|localdomain)\b"
    ),
    "a package registry": re.compile(
        r"\b(?:pypi\.(?:org|python)|[p]ythonhosted|extra-[i]ndex-url|index-[u]rl|find-[l]inks)\b"
    ),
}


def unfinished(path: str, text: str) -> Iterator[str]:
    """Every line that leaves work for later."""
    yield from _matching(path, text, UNFINISHED, "unfinished")


def private_traces(path: str, text: str) -> Iterator[str]:
    """Every line that names a path or a host which a stranger's machine does not have."""
    for what, pattern in PRIVATE.items():
        yield from _matching(path, text, pattern, what)


def _matching(path: str, text: str, pattern: re.Pattern[str], what: str) -> Iterator[str]:
    if not pattern.search(text):
        return
    for line_number, line in enumerate(text.splitlines(), start=1):
        if found := pattern.search(line):
            yield f"{path}:{line_number}: {what}: {found.group()}"
