"""What both teams know: the service, its operations, and their types. Nothing of how it is done."""

from __future__ import annotations

from dataclasses import dataclass

import nexusrpc


@dataclass
class Guest:
    """Who is to be greeted, and in which language."""

    name: str
    language: str


@nexusrpc.service
class Greetings:
    """What the hosts offer."""

    language_of: nexusrpc.Operation[str, str]
    greet: nexusrpc.Operation[Guest, str]
