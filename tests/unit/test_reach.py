# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that come to a name and leave it: tables of who is behind it when, and whose keys may go."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import history, reach
from ansible_collections.selfhost.dane.plugins.module_utils.history import Answer, Given, History, Opening, Policy, Server
from ansible_collections.selfhost.dane.plugins.module_utils.reach import Name
from ansible_collections.selfhost.dane.plugins.module_utils.rollover import Backend, Chain, Key, Owner, Presented
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import certificate_record, spki_record

P = Policy(lead=300, session=10, floor=5, margin=1, fall_back=150, ns_ttl=60, skew=3)
TTL, VALIDITY, EXPIRE = 20, 5000, 400
HOLD = history.hold(TTL, P)
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
VPS, MX2 = {"vps": ("198.51.100.10", "2001:db8::10")}, {"mx2": ("198.51.100.12", "2001:db8::12")}
BOTH = {**VPS, **MX2}
CHAINS = {"vps": (Chain(A), Chain(B)), "mx2": (Chain(C), Chain(D))}
ONE, TWO = Server("198.51.100.1", answered=0), Server("2001:db8::2", answered=0)
MAIL, WEB = "_25._tcp.g.pyon.example.", "_443._tcp.g.pyon.example."
OPEN, SHUT = Opening(0), Opening(None, ("because",))


def after(name: Name | None, hosts: dict[str, Any], now: int, ttl: int = TTL, wanted: dict[str, Any] | None = None) -> Name:
    return reach.published(name, hosts, hosts if wanted is None else wanted, CHAINS, ttl, now + VALIDITY, EXPIRE, now)


def gives(server: Server, hosts: dict[str, Any]) -> Given:
    return Given(server.address, frozenset(address for addresses in hosts.values() for address in addresses), 9000, EXPIRE)


def seen(name: Name, now: int, *given: Given, servers: tuple[Server, ...] = (ONE, TWO)) -> Name:
    return reach.pruned(reach.observed(name, servers, given, P, now), servers, P, now)


# --- who is behind a name ---

@pytest.mark.parametrize(("before", "opens", "behind"), [
    (None, {"vps": SHUT, "mx2": SHUT}, {"vps", "mx2"}),             # nothing is on record
    (Name(), {"vps": SHUT, "mx2": SHUT}, {"vps", "mx2"}),           # else it would have no address
    (Name(VPS), {"vps": SHUT, "mx2": SHUT}, {"vps"}),               # who is there stays, whatever happens
    (Name(VPS), {"vps": SHUT, "mx2": Opening(8)}, {"vps"}),
    (Name(VPS), {"vps": SHUT, "mx2": Opening(7)}, {"vps", "mx2"}),
    (Name(BOTH), {"vps": SHUT, "mx2": SHUT}, {"vps", "mx2"}),
    (Name({"home": ("198.51.100.11",)}), {"vps": SHUT, "mx2": OPEN}, {"mx2"}),
    (Name({"home": ("198.51.100.11",)}), {"vps": SHUT, "mx2": SHUT}, {"vps", "mx2"}),
])
def test_who_is_behind_a_name(before: Name | None, opens: dict[str, Opening], behind: set[str]) -> None:
    assert reach.admitted(before, BOTH, opens, 7) == {host: BOTH[host] for host in behind}


def test_a_host_that_stays_has_the_addresses_that_it_has_now() -> None:
    assert reach.admitted(Name(VPS), {"vps": ("198.51.100.99",)}, {"vps": SHUT}, 7) == {"vps": ("198.51.100.99",)}


# --- when a host may be added ---

def owner(*published: tuple[str, ...], name: str = MAIL, gone: int = 0, trouble: str = "") -> Owner:
    """RRsets with these keys, one after the other, at 0, 1000, ...; the server was seen without the last but one, and again `gone`."""
    known = history.named(History(), [ONE.address], (), 0)
    for number, keys in enumerate(published):
        known = history.published(known, frozenset(map(spki_record, keys)), TTL, VALIDITY, EXPIRE, 1000 * number)
    for time in (gone - P.fall_back, gone) if gone else ():
        known = history.observed(known, [Answer(ONE.address, frozenset(map(spki_record, published[-1])), TTL, VALIDITY, EXPIRE)], P, time)
    return Owner(name, TTL, known, trouble)


