"""The requests and commands of a play, from the words of its lines."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import (
    Memo,
    Payload,
    Payloads,
    RetryPolicy,
    SearchAttributes,
    WorkerVersionStamp,
    WorkflowType,
)
from temporalio.api.enums.v1 import (
    CommandType,
    ContinueAsNewVersioningBehavior,
    QueryRejectCondition,
    VersioningBehavior,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
    WorkflowTaskFailedCause,
    deployment_pb2,
    query_pb2,
    task_queue_pb2,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
    UpdateWorkflowExecutionOptionsRequest,
)

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.search_attributes import KEYWORD_LIST, PREDEFINED_ATTRIBUTES
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow.state import Override, Target
from perdure.server.machines.workflow.versioning import AUTO_UPGRADE, PINNED, override_message
from tests.machines import nexus, updating

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
Options = dict[str, str]


def length_ns(text: str) -> int:
    """Nanoseconds of "5s", "-1s", "1.5h"."""
    match = re.fullmatch(r"(-?[\d.]+)(ms|s|m|h)", text)
    assert match is not None, f"not a duration: {text}"
    return round(float(match[1]) * _UNITS[match[2]] * SECOND_NS)


def length(text: str) -> Duration:
    """The Duration of "5s"; negative ones as protobuf writes them."""
    value_ns = length_ns(text)
    if value_ns < 0:
        return Duration(seconds=-(-value_ns // SECOND_NS))
    return duration(value_ns)


def payload(text: str) -> Payload:
    """One payload of JSON text (null and [] remove what they are put on)."""
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())


def payloads(text: str) -> Payloads:
    """One payload; "*N" stands for N bytes."""
    return Payloads(payloads=[Payload(data=_long(text).encode())])


def made_id(text: str) -> str:
    """The id that a play writes as #1."""
    match = re.fullmatch(r"#(\d+)", text)
    return f"00000000-0000-0000-0000-{int(match[1]):012}" if match else text


def failure(message: str, options: Options) -> Failure:
    """An application failure."""
    info = ApplicationFailureInfo(
        type=options.get("type", ""), non_retryable=options.get("retryable") == "no"
    )
    if "next_delay" in options:
        info.next_retry_delay.CopyFrom(length(options["next_delay"]))
    return Failure(message=_long(message), application_failure_info=info)


def retry_policy(text: str) -> RetryPolicy:
    """A whole policy: "1s,2,100s,3" (initial, coefficient, longest, attempts), then types."""
    initial, coefficient, longest, attempts, *types = text.split(",")
    return RetryPolicy(
        initial_interval=length(initial),
        backoff_coefficient=float(coefficient),
        maximum_interval=length(longest),
        maximum_attempts=int(attempts),
        non_retryable_error_types=types,
    )


def start(options: Options, *, is_eager: bool = False) -> StartWorkflowExecutionRequest:
    """A start, as the frontend would hand it on: with its defaults."""
    request = StartWorkflowExecutionRequest(
        namespace="default",
        workflow_id="w",
        workflow_type=WorkflowType(name=options.get("type", "Hello")),
        task_queue=TaskQueue(
            name=options.get("queue", "queue"), kind=task_queue_pb2.TASK_QUEUE_KIND_NORMAL
        ),
        workflow_task_timeout=length(options.get("task_timeout", "10s")),
        request_id=options.get("request", "start"),
        identity="client",
        cron_schedule=options.get("cron", ""),
        request_eager_execution=is_eager,
        workflow_id_reuse_policy=_number(WorkflowIdReusePolicy, options.get("reuse")),  # type: ignore[arg-type]
        workflow_id_conflict_policy=_number(WorkflowIdConflictPolicy, options.get("conflict")),  # type: ignore[arg-type]
    )
    for name, field in (
        ("run_timeout", "workflow_run_timeout"),
        ("execution_timeout", "workflow_execution_timeout"),
        ("delay", "workflow_start_delay"),
    ):
        if name in options:
            getattr(request, field).CopyFrom(length(options[name]))
    if "input" in options:
        request.input.CopyFrom(payloads(options["input"]))
    if "retry" in options:
        request.retry_policy.CopyFrom(retry_policy(options["retry"]))
    if "memo" in options:
        request.memo.CopyFrom(_memo(options["memo"]))
    if "attributes" in options:
        request.search_attributes.CopyFrom(_attributes(options["attributes"]))
    if "header" in options:
        request.header.fields["h"].CopyFrom(payload(options["header"]))
    if "priority" in options:
        request.priority.priority_key = int(options["priority"])
    for url in filter(None, options.get("callbacks", "").split(",")):
        request.completion_callbacks.add().nexus.url = url
    for what in filter(None, options.get("attach", "").split(",")):
        setattr(request.on_conflict_options, f"attach_{what}", True)
    if "summary" in options:
        request.user_metadata.summary.CopyFrom(payload(options["summary"]))
    return request


