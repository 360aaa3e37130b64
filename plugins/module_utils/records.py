# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a zone's primary: what is and was published, what its name servers said, and what each host last said.

Its shape is in docs/architecture.md.  It is read and written under a lock, so that two controllers cannot lose each
other's news; a host that is not heard from loses nothing.  All times are unix seconds; those of the history are of a clock
of its own (clock.py), which never runs ahead.
"""
from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from . import clock, history, reach, signing
from .errors import NO_SHAPE, DaneError, printable
from .exposure import Exposure, exposure
from .files import lock, make_directory, read_file, write_file
from .history import LOST, History, Policy
from .rollover import Backend, Chain, Key, Owner, Plan, Presented, RRset, Rules, bound, plan
from .tlsa import TLSA

SCHEMA = 2
Json = dict[str, Any]
Served = Mapping[str, tuple[history.Records, int, int]]  # by owner, the records and the TTL in the signed zone, and when its signatures end
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Order:
    """What the operator asks for: owners to forget, keys to roll (host, certificate), SPKI digests that others may have."""

    forget: frozenset[str] = frozenset()
    roll: frozenset[tuple[str, str]] = frozenset()
    compromised: frozenset[str] = frozenset()
    revoke_now: bool = False


@dataclass(frozen=True)
class Observation:
    """What the name servers of one zone said: the addresses that parent and zone name now, and the answers that validate.

    complete: whether these are all; where not all could be learnt none counts as removed.
    trouble: why nothing of the zone may change, in a sentence; "" where it may.
    given: what they gave as the addresses of names.  secure: whether the parent has a DS; None where nobody could tell.
    """

    addresses: Sequence[str]
    answers: Mapping[str, Sequence[history.Answer]] = field(default_factory=dict)
    trouble: str = ""
    given: Mapping[str, Sequence[history.Given]] = field(default_factory=dict)
    secure: bool | None = None
    complete: bool = True


@dataclass(frozen=True)
class Outcome:
    """The record before and after, the plan, and the time of the history.  ahead: seconds by which the host's wall clock is ahead of that.

    notes: hosts that are on their way into a name or out of it.  alarms: what the operator has to do something about, in sentences.
    """

    before: Json
    after: Json
    plan: Plan
    now: int
    ahead: int = 0
    notes: Sequence[reach.Note] = ()
    alarms: Sequence[str] = ()

    def changed(self) -> bool:
        """Whether anything but the news of name servers differs."""
        return lasting(self.before) != lasting(self.after)


def read(path: str, host: str) -> Json:
    """The record in `path`, or a new one for `host`.  DaneError where it cannot be used, with the cure."""
    try:
        with open(path, "rb") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {"schema": SCHEMA, "host": host, "generation": 0, "zones": {}, "reports": {}, "asked": {}, "compromised": [], "clock": None}
    except OSError as error:
        raise DaneError(f"cannot read {path} (the record of this primary): {error.strerror}; make it readable, or move it away to have it made anew"
                        " from what the hosts report") from error
    try:
        record: Json = json.loads(text)
        schema, owner = record["schema"], record["host"]
    except NO_SHAPE as error:
        raise _damaged(path, error) from error
    if schema != SCHEMA:
        raise DaneError(f"{path} has schema {printable(repr(schema), 40)}, and this version reads {SCHEMA}; update the collection where that is more,"
                        " and move the file away where it is less, to have it made anew from what the hosts report")
    if owner != host:
        raise DaneError(f"{path} belongs to the host {printable(repr(owner), 80)}, and this is {host}; move it away: a record is never copied")
    try:
        for zone in record["zones"].values():
            for entry in zone["owners"].values():
                _history_of(zone, entry)
            for entry in zone.get("names", {}).values():
                _name_of(entry)
        for report in record["reports"].values():
            for certificate in report["certificates"].values():
                _keys_of(certificate, {}, record["compromised"], ())
                int(certificate["since"])
                _texts(certificate.get("owners", ()))
                for chain in (*_chains_of(certificate), Chain(certificate["live"], certificate.get("fingerprint", ""))):
                    if chain.spki:
                        chain.records()
        _clock_of(record)
        _texts(record["compromised"])
        if not isinstance(record["generation"], int) or not all(isinstance(one, dict) for one in record["asked"].values()):
            raise ValueError("a part is not in its shape")
    except (*NO_SHAPE, DaneError) as error:
        raise _damaged(path, error) from error
    return record


def _damaged(path: str, error: Exception) -> DaneError:
    return DaneError(f"{path} is cut or damaged ({printable(str(error), 100)}); restore it from a backup, or move it away to have it made anew"
                     " from what the hosts report")


# --- from and to JSON ---

def _clock_of(record: Json) -> clock.Clock | None:
    kept = record["clock"]
    if kept is None:
        return None
    shown = kept["reading"]
    return clock.Clock(_finite(kept["time"]), clock.Reading(_finite(shown["wall"]), _finite(shown["boot"]), str(shown["boot_id"])), _finite(kept["latest"]))


def _finite(kept: Any) -> float:
    if not isinstance(kept, (int, float)) or not math.isfinite(kept):
        raise ValueError("what is no number is where seconds belong")
    return float(kept)


def _moment(kept: Json, name: str) -> int | None:
    return None if kept[name] is None else int(kept[name])


def _texts(kept: Iterable[Any]) -> tuple[str, ...]:
    found = tuple(kept)
    if not all(isinstance(one, str) for one in found):
        raise ValueError("what is not a text is where a text belongs")
    return found


def _servers_of(zone: Json) -> tuple[history.Server, ...]:
    return tuple(history.Server(str(one["address"]), _moment(one, "answered"), _moment(one, "removed"), bool(one.get("unlistable")))
                 for one in zone["servers"])


def _history_of(zone: Json, entry: Json) -> History:
    """The history of one owner; the servers are those of the zone."""
    return History(_servers_of(zone), tuple(_rrset_of(one) for one in entry["rrsets"]))


def _rrset_of(one: Json) -> history.RRset:
    return history.RRset(frozenset(TLSA.parse(text, "the record") for text in one["records"]), int(one["ttl"]), int(one["signed_until"]),
                         int(one["expire"]), _moment(one, "replaced"),
                         {address: history.Seen(*(_moment(seen, name) for name in ("served", "missing", "gone"))) for address, seen in one["seen"].items()},
                         _moment(one, "first") if "first" in one else None)  # of an older version it has none


def _rrset_json(rrset: history.RRset) -> Json:
    return {"records": sorted(one.presentation() for one in rrset.records), "ttl": rrset.ttl, "signed_until": rrset.signed_until,
            "expire": rrset.expire, "replaced": rrset.replaced, "first": rrset.first,
            "seen": {address: asdict(seen) for address, seen in sorted(rrset.seen.items())}}


def _name_of(entry: Json) -> reach.Name:
    return reach.Name({host: _texts(addresses) for host, addresses in entry["hosts"].items()}, int(entry["ttl"]),
                      {address: _rrset_of(one) for address, one in entry["left"].items()},
                      {host: tuple(Chain(_hex(spki, host), _hex(fingerprint, host) if fingerprint else "") for spki, fingerprint in chains)
                       for host, chains in entry["others"].items()})


def _name_json(name: reach.Name) -> Json:
    return {"hosts": {host: list(addresses) for host, addresses in sorted(name.hosts.items())}, "ttl": name.ttl,
            "left": {address: _rrset_json(one) for address, one in sorted(name.left.items())},
            "others": {host: [[chain.spki, chain.fingerprint] for chain in chains] for host, chains in sorted(name.others.items())}}


def published(record: Json, zone: str) -> dict[str, tuple[list[str], int]]:
    """The records in presentation form, sorted, and the TTL of each owner of `zone` that the primary publishes."""
    return {owner: (rrset["records"], rrset["ttl"]) for owner, entry in sorted(record["zones"].get(zone, {"owners": {}})["owners"].items())
            for rrset in entry["rrsets"] if rrset["replaced"] is None}


def owners(record: Json, zone: str) -> list[str]:
    """The owners of `zone` that are on record."""
    return sorted(record["zones"].get(zone, {"owners": {}})["owners"])


def leaving(record: Json, zone: str) -> list[str]:
    """The names of `zone` of which a cache may hold addresses that are not published any more."""
    return [name for name, entry in sorted(record["zones"].get(zone, {}).get("names", {}).items()) if entry["left"]]


def address_records(record: Json, zone: Json) -> list[Json]:
    """The records of `zone` as the slice has them, without the addresses of hosts that are not behind their names yet."""
    names = record["zones"].get(zone["name"], {}).get("names", {})
    withheld = set()
    for name in zone.get("names", ()):
        outside = [one for one in name["hosts"] if one["host"] not in names.get(name["name"], {"hosts": ()})["hosts"]]
        if len(outside) < len(name["hosts"]):  # a name never is without addresses
            withheld |= {(name["name"], address) for one in outside for address in one["addresses"]}
    return [one for one in zone.get("records", ()) if one["type"] not in ("A", "AAAA") or (one["owner"], one["data"]) not in withheld]


def published_keys(record: Json, zones: Sequence[Json]) -> dict[tuple[str, str], list[str]]:
    """For each (host, certificate) behind the owners of `zones` those of its keys, as it last said, that have records.

    Without the compromised ones: a host that lost them has nothing to restore.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for zone in zones:
        texts = published(record, zone["name"])
        for owner in zone["tlsa_owners"]:
            for entry in owner["backends"]:
                known: Json = _certificates(record["reports"], entry["host"]).get(entry["certificate"], {"keys": []})
                keys = {chain.spki for chain in _every_chain(known) if chain.spki not in record["compromised"]
                        and not {one.presentation() for one in chain.records()}.isdisjoint(texts.get(owner["owner"], ([], 0))[0])}
                if keys:
                    found.setdefault((entry["host"], entry["certificate"]), set()).update(keys)
    return {where: sorted(keys) for where, keys in sorted(found.items())}


