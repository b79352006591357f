"""What workflow code may catch, besides `perdure.exceptions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.exceptions import PerdureError

if TYPE_CHECKING:
    from perdure._replay.nondeterminism import NondeterminismReport


class NondeterminismError(PerdureError):
    """The workflow's code does not do what its history says.

    Never raised into workflow code. As a member of `failure_exception_types` it has such a run fail
    instead of its task being tried again.
    """

    def __init__(self, message: str, report: NondeterminismReport | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.report = report


class ReadOnlyContextError(PerdureError):
    """Code that may only look (a query, a validator) tried to change the workflow."""


class NotInWorkflowError(PerdureError):
    """Only code of a workflow can call this, and it is not running one."""


class NondeterministicCallError(PerdureError):
    """Workflow code called what would give another answer on replay."""

    def __init__(self, message: str, *, qualified_name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.qualified_name = qualified_name
        """What was called."""


class ContinueAsNewError(BaseException):
    """Ends the run and continues as a new one; raised by `continue_as_new`, to be let through."""

    def __init__(self, *args: object) -> None:
        if type(self) is ContinueAsNewError:
            raise RuntimeError("call workflow.continue_as_new() instead of raising its error")
        super().__init__(*args)


class EvictedError(BaseException):
    """Code of an evicted run tried to act while it was being torn down."""


class InterruptedCodeError(BaseException):
    """Raised into code that does not let go of the thread; its workflow task fails for that."""
