# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for records of certificates (3 0 1), for a change of scheme, and for another algorithm."""
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import rollover
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.history import (
    Answer,
    History,
    Policy,
    Records,
    hold,
    lost,
    named,
    observed,
    parameters,
    published,
)
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Backend, Chain, Key, Owner, Plan, Presented, RRset, Rules, Step, make_rules, plan
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import certificate_record, spki_record
from hypothesis import given, settings
from hypothesis import strategies as st

A, B, C = ("a" * 64, "b" * 64, "c" * 64)       # keys
F, G, H, J, K, X = ("1" * 64, "2" * 64, "3" * 64, "4" * 64, "5" * 64, "9" * 64)  # certificates: F and G of A, H of B, J and K of C, X of nobody
CREATED = {A: 10, B: 20, C: 30}
P = Policy(lead=1000, session=20, floor=10, hops=2, margin=5, fall_back=100, ns_ttl=500, lost_ttl=70, lost_expire=700, lost_signature=5000, skew=3)
CERTIFICATES, KEYS = Rules(P, 10000, scheme="3 0 1", order=7), Rules(P, 10000, order=7)
TTL, EXPIRE, SIGNED = 30, 400, 10**6
HOLD = hold(TTL, P)
NEEDED = P.lost_signature + P.skew + P.fall_back + HOLD + P.lead + 7
LIFE = 3 * (NEEDED + 1)
MAIL, NS, VPS = "_25._tcp.g.", "198.51.100.1", ("vps", "g")
END = 10**6                                    # of the live certificate


def keys(*spkis: str) -> Records:
    return frozenset(spki_record(one) for one in spkis)


def certs(*fingerprints: str) -> Records:
    return frozenset(certificate_record(one) for one in fingerprints)


def key(spki: str, certificate: str = "", compromised: bool = False, outdated: bool = False) -> Key:
    return Key(spki, CREATED[spki], certificate, compromised, outdated)


def seen(spki: str, fingerprint: str, endpoint: str = "v4") -> Presented:
    return Presented(MAIL, endpoint, spki, "" if spki else "refused", fingerprint)


OF = {F: A, G: A, H: B, J: C, K: C}


def backend(*some: Key, live: str = F, due: bool = False, bound: bool = True, heard: bool = True, deployed: int = 0, since: int = 0,
            presented: tuple[Presented, ...] | None = None, known: tuple[str, ...] = (), lifetime: int = LIFE, expires: int = END,
            proven: bool = True, host: str = "vps") -> Backend:
    """A host with the keys A, with the certificate F, and B; it presents what is live."""
    shown = (seen(OF[live], live),) if presented is None else presented
    certificates = tuple(dict.fromkeys((live, *known, *(one.certificate for one in some if one.certificate))))
    return Backend(host, "g", (MAIL,), heard, some or (key(A, "" if due else F), key(B)), OF[live], since, True, shown, proven, live, deployed, lifetime,
                   expires, due, bound, tuple(Chain(OF[one], one) for one in certificates))


def owner(records: Records, *before: Records, changed: int = 1000, gone: int | None = 1200) -> Owner:
    """The primary publishes `records`, and did `before`, one after the other, until `changed`; all servers were seen without these `gone`."""
    history = named(History(), [NS], (), 0)
    for number, one in enumerate((*before, records)):
        history = published(history, one, TTL, SIGNED, EXPIRE, changed if number == len(before) else number)
    for time in (gone - P.fall_back, gone) if gone else ():
        history = observed(history, [Answer(NS, records, TTL, SIGNED, EXPIRE)], P, time)
    return Owner(MAIL, TTL, history)


def planned(one: Owner, *backends: Backend, rules: Rules = CERTIFICATES, now: int = 5000, asked: bool = False, revoke_now: bool = False) -> tuple[RRset, Step]:
    outcome: Plan = plan([one], backends, rules, now, frozenset({VPS} if asked else ()), revoke_now)
    return outcome.rrsets[MAIL], outcome.steps[VPS]


def test_an_unknown_scheme_is_one_sentence() -> None:
    with pytest.raises(DaneError, match=r"^dane_policy has the scheme '2 1 1'; write one of 3 1 1, 3 0 1$"):
        make_rules({"scheme": "2 1 1", "lead": 1, "session": 1, "cache_floor": 1, "cache_hops": 1, "clock_margin": 1, "fall_back": 1, "ns_ttl": 1,
                    "highest_tlsa_ttl": 1, "signature_validity": 1})


# --- first publication ---

def test_first_publication_is_the_live_certificate() -> None:
    found, step = planned(owner(frozenset()), backend())
    assert found == RRset(certs(F), "first publication: every endpoint presents a certificate that a record stands for") and step.kind == "publish"