def signal(name: str, options: Options) -> SignalWorkflowExecutionRequest:
    """A signal."""
    request = SignalWorkflowExecutionRequest(
        signal_name=name, identity="client", request_id=options.get("request", "")
    )
    if "input" in options:
        request.input.CopyFrom(payloads(options["input"]))
    return request


def cancel(options: Options) -> RequestCancelWorkflowExecutionRequest:
    """A request to cancel."""
    return RequestCancelWorkflowExecutionRequest(
        identity="client",
        request_id=options.get("request", ""),
        reason=options.get("reason", ""),
        first_execution_run_id=made_id(options.get("first", "")),
    )


def terminate(options: Options) -> TerminateWorkflowExecutionRequest:
    """A termination."""
    return TerminateWorkflowExecutionRequest(
        identity="client",
        reason=options.get("reason", ""),
        first_execution_run_id=made_id(options.get("first", "")),
    )


def changed_options(options: Options) -> UpdateWorkflowExecutionOptionsRequest:
    """Other options for a run: a priority key, "" for none; or where it goes: D:1, once:D:1,
    upgrade or none."""
    request = UpdateWorkflowExecutionOptionsRequest(identity="client")
    if "override" in options:
        request.update_mask.paths.append("versioning_override")
        request.workflow_execution_options.SetInParent()
        override = _override(options["override"])
        if override is not None:
            message = override_message(override)
            request.workflow_execution_options.versioning_override.CopyFrom(message)
        return request
    request.update_mask.paths.append("priority")
    request.workflow_execution_options.SetInParent()
    if options["priority"]:
        request.workflow_execution_options.priority.priority_key = int(options["priority"])
    return request


def _override(text: str) -> Override | None:
    if text in ("none", "upgrade"):
        return None if text == "none" else Override(AUTO_UPGRADE)
    is_one_time = text.startswith("once:")
    return Override(PINNED, version_named(text.removeprefix("once:")), is_one_time)


def pause(options: Options) -> PauseWorkflowExecutionRequest:
    """A pause."""
    return PauseWorkflowExecutionRequest(
        identity="client", reason=options.get("reason", ""), request_id=options.get("request", "")
    )


def unpause(options: Options) -> UnpauseWorkflowExecutionRequest:
    """The end of a pause."""
    return UnpauseWorkflowExecutionRequest(
        identity="client", reason=options.get("reason", ""), request_id=options.get("request", "")
    )


def failed_task(options: Options) -> RespondWorkflowTaskFailedRequest:
    """What a worker reports of a workflow task that it cannot carry out."""
    cause = options.get("cause", "WORKFLOW_WORKER_UNHANDLED_FAILURE")
    return RespondWorkflowTaskFailedRequest(
        cause=_number(WorkflowTaskFailedCause, cause),  # type: ignore[arg-type]
        identity="worker",
        failure=Failure(message=options.get("message", "broken")),
    )


