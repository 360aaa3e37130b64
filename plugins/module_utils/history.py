# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which TLSA RRsets a cache may still hold, and when a chain may go live.  Pure: no input or output, no clock.

A peer that honours TTLs must never hold an RRset that the presented chain does not match.  So for each RRset that was ever
served the history keeps when each address of each name server was seen with it and without it.  From that follows until
when it may have been served, and until when a cache may hold it (RFC 7671 section 8.1, RFC 7672 section 4).

All times are seconds of one clock that never runs ahead of the true time; what the policy says is in seconds too.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .tlsa import TLSA

Records = frozenset[TLSA]
Parameters = tuple[int, int, int]              # usage, selector, matching type
LOST: Records = frozenset({TLSA(3, 1, 1, bytes(32))})  # stands for what nothing is known of, and matches no chain
UNLEARNT = "a name server whose address cannot be looked up"


# Seconds from a plan to the last signature over what it replaces: a plan is refused when it is 900 old (playbooks/tasks/zones.yml), until then the
# timer may sign what is there, and then the zones are signed one after the other.
PUBLISHING = 1800


@dataclass(frozen=True)
class Policy:
    """What is assumed of caches and name servers: seconds, but for `hops`.

    lead: how much longer than its TTL a cache may hold stale data (RFC 8767 section 5: 1 to 3 days).  session: how long a
    peer goes on with what it has looked up.  floor: the least TTL that a resolver keeps data for, at each of `hops` caches one
    behind the other.  margin: how far clocks may be apart.  fall_back: how long a server must be seen without an RRset until
    it is believed that it will not serve it again (a secondary that restarts has the zone that it last wrote to its disk).
    ns_ttl: the TTL of the zone's NS RRset at its parent.  lost_ttl, lost_expire, lost_signature: the TTL, the SOA expire and
    the signature validity of RRsets of which nothing is known.  skew: for how long resolvers take a signature that has expired
    (unbound: val-sig-skew-max).
    """

    lead: int = 3 * 86400
    session: int = 600
    floor: int = 300
    hops: int = 2
    margin: int = 60
    fall_back: int = 25 * 3600
    ns_ttl: int = 2 * 86400
    lost_ttl: int = 7 * 86400
    lost_expire: int = 28 * 86400
    lost_signature: int = 28 * 86400
    skew: int = 86400


@dataclass(frozen=True)
class Server:
    """One address of a name server of the zone, as the parent or the zone names it.

    answered: when it last gave an answer that validates; None never.  removed: when neither parent nor zone had it any more.
    unlistable: more machines than can be asked stand behind it (anycast).
    """

    address: str
    answered: int | None = None
    removed: int | None = None
    unlistable: bool = False


@dataclass(frozen=True)
class Seen:
    """What one address showed of an RRset that was replaced.

    served: its last answer with it.  missing: its first answer without it after that, and after the primary had replaced it.
    gone: its first answer without it that came `Policy.fall_back` or more after `missing`.
    """

    served: int | None = None
    missing: int | None = None
    gone: int | None = None


@dataclass(frozen=True)
class RRset:
    """One TLSA RRset that some cache may still hold.  The same records with another TTL are another RRset.

    ttl: the original TTL (RFC 4034 section 3.1.4).  signed_until: the latest expiration of its RRSIGs.  expire: the largest SOA
    expire seen with it, added up along a chain of transfers.  replaced: when the primary ceased to publish it; None while it
    does.  seen: by address.  first: when it was published, where the primary had none before it, else None.
    """

    records: Records
    ttl: int
    signed_until: int
    expire: int
    replaced: int | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    first: int | None = None


@dataclass(frozen=True)
class Answer:
    """What an address said of an owner, and its RRSIG validates; `records` is empty where there is no such RRset."""

    address: str
    records: Records
    ttl: int
    signed_until: int
    expire: int


@dataclass(frozen=True)
class Given:
    """What the name server `server` gave as `addresses` of a name, and the RRSIGs validate; none where it has no such RRset."""

    server: str
    addresses: frozenset[str]
    signed_until: int
    expire: int


@dataclass(frozen=True)
class History:
    """All that is remembered of one owner: the addresses to ask, and the RRsets that some cache may hold."""

    servers: tuple[Server, ...] = ()
    rrsets: tuple[RRset, ...] = ()

    def current(self) -> RRset | None:
        """The RRset that the primary publishes."""
        return next((rrset for rrset in self.rrsets if rrset.replaced is None), None)


@dataclass(frozen=True)
class Opening:
    """From when on something is safe at the latest, as far as is known now, None where no time is known yet; and what it waits for, in sentences.

    The time comes nearer as name servers answer, down to what caches need.
    """

    time: int | None
    waits_for: tuple[str, ...] = ()

    def is_open(self, now: int) -> bool:
        """Whether it is safe at `now`."""
        return self.time is not None and self.time <= now


