# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when a cache may hold an RRset, and so when a chain may go live: each rule with the case that it is there for."""
from __future__ import annotations

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils.history import (
    LOST,
    UNLEARNT,
    Answer,
    History,
    Opening,
    Policy,
    Server,
    forgotten,
    hold,
    is_older,
    lost,
    matches,
    named,
    observed,
    opening,
    pruned,
    published,
    served_until,
    signed,
)
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA
from hypothesis import given
from hypothesis import strategies as st

P = Policy(lead=1000, session=20, floor=10, hops=2, margin=5, fall_back=100, ns_ttl=500, lost_ttl=70, lost_expire=700, lost_signature=5000, skew=300)
TTL = 30
HOLD = 75                                      # max(60, 30 + 2 * 10 + 20) + 5
EXPIRE, SIGNED = 400, 9000                     # SOA expire, and how long signatures are valid
END = SIGNED + P.skew                          # and how long resolvers take them
ONE, TWO = "198.51.100.1", "2001:db8::2"


def record(digit: str, selector: int = 1, matching_type: int = 1) -> TLSA:
    return TLSA(3, selector, matching_type, bytes.fromhex(digit * 64))


A, B, C = record("a"), record("b"), record("c")
OLD, NEW = frozenset({A}), frozenset({A, B})   # B is made the next key, and the chain of B is to go live


def start(*addresses: str) -> History:
    """The primary publishes OLD at 0, and `addresses` serve it."""
    history = named(published(History(), OLD, TTL, SIGNED, EXPIRE, 0), addresses, (), 0)
    return see(history, 0, **dict.fromkeys(addresses, OLD)) if addresses else history


def see(history: History, now: int, **said: frozenset[TLSA]) -> History:
    return observed(history, [Answer(address, records, TTL, SIGNED, EXPIRE) for address, records in said.items()], P, now)


def publish(history: History, now: int, records: frozenset[TLSA] = NEW) -> History:
    return published(history, records, TTL, SIGNED, EXPIRE, now)


def opens(history: History) -> Opening:
    return opening(frozenset({B}), history, P, scheduled=False)


def both(history: History, now: int, records: frozenset[TLSA] = NEW) -> History:
    return see(history, now, **{ONE: records, TWO: records})


# --- matching (RFC 7671 section 8) ---

@pytest.mark.parametrize(("records", "chain", "does"), [
    ({A, B}, {B}, True),
    ({A}, {B}, False),
    (set(), {B}, True),
    ({A, record("d", 0)}, {A}, False),         # a stale 3 0 1 beside a good 3 1 1
    ({A, record("d", 0)}, {A, record("d", 0)}, True),
    ({A, B}, set(), False),
    ({A, TLSA(3, 1, 2, bytes(64))}, {A}, False),
    (LOST, {A, B}, False),
])
def test_each_parameter_set_needs_a_record_that_matches(records: set[TLSA], chain: set[TLSA], does: bool) -> None:
    assert matches(frozenset(records), frozenset(chain)) is does


@pytest.mark.parametrize(("ttl", "seconds"), [(30, 75), (3600, 7205), (40, 85), (41, 87), (1, 46)])
def test_hold_is_two_ttls_or_the_floors_and_a_session(ttl: int, seconds: int) -> None:
    assert hold(ttl, P) == seconds


# --- L(R, a) and E(C) ---

def test_what_the_primary_publishes_must_match() -> None:
    assert opens(start(ONE, TWO)) == Opening(None, ("the primary publishes the RRset 3 1 1 aaaaaaaa..",))


def test_servers_that_are_seen_without_it_for_long_enough() -> None:
    history = both(publish(start(ONE, TWO), 10), 20)
    assert opens(both(history, 119)).time == END + HOLD and len(opens(both(history, 119)).waits_for) == 2
    done = both(history, 120)
    assert opens(done) == Opening(120 + HOLD)
    assert opening(frozenset({B}), done, P).time == 120 + HOLD + P.lead


