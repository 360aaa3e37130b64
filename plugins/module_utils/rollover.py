# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which TLSA RRset an owner has, and why.  Pure: no input or output, no clock, no randomness.

What is here is the first publication and growth of an RRset (RFC 7671 section 8.1: a record is published before the key
that it stands for is used).  Nothing is ever removed here.
"""
from __future__ import annotations

from dataclasses import dataclass

from .tlsa import TLSA, spki_record


@dataclass(frozen=True)
class Presented:
    """What one endpoint of a backend presents: `spki` is the leaf's SHA-256 in hexadecimal, "" where there is no TLS."""

    endpoint: str
    spki: str
    error: str = ""


@dataclass(frozen=True)
class Backend:
    """A managed host that answers for an owner, as it was last heard.

    `heard`: it has reported in this run.  `keys`: the SPKI digests of the keys on its disk, oldest first.  `renews`: its
    renewal timer is active.
    """

    host: str
    heard: bool
    keys: tuple[str, ...] = ()
    renews: bool = False
    presented: tuple[Presented, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The RRset that an owner shall have, the reason in a sentence, and who or what holds a further step back."""

    records: tuple[TLSA, ...]
    reason: str
    held_by: tuple[str, ...] = ()


def plan(published: frozenset[TLSA], backends: tuple[Backend, ...]) -> Plan:
    """The RRset of one owner, scheme 3 1 1 current + next, from what is published and what its backends say.

    RFC 7672 8.1: several hosts behind one name have keys of their own, and the RRset is the union over them.
    """
    keep = tuple(sorted(published))
    union = published | {spki_record(key) for backend in backends for key in backend.keys}
    held = [text for backend in backends for text in _holds_back(backend, union, first=not published)]
    if published:
        if held:
            return Plan(keep, "kept as it is published: not every backend is known to match", tuple(held))
        if union == published:
            silent = tuple(f"{backend.host} has not reported in this run" for backend in backends if not backend.heard)
            if silent:
                return Plan(keep, "kept as it is published", silent)
            return Plan(keep, "published: every backend matches")
        return Plan(tuple(sorted(union)), "a key is added: every backend goes on to match")
    if held:
        return Plan((), "not published yet: not every endpoint is known to match", tuple(held))
    return Plan(tuple(sorted(union)), "first publication: every endpoint presents a key that a record stands for")


def _holds_back(backend: Backend, union: frozenset[TLSA], first: bool) -> list[str]:
    """Why the RRset `union` must not be published because of `backend`; empty where it may be."""
    if not backend.heard:
        # its records stay, and a further record cannot make it match less (one parameter set)
        return [f"{backend.host} has not reported in this run"] if first else []
    held = []
    if first:
        if len(backend.keys) < 2:
            held.append(f"{backend.host} has no next key yet")
        if not backend.renews:
            held.append(f"the renewal timer of {backend.host} is not active")
        if not backend.presented:
            held.append(f"{backend.host} has no endpoint that was looked at")
    for seen in backend.presented:
        if not seen.spki:
            held.append(f"{backend.host}: {seen.endpoint} presents no certificate: {seen.error or 'no TLS'}")
        elif spki_record(seen.spki) not in union:
            held.append(f"{backend.host}: {seen.endpoint} presents the key {seen.spki[:16]}..., which no record stands for")
    return held
