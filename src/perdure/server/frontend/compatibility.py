"""docs/compatibility.md, rendered from the dispatch table, so that the page cannot promise what the
code does not have.

To write it anew: `python -m perdure.server.frontend.compatibility > docs/compatibility.md`
"""

from __future__ import annotations

import sys
from collections import Counter

from google.protobuf.descriptor import MethodDescriptor

from perdure.server.frontend.dispatch import (
    OPERATOR_RPCS,
    OPERATOR_SERVICE,
    RPCS,
    WORKFLOW_SERVICE,
)
from perdure.server.frontend.switched_off import REFUSALS
from perdure.server.frontend.versions import TEMPORAL_VERSION

PARTIAL: dict[str, str] = {
    "StartActivityExecution": "no callbacks; never given to the caller's own worker at once",
    "DescribeActivityExecution": "no deployments, no callbacks",
    "RegisterNamespace": "one cluster, no archival",
    "UpdateNamespace": "no list of bad binaries",
    "StartWorkflowExecution": "no time skipping",
    "GetSearchAttributes": "those of every namespace; the custom ones are asked of OperatorService",
    **dict.fromkeys(
        (
            "CreateWorkerDeploymentVersion",
            "UpdateWorkerDeploymentVersionComputeConfig",
            "ValidateWorkerDeploymentVersionComputeConfig",
        ),
        "no provider of workers that the server starts can be used, as in the stock server",
    ),
    "DescribeTaskQueue": "a queue without a limit is shown with one of 4,000 tasks a second, as by"
    " the stock server, but has none",
    "ListTaskQueuePartitions": "each queue has one",
    "UpdateTaskQueueConfig": "limits of fairness keys and their weights are kept and shown, not"
    " honoured: fairness is off, as in the stock server",
}
"""What is missing of an RPC that is built."""

OTHER_SERVICES: tuple[tuple[str, str, str], ...] = (
    ("grpc.health.v1.Health/Check", "works", ""),
    ("grpc.health.v1.Health/Watch", "works", ""),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "works", ""),
    ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "works", ""),
    (
        "temporal.api.testservice.v1.TestService, all methods",
        "off",
        "on with `perdure dev --time-skipping`, and in `perdure-test-server`",
    ),
)

INTRODUCTION = f"""\
# Compatibility

The server speaks the gRPC API of Temporal {TEMPORAL_VERSION}. This page is rendered from its
dispatch table, and a test keeps it so.

- **works**: answers as Temporal's server does.
- **partial**: works but for what the notes say.
- **off**: Temporal's stock server has it switched off; it is answered in the same way.
- **not yet**: answered with `UNIMPLEMENTED`.

What the server can do is also what `GetSystemInfo` and `DescribeNamespace` advertise, which SDKs
read before they use a feature.
"""


