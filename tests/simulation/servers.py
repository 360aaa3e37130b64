# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name servers that lag, lose packets, fall silent, fall back to old zones and come and go, in a world of whole seconds.

What a server serves is known here; the watcher knows only what it is told, and sometimes it is told nothing.
"""
from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.selfhost.dane.plugins.module_utils import history
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA

Records = frozenset[TLSA]


@dataclass(frozen=True)
class Zone:
    """One version of the zone: the RRset of each owner with its TTL, and until when all are signed (seconds)."""

    serial: int
    rrsets: Mapping[str, tuple[Records, int]]
    signed_until: int


@dataclass
class Faults:
    """How often things go wrong: chances for each second and server, and seconds."""

    silence: float = 0.0       # it begins to be silent to the watcher; peers may reach it all the same
    silence_seconds: int = 400
    cut: float = 0.0           # it begins not to reach whom it transfers from
    cut_seconds: int = 600
    restart: float = 0.0       # it is stopped or killed, starts and serves what it last wrote
    loss: float = 0.0          # of each question of the watcher
    lag_seconds: int = 30      # at most, from the zone's change to its transfer
    write_seconds: int = 60    # it writes its zones so often
    change: float = 0.0        # of each second: a name server is added or removed


@dataclass
class Server:
    """A secondary.  It transfers from `upstream`, the primary (None) or another one."""

    address: str
    upstream: Server | None = None
    zone: Zone | None = None
    disk: Zone | None = None
    contact: int = 0           # when it last was as new as its upstream, as it believes; its zone expires from then on
    believed: int = 0          # the serial that it takes its zone for, where that is not its zone's
    fetch_at: int | None = None
    write_at: int = 0
    silent_until: int = 0
    cut_until: int = 0
    removed: int | None = None  # when parent and zone ceased to name it; caches do so for the TTL of the NS RRset


@dataclass
class World:
    """The primary, its secondaries, and each RRset with the last second at which anybody served it validly."""

    policy: history.Policy
    faults: Faults
    expire: int
    validity: int
    resign: int
    rng: random.Random
    now: int = 0
    primary: Zone | None = None
    servers: list[Server] = field(default_factory=list)
    served: dict[tuple[str, Records, int], int] = field(default_factory=dict)
    signed_at: int = 0

    def publish(self, owner: str, records: Records, ttl: int) -> None:
        """The primary has a new zone, in which `owner` has `records`."""
        self._sign({**(self.primary.rrsets if self.primary else {}), owner: (records, ttl)})

    def _sign(self, rrsets: Mapping[str, tuple[Records, int]]) -> None:
        serial = self.primary.serial + 1 if self.primary else 1
        self.primary, self.signed_at = Zone(serial, rrsets, self.now + self.validity), self.now
        for server in self.servers:
            server.fetch_at = self.now + self.rng.randint(0, self.faults.lag_seconds)

    def add(self, address: str, upstream: Server | None = None) -> Server:
        """A new secondary, which transfers at once."""
        server = Server(address, upstream, contact=self.now, fetch_at=self.now)
        self.servers.append(server)
        return server

    def second(self) -> None:
        """One second passes."""
        self.now += 1
        assert self.primary
        if self.now - self.signed_at >= self.resign:
            self._sign(self.primary.rrsets)
        if self.rng.random() < self.faults.change:
            self.change()
        for server in self.servers:
            self._live(server)
            zone = self.serves(server)
            if zone and self.asked(server):
                for owner, (records, ttl) in zone.rrsets.items():
                    if records:
                        self.served[owner, records, ttl] = self.now

    def asked(self, server: Server) -> bool:
        """Whether a cache may still ask it."""
        return server.removed is None or self.now <= server.removed + self.policy.ns_ttl

    def change(self) -> None:
        """Add a name server, or remove one that no other transfers from."""
        named = [server for server in self.servers if server.removed is None]
        leaves = [server for server in named if server not in [other.upstream for other in named]]
        if len(named) > 2 and self.rng.random() < 0.6:
            self.rng.choice(leaves).removed = self.now
        elif len(named) < 5:
            self.add(f"198.51.100.{len(self.servers) + 10}", self.rng.choice([None, *named]))

    def restart(self, server: Server, killed: bool, believes: bool) -> None:
        """It has what it last wrote, and takes it for new, but for a zone that had expired when it was stopped and not `killed`.

        One that `believes` takes it for what it had in memory when it was stopped, and does not ask for that again.  So do
        NSD 4.6.1 and 4.12.0, of which the first one believes (traces/secondary-*.json).
        """
        if killed or self.now <= server.contact + self.expire:
            server.contact = self.now
        if believes and not killed and server.zone:
            server.believed = max(server.believed, server.zone.serial)
        server.zone, server.fetch_at = server.disk, self.now + self.rng.randint(0, self.faults.lag_seconds)

    def _live(self, server: Server) -> None:
        faults, chance = self.faults, self.rng.random
        if chance() < faults.silence:
            server.silent_until = self.now + self.rng.randint(1, faults.silence_seconds)
        if chance() < faults.cut:
            server.cut_until = self.now + self.rng.randint(1, faults.cut_seconds)
        if chance() < faults.restart:
            self.restart(server, killed=chance() < 0.5, believes=chance() < 0.5)
        source = self.primary if server.upstream is None else self.serves(server.upstream)
        if server.cut_until <= self.now and source:
            newer = server.zone is None or source.serial > max(server.zone.serial, server.believed)
            if newer and server.fetch_at is None:
                server.fetch_at = self.now + self.rng.randint(0, faults.lag_seconds)
            if newer and server.fetch_at is not None and server.fetch_at <= self.now:
                server.zone, server.fetch_at, newer = source, None, False
            if not newer:
                server.contact = self.now
        if server.write_at <= self.now:
            server.disk, server.write_at = server.zone, self.now + faults.write_seconds

    def serves(self, server: Server) -> Zone | None:
        """What peers get from it: nothing that has expired, and nothing that no resolver takes any more."""
        if server.zone is None or self.now > server.contact + self.expire or self.now > server.zone.signed_until + self.policy.skew:
            return None
        return server.zone

    def answers(self, owner: str) -> list[history.Answer]:
        """What the watcher is told of `owner` now."""
        told = []
        for server in self.servers:
            zone = self.serves(server)
            if zone and self.now <= zone.signed_until and server.removed is None and server.silent_until <= self.now and self.rng.random() >= self.faults.loss:
                depth = 1
                above = server.upstream
                while above:
                    depth, above = depth + 1, above.upstream
                records, ttl = zone.rrsets.get(owner, (frozenset(), 0))
                told.append(history.Answer(server.address, records, ttl, zone.signed_until, depth * self.expire))
        return told
