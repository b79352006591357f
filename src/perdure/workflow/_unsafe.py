"""`workflow.unsafe`: looking behind the workflow's own time, and stepping out of the guard."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from enum import Flag, auto

from perdure._replay import guard
from perdure._replay.context import current
from perdure._replay.loop import running_loop


class SandboxImportNotificationPolicy(Flag):
    """What the official SDK's sandbox says about imports. Ours re-imports nothing, so: nothing."""

    SILENT = auto()
    WARN_ON_DYNAMIC_IMPORT = auto()
    WARN_ON_UNINTENTIONAL_PASSTHROUGH = auto()
    RAISE_ON_UNINTENTIONAL_PASSTHROUGH = auto()


class unsafe:
    """Functions whose careless use makes a workflow nondeterministic."""

    @staticmethod
    def in_sandbox() -> bool:
        """Whether the calling code is guarded against what would not replay."""
        loop = running_loop()
        return loop is not None and guard.is_guarding(loop)

    @staticmethod
    def is_replaying() -> bool:
        """Whether the workflow repeats what it did before."""
        context = current()
        return context.machine.replaying or context.evicting

    @staticmethod
    def is_replaying_history_events() -> bool:
        """As `is_replaying`, but not in a query or a validator, which happen now."""
        context = current()
        return context.evicting or (context.machine.replaying and not context.in_query)

    @staticmethod
    def is_read_only() -> bool:
        """Whether the calling code may only look: a query or a validator."""
        return current().read_only is not None

    @staticmethod
    def is_sandbox_unrestricted() -> bool:
        """Whether the calling code is outside the guard."""
        loop = running_loop()
        return loop is not None and not guard.is_guarding(loop)

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Generator[None]:
        """The code inside is not guarded; what else runs while it waits is."""
        with guard.unrestricted():
            yield

    @staticmethod
    def is_imports_passed_through() -> bool:
        """Always: there is one copy of each module."""
        return True

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None]:
        """Does nothing, since there is one copy of each module."""
        yield

    @staticmethod
    def current_import_notification_policy_override() -> SandboxImportNotificationPolicy | None:
        """None: there is nothing to notify of."""
        return None

    @staticmethod
    @contextmanager
    def sandbox_import_notification_policy(
        policy: SandboxImportNotificationPolicy,
    ) -> Generator[None]:
        """Does nothing, since there is nothing to notify of."""
        del policy
        yield
