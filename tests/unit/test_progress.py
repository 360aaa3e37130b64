# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times in words, when a run that waits looks again, and the status."""
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.selfhost.dane.plugins.filter.rollover_failures import rollover_failures
from ansible_collections.selfhost.dane.plugins.filter.rollover_outlook import rollover_outlook
from ansible_collections.selfhost.dane.plugins.filter.status_lines import status_lines
from ansible_collections.selfhost.dane.plugins.module_utils import progress
from ansible_collections.selfhost.dane.plugins.module_utils.progress import LEAST, MOST, MOST_FAILURES, PATIENCE, SOON, Outlook

A, B, C = "a" * 64, "b" * 64, "c" * 64
NOW = 1795958100  # Sun 29 Nov 2026 13:15 UTC
FALL_BACK = 90000


@pytest.mark.parametrize(("seconds", "words"), [
    (0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7199, "120 minutes"), (7200, "2 hours"), (97260, "27 hours"),
    (172800, "2 days"), (2419200, "28 days"), (-5, "0 seconds"),
])
def test_a_duration_in_words(seconds: int, words: str) -> None:
    assert progress.span(seconds) == words


@pytest.mark.parametrize(("moment", "words"), [
    (NOW + 3 * 86400, "in 3 days (Wed 02 Dec 13:15 UTC)"), (NOW - 90, "90 seconds ago (Sun 29 Nov 13:13 UTC)"), (NOW, "in 0 seconds (Sun 29 Nov 13:15 UTC)"),
    (NOW + 400 * 86400, "in 400 days (Mon 03 Jan 2028 13:15 UTC)"),
])
def test_a_time_in_words(moment: int, words: str) -> None:
    assert progress.when(moment, NOW) == words


def ordered(live: str = A, asked: str = "", burnt: list[str] | None = None, compromised: list[str] | None = None) -> dict[str, Any]:
    return {"live": live, "asked": asked, "burnt": burnt or [], "compromised": compromised or burnt or []}


def step(kind: str, not_before: int | None = None, spki: str = B, **more: Any) -> dict[str, Any]:
    return {"host": "vps", "certificate": "g", "step": kind, "spki": spki, "fingerprint": C, "reason": "so", "held_by": [],
            "not_before": not_before, "deadline": None, "ordered": ordered(), **more}


def report(live: str = A, roll: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"host": "vps", "certificates": [{
        "name": "g", "keys": [{"spki": A, "created": NOW - 9 * 86400}, {"spki": B, "created": NOW - 8 * 86400}], "due": "", "failures": 0, "error": "",
        "next_attempt": 0, "endpoints": [], "live": {"spki": live, "since": NOW - 7 * 86400, "not_after": NOW + 5 * 86400}, "roll": roll, **more}]}


def look(*steps: dict[str, Any], told: dict[str, Any] | None = None, before: Outlook | None = None, fall_back: int = FALL_BACK) -> Outlook:
    return progress.outlook(steps, [report() if told is None else told], fall_back, NOW, before.memory if before else {})


def test_what_rests_has_arrived() -> None:
    seen = look(step("rest", NOW + 5), step("rest", host="mx2"))
    assert (seen.more, seen.stuck) == (False, []) and len(seen.lines) == 2


def test_a_step_that_was_taken_is_followed_at_once() -> None:
    seen = look(step("publish"), step("wait", NOW + 9999, host="mx2"))
    assert (seen.more, seen.pause) == (True, 1)
    again = look(step("order"), step("wait", NOW + 9999, host="mx2"), before=seen)
    late = look(step("wait", NOW + 9, deadline=NOW + 7200), before=seen).lines[0]
    assert late == "vps, g: waits: so; goes on at the latest in 9 seconds (Sun 29 Nov 13:15 UTC); its certificate ends in 2 hours (Sun 29 Nov 15:15 UTC)"
    assert again.pause == 1 and again.lines == ["vps, g: orders its next certificate: so"]


@pytest.mark.parametrize(("until", "fall_back", "pause"), [
    (NOW + 600, FALL_BACK, 600), (NOW + 99999, FALL_BACK, 9000), (NOW + 10**6, 10**6, MOST), (NOW + 600, 5, LEAST), (NOW - 9, FALL_BACK, LEAST),
    (NOW + 1, FALL_BACK, LEAST),
])
def test_a_wait_whose_end_is_known_is_waited_for(until: int, fall_back: int, pause: int) -> None:
    seen = look(step("wait", until), fall_back=fall_back)
    for _round in range(3 * PATIENCE):
        assert (seen.more, seen.pause) == (True, pause)
        seen = look(step("wait", until), before=seen, fall_back=fall_back)
        assert seen.lines == []


