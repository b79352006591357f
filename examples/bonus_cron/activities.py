"""What touches the database: one activity that reads, and one that writes."""

from __future__ import annotations

from dataclasses import dataclass

from examples.bonus_cron.database import Database, User
from perdure import activity


@dataclass
class Bonus:
    """Points for a user, and what for."""

    user: str
    reason: str
    points: int


class Books:
    """The activities, with the database that they need."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def load_users(self) -> list[User]:
        """Everybody."""
        return self._database.users()

    @activity.defn
    async def add_bonus(self, bonus: Bonus) -> None:
        """Give a bonus. The reason names the time that it is for, so trying again is harmless."""
        self._database.add_bonus(bonus.user, bonus.reason, bonus.points)
