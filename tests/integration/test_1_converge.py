# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged fleet: a second run leaves it alone, and finds what somebody did by hand."""
from __future__ import annotations

from lab_client import ADDRESSES, HOME, PEER, VPS, ZONE, good, on, site, wait_for

# All files that hold state or configuration; and each daemon with the time it started.
FILES = ("find /etc /var/lib/selfhost-dane /var/lib/nsd /var/lib/dehydrated /usr/local /var/www -xdev -type f"
         " ! -path '/etc/.pwd.lock' -exec sha256sum {} + 2>/dev/null | sort -k2;"
         " find /var/lib/selfhost-dane -type l -printf '%p -> %l\\n' | sort")
DAEMON_NAMES = {VPS: ("apache2", "sendmail-mta", "nsd", "unbound"), HOME: ("nsd", "unbound")}
DAEMONS = "ps -eo lstart=,pid=,comm= | grep -E ' (nsd: xfrd|unbound|sendmail-mta|apache2)$' | sort"  # NSD's other processes are new after each transfer


def test_a_second_run_changes_nothing(converged: None) -> None:
    # NSD writes what it has transferred some time later: not while we look
    serial = on(PEER, f"dig +short +norec @{ADDRESSES[HOME][0]} {ZONE} SOA").split()[2]
    on(HOME, f"nsd-control write {ZONE}")
    wait_for(lambda: serial in on(HOME, f"cat /var/lib/nsd/selfhost-dane/{ZONE}.zone", check=False), "NSD has written the zone")
    before = {host: (on(host, FILES), on(host, DAEMONS)) for host in (VPS, HOME)}
    done = good(site())
    assert done.total("changed") == 0, done.output
    for host in (VPS, HOME):
        assert before[host] == (on(host, FILES), on(host, DAEMONS))
    assert "sendmail-mta" in before[VPS][1] and "nsd" in before[HOME][1] and "privkey.pem" in before[VPS][0]


def test_check_on_a_converged_fleet_finds_nothing_to_do(converged: None) -> None:
    done = good(site("--check", "--diff"))
    assert done.total("changed") == 0, done.output


def test_daemons_killed_by_hand_are_found_and_started(converged: None) -> None:
    for host, processes in DAEMON_NAMES.items():
        for process in processes:
            unit = f"{process.removesuffix('-mta')}.service"
            # stopped too, or systemd would be the one who starts some of them again
            on(host, f"systemctl kill --signal=KILL {unit}; systemctl stop {unit}; pkill -KILL '^{process}'; true")
            wait_for(lambda: not on(host, f"pgrep '^{process}'", check=False), f"{process} is dead")  # noqa: B023
    done = good(site())
    for handler in ("Restart apache", "Restart sendmail", "Restart nsd", "Restart unbound"):
        assert f": {handler}]" in done.output
    for host, processes in DAEMON_NAMES.items():
        for process in processes:
            assert on(host, f"pgrep '^{process}'")
    assert site("--check").total("changed") == 0
