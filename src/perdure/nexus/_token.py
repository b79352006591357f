"""Tokens of operations: what a caller names an operation by, and its handler finds it by.

A token is the URL-safe base64 (without padding) of a JSON object: `t` the kind, `ns` the namespace,
`wid`, `aid`, `rid`, `uid` the ids, `v` the version, which must be absent or 0. All SDKs write the
same, so the handler of one can cancel what that of another has started.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from perdure import client as clients

_Output_co = TypeVar("_Output_co", covariant=True)

_ALPHABET = re.compile(r"[A-Za-z0-9_-]+")


class OperationTokenType(IntEnum):
    """What an operation is made of."""

    WORKFLOW = 1
    ACTIVITY = 2
    UPDATE_WORKFLOW = 3


_NAMES = {
    "workflow_id": "wid",
    "activity_id": "aid",
    "version": "v",
    "run_id": "rid",
    "update_id": "uid",
}
"""The optional members, in the order in which they are written."""

_REQUIRED = {
    OperationTokenType.WORKFLOW: ("workflow_id",),
    OperationTokenType.ACTIVITY: ("activity_id",),
    OperationTokenType.UPDATE_WORKFLOW: ("workflow_id", "update_id"),
}


@dataclass(frozen=True, kw_only=True)
class OperationToken:
    """What a token says."""

    type: OperationTokenType
    namespace: str
    workflow_id: str | None = None
    activity_id: str | None = None
    run_id: str | None = None
    update_id: str | None = None
    version: int | None = None

    def encode(self) -> str:
        """The token."""
        members: dict[str, Any] = {"t": int(self.type), "ns": self.namespace}
        for field, name in _NAMES.items():
            value = getattr(self, field)
            if value is not None:
                members[name] = value
        text = json.dumps(members, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str) -> OperationToken:
        """Reads a token. Raises TypeError for what is none."""
        members = _members(token)
        kind = members.get("t")
        if not isinstance(kind, int):
            raise TypeError(f"invalid token: expected token type to be an int, got {type(kind)}")
        if kind not in OperationTokenType._value2member_map_:
            known = ", ".join(f"{one.value} ({one.name})" for one in OperationTokenType)
            raise TypeError(
                f"invalid token: unknown token type, got {kind}.", f"Valid values: {known}"
            )
        namespace = members.get("ns")
        if not isinstance(namespace, str):
            raise TypeError(
                f"invalid token: expected namespace to be a string, got {type(namespace)}"
            )
        values = {field: members.get(name) for field, name in _NAMES.items()}
        for field, value in values.items():
            expected = int if field == "version" else str
            if value is not None and not isinstance(value, expected):
                raise TypeError(
                    f"invalid token: expected {field} to be of type {expected.__name__} or null, "
                    f"got {type(value)}"
                )
        decoded = cls(type=OperationTokenType(kind), namespace=namespace, **values)
        decoded._check_complete()
        return decoded

    def _check_complete(self) -> None:
        for field in _REQUIRED[self.type]:
            if not getattr(self, field):
                words = field.replace("_", " ")
                raise TypeError(
                    f"invalid token: expected non-empty {words} for token type `{self.type.name}`"
                )


def _members(token: str) -> dict[str, Any]:
    if not token:
        raise TypeError("invalid token: token is empty")
    if not _ALPHABET.fullmatch(token):
        raise TypeError("failed to decode token as base64url")
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error as error:
        raise TypeError("failed to decode token as base64url") from error
    try:
        members = json.loads(text)
    except ValueError as error:
        raise TypeError("failed to unmarshal operation token") from error
    if not isinstance(members, dict):
        raise TypeError(f"invalid token: expected dict, got {type(members)}")
    return members


@dataclass(frozen=True)
class WorkflowHandle(Generic[_Output_co]):
    """A workflow that delivers the result of an operation.

    Made by `WorkflowRunOperationContext.start_workflow`, and returned by the method that
    `workflow_run_operation` decorates.
    """

    namespace: str
    workflow_id: str
    version: int | None = None

    def to_token(self) -> str:
        """The operation's token."""
        return OperationToken(
            type=OperationTokenType.WORKFLOW,
            namespace=self.namespace,
            workflow_id=self.workflow_id,
        ).encode()

    @classmethod
    def from_token(cls, token: str) -> WorkflowHandle[Any]:
        """Reads a token. Raises TypeError for one that is none, or not a workflow's."""
        decoded = OperationToken.decode(token)
        if decoded.type is not OperationTokenType.WORKFLOW or decoded.workflow_id is None:
            raise TypeError(
                f"invalid workflow token type: {decoded.type}, "
                f"expected: {OperationTokenType.WORKFLOW}"
            )
        if decoded.version:
            raise TypeError(
                "invalid workflow token: 'v' field, if present, must be 0 or null/absent"
            )
        return WorkflowHandle(decoded.namespace, decoded.workflow_id, decoded.version)

    def _to_client_workflow_handle(
        self, client: clients.Client, result_type: type | None = None
    ) -> clients.WorkflowHandle[Any, Any]:
        """Raises ValueError when the client is of another namespace."""
        if client.namespace != self.namespace:
            raise ValueError(
                f"Client namespace {client.namespace} does not match "
                f"operation token namespace {self.namespace}"
            )
        return client.get_workflow_handle(self.workflow_id, result_type=result_type)
