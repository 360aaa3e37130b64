# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: which TLSA RRset each owner has, and which step each host may take.  Pure: no input or output, no clock.

An RRset is the union over the hosts that answer for its owner (RFC 7672 section 8.1).  There are two schemes:

3 1 1, of the current and the next key (RFC 7671 section 8.1).  A renewal keeps the key, so no record changes and nothing waits.
A key rolls in these steps, one in a run:

    make key -> publish -> (history.opening) -> order -> deploy -> retire (publish) -> (history.forgotten) -> delete key

3 0 1, of the live certificate and the one that follows.  Each renewal takes the same steps, with the current key or, where that
has had its time, with the next one; the host's timer leaves it to the plan:

    order -> publish -> (history.opening) -> deploy -> retire (publish)

From one scheme to the other: the records of the new one are added for every chain that may be presented; when no cache is
without them (history.covered) those of the old one are dropped.  While a cache may hold records that stand for certificates,
the timer goes on to leave renewals to the plan.

Which step is next follows from what is on disk, on the wire and in the history, never from a note of what was done, so
a run that died anywhere is taken up by the next one.

    current   the key of the live certificate
    next      on disk, made after current; in 3 1 1 published
    retiring  published, made before current; in 3 0 1 a certificate that was live before

All times are unix seconds, all durations seconds.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import DaneError, printable
from .history import LOST, PUBLISHING, History, Opening, Parameters, Policy, Records, covered, forgotten, hold, matches, opening, parameters
from .tlsa import certificate_record, spki_record

SCHEMES: dict[str, Parameters] = {"3 1 1": (3, 1, 1), "3 0 1": (3, 0, 1)}


@dataclass(frozen=True)
class Rules:
    """What the operator wants of rolls, and what is assumed of caches and name servers.

    key_lifetime: a key that is live for so long is rolled; None where it is kept until the operator asks.  retire_after: how
    long the old record stays published after a switch, so that there is a way back; None for one hold.  scheme: of SCHEMES.
    order: the seconds that may pass until a certificate that is due is ordered.
    """

    caches: Policy = field(default_factory=Policy)
    key_lifetime: int | None = 90 * 86400
    retire_after: int | None = None
    scheme: str = "3 1 1"
    order: int = 21600

    def certificates(self) -> bool:
        """Whether the records are to stand for certificates, which change with each renewal."""
        return self.scheme == "3 0 1"


def make_rules(policy: Mapping[str, Any]) -> Rules:
    """The rules from `dane_policy` with all its defaults.  Of what is not on record the worst is assumed.

    DaneError where there is no such scheme.
    """
    if policy["scheme"] not in SCHEMES:
        raise DaneError(f"dane_policy has the scheme {printable(ascii(policy['scheme']))}; write one of {', '.join(SCHEMES)}")
    caches = Policy(policy["lead"], policy["session"], policy["cache_floor"], policy["cache_hops"], policy["clock_margin"], policy["fall_back"],
                    policy["ns_ttl"], policy["highest_tlsa_ttl"], policy["signature_validity"],
                    policy["signature_validity"] + PUBLISHING, policy["signature_skew"])
    return Rules(caches, policy["key_lifetime"], policy["retire_after"], policy["scheme"], policy["timer_interval"])


@dataclass(frozen=True)
class Chain:
    """A leaf certificate: the SHA-256 of its SPKI and of its DER form in hexadecimal; `fingerprint` is "" where that is not known."""

    spki: str
    fingerprint: str = ""

    def records(self) -> Records:
        """The associations that it satisfies, of all schemes."""
        return frozenset({spki_record(self.spki), *([certificate_record(self.fingerprint)] if self.fingerprint else [])})


@dataclass(frozen=True)
class Presented:
    """What one endpoint presents for `owner`: the digests of the leaf as in Chain; `spki` is "" where there is no TLS."""

    owner: str
    endpoint: str
    spki: str
    error: str = ""
    fingerprint: str = ""

    def chain(self) -> Chain:
        """The leaf."""
        return Chain(self.spki, self.fingerprint)


