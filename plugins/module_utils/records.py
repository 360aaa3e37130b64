# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a zone's primary: what is published, and what each host last said of its keys.

Its shape is in docs/architecture.md.  It is read and written under a lock, so that two controllers cannot lose each
other's news; a host that is not heard from loses nothing.
"""
from __future__ import annotations

import json
import os
import re
from typing import Any

from .errors import DaneError, printable
from .files import lock, make_directory, write_file
from .rollover import Backend, Plan, Presented, plan
from .tlsa import TLSA

SCHEMA = 1
Json = dict[str, Any]
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def read(path: str, host: str) -> Json:
    """The record in `path`, or a new one for `host`."""
    try:
        with open(path, "rb") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {"schema": SCHEMA, "host": host, "generation": 0, "zones": {}, "reports": {}}
    try:
        record: Json = json.loads(text)
        schema, owner = record["schema"], record["host"]
        if not (isinstance(record["generation"], int) and isinstance(record["zones"], dict) and isinstance(record["reports"], dict)):
            raise ValueError("a part is not in its shape")
    except (ValueError, KeyError, TypeError) as error:
        raise DaneError(f"{path} is cut or damaged ({error}); restore it from a backup, or move it away to have it made anew"
                        " from what the hosts report") from error
    if schema != SCHEMA:
        raise DaneError(f"{path} has schema {schema!r}, and this version reads {SCHEMA}; update the collection")
    if owner != host:
        raise DaneError(f"{path} belongs to the host {owner!r}, and this is {host}; move it away: a record is never copied")
    return record


def _remembered(report: Json) -> Json:
    """The part of a host's report that is remembered: keys and what is live; hostile values are errors."""
    certificates: Json = {}
    for certificate in report["certificates"]:
        keys: list[Json] = [{"spki": _hex(key["spki"], report["host"]), "created": int(key["created"])} for key in certificate["keys"]]
        live = certificate["live"]
        certificates[certificate["name"]] = {
            "keys": sorted(keys, key=lambda key: (key["created"], key["spki"])),
            "live": _hex(live["spki"], report["host"]) if live else "",
        }
    return {"certificates": certificates}


def _hex(text: Any, host: str) -> str:
    if not isinstance(text, str) or not _DIGEST.match(text):
        raise DaneError(f"the report of {host} has {printable(ascii(text), 80)} where the SHA-256 of a key belongs; run it again")
    return text


def merge(record: Json, zones: list[Json], reports: list[Json], forget: list[str], now: int) -> tuple[Json, dict[str, dict[str, Plan]]]:
    """The record after `reports`, and the plan of each owner of each zone.

    `zones` are the primary's zones as in the slice (`name`, `tlsa_ttl`, `tlsa_owners`), `forget` the owners whose records
    the operator wants gone, `now` unix seconds.  An owner that the model no longer has keeps its records until then.
    """
    said = {report["host"]: report for report in reports}
    remembered = {**record["reports"], **{host: _remembered(report) for host, report in said.items()}}
    published: Json = {}
    plans: dict[str, dict[str, Plan]] = {}
    for zone in zones:
        before: Json = record["zones"].get(zone["name"], {})
        plans[zone["name"]], published[zone["name"]] = {}, {}
        wanted = {entry["owner"]: entry["backends"] for entry in zone["tlsa_owners"]}
        for owner in sorted({*before, *wanted} - set(forget)):
            old = before.get(owner, {"records": [], "ttl": zone["tlsa_ttl"], "since": now})
            records = frozenset(TLSA.parse(text, f"the record of {owner}") for text in old["records"])
            if owner in wanted:
                outcome = plan(records, tuple(_backend(entry, remembered, said) for entry in wanted[owner]))
            else:
                outcome = Plan(tuple(sorted(records)), "kept although the model no longer has it; -e dane_forget="
                               f"{owner} removes it once no server presents it")
            plans[zone["name"]][owner] = outcome
            if outcome.records:
                texts = [one.presentation() for one in outcome.records]
                same = texts == old["records"] and old["ttl"] == zone["tlsa_ttl"]
                published[zone["name"]][owner] = old if same else {"records": texts, "ttl": zone["tlsa_ttl"], "since": now}
    new = {**record, "zones": {**record["zones"], **published}, "reports": remembered}
    if new != record:
        new["generation"] = record["generation"] + 1
    return new, plans


def _backend(entry: Json, remembered: Json, said: dict[str, Json]) -> Backend:
    """What is known of one backend of an owner: from its report of this run, else from what is remembered of it."""
    host, name = entry["host"], entry["certificate"]
    known = remembered.get(host, {"certificates": {}})["certificates"].get(name, {"keys": []})
    keys = tuple(key["spki"] for key in known["keys"])
    if host not in said:
        return Backend(host, False, keys)
    presented = tuple(
        Presented(f"{seen['address']} port {seen['port']}", _hex(seen["spki"], host) if seen["spki"] else "", seen["error"])
        for certificate in said[host]["certificates"] if certificate["name"] == name
        for seen in certificate["endpoints"] if (seen["service"], seen["port"]) == (entry["service"], entry["port"]))
    return Backend(host, True, keys, bool(said[host]["timers"]["renew"]), presented)


def update(path: str, host: str, zones: list[Json], reports: list[Json], forget: list[str], now: int,
           write: bool) -> tuple[Json, Json, dict[str, dict[str, Plan]]]:
    """The record before and after, and the plans; written under the lock where `write` and where it differs."""
    if not write:
        before = read(path, host)
        return (before, *merge(before, zones, reports, forget, now))
    make_directory(os.path.dirname(path))
    with lock(f"{path}.lock"):
        before = read(path, host)
        after, plans = merge(before, zones, reports, forget, now)
        if after != before:
            write_file(path, (json.dumps(after, indent=1, sort_keys=True) + "\n").encode(), 0o600)
    return before, after, plans
