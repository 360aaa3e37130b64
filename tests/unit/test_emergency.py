# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key that others may have: the answers of the operator, how long who can do what, and what follows for the record."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.selfhost.dane.plugins.filter.roll_harm import roll_harm
from ansible_collections.selfhost.dane.plugins.filter.roll_order import roll_order
from ansible_collections.selfhost.dane.plugins.filter.roll_revocations import roll_revocations
from ansible_collections.selfhost.dane.plugins.module_utils import clock, history, records
from ansible_collections.selfhost.dane.plugins.module_utils.exposure import Exposure, exposure
from ansible_collections.selfhost.dane.plugins.module_utils.history import History, hold
from ansible_collections.selfhost.dane.plugins.module_utils.records import Observation, Order
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Backend, Chain, Key, Owner, Rules
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import certificate_record, spki_record

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
F, G = ("1" * 64, "2" * 64)                     # certificates
NOW = 1795958100
SLICES = [{"host": "vps.example", "certificates": [{"name": "g"}, {"name": "h"}], "primary_zones": [{"name": "example"}]},
          {"host": "mx2.example", "certificates": [{"name": "g"}], "primary_zones": []}]


def report(host: str = "vps.example", name: str = "g", live: str = A, keys: tuple[str, ...] = (A, B)) -> dict[str, Any]:
    return {"host": host, "certificates": [{
        "name": name, "keys": [{"spki": key, "created": 5, "certificate": {"fingerprint": key[::-1]} if key == live else None} for key in keys],
        "live": {"spki": live, "fingerprint": live[::-1]} if live else None}]}


@pytest.mark.parametrize(("host", "certificate", "why", "wrong"), [
    ("", "", "", "roll_why is not answered; answer planned, stolen (somebody may have the live key) or lost (somebody may have the host)"),
    ("", "", "it\x1b[2J", "roll_why is 'it\\x1b[2J'; answer planned, "),
    ("", "", "planned", "neither roll_host nor roll_certificate says what is to be rolled; name a host, a certificate, or both"),
    ("", "all", "planned", "neither roll_host nor roll_certificate says what is to be rolled; name a host, a certificate, or both"),
    ("vsp.example", "", "stolen", "roll_host: no host 'vsp.example' has a certificate; did you mean vps.example?"),
    ("mx2.example", "h", "stolen", "roll_certificate: mx2.example has no certificate 'h'; choose from g"),
    ("", "x" * 500, "stolen", "roll_certificate: there is no certificate '" + "x" * 76 + "...; choose from g, h"),
    ("", "g", "lost", "roll_why is lost and roll_host does not say which host; name it"),
])
def test_an_answer_that_is_none_is_one_sentence(host: str, certificate: str, why: str, wrong: str) -> None:
    found = roll_order(SLICES, host, certificate, why)
    assert found["wrong"].startswith(wrong) and found["places"] == [] and found["wishes"] == {}


@pytest.mark.parametrize(("host", "certificate", "why", "places", "roll", "compromised"), [
    ("", "g", "planned", [["mx2.example", "g"], ["vps.example", "g"]], ["g"], []),
    ("VPS.example. ", "All", " Planned", [["vps.example", "g"], ["vps.example", "h"]], ["g", "h"], []),
    ("vps.example", "g", "stolen", [["vps.example", "g"]], [], [A]),
    ("", "g", "stolen", [["mx2.example", "g"], ["vps.example", "g"]], [], [A, C]),
    ("vps.example", "g", "lost", [["vps.example", "g"]], [], [A, B, D]),
])
def test_the_operator_need_not_type_a_digest(host: str, certificate: str, why: str, places: list[list[str]], roll: list[str],
                                             compromised: list[str]) -> None:
    found = roll_order(SLICES, host, certificate, why, [report(), report("mx2.example", live=C, keys=(C,))],
                       [{"host": "vps.example", "certificate": "g", "keys": [B, D]}])
    assert (found["wrong"], found["places"]) == ("", places)
    assert found["wishes"] == {"forget": [], "roll": roll, "compromised": compromised, "revoke_now": False}


def test_what_is_to_be_known_beforehand_is_said() -> None:
    lost = roll_order(SLICES, "vps.example", "g", "lost", [report()])["lines"]
    assert any("vps.example is the primary of example, so who has it has the key of that zone too" in line for line in lost)
    planned = roll_order(SLICES, "vps.example", "g", "planned", [])["lines"]
    assert planned == ["g on vps.example gets another key.", "g on mx2.example gets another key too: a roll that is planned is one of all hosts of the"
                       " certificate."]


