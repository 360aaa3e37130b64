# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates of a host its timer must not renew, from what the primaries of its zones have on record."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.primaries import with_a_say


def bound_certificates(primaries: Sequence[Mapping[str, Any]], host: str) -> dict[str, bool]:
    """For each certificate of `host` whether TLSA records may stand for the certificate itself.

    True where one primary says so, False where all of them that have a name of it say the contrary; else nothing is said.
    """
    try:
        said: dict[str, list[bool | None]] = {}
        for primary, mine in with_a_say(primaries, host):
            known = {one["certificate"]: one["bound"] for one in primary.get("tlsa_recorded", {}).get("bound", ()) if one["host"] == host}
            for certificate in mine:
                said.setdefault(certificate, []).append(known.get(certificate))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"bound_certificates takes the variables of primaries, with tlsa_recorded: {error!r}") from error
    return {certificate: True in several for certificate, several in sorted(said.items()) if True in several or None not in several}


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"bound_certificates": bound_certificates}
