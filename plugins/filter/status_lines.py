# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each key is on its way, for people."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import progress
from ..plugin_utils.primaries import judged, said


def status_lines(primaries: Iterable[Mapping[str, Any]], reports: Iterable[Mapping[str, Any]], now: int) -> list[str]:
    """Lines of text: for each certificate of each host its phase, why, what holds it back, what comes when, its keys, dates and records."""
    try:
        lines, planned = [], []
        for primary in primaries:
            plan = primary.get("tlsa_planned") or {}
            mine = {zone["name"]: zone for zone in judged(primary)["primary_zones"]}
            if "steps" in plan:
                # of other zones it has no say
                owners = {owner["owner"] for zone in mine.values() for owner in zone["tlsa_owners"]}
                zones = [{"tlsa_owners": mine[zone["name"]]["tlsa_owners"], "tlsa": [one for one in zone["tlsa"] if one["owner"] in owners]}
                         for zone in plan["zones"] if zone["name"] in mine]
                planned.append({**plan, "zones": zones, "steps": said(primary, "tlsa_planned", "steps")})
            else:
                lines.append(f"{judged(primary)['host']}, the primary of {', '.join(mine)}, was not reached, or failed: nothing is known of these zones")
        return [*progress.status(planned, reports, int(now)), *lines]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(f"status_lines takes the variables of primaries, with tlsa_planned, and the reports of"
                                 f" selfhost.dane.tls_certificates: {error!r}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_lines": status_lines}
