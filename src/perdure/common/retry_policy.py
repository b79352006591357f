"""How often, and how soon, a failed workflow or activity is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.common.v1 import RetryPolicy as RetryPolicyMessage

_NOTHING = timedelta(0)
_MAXIMUM_INTERVAL_FACTOR = 100
"""The service's default for the longest interval, in initial intervals."""


@dataclass
class RetryPolicy:
    """Waits `initial_interval * backoff_coefficient ** n`, at most `maximum_interval`, between
    attempts.

    No maximum interval means 100 initial ones; `maximum_attempts` of 0 means no limit. Errors whose
    type is listed are not tried again.
    """

    initial_interval: timedelta = timedelta(seconds=1)
    backoff_coefficient: float = 2.0
    maximum_interval: timedelta | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: Sequence[str] | None = None

    @staticmethod
    def from_proto(proto: RetryPolicyMessage) -> RetryPolicy:
        """The policy that a message describes."""
        bounded = proto.HasField("maximum_interval")
        return RetryPolicy(
            initial_interval=proto.initial_interval.ToTimedelta(),
            backoff_coefficient=proto.backoff_coefficient,
            maximum_interval=proto.maximum_interval.ToTimedelta() if bounded else None,
            maximum_attempts=proto.maximum_attempts,
            non_retryable_error_types=list(proto.non_retryable_error_types) or None,
        )

    def apply_to_proto(self, proto: RetryPolicyMessage) -> None:
        """Write this policy into a message. Raises ValueError when it makes no sense."""
        self._check()
        longest = self.maximum_interval or self.initial_interval * _MAXIMUM_INTERVAL_FACTOR
        proto.initial_interval.FromTimedelta(self.initial_interval)
        proto.backoff_coefficient = self.backoff_coefficient
        proto.maximum_interval.FromTimedelta(longest)
        proto.maximum_attempts = self.maximum_attempts
        proto.non_retryable_error_types.extend(self.non_retryable_error_types or ())

    def _check(self) -> None:
        if self.maximum_attempts == 1:
            return  # nothing is ever retried, so no interval matters
        longest = self.maximum_interval
        wrong = {
            "Initial interval cannot be negative": self.initial_interval < _NOTHING,
            "Backoff coefficient cannot be less than 1": self.backoff_coefficient < 1,
            "Maximum interval cannot be negative": longest is not None and longest < _NOTHING,
            "Maximum interval cannot be less than initial interval": bool(longest)
            and longest is not None
            and longest < self.initial_interval,
            "Maximum attempts cannot be negative": self.maximum_attempts < 0,
        }
        for problem, present in wrong.items():
            if present:
                raise ValueError(problem)
