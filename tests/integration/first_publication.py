# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLSA records are published for the first time, and then an endpoint presents what none of them stands for.

Of `make rolls`: python -m pytest -s tests/integration/first_publication.py
"""
from __future__ import annotations

import json

from lab_client import ADDRESSES, HOME, MX, PEER, VPS, Run, good, on, verify, wait_for
from rolls import FAST, KEEP, POLICY, renew

OWNER = f"_443._tcp.{MX}"
SLOW = ("-e", json.dumps({"dane_policy": {**POLICY, "key_lifetime": "never", "session": 60}}))  # seconds; so that two runs fit into a hold
# The operator has a virtual host of his own, for the IPv4 address alone, with a certificate that he has made.
OTHER = f"""set -e
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN={MX} -days 1 -keyout /root/other.key -out /root/other.crt 2>/dev/null
    printf '%s\\n' '<VirtualHost {ADDRESSES[VPS][0]}:443>' 'ServerName {MX}' 'SSLEngine on' 'SSLCertificateFile /root/other.crt' \
        'SSLCertificateKeyFile /root/other.key' '</VirtualHost>' > /etc/apache2/conf-enabled/other.conf
    apachectl graceful"""
OURS = "rm -f /etc/apache2/conf-enabled/other.conf /root/other.key /root/other.crt; apachectl graceful"


def published(owner: str, server: str = VPS) -> bool:
    """Whether the name server serves TLSA records of `owner`."""
    return bool(on(PEER, f"dig +short +norec @{ADDRESSES[server][0]} {owner} TLSA"))


def run(*arguments: str) -> Run:
    """Run renew.yml with a longer hold."""
    return renew(*SLOW, *arguments)


def test_it_is_withdrawn_until_every_endpoint_matches(fast: None) -> None:
    good(run())
    try:
        on(VPS, OTHER)
        said = good(run()).output
        assert published(OWNER) and "withdraws" not in said, "what was there before stays: peers rely on it"
        on(VPS, OURS)
        good(run("-e", json.dumps({"dane_forget": [f"{OWNER}."]})))
        wait_for(lambda: not published(OWNER) and not published(OWNER, HOME), "no name server has records of it any more")
        on(VPS, "rm /var/lib/selfhost-dane/record.json")  # which knows of those that there were
        good(run())
        assert published(OWNER)
        on(VPS, OTHER)
        done = run()
        assert done.status == 2 and f"{MX}: withdraws its TLSA records" in " ".join(done.output.split()), done.output
        assert not published(OWNER) and published(f"_25._tcp.{MX}")
        held = good(run()).output
        assert not published(OWNER) and f"{ADDRESSES[VPS][0]} port 443 presents the key" in " ".join(held.split()), held
    finally:
        on(VPS, OURS)
    good(run())
    assert published(OWNER)
    good(renew(*KEEP))
    good(verify(*FAST))
