"""An order: it is paid for, and then sent."""

from __future__ import annotations

from datetime import timedelta

from examples.traced_order.activities import charge, ship
from perdure import workflow
from perdure.contrib.opentelemetry.workflow import completed_span

LIMIT = timedelta(minutes=1)


@workflow.defn
class Order:
    """Charges, and ships what is paid for."""

    @workflow.run
    async def run(self, item: str) -> str:
        """What was done last."""
        await workflow.execute_activity(charge, 500, start_to_close_timeout=LIMIT)
        completed_span("Paid", attributes={"item": item})
        return await workflow.execute_activity(ship, item, start_to_close_timeout=LIMIT)
