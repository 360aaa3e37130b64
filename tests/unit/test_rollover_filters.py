# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the plans of the primaries to the steps of a host, and to text."""
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.selfhost.dane.plugins.filter.bound_certificates import bound_certificates
from ansible_collections.selfhost.dane.plugins.filter.permitted_steps import permitted_steps
from ansible_collections.selfhost.dane.plugins.filter.permitted_to_join import permitted_to_join
from ansible_collections.selfhost.dane.plugins.filter.published_keys import published_keys
from ansible_collections.selfhost.dane.plugins.filter.rollover_lines import rollover_lines
from ansible_collections.selfhost.dane.plugins.filter.said_by_hosts import said_by_hosts
from ansible_collections.selfhost.dane.plugins.filter.said_by_primaries import said_by_primaries

A, B = "a" * 64, "b" * 64


def zone(certificate: str = "g", owner: str = "_25._tcp.g.") -> dict[str, Any]:
    return {"tlsa_owners": [{"owner": owner, "backends": [{"host": "vps", "certificate": certificate}, {"host": "mx2", "certificate": certificate}]}]}


def step(kind: str = "deploy", spki: str = A, host: str = "vps", certificate: str = "g", **more: Any) -> dict[str, Any]:
    return {"host": host, "certificate": certificate, "step": kind, "spki": spki, "fingerprint": B, "reason": "so", "held_by": [],
            "not_before": None, "deadline": None, **more}


def primary(*steps: dict[str, Any], zones: tuple[dict[str, Any], ...] = (zone(),), reached: bool = True) -> dict[str, Any]:
    return {"model_judged": {"ansible_facts": {"dane": {"host": "ns", "primary_zones": list(zones)}}},
            **({"tlsa_planned": {"steps": list(steps)}} if reached else {})}


TAKEN = [{"certificate": "g", "step": "deploy", "spki": A, "fingerprint": B}]


@pytest.mark.parametrize(("primaries", "wanted"), [
    ([primary(step(), step(host="mx2", spki=B))], TAKEN),
    ([primary(step()), primary(zones=(zone("other"),), reached=False)], TAKEN),      # has no name of this certificate
    ([primary(step()), primary(step())], TAKEN),
    ([primary(step()), primary(step(spki=B))], []),
    ([primary(step()), primary(step("wait"))], []),
    ([primary(step()), primary(reached=False)], []),                                 # not reached: it may hold it back
    ([primary(step()), {**primary(reached=False), "tlsa_planned": {"failed": True}}], []),
    ([primary(step("rest"))], []),
    ([primary(step("publish"))], []),
    ([primary()], []),
    ([], []),
])
def test_a_step_is_taken_where_all_primaries_plan_it(primaries: list[dict[str, Any]], wanted: list[dict[str, str]]) -> None:
    assert permitted_steps(primaries, "vps") == wanted
    assert permitted_steps(primaries, "vps", retry=True) == [{**one, "retry": True} for one in wanted]


def told(*bound: bool, zones: tuple[dict[str, Any], ...] = (zone(),), host: str = "vps") -> dict[str, Any]:
    return {"model_judged": {"ansible_facts": {"dane": {"primary_zones": list(zones)}}},
            "tlsa_recorded": {"bound": [{"host": host, "certificate": "g", "bound": one} for one in bound]}}


@pytest.mark.parametrize(("primaries", "wanted"), [
    ([told(True)], {"g": True}),
    ([told(False)], {"g": False}),
    ([told(False), told(True)], {"g": True}),
    ([told(False), told(False)], {"g": False}),
    ([told(False), told()], {}),                                                   # its record is lost
    ([told(False), primary(reached=False)], {}),                                   # not reached
    ([told(True), primary(reached=False)], {"g": True}),
    ([told(False), primary(zones=(zone("other"),))], {"g": False}),                # has no name of this certificate
    ([told(True, host="mx2")], {}),
    ([], {}),
])
def test_the_timer_is_free_where_all_primaries_say_so(primaries: list[dict[str, Any]], wanted: dict[str, bool]) -> None:
    assert {name: bound for name, bound in bound_certificates(primaries, "vps").items() if name == "g"} == wanted


def test_a_plan_of_another_time_is_not_acted_on() -> None:
    """A controller that slept: others may have planned anew."""
    made = primary(step())
    made["tlsa_planned"]["time"] = 1000
    assert permitted_steps(iter([made]), "vps", 1899) == TAKEN
    with pytest.raises(AnsibleFilterError, match="the plan is 900 seconds old.*no step of vps is taken: run it again"):
        permitted_steps([primary(), made], "vps", 1900)
    assert permitted_steps([primary(step())], "vps", 10**10) == TAKEN  # which does not say when


def recorded(*held: str, host: str = "vps", zones: tuple[dict[str, Any], ...] = (zone(), zone("rsa")), reached: bool = True) -> dict[str, Any]:
    return {"model_judged": {"ansible_facts": {"dane": {"primary_zones": list(zones)}}},
            **({"tlsa_recorded": {"held": [{"host": host, "certificate": name} for name in held]}} if reached else {})}


