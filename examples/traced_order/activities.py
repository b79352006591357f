"""What an order needs done."""

from __future__ import annotations

from opentelemetry.trace import get_current_span

from perdure import activity


@activity.defn
async def charge(cents: int) -> str:
    """Takes the money. What is noted here is found on the span of this attempt."""
    get_current_span().set_attribute("cents", cents)
    return f"charged {cents}"


@activity.defn
async def ship(item: str) -> str:
    """Sends the item."""
    return f"shipped {item}"
