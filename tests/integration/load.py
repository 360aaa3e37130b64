# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under load, ten https and SMTP transactions at any moment, other certificates go live, and no transaction is lost.

Of `make rolls`: python -m pytest -s tests/integration/load.py
"""
from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lab_client import ADDRESSES, MX, PEER, ROOT, VPS, ZONE, good, on
from rolls import KEEP, LIVE, renew

STOP = "/run/load-peers-stop"


def test_a_deployment_under_load_loses_no_transaction(fast: None) -> None:
    for _run in range(8):  # so that the next key may go live soon
        good(renew(*KEEP))
    old = on(VPS, LIVE)
    on(PEER, f"rm -f {STOP}")
    command = [str(ROOT / "tests" / "lab" / "lab"), "exec", "--timeout", "900", PEER, "python3", "-", MX, ",".join(ADDRESSES[VPS]), ZONE, STOP]
    with Path(__file__).with_name("load_peers.py").open() as script, subprocess.Popen(command, text=True, stdin=script, stdout=subprocess.PIPE) as load:
        try:
            good(renew(*KEEP, "-e", json.dumps({"dane_roll": [MX, ZONE], "dane_wait": True})))
        finally:
            on(PEER, f"touch {STOP}")
            said = load.communicate(timeout=120)[0]
    seen = json.loads(said)
    print(f"under load: {seen['done']} transactions, {len(seen['failed'])} failed {seen['failed'][:3]}")
    assert on(VPS, LIVE) != old
    assert seen["done"]["https"] > 500 and seen["done"]["smtp"] > 200
    assert not seen["failed"]