def test_the_first_answer_that_comes_late_enough_counts_and_later_ones_change_nothing() -> None:
    history = both(both(publish(start(ONE, TWO), 10), 20), 150)
    assert opens(both(history, 5000)) == opens(history) == Opening(150 + HOLD)


def test_a_server_that_falls_back_starts_over() -> None:
    history = both(both(publish(start(ONE, TWO), 10), 20), 120)
    history = see(history, 130, **{TWO: OLD})
    assert opens(history).time == END + HOLD
    assert opens(history).waits_for == (f"{TWO} may still serve the RRset 3 1 1 aaaaaaaa..",)
    history = both(history, 140)
    assert opens(both(history, 239)).time == END + HOLD
    assert opens(both(history, 240)) == Opening(240 + HOLD)


def test_an_answer_without_it_before_it_was_replaced_is_of_a_server_that_is_behind() -> None:
    history = publish(start(ONE, TWO), 10)     # TWO goes on with OLD
    history = see(see(history, 300, **{ONE: NEW, TWO: OLD}), 500, **{ONE: NEW, TWO: OLD})
    history = publish(history, 510, frozenset({B, C}))
    rrset = next(rrset for rrset in history.rrsets if rrset.records == NEW)
    assert TWO not in rrset.seen               # 210 seconds without NEW say nothing: it may fetch it yet
    assert served_until(rrset, history.servers[1], P) == END


def test_a_server_that_is_silent_stops_when_the_signatures_do_and_not_at_the_expire_of_the_soa() -> None:
    history = publish(start(ONE, TWO), 10)
    for now in (20, 120):
        history = see(history, now, **{ONE: NEW})
    assert opens(history).time == END + HOLD and EXPIRE + HOLD < END
    assert opens(see(history, 350, **{ONE: NEW})) == opens(history), "silence alone restarts no clock"


def test_what_was_published_and_replaced_while_a_server_was_silent_may_be_served_by_it() -> None:
    history = publish(start(ONE, TWO), 10)
    history = publish(history, 40, frozenset({C}))
    history = publish(history, 70, frozenset({B}))
    for now in (80, 180):
        history = see(history, now, **{ONE: frozenset({B})})
    assert opens(history).time == END + HOLD


def test_chained_transfers_and_late_signatures_count() -> None:
    history = observed(start(ONE, TWO), [Answer(TWO, OLD, TTL, SIGNED + 5, 3 * EXPIRE)], P, 5)
    history = publish(history, 10)
    assert history.rrsets[0].expire == 3 * EXPIRE and history.rrsets[0].signed_until == SIGNED + 5
    assert served_until(history.rrsets[0], history.servers[1], P) == END + 5


def test_the_latest_signature_and_the_largest_expire_stay() -> None:
    history = observed(start(ONE, TWO), [Answer(ONE, OLD, TTL, SIGNED + 5, 3 * EXPIRE)], P, 5)
    for later in (observed(history, [Answer(ONE, OLD, TTL, SIGNED, EXPIRE)], P, 6), published(history, OLD, TTL, SIGNED, EXPIRE, 6)):
        assert (later.rrsets[0].signed_until, later.rrsets[0].expire) == (SIGNED + 5, 3 * EXPIRE)
    assert published(history, OLD, TTL, SIGNED + 9, EXPIRE, 6).rrsets[0].signed_until == SIGNED + 9


def test_what_was_replaced_and_is_signed_all_the_same_lasts_longer_and_nothing_else() -> None:
    def until(history: History) -> list[int]:
        return [one.signed_until for one in history.rrsets]

    history = publish(start(ONE), 5)
    assert until(signed(history, OLD, TTL, 0, SIGNED + 9)) == [SIGNED + 9, SIGNED]
    assert until(signed(history, NEW, TTL, 0, SIGNED + 9)) == [SIGNED, SIGNED], "what is published"
    assert until(signed(history, NEW, TTL, SIGNED + 9, 0)) == [SIGNED, SIGNED + 9], "for longer than what is signed now would be"
    assert until(signed(history, OLD, TTL + 1, SIGNED + 9, SIGNED + 9)) == until(signed(history, OLD, TTL, 0, SIGNED - 9)) == [SIGNED, SIGNED]