@dataclass(frozen=True)
class Key:
    """A private key on the disk of its host, known by the SHA-256 of its SPKI in hexadecimal.

    certificate: the fingerprint of the good certificate for it on that disk that lasts the longest, "" where there is none.
    compromised: the operator says that others may have it.  outdated: of an algorithm that is not wanted any more.
    """

    spki: str
    created: int
    certificate: str = ""
    compromised: bool = False
    outdated: bool = False


@dataclass(frozen=True)
class Backend:
    """One certificate of a managed host, which answers with it for `owners`; as it was last heard.

    heard: it has reported in this run.  keys: oldest first.  live: the SPKI digest of the live certificate, "" where there is
    none.  since: when that key became live.  renews: its renewal timer is active.  proven: all services were seen to present what
    is live, so that the host does not go back to the key before.

    fingerprint: of the live certificate, "" where it is not known; deployed: when that became live; lifetime: from its begin to its
    end; expires: its end; due: it is to be renewed.  bound: the timer leaves renewals to the plan.  known: the certificates that
    it is known to have or to have had, as far as an RRset may have records of them.
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
    fingerprint: str = ""
    deployed: int = 0
    lifetime: int = 0
    expires: int = 0
    due: bool = False
    bound: bool = False
    known: tuple[Chain, ...] = ()

    def chain(self) -> Chain:
        """The live one."""
        return Chain(self.live, self.fingerprint)

    def current(self) -> Key | None:
        """The key of the live certificate."""
        return next((key for key in self.keys if key.spki == self.live), None)

    def clean(self) -> tuple[Key, ...]:
        """The keys that nobody else has, as far as is known."""
        return tuple(key for key in self.keys if not key.compromised)

    def later(self) -> tuple[Key, ...]:
        """The keys that may follow the current one, first the one that is to."""
        current = self.current()
        return tuple(key for key in self.keys if current and key.created > current.created and not key.compromised and not key.outdated)

    def following(self, bound: bool) -> tuple[Chain, ...]:
        """What may go live next.  Where records stand for certificates (`bound`) only what has one, of the current key too."""
        keys = [key for key in (self.current(), *self.later()[:1]) if key]
        return (tuple(Chain(key.spki, key.certificate) for key in keys if key.certificate not in ("", self.fingerprint)) if bound else
                tuple(Chain(key.spki) for key in keys[1:]))

    def records(self) -> Records:
        """All associations that are known to be its."""
        return frozenset(record for chain in (*(Chain(key.spki, key.certificate) for key in self.keys), *self.known) for record in chain.records())

    def burnt(self) -> Records:
        """Those that others may satisfy."""
        stolen = {key.spki for key in self.keys if key.compromised}
        return frozenset(record for chain in (*map(Chain, sorted(stolen)), *self.known) if chain.spki in stolen for record in chain.records())

    def unsure(self) -> tuple[str, ...]:
        """Why it may present another of its chains than is known, in sentences."""
        if not self.heard:
            return (f"{self.host} has not reported in this run",)
        if not self.proven:
            return (f"the services of {self.host} were not seen to present what is live",)
        dark = tuple(dict.fromkeys(f"{self.host}: {seen.endpoint} presents no certificate: {seen.error or 'no TLS'}"
                                   for seen in self.presented if not seen.spki))
        unseen = set(self.owners) - {seen.owner for seen in self.presented}
        return dark or ((f"not every endpoint of {self.host} was seen",) if unseen else ())


@dataclass(frozen=True)
class Owner:
    """A TLSA owner name: its history, the TTL that its RRset is to have, and why nothing of its zone may change now, if so.

    unused: records of hosts that answered for it once, and that no client can reach by its name any more.  leaving: those of
    hosts that have left the name, and that some client may still reach.
    """

    name: str
    ttl: int
    history: History
    trouble: str = ""
    unused: Records = frozenset()
    leaving: Records = frozenset()

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
    """What one certificate of one host may do now, the reason in a sentence, what holds it back, and until when.

    kind: "make key" (after the key `spki`), "publish", "withdraw", "order", "deploy" or "delete key", of the key `spki` (and the
    certificate `fingerprint`); "wait" where something else has to happen first, and "rest" where nothing has to.  not_before: until when it rests; of
    what waits, when it goes on at the latest, as far as is known now.  deadline: the end of the live certificate, where it is due and its renewal
    is the plan's; None where nothing ends.  What in `held_by` begins with ALARM is for the operator to end.
    """

    kind: str
    reason: str
    spki: str = ""
    fingerprint: str = ""
    held_by: tuple[str, ...] = ()
    not_before: int | None = None
    deadline: int | None = None


@dataclass(frozen=True)
class Plan:
    """The RRset of each owner, the step of each (host, certificate), and those that are not to become live yet."""

    rrsets: dict[str, RRset]
    steps: dict[tuple[str, str], Step]
    held: tuple[tuple[str, str], ...] = ()


def plan(owners: Sequence[Owner], backends: Sequence[Backend], rules: Rules, now: int, asked: frozenset[tuple[str, str]] = frozenset(),
         revoke_now: bool = False, former: Sequence[Owner] = ()) -> Plan:
    """What shall be published, and the one step that each certificate of each host may take.

    former: owners that the model has no more, or that are to be forgotten; what caches may hold of them counts, and nothing of them is planned.

    asked: the (host, certificate) whose key the operator wants rolled.  revoke_now: where the current key is compromised and
    no clean one is eligible, or, where no such key has a record, where a certificate ends before the next one may go live, the operator rather
    has DANE peers fail for one hold.
    """
    rrsets = {owner.name: _rrset(owner, [one for one in backends if owner.name in one.owners], rules, now) for owner in owners}
    known = frozenset(record for one in backends for record in one.records())
    strangers = frozenset(record for owner in owners for rrset in owner.history.rrsets for record in rrset.records
                          if not record.selector and record not in known)
    joins = {(one.host, one.certificate): joining(one, owners, backends, rules) for one in backends}
    steps = {}
    published = frozenset(record for owner in owners for record in owner.published())
    urgent = [one for one in backends if not one.burnt().isdisjoint(published)]
    for one in backends:
        place, mine = (one.host, one.certificate), [owner for owner in owners if owner.name in one.owners]
        step = _step(one, mine, [*mine, *_reached(one, owners, former)], [*owners, *former], rrsets, strangers, rules, now, place in asked,
                     revoke_now and (one in urgent or not urgent), joins[place])
        steps[place] = replace(step, deadline=one.expires) if _due(one, mine, rules) else step
    return Plan(rrsets, steps, tuple(name for name, found in joins.items() if found and not found.is_open(now)))


def joining(backend: Backend, owners: Sequence[Owner], backends: Sequence[Backend], rules: Rules) -> Opening | None:
    """When a certificate that has never been live may be presented beside another one of its host (RSA beside ECDSA).

    Until then peers may know the records of that one alone.  None where it does not have to wait, as where nothing was ever published.
    """
    shared = {name for one in backends if one.host == backend.host and one is not backend for name in one.owners}
    known = [owner for owner in owners if owner.name in shared and owner.name in backend.owners and owner.history.rrsets]
    if backend.live or not known:
        return None
    first = next(iter(backend.clean()), None)
    if first is None:
        return Opening(None)
    return _latest(opening(Chain(first.spki, first.certificate).records(), owner.history, rules.caches) for owner in known)


# --- what is published ---

def _rrset(owner: Owner, backends: Sequence[Backend], rules: Rules, now: int) -> RRset:
    """The RRset of `owner`: the union over its backends (RFC 7672 section 8.1)."""
    published, noun = owner.published(), "certificate" if rules.certificates() else "key"
    if owner.trouble:
        return RRset(published, f"kept as it is published: {owner.trouble}", (owner.trouble,))
    kinds, unchanged = _kinds(owner, backends, rules, now)
    known = frozenset(record for one in backends for record in one.records())
    unsure = any(one.unsure() for one in backends) or any(rrset.records == LOST for rrset in owner.history.rrsets)
    # what nobody is known to have stays, but for the record of a certificate that is on no disk and presented nowhere
    presented = _presented(backends)
    stays, nobodys = owner.leaving | presented, published - known - (owner.unused - presented)
    others = frozenset(record for record in nobodys if record.selector or unsure or record in stays)
    bound_to = any(not kind[1] for kind in kinds)
    unfit = {(one.host, one.certificate): texts for one in backends if bound_to and (texts := _not_to_add(owner, one, rules))}
    union = others | frozenset(record for one in backends for record in (
        one.records() & published if (one.host, one.certificate) in unfit else _wanted(owner, one, backends, bound_to, rules, now)))
    wanted = frozenset(record for record in union if {(record.usage, record.selector, record.matching_type)} <= kinds)
    # nothing that is presented loses its record, so an endpoint that does not match did not before, and is no worse off by another record
    wrong = tuple(text for one in backends if one.heard for text in _mismatch(owner, one, wanted))
    if not published:
        held = (*(text for one in backends for text in _not_ready(owner, one, rules)), *wrong)
        return RRset(published, "not published yet: not every endpoint is known to match", held) if held else RRset(
            wanted, f"first publication: every endpoint presents a {noun} that a record stands for")
    if wrong and _is_new(owner, rules, now):
        return RRset(frozenset(), "withdrawn: not every endpoint matches, and the first publication is less than one hold ago", wrong)
    silent = tuple(dict.fromkeys((*(text for one in backends for text in _not_seen(owner, one, backends, bound_to, rules, now)), *wrong, *unchanged,
                                  *(text for texts in unfit.values() for text in texts))))
    if parameters(wanted) - parameters(published):
        return RRset(wanted, "the scheme changes: the records of the new one are added for all that is presented", silent)
    if parameters(published) - parameters(wanted):
        return RRset(wanted, "the scheme changes: no cache is without the records of the new one, and those of the old one are dropped", silent)
    if wanted - published:
        return RRset(wanted, f"a {noun} is added: every backend goes on to match", silent)
    if published - wanted:
        return RRset(wanted, f"a {noun} is retired: no endpoint presents it", silent)
    return RRset(wanted, "kept as it is published" if silent else "published: every backend matches", silent)


def _is_new(owner: Owner, rules: Rules, now: int) -> bool:
    """Whether the primary publishes the first RRset of `owner`, and has for less than one hold."""
    current = owner.history.current()
    return current is not None and current.first is not None and now < current.first + hold(current.ttl, rules.caches)


def _kinds(owner: Owner, backends: Sequence[Backend], rules: Rules, now: int) -> tuple[set[Parameters], tuple[str, ...]]:
    """The parameters that the RRset is to have, and what holds a change of them back: one change at a time (RFC 7671 section 8)."""
    wanted, have = SCHEMES[rules.scheme], parameters(owner.published())
    if have <= {wanted}:
        return {wanted}, ()
    live = frozenset(record for one in backends if one.live for record in one.chain().records())
    held = [text for one in backends for text in (*one.unsure(), *_mismatch(owner, one, owner.published() | live))]
    if owner.leaving:
        held.append("a host that has left the name may still be reached by it")
    held += [text for one in backends for text in _not_to_add(owner, one, rules)]
    if wanted not in have:
        return (have if held else have | {wanted}), tuple(held)
    found = covered(wanted, owner.history, rules.caches)
    return (have if held or not found.is_open(now) else {wanted}), (*held, *found.waits_for)


def _wanted(owner: Owner, backend: Backend, backends: Sequence[Backend], bound: bool, rules: Rules, now: int) -> Records:
    """The records, of all schemes, that `owner` is to have because of `backend`; `bound` where some stand for certificates."""
    published, current = owner.published(), backend.current()
    kept = backend.records() & published
    live = backend.chain().records() if backend.live else frozenset()
    if not backend.heard:
        return kept | live
    if current is None:
        clean = kept - backend.burnt() if backend.proven or not backend.live else kept
        return clean | kept & _presented(backends) | live | (frozenset() if backend.live else _joining(backend, clean, bound))
    following = frozenset(record for chain in backend.following(bound) for record in chain.records())
    return (kept - _retired(owner, backend, backends, bound, rules, now)) | live | following


def _retired(owner: Owner, backend: Backend, backends: Sequence[Backend], bound: bool, rules: Rules, now: int, sure: bool = False) -> Records:
    """Those of its records that have had their time and that nothing presents.

    An endpoint that was not seen may present any of its keys.  A key that others may have goes all the same, once what was seen to work presents
    another; `sure` is for what would go if all had been seen.
    """
    presented = _presented(backends)
    if backend.unsure() and not sure:
        return backend.burnt() - presented if backend.proven else frozenset()
    current = backend.current()
    stays = hold(owner.ttl, rules.caches) if rules.retire_after is None else rules.retire_after
    burnt = {key.spki for key in backend.keys if key.compromised or key.outdated}
    # a key that has had its time, and with `bound` one that does not follow yet: each parameter is there for each chain
    keys = {spki_record(key.spki) for key in backend.keys if key.spki in burnt or (
        now >= backend.since + stays if current and key.created < current.created else bound)}
    certificates = {certificate_record(chain.fingerprint) for chain in backend.known if now >= backend.deployed + stays or chain.spki in burnt}
    return frozenset(keys | certificates) - presented


def _presented(backends: Iterable[Backend]) -> Records:
    """All associations that some endpoint satisfies."""
    return frozenset(record for one in backends for seen in one.presented if seen.spki for record in seen.chain().records())


def _not_seen(owner: Owner, backend: Backend, backends: Sequence[Backend], bound: bool, rules: Rules, now: int) -> list[str]:
    """Why records of `backend` that have had their time stay, and which endpoints do without TLS, in sentences."""
    if not backend.heard:
        return [f"{backend.host} has not reported in this run"]
    left = owner.published() & _retired(owner, backend, backends, bound, rules, now, sure=True)
    dark = backend.live and any(seen.owner == owner.name and not seen.spki for seen in backend.presented)
    return list(backend.unsure() if dark or left - _retired(owner, backend, backends, bound, rules, now) else ())


def _joining(backend: Backend, kept: Records, bound: bool) -> Records:
    """The records of a certificate that joins others, besides those that are `kept`; of a renewed one where they stand for certificates."""
    if kept and not bound:
        return frozenset()
    return frozenset(record for key in backend.clean()[:2] if key.certificate or not bound for record in Chain(key.spki, key.certificate).records())


def _not_ready(owner: Owner, backend: Backend, rules: Rules) -> list[str]:
    """Why `owner` must not have its first RRset because of `backend`."""
    if not backend.heard:
        return [f"{backend.host} has not reported in this run"]
    held = [] if backend.later() else [f"{backend.host} has no next key yet"]
    if not backend.renews:
        held.append(f"the renewal timer of {backend.host} is not active")
    presented = [seen for seen in backend.presented if seen.owner == owner.name]
    if not presented:
        held.append(f"{backend.host} has no endpoint that was looked at")
    held += [f"{backend.host}: {seen.endpoint} presents no certificate: {seen.error or 'no TLS'}" for seen in presented if not seen.spki]
    return held + _not_bound(owner, backend, rules)


def _not_to_add(owner: Owner, backend: Backend, rules: Rules) -> list[str]:
    """Why the certificate that is live on `backend`, and has no record of its own in the RRset of `owner`, is not to get one."""
    published = owner.published()
    new = published and backend.live and any(not record.selector and record not in published for record in backend.chain().records())
    return _not_bound(owner, backend, rules) if new else []


def _not_bound(owner: Owner, backend: Backend, rules: Rules) -> list[str]:
    """Why no record may stand for a certificate of `backend`, where the scheme wants it.

    The timer must not renew by itself any more, and a third of the certificate's life, when it is due, has to be enough for all
    that a renewal waits for.
    """
    if not rules.certificates() or not backend.heard:
        return []
    if not backend.bound:
        return [f"{backend.host} has not been told yet that its timer must not renew {backend.certificate}"]
    caches, wait = rules.caches, hold(owner.ttl, rules.caches)
    served = caches.lost_signature + caches.skew
    needed = served + caches.fall_back + wait + caches.lead + rules.order
    third = backend.lifetime // 3
    return [] if third > needed else [
        f"ALARM: {backend.host}: the scheme {rules.scheme} needs more than {needed} seconds in a third of the life of {backend.certificate}, which is {third}: "
        f"signature_validity, signature_skew and {PUBLISHING} for a run {served} + fall_back {caches.fall_back} + one hold {wait} + lead {caches.lead} "
        f"+ timer_interval {rules.order}; have the CA issue certificates that last longer, lower one of these, or keep the scheme 3 1 1"]


def _mismatch(owner: Owner, backend: Backend, wanted: Records) -> list[str]:
    """What `backend` presents for `owner`, and the RRset `wanted` does not match."""
    return [f"{backend.host}: {seen.endpoint} presents the {_leaf(seen, (3, 1, 1) not in parameters(wanted) or spki_record(seen.spki) in wanted)}, "
            "which no record stands for"
            for seen in backend.presented if seen.owner == owner.name and seen.spki and not matches(wanted, seen.chain().records())]


def _leaf(seen: Presented, certificate: bool) -> str:
    return f"certificate {seen.fingerprint[:16]}..." if certificate else f"key {seen.spki[:16]}..."


# --- what a host may do ---

def bound(owners: Iterable[Owner], rules: Rules) -> bool | None:
    """Whether renewals are the plan's: records stand for certificates, or a cache may hold some that do.  None: nobody knows."""
    rrsets = [rrset for owner in owners for rrset in owner.history.rrsets]
    if rules.certificates() or any(not record.selector for rrset in rrsets for record in rrset.records):
        return True
    return None if any(rrset.records == LOST for rrset in rrsets) else False


