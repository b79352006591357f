"""A mail service that is down for a while, and then works."""

from __future__ import annotations

from collections.abc import Callable

from examples.reminders.activities import Mail


class FlakyMailService:
    """Refuses the first mails that it is given."""

    def __init__(self, refusals: int, tell: Callable[[str], None] = print) -> None:
        self._refusals = refusals
        self._tell = tell
        self.sent: list[Mail] = []

    def send(self, mail: Mail, attempt: int) -> None:
        """Send it, or raise."""
        if self._refusals:
            self._refusals -= 1
            self._tell(f"attempt {attempt}: the mail service is down")
            raise ConnectionError("the mail service is down")
        self.sent.append(mail)
        self._tell(f"attempt {attempt}: to {mail.address}: {mail.subject}")
