# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each key is on its way, for people."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import progress


def status_lines(primaries: Iterable[Mapping[str, Any]], reports: Iterable[Mapping[str, Any]], now: int) -> list[str]:
    """Lines of text: for each certificate of each host its phase, why, what holds it back, what comes when, its keys, dates and records."""
    try:
        lines, planned = [], []
        for primary in primaries:
            plan = primary.get("tlsa_planned") or {}
            if "steps" in plan:
                planned.append(plan)
            else:
                zones = ", ".join(zone["name"] for zone in primary["ansible_facts"]["dane"]["primary_zones"])
                lines.append(f"{primary['inventory_hostname']}, the primary of {zones}, was not reached, or failed: nothing is known of these zones")
        return [*progress.status(planned, reports, int(now)), *lines]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(f"status_lines takes the variables of primaries, with tlsa_planned, and the reports of"
                                 f" selfhost.dane.tls_certificates: {error!r}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_lines": status_lines}
