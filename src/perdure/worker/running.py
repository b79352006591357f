"""A worker while it runs: wires its parts, and takes them down in the right order."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollNexusTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
)

from perdure._replay.api import SDK_VERSION, RunnerOptions
from perdure.client import Client
from perdure.common import HeaderCodecBehavior
from perdure.runtime import Runtime
from perdure.service import RPCError
from perdure.worker.activity_definitions import ActivityDefinitions
from perdure.worker.activity_worker import ActivityWorker
from perdure.worker.config import (
    PollerBehaviorAutoscaling,
    WorkerConfig,
    activities_max,
    activity_polls,
    nexus_polls,
    workflow_polls,
)
from perdure.worker.deadlock import DeadlockWatch
from perdure.worker.debugging import BreakpointHook
from perdure.worker.deployment import default_behavior_of, options_of
from perdure.worker.eager import EagerActivities
from perdure.worker.metrics import WorkerMetrics
from perdure.worker.places import (
    asks_a_supplier_for_local_activities,
    places_of,
    told_places,
)
from perdure.worker.polling import Pollers, Rate
from perdure.worker.port import PayloadLimits, TaskSource
from perdure.worker.preparing import PreparedWorker
from perdure.worker.report import Whoami, Work, WorkerReport
from perdure.worker.slots import TaskSlots
from perdure.worker.slots_ahead import SlotsAhead
from perdure.worker.unary import UnaryTaskSource, WorkerIdentity
from perdure.worker.workflow_definitions import WorkflowDefinitions
from perdure.worker.workflow_worker import WorkflowWorker

if TYPE_CHECKING:
    from nexusrpc.handler import Handler

    from perdure.worker.nexus_worker import NexusWorker

LAST_TASKS_SECONDS: Final = 5.0
"""How long polls may take to end by themselves; answers come at once, so this is a network's
worst case."""

DEADLOCK_SECONDS: Final = 2.0
"""So long may the code of a workflow keep the thread to itself."""

_WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
_ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
_NEXUS = TaskQueueType.TASK_QUEUE_TYPE_NEXUS

_AnyPollers: TypeAlias = (
    Pollers[PollWorkflowTaskQueueResponse]
    | Pollers[PollActivityTaskQueueResponse]
    | Pollers[PollNexusTaskQueueResponse]
)


class RunningWorker:
    """The parts of one worker, on the event loop on which it was made."""

    def __init__(self, prepared: PreparedWorker) -> None:
        self._config = config = prepared.config
        self._build_id = prepared.build_id
        self._loop = asyncio.get_running_loop()
        self._who = self._identity()
        self._source: TaskSource = UnaryTaskSource(config["client"].service_client, self._who)
        self._interceptors = prepared.interceptors
        self._workflow_interceptors = prepared.workflow_interceptors
        places = places_of(config, self._build_id, self._source.next_workflow_poll_is_sticky)
        self._metrics = _metrics_of(config)
        if self._metrics is not None:
            self._source.polls = self._metrics.polls()
            places = told_places(places, self._metrics)
        self._workflow_slots = places.workflow
        self._activity_slots = places.activity
        self._local_slots = places.local_activity
        self._local_place_ahead: SlotsAhead | None = None
        if asks_a_supplier_for_local_activities(config):
            self._local_slots = self._local_place_ahead = SlotsAhead(places.local_activity)
        self._nexus_slots = places.nexus
        self._watch = None if config["debug_mode"] else DeadlockWatch(DEADLOCK_SECONDS)
        self._breakpoints = BreakpointHook() if config["debug_mode"] else None
        self._activity_worker = self._make_activity_worker(prepared.activities)
        self._workflow_worker = self._make_workflow_worker(prepared.workflows, prepared.activities)
        self._workflow_pollers: Pollers[PollWorkflowTaskQueueResponse] | None = None
        self._activity_pollers: Pollers[PollActivityTaskQueueResponse] | None = None
        self._nexus_worker = self._make_nexus_worker(prepared.nexus_handler)
        self._nexus_pollers: Pollers[PollNexusTaskQueueResponse] | None = None
        self._report: WorkerReport | None = None
        self._telling: asyncio.Task[None] | None = None

    # Life

    async def open(self) -> None:
        """Begins to take tasks. Raises RuntimeError when the service will not have this worker."""
        try:
            limits = await self._source.open()
        except RPCError as error:
            raise RuntimeError(f"Worker validation failed: {error}") from error
        if self._config["disable_payload_error_limit"]:
            limits = PayloadLimits()
        if self._metrics is not None:
            self._metrics.started()
        if self._activity_worker is not None:
            self._activity_worker.limits = limits
            self._activity_worker.metrics = self._metrics
            await self._activity_worker.open()
        if self._workflow_worker is not None:
            self._workflow_worker.limits = limits
            self._workflow_worker.metrics = self._metrics
            if self._breakpoints is not None:
                self._breakpoints.install()
            if self._local_place_ahead is not None:
                self._local_place_ahead.open()
            self._start_workflow_polls(self._workflow_worker)
        if self._activity_worker is not None and not self._config["no_remote_activities"]:
            self._start_activity_polls(self._activity_worker)
        if self._nexus_worker is not None:
            self._start_nexus_polls(self._nexus_worker)
        self._start_telling()

    async def failed(self) -> None:
        """Waits until the worker cannot go on, and raises why."""
        failures: dict[asyncio.Future[None], str] = {}
        if self._workflow_pollers is not None:
            failures[self._workflow_pollers.failure] = "Workflow"
        if self._activity_pollers is not None:
            failures[self._activity_pollers.failure] = "Activity"
        if self._activity_worker is not None:
            failures[self._activity_worker.broken] = "Activity"
        if self._nexus_pollers is not None:
            failures[self._nexus_pollers.failure] = "Nexus"
        if self._nexus_worker is not None:
            failures[self._nexus_worker.broken] = "Nexus"
        done, _ = await asyncio.wait(failures, return_when=asyncio.FIRST_COMPLETED)
        for failure in done:
            error = failure.exception()
            if error is not None:
                raise RuntimeError(f"{failures[failure]} worker failed") from error

    def replace_client(self, client: Client) -> None:
        """Polls and answers over another client's connection from the next call on."""
        self._offer_eager_starts(False)
        self._config["client"] = client
        self._source.replace_service(client.service_client)
        if self._activity_worker is not None:
            self._activity_worker.replace_client(client)
        if self._nexus_worker is not None:
            self._nexus_worker.replace_client(client)
        if self._workflow_pollers is not None:
            self._offer_eager_starts(True)

    async def close(self) -> None:
        """Takes no more tasks, finishes those it has, and frees what it holds."""
        self._offer_eager_starts(False)
        if self._activity_worker is not None:
            self._activity_worker.announce_shutdown()
        if self._nexus_worker is not None:
            self._nexus_worker.announce_shutdown()
        # A poll that the service ends must not be begun anew, as if the worker stayed.
        for pollers in self._pollers():
            pollers.stop_polling()
        polls_end = await self._source.stop_giving(await self._stop_telling())
        seconds = LAST_TASKS_SECONDS if polls_end else 0.0
        graceful = self._config["graceful_shutdown_timeout"]
        deadline = self._loop.time() + graceful.total_seconds()
        await asyncio.gather(
            *(pollers.close(polls_end_within_seconds=seconds) for pollers in self._pollers())
        )
        if self._workflow_worker is not None:
            await self._workflow_worker.eager_activities.stop(LAST_TASKS_SECONDS)
        left = timedelta(seconds=max(0.0, deadline - self._loop.time()))
        finishing = []
        if self._workflow_worker is not None:
            finishing.append(self._workflow_worker.finish())
        if self._activity_worker is not None:
            finishing.append(self._activity_worker.finish(left))
        if self._nexus_worker is not None:
            finishing.append(self._nexus_worker.finish(left))
        await asyncio.gather(*finishing)
        if self._local_place_ahead is not None:
            await self._local_place_ahead.close()
        if self._watch is not None and self._workflow_worker is not None:
            self._watch.stop()
        if self._breakpoints is not None:
            self._breakpoints.remove()

    def _pollers(self) -> list[_AnyPollers]:
        kinds = (self._workflow_pollers, self._activity_pollers, self._nexus_pollers)
        return [pollers for pollers in kinds if pollers is not None]

    # Parts

    def _identity(self) -> WorkerIdentity:
        config = self._config
        client = config["client"]
        identity = config["identity"] or client.identity
        taken = (
            (_WORKFLOW, bool(config["workflows"])),
            (_ACTIVITY, bool(config["activities"]) and not config["no_remote_activities"]),
            (_NEXUS, bool(config["nexus_service_handlers"])),
        )
        types = tuple(kind for kind, present in taken if present)
        keeps_runs = bool(config["workflows"]) and config["max_cached_workflows"] > 0
        return WorkerIdentity(
            namespace=client.namespace,
            task_queue=config["task_queue"],
            identity=identity,
            build_id=self._build_id,
            uses_build_ids=config["use_worker_versioning"],
            deployment=options_of(config["deployment_config"]),
            default_behavior=default_behavior_of(config["deployment_config"]),
            instance_key=str(uuid.uuid4()),
            sticky_queue=f"{identity}-{uuid.uuid4().hex}" if keeps_runs else None,
            sticky_schedule_to_start_timeout=config["sticky_queue_schedule_to_start_timeout"],
            workflow_polls_normal_share=config["nonsticky_to_sticky_poll_ratio"],
            activities_per_second_of_queue=config["max_task_queue_activities_per_second"],
            task_types=types,
        )

    def _make_activity_worker(self, definitions: ActivityDefinitions) -> ActivityWorker | None:
        config = self._config
        if not config["activities"]:
            return None
        return ActivityWorker(
            source=self._source,
            client=config["client"],
            slots=self._activity_slots,
            definitions=definitions,
            executor=config["activity_executor"],
            shared_state_manager=config["shared_state_manager"],
            task_queue=config["task_queue"],
            threads_max=activities_max(config),
            heartbeat_interval=config["default_heartbeat_throttle_interval"],
            heartbeat_interval_max=config["max_heartbeat_throttle_interval"],
            interceptors=self._interceptors,
            decode_headers=_header_codec_behavior(config) is HeaderCodecBehavior.CODEC,
        )

    def _make_nexus_worker(self, handler: Handler | None) -> NexusWorker | None:
        if handler is None:
            return None
        from perdure.worker.nexus_worker import NexusWorker

        return NexusWorker(
            source=self._source,
            client=self._config["client"],
            slots=self._nexus_slots,
            handler=handler,
            task_queue=self._config["task_queue"],
        )

    def _make_workflow_worker(
        self, definitions: WorkflowDefinitions, activities: ActivityDefinitions
    ) -> WorkflowWorker | None:
        config = self._config
        if not config["workflows"]:
            return None
        client = config["client"]
        converter = client.data_converter
        runtime = client.service_client.config.runtime
        assert runtime is not None
        is_never_eager = (
            config["disable_eager_activity_execution"]
            or config["no_remote_activities"]
            or config["max_activities_per_second"] is not None
        )
        deployment = config["deployment_config"]
        interceptor_classes, extern_functions = self._workflow_interceptors
        return WorkflowWorker(
            source=self._source,
            slots=self._workflow_slots,
            options=RunnerOptions(
                definitions=definitions.find,
                registered=definitions.names,
                payload_converter=converter.payload_converter,
                failure_converter=converter.failure_converter,
                namespace=client.namespace,
                task_queue=config["task_queue"],
                failure_exception_types=config["workflow_failure_exception_types"],
                disable_eager_activity_execution=config["disable_eager_activity_execution"],
                build_id=self._build_id,
                deployment_name=deployment.version.deployment_name if deployment else "",
                patch_activation_callback=config["patch_activation_callback"],
                check_local_activity=activities.check_local,
                metric_sink=runtime._sink,
                metric_attributes=runtime._attributes,
                interceptor_classes=interceptor_classes,
                extern_functions=extern_functions,
                guard=config["workflow_runner"].guarded,
                debugging=config["debug_mode"],
            ),
            data_converter=converter,
            runs_kept_max=config["max_cached_workflows"],
            eager_activities=EagerActivities(
                None if is_never_eager else self._activity_worker,
                task_queue=config["task_queue"],
                count_max=config["max_eager_activity_reservations_per_workflow_task"],
            ),
            watch=self._watch,
            local_runner=self._activity_worker,
            local_slots=self._local_slots,
            storage_concurrency=config["max_workflow_task_external_storage_concurrency"],
            encode_headers=_header_codec_behavior(config) is not HeaderCodecBehavior.NO_CODEC,
        )

    # Polls

    def _start_workflow_polls(self, worker: WorkflowWorker) -> None:
        if self._watch is not None:
            self._watch.start()
        self._offer_eager_starts(True)
        count, count_max = workflow_polls(self._config)
        poll, metrics = self._source.next_workflow_task, self._metrics
        self._workflow_pollers = Pollers(
            name="workflow task",
            count=count,
            count_max=count_max,
            slots=self._workflow_slots,
            next_task=poll if metrics is None else metrics.polled_workflow_tasks(poll),
            accept=worker.accept,
        )
        self._workflow_pollers.start()

    def _start_activity_polls(self, worker: ActivityWorker) -> None:
        per_second = self._config["max_activities_per_second"]
        count, count_max = activity_polls(self._config)
        poll, metrics = self._source.next_activity_task, self._metrics
        self._activity_pollers = Pollers(
            name="activity",
            count=count,
            count_max=count_max,
            slots=self._activity_slots,
            next_task=poll if metrics is None else metrics.polled_activities(poll),
            accept=worker.accept,
            permit=None if per_second is None else Rate(per_second).permit,
        )
        self._activity_pollers.start()

    def _start_nexus_polls(self, worker: NexusWorker) -> None:
        count, count_max = nexus_polls(self._config)
        poll, metrics = self._source.next_nexus_task, self._metrics
        worker.metrics = metrics
        self._nexus_pollers = Pollers(
            name="Nexus task",
            count=count,
            count_max=count_max,
            slots=self._nexus_slots,
            next_task=poll if metrics is None else metrics.polled_nexus_tasks(poll),
            accept=worker.accept,
        )
        self._nexus_pollers.start()

    # How it fares

    def _start_telling(self) -> None:
        runtime = self._config["client"].service_client.config.runtime
        assert runtime is not None
        interval = runtime._worker_heartbeat_interval
        if interval is None or not self._source.takes_heartbeats:
            return
        for polls, behavior in (
            (self._source.polls.workflow, self._config["workflow_task_poller_behavior"]),
            (self._source.polls.sticky, self._config["workflow_task_poller_behavior"]),
            (self._source.polls.activity, self._config["activity_task_poller_behavior"]),
            (self._source.polls.nexus, self._config["nexus_task_poller_behavior"]),
        ):
            polls.is_autoscaling = isinstance(behavior, PollerBehaviorAutoscaling)
        self._report = self._make_report(runtime)
        self._telling = self._loop.create_task(
            self._report.tell(interval), name="perdure worker heartbeats"
        )

    async def _stop_telling(self) -> WorkerHeartbeat | None:
        """The last that there is to tell."""
        if self._telling is None or self._report is None:
            return None
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        if not self._report.has_told:
            return None
        return self._report.next(WorkerStatus.WORKER_STATUS_SHUTTING_DOWN)

    def _make_report(self, runtime: Runtime) -> WorkerReport:
        config = self._config
        deployment = config["deployment_config"]
        takes = set(self._who.task_types)
        storage = config["client"].data_converter.external_storage
        drivers = () if storage is None else storage.drivers
        return WorkerReport(
            Whoami(
                instance_key=self._who.instance_key,
                identity=self._who.identity,
                task_queue=config["task_queue"],
                build_id=self._build_id,
                deployment_name=deployment.version.deployment_name if deployment else "",
                sdk_version=SDK_VERSION,
                grouping_key=runtime._grouping_key,
                plugins=sorted({plugin.name() for plugin in config["plugins"]}),
                storage_drivers=sorted({driver.type() for driver in drivers}),
                tells_environment=runtime._tells_environment,
            ),
            source=self._source,
            workflow=Work(self._workflow_slots, _WORKFLOW in takes),
            activity=Work(self._activity_slots, _ACTIVITY in takes),
            local_activity=Work(self._local_slots, _WORKFLOW in takes),
            nexus=Work(self._nexus_slots, _NEXUS in takes),
            runs=None if self._workflow_worker is None else self._workflow_worker.runs,
        )

    # Eager starts

    def _offer_eager_starts(self, offer: bool) -> None:
        client = self._config["client"]
        slots = client.service_client.eager_workflow_slots
        place = (client.namespace, self._config["task_queue"])
        if offer:
            slots[place] = self._reserve_eager_start
        elif slots.get(place) == self._reserve_eager_start:
            del slots[place]

    def _reserve_eager_start(self) -> _EagerStart | None:
        worker = self._workflow_worker
        if worker is None or asyncio.get_running_loop() is not self._loop:
            return None
        return (
            _EagerStart(worker, self._workflow_slots) if self._workflow_slots.try_take() else None
        )


class _EagerStart:
    """A place for the first task of a workflow that a client of this process starts."""

    def __init__(self, worker: WorkflowWorker, slots: TaskSlots) -> None:
        self._worker = worker
        self._slots = slots

    def fill(self, task: PollWorkflowTaskQueueResponse) -> None:
        self._worker.accept(task)

    def release(self) -> None:
        self._slots.give_back()


def _header_codec_behavior(config: WorkerConfig) -> HeaderCodecBehavior:
    return config["client"].config(active_config=True)["header_codec_behavior"]


def _metrics_of(config: WorkerConfig) -> WorkerMetrics | None:
    """None: nobody wants any."""
    client = config["client"]
    runtime = client.service_client.config.runtime
    assert runtime is not None
    if runtime._sink is None:
        return None
    return WorkerMetrics(
        runtime.metric_meter,
        runtime._metric_prefix,
        namespace=client.namespace,
        task_queue=config["task_queue"],
    )