def _is_bound(backend: Backend, owners: Iterable[Owner], rules: Rules) -> bool:
    """Whether renewals are the plan's, or, where nobody knows, were when the host was last told."""
    known = bound(owners, rules)
    return backend.bound if known is None else known


def _due(backend: Backend, owners: Iterable[Owner], rules: Rules) -> bool:
    """Whether its certificate is due, and the plan has to renew it."""
    return backend.due and _is_bound(backend, owners, rules)


def _step(backend: Backend, owners: Sequence[Owner], reached: Sequence[Owner], everything: Sequence[Owner], rrsets: dict[str, RRset],
          strangers: Records, rules: Rules, now: int, asked: bool, revoke_now: bool, joins: Opening | None) -> Step:
    """The step of one certificate of one host; `joins` is when it may first be presented beside another one, if it is to be.

    owners: those that it answers for.  reached: by all of these clients may reach it.  everything: also those of others.
    """
    current, later = backend.current(), backend.later()
    if not backend.heard:
        return Step("wait", "the host has not reported in this run, and nothing of it changes")
    if joins and backend.keys and not backend.clean():
        return Step("make key", "it joins another certificate of its host, and others may have all of its keys", backend.keys[-1].spki)
    if joins and not joins.is_open(now):
        return Step("wait", "it joins another certificate of its host, and caches may hold records that it does not match",
                    held_by=joins.waits_for, not_before=joins.time)
    first = next(iter(backend.clean()), None) if joins and bound(owners, rules) else None
    if first and first.certificate and not any(owner.trouble for owner in owners):
        return Step("deploy", "it joins another certificate of its host, and no cache holds records that it does not match", first.spki,
                    first.certificate)
    if current is None:
        return Step("wait", "it has no live certificate with a key of its own disk; the next run orders one, or says what is wrong")
    trouble = tuple(dict.fromkeys(owner.trouble for owner in owners if owner.trouble))
    if trouble:
        return Step("wait", "nothing of its zone may change now", held_by=trouble)
    held = tuple(dict.fromkeys(text for owner in owners for text in rrsets[owner.name].held_by))
    roll = _Roll(backend, reached, rules, now, _is_bound(backend, owners, rules), revoke_now)
    known = _known_to_caches(backend, reached, rules, now)
    if known:
        return roll.to(known, "caches hold records of it that what is live does not match, as after a backup was restored", scheduled=False)
    if any(owner.published() and not rrsets[owner.name].records for owner in owners):
        return Step("withdraw", "the first publication of its TLSA records went wrong", held_by=held)
    if any(not owner.same(rrsets[owner.name].records) for owner in owners):
        return Step("publish", "its TLSA records are to change first", held_by=held)
    if not later:
        return Step("make key", "there is no next key", backend.keys[-1].spki)
    due, following = _due(backend, owners, rules), later[0]
    if current.compromised:
        return roll.to(following, "its current key is compromised", scheduled=False)
    gone = _to_delete(backend, current, everything, strangers, rules, now)
    if gone:
        return gone
    ordered = due and current.certificate not in ("", backend.fingerprint)
    if due and not rules.certificates() or ordered:  # what is on its way first: another key would have to wait anew
        return roll.to(current, "its certificate is due")
    if asked:
        return roll.to(following, "the operator asks for another key")
    if current.outdated:
        return roll.to(following, "its key is of an algorithm that is not wanted any more")
    aged = rules.key_lifetime is not None and now >= backend.since + rules.key_lifetime and any(owner.published() for owner in owners)
    if rules.certificates():
        if not due:
            return _rest("its certificate is in its time", backend.expires - backend.lifetime // 3, owners, held, rules)
        return roll.to(following, "its certificate is due, and its key has been live for its lifetime") if aged else roll.to(
            current, "its certificate is due")
    if rules.key_lifetime is None:
        return _rest("its key is kept until the operator asks for another", None, owners, held, rules)
    if not aged:
        return _rest("its key is in its time", backend.since + rules.key_lifetime, owners, held, rules)
    return roll.to(following, "its key has been live for its lifetime")


def _known_to_caches(backend: Backend, owners: Sequence[Owner], rules: Rules, now: int) -> Key | None:
    """Where caches may hold records of this host that what is live does not match: a later key that all of them match."""
    def safe(chain: Chain) -> bool:
        return all(opening(chain.records(), owner.history, rules.caches, False).is_open(now) for owner in owners)

    if safe(backend.chain()):
        return None
    return next((key for key in backend.later() if safe(Chain(key.spki, key.certificate))), None)


def _reached(backend: Backend, owners: Iterable[Owner], former: Iterable[Owner]) -> list[Owner]:
    """The owners that it does not answer for any more by the model, and by which clients may reach it all the same."""
    if not backend.live:
        return []
    mine, live = backend.records(), backend.chain().records()
    return [*(owner for owner in owners if owner.name not in backend.owners and not owner.leaving.isdisjoint(mine)),
            *(owner for owner in former if any(not rrset.records.isdisjoint(mine) and matches(rrset.records, live) for rrset in owner.history.rrsets))]


def _rest(reason: str, until: int | None, owners: Sequence[Owner], held: tuple[str, ...], rules: Rules) -> Step:
    """Nothing is to be done, but for a first publication that is held back, and what is left of a change of scheme."""
    if any(not owner.published() for owner in owners):
        return Step("wait", "its TLSA records are not published yet", held_by=held)
    changing = [owner for owner in owners if parameters(owner.published()) != {SCHEMES[rules.scheme]}]
    if not changing:
        return Step("rest", reason, held_by=held, not_before=until)
    return Step("wait", "its TLSA records are to be those of another scheme", held_by=held,
                not_before=_latest(covered(SCHEMES[rules.scheme], owner.history, rules.caches) for owner in changing).time)


@dataclass(frozen=True)
class _Roll:
    """The way to another chain."""

    backend: Backend
    owners: Sequence[Owner]
    rules: Rules
    now: int
    bound: bool
    revoke_now: bool

    def to(self, key: Key, reason: str, scheduled: bool = True) -> Step:
        """The step towards a certificate of `key`: to wait, to order it, or to put it live."""
        backend, now = self.backend, self.now
        chain = Chain(key.spki, "" if key.certificate == backend.fingerprint else key.certificate)
        # with records of certificates its own comes first, as it waits until caches have that
        renews = self.rules.certificates() or key.spki == backend.live
        if not chain.fingerprint and (renews or self.bound and not scheduled):
            return Step("order", f"{reason}; its record can be published when the next one is there", key.spki)
        found = _latest(opening(chain.records(), owner.history, self.rules.caches, scheduled) for owner in self.owners)
        late = renews and 0 < backend.expires < (found.time or now)
        if not found.is_open(now) and not (self.revoke_now and (late or not scheduled)):
            alarm = (f"ALARM: the live certificate ends at the unix time {backend.expires}, before the next one may go live; wait, and only DANE peers "
                     "accept it from then on; or have the next one used at once by -e dane_revoke_now=true, and DANE peers fail for one hold",)
            return Step("wait", f"{reason}, and caches may hold records that the next one does not match", key.spki,
                        held_by=(*(alarm if late else ()), *found.waits_for), not_before=found.time)
        # an endpoint that is off is mended first, but no certificate ends for that: the next one can do it no harm
        last = renews and 0 < backend.expires <= now + backend.lifetime // 6
        wrong = tuple(f"{seen.endpoint} presents {'the ' + _leaf(seen, seen.spki == backend.live) if seen.spki else 'no certificate'}, not what is live"
                      for seen in backend.presented if (seen.spki != backend.live or self.bound and seen.fingerprint != backend.fingerprint)
                      and (seen.spki or not last))
        if wrong and scheduled:
            return Step("wait", f"{reason}, and an endpoint has to be mended first", key.spki, held_by=wrong)
        why = "no cache holds records that the next one does not match" if found.is_open(now) else (
            "as the operator wants, although caches may hold records that the next one does not match")
        return Step("deploy" if chain.fingerprint else "order", f"{reason}; {why}", chain.spki, chain.fingerprint)


def _to_delete(backend: Backend, current: Key, owners: Sequence[Owner], strangers: Records, rules: Rules, now: int) -> Step | None:
    """The deletion of the oldest key that has had its time, or is not to be used, once no cache can hold a record of it.

    strangers: the records of certificates of which nobody knows the key.
    """
    for key in backend.keys:
        if key == current or (key.created > current.created and not key.compromised and not key.outdated):
            continue
        chains = (Chain(key.spki, key.certificate), *(chain for chain in backend.known if chain.spki == key.spki))
        records = strangers | frozenset(record for chain in chains for record in chain.records())
        if _latest(forgotten(record, owner.history, rules.caches) for record in records for owner in owners).is_open(now):
            return Step("delete key", "it is not used any more, and no cache can hold its record", key.spki)
    return None


def _latest(openings: Iterable[Opening]) -> Opening:
    """When all of them are open."""
    found = list(openings)
    times = [one.time for one in found if one.time is not None]
    waits = tuple(dict.fromkeys(text for one in found for text in one.waits_for))
    return Opening(None if len(times) < len(found) else max(times, default=0), waits)
