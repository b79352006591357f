"""`breakpoint()` in workflow code, for workers in debug mode.

Without debug mode the guard refuses it: a worker that stands still at a prompt answers nobody. The
debugger that is opened here goes on where others raise when they are left: what it raised would
fail the workflow task, whose next attempt would come to the same breakpoint again.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from perdure._replay.loop import running_loop


class BreakpointHook:
    """Takes the place of `sys.breakpointhook` as long as a worker runs; others' code goes on to
    what was there."""

    def __init__(self) -> None:
        self._original = sys.breakpointhook
        self._is_installed = False

    def install(self) -> None:
        """From now on."""
        self._original = sys.breakpointhook
        self._is_installed = True
        sys.breakpointhook = self

    def remove(self) -> None:
        """No more, also where a later hook goes on to this one."""
        self._is_installed = False
        if sys.breakpointhook is self:
            sys.breakpointhook = self._original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Opens the debugger where `breakpoint()` stands."""
        chosen = "PYTHONBREAKPOINT" in os.environ
        if chosen or not self._is_installed or running_loop() is None:
            return self._original(*args, **kwargs)
        return _workflow_debugger().set_trace(sys._getframe(1))


def _workflow_debugger() -> Any:
    """A pdb that continues when it is left."""
    import pdb  # noqa: T100 -- to be opened where the user says

    class WorkflowPdb(pdb.Pdb):
        def do_quit(self, arg: str) -> bool | None:
            """Goes on: the workflow's task is not to fail."""
            return self.do_continue(arg)

        do_q = do_exit = do_EOF = do_quit

    # Ctrl-C stays the program's: it ends the worker, and does not come back to the prompt.
    return WorkflowPdb(nosigint=True)
