"""The composition root of the embedded home: the engine in your program, no server and no sockets.

    async with perdure.embedded("app.db") as client:
        async with Worker(client, task_queue="q", workflows=[...], activities=[...]):
            await client.execute_workflow(...)

One program at a time has a file open; the next one that opens it goes on where the last one
stopped, however that ended. Whatever task the last one held is known to be dead with it, and goes
on at once.

By default the engine runs on the event loop that opens it. A program that blocks its loop for long
gives it a thread of its own: `embedded("app.db", thread=True)`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from perdure.client import Client, Interceptor, Plugin
from perdure.converter import DataConverter
from perdure.runtime import Runtime
from perdure.server.app import GARBAGE_THRESHOLDS, IN_MEMORY, Service, shorten_switch_interval
from perdure.server.config import DEFAULT_NAMESPACE, Settings
from perdure.transport.health import with_health
from perdure.transport.in_process import InProcessTransport
from perdure.transport.port import CallFailed, Code
from perdure.transport.session import ClientSession, ServerSession

if TYPE_CHECKING:
    from perdure.transport.port import Transport

TICK_SECONDS = 0.25
STALL_SECONDS = 1.0
"""A program whose loop leaves no mark for this long is blocked."""


class EmbeddedEngineLost(RuntimeError):
    """The engine's thread ended while the program was using it."""


@asynccontextmanager
async def embedded(
    database: str | os.PathLike[str] = IN_MEMORY,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    data_converter: DataConverter = DataConverter.default,
    interceptors: Sequence[Interceptor] = (),
    identity: str = "",
    thread: bool = False,
    runtime: Runtime | None = None,
    plugins: Sequence[Plugin] = (),
) -> AsyncIterator[Client]:
    """A client of an engine in this process, on a SQLite file or in memory (`":memory:"`).

    Metrics go where `runtime` says, and plugins take part as in `Client.connect`. With `thread`,
    the engine has a thread and an event loop of its own. Raises StoreInUse when another process has
    the file open, SchemaTooNew when a newer version wrote it.
    """
    settings = Settings(
        database=os.fspath(database),
        namespaces=tuple(dict.fromkeys((DEFAULT_NAMESPACE, namespace))),
    )
    home = _threaded(settings) if thread else _on_this_loop(settings)
    async with home as transport:
        yield await Client._within(
            transport,
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
            identity=identity,
            runtime=runtime,
            plugins=plugins,
        )


@asynccontextmanager
async def _on_this_loop(settings: Settings) -> AsyncIterator[Transport]:
    async with opened_service(settings) as service:
        transport = InProcessTransport(with_health(service.handlers))
        try:
            yield transport
        finally:
            transport.close(_block_ended())


@asynccontextmanager
async def _threaded(settings: Settings) -> AsyncIterator[Transport]:
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[_EngineThread] = loop.create_future()
    ended = asyncio.Event()
    thread = _EngineThread(settings, loop, opened, ended)
    thread.start()
    try:
        await asyncio.shield(opened)
        yield thread.connect()
    finally:
        thread.stop()
        await _seen_through(ended.wait())
        thread.join()  # Saying so was the last thing that it did.


