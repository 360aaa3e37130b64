# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated caches and name servers do is what real ones did: traces/, recorded by record_traces.py, played again."""
from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import history
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA
from fleet import Cache
from servers import Faults, World

TRACES = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "traces").glob("*.json"))}
OLD, NEW = frozenset({TLSA(3, 1, 1, bytes([0x11] * 32))}), frozenset({TLSA(3, 1, 1, bytes([0x22] * 32))})
NAMES = {OLD: "old", NEW: "new"}
ROUNDING = 1                                   # seconds: daemons count whole ones, from whenever they began
OF_CACHES = [name for name, trace in TRACES.items() if trace["resolvers"]]
OF_SERVERS = [name for name, trace in TRACES.items() if not trace["resolvers"]]


def seen(trace: dict[str, Any]) -> list[tuple[float, str, str, str]]:
    """When, whom, of which owner, and what was seen."""
    return [(event["at"], event["whom"], event["owner"], event["sees"]) for event in trace["events"] if event["do"] == "ask"]


def differ(real: list[tuple[float, str, str, str]], simulated: list[tuple[float, str, str, str]], tolerance: float = ROUNDING) -> list[str]:
    """The looks at which they differ, and not just by when it changed."""
    wrong = []
    for at, whom, owner, sees in real:
        near = {other[3] for other in simulated if other[1:3] == (whom, owner) and abs(other[0] - at) <= tolerance + 0.1}
        if sees not in near:
            wrong.append(f"{at} s: {whom} gave {sees} of {owner}, and simulated {', '.join(sorted(near))}")
    return wrong


# --- caches ---

def caches(trace: dict[str, Any], **other: Any) -> dict[str, Cache]:
    """The simulated ones, with the settings of the real ones, or `other` ones."""
    found: list[Cache] = []
    last_second = tuple(map(int, trace["programs"]["unbound"].split("."))) < (1, 26)
    for settings in reversed(trace["resolvers"]):
        stale = (int(settings["serve-expired-ttl"]) or math.inf) if settings["serve-expired"] == "yes" else 0
        ours = {"floor": int(settings["cache-min-ttl"]), "stale": stale, "patient": settings["serve-expired-client-timeout"] != "0", **other}
        found.insert(0, Cache("real", above=found[0] if found else None, last_second=last_second, **ours))
    return dict(zip(("resolver", "upstream"), found, strict=False))


def played(trace: dict[str, Any], **other: Any) -> list[tuple[float, str, str, str]]:
    """The same timeline with simulated caches: what each look sees."""
    simulated, serves, up, told = caches(trace, **other), OLD, True, []
    expires = trace["signed"] + trace["validity"]
    for event in trace["events"]:
        now = int(event["at"])
        if event["do"] in ("publish", "speak"):
            serves, up, expires = NEW, True, event["at"] + trace["validity"]
        elif event["do"] == "silence":
            up = False
        else:
            left = min(trace["ttl"], int(expires) - now) if expires > now else trace["ttl"]
            given = (serves, left) if up and now < expires + history.Policy().skew else None
            found = simulated[event["whom"]].ask(event["owner"], lambda given=given: given, now)
            told.append((event["at"], event["whom"], event["owner"], NAMES[found[0]] if found else "none"))
    return told


@pytest.mark.parametrize("name", OF_CACHES)
def test_simulated_caches_hold_what_real_ones_held(name: str) -> None:
    assert not differ(seen(TRACES[name]), played(TRACES[name]))


@pytest.mark.parametrize(("name", "other"), [
    ("floor", {"floor": 0}), ("two-hops", {"floor": 0}), ("stale", {"stale": 0}), ("stale-capped", {"stale": math.inf}),
    ("stale-patient", {"patient": False}), ("unreachable", {"stale": 20}), ("plain", {"floor": 12})])
def test_others_do_not(name: str, other: dict[str, Any]) -> None:
    for full in (full for full in OF_CACHES if full.startswith(f"{name}-unbound")):
        assert differ(seen(TRACES[full]), played(TRACES[full], **other))