def moved(record: Json, zones: Sequence[Json], policy: Policy, now: int) -> dict[tuple[str, str], str]:
    """For each (host, certificate) that must not be presented at an owner of `zones` why, in a sentence.

    Caches may hold records there of other certificates of its host, and of none of its keys.
    """
    @cache
    def standing(host: str) -> dict[TLSA, set[str]]:
        """The certificates of `host`, as it last said, by the records that may stand for them."""
        found: dict[TLSA, set[str]] = {}
        for certificate, one in _certificates(record["reports"], host).items():
            for association in (association for chain in _every_chain(one) for association in chain.records()):
                found.setdefault(association, set()).add(certificate)
        return found

    found: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for zone in zones:
        for wanted in zone["tlsa_owners"]:
            for host in {one["host"] for one in wanted["backends"]}:
                new = {one["certificate"] for one in wanted["backends"] if one["host"] == host}
                for certificate, others in _taken(record, zone, wanted["owner"], host, new, standing, policy, now):
                    names, former = found.setdefault((host, certificate), (set(), set()))
                    names.add(wanted["owner"][:-1])
                    former.update(others)
    reasons = {}
    for (host, certificate), (names, former) in sorted(found.items()):
        other = printable(" and ".join(sorted(former)), 200)
        reasons[host, certificate] = (
            f"{host}: {', '.join(sorted(names))} would have the certificate {certificate}, and caches may hold TLSA records of {other} alone, so DANE peers"
            f" would refuse {certificate}; leave the name with {other}, have a new certificate of the other kind (RSA beside ECDSA) join that, and take the"
            f" name from {other} when both are presented (docs/model.md, A name that goes to another certificate)")
    return reasons


