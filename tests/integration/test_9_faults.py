# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key rolls while something is broken: no DANE client meets a key that it cannot verify, and the next runs complete the roll.

A seeded sample; `make faults` runs all of them.
"""
from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO

import pytest
from lab_client import ACME, BIN, HOME, INVENTORY, MX, PEER, ROOT, SIGNED, VPS, ZONE, good, on, verify, wait_for
from rolls import FAST, HOLD, HOUR, LIVE, POLICY, STATE, blackhole, peers, renew, until_another_key_is_live

SEED = 14
YOUNGEST = f"ls {STATE}/certificates/{MX}/keys | tail -n 1 | cut -d- -f2 | cut -c-64"
KILLS = int(os.environ.get("KILLS", "3"))
SECONDARY = f"/var/lib/nsd/selfhost-dane/{ZONE}.zone"
# The secondary's file has what it serves: NSD writes it in its own time.
WRITTEN = (f"nsd-control write {ZONE}; serial=$(nsd-control zonestatus {ZONE} | sed -n 's/.*served-serial: .\\([0-9]*\\).*/\\1/p'); test -n \"$serial\"; "
           f"timeout 20 sh -c \"until grep -qw $serial {SECONDARY}; do sleep 0.2; done\"")


def replaced(program: str, script: str) -> tuple[str, str]:
    """The commands that put a script in place of a program of the host, and the program back."""
    return (f"set -e; cp -a {program} {program}.kept; printf '#!/bin/sh\\n{script}\\n' >{program}.new; chmod 755 {program}.new; mv {program}.new {program}",
            f"mv {program}.kept {program}")


def restarted_with(file: str) -> tuple[str, str]:
    """The commands by which the secondary cannot reach the primary and serves `file` after a restart, and by which it has all anew."""
    return (f"set -e; {blackhole(HOME, VPS)[0]}; systemctl stop nsd; cp {file} {SECONDARY}; systemctl start nsd",
            f"{blackhole(HOME, VPS)[1]}; systemctl stop nsd; rm -f {SECONDARY}; systemctl start nsd; nsd-control force_transfer {ZONE}")


def signed_in_the_past() -> None:
    """Give the secondary, beside what it serves, the zone as the primary serves it, but with signatures that have expired."""
    zone = on(VPS, f"set -e; grep -vwE 'RRSIG|NSEC' {SIGNED} >/root/zone; ldns-signzone -o {ZONE}. -i 20191201000000 "
                   f"-e 20200101000000 -f /root/expired.zone /root/zone {STATE}/zones/{ZONE}/key/zone; cat /root/expired.zone")
    serial = re.findall(r"\sSOA\s+\S+\s+\S+\s+(\d+)", zone)[0]
    wait_for(lambda: f'served-serial: "{serial} ' in on(HOME, f"nsd-control zonestatus {ZONE}"), "the secondary serves what the primary has signed")
    on(HOME, "cat >/root/expired.zone", stdin=zone)


# What looks and mail say where a resolver answers SERVFAIL; Exim does not try such a host for a while.
UNANSWERED = r"SERVFAIL|TLSA lookup error|Host not found, try again|lookup DEFER|lookup did not complete|retry time not reached"


@dataclass(frozen=True)
class Fault:
    """`broken` and `mended` are commands for `host`; `says` is what a run says while it is broken (a pattern, "" where nothing).

    after: how many runs are made before it breaks; where a secondary does and there is none the next key is not published yet.  first: what is done
    before them.  excused: a pattern for what looks and mail that wait may say of it; what any other says is a failure.
    Where `holds`, no key may go live as long as it is broken.  fall_back: seconds; a secondary that is stopped has on its disk what it had 30
    seconds before (nsd_zonefiles_write), or something older.  A secondary stays broken for twice the time in which the key would be live if nobody
    waited for it, and says at the end that the key waits for it alone.
    """

    name: str
    host: str
    broken: str
    mended: str
    says: str
    after: int = 0
    first: Callable[[], object] = lambda: None
    excused: str = "(?!)"
    holds: bool = True
    fall_back: int = 5

    def policy(self) -> tuple[str, str]:
        """What is given to the playbook after FAST."""
        return "-e", json.dumps({"dane_policy": {**POLICY, "fall_back": self.fall_back}})

    def lasts(self) -> int:
        """Seconds for which it stays broken, at the least."""
        return 2 * (self.fall_back + HOLD + POLICY["lead"]) if self.host == HOME else 0


# by the order of addresses those of the primary came first
WAITS = r"held back: (198\.51\.100\.11|2001:db8:51::11) "
FAULTS = [
    # NSD 4.6 stays with what it had on its disk until there is another serial
    Fault("the secondary is stopped", HOME, "systemctl stop nsd", f"systemctl start nsd; nsd-control force_transfer {ZONE}", WAITS, fall_back=40),
    # after failures NSD pauses for longer and longer, up to minutes with the SOA of these tests
    Fault("the secondary is stale", HOME, blackhole(HOME, VPS)[0], f"{blackhole(HOME, VPS)[1]}; nsd-control transfer {ZONE}", WAITS),
    # what its disk held before the next key was published is what it serves after a restart
    Fault("the secondary falls back", HOME, *restarted_with("/root/old.zone"), WAITS, after=3,
          first=partial(on, HOME, f"set -e; {WRITTEN}; cp {SECONDARY} /root/old.zone"), fall_back=40),
    # unbound asks again up to five times, but not rather a server that was good: it avoids all that were asked for any part of the name
    Fault("the secondary has expired signatures", HOME, *restarted_with("/root/expired.zone"), WAITS, first=signed_in_the_past, excused=UNANSWERED),
    Fault("the CA is down", VPS, *blackhole(VPS, ACME), says="failed: ", after=3),
    Fault("the signer fails", VPS, *replaced("/usr/bin/ldns-signzone", "exit 1"), says="ldns-signzone"),
    Fault("NSD says that it reloads, and does not", VPS, *replaced("/usr/sbin/nsd-control", "exit 0"), says="serves"),
    Fault("apache does not reload", VPS, "echo Nonsense >/etc/apache2/conf-enabled/broken.conf", "rm /etc/apache2/conf-enabled/broken.conf",
          "reload apache2 failed", after=4),
    Fault("apache does as if it reloaded, and does not", VPS, "mkdir -p /run/systemd/system/apache2.service.d; "
          "printf '[Service]\\nExecReload=\\nExecReload=/bin/true\\n' >/run/systemd/system/apache2.service.d/deaf.conf; systemctl daemon-reload",
          "rm -r /run/systemd/system/apache2.service.d; systemctl daemon-reload", "", after=4, excused="efused", holds=False),
    Fault("the disk is full", VPS, f"set -e; mkdir -p /run/full; mount -t tmpfs -o size=4m,mode=755 full /run/full; cp -a {STATE}/. /run/full/; "
          f"dd if=/dev/zero of=/run/full/filler bs=1k 2>/dev/null || :; mount --bind /run/full {STATE}",
          f"set -e; rm -f {STATE}/filler; umount {STATE}; cp -a /run/full/. {STATE}/; umount /run/full", "No space left"),
]
SAMPLE = FAULTS if os.environ.get("FAULTS") == "all" else random.Random(SEED).sample(FAULTS, 1)


@pytest.mark.parametrize("fault", SAMPLE, ids=lambda fault: fault.name)
def test_a_key_rolls_although(fast: None, fault: Fault) -> None:
    said = last = ""
    with peers() as seen:
        if fault.host == HOME and on(VPS, LIVE) not in on(VPS, YOUNGEST):  # a next key that the secondary has already may go live
            until_another_key_is_live(40, *fault.policy())
        fault.first()
        for _run in range(fault.after):
            good(renew(*fault.policy()))
        before = on(VPS, LIVE)
        on(fault.host, fault.broken)
        begin = time.monotonic()
        try:
            for run in range(60):
                last = " ".join(renew(*fault.policy()).output.split())
                said += last
                during = on(VPS, LIVE)
                if run > 2 and re.search(fault.says, said) and (fault.holds or during != before) and time.monotonic() - begin > fault.lasts():
                    break
        finally:
            on(fault.host, fault.mended)
            on(VPS, HOUR)
        until_another_key_is_live(40, *fault.policy())
    print(f"{fault.name}: {seen.summary()}")
    assert re.search(fault.says, last if fault.lasts() else said), said[-3000:]
    assert (during == before) == fault.holds
    came = [*(look["said"] for look in seen.wrong()), *seen.deferred(PEER), *seen.deferred(ACME)]
    assert not [said for said in came if not re.search(fault.excused, said)]
    good(verify(*FAST))


# Modules whose work has several steps, and a command of the host that succeeds while each is in the middle of them: what it has locked, or that it is there.
MODULES = {**{name: f"! flock -n {lock} true" for name, lock in (
    ("tls_certificates", f"{STATE}/certificates.lock"), ("tlsa_rrsets", f"{STATE}/record.json.lock"), ("signed_zones", f"{STATE}/zones/.lock"))},
    "text_files": "ls -d /tmp/ansible_*text_files_payload_*"}  # zone_files is made of it
# By their whole command lines: python that reads a module from its standard input, and programs that modules start (dehydrated is a script of bash).
MODULE, PROGRAM = "^/usr/bin/python3$", "^(ldns-signzone|bash /usr/bin/dehydrated) "
UNPACKED = "/tmp/ansible_*_payload_*"  # where a module is while it runs, and stays where it is killed
TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+$", re.MULTILINE)
IN = "the controller in "
PLAY = re.compile(r"^PLAY \[(.*)\] \*+$", re.MULTILINE)
Victim = Callable[[subprocess.Popen[bytes], IO[str]], str]


def killed(seconds: float, victim: Victim) -> str:
    """Run renew.yml and call `victim` with it and its output after so many seconds; what was hit, "" where nothing was."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "examples" / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
                   "ANSIBLE_FORCE_COLOR": "0"}
    command = [str(BIN / "ansible-playbook"), *INVENTORY, "selfhost.dane.renew", *FAST]
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                                                  stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            hit = victim(process, output)
            process.wait(120)
            return hit
    return ""


