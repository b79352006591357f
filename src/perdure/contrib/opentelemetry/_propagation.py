"""How the context of a span travels in headers: of Temporal's calls, and of Nexus operations'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeAlias, cast

import opentelemetry.context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import CarrierValT, TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio.api.common.v1 import Payload

from perdure.converter import PayloadConverter

HEADER_KEY = "_tracer-data"
"""The header that the SDKs of all languages use."""

Carrier: TypeAlias = dict[str, CarrierValT]

default_text_map_propagator = CompositePropagator(
    [TraceContextTextMapPropagator(), W3CBaggagePropagator()]
)
"""The trace, and its baggage, as W3C has it."""

# OpenTelemetry finds its implementation by entry points, which reads files: not in a workflow.
opentelemetry.context.get_current()


class HasHeaders(Protocol):
    """The input of a call that takes headers along."""

    headers: Mapping[str, Payload]


class Propagating(Protocol):
    """By what an interceptor propagates contexts; its subclasses may set it."""

    header_key: str
    text_map_propagator: TextMapPropagator
    payload_converter: PayloadConverter


class DefaultPropagation:
    """What is propagated by whom nothing is said."""

    def __init__(self) -> None:
        self.header_key = HEADER_KEY
        self.text_map_propagator: TextMapPropagator = default_text_map_propagator
        self.payload_converter = PayloadConverter.default


def carrier_of(by: Propagating, context: Context | None = None) -> Carrier:
    """A context, or the current one, as it travels."""
    carrier: Carrier = {}
    by.text_map_propagator.inject(carrier, context)
    return carrier


def put_carrier(by: Propagating, carrier: Carrier | None, call: HasHeaders) -> None:
    """Have a call take a context along; an empty one is none."""
    if carrier:
        payload = by.payload_converter.to_payloads([carrier])[0]
        call.headers = {**call.headers, by.header_key: payload}


def carrier_from(by: Propagating, headers: Mapping[str, Payload]) -> Carrier | None:
    """The context that came along, as it travelled; None when none did."""
    payload = headers.get(by.header_key)
    if payload is None:
        return None
    carrier = by.payload_converter.from_payloads([payload])[0]
    return cast(Carrier, carrier) or None


def context_from(by: Propagating, headers: Mapping[str, Payload]) -> Context | None:
    """The context that came along; None when none did."""
    carrier = carrier_from(by, headers)
    return None if carrier is None else by.text_map_propagator.extract(carrier)


def with_carrier(headers: Mapping[str, str] | None, carrier: Carrier | None) -> Mapping[str, str]:
    """Headers of a Nexus operation, which are text, with a context among them."""
    text = {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in (carrier or {}).items()
    }
    return {**(headers or {}), **text}


@contextmanager
def attached(context: Context | None) -> Iterator[None]:
    """The context is the current one inside; None changes nothing."""
    if context is None:
        yield
        return
    token = opentelemetry.context.attach(context)
    try:
        yield
    finally:
        # What is abandoned half-way may end elsewhere, where there is nothing to detach.
        if opentelemetry.context.get_current() is context:
            opentelemetry.context.detach(token)
