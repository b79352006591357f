"""What a worker is made of before it runs: its options as plugins left them, and what they name.

Nothing here waits or connects: what is wrong with the options is raised where the worker is made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from perdure.worker.activity_definitions import ActivityDefinitions
from perdure.worker.build_id import default_build_id
from perdure.worker.checking import warn_of_findings
from perdure.worker.config import WorkerConfig, check, warn
from perdure.worker.interceptor import (
    Interceptor,
    WorkflowInterceptors,
    interceptors_of,
    workflow_interceptors,
)
from perdure.worker.plugin import Plugin, plugins_of
from perdure.worker.runners import check_runner
from perdure.worker.workflow_definitions import WorkflowDefinitions

if TYPE_CHECKING:
    from nexusrpc.handler import Handler

_DEBUG_VARIABLE: Final = "PERDURE_DEBUG"


@dataclass(frozen=True)
class PreparedWorker:
    """What a worker runs, and how."""

    config: WorkerConfig
    """What the plugins have made of the options."""
    plugins: Sequence[Plugin]
    workflows: WorkflowDefinitions
    activities: ActivityDefinitions
    nexus_handler: Handler | None
    build_id: str
    interceptors: Sequence[Interceptor]
    workflow_interceptors: WorkflowInterceptors


def prepare(initial: WorkerConfig) -> PreparedWorker:
    """Everything that can be told without running. Raises ValueError or TypeError."""
    plugins = plugins_of(
        initial["client"].config(active_config=True)["plugins"], initial["plugins"]
    )
    config = _configured(initial, plugins)
    check(config)
    check_runner(config["workflow_runner"])
    if not config["client"].service_client.is_of_this_process:
        raise AssertionError("Cannot create worker across forks")
    warn(config)
    if config["debug_mode"]:
        warn_of_findings(config["workflows"])
    workflows = WorkflowDefinitions(config["workflows"], config["deployment_config"])
    for definition in workflows.all():
        config["workflow_runner"].prepare_workflow(definition)
    activities = ActivityDefinitions(config["activities"], config["activity_executor"])
    interceptors = interceptors_of(
        config["client"].config(active_config=True)["interceptors"], config["interceptors"]
    )
    return PreparedWorker(
        config=config,
        plugins=plugins,
        workflows=workflows,
        activities=activities,
        nexus_handler=_nexus_handler_of(config, interceptors),
        build_id=_build_id_of(config),
        interceptors=interceptors,
        # Asked now, as the official worker does: one may refuse what it is to be for.
        workflow_interceptors=workflow_interceptors(interceptors if config["workflows"] else ()),
    )


def config_of(given: Mapping[str, Any]) -> WorkerConfig:
    """The parameters by their names, which are those of the configuration."""
    config: dict[str, Any] = {name: given[name] for name in WorkerConfig.__annotations__}
    config["debug_mode"] = config["debug_mode"] or bool(os.environ.get(_DEBUG_VARIABLE))
    return cast(WorkerConfig, config)


def _configured(config: WorkerConfig, plugins: Sequence[Plugin]) -> WorkerConfig:
    """What the plugins make of it."""
    config = config.copy()
    for plugin in plugins:
        config = plugin.configure_worker(config)
    return config


def _build_id_of(config: WorkerConfig) -> str:
    deployment = config["deployment_config"]
    if deployment is not None:
        return deployment.version.build_id
    handlers = [type(one) for one in config["nexus_service_handlers"]]
    code = [*config["workflows"], *config["activities"], *handlers]
    return config["build_id"] or default_build_id(code)


def _nexus_handler_of(config: WorkerConfig, interceptors: Sequence[Interceptor]) -> Handler | None:
    """What finds the handlers of operations; a worker without any does not load what it needs."""
    if not config["nexus_service_handlers"]:
        return None
    from perdure.worker.nexus_worker import make_handler

    return make_handler(
        config["nexus_service_handlers"], config["nexus_task_executor"], interceptors
    )