def test_what_no_time_will_mend_is_left_to_the_operator() -> None:
    seen, looks = look(step("wait", held_by=["x is mute\x1b[2J", "y", "z"])), 1
    while seen.more and looks < 50:
        assert seen.pause == SOON
        seen, looks = look(step("wait", held_by=["x is mute\x1b[2J"]), before=seen), looks + 1
    assert looks == PATIENCE + 1
    assert seen.stuck == ["vps, g: waits: so; held back: x is mute?[2J"]


def test_as_long_as_another_key_has_a_time_nothing_is_left() -> None:
    seen = look(step("wait"), step("wait", NOW + 9999, host="mx2"))
    for _round in range(3 * PATIENCE):
        assert seen.more and len(seen.stuck) == 1
        seen = look(step("wait"), step("wait", NOW + 9999, host="mx2"), before=seen)
    assert look(step("wait"), step("rest", host="mx2"), before=seen).more and look(step("wait"), step("wait", host="mx2"), before=seen).more, (
        "the looks before do not count")


def test_a_failed_step_waits_for_its_next_attempt_but_not_for_ever() -> None:
    roll = {"spki": B, "failures": 1, "next_attempt": NOW + 500, "error": "the CA is down"}
    first = look(step("order"), told=report(roll=roll))
    seen = look(step("order"), told=report(roll=roll), before=first)
    assert (seen.more, seen.pause) == (True, 500)
    seen = look(step("order"), told=report(roll={**roll, "spki": C}), before=first)
    assert seen.pause == SOON, "of another key"
    given_up = report(roll={**roll, "failures": MOST_FAILURES})
    looks = 0
    while seen.more and looks < 50:
        seen, looks = look(step("order"), told=given_up, before=seen), looks + 1
    assert looks <= PATIENCE and "5 attempts failed, the last with: the CA is down" in seen.stuck[0]


FAILED = {"spki": B, "failures": 2, "next_attempt": NOW + 3600, "error": "the CA\x1b is down"}


@pytest.mark.parametrize(("steps", "told", "said"), [
    ([step("order")], report(roll=FAILED), ["g does not go over to another key: 2 attempts failed, the last with: the CA? is down; "
                                            "the next one is not before in 60 minutes (Sun 29 Nov 14:15 UTC), or with -e dane_wait=true"]),
    ([step("deploy")], report(roll={**FAILED, "failures": 1}), ["g does not go over to another key: 1 attempt failed"]),
    ([step("order")], report(), []),
    ([step("rest")], report(roll=FAILED), []),                       # nobody wants it any more
    ([step("order", spki=C)], report(roll=FAILED), []),              # it is about a key of before
    ([], report(roll=FAILED), []),                                   # no plan, no failure of it; that has its own
    ([step("order")], report(roll={**FAILED, "error": ""}), []),
    ([step("rest")], report(due="a third of its life is left", **{key: FAILED[key] for key in ("failures", "next_attempt", "error")}),
     ["g was not renewed: 2 attempts failed"]),
    ([step("rest")], report(due="a third of its life is left"), []),
    ([step("rest")], report(error="the CA is down"), []),            # not due any more
])
def test_what_failed_is_said_as_long_as_it_is_wanted(steps: list[dict[str, Any]], told: dict[str, Any], said: list[str]) -> None:
    seen = rollover_failures(steps, [told], "vps", NOW)
    assert len(seen) == len(said) and all(line.startswith(begin) for line, begin in zip(seen, said, strict=True)), seen
    assert rollover_failures(steps, [told], "mx2", NOW) == []


BURNT, ASKED = {"primary": "ns1", "ordered": ordered(burnt=[A])}, {"primary": "ns1", "ordered": ordered(asked=A)}
RESTS = step("rest", primary="ns2")


