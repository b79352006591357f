"""`perdure dev`: a server on this machine, for development, on a SQLite file or in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import msgspec
import typer

from perdure.cli.shared import with_shared_options
from perdure.server.config import (
    DEFAULT_NAMESPACE,
    DEFAULT_PORT,
    HttpAddress,
    LogFormat,
    LogLevel,
    Settings,
    SettingsError,
    TransportKind,
    parse_overrides,
    parse_search_attributes,
)

logger = logging.getLogger(__name__)

LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.NEVER: logging.CRITICAL + 1,
}
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
EXIT_CANNOT_START = 1
EXIT_TAKEN_OVER = 1
EXIT_USAGE = 2
PORT_MAX = 65_535
UI_PORT_OFFSET = 1_000
"""As with Temporal's server: 7233 and 8233."""
TIME_SKIPPING_HELP = "Serve TestService, by which tests have time skipped. In memory only."
WHY_NO_SKIPPING_ON_FILE = (
    "--time-skipping is for a server in memory, without --db: what is stored would come from the"
    " future when the next server opens it"
)
UI_PORT_HELP = "Port of the HTTP API and the metrics; by default --port plus 1000."


server = typer.Typer(name="server", help="Run a server.", no_args_is_help=True)
"""The name under which Temporal's command line has it."""

WHY_UNSERVED = {
    "ui": "there is no web page yet",
    "sqlite": "the server tunes the database itself",
}
"""Why options of Temporal's command line have no effect; they are taken, so that it can be
replaced. By the first word of their names."""


def dev(
    port: int = typer.Option(
        DEFAULT_PORT, "--port", "-p", min=0, max=PORT_MAX, help="Port to listen on; 0: a free one."
    ),
    ip: str = typer.Option("127.0.0.1", help="Address to listen on."),
    db: Path | None = typer.Option(
        None, "--db", "--db-filename", "-f", help="SQLite file for everything; without it, memory."
    ),
    namespace: list[str] = typer.Option(
        [], "--namespace", "-n", help="A namespace to have besides 'default' (may be repeated)."
    ),
    search_attribute: list[str] = typer.Option(
        [], help="A search attribute of these namespaces, as NAME=TYPE (may be repeated)."
    ),
    log_level: LogLevel = typer.Option(LogLevel.WARNING, help="How much to log."),
    log_format: LogFormat = typer.Option(LogFormat.TEXT, help="How a line of the log looks."),
    transport: TransportKind = typer.Option(
        TransportKind.NATIVE, help="What speaks gRPC: our own server, or that of grpcio."
    ),
    dynamic_config_value: list[str] = typer.Option(
        [], help="A limit, as KEY=JSON with Temporal's name for it (may be repeated)."
    ),
    ui_port: int | None = typer.Option(None, min=0, max=PORT_MAX, help=UI_PORT_HELP),
    ui_ip: str | None = typer.Option(None, help="Address of that port; by default that of --ip."),
    headless: bool = typer.Option(False, "--headless", help="Do not listen on --ui-port."),
    http_port: int | None = typer.Option(
        None, min=0, max=PORT_MAX, help="Another port of the HTTP API."
    ),
    metrics_port: int | None = typer.Option(
        None, min=0, max=PORT_MAX, help="Another port of the metrics."
    ),
    time_skipping: bool = typer.Option(False, "--time-skipping", help=TIME_SKIPPING_HELP),
    ui_public_path: str | None = typer.Option(None, hidden=True),
    ui_asset_path: str | None = typer.Option(None, hidden=True),
    ui_codec_endpoint: str | None = typer.Option(None, hidden=True),
    ui_disable_news_fetch: bool = typer.Option(False, "--ui-disable-news-fetch", hidden=True),
    sqlite_pragma: list[str] = typer.Option([], hidden=True),
    log_config: bool = typer.Option(
        False, "--log-config", help="Print the settings to the standard error, as JSON."
    ),
) -> None:
    """Run a server on this machine. Stops cleanly on SIGINT and SIGTERM."""

    def settings() -> Settings:
        if "" in namespace:
            raise SettingsError("--namespace needs a name that is not empty")
        if time_skipping and db is not None:
            raise SettingsError(WHY_NO_SKIPPING_ON_FILE)
        return Settings(
            host=ip,
            port=port,
            database=":memory:" if db is None else str(db),
            namespaces=tuple(dict.fromkeys((DEFAULT_NAMESPACE, *namespace))),
            search_attributes=parse_search_attributes(search_attribute),
            log_level=log_level,
            limits=parse_overrides(dynamic_config_value),
            transport=transport,
            skips_time=time_skipping,
            http=_http_addresses(
                ip, port, ui_ip, ui_port, others=(http_port, metrics_port), headless=headless
            ),
        )

    unserved = {
        "ui_public_path": ui_public_path,
        "ui_asset_path": ui_asset_path,
        "ui_codec_endpoint": ui_codec_endpoint,
        "sqlite_pragma": sqlite_pragma,
    }
    serve(settings, log_level, log_format, unserved=unserved, tells_settings=log_config)