def completion(
    commands: str, words: list[str], options: Options
) -> RespondWorkflowTaskCompletedRequest:
    """A completion: its commands, and what it asks for."""
    request = RespondWorkflowTaskCompletedRequest(
        identity="worker",
        commands=[command(text) for text in _split(commands)],
        force_create_new_workflow_task="force" in words,
        return_new_workflow_task="new_task" in words,
    )
    if "sticky" in options:
        queue, _, timeout = options["sticky"].partition(":")
        request.sticky_attributes.CopyFrom(
            StickyExecutionAttributes(
                worker_task_queue=TaskQueue(
                    name=queue, kind=task_queue_pb2.TASK_QUEUE_KIND_STICKY, normal_name="queue"
                ),
                schedule_to_start_timeout=length(timeout),
            )
        )
    if "build" in options:
        request.worker_version_stamp.CopyFrom(WorkerVersionStamp(build_id=options["build"]))
    if "version" in options:
        version = version_named(options["version"])
        request.deployment_options.deployment_name = version.deployment
        request.deployment_options.build_id = version.build_id
        request.deployment_options.worker_versioning_mode = (
            deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED
        )
    if "behavior" in options:
        name = f"VERSIONING_BEHAVIOR_{options['behavior'].upper()}"
        request.versioning_behavior = VersioningBehavior.Value(name)
    if "forgets" in words:
        request.capabilities.discard_speculative_workflow_task_with_events = True
    if "say" in options:
        updating.say(request, options["say"])
    for option, result_type in (("answer", 1), ("fail_query", 2)):
        if option in options:
            query_id, _, text = options[option].partition(":")
            request.query_results[made_id(query_id)].CopyFrom(_query_result(result_type, text))
    return request


def version_named(text: str) -> VersionName:
    """D:1 as a version."""
    deployment, _, build_id = text.partition(":")
    return VersionName(deployment, build_id)


def versions(options: Options) -> tuple[VersionName | None, Target]:
    """The version of a worker that polls, and where new work goes."""
    version = version_named(options["version"]) if "version" in options else None
    if "target" not in options:
        return version, Target(version, 1)
    text, _, revision = options["target"].partition("@")
    return version, Target(version_named(text) if text else None, int(revision or 1))


def _query_result(result_type: int, text: str) -> WorkflowQueryResult:
    result = WorkflowQueryResult(result_type=result_type)  # type: ignore[arg-type]
    if result_type == query_pb2.QUERY_RESULT_TYPE_ANSWERED:
        result.answer.CopyFrom(payloads(text))
    else:
        result.error_message = text
    return result


def query(name: str) -> bytes:
    """A query without arguments."""
    return WorkflowQuery(query_type=name).SerializeToString()


def reject_condition(options: Options) -> int:
    """Which runs a query must not be asked of."""
    return _number(QueryRejectCondition, options.get("reject"))


def split_commands(line: str) -> tuple[str, str]:
    """A line without its `[...]`, and what is in it."""
    match = re.fullmatch(r"([^\[]*)\[(.*)\](.*)", line)
    return (f"{match[1]} {match[3]}", match[2]) if match else (line, "")


def _split(commands: str) -> list[str]:
    return [text.strip() for text in commands.split(";") if text.strip()]


# ---- commands


def command(text: str) -> Command:
    """One command of a completion."""
    words = shlex.split(text)
    verb, *rest = words
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    positional = [word for word in rest if "=" not in word]
    result = Command()
    COMMANDS[verb](result, positional, options)
    if "summary" in options:
        result.user_metadata.summary.CopyFrom(payload(options["summary"]))
    return result


