"""Temporal's contract without what it is distributed with: messages first, the rest on demand."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVICES = ["operatorservice", "testservice", "workflowservice"]


def said(code: str) -> str:
    """What a fresh interpreter prints."""
    run = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


def test_an_embedded_program_loads_no_grpc() -> None:
    heavy = "{'grpc', 'multiprocessing', 'importlib.resources', 'email', 'zoneinfo'}"
    modules = "perdure.client, perdure.worker, perdure._embedded, perdure.server.app"
    assert said(f"import sys, {modules}; print({heavy} & {{*sys.modules}})") == "set()"


@pytest.mark.parametrize("service", SERVICES)
def test_stubs_are_there_for_who_asks(service: str) -> None:
    package = f"temporalio.api.{service}.v1"
    code = f"""
import sys, perdure
import {package} as api
from {package} import service_pb2, request_response_pb2
assert "grpc" not in sys.modules
from {package} import *
assert "grpc" in sys.modules
first = api.__all__[0]
assert getattr(api, first) is getattr(request_response_pb2, first) is globals()[first]
print(*(name for name in api.__all__ if name.endswith("Stub")))
assert not hasattr(api, "nothing")
"""
    assert said(code).lower() == f"{service}stub"


def test_the_official_sdk_works_beside_ours() -> None:
    code = "import perdure.client, temporalio.client; print(temporalio.client.Client.__module__)"
    assert said(code).startswith("temporalio.client")


def test_who_imported_the_official_sdk_before_has_it_untouched() -> None:
    code = "import sys, temporalio; before = [*sys.meta_path]; import perdure.client"
    assert said(f"{code}; print(before == sys.meta_path, 'grpc' in sys.modules)") == "True True"
