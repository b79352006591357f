"""`perdure replay`: do the workflows of these modules still do what histories say?"""

from __future__ import annotations

import os
import sys

import typer

from perdure.cli.calling import Target
from perdure.cli.exits import MISUSED, REFUSED, fail
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    JsonOption,
    NamespaceOption,
)
from perdure.cli.replay.parameters import (
    LIMIT_DEFAULT,
    AllOption,
    ConfigOption,
    FilesArgument,
    FromServerOption,
    JobsOption,
    LimitOption,
    SkipUnknownOption,
    WorkflowsOption,
)


def replay(
    files: FilesArgument = None,
    *,
    workflows: WorkflowsOption,
    from_server: FromServerOption = None,
    limit: LimitOption = LIMIT_DEFAULT,
    jobs: JobsOption = None,
    config: ConfigOption = None,
    skip_unknown: SkipUnknownOption = False,
    everything: AllOption = False,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Replay histories on the code at hand, and say where it no longer does what they say.

    Ends with 0 when all fit, with 1 when one does not, and with 2 when there was nothing to try.
    """
    # As `python -m` does, whichever way this command was found.
    sys.path.insert(0, os.getcwd())
    if (from_server is None) == (not files):
        raise typer.BadParameter("give either FILES or --from-server", param_hint="FILES")
    from perdure.cli.replay.code import Code, UnusableCode
    from perdure.cli.replay.running import Options, ProcessEnded, replay_all
    from perdure.cli.replay.sources import NoHistories, from_files, from_query
    from perdure.cli.replay.telling import teller

    code = Code(references=tuple(workflows), config=config)
    try:
        code.replayer()
    except UnusableCode as error:
        fail(str(error), MISUSED)
    options = Options(jobs=jobs or _cores(), skip_unknown=skip_unknown)
    tell = teller(as_json=as_json, everything=everything)
    try:
        if from_server is None:
            source = from_files(files or [])
        else:
            source = from_query(Target(address, namespace), from_server, limit)
        tried = replay_all(source, code, options, tell)
    except NoHistories as error:
        fail(str(error), MISUSED)
    except ProcessEnded as error:
        fail(str(error), REFUSED)
    tell.finish(tried)
    if tried.bad:
        raise typer.Exit(REFUSED)


def _cores() -> int:
    """The cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1
