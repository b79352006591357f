"""What is told of a queue: rates, pollers, advice, and what operators set."""

from __future__ import annotations

import pytest
from temporalio.api.taskqueue.v1 import RateLimit, TaskQueueConfig
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.queue import config
from perdure.server.machines.queue.scaling import PollerScaling
from perdure.server.machines.queue.statistics import (
    POLLER_WINDOW_NS,
    POLLERS_MAX,
    Meter,
    Poller,
    Statistics,
)

RateLimitUpdate = UpdateTaskQueueConfigRequest.RateLimitUpdate


def test_a_rate_is_over_the_last_half_minute_or_since_it_began() -> None:
    meter = Meter()
    assert meter.per_second(0) == 0
    for second in range(10, 20):
        meter.add(second * SECOND_NS)
    assert meter.per_second(20 * SECOND_NS) == 1
    assert meter.per_second(39 * SECOND_NS) == pytest.approx(10 / 29)
    assert meter.per_second(40 * SECOND_NS) == pytest.approx(5 / 30), "half of it is too old"
    assert meter.per_second(300 * SECOND_NS) == 0


def test_pollers_are_remembered_for_a_while_the_last_one_first() -> None:
    statistics = Statistics()
    for number, name in enumerate(("a", "b", "a")):
        statistics.polled(Poller(name, number, None))
    assert [(one.identity, one.last_access_ns) for one in statistics.pollers(5)] == [
        ("a", 2),
        ("b", 1),
    ]
    assert [one.identity for one in statistics.pollers(POLLER_WINDOW_NS + 1)] == ["a"]
    for number in range(POLLERS_MAX):
        statistics.polled(Poller(f"many {number}", 9, None))
    assert len(statistics.pollers(9)) == POLLERS_MAX


def advise(
    scaling: PollerScaling,
    statistics: Statistics,
    *,
    waited_ns: int = 0,
    backlog_age_ns: int = 0,
    is_sticky: bool = False,
    now_ns: int = SECOND_NS,
) -> int:
    return scaling.advise(
        statistics,
        waited_ns=waited_ns,
        backlog_age_ns=backlog_age_ns,
        is_sticky=is_sticky,
        now_ns=now_ns,
    )


def test_polls_that_wait_are_too_many_and_tasks_that_wait_want_more() -> None:
    scaling, statistics = PollerScaling(), Statistics()
    assert advise(scaling, statistics) == 0
    assert advise(scaling, statistics, waited_ns=SECOND_NS) == -1
    assert advise(scaling, statistics, backlog_age_ns=SECOND_NS) == 1
    assert advise(scaling, statistics, backlog_age_ns=SECOND_NS, is_sticky=True) == 1
    for _ in range(3):
        statistics.came(3, 0)
    statistics.went(3, 0)
    assert advise(scaling, statistics) == 1, "they come faster than they go"
    assert advise(scaling, statistics, is_sticky=True) == 0


def test_advice_to_grow_is_given_ten_times_a_second() -> None:
    scaling, statistics = PollerScaling(), Statistics()
    given = [advise(scaling, statistics, backlog_age_ns=SECOND_NS) for _ in range(12)]
    assert given == [1] * 10 + [0] * 2
    assert advise(scaling, statistics, backlog_age_ns=SECOND_NS, now_ns=2 * SECOND_NS) == 1


def request(**fields: object) -> UpdateTaskQueueConfigRequest:
    return UpdateTaskQueueConfigRequest(identity="me", task_queue_type=2, **fields)  # type: ignore[arg-type]


def test_an_update_replaces_what_it_names_and_nothing_else() -> None:
    limit = RateLimitUpdate(rate_limit=RateLimit(requests_per_second=3.5), reason="why")
    first = config.updated(None, request(update_queue_rate_limit=limit), 1_234_567_890)
    assert config.rate_of(first) == 3.5
    metadata = first.queue_rate_limit.metadata
    assert (metadata.reason, metadata.update_identity) == ("why", "me")
    assert metadata.update_time.ToNanoseconds() == 1_234_000_000, "milliseconds"
    weights = request(set_fairness_weight_overrides={"a": 2, "b": 3})
    second = config.updated(first, weights, 0)
    third = config.updated(second, request(unset_fairness_weight_overrides=["a", "x"]), 0)
    assert dict(third.fairness_weight_overrides) == {"b": 3}
    assert third.queue_rate_limit == first.queue_rate_limit
    gone = config.updated(third, request(update_queue_rate_limit=RateLimitUpdate()), 0)
    assert config.rate_of(gone) is None
    assert config.updated(None, request(), 0) == TaskQueueConfig()


def test_only_so_many_weights_are_kept() -> None:
    one = request(set_fairness_weight_overrides={f"k{number}": 1 for number in range(1000)})
    full = config.updated(None, one, 0)
    with pytest.raises(InvalidArgument):
        config.updated(full, request(set_fairness_weight_overrides={"another": 1}), 0)
