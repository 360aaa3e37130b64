# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The primary is off, and no controller runs, when a certificate of another host is due: that host renews it all the same.

Of `make faults`: python -m pytest -s tests/integration/primary_down.py
"""
from __future__ import annotations

import json
import threading

from lab_client import ADDRESSES, FLEET, MX, MX2, PEER, VPS, ZONE, good, lab, on, playbook, site, start_again, verify, wait_for
from test_5_timers import FORGET, presented

LIFETIME = 120  # seconds of a certificate
SHORT = ("-e", json.dumps({"dane_policy": {"signature_validity": 3600, "signature_renewal": 1800, "timer_interval": 10}}),
         "-e", json.dumps({"dane_zones": {ZONE: {"primary": VPS, "secondaries": ["home.pyon.example"], "ttl": 10, "expire": 600, "mx": {MX: 10, MX2: 20}}}}))


class Watcher(threading.Thread):
    """A DANE sender that looks again and again."""

    def __init__(self, destination: str) -> None:
        super().__init__()
        self.destination = destination
        self.stop = threading.Event()
        self.seen: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set():
            for family in ("ipv4", "ipv6"):
                self.seen.append(on(PEER, f"posttls-finger -c -a {family} -l dane -L summary {self.destination}", check=False))
            self.stop.wait(0.5)


def test_the_certificate_is_renewed_while_the_primary_is_off(converged: None) -> None:
    lab("up", MX2)
    try:
        good(playbook("tests/lab/lab.yml", "-e", f"lab_certificate_seconds={LIFETIME}"))
        for host in (VPS, MX2):
            on(host, FORGET)
        good(site(*FLEET, *SHORT))
        before = {address: presented(MX2, 25, address) for address in ADDRESSES[MX2]}
        assert all(fingerprint for fingerprint, _spki in before.values())
        lab("podman", "stop", VPS)
        watcher = Watcher(f"[{MX2}]")
        watcher.start()
        try:
            for _renewal in range(2):  # the first may have begun before
                seen = {address: presented(MX2, 25, address) for address in before}
                wait_for(lambda seen=seen: all(presented(MX2, 25, address)[0] not in ("", seen[address][0]) for address in seen),
                         "another certificate is presented", LIFETIME + 30)
        finally:
            watcher.stop.set()
            watcher.join()
        assert all(presented(MX2, 25, address)[1] == before[address][1] for address in before), "the key has changed"
        bad = [said for said in watcher.seen if "Verified TLS connection established" not in said]
        print(f"two renewals without the primary: {len(watcher.seen)} looks, {len(bad)} failed")
        assert len(watcher.seen) > 20 and not bad, bad[:3]
    finally:
        start_again(VPS, "nsd")
        good(playbook("tests/lab/lab.yml"))
        for host in (VPS, MX2):
            on(host, FORGET)
        good(site(*FLEET))
    good(verify(*FLEET))
