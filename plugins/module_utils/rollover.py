# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: which TLSA RRset each owner has, and which step each host may take.  Pure: no input or output, no clock.

The scheme is 3 1 1 of the current and the next key of each host that answers for the owner (RFC 7671 section 8.1, RFC 7672
section 8.1).  A renewal keeps the key, so no record changes and nothing waits.  A key rolls in these steps, one in a run:

    make key -> publish -> (history.opening) -> order -> deploy -> retire (publish) -> (history.forgotten) -> delete key

Which of them is next follows from what is on disk, on the wire and in the history, never from a note of what was done, so
a run that died anywhere is taken up by the next one.

    current   the key of the live certificate
    next      on disk, made after current, published
    retiring  published, made before current

All times are unix seconds, all durations seconds.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .history import History, Opening, Policy, Records, forgotten, hold, opening
from .tlsa import spki_record


@dataclass(frozen=True)
class Rules:
    """What the operator wants of rolls, and what is assumed of caches and name servers.

    key_lifetime: a key that is live for so long is rolled; None where it is kept until the operator asks.  retire_after: how
    long the old key stays published after a switch, so that there is a way back; None for one hold.
    """

    caches: Policy = field(default_factory=Policy)
    key_lifetime: int | None = 90 * 86400
    retire_after: int | None = None


def make_rules(policy: Mapping[str, Any]) -> Rules:
    """The rules from `dane_policy` with all its defaults.  Of what is not on record the worst is assumed."""
    caches = Policy(policy["lead"], policy["session"], policy["cache_floor"], policy["cache_hops"], policy["clock_margin"], policy["fall_back"],
                    policy["ns_ttl"], policy["highest_tlsa_ttl"], policy["signature_validity"], policy["signature_validity"])
    return Rules(caches, policy["key_lifetime"], policy["retire_after"])


@dataclass(frozen=True)
class Presented:
    """What one endpoint presents for `owner`: `spki` is the leaf's SHA-256 in hexadecimal, "" where there is no TLS."""

    owner: str
    endpoint: str
    spki: str
    error: str = ""


@dataclass(frozen=True)
class Key:
    """A private key on the disk of its host, known by the SHA-256 of its SPKI in hexadecimal.

    certificate: the fingerprint of a good certificate for it on that disk, "" where there is none.  compromised: the operator
    says that others may have it.
    """

    spki: str
    created: int
    certificate: str = ""
    compromised: bool = False


@dataclass(frozen=True)
class Backend:
    """One certificate of a managed host, which answers with it for `owners`; as it was last heard.

    heard: it has reported in this run.  keys: oldest first.  live: the SPKI digest of the live certificate, "" where there is
    none.  since: when that key became live.  renews: its renewal timer is active.  proven: all services were seen to present what
    is live, so that the host does not go back to the key before.
    """

    host: str
    certificate: str
    owners: tuple[str, ...]
    heard: bool
    keys: tuple[Key, ...] = ()
    live: str = ""
    since: int = 0
    renews: bool = False
    presented: tuple[Presented, ...] = ()
    proven: bool = True

    def current(self) -> Key | None:
        """The key of the live certificate."""
        return next((key for key in self.keys if key.spki == self.live), None)

    def later(self) -> tuple[Key, ...]:
        """The keys that may follow the current one, first the one that is to."""
        current = self.current()
        return tuple(key for key in self.keys if current and key.created > current.created and not key.compromised)


@dataclass(frozen=True)
class Owner:
    """A TLSA owner name: its history, the TTL that its RRset is to have, and why nothing of its zone may change now, if so."""

    name: str
    ttl: int
    history: History
    trouble: str = ""

    def published(self) -> Records:
        """The records that the primary publishes."""
        current = self.history.current()
        return current.records if current else frozenset()

    def same(self, records: Records) -> bool:
        """Whether the primary publishes just `records`, with the wanted TTL."""
        current = self.history.current()
        return (current.records, current.ttl) == (records, self.ttl) if current else not records


@dataclass(frozen=True)
class RRset:
    """The records that an owner is to have, the reason in a sentence, and what holds others back."""

    records: Records
    reason: str
    held_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """What one certificate of one host may do now, the reason in a sentence, what holds it back, and not before when.

    kind: "make key" (after the key `spki`), "publish", "order", "deploy" or "delete key", of the key `spki` (and the certificate
    `fingerprint`); "wait" where something else has to happen first, and "rest" where nothing has to.
    """

    kind: str
    reason: str
    spki: str = ""
    fingerprint: str = ""
    held_by: tuple[str, ...] = ()
    not_before: int | None = None