def _taken(record: Json, zone: Json, owner: str, host: str, new: Iterable[str], standing: Callable[[str], Mapping[TLSA, set[str]]], policy: Policy,
           now: int) -> Iterator[tuple[str, list[str]]]:
    """Those of the certificates `new` of `host` at `owner` that must not be presented yet, each with the others of which caches may hold records."""
    kept = record["zones"].get(zone["name"], {"owners": {}})
    name = kept.get("names", {}).get(_name(owner))
    if owner not in kept["owners"] or name and host not in name["hosts"] and not name["left"]:
        return  # of the other nothing was published; or no client can reach the host by this name, and reach.py sees to that
    reported: Json = _certificates(record["reports"], host)
    # those that answer for it already, or may, as an older version did not write it down
    there = {one for one in new if one in reported and owner in reported[one].get("owners", [owner])}
    if there == {*new}:
        return
    past = _history_of(kept, kept["owners"][owner])
    current = past.current()
    others_of = [one for one in past.rrsets if one is not current and one.records != LOST]
    if current and others_of and len(others_of) + 1 < len(past.rrsets):
        news = current.records.difference(*(one.records for one in others_of))
        if not all(any(one in standing(each) for each in record["reports"]) for one in news):
            return  # the record is an older one, of before a certificate that may answer for it already
    stands = standing(host)
    for certificate in sorted({*new} - there):
        if there and not _live(record["reports"], host, certificate):
            continue  # it joins one that stays, and waits for that (rollover.joining)
        strange = [one for one in past.rrsets if not any(certificate in stands.get(association, ()) for association in one.records)]
        others = sorted({other for one in strange for association in one.records for other in stands.get(association, ())})
        others = [other for other in others if not history.opening(frozenset(), replace(past, rrsets=tuple(
            one for one in strange if any(other in stands.get(association, ()) for association in one.records))), policy).is_open(now)]
        if others:
            yield certificate, others


def bound_certificates(record: Json, zones: Sequence[Json], rules: Rules) -> dict[tuple[str, str], bool]:
    """For each (host, certificate) behind the owners of `zones` whether its timer must leave renewals to the plan.

    Without those of which nobody knows it, as the record was lost: they stay as they are.
    """
    owners: dict[tuple[str, str], list[Owner]] = {}
    for zone in zones:
        entries = record["zones"].get(zone["name"])
        for wanted in zone["tlsa_owners"]:
            entry = (entries or {"owners": {}})["owners"].get(wanted["owner"])
            past = _history_of(entries, entry) if entries and entry else History() if entries else history.lost(History(), rules.caches, 0)
            for backend in wanted["backends"]:
                owners.setdefault((backend["host"], backend["certificate"]), []).append(Owner(wanted["owner"], zone["tlsa_ttl"], past))
    found = {where: bound(several, rules) for where, several in sorted(owners.items())}
    return {where: known for where, known in found.items() if known is not None}


