"""Traces: which spans there are, whose children they are, and that each is told once."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any

import nexusrpc
import opentelemetry.trace
import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_tracer

import perdure
from perdure import activity, workflow
from perdure.client import Client, WithStartWorkflowOperation
from perdure.common import RetryPolicy, WorkflowIDConflictPolicy
from perdure.contrib.opentelemetry import (
    OpenTelemetryPlugin,
    ReplaySafeTracerProvider,
    TracingInterceptor,
    create_tracer_provider,
)
from perdure.contrib.opentelemetry import workflow as spans_of_workflows
from perdure.exceptions import ApplicationError, ApplicationErrorCategory
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker

LIMIT = timedelta(seconds=20)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=1))
QUEUE = "traced"
ENDPOINT = "traced"


@activity.defn
async def whose() -> str | None:
    """The baggage that came along."""
    return str(baggage.get_baggage("customer"))


@activity.defn
async def fail(attempts: int, benign: bool) -> None:
    """Fails so often."""
    if activity.info().attempt <= attempts:
        category = ApplicationErrorCategory
        raise ApplicationError(
            "not yet", category=category.BENIGN if benign else category.UNSPECIFIED
        )


@nexusrpc.handler.service_handler(name="Echo")
class Echo:
    """Answers at once."""

    @nexusrpc.handler.sync_operation
    async def echo(self, ctx: nexusrpc.handler.StartOperationContext, word: str) -> str:
        """The word, and whether the handler's span is in its headers."""
        return f"{word} {'traceparent' in ctx.headers}"


@workflow.defn
class Child:
    """Waits for a signal."""

    def __init__(self) -> None:
        self.told = False

    @workflow.run
    async def run(self) -> None:
        """Until it is told to end."""
        await workflow.wait_condition(lambda: self.told)

    @workflow.signal
    def tell(self) -> None:
        """End."""
        self.told = True


@workflow.defn
class Everything:
    """Does what leads to spans, one after the other."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, again: bool) -> str | None:
        """What the activity read."""
        if again:
            await self.do()
            workflow.continue_as_new(False)
        return await workflow.execute_local_activity(whose, start_to_close_timeout=LIMIT)

    async def do(self) -> None:
        """Waits, tells, and calls."""
        # A task that asks for nothing is told twice when its run is forgotten: this has a timer.
        await workflow.wait_condition(lambda: len(self.words) == 2, timeout=LIMIT)
        spans_of_workflows.completed_span("Mine", attributes={"words": len(self.words)})
        await workflow.execute_activity(whose, start_to_close_timeout=LIMIT)
        child = await workflow.start_child_workflow(Child.run, id=f"{workflow.info().run_id}-c")
        await child.signal(Child.tell)
        await child
        nexus: Any = workflow.create_nexus_client(service="Echo", endpoint=ENDPOINT)
        handed_on = await nexus.execute_operation("echo", "hello", output_type=str)
        assert handed_on == "hello True"

    @workflow.signal
    def say(self, word: str) -> None:
        """A word more."""
        self.words.append(word)

    @workflow.update
    def add(self, word: str) -> int:
        """A word more; how many there are."""
        self.words.append(word)
        return len(self.words)

    @add.validator
    def check(self, word: str) -> None:
        """Any word will do."""

    @workflow.query
    def said(self) -> list[str]:
        """All words."""
        return self.words


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with perdure.embedded() as client:
        yield client


def traced(client: Client, exporter: InMemorySpanExporter, **options: Any) -> Client:
    """A client whose calls are traced."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = get_tracer(__name__, tracer_provider=provider)
    config = client.config()
    config["interceptors"] = [TracingInterceptor(tracer, **options)]
    return Client(**config)


def worker_of(client: Client, **options: Any) -> Worker:
    """A worker that remembers no workflow: each task is a replay of those before."""
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[Everything, Child, Fails, Durations, Simple],
        activities=[whose, fail],
        nexus_service_handlers=[Echo()],
        max_cached_workflows=0,
        **options,
    )


