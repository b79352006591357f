"""Links as Nexus carries them, an address and a type, and as Temporal's messages have them.

Each is the other's address book: a caller's event on the handler's side, and what the handler
started on the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import EventType
from temporalio.api.nexus.v1 import Link as NexusLink

SCHEME = "temporal"
TYPES = {
    "workflow_event": Link.WorkflowEvent.DESCRIPTOR.full_name,
    "nexus_operation": Link.NexusOperation.DESCRIPTOR.full_name,
    "activity": Link.Activity.DESCRIPTOR.full_name,
}
EVENT_PREFIX = "EVENT_TYPE_"
NUMBER_DIGITS_MAX = 19


def nexus_links(links: Iterable[bytes]) -> list[NexusLink]:
    """Serialised links as Nexus carries them; those that it has no address for stay behind."""
    found = (_nexus_link(Link.FromString(link)) for link in links)
    return [link for link in found if link is not None]


def links_of(links: Iterable[NexusLink]) -> tuple[bytes, ...]:
    """Links that Nexus carried, serialised; those that are not Temporal's stay behind."""
    found = (_link_of(link) for link in links)
    return tuple(link.SerializeToString(deterministic=True) for link in found if link is not None)


def _nexus_link(link: Link) -> NexusLink | None:
    match link.WhichOneof("variant"):
        case "workflow_event":
            event = link.workflow_event
            path = ("workflows", event.workflow_id, event.run_id, "history")
            return _addressed("workflow_event", event.namespace, path, _reference(event))
        case "nexus_operation":
            operation = link.nexus_operation
            path = ("nexus-operations", operation.operation_id, operation.run_id, "details")
            return _addressed("nexus_operation", operation.namespace, path, {})
        case "activity":
            activity = link.activity
            path = ("activities", activity.activity_id, activity.run_id, "details")
            return _addressed("activity", activity.namespace, path, {})
        case _:
            return None


def _addressed(kind: str, namespace: str, path: Iterable[str], query: dict[str, str]) -> NexusLink:
    escaped = "/".join(quote(part, safe="$&+:=@") for part in ("namespaces", namespace, *path))
    url = f"{SCHEME}:///{escaped}" + (f"?{urlencode(query)}" if query else "")
    return NexusLink(url=url, type=TYPES[kind])


def _reference(event: Link.WorkflowEvent) -> dict[str, str]:
    """The query of a link to an event, its names in order."""
    match event.WhichOneof("reference"):
        case "event_ref":
            found = {"eventID": str(event.event_ref.event_id)} if event.event_ref.event_id else {}
            found["eventType"] = _event_words(event.event_ref.event_type)
            found["referenceType"] = "EventReference"
            return found
        case "request_id_ref":
            reference = event.request_id_ref
            return {
                "eventType": _event_words(reference.event_type),
                "referenceType": "RequestIdReference",
                "requestID": reference.request_id,
            }
        case _:
            return {}


def _link_of(link: NexusLink) -> Link | None:
    kind = next((kind for kind, name in TYPES.items() if name == link.type), None)
    try:
        parts = urlsplit(link.url)
    except ValueError:
        return None
    path = [unquote(part) for part in parts.path.split("/")]
    if kind is None or parts.scheme != SCHEME or len(path) != 7 or path[1] != "namespaces":
        return None
    found = Link()
    match kind, path[3], path[6]:
        case "workflow_event", "workflows", "history":
            event = found.workflow_event
            event.namespace, event.workflow_id, event.run_id = path[2], path[4], path[5]
            return found if _refer(event, parse_qs(parts.query)) else None
        case "nexus_operation", "nexus-operations", "details":
            found.nexus_operation.namespace = path[2]
            found.nexus_operation.operation_id = path[4]
            found.nexus_operation.run_id = path[5]
        case "activity", "activities", "details":
            found.activity.namespace = path[2]
            found.activity.activity_id = path[4]
            found.activity.run_id = path[5]
        case _:
            return None
    return found


def _refer(event: Link.WorkflowEvent, query: dict[str, list[str]]) -> bool:
    """Set what the query of a link refers to; whether that makes sense."""
    values = {name: texts[0] for name, texts in query.items()}
    event_type = _event_type(values.get("eventType", ""))
    if event_type is None:
        return False
    match values.get("referenceType"):
        case "EventReference":
            number = values.get("eventID", "0")
            if not (number.isascii() and number.isdigit() and len(number) < NUMBER_DIGITS_MAX):
                return False
            event.event_ref.event_id = int(number)
            event.event_ref.event_type = event_type
        case "RequestIdReference":
            event.request_id_ref.request_id = values.get("requestID", "")
            event.request_id_ref.event_type = event_type
        case _:
            return False
    return True


def _event_words(event_type: EventType.ValueType) -> str:
    name = EventType.Name(event_type).removeprefix(EVENT_PREFIX)
    return "".join(word.capitalize() for word in name.split("_"))


def _event_type(words: str) -> EventType.ValueType | None:
    """An event type of either spelling."""
    found = {_event_words(value): value for value in EventType.values()}
    if words in found:
        return found[words]
    return EventType.Value(words) if words in EventType.keys() else None  # noqa: SIM118
