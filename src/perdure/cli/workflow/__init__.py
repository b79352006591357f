"""`perdure workflow`: start workflows, watch them, act on them."""

from __future__ import annotations

import typer

from perdure.cli.workflow.acting import cancel, signal, terminate
from perdure.cli.workflow.counting import count
from perdure.cli.workflow.deleting import delete
from perdure.cli.workflow.describe import describe
from perdure.cli.workflow.listing import list_runs
from perdure.cli.workflow.metadata import metadata
from perdure.cli.workflow.options import update_options
from perdure.cli.workflow.pausing import pause, unpause
from perdure.cli.workflow.querying import query, stack
from perdure.cli.workflow.resetting import reset
from perdure.cli.workflow.result import result
from perdure.cli.workflow.show import show
from perdure.cli.workflow.signalling_with_start import signal_with_start
from perdure.cli.workflow.start import start
from perdure.cli.workflow.tracing import trace
from perdure.cli.workflow.updating import updates

workflows = typer.Typer(
    name="workflow",
    help="Start workflows, watch them, act on them.",
    no_args_is_help=True,
)
workflows.command("start", help="Start a workflow and print its id.")(start)
workflows.command("execute", help="Start a workflow and wait for its result.")(start)
workflows.command("result")(result)
workflows.command("list")(list_runs)
workflows.command("describe")(describe)
workflows.command("show")(show)
workflows.command("signal")(signal)
workflows.add_typer(updates)
workflows.command("query")(query)
workflows.command("stack")(stack)
workflows.command("cancel")(cancel)
workflows.command("terminate")(terminate)
workflows.command("signal-with-start")(signal_with_start)
workflows.command("reset")(reset)
workflows.command("delete")(delete)
workflows.command("count")(count)
workflows.command("update-options")(update_options)
workflows.command("pause")(pause)
workflows.command("unpause")(unpause)
workflows.command("trace")(trace)
workflows.command("metadata")(metadata)