def exposures(record: Json, zones: Sequence[Json], rules: Rules, validity: int, now: int) -> dict[tuple[str, str], Exposure]:
    """The exposure of each (host, certificate) behind the owners of `zones` whose live key, as it last said, is compromised."""
    found: dict[tuple[str, str], Exposure] = {}
    backends = _backends({owner["owner"]: owner["backends"] for zone in zones for owner in zone["tlsa_owners"]}, record["reports"], {},
                         record["compromised"], now)
    histories = {owner: (zone["tlsa_ttl"], _history_of(record["zones"][zone["name"]], entry))
                 for zone in zones if zone["name"] in record["zones"] for owner, entry in record["zones"][zone["name"]]["owners"].items()}
    for one in backends:
        known = exposure(one, [Owner(name, *histories[name]) for name in one.owners if name in histories], rules.caches, validity + history.PUBLISHING, now)
        if known:
            found[one.host, one.certificate] = known
    return found


def lasting(record: Json) -> Json:
    """What of the record stays the same where nothing is published, retired or reported anew."""
    return {"reports": record["reports"], "asked": record["asked"], "compromised": record["compromised"],
            "zones": {zone: published(record, zone) for zone in record["zones"]},
            "names": {name: one["hosts"] for zone in record["zones"].values() for name, one in zone.get("names", {}).items()}}


def ordered(record: Json, host: str, certificate: str) -> Json:
    """What the operator has said, as far as it is of a certificate: `asked` is the live key that is to be rolled, `burnt` those of its keys that others have.

    live: its live key, as far as is known.  compromised: all keys that others may have.
    """
    known: Json = _certificates(record["reports"], host).get(certificate, {"keys": []})
    return {"live": _live(record["reports"], host, certificate), "asked": record["asked"].get(host, {}).get(certificate, ""),
            "burnt": [key["spki"] for key in known["keys"] if key["spki"] in record["compromised"]], "compromised": [*record["compromised"]]}


def _hex(text: Any, host: str) -> str:
    if not isinstance(text, str) or not _DIGEST.match(text):
        raise DaneError(f"the report of {host} has {printable(ascii(text), 80)} where a SHA-256 belongs; run it again")
    return text


@contextmanager
def _report_of(host: Any) -> Iterator[None]:
    """What a host says is read; DaneError where it is no report."""
    try:
        yield
    except NO_SHAPE as error:
        raise DaneError(f"the report of {printable(ascii(host), 80)} is not in its shape ({type(error).__name__} {printable(error, 80)}); run it again, and"
                        " with --limit without that host if it stays so") from error


def _remembered(report: Json, before: Json, held: frozenset[str]) -> Json:
    """The part of a host's report that is remembered: keys, certificates and what is live; hostile values are errors.

    before: what was remembered of the host.  held: the records that some RRset has; certificates with one of them stay.
    """
    host, certificates = report["host"], {}
    for certificate in report["certificates"]:
        keys: list[Json] = [{"spki": _hex(key["spki"], host), "created": int(key["created"])} for key in certificate["keys"]]
        live = certificate["live"]
        known = {_hex(key["certificate"]["fingerprint"], host): key["spki"] for key in certificate["keys"] if key["certificate"]}
        known.update({_hex(live["fingerprint"], host): _hex(live["spki"], host)} if live else {})
        known.update({chain.fingerprint: chain.spki for chain in _chains_of(before.get(certificate["name"], {}))
                      if not held.isdisjoint(one.presentation() for one in chain.records() if not one.selector)})
        certificates[certificate["name"]] = {
            "keys": sorted(keys, key=lambda key: (key["created"], key["spki"])),
            "live": live["spki"] if live else "",
            "since": int(live["since"]) if live else 0,
            "fingerprint": live["fingerprint"] if live else "",
            "certificates": dict(sorted(known.items())),
        }
        former: Json = before.get(certificate["name"], {"owners": []})
        # one that is held back answers for nothing yet; and in site.yml a host first reports without a look at its endpoints
        there = sorted({f"_{int(seen['port'])}._tcp.{seen['name']}." for seen in certificate["endpoints"] if live}) or former.get(
            "owners", None if former.get("live") else [])
        if there is not None:  # else an older version did not write it down
            certificates[certificate["name"]]["owners"] = there
    return {"certificates": certificates}


def _keys_of(known: Json, issued: Mapping[str, str], compromised: Iterable[str], outdated: Iterable[str]) -> tuple[Key, ...]:
    """The keys of a remembered certificate; `issued` has the fingerprint of the good certificate of some."""
    return tuple(Key(key["spki"], int(key["created"]), issued.get(key["spki"], ""), key["spki"] in compromised, key["spki"] in outdated)
                 for key in known["keys"])


def _certificates(reports: Json, host: str) -> Json:
    """The remembered certificates of `host`, by name."""
    found: Json = reports.get(host, {"certificates": {}})["certificates"]
    return found


