# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key is kept: the host's own timer renews the certificates again and again, no controller runs, and no peer notices.

Of `make rolls`: ROLLS=10 python -m pytest -s tests/integration/kept_key.py
"""
from __future__ import annotations

import pytest
from lab_client import ACME, ADDRESSES, MX, PEER, VPS, blank, empty_caches, good, on, registrar, site, wait_for
from rolls import CERTIFICATE, LIVE, ROLLS, peers, served
from test_5_timers import LIFETIME, SHORT, presented, short

__all__ = ["short"]  # a fixture


@pytest.mark.usefixtures("short")
def test_certificates_are_renewed_with_the_same_key_and_no_peer_notices() -> None:
    """On blank hosts: where records stood for certificates, the timer leaves renewals to the plan for days."""
    blank()
    empty_caches()
    for step in (site, registrar):
        good(step(*SHORT))
    empty_caches()                             # of the zone that had no DS
    key, records, certificates = on(VPS, LIVE), served(), [on(VPS, CERTIFICATE)]
    with peers() as seen:
        for _renewal in range(ROLLS):
            wait_for(lambda: on(VPS, CERTIFICATE) != certificates[-1], "another certificate is live", LIFETIME + 30)
            certificates.append(on(VPS, CERTIFICATE))
            wait_for(lambda: all(presented(MX, port, address)[0].replace(":", "").lower().endswith(certificates[-1].strip())
                                 for port in (25, 443) for address in ADDRESSES[VPS]), "it is presented", 30)
    print(f"{ROLLS} renewals with the same key: {seen.summary()}")
    assert len(set(certificates)) == ROLLS + 1 and on(VPS, LIVE) == key and served() == records
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