@dataclass(frozen=True)
class Plan:
    """The RRset of each owner, and the step of each (host, certificate)."""

    rrsets: dict[str, RRset]
    steps: dict[tuple[str, str], Step]


def plan(owners: Sequence[Owner], backends: Sequence[Backend], rules: Rules, now: int, asked: frozenset[tuple[str, str]] = frozenset(),
         revoke_now: bool = False) -> Plan:
    """What shall be published, and the one step that each certificate of each host may take.

    asked: the (host, certificate) whose key the operator wants rolled.  revoke_now: where the current key is compromised and
    no clean one is eligible, the operator rather has DANE peers fail for one hold than the current key used for as long.
    """
    rrsets = {owner.name: _rrset(owner, [one for one in backends if owner.name in one.owners], rules, now) for owner in owners}
    steps = {(one.host, one.certificate): _step(one, [owner for owner in owners if owner.name in one.owners], rrsets, rules, now,
                                                (one.host, one.certificate) in asked, revoke_now) for one in backends}
    return Plan(rrsets, steps)


# --- what is published ---

def _rrset(owner: Owner, backends: Sequence[Backend], rules: Rules, now: int) -> RRset:
    """The RRset of `owner`: the union over its backends (RFC 7672 section 8.1)."""
    published = owner.published()
    if owner.trouble:
        return RRset(published, f"kept as it is published: {owner.trouble}", (owner.trouble,))
    known = frozenset(spki_record(key.spki) for one in backends for key in one.keys)
    wanted = (published - known) | frozenset(record for one in backends for record in _wanted(owner, one, backends, rules, now))
    held = [text for one in backends for text in (_not_ready(owner, one) if not published else _mismatch(owner, one, wanted))]
    if held:
        return RRset(published, "kept as it is published: not every backend is known to match" if published else
                     "not published yet: not every endpoint is known to match", tuple(held))
    silent = tuple(f"{one.host} has not reported in this run" for one in backends if not one.heard)
    if not published:
        return RRset(wanted, "first publication: every endpoint presents a key that a record stands for")
    if wanted - published:
        return RRset(wanted, "a key is added: every backend goes on to match", silent)
    if published - wanted:
        return RRset(wanted, "a key is retired: no endpoint presents it", silent)
    return RRset(wanted, "kept as it is published" if silent else "published: every backend matches", silent)


def _wanted(owner: Owner, backend: Backend, backends: Sequence[Backend], rules: Rules, now: int) -> Records:
    """The records that `owner` is to have because of `backend`."""
    published, current = owner.published(), backend.current()
    kept = frozenset(spki_record(key.spki) for key in backend.keys) & published
    if not backend.heard or current is None:
        return kept | ({spki_record(backend.live)} if backend.live else frozenset())
    following = {spki_record(key.spki) for key in backend.later()[:1]}
    presented = {seen.spki for one in backends for seen in one.presented}
    unseen = set(backend.owners) - {seen.owner for seen in backend.presented}
    if not backend.proven or unseen or "" in {seen.spki for seen in backend.presented}:
        return kept | {spki_record(current.spki)} | following  # an endpoint that was not seen may present any of its keys
    stays = backend.since + (hold(owner.ttl, rules.caches) if rules.retire_after is None else rules.retire_after)
    retired = {spki_record(key.spki) for key in backend.keys
               if key.spki not in presented and (key.compromised or key.created < current.created and now >= stays)}
    return (kept - retired) | {spki_record(current.spki)} | following


def _not_ready(owner: Owner, backend: Backend) -> list[str]:
    """Why `owner` must not have its first RRset because of `backend`."""
    if not backend.heard:
        return [f"{backend.host} has not reported in this run"]
    held = [] if backend.later() else [f"{backend.host} has no next key yet"]
    if not backend.renews:
        held.append(f"the renewal timer of {backend.host} is not active")
    presented = [seen for seen in backend.presented if seen.owner == owner.name]
    if not presented:
        held.append(f"{backend.host} has no endpoint that was looked at")
    for seen in presented:
        if not seen.spki:
            held.append(f"{backend.host}: {seen.endpoint} presents no certificate: {seen.error or 'no TLS'}")
        elif seen.spki not in [key.spki for key in backend.keys]:
            held.append(f"{backend.host}: {seen.endpoint} presents the key {seen.spki[:16]}..., which no record stands for")
    return held


