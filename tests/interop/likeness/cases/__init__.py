"""The calls, by service; each module has its groups of them as `GROUPS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.interop.likeness.cases import (
    agents,
    authorities,
    bundles,
    entries,
    process,
    rights,
    svids,
    sync,
    trustdomain,
)

if TYPE_CHECKING:
    from tests.interop.likeness.steps import Groups

MODULES = process, entries, agents, svids, sync, bundles, trustdomain, rights, authorities
"""In this order: what one makes, others see."""
ALL: Groups = {group: steps for module in MODULES for group, steps in module.GROUPS.items()}
