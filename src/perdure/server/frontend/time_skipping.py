"""TestService: clients that test have time skipped by it. It is served where that is wanted."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty
from temporalio.api.testservice.v1 import (
    GetCurrentTimeResponse,
    LockTimeSkippingRequest,
    LockTimeSkippingResponse,
    SleepRequest,
    SleepResponse,
    SleepUntilRequest,
    UnlockTimeSkippingRequest,
    UnlockTimeSkippingResponse,
)

from perdure.server.engine.time_skipping import TimeSkipper
from perdure.server.frontend.services import Services
from perdure.server.machines.durations import capped_ns, problem_of
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.wire import is_timestamp, timestamp, timestamp_ns
from perdure.transport import Caller

_SLEPT = SleepResponse().SerializeToString()


async def lock_time_skipping(
    services: Services, request: LockTimeSkippingRequest, caller: Caller
) -> bytes:
    """Time passes as it does outside, until it is unlocked as often as it was locked."""
    _skipper(services).lock()
    return LockTimeSkippingResponse().SerializeToString()


async def unlock_time_skipping(
    services: Services, request: UnlockTimeSkippingRequest, caller: Caller
) -> bytes:
    """Takes a lock away."""
    _skipper(services).unlock()
    return UnlockTimeSkippingResponse().SerializeToString()


async def sleep(services: Services, request: SleepRequest, caller: Caller) -> bytes:
    """Answers when so much time has passed. Raises InvalidArgument."""
    await _skipper(services).sleep(_duration_ns(request))
    return _SLEPT


async def sleep_until(services: Services, request: SleepUntilRequest, caller: Caller) -> bytes:
    """Answers when it is that time. Raises InvalidArgument."""
    if not is_timestamp(request.timestamp):
        raise InvalidArgument("Timestamp is invalid.")
    await _skipper(services).sleep_until(timestamp_ns(request.timestamp))
    return _SLEPT


async def unlock_time_skipping_with_sleep(
    services: Services, request: SleepRequest, caller: Caller
) -> bytes:
    """Takes a lock away until so much time has passed. Raises InvalidArgument."""
    await _skipper(services).unlock_with_sleep(_duration_ns(request))
    return _SLEPT


async def get_current_time(services: Services, request: Empty, caller: Caller) -> bytes:
    """The time, as it has become."""
    return GetCurrentTimeResponse(time=timestamp(_skipper(services).now_ns())).SerializeToString()


def _skipper(services: Services) -> TimeSkipper:
    assert services.time_skipper is not None, "TestService is served where time can be skipped"
    return services.time_skipper


def _duration_ns(request: SleepRequest) -> int:
    problem = problem_of(request.duration)
    if problem is not None:
        raise InvalidArgument(f"Duration is invalid: {problem}.")
    return capped_ns(request.duration)
