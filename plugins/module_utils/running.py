# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the running daemon differ from what is on disk?  Reads only.

How the times compare.  The start of a process is counted by the kernel in ticks (10 ms) of CLOCK_BOOTTIME, which is the
same inside a container and out of it; the wall clock minus CLOCK_BOOTTIME makes it a date.  /proc/uptime and the btime of
/proc/stat are not used: some containers show others there.  A file is dated by its ctime, which the kernel sets at each
change of content, name or mode and nobody can choose; mtime adds nothing but the lies of `touch` and `rsync --times`.
A tick is cut off downwards and ctime lags by one kernel tick at most, so a file written before the start has never a
ctime above start + 10 ms: a restart always cures, and nothing restarts twice.  A file written within those 10 ms is not
noticed, but no daemon has read its files so soon after its fork.  As sendmail forks after it has read them, the start of
the unit, if older, counts in place of the process's.  A ctime in the future (the clock was set back) cannot be cured by a
restart and is disregarded until the clock has passed it.
"""
from __future__ import annotations

import base64
import binascii
import glob
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from . import clock
from .errors import DaneError
from .files import read_file
from .process import run

SIZE_MAX = 1 << 20  # octets of a chain or a pid file
TICK = 1 / os.sysconf("SC_CLK_TCK")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")


@dataclass(frozen=True)
class Endpoint:
    """What `address`:`port` is to present to one who asks for `name`: the chain in the PEM file `certificate`."""

    address: str
    port: int
    service: str  # https or smtp
    name: str
    certificate: str
    required: bool = False
    """A certificate that does not exist is an error; otherwise the port is not asked then."""
    key: str = ""
    """Its private key, where the service does without TLS when others could read or replace it."""
    pair: bool = False
    """The port has an ECDSA and an RSA certificate, and this is one of them."""


@dataclass(frozen=True)
class Service:
    """A systemd `unit`, the `files` and directories it reads at start, and what its ports present.

    The unit may be a timer, which has no process.  `pid_file` is needed only where systemd does not know the main process
    (an init script) and the unit has others.
    """

    unit: str
    files: list[str] = field(default_factory=list)
    presents: list[Endpoint] = field(default_factory=list)
    pid_file: str = ""


@dataclass(frozen=True)
class Finding:
    """Why `unit` must be restarted: `reason`, one sentence; `journal`, its last lines where they were asked for."""

    unit: str
    reason: str
    journal: list[str] = field(default_factory=list)

    def report(self) -> str:
        """The reason, and the journal below it."""
        return "\n".join([self.reason, *(f"  {line}" for line in self.journal)])


@dataclass(frozen=True)
class Unit:
    """What systemd knows: `main` is 0 where it does not know it; `since` in microseconds of CLOCK_MONOTONIC, or 0.

    `boot`: it starts at boot.  `active` is believed of timers alone: of a service it says little.  `stopped`: no part of it runs.
    """

    loaded: bool
    main: int
    control_group: str
    since: int
    boot: bool = True
    active: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Moment:
    """Seconds of CLOCK_MONOTONIC, by which systemd dates the start of units, and the boot since which they count."""

    boot_id: str
    seconds: float


def moment() -> Moment:
    """Now."""
    with open(clock.BOOT_ID, encoding="ascii") as stream:
        return Moment(stream.read().strip(), time.monotonic())


def read_unit(name: str) -> Unit:
    """Ask systemd for the unit `name`."""
    properties = "LoadState,MainPID,ControlGroup,InactiveExitTimestampMonotonic,UnitFileState,ActiveState"
    done = run(["systemctl", "show", "--property", properties, "--", name], timeout=20)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise DaneError(f"systemd does not tell about {name}: {said}; check the name of the unit")
    known = dict(line.split("=", 1) for line in done.stdout.decode("utf-8", "replace").splitlines() if "=" in line)
    return Unit(known.get("LoadState", "not-found") not in ("not-found", "masked"), int(known.get("MainPID") or 0),
                known.get("ControlGroup", ""), int(known.get("InactiveExitTimestampMonotonic") or 0),
                starts_at_boot(name, known.get("UnitFileState", "")), known.get("ActiveState") == "active",
                known.get("ActiveState") in ("inactive", "failed"))


def starts_at_boot(name: str, state: str, etc: str = "/etc") -> bool:
    """Whether the unit `name` starts at boot; `state` is its UnitFileState, "generated" where it is an init script."""
    if state == "generated":
        return bool(glob.glob(f"{glob.escape(etc)}/rc[2-5].d/S[0-9][0-9]{glob.escape(name.removesuffix('.service'))}"))
    return state != "disabled"


def read_stat(pid: int, proc: str = "/proc") -> tuple[str, float] | None:
    """State and start (seconds of CLOCK_BOOTTIME) of the process `pid`; None where it is gone."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            fields = stream.read().rsplit(b")", 1)[1].split()  # the name in front may hold blanks and brackets
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[19]) * TICK