def _chains_of(known: Json) -> tuple[Chain, ...]:
    """The remembered certificates."""
    return tuple(Chain(str(spki), str(fingerprint)) for fingerprint, spki in known.get("certificates", {}).items())


def _every_chain(known: Json) -> tuple[Chain, ...]:
    """These, and each of the keys."""
    return (*_chains_of(known), *(Chain(key["spki"]) for key in known["keys"]))


def signed(zones: Sequence[Json], directory: str = signing.Places.signed) -> dict[str, Served]:
    """The TLSA RRsets that this primary has signed last, by zone; nothing of a file that is not there, cannot be read, is not ours, or altered."""
    found: dict[str, Served] = {}
    for zone in zones:
        path = signing.signed_path(signing.Places(signed=directory), zone["name"])
        mine: dict[str, tuple[history.Records, int, int]] = {}
        try:
            known = signing.read_signed(path, zone["name"])
            text = read_file(path, f"the signed zone {zone['name']}").decode("ascii", "replace") if known and known.intact else ""
            until = known.signed + known.validity if known else 0
        except DaneError:  # of one zone: the others go on, and signed_zones says it
            text = ""
        for fields in (line.split(";")[0].split() for line in text.split("\n")):
            if fields[3:4] == ["TLSA"]:
                try:
                    record = TLSA.parse(" ".join(fields[4:]), path)
                except DaneError:
                    continue  # the operator's own
                mine[fields[0].lower()] = (mine.get(fields[0].lower(), (frozenset(), 0, 0))[0] | {record}, int(fields[1]), until)
        found[zone["name"]] = mine
    return found


# --- merging ---

def merge(record: Json, zones: Sequence[Json], reports: Sequence[Json], observations: Mapping[str, Observation], order: Order, rules: Rules,
          validity: int, now: int, trouble: str = "", served: Mapping[str, Served] | None = None) -> tuple[Json, Plan, list[reach.Note]]:
    """The record after `reports` and `observations`, the plan, and what is to be said of hosts that come and go.

    `zones` are the primary's zones as in the slice (`name`, `ttl`, `tlsa_ttl`, `soa`, `anycast`, `tlsa_owners`, `names`), `validity` the
    seconds for which the primary signs, `trouble` why nothing may change, if so, `served` what it has signed last, by zone.  An owner that the model no
    longer has keeps its records until it is to be forgotten.
    """
    with _report_of("a host"):
        said: dict[str, Json] = {}
        for report in reports:
            if said.setdefault(str(report["host"]), report) is not report:
                raise DaneError(f"{printable(str(report['host']), 80)} has two reports, and one of them may be another host's; give one of each host")
    held = frozenset(text for zone in record["zones"].values() for entry in zone["owners"].values() for rrset in entry["rrsets"]
                     for text in rrset["records"])
    remembered = {**record["reports"]}
    for host, report in said.items():
        with _report_of(host):
            remembered[host] = _remembered(report, _certificates(record["reports"], host), held)
    compromised = sorted({*record["compromised"], *(_hex(digest, "the operator") for digest in order.compromised)})
    _remember_lost(record, remembered, said, compromised)
    asked = {host: {name: key or _live(remembered, host, name) for name, key in names.items() if not key or _live(remembered, host, name) in ("", key)}
             for host, names in record["asked"].items()}
    for host, name in order.roll:
        asked.setdefault(host, {})[name] = _live(remembered, host, name)
    wishes = frozenset((host, name) for host, names in asked.items() for name in names)
    past: dict[str, dict[str, History]] = {}
    servers: dict[str, tuple[history.Server, ...]] = {}
    wanted: dict[str, Json] = {}
    asked_for: list[Owner] = []
    for zone in zones:
        seen = observations.get(zone["name"])
        past[zone["name"]], servers[zone["name"]] = _past(
            record, zone, rules.caches, seen, (served or {}).get(zone["name"], {}), validity, now, trouble)
        model = {entry["owner"]: entry["backends"] for entry in zone["tlsa_owners"] if entry["owner"] not in order.forget}
        wanted.update(model)
        asked_for += [Owner(owner, zone["tlsa_ttl"], past[zone["name"]][owner], trouble or (seen.trouble if seen else "")) for owner in sorted(model)]
    backends = _backends(wanted, remembered, said, compromised, now)
    names: dict[str, reach.Name] = {}
    notes: list[reach.Note] = []
    chains = _all_chains(record["reports"], remembered)
    for zone in zones:
        found, said_of = _names(record, zone, servers[zone["name"]], observations.get(zone["name"]), chains, asked_for, order.forget, backends,
                                rules.caches, validity, now, trouble)
        names.update(found)
        notes += said_of
    behind = {owner.name: names.get(_name(owner.name), reach.Name()) for owner in asked_for}
    asked_for = [replace(owner, unused=reach.unused(behind[owner.name], compromised), leaving=reach.leaving(behind[owner.name])) for owner in asked_for]
    former = [Owner(owner, zone["tlsa_ttl"], one) for zone in zones for owner, one in past[zone["name"]].items() if owner not in wanted]
    made = plan(asked_for, backends, rules, now, wishes, order.revoke_now, former)
    rrsets, troubles = dict(made.rrsets), {owner.name: owner.trouble for owner in asked_for}
    entries: Json = {}
    for zone in zones:
        after: dict[str, History] = {}
        for owner, one in past[zone["name"]].items():
            current = one.current()
            if owner not in wanted and current:
                rrsets[owner] = RRset(frozenset(), "removed, as the operator wants") if owner in order.forget else RRset(
                    current.records, f"kept although the model no longer has it; -e dane_forget={owner} removes it once no server presents it")
            records = rrsets[owner].records if owner in rrsets else frozenset()
            after[owner] = _publish(one, records, zone, owner in wanted and not troubles.get(owner), validity, now)
        mine = {entry["name"]: names[entry["name"]] for entry in zone.get("names", ())}
        entries[zone["name"]] = {**_entry(after, mine, servers[zone["name"]]), "secure": _was_secure(record, zone["name"], observations)}
    new = {**record, "zones": {**record["zones"], **entries}, "reports": remembered, "compromised": compromised,
           "asked": {host: names for host, names in asked.items() if names}}
    return new, Plan(rrsets, made.steps, made.held), notes


