# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that does nothing else carries the fleet through five renewals, each with another key, and mails when the CA is down.

Of `make rolls`: python -m pytest -s tests/integration/unattended.py
"""
from __future__ import annotations

import re

from lab_client import ACME, CONTROL, FLEET, MX, MX2, PEER, ROOT, VPS, good, lab, on, playbook, site, wait_for
from rolls import CERTIFICATE, HOUR, LIVE, blackhole, peers

UNATTENDED = (*FLEET, "-i", str(ROOT / "tests" / "lab" / "unattended.yml"))
RENEWALS = 5
LIVE2 = LIVE.replace(f"/live/{MX}/", f"/live/{MX2}/")
MAILBOX = "cat /var/mail/peer 2>/dev/null"
# mail of the host goes straight to the operator's provider
MSMTP = """apt-get update -q && apt-get install -qy --no-install-recommends msmtp-mta >/dev/null
printf '%s\\n' 'account default' 'host 198.51.100.20' 'port 25' 'from root@control.example' 'domain control.example' 'tls on' 'tls_starttls on' \\
  'tls_certcheck off' >/etc/msmtprc"""


def subjects() -> list[str]:
    """Those of the mail that the operator has got from the host, oldest first."""
    return re.findall(r"^Subject: (.* on control\.example .*)$", on(PEER, MAILBOX, check=False), re.MULTILINE)


def test_nobody_is_there_for_five_renewals_and_when_the_ca_is_down(fast: None) -> None:
    lab("up", MX2, CONTROL)
    good(playbook(str(ROOT / "tests" / "lab" / "unattended_packages.yml"), *UNATTENDED))
    on(CONTROL, MSMTP, seconds=120)
    before, (broken, mended) = len(subjects()), blackhole(VPS, ACME)
    try:
        good(site(*UNATTENDED))
        keys, certificates, others = [on(VPS, LIVE)], [on(VPS, CERTIFICATE)], [on(MX2, LIVE2)]
        with peers() as seen:
            for _renewal in range(RENEWALS):
                wait_for(lambda: on(VPS, CERTIFICATE) not in certificates, "another certificate is live", 300)
                keys.append(on(VPS, LIVE))
                certificates.append(on(VPS, CERTIFICATE))
                others.append(on(MX2, LIVE2))
            renewals = len(set(certificates)) - 1
            assert subjects()[before:] == []  # nothing to tell

            on(VPS, broken)
            try:
                wait_for(lambda: f"renew on {CONTROL} failed" in subjects()[before:], "the operator is told that the CA is down", 400)
            finally:
                on(VPS, mended)
            on(VPS, HOUR)
            wait_for(lambda: f"renew on {CONTROL} is well again" in subjects()[before:], "the operator is told that it is well", 200)
        print(f"{renewals} renewals with nobody there, {len(set(keys)) - 1} other keys, of {MX2} {len(set(others)) - 1}: {seen.summary()};"
              f" told: {subjects()[before:]}")
        assert renewals == RENEWALS and len(set(keys)) == RENEWALS + 1 and len(set(others)) >= RENEWALS
        assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    finally:
        on(CONTROL, "systemctl disable --now selfhost-dane-unattended-renew.timer selfhost-dane-unattended-verify.timer", check=False)
        wait_for(lambda: "activ" not in on(CONTROL, "systemctl is-active selfhost-dane-unattended-renew.service selfhost-dane-unattended-verify.service"
                                           " | grep -v inactive", check=False), "its runs have ended", 120)
        lab("podman", "stop", CONTROL)
