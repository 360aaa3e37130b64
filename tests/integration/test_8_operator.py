# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator asks for: how it stands, a roll that is waited for, and another key because somebody has the live one."""
from __future__ import annotations

import json
import re

from lab_client import ACME, HOME, MX, PEER, VPS, Run, good, on, playbook, verify, wait_for
from rolls import FAST, KEEP, LIVE, TTL, peers, renew, served

# all that the playbooks keep, write or restart; NSD writes what it serves as a secondary by itself
FILES = ("find /var/lib/selfhost-dane /etc -xdev -type f -not -name '*.lock' -exec sha256sum {} + | sort;"
         " systemctl show --property=Id,MainPID nsd apache2 sendmail")


def status() -> str:
    """What status.yml says, in one line."""
    return " ".join(good(playbook("selfhost.dane.status", *FAST, *KEEP)).output.split())


def emergency(why: str, *harm: str) -> Run:
    """Run roll_tls_key.yml with answers."""
    answers = {"roll_host": VPS, "roll_certificate": MX, "roll_why": why, **({"roll_harm": harm[0]} if harm else {})}
    return playbook("selfhost.dane.roll_tls_key", *FAST, *KEEP, "-e", json.dumps(answers))


def without_state(files: str) -> str:
    """FILES without what the timers of the host write by themselves."""
    return "\n".join(line for line in files.splitlines() if "/selfhost-dane/certificates/" not in line or "/keys/" in line or "/versions/" in line)


def test_the_status_says_where_each_key_is_and_changes_nothing(fast: None) -> None:
    for _run in range(3):
        good(renew(*KEEP))
    before = [without_state(on(host, FILES)) for host in (VPS, HOME)]
    said = status()
    assert [without_state(on(host, FILES)) for host in (VPS, HOME)] == before
    assert f"{MX} on {VPS}: in order why its key is kept until the operator asks for another" in said, said


def test_a_run_that_waits_ends_when_the_key_has_arrived(fast: None) -> None:
    old = on(VPS, LIVE)
    with peers() as seen:
        done = good(renew(*KEEP, "-e", json.dumps({"dane_roll": [MX], "dane_wait": True})))
    print(f"one run that waits: {seen.summary()}")
    assert on(VPS, LIVE) != old and f"{VPS}, {MX}: waits: " in done.output, done.output
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)


def test_a_stolen_key_is_replaced_at_once_by_the_next_one_that_caches_know(fast: None) -> None:
    for _run in range(12):  # until the key that comes next may go live
        good(renew(*KEEP))
    old = on(VPS, LIVE).strip()
    assert len(served()[MX, 25]) == 2
    with peers() as seen:
        done = good(emergency("stolen"))
    print(f"a stolen key: {seen.summary()}")
    assert on(VPS, LIVE).strip() != old
    wait_for(lambda: old.upper() not in "".join(served()[MX, 25]).replace(" ", ""), "no cache has the record of the stolen key", TTL)
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    revoke = re.search(r"cp /var/lib/selfhost-dane/\S+ /root/\S+ && dehydrated --config \S+ --revoke /root/\S+?\.pem", " ".join(done.output.split()))
    assert revoke, done.output
    assert "+ Done." in on(VPS, revoke[0])  # what the operator is told to do is done as it stands there
    good(verify(*FAST))
