"""Headers that go along with calls: which ones gRPC can carry, and how they are told apart.

Names are in lower case on the wire. Values are text; bytes go under names that end in `-bin`. The
texts of the errors are those of the official SDK.
"""

from __future__ import annotations

from collections.abc import Mapping

Headers = Mapping[str, str | bytes]

_BINARY_SUFFIX = "-bin"
_NEITHER = "failed to extract enum RpcMetadataValue ('str | bytes')"


def headers_of_call(metadata: Headers) -> dict[str, str | bytes]:
    """The headers of one call.

    Raises ValueError for a value that does not suit its name, TypeError for one that is neither
    text nor bytes.
    """
    headers: dict[str, str | bytes] = {}
    for given, value in metadata.items():
        name = given.lower()
        if not _is_either(value):
            refused = f"argument 'call': the header {given} is neither str nor bytes"
            raise TypeError(refused) from TypeError(_NEITHER)
        if name.endswith(_BINARY_SUFFIX) and not isinstance(value, bytes):
            raise ValueError(f"Invalid metadata value for binary key {name}: expected bytes")
        if not name.endswith(_BINARY_SUFFIX) and not isinstance(value, str):
            raise ValueError(f"Invalid metadata value for ASCII key {name}: expected str")
        headers[name] = value
    return headers


class ConnectionHeaders:
    """The headers that go along with every call of a connection."""

    def __init__(self) -> None:
        self._text: dict[str, str | bytes] = {}
        self._binary: dict[str, str | bytes] = {}

    @property
    def all(self) -> dict[str, str | bytes]:
        """What goes along now."""
        return {**self._text, **self._binary}

    def replace(self, metadata: Headers) -> None:
        """Has these go along instead, the text first.

        Raises ValueError for a name that does not suit its value: then those of its kind stay as
        they were, and what is of the other kind may be replaced. Raises TypeError for a value that
        is neither text nor bytes; then nothing has changed.
        """
        text: dict[str, str | bytes] = {}
        binary: dict[str, str | bytes] = {}
        for given, value in metadata.items():
            if not _is_either(value):
                raise TypeError(_NEITHER)
            kind = text if isinstance(value, str) else binary
            kind[given.lower()] = value
        for name in text:
            if name.endswith(_BINARY_SUFFIX):
                raise _wrong_name("ASCII", name)
        self._text = text
        for name in binary:
            if not name.endswith(_BINARY_SUFFIX):
                raise _wrong_name("binary", name)
        self._binary = binary


def _wrong_name(kind: str, name: str) -> ValueError:
    return ValueError(f"Invalid {kind} header key '{name}': invalid gRPC metadata key name")


def _is_either(value: object) -> bool:
    """Whoever has no type checker may give anything."""
    return isinstance(value, str | bytes)
