# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who rolls the keys of a fleet: ours, as it runs on the zone's primary, and the strategies that people use, each bad in its way."""
from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.selfhost.dane.plugins.module_utils import clock, history, records, rollover
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.history import History
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Backend, Chain, Owner, Plan, Step
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA, spki_record
from fleet import EXPIRE, RULES, RUN, VALIDITY, Fleet, Host, issuer_record

# All that plan() has said to anybody.
transitions: set[tuple[str, str]] = set()      # each step that plan() took, and why
said: set[str] = set()


@dataclass(frozen=True)
class Record:
    """What the primary remembers on its disk."""

    histories: dict[str, History] = field(default_factory=dict)
    heard: dict[str, Backend] = field(default_factory=dict)
    generation: int = 0
    known_from: int = -10**9               # it was whole from then on
    clock: clock.Clock | None = None


class Controller:
    """What plan() says, with a record that is simpler than that of the zone's primary: its parts are what the bad ones do otherwise."""

    rules = RULES

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        if self.rules is RULES:
            self.rules = fleet.rules
        self.disk = Record(generation=1)
        self.older = self.disk                 # a backup of the record
        self.drift = 0                         # how far the controller's clock is behind
        assert fleet.world.primary
        for owner, (published, ttl) in fleet.world.primary.rrsets.items():
            self.disk.histories[owner] = history.published(History(), published, ttl, fleet.world.primary.signed_until, EXPIRE, fleet.now)

    def clock(self, before: clock.Clock | None) -> tuple[int, clock.Clock, str]:
        """Seconds that have passed for sure, what is remembered of the clocks after `before`, and why nothing may be decided by it."""
        fleet = self.fleet
        if fleet.rng.random() < fleet.troubles.drift:
            self.drift += 1
        primary, controller = (fleet.now + ahead for ahead in fleet.ahead)
        ticked, trouble = clock.advance(before, clock.Reading(primary, fleet.now - fleet.booted, str(fleet.boots)), controller, RULES.caches.margin)
        return int(ticked.time) - self.drift, ticked, trouble

    def lose(self) -> None:
        self.disk = Record()
        self.fleet.counts["lost records"] += 1

    def restore(self) -> None:
        self.disk = self.older
        for host in self.fleet.hosts:
            host.waited = 0                    # all may have to be waited for anew
        self.fleet.counts["restored records"] += 1

    def run(self) -> Iterator[str]:
        """One run; it yields before each effect."""
        fleet = self.fleet
        reachable = self.reachable()
        for host in reachable:
            bound = self.bound(host)
            if bound is not None and host.bound != bound:
                yield f"tell {host.name} what its timer may do"
                host.bound = bound
            if host.joins and not fleet.lasts(host):
                yield f"order for {host.name}, which is not to be live yet"
                fleet.keep(host)
        for host in reachable:
            for endpoint in host.endpoints:
                if endpoint.presents != host.live and not host.joins:
                    yield f"restart {endpoint.address} of {host.name}"
                    fleet.restart(host, endpoint)
        plan = yield from self.published_plan(reachable)
        for host in reachable:
            step, kept = plan.steps[host.where()], host.keys[0].certificate
            if not host.joins:
                yield from self.carry_out(host, step)
            elif kept and (step.fingerprint == kept.fingerprint if host.bound else host.where() not in plan.held and fleet.has_records(host)):
                yield f"switch {host.name} on"
                fleet.join(host)

    def reachable(self) -> list[Host]:
        return [host for host in self.fleet.hosts if self.fleet.now >= host.unheard_until]

    def published_plan(self, _reachable: Sequence[Host]) -> Generator[str, None, Plan]:
        """The plan, once what it wants is published."""
        now, ticked, trouble = self.clock(self.disk.clock)
        record = replace(self.look(now), clock=ticked)
        yield "write what was seen"
        self.write(record)
        owners, backends = self.owners(record, trouble), self.backends(record)
        asked = frozenset(host.where() for host in self.fleet.hosts if host.asked)
        plan = self.decide(owners, backends, now, asked)
        for owner in owners:
            wanted = plan.rrsets[owner.name].records
            if not owner.same(wanted) and not owner.trouble and (wanted or owner.published()):
                yield f"write that {owner.name} changes"
                self.write(replace(self.disk, histories={
                    **self.disk.histories, owner.name: self.published(self.disk.histories[owner.name], wanted, owner.ttl)}))
                yield f"publish {owner.name}"
                self.publish(owner.name, owner.published(), wanted, owner.ttl)
        return plan

    def look(self, now: int) -> Record:
        """The record after a look at the primary, at all name servers, and at the hosts."""
        world = self.fleet.world
        assert world.primary
        answers = {owner: list(self.answers(owner)) for owner in world.primary.rrsets}
        whole = self.disk.generation > 0 and not any(history.is_older(self.disk.histories.get(owner, History()), said, VALIDITY)
                                                     for owner, said in answers.items())
        histories = {}
        for owner, (published, ttl) in world.primary.rrsets.items():
            known = self.disk.histories.get(owner, History())
            if not whole:
                known = self.unknown(known, now)
            known = history.named(known, self.addresses(), (), now, self.complete())
            current = known.current()
            if current and (current.records, current.ttl) != (published, ttl):  # what the record has as published may have been signed until now
                known = history.published(known, current.records, current.ttl, self.fleet.now + VALIDITY, EXPIRE, now)
            known = history.published(known, published, ttl, world.primary.signed_until, EXPIRE, now)
            known = history.observed(known, answers[owner], self.rules.caches, now)
            histories[owner] = self.kept(known, now)
        if not whole:
            for host in self.fleet.hosts:
                self.fleet.wait_anew(host)
        heard = dict(self.disk.heard) if whole else {}  # an older report may name keys that are deleted since
        for host in self.fleet.hosts:
            report = self.fleet.report(host)
            if report:
                held = {record for known in histories.values() for rrset in known.rrsets for record in rrset.records if not record.selector}
                before = [chain for chain in heard[host.name].known if not held.isdisjoint(chain.records())] if host.name in heard else []
                heard[host.name] = replace(self.reported(report), known=tuple(dict.fromkeys((*report.known, *before))))
        return Record(histories, heard, self.disk.generation + 1, self.disk.known_from if whole else self.fleet.now)

    def write(self, record: Record) -> None:
        if self.fleet.rng.random() < 0.02:
            self.older = self.disk
        self.disk = record

    def owners(self, record: Record, trouble: str) -> list[Owner]:
        fleet = self.fleet
        trouble = "the zone does not validate" if fleet.now < fleet.bogus_until else trouble
        return [Owner(owner, fleet.ttls[owner], self.believed(known), trouble) for owner, known in record.histories.items()
                if any(owner in host.owners for host in fleet.hosts)]

    def backends(self, record: Record) -> list[Backend]:
        fleet, found = self.fleet, []
        for host in fleet.hosts:
            backend = record.heard.get(host.name, Backend(*host.where(), host.owners, False))
            keys = tuple(replace(key, compromised=key.spki in fleet.compromised) for key in backend.keys)
            found.append(replace(backend, keys=keys, heard=backend.heard and fleet.now >= host.unheard_until))
        return found

    def published(self, known: History, wanted: frozenset[TLSA], ttl: int) -> History:
        """Written before the zone is: until then, and for the time of a run, it may be signed anew as it is."""
        primary = self.fleet.world.primary
        assert primary
        owner = next(owner for owner, one in self.disk.histories.items() if one is known)
        now = self.clock(self.disk.clock)[0]
        known = history.published(known, *primary.rrsets[owner], self.fleet.now + VALIDITY + RUN, EXPIRE, now)
        return history.published(known, wanted, ttl, self.fleet.now + VALIDITY + RUN, EXPIRE, now, first=not primary.rrsets[owner][0])

    def publish(self, owner: str, before: frozenset[TLSA], wanted: frozenset[TLSA], ttl: int) -> None:
        fleet = self.fleet
        if not before:
            fleet.counts["first publications"] += 1
            if any(endpoint.presents is None for host in fleet.hosts for endpoint in host.endpoints if endpoint.owner == owner):
                fleet.wrong.append(f"2 at {fleet.now}: {owner} is published, and an endpoint has no TLS")
        fleet.counts["publications" if wanted else "withdrawals"] += 1
        fleet.world.publish(owner, wanted, ttl)

    def carry_out(self, host: Host, step: Step) -> Iterator[str]:
        fleet = self.fleet
        following = next((key for key in host.keys if key.spki == step.spki), None)
        if step.kind == "make key":
            yield f"make a key of {host.name}"
            fleet.make_key(host)
        elif step.kind == "order" and following:
            yield f"order for {host.name}"
            following.certificate = fleet.order(following)
        elif step.kind == "deploy" and following and following.certificate and step.fingerprint in ("", following.certificate.fingerprint):
            yield f"switch {host.name}"
            if not following.certificate:
                return                         # a timer that is free has used it meanwhile
            if fleet.now < self.disk.known_from + RULES.caches.lead and not fleet.compromised:
                fleet.wrong.append(f"7 at {fleet.now}: {host.name} rolls although the history was lost at {self.disk.known_from}")
            fleet.counts["renewals by the plan"] += following is host.live[0]
            fleet.go_live(host, following)
            for endpoint in host.endpoints:
                yield f"restart {endpoint.address} of {host.name} after the switch"
                fleet.restart(host, endpoint)
        elif step.kind == "delete key" and following:
            yield f"delete a key of {host.name}"
            fleet.delete_key(host, following)

    def wanted(self) -> rollover.Rules:
        """The rules, with the scheme that the operator wants now."""
        return replace(self.rules, scheme=self.fleet.scheme)

    # --- what the bad strategies do otherwise ---

    def bound(self, host: Host) -> bool | None:
        """Whether its timer must leave renewals to the controller, as far as the record says."""
        whole = self.disk.generation > 0
        histories = [self.disk.histories.get(owner) if whole else None for owner in host.owners]
        return rollover.bound([Owner("", 0, known or history.lost(History(), self.rules.caches, 0)) for known in histories], self.wanted())

    def addresses(self) -> list[str]:
        """The name servers as parent and zone name them, but for those that cannot be learnt."""
        named = [server.address for server in self.fleet.world.servers if server.removed is None]
        return [address for address in named if self.complete() or address in self.fleet.learnt]

    def complete(self) -> bool:
        """Whether it is known that these are all."""
        return self.fleet.now >= self.fleet.unlearnt_until

    def answers(self, owner: str) -> Iterable[history.Answer]:
        learnt = set(self.addresses())
        return [answer for answer in self.fleet.world.answers(owner) if answer.address in learnt]

    def unknown(self, known: History, now: int) -> History:
        """The history where the record was lost, or an older one is in its place."""
        return history.lost(known, self.rules.caches, now)

    def kept(self, known: History, now: int) -> History:
        return history.pruned(known, self.rules.caches, now)

    def reported(self, backend: Backend) -> Backend:
        return backend

    def believed(self, known: History) -> History:
        return known

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        return noted(rollover.plan(owners, backends, self.wanted(), now, asked, self.fleet.now < self.fleet.revoke_until))


