"""What is built, what is off and what is not yet: the page, the dispatch table and the answers
agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.message_factory import GetMessageClass
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, GetSystemInfoResponse

from perdure.server.frontend import compatibility
from perdure.server.frontend.dispatch import (
    OPERATOR_RPCS,
    OPERATOR_SERVICE,
    RPCS,
    WORKFLOW_SERVICE,
    full_name,
    handlers_of,
)
from perdure.server.frontend.services import Services
from perdure.server.frontend.switched_off import REFUSALS
from perdure.transport import CallFailed, Code
from tests.frontend.client import Client

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
METHODS = [*WORKFLOW_SERVICE.methods, *OPERATOR_SERVICE.methods]
NAMES = {method.name for method in WORKFLOW_SERVICE.methods}


def test_the_page_says_what_the_dispatch_table_has() -> None:
    assert PAGE.read_text(encoding="utf-8") == compatibility.render(), (
        "write it anew: python -m perdure.server.frontend.compatibility > docs/compatibility.md"
    )


def test_the_page_has_a_row_for_each_method_of_both_services() -> None:
    row = re.compile(r"^\| (\w+) \| (works|partial|off|not yet) \|", re.MULTILINE)
    rows = row.findall(PAGE.read_text(encoding="utf-8"))
    assert [name for name, _ in rows] == [method.name for method in METHODS]
    assert (len(WORKFLOW_SERVICE.methods), len(OPERATOR_SERVICE.methods)) == (123, 12)


def test_the_tables_name_existing_methods_and_none_twice() -> None:
    assert set(RPCS) <= NAMES
    assert set(OPERATOR_RPCS) <= {method.name for method in OPERATOR_SERVICE.methods}
    assert set(REFUSALS) <= NAMES
    assert set(RPCS) & set(REFUSALS) == set(compatibility.SWITCHABLE)
    assert set(compatibility.PARTIAL) <= set(RPCS)


async def test_every_method_has_a_handler(services: Services) -> None:
    assert set(handlers_of(services)) == {full_name(method) for method in METHODS}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_the_answer_to_each_method_fits_its_row(client: Client, method: object) -> None:
    method = next(known for known in METHODS if known is method)
    request = GetMessageClass(method.input_type)()
    if "namespace" in method.input_type.fields_by_name:
        request.namespace = "default"  # type: ignore[attr-defined]
    try:
        await client.transport.call(full_name(method), request.SerializeToString(), None, 70.0)
        failure = None
    except CallFailed as error:
        failure = error
    state, _ = compatibility.state_of(method)
    if state in ("works", "partial"):
        assert failure is None or failure.code is not Code.UNIMPLEMENTED
    elif state == "not yet":
        assert failure is not None
        assert (failure.code, failure.message) == (
            Code.UNIMPLEMENTED,
            f"{method.name} is not built yet in this server",
        )
    else:
        assert failure is not None
        assert (failure.code, failure.message) == OFF[method.name]


V1 = (
    Code.PERMISSION_DENIED,
    "Worker versioning v0.1 (Version Set-based, deprecated) is disabled on this namespace.",
)
V2 = (
    Code.PERMISSION_DENIED,
    "Worker versioning v0.2 (Rules-based, deprecated) is disabled on this namespace.",
)
DEPLOYMENTS = (
    Code.UNIMPLEMENTED,
    "Deployments are deprecated and no longer supported, use Worker Deployments instead",
)
NEXUS = (Code.UNIMPLEMENTED, "Standalone Nexus operation is disabled")

OFF: dict[str, tuple[Code, str]] = {
    "UpdateWorkerBuildIdCompatibility": V1,
    "GetWorkerBuildIdCompatibility": V1,
    "UpdateWorkerVersioningRules": V2,
    "GetWorkerVersioningRules": V2,
    "GetWorkerTaskReachability": V2,
    "DescribeDeployment": DEPLOYMENTS,
    "ListDeployments": DEPLOYMENTS,
    "GetDeploymentReachability": DEPLOYMENTS,
    "GetCurrentDeployment": DEPLOYMENTS,
    "SetCurrentDeployment": DEPLOYMENTS,
    "CreateWorkflowRule": (Code.UNIMPLEMENTED, "method CreateWorkflowRule not supported"),
    "DescribeWorkflowRule": (Code.UNIMPLEMENTED, "method DescribeWorkflowRule not supported"),
    "DeleteWorkflowRule": (Code.UNIMPLEMENTED, "method DeleteWorkflowRule not supported"),
    "ListWorkflowRules": (Code.UNIMPLEMENTED, "method ListWorkflowRules not supported"),
    "TriggerWorkflowRule": (Code.UNIMPLEMENTED, "method TriggerWorkflowRule not supported"),
    "FetchWorkerConfig": (Code.UNIMPLEMENTED, "FetchWorkerConfig command is not enabled."),
    "UpdateWorkerConfig": (Code.UNIMPLEMENTED, "UpdateWorkerConfig command is not enabled."),
    "StartNexusOperationExecution": NEXUS,
    "DescribeNexusOperationExecution": NEXUS,
    "PollNexusOperationExecution": NEXUS,
    "ListNexusOperationExecutions": NEXUS,
    "CountNexusOperationExecutions": NEXUS,
    "RequestCancelNexusOperationExecution": NEXUS,
    "TerminateNexusOperationExecution": NEXUS,
    "DeleteNexusOperationExecution": NEXUS,
    "PauseWorkflowExecution": (
        Code.UNIMPLEMENTED,
        "workflow pause is not enabled for namespace: default",
    ),
    # Off too, but what is wrong with the request is said first.
    "PollWorkflowExecutionTimeSkipping": (
        Code.INVALID_ARGUMENT,
        "Execution is not set on request.",
    ),
}
"""As Temporal's stock server answers."""


