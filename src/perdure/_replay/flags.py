"""Which changes of SDK behaviour a run knows of.

When an SDK changes what it does with the same history, it guards the change by a flag, and writes
into each WorkflowTaskCompleted the flags that it used for the first time. On replay only the flags
found in the history are in force, so old runs go on as they began.
"""

from __future__ import annotations

from typing import Final

from temporalio.api.history.v1 import WorkflowTaskCompletedEventAttributes
from temporalio.api.sdk.v1 import WorkflowTaskCompletedMetadata

# Flags of the core that the official SDKs share; 1.35 records all of these on its first task.
CHECK_IDS_AND_TYPES: Final = 1
UPSERT_ON_PATCH: Final = 2
TERMINAL_COMMANDS_LAST: Final = 3
ALL_CORE_FLAGS: Final = (1, 2, 3, 4)

# Flags of the Python layer.
RAISE_ON_CANCELLING_COMPLETED_ACTIVITY: Final = 1
JOBS_IN_ONE_BATCH: Final = 2


class Flags:
    """The flags of one run: those its history has, and those used since its last task."""

    __slots__ = ("_last_name", "_last_version", "_name", "_used_lang", "_version", "core", "lang")

    def __init__(self, sdk_name: str, sdk_version: str) -> None:
        self.core: set[int] = set()
        self.lang: set[int] = set()
        self._used_lang: set[int] = set()
        self._name = sdk_name
        self._version = sdk_version
        self._last_name = ""
        self._last_version = ""

    def add_from(self, completed: WorkflowTaskCompletedEventAttributes) -> None:
        """Learns from a task that was completed, perhaps by another worker."""
        if not completed.HasField("sdk_metadata"):
            return
        metadata = completed.sdk_metadata
        self.core.update(metadata.core_used_flags)
        self.lang.update(metadata.lang_used_flags)
        self._last_name = metadata.sdk_name or self._last_name
        self._last_version = metadata.sdk_version or self._last_version

    def use_lang(self, flag: int) -> None:
        """Notes that the code's behaviour rested on a flag of the Python layer."""
        self._used_lang.add(flag)

    def take_metadata(self) -> WorkflowTaskCompletedMetadata:
        """What the completion of a task has to record; all of it counts as recorded from now on."""
        metadata = WorkflowTaskCompletedMetadata()
        if not self.core.issuperset(ALL_CORE_FLAGS):
            metadata.core_used_flags.extend(
                flag for flag in ALL_CORE_FLAGS if flag not in self.core
            )
            self.core.update(ALL_CORE_FLAGS)
        if not self.lang.issuperset(self._used_lang):
            metadata.lang_used_flags.extend(sorted(self._used_lang - self.lang))
            self.lang |= self._used_lang
        if self._name != self._last_name:
            metadata.sdk_name = self._name
        if self._version != self._last_version:
            metadata.sdk_version = self._version
        return metadata