def noted(plan: Plan) -> Plan:
    """`plan`, and what it says is kept."""
    for rrset in plan.rrsets.values():
        said.update((rrset.reason, *rrset.held_by))
    for step in plan.steps.values():
        transitions.add((step.kind, step.reason))
        said.update((step.reason, *step.held_by))
    return plan


PRIMARY = "primary"
SERVICES = {"_25": ("smtp", 25), "_443": ("https", 443)}  # what a TLSA owner is of


class Ours(Controller):
    """Ours as it is: `records.merge` with the record, the reports and the slice in JSON, as on the zone's primary.

    Each owner is in a zone of its own, as a zone has one TTL for all of its TLSA records.
    """

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.record = self.nothing()
        for owner, known in self.disk.histories.items():
            self.record["zones"][zone_of(owner)] = {"names": {}, "secure": True, **records._entry({owner: known}, {}, ())}
        self.backup = self.record, self.disk

    @staticmethod
    def nothing() -> Any:
        """The record where there is none."""
        return records.read("/nonexistent/record.json", PRIMARY)

    def lose(self) -> None:
        self.record, self.disk = self.nothing(), replace(self.disk, known_from=self.fleet.now)
        self.fleet.counts["lost records"] += 1
        for host in self.fleet.hosts:
            self.fleet.wait_anew(host)

    def restore(self) -> None:
        self.record, self.disk = self.backup
        self.fleet.counts["restored records"] += 1
        # what was live then is published again until its host is heard, as it may still present it; that the key is deleted only the host knows
        self.fleet.may_come_back(record for report in self.record["reports"].values() for one in report["certificates"].values() if one["live"]
                                 for record in Chain(one["live"], one["fingerprint"]).records())
        for host in self.fleet.hosts:
            self.fleet.wait_anew(host)         # all may have to be waited for anew

    def run(self) -> Iterator[str]:
        try:
            yield from super().run()
        except DaneError as error:             # the primary fails, and nothing goes on
            assert "not begun before they agree" in str(error)

    def reachable(self) -> list[Host]:
        """Those of machines all of whose certificates are heard of: one report has them all."""
        heard = super().reachable()
        silent = {host.where()[0] for host in self.fleet.hosts if host not in heard}
        return [host for host in heard if host.where()[0] not in silent]

    def published_plan(self, reachable: Sequence[Host]) -> Generator[str, None, Plan]:
        fleet, before, zones = self.fleet, self.record, self.zones()
        assert fleet.world.primary
        now, ticked, trouble = self.clock(records._clock_of(before))
        bogus = fleet.now < fleet.bogus_until
        seen = {zone_of(owner): records.Observation(self.addresses(), {owner: () if bogus else tuple(self.answers(owner))},
                                                    "the zone does not validate" if bogus else "", {}, None if bogus else True, self.complete())
                for owner in fleet.ttls}
        signed = {zone_of(owner): {owner: (*one, 0)} for owner, one in fleet.world.primary.rrsets.items() if one[0]}
        order = records.Order(roll=frozenset(host.where() for host in fleet.hosts if host.asked), compromised=frozenset(fleet.compromised),
                              revoke_now=fleet.now < fleet.revoke_until)
        after, plan, _notes = records.merge(before, zones, self.reports(reachable), seen, order, self.wanted(), VALIDITY, now, trouble, signed)
        noted(plan)
        if after != before:
            yield "write what was seen and is planned"
            after = json.loads(json.dumps({**after, "generation": before["generation"] + 1, "clock": asdict(ticked)}))
            if unknown(after) - unknown(before):  # an older record was found out
                for host in fleet.hosts:
                    fleet.wait_anew(host)
            if fleet.rng.random() < 0.02:
                self.backup = before, self.disk
            self.record = after
        for owner in fleet.ttls:
            texts, ttl = records.published(after, zone_of(owner)).get(owner, ([], fleet.ttls[owner]))
            wanted, (there, there_ttl) = frozenset(TLSA.parse(text, owner) for text in texts), fleet.world.primary.rrsets[owner]
            if wanted != there or wanted and ttl != there_ttl:
                yield f"publish {owner}"
                self.publish(owner, there, wanted, ttl)
        return plan

    def bound(self, host: Host) -> bool | None:
        return records.bound_certificates(self.record, self.zones(), self.wanted()).get(host.where())

    def zones(self) -> list[dict[str, Any]]:
        """The slice."""
        fleet = self.fleet
        return [{"name": zone_of(owner), "ttl": ttl, "tlsa_ttl": ttl, "soa": {"expire": EXPIRE}, "tlsa_owners": [{"owner": owner, "backends": [
            {"host": name, "certificate": certificate, "service": service, "port": port}
            for host in fleet.hosts if owner in host.owners for name, certificate in [host.where()]]}]}
            for owner, ttl in fleet.ttls.items() for service, port in [SERVICES[owner.split(".")[0]]]]

    def reports(self, reachable: Sequence[Host]) -> list[dict[str, Any]]:
        """What each machine reports of all of its certificates."""
        found: dict[str, list[tuple[Backend, dict[str, Any]] | None]] = {}
        for host in reachable:
            told = self.fleet.report(host)
            found.setdefault(host.where()[0], []).append((told, self.told(host, told)) if told else None)
        return [{"schema": 1, "host": machine, "time": self.fleet.now, "timers": {"renew": all(told.renews for told, _one in whole)},
                 "certificates": [one for _told, one in whole]}
                for machine, said_of in found.items() for whole in [[one for one in said_of if one]] if len(whole) == len(said_of)]

    def told(self, host: Host, told: Backend) -> dict[str, Any]:
        """What it reports of one certificate."""
        lasts, algorithms = host.live[1].not_after, {key.spki: str(key.algorithm) for key in host.keys}
        return {"name": told.certificate, "algorithm": str(self.fleet.algorithm), "bound": told.bound, "due": "it is due" if told.due else "",
                "keys": [{"spki": key.spki, "created": key.created, "algorithm": algorithms[key.spki],
                          "certificate": {"fingerprint": key.certificate, "not_after": lasts} if key.certificate else None} for key in told.keys],
                "live": {"fingerprint": told.fingerprint, "spki": told.live, "since": told.since, "deployed": told.deployed, "proven": told.proven,
                         "not_before": lasts - told.lifetime, "not_after": lasts} if told.live else None,
                "endpoints": [{"service": service, "port": port, "name": seen.owner, "address": seen.endpoint, "spki": seen.spki,
                               "fingerprint": seen.fingerprint, "error": seen.error}
                              for seen in told.presented for service, port in [SERVICES[seen.owner.split(".")[0]]]]}


