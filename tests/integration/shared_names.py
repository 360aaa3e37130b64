# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One name, two hosts, a key each: the second host joins, one of them is down while keys roll, and it leaves; no DANE client meets a wrong key.

Of `make rolls`: python -m pytest -s tests/integration/shared_names.py
"""
from __future__ import annotations

import re

from lab_client import ACME, ADDRESSES, FLEET, MX, MX2, PEER, ROOT, VPS, good, lab, on, site, start_again, verify
from rolls import FAST, KEEP, LIVE, Seen, peers, renew, runs_until, served

SHARED = (*FLEET, "-i", str(ROOT / "tests" / "lab" / "shared.yml"))
BOTH = ADDRESSES[VPS] + ADDRESSES[MX2]
# what a client says of a host that is off
OFF = re.compile("No route to host|refused|timed out|[Ll]ost connection|Errno 113|reset by peer|Network is unreachable|connect:errno")


def addresses() -> set[str]:
    """Those of the name, as the peer's resolver has them."""
    return set(on(PEER, f"dig +short A {MX}; dig +short AAAA {MX}").split())


def judge(seen: Seen, off: bool = False) -> None:
    """No client met a key that it could not verify, and no mail waited.

    off: the second host was, for a while; posttls-finger takes any address of the name.  The other one only refuses connections, while
    apache restarts because the names that it has are others.
    """
    there = {look["address"] for look in seen.looks} - (set(ADDRESSES[MX2]) if off else set())
    wrong = [look for look in seen.wrong() if not re.search("efused" if look["address"] in there and look["kind"] != "smtp" or not off else OFF, look["said"])]
    assert not wrong and not seen.deferred(PEER) and not seen.deferred(ACME)


def test_a_second_host_joins_and_no_peer_notices(fast: None) -> None:
    """Its key first, its address when no cache is without the key; the CA may ask either of them for a token."""
    runs_until(lambda: len(served()[MX, 25]) == 2, *KEEP)  # keys that rolled before have yet to leave the records
    lab("up", MX2)
    with peers(names=(MX,)) as seen:
        good(site(*SHARED, *FAST))
        assert addresses() == set(ADDRESSES[VPS])
        runs = runs_until(lambda: addresses() == set(BOTH), *SHARED, *KEEP)
    print(f"the second host joined in {runs} runs: {seen.summary()}")
    judge(seen)
    assert len(served()[MX, 25]) == 4  # two keys of each
    good(verify(*SHARED, *FAST, *KEEP))


def test_keys_of_both_roll_while_one_of_them_is_down(fast: None) -> None:
    old = {host: on(host, LIVE) for host in (VPS, MX2)}
    with peers(names=(MX,), addresses=BOTH) as seen:
        good(renew(*SHARED))
        lab("podman", "stop", MX2)
        runs = runs_until(lambda: on(VPS, LIVE) != old[VPS], *SHARED, status=4)
        assert addresses() == set(BOTH) and len(served()[MX, 25]) >= 4
        start_again(MX2)
        assert on(MX2, LIVE) == old[MX2]
        runs += runs_until(lambda: on(MX2, LIVE) != old[MX2], *SHARED)
    print(f"{runs} runs, a host was off in some: {seen.summary()}")
    judge(seen, off=True)
    assert {look["address"] for look in seen.looks if look["good"]} == set(BOTH)
    good(verify(*SHARED, *FAST))


def test_the_record_is_lost_while_a_host_cannot_be_reached_and_no_peer_notices(fast: None) -> None:
    """Its keys are on no record then, and it goes on to serve: they stay, as they are in the zone that the primary has signed."""
    runs_until(lambda: len(served()[MX, 25]) == 4, *SHARED, *KEEP)  # what has been rolled has had its time
    before = set(served()[MX, 25])
    with peers(names=(MX,), addresses=BOTH) as seen:
        on(MX2, "systemctl stop ssh; pkill sshd", check=False)  # the connections that stay open too
        on(VPS, "rm /var/lib/selfhost-dane/record.json")
        try:
            for run in (renew, site):
                done = run(*SHARED, *FAST, *KEEP)
                assert done.status == 4, done.output
        finally:
            on(MX2, "systemctl start ssh")
        assert before <= set(served()[MX, 25]) and addresses() == set(BOTH)
        good(renew(*SHARED, *KEEP))
        assert before <= set(served()[MX, 25])
    print(f"the record was lost: {seen.summary()}")
    judge(seen)
    good(verify(*SHARED, *FAST, *KEEP))


def test_a_host_leaves_address_first(fast: None) -> None:
    with peers(names=(MX,)) as seen:
        good(site(*FLEET, *FAST, *KEEP))
        assert addresses() == set(ADDRESSES[VPS])
    print(f"the second host left: {seen.summary()}")
    judge(seen)
