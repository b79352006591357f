"""Completion callbacks of requests: what may be called, and how they are described."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from temporalio.api.common.v1 import Callback
from temporalio.api.enums.v1 import CallbackState as CallbackStates
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import CallbackInfo
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.engine.nexus.nexus import SYSTEM_URL
from perdure.server.frontend.errors import Unimplemented
from perdure.server.frontend.validation import check_links
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import Limits
from perdure.server.machines.wire import timestamp
from perdure.server.machines.workflow import state

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_callbacks(request: StartWorkflowExecutionRequest, limits: Limits) -> None:
    """Callbacks must be few and allowed; names of headers become lower case, and links that a
    callback has are not links of the request besides, in place."""
    callbacks = request.completion_callbacks
    check_each(callbacks, limits)
    known = {link.SerializeToString() for callback in callbacks for link in callback.links}
    if known:
        kept = [link for link in request.links if link.SerializeToString() not in known]
        del request.links[:]
        request.links.extend(kept)


def check_each(callbacks: Sequence[Callback], limits: Limits) -> None:
    """The same of callbacks of any kind of request."""
    if len(callbacks) > limits.callbacks_max:
        raise InvalidArgument(
            f"cannot attach more than {limits.callbacks_max} callbacks to an execution"
        )
    for callback in callbacks:
        variant = callback.WhichOneof("variant")
        if variant in (None, "nexus_handler"):
            # Temporal 1.32 does not know handlers as callbacks yet, so it sees none.
            raise Unimplemented("unknown callback variant: <nil>")
        if variant != "nexus":
            name = str(variant).capitalize()
            raise InvalidArgument(f"unsupported callback variant: *common.Callback_{name}_")
        _check_url(callback.nexus.url, limits)
        _check_header(callback, limits)
        check_links(callback.links, limits)


def callback_info(callback: state.Callback) -> CallbackInfo:
    """A callback as it is described."""
    info = CallbackInfo(
        callback=Callback.FromString(callback.callback),
        registration_time=timestamp(callback.registered_ns),
        state=callback.state,  # type: ignore[arg-type]
        attempt=callback.attempt,
    )
    if callback.update_id:
        info.trigger.update_workflow_execution_completed.update_id = callback.update_id
    else:
        info.trigger.workflow_closed.SetInParent()
    if callback.completed_ns:
        info.last_attempt_complete_time.CopyFrom(timestamp(callback.completed_ns))
    if callback.failure:
        info.last_attempt_failure.CopyFrom(Failure.FromString(callback.failure))
    if callback.state == CallbackStates.CALLBACK_STATE_BACKING_OFF:
        info.next_attempt_schedule_time.CopyFrom(timestamp(callback.due_ns))
    return info


def _check_url(url: str, limits: Limits) -> None:
    if len(url.encode()) > limits.callback_url_bytes_max:
        raise InvalidArgument(
            "invalid url: url length longer than max length allowed of"
            f" {limits.callback_url_bytes_max}"
        )
    if url == SYSTEM_URL:
        return
    if problem := problem_of_url(url):
        raise InvalidArgument(f"invalid callback url: parse {quoted(url)}: {problem}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise InvalidArgument(f"invalid url: unknown scheme: {url}")
    host = parts.netloc.rpartition("@")[2]
    if not host:
        raise InvalidArgument("invalid url: missing host")
    shown = parts.scheme + url[len(parts.scheme) :].replace(" ", "%20")
    for pattern, allows_insecure in limits.callback_addresses:
        if not _matches(pattern, host):
            continue
        if parts.scheme == "http" and not allows_insecure:
            raise InvalidArgument(
                f"invalid url: callback address does not allow insecure connections: {shown}"
            )
        return
    raise InvalidArgument(
        f"invalid url: url does not match any configured callback address: {shown}"
    )


def quoted(text: str) -> str:
    """A text as Go quotes it."""
    escaped = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return re.sub(r"\\u00([0-9a-f]{2})", r"\\x\1", escaped)


def problem_of_url(url: str) -> str:
    """Why it is no URL, as Go says it; "" when it is one."""
    if _CONTROL.search(url):
        return "net/url: invalid control character in URL"
    if escape := _ESCAPE.search(url):
        return f'invalid URL escape "{escape.group()}"'
    try:
        parts = urlsplit(url)
    except ValueError:
        return "missing ']' in host"
    host = parts.netloc.rpartition("@")[2]
    port = host.rpartition("]")[2].partition(":")
    if port[1] and not re.fullmatch(r"[0-9]*", port[2], re.ASCII):
        return f'invalid port ":{port[2]}" after host'
    return ""


def _matches(pattern: str, host: str) -> bool:
    words = (re.escape(word) for word in pattern.split("*"))
    return re.fullmatch(".*".join(words), host, re.DOTALL) is not None


def _check_header(callback: Callback, limits: Limits) -> None:
    header = callback.nexus.header
    size = sum(len(name.encode()) + len(value.encode()) for name, value in header.items())
    if size > limits.callback_header_bytes_max:
        raise InvalidArgument(
            "invalid header: header size longer than max allowed size of"
            f" {limits.callback_header_bytes_max}"
        )
    lowered = {name.lower(): value for name, value in header.items()}
    if lowered.keys() != set(header):
        header.clear()
        header.update(lowered)
