"""Mails after a day, a week and a month, by a mail service that is down at first."""

from __future__ import annotations