@pytest.mark.parametrize("name", OF_CACHES)
def test_no_real_cache_held_anything_longer_than_is_waited_for(name: str) -> None:
    """Where `cache_floor`, `cache_hops` and `lead` are what its settings are."""
    trace = TRACES[name]
    settings = trace["resolvers"]
    lead = max((int(one["serve-expired-ttl"]) or 10**9) if one["serve-expired"] == "yes" else 0 for one in settings)
    policy = history.Policy(lead=lead, session=0, floor=max(int(one["cache-min-ttl"]) for one in settings), hops=len(settings), margin=ROUNDING)
    replaced = next((event["at"] for event in trace["events"] if event["do"] in ("publish", "speak")), math.inf)
    held = [at for at, _whom, _owner, sees in seen(trace) if sees == "old"]
    assert max(held, default=0) <= replaced + history.hold(trace["ttl"], policy) + lead


def test_a_resolver_takes_signatures_for_a_day_after_they_expired_and_not_longer() -> None:
    for name, sees in {"expired-signatures": "old", "long-expired-signatures": "none"}.items():
        full = [full for full in OF_CACHES if full.startswith(f"{name}-unbound")]
        assert full
        for one in full:
            assert (-TRACES[one]["validity"] < history.Policy().skew) == (sees == "old")
            assert [event["sees"] for event in TRACES[one]["events"]] == [sees]


# --- name servers ---

def served(trace: dict[str, Any], **other: Any) -> list[tuple[float, str, str, str]]:
    """The same timeline with a simulated secondary, or one that is `other`: what each look sees."""
    restarts = {"believes": trace["programs"]["nsd"].startswith("4.6."), **other}
    world = World(history.Policy(), Faults(lag_seconds=0, write_seconds=10**9), trace["expire"], 10**9, 10**9, random.Random(0))
    world.publish("a", OLD, trace["ttl"])
    secondary = world.add("127.0.0.1")
    secondary.write_at = 10**9
    told, last = [], ""
    for event in trace["events"]:
        while world.now < int(event["at"]):
            world.second()
        match event["do"], event["whom"]:
            case "ask", _:
                zone = world.serves(secondary)
                told.append((event["at"], "secondary", "a", NAMES[zone.rrsets["a"][0]] if zone else "none"))
            case "publish" | "speak", _:
                world.publish("a", NEW, trace["ttl"])
                secondary.cut_until = 0
            case "write", _:
                secondary.disk = secondary.zone
            case "stop", "primary":
                secondary.cut_until = 10**9
            case "start", "primary":
                secondary.cut_until = 0
            case "start", "secondary":
                world.restart(secondary, **{"killed": last == "kill", **restarts})
        last = event["do"]
    return told


def differ_as_served(name: str, **other: Any) -> list[str]:
    trace = TRACES[name]
    # a transfer takes its time, and of its primary it hears once in a refresh, where the simulated one always does
    return differ(seen(trace), served(trace, **other), ROUNDING + 1 + (trace["refresh"] if trace["expire"] < 60 else 0))


@pytest.mark.parametrize("name", OF_SERVERS)
def test_a_simulated_secondary_serves_what_nsd_served(name: str) -> None:
    assert not differ_as_served(name)


@pytest.mark.parametrize(("name", "other"), [("secondary-stop-nsd-4.6.1", {"believes": False}), ("secondary-kill-expired-nsd-4.12.0", {"killed": False}),
                                             ("secondary-stop-expired-nsd-4.12.0", {"killed": True})])
def test_another_one_does_not(name: str, other: dict[str, bool]) -> None:
    assert differ_as_served(name, **other)


def test_a_zone_that_had_expired_is_served_again() -> None:
    """So the SOA's expire is no end of what a silent server may serve (history.served_until)."""
    names = [name for name in OF_SERVERS if "-revives-" in name or "-kill-expired-" in name]
    assert len(names) == 6
    for name in names:
        looks = [sees for _at, _whom, _owner, sees in seen(TRACES[name])]
        silent = looks.index("none")
        assert looks[silent - 1] in looks[silent:], name
