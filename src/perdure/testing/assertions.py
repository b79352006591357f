"""In tests, an assertion of a workflow that does not hold ends the workflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from perdure.client import Client
from perdure.client import Interceptor as ClientInterceptor
from perdure.exceptions import ApplicationError
from perdure.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


def with_failing_assertions(client: Client) -> Client:
    """A client whose workers fail workflows by their assertions. Elsewhere, an assertion is like
    any other bug: the workflow waits until that is mended."""
    config = client.config()
    if any(isinstance(one, _AssertionInterceptor) for one in config["interceptors"]):
        return client
    config["interceptors"] = [*config["interceptors"], _AssertionInterceptor()]
    return Client(**config)


class _AssertionInterceptor(ClientInterceptor, Interceptor):
    """Goes with a client to its workers."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 -- the mirrored name
    ) -> type[WorkflowInboundInterceptor]:
        """The class that fails workflows."""
        del input
        return _FailingByAssertions


class _FailingByAssertions(WorkflowInboundInterceptor):
    """Turns assertion errors into failures of the workflow."""

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        """Runs the workflow."""
        with _assertions_as_failures():
            return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        """Handles a signal."""
        with _assertions_as_failures():
            await super().handle_signal(input)


@contextmanager
def _assertions_as_failures() -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        failure = ApplicationError(str(error), type="AssertionError", non_retryable=True)
        raise failure.with_traceback(error.__traceback__) from None