@pytest.mark.parametrize(("why", "reports", "said"), [
    ("stolen", [], "which key g has on vps.example is not known, as the host has not reported; run it again when the host can be reached, or answer lost"),
    ("stolen", [report(live="")], "which key g has on vps.example is not known, as the host has none live"),
    ("lost", [], "which key g has on vps.example is not known, as the host has not reported; run site.yml on the host that takes its place"),
])
def test_keys_that_are_not_known_are_not_guessed(why: str, reports: list[dict[str, Any]], said: str) -> None:
    assert roll_order(SLICES, "vps.example", "g", why, reports)["wrong"].startswith(said)


EXPOSED = {"host": "vps", "certificate": "g", "earliest": NOW + 97260, "latest": NOW + 8 * 86400, "cached": 7260, "signed": 2419200}


def test_each_harm_is_said_in_seconds_and_in_words() -> None:
    found = roll_harm([EXPOSED], NOW, "Revoke_now ")
    assert (found["hard"], found["harm"], found["wrong"]) == (True, "revoke_now", "")
    said = "\n".join(found["lines"])
    for wanted in ("for 27 hours (97260 seconds) at the least (until Mon 30 Nov 16:16 UTC)", "8 days (691200 seconds)",
                   "2 hours (7260 seconds)", "28 days (2419200 seconds) after they were withdrawn"):
        assert wanted in said
    assert roll_harm([EXPOSED], NOW)["wrong"] == ""
    assert roll_harm([EXPOSED], NOW, "yes")["wrong"] == "roll_harm is 'yes', and no clean key may go live yet; answer stay_up or revoke_now"


def test_no_harm_is_asked_for_where_a_clean_key_may_go_live() -> None:
    found = roll_harm([{**EXPOSED, "earliest": NOW, "latest": NOW}], NOW, "")
    assert (found["hard"], found["harm"], found["wrong"]) == (False, "stay_up", "") and "nobody is refused" in found["lines"][1]
    assert roll_harm([], NOW, "") == {"lines": [], "hard": False, "harm": "stay_up", "wrong": ""}


def test_only_what_is_no_longer_presented_is_to_be_revoked() -> None:
    meant = {"places": [["vps.example", "g"]], "wishes": {"compromised": [A]}}
    [line] = roll_revocations([report(), report("mx2.example")], [report(live=C), report("mx2.example", live=C)], meant)
    assert line == (f"vps.example: cp /var/lib/selfhost-dane/certificates/g/versions/{A}/cert.pem /root/g-{A[:16]}.pem &&"
                    f" dehydrated --config /etc/dehydrated/config --revoke /root/g-{A[:16]}.pem")
    for after in ([report()], [], [report(live="")]):
        [line] = roll_revocations([report()], after, meant)
        assert line.startswith("No host that presents another key now has a certificate that was good for the old ones.")


@pytest.mark.parametrize("fingerprint", ["; rm -rf / #", f"{F}\n", f"../../../{F}", F[1:], F.replace("1", "A"), "$(reboot)", "\x1b[2J"])
def test_no_command_is_made_of_what_is_no_fingerprint(fingerprint: str) -> None:
    meant = {"places": [["vps.example", "g"], ["mx2.example", "g"]], "wishes": {"compromised": [A]}}
    odd = report()
    odd["certificates"][0]["live"]["fingerprint"] = fingerprint
    odd["certificates"][0]["keys"] = []
    lines = roll_revocations([odd, report("mx2.example")], [report(live=C), report("mx2.example", live=C)], meant)
    assert lines[0].startswith("vps.example: the report of the host has ") and "dehydrated" not in lines[0] and "\x1b" not in lines[0]
    assert lines[1].startswith(f"mx2.example: cp /var/lib/selfhost-dane/certificates/g/versions/{A}/cert.pem ")


@pytest.mark.parametrize("broken", [lambda: roll_order([{}], "", "g", "planned"), lambda: roll_harm([{}], NOW), lambda: roll_revocations([{}], [], {})])
def test_what_is_not_in_its_shape_is_named(broken: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="takes"):
        broken()


# --- for how long ---

