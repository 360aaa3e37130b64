# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one VPS manages itself: blank at the start, it renews with other keys and verifies with nobody there, from an inventory with a vault.

Of `make rolls`: python -m pytest -s tests/integration/unattended_alone.py
"""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lab_client import ACME, ADDRESSES, BIN, PEER, ROOT, VPS, ZONE, blank, empty_caches, good, on, playbook, registrar, site, verify, wait_for
from rolls import CERTIFICATE, LIVE, peers

RENEWALS = 3
VAULT = ROOT / ".cache" / "unattended_alone.yml"
PASSWORD = "/etc/unattended-vault-password"
SECRET = "dns-operator"  # local part of the SOA's hostmaster, and in the inventory as a vault has it
NOBODY = ("-e", '{"dane_unattended": null}')
RUNS = ("renew", "verify")
TIMERS = " ".join(f"selfhost-dane-unattended-{run}.timer" for run in RUNS)


def encrypted(password: Path) -> tuple[str, ...]:
    """Write the inventory with the encrypted value; the arguments of a playbook that reads it."""
    command = [str(BIN / "ansible-vault"), "encrypt_string", "--vault-password-file", str(password), "--name", "alone_hostmaster", f"{SECRET}@{ZONE}"]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    VAULT.parent.mkdir(exist_ok=True)
    VAULT.write_text("all:\n  vars:\n" + "".join(f"    {line}\n" for line in made.splitlines()))
    return ("-i", str(ROOT / "tests" / "lab" / "unattended_alone.yml"), "-i", str(VAULT), "--vault-password-file", str(password))


def subjects() -> list[str]:
    """Those of the mail that the operator has got from the host, oldest first."""
    return re.findall(r"^Subject: (.* on vps\.pyon\.example .*)$", on(PEER, "cat /var/mail/peer 2>/dev/null", check=False), re.MULTILINE)


def last_end(run: str) -> tuple[str, ...]:
    """When a run has ended last, by the clock of systemd, and how; nothing where there was none, or while one is on its way."""
    said = on(VPS, "systemctl show --property ActiveState,ExecMainExitTimestampMonotonic,Result,ExecMainStatus"
                   f" selfhost-dane-unattended-{run}.service")
    shown = dict(line.split("=", 1) for line in said.splitlines())
    ended = shown["ExecMainExitTimestampMonotonic"]
    return (ended, shown["Result"], shown["ExecMainStatus"]) if shown["ActiveState"] in ("inactive", "failed") and ended != "0" else ()


def test_the_one_vps_renews_and_verifies_with_nobody_there(internet: None, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("not to be guessed\n")
    password.chmod(0o600)
    alone = encrypted(password)
    blank()
    empty_caches()
    try:
        good(site(*alone, *NOBODY))  # no run is to find the zone without its DS
        good(registrar())
        empty_caches()
        good(verify(*alone))
        on(VPS, f"umask 077; cat >{PASSWORD}", stdin=password.read_text())
        good(playbook(str(ROOT / "tests" / "lab" / "unattended_packages.yml"), "-e", f"unattended_packages_host={VPS}"))
        before = len(subjects())
        good(site(*alone))
        assert on(VPS, f"grep -r {SECRET} /etc/selfhost-dane/unattended/project/", check=False) == ""  # the copy is as encrypted as the inventory

        keys, certificates = [on(VPS, LIVE)], [on(VPS, CERTIFICATE)]
        ends: dict[str, set[tuple[str, ...]]] = {run: set() for run in RUNS}

        def certificate() -> str:
            """The live one; each end of a run that is seen meanwhile is kept."""
            for run in RUNS:
                ends[run] |= {last_end(run)} - {()}
            return on(VPS, CERTIFICATE)

        with peers() as seen:
            for _renewal in range(RENEWALS):
                wait_for(lambda: certificate() not in certificates, "another certificate is live", 300)
                keys.append(on(VPS, LIVE))
                certificates.append(on(VPS, CERTIFICATE))
            wait_for(lambda: certificate() and all(len(found) > 2 for found in ends.values()), "both runs have ended three times", 300)
            told = subjects()[before:]
        how = {end[1:] for found in ends.values() for end in found}
        print(f"{len(set(certificates)) - 1} renewals by the host itself, {len(set(keys)) - 1} other keys; runs seen to end: "
              f"{', '.join(f'{run} {len(found)}' for run, found in ends.items())}, {sorted(how)}; told: {told}; {seen.summary()}")
        assert len(set(certificates)) >= RENEWALS + 1 and len(set(keys)) >= RENEWALS + 1
        assert how == {("success", "0")} and told == []
        assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
        assert on(PEER, f"dig +short +norec @{ADDRESSES[VPS][0]} {ZONE} SOA").split()[1] == f"{SECRET}.{ZONE}."

        # Its own mail server would have told the operator.
        on(VPS, f"mv {PASSWORD} {PASSWORD}.away")
        wait_for(lambda: f"renew on {VPS} failed" in subjects()[before:], "the operator is told that the vault cannot be opened", 200)
        on(VPS, f"mv {PASSWORD}.away {PASSWORD}")
        wait_for(lambda: f"renew on {VPS} is well again" in subjects()[before:], "the operator is told that it is well", 200)
    finally:
        good(site())  # names no host that works unattended
    assert on(VPS, f"systemctl is-active {TIMERS}; systemctl is-enabled {TIMERS}", check=False).split() == [*["inactive"] * 2, *["disabled"] * 2]