def group_members(control_group: str, proc: str = "/proc") -> list[int]:
    """The processes of a control group and those below it, by /proc/*/cgroup: the same for cgroup 1, 2 and hybrid."""
    members = []
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            with open(f"{proc}/{name}/cgroup", encoding="utf-8", errors="replace") as stream:
                lines = [line.rstrip("\n").split(":", 2) for line in stream]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(kind in ("", "name=systemd") and f"{group}/".startswith(f"{control_group}/") for _number, kind, group in lines):
            members.append(int(name))
    return members


def main_process(unit: Unit, pid_file: str = "", proc: str = "/proc") -> tuple[int, float] | None:
    """The main process of a unit and its start (seconds of CLOCK_BOOTTIME); None where it does not run.

    systemd's own knowledge first.  Where it has none (an init script, RemainAfterExit), the process in `pid_file`, which
    must belong to the unit, since numbers are used again; where there is no pid file the oldest process of the unit.
    """
    if unit.main:
        candidates = [unit.main]
    elif not unit.control_group:
        return None
    else:
        candidates = group_members(unit.control_group, proc)
        if pid_file:
            try:
                first = read_file(pid_file, "the number of the main process", SIZE_MAX).split(b"\n", 1)[0].strip()
                candidates = [pid for pid in candidates if first == str(pid).encode()]
            except DaneError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
                # somebody took it away: the oldest
    alive = []
    for pid in candidates:
        known = read_stat(pid, proc)
        if known and known[0] not in "ZX":
            alive.append((known[1], pid))
    return (min(alive)[1], min(alive)[0]) if alive else None


def changes(path: str) -> Iterator[tuple[str, float]]:
    """Each file behind `path` with its ctime: every symbolic link on the way, the target, all in a directory.

    The link counts because switching it is a change of what is read.  Yields nothing where there is nothing.
    """
    at = "/"
    parts = [part for part in path.split("/") if part]
    links = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            at = os.path.dirname(at)
            continue
        if part == ".":
            continue
        at = os.path.join(at, part)
        try:
            found = os.lstat(at)
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > 40:
                raise DaneError(f"{path} is a loop of symbolic links; remove it")
            yield at, found.st_ctime
            target = os.readlink(at)
            parts = [piece for piece in target.split("/") if piece] + parts
            at = "/" if target.startswith("/") else os.path.dirname(at)
    yield at, os.stat(at).st_ctime
    if os.path.isdir(at):
        for name in sorted(os.listdir(at)):
            yield from changes(os.path.join(at, name))


def chain_on_disk(path: str) -> list[bytes]:
    """The certificates (DER) of the PEM file `path`, leaf first; DaneError where it has none."""
    try:
        chain = [base64.b64decode(body) for body in _PEM.findall(read_file(path, "the chain that a service presents", SIZE_MAX))]
    except binascii.Error as error:
        raise DaneError(f"{path} has a PEM block that is not base64; write the full chain there again") from error
    if not chain:
        raise DaneError(f"{path} holds no certificate in PEM; write the full chain there")
    return chain


def differs(chain: list[bytes], presented: list[bytes]) -> str:
    """What the `presented` chain is instead of the one on disk, in a few words; "" where it is that one.

    More than the chain may follow it: some servers add the root.
    """
    if not presented:
        return "no certificate"
    if presented[0] != chain[0]:
        return f"another certificate (SHA-256 {hashlib.sha256(presented[0]).hexdigest()})"
    if presented[:len(chain)] == chain:
        return ""
    if len(presented) == 1:
        return "the leaf alone, without its intermediates"
    return "the right leaf with another chain"


def check_files(endpoint: Endpoint) -> None:
    """Raise DaneError for a certificate or key with which a restart would do harm, before anybody restarts."""
    if not os.path.exists(endpoint.certificate):
        if endpoint.required:
            raise DaneError(f"{endpoint.certificate}, which is to be presented for {endpoint.name}, does not exist; issue it first")
        return
    if not endpoint.key:
        return
    path = os.path.realpath(endpoint.key)
    if not os.path.exists(path):
        raise DaneError(f"{endpoint.key}, the private key for {endpoint.name}, does not exist; issue the certificate again")
    found = os.stat(path)
    if found.st_mode & 0o077 or found.st_uid != os.geteuid():
        raise DaneError(f"{path} has mode {found.st_mode & 0o7777:04o} and owner {found.st_uid}, so others may read the key for "
                        f"{endpoint.name}; make it 0600 and owned by {os.geteuid()}")
    while path != "/":
        path = os.path.dirname(path)
        mode = os.stat(path).st_mode
        if mode & 0o022 and not mode & stat.S_ISVTX:
            raise DaneError(f"{path} has mode {mode & 0o7777:04o}, so others may replace the key for {endpoint.name}; "
                            "take the right to write from group and others")


