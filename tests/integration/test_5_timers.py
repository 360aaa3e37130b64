# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lifetimes of minutes and no controller: the hosts' own timers sign and renew, and no DANE client notices."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_client import ACME, ADDRESSES, MX, MX2, PEER, VPS, ZONE, good, on, playbook, site, wait_for
from rolls import peers

pytestmark = pytest.mark.usefixtures("converged")
LIFETIME = 90  # seconds of a certificate
SHORT = ("-e", '{"dane_policy": {"signature_validity": 3600, "signature_renewal": 30, "timer_interval": 10}}',
         "-e", '{"dane_zones": {"pyon.example": {"primary": "vps.pyon.example", "secondaries": ["home.pyon.example"], "ttl": 10,'
               ' "expire": 600, "mx": {"g.pyon.example": 10}}}}')
# the keys stay; the certificates that would serve for weeks go
FORGET = "rm -rf /var/lib/selfhost-dane/live/* /var/lib/selfhost-dane/certificates/*/versions/* /var/lib/dehydrated/certs/*"
PORTS = [(MX, 25), (MX, 443), (ZONE, 443)]


@pytest.fixture(scope="module")
def short() -> Iterator[None]:
    """Certificates of a minute and a half, signatures renewed every half minute, timers every 10.

    The CA that issues them is another one, before and after: so those of the second mail host, if it is up, go too.
    """
    good(playbook("tests/lab/lab.yml", "-e", f"lab_certificate_seconds={LIFETIME}"))
    on(VPS, FORGET)
    yield
    good(playbook("tests/lab/lab.yml"))
    on(VPS, FORGET)
    on(MX2, FORGET, check=False)
    good(site())


def presented(name: str, port: int, address: str) -> tuple[str, str]:
    """Fingerprint and SPKI of the leaf that is presented; empty while the service restarts."""
    host = f"[{address}]" if ":" in address else address
    start = "-starttls smtp" if port == 25 else ""
    leaf = f"openssl s_client -connect {host}:{port} {start} -servername {name} </dev/null 2>/dev/null"
    out = on(PEER, f"{leaf} | tee /tmp/leaf | openssl x509 -noout -fingerprint -sha256; openssl x509 -in /tmp/leaf -noout -pubkey | sha256sum")
    lines = out.splitlines()
    return (lines[0], lines[1]) if len(lines) == 2 and "ingerprint" in lines[0] else ("", "")


def everything() -> dict[tuple[str, int, str], tuple[str, str]]:
    return {(name, port, address): presented(name, port, address) for name, port in PORTS for address in ADDRESSES[VPS]}


def signed_at() -> str:
    """The inception of the signature of the SOA."""
    return on(PEER, f"dig +norec +dnssec +noall +answer @{ADDRESSES[VPS][0]} {ZONE} SOA").split("RRSIG")[1].split()[5]


def test_the_timers_renew_and_re_sign_without_a_controller(short: None) -> None:
    good(site(*SHORT))
    on(PEER, f"unbound-control flush_zone {ZONE}")
    before, signature = everything(), signed_at()
    tlsa = on(PEER, f"dig +short TLSA _25._tcp.{MX} | sort")
    assert all(fingerprint for fingerprint, _spki in before.values())

    def renewed() -> bool:
        return all(fingerprint not in ("", before[where][0]) for where, (fingerprint, _spki) in everything().items())

    with peers() as seen:
        wait_for(renewed, "a new certificate on every port", LIFETIME + 30)
        wait_for(lambda: signed_at() != signature, "a new signature", 90)
    for where, now in everything().items():
        assert now[1] == before[where][1], f"the key of {where} has changed"
    assert on(PEER, f"dig +short TLSA _25._tcp.{MX} | sort") == tlsa
    print(f"renewed with the same key: {seen.summary()}")
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    assert seen.delivered(PEER) > 50 and seen.delivered(ACME) > 50
