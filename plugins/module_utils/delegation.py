# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who serves a zone: the name servers that its parent and the zone itself name, and all of their addresses.

The names come from strangers: how many are followed is bounded.
"""
from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .dns_client import Answer, absolute

MOST_SERVERS = 64  # addresses asked for one zone: what a hostile parent or zone may name is bounded


@dataclass(frozen=True)
class Server:
    """One address of a name server, and the names that lead to it."""

    address: str
    names: tuple[str, ...]

    @property
    def shown(self) -> str:
        return self.names[0].rstrip(".")


@dataclass(frozen=True)
class Wire:
    """The ways to ask.  Tests give others."""

    ask: Callable[[str, str, str, bool], Answer]
    """(address, owner, rdtype, tcp)"""
    resolve: Callable[[str, str], Answer]
    """(owner, rdtype)"""
    routed: Callable[[str], bool]
    """Whether this host has any way to that address."""


def routed(address: str) -> bool:
    """Whether this host has a route to `address`.  Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 53))
    except OSError:
        return False
    return True


class Look:
    """What was asked and answered.  Each question is asked once; `fetch` asks many at the same time."""

    world: Wire

    def __init__(self, wire: Wire, pool: ThreadPoolExecutor) -> None:
        self.world = wire
        self.pool = pool
        self.seen: dict[tuple[Any, ...], Any] = {}

    def fetch(self, questions: Iterable[tuple[Any, ...]]) -> None:
        """Ask ("resolve", owner, rdtype), ("ask", address, owner, rdtype, tcp), or what else `world` has a method for."""
        fresh = [question for question in dict.fromkeys(questions) if question not in self.seen]
        calls = [self.pool.submit(getattr(self.world, question[0]), *question[1:]) for question in fresh]
        for question, call in zip(fresh, calls, strict=True):
            self.seen[question] = call.result()

    def resolved(self, owner: str, rdtype: str) -> Answer:
        answer: Answer = self.seen[("resolve", absolute(owner), rdtype)]
        return answer

    def asked(self, address: str, owner: str, rdtype: str, tcp: bool = False) -> Answer:
        answer: Answer = self.seen[("ask", address, absolute(owner), rdtype, tcp)]
        return answer

    def addresses(self, name: str) -> list[str]:
        return [*self.resolved(name, "A").records, *self.resolved(name, "AAAA").records]


def address_questions(names: Iterable[str]) -> list[tuple[Any, ...]]:
    """What to fetch for the addresses of `names`."""
    return [("resolve", absolute(name), rdtype) for name in names for rdtype in ("A", "AAAA")]


def zone_questions(zone: str) -> list[tuple[Any, ...]]:
    """What to fetch first of `zone`, so that the other functions can tell."""
    return [("resolve", absolute(zone), rdtype) for rdtype in ("DS", "NS")] + [("resolve", ancestor, "NS") for ancestor in _ancestors(zone)]


def parent_questions(look: Look, zone: str) -> list[tuple[Any, ...]]:
    """What to fetch after that: the referral, from the name servers of the parent."""
    return [("ask", address, absolute(zone), "NS", False) for address in _parents(look, zone)]


def failed(answer: Answer) -> str:
    """Why there was no answer at all, "" where there was (an empty one too)."""
    if answer.error:
        return answer.error
    if answer.rcode not in ("NOERROR", "NXDOMAIN"):
        return f"{answer.server} answers {answer.rcode} for {answer.owner} {answer.rdtype}"
    return ""


def parent_answers(look: Look, zone: str) -> list[Answer]:
    """What name servers of the parent said of the zone's NS RRset."""
    answers = [look.seen[question] for question in parent_questions(look, zone) if question in look.seen]
    return [answer for answer in answers if not failed(answer)]


def names(look: Look, zone: str, more: Iterable[str] = ()) -> list[str]:
    """The names of the name servers as parent and zone have them, and those in `more`: MOST_SERVERS at most."""
    found = {record.lower() for record in look.resolved(zone, "NS").records} | set(more)
    for answer in parent_answers(look, zone):
        found.update(answer.referral)
        found.update(record.lower() for record in answer.records)
    return sorted(found)[:MOST_SERVERS]


def name_servers(look: Look, zone: str, known: Iterable[tuple[str, str]] = (), more: Iterable[str] = ()) -> list[Server]:
    """Every address that parent or zone names, and those that are `known` (name, address), which come first.

    `more`: further names to follow.  At most MOST_SERVERS addresses.
    """
    pairs = list(known)
    chosen = names(look, zone, [*more, *(name for name, _address in pairs)])
    look.fetch(address_questions(chosen))
    pairs += [(name, address) for name in chosen for address in look.addresses(name)]
    pairs += [pair for answer in parent_answers(look, zone) for pair in answer.glue if pair[0] in chosen]
    found: dict[str, list[str]] = {}
    for name, address in pairs:
        if name not in found.setdefault(address, []):
            found[address].append(name)
    return [Server(address, tuple(leading)) for address, leading in list(found.items())[:MOST_SERVERS]]


def _ancestors(zone: str) -> list[str]:
    labels = absolute(zone).rstrip(".").split(".")
    return [".".join(labels[place:]) + "." for place in range(1, len(labels))] + ["."]


def _parents(look: Look, zone: str) -> list[str]:
    """Addresses of the parent zone's name servers, four at most."""
    for ancestor in _ancestors(zone):
        names = look.resolved(ancestor, "NS").records
        if names:
            look.fetch(address_questions(names[:4]))
            return [address for name in names[:4] for address in look.addresses(name) if look.world.routed(address)][:4]
    return []