def _entry(past: Mapping[str, History], names: Mapping[str, reach.Name], servers: Sequence[history.Server]) -> Json:
    """What is written of one zone.  A server is forgotten when nothing that it may have served is remembered."""
    left = any(one.left for one in names.values())
    needed = {server.address for one in past.values() for server in one.servers}
    published: dict[str, set[TLSA]] = {}
    for owner, one in past.items():
        current = one.current()
        published.setdefault(_name(owner), set()).update(current.records if current else ())
    return {"servers": [asdict(server) for server in servers if left or server.address in needed],
            "owners": {owner: {"rrsets": [_rrset_json(rrset) for rrset in one.rrsets]} for owner, one in sorted(past.items()) if one.rrsets},
            "names": {name: _name_json(reach.settled(one, frozenset(published.get(name, ())))) for name, one in sorted(names.items())}}


def _was_secure(record: Json, zone: str, observations: Mapping[str, Observation]) -> bool:
    """Whether its parent was seen with a DS, now or before; where no TLSA record is published nobody misses it."""
    seen = observations.get(zone)
    return bool(seen and seen.secure) or bool(record["zones"].get(zone, {}).get("secure") and published(record, zone))


def _alarms(record: Json, made: Plan, observations: Mapping[str, Observation]) -> list[str]:
    """What the operator has to do something about, in sentences; `record` is the one before."""
    gone = [zone for zone, seen in sorted(observations.items()) if seen.secure is False and _was_secure(record, zone, observations)]
    held = {f"{host}, {certificate}": step.held_by for (host, certificate), step in sorted(made.steps.items())}
    # what holds records back is not in a step that goes on meanwhile, as an order or a switch
    said = {text for texts in held.values() for text in texts}
    held |= {owner[:-1]: tuple(text for text in rrset.held_by if text not in said) for owner, rrset in sorted(made.rrsets.items())}
    return [*(f"ALARM: {zone} had a DS in its parent and has none any more, so nobody does DANE with it; give it back, or have its TLSA records removed first"
              for zone in gone),
            *dict.fromkeys(f"{what}: {text}" for what, texts in held.items() for text in texts if text.startswith("ALARM"))]


def _name(owner: str) -> str:
    """The name that the TLSA owner is about: without port and protocol."""
    return owner.split(".", 2)[-1]


def _all_chains(*reports: Json) -> dict[str, tuple[Chain, ...]]:
    """The keys and certificates of each host in any of these."""
    found: dict[str, set[Chain]] = {}
    for remembered in reports:
        for host, report in remembered.items():
            for one in report["certificates"].values():
                found.setdefault(host, set()).update(_every_chain(one))
    return {host: tuple(chains) for host, chains in found.items()}


def _names(record: Json, zone: Json, servers: Sequence[history.Server], seen: Observation | None, chains: Mapping[str, tuple[Chain, ...]],
           owners: Sequence[Owner], forget: Iterable[str], backends: Sequence[Backend], policy: Policy, validity: int,
           now: int, trouble: str) -> tuple[dict[str, reach.Name], list[reach.Note]]:
    """The names of `zone` with the hosts that are behind them from now on, and what is to be said of the others."""
    known: Json = record["zones"].get(zone["name"], {}).get("names", {})
    found: dict[str, reach.Name] = {}
    notes: list[reach.Note] = []
    forgotten = {_name(owner): owner for owner in forget}
    for entry in zone.get("names", ()):
        name = entry["name"]
        wanted = {one["host"]: tuple(one["addresses"]) for one in entry["hosts"]}
        before = _name_of(known[name]) if name in known else None
        if before:
            before = reach.pruned(reach.observed(before, servers, seen.given.get(name, ()) if seen else (), policy, now, not trouble), servers, policy, now)
        mine = [owner for owner in owners if _name(owner.name) == name]
        opens = {host: history.Opening(None, (f"the records of {forgotten[name]} are removed in this run",)) if name in forgotten else
                 reach.opens(host, backends, mine, policy) for host in wanted}
        found[name] = before if before and trouble else reach.published(
            before, reach.admitted(before, wanted, opens, now), wanted, chains, zone["ttl"], _signed_until(validity, now), int(zone["soa"]["expire"]), now)
        notes += reach.notes(f"{name[:-1]}:", found[name], wanted, opens, servers, policy)
    return found, notes