@pytest.mark.parametrize(("steps", "said"), [
    ([step("deploy", **BURNT), RESTS], "others may have a key of it"),
    ([step("wait", **BURNT), RESTS], "others may have a key of it"),
    ([step("order", **BURNT), step("wait", primary="ns2")], "others may have a key of it"),  # for a name server of its zone, say
    ([step("order", **ASKED), RESTS], "another one is asked for"),
    ([step("deploy", **BURNT)], ""),                                                          # one primary
    ([step("deploy", **BURNT), step("wait", primary="ns2", ordered=ordered(burnt=[A]))], ""),  # it knows, and time mends it
    ([step("deploy", **BURNT), step("rest", primary="ns2", ordered=ordered(compromised=[A]))], ""),  # nor has it a record of it any more
    ([step("deploy", **BURNT), step("rest", primary="ns2", ordered=ordered(compromised=[B]))], "others may have a key of it"),
    ([step("order", **ASKED), step("wait", primary="ns2", ordered=ordered(asked=A))], ""),
    ([step("order", **ASKED), step("rest", primary="ns2", ordered=ordered(live=B))], ""),      # it was told, and knows that it is done
    ([step("deploy", **BURNT), {**RESTS, "certificate": "h"}], ""),
    ([step("deploy", **BURNT), {**RESTS, "host": "mx2"}], ""),
    ([step("deploy", primary="ns1"), RESTS], ""),                                             # a second later by its clock
])
def test_a_primary_that_was_not_told_is_a_failure(steps: list[dict[str, Any]], said: str) -> None:
    for some in (steps, steps[::-1]):
        seen = rollover_failures(iter(some), [report()], "vps", NOW)
        assert len(seen) == (1 if said else 0)
        assert not said or seen[0].startswith(f"g of vps does not go over to another key: ns1 knows that {said}, and ns2, in whose zones it has names too, was"
                                              f" not told; give -e dane_{'roll=g' if 'asked' in said else 'compromised=<SHA-256 of the key>'} again while")
    assert rollover_failures(steps, [], "mx2", NOW) == []


def test_who_was_told_is_named_and_nobody_else() -> None:
    """A third primary has seen the other key go live, and of two each was told of another key."""
    third = step("rest", primary="ns3", ordered=ordered(live=B))
    assert ": ns1 knows that another one is asked for, and ns2, in" in rollover_failures([step("order", **ASKED), RESTS, third], [report()], "vps", NOW)[0]
    both = rollover_failures([step("deploy", **BURNT), step("wait", primary="ns2", ordered=ordered(burnt=[B]))], [report()], "vps", NOW)
    assert len(both) == 1 and ": ns1, ns2 knows that others may have a key of it, and ns1, ns2, in" in both[0]


def test_records_that_are_withdrawn_are_a_failure() -> None:
    wrong = step("withdraw", held_by=["vps: v6 presents the key \x1bcc"])
    assert rollover_failures([wrong], [report()], "vps", NOW) == [
        "vps, g: withdraws its TLSA records: so; held back: vps: v6 presents the key ?cc"]
    assert rollover_failures([wrong], [report()], "mx2", NOW) == rollover_failures([step("publish")], [report()], "vps", NOW) == []
    assert "withdraws its TLSA records" in look(wrong).lines[0]


def test_a_key_that_went_live_has_arrived_although_the_next_roll_begins() -> None:
    """With a lifetime of 0 there is always a next one."""
    seen = look(step("deploy"), told=report(live=B))
    assert seen.more
    seen = look(step("make_key", spki=B), told=report(live=B), before=seen)
    assert seen.more, "its next key is not published yet"
    assert not look(step("wait", NOW + 999, spki=C), told=report(live=B), before=seen).more
    assert look(step("wait", NOW + 999, spki=B), told=report(live=A), before=seen).more, "the host went back to the key before"
    failed = look(step("deploy"))
    assert look(step("deploy"), told=report(live=B), before=failed).more, "it went live just now, at the second attempt"


def test_a_key_that_went_live_has_not_arrived_while_nothing_of_its_zone_may_change() -> None:
    """The record of a stolen key may still be published."""
    seen = look(step("wait", spki="", held_by=["the clocks are apart"]), told=report(live=B), before=look(step("deploy"), told=report(live=B)))
    assert seen.more and "the clocks are apart" in seen.stuck[0]
    assert not look(step("rest", spki=""), told=report(live=B), before=seen).more


def test_the_primary_that_is_not_heard_from_any_more_is_waited_for() -> None:
    seen = look(before=look(step("publish")))
    assert seen.more and "the primary of its zone was not reached" in seen.lines[0]


def test_of_two_primaries_the_one_that_holds_it_counts() -> None:
    assert progress.combined([step("deploy"), step("wait", 5)])["vps", "g"]["step"] == "wait"
    assert progress.combined([step("wait", 9), step("wait", 5)])["vps", "g"]["not_before"] == 9
    assert progress.combined([step("wait", 9), step("wait")])["vps", "g"]["not_before"] is None


