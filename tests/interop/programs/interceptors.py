"""Interceptors of client and worker, which pass a header along and see what is called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    OutboundInterceptor,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
)
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.converter import DataConverter
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.worker import Interceptor as WorkerInterceptor

from tests.interop.stage import Stage

CONVERTER = DataConverter.default.payload_converter
LIMIT = timedelta(seconds=20)
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


def trail(word: str) -> dict[str, Payload]:
    """The header that is passed along."""
    return {"trail": CONVERTER.to_payload(word)}


def followed(headers: Mapping[str, Payload]) -> str:
    """Where a call came from."""
    return str(CONVERTER.from_payload(headers["trail"], str)) if "trail" in headers else "nowhere"


class Passes(ClientInterceptor, WorkerInterceptor):
    """One for the client that its workers use too."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _ClientOutbound(next)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _ActivityInbound(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor]:
        input.unsafe_extern_functions["shout"] = str.upper
        return _WorkflowInbound


class Marks(WorkerInterceptor):
    """Another one, of the worker: it comes after."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Marking(next)


class _Marking(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        input.args = [f"marked {input.args[0]}"]
        return await super().execute_activity(input)


class _ClientOutbound(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = trail("client start")
        return await super().start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        input.headers = trail("client signal")
        await super().signal_workflow(input)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
        input.headers = trail("client query")
        return await super().query_workflow(input)

    async def start_workflow_update(
        self,
        input: StartWorkflowUpdateInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        input.headers = trail("client update")
        return await super().start_workflow_update(input)


class _ActivityInbound(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        super().init(_ActivityOutbound(outbound))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        name = activity.info().activity_type
        return f"{name} from {followed(input.headers)}: {await super().execute_activity(input)}"


class _ActivityOutbound(ActivityOutboundInterceptor):
    def info(self) -> activity.Info:
        return super().info()

    def heartbeat(self, *details: Any) -> None:
        super().heartbeat("intercepted", *details)


class _WorkflowInbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        self.see(f"execute {input.type.__name__} {list(input.args)}", input.headers)
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        self.see(f"signal {input.signal}", input.headers)
        await super().handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:  # noqa: A002
        answer = await super().handle_query(input)
        return f"{answer} {input.query} from {followed(input.headers)}"

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        if input.args[0] == "secret":
            raise ValueError(f"{input.update} {input.id} from {followed(input.headers)}")
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        self.see(f"update {input.update} {input.id}", input.headers)
        return await super().handle_update_handler(input)

    def see(self, what: str, headers: Mapping[str, Payload]) -> None:
        workflow.instance().seen.append(f"{what} from {followed(headers)}")


class _WorkflowOutbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002
        input.headers = trail("continued")
        super().continue_as_new(input)

    def info(self) -> workflow.Info:
        return super().info()

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:  # noqa: A002
        input.headers = trail("parent")
        await super().signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:  # noqa: A002
        input.headers = trail("outside")
        await super().signal_external_workflow(input)

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = trail("workflow")
        return super().start_activity(input)

    async def start_child_workflow(
        self,
        input: StartChildWorkflowInput,  # noqa: A002
    ) -> workflow.ChildWorkflowHandle[Any, Any]:
        input.headers = trail("parent")
        return await super().start_child_workflow(input)


@activity.defn
async def echo(word: str) -> str:
    """The word, from an async function."""
    activity.heartbeat(word)
    return word


@workflow.defn
class Seen:
    """Tells what its interceptors have seen."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.words: list[str] = []

    @workflow.run
    async def run(self, kind: str) -> list[str]:
        """All that was seen and said."""
        own = workflow.info().workflow_id
        self.seen.append(workflow.extern_functions()["shout"](kind))
        if kind == "first":
            self.words.append(
                await workflow.execute_activity(echo, "hello", start_to_close_timeout=LIMIT)
            )
            child = await workflow.start_child_workflow(Seen.run, "child", id=f"{own}-child")
            await child.signal(Seen.say, "one")
            other = workflow.get_external_workflow_handle(f"{own}-child")
            await other.signal(Seen.say, "two")
            self.words += await child
        await workflow.wait_condition(lambda: kind != "child" or "end" in self.words)
        if kind == "first":
            await workflow.wait_condition(lambda: "on" in self.words)
            workflow.upsert_memo({"seen": self.told()})
            await workflow.sleep(1)  # a run that lasted as long is followed at once
            workflow.continue_as_new("last")
        return self.told()

    def told(self) -> list[str]:
        """What was seen, in an order that no race decides, and what was said."""
        return [*sorted(self.seen), *self.words]

    @workflow.signal
    def say(self, word: str) -> None:
        """Keeps a word."""
        self.words.append(word)

    @workflow.query
    def count(self) -> str:
        """How many words there are."""
        return str(len(self.words))

    @workflow.update
    async def ask(self, word: str) -> str:
        """Says a word by an activity."""
        return str(await workflow.execute_activity(echo, word, start_to_close_timeout=LIMIT))

    @ask.validator
    def check_ask(self, word: str) -> None:
        """Something must be said."""
        if not word:
            raise ValueError("nothing to say")


async def interceptors(stage: Stage) -> None:
    """Every call of client, workflow and activity goes through interceptors."""
    config = stage.client.config()
    config["interceptors"] = [Passes()]
    stage.client = Client(**config)
    async with stage.worker([Seen], [echo], interceptors=[Marks()]):
        handle = await stage.start(Seen.run, "first")
        await stage.event(handle, EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, 2)
        # After start, activity, start of the child, and each of the two signals.
        await stage.event(handle, TASK_COMPLETED, 5)
        child = stage.client.get_workflow_handle(f"{handle.id}-child")
        await child.signal(Seen.say, "end")
        await stage.event(handle, TASK_COMPLETED, 6)
        stage.observe("query", await handle.query(Seen.count))
        stage.observe("update", await handle.execute_update(Seen.ask, "please", id="one"))
        for word in ("secret", ""):
            try:
                await handle.execute_update(Seen.ask, word, id=f"refused {word}")
            except WorkflowUpdateFailedError as error:
                stage.observe(f"refused {word}", str(error.cause))
        await handle.signal(Seen.say, "on")
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)