def family(pid: int) -> list[int]:
    """A process of this machine and all that it has started; each worker of Ansible is in a session of its own."""
    children = subprocess.run(["pgrep", "-P", str(pid)], text=True, stdout=subprocess.PIPE, check=False).stdout.split()
    return [pid, *(one for child in children for one in family(int(child)))]


def controller(play: str, process: subprocess.Popen[bytes], output: IO[str]) -> str:
    """SIGKILL for the controller and all that it has started on its own machine; with `play` as soon as it is in that one."""
    while play and process.poll() is None and play not in plays(output):
        time.sleep(0.01)
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if process.wait(120) != -signal.SIGKILL:
        return ""
    at = plays(output)
    output.seek(0)
    return f"{IN}{at[-1] if at else 'no play'}, at {['its start', *TASK.findall(output.read())][-1]}"


def plays(output: IO[str]) -> list[str]:
    """The plays that a run has begun."""
    output.seek(0)
    return PLAY.findall(output.read())


def module(busy: str, seconds: float, programs: bool, _process: subprocess.Popen[bytes], _output: IO[str]) -> str:
    """SIGKILL for the module that is at work on the host: its name, or python3 where it is not unpacked yet.

    busy: wait until this command succeeds there, and for so many seconds more.  programs: kill what the module has started too; else that goes on.
    """
    wait = f"timeout 20 sh -c 'until {busy} >/dev/null 2>&1; do sleep 0.005; done' && sleep {seconds:.3f} && " if busy else ""
    said = on(VPS, f"{wait}pkill -9 -e -f '{f'{MODULE}|{PROGRAM}' if programs else MODULE}' && ls -d {UNPACKED}", check=False)
    names = re.findall(r"^/tmp/ansible_(?:\w+\.)*(\w+)_payload_", said, re.MULTILINE) or re.findall(r"^(python3) killed", said, re.MULTILINE)
    return " and ".join([*names, *(name for comm, name in (("ldns-signzone", "ldns-signzone"), ("bash", "dehydrated")) if f"{comm} killed" in said)])


