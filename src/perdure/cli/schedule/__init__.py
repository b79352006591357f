"""`perdure schedule`: start workflows again and again."""

from __future__ import annotations

import typer

from perdure.cli.schedule.acting import backfill, delete, toggle, trigger
from perdure.cli.schedule.looking import describe, list_schedules, matching_times
from perdure.cli.schedule.setting import create, update

schedules = typer.Typer(
    name="schedule",
    help="Start workflows again and again: by the calendar, at intervals, or when told to.",
    no_args_is_help=True,
)
schedules.command("create")(create)
schedules.command("update")(update)
schedules.command("describe")(describe)
schedules.command("list")(list_schedules)
schedules.command("list-matching-times")(matching_times)
schedules.command("trigger")(trigger)
schedules.command("backfill")(backfill)
schedules.command("toggle")(toggle)
schedules.command("delete")(delete)
