"""Queries that every workflow answers, for the UI and the command line."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping
from typing import Any, Final

from temporalio.api.sdk.v1 import (
    EnhancedStackTrace,
    StackTrace,
    StackTraceFileLocation,
    StackTraceFileSlice,
    StackTraceSDKInfo,
    WorkflowDefinition,
    WorkflowInteractionDefinition,
    WorkflowMetadata,
)

from perdure import __version__
from perdure._definitions import QueryDefinition
from perdure._replay.call_site import lines_of_user
from perdure._replay.context import current

STACK_TRACE = "__stack_trace"
ENHANCED_STACK_TRACE = "__enhanced_stack_trace"
METADATA = "__temporal_workflow_metadata"


def _stack_trace() -> str:
    """Where each task of the workflow waits, in the user's own code."""
    stacks = []
    for task in current().tasks:
        lines = [f"{task.get_name()} waits (most recent call last):"]
        for site in lines_of_user(task.get_coro()):
            source = linecache.getline(site.code.co_filename, site.line).strip()
            lines.append(f'  File "{site.code.co_filename}", line {site.line}, in ')
            lines[-1] += f"{site.code.co_name}\n    {source}"
        stacks.append("\n".join(lines))
    return "\n\n".join(stacks)


def _enhanced_stack_trace() -> EnhancedStackTrace:
    """The same as a message, with the sources of the files that it names."""
    context = current()
    # Not what histories say, by which SDKs know what to replay: these are the lines of this one.
    trace = EnhancedStackTrace(sdk=StackTraceSDKInfo(name="perdure-python", version=__version__))
    for task in context.tasks:
        stack = StackTrace()
        for site in lines_of_user(task.get_coro()):
            path = site.code.co_filename
            stack.locations.append(
                StackTraceFileLocation(
                    file_path=path, line=site.line, column=-1, function_name=site.code.co_name
                )
            )
            if path not in trace.sources:
                source = StackTraceFileSlice(content="".join(linecache.getlines(path)))
                trace.sources[path].CopyFrom(source)
        trace.stacks.append(stack)
    return trace


def _metadata() -> WorkflowMetadata:
    """What the workflow can be told and asked, and what it says of itself."""
    context = current()
    handlers = context.handlers
    return WorkflowMetadata(
        definition=WorkflowDefinition(
            type=context.workflow_type,
            query_definitions=_interactions(handlers.queries.values()),
            signal_definitions=_interactions(handlers.signals.values()),
            update_definitions=_interactions(handlers.updates.values()),
        ),
        current_details=context.details,
    )


def _interactions(definitions: Iterable[Any]) -> list[WorkflowInteractionDefinition]:
    return [
        WorkflowInteractionDefinition(
            name=definition.name or "", description=definition.description or ""
        )
        for definition in sorted(definitions, key=lambda one: one.name or "")
    ]


BUILTIN_QUERIES: Final[Mapping[str | None, QueryDefinition]] = {
    name: QueryDefinition(name=name, fn=fn, is_method=False, arg_types=[])
    for name, fn in (
        (STACK_TRACE, _stack_trace),
        (ENHANCED_STACK_TRACE, _enhanced_stack_trace),
        (METADATA, _metadata),
    )
}
"""Their definitions."""
