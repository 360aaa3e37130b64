# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys roll by plan() in worlds full of trouble and no invariant is broken; each bad strategy breaks the one that it should.

The invariants, by the numbers with which `Fleet.wrong` names them: 0 the account of caches is right; 1 no cache within the promise
holds what a presented key does not match; 2 TLS where there are records; 3 no expired certificate; 4 no key is deleted too early;
5 renewals in time, and every wait ends; 6 nothing goes back; 7 what is not known is taken at its worst.
"""
from __future__ import annotations

import ast
import copy
import inspect
from dataclasses import replace
from functools import cache

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import clock, history, rollover
from ansible_collections.selfhost.dane.plugins.module_utils.history import History
from controllers import BAD, Controller, Ours, said, transitions
from fleet import CACHES, POLICY, RUN, TIMER, Fleet, Troubles, live_through
from servers import Faults
from worlds import BITES, WORLDS, live

SEEDS = 2


@cache
def ours(world: str, seed: int) -> Fleet:
    return live(world, seed, caches=True)


@pytest.mark.parametrize("world", WORLDS)
def test_no_invariant_is_broken(world: str) -> None:
    for seed in range(SEEDS):
        fleet = ours(world, seed)
        assert not fleet.wrong, f"seed {seed}: {fleet.wrong[:3]}"
    fleets = [ours(world, seed) for seed in range(SEEDS)]
    changes = sum(fleet.counts["rolls"] + fleet.counts["renewals by the plan"] for fleet in fleets)
    assert changes >= 6, "and keys do roll, or certificates are renewed in the same steps"
    assert all(fleet.counts["samples"] >= 1000 for fleet in fleets), "and caches are asked"


def test_what_should_go_wrong_in_the_worlds_did() -> None:
    for world, counts in {"CA down": ["failed orders"], "lost records": ["lost records", "restored records"], "emergencies": ["emergencies"],
                          "first publication": ["first publications", "withdrawals"], "calm": ["deleted keys", "renewals"],
                          "certificates": ["rolls", "renewals by the plan", "left to the controller"], "kept keys": ["renewals by the plan"],
                          "certificates, first": ["first publications"], "certificates, all": ["emergencies"],
                          "changing schemes": ["to 3 0 1", "to 3 1 1", "renewals", "renewals by the plan"],
                          "pairs": ["joined", "rolls"], "pairs, certificates": ["joined", "renewals by the plan"],
                          "pairs, schemes": ["joined", "to 3 0 1"]}.items():
        for count in counts:
            assert any(ours(world, seed).counts[count] for seed in range(2 * SEEDS)), count
    assert not any(ours(world, seed).counts["withdrawals"] for world, (_faults, troubles, _hosts) in WORLDS.items() if not troubles.unpublished
                   for seed in range(SEEDS)), "what was there before is never withdrawn"
    assert any(ours("emergencies", seed).exposed for seed in range(SEEDS)), "an emergency costs something"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_strategy_breaks_what_it_should_and_ours_does_not(name: str) -> None:
    world, invariant = BITES[name]
    for seed in range(10):
        wrong = live(world, seed, BAD[name]).wrong
        if any(text.startswith(f"{invariant} ") for text in wrong):
            assert not ours(world, seed).wrong
            return
    pytest.fail(f"{name} breaks nothing in the world {world}")


class Hasty(Controller):
    """Publishes as if each endpoint presented what is live."""

    def backends(self, record):  # type: ignore[no-untyped-def]
        return [replace(one, renews=True, proven=True, presented=tuple(
            replace(seen, spki=seen.spki or one.live, fingerprint=seen.fingerprint or one.fingerprint, error="") for seen in one.presented))
            for one in super().backends(record)]


def test_records_that_are_published_before_there_is_tls_are_seen() -> None:
    assert any(text.startswith("2 ") for seed in range(5) for text in live("first publication", seed, Hasty).wrong)


@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_that_holds_more_than_the_account_says_is_seen(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(CACHES, kind, lambda _ttl: 0)
    assert any(text.startswith("0 ") and kind in text for text in live("calm", 0, caches=True).wrong)


def test_those_who_do_nothing_wrong_are_clean_where_others_are_bitten() -> None:
    """Each bad strategy is this one but for its fault."""
    for world in {world for world, _invariant in BITES.values()}:
        assert not live(world, 1, Controller).wrong


def test_where_an_older_record_is_believed_caches_hold_what_nobody_knows_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "is_older", lambda *_: False)
    assert any(live("restored records", seed, Controller).wrong for seed in range(10))
    assert not any(live("restored records", seed).wrong for seed in range(3)), "what the primary has signed tells it too"


def test_by_the_wall_clock_alone_things_go_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "advance", lambda _before, reading, *_: (clock.Clock(reading.wall, reading, reading.wall), ""))
    assert any(text.startswith(("1 ", "4 ")) for seed in range(10) for text in live("clocks", seed).wrong)


# --- every wait ends ---

@pytest.mark.parametrize("seed", range(4))
def test_in_a_calm_world_a_roll_that_is_asked_for_takes_no_longer_than_the_waits_add_up_to(seed: int) -> None:
    fleet = Fleet(f"asked {seed}", Faults(), Troubles())
    controller = Ours(fleet)
    live_through(fleet, controller, 1500)
    run = 3 * TIMER                            # at most, between the beginnings of two
    bound = Faults().lag_seconds + POLICY.fall_back + history.hold(20, POLICY) + POLICY.lead + 8 * run
    for host in fleet.hosts:
        before = host.live[0].number
        host.asked = True
        asked = fleet.now
        while host.asked and fleet.now < asked + 10 * bound:
            live_through(fleet, controller, 1)
        assert fleet.now - asked <= bound and host.live[0].number == before + 1
        assert len(host.keys) <= 4, "and old keys are deleted"
    assert not fleet.wrong


# --- 3 0 1, where certificates do not live long enough for it ---

@pytest.mark.parametrize("seed", range(3))
def test_a_scheme_that_does_not_fit_into_the_life_of_certificates_is_refused(seed: int) -> None:
    fleet = Fleet(f"too short {seed}", Faults(), Troubles(scheme="3 0 1", unpublished=True))
    live_through(fleet, Ours(fleet), 3000)
    assert fleet.world.primary and not any(records for records, _ttl in fleet.world.primary.rrsets.values())
    assert not fleet.wrong and fleet.counts["renewals by the plan"] >= 2, "and certificates are renewed all the same"


# --- a crash between any two effects (invariant 6) ---

def settled(fleet: Fleet, controller: Controller) -> object:
    """What is on disk, published and presented when runs change nothing any more.  No time passes."""
    states: list[object] = []
    for _run in range(12):
        for _effect in controller.run():
            pass
        assert fleet.world.primary
        states.append(([([(key.number, key.certificate is not None) for key in host.keys], host.live[0].number, host.bound,
                         [endpoint.presents and endpoint.presents[0].number for endpoint in host.endpoints]) for host in fleet.hosts],
                       fleet.world.primary.rrsets))
        if states[-1] in states[:-1]:
            return states[-1]
    return pytest.fail(f"runs change things for ever: {states}")


def test_a_run_that_died_before_any_of_its_effects_is_taken_up_by_the_next_one() -> None:
    died: set[str] = set()
    for world in ("first publication", "crashes", "emergencies", "all at once", "certificates, first", "schemes, all"):
        faults, troubles, hosts = WORLDS[world]
        fleet = Fleet(f"{world} dies", faults, troubles, hosts)
        controller = Ours(fleet)
        while fleet.now < 4000:
            live_through(fleet, controller, 61 if troubles.scheme == "3 1 1" and not troubles.change else 211)
            still = copy.deepcopy(controller)  # and its fleet with it; the CA is up, and nothing is lost
            still.fleet.ca_up_from, still.fleet.troubles, still.fleet.world.faults = 0, Troubles(lifetime=troubles.lifetime), Faults()
            if troubles.change:
                still.fleet.change_scheme()
            whole = copy.deepcopy(still)
            want = settled(whole.fleet, whole)
            for crash in range(100):
                one = copy.deepcopy(still)
                run = one.run()
                done = list(zip(range(crash + 1), run))  # noqa: B905
                run.close()
                if len(done) <= crash:
                    break                      # there was no such effect
                died.add(done[-1][1].split(" ")[0])
                assert settled(one.fleet, one) == want, f"{world} at {fleet.now}, before {done[-1][1]}"
    assert died == {"tell", "write", "publish", "make", "order", "switch", "restart", "delete"}


# --- every branch of plan() ---

def reasons() -> set[str]:
    """The pieces of text in what plan() may say, of a few words each."""
    tree = ast.parse(inspect.getsource(rollover))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "make_rules")]
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
                  and isinstance(node.body[0], ast.Expr)}
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and id(node) not in docstrings and len(node.value.split()) > 2}


class Leaving(Controller):
    """As if a host had left the name, and clients might still reach it (the names' own worlds are in test_hosts.py)."""

    def owners(self, record, trouble):  # type: ignore[no-untyped-def]
        return [replace(owner, leaving=owner.published()) for owner in super().owners(record, trouble)]


class Stolen(Controller):
    """As if others had all keys of a certificate that is to join another one."""

    def backends(self, record):  # type: ignore[no-untyped-def]
        return [one if one.live else replace(one, keys=tuple(replace(key, compromised=True) for key in one.keys)) for one in super().backends(record)]


class Restored(Controller):
    """As if each host had been put back from a backup after a while: what is live on it has a key of long ago."""

    def backends(self, record):  # type: ignore[no-untyped-def]
        old, found = rollover.Key("0" * 64, 0), super().backends(record)
        return found if self.fleet.now < 1000 else [replace(one, keys=(old, *one.keys), live=old.spki, fingerprint="0" * 64) for one in found]


def test_plan_has_given_every_reason_and_taken_every_step() -> None:
    for world in WORLDS:
        for seed in range(2 * SEEDS if world == "first publication" else SEEDS):
            ours(world, seed)
    live("calm", 0, BAD["9 never"])            # an operator who wants no rolls by the clock is told so
    live("changing schemes", 0, BAD["13 own timers"])  # and where a timer was not told anything
    live("changing schemes", 0, Leaving)
    live("pairs", 0, Stolen)
    live("calm", 0, Restored)
    test_a_scheme_that_does_not_fit_into_the_life_of_certificates_is_refused(0)
    kinds = {"make key", "publish", "withdraw", "order", "deploy", "delete key", "wait", "rest"}
    print(*(f"{kind}: {reason}" for kind, reason in sorted(transitions)), sep="\n")
    assert {kind for kind, _reason in transitions} == kinds
    assert not {reason for reason in reasons() if not any(reason in text for text in said)}
    assert len(reasons()) > 20


# --- what is written down must be true ---

def test_plan_is_idempotent_when_its_rrsets_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = 0

    class Twice(Controller):
        def decide(self, owners, backends, now, asked):  # type: ignore[no-untyped-def]
            nonlocal checked
            plan = super().decide(owners, backends, now, asked)
            assert plan == super().decide(owners, backends, now, asked)
            after = [replace(owner, history=self.after(owner, plan, now)) for owner in owners]
            again = rollover.plan(after, backends, self.wanted(), now, asked)
            assert [rrset.records for rrset in again.rrsets.values()] == [rrset.records for rrset in plan.rrsets.values()]
            checked += 1
            return plan

        def after(self, owner: rollover.Owner, plan: rollover.Plan, now: int) -> History:
            return history.published(owner.history, plan.rrsets[owner.name].records, owner.ttl, now + RUN, 0, now)

    live("all at once", 0, Twice)
    live("first publication", 0, Twice)
    live("schemes, all", 0, Twice)
    assert checked > 100