@pytest.mark.parametrize(("primaries", "wanted"), [
    ([recorded()], ["g", "rsa"]),
    ([recorded("rsa")], ["g"]),
    ([recorded("rsa", host="mx2")], ["g", "rsa"]),
    ([recorded(), recorded("rsa")], ["g"]),
    ([recorded(), recorded(zones=(zone("rsa"),), reached=False)], ["g"]),            # it may hold it back
    ([recorded(), {**recorded(reached=False), "tlsa_recorded": {"failed": True}}], []),
    ([], []),
])
def test_a_certificate_joins_where_no_primary_holds_it_back(primaries: list[dict[str, Any]], wanted: list[str]) -> None:
    assert permitted_to_join(primaries, "vps") == wanted


def knows(*keys: str, host: str = "vps", certificate: str = "g", zones: tuple[dict[str, Any], ...] = (zone(),)) -> dict[str, Any]:
    return {"model_judged": {"ansible_facts": {"dane": {"primary_zones": list(zones)}}},
            "tlsa_recorded": {"published": [{"host": host, "certificate": certificate, "keys": list(keys)}] if keys else []}}


@pytest.mark.parametrize(("primaries", "wanted"), [
    ([knows(A)], {"g": [A]}),
    ([knows(B), knows(A, B)], {"g": [A, B]}),
    ([knows()], {"g": []}),                                                        # it has none, and this is known
    ([knows(A, host="mx2")], {"g": []}),
    ([knows(A, zones=(zone(), zone("rsa")))], {"g": [A], "rsa": []}),
    ([knows(A), primary(reached=False)], {"g": None}),                             # the other one may have others
    ([primary(reached=False), knows(A)], {"g": None}),
    ([knows(A), primary(zones=(zone("other"),), reached=False)], {"g": [A], "other": None}),
    ([{**knows(), "tlsa_recorded": {"failed": True}}], {"g": None}),               # its record is refused
    ([], {}),
])
def test_keys_are_known_to_be_published_where_all_primaries_say_so(primaries: list[dict[str, Any]], wanted: dict[str, list[str] | None]) -> None:
    assert published_keys(primaries, "vps") == wanted


def test_a_primary_has_no_say_of_what_is_not_behind_its_zones() -> None:
    """Nor does it hold up others by a plan that is none."""
    forged = {"ansible_facts": {"dane": {"primary_zones": [zone()]}}}
    mad = {**primary(step("wait"), zones=(zone("other"),)), **forged, "tlsa_recorded": {"bound": [{}], "held": [{}], "published": [{}]}}
    mad["tlsa_planned"]["time"] = -5
    mine = {**primary(step()), **told(False), **forged}
    assert permitted_steps([mine, mad], "mx9", 10**10) == [] and permitted_steps([primary(step()), {**mad, **primary(step("wait"), zones=())}], "vps") == TAKEN
    alien = {**mad, **primary(step("wait", spki=B), step("wait", certificate="other"), zones=(zone("other"),))}
    assert said_by_primaries([primary(step()), alien], "tlsa_planned", "steps") == [step(primary="ns"), step("wait", certificate="other", primary="ns")]
    assert said_by_primaries([primary(reached=False), {**primary(), "tlsa_planned": {"unreachable": True}}], "tlsa_planned", "steps") == []
    stranger = {**mad, **primary(zones=())}
    assert bound_certificates([{**mine, **told(False)}, stranger], "vps") == {"g": False}
    assert permitted_to_join([recorded(zones=(zone(),)), stranger], "vps") == ["g"]
    assert published_keys([knows(A), stranger], "vps") == {"g": [A]}


def test_what_a_host_says_is_of_that_host() -> None:
    hostvars = {"vps": {"report": {"host": "vps", "time": 5}}, "mx2": {"report": {"host": "vps", "time": 6}}, "off": {}, "new": {"report": {}},
                "mad": {"report": "vps"}, "ns": {"report": [{"host": "vps", "time": 7}, {"host": "vps", "time": 8}]}, "ns2": {"report": []}}
    assert said_by_hosts(hostvars, hostvars, "report") == [{"host": "vps", "time": 5}, {"host": "mx2", "time": 6}, {"host": "ns", "time": 7}]
    assert said_by_hosts(["mx2"], hostvars, "report", "name") == [{"name": "mx2", "host": "vps", "time": 6}]


def test_lines_say_phase_reason_obstacles_and_time() -> None:
    held = [f"198.51.100.{number} may still serve it" for number in range(9)]
    lines = rollover_lines([step("rest", not_before=1795000000), step("wait", held_by=held)])
    assert rollover_lines([step("wait", deadline=1795000000)]) == ["vps, g: waits: so, its certificate ends 2026-11-18 11:06:40 UTC"]
    assert lines[0] == "vps, g: in order: so, until 2026-11-18 11:06:40 UTC"
    assert rollover_lines([step("wait", not_before=1795000000)]) == ["vps, g: waits: so, goes on at the latest 2026-11-18 11:06:40 UTC"]
    assert lines[1:3] == ["vps, g: waits: so", "  held back: 198.51.100.0 may still serve it"] and lines[-1] == "  and 3 more"


@pytest.mark.parametrize("broken", [lambda: permitted_steps([{}], "vps"), lambda: bound_certificates([{}], "vps"), lambda: permitted_to_join([{}], "vps"),
                                    lambda: published_keys([{}], "vps"), lambda: rollover_lines([{}]), lambda: said_by_primaries([{}], "a", "b"),
                                    lambda: said_by_hosts(["vps"], {}, "a")])
def test_what_is_not_in_its_shape_is_named(broken: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="takes the"):
        broken()