def test_a_first_rrset_stays_one_until_another_follows() -> None:
    first = published(History(), OLD, TTL, SIGNED, EXPIRE, 7, True)
    for history, since in ((first, 7), (published(first, OLD, TTL, SIGNED + 9, EXPIRE, 8), 7), (published(first, NEW, TTL, SIGNED, EXPIRE, 8), None),
                           (published(History(), OLD, TTL, SIGNED, EXPIRE, 7), None)):
        current = history.current()
        assert current and current.first == since


def test_a_server_that_is_named_again_may_have_what_it_had() -> None:
    """It was taken out as it was dead, and comes back with its disk."""
    history = published(named(published(History(), OLD, TTL, SIGNED, EXPIRE, 0), [ONE, TWO], (), 0), NEW, TTL, SIGNED, EXPIRE, 10)
    history = named(history, [ONE], (), 10)
    for now in (10, 10 + P.fall_back):
        history = observed(history, [Answer(ONE, NEW, TTL, SIGNED, EXPIRE)], P, now)
    end = SIGNED + P.skew + hold(TTL, P)
    assert opening(frozenset({B}), history, P).time == max(10 + P.fall_back, 10 + P.ns_ttl) + hold(TTL, P) + P.lead, "for as long as it is out nobody asks it"
    kept = pruned(history, P, end + P.lead)
    assert opening(frozenset({B}), named(kept, [ONE, TWO], (), end), P).time == end + P.lead
    assert len(pruned(history, P, end + P.lead + 1).rrsets) == 1


def test_what_is_still_published_has_no_end() -> None:
    history = start(ONE)
    with pytest.raises(ValueError, match="still publishes"):
        served_until(history.rrsets[0], history.servers[0], P)


def test_with_no_server_known_the_signature_is_the_end() -> None:
    assert opens(publish(start(), 10)) == Opening(END + HOLD)


def test_no_server_serves_it_longer_than_its_signatures_validate() -> None:
    history = published(named(published(History(), OLD, TTL, 90, EXPIRE, 0), [ONE], (), 0), NEW, TTL, SIGNED, EXPIRE, 10)
    assert opens(history).time == 90 + P.skew + HOLD
    assert opens(see(see(history, 20, **{ONE: NEW}), 900, **{ONE: NEW})).time == 90 + P.skew + HOLD, "also where it is asked again later"


def test_an_address_that_was_added_may_have_fetched_it_from_another() -> None:
    history = both(both(publish(start(ONE, TWO), 10), 20), 120)
    history = named(history, [ONE, TWO, "198.51.100.3"], (), 130)
    assert opens(history).time == END + HOLD and opens(history).waits_for == ("198.51.100.3 may still serve the RRset 3 1 1 aaaaaaaa..",)


def test_what_is_seen_at_an_uncertain_time_is_not_gone() -> None:
    history = publish(start(ONE, TWO), 10)
    new = [Answer(address, NEW, TTL, SIGNED, EXPIRE) for address in (ONE, TWO)]
    assert observed(history, new, P, 20, certain=False).rrsets[0] == history.rrsets[0]
    late = observed(observed(history, new, P, 20), new, P, 20 + P.fall_back, certain=False)
    assert late.rrsets[0] == both(history, 20).rrsets[0]
    assert observed(late, new, P, 20 + P.fall_back) == both(both(history, 20), 20 + P.fall_back)
    back = observed(history, [Answer(ONE, OLD, TTL, SIGNED + 5, EXPIRE)], P, 20, certain=False)
    assert (back.rrsets[0].signed_until, back.servers[0].answered) == (SIGNED + 5, 20), "and all that makes a roll wait counts"


