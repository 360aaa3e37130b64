# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an owner's TLSA RRset: first publication and growth."""
from __future__ import annotations

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Backend, Presented, plan
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA, spki_record
from hypothesis import given
from hypothesis import strategies as st

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def seen(spki: str, where: str = "198.51.100.10 port 25", error: str = "") -> Presented:
    return Presented(where, spki, error)


def backend(host: str = "vps", heard: bool = True, keys: tuple[str, ...] = (A, B), renews: bool = True,
            presented: tuple[Presented, ...] = (seen(A),)) -> Backend:
    return Backend(host, heard, keys, renews, presented)


def rrset(*keys: str) -> tuple[TLSA, ...]:
    return tuple(sorted(spki_record(key) for key in keys))


def test_first_publication_is_current_and_next() -> None:
    assert plan(frozenset(), (backend(),)).records == rrset(A, B)


@pytest.mark.parametrize(("one", "held"), [
    (backend(heard=False, presented=()), "vps has not reported"),
    (backend(keys=(A,)), "vps has no next key"),
    (backend(renews=False), "renewal timer of vps is not active"),
    (backend(presented=()), "no endpoint that was looked at"),
    (backend(presented=(seen(A), seen("", "2001:db8::1 port 25", "no STARTTLS"))), "2001:db8::1 port 25 presents no certificate: no STARTTLS"),
    (backend(presented=(seen(C),)), f"presents the key {C[:16]}..., which no record"),
])
def test_first_publication_is_held_back(one: Backend, held: str) -> None:
    outcome = plan(frozenset(), (one,))
    assert outcome.records == ()
    assert held in " ".join(outcome.held_by)


def test_one_backend_of_two_holds_the_first_publication_back() -> None:
    outcome = plan(frozenset(), (backend(), backend("mx2", keys=(C, D), presented=(seen("", error="refused"),))))
    assert outcome.records == () and "mx2" in outcome.held_by[0]


def test_the_rrset_is_the_union_over_the_backends() -> None:
    outcome = plan(frozenset(), (backend(), backend("mx2", keys=(C, D), presented=(seen(C),))))
    assert outcome.records == rrset(A, B, C, D) and not outcome.held_by


def test_published_and_matching_is_left_as_it_is() -> None:
    outcome = plan(frozenset(rrset(A, B)), (backend(),))
    assert outcome.records == rrset(A, B) and not outcome.held_by


def test_a_host_that_is_off_keeps_its_records() -> None:
    published = frozenset(rrset(A, B, C, D))
    for keys in ((), (C, D)):  # unknown, and remembered
        outcome = plan(published, (backend(), Backend("mx2", False, keys)))
        assert frozenset(outcome.records) == published
        assert "every backend matches" not in outcome.reason and outcome.held_by == ("mx2 has not reported in this run",)


def test_a_new_next_key_is_added_and_nothing_is_dropped() -> None:
    outcome = plan(frozenset(rrset(A, B)), (backend(keys=(B, C), presented=(seen(B),)),))
    assert outcome.records == rrset(A, B, C)


def test_a_mismatch_freezes_the_rrset_and_is_named() -> None:
    outcome = plan(frozenset(rrset(A, B)), (backend(keys=(A, B, C), presented=(seen(D),)),))
    assert outcome.records == rrset(A, B) and "which no record stands for" in outcome.held_by[0]


def test_a_presented_key_of_the_host_that_was_lost_from_the_rrset_comes_back() -> None:
    outcome = plan(frozenset(rrset(C, D)), (backend(),))
    assert frozenset(rrset(A, B)) <= frozenset(outcome.records)


keys = st.lists(st.sampled_from([A, B, C, D]), max_size=3, unique=True).map(tuple)
presenteds = st.lists(st.sampled_from([A, B, C, D, ""]).map(seen), max_size=3).map(tuple)
backends = st.lists(st.builds(Backend, st.sampled_from(["vps", "mx2"]), st.booleans(), keys, st.booleans(), presenteds),
                    min_size=1, max_size=3).map(tuple)


@given(st.frozensets(st.sampled_from([A, B, C, D]).map(spki_record)), backends)
def test_never_removes_and_never_publishes_what_does_not_match(published: frozenset[TLSA], many: tuple[Backend, ...]) -> None:
    outcome = plan(published, many)
    records = frozenset(outcome.records)
    assert published <= records
    if records != published:
        for one in many:
            for endpoint in one.presented if one.heard else ():
                assert endpoint.spki and spki_record(endpoint.spki) in records
    assert plan(records, many).records == outcome.records  # idempotent