Probe = Callable[[Endpoint, float], tuple[list[bytes], str]]


def probe(endpoint: Endpoint, timeout: float) -> tuple[list[bytes], str]:
    """The chain (DER) that an address and port presents, and what went wrong or ""."""
    from . import tls_client, x509  # late: only those who ask what is presented need their libraries

    family = ""
    if endpoint.pair:
        family = x509.family(x509.load_certificates(read_file(endpoint.certificate, "the chain that a service presents", SIZE_MAX), endpoint.certificate)[0])
    presented = tls_client.probe(endpoint.address, endpoint.port, endpoint.service, endpoint.name, timeout, verify=False, family=family)
    return list(presented.chain), presented.error


def judge(service: Service, *, timeout: float = 10, look: Probe = probe) -> str:
    """Why `service` must be restarted, one sentence; "" where the daemon is what is on disk.

    The first reason is enough, and the ports are asked last: a daemon that is down or old has nothing to say there.
    """
    for endpoint in service.presents:
        check_files(endpoint)
    unit = read_unit(service.unit)
    if not unit.loaded:
        return f"{service.unit} is not installed"
    if not unit.boot:
        return f"{service.unit} does not start at boot"
    main = main_process(unit, service.pid_file)
    if main is None and not (unit.active and service.unit.endswith(".timer")):
        return f"{service.unit} is not running"
    now = time.time()
    starts = [now - time.monotonic() + unit.since / 1e6] if unit.since else []
    starts += [now - time.clock_gettime(time.CLOCK_BOOTTIME) + main[1]] if main else []
    started = min(starts, default=now)
    newer = [(changed, path) for name in service.files for path, changed in changes(name) if started + TICK < changed <= now]
    if newer:
        changed, path = max(newer)
        who = f"{service.unit} (process {main[0]})" if main else service.unit
        return f"{who} started {changed - started:.2f} s before {path} was changed"
    for endpoint in service.presents:
        if not os.path.exists(endpoint.certificate):
            continue
        presented, error = look(endpoint, timeout)
        if error:
            return f"{service.unit} does not present {endpoint.certificate}: {error}"
        difference = differs(chain_on_disk(endpoint.certificate), presented)
        if difference:
            return (f"{service.unit} does not present {endpoint.certificate}: {endpoint.name} at {endpoint.address} "
                    f"port {endpoint.port} presents {difference}")
    return ""


def older(unit: str, path: str, changed: Moment | None) -> bool:
    """Whether the unit runs since before the file or link `path` was last changed.

    changed: when we did that, if it is known: the wall clock may have been set back since, and CLOCK_MONOTONIC stands still while
    the machine sleeps.  By the start of the unit alone: children of sendmail outlive its restart.  False where systemd knows no
    start.  A restart always cures.
    """
    known = read_unit(unit)
    if known.stopped or not known.since:
        return False
    since = known.since / 1e6
    if changed and changed.boot_id == moment().boot_id and since < changed.seconds:
        return True
    return time.time() - time.monotonic() + since + TICK < os.lstat(path).st_ctime <= time.time()


def journal(unit: str, lines: int) -> list[str]:
    """The last `lines` of the journal of `unit`; nothing where there is no journal."""
    done = run(["journalctl", "--quiet", "--no-pager", "--output", "short-iso", "--lines", str(lines), "--unit", unit], timeout=20)
    return done.stdout.decode("utf-8", "replace").splitlines()


def stale(services: list[Service], *, timeout: float = 10, wait: float = 0, lines: int = 0, look: Probe = probe) -> list[Finding]:
    """The services whose daemon differs from the disk, after at most `wait` seconds (and one last look) to come right.

    The journal (its last `lines`) is read at the first look, before our own connections fill it.
    """
    end = time.monotonic() + wait
    said: dict[str, list[str]] = {}
    while True:
        found = [(service.unit, reason) for service in services if (reason := judge(service, timeout=timeout, look=look))]
        for unit, _reason in found:
            if lines and unit not in said:
                said[unit] = journal(unit, lines)
        left = end - time.monotonic()
        if not found or left <= 0:
            return [Finding(unit, reason, said.get(unit, [])) for unit, reason in found]
        time.sleep(min(1.0, left))
