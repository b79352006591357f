"""What a client's calls raise, besides `RPCError` and what a workflow failed of."""

from __future__ import annotations

from perdure.client.status import WorkflowExecutionStatus
from perdure.common.activity_cancellation import ActivityCancellationDetails
from perdure.exceptions import PerdureError


class WorkflowFailureError(PerdureError):
    """The workflow failed, was cancelled or terminated, or timed out. `cause` says which."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Workflow execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """What ended the workflow."""
        assert self.__cause__ is not None
        return self.__cause__


class NexusOperationFailureError(PerdureError):
    """A Nexus operation that no workflow calls failed, was cancelled or terminated, or timed out.
    `cause` says which."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Nexus operation execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """What ended the operation."""
        assert self.__cause__ is not None
        return self.__cause__


class ActivityFailureError(PerdureError):
    """An activity without a workflow failed, was cancelled or terminated, or timed out. `cause`
    says which."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Activity execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """What ended the activity."""
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(PerdureError):
    """The run continued as new, and its successors were not to be followed."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__("Workflow continued as new")
        self._new_execution_run_id = new_execution_run_id

    @property
    def new_execution_run_id(self) -> str:
        """The run that goes on."""
        return self._new_execution_run_id


class WorkflowQueryRejectedError(PerdureError):
    """The workflow is in a state in which the query was not to be answered."""

    def __init__(self, status: WorkflowExecutionStatus | None) -> None:
        super().__init__(f"Query rejected, status: {status}")
        self._status = status

    @property
    def status(self) -> WorkflowExecutionStatus | None:
        """The state of the workflow."""
        return self._status


class WorkflowQueryFailedError(PerdureError):
    """The query handler failed, or there is none."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._message = message

    @property
    def message(self) -> str:
        """What the handler raised."""
        return self._message


class WorkflowUpdateFailedError(PerdureError):
    """The update was rejected, or its handler failed. `cause` says why."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("Workflow update failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """Why the update failed."""
        assert self.__cause__ is not None
        return self.__cause__


class RPCTimeoutOrCancelledError(PerdureError):
    """The call ended before its answer came. What it asked for may still happen."""


class WorkflowUpdateRPCTimeoutOrCancelledError(RPCTimeoutOrCancelledError):
    """The call of an update ended before its answer came. The update itself may go on."""

    def __init__(self) -> None:
        super().__init__("Timeout or cancellation waiting for update")


class AsyncActivityCancelledError(PerdureError):
    """The activity whose heartbeat was sent should stop."""

    def __init__(self, details: ActivityCancellationDetails | None = None) -> None:
        super().__init__("Activity cancelled")
        self.details = details


class ScheduleAlreadyRunningError(PerdureError):
    """There is a schedule of this id."""

    def __init__(self) -> None:
        super().__init__("Schedule already running")
