# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate becomes one of RSA, and one of ECDSA again: another key is made and rolled to, and no DANE client meets a key that it cannot verify.

sendmail is restarted before each change and after it: it keeps the certificate of its start beside that of the other kind.

Of `make rolls`: python -m pytest -s tests/integration/algorithm.py
"""
from __future__ import annotations

import json

from lab_client import MX, VPS, ZONE, good, on, verify
from pairs import judge
from rolls import FAST, KEEP, LIVE, peers, runs_until

CERTIFICATES = {MX: {"hosts": [VPS], "services": {"smtp": 25, "https": 443}}, ZONE: {"hosts": [VPS], "services": {"https": 443}}}
RSA = ("-e", json.dumps({"dane_certificates": {**CERTIFICATES, MX: {**CERTIFICATES[MX], "algorithm": "rsa-2048"}}}))
KIND = f"openssl x509 -in /var/lib/selfhost-dane/live/{MX}/cert.pem -noout -text | grep 'Public Key Algorithm:'"


def test_the_algorithm_changes_and_no_peer_meets_a_wrong_key(fast: None) -> None:
    before = on(VPS, LIVE)
    with peers() as seen:
        there = runs_until(lambda: "rsaEncryption" in on(VPS, KIND), *KEEP, *RSA)
        good(verify(*FAST, *KEEP, *RSA))
        back = runs_until(lambda: "id-ecPublicKey" in on(VPS, KIND), *KEEP)
    print(f"{there} runs to rsa-2048, {back} back: {seen.summary()}")
    assert on(VPS, LIVE) != before
    judge(seen)
    good(verify(*FAST, *KEEP))
