"""Links between callers and handlers: Temporal's messages as the URLs that Nexus carries.

    temporal:///namespaces/{namespace}/workflows/{id}/{run}/history?{reference}   an event
    temporal:///namespaces/{namespace}/workflows/{id}/{run}?reason={reason}        a workflow
    temporal:///namespaces/{namespace}/activities/{id}/{run}/details               an activity
    temporal:///namespaces/{namespace}/nexus-operations/{id}/{run}/details         an operation
    temporal:///namespaces/{namespace}/{kind}/{id}/{run}/callbacks/{request}       a callback

A link is for people who look at a history. One that cannot be understood is passed over with a
warning; it never keeps an operation from being started.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import nexusrpc
from temporalio.api.common.v1 import Execution, Link
from temporalio.api.enums.v1 import EventType, ExecutionType

_log = logging.getLogger("perdure.nexus")

_WORKFLOW_EVENT = Link.WorkflowEvent.DESCRIPTOR.full_name
_WORKFLOW = Link.Workflow.DESCRIPTOR.full_name
_NEXUS_OPERATION = Link.NexusOperation.DESCRIPTOR.full_name
_ACTIVITY = Link.Activity.DESCRIPTOR.full_name
_CALLBACK = Link.Callback.DESCRIPTOR.full_name

_EVENT_REFERENCE = "EventReference"
_REQUEST_ID_REFERENCE = "RequestIdReference"

_KINDS = {
    ExecutionType.EXECUTION_TYPE_WORKFLOW: "workflows",
    ExecutionType.EXECUTION_TYPE_ACTIVITY: "activities",
    ExecutionType.EXECUTION_TYPE_NEXUS_OPERATION: "nexus-operations",
}
_KINDS_BY_NAME = {name: kind for kind, name in _KINDS.items()}


class _Shape(NamedTuple):
    """How the path of a link of one type is made."""

    kind: str
    tail: str
    run_required: bool = True

    def path(self, namespace: str, identifier: str, run_id: str) -> str:
        """The path."""
        parts = (namespace, self.kind, identifier, run_id)
        tail = f"/{self.tail}" if self.tail else ""
        return "/namespaces/" + "/".join(quote(part, safe="") for part in parts) + tail

    def read(self, path: str) -> tuple[str, str, str]:
        """Namespace, id and run id. Raises ValueError for another path."""
        run = "[^/]+" if self.run_required else "[^/]*"
        tail = f"/{self.tail}" if self.tail else ""
        pattern = rf"/namespaces/([^/]+)/{self.kind}/([^/]+)/({run}){tail}"
        found = re.fullmatch(pattern, path)
        if found is None:
            raise ValueError(f"its path does not match {pattern}")
        namespace, identifier, run_id = (unquote(part) for part in found.groups())
        return namespace, identifier, run_id


_SHAPES = {
    _WORKFLOW_EVENT: _Shape("workflows", "history"),
    _WORKFLOW: _Shape("workflows", ""),
    _ACTIVITY: _Shape("activities", "details"),
    _NEXUS_OPERATION: _Shape("nexus-operations", "details", run_required=False),
}
_CALLBACK_PATH = re.compile(r"/namespaces/([^/]+)/([^/]+)/([^/]+)/([^/]+)/callbacks/([^/]+)")

_Parameters = Mapping[str, list[str]]


def to_temporal(link: nexusrpc.Link) -> Link | None:
    """The message of a link; None, with a warning, for one that is not understood."""
    read = _READERS.get(link.type)
    try:
        if read is None:
            raise ValueError("its type is unknown")
        url = urlsplit(link.url)
        if url.scheme != "temporal":
            raise ValueError(f"its scheme is {url.scheme!r}")
        return read(url.path, parse_qs(url.query, keep_blank_values=True))
    except ValueError as error:
        _log.warning("Invalid Nexus link %s: %s", link, error)
        return None


def to_nexus(link: Link) -> nexusrpc.Link | None:
    """The link of a message; None, with a warning, for one that has no URL."""
    write = _WRITERS.get(link.WhichOneof("variant") or "")
    try:
        if write is None:
            raise ValueError("it is of a kind that has no URL")
        return write(link)
    except ValueError as error:
        _log.warning("Invalid Temporal link %s: %s", link, error)
        return None


# Messages to URLs


def _link(kind: str, path: str, query: str = "") -> nexusrpc.Link:
    return nexusrpc.Link(url=f"temporal://{path}{'?' + query if query else ''}", type=kind)


def _write_event(link: Link) -> nexusrpc.Link:
    event = link.workflow_event
    parameters: dict[str, object] = {}
    match event.WhichOneof("reference"):
        case "event_ref":
            if event.event_ref.event_id:
                parameters["eventID"] = event.event_ref.event_id
            parameters["eventType"] = _event_type_name(event.event_ref.event_type)
            parameters["referenceType"] = _EVENT_REFERENCE
        case "request_id_ref":
            parameters["referenceType"] = _REQUEST_ID_REFERENCE
            if event.request_id_ref.request_id:
                parameters["requestID"] = event.request_id_ref.request_id
            parameters["eventType"] = _event_type_name(event.request_id_ref.event_type)
    path = _SHAPES[_WORKFLOW_EVENT].path(event.namespace, event.workflow_id, event.run_id)
    return _link(_WORKFLOW_EVENT, path, urlencode(parameters))


def _write_workflow(link: Link) -> nexusrpc.Link:
    workflow = link.workflow
    path = _SHAPES[_WORKFLOW].path(workflow.namespace, workflow.workflow_id, workflow.run_id)
    return _link(_WORKFLOW, path, urlencode({"reason": workflow.reason}) if workflow.reason else "")


def _write_activity(link: Link) -> nexusrpc.Link:
    activity = link.activity
    path = _SHAPES[_ACTIVITY].path(activity.namespace, activity.activity_id, activity.run_id)
    return _link(_ACTIVITY, path)


def _write_operation(link: Link) -> nexusrpc.Link:
    operation = link.nexus_operation
    shape = _SHAPES[_NEXUS_OPERATION]
    path = shape.path(operation.namespace, operation.operation_id, operation.run_id)
    return _link(_NEXUS_OPERATION, path)


def _write_callback(link: Link) -> nexusrpc.Link:
    callback = link.callback
    kind = _KINDS.get(callback.execution.type)
    if kind is None:
        raise ValueError(f"unsupported execution type {callback.execution.type}")
    shape = _Shape(kind, f"callbacks/{quote(callback.request_id, safe='')}")
    execution = callback.execution
    path = shape.path(callback.namespace, execution.business_id, execution.run_id)
    return _link(
        _CALLBACK, path, urlencode([("componentPath", p) for p in callback.component_path])
    )


def _event_type_name(event_type: EventType.ValueType) -> str:
    name = EventType.Name(event_type).removeprefix("EVENT_TYPE_")
    return "".join(word.capitalize() for word in name.split("_"))


_WRITERS: dict[str, Callable[[Link], nexusrpc.Link]] = {
    "workflow_event": _write_event,
    "workflow": _write_workflow,
    "activity": _write_activity,
    "nexus_operation": _write_operation,
    "callback": _write_callback,
}


# URLs to messages


def _read_event(path: str, parameters: _Parameters) -> Link:
    namespace, workflow_id, run_id = _SHAPES[_WORKFLOW_EVENT].read(path)
    event = Link.WorkflowEvent(namespace=namespace, workflow_id=workflow_id, run_id=run_id)
    reference = _single(parameters, "referenceType")
    if reference == _EVENT_REFERENCE:
        event.event_ref.event_id = int(_single(parameters, "eventID") or 0)
        event.event_ref.event_type = _event_type(parameters)
    elif reference == _REQUEST_ID_REFERENCE:
        event.request_id_ref.request_id = _single(parameters, "requestID")
        event.request_id_ref.event_type = _event_type(parameters)
    else:
        raise ValueError(f"its reference type is {reference!r}")
    return Link(workflow_event=event)


def _read_workflow(path: str, parameters: _Parameters) -> Link:
    namespace, workflow_id, run_id = _SHAPES[_WORKFLOW].read(path)
    reason = _single(parameters, "reason")
    return Link(
        workflow=Link.Workflow(
            namespace=namespace, workflow_id=workflow_id, run_id=run_id, reason=reason
        )
    )


def _read_activity(path: str, parameters: _Parameters) -> Link:
    del parameters
    namespace, activity_id, run_id = _SHAPES[_ACTIVITY].read(path)
    return Link(activity=Link.Activity(namespace=namespace, activity_id=activity_id, run_id=run_id))


def _read_operation(path: str, parameters: _Parameters) -> Link:
    del parameters
    namespace, operation_id, run_id = _SHAPES[_NEXUS_OPERATION].read(path)
    return Link(
        nexus_operation=Link.NexusOperation(
            namespace=namespace, operation_id=operation_id, run_id=run_id
        )
    )


def _read_callback(path: str, parameters: _Parameters) -> Link:
    found = _CALLBACK_PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"its path does not match {_CALLBACK_PATH.pattern}")
    namespace, kind, identifier, run_id, request_id = (unquote(part) for part in found.groups())
    if kind not in _KINDS_BY_NAME:
        raise ValueError(f"unsupported execution type {kind!r}")
    return Link(
        callback=Link.Callback(
            namespace=namespace,
            execution=Execution(type=_KINDS_BY_NAME[kind], business_id=identifier, run_id=run_id),
            component_path=parameters.get("componentPath", []),
            request_id=request_id,
        )
    )


def _single(parameters: _Parameters, name: str) -> str:
    values = parameters.get(name, [""])
    if len(values) != 1:
        raise ValueError(f"it has several values for {name}")
    return values[0]


def _event_type(parameters: _Parameters) -> EventType.ValueType:
    """Both ways to write the name of an event's type are read."""
    name = _single(parameters, "eventType")
    if not name.startswith("EVENT_TYPE_"):
        words = re.findall(r"[A-Z][a-z]+", name)
        if not words or "".join(words) != name:
            raise ValueError(f"its event type is {name!r}")
        name = "EVENT_TYPE_" + "_".join(word.upper() for word in words)
    return EventType.Value(name)


_READERS: dict[str, Callable[[str, _Parameters], Link]] = {
    _WORKFLOW_EVENT: _read_event,
    _WORKFLOW: _read_workflow,
    _ACTIVITY: _read_activity,
    _NEXUS_OPERATION: _read_operation,
    _CALLBACK: _read_callback,
}
