# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with keys, certificates, timers and endpoints, their CA, caches, and the exact account of what is unsafe.

All is in whole seconds, shortened: a day of the real world is some 100 seconds here.  A controller (controllers.py) sees of it only
what a real one would.  What is true is known here, and each breach of an invariant of the rollover is written down in `Fleet.wrong`.
"""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from ansible_collections.selfhost.dane.plugins.module_utils import history, rollover
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Chain
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA, spki_record
from servers import Faults, Records, World

EXPIRE, VALIDITY, RESIGN = 400, 900, 300       # of the zone: SOA expire, signatures, how often they are made
RUN = history.PUBLISHING = 120                 # from a plan to the last signature over what it replaces, at the most; shortened as all is
POLICY = history.Policy(lead=300, session=10, floor=5, hops=2, margin=1, fall_back=150, ns_ttl=60, lost_ttl=60, lost_expire=500,
                        lost_signature=VALIDITY + RUN, skew=40)
MARGIN = 200                                   # what is left of a certificate at the least
TIMER = 20                                     # seconds between two runs of a host's timer, and of the controller
BACK_OFF = 40                                  # after a failed order
RULES = rollover.Rules(POLICY, key_lifetime=900, order=TIMER)
STALE_TTL = 30                                 # in an answer with stale data (RFC 8767 section 4)

# How long a peer may rely on an RRset after a server gave it, for each kind of cache.
CACHES: dict[str, Callable[[int], int]] = {
    "honest": lambda ttl: ttl + POLICY.session,
    "floor": lambda ttl: max(ttl, POLICY.floor) + POLICY.session,
    "two hops": lambda ttl: max(ttl, POLICY.floor) + POLICY.floor + POLICY.session,
    "stale": lambda ttl: max(ttl, POLICY.floor) + POLICY.lead + POLICY.session,
}


@dataclass
class Troubles:
    """How often things go wrong beside the name servers: chances (of each second if not said otherwise), and seconds at most."""

    ca_down: float = 0.0
    ca_down_seconds: int = 120
    unheard: float = 0.0       # a host does not answer the controller; its timer runs and its services are reached by peers
    unheard_seconds: int = 300
    cut_short: float = 0.0     # of each switch of the live link by a timer: the services are not restarted
    probe_loss: float = 0.0    # of each probe of an endpoint, and of some owners it has none
    crash: float = 0.0         # of each effect of the controller: it dies before it
    stop: float = 0.0          # of each run: the next one is long in coming
    stop_seconds: int = 1500
    lose: float = 0.0          # of each run: the record of the primary is lost before it
    restore: float = 0.0       # of each run: an older copy of it is put in its place
    ask: float = 0.0           # the operator asks for another key
    compromise: float = 0.0    # others may have the current key
    both: float = 0.0          # of each of these: and the next one too
    revoke_now: float = 0.0    # of each of these: the operator rather has peers fail
    ttl: float = 0.0           # the wanted TTL of an owner changes
    ttls: tuple[int, ...] = (20, 20, 5, 60)  # seconds
    bogus: float = 0.0         # the zone does not validate, as far as the controller sees
    unlearnt: float = 0.0      # the addresses of name servers that come from now on cannot be looked up
    unlearnt_seconds: int = 2000
    drift: float = 0.0         # the controller's clock loses a second
    jump: float = 0.0          # the clock of the primary or of the controller is set to anything, or set right
    jump_seconds: int = 1500
    reboot: float = 0.0        # the primary is started again
    unpublished: bool = False  # it begins without records, without next keys, and with services that are not up yet
    foreign: float = 0.0       # an endpoint presents a key that nobody here has made, and no restart mends it
    foreign_seconds: int = 300
    late: float = 0.0          # of each switch of a key: the services on v6 addresses are restarted late
    late_seconds: int = 900
    scheme: str = "3 1 1"      # in the beginning
    change: float = 0.0        # the operator changes it
    algorithm: float = 0.0     # the operator wants keys of another algorithm
    lifetime: int = 1200       # of certificates, seconds; they are renewed when a third is left
    key_lifetime: int | None = 900
    join: int = 0              # when each host gets another certificate at its endpoints, as RSA beside ECDSA


@dataclass
class Certificate:
    fingerprint: str
    issuer: int
    not_after: int
    number: int = 0


@dataclass
class Key:
    """A private key on disk, the certificate that was ordered for it but is not live yet, and all that it ever had."""

    spki: str
    number: int
    created: int
    algorithm: int = 0
    certificate: Certificate | None = None
    all: list[str] = field(default_factory=list)


@dataclass
class Endpoint:
    """What one address of an owner presents: a key and its certificate; None where there is no TLS."""

    owner: str
    address: str
    presents: tuple[Key, Certificate] | None = None
    down_until: int = 0
    old_until: int = 0         # its service is not restarted before this

    def own(self) -> tuple[Key, Certificate] | None:
        """What it presents of its host."""
        return self.presents if self.presents and self.presents[0].number else None


FOREIGN = (Key("f" * 64, 0, 0), Certificate("f" * 63 + "e", 0, 10**9))  # of a person who did not ask


@dataclass
class Host:
    """A certificate of a host.  Its live link, keys and endpoints are what a crash leaves."""

    name: str
    owners: tuple[str, ...]
    endpoints: list[Endpoint]
    keys: list[Key]
    live: tuple[Key, Certificate]
    since: int = 0             # when the live key became so
    deployed: int = 0          # when the live certificate became so
    made: int = 1              # keys ever
    proven: bool = True        # since the last switch all services were seen to present what is live
    bound: bool = False        # the timer was told to leave renewals to the controller
    live_from: int = 0         # when it has its first certificate
    timer_from: int = 0        # when its timer is turned on
    timer_at: int = 0
    not_before: int = 0        # of the next order, after one that failed
    unheard_until: int = 0
    due: int = 0               # seconds in which the certificate was due and nothing that the host cannot help stood in its way
    waited: int = 0            # seconds in which a roll was due and nothing that it cannot help stood in its way
    asked: bool = False
    machine: str = ""          # the host, if it has another certificate too, which is presented at the same endpoints
    joins: bool = False        # it has never been live

    def where(self) -> tuple[str, str]:
        """The host and the certificate, as plan() calls them."""
        return (self.machine, "rsa") if self.machine else (self.name, "ecdsa")


@dataclass
class Cache:
    """A resolver: it keeps data for `floor` seconds at least, and gives it stale for `stale` seconds more.

    It asks `above` where there is one, else the servers.  patient: stale data is given only where nobody answers.  last_second:
    data is still given in the second in which its TTL has run out.
    """

    kind: str
    floor: int = 0
    stale: float = 0
    above: Cache | None = None
    patient: bool = False
    last_second: bool = True
    held: dict[str, tuple[Records, int, int]] = field(default_factory=dict)

    def ask(self, owner: str, fetch: Callable[[], tuple[Records, int] | None], now: int) -> tuple[Records, int, int] | None:
        """The records, their original TTL, and the TTL in the answer."""
        mine = self.held.get(owner)
        if mine and now <= mine[2] - (not self.last_second):
            return mine[0], mine[1], mine[2] - now
        if self.above:
            found = self.above.ask(owner, fetch, now)
        else:
            fetched = fetch()
            found = (*fetched, fetched[1]) if fetched else None
        if found:                              # one that validates keeps nothing for longer than the TTL that was signed, but for its floor
            found = (found[0], found[1], max(min(found[2], found[1]), self.floor))
            self.held[owner] = (found[0], found[1], now + found[2])
        if mine and self.stale and now <= mine[2] + self.stale and not (found and self.patient):
            return mine[0], mine[1], STALE_TTL  # at once, and what was fetched is for the next one
        return found


def some_caches() -> list[Cache]:
    """A few of each kind."""
    return [cache for _number in range(75) for cache in (
        Cache("honest"), Cache("floor", POLICY.floor), Cache("two hops", POLICY.floor, above=Cache("", POLICY.floor)),
        Cache("stale", POLICY.floor, POLICY.lead))]


class Fleet:
    """The world of one zone: its name servers, its hosts, the CA, the operator; and the judge of it all."""

    def __init__(self, seed: str, faults: Faults, troubles: Troubles, hosts: int = 0, caches: bool = False) -> None:
        """hosts: how many; 0 for 1 to 3 by chance."""
        self.rng = random.Random(seed)
        self.troubles = troubles
        self.world = World(POLICY, faults, EXPIRE, VALIDITY, RESIGN, random.Random(f"servers {seed}"))
        self.caches = some_caches() if caches else []
        self.ca_up_from = self.bogus_until = self.revoke_until = self.unlearnt_until = 0
        self.learnt: set[str] = set()              # the name servers whose addresses can be looked up while others cannot
        # A roll that is due ends within this: the signatures of what was replaced, its hold, the lead, and some runs.
        self.bound = POLICY.lost_signature + POLICY.skew + history.hold(max(POLICY.lost_ttl, *troubles.ttls), POLICY) + POLICY.lead + 12 * TIMER
        self.compromised: set[str] = set()
        self.scheme, self.rules = troubles.scheme, replace(RULES, key_lifetime=troubles.key_lifetime)
        self.third = troubles.lifetime // 3
        self.ttls = dict.fromkeys(("_25._tcp.g.pyon.example.", "_443._tcp.w.pyon.example."), 20)
        self.ahead = [0, 0]                    # by how many seconds the clocks of primary and controller are
        self.boots = self.booted = 0           # how often the primary was started again, and when
        self.running = True                    # the controller is not stopped
        self.visit_at = 5                      # its next run
        self.wrong: list[str] = []             # breaches of invariants, each with its number
        self.unsafe: Counter[str] = Counter()  # seconds, by kind of cache
        self.exposed: Counter[str] = Counter()  # the same in emergencies
        self.counts: Counter[str] = Counter()  # what happened
        self.algorithm = 0
        self._certificates: Counter[str] = Counter()  # of each host
        self._exempt: set[tuple[str, str, tuple[str, Records, int]]] = set()
        self._burnt: dict[str, int] = {}       # keys that went live by revoke_now, and until when a cache may hold what was before
        self._deleted: dict[tuple[str, ...], list[TLSA]] = {}
        self._bad: list[tuple[Endpoint, tuple[str, Records, int]]] = []
        self._judged: object = None
        self._progress: dict[str, tuple[tuple[int, int], tuple[int, int], int]] = {}
        self.hosts = [self._host(number, hosts) for number in range(hosts or self.rng.randint(1, 3))]
        for owner, ttl in self.ttls.items():
            mine = [host for host in self.hosts if owner in host.owners]
            records = frozenset(spki_record(key.spki) for host in mine for key in host.keys) if self.scheme == "3 1 1" else frozenset(
                record for host in mine for record in Chain(host.live[0].spki, host.live[1].fingerprint).records() if not record.selector)
            self.world.publish(owner, frozenset() if troubles.unpublished else records, ttl)
        first = self.world.add("198.51.100.1")
        self.world.add("2001:db8::1")
        if self.rng.random() < 0.5:
            self.world.add("198.51.100.2", upstream=first)

    @property
    def now(self) -> int:
        return self.world.now

    def _host(self, number: int, hosts: int) -> Host:
        mail, web = self.ttls
        owners = (mail, web) if number == 0 and (hosts or self.rng.random() < 0.5) else (mail,)
        host = Host(f"host{number}", owners, [], [], (Key("", 0, 0), Certificate("", 0, 0)), timer_at=self.rng.randint(1, TIMER))
        host.keys.append(self._key(host, -1))
        host.since = -self.rng.randint(0, 600)
        host.live = (host.keys[0], self.certificate(host.keys[0], 0, -self.rng.randint(0, self.troubles.lifetime // 2)))
        host.bound = self.scheme == "3 0 1"
        if not self.troubles.unpublished:
            host.keys.append(self._key(host, 0))
        else:
            host.live_from, host.timer_from = self.rng.choice([0, 150]), self.rng.randint(0, 300)
        for owner in owners:
            for address in (f"198.51.100.{number + 50}", f"2001:db8::{number + 50}"):
                down = host.live_from
                if self.troubles.unpublished and self.rng.random() < 0.5:
                    down = max(down, self.rng.randint(1, 300))
                host.endpoints.append(Endpoint(owner, address, None if down else host.live, down))
        return host

    def _key(self, host: Host, created: int) -> Key:
        number, host.made = host.made, host.made + 1
        created = max([created, *(key.created + 1 for key in host.keys)])  # as certificates.py names them, whatever the clock says
        return Key(f"{int(host.name[-1]) + 1:02x}{number:06x}".ljust(64, "0"), number, created, self.algorithm)

    def _beside(self, number: int, other: Host) -> Host:
        """Another certificate of the same host at its endpoints, of which nobody knows yet."""
        never = 10**9
        host = Host(f"host{number}", other.owners, [Endpoint(one.owner, one.address, None, never) for one in other.endpoints], [], other.live,
                    live_from=never, timer_from=never, machine=other.name, joins=True)
        host.keys += [self._key(host, self.now), self._key(host, self.now)]
        host.live = (host.keys[0], Certificate("", 0, 0))
        return host

    def lasts(self, host: Host) -> bool:
        """Whether it has a certificate, which joins another one, and it is not to be renewed yet."""
        kept = host.keys[0].certificate
        return kept is not None and kept.not_after - self.now > self.third

    def keep(self, host: Host) -> None:
        """A certificate is ordered that is not to be live yet."""
        host.keys[0].certificate = self.order(host.keys[0]) or host.keys[0].certificate

    def has_records(self, host: Host) -> bool:
        """Whether some are published of what it has."""
        assert self.world.primary and host.keys[0].certificate
        records = Chain(host.keys[0].spki, host.keys[0].certificate.fingerprint).records()
        return any(not records.isdisjoint(self.world.primary.rrsets[owner][0]) for owner in host.owners)

    def join(self, host: Host) -> None:
        """It becomes live, and its services present it to those who ask for it."""
        assert host.keys[0].certificate
        self.counts["joined"] += 1
        host.live, host.keys[0].certificate = (host.keys[0], host.keys[0].certificate), None
        host.joins, host.proven = False, False
        host.since = host.deployed = host.live_from = host.timer_from = self.now
        for endpoint in host.endpoints:
            endpoint.down_until = self.now
            self.restart(host, endpoint)

    # --- what hosts do ---

    def make_key(self, host: Host) -> None:
        host.keys.append(self._key(host, self.now))

    def order(self, key: Key) -> Certificate | None:
        """A certificate for `key`; None where the CA does not give one."""
        if self.now < self.ca_up_from:
            self.counts["failed orders"] += 1
            return None
        self.counts["orders"] += 1
        return self.certificate(key, self.issuer(self.now), self.now)

    def certificate(self, key: Key, issuer: int, begin: int) -> Certificate:
        """One for `key`."""
        host = key.spki[:2]
        self._certificates[host] += 1
        key.all.append(f"{host}c{self._certificates[host]:06x}".ljust(64, "0"))
        return Certificate(key.all[-1], issuer, begin + self.troubles.lifetime, self._certificates[host])

    @staticmethod
    def issuer(now: int) -> int:
        """The intermediate certificate that the CA issues from: every now and then another one."""
        return 1 + now // 700

    def go_live(self, host: Host, key: Key) -> None:
        """The live link is switched to `key`; the services go on with what they have until they are restarted."""
        assert key.certificate
        old = host.live[0]
        if key.spki != old.spki:
            self.counts["rolls"] += 1
            # Emergencies are exempt: stale caches that hold now what does not match, or all where the operator takes that harm.
            if old.spki in self.compromised:
                self.counts["emergencies"] += 1
                self._exempt |= {(host.name, key.spki, rrset) for rrset in self.world.served if rrset[0] in host.owners}
                if self.now < self.revoke_until + RUN:  # the run began before that
                    ttl = max((ttl for _owner, _records, ttl in self.world.served), default=0)  # 0 where nobody was asked yet
                    self._burnt[key.spki] = self.now + VALIDITY + POLICY.skew + CACHES["stale"](ttl)
            host.since, host.asked = self.now, False
            if self.rng.random() < self.troubles.late:
                for endpoint in host.endpoints[1::2]:
                    endpoint.old_until = self.now + self.rng.randint(1, self.troubles.late_seconds)
        if key.spki != old.spki or host.bound:
            host.waited = min(host.waited, 0)  # what is left of a change of scheme is waited for first
        host.live, key.certificate, host.deployed, host.due = (key, key.certificate), None, self.now, 0
        host.proven = False

    def restart(self, host: Host, endpoint: Endpoint) -> None:
        if self.now >= endpoint.down_until and self.now >= endpoint.old_until:
            endpoint.presents = host.live

    def delete_key(self, host: Host, key: Key) -> None:
        """Invariant 4: no cache may hold its record, also later."""
        self.counts["deleted keys"] += 1
        host.keys.remove(key)
        if key.spki == host.live[0].spki:
            self.wrong.append(f"4 at {self.now}: the live key of {host.name} is deleted")
        self._deleted.setdefault(host.owners, []).extend(record for one in key.all or [""] for record in Chain(key.spki, one).records())
        self._judged = None
        self._judge_deleted()

    def may_come_back(self, records: Iterable[TLSA]) -> None:
        """Invariant 4 is no more of these."""
        gone = frozenset(records)
        self._deleted = {owners: [record for record in deleted if record not in gone] for owners, deleted in self._deleted.items()}

    def _timer(self, host: Host) -> None:
        """The host's own loop: renew with the current key, put that live, mend what was not restarted."""
        host.timer_at = self.now + TIMER
        if self.now < max(host.timer_from, host.live_from):
            return
        key, certificate = host.live
        for endpoint in host.endpoints:
            if endpoint.presents != host.live:
                self.restart(host, endpoint)
        if certificate.not_after - self.now < self.third and host.bound:
            self.counts["left to the controller"] += 1
        elif certificate.not_after - self.now < self.third and self.now >= host.not_before:
            renewed = self.order(key)
            if renewed is None:
                host.not_before = self.now + BACK_OFF
                return
            key.certificate = renewed
            self.go_live(host, key)
            self.counts["renewals"] += 1
            for endpoint in host.endpoints:
                if self.rng.random() >= self.troubles.cut_short:
                    self.restart(host, endpoint)

    def report(self, host: Host) -> rollover.Backend | None:
        """What the controller hears of it."""
        if self.now < host.unheard_until:
            return None
        live = host.live[1]
        keys = [rollover.Key(key.spki, key.created, next((one.fingerprint for one in (key.certificate, live if key is host.live[0] else None)
                                                          if one and (one.not_after - self.now > self.third or
                                                                      host.bound and one.not_after > live.not_after)), ""),
                             outdated=key.algorithm != self.algorithm) for key in host.keys]
        host.proven = host.proven or all(endpoint.presents in (None, host.live) for endpoint in host.endpoints)
        seen: list[rollover.Presented] = []
        unseen: set[str] = set()
        for endpoint in host.endpoints:
            lost = self.rng.random() < self.troubles.probe_loss
            if lost and self.rng.random() < 0.1:
                seen = [one for one in seen if one.owner != endpoint.owner]
                unseen.add(endpoint.owner)
            seen.append(rollover.Presented(endpoint.owner, endpoint.address, endpoint.presents[0].spki if endpoint.presents and not lost else "",
                                           "timeout" if lost else "" if endpoint.presents else "no STARTTLS",
                                           endpoint.presents[1].fingerprint if endpoint.presents and not lost else ""))
        chains = [Chain(key.spki, key.certificate) for key in keys if key.certificate]
        chains += [Chain(host.live[0].spki, live.fingerprint)] if self.now >= host.live_from else []
        return rollover.Backend(*host.where(), host.owners, True, tuple(keys),
                                host.live[0].spki if self.now >= host.live_from else "", host.since, self.now >= host.timer_from,
                                tuple(one for one in seen if one.owner not in unseen), host.proven, live.fingerprint, host.deployed, self.troubles.lifetime,
                                live.not_after, live.not_after - self.now < self.third, host.bound, tuple(dict.fromkeys(chains)))

    # --- time ---

    def second(self) -> None:
        """One second passes, with all that goes wrong in it."""
        self.world.second()
        now, chance, troubles = self.now, self.rng.random, self.troubles
        if troubles.join and now == troubles.join:
            self.hosts += [self._beside(number, host) for number, host in enumerate(self.hosts, len(self.hosts))]
        if chance() < troubles.ca_down:
            self.ca_up_from = now + self.rng.randint(1, troubles.ca_down_seconds)
        if troubles.unlearnt and now >= self.unlearnt_until and chance() < troubles.unlearnt:
            self.unlearnt_until = now + self.rng.randint(1, troubles.unlearnt_seconds)
            self.learnt = {server.address for server in self.world.servers if server.removed is None}
        if chance() < troubles.bogus:
            self.bogus_until = now + self.rng.randint(1, 200)
        if chance() < troubles.ttl:
            self.ttls[self.rng.choice(list(self.ttls))] = self.rng.choice(troubles.ttls)
        if chance() < troubles.compromise:
            self.compromise(self.rng.choice(self.hosts), chance() < troubles.both, chance() < troubles.revoke_now)
        if chance() < troubles.ask:
            self.rng.choice(self.hosts).asked = True
        if troubles.change and chance() < troubles.change:
            self.change_scheme()
        if troubles.algorithm and chance() < troubles.algorithm:
            self.algorithm = 1 - self.algorithm
            self.counts["other algorithms"] += 1
            for host in self.hosts:
                self.wait_anew(host)           # another key has to be made
        if chance() < troubles.foreign:
            endpoint = self.rng.choice([endpoint for host in self.hosts for endpoint in host.endpoints])
            endpoint.presents, endpoint.old_until = FOREIGN, now + self.rng.randint(1, troubles.foreign_seconds)
        if troubles.jump and chance() < troubles.jump:
            self.ahead[self.rng.randint(0, 1)] = self.rng.choice([0, self.rng.randint(-troubles.jump_seconds, troubles.jump_seconds)])
            self.counts["set clocks"] += 1
        if troubles.reboot and chance() < troubles.reboot:
            self.boots, self.booted = self.boots + 1, now
        for host in self.hosts:
            if chance() < troubles.unheard:
                host.unheard_until = now + self.rng.randint(1, troubles.unheard_seconds)
            if host.timer_at <= now:
                self._timer(host)
            self._judge_waits(host)
        for _number in range(2 if self.caches else 0):
            self._sample(self.rng.choice(self.caches))
        self.judge()

    def wait_anew(self, host: Host) -> None:
        """All has to be waited for from now on, and before that a change of scheme that may be on its way."""
        host.waited, host.due = -self.bound if self.troubles.change else 0, 0

    def change_scheme(self) -> None:
        """The operator wants the other one."""
        self.scheme = "3 0 1" if self.scheme == "3 1 1" else "3 1 1"
        self.counts[f"to {self.scheme}"] += 1
        for host in self.hosts:
            host.waited = -self.bound          # first the scheme changes
            if host.asked:
                host.due = 0                   # a roll that was on its way has to wait, and a renewal goes its own

    def compromise(self, host: Host, both: bool = False, revoke_now: bool = False) -> None:
        """Others may have its current key, and all that it has made since if `both`."""
        self.compromised |= {key.spki for key in host.keys if key is host.live[0] or both and key.number > host.live[0].number}
        self.wait_anew(host)
        if revoke_now:
            self.revoke_until = self.now + 300

    # --- the judge ---

    def judge(self) -> None:
        """Invariants 1, 4 and 6, for this second."""
        world, now = self.world, self.now
        presented = [endpoint.presents for host in self.hosts for endpoint in host.endpoints]
        state = ([shown and shown[1] for shown in presented], len(world.served))
        if state != self._judged:
            for rrset, last in list(world.served.items()):
                if last + CACHES["stale"](rrset[2]) < now:
                    del world.served[rrset]
            self._judged = (state[0], len(world.served))
            self._bad = [(endpoint, rrset) for host in self.hosts for endpoint in host.endpoints
                         if (own := endpoint.own()) for rrset in world.served
                         if rrset[0] == endpoint.owner and not history.matches(rrset[1], self._chain(*own))]
            self._judge_progress()
            self._judge_deleted()
        if not self._bad:
            return
        kinds: set[str] = set()
        exposed: set[str] = set()
        for endpoint, rrset in self._bad:
            assert endpoint.presents
            spki = endpoint.presents[0].spki
            host = next(host for host in self.hosts if endpoint in host.endpoints)
            for kind, relies in CACHES.items():
                if now <= world.served[rrset] + relies(rrset[2]):
                    emergency = now <= self._burnt.get(spki, 0) or (kind == "stale" and (host.name, spki, rrset) in self._exempt)
                    (exposed if emergency else kinds).add(kind)
        if kinds:
            self.wrong.append(f"1 at {now}: unsafe for caches: {', '.join(sorted(kinds))}")
        self.unsafe.update(kinds)
        self.exposed.update(exposed)

    def _chain(self, key: Key, certificate: Certificate) -> Records:
        return Chain(key.spki, certificate.fingerprint).records() | {issuer_record(certificate.issuer)}

    def _judge_deleted(self) -> None:
        for owners, records in self._deleted.items():
            for owner, rrset, ttl in self.world.served:
                if owner in owners and not rrset.isdisjoint(records) and self.now <= self.world.served[owner, rrset, ttl] + CACHES["stale"](ttl):
                    self.wrong.append(f"4 at {self.now}: a cache may hold the record of a deleted key")

    def _judge_progress(self) -> None:
        """Invariant 6: what is live and presented of a host never goes back to an older certificate, nor what is published to an older key.

        To be withdrawn is not that.
        """
        assert self.world.primary
        published = {record for records, _ttl in self.world.primary.rrsets.values() for record in records}
        for host in self.hosts:
            shown = min(((endpoint.presents[0].number, endpoint.presents[1].number) for endpoint in host.endpoints
                         if endpoint.presents and endpoint.own()), default=(0, 0))
            before = self._progress.get(host.name, ((0, 0), (0, 0), 0))
            newest = max((key.number for key in host.keys if spki_record(key.spki) in published and key.spki not in self.compromised),
                         default=0 if any(self.world.primary.rrsets[owner][0] for owner in host.owners) else before[2])
            shown = max(shown, before[1]) if shown == (0, 0) else shown
            after = ((host.live[0].number, host.live[1].number), shown, newest)
            keys = not self.compromised and self.troubles.scheme == "3 1 1" and not self.troubles.change and not self.troubles.algorithm
            if any(new < old for new, old in zip(after[:2], before[:2], strict=True)) or after[2] < before[2] and keys:
                self.wrong.append(f"6 at {self.now}: {host.name} goes back from {before} to {after}")
            self._progress[host.name] = after

    def _judge_waits(self, host: Host) -> None:
        """Invariants 3 and 5: no certificate expires, and every wait ends."""
        left, up = host.live[1].not_after - self.now, self.now >= self.ca_up_from
        helpless = max(host.unheard_until, self.bogus_until, host.timer_from, host.live_from, *(endpoint.old_until for endpoint in host.endpoints))
        by_plan = up and self.running and self.now >= helpless and abs(self.ahead[0] - self.ahead[1]) <= POLICY.margin
        if left >= self.third or self.now < host.timer_from:
            host.due = 0
        elif by_plan if host.bound else up:
            host.due += 1
        # The timer needs two runs and one more attempt; what waits for caches is not late before that has to end.
        late = host.due > (self.bound if host.bound or self.troubles.change else 2 * (TIMER + BACK_OFF))
        if left == MARGIN - 1 and late:
            self.counts["missed"] += 1
            self.wrong.append(f"5 at {self.now}: the certificate of {host.name} is not renewed")
        if any(endpoint.presents and endpoint.presents[1].not_after < self.now for endpoint in host.endpoints) and late:
            self.wrong.append(f"3 at {self.now}: {host.name} presents an expired certificate")
        aged = self.rules.key_lifetime is not None and self.now - host.since > self.rules.key_lifetime
        due = host.asked or aged and (self.scheme == "3 1 1" or left < self.third) or host.live[0].spki in self.compromised
        if due and by_plan:
            host.waited += 1
            if host.waited > self.bound:
                host.waited = 0
                self.counts["overdue"] += 1
                self.wrong.append(f"5 at {self.now}: a roll of {host.name} waits for ever")

    def _sample(self, cache: Cache) -> None:
        """A peer asks one of the sampled caches: it holds nothing that the account says nobody can hold."""
        owner = self.rng.choice(list(self.ttls))

        def fetch() -> tuple[Records, int] | None:
            zone = self.world.serves(self.rng.choice([server for server in self.world.servers if self.world.asked(server)]))
            records, ttl = zone.rrsets[owner] if zone else (frozenset(), 0)
            return (records, ttl) if records else None

        found = cache.ask(owner, fetch, self.now)
        if found is None:
            return
        self.counts["samples"] += 1
        last = self.world.served.get((owner, found[0], found[1]))
        if last is None or self.now > last + CACHES[cache.kind](found[1]) - POLICY.session:
            self.wrong.append(f"0 at {self.now}: a cache ({cache.kind}) holds what was last served at {last}: the account is wrong")
        endpoints = [endpoint for host in self.hosts for endpoint in host.endpoints
                     if endpoint.owner == owner and endpoint.own()]
        if endpoints:
            endpoint = self.rng.choice(endpoints)
            assert endpoint.presents
            if not history.matches(found[0], self._chain(*endpoint.presents)):
                self.counts["samples that failed"] += 1


