# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys of a host have TLSA records, from what the primaries of its zones have on record."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.primaries import with_a_say


def published_keys(primaries: Sequence[Mapping[str, Any]], host: str) -> dict[str, list[str] | None]:
    """For each certificate of `host` its keys that have TLSA records; None where a primary of its names does not say."""
    found: dict[str, list[str] | None] = {}
    try:
        for primary, mine in with_a_say(primaries, host):
            said = primary.get("tlsa_recorded", {}).get("published")
            for certificate in mine:
                before = found.get(certificate, [])
                found[certificate] = None if said is None or before is None else sorted(
                    {*before, *(key for one in said if (one["host"], one["certificate"]) == (host, certificate) for key in one["keys"])})
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"published_keys takes the variables of primaries, with tlsa_recorded: {error!r}") from error
    return found


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"published_keys": published_keys}
