# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key rolls with the default hold, for a TTL of 300 s, and the lead and fall_back cut to a minute: half an hour, and no DANE client notices.

Of `make rolls`: python -m pytest -s tests/integration/default_hold.py
"""
from __future__ import annotations

import json

from lab_client import ACME, MX, PEER, VPS, blank, empty_caches, good, on, playbook, registrar, site, verify
from rolls import LIVE, peers

TTL, LEAD, FALL_BACK = 300, 60, 60  # seconds
HOLD = max(2 * TTL, TTL + 2 * 300 + 600) + 60  # of the defaults cache_hops, cache_floor, session and clock_margin
POLICY = ("-e", f"ttl={TTL}", "-e", json.dumps({"dane_policy": {"lead": LEAD, "fall_back": FALL_BACK, "highest_tlsa_ttl": TTL, "key_lifetime": "never"}}))


def test_a_key_rolls_at_the_default_hold(internet: None) -> None:
    """To one that was published with the first: an RRset of which nothing is known, of a record that may be lost, is waited for like any other."""
    blank()
    empty_caches()                             # they may hold keys of the zone that was there before
    for step in (site, registrar, verify):
        good(step(*POLICY))
    empty_caches()                             # and that it has no DS, which the CA has asked for before it had one
    with peers() as seen:
        live, begin = on(VPS, LIVE), float(on(PEER, "date +%s"))
        good(playbook("selfhost.dane.renew", *POLICY, "-e", json.dumps({"dane_roll": [MX], "dane_wait": True}), seconds=3600))
        took = float(on(PEER, "date +%s")) - begin
    print(f"hold {HOLD} s and lead {LEAD} s, {took:.0f} s for one roll: {seen.summary()}")
    assert on(VPS, LIVE) != live
    assert HOLD + LEAD <= took
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    good(verify(*POLICY))
