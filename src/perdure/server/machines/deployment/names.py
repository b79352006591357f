"""How versions are written, and which names may be given. The texts are those of the real
server."""

from __future__ import annotations

import msgspec

from perdure.server.machines.errors import InvalidArgument

UNVERSIONED = "__unversioned__"
"""Workers that belong to no version, in strings of the old form."""
RESERVED_PREFIX = "__"
WORKFLOW_ID_PREFIX = "temporal-sys-worker-deployment"
"""The real server keeps each deployment in a workflow of this name, which its refusals tell of."""
VERSION_WORKFLOW_ID_PREFIX = "temporal-sys-worker-deployment-version"


class VersionName(msgspec.Struct, frozen=True, array_like=True):
    """A version: its deployment and its build."""

    deployment: str
    build_id: str

    @property
    def text(self) -> str:
        """How it is written."""
        return f"{self.deployment}:{self.build_id}"

    @property
    def old_text(self) -> str:
        """How it was written in older versions of the API."""
        return f"{self.deployment}.{self.build_id}"


def parse(text: str) -> VersionName | None:
    """The version that a string of the old form names; None for the unversioned workers. Raises
    ValueError."""
    if text == UNVERSIONED:
        return None
    if not any(sign in text for sign in ".:"):
        raise ValueError(f"expected delimiter ':' or '.' not found in version string {text}")
    # A colon counts only beside a point that comes later, as on the real server.
    deployment, _, build_id = text.partition(".")
    if build_id and ":" in deployment:
        deployment, _, build_id = text.partition(":")
    if not deployment:
        raise ValueError(f"deployment name is empty in version string {text}")
    if not build_id:
        raise ValueError(f"build id is empty in version string {text}")
    return VersionName(deployment, build_id)


def check_deployment(name: str, id_length_max: int) -> None:
    """Raises InvalidArgument when a deployment cannot be called so."""
    _check(name, "WorkerDeploymentName", id_length_max)
    for sign in ".:":
        if sign in name:
            raise InvalidArgument(f"worker deployment name cannot contain '{sign}'")
    _check_reserved(name, "WorkerDeploymentName")


def check_build_id(build_id: str, id_length_max: int) -> None:
    """Raises InvalidArgument when a version cannot be called so."""
    _check(build_id, "BuildID", id_length_max)
    _check_reserved(build_id, "BuildID")


def _check(text: str, what: str, id_length_max: int) -> None:
    if not text:
        raise InvalidArgument(f"{what} cannot be empty")
    # Two of them and a prefix make a workflow id on the real server.
    length_max = (id_length_max - len(VERSION_WORKFLOW_ID_PREFIX) - 1) // 2
    if len(text) > length_max or len(text.encode()) > length_max:
        raise InvalidArgument(f"size of {what} larger than the maximum allowed")


def _check_reserved(text: str, what: str) -> None:
    if text.startswith(RESERVED_PREFIX):
        raise InvalidArgument(f"{what} cannot start with '{RESERVED_PREFIX}'")
