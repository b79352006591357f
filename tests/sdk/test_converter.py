"""Values survive the way through payloads, and type hints get what they ask for."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import MutableSet, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any, Self

import pydantic
import pytest
from temporalio.api.common.v1 import Payload, WorkflowExecution

from perdure import activity
from perdure.common import RawValue
from perdure.converter import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    BinaryProtoPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    JSONProtoPayloadConverter,
    JSONTypeConverter,
    PayloadCodec,
    PayloadConverter,
    SerializationContext,
    TransferTypeConverter,
    WithSerializationContext,
    WorkflowSerializationContext,
    create_payload_validation_error,
    transfer_type_convertible,
    value_to_type,
)
from perdure.converter.transfer_types import TransferringPayloadConverter
from perdure.converter.type_hints import DECODERS_MAX, Decoders
from perdure.testing import ActivityEnvironment
from tests.sdk.conversions import NOW, SOME_ID, Box, Colour, Everything, Model, Number, Point, Tree

JSON = {"encoding": b"json/plain"}


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (None, None),
        (b"bytes", bytes),
        ("text", str),
        ([1, None, "x"], list[int | str | None]),
        (Everything(NOW, SOME_ID, [Tree(1, child=Tree(2))], {3: Tree(4)}, 2, 5), Everything),
        (Point(1, "x"), Point),
        ([Point(1, "x")], list[Point]),
        (Box(Tree(1), [Tree(2)]), Box[Tree]),
        ({Colour.RED: {1.5: [True]}}, dict[Colour, dict[float, list[bool]]]),
        (Model(when=NOW), Model),
        (WorkflowExecution(workflow_id="w"), WorkflowExecution),
        (bytearray(b"ab"), bytearray),
        (OrderedDict(a=1, b=2), OrderedDict[str, int]),
        (None, type(None)),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value: Any, hint: Any) -> None:
    payloads = PayloadConverter.default.to_payloads([value])
    (back,) = PayloadConverter.default.from_payloads(payloads, None if hint is None else [hint])
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int | float, 1.5, 1.5),
        (object, [1], [1]),
        (Annotated[Tree, "note"], {"number": 1}, Tree(1)),
        (AbstractSet[int], [1, 1], {1}),
        (MutableSet[int], [1, 1], {1}),
        (dict[int | None, int], {"1": 1, "null": 2}, {1: 1, None: 2}),
        (dict[Number, int], {"1": 1}, {1: 1}),
        (Box[int], {"content": 1, "more": [2]}, Box(1, [2])),
        (Box, {"content": "anything"}, Box("anything")),
    ],
    ids=repr,
)
def test_hints_that_the_official_package_refuses_or_rounds_are_met(
    hint: Any, value: Any, expected: Any
) -> None:
    assert value_to_type(hint, value) == expected


def test_members_of_a_union_are_tried_in_its_own_order() -> None:
    # These two unions are equal, and so are the lists of them.
    assert value_to_type(list[Box[int] | Tree], [{"content": 1}]) == [Box(1)]
    assert value_to_type(Tree | dict[str, int], {"number": 1}) == Tree(1)
    assert value_to_type(dict[str, int] | Tree, {"number": 1}) == {"number": 1}


def test_an_error_names_the_place_in_the_value() -> None:
    with pytest.raises(TypeError, match="field by_number") as caught:
        value_to_type(
            Everything,
            {
                "when": NOW.isoformat(),
                "id": str(SOME_ID),
                "trees": [],
                "by_number": {"7": {"number": "seven"}},
            },
        )
    places: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        places.append(str(error))
        error = error.__cause__
    assert "key '7'" in places[1]
    assert "field number" in places[2]
    assert "int" in places[3]


def test_a_tuple_of_another_length_is_refused() -> None:
    for value in ([1], [1, "x", 2]):
        with pytest.raises(TypeError, match="2 items"):
            value_to_type(tuple[int, str], value)


def test_compiled_hints_do_not_pile_up() -> None:
    decoders = Decoders()
    for _ in range(DECODERS_MAX + 10):
        assert decoders.decoder(list[int])([1]) == [1]
    assert len(decoders._known) <= DECODERS_MAX


@dataclass
class Celsius:
    degrees: float


class CelsiusConverter(JSONTypeConverter):
    def to_typed_value(self, hint: Any, value: Any) -> Any:
        return Celsius(float(value)) if hint is Celsius else JSONTypeConverter.Unhandled


class CelsiusEncoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return str(o.degrees) if isinstance(o, Celsius) else super().default(o)


def test_a_custom_type_converter_is_asked_at_every_level() -> None:
    converter = JSONPlainPayloadConverter(
        encoder=CelsiusEncoder, custom_type_converters=[CelsiusConverter()]
    )
    payload = converter.to_payload({"a": [Celsius(1.5)]})
    assert payload is not None
    assert payload.data == b'{"a":["1.5"]}'
    assert converter.from_payload(payload, dict[str, list[Celsius]]) == {"a": [Celsius(1.5)]}
    assert value_to_type(list[Celsius], ["2"], [CelsiusConverter()]) == [Celsius(2.0)]


def test_equal_values_give_equal_bytes() -> None:
    first = PayloadConverter.default.to_payload({"b": 1, "a": 2})
    second = PayloadConverter.default.to_payload({"a": 2, "b": 1})
    assert first.data == second.data == b'{"a":2,"b":1}'


def test_a_pydantic_model_may_hold_what_plain_json_cannot() -> None:
    class Order(pydantic.BaseModel):
        amount: pydantic.condecimal(decimal_places=2)  # type: ignore[valid-type]

    payload = PayloadConverter.default.to_payload([Order(amount="1.50")])
    (order,) = PayloadConverter.default.from_payload(payload, list[Order])
    assert order == Order(amount="1.50")


def test_a_raw_value_passes_as_it_is() -> None:
    raw = RawValue(Payload(metadata={"encoding": b"of the user's"}, data=b"x"))
    assert PayloadConverter.default.to_payload(raw) is raw.payload
    (back,) = PayloadConverter.default.from_payloads([raw.payload], [RawValue])
    assert back == raw


@pytest.mark.parametrize(
    ("payload", "error", "words"),
    [
        (Payload(data=b"x"), KeyError, "Unknown payload encoding"),
        (Payload(metadata={"encoding": b"zork"}), KeyError, "zork"),
        (Payload(metadata=JSON, data=b"{"), RuntimeError, "index 0 with encoding json/plain"),
        (Payload(metadata={"encoding": b"binary/null"}, data=b"x"), RuntimeError, "binary/null"),
        (
            Payload(metadata={"encoding": b"json/protobuf", "messageType": b"no.Such"}),
            RuntimeError,
            "json/protobuf",
        ),
        (
            Payload(
                metadata={
                    "encoding": b"binary/protobuf",
                    "messageType": b"temporal.api.common.v1.WorkflowExecution",
                },
                data=b"\xff",
            ),
            RuntimeError,
            "binary/protobuf",
        ),
    ],
    ids=repr,
)
def test_a_payload_that_cannot_be_read_is_an_error(
    payload: Payload, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        PayloadConverter.default.from_payloads([payload])


def test_unknown_fields_of_a_message_are_refused_unless_they_are_to_be_ignored() -> None:
    payload = JSONProtoPayloadConverter().to_payload(WorkflowExecution(workflow_id="w"))
    assert payload is not None
    payload.data = b'{"workflowId":"w","addedLater":1}'
    with pytest.raises(RuntimeError, match="parsing"):
        JSONProtoPayloadConverter().from_payload(payload)
    lenient = JSONProtoPayloadConverter(ignore_unknown_fields=True)
    assert lenient.from_payload(payload) == WorkflowExecution(workflow_id="w")


def test_a_value_that_no_converter_takes_is_an_error() -> None:
    converter = CompositePayloadConverter(
        BinaryNullPayloadConverter(), BinaryPlainPayloadConverter(), BinaryProtoPayloadConverter()
    )
    with pytest.raises(RuntimeError, match="index 1 of type <class 'int'>"):
        converter.to_payloads([b"x", 1])
    message = WorkflowExecution(workflow_id="w")
    payload = converter.to_payload(message)
    assert payload.metadata["encoding"] == b"binary/protobuf"
    assert converter.from_payload(payload) == message


class Reversing(PayloadCodec):
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(metadata={"encoding": b"reversed"}, data=one.SerializeToString()[::-1])
            for one in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload.FromString(one.data[::-1]) for one in payloads]


async def test_a_codec_wraps_what_the_payload_converter_writes() -> None:
    converter = DataConverter(payload_codec=Reversing())
    payloads = await converter.encode([1, Tree(2)])
    assert [one.metadata["encoding"] for one in payloads] == [b"reversed"] * 2
    assert await converter.decode(payloads, [int, Tree]) == [1, Tree(2)]
    wrapper = await converter.encode_wrapper([1])
    assert await converter.decode_wrapper(wrapper, [int]) == [1]
    assert await converter.decode_wrapper(None) == []


class Addressed(JSONPlainPayloadConverter, WithSerializationContext):
    """Writes the workflow's id beside the value."""

    def __init__(self, workflow_id: str = "nobody") -> None:
        super().__init__()
        self._workflow_id = workflow_id

    def to_payload(self, value: Any) -> Payload | None:
        payload = super().to_payload(value)
        assert payload is not None
        payload.metadata["workflow"] = self._workflow_id.encode()
        return payload

    def with_context(self, context: SerializationContext) -> Self:
        assert isinstance(context, WorkflowSerializationContext)
        return type(self)(context.workflow_id)


class AddressedPayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(Addressed())


async def test_converters_that_want_it_know_the_context() -> None:
    plain = DataConverter(payload_converter_class=AddressedPayloadConverter)
    context = WorkflowSerializationContext(namespace="n", workflow_id="w")
    addressed = plain.with_context(context)
    assert (await plain.encode([1]))[0].metadata["workflow"] == b"nobody"
    assert (await addressed.encode([1]))[0].metadata["workflow"] == b"w"
    indifferent = DataConverter.default
    assert indifferent.with_context(context) is indifferent
    assert indifferent.is_context_free
    assert not plain.is_context_free


class Choosy(CompositePayloadConverter):
    """Other converters in a context, though none of them asks for it."""

    def __init__(self) -> None:
        super().__init__(JSONPlainPayloadConverter())

    def get_converters_with_context(
        self, context: SerializationContext
    ) -> list[EncodingPayloadConverter] | None:
        return [Addressed("chosen")]


async def test_a_converter_that_chooses_by_the_context_is_asked() -> None:
    context = WorkflowSerializationContext(namespace="n", workflow_id="w")
    converter = DataConverter(payload_converter_class=Choosy)
    assert not converter.is_context_free
    chosen = converter.with_context(context)
    assert (await chosen.encode([1]))[0].metadata["workflow"] == b"chosen"


