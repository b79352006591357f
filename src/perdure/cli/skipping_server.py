"""`perdure-test-server PORT`: a server that skips time, called as the official SDKs call theirs.

They start the program that they are given as `test_server_existing_path` (Python's name for it)
with the port as its argument, and connect to it.
"""

from __future__ import annotations

import typer

from perdure.cli.dev import PORT_MAX, serve
from perdure.server.config import (
    DEFAULT_NAMESPACE,
    LogFormat,
    LogLevel,
    Settings,
    parse_overrides,
    parse_search_attributes,
)


def skipping_server(
    port: int = typer.Argument(min=0, max=PORT_MAX, help="Port to listen on; 0: a free one."),
    enable_time_skipping: bool = typer.Option(
        False, "--enable-time-skipping", help="Begin with time unlocked: clients need not do it."
    ),
    ip: str = typer.Option("127.0.0.1", help="Address to listen on."),
    namespace: list[str] = typer.Option(
        [], "--namespace", "-n", help="A namespace to have besides 'default' (may be repeated)."
    ),
    search_attribute: list[str] = typer.Option(
        [], help="A search attribute of these namespaces, as NAME=TYPE (may be repeated)."
    ),
    log_level: LogLevel = typer.Option(LogLevel.WARNING, help="How much to log."),
    dynamic_config_value: list[str] = typer.Option(
        [], help="A limit, as KEY=JSON with Temporal's name for it (may be repeated)."
    ),
) -> None:
    """Run a server for tests, in memory, whose time skips. Stops on SIGINT and SIGTERM."""
    serve(
        lambda: Settings(
            host=ip,
            port=port,
            namespaces=tuple(dict.fromkeys((DEFAULT_NAMESPACE, *namespace))),
            search_attributes=parse_search_attributes(search_attribute),
            log_level=log_level,
            limits=parse_overrides(dynamic_config_value),
            skips_time=True,
        ),
        log_level,
        LogFormat.TEXT,
        is_time_unlocked=enable_time_skipping,
    )


def main() -> None:
    """Run the command."""
    typer.run(skipping_server)
