# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts the clients of a name may reach, and which may be added.  Pure: no input or output, no clock.

A client takes the addresses of a name from one cache and its TLSA records from another.  So the keys of a host come first and
go last: its addresses enter when no cache can hold TLSA records that its keys do not match, and its keys leave when no cache
can hold its addresses (RFC 7671 section 8.1, RFC 7672 section 8.1).

All times are seconds of the clock of the history; what the policy says is in seconds too.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import history
from .history import Answer, Given, History, Opening, Policy, Records, RRset, Server
from .rollover import Backend, Chain, Owner
from .tlsa import TLSA

_THERE = TLSA(3, 1, 0, b"\0")  # stands in the history of an address for: it is given


@dataclass(frozen=True)
class Name:
    """What is known of the addresses of one name.

    hosts: whose addresses are published, with these.  ttl: the largest with which any was.  left: by address, what was published and
    is no more, for as long as a cache may hold it.  others: the hosts that are not behind the name, yet or any more, and the
    keys and certificates that each had, for as long as there are records of them.
    """

    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ttl: int = 0
    left: Mapping[str, RRset] = field(default_factory=dict)
    others: Mapping[str, tuple[Chain, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """A host that is not yet, or no more, behind a name: a sentence, what it waits for, and until when at the latest, if that is known."""

    text: str
    held_by: tuple[str, ...] = ()
    not_before: int | None = None


def observed(name: Name, servers: Sequence[Server], given: Iterable[Given], policy: Policy, now: int, certain: bool = True) -> Name:
    """Name servers gave addresses of the name at `now`, if that is `certain` (history.observed).  Of one that was silent, lame or bogus
    there is nothing: that is no news of it."""
    told = tuple(given)
    left = {}
    for address, rrset in name.left.items():
        answers = [Answer(one.server, rrset.records if address in one.addresses else frozenset(), rrset.ttl, one.signed_until, one.expire)
                   for one in told]
        left[address] = history.observed(History(tuple(servers), (rrset,)), answers, policy, now, certain).rrsets[0]
    return replace(name, left=left)


def pruned(name: Name, servers: Sequence[Server], policy: Policy, now: int) -> Name:
    """Without the addresses that no cache can hold any more, not even a stale one."""
    return replace(name, left={address: rrset for address, rrset in name.left.items()
                               if not _released(rrset, servers, policy).is_open(now)})


def _released(rrset: RRset, servers: Sequence[Server], policy: Policy) -> Opening:
    return history.forgotten(_THERE, History(tuple(servers), (rrset,)), policy)


def admitted(name: Name | None, wanted: Mapping[str, tuple[str, ...]], opens: Mapping[str, Opening], now: int) -> dict[str, tuple[str, ...]]:
    """The hosts whose addresses are to be published, with these: of `wanted` those that were, and those that may be added.

    A name never is without a host: where none of its hosts may stay or be added, and where nothing is on record, all are.
    """
    if name is None:
        return dict(wanted)
    return {host: addresses for host, addresses in wanted.items() if host in name.hosts or opens[host].is_open(now)} or dict(wanted)


def published(name: Name | None, hosts: Mapping[str, tuple[str, ...]], wanted: Collection[str], chains: Mapping[str, tuple[Chain, ...]], ttl: int,
              signed_until: int, expire: int, now: int) -> Name:
    """From `now` on the addresses of `hosts` are published, and no others.

    `wanted` are all hosts that the name is to have, `chains` the keys and certificates that each host was last known to have.
    """
    before = name or Name()
    current = {address for addresses in hosts.values() for address in addresses}
    gone = {address for addresses in before.hosts.values() for address in addresses} - current
    left = {address: rrset for address, rrset in before.left.items() if address not in current}
    left.update({address: RRset(frozenset({_THERE}), before.ttl, signed_until, expire, replaced=now) for address in gone})
    # what one that has left makes after that is no key of the name
    others = {host: tuple(sorted({*before.others.get(host, ()), *(chains.get(host, ()) if host in wanted or host in before.hosts else ())},
                                 key=lambda chain: (chain.spki, chain.fingerprint)))
              for host in {*before.others, *before.hosts, *wanted} - {*hosts}}
    return Name(dict(hosts), max(ttl, before.ttl), left, others)


def settled(name: Name, records: frozenset[TLSA]) -> Name:
    """Without the hosts that are of no concern any more: `records` are all that are published for the name."""
    return replace(name, others={host: chains for host, chains in name.others.items() if name.left or not records.isdisjoint(_records(chains))})


def _records(chains: Iterable[Chain]) -> Records:
    return frozenset(record for chain in chains for record in chain.records())


def unused(name: Name, compromised: Iterable[str]) -> frozenset[TLSA]:
    """The records that may go, but for those of keys that a host of the model has: of hosts that no client can reach, and of compromised keys.

    Of such a key also where nobody is known to have it any more, as its file is lost: the thief has it.
    """
    bad = set(compromised)
    return _records((*map(Chain, bad), *(chain for chains in name.others.values() for chain in chains if not name.left or chain.spki in bad)))


def leaving(name: Name) -> Records:
    """The records of hosts that have left the name, and that some client may still reach."""
    return _records(chain for chains in name.others.values() for chain in chains) if name.left else frozenset()


def opens(host: str, backends: Iterable[Backend], owners: Iterable[Owner], policy: Policy) -> Opening:
    """When the addresses of `host` may be published: `owners` are those of the name, `backends` all that answer for them."""
    latest, known = 0, True
    waits: list[str] = []
    mine = [one for one in backends if one.host == host]
    for owner in owners:
        if not owner.history.rrsets:           # no cache holds any, and the first is published when all hosts match
            continue
        for one in mine:
            if owner.name not in one.owners:
                continue
            found = _opens(one, owner, policy)
            waits += found.waits_for
            known = known and found.time is not None
            latest = max(latest, found.time or 0)
    return Opening(latest if known else None, tuple(dict.fromkeys(waits)))


def _opens(backend: Backend, owner: Owner, policy: Policy) -> Opening:
    """When no cache can hold an RRset of `owner` that does not match what `backend` presents."""
    seen = [one for one in backend.presented if one.owner == owner.name]
    bare = [f"{one.endpoint} presents no certificate: {one.error or 'no TLS'}" for one in seen if not one.spki]
    if owner.trouble or not backend.heard or not backend.proven or not seen or bare:
        return Opening(None, (owner.trouble,) if owner.trouble else (f"{backend.host} has not reported in this run",) if not backend.heard else
                       tuple(bare) or (f"{backend.host} has yet to prove what it presents for {owner.name}",))
    found = [history.opening(records, owner.history, policy) for records in sorted({one.chain().records() for one in seen}, key=sorted)]
    times = [one.time for one in found if one.time is not None]
    return Opening(max(times) if len(times) == len(found) else None, tuple(text for one in found for text in one.waits_for))


def notes(label: str, name: Name, wanted: Collection[str], opens: Mapping[str, Opening], servers: Sequence[Server], policy: Policy) -> list[Note]:
    """What is to be said of hosts that are on their way into the name, or out of it."""
    said = [Note(f"{label} {host} is not among its addresses yet: caches may hold TLSA records that its keys do not match",
                 opens[host].waits_for, opens[host].time) for host in wanted if host not in name.hosts]
    if not name.left:
        return said
    gone = sorted(set(name.others) - set(wanted))
    times = [_released(rrset, servers, policy).time or 0 for rrset in name.left.values()]
    waits = tuple(f"{server.address} may still give {address}" for address, rrset in sorted(name.left.items()) for server in servers
                  if history.gone(rrset, server) is None)
    return said + [Note(f"{label} {host} has left, and its keys stay published: caches may hold its addresses", waits, max(times))
                   for host in gone]
