"""Refusals: the caller's fault, decided before anything was recorded. The frontend maps each to a
gRPC status."""

from __future__ import annotations


class Rejected(Exception):
    """The request cannot be honoured; nothing has changed."""


class InvalidArgument(Rejected):
    """A field of the request is wrong."""


class FailedPrecondition(Rejected):
    """The state of the workflow does not allow it."""


class WorkflowNotReady(Rejected):
    """The workflow cannot answer as it stands: its workflow task fails, or there was none yet."""


class QueryFailed(Rejected):
    """The workflow's worker answered a query with a failure (serialised; b"" when it gave none)."""

    def __init__(self, message: str, failure: bytes = b"") -> None:
        super().__init__(message)
        self.failure = failure


class DeadlineExceeded(Rejected):
    """Nobody did it before the caller's time was over."""


class NotFound(Rejected):
    """What the request names does not exist, or is no longer outstanding."""


class Moved(Rejected):
    """What the input was made from is not so any more: make it anew."""


class ResourceExhausted(Rejected):
    """A limit of the workflow or the service was reached."""

    def __init__(self, message: str, *, is_concurrency: bool = False) -> None:
        super().__init__(message)
        self.is_concurrency = is_concurrency
        """Whether it is a limit on what goes on at the same time."""


class RequestsLimited(ResourceExhausted):
    """More is asked than a namespace, or the service, lets in; `cause` and `scope` are Temporal's
    numbers."""

    def __init__(self, message: str, cause: int, scope: int) -> None:
        super().__init__(message)
        self.cause = cause
        self.scope = scope


class BusyWorkflow(ResourceExhausted):
    """Too much is asked of one workflow at a time."""


class DeploymentLimitReached(ResourceExhausted):
    """Too many worker deployments, versions of one, or task queues of a version."""


class AlreadyExists(Rejected):
    """What should be created is there already."""


class AlreadyStarted(Rejected):
    """The workflow id is taken, as the policies of the request see it."""

    def __init__(
        self, message: str, *, start_request_id: str, run_id: str, first_execution_run_id: str
    ) -> None:
        super().__init__(message)
        self.start_request_id = start_request_id
        self.run_id = run_id
        self.first_execution_run_id = first_execution_run_id


class ActivityAlreadyStarted(Rejected):
    """The id of a standalone activity is taken, as the policies of the request see it."""

    def __init__(self, message: str, *, start_request_id: str, run_id: str) -> None:
        super().__init__(message)
        self.start_request_id = start_request_id
        self.run_id = run_id


class OperationAlreadyStarted(Rejected):
    """The id of a standalone Nexus operation is taken, as the policies of the request see it."""

    def __init__(self, message: str, *, start_request_id: str, run_id: str) -> None:
        super().__init__(message)
        self.start_request_id = start_request_id
        self.run_id = run_id


class StartDeduplicated(Rejected):
    """The request has started a run before, which is over: it does not start another."""


class UpdateRefused(Rejected):
    """Of an update with start, it is the update that cannot be honoured; the run may have begun all
    the same."""

    def __init__(self, refusal: Rejected, *, has_started: bool = False) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.has_started = has_started


class InvariantViolation(Exception):
    """A bug of ours: a decision contradicts what must always hold."""
