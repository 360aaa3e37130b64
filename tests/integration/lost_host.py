# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody may have all keys of a host: what the operator is asked, and what comes of it.

Of `make rolls`: python -m pytest -s tests/integration/lost_host.py
"""
from __future__ import annotations

from lab_client import ACME, MX, PEER, VPS, ZONE, good, on, verify, wait_for
from rolls import FAST, LIVE, TTL, peers, served
from test_8_operator import emergency


def test_a_key_without_a_clean_next_one_is_replaced_only_by_the_operators_choice(fast: None) -> None:
    """All keys of the host are known to somebody: whatever is done, somebody is harmed."""
    old, records = on(VPS, LIVE), served()
    done = emergency("lost")
    assert done.status == 2 and "stay_up" in done.output and "revoke_now" in done.output, done.output
    assert on(VPS, LIVE) == old and served() == records
    with peers() as seen:
        good(emergency("lost", "stay_up"))
    print(f"all keys lost, stay_up: {seen.summary()}")
    assert on(VPS, LIVE) != old
    wait_for(lambda: not any(set(records[owner]) & set(served()[owner]) for owner in ((MX, 25), (MX, 443))), "no cache has the records of the old keys", TTL)
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    good(verify(*FAST))


def test_revoke_now_keeps_dane_clients_away_for_no_longer_than_caches_hold_the_old_records(fast: None) -> None:
    old = on(VPS, LIVE)
    with peers() as seen:
        done = good(emergency("lost", "revoke_now"))
        assert on(VPS, LIVE) != old and f"{VPS}, {MX}: " in done.output
        wait_for(lambda: "Verified" in on(PEER, f"posttls-finger -c -l dane -L summary {ZONE}", check=False), "the host is verified again", 2 * TTL)
        wait_for(lambda: on(PEER, "postqueue -f; postqueue -j") == "", "Postfix has delivered what it deferred", 60)
    print(f"all keys lost, revoke_now: {seen.summary()}")
    outages = seen.outages()
    # browsers go by the CA, and the certificate of the zone's own name stays.  With so short a TTL there may be no outage at all.
    assert seen.failed() <= {"smtp", MX}, outages
    assert all(seconds < (3 if " " in kind else 2) * TTL for kind, seconds in outages.items()), outages  # the floor is two TTLs
    good(verify(*FAST))
