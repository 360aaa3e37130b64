# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real caches and name servers hold and serve when an RRset is replaced: python tests/simulation/record_traces.py [NAME...].

Runs the nsd, unbound and ldns-signzone that PATH finds, as daemons of its own on loopback addresses and unprivileged ports, in
a directory of its own, and ends them all.  Each experiment becomes a file in traces/, by name and versions.  test_traces.py
has the simulated ones do the same.
"""
from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

TRACES = Path(__file__).parent / "traces"
ZONE = "pyon.example."
PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # where Debian has daemons, after those of PATH
VERSIONS = {"1": "old", "2": "new"}              # the first digit of the record's data, and what it is called

SIGNED_FOR = 28 * 86400                          # seconds since the signatures began to be valid
SETTINGS = ("cache-min-ttl", "serve-expired", "serve-expired-ttl", "serve-expired-client-timeout", "serve-expired-reply-ttl", "val-sig-skew-max")

# One thing that happens: after how many seconds, what, to whom and with what.
Step = tuple[float, str, str, Any]


@dataclass(frozen=True)
class Experiment:
    """What is looked at, and how.

    resolvers: settings of unbound for each; the last one asks the name servers, each other one the next.  secondary: whether an
    NSD transfers from the first one; then it is the one that is asked.  validity: seconds until signatures expire, from when the
    zone is signed.
    """

    what: str
    steps: Sequence[Step]
    resolvers: Sequence[dict[str, Any]] = ()
    secondary: bool = False
    ttl: int = 5
    validity: int = 3600
    refresh: int = 3600
    expire: int = 86400


def looks(first: int, last: int, owner: str = "a", whom: str = "resolver") -> list[Step]:
    """A look every second, away from the turns of whole seconds, by which TTLs count."""
    return [(second + 0.4, "ask", whom, owner) for second in range(first, last + 1)]


def steps(*parts: Step | list[Step]) -> list[Step]:
    """All of them, in the order of time."""
    return sorted((step for part in parts for step in (part if isinstance(part, list) else [part])), key=lambda step: step[0])


def publish(at: float) -> Step:
    """The primary has the new zone instead of the old one."""
    return (at, "publish", "primary", "new")


def asks(whom: str, owner: str, *seconds: int) -> list[Step]:
    return [step for second in seconds for step in looks(second, second, owner, whom)]


def restart(at: float, how: str) -> list[Step]:
    """The secondary is stopped or killed, started, and asked at once."""
    return [(at, how, S, None), (at + 0.5, "start", S, None), (at + 0.5, "ask", S, "a")]


S = "secondary"
STALE = {"serve-expired": "yes", "serve-expired-client-timeout": 0, "serve-expired-ttl": 0}
CACHES = {
    "plain": Experiment(
        "a cache that honours TTLs, asked every second", steps(looks(0, 16), publish(3.0)), [{}]),
    "floor": Experiment(
        "a cache that keeps data for at least 12 seconds", steps(looks(0, 30), publish(3.0)), [{"cache-min-ttl": 12}]),
    "two-hops": Experiment(
        "two caches with that floor, the second of which asks the first one at the last moment",
        steps(asks("upstream", "a", 6), publish(7.0), looks(17, 36), looks(8, 24, "b")), [{"cache-min-ttl": 12}, {"cache-min-ttl": 12}]),
    "stale": Experiment(
        "serve-expired without end, asked again long after the TTL; b is asked but once before",
        steps(asks("resolver", "a", 0, 6), asks("resolver", "b", 3), publish(7.0), asks("resolver", "a", 36, 39), asks("resolver", "b", 50, 53)),
        [STALE]),
    "stale-capped": Experiment(
        "serve-expired for 20 seconds after the TTL: a is asked within them, b after them",
        steps(asks("resolver", "a", 6), asks("resolver", "b", 6), publish(7.0), asks("resolver", "a", 29, 32), asks("resolver", "b", 34, 37)),
        [{**STALE, "serve-expired-ttl": 20}]),
    "stale-patient": Experiment(
        "serve-expired where the servers have not answered for 1.8 seconds: with them there, and then without them",
        steps(asks("resolver", "a", 0, 6), asks("resolver", "b", 6), publish(7.0), asks("resolver", "a", 20), (22.0, "silence", "primary", None),
              asks("resolver", "b", 30, 40)),
        [{**STALE, "serve-expired-client-timeout": 1800}]),
    "stale-defaults": Experiment(
        "serve-expired: yes, and all else as the version has it",
        steps(asks("resolver", "a", 0, 6), publish(7.0), asks("resolver", "a", 36, 39)), [{"serve-expired": "yes"}]),
    "stale-upstream": Experiment(
        "a cache that honours TTLs behind one with serve-expired for 20 seconds, which it asks when they are nearly over",
        steps(asks("upstream", "a", 6), publish(7.0), looks(29, 45)), [{}, {**STALE, "serve-expired-ttl": 20}]),
    "stale-unsigned": Experiment(
        "serve-expired without end, and signatures that last 25 seconds",
        steps(asks("resolver", "a", 6), publish(7.0), asks("resolver", "a", 45, 48), (50.0, "silence", "primary", None), asks("resolver", "a", 60, 63)),
        [STALE], validity=25),
    "long-ttl-unsigned": Experiment(
        "a TTL of 300 seconds and signatures that last 20",
        steps(looks(0, 19), (3.0, "silence", "primary", None), asks("resolver", "a", 24, 32)), [{}], ttl=300, validity=20),
    "expired-signatures": Experiment(
        "signatures that have expired 23 hours ago", steps(asks("resolver", "a", 0)), [{}], validity=-23 * 3600),
    "long-expired-signatures": Experiment(
        "signatures that have expired 25 hours ago", steps(asks("resolver", "a", 0)), [{}], validity=-25 * 3600),
    "unreachable": Experiment(
        "no name server answers for a time",
        steps(looks(0, 3), (4.0, "silence", "primary", None), asks("resolver", "a", 7, 20), (34.0, "speak", "primary", "new"),
              asks("resolver", "a", 60, 61)), [{}]),
    "unreachable-stale": Experiment(
        "no name server answers any more, and serve-expired without end",
        steps(looks(0, 3), (4.0, "silence", "primary", None), asks("resolver", "a", 7, 20, 40, 60)), [STALE]),
}
WRITTEN = [(3.0, "write", S, None), *asks(S, "a", 3), publish(5.0), *asks(S, "a", 6)]   # the old zone is on its disk, and it serves the new one
SERVERS: dict[str, Experiment] = {}
for stop in ("stop", "kill"):
    SERVERS |= {
        f"secondary-{stop}": Experiment(
            f"a secondary that transferred, {stop}, started before it has written; then a new version comes",
            steps(WRITTEN, restart(8.0, stop), looks(9, 60, whom=S), (61.0, "publish", "primary", "newer"), looks(62, 66, whom=S)),
            secondary=True, validity=7200),
        f"secondary-{stop}-refresh": Experiment(
            f"the same, with a refresh of 10 seconds ({stop})",
            steps(WRITTEN, restart(8.0, stop), looks(9, 45, whom=S)), secondary=True, refresh=10),
        f"secondary-{stop}-written": Experiment(
            f"a secondary that transferred, wrote, {stop}, started",
            steps(WRITTEN, (7.0, "write", S, None), restart(8.0, stop), looks(9, 15, whom=S)), secondary=True),
        f"secondary-{stop}-alone": Experiment(
            f"a secondary that transferred, {stop}, started without its primary, which comes back",
            steps(WRITTEN, (7.0, "stop", "primary", None), restart(8.0, stop), looks(9, 25, whom=S),
                  (26.0, "start", "primary", None), looks(27, 60, whom=S)), secondary=True),
        f"secondary-{stop}-expired": Experiment(
            f"a zone that has expired on a secondary, {stop}, started, {stop} and started once more",
            steps(WRITTEN, (7.0, "write", S, None), (8.0, "stop", "primary", None), looks(9, 40, whom=S), restart(41.0, stop),
                  looks(42, 70, whom=S)), secondary=True, refresh=4, expire=20),
        f"secondary-{stop}-aged": Experiment(
            f"a zone that would expire 30 seconds after its primary was there last, {stop} and started in the middle of that",
            steps(WRITTEN, (7.0, "write", S, None), (8.0, "stop", "primary", None), restart(23.0, stop),
                  looks(24, 65, whom=S)), secondary=True, refresh=4, expire=30),
        f"secondary-{stop}-aged-unwritten": Experiment(
            f"the same where the version that was transferred last is not written ({stop})",
            steps(WRITTEN, (8.0, "stop", "primary", None), restart(23.0, stop),
                  looks(24, 65, whom=S)), secondary=True, refresh=4, expire=30),
        f"secondary-{stop}-revives": Experiment(
            f"a zone that has expired, transferred anew, {stop} before it is written, started; with the primary, and then without",
            steps((3.0, "write", S, None), asks(S, "a", 3), (5.0, "stop", "primary", None), looks(6, 34, whom=S), (35.0, "speak", "primary", "new"),
                  looks(36, 50, whom=S), (51.0, "stop", "primary", None), restart(52.0, stop), looks(53, 90, whom=S),
                  (91.0, "start", "primary", None), looks(92, 110, whom=S)), secondary=True, refresh=4, expire=20),
    }
SERVERS["secondary-older-state"] = Experiment(
    "a zone that has expired on a secondary that was stopped, started, and killed later: what it knows of the zone's age is of the first stop",
    steps((3.0, "write", S, None), asks(S, "a", 3), (4.0, "stop", S, None), (4.5, "start", S, None), publish(6.0), asks(S, "a", 7), (8.0, "write", S, None),
          (9.0, "stop", "primary", None), looks(10, 40, whom=S), restart(41.0, "kill"),
          looks(42, 70, whom=S)), secondary=True, refresh=4, expire=20)
for stop in ("stop", "kill"):
    SERVERS[f"secondary-{stop}-unwritten"] = Experiment(
        f"a secondary that transferred for the first time, {stop}, started without its primary",
        steps(asks(S, "a", 2), (4.0, "stop", "primary", None), restart(5.0, stop), looks(6, 15, whom=S)), secondary=True)
EXPERIMENTS = CACHES | SERVERS


def program(name: str) -> str:
    """Its path."""
    for place in (*os.environ["PATH"].split(":"), *PLACES):
        if os.access(os.path.join(place, name), os.X_OK):
            return os.path.join(place, name)
    sys.exit(f"{name} is not installed, or PATH does not lead to it; the packages are nsd, unbound and ldnsutils")


def version(name: str, option: str) -> str:
    done = subprocess.run([program(name), option], capture_output=True, text=True, check=False)
    found = re.search(r"[0-9]+(\.[0-9]+)+", done.stdout + done.stderr)
    assert found, f"{name} {option} tells no version"
    return found.group()


def free_port(address: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
        stream.bind((address, 0))
        packets.bind(stream.getsockname())
        return int(stream.getsockname()[1])


@dataclass
class Daemon:
    """One program on one address and port, in a process group of its own."""

    name: str
    command: list[str]
    address: str
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 20
        while self.ask("a", timeout=0.3, kind="SOA")["rcode"] == "none":
            assert self.process.poll() is None, f"{self.name} does not run: {self.log.read_text()}"
            assert time.monotonic() < end, f"{self.name} does not answer: {self.log.read_text()}"

    def tell(self, number: int) -> None:
        """To the process, or to all of its group where it must not notice."""
        if self.process and self.process.poll() is None:
            (os.kill if number == signal.SIGTERM else os.killpg)(self.process.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        self.tell(number)
        if self.process:
            self.process.wait(20)
            self.process = None

    def ask(self, owner: str, timeout: float = 4, kind: str = "TLSA") -> dict[str, Any]:
        """What it says: rcode, which version of the RRset ("none" where there is none), TTL, whether it vouches for it (AD)."""
        name = ZONE if kind == "SOA" else f"_25._tcp.{owner}.{ZONE}"
        question = dns.message.make_query(name, kind, want_dnssec=True, flags=dns.flags.RD | dns.flags.AD)
        try:
            reply = dns.query.udp(question, self.address, timeout=timeout, port=self.port)
        except (OSError, dns.exception.DNSException):
            return {"rcode": "none", "sees": "none"}
        sets = [rrset for rrset in reply.answer if rrset.rdtype == dns.rdatatype.TLSA]
        said: dict[str, Any] = {"rcode": dns.rcode.to_text(reply.rcode()), "sees": "none"}
        if sets:
            said |= {"sees": VERSIONS[sets[0][0].cert.hex()[0]], "ttl": sets[0].ttl, "ad": bool(reply.flags & dns.flags.AD)}
        return said


@dataclass
class Bench:
    """The daemons of one experiment, its clock, and what has happened."""

    experiment: Experiment
    directory: Path
    stack: ExitStack
    events: list[dict[str, Any]] = field(default_factory=list)
    daemons: dict[str, Daemon] = field(default_factory=dict)
    settings: list[dict[str, str]] = field(default_factory=list)
    serial: int = 0
    signed: float = 0.0                        # when the first zone was
    began: float = 0.0

    def set_up(self) -> None:
        made = subprocess.run([program("ldns-keygen"), "-a", "ECDSAP256SHA256", "-k", ZONE], cwd=self.directory, capture_output=True, text=True, check=True)
        self.key = made.stdout.strip()
        self.sign("old")
        self.nsd("primary", self.directory / "zone.signed", [])
        if self.experiment.secondary:
            transfer = [f"request-xfr: 127.0.0.1@{self.daemons['primary'].port} NOKEY", "allow-notify: 127.0.0.0/8 NOKEY"]
            self.nsd("secondary", self.directory / "transferred.zone", transfer)
        authority = self.daemons["primary"]
        for number, settings in reversed(list(enumerate(self.experiment.resolvers))):
            authority = self.unbound("upstream" if number else "resolver", settings, authority, forward=number + 1 < len(self.experiment.resolvers))

    def sign(self, which: str) -> None:
        """The zone on the primary's disk."""
        self.serial += 1
        one, data = self.experiment, {"old": "1", "new": "2", "newer": "2"}[which] * 64
        owners = "".join(f"_25._tcp.{owner} {one.ttl} IN TLSA 3 1 1 {data}\n" for owner in "ab")
        (self.directory / "zone").write_text(
            f"$ORIGIN {ZONE}\n$TTL 3600\n@ IN SOA ns hostmaster {self.serial} {one.refresh} 2 {one.expire} 5\n@ IN NS ns\nns IN A 127.0.0.1\n{owners}")
        now = int(time.time())
        self.signed = self.signed or now
        subprocess.run([program("ldns-signzone"), "-i", str(now - SIGNED_FOR), "-e", str(now + one.validity), "-f", str(self.directory / "zone.new"),
                        str(self.directory / "zone"), str(self.directory / self.key)], check=True, capture_output=True)
        (self.directory / "zone.new").rename(self.directory / "zone.signed")

    def nsd(self, name: str, zonefile: Path, transfers: list[str]) -> None:
        state = self.directory / name
        state.mkdir()
        port = free_port("127.0.0.1")
        if name == "primary" and self.experiment.secondary:
            self.second_port = free_port("127.0.0.1")
            transfers = [f"notify: 127.0.0.1@{self.second_port} NOKEY", "provide-xfr: 127.0.0.0/8 NOKEY"]
        elif name == "secondary":
            port = self.second_port
        lines = [
            "server:", "username: \"\"", f"zonesdir: \"{self.directory}\"", f"pidfile: \"{state}/pid\"", f"xfrdfile: \"{state}/xfrd.state\"",
            f"zonelistfile: \"{state}/zone.list\"", f"xfrdir: \"{state}\"", "ip-address: 127.0.0.1", f"port: {port}", "zonefiles-write: 3600", "verbosity: 3",
            "xfrd-reload-timeout: 0", *(["database: \"\""] if tuple(map(int, version("nsd", "-v").split("."))) < (4, 8) else []),
            "remote-control:", "control-enable: yes", f"control-interface: \"{state}/control\"",
            "zone:", f"name: \"{ZONE}\"", f"zonefile: \"{zonefile}\"", *transfers]
        (state / "nsd.conf").write_text("\n".join(lines) + "\n")
        self._add(Daemon(name, [program("nsd"), "-d", "-c", str(state / "nsd.conf")], "127.0.0.1", port, state / "log"))

    def unbound(self, name: str, settings: dict[str, Any], above: Daemon, forward: bool) -> Daemon:
        state = self.directory / name
        state.mkdir()
        port = free_port("127.0.0.1")
        (state / "anchor").write_text((self.directory / f"{self.key}.ds").read_text())
        lines = [
            "server:", "username: \"\"", "chroot: \"\"", f"directory: \"{state}\"", f"pidfile: \"{state}/pid\"", "use-syslog: no", "do-daemonize: no",
            "interface: 127.0.0.1", f"port: {port}", "do-ip6: no", "do-not-query-localhost: no", "module-config: \"validator iterator\"",
            f"trust-anchor-file: \"{state}/anchor\"", *(f"{key}: {value}" for key, value in settings.items()), "remote-control:", "control-enable: no",
            f"{'forward' if forward else 'stub'}-zone:", f"name: \"{ZONE}\"", f"{'forward' if forward else 'stub'}-addr: 127.0.0.1@{above.port}"]
        (state / "unbound.conf").write_text("\n".join(lines) + "\n")
        said = {key: subprocess.run([program("unbound-checkconf"), "-o", key, str(state / "unbound.conf")], capture_output=True, text=True, check=True)
                for key in SETTINGS}
        self.settings.insert(0, {key: done.stdout.strip() for key, done in said.items()})
        return self._add(Daemon(name, [program("unbound"), "-d", "-c", str(state / "unbound.conf")], "127.0.0.1", port, state / "log"))

    def _add(self, daemon: Daemon) -> Daemon:
        self.daemons[daemon.name] = daemon
        self.stack.callback(daemon.end, signal.SIGKILL)
        daemon.start()
        return daemon

    def control(self, whom: str, *words: str) -> None:
        subprocess.run([program("nsd-control"), "-c", str(self.directory / whom / "nsd.conf"), *words, ZONE.rstrip(".")], check=True, capture_output=True)

    def do(self, what: str, whom: str, detail: Any) -> dict[str, Any]:
        """Do it, and wait until it is done."""
        daemon = self.daemons[whom]
        if what == "ask":
            return {"owner": detail, **daemon.ask(detail)}
        if what in ("publish", "speak"):
            self.sign(detail)
        if what == "publish":
            self.control(whom, "reload")
            self.until(lambda: daemon.ask("a")["sees"] == "new")
        elif what in ("start", "speak"):
            daemon.start()
        elif what in ("stop", "silence"):
            daemon.end()
        elif what == "kill":
            daemon.end(signal.SIGKILL)
        elif what == "write":
            written = self.directory / "transferred.zone"
            self.control(whom, "write")
            self.until(lambda: written.exists() and f" {self.serial} " in written.read_text().replace("\t", " "))
        return {} if detail is None else {"which": detail}

    @staticmethod
    def until(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end, "it does not happen"
            time.sleep(0.02)

    def run(self) -> None:
        """All steps, each at its time, counted from a turn of the wall clock's seconds."""
        self.set_up()
        self.began = math.ceil(time.time())
        for at, what, whom, detail in self.experiment.steps:
            time.sleep(max(0.0, self.began + at - time.time()))
            start = time.time() - self.began
            found = self.do(what, whom, detail)
            # what is asked is so when it is asked, what is done is so when it is done
            self.events.append({"at": round(start if what == "ask" else time.time() - self.began, 2), "do": what, "whom": whom, **found})


def record(name: str) -> str:
    """Run the experiment `name` and write its trace; what to say of it."""
    experiment = EXPERIMENTS[name]
    with tempfile.TemporaryDirectory(prefix="traces-") as directory, ExitStack() as stack:
        bench = Bench(experiment, Path(directory), stack)
        bench.run()
    programs = {"ldns-signzone": version("ldns-signzone", "-v"), "nsd": version("nsd", "-v")}
    if experiment.resolvers:
        programs["unbound"] = version("unbound", "-V")
    head = {"what": experiment.what, "date": f"{datetime.now(timezone.utc):%Y-%m-%d}", "command": f"python tests/simulation/record_traces.py {name}",
            "programs": programs, "ttl": experiment.ttl, "signed": round(bench.signed - bench.began, 2), "validity": experiment.validity,
            "refresh": experiment.refresh, "expire": experiment.expire,
            "resolvers": bench.settings}
    main = "unbound" if experiment.resolvers else "nsd"
    path = TRACES / f"{name}-{main}-{programs[main]}.json"
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    events = ",\n".join("  " + json.dumps(event) for event in bench.events)
    path.write_text("{\n" + ",\n".join(lines) + f",\n \"events\": [\n{events}\n ]\n}}\n")
    return f"{path.name}: {summary(bench.events)}"


def summary(events: Sequence[dict[str, Any]]) -> str:
    """What was seen, each once where it stays so, with the second from which on."""
    text, last = [], {}
    for event in events:
        if event["do"] != "ask":
            text.append(f"{event['at']:.0f} {event['do']} {event['whom']}")
            continue
        seen = event["sees"] if event["rcode"] == "NOERROR" else event["rcode"]
        key = (event["whom"], event["owner"])
        shown = f"{seen}{' AD' if event.get('ad') else ''}"
        if last.get(key) != shown or event is events[-1]:
            text.append(f"{event['at']:.0f} {event['owner']}@{event['whom'][:3]}: {shown}{' ttl ' + str(event['ttl']) if 'ttl' in event else ''}")
            last[key] = shown
    return "; ".join(text)


def main(names: Sequence[str]) -> int:
    """All experiments at once, or those that are named."""
    unknown = set(names) - set(EXPERIMENTS)
    if unknown:
        sys.exit(f"there is no experiment {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    TRACES.mkdir(exist_ok=True)
    chosen = list(names) or list(EXPERIMENTS)
    with ThreadPoolExecutor(len(chosen)) as pool:
        for line in pool.map(record, chosen):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