def matches(records: Records, chain: Records) -> bool:
    """Whether a chain that satisfies exactly the associations `chain` matches the RRset `records` for every peer.

    RFC 7671 section 8: a peer may support only one of the (usage, selector, matching type), so each needs a record that
    matches.  Where there is no record, any chain will do.
    """
    return parameters(records) == parameters(records & chain)


def parameters(records: Records) -> set[Parameters]:
    """Each (usage, selector, matching type) of `records`."""
    return {(one.usage, one.selector, one.matching_type) for one in records}


def hold(ttl: int, policy: Policy) -> int:
    """For how many seconds after a server gave an RRset of `ttl` seconds a peer may rely on it, as far as caches honour TTLs."""
    return max(2 * ttl, ttl + policy.hops * policy.floor + policy.session) + policy.margin


# --- what happens to the history ---

def published(history: History, records: Records, ttl: int, signed_until: int, expire: int, now: int, first: bool = False) -> History:
    """The primary publishes `records` from `now` on, and nothing else; where there are none it withdraws the RRset.

    first: it is known to have published none until now.
    """
    kept, begun = [], now if first else None
    for rrset in history.rrsets:
        if (rrset.records, rrset.ttl) == (records, ttl):
            signed_until, expire = max(signed_until, rrset.signed_until), max(expire, rrset.expire)
            begun = rrset.first if rrset.replaced is None else begun
        else:
            kept.append(rrset if rrset.replaced is not None else replace(rrset, replaced=now))
    new = [RRset(records, ttl, signed_until, expire, first=begun)] if records else []
    return replace(history, rrsets=(*kept, *new))


def signed(history: History, records: Records, ttl: int, until: int, again: int) -> History:
    """What the primary has signed last, with signatures that end at `until`.  Where it was replaced it may be signed once more, until `again`."""
    return replace(history, rrsets=tuple(
        replace(one, signed_until=max(one.signed_until, until, again if one.replaced is not None else 0)) if (one.records, one.ttl) == (records, ttl) else one
        for one in history.rrsets))


def lost(history: History, policy: Policy, now: int) -> History:
    """The history was lost, or an older one was restored: until `now` any server may have served anything."""
    unknown = RRset(LOST, policy.lost_ttl, now + policy.lost_signature, policy.lost_expire, replaced=now)
    return replace(history, rrsets=(*(rrset for rrset in history.rrsets if rrset.records != LOST), unknown))


def is_older(history: History, answers: Iterable[Answer], validity: int) -> bool:
    """Whether `history` is from before what is served now, as after a backup was restored.

    What is published is written down before it is signed, for `validity` seconds.  So no address gives an unknown RRset that was
    signed since its last answer, or since the last answer of any where it has none.
    """
    known = {(rrset.records, rrset.ttl) for rrset in history.rrsets}
    answered = {server.address: server.answered for server in history.servers if server.answered is not None}
    latest = max(answered.values(), default=0)
    return any(answer.records and (answer.records, answer.ttl) not in known
               and answer.signed_until - validity > answered.get(answer.address, latest) for answer in answers)


def named(history: History, addresses: Iterable[str] | None, unlistable: Iterable[str], now: int, complete: bool = True) -> History:
    """Parent and zone name the name server `addresses` at `now`; None where nobody was asked.

    complete: these are all.  Where not all could be learnt none counts as removed, and `UNLEARNT` stands for those that nobody can ask.
    unlistable: addresses behind which there are more machines than can be asked.  One that is removed stays so, as its machines do.
    """
    many, known = set(unlistable), {server.address: server for server in history.servers}
    wanted = {address for address, server in known.items() if server.removed is None}
    if addresses is not None:
        wanted = {*addresses} if complete else {*wanted, *addresses, UNLEARNT}
        known = {address: server for address, server in known.items() if address != UNLEARNT}
    servers = [replace(known.get(address, Server(address)), removed=None, unlistable=address in many) for address in sorted(wanted)]
    servers += [replace(server, removed=now if server.removed is None else server.removed, unlistable=server.unlistable or address in many)
                for address, server in sorted(known.items()) if address not in wanted]
    return replace(history, servers=tuple(servers))


def observed(history: History, answers: Iterable[Answer], policy: Policy, now: int, certain: bool = True) -> History:
    """Addresses answered at `now`.  Of one that was silent, lame or bogus there is no answer: that is no news of it.

    certain: it is `now`.  Where the clocks do not agree it may be later, so that no server is believed to serve an RRset no more.
    """
    said = {answer.address: answer for answer in answers}
    rrsets = list(history.rrsets)
    for answer in said.values():
        known = any((rrset.records, rrset.ttl) == (answer.records, answer.ttl) for rrset in rrsets)
        if answer.records and not known:       # what a server comes back with, after it was forgotten here
            rrsets.append(RRset(answer.records, answer.ttl, answer.signed_until, answer.expire, replaced=now))
    return History(tuple(replace(server, answered=now) if server.address in said else server for server in history.servers),
                   tuple(_after(rrset, said, policy, now, certain) for rrset in rrsets))


