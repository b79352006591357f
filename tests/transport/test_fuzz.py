"""Whatever arrives, and however it is cut: no exception, and the same result."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from perdure.transport.http2 import frames
from perdure.transport.http2.connection import Connection, Failed, Opened
from perdure.transport.http2.grpc_framing import CallHead, head_of
from perdure.transport.http2.header_blocks import STATUS_200, literal
from tests.transport.peer import GREETING, REQUEST, Peer, data

STREAM = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 2**31 - 1])
ANY_FRAME = st.builds(
    frames.frame, st.integers(0, 10), st.integers(0, 255), STREAM, st.binary(max_size=60)
)
BLOCK = Peer().encoder.encode(REQUEST)
LIKELY_FRAME = st.one_of(
    st.builds(
        lambda stream, flags: frames.frame(1, flags, stream, BLOCK), STREAM, st.sampled_from([4, 5])
    ),
    st.builds(data, STREAM, st.binary(max_size=50), ends=st.booleans()),
    st.builds(frames.window_update, STREAM, st.integers(0, 2**31 - 1)),
    st.builds(frames.reset, STREAM, st.integers(0, 20)),
    st.builds(frames.ping, st.binary(min_size=8, max_size=8), is_answer=st.booleans()),
    st.builds(
        frames.settings,
        st.lists(st.tuples(st.sampled_from(list(frames.Setting)), st.integers(0, 20_000))),
    ),
)
INPUT = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"GET / HTTP/1.1", b"PUT / HTTP/1.1", b"PRI", b"PR/", b"X"]),
    st.builds(
        lambda parts: GREETING + b"".join(parts),
        st.lists(LIKELY_FRAME | ANY_FRAME | st.binary(max_size=5), max_size=30),
    ),
)


def run(parts: Sequence[bytes]) -> tuple[list[object], bytes]:
    """Events and output of a connection, and what it has to say when it answers what was asked."""
    connection: Connection[CallHead] = Connection(head_of)
    events = [event for part in parts for event in connection.receive(part)]
    for event in events:
        if isinstance(event, Opened):
            connection.respond(event.stream_id, STATUS_200, b"body", literal(b"a", b"b"))
    return list(events), connection.take_output()


@settings(max_examples=300, deadline=None)
@given(INPUT, st.integers(0, 10_000))
@example(b"GE", 1)
def test_any_bytes_give_events_however_they_are_cut(sent: bytes, cut: int) -> None:
    at = cut % (len(sent) + 1)
    octets = [sent[position : position + 1] for position in range(len(sent))]
    events, output = run([sent])
    assert not any(isinstance(event, Failed) for event in events[:-1])
    assert (events, output) == run([sent[:at], sent[at:]]) == run(octets)
