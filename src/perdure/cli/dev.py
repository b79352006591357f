"""`perdure dev`: a server on this machine, for development, on a SQLite file or in memory."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import NoReturn

import typer

from perdure.server.config import (
    DEFAULT_NAMESPACE,
    DEFAULT_PORT,
    LogLevel,
    Settings,
    SettingsError,
    TransportKind,
    parse_overrides,
)

LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.NEVER: logging.CRITICAL + 1,
}
EXIT_CANNOT_START = 1
EXIT_TAKEN_OVER = 1
EXIT_USAGE = 2
PORT_MAX = 65_535


def dev(
    port: int = typer.Option(
        DEFAULT_PORT, min=0, max=PORT_MAX, help="Port to listen on; 0 takes a free one."
    ),
    ip: str = typer.Option("127.0.0.1", help="Address to listen on."),
    db: Path | None = typer.Option(None, help="SQLite file for everything; without it, memory."),
    namespace: list[str] = typer.Option(
        [], "--namespace", "-n", help="A namespace to have besides 'default' (may be repeated)."
    ),
    log_level: LogLevel = typer.Option(LogLevel.WARNING, help="How much to log."),
    transport: TransportKind = typer.Option(
        TransportKind.NATIVE, help="What speaks gRPC: our own server, or that of grpcio."
    ),
    dynamic_config_value: list[str] = typer.Option(
        [], help="A limit, as KEY=JSON with Temporal's name for it (may be repeated)."
    ),
) -> None:
    """Run a server on this machine. Stops cleanly on SIGINT and SIGTERM."""
    try:
        if "" in namespace:
            raise SettingsError("--namespace needs a name that is not empty")
        settings = Settings(
            host=ip,
            port=port,
            database=":memory:" if db is None else str(db),
            namespaces=tuple(dict.fromkeys((DEFAULT_NAMESPACE, *namespace))),
            log_level=log_level,
            limits=parse_overrides(dynamic_config_value),
            transport=transport,
        )
    except SettingsError as error:
        _fail(str(error), EXIT_USAGE)
    logging.basicConfig(
        level=LEVELS[log_level], format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Whatever is wrong, we say it; the core of gRPC would say it too, in its own words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import uvloop

    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from perdure.server.app import Server
    from perdure.server.store.ports import StoreError
    from perdure.transport.listening import BindFailed

    stopping = asyncio.Event()
    is_lost = False

    def lose() -> None:
        nonlocal is_lost
        is_lost = True
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        server = await Server.start(settings, on_lease_lost=lose)
    except (StoreError, BindFailed) as error:
        _fail(str(error), EXIT_CANNOT_START)
    where = "in memory" if settings.database == ":memory:" else f"in {settings.database}"
    typer.echo(f"perdure listens on {settings.host}:{server.port}, keeps its data {where}")
    await stopping.wait()
    await server.stop()
    if is_lost:
        _fail(f"another server has taken over {settings.database}", EXIT_TAKEN_OVER)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"perdure: {message}", err=True)
    raise typer.Exit(code)