def _after(rrset: RRset, said: Mapping[str, Answer], policy: Policy, now: int, certain: bool) -> RRset:
    """`rrset` after the answers `said`, by address."""
    seen = dict(rrset.seen)
    signed_until, expire = rrset.signed_until, rrset.expire
    for address, answer in said.items():
        before = seen.get(address, Seen())
        if (answer.records, answer.ttl) == (rrset.records, rrset.ttl):
            signed_until, expire = max(signed_until, answer.signed_until), max(expire, answer.expire)
            seen[address] = Seen(served=now)   # where it seemed gone it fell back, and all starts over
        elif rrset.replaced is None or not certain:
            pass                               # the address is behind, and will have it yet; or it may be later than `now`
        elif before.missing is None:
            seen[address] = replace(before, missing=now)
        elif before.gone is None and now - before.missing >= policy.fall_back:
            seen[address] = replace(before, gone=now)
    return replace(rrset, signed_until=signed_until, expire=expire, seen=seen)


def pruned(history: History, policy: Policy, now: int) -> History:
    """Without what no cache can hold any more, not even a stale one, and without the servers that nobody asks any more.

    A server that was removed may be named again, with what is on its disk.
    """
    back = tuple(replace(server, removed=None) for server in history.servers)
    rrsets = tuple(rrset for rrset in history.rrsets if rrset.replaced is None or now <= cached_until(rrset, back, policy) + policy.lead)
    settled = all(rrset.replaced is None for rrset in rrsets)
    return History(tuple(server for server in history.servers
                         if server.removed is None or now <= server.removed + policy.ns_ttl or not settled), rrsets)


# --- what follows from it ---

def gone(rrset: RRset, server: Server) -> int | None:
    """When `server` was first believed not to serve `rrset` again; of many machines one that answers says nothing of the others."""
    return None if server.unlistable else rrset.seen.get(server.address, Seen()).gone


def served_until(rrset: RRset, server: Server, policy: Policy) -> int:
    """The last time at which `server` may serve `rrset`, which the primary has replaced, so that it validates."""
    if rrset.replaced is None:
        raise ValueError("the primary still publishes it")
    shown, end = gone(rrset, server), rrset.signed_until + policy.skew
    if shown is not None:
        return min(shown, end)
    # It has it, may fall back to it, or may have fetched it while it was silent.  The SOA's expire is no end of that: an NSD
    # that was killed takes what is on its disk for new when it starts, also after that had expired (docs/guarantees.md).
    return end if server.removed is None else min(end, server.removed + policy.ns_ttl)


def cached_until(rrset: RRset, servers: Iterable[Server], policy: Policy) -> int:
    """The last time at which a peer may rely on `rrset`, which the primary has replaced, as far as caches honour TTLs."""
    known = tuple(servers) or (Server("of which nothing is known"),)
    return max(served_until(rrset, server, policy) for server in known) + hold(rrset.ttl, policy)


def opening(chain: Records, history: History, policy: Policy, scheduled: bool = True) -> Opening:
    """When a chain that satisfies the associations `chain` may go live.

    That is when no peer can rely on an RRset that the chain does not match; where it is `scheduled`, stale caches included.
    """
    return _released((rrset for rrset in history.rrsets if not matches(rrset.records, chain)), history, policy, policy.lead if scheduled else 0)


def forgotten(association: TLSA, history: History, policy: Policy) -> Opening:
    """When no cache, not even a stale one, can hold an RRset with `association`: its private key may be deleted."""
    return _released((rrset for rrset in history.rrsets if association in rrset.records or rrset.records == LOST), history, policy, policy.lead)


def covered(wanted: Parameters, history: History, policy: Policy) -> Opening:
    """When no cache, not even a stale one, can hold an RRset without the parameters `wanted`: others may be dropped."""
    return _released((rrset for rrset in history.rrsets if wanted not in parameters(rrset.records) or rrset.records == LOST),
                     history, policy, policy.lead)


def _released(rrsets: Iterable[RRset], history: History, policy: Policy, lead: int) -> Opening:
    """When no cache can hold any of `rrsets`, `lead` seconds of stale data included."""
    latest, waits = 0, []
    for rrset in rrsets:
        what = "an RRset of which nothing is known" if rrset.records == LOST else "the RRset " + ", ".join(
            f"{one.usage} {one.selector} {one.matching_type} {one.data.hex()[:8]}.." for one in sorted(rrset.records))
        if rrset.replaced is None:
            return Opening(None, (f"the primary publishes {what}",))
        latest = max(latest, cached_until(rrset, history.servers, policy) + lead)
        waits += [f"{server.address} may still serve {what}" for server in history.servers if gone(rrset, server) is None]
    return Opening(latest, tuple(waits))
