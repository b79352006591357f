"""`perdure`: the command line's entry."""

from __future__ import annotations

import typer

from perdure import __version__
from perdure.cli.activity import activities
from perdure.cli.batch import batches
from perdure.cli.check import check
from perdure.cli.cluster import clusters
from perdure.cli.completion import completion
from perdure.cli.config import configs
from perdure.cli.connecting import with_connections
from perdure.cli.dev import dev, server
from perdure.cli.namespace import namespaces
from perdure.cli.nexus import nexus
from perdure.cli.replay import replay
from perdure.cli.schedule import schedules
from perdure.cli.search_attribute import search_attributes
from perdure.cli.shared import with_shared_options
from perdure.cli.task_queue import task_queues
from perdure.cli.worker.group import workers
from perdure.cli.workflow import workflows

app = typer.Typer(
    name="perdure",
    help="Durable execution: code that must finish.",
    no_args_is_help=True,
    # A traceback of ours is for a bug report: whole, plain, and without local variables.
    pretty_exceptions_enable=False,
)
app.command("dev")(with_shared_options(dev))
app.command()(replay)
app.command()(check)
app.command()(completion)
app.add_typer(workflows)
app.add_typer(workers)
for group in (
    schedules,
    activities,
    batches,
    task_queues,
    namespaces,
    search_attributes,
    nexus,
    clusters,
    configs,
    server,
):
    app.add_typer(group)
with_connections(app)


@app.callback(invoke_without_command=True)
def version(
    *,
    show_version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Durable execution: code that must finish."""
    if show_version:
        typer.echo(f"perdure {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
