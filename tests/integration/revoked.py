# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""With records of certificates (3 0 1) one that is due is renewed with the same key by renew.yml alone, and no peer notices.

Due as its CA revokes it: a third of its life would be months.  Of `make rolls`: python -m pytest -s tests/integration/revoked.py
"""
from __future__ import annotations

import json

from lab_client import ACME, PEER, VPS, on
from rolls import CERTIFICATE, KEEP, LIVE, peers, runs_until, schemes
from test_8_schemes import CERTIFICATES


def test_a_certificate_that_is_due_is_renewed_with_the_same_key_and_not_by_the_timer(fast: None) -> None:
    with peers() as seen:
        there = runs_until(lambda: schemes() == {"3 0 1"}, *CERTIFICATES)
        key, before = on(VPS, LIVE), on(VPS, CERTIFICATE)
        due = (*CERTIFICATES, "-e", json.dumps({"dane_revoked": [before.strip()]}))
        runs_until(lambda: True, *due)
        assert on(VPS, CERTIFICATE) == before, "caches do not have its record yet"
        on(VPS, "systemctl start selfhost-dane-renew")
        assert on(VPS, CERTIFICATE) == before, "the timer leaves it to the plan"
        said = on(VPS, "journalctl --no-pager -o cat --since -60s -u selfhost-dane-renew")
        runs = runs_until(lambda: on(VPS, CERTIFICATE) != before, *due)
        assert on(VPS, LIVE) == key
        back = runs_until(lambda: schemes() == {"3 1 1"}, *KEEP)
    print(f"{there} runs to 3 0 1, {runs} for a renewal with the same key, {back} back: {seen.summary()}")
    assert "renew.yml" in said, said
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
