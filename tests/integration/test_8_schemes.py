# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From records of keys to records of certificates, renewals in that scheme, and back, with policy times in seconds: no DANE client notices.

`make rolls` renews ten times instead of once.
"""
from __future__ import annotations

import json

from lab_client import ACME, MX, PEER, VPS, good, on, verify
from rolls import CERTIFICATE, FAST, KEEP, POLICY, ROLLS, peers, runs_until, schemes, served, until_another_key_is_live

ROLL = ("-e", json.dumps({"dane_roll": [MX]}))  # a key goes only with its certificate here, and that has months
CERTIFICATES = ("-e", json.dumps({"dane_policy": {**POLICY, "scheme": "3 0 1", "key_lifetime": "never"}}))


def test_records_become_those_of_certificates_and_back_and_no_peer_notices(fast: None) -> None:
    assert schemes() == {"3 1 1"}
    with peers() as seen:
        there = runs_until(lambda: schemes() == {"3 0 1"}, *CERTIFICATES)
        digest = on(VPS, CERTIFICATE).strip().upper()
        assert digest in served()[MX, 25][0].replace(" ", "")
        runs = []
        for _roll in range(ROLLS):
            runs += until_another_key_is_live(30, *CERTIFICATES, *ROLL)
        good(verify(*FAST, *CERTIFICATES))
        back = runs_until(lambda: schemes() == {"3 1 1"}, *KEEP)
    print(f"{there} runs to 3 0 1, {len(runs)} for {ROLLS} rolls in it, {back} back to 3 1 1: {seen.summary()}")
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    assert len(seen.looks) > 200 and seen.delivered(PEER) > 100 and seen.delivered(ACME) > 100
    good(verify(*FAST, *KEEP))
