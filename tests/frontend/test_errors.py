"""From exceptions to statuses: the table, what is not in it, and what must not leak."""

from __future__ import annotations

import logging

import pytest
from google.protobuf.message import DecodeError, Message
from temporalio.api.enums.v1 import ResourceExhaustedCause as Cause
from temporalio.api.enums.v1 import ResourceExhaustedScope as Scope
from temporalio.api.errordetails.v1 import (
    ActivityExecutionAlreadyStartedFailure,
    ClientVersionNotSupportedFailure,
    NamespaceAlreadyExistsFailure,
    NamespaceInvalidStateFailure,
    NamespaceNotFoundFailure,
    NexusOperationExecutionAlreadyStartedFailure,
    NotFoundFailure,
    PermissionDeniedFailure,
    QueryFailedFailure,
    ResourceExhaustedFailure,
    ServerVersionNotSupportedFailure,
    WorkflowExecutionAlreadyStartedFailure,
    WorkflowNotReadyFailure,
)

from perdure.server.engine.api import EngineStopped, EngineUnavailable
from perdure.server.frontend.errors import (
    TABLE,
    ClientVersionNotSupported,
    PermissionDenied,
    ServerVersionNotSupported,
    Unimplemented,
    failure_of,
)
from perdure.server.machines import errors
from perdure.server.namespaces.registry import (
    NamespaceAlreadyExists,
    NamespaceInvalidState,
    NamespaceNotFound,
)
from perdure.server.store.ports import (
    CommitUnknown,
    CorruptBlob,
    LeaseLost,
    StoreError,
    StoreUnavailable,
)
from perdure.transport import Code
from tests.frontend.client import detail_of

NAMESPACE = Scope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE

EXPECTED: list[tuple[Exception, Code, type[Message] | None]] = [
    (errors.InvalidArgument("m"), Code.INVALID_ARGUMENT, None),
    (errors.FailedPrecondition("m"), Code.FAILED_PRECONDITION, None),
    (errors.DeadlineExceeded("m"), Code.DEADLINE_EXCEEDED, None),
    (errors.NotFound("m"), Code.NOT_FOUND, NotFoundFailure),
    (errors.BusyWorkflow("m"), Code.RESOURCE_EXHAUSTED, ResourceExhaustedFailure),
    (errors.RequestsLimited("m", 1, 1), Code.RESOURCE_EXHAUSTED, ResourceExhaustedFailure),
    (errors.ResourceExhausted("m"), Code.RESOURCE_EXHAUSTED, ResourceExhaustedFailure),
    (
        errors.AlreadyStarted("m", start_request_id="q", run_id="r", first_execution_run_id="f"),
        Code.ALREADY_EXISTS,
        WorkflowExecutionAlreadyStartedFailure,
    ),
    (
        errors.ActivityAlreadyStarted("m", start_request_id="q", run_id="r"),
        Code.ALREADY_EXISTS,
        ActivityExecutionAlreadyStartedFailure,
    ),
    (
        errors.OperationAlreadyStarted("m", start_request_id="q", run_id="r"),
        Code.ALREADY_EXISTS,
        NexusOperationExecutionAlreadyStartedFailure,
    ),
    (errors.DeploymentLimitReached("m"), Code.RESOURCE_EXHAUSTED, ResourceExhaustedFailure),
    (errors.AlreadyExists("m"), Code.ALREADY_EXISTS, None),
    (errors.WorkflowNotReady("m"), Code.FAILED_PRECONDITION, WorkflowNotReadyFailure),
    (errors.StartDeduplicated("m"), Code.UNAVAILABLE, None),
    (errors.QueryFailed("m"), Code.INVALID_ARGUMENT, QueryFailedFailure),
    (NamespaceNotFound("n"), Code.NOT_FOUND, NamespaceNotFoundFailure),
    (NamespaceAlreadyExists("n"), Code.ALREADY_EXISTS, NamespaceAlreadyExistsFailure),
    (
        NamespaceInvalidState("n", 3, (1, 2)),
        Code.FAILED_PRECONDITION,
        NamespaceInvalidStateFailure,
    ),
    (PermissionDenied("m"), Code.PERMISSION_DENIED, PermissionDeniedFailure),
    (Unimplemented("m"), Code.UNIMPLEMENTED, None),
    (
        ClientVersionNotSupported("3", "c", "<2"),
        Code.FAILED_PRECONDITION,
        ClientVersionNotSupportedFailure,
    ),
    (
        ServerVersionNotSupported("1", ">2"),
        Code.FAILED_PRECONDITION,
        ServerVersionNotSupportedFailure,
    ),
    (EngineUnavailable("m"), Code.UNAVAILABLE, None),
    (EngineStopped(), Code.UNAVAILABLE, None),
    (StoreError("m"), Code.UNAVAILABLE, None),
    (DecodeError(), Code.INTERNAL, None),
]


@pytest.mark.parametrize(
    ("error", "cause", "scope"),
    [
        (errors.BusyWorkflow("m"), Cause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, NAMESPACE),
        (
            errors.ResourceExhausted("m", is_concurrency=True),
            Cause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
            NAMESPACE,
        ),
        (
            errors.DeploymentLimitReached("m"),
            Cause.RESOURCE_EXHAUSTED_CAUSE_WORKER_DEPLOYMENT_LIMITS,
            NAMESPACE,
        ),
        (
            errors.ResourceExhausted("m"),
            Cause.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED,
            Scope.RESOURCE_EXHAUSTED_SCOPE_SYSTEM,
        ),
    ],
    ids=["busy workflow", "concurrency", "deployments", "of the service"],
)
def test_who_asks_for_too_much_is_told_of_what(
    error: Exception, cause: Cause.ValueType, scope: Scope.ValueType
) -> None:
    detail = detail_of(failure_of(error, "Method"))
    assert detail == ResourceExhaustedFailure(cause=cause, scope=scope)


def test_every_row_of_the_table_is_expected_here() -> None:
    assert {type(error) for error, _, _ in EXPECTED} == set(TABLE)


@pytest.mark.parametrize(
    ("error", "code", "detail"), EXPECTED, ids=[type(error).__name__ for error, _, _ in EXPECTED]
)
def test_each_refusal_has_its_code_its_words_and_its_detail(
    error: Exception, code: Code, detail: type[Message] | None
) -> None:
    failure = failure_of(error, "Method")
    assert failure.code is code
    assert failure.message == (TABLE[type(error)].message or str(error))
    if detail is None:
        assert failure.details == b""
    else:
        assert type(detail_of(failure)) is detail


@pytest.mark.parametrize("kind", [StoreUnavailable, CommitUnknown, LeaseLost])
def test_failures_of_the_environment_can_be_tried_again(kind: type[Exception]) -> None:
    assert failure_of(kind("m"), "Method").code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    "error",
    [
        errors.InvariantViolation("somebody's secret"),
        ZeroDivisionError("somebody's secret"),
        CorruptBlob("somebody's secret"),
    ],
)
def test_a_bug_is_internal_loud_in_the_log_and_silent_to_the_client(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    failure = failure_of(error, "Method")
    assert failure.code is Code.INTERNAL
    assert "secret" not in failure.message
    [record] = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info is not None
    assert record.exc_info[1] is error
