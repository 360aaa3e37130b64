# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts come to a name and leave it, and their keys roll, in worlds full of faults: whoever follows a cached address meets a key that
the cached TLSA records match.  What runs is `records.merge`, with the record, the reports and the slice as they are in JSON.
"""
from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import history, records
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import spki_record
from controllers import Ours
from fleet import CACHES, EXPIRE, POLICY, RESIGN, RULES, VALIDITY
from servers import Faults, World

NAME, OWNER = "g.pyon.example.", "_25._tcp.g.pyon.example."
MOST = 4                                       # hosts
WORLDS = {
    "calm": Faults(),
    "slow": Faults(lag_seconds=200),
    "silent": Faults(silence=0.004, silence_seconds=900, loss=0.2),
    "cut": Faults(cut=0.002, cut_seconds=900),
    "falling back": Faults(restart=0.01, write_seconds=120),
    "changing": Faults(change=0.01, lag_seconds=60),
    "all at once": Faults(silence=0.002, cut=0.001, restart=0.004, loss=0.2, lag_seconds=60, write_seconds=120, change=0.003),
}


def certificate_of(spki: str) -> str:
    """The fingerprint of the one certificate for that key."""
    return f"f{spki[1:]}"


@dataclass
class Host:
    """A host goes on to answer when it has left the name, as it did."""

    name: str
    addresses: list[str]
    keys: list[dict[str, Any]] = field(default_factory=list)
    live: str = ""
    since: int = 0
    unheard_until: int = 0

    def make_key(self, now: int) -> None:
        number = len(self.keys) and int(self.keys[-1]["spki"][2:8], 16) + 1
        self.keys.append({"spki": f"{self.name[-1]}0{number:06x}".ljust(64, "0"), "created": max(now, *(key["created"] + 1 for key in self.keys), 0),
                          "algorithm": "ecdsa-p256", "certificate": None})

    def report(self, now: int) -> dict[str, Any]:
        return {"schema": 1, "host": self.name, "time": now, "timers": {"renew": True}, "certificates": [{
            "name": "g", "algorithm": "ecdsa-p256", "bound": False, "due": "", "keys": [dict(key) for key in self.keys],
            "live": {"fingerprint": certificate_of(self.live), "spki": self.live, "since": self.since, "deployed": self.since, "proven": True,
                     "not_before": -1, "not_after": 10**9},
            "endpoints": [{"service": "smtp", "port": 25, "name": "g", "address": address, "spki": self.live, "fingerprint": certificate_of(self.live),
                           "error": ""}
                          for address in self.addresses]}]}

    def step(self, kind: str, spki: str, now: int) -> None:
        key = next((one for one in self.keys if one["spki"] == spki), None)
        if kind == "make key":
            self.make_key(now)
        elif kind == "order" and key:
            key["certificate"] = {"fingerprint": certificate_of(spki), "not_after": 10**9}
        elif kind == "deploy" and key:
            self.live, self.since = spki, now
        elif kind == "delete key" and key:
            self.keys.remove(key)


class Life:
    """A name, its hosts, its name servers, and runs of ours."""

    def __init__(self, world: str, seed: int) -> None:
        self.rng = random.Random(f"{world} {seed}")
        self.world = World(POLICY, WORLDS[world], EXPIRE, VALIDITY, RESIGN, random.Random(f"servers {world} {seed}"))
        self.hosts = [Host(f"host{number}", [f"198.51.100.{number + 50}", f"2001:db8::{number + 50}"]) for number in range(MOST)]
        for host in self.hosts:
            host.make_key(-1)
            host.make_key(0)
            host.live = host.keys[0]["spki"]
        self.members = self.hosts[:self.rng.randint(1, 2)]
        self.waits: dict[tuple[str, str], int] = {}      # who comes or goes, since when
        self.longest = 0
        self.ttl = self.tlsa_ttl = 20
        self.record: dict[str, Any] = {**Ours.nothing(), "zones": {"pyon.example": {"servers": [], "owners": {}, "names": {}}}}
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.world.publish(OWNER, frozenset(), self.tlsa_ttl)
        first = self.world.add("198.51.100.1")
        self.world.add("2001:db8::1")
        if self.rng.random() < 0.5:
            self.world.add("198.51.100.2", upstream=first)
        self.run()

    @property
    def now(self) -> int:
        return self.world.now

    # --- a run ---

    def zone(self) -> dict[str, Any]:
        """The slice."""
        return {"name": "pyon.example", "ttl": self.ttl, "tlsa_ttl": self.tlsa_ttl, "soa": {"expire": EXPIRE},
                "records": [{"owner": NAME, "ttl": self.ttl, "type": "AAAA" if ":" in address else "A", "data": address}
                            for host in self.members for address in host.addresses],
                "names": [{"name": NAME, "hosts": [{"host": host.name, "addresses": host.addresses} for host in self.members]}],
                "tlsa_owners": [{"owner": OWNER, "backends": [{"host": host.name, "certificate": "g", "service": "smtp", "port": 25}
                                                              for host in self.members]}]}

    def run(self) -> None:
        """A run; sometimes it dies before the zone is signed, or before a host has taken its step."""
        zone, now = self.zone(), self.now
        addresses = [server.address for server in self.world.servers if server.removed is None]
        given = [history.Given(one.address, one.records, one.signed_until, one.expire) for one in self.answers(NAME)]
        seen = records.Observation(addresses, {OWNER: self.answers(OWNER)}, given={NAME: given})
        heard = [host for host in self.members if now >= host.unheard_until]
        self.record, plan, _notes = records.merge(self.record, [zone], [host.report(now) for host in heard], {"pyon.example": seen}, records.Order(),
                                                  RULES, VALIDITY, now)
        self.record = {**self.record, "generation": self.record["generation"] + 1}
        if self.rng.random() < 0.05:
            return
        texts, ttl = records.published(self.record, "pyon.example").get(OWNER, ([], self.tlsa_ttl))
        self.publish(zone, frozenset(records.TLSA.parse(text, "") for text in texts), ttl)
        self.judge_waits()
        for host in heard:
            step = plan.steps[host.name, "g"]
            if self.rng.random() < 0.95:
                self.counts[step.kind] += 1
                host.step(step.kind, step.spki, now)

    def publish(self, zone: dict[str, Any], keys: frozenset[Any], ttl: int) -> None:
        addresses = frozenset(self.addresses(zone))
        wanted = {OWNER: (self.keys(keys), ttl), NAME: (addresses, self.ttl)}
        assert self.world.primary
        if wanted != self.world.primary.rrsets:
            self.world._sign(wanted)

    # --- what the bad strategies do otherwise ---

    def answers(self, owner: str) -> list[history.Answer]:
        return self.world.answers(owner)

    def addresses(self, zone: dict[str, Any]) -> list[str]:
        return [one["data"] for one in records.address_records(self.record, zone)]

    def keys(self, keys: frozenset[Any]) -> frozenset[Any]:
        return keys

    # --- time, and the judge ---

    def second(self) -> None:
        self.world.second()
        chance = self.rng.random
        if chance() < 0.004 and len(self.members) < MOST:
            self.members = [*self.members, self.rng.choice([host for host in self.hosts if host not in self.members])]
            self.waits.setdefault((self.members[-1].name, "comes"), self.now)
        if chance() < 0.004:
            self.leave(self.rng.choice(self.members))
        if chance() < 0.002:
            host = self.rng.choice(self.hosts)
            host.unheard_until = self.now + self.rng.randint(1, 200)
        if chance() < 0.001:
            self.ttl = self.rng.choice([5, 20, 60])
        if chance() < 0.001:
            self.tlsa_ttl = self.rng.choice([5, 20, 60])
        self.judge()

    def leave(self, host: Host) -> None:
        """One leaves, and another one that is behind the name stays: else it has an address at once, as docs/guarantees.md says."""
        behind = self.record["zones"]["pyon.example"]["names"][NAME]["hosts"]
        if any(other.name in behind for other in self.members if other is not host):
            self.members = [other for other in self.members if other is not host]
            self.waits.pop((host.name, "comes"), None)
            self.waits[host.name, "goes"] = self.now

    def judge(self) -> None:
        """Nobody who may come to a host, as a cache of one kind says, may hold records that its key does not match."""
        served = self.world.served
        for known, last in list(served.items()):
            if self.now > last + CACHES["stale"](known[2]):
                del served[known]
        for host in self.hosts:
            chain = frozenset({spki_record(host.live)})
            ways = [(last, ttl) for (owner, found, ttl), last in served.items() if owner == NAME and not found.isdisjoint(host.addresses)]
            bad = [(last, ttl) for (owner, found, ttl), last in served.items() if owner == OWNER and not history.matches(found, chain)]
            for kind, relies in CACHES.items():
                if all(any(self.now <= last + relies(ttl) for last, ttl in those) for those in (ways, bad)):
                    self.wrong.append(f"{self.now}: {host.name} is met with a key that a cache ({kind}) has no record of")

    def judge_waits(self) -> None:
        """Every wait ends: one that comes is behind the name, and one that goes has no record."""
        assert self.world.primary
        addresses, keys = self.world.primary.rrsets[NAME][0], self.world.primary.rrsets[OWNER][0]
        for (name, way), since in list(self.waits.items()):
            host = next(host for host in self.hosts if host.name == name)
            if way == "goes" and host in self.members:
                del self.waits[name, way]
            elif way == "comes" and not addresses.isdisjoint(host.addresses) or way == "goes" and keys.isdisjoint(
                    spki_record(key["spki"]) for key in host.keys):
                self.counts[way] += 1
                self.longest = max(self.longest, self.now - since)
                del self.waits[name, way]


def live(world: str, seed: int, strategy: type[Life] = Life, seconds: int = 6000) -> Life:
    life = strategy(world, seed)
    run_at = life.now
    while life.now < seconds:
        life.second()
        if life.now >= run_at:
            life.run()
            run_at = life.now + life.rng.randint(10, 30)
    return life


class AtOnce(Life):
    """The addresses of a host enter with it."""

    def addresses(self, zone: dict[str, Any]) -> list[str]:
        return [one["data"] for one in zone["records"]]


class KeysToo(Life):
    """The keys of a host leave with its addresses."""

    def keys(self, keys: frozenset[Any]) -> frozenset[Any]:
        return keys & {spki_record(key["spki"]) for host in self.members for key in host.keys}


class OneServer(Life):
    """One server is believed for all."""

    def answers(self, owner: str) -> list[history.Answer]:
        named = [server.address for server in self.world.servers if server.removed is None]
        return [history.Answer(address, one.records, one.ttl, one.signed_until, one.expire)
                for one in super().answers(owner) if one.address == named[0] for address in named]


# A host that comes waits for the signatures of what was replaced at the most, then for a hold and the lead; so does one that goes, and its
# address was replaced before.  Meanwhile it may be unheard, and the zone slow.
BOUND = VALIDITY + history.PUBLISHING + 2 * (history.hold(60, POLICY) + POLICY.lead) + 600


@pytest.mark.parametrize("world", WORLDS)
def test_whoever_follows_an_address_meets_a_key_that_is_on_record(world: str) -> None:
    counts: Counter[str] = Counter()
    for seed in range(3):
        life = live(world, seed)
        assert not life.wrong, f"seed {seed}: {life.wrong[:3]}"
        assert life.longest <= BOUND and all(life.now - since <= BOUND for since in life.waits.values()), f"seed {seed}: {life.longest} {life.waits}"
        counts += life.counts
    print(world, dict(counts))
    assert min(counts[kind] for kind in ("comes", "goes", "deploy", "delete key")) >= 3, counts


@pytest.mark.parametrize(("strategy", "world"), [(AtOnce, "calm"), (KeysToo, "calm"), (OneServer, "falling back")])
def test_a_bad_strategy_is_met_with_a_wrong_key(strategy: type[Life], world: str) -> None:
    assert any(live(world, seed, strategy).wrong for seed in range(10))
