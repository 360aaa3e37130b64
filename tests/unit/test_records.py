# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the primary: merged under a lock, read strictly, never poorer than it was."""
from __future__ import annotations

import copy
import hashlib
import json
import multiprocessing
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import openssl_pki
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import clock, history, records, zone
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.records import Observation, Order, Outcome
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Rules
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import certificate_record, spki_record

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
OWNER = "_25._tcp.g.pyon.example."
ZONES = [{"name": "pyon.example", "tlsa_ttl": 100, "soa": {"expire": 1000}, "tlsa_owners": [
    {"owner": OWNER, "backends": [{"host": "vps", "certificate": "g", "service": "smtp", "port": 25}]}]}]
RULES = Rules(history.Policy(lead=300, session=10, floor=5, margin=1, fall_back=150, ns_ttl=60, lost_ttl=60, lost_expire=100, lost_signature=200,
                             skew=0), 1000)
VALIDITY = 5000
NOTHING = Order()
REPORTED = 5  # the time of a report that says none of its own
NS = ("198.51.100.1", "198.51.100.2")


def report(host: str = "vps", keys: tuple[str, ...] = (A, B), live: str = A, presents: str = "", issued: str = "", since: int = 3,
           proven: bool = True, live_certificate: str = C, due: str = "", bound: bool = False, deployed: int = 0,
           algorithms: tuple[str, ...] = ("ecdsa-p256",) * 3) -> dict[str, Any]:
    return {"schema": 1, "host": host, "time": REPORTED, "timers": {"renew": True}, "certificates": [{
        "name": "g", "algorithm": "ecdsa-p256", "bound": bound, "due": due,
        "keys": [{"spki": key, "created": 10 + n, "algorithm": algorithms[n],
                  "certificate": {"fingerprint": D, "not_after": 99} if key == issued else None} for n, key in enumerate(keys)],
        "live": {"fingerprint": live_certificate, "spki": live, "not_before": -9999, "not_after": 9999, "since": since, "deployed": deployed,
                 "proven": proven},
        "endpoints": [{"service": "smtp", "port": 25, "name": "g", "address": "198.51.100.10", "spki": presents or live,
                       "fingerprint": live_certificate, "error": ""}]}]}


def update(path: Path, reports: list[dict[str, Any]], zones: Any = None, order: Order = NOTHING, now: int = 7, write: bool = True,
           answered: tuple[str, ...] | None = None, rules: Rules = RULES, certificates: tuple[str, ...] = (),
           signed: dict[str, records.Served] | None = None) -> Outcome:
    """Merge; the hosts report at `now`, or when they say, and all name servers answer with the keys `answered` and the `certificates`, or are not asked."""
    reports = [{**one, "time": now} if one["time"] == REPORTED else one for one in reports]
    served = frozenset((*map(spki_record, answered or ()), *map(certificate_record, certificates)))
    seen = {} if answered is None else {"pyon.example": Observation(NS, answers={OWNER: [
        history.Answer(address, served, 100, now + VALIDITY, 1000) for address in NS]})}
    return records.update(str(path), "vps", ZONES if zones is None else zones, reports, seen, order, rules, VALIDITY, clock.Reading(now, now, "a"), now, write,
                          lambda: signed or {})


def published(outcome: Outcome) -> Any:
    return records.published(outcome.after, "pyon.example").get(OWNER)


def test_published_once_then_unchanged_then_kept_without_a_report(tmp_path: Path) -> None:
    path = tmp_path / "state" / "record.json"
    first = update(path, [report()])
    assert published(first) == ([f"3 1 1 {A}", f"3 1 1 {B}"], 100) and first.changed()
    again = update(path, [{**report(), "time": 500}], now=100)
    assert again.before == again.after == first.after and not again.changed()
    silent = update(path, [], now=200)
    assert silent.before == silent.after
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_name_servers_say_is_kept_and_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    seen = update(path, [report()], now=50, answered=(A, B))
    assert not seen.changed() and seen.after["generation"] == 2
    assert [server["answered"] for server in json.loads(path.read_text())["zones"]["pyon.example"]["servers"]] == [50, 50]


def test_check_mode_writes_nothing_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state" / "record.json"
    dry = update(path, [report()], write=False)
    assert not path.parent.exists()
    assert update(path, [report()]).after == dry.after


def test_a_changed_ttl_is_another_rrset_and_the_old_one_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    shorter = copy.deepcopy(ZONES)
    shorter[0]["tlsa_ttl"] = 10
    after = update(path, [], shorter, now=50)
    assert published(after) == ([f"3 1 1 {A}", f"3 1 1 {B}"], 10)
    old = next(one for one in after.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"] if one["ttl"] == 100)
    assert old["replaced"] == 50 and old["signed_until"] == 50 + VALIDITY + history.PUBLISHING
    assert after.after["generation"] == 2


def test_only_a_first_publication_counts_as_one(tmp_path: Path) -> None:
    def firsts(outcome: Outcome) -> list[int | None]:
        return [one["first"] for one in outcome.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"] if one["replaced"] is None]

    path = tmp_path / "record.json"
    wrong = report(presents=D)
    assert firsts(update(path, [report()], now=50)) == firsts(update(path, [report()], now=60, answered=(A, B))) == [50]
    assert step(update(path, [wrong], now=60, write=False)).kind == "withdraw"
    shorter = [{**ZONES[0], "tlsa_ttl": 10}]
    assert firsts(update(path, [report()], shorter, now=60, write=False)) == [None], "another one has followed"
    assert firsts(update(path, [report()], now=60, signed=served(A, B, C), write=False)) == [None], "an older record"
    kept = json.loads(path.read_text())
    del kept["zones"]["pyon.example"]["owners"][OWNER]["rrsets"][1]["first"]
    path.write_text(json.dumps(kept))
    assert step(update(path, [wrong], now=60)).kind != "withdraw", "of a record that an older version has written nobody knows it"
    path.unlink()
    assert firsts(update(path, [report()], now=60, signed=served(A, B))) == [None], "the record was lost"
    assert step(update(path, [wrong], now=60, signed=served(A, B))).kind != "withdraw"


def test_what_name_servers_still_give_was_published_before(tmp_path: Path) -> None:
    """The primary has lost its record and its signed zone; the secondaries have not."""
    path = tmp_path / "record.json"
    rrsets = update(path, [report()], now=50, answered=(A, B, C)).after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"]
    assert [one["first"] for one in rrsets if one["replaced"] is None] == [None]
    assert step(update(path, [report(presents=D)], now=60, answered=(A, B, C))).kind != "withdraw"


def test_a_first_publication_that_went_wrong_is_withdrawn_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()], now=50)
    gone = update(path, [report(presents=D)], now=60, answered=(A, B))
    assert published(gone) is None and gone.changed()
    again = update(path, [report(presents=D)], now=70, answered=())
    assert published(again) is None and step(again).kind == "wait"
    back = update(path, [report()], now=80, answered=())
    assert published(back) == ([f"3 1 1 {A}", f"3 1 1 {B}"], 100) and step(back).kind == "publish"
    assert published(update(path, [report(presents=D)], now=90, answered=(A, B))) is None


def test_the_certificate_of_a_stolen_key_that_its_host_has_no_more_leaves_at_once(tmp_path: Path) -> None:
    path, rules = tmp_path / "record.json", replace(RULES, scheme="3 0 1", retire_after=86400, order=7)
    old = report(live_certificate=C, bound=True)
    old["certificates"][0]["live"].update(not_before=0, not_after=10**6)
    update(path, [old], rules=rules)
    new = report(keys=("1" * 64, "2" * 64), live="1" * 64, live_certificate=D, bound=True, since=600, deployed=600)
    new["certificates"][0]["live"].update(not_before=0, not_after=10**6)
    burnt = update(path, [new], order=Order(compromised=frozenset({A, B})), now=600, answered=(), certificates=(C,), rules=rules)
    assert published(burnt)[0] == [f"3 0 1 {D}"]
    path.unlink()
    update(path, [old], rules=rules)
    assert published(update(path, [new], now=600, answered=(), certificates=(C,), rules=rules))[0] == [f"3 0 1 {C}", f"3 0 1 {D}"], "a clean one has its time"