def backend(host: str = "mx2", spki: str = C, owners: tuple[str, ...] = (MAIL,), presented: tuple[Presented, ...] | None = None,
            **more: Any) -> Backend:
    shown = tuple(Presented(one, f"{host} port 25", spki) for one in owners) if presented is None else presented
    return Backend(host, "g", owners, **{"heard": True, "keys": (Key(C, 1), Key(D, 2)), "live": spki, "presented": shown, **more})


def opens(*owners: Owner, backends: tuple[Backend, ...] | None = None) -> Opening:
    return reach.opens("mx2", (backend(), backend("vps", A)) if backends is None else backends, owners, P)


def test_a_host_is_added_when_no_cache_can_hold_records_without_its_keys() -> None:
    added = owner((A, B), (A, B, C, D), gone=2000)
    assert opens(added) == Opening(2000 + HOLD + P.lead)
    early = opens(owner((A, B), (A, B, C, D)))
    assert early.time == VALIDITY + P.skew + HOLD + P.lead and "198.51.100.1 may still serve the RRset 3 1 1 aaaaaaaa.., 3 1 1 bbbbbbbb.." in early.waits_for[0]
    assert opens(owner((A, B))).time is None, "its keys are not published"


def test_a_host_is_added_at_once_where_no_record_ever_was_or_all_had_its_keys() -> None:
    assert opens(Owner(MAIL, TTL, History())) == Opening(0)
    assert opens(Owner(MAIL, TTL, History()), backends=(backend(heard=False),)) == Opening(0), "the first RRset waits for it"
    assert opens(owner((A, B, C))) == Opening(0)


def test_each_owner_and_each_certificate_of_the_name_counts() -> None:
    late, soon = owner((A, B), (A, B, C, D), gone=3000), owner((A, B), (A, B, C, D), gone=2000, name=WEB)
    assert opens(late, soon, backends=(backend(owners=(MAIL, WEB)),)).time == opens(soon, late, backends=(backend(owners=(MAIL, WEB)),)).time \
        == 3000 + HOLD + P.lead
    short = owner((A, B))
    assert opens(soon, short, backends=(backend(owners=(MAIL, WEB)),)).time is opens(short, soon, backends=(backend(owners=(MAIL, WEB)),)).time is None
    assert opens(late, owner((A, B), name=WEB), backends=(backend(), backend("vps", A, owners=(WEB,)))).time == 3000 + HOLD + P.lead
    assert opens(soon, backends=(backend(owners=(WEB,)), backend(owners=(WEB,), spki=D))).time == 2000 + HOLD + P.lead
    assert opens(owner((A, B), (A, B, C), gone=2000), backends=(backend(), backend(spki=D))).time is None


def test_other_hosts_do_not_hold_it_back() -> None:
    assert opens(owner((A, B), (A, B, C, D), gone=2000), backends=(backend(), backend("vps", A, heard=False))).time == 2000 + HOLD + P.lead


def test_each_address_of_the_host_counts() -> None:
    known = owner((A, B), (A, B, C), gone=2000)
    shown = (Presented(MAIL, "v4 port 25", C), Presented(MAIL, "v6 port 25", D))
    assert opens(known, backends=(backend(presented=shown),)).time is None
    assert opens(known, backends=(backend(presented=shown[:1]),)).time == 2000 + HOLD + P.lead
    elsewhere = (shown[0], Presented(WEB, "v4 port 443", ""))
    assert opens(known, backends=(backend(presented=elsewhere),)).time == 2000 + HOLD + P.lead, "of another owner"


