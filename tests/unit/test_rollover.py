# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: each step with what it waits for, and each case that holds it back."""
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils.history import Answer, History, Policy, hold, lost, named, observed, published
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Backend, Key, Owner, Plan, Presented, RRset, Rules, Step, make_rules, plan
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import spki_record
from hypothesis import given, settings
from hypothesis import strategies as st

A, B, C, D, E = ("a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64)
P = Policy(lead=1000, session=20, floor=10, hops=2, margin=5, fall_back=100, ns_ttl=500, lost_ttl=70, lost_expire=700, lost_signature=5000, skew=300)
RULES = Rules(P, key_lifetime=10000)
TTL, EXPIRE, SIGNED = 30, 400, 10**6
HOLD = 75                                      # hold(TTL, P)
DUE = 20000                                    # long after the lifetime of a key that is live since 0
MAIL, WEB = "_25._tcp.g.", "_443._tcp.g."
NS = "198.51.100.1"
VPS = ("vps", "g")
FP = "f" * 64                                  # the fingerprint of a certificate
CREATED = {A: 10, B: 20, C: 30, D: 40, E: 50}


def rrset(*keys: str) -> frozenset[object]:
    return frozenset(spki_record(key) for key in keys)


def key(spki: str, certificate: str = "", compromised: bool = False) -> Key:
    return Key(spki, CREATED[spki], certificate, compromised)


def seen(spki: str, owner: str = MAIL, endpoint: str = "198.51.100.10 port 25", error: str = "") -> Presented:
    return Presented(owner, endpoint, spki, error)


def backend(*keys: str | Key, host: str = "vps", live: str = A, since: int = 0, heard: bool = True, renews: bool = True,
            presented: tuple[Presented, ...] | None = None, owners: tuple[str, ...] = (MAIL,)) -> Backend:
    """A host that presents what is live."""
    made = tuple(key(one) if isinstance(one, str) else one for one in keys or (A, B))
    shown = tuple(seen(live, owner) for owner in owners) if presented is None else presented
    return Backend(host, "g", owners, heard, made, live, since, renews, shown)


def owner(*keys: str, before: tuple[str, ...] = (), changed: int = 1000, gone: int | None = None, name: str = MAIL, ttl: int = TTL,
          wanted: int = TTL, trouble: str = "") -> Owner:
    """The primary publishes `keys`, and did `before` until `changed`; the name server was seen without that `gone` ago."""
    history = named(History(), [NS], (), 0)
    if before:
        history = published(history, rrset(*before), ttl, SIGNED, EXPIRE, 0)
    history = published(history, rrset(*keys), ttl, SIGNED, EXPIRE, changed)
    if gone is not None:
        for time in (gone - P.fall_back, gone):
            history = observed(history, [Answer(NS, rrset(*keys), ttl, SIGNED, EXPIRE)], P, time)
    return Owner(name, wanted, history, trouble)


def planned(one: Owner, *backends: Backend, now: int = 5000, rules: Rules = RULES, asked: bool = False,
            revoke_now: bool = False) -> tuple[RRset, Step]:
    """The RRset of the owner, and the step of the first backend."""
    outcome = plan([one], backends, rules, now, frozenset({VPS}) if asked else frozenset(), revoke_now)
    first = backends[0]
    return outcome.rrsets[one.name], outcome.steps[first.host, first.certificate]


# --- first publication: only when every endpoint is known to match ---

def test_first_publication_is_current_and_next() -> None:
    found, step = planned(owner(), backend())
    assert found == RRset(rrset(A, B), "first publication: every endpoint presents a key that a record stands for")
    assert step == Step("publish", "its TLSA records are to change first")


@pytest.mark.parametrize(("one", "held", "step"), [
    (backend(heard=False, presented=()), "vps has not reported in this run", "wait"),
    (backend(A), "vps has no next key yet", "make key"),
    (backend(renews=False), "the renewal timer of vps is not active", "wait"),
    (backend(presented=()), "vps has no endpoint that was looked at", "wait"),
    (backend(presented=(seen(A, WEB),)), "vps has no endpoint that was looked at", "wait"),
    (backend(presented=(seen(A), seen("", endpoint="2001:db8::1 port 25", error="no STARTTLS"))),
     "vps: 2001:db8::1 port 25 presents no certificate: no STARTTLS", "wait"),
    (backend(presented=(seen(""),)), "vps: 198.51.100.10 port 25 presents no certificate: no TLS", "wait"),
    (backend(A, B, C, presented=(seen(C),)), f"vps: 198.51.100.10 port 25 presents the key {C[:16]}..., which no record stands for", "wait"),
    (backend(presented=(seen(C),)), f"vps: 198.51.100.10 port 25 presents the key {C[:16]}..., which no record stands for", "wait"),
])
def test_first_publication_is_held_back(one: Backend, held: str, step: str) -> None:
    found, next_step = planned(owner(), one)
    assert found == RRset(frozenset(), "not published yet: not every endpoint is known to match", (held,))
    assert next_step.kind == step
    if one.heard and step == "wait":
        assert next_step == Step("wait", "its TLSA records are not published yet", held_by=(held,))


def test_all_that_holds_the_first_publication_back_is_named() -> None:
    found, _step = planned(owner(), backend(A, renews=False), backend(C, D, host="mx2", live=C, presented=(seen("", error="refused"),)))
    assert [text.split(" ")[0] for text in found.held_by] == ["vps", "the", "mx2:"]


# --- withdraw: the first publication went wrong ---

def new(*keys: str, first: bool = True) -> Owner:
    """The primary publishes `keys` from 1000 on."""
    return Owner(MAIL, TTL, published(History(), rrset(*keys), TTL, SIGNED, EXPIRE, 1000, first))


WRONG = backend(presented=(seen(A), seen(C, endpoint="v6")))
UNTIL = 1000 + hold(TTL, P)


def test_a_first_publication_that_an_endpoint_does_not_match_is_withdrawn() -> None:
    held = (f"vps: v6 presents the key {C[:16]}..., which no record stands for",)
    found, step = planned(new(A, B), WRONG, now=UNTIL - 1)
    assert found == RRset(frozenset(), "withdrawn: not every endpoint matches, and the first publication is less than one hold ago", held)
    assert step == Step("withdraw", "the first publication of its TLSA records went wrong", held_by=held)
    again = replace(new(A, B), history=published(new(A, B).history, frozenset(), TTL, SIGNED, EXPIRE, UNTIL - 1))
    assert planned(again, WRONG, now=UNTIL)[1] == Step("wait", "its TLSA records are not published yet", held_by=held)
    assert planned(again, backend(), now=UNTIL)[0].records == rrset(A, B), "and published again when all of them do"
    back = replace(again, history=published(again.history, rrset(A, B), TTL, SIGNED, EXPIRE, UNTIL + 1000, True))
    assert planned(back, WRONG, now=UNTIL + 1000)[1].kind == "withdraw", "for the first time again"


@pytest.mark.parametrize(("one", "backends", "now"), [
    (new(A, B), [WRONG], UNTIL),                                                   # peers rely on it
    (new(A, B, first=False), [WRONG], 1000),                                       # it was not the first
    (replace(new(A, B), trouble="the zone is bogus"), [WRONG], 1000),
    (new(A, B), [backend(presented=(seen(A), seen("", endpoint="v6", error="refused")))], 1000),  # off: it may be back, and is no worse without records
    (new(A, B), [replace(WRONG, heard=False)], 1000),
    (new(A, B), [backend(live=B, presented=(seen(B), seen(A, endpoint="v6")))], 1000),  # another key of its own, which has a record
    (new(A, B), [backend()], 1000),
])
def test_nothing_else_is_withdrawn(one: Owner, backends: list[Backend], now: int) -> None:
    found, step = planned(one, *backends, now=now)
    assert found.records == rrset(A, B) and step.kind != "withdraw"


def test_one_wrong_endpoint_withdraws_the_records_of_all_hosts_of_the_name_and_of_no_other_name() -> None:
    both = backend(owners=(MAIL, WEB), presented=(seen(A, WEB), *WRONG.presented))
    outcome = plan([new(A, B, D, E), replace(new(A, B), name=WEB)], [both, backend(D, E, host="mx2", live=D)], RULES, 1000)
    assert (outcome.rrsets[MAIL].records, outcome.rrsets[WEB].records) == (frozenset(), rrset(A, B))
    assert [step.kind for step in outcome.steps.values()] == ["withdraw", "withdraw"]


# --- publish: the union over the backends, heard from or not ---

def test_the_rrset_is_the_union_over_the_backends() -> None:
    found, _step = planned(owner(), backend(), backend(C, D, host="mx2", live=C))
    assert found.records == rrset(A, B, C, D) and not found.held_by


def test_published_and_matching_is_left_as_it_is() -> None:
    assert planned(owner(A, B), backend())[0] == RRset(rrset(A, B), "published: every backend matches")


def test_what_keeps_a_key_that_has_had_its_time_is_told() -> None:
    one = backend(A, B, C, live=B, presented=(seen(B), seen("", endpoint="v6", error="refused")))
    held = ("vps: v6 presents no certificate: refused",)
    found, step = planned(owner(A, B, C), one)
    assert found == RRset(rrset(A, B, C), "kept as it is published", held) and (step.kind, step.held_by) == ("rest", held)
    found, step = planned(owner(A, B, C), replace(backend(A, B, C, live=B), proven=False))
    assert found.held_by == step.held_by == ("the services of vps were not seen to present what is live",)
    assert planned(owner(A, B), replace(backend(), proven=False))[0].held_by == (), "there is nothing that has had its time"
    assert planned(owner(B, C), replace(backend(A, B, C, live=B), proven=False))[0].held_by == (), "or it has no record any more"


def test_an_endpoint_that_is_off_is_told_of_its_own_owner() -> None:
    off = seen("", endpoint="v6", error="refused")
    assert planned(owner(A, B), backend(presented=(seen(A), off)))[0].held_by == ("vps: v6 presents no certificate: refused",)
    assert planned(owner(A, B), backend(presented=(seen(A), replace(off, error=""))))[0].held_by == ("vps: v6 presents no certificate: no TLS",)
    elsewhere = backend(presented=(seen(A), seen(A, WEB), replace(off, owner=WEB)), owners=(MAIL, WEB))
    assert planned(owner(A, B), elsewhere)[0].held_by == ()
    stolen = backend(key(A, compromised=True), B, C, live=B, owners=(MAIL, WEB), presented=(seen(B),))
    assert planned(owner(A, B, C), stolen)[0] == RRset(rrset(B, C), "a key is retired: no endpoint presents it"), "what goes is not held back"


@pytest.mark.parametrize("known", [(), (C, D)])
def test_a_host_that_is_off_keeps_its_records_and_is_held(known: tuple[str, ...]) -> None:
    off = replace(backend(*known, host="mx2", live=C if known else "", heard=False, presented=()), keys=tuple(key(one) for one in known))
    outcome = plan([owner(A, B, C, D)], [backend(), off], RULES, 5000)
    assert outcome.rrsets[MAIL] == RRset(rrset(A, B, C, D), "kept as it is published", ("mx2 has not reported in this run",))
    assert outcome.steps["mx2", "g"] == Step("wait", "the host has not reported in this run, and nothing of it changes")
    assert outcome.steps[VPS].kind == "rest", "and the others go on"


def test_the_live_key_of_a_host_that_is_off_comes_back() -> None:
    assert planned(owner(C, D), backend(), backend(E, host="mx2", live=E, heard=False))[0].records == rrset(A, B, C, D, E)


def test_a_new_next_key_is_added() -> None:
    found, step = planned(owner(A, B), backend(A, B, C, live=B, since=4990))
    assert found == RRset(rrset(A, B, C), "a key is added: every backend goes on to match")
    assert step == Step("publish", "its TLSA records are to change first")


def test_one_next_key_is_published_and_no_spare_one() -> None:
    assert planned(owner(A, B), backend(A, B, C))[0].records == rrset(A, B)


def test_what_was_published_before_is_published_again() -> None:
    found, step = planned(owner(A, B, before=(A, B, C)), backend(A, B, C, live=B, since=4990))
    assert found.records == rrset(A, B, C) and step.kind == "publish"


def test_a_spare_key_that_is_published_stays_so() -> None:
    assert planned(owner(A, B, C), backend(A, B, C))[0].records == rrset(A, B, C)


def test_an_endpoint_that_no_record_stands_for_is_named_and_holds_nothing_back() -> None:
    held = f"vps: 198.51.100.10 port 25 presents the key {D[:16]}..., which no record stands for"
    found, step = planned(owner(A, B), backend(A, B, C, live=B, since=4990, presented=(seen(D),)))
    assert found == RRset(rrset(A, B, C), "a key is added: every backend goes on to match", (held,)) and step.held_by == (held,)
    assert planned(owner(A, B), backend(presented=(seen(D),)))[0] == RRset(rrset(A, B), "kept as it is published", (held,))


def test_an_endpoint_that_no_record_stands_for_holds_back_no_emergency() -> None:
    """Nor what revoke_now is to put live: it would be without a record for as long as that endpoint is not mended."""
    other = backend(C, live=C, host="mx2", presented=(seen(C), seen(E, endpoint="v6")))
    stolen = backend(key(A, compromised=True), key(B, compromised=True), key(D, FP))
    found, step = planned(owner(A, B, C), stolen, other, revoke_now=True)
    assert found.records == rrset(A, C, D) and (step.kind, found.held_by) == ("publish", step.held_by)
    assert planned(owner(A, C, D, before=(A, B, C)), stolen, other, revoke_now=True)[1].kind == "deploy"
    restored = backend(D, E, live=D)
    assert rrset(D, E) <= planned(owner(A, B, C), restored, other)[0].records, "and what is presented gets its record"


@pytest.mark.parametrize(("more", "now", "kind"), [({}, 5000, "wait"), ({"asked": True}, 5000, "order"), ({}, DUE, "order")])
def test_a_first_publication_that_is_held_back_holds_back_no_roll(more: dict[str, bool], now: int, kind: str) -> None:
    one = backend(A, B, owners=(MAIL, WEB), presented=(seen(A), seen(A, WEB), seen("", WEB, "v6", "refused")))
    held = ("vps: v6 presents no certificate: refused",)
    asked = frozenset({VPS} if more else ())
    wait = plan([owner(A, B), owner(name=WEB)], [one], RULES, now, asked).steps[VPS]
    assert wait.kind == "wait" and wait.held_by[-1].startswith(("vps: v6", "v6 presents no certificate"))  # a roll waits for the endpoint itself
    apart = replace(one, presented=one.presented[:1])
    step = plan([owner(A, B), owner(name=WEB)], [apart], RULES, now, asked).steps[VPS]
    assert step.kind == kind and (kind != "wait" or (step.reason, step.held_by) == (
        "its TLSA records are not published yet", ("vps has no endpoint that was looked at",)))
    stolen = replace(one, keys=(key(A, compromised=True), key(B)))
    assert plan([owner(B), owner(name=WEB)], [stolen], RULES, 5000).steps[VPS].kind != "wait"
    assert held == plan([owner(A, B), owner(name=WEB)], [one], RULES, 5000).rrsets[WEB].held_by


def test_where_nothing_is_published_no_key_is_rolled_for_its_age() -> None:
    one = backend(A, B, presented=(seen(A), seen("", endpoint="v6", error="refused")))
    assert planned(owner(), one, now=DUE)[1].reason == "its TLSA records are not published yet"


def test_an_endpoint_of_another_owner_does_not_freeze_this_one() -> None:
    assert not planned(owner(A, B), backend(presented=(seen(A), seen(D, WEB))))[0].held_by


def test_what_nobody_is_known_to_have_stays() -> None:
    assert planned(owner(A, B, E), backend())[0].records == rrset(A, B, E)


def test_another_ttl_is_published_although_no_record_changes() -> None:
    found, step = planned(owner(A, B, wanted=60), backend())
    assert found.records == rrset(A, B) and step.kind == "publish"


def test_nothing_changes_while_the_zone_is_in_trouble() -> None:
    one = owner(A, B, trouble="it does not validate")
    found, step = planned(one, backend(A, B, C, live=B))
    assert found == RRset(rrset(A, B), "kept as it is published: it does not validate", ("it does not validate",))
    assert step == Step("wait", "nothing of its zone may change now", held_by=("it does not validate",))


def test_a_key_waits_for_all_owners_that_share_it() -> None:
    one = backend(A, B, owners=(MAIL, WEB), presented=(seen(A), seen(A, WEB)))
    for outcome, step in ((plan([owner(A, B), owner(A, name=WEB)], [one], RULES, DUE), "publish"),
                          (plan([owner(A, B), owner(before=(A,), name=WEB)], [replace(one, presented=(seen(A),))], RULES, DUE), "wait")):
        assert outcome.steps[VPS].kind == step


def test_what_caches_hold_of_an_owner_that_the_model_has_no_more_counts() -> None:
    """By the model nobody answers for it; who knows its records may come all the same."""
    one, web = backend(), owner(A, B, name=WEB)
    assert plan([owner(A, B)], [one], RULES, DUE, former=[web]).steps[VPS].kind == "order", "the next key matches it"
    web = owner(A, name=WEB)
    step = plan([owner(A, B)], [one], RULES, DUE, former=[web]).steps[VPS]
    assert (step.kind, step.held_by) == ("wait", ("the primary publishes the RRset 3 1 1 aaaaaaaa..",))
    gone = replace(web, history=published(web.history, frozenset(), TTL, SIGNED, EXPIRE, DUE))
    assert plan([owner(A, B)], [one], RULES, DUE, former=[gone]).steps[VPS].not_before == SIGNED + P.skew + HOLD + P.lead
    stranger = owner(C, D, name=WEB)
    assert plan([owner(A, B)], [one], RULES, DUE, former=[stranger]).steps[VPS].kind == "order", "another host's"
    taken = owner(D, E, before=(A,), name=WEB)
    assert plan([owner(A, B)], [one], RULES, DUE, former=[taken]).steps[VPS].kind == "wait", "which has come after what the host had"
    stale = owner(C, name=WEB)
    step = plan([owner(A, B, C)], [backend(A, B, C)], RULES, DUE, former=[stale]).steps[VPS]
    assert (step.kind, step.spki) == ("order", B), "what is live does not match it either"
    assert WEB not in plan([owner(A, B)], [one], RULES, DUE, former=[web]).rrsets


def test_no_key_is_deleted_whose_record_any_owner_has() -> None:
    one = backend(A, B, C, live=B)
    assert planned(owner(B, C), one)[1].kind == "delete key"
    assert plan([owner(B, C)], [one], RULES, 5000, former=[owner(A, name=WEB)]).steps[VPS].kind == "rest"
    other = backend(D, E, host="mx2", live=D, owners=(WEB,), presented=(seen(D, WEB),))
    assert plan([owner(B, C), owner(A, D, E, name=WEB)], [one, other], RULES, 5000).steps[VPS].kind == "rest", "of a name that the host has left"


def test_a_host_that_has_left_a_name_and_may_still_be_reached_by_it_keeps_its_key() -> None:
    other = backend(D, E, host="mx2", live=D, owners=(WEB,), presented=(seen(D, WEB),))
    web = replace(owner(A, D, E, name=WEB), leaving=rrset(A))
    step = plan([owner(A, B), web], [backend(), other], RULES, DUE).steps[VPS]
    assert step.kind == "wait" and step.held_by[0].startswith("the primary publishes the RRset 3 1 1 aaaaaaaa..")
    assert plan([owner(A, B), replace(web, leaving=frozenset())], [backend(), other], RULES, DUE).steps[VPS].kind == "order"


def test_what_holds_the_records_is_said_with_the_change_of_the_ttl_too() -> None:
    found, step = planned(owner(A, B, wanted=60), backend(presented=(seen(D),)))
    assert step.kind == "publish" and step.held_by == found.held_by != ()


def test_trouble_of_one_owner_holds_the_key_that_it_shares() -> None:
    outcome = plan([owner(A, B), owner(A, B, name=WEB, trouble="bogus")], [backend(A, owners=(MAIL, WEB))], RULES, 5000)
    assert outcome.steps[VPS].held_by == ("bogus",)


# --- make a next key: only if there is no usable one ---

@pytest.mark.parametrize(("keys", "live", "kind"), [
    ((A,), A, "make key"),
    ((A, B), A, "rest"),
    ((A, B), B, "make key"),                   # the old key is never next, or two keys would take turns
    ((A, key(B, compromised=True)), A, "make key"),
])
def test_a_next_key_is_made(keys: tuple[str | Key, ...], live: str, kind: str) -> None:
    names = tuple(one if isinstance(one, str) else one.spki for one in keys if isinstance(one, str) or not one.compromised)
    assert planned(owner(*names), backend(*keys, live=live, since=4990))[1].kind == kind


def test_a_host_without_a_certificate_waits_for_its_own_run() -> None:
    step = planned(owner(A, B), backend(A, B, live=""))[1]
    assert step == Step("wait", "it has no live certificate with a key of its own disk; the next run orders one, or says what is wrong")


# --- order and deploy: only when no cache holds what the next key does not match ---

READY = DUE - P.lead - HOLD                    # when the last server must have been seen without the old RRset
DEPLOY = Step("deploy", "its key has been live for its lifetime; no cache holds records that the next one does not match", B, FP)


def test_a_key_in_its_time_rests() -> None:
    assert planned(owner(A, B), backend(since=5000), now=14999)[1] == Step("rest", "its key is in its time", not_before=15000)
    assert planned(owner(A, B), backend(since=5000), now=15000)[1].kind == "order"


def test_no_key_is_rolled_by_the_clock_where_the_operator_does_not_want_it() -> None:
    rules = Rules(P, key_lifetime=None)
    assert planned(owner(A, B), backend(), rules=rules)[1] == Step("rest", "its key is kept until the operator asks for another")
    assert planned(owner(A, B), backend(), rules=rules, asked=True)[1] == Step(
        "order", "the operator asks for another key; no cache holds records that the next one does not match", B)


def test_with_a_certificate_the_next_key_goes_live() -> None:
    assert planned(owner(A, B), backend(A, key(B, FP)), now=DUE)[1] == DEPLOY
    assert planned(owner(A, B), backend(A, B), now=DUE)[1] == replace(DEPLOY, kind="order", fingerprint="")


@pytest.mark.parametrize(("gone", "now", "opens"), [(READY, DUE, True), (READY, DUE - 1, False), (READY + 1, DUE, False)])
def test_a_scheduled_roll_waits_for_hold_and_lead(gone: int, now: int, opens: bool) -> None:
    step = planned(owner(A, B, before=(A,), gone=gone), backend(A, key(B, FP)), now=now)[1]
    assert step == (DEPLOY if opens else Step(
        "wait", "its key has been live for its lifetime, and caches may hold records that the next one does not match", B,
        not_before=gone + HOLD + P.lead))


def test_a_server_that_was_not_seen_is_named() -> None:
    step = planned(owner(A, B, before=(A,), changed=DUE - 100), backend(A, key(B, FP)), now=DUE)[1]
    assert step.kind == "wait" and step.held_by == (f"{NS} may still serve the RRset 3 1 1 aaaaaaaa..",)
    assert step.not_before == SIGNED + P.skew + HOLD + P.lead


def test_the_slowest_owner_counts() -> None:
    owners = [owner(A, B), owner(A, B, name=WEB, before=(A,), gone=READY + 1)]
    for order in (owners, owners[::-1]):
        assert plan(order, [backend(A, key(B, FP), owners=(MAIL, WEB))], RULES, DUE).steps[VPS].not_before == DUE + 1


def test_a_lost_history_is_waited_for() -> None:
    one = owner(A, B)
    step = planned(replace(one, history=lost(one.history, P, DUE)), backend(A, key(B, FP)), now=DUE)[1]
    assert step.kind == "wait" and step.not_before == DUE + P.lost_signature + P.skew + hold(P.lost_ttl, P) + P.lead


@pytest.mark.parametrize(("spki", "what"), [(B, f"the key {B[:16]}..."), ("", "no certificate")])
def test_an_endpoint_that_presents_something_else_is_mended_first(spki: str, what: str) -> None:
    one = backend(A, key(B, FP), presented=(seen(A), seen(spki, endpoint="v6")))
    for expires in (0, DUE + 1):               # the host's timer renews it
        step = planned(owner(A, B), replace(one, expires=expires, lifetime=9000), now=DUE)[1]
        assert step == Step("wait", "its key has been live for its lifetime, and an endpoint has to be mended first", B,
                            held_by=(f"v6 presents {what}, not what is live",))


@pytest.mark.parametrize("one", [owner(A, B), owner(A, B, gone=4000), owner(A, B, before=(A,), changed=4900), owner(A), owner(), owner(C),
                                 owner(A, B, trouble="mute"), owner(A, B, C)])
@pytest.mark.parametrize("now", [1001, 5000, 10**7])
def test_with_a_primary_that_was_told_nothing_rests(one: Owner, now: int) -> None:
    """Or a run would say of it that it was not."""
    for keys in ((A, B), (A, B, C), (A,)):
        burnt = backend(key(A, compromised=True), *keys[1:])
        assert planned(one, burnt, now=now)[1].kind != "rest" and planned(one, backend(*keys), now=now, asked=True)[1].kind != "rest"
        for presented in ((), (seen(""),), (seen(C),)):
            assert planned(one, replace(burnt, presented=presented), now=now)[1].kind != "rest"


# --- emergencies ---

def test_a_compromised_key_is_left_at_once_if_the_next_is_eligible() -> None:
    stolen = backend(key(A, compromised=True), key(B, FP))
    reason = "its current key is compromised; no cache holds records that the next one does not match"
    assert planned(owner(A, B, before=(A,), gone=2000), stolen, now=2000 + HOLD)[1] == Step("deploy", reason, B, FP)
    assert planned(owner(A, B, before=(A,), gone=2000), stolen, now=2000 + HOLD - 1)[1].not_before == 2000 + HOLD
    mended = replace(stolen, presented=(seen(A), seen("", endpoint="v6")))
    assert planned(owner(A, B), mended)[1].kind == "deploy", "and no endpoint is waited for"


def test_where_the_next_key_is_burnt_too_the_operator_chooses() -> None:
    burnt = backend(key(A, compromised=True), key(B, compromised=True), key(C, FP))
    found, step = planned(owner(A, B), burnt)
    assert found.records == rrset(A, C) and step.kind == "publish"
    one = owner(A, C, before=(A, B), changed=5000)
    assert planned(one, burnt)[1].kind == "wait"
    assert planned(one, burnt, revoke_now=True)[1].kind == "deploy"
    assert planned(one, burnt, revoke_now=True)[1].reason == (
        "its current key is compromised; as the operator wants, although caches may hold records that the next one does not match")
    assert planned(one, backend(A, B, key(C, FP)), revoke_now=True, asked=True, now=5001)[1].kind != "deploy", "only in an emergency"


def test_a_compromised_key_is_retired_as_soon_as_nobody_presents_it() -> None:
    keys = (key(A, compromised=True), key(B), key(C))
    assert planned(owner(A, B, C), backend(*keys, live=B, since=5000))[0] == RRset(rrset(B, C), "a key is retired: no endpoint presents it")
    assert planned(owner(A, B, C), backend(*keys, live=B, since=5000, presented=(seen(A),)))[0].records == rrset(A, B, C)


def test_a_compromised_key_does_not_stay_because_an_endpoint_is_off() -> None:
    keys, off = (key(A, compromised=True), key(B), key(C)), (seen(B), seen("", endpoint="v6", error="refused"))
    one = backend(*keys, live=B, since=5000, presented=off)
    assert planned(owner(A, B, C), one)[0].records == rrset(B, C)
    assert planned(owner(A, B, C), replace(one, presented=(*off, seen(A, endpoint="v4"))))[0].records == rrset(A, B, C)
    assert planned(owner(A, B), replace(one, presented=(*off, seen(A, endpoint="v4"))))[0].records == rrset(A, B, C), "and keeps no other from being added"
    elsewhere = backend(D, E, host="mx2", live=D, presented=(seen(A, endpoint="v6"),))
    assert planned(owner(A, B, C, D, E), one, elsewhere)[0].records == rrset(A, B, C, D, E), "it is presented by another host"
    for unknown in ({"proven": False}, {"heard": False}):
        assert planned(owner(A, B, C), replace(one, **unknown))[0].records == rrset(A, B, C)  # type: ignore[arg-type]
    assert planned(owner(A, B, C), backend(A, B, C, live=B, presented=off))[0].records == rrset(A, B, C), "one that nobody else has does"


# --- a host that presents what caches do not know, as after a backup was restored ---

def test_a_host_from_a_backup_goes_over_to_the_key_that_all_caches_know() -> None:
    known = owner(B, C, before=(A, B, C), gone=2000)
    restored = backend(A, B, presented=(seen(A),))
    found, step = planned(known, restored)
    assert found.records == rrset(A, B, C)
    assert step == Step("order", "caches hold records of it that what is live does not match, as after a backup was restored; "
                                 "no cache holds records that the next one does not match", B)
    ordered = backend(A, key(B, FP), C, presented=(seen(A), seen("", endpoint="v6")))
    assert planned(known, ordered)[1].kind == "deploy", "the records need not have changed before"
    assert planned(known, backend(A, C))[1].spki == C, "one that is younger than the next may do"
    shared = backend(A, B, owners=(MAIL, WEB))
    assert plan([owner(A, B), owner(B, C, name=WEB)], [shared], RULES, 5000).steps[VPS].spki == B, "those of one owner are enough"


def test_a_host_that_has_none_of_them_has_its_own_published() -> None:
    found, step = planned(owner(C, D), backend())
    assert found.records == rrset(A, B, C, D) and step.kind == "publish"
    assert planned(owner(A, B, C, D, before=(C, D)), backend())[1].kind == "rest", "records of nobody that is known say nothing of it"


def test_a_host_whose_live_key_all_caches_know_stays_with_it() -> None:
    assert planned(owner(A, B), backend(A, key(B, FP)))[1].kind == "rest"
    assert planned(owner(B, C, before=(A, B, C), gone=2000), backend(A, key(B, FP), C), now=2001)[1].spki == B, "even while some caches hold both"
    assert planned(owner(A, B, before=(A,)), backend(A, key(B, FP)))[1].kind == "rest"
    assert planned(owner(A, B, before=(B, C), gone=2000), backend(A, key(B, FP)), now=2000 + HOLD)[1].kind == "rest", "stale ones are not asked"
    assert planned(owner(A, B, before=(B, C), gone=2000), backend(A, key(B, FP)), now=2000 + HOLD - 1)[1].kind == "deploy"
    burnt = backend(key(A, compromised=True), key(B, compromised=True), live=A)
    assert planned(owner(B), burnt)[1].kind == "publish", "and to none that others may have"


# --- retire: presented by no backend, and the delay has passed ---

@pytest.mark.parametrize(("rules", "since", "retired"), [
    (RULES, 5000 - HOLD, True), (RULES, 5000 - HOLD + 1, False),
    (Rules(P, retire_after=200), 4800, True), (Rules(P, retire_after=200), 4801, False),
    (Rules(P, retire_after=0), 5000, True),
])
def test_the_old_key_is_retired_after_its_delay(rules: Rules, since: int, retired: bool) -> None:
    found, _step = planned(owner(A, B, C), backend(A, B, C, live=B, since=since), rules=rules)
    assert found.records == (rrset(B, C) if retired else rrset(A, B, C))
    assert found.reason == ("a key is retired: no endpoint presents it" if retired else "published: every backend matches")


@pytest.mark.parametrize("presented", [
    (),                                        # nobody looked
    (seen(B), seen(A, endpoint="v6")),         # a service was not restarted
    (seen(B), seen("", endpoint="v6")),        # or was not seen
    (seen(B), seen(B, WEB), seen("", WEB, "v6")),
    (seen(B),),                                # nobody looked at the other owner
])
def test_a_key_that_may_be_presented_is_not_retired(presented: tuple[Presented, ...]) -> None:
    one = backend(A, B, C, live=B, presented=presented, owners=(MAIL, WEB))
    assert planned(owner(A, B, C), one)[0].records == rrset(A, B, C)


def test_no_key_is_retired_to_which_the_host_may_go_back() -> None:
    one = backend(A, B, C, live=B)
    assert planned(owner(A, B, C), one)[0].records == rrset(B, C)
    assert planned(owner(A, B, C), replace(one, proven=False))[0].records == rrset(A, B, C)


def test_while_a_service_was_not_restarted_or_not_seen_keys_are_added_all_the_same() -> None:
    for presented in ((seen(B), seen(A, endpoint="v6")), (seen(B), seen("", endpoint="v6"))):
        for before in ((A, B), (A,)):
            found, _step = planned(owner(*before), backend(A, B, C, live=B, presented=presented))
            assert (found.records, found.reason) == (rrset(A, B, C), "a key is added: every backend goes on to match")


def test_a_key_of_a_host_that_another_presents_is_not_retired() -> None:
    other = backend(D, E, host="mx2", live=D, presented=(seen(A),))
    assert planned(owner(A, B, C, D, E), backend(A, B, C, live=B), other)[0].records == rrset(A, B, C, D, E)


def test_each_backend_retires_its_own_keys_only() -> None:
    found, _step = planned(owner(A, B, C, D), backend(A, B, C, live=B), backend(D, E, host="mx2", live=D))
    assert found.records == rrset(B, C, D, E), "the first of two has switched"


# --- delete a private key: only when no cache, not even a stale one, can hold its record ---

def test_a_key_is_deleted_when_no_cache_can_hold_its_record() -> None:
    one = owner(B, C, before=(A, B, C), gone=2000)
    opens = 2000 + HOLD + P.lead
    assert planned(one, backend(A, B, C, live=B), now=opens)[1] == Step("delete key", "it is not used any more, and no cache can hold its record", A)
    assert planned(one, backend(A, B, C, live=B), now=opens - 1)[1].kind == "rest"


def test_no_key_is_deleted_that_may_be_needed() -> None:
    assert planned(owner(A, B), backend(A, B, C))[1].kind == "rest", "a spare one"
    assert planned(owner(B, C), backend(B, key(C), live=B))[1].kind == "rest"
    assert plan([], [backend(owners=())], RULES, 5000).steps[VPS].kind == "rest", "one that no owner has a record of"
    assert plan([], [backend(owners=())], RULES, 5000, frozenset({VPS})).steps[VPS].kind == "order", "and it can be rolled"
    shared = plan([owner(B, C), owner(A, B, C, name=WEB)],
                  [backend(A, B, C, live=B, owners=(MAIL, WEB), presented=(seen(B), seen(A, WEB)))], RULES, 5000)
    assert shared.steps[VPS].kind == "rest", "another owner has its record"


def test_a_burnt_key_that_was_never_live_is_deleted() -> None:
    step = planned(owner(A, C), backend(A, key(B, compromised=True), C))[1]
    assert (step.kind, step.spki) == ("delete key", B)


# --- the defaults ---

def test_what_is_not_said_is_taken_as_the_least() -> None:
    assert Rules() == Rules(Policy(), 90 * 86400, None)
    assert Key(A, 1) == Key(A, 1, "", False)
    assert Backend("vps", "g", (), True) == Backend("vps", "g", (), True, (), "", 0, False, ())


# --- what must hold of any plan ---

SPKI = st.sampled_from([A, B, C, D, ""])
KEYS = st.lists(st.builds(key, st.sampled_from([A, B, C, D]), st.sampled_from(["", FP]), st.booleans()), max_size=4,
                unique_by=lambda one: one.spki).map(lambda keys: tuple(sorted(keys, key=lambda one: one.created)))
PRESENTED = st.lists(st.builds(seen, SPKI, st.sampled_from([MAIL, WEB])), max_size=3).map(tuple)
BACKENDS = st.lists(st.builds(Backend, st.sampled_from(["vps", "mx2"]), st.just("g"), st.sampled_from([(MAIL,), (MAIL, WEB)]), st.booleans(), KEYS,
                              SPKI, st.integers(0, 9000), st.booleans(), PRESENTED), min_size=1, max_size=3)
PUBLISHED = st.sets(st.sampled_from([A, B, C, D, E]), max_size=4).map(sorted)
OWNERS = st.tuples(st.builds(lambda keys, before, gone, trouble: owner(*keys, before=tuple(before), gone=gone, trouble=trouble), PUBLISHED, PUBLISHED,
                             st.none() | st.just(1200), st.sampled_from(["", "bogus"])),
                   st.builds(lambda keys: owner(*keys, name=WEB), PUBLISHED))


def after(one: Owner, outcome: Plan, now: int) -> Owner:
    return replace(one, history=published(one.history, outcome.rrsets[one.name].records, one.ttl, SIGNED, EXPIRE, now))


@given(OWNERS, BACKENDS, st.booleans(), st.booleans())
@settings(deadline=None)
def test_what_is_published_matches_what_is_presented_and_is_published_once(owners: tuple[Owner, Owner], backends: list[Backend], asked: bool,
                                                                           revoke_now: bool) -> None:
    outcome = plan(owners, backends, RULES, 5000, frozenset({VPS} if asked else ()), revoke_now)
    for one in owners:
        records = outcome.rrsets[one.name].records
        if records == one.published():
            continue
        for host in (host for host in backends if one.name in host.owners):
            for endpoint in host.presented:
                assert endpoint.owner != one.name or not endpoint.spki or spki_record(endpoint.spki) in records or (
                    one.published() and spki_record(endpoint.spki) not in one.published()), "none is made worse"
            if not host.heard:
                assert not rrset(*(a.spki for a in host.keys)) & one.published() - records
    again = plan([after(one, outcome, 5000) for one in owners], backends, RULES, 5000, frozenset({VPS} if asked else ()), revoke_now)
    assert [found.records for found in again.rrsets.values()] == [found.records for found in outcome.rrsets.values()]
    for host in backends:
        step = outcome.steps[host.host, host.certificate]
        assert step.kind in ("wait", "make key", "publish", "withdraw", "rest", "order", "deploy", "delete key")


# --- an ECDSA and an RSA certificate of one host at one endpoint ---

RSA = ("vps", "g-rsa")


def rsa(*keys: str | Key, live: str = C, **more: object) -> Backend:
    """The other certificate of the host, whose endpoint was asked for it."""
    return replace(backend(*(keys or (C, D)), live=live, **more), certificate="g-rsa")  # type: ignore[arg-type]


def test_a_pair_is_first_published_when_both_are_presented() -> None:
    found, _step = planned(owner(), backend(), rsa())
    assert found.records == rrset(A, B, C, D)
    found, _step = planned(owner(), backend(), rsa(presented=(seen("", error="no such certificate"),)))
    assert (found.records, found.held_by) == (frozenset(), ("vps: 198.51.100.10 port 25 presents no certificate: no such certificate",))


def test_of_a_pair_one_rolls_and_the_other_stays() -> None:
    one = owner(A, B, C, D, before=(A, C, D), gone=3000)
    due = backend(A, key(B, FP), since=-9000)
    outcome = plan([one], [due, rsa(since=4000)], RULES, 10**5)
    assert outcome.steps[VPS].kind == "deploy" and outcome.steps[VPS].spki == B
    outcome = plan([one], [due, rsa(since=4000)], RULES, 5000)
    assert (outcome.steps[VPS].kind, outcome.steps[RSA]) == ("deploy", Step("rest", "its key is in its time", not_before=14000))
    gone_over = backend(A, B, live=B, since=5000)
    outcome = plan([one], [gone_over, rsa(since=4000)], RULES, 5000 + HOLD)
    assert outcome.rrsets[MAIL].records == rrset(B, C, D) and outcome.held == ()


def test_what_one_of_a_pair_presents_by_mistake_freezes_the_rrset_and_its_own_roll_alone() -> None:
    one = owner(A, B, C, D, before=(A, C, D), gone=3000)
    wrong = rsa(C, key(D, FP), since=-9000, presented=(seen(E),))
    outcome = plan([one], [backend(A, key(B, FP), since=-9000), wrong], RULES, 5000)
    assert outcome.rrsets[MAIL].held_by == (f"vps: 198.51.100.10 port 25 presents the key {E[:16]}..., which no record stands for",)
    assert (outcome.steps[VPS].kind, outcome.steps[RSA].kind) == ("deploy", "wait")


def test_a_certificate_joins_another_one_when_all_caches_know_its_keys() -> None:
    new = rsa(live="", presented=(seen(""),))
    outcome = plan([owner(A, B)], [backend(), new], RULES, 5000)
    assert outcome.rrsets[MAIL] == RRset(rrset(A, B, C, D), "a key is added: every backend goes on to match")
    assert outcome.held == (RSA,) and outcome.steps[RSA].kind == "wait"
    assert outcome.steps[RSA].held_by == ("the primary publishes the RRset 3 1 1 aaaaaaaa.., 3 1 1 bbbbbbbb..",)
    known = owner(A, B, C, D, before=(A, B), gone=3000)
    early, late = (plan([known], [backend(), new], RULES, now) for now in (3000 - P.fall_back + HOLD + P.lead - 1, 3000 + HOLD + P.lead))
    assert early.held == (RSA,) and late.held == ()
    assert early.steps[RSA].reason == "it joins another certificate of its host, and caches may hold records that it does not match"
    assert early.steps[RSA].not_before == 3000 + HOLD + P.lead
    assert late.steps[RSA].reason.startswith("it has no live certificate")
    ready = plan([known], [backend(), rsa(key(C, FP), D, live="", presented=(seen(""),))], RULES, 10**5)
    assert ready.steps[RSA].kind == "wait"  # the host's own run makes it live
    assert early.rrsets[MAIL].records == late.rrsets[MAIL].records == rrset(A, B, C, D) and early.steps[VPS].kind == "rest"


def test_what_joins_waits_for_what_was_published_before_and_may_be_in_caches() -> None:
    new = rsa(live="", presented=())
    gone = owner(before=(A, B), gone=3000)
    assert not gone.published() and gone.history.rrsets
    forgotten = replace(owner(), history=lost(History(), P, 4000))
    for one, now in ((gone, 3001), (forgotten, 4001)):
        assert plan([one], [backend(), new], RULES, now).held == (RSA,)
    assert plan([gone], [backend(), new], RULES, 10**6).held == ()


def test_what_joins_is_held_back_before_anything_is_known_of_it() -> None:
    for unknown in (replace(rsa(live="", heard=False, presented=()), keys=()), rsa(key(C, compromised=True), live="")):
        outcome = plan([owner(A, B)], [backend(), unknown], RULES, 5000)
        assert outcome.held == (RSA,) and outcome.rrsets[MAIL].records == rrset(A, B)
    none = replace(rsa(live="", presented=(seen(""),)), keys=())
    assert plan([owner(A, B)], [backend(), none], RULES, 5000).steps[RSA].kind == "wait", "its host makes the first key by itself"


def test_the_keys_of_what_joins_are_those_that_nobody_else_may_have() -> None:
    new = rsa(key(C, compromised=True), D, E, live="", presented=())
    assert plan([owner(A, B)], [backend(), new], RULES, 5000).rrsets[MAIL].records == rrset(A, B, D, E)
    known = owner(A, B, D, E, before=(A, B), gone=3000)
    assert plan([known], [backend(), new], RULES, 5000).held == ()


def test_the_stolen_keys_of_what_joins_leave_and_clean_ones_come() -> None:
    """As where a host was lost and set up anew: its live link is gone, and of both keys that have records others may have them."""
    stolen = [key(one, compromised=True) for one in (C, D)]
    new = replace(rsa(*stolen, E, live="", presented=(seen(""),)), proven=False)  # as where nothing is live
    assert plan([owner(A, B, C, D)], [backend(), new], RULES, 5000).rrsets[MAIL].records == rrset(A, B, E)
    presents = replace(new, presented=(seen(D),))
    assert plan([owner(A, B, C, D)], [backend(), presents], RULES, 5000).rrsets[MAIL].records == rrset(A, B, D, E), "but for what is presented"
    foreign = replace(new, presented=(seen("9" * 64),))
    assert plan([owner(A, B, C, D)], [backend(), foreign], RULES, 5000).rrsets[MAIL].records == rrset(A, B, E), "and nobody else's is added"
    off = replace(new, heard=False)
    assert plan([owner(A, B, C, D)], [backend(), off], RULES, 5000).rrsets[MAIL].records == rrset(A, B, C, D)
    none = plan([owner(A, B, C, D)], [backend(), rsa(*stolen, live="", presented=(seen(""),))], RULES, 5000)
    assert none.rrsets[MAIL].records == rrset(A, B)
    assert none.steps[RSA] == Step("make key", "it joins another certificate of its host, and others may have all of its keys", D)


def test_two_keys_of_what_joins_are_published_and_no_spare_one() -> None:
    assert plan([owner(A, B)], [backend(), rsa(C, D, E, live="", presented=())], RULES, 5000).rrsets[MAIL].records == rrset(A, B, C, D)


def test_what_is_not_heard_of_gets_no_records_for_joining() -> None:
    for silent in (backend(heard=False, live="", presented=()), rsa(heard=False, live="", presented=())):
        assert plan([owner(E)], [silent], RULES, 5000).rrsets[MAIL].records == rrset(E)


def test_a_host_that_has_lost_its_live_key_gets_no_records_for_joining() -> None:
    assert plan([owner(E)], [backend(B, C, live=A)], RULES, 5000).rrsets[MAIL].records == rrset(A, E)


def test_of_a_host_that_has_lost_its_live_key_the_stolen_ones_leave_and_the_others_stay() -> None:
    one = backend(B, key(C, compromised=True), D, live=A)
    assert plan([owner(A, B, C, D)], [one], RULES, 5000).rrsets[MAIL].records == rrset(A, B, D)
    for other in (replace(one, presented=(seen(C),)), replace(one, proven=False)):
        assert plan([owner(A, B, C, D)], [other], RULES, 5000).rrsets[MAIL].records == rrset(A, B, C, D)
    assert plan([owner(A, B, C, D)], [replace(one, heard=False)], RULES, 5000).rrsets[MAIL].records == rrset(A, B, C, D)


def test_what_no_client_can_reach_any_more_leaves_the_rrset() -> None:
    assert plan([replace(owner(A, B, C), unused=rrset(C, D))], [backend()], RULES, 5000).rrsets[MAIL].records == rrset(A, B)
    presents = backend(presented=(seen(C),))
    assert plan([replace(owner(A, B, C), unused=rrset(C, D))], [presents], RULES, 5000).rrsets[MAIL].records == rrset(A, B, C), "an endpoint presents it still"


def test_what_has_records_and_lost_its_live_link_gets_no_more() -> None:
    lost_link = backend(A, B, C, live="", presented=())
    assert plan([owner(B, C)], [lost_link], RULES, 5000).rrsets[MAIL].records == rrset(B, C)


@pytest.mark.parametrize("others", [
    (owner(), backend(), rsa(live="", presented=())),                         # nothing is published yet
    (owner(), backend(), replace(rsa(live="", presented=()), keys=())),       # and no key of it is there either
    (owner(A, B, C, D), backend(), rsa()),                                    # it has been live
    (owner(A, B), backend(), rsa(live="", presented=(), owners=(WEB,))),      # of another name or port
    (owner(A, B), backend(), replace(rsa(live="", presented=()), host="mx2")),  # on another host, with addresses of its own
])
def test_nothing_else_is_held_back(others: tuple[Owner, Backend, Backend]) -> None:
    assert plan([others[0]], others[1:], RULES, 5000).held == ()


def test_the_rules_follow_from_the_policy_of_the_model() -> None:
    names = ("lead", "session", "cache_floor", "cache_hops", "clock_margin", "fall_back", "ns_ttl", "highest_tlsa_ttl", "signature_validity",
             "key_lifetime", "retire_after", "timer_interval", "signature_skew")
    policy = {**{name: number for number, name in enumerate(names)}, "scheme": "3 0 1"}
    rules = make_rules(policy)
    assert rules == Rules(Policy(0, 1, 2, 3, 4, 5, 6, lost_ttl=7, lost_expire=8, lost_signature=8 + 1800, skew=12), 9, 10, "3 0 1", 11)
    assert (rules.caches.floor, rules.caches.hops, rules.caches.margin, rules.caches.fall_back, rules.caches.ns_ttl) == (2, 3, 4, 5, 6)