def test_an_address_that_was_learnt_counts_although_others_could_not_be() -> None:
    history = named(both(publish(start(ONE, TWO), 10), 20), ["198.51.100.3", TWO], (), 30, complete=False)
    assert history.servers == (Server(ONE, 20), Server("198.51.100.3"), Server(TWO, 20), Server(UNLEARNT))
    history = named(see(both(history, 120), 120, **{"198.51.100.3": OLD}), [ONE, TWO, "198.51.100.3"], (), 130)
    assert opens(history) == Opening(END + HOLD, ("198.51.100.3 may still serve the RRset 3 1 1 aaaaaaaa..",))
    back = named(named(history, [TWO], (), 130), [ONE], (), 140, complete=False)
    assert [(server.address, server.removed) for server in back.servers] == [(ONE, None), (TWO, None), (UNLEARNT, None), ("198.51.100.3", 130)]


def test_what_cannot_be_learnt_is_waited_for_like_one_that_is_silent_and_no_longer() -> None:
    history = both(both(named(publish(start(ONE, TWO), 10), [ONE, TWO], (), 15, complete=False), 20), 120)
    assert opens(history) == Opening(END + HOLD, (f"{UNLEARNT} may still serve the RRset 3 1 1 aaaaaaaa..",))
    assert opens(named(history, None, (), 130)) == opens(history), "nobody was asked"
    assert opens(named(history, [ONE, TWO], (), 130)) == Opening(120 + HOLD), "there was no other"


def test_an_address_that_was_removed_is_asked_for_the_ttl_of_the_ns_rrset() -> None:
    history = both(publish(start(ONE, TWO), 10), 20)
    history = named(see(history, 30, **{TWO: OLD}), [ONE], (), 40)
    history = see(history, 120, **{ONE: NEW})
    assert served_until(history.rrsets[0], history.servers[1], P) == 40 + P.ns_ttl
    assert served_until(history.rrsets[0], history.servers[1], Policy(**{**P.__dict__, "ns_ttl": END})) == END


def test_an_address_that_comes_back_is_not_removed_any_more() -> None:
    history = named(named(start(ONE, TWO), [ONE], (), 40), [ONE, TWO], (), 60)
    assert all(server.removed is None for server in history.servers)
    assert history.servers[1].answered == 0


def test_of_many_machines_behind_one_address_the_signature_is_the_end() -> None:
    history = named(publish(start(ONE, TWO), 10), [ONE, TWO], [TWO], 15)
    history = both(both(history, 20), 120)
    assert opens(history) == Opening(END + HOLD, (f"{TWO} may still serve the RRset 3 1 1 aaaaaaaa..",))
    assert opens(named(history, [ONE, TWO], (), 130)) == Opening(120 + HOLD), "it is one machine after all"


def test_who_is_many_machines_is_known_without_asking_and_stays_so_when_it_is_removed() -> None:
    history = named(named(start(ONE, TWO), [ONE], (), 40), None, [ONE], 50)
    assert history.servers == (Server(ONE, 0, unlistable=True), Server(TWO, 0, removed=40))
    history = named(named(history, None, [TWO], 60), None, (), 70)
    assert history.servers == (Server(ONE, 0), Server(TWO, 0, removed=40, unlistable=True))
    assert named(history, [ONE, TWO], (), 80).servers == (Server(ONE, 0), Server(TWO, 0))


def test_many_machines_behind_one_address_that_was_removed_are_asked_for_the_ttl_of_the_ns_rrset() -> None:
    history = both(both(named(publish(start(ONE, TWO), 10), [ONE, TWO], [TWO], 15), 20), 120)
    history = named(history, [ONE], (), 130)
    assert opens(history) == Opening(130 + P.ns_ttl + HOLD, (f"{TWO} may still serve the RRset 3 1 1 aaaaaaaa..",))