def test_a_key_rolls_although_runs_are_killed(fast: None) -> None:
    """The controller, or the module on the host, at any moment; in each second run.  The next run ends well, and in the end a key has rolled.

    The long form kills each module in the middle of its steps, and the controller in each play, too.
    """
    generator, hit, missed = random.Random(SEED), Counter[str](), list[str]()
    aims = MODULES if KILLS >= 40 else {}
    begin = float(on(PEER, "date +%s"))
    wanted = [*aims, *(f"{IN}{play}" for play in PLAY.findall(good(renew()).output) if aims)]
    whole = float(on(PEER, "date +%s")) - begin
    with peers() as seen:
        for _run in range(5 * KILLS):
            on(VPS, f"rm -rf {UNPACKED}")
            play = generator.choice(["", *(name.removeprefix(IN) for name in missed if name.startswith(IN))])
            victims = [partial(controller, play),
                       *(partial(module, busy, generator.uniform(0, 0.2), generator.random() < 0.5) for busy in ("", *aims.values()))]
            victim = generator.choice(victims)
            what = killed(0.1 if play and victim is victims[0] else generator.uniform(0, whole), victim)
            wait_for(lambda: not on(VPS, "pgrep -x python3", check=False).strip(), "the host's half of the killed run has ended", 60)
            if what:
                hit[what] += 1
                good(renew())
            missed = [name for name in wanted if not any(one.startswith(name) for one in hit)]
            if hit.total() >= KILLS and not missed:
                break
        until_another_key_is_live(40)
    print(f"{hit.total()} runs killed: {seen.summary()}", *(f"{times:4} {what}" for what, times in hit.most_common()), sep="\n")
    assert hit.total() >= KILLS and not missed, missed
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    assert MX in good(verify(*FAST)).output
