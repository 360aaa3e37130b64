# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests do with the lab: run playbooks, run commands on its hosts, wait for facts."""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
INVENTORY = ("-i", str(ROOT / "examples" / "inventory.yml"), "-i", str(ROOT / "tests" / "lab" / "inventory.yml"))
FLEET = ("-i", str(ROOT / "tests" / "lab" / "fleet.yml"))  # given after them
ZONE, MX = "pyon.example", "g.pyon.example"
VPS, HOME, PEER, ACME, ROOTNS = "vps.pyon.example", "home.pyon.example", "peer.example", "acme.example", "rootns.example"
MX2, CONTROL = "mx2.pyon.example", "control.example"  # of the fleet
ADDRESSES = {VPS: ("198.51.100.10", "2001:db8:51::10"), HOME: ("198.51.100.11", "2001:db8:51::11"), MX2: ("198.51.100.12", "2001:db8:51::12"),
             ACME: ("198.51.100.30", "2001:db8:51::30")}
MAIL_HOSTS = {MX: VPS, MX2: MX2}  # mail name: the host behind it
SIGNED = f"/var/lib/selfhost-dane/signed/{ZONE}.signed"
_RECAP = re.compile(r"^(\S+)\s+: ((?:\w+=\d+\s*)+)$", re.MULTILINE)
T = TypeVar("T")


@dataclass
class Run:
    """A finished playbook: exit status, what it printed, and the recap of each host."""

    status: int
    output: str
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    def total(self, what: str) -> int:
        """The sum of a figure of the recap ("changed", "failed") over all hosts."""
        return sum(figures[what] for figures in self.recap.values())


def playbook(name: str, *arguments: str, seconds: float = 900, environment: dict[str, str] | None = None) -> Run:
    """Run the playbook `name` (of the collection, or a path) on the lab's inventory."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0",
           "ANSIBLE_CONFIG": str(ROOT / "examples" / "ansible.cfg"), "ANSIBLE_HOME": str(ROOT / ".cache" / "ansible"),
           **(environment or {})}
    done = subprocess.run([str(BIN / "ansible-playbook"), *INVENTORY, name, *arguments], cwd=ROOT, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                          check=False, start_new_session=True)
    return Run(done.returncode, done.stdout, recap_of(done.stdout))


def recap_of(output: str) -> dict[str, dict[str, int]]:
    """The figures of each host at the end of a playbook's output."""
    return {host: {key: int(value) for key, value in (pair.split("=") for pair in figures.split())} for host, figures in _RECAP.findall(output)}


def good(done: Run) -> Run:
    """`done`, which ended well; else all that it printed."""
    assert done.status == 0, done.output
    return done


def site(*arguments: str, **options: object) -> Run:
    """Run site.yml."""
    return playbook("selfhost.dane.site", *arguments, **options)  # type: ignore[arg-type]


def verify(*arguments: str) -> Run:
    """Run verify.yml."""
    return playbook("selfhost.dane.verify", *arguments)


def registrar(*arguments: str) -> Run:
    """Have the registrar of the lab put the zone's DS into its parent."""
    return playbook(str(ROOT / "tests" / "lab" / "registrar.yml"), *arguments)


def lab(*arguments: str, seconds: float = 300) -> str:
    """Run the lab's own command."""
    return subprocess.run([str(ROOT / "tests" / "lab" / "lab"), *arguments], check=True, text=True, capture_output=True,
                          timeout=seconds).stdout


def blank() -> None:
    """Make the managed hosts blank; the parent has no DS for a key that is lost with them."""
    lab("reset", VPS, HOME)
    good(registrar("-e", '{"registrar_ds": []}'))


def empty_caches() -> None:
    """Of the resolvers of the lab, which may hold for minutes what was before."""
    for host in (ACME, PEER):
        on(host, "systemctl restart unbound")


def on(host: str, command: str, *, seconds: float = 60, stdin: str = "", check: bool = True) -> str:
    """What the shell `command` prints on `host` of the lab (both streams)."""
    done = subprocess.run([str(ROOT / "tests" / "lab" / "lab"), "exec", "--timeout", str(seconds), host, "sh", "-c", command], input=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 20, check=False)
    if check and done.returncode:
        raise AssertionError(f"{host}: {shlex.quote(command)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def tlsa(name: str, port: int) -> list[str]:
    """The TLSA data that a validating resolver serves."""
    answer = on(PEER, f"dig +noall +answer +adflag TLSA _{port}._tcp.{name}")
    return re.findall(r"\sTLSA\s+(\d \d \d [0-9A-F ]+)$", answer, re.MULTILINE)


def wait_for(fact: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Look until `fact()` is true (any truthy value), at most `seconds`; say what was awaited and last seen."""
    end = time.monotonic() + seconds
    while True:
        last = fact()
        if last:
            return last
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:g} seconds; last seen: {last!r}")
        time.sleep(0.2)


def start_again(host: str, *units: str) -> None:
    """Start a host that was stopped, and wait until ssh and the units are there."""
    lab("podman", "start", host)
    wait_for(lambda: set(on(host, f"systemctl is-active {' '.join(('ssh', *units))}", check=False).split()) == {"active"}, f"{host} can be reached again", 60)


@contextmanager
def timers_rest() -> Iterator[None]:
    """Meanwhile the vps's own timers do not sign its zone anew or order a certificate, which would mend what a test altered."""
    timers = "selfhost-dane-sign.timer selfhost-dane-renew.timer"
    try:
        on(VPS, f"systemctl stop {timers}")
        yield
    finally:
        on(VPS, f"systemctl start {timers}")


def alter_zone(script: str, everywhere: bool = True, ahead: int = 1) -> None:
    """Sign the zone anew on the primary with its text altered by the sed `script`, its serial `ahead`, as a stranger's hand would.

    Then wait until all name servers serve it, or without `everywhere` the primary alone.
    """
    old = on(PEER, f"dig +short +norec @{ADDRESSES[VPS][0]} {ZONE} SOA")
    on(VPS, f"""set -e
        cd $(mktemp -d)
        key=$(ls /var/lib/selfhost-dane/zones/{ZONE}/key/*.private)
        ldns-read-zone -s {SIGNED} | sed -E '{script}' > zone
        serial=$(awk '$4 == "SOA" {{print $7; exit}}' zone)
        sed -i "s/ $serial / $((serial + {ahead})) /" zone
        ldns-signzone -f signed zone ${{key%.private}}
        cat signed > {SIGNED}
        nsd-control reload {ZONE}""")
    for address in ADDRESSES[VPS] + (ADDRESSES[HOME] if everywhere else ()):
        wait_for(lambda asked=address: on(PEER, f"dig +short +norec @{asked} {ZONE} SOA") not in ("", old), f"{address} serves the altered zone")
    on(PEER, f"unbound-control flush_zone {ZONE}")