def test_each_default_payload_converter_shares_the_encodings() -> None:
    first, second = DefaultPayloadConverter(), DefaultPayloadConverter()
    assert first.converters == second.converters


class ExecutionConverter(TransferTypeConverter["Order", WorkflowExecution]):
    """Orders travel as the workflows that they are the ids of."""

    transfer_type = WorkflowExecution

    def to_transfer_type(self, value: Order) -> WorkflowExecution:
        return WorkflowExecution(workflow_id=value.id)

    def from_transfer_type(self, value: WorkflowExecution, type_hint: type[Order]) -> Order:
        return type_hint(value.workflow_id)


@transfer_type_convertible(ExecutionConverter)
@dataclass
class Order:
    id: str


class OnlyMessages(CompositePayloadConverter):
    """A converter of a user's, which takes no orders."""

    def __init__(self) -> None:
        super().__init__(BinaryProtoPayloadConverter())


async def test_values_of_a_class_travel_as_its_transfer_type_under_any_converter() -> None:
    converter = DataConverter(payload_converter_class=OnlyMessages)
    plain = WorkflowExecution(workflow_id="plain")
    payloads = await converter.encode([Order("one"), plain])
    assert payloads[0].metadata["messageType"] == b"temporal.api.common.v1.WorkflowExecution"
    assert await converter.decode(payloads, [Order]) == [Order("one"), plain]
    assert await converter.decode(payloads, [Order, WorkflowExecution]) == [Order("one"), plain]
    assert await converter.decode(payloads) == [WorkflowExecution(workflow_id="one"), plain]


def test_activities_read_transfer_types_by_a_converter_of_their_environment() -> None:
    environment = ActivityEnvironment()
    environment.payload_converter = OnlyMessages()

    def there_and_back() -> Order:
        converter = activity.payload_converter()
        order: Order = converter.from_payload(converter.to_payload(Order("one")), Order)
        return order

    assert environment.run(there_and_back) == Order("one")


def test_a_class_has_one_transfer_type() -> None:
    with pytest.raises(TypeError, match="class already has a transfer type converter"):
        transfer_type_convertible(ExecutionConverter)(Order)


def test_converters_that_want_the_context_get_it_behind_transfer_types() -> None:
    class Noting(DefaultPayloadConverter, WithSerializationContext):
        context: SerializationContext | None = None

        def with_context(self, context: SerializationContext) -> Self:
            copied = type(self)()
            copied.context = context
            return copied

    context = WorkflowSerializationContext(namespace="default", workflow_id="one")
    converter = DataConverter(payload_converter_class=Noting)
    there = converter.with_context(context).payload_converter
    assert isinstance(there, TransferringPayloadConverter)
    assert isinstance(there.inner, Noting)
    assert there.inner.context == context
    assert DataConverter.default.with_context(context) is DataConverter.default


def test_a_refused_value_is_told_by_an_error_that_is_not_tried_again() -> None:
    error = create_payload_validation_error({"field": "id"})
    assert (error.message, error.type) == ("Payload validation failed", "PayloadValidationError")
    assert error.non_retryable
    assert error.details == ({"field": "id"},)
    assert create_payload_validation_error(None).details == ()
