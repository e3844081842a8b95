"""What an agent is told of its entries, at once and in pages."""

from __future__ import annotations

from typing import Any

from tests.interop.likeness.steps import (
    Groups,
    Step,
    agent_path,
    call,
    entry,
    joining,
    selectors,
    spiffe_id,
)

ALL, SYNC = "Entry.GetAuthorizedEntries", "Entry.SyncAuthorizedEntries"
CREATE, UPDATE, DELETE = (f"Entry.Batch{verb}Entry" for verb in ("Create", "Update", "Delete"))
PARENT = spiffe_id(agent_path("synced"))
FEW = [
    entry("/sync/a", id="sync-a", parent_id=PARENT, hint="a", dns_names=["a"]),
    entry("/sync/b", id="sync-b", parent_id=PARENT, selectors=selectors("1", "2"), admin=True),
    entry("/sync/c", id="sync-c", parent_id=spiffe_id("/sync/a"), store_svid=True),
    entry("/sync/d", id="sync-d", parent_id=spiffe_id("/sync/c"), downstream=True),
    entry("/sync/a", id="sync-cycle", parent_id=spiffe_id("/sync/d")),
    entry("/sync/e", id="sync-e", parent_id=spiffe_id("/elsewhere")),
]
COUNT = 502
MANY = [
    entry(f"/many/{number:04}", id=f"many-{number:04}", parent_id=PARENT) for number in range(COUNT)
]
IDS = [each["id"] for each in MANY]
MASK, SCARCE = {"revision_number": True}, {"spiffe_id": True}


def seen(count: int) -> Any:
    """Until the server's cache has so many entries."""
    return lambda shown: len(shown.first.get("entries", ())) == count


def sync(name: str, *requests: Any) -> Step:
    """One synchronisation; what comes at once has no order, what is asked for comes by ID."""
    return Step(name, SYNC, list(requests), "synced", unordered=len(requests) == 1)


def at_once(name: str, count: int) -> Step:
    request = {"output_mask": MASK}
    return Step(name, ALL, request, "synced", until=seen(count), unordered=True)


UNDER = [
    *joining("synced"),
    sync("no entries", {}),
    call("no entries at once", ALL, "synced"),
    call("few", CREATE, entries=FEW, output_mask={}),
    at_once("few seen", 5),
    Step("all fields at once", ALL, {}, "synced", unordered=True),
    Step("masked at once", ALL, {"output_mask": SCARCE}, "synced", unordered=True),
    sync("nothing said"),
    sync("all fields", {}),
    sync("masked", {"output_mask": MASK}),
    sync("masked more", {"output_mask": MASK | {"hint": True, "selectors": True}}),
    sync("revision masked", {"output_mask": {"spiffe_id": True}}),
    sync("empty mask", {"output_mask": {}}),
    sync("IDs at first", {"ids": ["sync-a"]}),
    sync("IDs and a bad mask at first", {"ids": ["sync-a"], "output_mask": {}}),
    call("change", UPDATE, entries=[{"id": "sync-a", "hint": "z"}], input_mask={"hint": True}),
    Step(
        "revision seen",
        ALL,
        {"output_mask": MASK | {"hint": True}},
        "synced",
        until=lambda shown: "'hint': 'z'" in str(shown.answers),
        unordered=True,
    ),
    call("deleted", DELETE, ids=[each["id"] for each in FEW]),
    at_once("deletion seen", 0),
]
PAGES = [IDS[:500], IDS[500:]]
OVER = [
    call("500", CREATE, entries=MANY[:500], output_mask={}),
    at_once("500 seen", 500),
    sync("500 at once", {"output_mask": MASK}),
    call("one more", CREATE, entries=MANY[500:501], output_mask={}),
    at_once("501 seen", 501),
    Step(
        "revisions of 501",
        SYNC,
        [{"output_mask": MASK}],
        "synced",
        until=lambda shown: len(shown.answers) == 2,
    ),
    call("more", CREATE, entries=MANY[501:], output_mask={}),
    at_once("502 seen", COUNT),
    sync("no entry asked", {"output_mask": MASK}),
    sync("empty request", {"output_mask": MASK}, {}),
    sync("unknown IDs", {"output_mask": MASK}, {"ids": ["unknown", "web", "sync-a"]}),
    sync("one ID", {"output_mask": MASK}, {"ids": ["many-0007"]}),
    sync("one ID twice", {"output_mask": MASK}, {"ids": ["many-0007", "many-0007"]}),
    sync("IDs out of order", {"output_mask": MASK}, {"ids": ["many-0009", "many-0001"]}),
    sync("a mask later", {"output_mask": MASK}, {"ids": ["many-0007"], "output_mask": {}}),
    sync("every ID in pages", {"output_mask": MASK}, *({"ids": page} for page in PAGES)),
    sync("every ID at once", {"output_mask": MASK}, {"ids": IDS}),
    sync("IDs at first", {"output_mask": MASK, "ids": IDS}),
    call("deleted", DELETE, ids=IDS),
    at_once("deletion seen", 0),
]
GROUPS: Groups = {"sync to 500": UNDER, "sync above 500": OVER}
