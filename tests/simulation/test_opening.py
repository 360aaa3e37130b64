# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key goes live when `opening` says so, in worlds full of faults: nobody was ever served what it does not match too late."""
from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import history
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA
from servers import Faults, Records, World

POLICY = history.Policy(lead=300, session=10, floor=5, hops=2, margin=1, fall_back=150, ns_ttl=60, lost_ttl=60, lost_expire=500, lost_signature=900,
                        skew=40)
OWNER = "_25._tcp.g.pyon.example."
EXPIRE = 400                                   # of the SOA
MANY = "2001:db8::1"                           # in the world "anycast" two machines stand behind it
LOOK = 7                                       # seconds between two looks of the watcher
WORLDS = {
    "calm": Faults(),
    "slow": Faults(lag_seconds=200),
    "lossy": Faults(loss=0.6),
    "silent": Faults(silence=0.004, silence_seconds=900),
    "cut": Faults(cut=0.002, cut_seconds=900),
    "falling back": Faults(restart=0.01, write_seconds=120),
    "reviving": Faults(silence=0.004, silence_seconds=900, cut=0.004, cut_seconds=900, restart=0.02, write_seconds=120),
    "changing": Faults(change=0.01, lag_seconds=60),
    "anycast": Faults(cut=0.001, cut_seconds=900),
    "all at once": Faults(silence=0.002, cut=0.001, restart=0.004, loss=0.2, lag_seconds=60, write_seconds=120, change=0.003),
}


def key(number: int) -> TLSA:
    return TLSA(3, 1, 1, number.to_bytes(32, "big"))


def rolls(name: str, seed: int, seconds: int = 6000, believed: history.Policy = POLICY, unlistable: tuple[str, ...] = (MANY,)) -> tuple[int, list[str]]:
    """Roll keys, 3 1 1 current and next, as soon as each is eligible; the number of rolls, and what went wrong.

    The watcher decides with what is `believed`, and is judged by what is true.
    """
    policy = POLICY
    rng = random.Random(f"{name} {seed}")
    world = World(policy, WORLDS[name], expire=EXPIRE, validity=900, resign=300, rng=rng)
    world.publish(OWNER, frozenset({key(1), key(2)}), 20)
    first = world.add("198.51.100.1")
    world.add(MANY)
    if name == "anycast":
        world.add(MANY).silent_until = seconds + 1  # peers are led to this one, and the watcher never
    if rng.random() < 0.5:
        world.add("198.51.100.2", upstream=first)
    assert world.primary
    known = history.published(history.History(), *world.primary.rrsets[OWNER], world.primary.signed_until, EXPIRE, 0)
    current, switched, wrong, rolled = 1, 0, [], 0
    while world.now < seconds:
        world.second()
        published: tuple[Records, int] = world.primary.rrsets[OWNER]
        for (_owner, records, _ttl), last in world.served.items():
            if last == world.now and not history.matches(records, frozenset({key(current)})):
                wrong.append(f"{world.now}: served although the key went live at {switched}")
        if world.now % LOOK:
            continue
        known = history.named(known, [server.address for server in world.servers if server.removed is None],
                              unlistable if name == "anycast" else (), world.now)
        known = history.published(known, *published, world.primary.signed_until, EXPIRE, world.now)
        known = history.pruned(history.observed(known, world.answers(OWNER), believed, world.now), believed, world.now)
        following = frozenset({key(current + 1)})
        if history.opening(following, known, believed, scheduled=False).is_open(world.now):
            # live, and the old key leaves the RRset when another next one comes in
            current, switched, rolled = current + 1, world.now, rolled + 1
            for (_owner, records, ttl), last in world.served.items():
                if last + history.hold(ttl, policy) > world.now and not history.matches(records, following):
                    wrong.append(f"{world.now}: a cache may hold what was served at {last}")
            world.publish(OWNER, frozenset({key(current), key(current + 1)}), rng.choice([20, 20, 5, 60]))
    return rolled, wrong


@pytest.mark.parametrize("name", WORLDS)
def test_no_peer_ever_meets_a_key_that_it_cannot_verify(name: str) -> None:
    total = 0
    for seed in range(5):
        rolled, wrong = rolls(name, seed)
        assert not wrong, f"seed {seed}: {wrong[:3]}"
        total += rolled
    assert total >= 5, "and keys do roll"


def test_without_the_rule_on_falling_back_there_are_outages() -> None:
    assert any(rolls("falling back", seed, believed=replace(POLICY, fall_back=0))[1] for seed in range(5))


def test_where_one_of_many_machines_speaks_for_all_there_are_outages() -> None:
    assert any(rolls("anycast", seed, unlistable=())[1] for seed in range(5))


def test_where_silent_servers_are_believed_to_stop_at_the_expire_of_the_soa_there_are_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was the rule until real servers were looked at."""
    def stops(rrset: history.RRset, server: history.Server, policy: history.Policy, rule=history.served_until) -> int:  # type: ignore[no-untyped-def]
        seen = rrset.seen.get(server.address, history.Seen())
        last = max(rrset.replaced or 0, server.answered or 0, *(other.served or 0 for other in rrset.seen.values()), 0)
        return rule(rrset, server, policy) if seen.gone is not None else min(rule(rrset, server, policy), last + rrset.expire)

    monkeypatch.setattr(history, "served_until", stops)
    assert any(rolls("reviving", seed)[1] for seed in range(20))