@pytest.mark.parametrize(("one", "trouble", "held"), [
    (backend(heard=False), "", "mx2 has not reported in this run"),
    (backend(proven=False), "", "mx2 has yet to prove what it presents for _25._tcp.g.pyon.example."),
    (backend(presented=()), "", "mx2 has yet to prove what it presents for _25._tcp.g.pyon.example."),
    (backend(presented=(Presented(MAIL, "mx2 port 25", C), Presented(MAIL, "v6 port 25", "", "timeout"))), "", "v6 port 25 presents no certificate: timeout"),
    (backend(presented=(Presented(MAIL, "mx2 port 25", ""),)), "", "mx2 port 25 presents no certificate: no TLS"),
    (backend(), "the zone is bogus", "the zone is bogus"),
])
def test_a_host_is_held_back(one: Backend, trouble: str, held: str) -> None:
    assert opens(owner((A, B, C, D), trouble=trouble), backends=(one, backend("vps", A))) == Opening(None, (held,))


# --- when the keys of one that has left may go ---

def test_the_keys_of_a_host_go_when_no_cache_can_hold_its_addresses() -> None:
    name = after(after(None, BOTH, 0), VPS, 1000)
    assert set(name.left) == {"198.51.100.12", "2001:db8::12"} and name.others == {"mx2": CHAINS["mx2"]}
    assert not reach.unused(name, ())
    name = seen(name, 1010, gives(ONE, BOTH), gives(TWO, VPS))      # one is behind
    name = seen(name, 1020, gives(ONE, VPS), gives(TWO, VPS))
    for server in (ONE, TWO):                                       # one is not asked
        other = TWO if server is ONE else ONE
        assert seen(seen(name, 1170, gives(server, VPS)), 1170 + HOLD + P.lead).left, f"{other.address} may have them yet"
    name = seen(name, 1170, gives(ONE, VPS), gives(TWO, VPS))
    assert seen(name, 1170 + HOLD + P.lead - 1).left
    name = seen(name, 1170 + HOLD + P.lead)
    assert not name.left and reach.unused(name, ()) == {spki_record(C), spki_record(D)}


def test_a_server_that_falls_back_starts_it_over() -> None:
    name = after(after(None, BOTH, 0), VPS, 1000)
    for now, hosts in ((1010, VPS), (1160, VPS), (1200, BOTH), (1210, VPS), (1360, VPS)):
        name = seen(name, now, gives(ONE, hosts), gives(TWO, VPS))
    assert seen(name, 1360 + HOLD + P.lead - 1).left and not seen(name, 1360 + HOLD + P.lead).left


def test_a_server_that_is_silent_may_have_them_until_the_signatures_end() -> None:
    name = after(after(None, BOTH, 0), VPS, 1000)
    name = seen(seen(name, 1010, gives(ONE, VPS)), 1160, gives(ONE, VPS))
    end = 1000 + VALIDITY + P.skew + HOLD + P.lead
    assert seen(name, end - 1).left and not seen(name, end).left


def test_of_servers_that_nobody_knows_the_signatures_are_waited_for() -> None:
    name = after(after(None, BOTH, 0), VPS, 1000)
    end = 1000 + VALIDITY + P.skew + HOLD + P.lead
    assert seen(name, end - 1, servers=()).left and not seen(name, end, servers=()).left


def test_the_largest_ttl_that_the_addresses_ever_had_counts() -> None:
    name = after(after(after(None, BOTH, 0, ttl=600), BOTH, 500), VPS, 1000)
    name = seen(seen(name, 1010, gives(ONE, VPS), gives(TWO, VPS)), 1160, gives(ONE, VPS), gives(TWO, VPS))
    end = 1160 + history.hold(600, P) + P.lead
    assert seen(name, end - 1).left and not seen(name, end).left


def test_a_host_that_comes_back_has_not_left() -> None:
    name = after(after(after(None, BOTH, 0), VPS, 1000), BOTH, 1100)
    assert not name.left and not name.others and name.hosts == BOTH


def test_one_that_is_wanted_back_and_has_to_wait_keeps_its_keys() -> None:
    name = after(after(after(None, BOTH, 0), VPS, 1000), VPS, 1100, wanted=BOTH)
    assert name.left and name.others == {"mx2": CHAINS["mx2"]}


