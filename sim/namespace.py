"""The one namespace of a world."""

from __future__ import annotations

from perdure.server.engine.api import NamespaceRef
from perdure.server.machines.search_attributes import KEYWORD, CustomAttribute
from sim.workload.facts import STEP

NAMESPACE = NamespaceRef(
    1,
    "00000000-0000-4000-8000-000000000001",
    "default",
    search_attributes={STEP: CustomAttribute("Keyword01", KEYWORD)},
)