DIFFERENCES: tuple[tuple[str, str, str], ...] = (
    (
        "when timers and timeouts fire",
        "up to a second late: a start-to-close timeout of 200 ms after 0.8 to 1 s",
        "within milliseconds",
    ),
    (
        "`ORDER BY` in a query",
        "refused: `operation is not supported: 'ORDER BY' clause`",
        "answered",
    ),
    (
        "`GROUP BY` in a count",
        "`ExecutionStatus` and a few others",
        "any attribute of type Keyword",
    ),
    (
        "`ExecutionStatus` in a query for activities or Nexus operations without a workflow",
        "any text: one that is no status finds nothing",
        "checked, as in one for workflows",
    ),
    (
        "a share of new work that is no number, of a ramping version",
        "taken",
        "refused: `INVALID_ARGUMENT`",
    ),
    (
        "a service or operation with an encoded `/` in the URL of a Nexus endpoint",
        "`404`",
        "called",
    ),
    (
        "custom search attributes of a namespace",
        "10 of type Keyword, 3 of each other type",
        "100 of each type",
    ),
    (
        "task queues of a namespace of which something is set",
        "as many as there are",
        "10,000",
    ),
    (
        "how many requests are let in, unless set",
        "2,400 a second, 100 that look for executions; 1,200 of each method that wait",
        "as many as come",
    ),
    (
        "a client that pings its connection more often than every 10 s",
        "is sent away: `too_many_pings`",
        "is answered",
    ),
    (
        "`maximum_page_size` of a history",
        "counts what was written at once, such as a workflow task with its commands",
        "counts events",
    ),
    (
        "a poll of kind sticky with the name of a normal task queue",
        "gets nothing",
        "gets the tasks of that queue",
    ),
    (
        "a sticky queue whose name is too long or reserved, in a completion",
        "taken; its tasks wait for the sticky timeout",
        "refused: `INVALID_ARGUMENT`",
    ),
    (
        "`deployment` of a completed workflow task (`deployment_options` took its place)",
        "its version is recorded",
        "ignored",
    ),
    (
        "intervals of `UpdateActivityOptions` that are negative, malformed or beyond 100 years",
        "kept and shown as they came",
        "cut and made well-formed; negative ones are none",
    ),
    (
        "the first task of an eager start, where versions of a deployment poll or by one of them",
        "comes with the answer",
        "comes from the queue, by the routing",
    ),
    (
        "the task after one whose heartbeats took too long, of a worker that wants it at once",
        "is lost with the refusal, and times out",
        "is on offer",
    ),
    (
        "`include_system_workers`",
        "shows the workers of the server itself",
        "there are none",
    ),
    (
        "what schedules of a namespace start",
        "30 workflows a second, a backfill 10",
        "as many as are due",
    ),
    (
        "`ListTaskQueuePartitions`",
        "four of each queue",
        "one",
    ),
    (
        "commands whose attributes are missing, types of reapplication that nobody knows",
        "fail with `INTERNAL`",
        "`INVALID_ARGUMENT`; reapplies all",
    ),
    (
        "durations with more than a second of nanoseconds",
        "recorded as they came",
        "recorded as the same length, well-formed",
    ),
    (
        "how long a query may be",
        "as long as a request",
        "1,048,576 characters, 100,000 words, 300 conditions, 20 attributes in `ORDER BY`",
    ),
    (
        "`ResetWorkflowExecution` again, with the same request id",
        "resets once more",
        "answers with the run that the first one made, as long as it is the current one",
    ),
    (
        "an update that a reset carries over and its worker rejects",
        "polling it fails with `INTERNAL`; a reset that would carry one over twice does so too",
        "`NOT_FOUND`, as of any rejected update; it is carried over once",
    ),
    (
        "an update that waits while a workflow task is refused with `UNHANDLED_COMMAND`",
        "may come too late for the next attempt: `NOT_FOUND` if that one ends the workflow",
        "comes with the next attempt",
    ),
    (
        "an update that is sent again, under its id, after its run has closed without it",
        "`workflow update was aborted by closing workflow` at first",
        "`workflow execution already completed`",
    ),
    (
        "callbacks whose address is often down",
        "wait for a while, also those of other workflows (a circuit breaker)",
        "are each tried again after about 1 s, 2 s, 4 s and so on, up to an hour",
    ),
    (
        "`UpdateNexusEndpoint` with the name of another endpoint",
        "done; which of the two is called by that name is anybody's guess",
        "refused: `ALREADY_EXISTS`",
    ),
    ("when a Nexus endpoint was created", "not shown any more once it is updated", "shown"),
    (
        "`TerminateNexusOperationExecution` of an operation that is canceled",
        "makes it one that was terminated",
        "refused: `FAILED_PRECONDITION`, `invalid transition from Canceled`",
    ),
    (
        "what activities without a workflow are found in, if nothing is said of it",
        "open ones first, the newest start first; then those that closed last",
        "the newest start first",
    ),
    (
        (
            "what a callback shows of a completion that is refused, if its Nexus operation has "
            "timed out or its workflow has a new run"
        ),
        "`operation not found`, or the like",
        "`stale reference: state machine not found`, or `workflow execution already completed`",
    ),
    (
        "the failure of a Nexus operation without a workflow, canceled by its handler's old form",
        "has a message only",
        "is a cancellation",
    ),
    (
        "a callback that comes with a repeated update before its worker has accepted it",
        "never called",
        "called (with `history.enableUpdateCallbacks=true`)",
    ),
    (
        "where callbacks of updates may lead",
        "anywhere",
        "where `callback.allowedAddresses` says, as those of starts",
    ),
    ("when a query finds a change", "a moment later", "as soon as it is answered"),
    ("a `Datetime` in a query", "compared by milliseconds", "compared by nanoseconds"),
    (
        "`UpdateNamespace` with the state deleted",
        "marks it so for ever, with all that is in it",
        "refused: namespaces are deleted by `DeleteNamespace`",
    ),
    (
        "a search attribute that is named by `UpdateNamespace`",
        "may have any name, also that of another or of the system's",
        "is checked as by `AddSearchAttributes`",
    ),
    (
        "a batch whose query finds nothing because it makes no sense, or whose rate is none",
        "is started, and fails or runs as fast as usual",
        "refused: `INVALID_ARGUMENT`",
    ),
    (
        "numbers in payloads that came as JSON over HTTP",
        "as Go has them: `1.0` becomes `1`, large integers are rounded; `[]` becomes `null`",
        "as they came",
    ),
    (
        "a payload that is not the JSON it says it is, over HTTP",
        "makes the whole answer fail",
        "is shown with its metadata",
    ),
    (
        "what follows the JSON object of a request over HTTP",
        "passed over",
        "refused: `INVALID_ARGUMENT`",
    ),
    ("the content type of an answer over HTTP", "`*`", "`application/json`"),
    ("ids with `%2F` in a path over HTTP", "`404`", "found"),
    (
        "`UpdateSchedule` with a conflict token that is not the current one",
        "answered as if it were done, and not done",
        "refused: `FAILED_PRECONDITION`, `mismatched conflict token`",
    ),
    (
        "a version of a worker deployment that paused workflows are pinned to",
        "has drained",
        "drains until they have ended",
    ),
    (
        "what makes no sense in a schedule's policies, exclusions, retry policy or patches",
        "taken, and then ignored or failing at each action",
        "refused: `INVALID_ARGUMENT`",
    ),
    ("`keep_original_workflow_id` of a schedule", "ignored", "obeyed"),
    ("the memo of a schedule", "cannot be updated", "can be updated"),
    (
        "local times of a schedule that a change of the clock repeats",
        "match once or twice, by the zone; some near them are left out",
        "match twice, as in cron schedules of workflows",
    ),
    (
        "status of a schedule's recent actions",
        "brought up to date at the next action, and never of those that may overlap",
        "always up to date",
    ),
    (
        "a schedule that was deleted",
        "`schedule not found` or `workflow execution already completed`",
        "is forgotten at once: `workflow not found for ID: temporal-sys-scheduler:...`",
    ),
    (
        "operators of queries of texts",
        "`=` and `!=`",
        "also `CONTAINS` and `LIKE`",
    ),
    (
        "`BuildIds` of a run whose one worker sent an empty version stamp, as Java's do",
        "`unversioned` twice, until the second workflow task",
        "`unversioned` once",
    ),
)
"""What differs on purpose, and how it is on both servers."""

