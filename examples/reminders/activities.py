"""Sending mail: the part that fails in real life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from perdure import activity


@dataclass
class Mail:
    """A mail."""

    address: str
    subject: str


class MailService(Protocol):
    """Whatever sends mails."""

    def send(self, mail: Mail, attempt: int) -> None:
        """Send it, or raise."""


class Mailer:
    """Activities may be methods: what they need is given to the object, not to the workflow."""

    def __init__(self, service: MailService) -> None:
        self._service = service

    @activity.defn
    async def send_mail(self, mail: Mail) -> None:
        """Send one mail. Whatever is raised here is a reason to try again."""
        self._service.send(mail, attempt=activity.info().attempt)
