# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates of a host may be presented beside others, from what the primaries of its zones know."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.primaries import with_a_say


def permitted_to_join(primaries: Sequence[Mapping[str, Any]], host: str) -> list[str]:
    """The certificates of `host` that each primary of their names has been asked for, and that none holds back."""
    try:
        permitted: set[str] = set()
        held: set[str] = set()
        for primary, mine in with_a_say(primaries, host):
            permitted |= mine
            said = primary.get("tlsa_recorded", {}).get("held")
            held |= mine if said is None else {one["certificate"] for one in said if one["host"] == host}
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"permitted_to_join takes the variables of primaries, with tlsa_recorded: {error!r}") from error
    return sorted(permitted - held)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"permitted_to_join": permitted_to_join}