P = history.Policy(lead=300, session=10, floor=5, margin=1, fall_back=150, ns_ttl=60, lost_ttl=100, lost_expire=100, lost_signature=200, skew=7)
NS = ("198.51.100.1", "198.51.100.2")
TTL, VALIDITY, EXPIRE = 100, 5000, 1000
HOLD = hold(TTL, P)


def owner(*keys: str, before: tuple[str, ...] = (), gone: bool = False) -> Owner:
    """The primary publishes `keys` since 1000, and did `before` until then; where it is gone all servers have shown it."""
    past = history.named(History(), NS, (), 0)
    if before:
        past = history.published(past, frozenset(map(spki_record, before)), TTL, VALIDITY, EXPIRE, 0)
    past = history.published(past, frozenset(map(spki_record, keys)), TTL, VALIDITY, EXPIRE, 1000)
    for now in (1010, 1010 + P.fall_back) if gone else ():
        past = history.observed(past, [history.Answer(one, frozenset(map(spki_record, keys)), TTL, VALIDITY, EXPIRE) for one in NS], P, now)
    return Owner("_25._tcp.g.", TTL, past)


def backend(*burnt: str, keys: tuple[str, ...] = (A, B), live: str = A) -> Backend:
    return Backend("vps", "g", ("_25._tcp.g.",), True, tuple(Key(spki, 10 + n, "", spki in burnt) for n, spki in enumerate(keys)), live)


def test_a_clean_key_that_every_cache_knows_may_go_live_at_once() -> None:
    at = 1010 + P.fall_back + HOLD
    one = owner(A, B, before=(A,), gone=True)
    assert exposure(backend(A), [one], P, VALIDITY, at) == Exposure(at, at, HOLD, VALIDITY + P.skew)
    early = exposure(backend(A), [one], P, VALIDITY, at - 1)
    assert early and early.earliest == early.latest == at


def test_a_key_that_is_yet_to_be_made_waits_for_servers_and_caches() -> None:
    found = exposure(backend(A, B), [owner(A, B)], P, VALIDITY, 2000)
    assert found == Exposure(2000 + P.fall_back + HOLD, 2000 + VALIDITY + P.skew + HOLD, HOLD, VALIDITY + P.skew)


def test_without_records_nobody_is_refused() -> None:
    assert exposure(backend(A, B), [Owner("_25._tcp.g.", TTL, History())], P, VALIDITY, 2000) == Exposure(2000, 2000, 0, VALIDITY + P.skew)


def test_what_servers_have_shown_counts() -> None:
    """Both have shown the RRset without the old key at 1010, and one of them again after the time that it might fall back in."""
    one, answer = owner(A, B, before=(A,)), history.Answer(NS[0], frozenset(map(spki_record, (A, B))), TTL, VALIDITY, EXPIRE)
    past = history.observed(one.history, [answer, replace(answer, address=NS[1])], P, 1010)
    shown = exposure(backend(A), [replace(one, history=past)], P, VALIDITY, 1100)
    assert shown and shown.earliest == 1010 + P.fall_back + HOLD
    past = history.observed(past, [answer], P, 1200)
    shown = exposure(backend(A), [replace(one, history=past)], P, VALIDITY, 1300)
    assert shown and shown.earliest == 1200 + HOLD


def test_of_many_machines_behind_one_address_the_signatures_are_the_end_at_the_earliest_too() -> None:
    one = owner(A, B, before=(A,), gone=True)
    past = history.named(one.history, None, NS[1:], 1200)
    found, end = exposure(backend(A), [replace(one, history=past)], P, VALIDITY, 1300), VALIDITY + P.skew + HOLD
    assert found and found.earliest == found.latest == end


def test_where_records_stand_for_certificates_they_are_what_counts() -> None:
    def certificates(*fingerprints: str, before: tuple[str, ...] = ()) -> Owner:
        past = history.named(History(), NS, (), 0)
        for at, some in ((0, before), (1000, fingerprints)):
            past = history.published(past, frozenset(map(certificate_record, some)), TTL, VALIDITY, EXPIRE, at) if some else past
        return Owner("_25._tcp.g.", TTL, past)

    keys = (Key(A, 10, F, True), Key(B, 11, G))
    one = replace(backend(A), keys=keys, fingerprint=F, known=(Chain(A, F), Chain(B, G)))
    assert exposure(one, [certificates(F, G)], P, VALIDITY, 9000) == Exposure(9000, 9000, HOLD, VALIDITY + P.skew), "the next certificate has its record"
    new = exposure(one, [certificates(F)], P, VALIDITY, 2000)
    assert new == Exposure(2000 + P.fall_back + HOLD, 2000 + VALIDITY + P.skew + HOLD, HOLD, VALIDITY + P.skew)
    unissued = replace(one, keys=(keys[0], Key(B, 11)), known=one.known[:1])
    assert exposure(unissued, [certificates(F)], P, VALIDITY, 2000) == new, "and one that is yet to be ordered has none"


