# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key rolls while something is broken: no DANE client meets a key that it cannot verify, and the next runs complete the roll.

A seeded sample; `make faults` runs all of them.
"""
from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from lab_client import ACME, BIN, HOME, INVENTORY, MX, PEER, ROOT, VPS, ZONE, good, on, verify, wait_for
from rolls import FAST, HOUR, LIVE, POLICY, STATE, blackhole, peers, renew, until_another_key_is_live

SEED = 11
YOUNGEST = f"ls {STATE}/certificates/{MX}/keys | tail -n 1 | cut -d- -f2 | cut -c-64"
KILLS = int(os.environ.get("KILLS", "3"))
SECONDARY = f"/var/lib/nsd/selfhost-dane/secondary/{ZONE}.zone"
# The secondary's file has what it serves: NSD writes it in its own time.
WRITTEN = (f"nsd-control write {ZONE}; serial=$(nsd-control zonestatus {ZONE} | sed -n 's/.*served-serial: .\\([0-9]*\\).*/\\1/p'); test -n \"$serial\"; "
           f"timeout 20 sh -c \"until grep -qw $serial {SECONDARY}; do sleep 0.2; done\"")


def replaced(program: str, script: str) -> tuple[str, str]:
    """The commands that put a script in place of a program of the host, and the program back."""
    return (f"set -e; cp -a {program} {program}.kept; printf '#!/bin/sh\\n{script}\\n' >{program}.new; chmod 755 {program}.new; mv {program}.new {program}",
            f"mv {program}.kept {program}")


@dataclass(frozen=True)
class Fault:
    """`broken` and `mended` are commands for `host`; `says` is what a run says while it is broken (a pattern, "" where nothing).

    after: how many runs are made before it breaks; where a secondary does and there is none the next key is not published yet.  first: a
    command for `host` before them.
    Where `holds`, no key may go live as long as it is broken.  fall_back: seconds; a secondary that is stopped has on its disk what it had 30
    seconds before (nsd_zonefiles_write), or something older.
    """

    name: str
    host: str
    broken: str
    mended: str
    says: str
    after: int = 0
    first: str = "true"
    holds: bool = True
    fall_back: int = 5

    def policy(self) -> tuple[str, str]:
        """What is given to the playbook after FAST."""
        return "-e", json.dumps({"dane_policy": {**POLICY, "fall_back": self.fall_back}})


FAULTS = [
    # NSD 4.6 stays with what it had on its disk until there is another serial
    Fault("the secondary is stopped", HOME, "systemctl stop nsd", f"systemctl start nsd; nsd-control force_transfer {ZONE}", r"198\.51\.100\.11", fall_back=40),
    # after failures NSD pauses for longer and longer, up to minutes with the SOA of these tests
    Fault("the secondary is stale", HOME, blackhole(HOME, VPS)[0], f"{blackhole(HOME, VPS)[1]}; nsd-control transfer {ZONE}", r"198\.51\.100\.11"),
    # what its disk held before the next key was published is what it serves after a restart
    Fault("the secondary falls back", HOME, f"{blackhole(HOME, VPS)[0]}; systemctl stop nsd; cp /root/old.zone {SECONDARY}; systemctl start nsd",
          blackhole(HOME, VPS)[1] + f"; systemctl stop nsd; rm -f {SECONDARY}; systemctl start nsd; nsd-control force_transfer {ZONE}",
          r"198\.51\.100\.11", after=3, first=f"set -e; {WRITTEN}; cp {SECONDARY} /root/old.zone", fall_back=40),
    Fault("the secondary has expired signatures", HOME, f"set -e; {WRITTEN}; " + blackhole(HOME, VPS)[0] + "; systemctl stop nsd; "
          f"sed -E -i 's/(RRSIG\\s+TLSA\\s+13\\s+[0-9]+\\s+[0-9]+\\s+)[0-9]{{14}}/\\120200101000000/' {SECONDARY}; systemctl start nsd",
          blackhole(HOME, VPS)[1] + f"; systemctl stop nsd; rm -f {SECONDARY}; systemctl start nsd; nsd-control force_transfer {ZONE}",
          r"198\.51\.100\.11"),
    Fault("the CA is down", VPS, *blackhole(VPS, ACME), says="failed: ", after=3),
    Fault("the signer fails", VPS, *replaced("/usr/bin/ldns-signzone", "exit 1"), says="ldns-signzone"),
    Fault("NSD says that it reloads, and does not", VPS, *replaced("/usr/sbin/nsd-control", "exit 0"), says="serves"),
    Fault("apache does not reload", VPS, "echo Nonsense >/etc/apache2/conf-enabled/broken.conf", "rm /etc/apache2/conf-enabled/broken.conf",
          "reload apache2 failed", after=4),
    Fault("apache does as if it reloaded, and does not", VPS, "mkdir -p /run/systemd/system/apache2.service.d; "
          "printf '[Service]\\nExecReload=\\nExecReload=/bin/true\\n' >/run/systemd/system/apache2.service.d/deaf.conf; systemctl daemon-reload",
          "rm -r /run/systemd/system/apache2.service.d; systemctl daemon-reload", "", after=4, holds=False),
    Fault("the disk is full", VPS, f"set -e; mkdir -p /run/full; mount -t tmpfs -o size=4m,mode=755 full /run/full; cp -a {STATE}/. /run/full/; "
          f"dd if=/dev/zero of=/run/full/filler bs=1k 2>/dev/null || :; mount --bind /run/full {STATE}",
          f"set -e; rm -f {STATE}/filler; umount {STATE}; cp -a /run/full/. {STATE}/; umount /run/full", "No space left"),
]
SAMPLE = FAULTS if os.environ.get("FAULTS") == "all" else random.Random(SEED).sample(FAULTS, 1)


@pytest.mark.parametrize("fault", SAMPLE, ids=lambda fault: fault.name)
def test_a_key_rolls_although(fast: None, fault: Fault) -> None:
    said = ""
    with peers() as seen:
        if fault.host == HOME and on(VPS, LIVE) not in on(VPS, YOUNGEST):  # a next key that the secondary has already may go live
            until_another_key_is_live(40, *fault.policy())
        on(fault.host, fault.first)
        for _run in range(fault.after):
            good(renew(*fault.policy()))
        before = on(VPS, LIVE)
        on(fault.host, fault.broken)
        try:
            for run in range(12):
                said += " ".join(renew(*fault.policy()).output.split())
                during = on(VPS, LIVE)
                if run > 2 and re.search(fault.says, said) and (fault.holds or during != before):
                    break
        finally:
            on(fault.host, fault.mended)
            on(VPS, HOUR)
        until_another_key_is_live(40, *fault.policy())
    print(f"{fault.name}: {seen.summary()}")
    assert re.search(fault.says, said), said[-3000:]
    assert (during == before) == fault.holds
    refused = [look for look in seen.wrong() if "efused" not in look["said"]] if not fault.holds else seen.wrong()
    assert not refused and not (fault.holds and (seen.deferred(PEER) or seen.deferred(ACME)))
    good(verify(*FAST))


def killed(seconds: float, victim: Callable[[subprocess.Popen[bytes]], None]) -> bool:
    """Run renew.yml and call `victim` after so many seconds; whether the run was still there then."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "examples" / "ansible.cfg")}
    with subprocess.Popen([str(BIN / "ansible-playbook"), *INVENTORY, "selfhost.dane.renew", *FAST], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            victim(process)
            process.wait(120)
            return True
    return False


def controller(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the controller and all that it has started on its own machine."""
    os.killpg(process.pid, signal.SIGKILL)


def module(_process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for what the modules do on the host, in the middle of it."""
    on(VPS, "pkill -9 -x 'python3|dehydrated|ldns-signzone'", check=False)


def test_a_key_rolls_although_runs_are_killed(fast: None) -> None:
    """The controller, or the module on the host, at any moment; in each second run."""
    generator, kills = random.Random(SEED), 0
    begin = float(on(PEER, "date +%s"))
    good(renew())
    whole = float(on(PEER, "date +%s")) - begin
    with peers() as seen:
        while kills < KILLS:
            victim = generator.choice((controller, module))
            kills += killed(generator.uniform(0, whole), victim)
            wait_for(lambda: not on(VPS, "pgrep -x python3", check=False).strip(), "the host's half of the killed run has ended", 60)
            renew()
        until_another_key_is_live(40)
    print(f"{kills} runs killed: {seen.summary()}")
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    assert MX in good(verify(*FAST)).output