def zone_of(owner: str) -> str:
    """The zone that a TLSA owner is in."""
    return owner.split(".", 2)[-1]


def unknown(record: Any) -> set[str]:
    """The RRsets of which a record says that nothing is known."""
    return {json.dumps([owner, rrset["replaced"]]) for zone in record["zones"].values() for owner, entry in zone["owners"].items()
            for rrset in entry["rrsets"] if rrset["records"] == [one.presentation() for one in history.LOST]}


def without_later(plan: Plan, backends: list[Backend]) -> dict[str, rollover.RRset]:
    """Its RRsets without the keys that are not live yet."""
    later = {spki_record(key.spki) for one in backends for key in one.later()}
    return {owner: replace(rrset, records=rrset.records - later) for owner, rrset in plan.rrsets.items()}


def at_once(step: Step, backend: Backend, now: int, asked: bool) -> Step:
    """`step`, and where a roll is due the order or the switch without any wait."""
    later = backend.later()
    if not later or not (asked or now >= backend.since + RULES.key_lifetime):  # type: ignore[operator]
        return step
    return Step("deploy" if later[0].certificate else "order", "now", later[0].spki, later[0].certificate)


class Script(Controller):
    """1. The script of the talk: publish old and new, and restart at once."""

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        plan = super().decide(owners, backends, now, asked)
        due = [one for one in backends if (one.host, one.certificate) in asked or now >= one.since + RULES.key_lifetime]  # type: ignore[operator]
        others = [one for one in backends if one not in due]
        steps = {name: at_once(plan.steps[name], one, now, name in asked) for one in backends for name in [(one.host, one.certificate)]}
        return Plan(without_later(plan, others), steps)