def _remember_lost(record: Json, remembered: Json, said: Iterable[str], compromised: Sequence[str]) -> None:
    """Keep of the hosts that have reported the compromised keys that they have no more, as long as these have records: they are to leave them."""
    texts = {text for zone in record["zones"] for entry, _ttl in published(record, zone).values() for text in entry}
    for host in said:
        for name, before in _certificates(record["reports"], host).items():
            now: Json | None = remembered[host]["certificates"].get(name)
            there = {key["spki"] for key in now["keys"]} if now else set()
            lost = [key for key in before["keys"] if key["spki"] in compromised and key["spki"] not in there
                    and any(one.presentation() in texts for chain in (Chain(key["spki"]), *_chains_of(before)) if chain.spki == key["spki"]
                            for one in chain.records())]
            if now and lost:
                now["keys"] = sorted([*now["keys"], *lost], key=lambda key: (key["created"], key["spki"]))


def _live(remembered: Json, host: str, name: str) -> str:
    """The SPKI digest of what is live, as the host last said; "" where it is not known."""
    known: Json = _certificates(remembered, host).get(name, {})
    return str(known.get("live", ""))


def _past(record: Json, zone: Json, policy: Policy, seen: Observation | None, served: Served, validity: int,
          now: int, trouble: str) -> tuple[dict[str, History], tuple[history.Server, ...]]:
    """The history of each owner of `zone` up to now, with what the name servers said, and all servers that were known.

    Where the record was lost, or an older one is in its place, what the primary has signed is what it publishes: a host that is not
    heard from loses nothing.  That is a DaneError where it may be later than `now`, which `trouble` says.
    """
    entry: Json | None = record["zones"].get(zone["name"])
    known = entry or {"servers": [], "owners": {}}
    past = {owner: _history_of(known, one) for owner, one in known["owners"].items()}
    servers = _servers_of(known)
    # what is signed, and then served, is written down before; other TLSA records are the operator's own
    ours = {*past, *(wanted["owner"] for wanted in zone["tlsa_owners"])}
    served = {owner: one for owner, one in served.items() if owner in ours}
    unknown = any(one[:2] not in {(rrset.records, rrset.ttl) for rrset in past.get(owner, History()).rrsets} for owner, one in served.items())
    if entry is None or unknown or seen and any(history.is_older(one, seen.answers.get(owner, ()), validity) for owner, one in past.items()):
        if trouble:  # what is waited for would end too early
            raise DaneError(f"{trouble}; the record of {zone['name']}, which is missing or an older one, is not begun before they agree")
        # a zone of which nothing is on record may have had any RRset, signed for as long as the last one, whatever is wanted now
        worst = replace(policy, lost_signature=max([policy.lost_signature, *(until - now for _records, _ttl, until in served.values())]))
        past = {owner: history.lost(past.get(owner, History(servers)), worst, now) for owner in sorted(ours)}
        for owner, (records, ttl, _until) in served.items():
            past[owner] = history.published(past[owner], records, ttl, _signed_until(validity, now), int(zone["soa"]["expire"]), now)
    # where a run ended before it had signed what it had planned, the timer goes on to sign what is there
    past = {owner: history.signed(one, *served[owner], _signed_until(validity, now)) if owner in served else one for owner, one in past.items()}
    for wanted in zone["tlsa_owners"]:
        past.setdefault(wanted["owner"], History(servers))
    # what the operator says of servers counts also where nobody was asked
    told = {owner: history.named(one, seen.addresses if seen and not trouble else None, zone.get("anycast", ()), now, bool(seen and seen.complete))
            for owner, one in past.items()}
    if seen:
        told = {owner: history.observed(one, seen.answers.get(owner, ()), policy, now, not trouble) for owner, one in told.items()}
    servers = next((one.servers for one in told.values()), servers)
    return {owner: history.pruned(one, policy, now) if seen else one for owner, one in told.items()}, servers


def _signed_until(validity: int, now: int) -> int:
    """The latest end of a signature that the primary makes before what is planned at `now` is served."""
    return now + validity + history.PUBLISHING


