# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a compromised key means, and for how long: for the operator who has to choose a harm.  Pure: no input or output, no clock.

All times are unix seconds, all durations seconds.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import history
from .history import LOST, History, Policy, Records, Seen, hold, matches, opening, parameters
from .rollover import Backend, Chain, Owner
from .tlsa import TLSA

NEW = frozenset({TLSA(3, 1, 1, b"\xff" * 32), TLSA(3, 0, 1, b"\xff" * 32)})  # of what is yet to be made


@dataclass(frozen=True)
class Exposure:
    """Of one certificate of one host whose live key is compromised.

    earliest, latest: when the caches that honour TTLs can have a clean key that is published now, if all name servers answer, and
    whatever they do; both `now` where a clean key may go live at once.  cached: for how long after the compromised key has left the
    records such caches may hold it.  signed: for how long after that resolvers take its old records, so that they can be replayed.
    """

    earliest: int
    latest: int
    cached: int
    signed: int


def exposure(backend: Backend, owners: Iterable[Owner], caches: Policy, validity: int, now: int) -> Exposure | None:
    """The exposure of `backend`, whose records the `owners` have; None where its live key is not compromised.

    validity: seconds for which the primary signs.
    """
    current = backend.current()
    burnt = backend.burnt()
    if current is None or not current.compromised:
        return None
    there = frozenset(record for key in backend.later()[:1] for record in Chain(key.spki, key.certificate).records())
    chain = there | frozenset(record for record in NEW if not parameters(there) & parameters(frozenset({record})))
    earliest = latest = now
    cached, signed = 0, validity + caches.skew
    for owner in owners:
        past = _with(owner, chain, validity, now)
        opened = opening(chain, past, caches, scheduled=False)
        last = now + validity + caches.skew + hold(caches.lost_ttl, caches) if opened.time is None else opened.time
        latest = max(latest, last)
        earliest = max(earliest, min(last, _earliest(chain, past, caches, now)))
        held = [rrset for rrset in past.rrsets if rrset.records & burnt or rrset.records == LOST]
        cached = max([cached, *(hold(rrset.ttl, caches) for rrset in held)])
        signed = max([signed, *(rrset.signed_until + caches.skew - now for rrset in held)])
    return Exposure(earliest, latest, cached, signed)


def _with(owner: Owner, chain: Records, validity: int, now: int) -> History:
    """The history of `owner` after what the scheme has of `chain` is published beside what is."""
    past, published = owner.history, owner.published()
    kinds = parameters(published) or {(3, 1, 1)}
    chain = frozenset(record for record in chain if (record.usage, record.selector, record.matching_type) in kinds)
    if chain <= published:
        return past
    expire = max([0, *(rrset.expire for rrset in past.rrsets)])
    current = past.current()
    signed = replace(past, rrsets=tuple(replace(one, signed_until=max(one.signed_until, now + validity)) if one is current else one
                                        for one in past.rrsets))
    return history.published(signed, published | chain, owner.ttl, now + validity, expire, now)


def _earliest(chain: Records, past: History, caches: Policy, now: int) -> int:
    """When no cache can hold an RRset without `chain`, if all name servers answer without it from now on."""
    latest = now
    for rrset in past.rrsets:
        if not matches(rrset.records, chain):
            for server in past.servers:
                seen = rrset.seen.get(server.address, Seen())
                gone = seen.gone if seen.gone is not None else (now if seen.missing is None else seen.missing) + caches.fall_back
                if server.unlistable:          # whatever one of its machines answers
                    gone = rrset.signed_until + caches.skew
                latest = max(latest, gone + hold(rrset.ttl, caches))
    return latest