class _EngineThread(threading.Thread):
    """An engine with an event loop of its own. Calls travel as the messages of a session, all of
    one turn of a loop at a time, so that crossing threads costs little."""

    def __init__(
        self,
        settings: Settings,
        user_loop: asyncio.AbstractEventLoop,
        opened: asyncio.Future[_EngineThread],
        ended: asyncio.Event,
    ) -> None:
        super().__init__(name="perdure-engine", daemon=True)
        self._settings = settings
        self._user_loop = user_loop
        self._opened = opened
        self._ended = ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event
        self._is_stopped = False
        self._receive: Callable[[bytes], None]
        self._session: ClientSession | None = None
        self._program_ticked_seconds = time.monotonic()

    def connect(self) -> ClientSession:
        """The program's end of the session."""
        self._session = ClientSession(self._send_to_engine)
        self._tick()
        return self._session

    def stop(self) -> None:
        """Have the engine close, also one that is still opening: whoever opened it may not be
        there any more when it is open."""
        if self._session is not None:
            self._session.close(_block_ended())
        self._is_stopped = True
        if self._loop is not None and not (self._opened.done() and self._opened.exception()):
            self._call_in_engine(self._stopping.set)

    def run(self) -> None:
        """The thread."""
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._call_in_program(self._fail, error)
        finally:
            self._call_in_program(self._end)

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._is_stopped:
            return
        async with opened_service(self._settings) as service:
            session = ServerSession(
                with_health(service.handlers), service.open_session(), self._send_to_program
            )
            self._receive = session.receive
            service.engine.wakeups.hold_while(self._program_stands_still)
            self._call_in_program(self._opened.set_result, self)
            await self._stopping.wait()
            await session.close()

    def _send_to_engine(self, message: bytes) -> None:
        self._call_in_engine(lambda: self._receive(message))

    def _send_to_program(self, message: bytes) -> None:
        self._call_in_program(self._deliver, message)

    def _tick(self) -> None:
        """Leave marks of time while the program's loop runs. When they stop, its workers have
        stopped too: what they have done is still to be told, and has not timed out."""
        self._program_ticked_seconds = time.monotonic()
        if self._session is not None and not self._session.is_closed:
            self._user_loop.call_later(TICK_SECONDS, self._tick)

    def _program_stands_still(self) -> bool:
        return time.monotonic() - self._program_ticked_seconds > STALL_SECONDS

    def _deliver(self, message: bytes) -> None:
        if self._session is not None:
            self._session.receive(message)

    def _fail(self, error: BaseException) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)

    def _end(self) -> None:
        if self._session is not None:
            self._session.close()
        self._ended.set()

    def _call_in_engine(self, function: Callable[[], None]) -> None:
        try:
            if self._loop is None:
                raise RuntimeError("its loop has not begun")
            self._loop.call_soon_threadsafe(function)
        except RuntimeError as error:
            raise EmbeddedEngineLost("the embedded engine has ended") from error

    def _call_in_program(self, function: Callable[..., object], *arguments: object) -> None:
        if not self._user_loop.is_closed():
            self._user_loop.call_soon_threadsafe(function, *arguments)


@asynccontextmanager
async def opened_service(settings: Settings) -> AsyncIterator[Service]:
    """A service for the program that has it: not tuned as a process of its own would be."""
    with shorten_switch_interval(), _collect_garbage_less_often():
        service = await Service.open(settings, on_lease_lost=_nothing_to_do, workers_are_dead=True)
        try:
            yield service
        finally:
            await _seen_through(service.close())


async def _seen_through(work: Coroutine[Any, Any, object]) -> None:
    """Do it to the end, though whoever waits is cancelled meanwhile: a file that is half closed
    could not be opened again as long as this process lives."""
    doing = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError as error:
            cancelled = error
    doing.result()
    if cancelled is not None:
        raise cancelled


@contextmanager
def _collect_garbage_less_often() -> Iterator[None]:
    """While an engine runs in somebody's program: workflows under way are many objects, which the
    collector would look at again and again, and nearly all go by themselves."""
    before = gc.get_threshold()
    if not before[0]:  # The program has switched it off: what becomes of it is its own affair.
        yield
        return
    gc.set_threshold(*map(max, before, GARBAGE_THRESHOLDS))
    try:
        yield
    finally:
        # Never up: another engine, that was opened later, may have closed before.
        gc.set_threshold(*map(min, before, gc.get_threshold()))


def _block_ended() -> CallFailed:
    """Of a kind that is not tried again."""
    return CallFailed(
        Code.FAILED_PRECONDITION,
        "the embedded engine is closed: the `async with perdure.embedded(...)` block of this client"
        " has ended",
    )


def _nothing_to_do() -> None:
    """A file that is locked by this process cannot be taken over by another."""