def test_the_ttl_stays_while_nothing_of_the_zone_may_change(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    longer = [{**ZONES[0], "tlsa_ttl": 1000}]
    bogus = {"pyon.example": Observation(NS, trouble="the zone is bogus")}
    done = records.update(str(path), "vps", longer, [report()], bogus, NOTHING, RULES, VALIDITY, clock.Reading(9, 9, "a"), 9, True)
    assert published(done)[1] == 100
    assert published(update(path, [report()], longer, now=9))[1] == 1000


def test_what_caches_hold_of_a_forgotten_owner_holds_a_roll_back(tmp_path: Path) -> None:
    """Of one that is forgotten in this run, and of one that the model has no more."""
    path, web = tmp_path / "record.json", "_443._tcp.w.pyon.example."
    both = [{**ZONES[0], "tlsa_owners": [*ZONES[0]["tlsa_owners"], {**ZONES[0]["tlsa_owners"][0], "owner": web}]}]
    update(path, [report(keys=(A, B))], both)
    record = json.loads(path.read_text())
    older = next(one for one in record["zones"]["pyon.example"]["owners"][web]["rrsets"] if one["replaced"] is None)
    older["records"] = [f"3 1 1 {A}"]          # as where its change was held back
    path.write_text(json.dumps(record))
    for zones, order in ((ZONES, NOTHING), (both, Order(forget=frozenset({web}))), (ZONES, Order(forget=frozenset({web})))):
        waits = step(update(path, [report()], zones, order, now=9000, answered=(A, B), write=False))
        assert waits.kind == "wait" and any("3 1 1 aaaaaaaa.." in text for text in waits.held_by), waits


def test_a_wish_outlives_the_time_in_which_the_live_key_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert update(path, [], order=Order(roll=frozenset({("vps", "g")}))).after["asked"] == {"vps": {"g": ""}}
    assert update(path, [report()]).after["asked"] == {"vps": {"g": A}}
    assert update(path, [report(live=B)]).after["asked"] == {}


def test_an_owner_that_left_the_model_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    empty = [{**ZONES[0], "tlsa_owners": []}]
    kept = update(path, [], empty)
    assert published(kept) and "dane_forget" in kept.plan.rrsets[OWNER].reason
    gone = update(path, [], empty, Order(forget=frozenset({OWNER})), now=9)
    assert published(gone) is None and gone.changed()
    assert [one["replaced"] for one in gone.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"] if one["records"] != [
        f"3 1 1 {'0' * 64}"]] == [9]  # a cache may hold it yet


def step(outcome: Outcome) -> Any:
    return outcome.plan.steps["vps", "g"]


def test_a_key_rolls_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])                                                    # A and B are published
    assert step(update(path, [report()], now=100, answered=(A, B))).kind == "rest"
    due = step(update(path, [report()], now=1003, answered=(A, B)))
    assert (due.kind, due.spki) == ("order", B)                                 # its lifetime is over, and all have had B for long
    issued = step(update(path, [report(issued=B)], now=1004, answered=(A, B)))
    assert (issued.kind, issued.spki, issued.fingerprint) == ("deploy", B, D)
    switched = report(keys=(A, B), live=B, since=1005)
    assert step(update(path, [switched], now=1006, answered=(A, B))).kind == "make key"
    more = update(path, [report(keys=(A, B, C), live=B, since=1005)], now=1007, answered=(A, B))
    assert (step(more).kind, published(more)[0]) == ("publish", [f"3 1 1 {A}", f"3 1 1 {B}", f"3 1 1 {C}"])
    later = 1005 + history.hold(100, RULES.caches)
    unproven = update(path, [report(keys=(A, B, C), live=B, since=1005, proven=False)], now=later, answered=(A, B, C))
    assert f"3 1 1 {A}" in published(unproven)[0]                               # the host may go back to it
    retired = update(path, [report(keys=(A, B, C), live=B, since=1005)], now=later, answered=(A, B, C))
    assert published(retired)[0] == [f"3 1 1 {B}", f"3 1 1 {C}"]
    for moment in range(later + 1, later + 700, 10):
        gone = update(path, [report(keys=(A, B, C), live=B, since=1005)], now=moment, answered=(B, C))
        if step(gone).kind == "delete key":
            break
    assert step(gone).spki == A and moment >= later + 150 + history.hold(100, RULES.caches) + RULES.caches.lead


def test_an_answer_that_does_not_validate_moves_nothing(tmp_path: Path) -> None:
    """Of one that is malformed, oversized, unsigned or forged the gate gives none (test_gate.py): whatever comes, it is as if the server were silent."""
    path = tmp_path / "record.json"
    rolled, end = report(keys=(A, B, C), live=B, since=1005), 1005 + VALIDITY + history.PUBLISHING + history.hold(100, RULES.caches)
    unheard = {"pyon.example": Observation(NS, {OWNER: []}, "198.51.100.1: it sent what is no answer")}
    update(path, [report()], now=5)
    records_then = published(update(path, [rolled], now=1005))
    for now in range(1010, end, 500):
        done = records.update(str(path), "vps", ZONES, [{**rolled, "time": now}], unheard, NOTHING, RULES, VALIDITY, clock.Reading(now, now, "a"), now, True)
        assert step(done).kind == "wait" and published(done) == records_then and "sent what is no answer" in str(step(done).held_by)
    assert step(update(path, [rolled], now=end, answered=(A, B, C))).kind != "wait", "it was on its way to something"


def test_where_many_machines_stand_behind_an_address_a_key_waits_for_the_signatures(tmp_path: Path) -> None:
    """Whatever one of them answers, another one may have the RRset before; so it is too where nobody was asked."""
    path, zones = tmp_path / "record.json", [{**ZONES[0], "anycast": [NS[1], "2001:db8::53"]}]
    begin = 2 * VALIDITY                                                        # what nobody knows of the time before is over
    update(path, [report()], zones)
    update(path, [report()], zones, now=begin, answered=(A, B))
    rolled = report(keys=(B, C), live=B, issued=C)

    def look(now: int, model: Any = None, answered: tuple[str, ...] | None = (A, B, C)) -> Any:
        return step(update(path, [rolled], model or zones, now=now, answered=answered, write=False))

    update(path, [rolled], zones, now=begin + 10, answered=(A, B))              # C is published
    for now in (20, 170):                                                       # and everybody has it, and again after fall_back
        update(path, [rolled], zones, now=begin + now, answered=(A, B, C))
    hold = history.hold(100, RULES.caches) + RULES.caches.lead
    soon, end = begin + 170 + hold, begin + 10 + VALIDITY + history.PUBLISHING + hold
    waits = look(soon)
    assert (waits.kind, waits.not_before, waits.held_by) == ("wait", end, (f"{NS[1]} may still serve the RRset 3 1 1 aaaaaaaa.., 3 1 1 bbbbbbbb..",))
    assert look(soon, answered=None) == waits and look(end - 1).kind == "wait" and look(end).kind == "deploy"
    assert look(soon, ZONES).kind == look(soon, ZONES, None).kind == "deploy", "where each address is one machine"