class Clock(Controller):
    """2. Wait by the clock from the moment of publication; no server is asked."""

    def believed(self, known: History) -> History:
        rrsets = tuple(replace(rrset, seen={"nobody": history.Seen(gone=rrset.replaced)}) for rrset in known.rrsets)
        return History((history.Server("nobody"),), rrsets)


class OneServer(Controller):
    """3. Ask one server only."""

    def addresses(self) -> list[str]:
        return super().addresses()[:1]


class OwnRollover(Controller):
    """4. dehydrated's own rollover: the next key is used up by an order that fails, and the next order is for a new one."""

    def carry_out(self, host: Host, step: Step) -> Iterator[str]:
        following = next((key for key in host.keys if key.spki == step.spki), None)
        if step.kind != "order" or following is None:
            yield from super().carry_out(host, step)
            return
        yield f"order for {host.name}"
        following.certificate = self.fleet.order(following)
        if following.certificate is None:
            host.keys.remove(following)
            self.fleet.make_key(host)
            following = host.keys[-1]
            while following.certificate is None:
                yield f"order again for {host.name}"
                following.certificate = self.fleet.order(following)
        yield from super().carry_out(host, Step("deploy", "ordered", following.spki))


class TodaysTTL(Controller):
    """5. A hold computed from the TTL of today."""

    def believed(self, known: History) -> History:
        ttl = next((rrset.ttl for rrset in known.rrsets if rrset.replaced is None), 0)
        return replace(known, rrsets=tuple(replace(rrset, ttl=min(ttl, rrset.ttl)) for rrset in known.rrsets))


