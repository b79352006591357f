"""The port over gRPC, with HTTP/2 spoken by ourselves: what a call costs here is a tenth of what it
costs through the grpcio package (docs/decisions/0006-own-http2-transport.md).

Theory of operation. `connection.Connection` is the protocol without any I/O: bytes in, events out;
answers in, bytes out (`sending`). It gets the meaning of header blocks from `header_blocks` and
`requests`, and keeps a `streams.Stream` for each request that is not answered in full. On top of it
are calls: `grpc_framing` says what a request's headers mean and cuts bodies into messages, `calls`
runs a handler for each unary call and carries the messages of streams, `builtin_services` and
`sessions` are what streams carry. `lifetime` decides when a connection is probed, drained and
dropped. `server` has the sockets, the loop and nothing else.

All that is ready in one turn of the loop leaves a connection as one piece. Three things make a call
cheap: a header block that was seen before is not decoded again, an answer that fits the peer's
windows is built at once from constant blocks, and nothing waits that need not: a handler's task is
the only one of its call.

What is implemented of RFC 9113, in the server's role and without encryption (prior knowledge):

- frames: DATA, HEADERS with CONTINUATION, RST_STREAM, SETTINGS, PING, GOAWAY and WINDOW_UPDATE,
  both ways; padding is taken off and never sent; PRIORITY is checked for its size and passed over,
  and so are frames of unknown types.
- HPACK whole for what peers send. What we send uses the static table and literals only, so the same
  bytes serve all connections.
- flow control both ways. A peer's windows are respected, streams take turns; leave to send is given
  when half a window has arrived, and what bounds a peer is how much of requests and answers it may
  leave unfinished.
- the rules for requests (section 8): pseudo-fields, names, values, fields of connections,
  content-length, trailers. A request that breaks one loses its stream with PROTOCOL_ERROR.
- frames on streams that we ended first are passed over; on other closed streams they end the
  connection with STREAM_CLOSED, on idle ones with PROTOCOL_ERROR.
- an orderly end: GOAWAY for all streams, a ping, GOAWAY with the last stream, streams until they
  end or a grace is over.

What is refused, or left out:

- server push, CONNECT with or without extensions, upgrades from HTTP/1.1 (which gets a 400), TLS.
- what only costs us: frames above the default size, header blocks above 64 KiB or in too many
  pieces (the connection), header lists above 16 KiB (status 431), requests above 4 MiB
  (RESOURCE_EXHAUSTED, as soon as their length is known), floods of control frames, of empty frames
  and of streams that are opened and given up (ENHANCE_YOUR_CALM). A peer that does not read what it
  is sent is not read either, and dropped when too much waits for it.
- dependencies between streams, which RFC 9113 has deprecated: that a stream depends on itself is no
  error here.

Of gRPC: unary calls, streams each way for the services that need them, deadlines, cancellation,
statuses with details, messages in gzip (answers are not compressed). `te: trailers` is not insisted
on. A request that is no gRPC call gets an HTTP status and a line of text.
"""

from __future__ import annotations

from perdure.transport.http2.server import Http2Server
from perdure.transport.listening import BindFailed

__all__ = ["BindFailed", "Http2Server"]
