"""RPCs that the stock server has switched off: they are answered exactly as it answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from perdure.server.frontend.errors import PermissionDenied, Unimplemented
from perdure.server.machines.errors import Rejected

_V1 = "Worker versioning v0.1 (Version Set-based, deprecated) is disabled on this namespace."
_V2 = "Worker versioning v0.2 (Rules-based, deprecated) is disabled on this namespace."
_DEPLOYMENTS = "Deployments are deprecated and no longer supported, use Worker Deployments instead"
_RULES = "method {name} not supported"
_WORKER_COMMANDS = "{name} command is not enabled."
_NEXUS = "Standalone Nexus operation is disabled"
NO_TIME_SKIPPING = "The Time-Skipping feature is not enabled for namespace."
_PAUSE = "workflow pause is not enabled for namespace: {namespace}"

Refusal = tuple[Callable[[str], Rejected], str]


def _all(kind: Callable[[str], Rejected], text: str, names: Iterable[str]) -> dict[str, Refusal]:
    return dict.fromkeys(names, (kind, text))


REFUSALS: dict[str, Refusal] = {
    **_all(
        PermissionDenied,
        _V1,
        ("UpdateWorkerBuildIdCompatibility", "GetWorkerBuildIdCompatibility"),
    ),
    **_all(
        PermissionDenied,
        _V2,
        (
            "UpdateWorkerVersioningRules",
            "GetWorkerVersioningRules",
            "GetWorkerTaskReachability",
        ),
    ),
    **_all(
        Unimplemented,
        _DEPLOYMENTS,
        (
            "DescribeDeployment",
            "ListDeployments",
            "GetDeploymentReachability",
            "GetCurrentDeployment",
            "SetCurrentDeployment",
        ),
    ),
    **_all(
        Unimplemented,
        _RULES,
        (
            "CreateWorkflowRule",
            "DescribeWorkflowRule",
            "DeleteWorkflowRule",
            "ListWorkflowRules",
            "TriggerWorkflowRule",
        ),
    ),
    **_all(Unimplemented, _WORKER_COMMANDS, ("FetchWorkerConfig", "UpdateWorkerConfig")),
    **_all(
        Unimplemented,
        _NEXUS,
        (
            "StartNexusOperationExecution",
            "DescribeNexusOperationExecution",
            "PollNexusOperationExecution",
            "ListNexusOperationExecutions",
            "CountNexusOperationExecutions",
            "RequestCancelNexusOperationExecution",
            "TerminateNexusOperationExecution",
            "DeleteNexusOperationExecution",
        ),
    ),
    **_all(Unimplemented, _PAUSE, ("PauseWorkflowExecution",)),
    **_all(Unimplemented, NO_TIME_SKIPPING, ("PollWorkflowExecutionTimeSkipping",)),
}
"""The refusal of each, by name; `{name}` and `{namespace}` stand for those of the request."""


def refusal(name: str, namespace: str) -> Rejected:
    """What a call of a switched-off RPC is answered with."""
    kind, text = REFUSALS[name]
    return kind(text.format(name=name, namespace=namespace))