class NoLeadNoFallBack(Controller):
    """6. Nothing is waited for stale caches, and a server that was seen without an RRset will not fall back to it."""

    rules = replace(RULES, caches=replace(RULES.caches, lead=0, fall_back=0))


class NoLead(Controller):
    """6. Nothing is waited for stale caches, and all else is."""

    rules = replace(RULES, caches=replace(RULES.caches, lead=0))


class SwitchFirst(Controller):
    """7. Switch, then publish."""

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        plan = super().decide(owners, backends, now, asked)
        rrsets = without_later(plan, backends)
        steps = {name: at_once(plan.steps[name], one, now, name in asked) for one in backends for name in [(one.host, one.certificate)]}
        return Plan(rrsets, steps)


class FutureIssuer(Controller):
    """8. The 2 1 1 of the issuer to come is added, and not that of today's."""

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        plan = super().decide(owners, backends, now, asked)
        future = {issuer_record(self.fleet.issuer(self.fleet.now) + 1)}
        rrsets = {}
        for owner, rrset in plan.rrsets.items():
            keys = frozenset(record for record in rrset.records if record.usage == 3)
            rrsets[owner] = replace(rrset, records=keys | future if keys else keys)
        return Plan(rrsets, plan.steps)


class Never(Controller):
    """9. Never roll."""

    rules = replace(RULES, key_lifetime=None)

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        return super().decide(owners, backends, now, frozenset())