def tree(spans: Sequence[ReadableSpan], parent: int | None = None, depth: int = 0) -> list[str]:
    """The names, children below their parents, in the order in which they ended."""
    known = {span.context.span_id: span.name for span in spans if span.context}
    lines = []
    for span in spans:
        above = span.parent.span_id if span.parent else None
        if above == parent and span.context:
            links = ", ".join(known[link.context.span_id] for link in span.links)
            lines.append(f"{'  ' * depth}{span.name}{f' <- {links}' if links else ''}")
            lines += tree(spans, span.context.span_id, depth + 1)
    return lines


async def test_what_clients_workflows_activities_and_handlers_do_is_one_tree_told_once(
    client: Client, exporter: InMemorySpanExporter
) -> None:
    client = traced(client, exporter)
    await WorkflowEnvironment.from_client(client).create_nexus_endpoint(ENDPOINT, QUEUE)
    token = context.attach(baggage.set_baggage("customer", "Ada"))
    try:
        async with worker_of(client):
            handle = await client.start_workflow(
                Everything.run, True, id="everything", task_queue=QUEUE
            )
            assert await handle.query(Everything.said) == []
            assert await handle.execute_update(Everything.add, "a") == 1
            await handle.signal(Everything.say, "b")
            assert await handle.result() == "Ada"
    finally:
        context.detach(token)
    spans = exporter.get_finished_spans()
    assert tree(spans) == [
        "StartWorkflow:Everything",
        "  RunWorkflow:Everything",
        "  ValidateUpdate:add <- StartWorkflowUpdate:add",
        "  HandleUpdate:add <- StartWorkflowUpdate:add",
        "  HandleSignal:say <- SignalWorkflow:say",
        "  Mine",
        "  StartActivity:whose",
        "    RunActivity:whose",
        "  StartChildWorkflow:Child",
        "    RunWorkflow:Child",
        "    HandleSignal:tell <- SignalChildWorkflow:tell",
        "    CompleteWorkflow:Child",
        "  SignalChildWorkflow:tell",
        "  StartNexusOperation:Echo/echo",
        "    RunStartNexusOperationHandler:Echo/echo",
        "  RunWorkflow:Everything",
        "  StartActivity:whose",
        "    RunActivity:whose",
        "  CompleteWorkflow:Everything",
        "QueryWorkflow:said",
        "  HandleQuery:said <- StartWorkflow:Everything",
        "StartWorkflowUpdate:add",
        "SignalWorkflow:say",
    ]
    [mine] = (span for span in spans if span.name == "Mine")
    assert (mine.attributes or {})["words"] == 2
    assert (mine.attributes or {})["temporalWorkflowID"] == "everything"
    kinds = {span.name.partition(":")[0]: span.kind for span in spans}
    assert kinds["StartActivity"] is SpanKind.CLIENT
    assert kinds["RunActivity"] is SpanKind.SERVER


@workflow.defn
class Simple:
    """Ends at once, unless it is updated first."""

    @workflow.run
    async def run(self) -> None:
        """At once."""

    @workflow.update
    def touch(self) -> None:
        """Nothing."""


async def test_a_start_and_its_update_are_one_span(
    client: Client, exporter: InMemorySpanExporter
) -> None:
    client = traced(client, exporter)
    async with worker_of(client):
        await client.execute_update_with_start_workflow(
            Simple.touch,
            start_workflow_operation=WithStartWorkflowOperation(
                Simple.run,
                id="simple",
                task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            ),
        )
    lines = tree(exporter.get_finished_spans())
    assert lines[0] == "StartUpdateWithStartWorkflow:Simple"
    assert f"  HandleUpdate:touch <- {lines[0]}" in lines
    assert "  RunWorkflow:Simple" in lines


async def test_workflows_that_no_span_led_to_are_traced_only_when_that_is_wanted(
    client: Client, exporter: InMemorySpanExporter
) -> None:
    for always, names in (False, []), (True, ["RunWorkflow:Simple", "CompleteWorkflow:Simple"]):
        interceptors = traced(client, exporter, always_create_workflow_spans=always)
        config = interceptors.config()
        async with worker_of(client, interceptors=config["interceptors"]):
            await client.execute_workflow(Simple.run, id=str(always), task_queue=QUEUE)
        assert [span.name for span in exporter.get_finished_spans()] == names


