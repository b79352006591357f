"""What programs say to the official SDK's sandbox, which imports workflow modules anew.

There is no such sandbox here: every module is passed through, and the determinism guard
(`_replay/guard.py`) refuses calls that would not replay, whatever is said here. These types are
accepted, with their names and their values, so that programs run unchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from perdure._replay.errors import NondeterministicCallError
from perdure._replay.guard import ENTRY_POINTS
from perdure.exceptions import PerdureError
from perdure.workflow._unsafe import SandboxImportNotificationPolicy

RestrictedWorkflowAccessError = NondeterministicCallError
"""What the guard raises."""


class UnintentionalPassthroughError(PerdureError):
    """A module was imported that was not passed through; never raised here, where all are."""

    def __init__(self, qualified_name: str) -> None:
        super().__init__(f"Module {qualified_name} was not intentionally passed through.")


@dataclass(frozen=True)
class SandboxMatcher:
    """A description of members of modules."""

    access: frozenset[str] | set[str] = frozenset()
    use: frozenset[str] | set[str] = frozenset()
    children: Mapping[str, SandboxMatcher] = field(default_factory=dict)
    match_self: bool = False
    only_runtime: bool = False
    leaf_message: str | None = None
    leaf_warning: type[Warning] | None = None
    exclude: frozenset[str] | set[str] = frozenset()

    all: ClassVar[SandboxMatcher]
    all_runtime: ClassVar[SandboxMatcher]
    none: ClassVar[SandboxMatcher]
    all_uses: ClassVar[SandboxMatcher]
    all_uses_runtime: ClassVar[SandboxMatcher]

    @classmethod
    def nested_child(cls, path: Sequence[str], child: SandboxMatcher) -> SandboxMatcher:
        """What a matcher says, of the member at a path of names."""
        for name in reversed(path):
            child = cls(children={name: child})
        return child

    def child_matcher(self, *child_path: str) -> SandboxMatcher | None:
        """The matcher of a member of a member; None when there is nothing about it."""
        found: SandboxMatcher | None = self
        for name in child_path:
            found = None if found is None else found.children.get(name)
        return found

    def with_child_unrestricted(self, *child_path: str) -> SandboxMatcher:
        """The same without what is said of a member."""
        name, *below = child_path
        children = dict(self.children)
        if below:
            if name in children:
                children[name] = children[name].with_child_unrestricted(*below)
        else:
            children.pop(name, None)
        return replace(
            self,
            access=self.access if below else frozenset(self.access) - {name},
            use=self.use if below else frozenset(self.use) - {name},
            children=children,
        )

    def __or__(self, other: SandboxMatcher) -> SandboxMatcher:
        """What either says."""
        children = dict(self.children)
        for name, matcher in other.children.items():
            children[name] = children[name] | matcher if name in children else matcher
        return replace(
            self,
            access=frozenset(self.access) | other.access,
            use=frozenset(self.use) | other.use,
            children=children,
            match_self=self.match_self or other.match_self,
            only_runtime=self.only_runtime or other.only_runtime,
            leaf_message=self.leaf_message or other.leaf_message,
            leaf_warning=self.leaf_warning or other.leaf_warning,
            exclude=frozenset(self.exclude) | other.exclude,
        )


SandboxMatcher.all = SandboxMatcher(access={"*"}, use={"*"}, match_self=True)
SandboxMatcher.all_runtime = SandboxMatcher(match_self=True, only_runtime=True)
SandboxMatcher.none = SandboxMatcher()
SandboxMatcher.all_uses = SandboxMatcher(use={"*"})
SandboxMatcher.all_uses_runtime = SandboxMatcher(use={"*"}, only_runtime=True)

_REFUSED = {
    "datetime": SandboxMatcher(
        children={
            "date": SandboxMatcher(use={"today"}),
            "datetime": SandboxMatcher(use={"now", "today", "utcnow"}),
        }
    ),
    **{
        module: SandboxMatcher(
            use={name for owner, name in ENTRY_POINTS if owner.__name__ == module}
        )
        for module in ("os", "random", "secrets", "threading", "time", "uuid")
    },
    **dict.fromkeys(
        ("multiprocessing", "shutil", "socket", "subprocess", "tempfile"), SandboxMatcher.all_uses
    ),
}
"""What the guard or the check of the source refuses, for programs that take something out of it."""


@dataclass(frozen=True)
class SandboxRestrictions:
    """What is passed through and what is refused."""

    passthrough_modules: frozenset[str] | set[str] = frozenset()
    invalid_modules: SandboxMatcher = SandboxMatcher.none
    invalid_module_members: SandboxMatcher = SandboxMatcher.none
    import_notification_policy: SandboxImportNotificationPolicy = (
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
    passthrough_all_modules: bool = False
    disable_lazy_sys_module_passthrough: bool = False

    passthrough_modules_minimum: ClassVar[frozenset[str]] = frozenset({"asyncio", "typing"})
    passthrough_modules_with_temporal: ClassVar[frozenset[str]] = frozenset(
        {*passthrough_modules_minimum, "google.protobuf", "nexusrpc", "perdure", "temporalio"}
    )
    passthrough_modules_maximum: ClassVar[frozenset[str]] = frozenset(
        {*passthrough_modules_with_temporal, *sys.stdlib_module_names}
    )
    passthrough_modules_default: ClassVar[frozenset[str]] = passthrough_modules_maximum
    invalid_module_members_default: ClassVar[SandboxMatcher] = SandboxMatcher(children=_REFUSED)
    default: ClassVar[SandboxRestrictions]

    def with_passthrough_modules(self, *modules: str) -> SandboxRestrictions:
        """The same, with these modules passed through."""
        return replace(
            self, passthrough_modules=frozenset(self.passthrough_modules) | frozenset(modules)
        )

    def with_passthrough_all_modules(self) -> SandboxRestrictions:
        """The same, with all modules passed through."""
        return replace(self, passthrough_all_modules=True)

    def with_import_notification_policy(
        self, policy: SandboxImportNotificationPolicy
    ) -> SandboxRestrictions:
        """The same, with another policy."""
        return replace(self, import_notification_policy=policy)


SandboxRestrictions.default = SandboxRestrictions(
    passthrough_modules=SandboxRestrictions.passthrough_modules_default,
    invalid_module_members=SandboxRestrictions.invalid_module_members_default,
)
