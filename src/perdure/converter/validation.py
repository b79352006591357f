"""How a converter says that it understands a value and will not take it."""

from __future__ import annotations

from typing import Any, Final

from perdure.exceptions import ApplicationError

PAYLOAD_VALIDATION_ERROR: Final = "PayloadValidationError"
"""The type by which such an error is known, in all SDKs."""


def create_payload_validation_error(details: Any) -> ApplicationError:
    """The error to raise, which is not tried again; `details` tell what is wrong, None nothing.

    The caller of a Nexus operation is told that its input is at fault.
    """
    return ApplicationError(
        "Payload validation failed",
        *(() if details is None else (details,)),
        type=PAYLOAD_VALIDATION_ERROR,
        non_retryable=True,
    )


def is_payload_validation_error(error: BaseException) -> bool:
    """Whether a converter has understood a value and refused it."""
    return (
        isinstance(error, ApplicationError)
        and error.non_retryable
        and error.type == PAYLOAD_VALIDATION_ERROR
    )