def test_a_roll_that_is_asked_for_is_remembered_until_another_key_is_live(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    asked = update(path, [report()], order=Order(roll=frozenset({("vps", "g")})), now=999, answered=(A, B))
    assert asked.after["asked"] == {"vps": {"g": A}}
    assert step(update(path, [report()], now=999, answered=(A, B))).kind == "order"
    assert update(path, [report(live=B, since=1005)], now=1006, answered=(A, B)).after["asked"] == {}


def test_a_compromised_next_key_leaves_the_rrset_and_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    update(path, [], order=Order(compromised=frozenset({B})), now=8)
    after = update(path, [report(keys=(A, B, C))], now=9)
    assert published(after)[0] == [f"3 1 1 {A}", f"3 1 1 {C}"]


def test_a_compromised_key_that_no_host_has_any_more_leaves_the_rrset(tmp_path: Path) -> None:
    """As after its file was lost, and was found by others: nobody is left to say that it is theirs."""
    path, now = tmp_path / "record.json", [report(keys=(A, C))]
    update(path, [report()])
    assert published(update(path, now, now=9))[0] == [f"3 1 1 {key}" for key in (A, B, C)]
    assert published(update(path, now, now=10, order=Order(compromised=frozenset({B}))))[0] == [f"3 1 1 {A}", f"3 1 1 {C}"]


def test_a_compromised_key_without_a_file_keeps_its_record_while_it_is_presented(tmp_path: Path) -> None:
    """A service that was not restarted presents what was lost on the disk."""
    path = tmp_path / "record.json"
    update(path, [report()])
    for now in (10, 20):
        update(path, [report(keys=(C, D), live=C, presents=A, proven=False)], now=now)
    burnt = update(path, [report(keys=(C, D), live=C, presents=A, proven=False)], now=30, order=Order(compromised=frozenset({A})))
    assert published(burnt) == ([f"3 1 1 {key}" for key in (A, B, C, D)], 100)
    assert published(update(path, [report(keys=(C, D), live=C)], now=40)) == ([f"3 1 1 {key}" for key in (B, C, D)], 100)


def test_of_a_zone_that_is_not_on_record_any_rrset_may_be_in_a_cache(tmp_path: Path) -> None:
    """The record was lost: no key changes before what nobody knows can be in no cache any more."""
    path = tmp_path / "record.json"
    update(path, [report(since=-9999)])
    early = step(update(path, [report(since=-9999)], now=8, answered=(A, B)))
    assert early.kind == "wait" and early.not_before >= 7 + history.hold(60, RULES.caches) + RULES.caches.lead
    assert "nothing is known" in early.held_by[0]


def test_an_older_record_that_was_put_in_its_place_is_taken_for_lost(tmp_path: Path) -> None:
    """A backup from before the last publication: some name server gives what it does not know, signed after it was written."""
    path = tmp_path / "record.json"
    update(path, [report()])
    update(path, [report()], now=50, answered=(A, B))
    backup = path.read_bytes()
    update(path, [report(keys=(B, C), live=B)], now=60)
    path.write_bytes(backup)
    update(path, [report(keys=(B, C), live=B)], now=70)      # nobody is asked yet: that the record is older must not be forgotten
    late = step(update(path, [report(keys=(B, C), live=B, since=-9999)], now=80, answered=(B, C, D)))
    assert late.kind == "wait" and late.not_before >= 80 + history.hold(60, RULES.caches) + RULES.caches.lead
    assert any("nothing is known" in text for text in late.held_by)


SHARED = copy.deepcopy(ZONES)  # of two hosts
SHARED[0]["tlsa_owners"][0]["backends"].append({"host": "mx2", "certificate": "g", "service": "smtp", "port": 25})  # type: ignore[index]


def served(*keys: str, ttl: int = 100, owner: str = OWNER, until: int = 3) -> dict[str, records.Served]:
    return {"pyon.example": {owner: (frozenset(map(spki_record, keys)), ttl, until)}}


def test_a_host_that_is_off_loses_nothing_where_the_record_is_lost(tmp_path: Path) -> None:
    path, all_of_them = tmp_path / "record.json", sorted(f"3 1 1 {key}" for key in (A, B, C, D))
    without = update(path, [report()], SHARED, now=50, write=False)
    assert published(without) is None
    for reports in ([], [report()]):  # site.yml takes what is on record before any host has reported
        kept = update(path, reports, SHARED, now=50, signed=served(A, B, C, D))
        assert published(kept)[0] == all_of_them
    assert any(one["records"] == [f"3 1 1 {'0' * 64}"] for one in kept.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"])
    assert published(update(path, [report()], SHARED, now=60, signed=served(A, B, C, D)))[0] == all_of_them


def test_a_record_that_does_not_know_what_is_signed_is_older(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report(), report("mx2", (C, D), C)], SHARED)
    assert published(update(path, [report()], SHARED, now=50, signed=served(A, B, C, D)))[0] == sorted(f"3 1 1 {key}" for key in (A, B, C, D))
    later = "e" * 64  # mx2 has rolled since, and is off
    assert f"3 1 1 {later}" in published(update(path, [report()], SHARED, now=60, signed=served(A, B, D, later), write=False))[0]
    older = update(path, [report()], SHARED, now=60, signed=served(A, B, D, later), answered=(A, B, D, later))
    assert f"3 1 1 {later}" in published(older)[0] and f"3 1 1 {D}" in published(older)[0]
    rrsets = older.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"]
    assert any(one["records"] == [f"3 1 1 {'0' * 64}"] for one in rrsets)
    assert update(path, [report()], SHARED, now=60, signed=served(A, B, D, later)).before == older.after
    again = update(path, [report()], SHARED, now=70, signed=served(*(text.split()[-1] for text in published(older)[0])))
    assert again.before == again.after  # it knows that now


def test_what_is_signed_and_known_or_not_ours_is_no_sign_of_an_older_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    rolled = report(keys=(A, B, C), live=B)
    assert f"3 1 1 {C}" in published(update(path, [rolled], now=50))[0]  # and that run died before it signed
    lost = [one for signed in (served(A, B), served(D, owner="_853._tcp.dns.pyon.example."))
            for one in update(path, [rolled], now=60, signed=signed).after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"]
            if one["records"] == [f"3 1 1 {'0' * 64}"] and one["replaced"] > 50]
    assert not lost


def test_signatures_of_before_count_where_they_are_made_for_less_time_now(tmp_path: Path) -> None:
    """As after signature_validity was lowered: a server that is silent may have the zone as it was signed before."""
    path, longer = tmp_path / "record.json", 9 * VALIDITY

    def ends(found: Outcome) -> dict[str, int]:
        return {one["records"][0][6:7]: one["signed_until"] for one in found.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"]}

    lost = ends(update(path, [], now=50, signed=served(A, B, until=longer)))
    assert lost == {"0": longer, "a": longer}, "nor is it known for how long what is lost was signed"
    assert ends(update(path, [], now=60, signed=served(A, B, until=longer + 9))) == {"0": longer, "a": longer + 9}


def test_what_a_run_left_signed_is_signed_again_by_the_timer(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    rolled = report(keys=(A, B, C), live=B)
    update(path, [rolled], now=50)  # that run died before it signed

    def until(found: Outcome) -> list[int]:
        return [one["signed_until"] for one in found.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"] if len(one["records"]) == 2]

    assert until(update(path, [rolled], now=60, signed=served(A, B, C), write=False)) == [50 + VALIDITY + history.PUBLISHING]
    assert until(update(path, [rolled], now=60, signed=served(A, B))) == [60 + VALIDITY + history.PUBLISHING]


def test_an_alarm_where_the_ds_of_a_zone_with_records_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    def alarms(now: int, secure: bool | None, order: Order = NOTHING) -> list[str]:
        done = records.update(str(path), "vps", ZONES, [report()], {"pyon.example": Observation(NS, secure=secure)}, order, RULES, VALIDITY,
                              clock.Reading(now, now, "a"), now, True)
        return list(done.alarms)

    assert alarms(1, False) == [], "not there yet"
    assert alarms(2, True) == alarms(3, None) == []
    assert alarms(4, False) == alarms(5, False) == ["ALARM: pyon.example had a DS in its parent and has none any more, so nobody does DANE with it; "
                                                    "give it back, or have its TLSA records removed first"]
    assert list(update(path, [report()], now=6).alarms) == [], "nobody was asked"
    assert alarms(7, True) == []
    assert len(alarms(8, False, Order(forget=frozenset({OWNER})))) == 1 and alarms(9, False) == []


@pytest.mark.parametrize("spoil", [b"", b"altered\n"])
def test_what_is_signed_is_read_from_the_signed_file(tmp_path: Path, spoil: bytes) -> None:
    body = (f"pyon.example.\t300\tIN\tSOA\tns. h. 7 1 1 1 1\n{OWNER.upper()}\t100\tIN\tTLSA\t3 1 1 {A}\n{OWNER}\t100\tIN\tTLSA\t3 1 1 {B} ; mine\n"
            f"{OWNER}\t100\tIN\tRRSIG\tTLSA 13 5 100 1 1 1 pyon.example. a\n_1._tcp.pyon.example.\t5\tIN\tTLSA\t7 1 1 {A}\n").encode()
    header = f"; selfhost.dane source={'0' * 64} body={hashlib.sha256(body).hexdigest()} signed=1 validity=2\n".encode()
    (tmp_path / "pyon.example.signed").write_bytes(header + body + spoil)
    assert records.signed([*ZONES, {"name": "other.example"}], str(tmp_path)) == {
        **({"pyon.example": {}} if spoil else served(A, B)), "other.example": {}}


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DaneError, match=r"cannot read .* \(the record of this primary\): Is a directory; make it readable, or move it away"):
        update(tmp_path, [report()])


def test_a_damaged_signed_file_is_nothing_for_its_zone_alone(tmp_path: Path) -> None:
    body = f"pyon.example.\t300\tIN\tSOA\tns. h. 7 1 1 1 1\n{OWNER}\t100\tIN\tTLSA\t3 1 1 {A}\n".encode()
    header = f"; selfhost.dane source={'0' * 64} body={hashlib.sha256(body).hexdigest()} signed=1 validity=2\n".encode()
    (tmp_path / "pyon.example.signed").write_bytes(header + body)
    (tmp_path / "cut.example.signed").write_bytes(header + b"cut.example.\t300\tIN\tSOA\tns. h. x 1 1 1 1\n")
    (tmp_path / "directory.example.signed").mkdir()
    zones = [{"name": "cut.example"}, {"name": "directory.example"}, *ZONES]
    assert records.signed(zones, str(tmp_path)) == {"cut.example": {}, "directory.example": {}, **served(A)}


def test_an_old_rrset_that_a_server_falls_back_to_is_no_sign_of_an_older_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    update(path, [report()], now=50, answered=(A, B))
    old = Observation(NS, answers={OWNER: [history.Answer(NS[0], frozenset({spki_record(D)}), 100, 50 + VALIDITY, 1000)]})
    after = records.update(str(path), "vps", ZONES, [report()], {"pyon.example": old}, NOTHING, RULES, VALIDITY, clock.Reading(70, 70, "a"), 70, True).after
    rrsets = {tuple(one["records"]): one["replaced"] for one in after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"]}
    unknown = tuple(one.presentation() for one in history.LOST)
    assert rrsets == {unknown: 7, (f"3 1 1 {A}", f"3 1 1 {B}"): None, (f"3 1 1 {D}",): 70}  # the first one is from when there was no record


@pytest.mark.parametrize(("text", "said"), [
    (b"", "is cut or damaged"),
    (b'{"schema": 2, "host": "vps"', "is cut or damaged"),
    (b'{"schema": 2, "host": "vps"}', "is cut or damaged"),
    (b"[]", "is cut or damaged"),
    (json.dumps({"schema": 2, "host": "vps", "generation": 1, "zones": {}, "asked": {}, "compromised": [], "clock": None, "reports": {"vps": {
        "certificates": {"g": {"keys": [], "live": "", "since": 0, "fingerprint": "", "certificates": {"$INCLUDE": A}}}}}}).encode(), "is cut or damaged"),
    (b'{"schema": 3, "host": "vps", "generation": 1, "zones": {}, "reports": {}}', "has schema 3, and this version reads 2; update the collection"),
    (b'{"schema": 2, "host": "mx2", "generation": 1, "zones": {}, "reports": {}}', "belongs to the host 'mx2', and this is vps; move it away"),
])
def test_a_bad_record_is_named_and_left_alone(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text)
    with pytest.raises(DaneError, match=said if "damaged" not in said else said + r" \(.*\); restore it from a backup, or move it away to have it made anew"):
        update(path, [report()])
    assert path.read_bytes() == text


@pytest.mark.parametrize("damage", [
    {"compromised": [[]]}, {"zones/pyon.example/servers/0/answered": "x"}, {"zones/pyon.example/servers/0/removed": []},
    {"zones/pyon.example/owners/_25._tcp.g.pyon.example./rrsets/0/replaced": None, "drop": True},
    {"zones/pyon.example/owners/_25._tcp.g.pyon.example./rrsets/1/seen/198.51.100.1/served": "x"},
    {"zones/pyon.example/owners/_25._tcp.g.pyon.example./rrsets/0/expire": float("inf")},
    {"clock/reading/wall": "x"}, {"clock/time": float("inf")}, {"reports/vps/certificates/g/since": None},
    {"reports/vps/certificates/g/owners": [1]}])
def test_a_record_with_one_part_of_another_shape_is_named(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    record = update(path, [report()], now=50, answered=(A, B)).after
    place, value = next(iter(damage.items()))
    *way, last = place.split("/")
    part: Any = record
    for name in way:
        part = part[int(name) if isinstance(part, list) else name]
    part[last] = value
    if "drop" in damage:
        del part[last]
    elif isinstance(part, list):
        part[int(last)] = value
    path.write_text(json.dumps(record))
    with pytest.raises(DaneError, match="is cut or damaged"):
        update(path, [])


def test_a_host_has_one_report(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with pytest.raises(DaneError, match="^vps has two reports, and one of them may be another host's; give one of each host$"):
        update(path, [report(), report(keys=(C, D), live=C)])
    assert not path.exists()


@pytest.mark.parametrize("spoil", [
    lambda one: one["certificates"][0].pop("keys"), lambda one: one["certificates"][0]["keys"].append(5), lambda one: one.update(timers=[]),
    lambda one: one["certificates"][0]["live"].update(since="x"), lambda one: one["certificates"][0]["live"].update(not_after=float("inf")),
    lambda one: one["certificates"][0]["endpoints"][0].pop("port"), lambda one: one.update(certificates=None)])
def test_a_report_of_another_shape_names_its_host(tmp_path: Path, spoil: Any) -> None:
    one = report()
    spoil(one)
    with pytest.raises(DaneError, match="the report of 'vps' is not in its shape"):
        update(tmp_path / "record.json", [one])
    assert not (tmp_path / "record.json").exists()


def test_what_an_endpoint_says_is_made_fit_for_a_terminal(tmp_path: Path) -> None:
    one = report(presents=D)
    one["certificates"][0]["endpoints"].append({**one["certificates"][0]["endpoints"][0], "address": "\x1b[31m10.0.0.1", "spki": "", "error": "\x1b[2Jok"})
    held = update(tmp_path / "record.json", [one]).plan.rrsets[OWNER].held_by
    assert len(held) == 2 and not any("\x1b" in text for text in held)


def test_a_report_with_something_else_than_a_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DaneError, match="report of vps"):
        update(tmp_path / "record.json", [report(presents="a\n$INCLUDE /etc/shadow")])
    assert not (tmp_path / "record.json").exists()


def _merge(path: str, number: int) -> None:
    zone = f"z{number}.example"
    owner = {"owner": f"_25._tcp.{zone}.", "backends": ZONES[0]["tlsa_owners"][0]["backends"]}
    zones = [{"name": zone, "tlsa_ttl": 5, "soa": {"expire": 9}, "tlsa_owners": [owner]}]
    records.update(path, "vps", zones, [report()], {}, NOTHING, RULES, VALIDITY, clock.Reading(7, 7, "a"), 7, True)


def test_two_controllers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.starmap(_merge, [(path, number) for number in range(24)])
    assert len(json.loads(Path(path).read_text())["zones"]) == 24


def test_a_clock_that_is_set_forward_lets_nothing_go_early(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    ahead = records.update(str(path), "vps", ZONES, [report()], {}, NOTHING, RULES, VALIDITY, clock.Reading(10**6, 8, "a"), 8, True)
    assert step(ahead).kind == "wait" and "clock_margin" in step(ahead).held_by[0]
    assert published(ahead) and not ahead.changed()


def test_no_record_is_begun_while_the_clocks_do_not_agree(tmp_path: Path) -> None:
    """All times would count from its first, and be off for good."""
    path = tmp_path / "record.json"
    for write in (True, False):
        with pytest.raises(DaneError, match="the clocks of this host and of the controller are 1000 seconds apart, .* is not begun before they agree"):
            records.update(str(path), "vps", ZONES, [report()], {}, NOTHING, RULES, VALIDITY, clock.Reading(7, 7, "a"), 1007, write)
    assert not path.exists()


def test_what_is_seen_while_no_time_passes_does_not_count_as_gone(tmp_path: Path) -> None:
    """After a start with clocks that do not agree time stands still, and what has passed is added when they agree again."""
    path, rolled = tmp_path / "record.json", report(keys=(A, B, C), live=B, since=1005)

    def seen(now: int, ahead: int, keys: tuple[str, ...], boot: str) -> set[int | None]:
        looks = {"pyon.example": Observation(NS, answers={OWNER: [history.Answer(one, frozenset(map(spki_record, keys)), 100, now + VALIDITY, 1000)
                                                                  for one in NS]})}
        done = records.update(str(path), "vps", ZONES, [{**rolled, "time": now}], looks, NOTHING, RULES, VALIDITY,
                              clock.Reading(now + ahead, now, boot), now, True)
        rrsets = done.after["zones"]["pyon.example"]["owners"][OWNER]["rrsets"]
        return {one["missing"] for rrset in rrsets if rrset["records"] == [f"3 1 1 {A}", f"3 1 1 {B}"] for one in rrset["seen"].values()}

    update(path, [report()], now=5)
    update(path, [report()], now=50000, answered=(A, B))
    assert seen(50010, 0, (A, B), "a") == {None}                                # B and C are published
    assert seen(51000, 7200, (B, C), "b") == {None} and seen(52000, 7200, (B, C), "b") == {None}
    assert seen(53000, 0, (B, C), "b") == {53000}


def apart(path: Path, zones: Any, now: int, looks: dict[str, Observation] | None = None) -> Outcome:
    """A run after a start of the primary, with clocks that do not agree, so that no time passes."""
    return records.update(str(path), "vps", zones, [], looks or {}, NOTHING, RULES, VALIDITY, clock.Reading(now + 7200, 1, "b"), now, True)


def test_no_name_server_is_removed_while_no_time_passes(tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    def servers(outcome: Outcome) -> dict[str, int | None]:
        return {one["address"]: one["removed"] for one in outcome.after["zones"]["pyon.example"]["servers"] if one["address"] != history.UNLEARNT}

    update(path, [report()], now=5, answered=(A, B))
    update(path, [report(keys=(A, B, C), live=B)], now=10, answered=(A, B))  # what is replaced now is in the second one for ever
    assert servers(apart(path, ZONES, 50000, {"pyon.example": Observation(NS[:1])})) == dict.fromkeys(NS)
    done = records.update(str(path), "vps", ZONES, [], {"pyon.example": Observation(NS[:1])}, NOTHING, RULES, VALIDITY,
                          clock.Reading(60000, 2, "b"), 60000, True)
    assert servers(done) == {NS[0]: None, NS[1]: 60000}


def test_nothing_takes_the_place_of_a_lost_record_while_the_clocks_do_not_agree(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    kept = path.read_bytes()
    later = Observation(NS, {OWNER: [history.Answer(NS[0], frozenset(map(spki_record, (A, B, C))), 100, 50000 + VALIDITY, 1000)]})
    for wanted, looks in (([*ZONES, {**ZONES[0], "name": "kodama.example"}], {}), (ZONES, {"pyon.example": later})):
        with pytest.raises(DaneError, match=r"clocks .* are 7200 seconds apart, .* is missing or an older one, is not begun before they agree"):
            apart(path, wanted, 50000, looks)
    assert path.read_bytes() == kept


def test_what_the_operator_said_of_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    nothing = {"live": A, "asked": "", "burnt": [], "compromised": []}
    assert records.ordered(update(path, [report()]).after, "vps", "g") == nothing
    assert records.ordered({"reports": {}, "asked": {}, "compromised": []}, "vps", "g") == {**nothing, "live": ""}
    assert records.ordered(update(path, [], order=Order(roll=frozenset({("vps", "g")}))).after, "vps", "g") == {**nothing, "asked": A}
    after = update(path, [], order=Order(compromised=frozenset({B, C}))).after
    assert records.ordered(after, "vps", "g") == {"live": A, "asked": A, "burnt": [B], "compromised": [B, C]}
    assert records.ordered(after, "vps", "h") == {"live": "", "asked": "", "burnt": [], "compromised": [B, C]}


def test_how_long_a_key_has_been_live_is_told_by_the_clock_of_its_host(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for now in (7, 50000):                                                      # the host is behind by as much
        update(path, [{**report(since=-40000), "time": now - 49000}], now=now, answered=(A, B))
    aged = [step(update(path, [{**report(since=since), "time": 1000}], now=50001, answered=(A, B), write=False)).kind for since in (1, 0)]
    assert aged == ["rest", "order"]


def test_the_published_keys_of_each_host_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    zones = copy.deepcopy(ZONES)
    zones[0]["tlsa_owners"][0]["backends"].append({"host": "mx2", "certificate": "g", "service": "smtp", "port": 25})
    done = update(path, [report(), report("mx2", keys=(C, D), live=C)], zones)
    assert len(published(done)[0]) == 4
    assert records.published_keys(done.after, zones) == {("mx2", "g"): [C, D], ("vps", "g"): [A, B]}
    assert records.published_keys(records.read(str(tmp_path / "none"), "vps"), zones) == {}


# --- records of certificates ---

CERTIFICATES = replace(RULES, scheme="3 0 1", order=1, key_lifetime=None)
G = "e" * 64


def test_a_scheme_that_is_refused_is_an_alarm_in_each_run(tmp_path: Path) -> None:
    """Also while something else is done meanwhile, and once."""
    path, short = tmp_path / "record.json", replace(CERTIFICATES, order=10**4)
    update(path, [report()], now=1000)
    for due, kind in (("", "wait"), ("a third or less of its life is left", "order")):
        done = update(path, [report(bound=True, due=due)], now=2500, answered=(A, B), rules=short, write=False)
        assert step(done).kind == kind
        (alarm,) = done.alarms
        assert "ALARM: vps: the scheme 3 0 1 needs more than" in alarm and alarm.startswith("vps, g: " if kind == "wait" else OWNER[:-1])


def test_a_certificate_is_renewed_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert records.bound_certificates(records.read(str(path), "vps"), ZONES, CERTIFICATES) == {("vps", "g"): True}

    def run(now: int, *answered: str, **facts: Any) -> Outcome:
        return update(path, [report(bound=True, **facts)], now=now, answered=() if answered else None, certificates=answered, rules=CERTIFICATES)

    first = run(1000)
    assert published(first)[0] == [f"3 0 1 {C}"]
    assert records.published_keys(first.after, ZONES) == {("vps", "g"): [A]}
    assert step(run(2500, C)).kind == "rest"
    due = step(run(2600, C, due="a third or less of its life is left"))
    assert (due.kind, due.spki) == ("order", A)
    issued = {"due": "a third or less of its life is left", "issued": A}
    more = run(2601, C, **issued)
    assert published(more)[0] == [f"3 0 1 {C}", f"3 0 1 {D}"] and step(more).kind == "publish"
    for now in range(2610, 3300, 10):
        waits = step(run(now, C, D, **issued))
        if waits.kind != "wait":
            break
    assert (waits.kind, waits.fingerprint) == ("deploy", D) and now >= 2610 + 150 + history.hold(100, RULES.caches) + RULES.caches.lead
    live = {"live_certificate": D, "issued": A, "deployed": now}
    later = now + history.hold(100, RULES.caches)
    assert published(run(later - 1, C, D, **live))[0] == [f"3 0 1 {C}", f"3 0 1 {D}"], "the certificate before is remembered"
    gone = run(later, C, D, **live)
    assert published(gone)[0] == [f"3 0 1 {D}"]
    assert gone.after["reports"]["vps"]["certificates"]["g"]["certificates"] == {C: A, D: A}, "as long as a cache may hold its record"
    for now in range(later + 10, later + 800, 10):
        last = run(now, D, **live)
    assert run(now + 1, D, **live).after["reports"]["vps"]["certificates"]["g"]["certificates"] == {D: A} and last.plan.steps["vps", "g"].kind == "rest"
    off = update(path, [], now=now + 2, rules=CERTIFICATES)
    assert published(off)[0] == [f"3 0 1 {D}"]


def test_who_renews_follows_from_what_is_on_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    lost = records.read(str(path), "vps")
    assert records.bound_certificates(lost, ZONES, RULES) == {}, "nobody knows"
    known = update(path, [report()], now=7).after
    assert records.bound_certificates(known, ZONES, RULES) == {}, "not before what nobody knows is in no cache any more"
    later = update(path, [report()], now=9000, answered=(A, B)).after
    assert records.bound_certificates(later, ZONES, RULES) == {("vps", "g"): False}
    changed = update(path, [report(bound=True)], now=9001, answered=(A, B), rules=CERTIFICATES).after
    assert records.bound_certificates(changed, ZONES, RULES) == {("vps", "g"): True}
    more = [{**ZONES[0], "tlsa_owners": [*ZONES[0]["tlsa_owners"], {"owner": "_443._tcp.h.", "backends": [
        {"host": "mx2", "certificate": "h", "service": "https", "port": 443}]}]}]
    assert records.bound_certificates(later, more, RULES) == {("vps", "g"): False, ("mx2", "h"): False}, "a new owner had no records"


def test_a_scheme_for_which_certificates_live_too_short_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()], now=7)
    refused = update(path, [report(bound=True)], now=9000, answered=(A, B), rules=replace(CERTIFICATES, order=6000))
    assert published(refused)[0] == [f"3 1 1 {A}", f"3 1 1 {B}"] and step(refused).kind == "wait" and not refused.changed()
    assert "which is 6666" in step(refused).held_by[0] and "signature_validity, signature_skew and 1800 for a run 200 " in step(refused).held_by[0]
    assert refused.alarms == [f"vps, g: {step(refused).held_by[0]}"]


def test_the_life_that_is_left_is_that_of_the_hosts_clock(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report(bound=True)], now=1000, rules=CERTIFICATES)
    late = step(update(path, [{**report(bound=True, due="soon", issued=A), "time": 9990}], now=1001, answered=(), certificates=(C, D), rules=CERTIFICATES))
    assert late.kind == "publish"
    late = step(update(path, [{**report(bound=True, due="soon", issued=A), "time": 9990}], now=1002, answered=(), certificates=(C, D), rules=CERTIFICATES))
    assert f"ALARM: the live certificate ends at the unix time {1002 + 9}, " in late.held_by[0]


def test_a_key_of_another_algorithm_than_is_wanted_is_no_next_key(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()], now=7)
    found = update(path, [report(keys=(A, B, G), algorithms=("rsa-2048", "rsa-2048", "ecdsa-p256"))], now=9000)
    assert published(found)[0] == [f"3 1 1 {A}", f"3 1 1 {G}"]


@pytest.mark.parametrize("spoil", [
    lambda item: item["live"].update(fingerprint="a\n$INCLUDE /etc/shadow"), lambda item: item["keys"][0].update(certificate={"fingerprint": "x"}),
    lambda item: item["endpoints"][0].update(fingerprint="x")])
def test_a_fingerprint_that_is_none_is_refused(tmp_path: Path, spoil: Any) -> None:
    bad = report()
    spoil(bad["certificates"][0])
    with pytest.raises(DaneError, match="report of vps"):
        update(tmp_path / "record.json", [bad])


# --- hosts that come to a name and leave it ---

HOSTS = {"vps": ["198.51.100.10"], "mx2": ["198.51.100.12", "2001:db8::12"]}
PAIRS = {"vps": (A, B), "mx2": (C, D)}


def zones_of(*hosts: str) -> Any:
    """The zone with these hosts behind g.pyon.example."""
    return [{**ZONES[0], "ttl": 100, "names": [{"name": "g.pyon.example.", "hosts": [{"host": host, "addresses": HOSTS[host]} for host in hosts]}],
             "records": [{"owner": "g.pyon.example.", "ttl": 100, "type": "AAAA" if ":" in address else "A", "data": address}
                         for host in hosts for address in HOSTS[host]]
             + [{"owner": f"{host}.pyon.example.", "ttl": 100, "type": "A", "data": HOSTS[host][0]} for host in hosts],
             "tlsa_owners": [{"owner": OWNER, "backends": [{"host": host, "certificate": "g", "service": "smtp", "port": 25} for host in hosts]}]}]


def run(path: Path, now: int, *hosts: str, heard: tuple[str, ...] | None = None, served: tuple[str, ...] = (), gives: tuple[str, ...] = (),
        order: Order = NOTHING, servers: tuple[str, ...] = NS) -> Outcome:
    """A run with these hosts in the model, in which all name servers, which are named, have the keys `served` and the addresses of the hosts `gives`."""
    reports = [report(host, keys=PAIRS[host], live=PAIRS[host][0]) for host in (hosts if heard is None else heard)]
    addresses = frozenset(address for host in gives for address in HOSTS[host])
    seen = {"pyon.example": Observation(
        servers, {OWNER: [history.Answer(one, frozenset(map(spki_record, served)), 100, now + VALIDITY, 1000) for one in servers]},
        given={"g.pyon.example.": [history.Given(one, addresses, now + VALIDITY, 1000) for one in servers]})} if served else {}
    return records.update(str(path), "vps", zones_of(*hosts), reports, seen, order, RULES, VALIDITY, clock.Reading(now, now, "a"), now, True)


def behind(outcome: Outcome, *hosts: str) -> list[str]:
    """The addresses of the shared name in the zone."""
    kept = records.address_records(outcome.after, zones_of(*hosts)[0])
    assert [one["data"] for one in kept if one["owner"] != "g.pyon.example."] == [HOSTS[host][0] for host in hosts], "other names are left alone"
    return [one["data"] for one in kept if one["owner"] == "g.pyon.example."]


def test_a_host_is_added_key_first_and_leaves_address_first(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert behind(run(path, 0, "vps"), "vps") == HOSTS["vps"], "a name without records has its addresses at once"
    run(path, 1, "vps", served=(A, B))
    both = ("vps", "mx2")
    assert behind(run(path, 2, *both, heard=()), *both) == HOSTS["vps"], "nothing is known of it"
    added = run(path, 3, *both, served=(A, B))
    assert published(added)[0] == [f"3 1 1 {key}" for key in (A, B, C, D)] and behind(added, *both) == HOSTS["vps"]
    held = run(path, 4, *both, served=(A, B, C, D))
    assert behind(held, *both) == HOSTS["vps"] and "mx2 is not among its addresses yet" in held.notes[0].text
    assert not held.changed()
    hold = history.hold(100, RULES.caches) + RULES.caches.lead
    run(path, 154, *both, served=(A, B, C, D))                                  # the name servers were seen without the old one for fall_back
    assert behind(run(path, 154 + hold - 1, *both, served=(A, B, C, D)), *both) == HOSTS["vps"]
    late = run(path, 154 + hold, *both, heard=("vps",), served=(A, B, C, D))
    assert behind(late, *both) == HOSTS["vps"] and "mx2 has not reported" in late.notes[0].held_by[0]
    entered = run(path, 154 + hold, *both, served=(A, B, C, D))
    assert behind(entered, *both) == [*HOSTS["vps"], *HOSTS["mx2"]] and entered.changed() and not entered.notes
    assert behind(run(path, 155 + hold, *both, heard=()), *both) == [*HOSTS["vps"], *HOSTS["mx2"]], "and stays"

    start = 1000
    left = run(path, start, "vps", served=(A, B, C, D))
    assert behind(left, "vps") == HOSTS["vps"] and len(published(left)[0]) == 4 and left.changed()
    assert records.leaving(left.after, "pyon.example") == ["g.pyon.example."]
    run(path, start + 1, "vps", served=(A, B, C, D), gives=("vps", "mx2"))
    waiting = run(path, start + 2, "vps", served=(A, B, C, D), gives=("vps",))
    assert len(published(waiting)[0]) == 4 and "mx2 has left, and its keys stay published" in waiting.notes[0].text
    run(path, start + 152, "vps", served=(A, B, C, D), gives=("vps",))
    assert len(published(run(path, start + 152 + hold - 1, "vps", served=(A, B, C, D), gives=("vps",)))[0]) == 4
    gone = run(path, start + 152 + hold, "vps", served=(A, B, C, D), gives=("vps",))
    assert published(gone)[0] == [f"3 1 1 {A}", f"3 1 1 {B}"] and not gone.notes
    assert records.leaving(gone.after, "pyon.example") == [] and gone.after["zones"]["pyon.example"]["names"]["g.pyon.example."]["others"] == {}


def test_no_host_leaves_a_name_while_no_time_passes(tmp_path: Path) -> None:
    path, both = tmp_path / "record.json", ("vps", "mx2")
    entered = run(path, 0, *both)
    assert behind(entered, *both) == [*HOSTS["vps"], *HOSTS["mx2"]]
    done = apart(path, zones_of("vps"), 50000)
    assert done.after["zones"]["pyon.example"]["names"] == entered.after["zones"]["pyon.example"]["names"]
    alone = tmp_path / "alone.json"
    run(alone, 0, "vps")
    assert behind(apart(alone, zones_of("mx2"), 50000), "mx2") == HOSTS["mx2"], "it never is without addresses"
    left = run(path, 60000, "vps", served=(A, B, C, D))
    assert behind(left, "vps") == HOSTS["vps"] and records.leaving(left.after, "pyon.example") == ["g.pyon.example."]


def test_what_nobody_asked_the_name_servers_for_is_waited_out(tmp_path: Path) -> None:
    """Runs of site.yml ask no name server."""
    path = tmp_path / "record.json"
    both = ("vps", "mx2")
    run(path, 0, *both)
    run(path, 1, "vps")
    end = 1 + VALIDITY + history.PUBLISHING + history.hold(100, RULES.caches) + RULES.caches.lead     # of servers that are not known
    assert len(published(run(path, end - 1, "vps"))[0]) == 4
    assert len(published(run(path, end, "vps"))[0]) == 2


def test_a_server_that_was_removed_counts_while_a_cache_may_hold_an_address_that_it_gave(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    keys, long, hold = (A, B, C, D), 10_000, history.hold(100, RULES.caches) + RULES.caches.lead
    run(path, 0, "vps", "mx2", served=keys)
    run(path, long, "vps", "mx2", served=keys)                                  # no RRset but the one that is published is remembered
    run(path, long + 1, "vps", served=keys, gives=("vps", "mx2"))
    for now in (2, 3, 4 + RULES.caches.ns_ttl, 153, 200):                       # one is removed, the other one is seen without the address
        done = run(path, long + now, "vps", served=keys, gives=("vps",), servers=NS[:1])
        assert NS[1] in [server["address"] for server in done.after["zones"]["pyon.example"]["servers"]]
    assert len(published(run(path, long + 153 + hold - 1, "vps", served=keys, gives=("vps",), servers=NS[:1]))[0]) == 4
    gone = run(path, long + 153 + hold, "vps", served=keys, gives=("vps",), servers=NS[:1])
    assert len(published(gone)[0]) == 2


def test_a_host_that_has_left_waits_for_the_signatures_of_a_server_that_is_many_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keys, left = tmp_path / "record.json", (A, B, C, D), 10_000
    monkeypatch.setitem(ZONES[0], "anycast", [NS[0]])
    run(path, 0, "vps", "mx2", served=keys)
    run(path, left - 1, "vps", "mx2", served=keys)
    for now in (left, left + 1, left + 152):
        run(path, now, "vps", served=keys, gives=("vps",))
    end = left + VALIDITY + history.PUBLISHING + history.hold(100, RULES.caches) + RULES.caches.lead
    late = run(path, end - 1, "vps", served=keys, gives=("vps",))
    assert len(published(late)[0]) == 4 and late.notes[0].held_by == tuple(f"{NS[0]} may still give {address}" for address in HOSTS["mx2"])
    assert len(published(run(path, end, "vps", served=keys, gives=("vps",)))[0]) == 2


def test_a_stolen_host_is_taken_out_with_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    run(path, 0, "vps", "mx2")
    done = run(path, 1, "vps", order=Order(compromised=frozenset({C, D})))
    assert published(done)[0] == [f"3 1 1 {A}", f"3 1 1 {B}"]


def test_nobody_enters_while_the_records_of_the_name_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    run(path, 0, "vps")
    done = run(path, 1, "vps", "mx2", order=Order(forget=frozenset({OWNER})))
    assert behind(done, "vps", "mx2") == HOSTS["vps"] and published(done) is None
    assert done.notes[0].held_by == (f"the records of {OWNER} are removed in this run",)


def test_a_name_that_changes_all_its_hosts_has_addresses_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    run(path, 0, "vps")
    done = run(path, 1, "mx2")
    assert behind(done, "mx2") == HOSTS["mx2"] and len(published(done)[0]) == 4


def test_a_record_of_before_and_zones_without_names_have_what_the_model_says(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    both = ("vps", "mx2")
    assert behind(run(path, 8, *both, heard=()), *both) == [*HOSTS["vps"], *HOSTS["mx2"]]
    zone = {**ZONES[0], "records": [{"owner": "g.pyon.example.", "ttl": 5, "type": "A", "data": "198.51.100.12"}]}
    assert records.address_records(records.read(str(path), "vps"), zone) == zone["records"]


def test_a_damaged_name_is_said(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    done = run(path, 0, "vps")
    for damage in ({"hosts": []}, {"ttl": None}, {"left": {"198.51.100.12": {}}}, {"others": {"mx2": ["x"]}}):
        record = copy.deepcopy(done.after)
        record["zones"]["pyon.example"]["names"]["g.pyon.example."].update(damage)
        path.write_text(json.dumps(record))
        with pytest.raises(DaneError, match="is cut or damaged"):
            records.read(str(path), "vps")


def test_a_server_that_was_removed_is_remembered_for_as_long_as_any_owner_or_name_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    first, second = "_25._tcp.a.pyon.example.", OWNER
    zones = [{**ZONES[0], "tlsa_owners": [{"owner": owner, "backends": ZONES[0]["tlsa_owners"][0]["backends"]} for owner in (first, second)]}]

    def look(now: int, addresses: tuple[str, ...], reports: list[Any], keys: dict[str, tuple[str, ...]]) -> list[str]:
        answers = {owner: [history.Answer(one, frozenset(map(spki_record, keys[owner])), 100, now + VALIDITY, 1000) for one in addresses] for owner in keys}
        done = records.update(str(path), "vps", zones, reports, {"pyon.example": Observation(addresses, answers)}, NOTHING, RULES, VALIDITY,
                              clock.Reading(now, now, "a"), now, True)
        return [server["address"] for server in done.after["zones"]["pyon.example"]["servers"]]

    had = {first: (A, B), second: (A, B)}
    look(0, NS, [report()], had)
    record = json.loads(path.read_text())      # only the second owner has something that caches may hold
    record["zones"]["pyon.example"]["owners"][first]["rrsets"] = [
        one for one in record["zones"]["pyon.example"]["owners"][first]["rrsets"] if one["replaced"] is None]
    path.write_text(json.dumps(record))
    look(1, NS[:1], [], {first: (A, B)})
    assert NS[1] in look(2 + RULES.caches.ns_ttl + 1, NS[:1], [], {first: (A, B)})


def test_a_certificate_that_joins_another_one_is_held_until_its_keys_are_known(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    zones = copy.deepcopy(ZONES)
    zones[0]["tlsa_owners"][0]["backends"].append({"host": "vps", "certificate": "rsa", "service": "smtp", "port": 25})
    assert update(path, [], zones, now=10).plan.held == (("vps", "rsa"),)
    both = report()
    new = {**copy.deepcopy(both["certificates"][0]), "name": "rsa", "live": None, "endpoints": [],
           "keys": [{"spki": key, "created": 10 + n, "algorithm": "rsa-2048", "certificate": None} for n, key in enumerate((C, D))]}
    both["certificates"].append(new)
    first = update(path, [both], zones, now=20)
    assert published(first) == ([f"3 1 1 {key}" for key in (A, B, C, D)], 100) and first.plan.held == (("vps", "rsa"),)
    for now in (100, 300):
        update(path, [both], zones, now=now, answered=(A, B, C, D))
    opens = update(path, [both], zones, now=310).plan.steps["vps", "rsa"].not_before
    assert opens is not None
    assert update(path, [], zones, now=opens - 1, write=False).plan.held == (("vps", "rsa"),)
    assert update(path, [], zones, now=opens, write=False).plan.held == ()


# --- a name that goes to another certificate of its host ---

E, F, W = "e" * 64, "f" * 64, "_443._tcp.w.pyon.example."


def answering(w: tuple[str, ...], g: tuple[str, ...] = ("g",), host: str = "vps") -> Any:
    """The zone in which these certificates answer for w.pyon.example, and these for g.pyon.example."""
    return [{**ZONES[0], "tlsa_owners": [{"owner": owner, "backends": [{"host": host, "certificate": one, "service": service, "port": port} for one in several]}
                                         for owner, several, service, port in ((OWNER, g, "smtp", 25), (W, w, "https", 443))]}]


def told(zones: Any, host: str = "vps", **certificates: tuple[str, ...]) -> dict[str, Any]:
    """The report of a host with these certificates and their keys: the first is live and presented, where it is not empty."""
    each = []
    for name, (live, *others) in certificates.items():
        one = report(host, keys=(*([live] if live else []), *others), live=live, live_certificate=live)["certificates"][0]
        endpoints = [{"service": backend["service"], "port": backend["port"], "name": owner["owner"].split(".", 2)[2][:-1], "address": "198.51.100.10",
                      "spki": live, "fingerprint": live, "error": ""} for owner in zones[0]["tlsa_owners"] for backend in owner["backends"]
                     if (backend["host"], backend["certificate"]) == (host, name)]
        each.append({**one, "name": name, "live": one["live"] if live else None, "endpoints": endpoints})
    return {**report(host), "certificates": each}


def moved(outcome: Outcome, zones: Any) -> dict[tuple[str, str], str]:
    return records.moved(outcome.after, zones, RULES.caches, outcome.now)


ONE = answering(("g",))  # g answers for both names


def one_for_both(path: Path) -> None:
    done = update(path, [told(ONE, g=(A, B))], ONE)
    assert sorted(records.published(done.after, "pyon.example")) == [OWNER, W] and not moved(done, ONE)


def test_a_name_does_not_go_to_a_new_certificate_of_its_host(tmp_path: Path) -> None:
    path, zones = tmp_path / "record.json", answering(("w",))
    one_for_both(path)
    for now in (10, 10**6):
        assert moved(update(path, [], zones, now=now), zones) == {("vps", "w"): (
            f"vps: {W[:-1]} would have the certificate w, and caches may hold TLSA records of g alone, so DANE peers would refuse w; leave the name with g,"
            " have a new certificate of the other kind (RSA beside ECDSA) join that, and take the name from g when both are presented"
            " (docs/model.md, A name that goes to another certificate)")}
    assert not moved(update(path, [], ONE, now=10**6), ONE), "when the model is as it was"


def test_a_certificate_does_not_get_another_name(tmp_path: Path) -> None:
    path, zones = tmp_path / "record.json", answering(("h",), ("h",))
    one_for_both(path)
    found = moved(update(path, [], zones, now=10), zones)
    assert list(found) == [("vps", "h")] and f"{OWNER[:-1]}, {W[:-1]} would have the certificate h" in found["vps", "h"]


def test_a_name_does_not_go_from_one_live_certificate_to_another(tmp_path: Path) -> None:
    """Nor beside it, as a certificate that is live waits for nothing."""
    path, zones = tmp_path / "record.json", answering(("w",))
    update(path, [told(zones, g=(A, B), w=(C, D))], zones)
    for w in (("g",), ("g", "w")):
        wanted = answering(w)
        assert list(moved(update(path, [], wanted, now=10, write=False), wanted)) == [("vps", "g")]
    swapped = answering(("g",), ("w",))
    for now in (10, 20):  # the run before has published what is live
        assert list(moved(update(path, [], swapped, now=now), swapped)) == [("vps", "g"), ("vps", "w")]


def test_both_of_a_pair_are_not_replaced_at_once(tmp_path: Path) -> None:
    path, pair = tmp_path / "record.json", answering(("g", "rsa"))
    update(path, [told(pair, g=(A, B), rsa=(C, D))], pair)
    both, one = answering(("w", "x")), answering(("g", "x"))
    found = moved(update(path, [], both, now=10, write=False), both)
    assert list(found) == [("vps", "w"), ("vps", "x")] and "of g and rsa alone" in found["vps", "w"]
    assert not moved(update(path, [], one, now=10), one), "one that is new joins the other"


def test_a_name_goes_to_another_certificate_by_way_of_a_pair(tmp_path: Path) -> None:
    """The cure: the new certificate joins, goes live when no cache knows the other one alone, and stays when that leaves the name."""
    path, pair, alone = tmp_path / "record.json", answering(("g", "t")), answering(("t",))
    one_for_both(path)
    ordered, joined = told(pair, g=(A, B), t=("", E, F)), told(pair, g=(A, B), t=(E, F))
    assert not moved(update(path, [], pair, now=10), pair)
    done = update(path, [ordered], pair, now=10)
    assert done.plan.held == (("vps", "t"),) and not moved(done, pair)
    assert records.published(done.after, "pyon.example")[W][0] == [f"3 1 1 {key}" for key in (A, B, E, F)]
    for now in (100, 300):
        seen = {"pyon.example": Observation(NS, answers={W: [history.Answer(one, frozenset(map(spki_record, (A, B, E, F))), 100, now + VALIDITY, 1000)
                                                             for one in NS]})}
        records.update(str(path), "vps", pair, [ordered], seen, NOTHING, RULES, VALIDITY, clock.Reading(now, now, "a"), now, True)
    assert list(moved(update(path, [], alone, now=300, write=False), alone)) == [("vps", "t")], "not yet"
    opens = update(path, [ordered], pair, now=300, write=False).plan.steps["vps", "t"].not_before
    assert opens is not None and update(path, [], pair, now=opens, write=False).plan.held == ()
    assert not moved(update(path, [joined], pair, now=opens), pair)
    assert not moved(update(path, [], alone, now=opens + 1), alone)
    assert W in records.published(update(path, [told(alone, g=(A, B), t=(E, F))], alone, now=opens + 2).after, "pyon.example")


def test_a_name_that_was_withdrawn_waits_until_no_cache_holds_its_records(tmp_path: Path) -> None:
    path, zones = tmp_path / "record.json", answering(("w",))
    one_for_both(path)
    assert moved(update(path, [told(ZONES, g=(A, B))], ZONES, now=10), zones), "it was taken out of the model, and its records stay"
    done = update(path, [], ZONES, now=20, order=Order(forget=frozenset({W})))
    assert W not in records.published(done.after, "pyon.example") and moved(done, zones)
    old = next(one for one in done.after["zones"]["pyon.example"]["owners"][W]["rrsets"] if one["replaced"] == 20)
    end = old["signed_until"] + history.hold(100, RULES.caches) + RULES.caches.lead  # nobody has asked a name server
    assert moved(update(path, [], zones, now=end - 1, write=False), zones)
    assert not moved(update(path, [], zones, now=end, write=False), zones)


def test_what_was_never_published_keeps_no_certificate(tmp_path: Path) -> None:
    """The CA was down, and then the operator gave the certificate another name."""
    path, zones = tmp_path / "record.json", answering(("w",))
    update(path, [told(ONE, g=("", A, B))], ONE)
    assert not moved(update(path, [], zones, now=10), zones)


def test_keys_that_are_lost_are_no_change_of_certificate(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    pair = answering(("g", "rsa"))
    update(path, [told(pair, g=(A, B), rsa=(C, D))], pair)
    for now, reports in enumerate(([], [told(pair, g=("", E, F), rsa=(C, D))], [told(pair, g=(E, F), rsa=(C, D))], []), 10):
        assert not moved(update(path, reports, pair, now=now), pair)
    for now, reports in enumerate(([told(ONE, g=(E, F), rsa=(C, D))], []), 20):  # as after a backup was restored, and beside records that stay
        assert not moved(update(path, reports, ONE, now=now), ONE)


def test_a_report_without_endpoints_takes_nothing_from_what_a_certificate_answered(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    one_for_both(path)
    done = update(path, [told([{"tlsa_owners": []}], g=(A, B))], ONE, now=10)
    assert done.after["reports"]["vps"]["certificates"]["g"]["owners"] == [OWNER, W]


def test_where_the_record_is_lost_or_older_nothing_is_known_of_another_certificate(tmp_path: Path) -> None:
    path, zones = tmp_path / "record.json", answering(("w",))
    update(path, [told(ONE, g=(A, B), w=(C, D))], ONE)
    kept = json.loads(path.read_text())
    for one in kept["reports"]["vps"]["certificates"].values():
        del one["owners"]
    path.write_text(json.dumps(kept))
    assert not moved(update(path, [], zones, now=10, write=False), zones), "an older version has written it"
    path.unlink()
    signed = {"pyon.example": {W: (frozenset(map(spki_record, (A, B))), 100, 3)}}
    done = update(path, [], zones, now=10, signed=signed)
    assert records.published(done.after, "pyon.example")[W] and not moved(done, zones)


def test_an_older_record_holds_no_certificate_back_that_answers_already(tmp_path: Path) -> None:
    """A backup of it was put back, of before the name went to another certificate by way of a pair."""
    path, zones = tmp_path / "record.json", answering(("w",))
    one_for_both(path)
    signed = {"pyon.example": {W: (frozenset(map(spki_record, (A, B, C, D))), 100, 3)}}
    assert not moved(update(path, [], zones, now=10, signed=signed), zones)
    assert not moved(update(path, [told(zones, g=(A, B), w=(C, D))], zones, now=20, signed=signed), zones)
    path.unlink()
    one_for_both(path)
    known = {"pyon.example": {W: (frozenset(map(spki_record, (A,))), 100, 3)}}  # older, and without anything that nobody knows
    assert moved(update(path, [], zones, now=10, signed=known), zones)


def test_records_that_nobody_explains_let_no_certificate_take_a_name(tmp_path: Path) -> None:
    """The host was rebuilt, and those of its keys of before stay; nothing is on record of the time before the first run either."""
    path, zones = tmp_path / "record.json", answering(("w",))
    one_for_both(path)
    update(path, [told(ONE, g=(C, D))], ONE, now=9)
    assert list(moved(update(path, [], zones, now=10), zones)) == [("vps", "w")]
    path.unlink()
    update(path, [told(ONE, g=(C, D))], ONE, now=20, signed={"pyon.example": {W: (frozenset(map(spki_record, (A, C, D))), 100, 3)}})
    assert list(moved(update(path, [], zones, now=30), zones)) == [("vps", "w")], "the record was lost, and A is another host's, which is off"


def test_where_an_older_version_did_not_say_what_a_certificate_answers_for_it_stays_unknown(tmp_path: Path) -> None:
    path, pair = tmp_path / "record.json", answering(("g", "t"))
    one_for_both(path)
    kept = json.loads(path.read_text())
    del kept["reports"]["vps"]["certificates"]["g"]["owners"]
    path.write_text(json.dumps(kept))
    without = told(pair, g=(A, B), t=("", E, F))
    for one in without["certificates"]:
        one["endpoints"] = []
    done = update(path, [without], pair, now=10)
    assert not moved(done, pair)
    assert {name: one.get("owners") for name, one in done.after["reports"]["vps"]["certificates"].items()} == {"g": None, "t": []}
    alone = answering(("t",))
    assert list(moved(update(path, [], alone, now=15, write=False), alone)) == [("vps", "t")], "it was never live"
    assert update(path, [told(pair, g=(A, B), t=("", E, F))], pair, now=20).after["reports"]["vps"]["certificates"]["g"]["owners"] == [OWNER, W]


def test_a_certificate_whose_keys_caches_know_takes_a_name(tmp_path: Path) -> None:
    path, zones = tmp_path / "record.json", answering(("w",))
    one_for_both(path)
    update(path, [told(ONE, g=(A, B), w=(B, E))], ONE, now=9)
    assert not moved(update(path, [], zones, now=10), zones)


def test_a_host_that_comes_to_a_name_takes_it_from_none(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    one_for_both(path)
    both = answering(("g",))
    both[0]["tlsa_owners"][1]["backends"] += answering(("k",), host="mx2")[0]["tlsa_owners"][1]["backends"]
    update(path, [told(ONE, g=(A, B)), told(ONE, "mx2", k=(C, D), x=(E, F))], ONE, now=9)
    assert not moved(update(path, [], both, now=10), both), "its certificates are live already"
    zones = answering(("w",))
    done = update(path, [], zones, now=20)
    names = done.after["zones"]["pyon.example"]["names"]
    names["w.pyon.example."] = {"hosts": {"mx2": ["198.51.100.12"]}, "left": {}}
    assert not moved(done, zones), "no client reaches vps by this name, and its addresses wait"
    for news in ({"hosts": {"vps": ["198.51.100.10"]}}, {"hosts": {}, "left": {"198.51.100.10": {}}}):
        names["w.pyon.example."].update(news)
        assert moved(done, zones)


def test_the_merged_file_of_the_talk_line_for_line(tmp_path: Path) -> None:
    """3 0 1 of the certificate before and of the next one, as the talk's script makes them: hashed by openssl, merged, sorted, unique."""
    old, new = (openssl_pki.chain(kind).path("leaf.pem") for kind in ("ecdsa-p256", "rsa-2048"))
    lines = subprocess.run(["sh", "-c", 'for one in "$@"; do printf "%s 100 IN TLSA 3 0 1 %s\\n" ' + OWNER + ' "$(openssl x509 -in "$one" -outform der |'
                            ' sha256sum | cut -c-64)"; done | sort -u', "sh", new, old, new], capture_output=True, text=True, check=True).stdout
    before, after = (openssl_pki.chain(kind).expected("leaf", 3, 0, 1).split()[-1] for kind in ("ecdsa-p256", "rsa-2048"))
    rules = replace(RULES, scheme="3 0 1", order=60)
    ordered = report(bound=True, live_certificate=before, due="it is old", issued=A)
    ordered["certificates"][0]["keys"][0]["certificate"]["fingerprint"] = after
    update(tmp_path / "record", [report(bound=True, live_certificate=before)], rules=rules)
    done = update(tmp_path / "record", [ordered], rules=rules)
    template = Path(__file__).parents[2] / "roles/dnssec_zones/templates/tlsa.inc.j2"
    texts, ttl = published(done)
    made = zone.checked({"name": "pyon.example", "soa": {"mname": "ns.pyon.example.", "rname": "host.pyon.example.", **dict.fromkeys(
        ("refresh", "retry", "expire", "minimum"), 1)}, "tlsa": [{"owner": OWNER, "ttl": ttl, "records": texts}]})
    text = jinja2.Environment(trim_blocks=True, autoescape=False).from_string(template.read_text()).render(zone=made)  # of records, not of HTML
    assert [line for line in text.splitlines(keepends=True) if line[0] != ";"] == lines.splitlines(keepends=True)
    assert len(lines.splitlines()) == 2