NOT_PASSED: tuple[tuple[str, str], ...] = (
    (
        (
            "`tests/worker/test_activity.py`: "
            "`test_sync_activity_cancel_after_return_does_not_kill_thread_pool_worker`"
        ),
        (
            "waits 5 s, once the server has reported a timeout, for the worker to notice, "
            "which it does 5 s after the timeout was due: it relies on timeouts that come late"
        ),
    ),
    (
        "`tests/worker/test_workflow.py`: `test_activity_pause_unpause`, one time in four",
        (
            "looks whether an activity is no longer paused while its next attempt, which begins "
            "at once here, may be over already: it relies on attempts that begin late"
        ),
    ),
    (
        "`tests/worker/test_workflow.py`: `test_workflow_cancel_activity[False]`, when busy",
        "has 1 s for workflow tasks that import its module: fails on Temporal's server, too",
    ),
    (
        "`tests/contrib/openai_agents`: `test_heartbeat`, on a machine that is busy",
        "has 0.1 s from one heartbeat to its timeout: it relies on timeouts that come late, too",
    ),
)
"""Tests of the official Python SDK that pass on Temporal's server and not on ours."""

SUITE = """
## The official Python SDK's own tests

Of those of its suite, `tests/contrib` included, that pass on Temporal's server, these did not pass
on this one when they were last run:
"""
RENAMED_SUITE = """
With `temporalio` renamed to `perdure` in their imports, its tests exercise this SDK. Those that do
not pass reach for what the official SDK keeps private or makes in Rust, or for what is not built:
the importing of workflow code anew by `SandboxedWorkflowRunner`, clocks of single workflows
(`TimeSkipper`, `TimeSkippingConfig`, `start_time_skipping_v2`), and `contrib.workflow_streams`. All
other public names are there, and are called with the same arguments. Others look at these
differences:
"""
RENAMED_DIFFERENCES: tuple[tuple[str, str], ...] = (
    (
        (
            "The suite is older than the release of the official SDK that is mirrored here, in "
            "which descriptions of activities have other fields, schedules no catch-up window of "
            "their own, and codecs the context of Nexus operations: that release does not pass "
            "them either"
        ),
        (
            "`test_activity.py`: `test_describe`, `test_describe_long_poll`, "
            "`test_start_activity_start_delay`, `test_list_activities`; `test_client.py`: "
            "`test_schedule_basics`, and while its schedule is there, those that follow it; "
            "`test_nexus_payload_codec_operations_lack_context`; "
            "`test_operation_token_decode_rejects_invalid_tokens`, one of 13"
        ),
    ),
    (
        "`FAILED_PRECONDITION` is expected where Temporal 1.32 answers `INVALID_ARGUMENT`",
        "`test_activity.py`: `test_manual_cancellation`",
    ),
    (
        (
            "The name in a certificate is checked when the handshake is over, before anything is "
            "sent: the server sees it succeed. A `verification_server_name` is sent as SNI too"
        ),
        (
            "`test_tls.py`: `test_tls_default_verification_rejects_unmatched_name`, "
            "`test_tls_verification_server_name_is_enforced`, "
            "`test_tls_verification_server_name_decouples_verification_from_sni`"
        ),
    ),
    (
        "The version is this project's",
        "`test_version`",
    ),
    (
        "A small workflow task takes less than the 3 ms that it is expected to take",
        "`test_workflow.py`: `test_workflow_metrics_other_types`, when idle",
    ),
    (
        "What ends the code of an evicted run is `GeneratorExit`, by which Python ends coroutines",
        "`test_workflow.py`: `test_workflow_eviction_exception`",
    ),
    (
        (
            "Forwarded log records are worded otherwise, and bear no names of modules in Rust: "
            "their targets are loggers of this SDK"
        ),
        "`test_runtime_task_fail_log_forwarding`",
    ),
)
"""What those of the renamed tests look at that do not pass though they use public names only."""