@pytest.mark.parametrize(("one", "held"), [
    (backend(bound=False), "vps has not been told yet that its timer must not renew g"),
    (backend(presented=(seen(A, G),)), f"vps: v4 presents the certificate {G[:16]}..., which no record stands for"),
    (backend(presented=(seen("", ""),)), "vps: v4 presents no certificate: refused"),
    (backend(heard=False), "vps has not reported in this run"),
    (backend(lifetime=LIFE - 3), f"ALARM: vps: the scheme 3 0 1 needs more than {NEEDED} seconds in a third of the life of g, which is {NEEDED}: "
     f"signature_validity, signature_skew and 1800 for a run 5003 + fall_back 100 + one hold {HOLD} + lead 1000 + timer_interval 7; have the CA issue "
     "certificates that last longer, lower one of these, or keep the scheme 3 1 1"),
])
def test_first_publication_is_held_back(one: Backend, held: str) -> None:
    found, step = planned(owner(frozenset()), one)
    assert (found.records, found.held_by) == (frozenset(), (held,)) and step.kind == "wait"


def test_shorter_signatures_make_it_fit() -> None:
    short = replace(CERTIFICATES, caches=replace(P, lost_signature=P.lost_signature - 1))
    assert planned(owner(frozenset()), backend(lifetime=LIFE - 3), rules=short)[1].kind == "publish"


def test_what_is_due_before_the_first_publication_is_renewed_by_the_plan() -> None:
    assert planned(owner(frozenset()), backend(due=True, lifetime=9))[1].kind == "order"
    assert planned(owner(frozenset()), backend(key(A, G), key(B), due=True, lifetime=9))[1].kind == "deploy"
    assert planned(owner(frozenset()), backend(lifetime=9))[1].reason == "its TLSA records are not published yet"


# --- a renewal: order, publish, wait, deploy, retire ---

RENEWED = (key(A, G), key(B))


