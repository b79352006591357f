"""Continue-as-new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from perdure._definitions import workflow_name_and_result_type
from perdure._replay.arguments import UNSET, arguments
from perdure._replay.context import current
from perdure._replay.continue_as_new import end_run
from perdure._replay.event_groups import EventGroup
from perdure._replay.interceptors import ContinueAsNewInput
from perdure.common import RetryPolicy, SearchAttributes, TypedSearchAttributes
from perdure.workflow._versioning import ContinueAsNewVersioningBehavior, VersioningIntent


def continue_as_new(
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    workflow: Callable[..., Any] | str | None = None,
    task_queue: str | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    backoff_start_interval: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: SearchAttributes | TypedSearchAttributes | None = None,
    versioning_intent: VersioningIntent | None = None,
    initial_versioning_behavior: ContinueAsNewVersioningBehavior | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> NoReturn:
    """Ends this run and begins a new one with a fresh history. What is not given stays as it is.

    It ends the run by raising `ContinueAsNewError`, which the code has to let through.
    """
    context = current()
    context.check_not_read_only("continue as new")
    asked = ContinueAsNewInput(
        workflow=None if workflow is None else workflow_name_and_result_type(workflow)[0],
        args=arguments(arg, args),
        task_queue=task_queue,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        backoff_start_interval=backoff_start_interval,
        retry_policy=retry_policy,
        memo=memo,
        search_attributes=search_attributes,
        versioning_intent=versioning_intent,
        initial_versioning_behavior=initial_versioning_behavior,
        event_groups=event_groups,
        headers={},
    )
    if context.outbound is not None:
        context.outbound.continue_as_new(asked)
    end_run(asked)
