# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate becomes one of RSA, and one of ECDSA again: another key is made and rolled to, and no DANE client notices.

Of `make rolls`: python -m pytest -s tests/integration/algorithm.py
"""
from __future__ import annotations

import json

from lab_client import ACME, MX, PEER, VPS, ZONE, good, on, verify
from rolls import FAST, KEEP, LIVE, peers, runs_until

CERTIFICATES = {MX: {"hosts": [VPS], "services": {"smtp": 25, "https": 443}}, ZONE: {"hosts": [VPS], "services": {"https": 443}}}
RSA = ("-e", json.dumps({"dane_certificates": {**CERTIFICATES, MX: {**CERTIFICATES[MX], "algorithm": "rsa-2048"}}}))
KIND = f"openssl x509 -in /var/lib/selfhost-dane/live/{MX}/cert.pem -noout -text | grep 'Public Key Algorithm:'"


def test_the_algorithm_changes_and_no_peer_notices(fast: None) -> None:
    before = on(VPS, LIVE)
    with peers() as seen:
        there = runs_until(lambda: "rsaEncryption" in on(VPS, KIND), *KEEP, *RSA)
        good(verify(*FAST, *KEEP, *RSA))
        back = runs_until(lambda: "id-ecPublicKey" in on(VPS, KIND), *KEEP)
    print(f"{there} runs to rsa-2048, {back} back: {seen.summary()}")
    assert on(VPS, LIVE) != before
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    good(verify(*FAST, *KEEP))