command = with_shared_options(dev)
server.command("start-dev")(command)


def serve(
    settings_of_options: Callable[[], Settings],
    log_level: LogLevel,
    log_format: LogFormat,
    *,
    unserved: Mapping[str, object] = MappingProxyType({}),
    is_time_unlocked: bool = False,
    tells_settings: bool = False,
) -> None:
    """Run a server until it is told to stop. `settings_of_options` may raise SettingsError."""
    _set_up_log(log_level, log_format)
    try:
        settings = settings_of_options()
    except SettingsError as error:
        _fail(str(error), EXIT_USAGE)
    _warn_of_unserved(unserved)
    if tells_settings:
        typer.echo(msgspec.json.format(msgspec.json.encode(settings)).decode(), err=True)
    # Whatever is wrong, we say it; the core of gRPC would say it too, in its own words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import uvloop

    uvloop.run(_serve(settings, is_time_unlocked=is_time_unlocked))


def _http_addresses(
    ip: str,
    port: int,
    ui_ip: str | None,
    ui_port: int | None,
    *,
    others: tuple[int | None, ...],
    headless: bool,
) -> tuple[HttpAddress, ...]:
    """Where HTTP is spoken: a default port is done without when it is taken."""
    found = [HttpAddress(host=ip, port=one) for one in others if one is not None]
    if headless:
        return tuple(found)
    host = ui_ip or ip
    if ui_port is not None:
        found.insert(0, HttpAddress(host=host, port=ui_port))
    elif 0 < port <= PORT_MAX - UI_PORT_OFFSET:
        found.insert(0, HttpAddress(host=host, port=port + UI_PORT_OFFSET, is_required=False))
    return tuple(dict.fromkeys(found))


def _set_up_log(level: LogLevel, form: LogFormat) -> None:
    logging.basicConfig(level=LEVELS[level], format=TEXT_FORMAT)
    if form is LogFormat.JSON:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_JsonLines())


def _warn_of_unserved(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value:
            why = WHY_UNSERVED[name.partition("_")[0]]
            logger.warning("--%s has no effect: %s", name.replace("_", "-"), why)


class _JsonLines(logging.Formatter):
    """Each record as a JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


async def _serve(settings: Settings, *, is_time_unlocked: bool) -> None:
    from perdure.server.app import Server
    from perdure.server.machines.errors import InvalidArgument
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
    except (StoreError, BindFailed, InvalidArgument) as error:
        _fail(str(error), EXIT_CANNOT_START)
    if is_time_unlocked and server.engine.time_skipper is not None:
        server.engine.time_skipper.unlock()
    where = "in memory" if settings.database == ":memory:" else f"in {settings.database}"
    typer.echo(f"perdure listens on {settings.host}:{server.port}, keeps its data {where}")
    for listener in server.http:
        typer.echo(f"the HTTP API and the metrics are on http://{listener.host}:{listener.port}")
    await stopping.wait()
    await server.stop()
    if is_lost:
        _fail(f"another server has taken over {settings.database}", EXIT_TAKEN_OVER)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"perdure: {message}", err=True)
    raise typer.Exit(code)
