# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters read in the variables of primaries.

A host that somebody else has can return what it likes as ansible_facts, the fact dane too.  So who is the primary of what is read in what the playbook
registered of model_facts: no fact takes the place of that.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]


def judged(variables: Json) -> Json:
    """The slice of a host as the controller made it.  KeyError or TypeError where these are no such variables; so it is with all that follows."""
    found: Json = variables["model_judged"]["ansible_facts"]["dane"]
    return found


def places_behind(primary: Json) -> set[tuple[str, str]]:
    """The (host, certificate) that answer for a TLSA owner in the zones of `primary`."""
    return {(entry["host"], entry["certificate"]) for zone in judged(primary)["primary_zones"] for owner in zone["tlsa_owners"] for entry in owner["backends"]}


def with_a_say(primaries: Iterable[Json], host: str) -> Iterator[tuple[Json, set[str]]]:
    """Each of `primaries` with certificates of `host` behind its zones, and these.  What others say of the host is not to be read."""
    for primary in primaries:
        mine = {certificate for where, certificate in places_behind(primary) if where == host}
        if mine:
            yield primary, mine


def said(primary: Json, variable: str, key: str) -> list[Json]:
    """What the module whose result is `variable` returned on `primary` as `key`, of what answers in its zones: of others it has no say.

    Each with the name of the primary as `primary`.
    """
    places = places_behind(primary)
    return [{**one, "primary": judged(primary)["host"]} for one in (primary.get(variable) or {}).get(key) or () if (one["host"], one["certificate"]) in places]