@pytest.mark.parametrize("burnt", [(), (B,)])
def test_a_key_that_is_not_live_exposes_nobody(burnt: tuple[str, ...]) -> None:
    assert exposure(backend(*burnt), [owner(A, B)], P, VALIDITY, 2000) is None


# --- the record ---

ZONES = [{"name": "example", "tlsa_ttl": TTL, "soa": {"expire": EXPIRE}, "tlsa_owners": [
    {"owner": "_25._tcp.g.", "backends": [{"host": "vps", "certificate": "g", "service": "smtp", "port": 25}]}]}]


def full(keys: tuple[str, ...], live: str, created: int = 10) -> dict[str, Any]:
    return {"host": "vps", "time": 50, "timers": {"renew": True}, "certificates": [{
        "name": "g", "algorithm": "ecdsa-p256", "bound": False, "due": "",
        "keys": [{"spki": spki, "created": created + n, "algorithm": "ecdsa-p256", "certificate": None} for n, spki in enumerate(keys)],
        "live": {"fingerprint": D, "spki": live, "not_before": 0, "not_after": 99, "since": 3, "deployed": 3, "proven": True},
        "endpoints": [{"service": "smtp", "port": 25, "name": "g", "address": "198.51.100.10", "spki": live, "fingerprint": D, "error": ""}]}]}


def update(path: Path, reports: list[dict[str, Any]], now: int, burnt: tuple[str, ...] = ()) -> records.Outcome:
    return records.update(str(path / "record.json"), "vps", ZONES, reports, {"example": Observation(NS)}, Order(compromised=frozenset(burnt)), Rules(P),
                          VALIDITY, clock.Reading(now, now, "a"), now, True)


def texts(outcome: records.Outcome) -> list[str]:
    published: list[str] = records.published(outcome.after, "example")["_25._tcp.g."][0]
    return published


def test_the_keys_of_a_host_that_was_lost_leave_the_records_once_it_is_built_anew(tmp_path: Path) -> None:
    update(tmp_path, [full((A, B), A)], 2000)
    burnt = update(tmp_path, [], 2010, (A, B))
    assert texts(burnt) == [f"3 1 1 {A}", f"3 1 1 {B}"], "nothing is known of what it presents"
    assert records.published_keys(burnt.after, ZONES) == {}, "a new host need not restore them"
    assert records.exposures(burnt.after, ZONES, Rules(P), VALIDITY, 2010)["vps", "g"].cached == HOLD
    built = update(tmp_path, [full((C, D), C, 2020)], 2030)
    assert texts(built) == [f"3 1 1 {C}", f"3 1 1 {D}"]
    again = update(tmp_path, [full((C, D), C, 2020)], 2040)
    assert [key["spki"] for key in again.after["reports"]["vps"]["certificates"]["g"]["keys"]] == [C, D]
    assert records.exposures(again.after, ZONES, Rules(P), VALIDITY, 2040) == {}


def test_a_key_that_is_gone_and_was_not_compromised_keeps_its_record(tmp_path: Path) -> None:
    """Somebody may restore it, and nobody said that it is to leave."""
    update(tmp_path, [full((A, B), A)], 2000)
    changed = update(tmp_path, [full((A, C), A)], 2030)
    assert f"3 1 1 {B}" in texts(changed)
    assert [key["spki"] for key in changed.after["reports"]["vps"]["certificates"]["g"]["keys"]] == [A, C]


def test_a_compromised_key_that_is_still_there_is_there_once(tmp_path: Path) -> None:
    update(tmp_path, [full((A, B), A)], 2000, (A,))
    again = update(tmp_path, [full((A, B), A)], 2010)
    assert [key["spki"] for key in again.after["reports"]["vps"]["certificates"]["g"]["keys"]] == [A, B]
