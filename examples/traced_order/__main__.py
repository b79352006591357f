"""Run a traced order: `python -m examples.traced_order [--address HOST:PORT]`."""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from examples.connecting import arguments, connected
from examples.traced_order.activities import charge, ship
from examples.traced_order.workflows import Order
from perdure.client import Client
from perdure.contrib.opentelemetry import TracingInterceptor
from perdure.worker import Worker

TASK_QUEUE = "orders"


async def main(options: Namespace) -> list[str]:
    """Run a worker and one workflow on it; what was traced, a line for each span."""
    # Elsewhere, an OTLP exporter sends spans to a collector.
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with connected(options) as untraced:
        config = untraced.config()
        config["interceptors"] = [TracingInterceptor(provider.get_tracer("orders"))]
        client = Client(**config)
        async with Worker(
            client, task_queue=TASK_QUEUE, workflows=[Order], activities=[charge, ship]
        ):
            await client.execute_workflow(
                Order.run, "tea", id=f"order-{uuid.uuid4()}", task_queue=TASK_QUEUE
            )
    return tree(exporter.get_finished_spans())


def tree(spans: Sequence[ReadableSpan], parent: int | None = None, indent: str = "") -> list[str]:
    """The names of spans, each below its parent."""
    lines = []
    for span in spans:
        above = span.parent.span_id if span.parent else None
        if above == parent and span.context is not None:
            lines += [f"{indent}{span.name}", *tree(spans, span.context.span_id, f"{indent}  ")]
    return lines


if __name__ == "__main__":
    print(*asyncio.run(main(arguments(__doc__).parse_args())), sep="\n")