def _mismatch(owner: Owner, backend: Backend, wanted: Records) -> list[str]:
    """What `backend` presents for `owner`, or did when it was last heard, and the RRset `wanted` does not match.

    An endpoint without TLS, or of a host that is off, cannot be made worse by another key's record.
    """
    return [f"{backend.host}: {seen.endpoint} presents the key {seen.spki[:16]}..., which no record stands for"
            for seen in backend.presented if seen.owner == owner.name and seen.spki and spki_record(seen.spki) not in wanted]


# --- what a host may do ---

def _step(backend: Backend, owners: Sequence[Owner], rrsets: dict[str, RRset], rules: Rules, now: int, asked: bool, revoke_now: bool) -> Step:
    """The step of one certificate of one host."""
    current, later = backend.current(), backend.later()
    if not backend.heard:
        return Step("wait", "the host has not reported in this run, and nothing of it changes")
    if current is None:
        return Step("wait", "it has no live certificate with a key of its own disk; the next run orders one, or says what is wrong")
    trouble = tuple(dict.fromkeys(owner.trouble for owner in owners if owner.trouble))
    if trouble:
        return Step("wait", "nothing of its zone may change now", held_by=trouble)
    held = tuple(dict.fromkeys(text for owner in owners for text in rrsets[owner.name].held_by))
    if any(not owner.same(rrsets[owner.name].records) for owner in owners):
        return Step("publish", "its TLSA records are to change first", held_by=held)
    if not later:
        return Step("make key", "there is no next key", backend.keys[-1].spki)
    if any(not owner.published() for owner in owners):
        return Step("wait", "its TLSA records are not published yet", held_by=held)
    following = later[0]
    if current.compromised:
        return _roll(backend, following, owners, rules, now, "its current key is compromised", scheduled=False, revoke_now=revoke_now)
    gone = _to_delete(backend, current, owners, rules, now)
    if gone:
        return gone
    if asked:
        return _roll(backend, following, owners, rules, now, "the operator asks for another key")
    if rules.key_lifetime is None:
        return Step("rest", "its key is kept until the operator asks for another")
    if now < backend.since + rules.key_lifetime:
        return Step("rest", "its key is in its time", not_before=backend.since + rules.key_lifetime)
    return _roll(backend, following, owners, rules, now, "its key has been live for its lifetime")


def _roll(backend: Backend, following: Key, owners: Sequence[Owner], rules: Rules, now: int, reason: str, scheduled: bool = True,
          revoke_now: bool = False) -> Step:
    """The way to the key `following`: to wait, to order a certificate for it, or to put that live."""
    records = frozenset({spki_record(following.spki)})
    found = _latest(opening(records, owner.history, rules.caches, scheduled) for owner in owners)
    wrong = tuple(f"{seen.endpoint} presents {'the key ' + seen.spki[:16] + '...' if seen.spki else 'no certificate'}, not what is live"
                  for seen in backend.presented if seen.spki != backend.live)
    if not found.is_open(now) and not revoke_now:
        return Step("wait", f"{reason}, and caches may hold records that the next one does not match", following.spki,
                    held_by=found.waits_for, not_before=found.time)
    if wrong and scheduled:
        return Step("wait", f"{reason}, and an endpoint has to be mended first", following.spki, held_by=wrong)
    why = "no cache holds records that the next one does not match" if found.is_open(now) else (
        "as the operator wants, although caches may hold records that the next one does not match")
    return Step("deploy" if following.certificate else "order", f"{reason}; {why}", following.spki, following.certificate)


def _to_delete(backend: Backend, current: Key, owners: Sequence[Owner], rules: Rules, now: int) -> Step | None:
    """The deletion of the oldest key that has had its time, or that others may have, once no cache can hold its record."""
    for key in backend.keys:
        if key == current or (key.created > current.created and not key.compromised):
            continue
        if _latest(forgotten(spki_record(key.spki), owner.history, rules.caches) for owner in owners).is_open(now):
            return Step("delete key", "it is not used any more, and no cache can hold its record", key.spki)
    return None


def _latest(openings: Iterable[Opening]) -> Opening:
    """When all of them are open."""
    found = list(openings)
    times = [one.time for one in found if one.time is not None]
    waits = tuple(dict.fromkeys(text for one in found for text in one.waits_for))
    return Opening(None if len(times) < len(found) else max(times, default=0), waits)
