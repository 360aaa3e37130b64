# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sendmail does without STARTTLS with the version that goes live: the run sees it, goes back, and says so; mended, the roll goes on.

sendmail takes no certificate from a directory that others may write to, and starts all the same.  So the next version, which nobody has
read yet, lies in such a one.

Of `make rolls`: python -m pytest -s tests/integration/fail_open.py
"""
from __future__ import annotations

import re

from lab_client import ACME, ADDRESSES, MX, PEER, VPS, ZONE, good, on, verify, wait_for
from rolls import FAST, HOUR, LIVE, STATE, peers, renew, served, until_another_key_is_live

VERSIONS = f"{STATE}/certificates/{MX}/versions"
LINK = f"readlink -f {STATE}/live/{MX}"
OUTAGE = 60  # seconds, at most: two restarts of sendmail, and the 20 between them in which the run waits for it
MISMATCH = r"Untrusted|not trusted|not verified|verify error|Verification error|certificate verif"  # what a key without a record would be called


def versions() -> set[str]:
    """The fingerprints of the certificates that the host has for the mail server."""
    return set(on(VPS, f"ls {VERSIONS}").split())


def verified() -> bool:
    """Whether a DANE sender verifies the mail server at both of its addresses."""
    return all("Verified TLS connection established" in on(PEER, f"posttls-finger -c -a {family} -l dane -L summary {ZONE}", check=False)
               for family in ("ipv4", "ipv6"))


def ordered() -> str:
    """Run renew.yml until another version is there, which a later run makes live; its fingerprint."""
    known = versions()
    for _run in range(40):
        good(renew())
        for fingerprint in versions() - known:
            assert not on(VPS, LINK).strip().endswith(fingerprint)
            return fingerprint
    raise AssertionError(f"no other version was ordered; there are {known}")


def test_a_version_with_which_sendmail_has_no_tls_is_taken_back(fast: None) -> None:
    version = ordered()
    on(VPS, "systemctl restart sendmail")  # what it cannot read it replaces by what it started with: that is what is live now
    wait_for(verified, "the mail server is verified", 30)
    live, key = on(VPS, LINK), on(VPS, LIVE)
    said = ""
    with peers() as seen:
        on(VPS, f"chmod 777 {VERSIONS}/{version}")
        try:
            for _run in range(20):
                done = renew()
                if done.status:
                    said = " ".join(done.output.split())
                    break
            undone, again, records = (on(VPS, LINK), on(VPS, LIVE)), verified(), served()
            active = on(VPS, "systemctl is-active sendmail", check=False).strip()
        finally:
            on(VPS, f"chmod 755 {VERSIONS}/{version}; {HOUR}")
        until_another_key_is_live()
        wait_for(verified, "the mail server is verified with the other key", 30)
    wrong, outages = seen.wrong(), seen.outages()
    print(f"sendmail without STARTTLS: {len(wrong)} looks failed, {len(seen.deferred(PEER))} and {len(seen.deferred(ACME))} times mail was deferred:"
          f" {seen.summary()}")
    assert done.status == 2, done.output
    place = "|".join(ADDRESSES[VPS])
    assert re.search(rf"{MX} does not go over to another key: 1 attempt failed, the last with: {MX} at ({place}) port 25 .*STARTTLS", said), said
    assert undone == (live, key) and again and active == "active"
    assert key.strip() in {"".join(record.split()[3:]).lower() for record in records[(MX, 25)]}
    assert on(VPS, LINK).strip() == f"{VERSIONS}/{version}" and on(VPS, LIVE) != key
    # The control: they have seen it, so that it is seen where something else fails.
    assert set(outages) and seen.failed() == {"smtp"} and max(outages.values()) < OUTAGE, outages
    late = [line for line in [*seen.deferred(PEER), *seen.deferred(ACME), *(look["said"] for look in wrong)] if re.search(MISMATCH, line, re.IGNORECASE)]
    assert not late, late[:3]
    good(verify(*FAST))
