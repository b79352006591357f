"""Ties what a handler starts to the operation that it starts it for.

Whatever a handler starts or signals is linked to the caller, and the answer's link is handed back
to it. One thing may be started to deliver the operation's result: its request also carries the
operation's request id, so that starting it again finds it, and the caller's callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from google.protobuf.message import Message
from nexusrpc.handler import StartOperationContext
from temporalio.api.common.v1 import Callback, Link
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import (
    QueryWorkflowResponse,
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartActivityExecutionRequest,
    StartActivityExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)

from perdure.nexus._links import to_nexus, to_temporal
from perdure.nexus._token import OperationToken, OperationTokenType

_DELIVERS: ContextVar[bool] = ContextVar("perdure_nexus_delivers", default=False)

_TOKEN_HEADER = "nexus-operation-token"


@contextmanager
def delivering() -> Iterator[None]:
    """What is started inside delivers the operation's result."""
    token = _DELIVERS.set(True)
    try:
        yield
    finally:
        _DELIVERS.reset(token)


class StartScope:
    """The operation that a handler is starting."""

    def __init__(self, context: StartOperationContext, namespace: str) -> None:
        self._context = context
        self._namespace = namespace
        links = [to_temporal(link) for link in context.inbound_links]
        self._links = [link for link in links if link is not None]

    def prepare(self, request: Message) -> None:
        """Adds to a request what ties it to the operation."""
        prepare = _PREPARE.get(type(request))
        if prepare is not None:
            prepare(self, request)

    def note(self, request: Message, response: Message) -> None:
        """Hands the link of an answer on to the caller."""
        find = _LINK_OF.get(type(response))
        link = None if find is None else find(self, request, response)
        if link is not None:
            outbound = to_nexus(link)
            if outbound is not None:
                self._context.outbound_links.append(outbound)

    # Requests

    def _prepare_start(self, request: StartWorkflowExecutionRequest) -> None:
        request.links.extend(self._links)
        callbacks: list[Callback] = []
        if _DELIVERS.get():
            request.request_id = self._context.request_id
            callbacks = self._callbacks(
                OperationToken(
                    type=OperationTokenType.WORKFLOW,
                    namespace=self._namespace,
                    workflow_id=request.workflow_id,
                )
            )
            request.completion_callbacks.extend(callbacks)
        if self._links or callbacks:
            _attach_on_conflict(request)

    def _prepare_activity(self, request: StartActivityExecutionRequest) -> None:
        request.request_id = self._context.request_id
        callbacks: list[Callback] = []
        if _DELIVERS.get():
            callbacks = self._callbacks(
                OperationToken(
                    type=OperationTokenType.ACTIVITY,
                    namespace=self._namespace,
                    activity_id=request.activity_id,
                )
            )
            request.completion_callbacks.extend(callbacks)
        else:
            request.links.extend(self._links)
        if self._links or callbacks:
            _attach_on_conflict(request)

    def _prepare_update(self, request: UpdateWorkflowExecutionRequest) -> None:
        if not _DELIVERS.get() or request.request.request_id == self._context.request_id:
            return  # an update that is sent again is prepared already
        request.request.request_id = self._context.request_id
        request.request.links.extend(self._links)
        token = OperationToken(
            type=OperationTokenType.UPDATE_WORKFLOW,
            namespace=self._namespace,
            workflow_id=request.workflow_execution.workflow_id,
            update_id=request.request.meta.update_id,
            run_id=request.workflow_execution.run_id or None,
        )
        request.request.completion_callbacks.extend(self._callbacks(token))

    def _prepare_signal(self, request: SignalWorkflowExecutionRequest) -> None:
        request.links.extend(self._links)

    def _prepare_signal_with_start(self, request: SignalWithStartWorkflowExecutionRequest) -> None:
        if not _DELIVERS.get():
            request.links.extend(self._links)

    def _callbacks(self, token: OperationToken) -> list[Callback]:
        if not self._context.callback_url:
            return []
        header = {**self._context.callback_headers, _TOKEN_HEADER: token.encode()}
        nexus = Callback.Nexus(url=self._context.callback_url, header=header)
        return [Callback(nexus=nexus, links=self._links)]

    # Answers

    def _link_of_start(
        self, request: StartWorkflowExecutionRequest, response: StartWorkflowExecutionResponse
    ) -> Link:
        if response.HasField("link"):
            return response.link
        started = Link.WorkflowEvent.RequestIdReference(
            request_id=self._context.request_id,
            event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        )
        return Link(
            workflow_event=Link.WorkflowEvent(
                namespace=self._namespace,
                workflow_id=request.workflow_id,
                run_id=response.first_execution_run_id or response.run_id,
                request_id_ref=started,
            )
        )

    def _link_of_activity(
        self, request: StartActivityExecutionRequest, response: StartActivityExecutionResponse
    ) -> Link:
        if response.HasField("link"):
            return response.link
        return Link(
            activity=Link.Activity(
                namespace=self._namespace,
                activity_id=request.activity_id,
                run_id=response.run_id,
            )
        )

    def _link_of_signal_with_start(
        self, request: Message, response: SignalWithStartWorkflowExecutionResponse
    ) -> Link | None:
        del request
        return response.signal_link if response.HasField("signal_link") else None

    def _link_of(self, request: Message, response: Any) -> Link | None:
        del request
        return response.link if response.HasField("link") else None


def _attach_on_conflict(
    request: StartWorkflowExecutionRequest | StartActivityExecutionRequest,
) -> None:
    """What runs already, and is used instead, is tied to the operation all the same."""
    options = request.on_conflict_options
    options.attach_request_id = True
    options.attach_completion_callbacks = True
    options.attach_links = True


_PREPARE: dict[type[Message], Callable[[StartScope, Any], None]] = {
    StartWorkflowExecutionRequest: StartScope._prepare_start,
    StartActivityExecutionRequest: StartScope._prepare_activity,
    UpdateWorkflowExecutionRequest: StartScope._prepare_update,
    SignalWorkflowExecutionRequest: StartScope._prepare_signal,
    SignalWithStartWorkflowExecutionRequest: StartScope._prepare_signal_with_start,
}

_LINK_OF: dict[type[Message], Callable[[StartScope, Any, Any], Link | None]] = {
    StartWorkflowExecutionResponse: StartScope._link_of_start,
    StartActivityExecutionResponse: StartScope._link_of_activity,
    SignalWithStartWorkflowExecutionResponse: StartScope._link_of_signal_with_start,
    SignalWorkflowExecutionResponse: StartScope._link_of,
    UpdateWorkflowExecutionResponse: StartScope._link_of,
    QueryWorkflowResponse: StartScope._link_of,
}