def issuer_record(issuer: int) -> TLSA:
    """The record of one of the CA's intermediate certificates."""
    return TLSA(2, 1, 1, issuer.to_bytes(32, "big"))


class Visitor(Protocol):
    """A controller: `run` yields before each of its effects, and between them it may die."""

    def run(self) -> Iterator[str]: ...
    def lose(self) -> None: ...
    def restore(self) -> None: ...


def live_through(fleet: Fleet, controller: Visitor, seconds: int) -> None:
    """The fleet for so long, with a controller that comes by, dies and stays away."""
    troubles, rng = fleet.troubles, fleet.rng
    end = fleet.now + seconds
    while fleet.now < end:
        fleet.second()
        if fleet.now < fleet.visit_at:
            continue
        fleet.running = True
        if rng.random() < troubles.lose:
            controller.lose()
        if rng.random() < troubles.restore:
            controller.restore()
        for _effect in controller.run():
            for _number in range(rng.choice([0, 0, 1, 3])):
                fleet.second()
            if rng.random() < troubles.crash:
                break
        fleet.visit_at = fleet.now + rng.randint(TIMER // 2, 3 * TIMER // 2)
        if rng.random() < troubles.stop:
            fleet.running, fleet.visit_at = False, fleet.now + rng.randint(1, troubles.stop_seconds)