@workflow.defn
class Fails:
    """Has an activity fail, twice, and fails itself."""

    @workflow.run
    async def run(self, benign: bool) -> None:
        """Fails."""
        await workflow.execute_activity(
            fail, args=[1, benign], start_to_close_timeout=LIMIT, retry_policy=QUICK
        )
        raise ApplicationError("over")


@pytest.mark.parametrize("benign", [False, True])
async def test_a_span_tells_what_has_failed_unless_that_is_nothing_bad(
    client: Client, exporter: InMemorySpanExporter, benign: bool
) -> None:
    client = traced(client, exporter)
    async with worker_of(client):
        with pytest.raises(perdure.client.WorkflowFailureError):
            await client.execute_workflow(Fails.run, benign, id="fails", task_queue=QUEUE)
    spans = exporter.get_finished_spans()
    attempts = [span.status for span in spans if span.name == "RunActivity:fail"]
    bad = StatusCode.UNSET if benign else StatusCode.ERROR
    assert [status.status_code for status in attempts] == [bad, StatusCode.UNSET]
    assert attempts[0].description == (None if benign else "ApplicationError: not yet")
    [end] = (span for span in spans if span.name == "CompleteWorkflow:Fails")
    assert [event.name for event in end.events] == ["exception"]


@pytest.fixture
def provider(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReplaySafeTracerProvider]:
    """The global provider, for as long as the test lasts."""
    provider = create_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", provider)
    yield provider
    provider.shutdown()


failures: set[str] = set()


@workflow.defn
class Durations:
    """Makes spans by OpenTelemetry's own functions."""

    @workflow.run
    async def run(self, key: str) -> None:
        """Works for a while, and has its first task fail."""
        tracer = get_tracer(__name__)
        with tracer.start_as_current_span("outer", attributes={"key": key}):
            await workflow.execute_activity(whose, start_to_close_timeout=LIMIT)
            with tracer.start_as_current_span("inner") as inner:
                inner.add_event("slept")
                await workflow.sleep(0.01)
                if key not in failures:
                    failures.add(key)
                    raise RuntimeError("a task fails")


def with_plugin(client: Client, *, add_temporal_spans: bool) -> Client:
    config = client.config()
    config["plugins"] = [OpenTelemetryPlugin(add_temporal_spans=add_temporal_spans)]
    return Client(**config)


@pytest.mark.usefixtures("provider")
async def test_spans_of_workflow_code_last_and_are_told_once_whatever_is_replayed(
    client: Client, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "perdure.worker")
    client = with_plugin(client, add_temporal_spans=False)
    async with worker_of(client):
        with get_tracer(__name__).start_as_current_span("client"):
            await client.execute_workflow(
                Durations.run, str(uuid.uuid4()), id="durations", task_queue=QUEUE
            )
    spans = exporter.get_finished_spans()
    assert tree(spans) == ["client", "  outer", "    inner"]
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.end_time - span.start_time > 10_000_000
    [inner] = (span for span in spans if span.name == "inner")
    assert [event.name for event in inner.events] == ["slept"]


@pytest.mark.usefixtures("provider")
async def test_the_plugin_adds_spans_of_calls_and_handlers_when_that_is_wanted(
    client: Client, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "perdure.worker")
    client = with_plugin(client, add_temporal_spans=True)
    async with worker_of(client):
        await client.execute_workflow(
            Durations.run, str(uuid.uuid4()), id="durations", task_queue=QUEUE
        )
    assert tree(exporter.get_finished_spans()) == [
        "StartWorkflow:Durations",
        "  RunWorkflow:Durations",
        "    outer",
        "      StartActivity:whose",
        "        RunActivity:whose",
        "      inner",
    ]


async def test_a_provider_that_would_tell_twice_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="must be a ReplaySafeTracerProvider"):
        worker_of(with_plugin(client, add_temporal_spans=False))
    with pytest.raises(ValueError, match="create_tracer_provider"):
        ReplaySafeTracerProvider(TracerProvider(), create_tracer_provider().id_generator())


@pytest.mark.usefixtures("provider")
def test_a_completed_span_without_interceptor_is_an_ordinary_one(
    exporter: InMemorySpanExporter,
) -> None:
    with pytest.warns(DeprecationWarning, match="get_tracer"):
        spans_of_workflows.completed_span("mine", exception=ValueError("odd"))
    [span] = exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["exception"]