def test_a_lower_ttl_shortens_nothing_until_the_old_rrset_has_aged_out() -> None:
    history = named(published(History(), OLD, 3600, SIGNED, EXPIRE, 0), [ONE], (), 0)
    history = observed(history, [Answer(ONE, OLD, 3600, SIGNED, EXPIRE)], P, 0)
    history = published(history, OLD, 1, SIGNED, EXPIRE, 5)
    history = published(history, NEW, 1, SIGNED, EXPIRE, 10)
    for now in (20, 120):
        history = observed(history, [Answer(ONE, NEW, 1, SIGNED, EXPIRE)], P, now)
    assert opens(history).time == 120 + 7205
    assert len(history.rrsets) == 3


def test_an_rrset_that_is_published_again_is_not_counted_as_gone() -> None:
    history = both(both(publish(start(ONE, TWO), 10), 20), 120)
    history = publish(publish(history, 130, OLD), 140, NEW)
    assert opens(history).time == END + HOLD


def test_what_a_server_comes_back_with_is_remembered() -> None:
    history = see(start(ONE, TWO), 50, **{TWO: frozenset({C})})
    assert forgotten(C, history, P).time == END + HOLD + P.lead
    assert opening(OLD, history, P, scheduled=False).time == END + HOLD


def test_the_lost_history_is_taken_at_its_worst() -> None:
    history = lost(start(ONE, TWO), P, 1000)
    for now in (1010, 1110):
        history = both(history, now, OLD)
    assert opening(OLD, history, P).time == 1110 + hold(70, P) + P.lead
    assert "of which nothing is known" in opening(OLD, lost(history, P, 2000), P).waits_for[0]
    assert forgotten(C, history, P).time == 1110 + hold(70, P) + P.lead
    assert [rrset.records for rrset in lost(history, P, 2000).rrsets] == [OLD, LOST]


@pytest.mark.parametrize(("address", "records", "signed", "older"), [
    (ONE, {C}, 51, True),                      # signed after its last answer, at 50, and not known
    (ONE, {C}, 50, False),                     # what it fell back to
    (ONE, {A}, 60, False),                     # known, and signed anew
    (ONE, set(), 60, False),
    (TWO, {C}, 51, True),                      # of one that never answered the last answer of any counts
    (TWO, {C}, 50, False),
])
def test_a_history_is_older_than_what_is_served(address: str, records: set[TLSA], signed: int, older: bool) -> None:
    history = see(named(published(History(), OLD, TTL, SIGNED, EXPIRE, 0), [ONE, TWO], (), 0), 50, **{ONE: OLD})
    assert is_older(history, [Answer(address, frozenset(records), TTL, signed + 1000, EXPIRE)], 1000) is older


def test_a_server_that_is_silent_has_not_answered() -> None:
    history = see(start(ONE, TWO), 50, **{ONE: OLD})
    assert [(server.address, server.answered) for server in history.servers] == [(ONE, 50), (TWO, 0)]


def test_of_servers_that_answered_the_last_answer_counts_for_one_that_did_not() -> None:
    history = see(see(named(published(History(), OLD, TTL, SIGNED, EXPIRE, 0), [ONE, TWO], (), 0), 30, **{TWO: OLD}), 50, **{ONE: OLD})
    assert not is_older(history, [Answer("198.51.100.3", frozenset({C}), TTL, 1040, EXPIRE)], 1000)


def test_what_nobody_ever_answered_is_older_than_anything_unknown() -> None:
    history = published(History(), OLD, TTL, SIGNED, EXPIRE, 0)
    assert is_older(history, [Answer(ONE, OLD, TTL + 1, 1001, EXPIRE)], 1000) and not is_older(history, [Answer(ONE, OLD, TTL, 1001, EXPIRE)], 1000)