def _publish(past: History, records: frozenset[TLSA], zone: Json, new_ttl: bool, validity: int, now: int) -> History:
    """`past` and from now on the RRset `records`; unchanged where that is published already, but for its TTL where that may be a new one."""
    current = past.current()
    if (current.records if current else frozenset()) == records and (not current or not new_ttl or current.ttl == zone["tlsa_ttl"]):
        return past
    # what is replaced may have been signed a moment ago
    signed = replace(past, rrsets=tuple(replace(one, signed_until=max(one.signed_until, _signed_until(validity, now))) if one is current else one
                                        for one in past.rrsets))
    first = not current and all(rrset.first is not None or rrset.records == LOST for rrset in past.rrsets)  # or there were records before
    return history.published(signed, records, zone["tlsa_ttl"], _signed_until(validity, now), int(zone["soa"]["expire"]), now, first)


def _backends(wanted: Json, remembered: Json, said: Mapping[str, Json], compromised: Sequence[str], now: int) -> list[Backend]:
    """Each (host, certificate) that answers for an owner: from its report of this run, else from what is remembered of it."""
    answers: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for owner, backends in wanted.items():
        for entry in backends:
            answers.setdefault((entry["host"], entry["certificate"]), []).append((owner, entry["service"], entry["port"]))
    found = []
    for (host, name), where in sorted(answers.items()):
        with _report_of(host):
            found.append(_backend(host, name, where, remembered, said.get(host), compromised, now))
    return found


def _backend(host: str, name: str, where: Sequence[tuple[str, str, int]], remembered: Json, report: Json | None, compromised: Sequence[str],
             now: int) -> Backend:
    known = _certificates(remembered, host).get(name, {"keys": [], "live": "", "since": 0})
    owners = tuple(sorted({owner for owner, _service, _port in where}))
    chains = _chains_of(known)
    if report is None:
        return Backend(host, name, owners, False, _keys_of(known, {}, compromised, ()), known["live"], known["since"],
                       fingerprint=known.get("fingerprint", ""), known=chains)
    told: Json = next((one for one in report["certificates"] if one["name"] == name), {"keys": [], "endpoints": [], "algorithm": "", "bound": False})
    live = told.get("live")
    issued = {key["spki"]: _hex(key["certificate"]["fingerprint"], host) for key in told["keys"] if key["certificate"]}
    outdated = {key["spki"] for key in told["keys"] if key["algorithm"] != told["algorithm"]}
    presented = tuple(
        Presented(owner, f"{printable(str(seen['address']), 50)} port {seen['port']}", _hex(seen["spki"], host) if seen["spki"] else "",
                  printable(str(seen["error"]), 200),
                  _hex(seen["fingerprint"], host) if seen["fingerprint"] else "")
        for owner, service, port in where for seen in told["endpoints"] if (seen["service"], seen["port"]) == (service, port))
    one = Backend(host, name, owners, True, _keys_of(known, issued, compromised, outdated), known["live"], known["since"],
                  bool(report["timers"]["renew"]), presented, bool(live and live["proven"]), known.get("fingerprint", ""),
                  bound=bool(told["bound"]), known=chains)
    # how long ago, and how much of its life is left, by the clock of the host, whatever that of the history says
    ahead = int(report["time"]) - now
    return one if not live else replace(one, since=int(live["since"]) - ahead, deployed=int(live["deployed"]) - ahead, due=bool(told["due"]),
                                        lifetime=int(live["not_after"]) - int(live["not_before"]), expires=int(live["not_after"]) - ahead)


def update(path: str, host: str, zones: Sequence[Json], reports: Sequence[Json], observations: Mapping[str, Observation], order: Order,
           rules: Rules, validity: int, reading: clock.Reading, controller: float | None, write: bool,
           served: Callable[[], Mapping[str, Served]] = dict) -> Outcome:
    """Merge under the lock, and write the record where `write` and where more of it differs than the time.  `served` reads what is signed.

    `reading` is of the clocks of this host, `controller` the unix seconds of the controller, None where they are not known.
    """
    def merged() -> Outcome:
        before = read(path, host)
        ticked, trouble = clock.advance(_clock_of(before), reading, controller, rules.caches.margin)
        if trouble and before["clock"] is None:  # it would be off for good: all later times count from its first
            raise DaneError(f"{trouble}; {path} is not begun before they agree")
        after, made, notes = merge(before, zones, reports, observations, order, rules, validity, int(ticked.time), trouble, served())
        if after != before:
            after = {**after, "generation": before["generation"] + 1, "clock": asdict(ticked)}
        return Outcome(before, after, made, int(ticked.time), round(reading.wall - ticked.time), notes, _alarms(before, made, observations))

    if not write:
        return merged()
    make_directory(os.path.dirname(path))
    with lock(f"{path}.lock"):
        done = merged()
        if done.after != done.before:
            write_file(path, (json.dumps(done.after, indent=1, sort_keys=True) + "\n").encode(), 0o600)
    return done