def _activity(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK
    attributes = result.schedule_activity_task_command_attributes
    attributes.activity_id = words[0]
    attributes.activity_type.name = options.get("type", "work")
    attributes.task_queue.name = options.get("queue", "queue")
    attributes.request_eager_execution = "eager" in words
    for name, given in (
        ("start_to_close_timeout", options.get("start_to_close", "10s")),
        ("schedule_to_close_timeout", options.get("schedule_to_close")),
        ("schedule_to_start_timeout", options.get("schedule_to_start")),
        ("heartbeat_timeout", options.get("heartbeat")),
    ):
        if given:
            getattr(attributes, name).CopyFrom(length(given))
    if "retry" in options:
        attributes.retry_policy.CopyFrom(retry_policy(options["retry"]))


def _cancel_activity(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK
    attributes = result.request_cancel_activity_task_command_attributes
    attributes.scheduled_event_id = int(words[0])


def _timer(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_START_TIMER
    attributes = result.start_timer_command_attributes
    attributes.timer_id = words[0]
    attributes.start_to_fire_timeout.CopyFrom(length(words[1]))


def _cancel_timer(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_CANCEL_TIMER
    result.cancel_timer_command_attributes.timer_id = words[0]


def _done(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION
    attributes = result.complete_workflow_execution_command_attributes
    attributes.SetInParent()
    if words:
        attributes.result.CopyFrom(payloads(words[0]))


def _fail(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION
    attributes = result.fail_workflow_execution_command_attributes
    attributes.SetInParent()
    if words:
        attributes.failure.CopyFrom(failure(words[0], options))


def _cancelled(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION
    result.cancel_workflow_execution_command_attributes.SetInParent()


def _continue(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION
    attributes = result.continue_as_new_workflow_execution_command_attributes
    if "initial" in options:
        name = f"CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_{options['initial'].upper()}"
        attributes.initial_versioning_behavior = ContinueAsNewVersioningBehavior.Value(name)
    attributes.SetInParent()
    attributes.workflow_type.name = options.get("type", "")
    attributes.task_queue.name = options.get("queue", "")
    attributes.cron_schedule = options.get("cron", "")
    if words:
        attributes.input.CopyFrom(payloads(words[0]))
    for name, field in (
        ("run_timeout", "workflow_run_timeout"),
        ("task_timeout", "workflow_task_timeout"),
        ("backoff", "backoff_start_interval"),
    ):
        if name in options:
            getattr(attributes, field).CopyFrom(length(options[name]))
    if "memo" in options:
        attributes.memo.CopyFrom(_memo(options["memo"]))
    if "attributes" in options:
        attributes.search_attributes.CopyFrom(_attributes(options["attributes"]))
    if "retry" in options:
        attributes.retry_policy.CopyFrom(retry_policy(options["retry"]))


def _marker(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_RECORD_MARKER
    attributes = result.record_marker_command_attributes
    attributes.SetInParent()
    attributes.marker_name = words[0] if words else ""
    if "details" in options:
        attributes.details["data"].CopyFrom(payloads(options["details"]))


def _upsert(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
    attributes = result.upsert_workflow_search_attributes_command_attributes
    attributes.SetInParent()
    if words:
        attributes.search_attributes.CopyFrom(_attributes(words[0]))


def _modify(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES
    attributes = result.modify_workflow_properties_command_attributes
    attributes.SetInParent()
    if words:
        attributes.upserted_memo.CopyFrom(_memo(words[0]))


def _unsupported(result: Command, words: list[str], options: Options) -> None:
    result.command_type = CommandType.COMMAND_TYPE_UNSPECIFIED


COMMANDS: dict[str, Callable[[Command, list[str], Options], None]] = {
    "activity": _activity,
    "cancel_activity": _cancel_activity,
    "timer": _timer,
    "cancel_timer": _cancel_timer,
    "done": _done,
    "fail": _fail,
    "cancelled": _cancelled,
    "continue": _continue,
    "marker": _marker,
    "attributes": _upsert,
    "memo": _modify,
    "nexus": nexus.schedule,
    "cancel_nexus": nexus.request_cancel,
    "message": lambda result, words, options: updating.place(result, words, options),
    "unsupported": _unsupported,
}


# ---- small things


def blob_line(name: str, blob: bytes) -> str:
    """A memo or the search attributes, in a line."""
    fields = (
        Memo.FromString(blob).fields
        if name == "memo"
        else SearchAttributes.FromString(blob).indexed_fields
    )
    inner = " ".join(f"{key}={fields[key].data.decode()}" for key in sorted(fields))
    return f"{name} {{{inner}}}"


def _pairs(text: str) -> list[list[str]]:
    return [pair.split(":", 1) for pair in text.split(",") if pair]


def _memo(text: str) -> Memo:
    return Memo(fields={key: payload(_long(value)) for key, value in _pairs(text)})


def _attributes(text: str) -> SearchAttributes:
    return SearchAttributes(
        indexed_fields={key: payload(_json(key, _long(value))) for key, value in _pairs(text)}
    )


def _json(name: str, text: str) -> str:
    """A value of a search attribute as its type has it; null and [] stay what they are."""
    if text in ("null", "[]"):
        return text
    is_list = PREDEFINED_ATTRIBUTES.get(name) == KEYWORD_LIST
    return json.dumps([text] if is_list else text)


def _long(text: str) -> str:
    return "x" * int(text[1:]) if re.fullmatch(r"\*\d+", text) else text


def _number(enum: object, name: str | None) -> int:
    """The number of an enum's value, by the end of its name; 0 when there is none."""
    if name is None:
        return 0
    found: list[int] = [
        number
        for full, number in enum.items()  # type: ignore[attr-defined]
        if full.endswith(f"_{name.upper()}")
    ]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]