def test_what_is_published_goes_on_and_what_was_replaced_stays_so() -> None:
    history = published(publish(start(ONE), 10), NEW, TTL, SIGNED - 1, EXPIRE + 1, 50)
    history = published(history, NEW, TTL, SIGNED, EXPIRE, 60)
    assert [(rrset.records, rrset.signed_until, rrset.expire, rrset.replaced) for rrset in history.rrsets] == [
        (OLD, SIGNED, EXPIRE, 10), (NEW, SIGNED, EXPIRE + 1, None)]
    assert named(named(history, [TWO], (), 70), [TWO], (), 80).servers == (Server(TWO), Server(ONE, 0, removed=70))


def test_the_defaults_are_those_that_the_guarantees_name() -> None:
    days, hours = 86400, 3600
    assert Policy() == Policy(lead=3 * days, session=600, floor=300, hops=2, margin=60, fall_back=25 * hours, ns_ttl=2 * days, lost_ttl=7 * days,
                              lost_expire=28 * days, lost_signature=28 * days, skew=days)


def test_withdrawal_leaves_nothing_published() -> None:
    history = publish(start(ONE, TWO), 10, frozenset())
    for now in (20, 120):
        history = both(history, now, frozenset())
    assert [rrset.records for rrset in history.rrsets] == [OLD]
    assert opens(history) == Opening(120 + HOLD)


def test_a_private_key_is_kept_while_a_stale_cache_may_hold_its_association() -> None:
    history = publish(start(ONE, TWO), 10, frozenset({B}))
    assert forgotten(B, history, P).time is None
    for now in (20, 120):
        history = both(history, now, frozenset({B}))
    assert forgotten(A, history, P) == Opening(120 + HOLD + P.lead)
    assert forgotten(C, history, P) == Opening(0)


def test_nothing_is_pruned_that_a_stale_cache_may_hold() -> None:
    history = publish(start(ONE, TWO), 10, frozenset({B}))
    for now in (20, 120):
        history = both(history, now, frozenset({B}))
    end = 120 + HOLD + P.lead
    assert pruned(history, P, end) == history
    assert [rrset.records for rrset in pruned(history, P, end + 1).rrsets] == [frozenset({B})]


def test_a_removed_server_is_pruned_when_nothing_hangs_on_it() -> None:
    history = named(start(ONE, TWO), [ONE], (), 40)
    assert len(pruned(history, P, 540).servers) == 2 and len(pruned(history, P, 541).servers) == 1
    assert len(pruned(publish(history, 530), P, 541).servers) == 2


def test_it_is_open_from_its_time_on() -> None:
    assert [Opening(10).is_open(now) for now in (9, 10, 11)] == [False, True, True]
    assert not Opening(None).is_open(10)


# --- what must hold of any history ---

RRSETS = st.sampled_from([OLD, NEW, frozenset({B}), frozenset({C}), frozenset()])
EVENTS = st.lists(st.tuples(st.integers(1, 200), st.one_of(
    st.tuples(st.just("publish"), RRSETS), st.tuples(st.just("answer"), st.sampled_from([ONE, TWO]), RRSETS),
    st.tuples(st.just("named"), st.sampled_from([(ONE,), (ONE, TWO), (TWO,)])))), max_size=25)


@given(EVENTS)
def test_nobody_who_was_just_given_it_is_forgotten(events: list[tuple[int, tuple]]) -> None:  # type: ignore[type-arg]
    """Whatever happened: where a server gave an RRset that the chain does not match, its cache's hold is waited for."""
    history, now, given_at = start(ONE, TWO), 0, {}
    for seconds, event in events:
        now += seconds
        if event[0] == "publish":
            history = publish(history, now, event[1])
        elif event[0] == "named":
            history = named(history, event[1], (), now)
        else:
            history = see(history, now, **{event[1]: event[2]})
            if any(server.address == event[1] and server.removed is None for server in history.servers):
                given_at[event[2]] = now       # of one that was removed nobody asks
        history = pruned(history, P, now)
        for records, time in given_at.items():
            time_of_opening = opens(history).time
            if not matches(records, frozenset({B})) and now <= time + HOLD:
                assert time_of_opening is None or time_of_opening > time + HOLD - 1