RENAMED_RUNS = """
How workflow code is run differs, which its tests of workers tell:
"""

RUN_DIFFERENTLY: tuple[tuple[str, str, str], ...] = (
    (
        "modules of workflows",
        (
            "are imported once: there is no sandbox. A run sees what others change in them; "
            "restrictions, modules that are passed through and notifications about imports are "
            "accepted and have no effect"
        ),
        (
            "`workflow_sandbox/test_runner.py`: `global_state`, `assert`, `known_issues`, "
            "`import_*`; `test_disable_logger_sandbox`"
        ),
    ),
    (
        "what may not be called",
        (
            "is what does not replay: looking at the working directory, at the environment or at "
            "`os.name` is let through"
        ),
        "`test_workflow_sandbox_restrictions`",
    ),
    (
        "`asyncio.wait`",
        (
            "has the same order on replay, so nobody is warned when it is called; `perdure check` "
            "tells of `as_completed`"
        ),
        "`test_workflow_sandbox_bad_asyncio`",
    ),
    (
        "the thread",
        (
            "is that of the event loop: code that blocks holds up the worker until it is "
            "interrupted, after 2 seconds. Code that waits is interrupted too, if it runs in the "
            "program's main thread; what is in a call that heeds no signal goes on, and is logged"
        ),
        (
            "`test_workflow_runs_on_pool_thread_without_debug_mode`, "
            "`test_workflow_deadlock_uninterruptible`, `test_workflow_deadlock_fill_up_slots`"
        ),
    ),
    (
        "runners of one's own",
        (
            "may look at the definitions (`prepare_workflow`); one that has a `create_instance` is "
            "refused, for its activations would be messages of the official SDK's core"
        ),
        "`test_workflow_with_custom_runner`",
    ),
)
"""How this SDK runs workflows otherwise than the official one, and the tests that do not pass."""


SAMPLES = """
## Temporal's samples for Python

The programs and tests of `temporalio/samples-python`, with `temporalio` renamed to `perdure`, do
what they do with the official SDK, on either server, but for these:
"""

