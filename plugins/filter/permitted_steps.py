# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host may do, from what the primaries of its zones plan."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.primaries import with_a_say

DOING = ("make_key", "order", "deploy", "delete_key")
OLD = 900  # seconds, after which a plan is not acted on: a controller that slept does not know what others did


def permitted_steps(primaries: Iterable[Mapping[str, Any]], host: str, now: int | None = None, retry: bool = False) -> list[dict[str, Any]]:
    """The steps of `host`, as tls_certificates takes them.

    A certificate whose names lie in the zones of several primaries moves only where all of them plan the same.
    now: unix seconds on the controller; a plan that is older than OLD is an error.
    retry: what failed a short time ago is to be tried now.
    """
    try:
        plans: dict[str, list[tuple[str, str, str]]] = {}
        for primary, mine in with_a_say(primaries, host):
            made = (primary.get("tlsa_planned") or {}).get("time")
            if now is not None and made is not None and now - made >= OLD:
                raise AnsibleFilterError(f"the plan is {now - made} seconds old, as if this controller had slept; others may have planned anew, so no step of"
                                         f" {host} is taken: run it again")
            planned = {step["certificate"]: (step["step"], step["spki"], step["fingerprint"])
                       for step in primary.get("tlsa_planned", {}).get("steps", ()) if step["host"] == host}
            for certificate in mine:
                plans.setdefault(certificate, []).append(planned.get(certificate, ("wait", "", "")))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"permitted_steps takes the variables of primaries, with tlsa_planned: {error!r}") from error
    return [{"certificate": certificate, "step": kinds[0][0], "spki": kinds[0][1], "fingerprint": kinds[0][2], **({"retry": True} if retry else {})}
            for certificate, kinds in sorted(plans.items()) if len(set(kinds)) == 1 and kinds[0][0] in DOING]


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"permitted_steps": permitted_steps}