def test_a_certificate_in_its_time_rests() -> None:
    assert planned(owner(certs(F)), backend(since=4000))[1] == Step("rest", "its certificate is in its time", not_before=END - LIFE // 3)
    assert planned(owner(certs(F)), backend(since=-9999))[1].kind == "rest", "keys roll with renewals"


def test_a_certificate_that_is_due_is_ordered_for_the_current_key() -> None:
    reason = "its certificate is due; its record can be published when the next one is there"
    assert planned(owner(certs(F)), backend(due=True))[1] == Step("order", reason, A, deadline=END)
    assert planned(owner(certs(F)), backend(key(A, F), key(B), due=True))[1] == Step("order", reason, A, deadline=END), "what is live does not follow itself"


def test_a_key_that_has_had_its_time_is_followed_by_the_next_at_a_renewal() -> None:
    reason = "its certificate is due, and its key has been live for its lifetime; its record can be published when the next one is there"
    assert planned(owner(certs(F)), backend(due=True, since=-5000))[1] == Step("order", reason, B, deadline=END)
    assert planned(owner(certs(F)), backend(due=True, since=-4999))[1].spki == A
    assert planned(owner(certs(F)), backend(due=True), rules=replace(CERTIFICATES, key_lifetime=None))[1].spki == A


def test_what_is_on_its_way_comes_first() -> None:
    one = owner(certs(F, G), certs(F))
    assert planned(one, backend(*RENEWED, due=True, since=-5000))[1].fingerprint == G, "another key would have to wait anew"
    assert planned(one, backend(*RENEWED, due=True), asked=True)[1].fingerprint == G
    assert planned(owner(certs(F)), backend(due=True), asked=True)[1].spki == B


def test_old_and_new_are_published_together() -> None:
    found, step = planned(owner(certs(F)), backend(*RENEWED, due=True))
    assert found == RRset(certs(F, G), "a certificate is added: every backend goes on to match") and step.kind == "publish"
    assert sorted(found.records) == sorted([certificate_record(F), certificate_record(G)])
    assert planned(owner(certs(F)), backend(key(A), key(B, H), due=True))[0].records == certs(F, H)


def test_the_new_one_waits_for_hold_and_lead_and_goes_live() -> None:
    one, opens = owner(certs(F, G), certs(F), gone=2000), 2000 + HOLD + P.lead
    waits = planned(one, backend(*RENEWED, due=True), now=opens - 1)[1]
    assert waits == Step("wait", "its certificate is due, and caches may hold records that the next one does not match", A, not_before=opens, deadline=END)
    assert planned(one, backend(*RENEWED, due=True), now=opens)[1] == Step(
        "deploy", "its certificate is due; no cache holds records that the next one does not match", A, G, deadline=END)
    assert planned(owner(certs(F, G)), backend(*RENEWED, due=True))[1].kind == "deploy"


def test_an_endpoint_that_presents_another_certificate_of_the_key_is_mended_first() -> None:
    step = planned(owner(certs(F, G)), backend(*RENEWED, due=True, presented=(seen(A, F), seen(A, X, "v6"))))[1]
    assert (step.kind, step.held_by) == ("wait", (f"v6 presents the certificate {X[:16]}..., not what is live",))
    assert planned(owner(keys(A, B)), backend(key(A), key(B, H), presented=(seen(A, F), seen(A, X, "v6"))), rules=KEYS, now=10000)[1].kind == "deploy", (
        "which is no matter in 3 1 1")


@pytest.mark.parametrize("one", [backend(*RENEWED, due=True), backend(key(A), key(B, G), due=True, since=-5000)])
def test_an_endpoint_that_is_off_is_mended_first_but_no_certificate_ends_for_that(one: Backend) -> None:
    off = replace(one, presented=(seen(A, F), seen("", "", "v6")), expires=9000 + LIFE // 6)
    step = planned(owner(certs(F, G)), off, now=8999)[1]
    assert (step.kind, step.held_by) == ("wait", ("v6 presents no certificate, not what is live",))
    assert planned(owner(certs(F, G)), off, now=9000)[1].kind == "deploy"
    assert planned(owner(certs(F, G)), replace(off, presented=(seen(A, F), seen(A, X, "v6"))), now=9000)[1].kind == "wait", "and not where it presents another"
    assert planned(owner(certs(F, G)), replace(off, expires=0), now=9000)[1].kind == "wait", "nobody knows its end"


def test_the_old_record_is_retired_after_its_delay() -> None:
    def records(now: int, **facts: object) -> Records:
        one = backend(key(A, G), key(B), live=G, deployed=4000, known=(F,), since=-9000)
        return planned(owner(certs(F, G)), replace(one, **facts), now=now)[0].records  # type: ignore[arg-type]

    assert records(4000 + HOLD - 1) == certs(F, G)
    assert records(4000 + HOLD) == certs(G)
    assert records(9000, presented=(seen(A, G), seen(A, F, "v6"))) == certs(F, G), "a service was not restarted"
    assert records(9000, presented=(seen(A, G), seen("", "", "v6"))) == certs(F, G), "or was not seen"
    assert records(9000, presented=()) == certs(F, G)
    assert records(9000, proven=False) == certs(F, G), "the host may go back"
    assert records(9000, heard=False) == certs(F, G)


def test_the_old_key_has_no_certificate_in_the_rrset_after_a_roll() -> None:
    one = backend(key(A, F), key(B, H), key(C), live=H, deployed=4000, since=4000, known=(F,))
    assert planned(owner(certs(F, H)), one, now=4000 + HOLD)[0] == RRset(certs(H), "a certificate is retired: no endpoint presents it")


def test_a_record_of_nobody_stays_until_all_endpoints_were_seen() -> None:
    one = owner(certs(F, X))
    assert planned(one, backend())[0].records == certs(F)
    for unsure in (backend(proven=False), backend(heard=False), backend(presented=())):
        assert planned(one, unsure)[0].records == certs(F, X)
    assert planned(one, backend(), backend(host="mx2", proven=False))[0].records == certs(F, X), "those of all backends"
    assert planned(owner(keys(A, B, C)), backend(), rules=KEYS)[0].records == keys(A, B, C), "a key may yet be found"


def test_a_host_that_is_off_keeps_its_records() -> None:
    off = replace(backend(key(A), key(B), host="mx2", heard=False, presented=()), live=C, fingerprint=X, known=(Chain(C, X),))
    found, _step = planned(owner(certs(F, X)), backend(), off)
    assert found == RRset(certs(F, X), "kept as it is published", ("mx2 has not reported in this run",))
    other = replace(off, keys=(Key("d" * 64, 1), Key("e" * 64, 2)), live="d" * 64, known=())
    assert planned(owner(keys(A, B, "d" * 64)), backend(), other, rules=KEYS)[0].records == keys(A, B, "d" * 64), "and gets no others"


def test_a_host_without_a_live_certificate_keeps_its_records() -> None:
    one = replace(backend(), live="", fingerprint="")
    assert planned(owner(certs(F)), one)[0].records == certs(F)
    assert planned(owner(keys(A, B)), one, rules=KEYS)[0].records == keys(A, B)


def test_a_certificate_that_was_replaced_by_hand_is_published_when_it_is_presented() -> None:
    assert planned(owner(certs(F)), backend(key(A, G), key(B), live=G, known=(F,), deployed=4990))[0].records == certs(F, G)
    found, _step = planned(owner(certs(F)), backend(presented=(seen(A, X),)))
    assert found.held_by == (f"vps: v4 presents the certificate {X[:16]}..., which no record stands for",) and found.records == certs(F)


# --- an order that comes too late ---

def test_what_the_operator_wants_of_a_stolen_key_is_no_choice_for_others() -> None:
    late, stolen = backend(*RENEWED, due=True, expires=2001 + HOLD + P.lead), key(B, H, compromised=True)
    thief = backend(stolen, key(C), live=H, host="mx2")
    assert planned(owner(certs(F, G, H), certs(F, H), gone=2002), late, thief, now=2500, revoke_now=True)[1].kind == "wait"
    over = backend(stolen, key(C, J), live=J, host="mx2")
    assert planned(owner(certs(F, G, H, J), certs(F, H, J), gone=2002), late, replace(over, presented=(seen(C, J), seen(B, H, "v6"))), now=2500,
                   revoke_now=True)[1].kind == "wait"
    assert planned(owner(certs(F, G, J), certs(F, J), gone=2002), late, over, now=2500, revoke_now=True)[1].kind == "deploy", "it has no record any more"


def test_where_the_certificate_ends_before_the_next_may_go_live_there_is_an_alarm_and_the_operator_chooses() -> None:
    one, opens = owner(certs(F, G), certs(F), gone=2000), 2000 + HOLD + P.lead
    late = backend(*RENEWED, due=True, expires=opens - 1)
    step = planned(one, late, now=2500)[1]
    assert step.kind == "wait" and step.held_by == (
        f"ALARM: the live certificate ends at the unix time {opens - 1}, before the next one may go live; wait, and only DANE peers accept it from then on; "
        "or have the next one used at once by -e dane_revoke_now=true, and DANE peers fail for one hold",)
    assert planned(one, late, now=2500, revoke_now=True)[1] == Step(
        "deploy", "its certificate is due; as the operator wants, although caches may hold records that the next one does not match", A, G, deadline=opens - 1)
    assert planned(one, replace(late, expires=opens), now=2500)[1].held_by == ()
    assert planned(one, replace(late, expires=opens), now=2500, revoke_now=True)[1].kind == "wait", "only where it is late"
    assert planned(one, replace(late, expires=0), now=2500)[1].held_by == (), "nobody knows its end"


def test_a_roll_that_waits_while_the_timer_renews_gives_no_alarm() -> None:
    one = owner(keys(A, B), keys(A), gone=2000)
    step = planned(one, backend(bound=False, expires=2002), rules=KEYS, now=2001, asked=True, revoke_now=True)[1]
    assert (step.kind, step.held_by) == ("wait", ())


def test_an_alarm_needs_no_known_time() -> None:
    one, former = backend(*RENEWED, due=True, expires=4999), [replace(owner(certs(F)), name="_443._tcp.w.")]
    step, later = (plan([owner(certs(F, G), certs(F))], [backend], CERTIFICATES, 5000, former=former).steps[VPS] for backend in (
        one, replace(one, expires=5000)))
    assert step.not_before is later.not_before is None
    assert step.held_by[0].startswith("ALARM") and not later.held_by[0].startswith("ALARM")


# --- emergencies ---

STOLEN = key(A, F, compromised=True)


def test_in_an_emergency_a_clean_certificate_is_ordered_published_and_used_without_lead() -> None:
    reason = "its current key is compromised; its record can be published when the next one is there"
    assert planned(owner(certs(F)), backend(STOLEN, key(B)))[1] == Step("order", reason, B)
    assert planned(owner(certs(F)), backend(STOLEN, key(B, H)))[0].records == certs(F, H)
    one, opens = owner(certs(F, H), certs(F), gone=2000), 2000 + HOLD
    assert planned(one, backend(STOLEN, key(B, H)), now=opens)[1].kind == "deploy"
    assert planned(one, backend(STOLEN, key(B, H)), now=opens - 1)[1].kind == "wait"
    assert planned(one, backend(STOLEN, key(B, H)), now=opens - 1, revoke_now=True)[1].kind == "deploy"
    assert planned(owner(certs(F)), backend(STOLEN, key(B)), revoke_now=True)[1].kind == "order"


def test_the_certificate_of_a_burnt_key_leaves_the_rrset_at_once() -> None:
    one = backend(STOLEN, key(B, H), key(C), live=H, deployed=4999, since=4999, known=(F,))
    assert planned(owner(certs(F, H)), one)[0].records == certs(H)
    assert planned(owner(certs(F, H)), replace(one, presented=(seen(B, H), seen(A, F, "v6"))))[0].records == certs(F, H)


# --- deletion of keys ---

def test_a_key_is_deleted_when_no_cache_can_hold_a_record_of_it_or_of_its_certificates() -> None:
    one, opens = owner(certs(H), certs(F, H), gone=2000), 2000 + HOLD + P.lead
    rolled = backend(key(A), key(B, H), key(C), live=H, known=(F,), since=4000)
    assert planned(one, rolled, now=opens)[1] == Step("delete key", "it is not used any more, and no cache can hold its record", A)
    assert planned(one, rolled, now=opens - 1)[1].kind == "rest"
    listed = replace(rolled, keys=(key(A, F), *rolled.keys[1:]), known=rolled.known[:1])
    assert planned(one, listed, now=opens - 1)[1].kind == "rest", "also where it is known from the host's disk alone"


def test_no_key_is_deleted_while_caches_may_hold_a_certificate_of_which_nobody_knows_the_key() -> None:
    rolled = backend(key(A), key(B, H), key(C), live=H)
    assert planned(owner(certs(H), certs(X), gone=4000), rolled)[1].kind == "rest"
    assert planned(owner(certs(H), certs(X), gone=2000), rolled)[1].kind == "delete key"
    other = replace(backend(key(A), host="mx2", live=F, presented=(seen(A, F),)), keys=(Key("e" * 64, 1),), live="e" * 64, fingerprint=X, presented=(
        Presented(MAIL, "v4", "e" * 64, "", X),), known=(Chain("e" * 64, X),))
    assert planned(owner(certs(H, X)), rolled, other)[1].kind == "delete key", "it is another host's"


def test_a_key_of_which_nobody_knows_holds_no_deletion() -> None:
    rolled = backend(key(A), key(B, H), key(C), live=H)
    assert planned(owner(keys(B, C, "e" * 64)), rolled, rules=KEYS)[1].kind == "delete key"


def test_an_owner_has_the_records_of_its_own_backends_only() -> None:
    other = replace(backend(key(C, J), live=J, host="web"), owners=("_443._tcp.w.",), presented=())
    assert planned(owner(certs(F)), backend(), other)[0] == RRset(certs(F), "published: every backend matches")
    elsewhere = replace(owner(keys(A)), name="_443._tcp.w.")
    assert plan([owner(certs(F)), elsewhere], [backend(), other], CERTIFICATES, 5000).steps[VPS].kind == "rest", "nor does it wait for others"


# --- from 3 1 1 to 3 0 1 ---

def test_records_of_certificates_are_added_for_all_that_is_presented() -> None:
    found, step = planned(owner(keys(A, B)), backend())
    assert found == RRset(keys(A) | certs(F), "the scheme changes: the records of the new one are added for all that is presented")
    assert step.kind == "publish", "and a next key without a certificate leaves it"
    assert planned(owner(keys(A, B)), backend(key(A, F), key(B, H)))[0].records == keys(A, B) | certs(F, H)
    assert planned(owner(keys(A, B)), backend(key(A, G), key(B)))[0].records == keys(A) | certs(F, G)
    assert planned(owner(keys(A, B, C)), backend(key(A, F), key(B, H), key(C, J)))[0].records == keys(A, B) | certs(F, H), "and so does a spare one"


@pytest.mark.parametrize(("one", "held"), [
    (backend(bound=False), "vps has not been told yet that its timer must not renew g"),
    (backend(heard=False, presented=(), bound=False), "vps has not reported in this run"),
    (backend(presented=()), "not every endpoint of vps was seen"),
    (backend(presented=(seen(A, F), seen("", "", "v6"))), "vps: v6 presents no certificate: refused"),
    (backend(proven=False), "the services of vps were not seen to present what is live"),
])
def test_none_is_added_while_something_else_may_be_presented(one: Backend, held: str) -> None:
    found, step = planned(owner(keys(A, B)), one)
    assert (found.records, found.reason, found.held_by) == (keys(A, B), "kept as it is published", (held,))
    assert step.kind == "wait" and (not one.heard or step == Step("wait", "its TLSA records are to be those of another scheme", held_by=(held,)))


def test_none_is_added_where_certificates_live_too_short() -> None:
    found, step = planned(owner(keys(A, B)), backend(lifetime=LIFE - 3))
    assert found.records == keys(A, B) and "lower one of these" in found.held_by[0] and step.held_by == found.held_by


def test_an_older_certificate_that_is_presented_and_has_its_record_holds_no_change_back() -> None:
    one = owner(keys(A) | certs(F, G), certs(F, G), gone=2000)
    both = backend(known=(G,), presented=(seen(A, F), seen(A, G, "v6")))
    assert planned(one, both, now=2000 + HOLD + P.lead)[0].records == certs(F, G)


def test_none_is_added_where_a_service_presents_an_older_certificate() -> None:
    found, _step = planned(owner(keys(A, B)), backend(presented=(seen(A, F), seen(A, X, "v6"))))
    assert (found.records, found.reason) == (keys(A, B), "kept as it is published")
    assert found.held_by == (f"vps: v6 presents the certificate {X[:16]}..., which no record stands for",)


@pytest.mark.parametrize(("rules", "old", "new", "then"), [(CERTIFICATES, keys(A, B), certs(F), certs(F)), (KEYS, certs(F), keys(A), keys(A, B))])
def test_the_old_records_are_dropped_when_no_cache_is_without_the_new(rules: Rules, old: Records, new: Records, then: Records) -> None:
    both = (keys(A) | certs(F))
    opens = 2000 + HOLD + P.lead
    one = owner(both, old, gone=2000)
    assert both >= new
    found, step = planned(one, backend(), rules=rules, now=opens - 1)
    assert found == RRset(both, "published: every backend matches")
    assert step == Step("wait", "its TLSA records are to be those of another scheme", not_before=opens)
    found, step = planned(one, backend(), rules=rules, now=opens)
    assert step.kind == "publish" and found == RRset(
        then, "the scheme changes: no cache is without the records of the new one, and those of the old one are dropped")
    for unsure in (backend(heard=False, presented=()), backend(presented=()), backend(proven=False)):
        assert planned(one, unsure, rules=rules, now=opens)[0].records == both
    silent = planned(owner(both, old, gone=None), backend(), rules=rules, now=2000)
    assert silent[0].reason == "kept as it is published" and silent[0].held_by == silent[1].held_by and NS in silent[0].held_by[0]
    mismatch = backend(presented=(seen(A, F), seen(C, X, "v6")))
    assert planned(one, mismatch, rules=rules, now=opens)[0].records == both


def test_a_lost_history_is_waited_for_before_old_records_are_dropped() -> None:
    both = owner(keys(A) | certs(F))
    for rules in (CERTIFICATES, KEYS):
        assert planned(replace(both, history=lost(both.history, P, 5000)), backend(), rules=rules)[0].records == keys(A) | certs(F)


def test_who_changes_his_mind_drops_the_new_records_at_once() -> None:
    assert planned(owner(keys(A) | certs(F), keys(A, B)), backend(), rules=KEYS)[0].records == keys(A, B)
    assert planned(owner(keys(A) | certs(F), certs(F)), backend())[0].records == certs(F)


# --- from 3 0 1 to 3 1 1 ---

def test_records_of_keys_are_added_for_all_that_is_presented() -> None:
    assert planned(owner(certs(F)), backend(), rules=KEYS)[0] == RRset(
        keys(A) | certs(F), "the scheme changes: the records of the new one are added for all that is presented")
    assert planned(owner(certs(F, G)), backend(*RENEWED, due=True), rules=KEYS)[0].records == keys(A) | certs(F, G), "with what is on its way"
    assert planned(owner(certs(F)), backend(bound=False, lifetime=9), rules=KEYS)[0].records == keys(A) | certs(F), "certificates need not live long"


@pytest.mark.parametrize("before", [keys(A) | certs(F), certs(F)])
def test_the_timer_is_free_only_when_no_cache_can_hold_records_of_certificates(before: Records) -> None:
    held = owner(keys(A, B), before, gone=2000)
    assert rollover.bound([held], KEYS) is True
    assert rollover.bound([owner(keys(A, B), keys(A))], KEYS) is False
    assert rollover.bound([owner(keys(A, B)), held], KEYS) is True
    assert rollover.bound([owner(keys(A, B))], CERTIFICATES) is True
    assert rollover.bound([], KEYS) is False
    nobody = owner(keys(A, B))
    assert rollover.bound([replace(nobody, history=lost(nobody.history, P, 1))], KEYS) is None


def test_until_then_the_plan_renews() -> None:
    held = owner(keys(A, B), certs(F), gone=2000)
    opens = 2000 + HOLD + P.lead
    assert planned(held, backend(due=True), rules=KEYS)[1] == Step(
        "order", "its certificate is due; its record can be published when the next one is there", A, deadline=END)
    assert planned(held, backend(*RENEWED, due=True), rules=KEYS, now=opens - 1)[1].not_before == opens
    assert planned(held, backend(*RENEWED, due=True), rules=KEYS, now=opens)[1].kind == "deploy"
    assert planned(owner(keys(A, B)), backend(due=True), rules=KEYS)[1].kind == "rest", "and then the timer does"
    assert planned(held, backend(due=True), rules=KEYS, asked=True)[1].spki == A, "a renewal comes before another key"
    gone = owner(keys(A, B))
    unknown = replace(gone, history=lost(gone.history, P, 1))
    assert planned(unknown, backend(due=True), rules=KEYS)[1].kind == "order", "where the history was lost the host's own memory counts"
    assert planned(unknown, backend(due=True, bound=False), rules=KEYS)[1].kind == "rest"


def test_another_key_waits_until_no_cache_holds_records_of_certificates() -> None:
    held, opens = owner(keys(A, B), certs(F), gone=2000), 2000 + HOLD + P.lead
    assert planned(held, backend(), rules=KEYS, asked=True, now=opens - 1)[1].not_before == opens
    assert planned(held, backend(), rules=KEYS, asked=True, now=opens)[1].kind == "order"
    assert planned(held, backend(STOLEN, key(B)), rules=KEYS, now=2001)[1].kind == "order", "but in an emergency its certificate may be published"
    keys_alone = owner(keys(A, B), keys(A), gone=2000)
    assert planned(keys_alone, backend(STOLEN, key(B), bound=False), rules=KEYS, now=2001)[1].kind == "wait"


# --- a certificate that joins another one (RSA beside ECDSA) ---

RSA = ("vps", "g-rsa")


def joiner(*some: Key, known: tuple[str, ...] = ()) -> Backend:
    """The other certificate of the host, with the key C, which has never been live."""
    one = backend(*(some or (key(C, J),)), presented=(seen("", ""),), known=known)
    return replace(one, certificate="g-rsa", live="", fingerprint="", known=tuple(chain for chain in one.known if chain.fingerprint != F))


def test_a_certificate_joins_when_caches_know_its_record() -> None:
    outcome = plan([owner(certs(F))], [backend(), joiner()], CERTIFICATES, 5000)
    assert outcome.rrsets[MAIL].records == certs(F, J) and outcome.held == (RSA,) and outcome.steps[RSA].kind == "wait"
    known = owner(certs(F, J), certs(F), gone=3000)
    early, late = (plan([known], [backend(), joiner()], CERTIFICATES, now) for now in (3000 + HOLD + P.lead - P.fall_back - 1, 3000 + HOLD + P.lead))
    assert (early.held, late.held) == ((RSA,), ())
    assert late.steps[RSA] == Step("deploy", "it joins another certificate of its host, and no cache holds records that it does not match", C, J)
    assert plan([replace(known, trouble="bogus")], [backend(), joiner()], CERTIFICATES, 10**5).steps[RSA].kind == "wait"
    assert plan([known], [backend(), replace(joiner(), heard=False)], CERTIFICATES, 10**5).steps[RSA].kind == "wait"
    assert early.rrsets[MAIL].records == late.rrsets[MAIL].records == certs(F, J)


def test_trouble_of_one_owner_holds_what_joins() -> None:
    known = owner(certs(F, J), certs(F), gone=3000)
    web = replace(known, name="_443._tcp.g.", trouble="bogus")
    both = [replace(one, owners=(MAIL, web.name)) for one in (backend(), joiner())]
    assert plan([known, replace(web, trouble="")], both, CERTIFICATES, 10**5).steps[RSA].kind == "deploy"
    assert plan([known, web], both, CERTIFICATES, 10**5).steps[RSA].kind == "wait"


def test_what_was_ordered_and_is_not_due_goes_live_by_no_renewal() -> None:
    assert planned(owner(certs(F, G), certs(F)), backend(key(A, G), key(B)), now=10**5 // 2)[1].reason == "its certificate is in its time"


def test_a_key_without_a_certificate_goes_live_beside_no_other() -> None:
    assert plan([owner(keys(A, B, C))], [backend(), joiner(key(C))], CERTIFICATES, 10**5).steps[RSA].kind == "wait"


def test_a_key_without_a_certificate_joins_nothing_where_records_stand_for_certificates() -> None:
    for records in (certs(F), keys(A) | certs(F)):
        outcome = plan([owner(records)], [backend(), joiner(key(C))], CERTIFICATES, 10**5)
        assert outcome.rrsets[MAIL].records == records and outcome.held == (RSA,)


def test_what_joins_and_was_renewed_waits_anew() -> None:
    again = joiner(key(C, K), known=(J,))
    outcome = plan([owner(certs(F, J))], [backend(), again], CERTIFICATES, 10**5)
    assert outcome.rrsets[MAIL].records == certs(F, J, K) and outcome.held == (RSA,)


def test_a_certificate_joins_beside_records_of_both_schemes() -> None:
    both = keys(A) | certs(F)
    outcome = plan([owner(both, keys(A, B))], [backend(), joiner()], CERTIFICATES, 3000)
    assert outcome.rrsets[MAIL].records == both | keys(C) | certs(J) and outcome.held == (RSA,)
    outcome = plan([owner(both | keys(C) | certs(J), both)], [backend(), joiner()], CERTIFICATES, 10**5)
    assert outcome.held == ()


def test_a_first_publication_is_held_for_what_is_wrong_alone() -> None:
    other = backend(key(B, H), key(C), live=H, host="mx2", presented=(seen(B, H, "m4"),))
    found = planned(owner(frozenset()), backend(bound=False), other)[0]
    assert found.held_by == ("vps has not been told yet that its timer must not renew g",)


def test_a_host_that_is_added_is_held_to_what_a_first_publication_is() -> None:
    added = backend(key(C, J), live=J, host="mx2", presented=(seen(C, J, "m4"),))
    assert planned(owner(certs(F)), backend(), added)[0].records == certs(F, J)
    for one in (replace(added, lifetime=LIFE - 3), replace(added, bound=False)):
        found = planned(owner(certs(F)), backend(), one)[0]
        assert found.records == certs(F) and any(text.startswith(("ALARM: mx2: the scheme 3 0 1 needs", "mx2 has not been told")) for text in found.held_by)
        assert planned(owner(certs(F, J)), backend(), one)[0].records == certs(F, J), "one that is there stays"
        renewed = replace(one, keys=(key(C, K),), known=(*one.known, Chain(C, K)))
        assert planned(owner(certs(F, J)), backend(), renewed)[0].records == certs(F, J, K), "and has its next one"
        there = owner(keys(A, B, C) | certs(F, J), certs(F, J), gone=2000)
        assert planned(there, backend(), one, now=10**5)[0].records == certs(F, J), "records of keys leave"
        both = owner(keys(A, B, C) | certs(F), gone=2000)
        assert planned(both, backend(), one, now=10**5)[0].records == keys(A, C) | certs(F), "records of keys stay as long as it has no other"
        for rules in (KEYS, CERTIFICATES):
            assert planned(owner(keys(A, B)), backend(), one, rules=rules)[0].records == keys(A, B, C), "and keys need none of it"
        assert planned(owner(certs(F, G)), backend(known=(G,)), one)[0].records == certs(F), "what has had its time leaves all the same"


def test_a_certificate_that_nobody_knows_keeps_its_record_where_something_was_lost() -> None:
    """It may be of a host that has left the name and is still reached by it."""
    known = owner(certs(F, H))
    assert planned(known, backend())[0].records == certs(F)
    assert planned(replace(known, history=lost(known.history, P, 4000)), backend())[0].records == certs(F, H)
    assert planned(known, backend(presented=(seen(A, F), seen(B, H, "v6"))))[0].records == certs(F, H), "or it is presented"


def test_the_scheme_does_not_change_while_a_certificate_is_to_join() -> None:
    outcome = plan([owner(keys(A, B))], [backend(), joiner()], CERTIFICATES, 10**5)
    assert outcome.rrsets[MAIL].records == keys(A, B, C) and "vps: v4 presents no certificate: refused" in outcome.rrsets[MAIL].held_by


# --- another algorithm ---

OLD = (key(A, outdated=True), key(B, outdated=True))


def test_of_another_algorithm_a_next_key_is_made_published_and_used() -> None:
    assert planned(owner(keys(A, B)), backend(*OLD), rules=KEYS)[1].kind == "publish", "the next key of the old algorithm is of no use"
    assert planned(owner(keys(A)), backend(*OLD), rules=KEYS)[1] == Step("make key", "there is no next key", B)
    assert planned(owner(keys(A)), backend(*OLD, key(C)), rules=KEYS)[0].records == keys(A, C)
    one, opens = owner(keys(A, C), keys(A), gone=2000), 2000 + HOLD + P.lead
    first = planned(one, backend(OLD[0], key(C)), rules=KEYS, now=opens)[1]
    assert first == Step("order", "its key is of an algorithm that is not wanted any more; no cache holds records that the next one does not match", C)
    assert planned(one, backend(OLD[0], key(C)), rules=replace(KEYS, key_lifetime=None), now=opens - 1)[1].not_before == opens
    assert planned(one, backend(OLD[0], key(C, J)), rules=KEYS, now=opens)[1].fingerprint == J


def test_a_next_key_of_the_old_algorithm_is_deleted_when_no_cache_can_hold_its_record() -> None:
    one, opens = owner(keys(A, C), keys(A, B), gone=2000), 2000 + HOLD + P.lead
    assert (planned(one, backend(*OLD, key(C)), rules=KEYS, now=opens)[1].kind, planned(one, backend(*OLD, key(C)), rules=KEYS, now=opens)[1].spki) == (
        "delete key", B)
    assert planned(one, backend(*OLD, key(C)), rules=KEYS, now=opens - 1)[1].kind == "wait"


def test_in_3_0_1_another_algorithm_does_not_wait_for_the_renewal() -> None:
    step = planned(owner(certs(F)), backend(key(A, F, outdated=True), key(C)))[1]
    assert (step.kind, step.spki) == ("order", C)


# --- the least that is said ---

def test_a_host_that_has_left_keeps_its_records_and_holds_a_change_of_scheme() -> None:
    gone = certificate_record(X)
    one = replace(owner(certs(F) | {gone}), leaving=frozenset({gone}))
    assert planned(one, backend())[0].records == certs(F) | {gone}
    assert gone not in planned(replace(one, leaving=frozenset()), backend())[0].records, "nobody presents it"
    keyed = replace(owner(frozenset({spki_record(A)})), leaving=frozenset({spki_record(A)}))
    found = planned(keyed, backend())[0]
    assert all(record.selector for record in found.records) and found.held_by == ("a host that has left the name may still be reached by it",)


def test_defaults() -> None:
    assert Rules() == Rules(Policy(), 90 * 86400, None, "3 1 1", 21600)
    assert Key(A, 1) == Key(A, 1, "", False, False) and Presented("o", "e", A) == Presented("o", "e", A, "", "")
    assert Owner("o", 1, History()) == Owner("o", 1, History(), "") and Chain(A).records() == keys(A)
    assert Backend("vps", "g", (), True) == Backend("vps", "g", (), True, (), "", 0, False, (), True, "", 0, 0, 0, False, False, ())


# --- what must hold of any plan ---

SOME = st.lists(st.builds(key, st.sampled_from([A, B, C]), st.sampled_from(["", *OF]), st.booleans(), st.booleans()), max_size=3,
                unique_by=lambda one: one.spki).map(lambda some: tuple(sorted(some, key=lambda one: one.created)))
BACKENDS = st.lists(st.builds(
    lambda some, live, shown, facts: backend(*some, live=live, presented=tuple(shown), known=tuple(OF), due=facts[0], bound=facts[1], heard=facts[2],
                                             proven=facts[3], host=facts[4], lifetime=facts[5]),
    SOME, st.sampled_from([*OF]), st.lists(st.sampled_from([seen(A, F), seen(A, G), seen(B, H), seen("", ""), seen("e" * 64, X)]), max_size=2),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["vps", "mx2"]), st.sampled_from([9, LIFE]))),
    min_size=1, max_size=2)
RECORDS = st.sets(st.sampled_from(sorted(keys(A, B, C) | certs(F, G, H, X))), max_size=4).map(frozenset)


def passes(records: Records, chain: Records, some: set[tuple[int, int, int]]) -> bool:
    """Whether a peer that supports `some` parameters connects: by a record that `chain` satisfies, or because it knows of none."""
    return not parameters(records) & some or bool(parameters(records & chain) & some)


@given(RECORDS, RECORDS, BACKENDS, st.sampled_from([KEYS, CERTIFICATES]), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=300)
def test_no_endpoint_is_made_worse_in_any_parameter_and_publishing_ends(
        records: Records, before: Records, backends: list[Backend], rules: Rules, asked: bool, revoke_now: bool) -> None:
    one = owner(records, before)

    def outcome(given: Owner) -> Plan:
        return plan([given], backends, rules, 5000, frozenset({VPS} if asked else ()), revoke_now)

    wanted = outcome(one).rrsets[MAIL].records
    new = parameters(wanted) ^ parameters(records)
    if wanted != records:
        for host in backends:
            assert all(passes(wanted, shown.chain().records(), some) for shown in host.presented if shown.spki
                       for some in ({(3, 1, 1)}, {(3, 0, 1)}, {(3, 1, 1), (3, 0, 1)}) if passes(records, shown.chain().records(), some)), "none is made worse"
            assert host.heard or not host.records() & records - wanted, "a host that is off keeps its records"
            assert host.heard or not records or not new, "and none of another scheme is made or dropped"
    assert len(new) <= 1 or not records or wanted == records, "one change of parameters at a time"
    for _run in range(3):                      # one change of records, one of parameters, and the records of those
        one, wanted = (after := replace(one, history=published(one.history, wanted, TTL, SIGNED, EXPIRE, 5000))), outcome(after).rrsets[MAIL].records
    assert one.published() == wanted, "there is no end of it"
