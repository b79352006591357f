"""Which search attributes there are, and which of them a workflow may set."""

from __future__ import annotations

from temporalio.api.common.v1 import SearchAttributes

SYSTEM_ATTRIBUTES = frozenset(
    (
        "WorkflowId",
        "RunId",
        "WorkflowType",
        "StartTime",
        "ExecutionTime",
        "CloseTime",
        "ExecutionStatus",
        "TaskQueue",
        "HistoryLength",
        "ExecutionDuration",
        "StateTransitionCount",
        "HistorySizeBytes",
        "ParentWorkflowId",
        "ParentRunId",
        "RootWorkflowId",
        "RootRunId",
        "TemporalWorkerDeploymentVersion",
        "TemporalWorkflowVersioningBehavior",
        "TemporalWorkerDeployment",
        "TemporalUsedWorkerDeploymentVersions",
        "TemporalExternalPayloadCount",
        "TemporalExternalPayloadSizeBytes",
    )
)
"""Search attributes that only the server sets."""

PREDEFINED_ATTRIBUTES = frozenset(
    (
        "TemporalChangeVersion",
        "BinaryChecksums",
        "BuildIds",
        "BatcherNamespace",
        "BatcherUser",
        "TemporalScheduledStartTime",
        "TemporalScheduledById",
        "TemporalSchedulePaused",
        "TemporalNamespaceDivision",
        "TemporalPauseInfo",
        "TemporalReportedProblems",
    )
)
"""Search attributes that exist in every namespace and that a user may set."""


def problem_of(attributes: SearchAttributes, namespace: str) -> str | None:
    """Why these cannot be set, in the real server's words; None when they can.

    Only predefined search attributes have a mapping: custom ones are not built yet.
    """
    for name in sorted(attributes.indexed_fields):
        if name in SYSTEM_ATTRIBUTES:
            return f"{name} attribute can't be set in SearchAttributes"
        if name not in PREDEFINED_ATTRIBUTES:
            return f"Namespace {namespace} has no mapping defined for search attribute {name}"
    return None