def test_one_that_never_was_behind_the_name_may_leave_too() -> None:
    name = after(after(after(None, VPS, 0), VPS, 1000, wanted=BOTH), VPS, 1100)
    assert reach.unused(name, ()) == {spki_record(C), spki_record(D)}


def test_the_keys_that_one_has_after_it_has_left_are_no_concern() -> None:
    name = reach.published(after(after(None, BOTH, 0), VPS, 1000), VPS, VPS, {"mx2": (Chain(A),)}, TTL, 0, EXPIRE, 1100)
    assert name.others == {"mx2": CHAINS["mx2"]}


def test_an_address_that_another_host_has_too_does_not_leave() -> None:
    both = {"vps": ("198.51.100.10",), "mx2": ("198.51.100.10", "2001:db8::12")}
    name = after(after(None, both, 0), {"vps": both["vps"]}, 1000)
    assert set(name.left) == {"2001:db8::12"}


def test_a_compromised_key_of_a_host_that_has_left_goes_at_once() -> None:
    name = after(after(None, BOTH, 0), VPS, 1000)
    assert reach.unused(name, [C]) == {spki_record(C)} and not reach.unused(name, ())


def test_the_records_of_certificates_go_with_those_of_keys() -> None:
    chains = {**CHAINS, "mx2": (Chain(C, D),)}
    name = reach.published(reach.published(None, BOTH, BOTH, chains, TTL, 0, EXPIRE, 0), VPS, VPS, chains, TTL, 0, EXPIRE, 1000)
    assert reach.leaving(name) == {spki_record(C), certificate_record(D)} and not reach.unused(name, ())
    assert not reach.leaving(replace(name, left={})) and reach.unused(replace(name, left={}), ()) == reach.leaving(name)


def test_who_has_left_is_forgotten_when_its_records_are() -> None:
    name = replace(after(after(None, BOTH, 0), VPS, 1000), left={})
    assert reach.settled(name, frozenset({spki_record(D)})) == name
    assert reach.settled(name, frozenset({spki_record(A)})).others == {}
    waiting = after(after(None, BOTH, 0), VPS, 1000)
    assert reach.settled(waiting, frozenset()) == waiting


# --- what is said ---

def test_what_holds_a_host_back_is_said_with_the_time() -> None:
    name = after(after(None, {**VPS, "home": ("198.51.100.11",)}, 0), VPS, 1000, wanted=BOTH)
    name = seen(seen(name, 1010, gives(ONE, VPS)), 1160, gives(ONE, VPS))
    coming, gone = reach.notes("g:", name, BOTH, {"vps": SHUT, "mx2": Opening(77, ("because",))}, (ONE, TWO), P)
    assert (coming.text, coming.held_by, coming.not_before) == (
        "g: mx2 is not among its addresses yet: caches may hold TLSA records that its keys do not match", ("because",), 77)
    assert (gone.text, gone.held_by, gone.not_before) == (
        "g: home has left, and its keys stay published: caches may hold its addresses", ("2001:db8::2 may still give 198.51.100.11",),
        1000 + VALIDITY + P.skew + HOLD + P.lead)
    assert reach.notes("g:", after(None, BOTH, 0), BOTH, {"vps": SHUT, "mx2": SHUT}, (ONE, TWO), P) == []


def test_of_many_machines_behind_one_address_one_that_has_dropped_a_host_says_nothing() -> None:
    many = (ONE, replace(TWO, unlistable=True))
    name = after(after(None, BOTH, 0), VPS, 1000)
    for now in (1010, 1160):
        name = seen(name, now, gives(ONE, VPS), gives(TWO, VPS), servers=many)
    end = 1000 + VALIDITY + P.skew + HOLD + P.lead
    [gone] = reach.notes("g:", name, VPS, {"vps": SHUT}, many, P)
    assert gone.held_by == tuple(f"2001:db8::2 may still give {address}" for address in MX2["mx2"]) and gone.not_before == end
    assert seen(name, end - 1, servers=many).left and not seen(name, end, servers=many).left
