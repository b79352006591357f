"""The workflow of the payment: a saga, which is to say try, and undo what was done."""

from __future__ import annotations

from datetime import timedelta

from examples.ride_payment.activities import Payments, Ride
from perdure import workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError

STEP = workflow.ActivityConfig(
    start_to_close_timeout=timedelta(minutes=1),
    # A bank that is down is asked again. An account that is closed stays closed.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200), non_retryable_error_types=["AccountClosed"]
    ),
)


@workflow.defn
class RidePayment:
    """Takes the fare from the customer and gives it to the driver."""

    @workflow.run
    async def run(self, ride: Ride) -> str:
        """What was paid. When the driver cannot be paid, the customer has the money back."""
        await workflow.execute_activity_method(Payments.withdraw, ride, **STEP)
        try:
            await workflow.execute_activity_method(Payments.pay_driver, ride, **STEP)
        except ActivityError as error:
            await workflow.execute_activity_method(Payments.refund, ride, **STEP)
            raise ApplicationError(
                "the driver could not be paid, the customer was refunded", type="PaymentUndone"
            ) from error
        return f"{ride.customer} paid {ride.cents / 100:.2f} to {ride.driver}"