async def test_a_request_that_is_no_message_is_refused_as_the_real_server_does(
    client: Client,
) -> None:
    method = full_name(WORKFLOW_SERVICE.methods_by_name["GetSystemInfo"])
    with pytest.raises(CallFailed) as caught:
        await client.transport.call(method, b"\xff\xff")
    assert caught.value.code is Code.INTERNAL
    assert caught.value.message == (
        "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"
    )


async def test_only_what_is_honoured_is_advertised(client: Client) -> None:
    response = await client.call(GetSystemInfoRequest(), GetSystemInfoResponse)
    advertised = {field.name for field, _ in response.capabilities.ListFields()}
    assert advertised == {
        "signal_and_query_header",
        "internal_error_differentiation",
        "activity_failure_include_heartbeat",
        "supports_schedules",
        "build_id_based_versioning",
        "encoded_failure_attributes",
        "upsert_memo",
        "eager_workflow_start",
        "sdk_metadata",
        "count_group_by_execution_status",
        "nexus",
        "server_scaled_deployments",
    }


VERSIONS: list[tuple[dict[str, str], Code | None, str]] = [
    ({}, None, ""),
    ({"client-name": "temporal-go", "client-version": "1.99.0"}, None, ""),
    ({"client-name": "temporal-go"}, None, ""),
    ({"client-name": "temporal-python", "client-version": "zz"}, None, ""),
    ({"supported-server-versions": ">=1.0.0 <2.0.0"}, None, ""),
    ({"supported-server-versions": ">=3.0.0 || <1.40.0"}, None, ""),
    (
        {"client-name": "temporal-go", "client-version": "3.0.0"},
        Code.FAILED_PRECONDITION,
        "Client version 3.0.0 is not supported. Server supports temporal-go versions: <2.0.0",
    ),
    (
        {"client-name": "temporal-go", "client-version": "three"},
        Code.INVALID_ARGUMENT,
        "Unable to parse client version: three",
    ),
    (
        {"supported-server-versions": ">=2.0.0"},
        Code.FAILED_PRECONDITION,
        "Server version 1.32.0 is not supported. Client supports server versions: >=2.0.0",
    ),
]


@pytest.mark.parametrize(("headers", "code", "text"), VERSIONS)
async def test_versions_of_client_and_server_must_fit(
    client: Client, headers: dict[str, str], code: Code | None, text: str
) -> None:
    request = GetSystemInfoRequest()
    if code is None:
        await client.call(request, GetSystemInfoResponse, headers=headers)
        return
    with pytest.raises(CallFailed) as caught:
        await client.call(request, GetSystemInfoResponse, headers=headers)
    assert (caught.value.code, caught.value.message) == (code, text)