def planned(*steps: dict[str, Any], seen: tuple[str, ...] = (), name: str = "vps") -> dict[str, Any]:
    zone = {"name": "pyon.example", "tlsa_owners": [{"owner": "_25._tcp.g.", "backends": [{"host": "vps", "certificate": "g"}]},
                                                    {"owner": "_443._tcp.g.", "backends": [{"host": "vps", "certificate": "g"}]}],
            "tlsa": [{"owner": "_25._tcp.g.", "ttl": 60, "records": [f"3 1 1 {A}"]}]}
    return {"model_judged": {"ansible_facts": {"dane": {"host": name, "primary_zones": [zone]}}},
            "tlsa_planned": {"zones": [zone], "steps": list(steps), "seen": list(seen)}}


def test_the_status_of_a_key_on_its_way() -> None:
    failing = report(roll={"spki": B, "failures": 2, "next_attempt": NOW + 600, "error": "the CA is down"}, due="it is old",
                     endpoints=[{"error": "no STARTTLS"}, {"error": ""}])
    assert status_lines([planned(step("wait", NOW + 86400 * 3, held_by=["198.51.100.11 may still serve it", "y"]), seen=("ns is mute",))],
                        [failing], NOW) == [
        "g on vps: waits",
        "  why      so",
        "  held by  198.51.100.11 may still serve it",
        "           y",
        "  next     it goes over to its next certificate, at the latest in 3 days (Wed 02 Dec 13:15 UTC)",
        "  keys     live aaaaaaaaaaaaaaaa... for 7 days, published",
        "           next bbbbbbbbbbbbbbbb... made 8 days ago, not published",
        "  expires  the certificate, in 5 days (Fri 04 Dec 13:15 UTC); due: it is old",
        "  failed   2 times, last: the CA is down; again in 10 minutes (Sun 29 Nov 13:25 UTC)",
        "  wrong    no STARTTLS",
        "  records  _25._tcp.g. 60 TLSA 3 1 1 aaaaaaaa..",
        "           _443._tcp.g. has none",
        "Name servers: ns is mute"]


def test_the_status_of_a_key_that_has_rolled() -> None:
    lines = status_lines([planned(step("rest", NOW + 86400))], [report(live=B)], NOW)
    assert lines[3:5] == ["  keys     old  aaaaaaaaaaaaaaaa... made 9 days ago, published", "           live bbbbbbbbbbbbbbbb... for 7 days, not published"]
    assert lines[2] == "  next     it goes on in 24 hours (Mon 30 Nov 13:15 UTC)"


def test_the_status_says_so_where_records_are_those_of_certificates() -> None:
    told = report()
    told["certificates"][0]["live"]["fingerprint"] = A
    told["certificates"][0]["keys"][1]["certificate"] = {"fingerprint": B, "not_after": NOW + 86400}
    plan = planned(step("rest"))
    plan["tlsa_planned"]["zones"][0]["tlsa"][0]["records"] = [f"3 0 1 {A}"]
    assert status_lines([plan], [told], NOW)[3:5] == ["  keys     live aaaaaaaaaaaaaaaa... for 7 days, its certificate published",
                                                      "           next bbbbbbbbbbbbbbbb... made 8 days ago, not published"]
    plan["tlsa_planned"]["zones"][0]["tlsa"][0]["records"].append(f"3 0 1 {B}")
    assert status_lines([plan], [told], NOW)[4] == "           next bbbbbbbbbbbbbbbb... made 8 days ago, its certificate published"


def test_the_status_of_what_is_not_known() -> None:
    lines = status_lines([planned(step("rest")), {**planned(name="ns2"), "tlsa_planned": {"unreachable": True}}], [], NOW)
    assert "  keys     not known: the host was not reached, or failed" in lines and "  next     nothing" in lines
    assert lines[-2:] == ["Name servers: all addresses serve what the primary publishes, or are awaited above",
                          "ns2, the primary of pyon.example, was not reached, or failed: nothing is known of these zones"]


@pytest.mark.parametrize("broken", [lambda: rollover_outlook([{}], [], 5, NOW, {}), lambda: rollover_failures([], [{}], "vps", NOW),
                                    lambda: status_lines([planned({})], [], NOW)])
def test_what_is_not_in_its_shape_is_named(broken: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="takes the"):
        broken()
