"""What interceptors of a client are told about Nexus operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Required, TypedDict

from perdure.common import TypedSearchAttributes
from perdure.common.nexus import NexusOperationIDConflictPolicy, NexusOperationIDReusePolicy
from perdure.service import Metadata


class StartNexusOperationOptions(TypedDict, total=False):
    """What `NexusClient.start_operation` takes besides the operation, its argument and its type."""

    id: Required[str]
    id_reuse_policy: NexusOperationIDReusePolicy
    id_conflict_policy: NexusOperationIDConflictPolicy
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    headers: Mapping[str, str] | None
    rpc_metadata: Metadata | None
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class StartNexusOperationInput:
    """An operation is started."""

    operation: str
    arg: Any
    id: str
    endpoint: str
    service: str
    result_type: Any
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    id_reuse_policy: NexusOperationIDReusePolicy
    id_conflict_policy: NexusOperationIDConflictPolicy
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    headers: Mapping[str, str]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class DescribeNexusOperationInput:
    """An operation is described."""

    operation_id: str
    run_id: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class GetNexusOperationResultInput:
    """The result of an operation is waited for. The names are empty when they are not known."""

    operation_id: str
    run_id: str | None
    endpoint: str
    service: str
    operation: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    result_type: Any


@dataclass(slots=True)
class CancelNexusOperationInput:
    """An operation is asked to stop."""

    operation_id: str
    run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class TerminateNexusOperationInput:
    """An operation is ended."""

    operation_id: str
    run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class ListNexusOperationsInput:
    """Operations are listed."""

    query: str | None
    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    limit: int | None


@dataclass(slots=True)
class CountNexusOperationsInput:
    """Operations are counted."""

    query: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
