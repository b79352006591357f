"""Children that are pinned to versions by their parents."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.enums.v1 import failed_cause_pb2, workflow_pb2
from temporalio.api.workflow.v1 import VersioningOverride

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.workflow import messages
from tests.machines.neighbours import Neighbours, start_child

PINNED = workflow_pb2.VERSIONING_BEHAVIOR_PINNED
OLD_FORM = VersioningOverride(behavior=PINNED, pinned_version="d.1")


def asked(override: VersioningOverride) -> Neighbours:
    """A parent that asks for a child with this override."""
    both = Neighbours()
    both.start("parent")
    command = start_child("child")
    attributes = command.start_child_workflow_execution_command_attributes
    attributes.versioning_override.CopyFrom(override)
    both.complete("parent", command)
    return both


def test_an_override_is_recorded_in_its_newest_form_and_is_the_childs() -> None:
    both = asked(OLD_FORM)
    initiated = both.last("parent", "START_CHILD_WORKFLOW_EXECUTION_INITIATED")
    attributes = initiated.start_child_workflow_execution_initiated_event_attributes
    recorded = attributes.versioning_override
    assert (recorded.behavior, recorded.pinned_version) == (0, "")
    assert recorded.pinned.version.build_id == "1"
    (message,) = both.waiting()
    assert isinstance(message.message, messages.StartChild)
    assert message.message.pinned_to == VersionName("d", "1")
    both.deliver()
    begun = both.last("child", "WORKFLOW_EXECUTION_STARTED")
    assert begun.workflow_execution_started_event_attributes.versioning_override == recorded


def test_a_child_is_not_started_on_a_version_without_workers() -> None:
    both = asked(OLD_FORM)
    sent = both.take(both.world("parent"))
    assert isinstance(sent.message, messages.StartChild)
    absent = msgspec.structs.replace(sent.message, is_version_absent=True)
    both.deliver_one(msgspec.structs.replace(sent, message=absent))
    assert both.world("child").workflow.run is None
    failed = both.last("parent", "START_CHILD_WORKFLOW_EXECUTION_FAILED")
    cause = failed.start_child_workflow_execution_failed_event_attributes.cause
    assert cause == (
        failed_cause_pb2.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_INVALID_VERSIONING_OVERRIDE
    )


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (VersioningOverride(), "override behavior is required"),
        (VersioningOverride(auto_upgrade=False), "auto-upgrade override must be true"),
        (
            VersioningOverride(one_time=VersioningOverride.OneTimeOverride()),
            "must provide target deployment version if override is one-time.",
        ),
    ],
)
def test_an_override_must_say_whereto(override: VersioningOverride, text: str) -> None:
    both = asked(override)
    failed = both.world("parent").events()[-1].workflow_task_failed_event_attributes
    assert failed.cause == (
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
    )
    assert failed.failure.message == f"BadStartChildExecutionAttributes: {text}"
    assert both.waiting() == []