SAMPLES_OTHERWISE: tuple[tuple[str, str], ...] = (
    (
        "`gevent_async`: `worker.py` and `starter.py`",
        (
            "gRPC waits in a thread of its own, which gevent makes a part of the thread that it "
            "would wait for: `monkey.patch_all(thread=False)` leaves threads alone"
        ),
    ),
    (
        "`hello_search_attributes`",
        (
            "asks for an attribute that Temporal's dev server does not have either: "
            "`--search-attribute CustomKeywordField=Keyword`"
        ),
    ),
    (
        "`nexus_standalone_operations`",
        (
            "asks for what is off in both servers: "
            "`--dynamic-config-value nexusoperation.enableStandalone=true`"
        ),
    ),
    (
        "the test of `trio_async`",
        (
            "blocks the event loop that the environment of this SDK runs on: it passes with a "
            "server in another process"
        ),
    ),
    ("`workflow_streams`", "`contrib.workflow_streams` is not built"),
    (
        (
            "`deepagents_plugin`, `google_adk_agents`, `google_genai`, `langfuse_tracing`, "
            "`langgraph_plugin`, `langsmith_tracing`, `openai_agents`, `strands_plugin`, "
            "`external_storage`, `lambda_worker`"
        ),
        ("use plugins for other products that come with the official SDK; this SDK has none"),
    ),
)
"""Samples that do not run as they are, and why."""


SWITCHABLE: dict[str, str] = {
    "PollWorkflowExecutionTimeSkipping": "",
    "PauseWorkflowExecution": "on with `frontend.WorkflowPauseEnabled=true`",
    **dict.fromkeys(
        (
            "StartNexusOperationExecution",
            "DescribeNexusOperationExecution",
            "PollNexusOperationExecution",
            "ListNexusOperationExecutions",
            "CountNexusOperationExecutions",
            "RequestCancelNexusOperationExecution",
            "TerminateNexusOperationExecution",
            "DeleteNexusOperationExecution",
        ),
        "on with `nexusoperation.enableStandalone=true`",
    ),
}
"""How an RPC that is built is switched on."""


def state_of(method: MethodDescriptor) -> tuple[str, str]:
    """The state of a method of ours, and notes."""
    is_workflow_service = method.containing_service is WORKFLOW_SERVICE
    if method.name in SWITCHABLE:
        return "off", SWITCHABLE[method.name]
    if method.name in (RPCS if is_workflow_service else OPERATOR_RPCS):
        notes = PARTIAL.get(method.name, "")
        return ("partial" if notes else "works"), notes
    if is_workflow_service and method.name in REFUSALS:
        return "off", ""
    return "not yet", ""


def render() -> str:
    """The page."""
    parts = [INTRODUCTION]
    for service in (WORKFLOW_SERVICE, OPERATOR_SERVICE):
        rows = [(method.name, *state_of(method)) for method in service.methods]
        counts = Counter(state for _, state, _ in rows)
        summary = ", ".join(f"{count} {state}" for state, count in counts.most_common())
        parts.append(f"\n## {service.full_name}\n\n{len(rows)} methods: {summary}.\n\n")
        parts.append(_table(rows))
    parts.append("\n## Other services\n\n")
    parts.append(_table(list(OTHER_SERVICES)))
    parts.append("\n## What can be told apart\n\n| what | Temporal | Perdure |\n|---|---|---|\n")
    parts += [f"| {' | '.join(row)} |\n" for row in DIFFERENCES]
    parts.append(f"{SUITE}\n| tests | why |\n|---|---|\n")
    parts += [f"| {tests} | {why} |\n" for tests, why in NOT_PASSED]
    parts.append(f"{RENAMED_SUITE}\n| what | tests |\n|---|---|\n")
    parts += [f"| {what} | {tests} |\n" for what, tests in RENAMED_DIFFERENCES]
    parts.append(RENAMED_RUNS)
    parts.append("\n| what | here | tests |\n|---|---|---|\n")
    parts.extend(f"| {what} | {here} | {tests} |\n" for what, here, tests in RUN_DIFFERENTLY)
    parts.append(f"{SAMPLES}\n| samples | why |\n|---|---|\n")
    parts += [f"| {samples} | {why} |\n" for samples, why in SAMPLES_OTHERWISE]
    return "".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = ["| RPC | state | notes |", "|---|---|---|"]
    lines += [f"| {name} | {state} | {notes} |" for name, state, notes in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