class ForEver(Controller):
    """9. Wait for ever on a silent server."""

    def kept(self, known: History, now: int) -> History:
        return known

    def believed(self, known: History) -> History:
        return replace(known, rrsets=tuple(replace(rrset, signed_until=10**9, expire=10**9) for rrset in known.rrsets))


class AsIfNothing(Controller):
    """10. Go on after the record was lost as if nothing had been."""

    def unknown(self, known: History, now: int) -> History:
        return known


class FirstOfTwo(Controller):
    """11. Retire the old keys when the first backend has switched."""

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        plan = super().decide(owners, backends, now, asked)
        rrsets = dict(plan.rrsets)
        for owner, rrset in rrsets.items():
            mine = [(one, one.current()) for one in backends if owner in one.owners and one.later()]
            newest = max((one.since for one, _current in mine), default=0)
            old = {spki_record(current.spki) for one, current in mine if current and one.since < newest}
            if newest > 0:
                rrsets[owner] = replace(rrset, records=rrset.records - old)
        return Plan(rrsets, plan.steps)


class FourOnly(Controller):
    """12. Look at the IPv4 addresses only."""

    def reported(self, backend: Backend) -> Backend:
        return replace(backend, presented=tuple(seen for seen in backend.presented if ":" not in seen.endpoint), proven=True)


class ScriptCertificates(Controller):
    """1. The script of the talk as it is: 3 0 1 of the old and the new certificate, and restart at once."""

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        plan = super().decide(owners, backends, now, asked)
        steps = dict(plan.steps)
        for one in backends:
            current = one.current()
            if current and one.due:
                steps[one.host, one.certificate] = Step("deploy" if current.certificate else "order", "now", current.spki, current.certificate)
        return Plan(plan.rrsets, steps)


class OwnTimers(Controller):
    """13. The timers go on to renew by themselves, also where records stand for certificates."""

    def bound(self, host: Host) -> bool | None:
        return False


class FreeAtOnce(Controller):
    """14. They do so again as soon as the scheme is one of keys."""

    def bound(self, host: Host) -> bool | None:
        return self.wanted().certificates()


class BothAtOnce(Controller):
    """15. A certificate that joins another one at an endpoint is presented as soon as its keys are published."""

    def decide(self, owners: list[Owner], backends: list[Backend], now: int, asked: frozenset[tuple[str, str]]) -> Plan:
        return replace(super().decide(owners, backends, now, asked), held=())


class KnownAlone(Controller):
    """16. While not all name servers can be learnt go on with those that are known."""

    def believed(self, known: History) -> History:
        return replace(known, servers=tuple(server for server in known.servers if server.address != history.UNLEARNT))


BAD: dict[str, type[Controller]] = {
    "1 the talk's script": Script,
    "2 by the clock": Clock,
    "3 one server": OneServer,
    "4 dehydrated's rollover": OwnRollover,
    "5 today's TTL": TodaysTTL,
    "6 no lead, no D": NoLeadNoFallBack, "6 no lead": NoLead,
    "7 switch, then publish": SwitchFirst,
    "8 future issuer": FutureIssuer,
    "9 never": Never,
    "9 for ever": ForEver,
    "10 lost, as if nothing": AsIfNothing,
    "11 first of two": FirstOfTwo,
    "12 IPv4 only": FourOnly,
    "1 the script, 3 0 1": ScriptCertificates,
    "13 own timers": OwnTimers,
    "14 free at once": FreeAtOnce,
    "15 both at once": BothAtOnce,
    "16 those that are known": KnownAlone,
}
