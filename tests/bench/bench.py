# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure against something of the same machine and minute, so that only ratios count: `make bench`.

With letters as arguments only those: a (unchanged), b (ten hosts), c (certificates), d (blank host), e (gate), f (nothing to renew).  Ends with status 1
where a ratio is over its limit.  What is measured is said in docs/benchmarks.md.
"""
from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
TEN = HERE / "ten.yml"
from lab_client import (  # noqa: E402
    ACME,
    ADDRESSES,
    HOME,
    PEER,
    ROOT,
    ROOTNS,
    VPS,
    ZONE,
    Run,
    alter_zone,
    blank,
    good,
    lab,
    on,
    playbook,
    registrar,
    site,
    verify,
)

WEB = [f"w{number}.pyon.example" for number in range(101, 111)]
TIMES = 3  # odd; what is short is measured so often: the machine may have had other things to do
LOOP = "cd /root/bench && begin=$(date +%s.%N) && for name in *.pem; do openssl x509 -in $name -outform der | sha256sum; done && date +\"$begin %s.%N\""
DIG = """cd /root && begin=$(date +%s.%N)
for address in {}; do while read owner; do dig +dnssec +norecurse +noall +answer @$address $owner TLSA; done <owners; done |
    grep -c '[[:space:]]TLSA[[:space:]]3 1 1 '
date +"$begin %s.%N"
"""
CERTIFICATES = """
import datetime, os
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
os.makedirs("/root/bench", exist_ok=True)
now = datetime.datetime(2026, 1, 1)
for number in range(1000):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{number}.pyon.example")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(90))
    open(f"/root/bench/{number:04}.pem", "wb").write(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
"""


class Ratio(NamedTuple):
    """`seconds` against those of `base`: at most `limit` times as long, or where `faster` at least so many times faster."""

    what: str
    seconds: float
    base: str
    base_seconds: float
    limit: float
    faster: bool = False

    @property
    def ratio(self) -> float:
        return self.base_seconds / self.seconds if self.faster else self.seconds / self.base_seconds

    @property
    def good(self) -> bool:
        return self.ratio >= self.limit if self.faster else self.ratio <= self.limit


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def in_turn(work: Callable[[], object], base: Callable[[], object]) -> tuple[float, float]:
    """The times of both, done one after the other, from the turn with the median ratio."""
    return sorted(((seconds(work), seconds(base)) for turn in range(TIMES)), key=lambda pair: pair[0] / pair[1])[TIMES // 2]


def play(tasks: list[dict[str, Any]], environment: dict[str, str] | None = None, **keywords: Any) -> Run:
    """Run a play of `tasks` on the vps, or on the `hosts` among its keywords."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as stream:
        json.dump([{"hosts": VPS, "gather_facts": False, "tasks": tasks, **keywords}], stream)
        stream.flush()
        return good(playbook(stream.name, environment=environment))


def profiled(run: Callable[[dict[str, str]], Run]) -> list[tuple[str, str, float]]:
    """Action, name and seconds of each task of `run`, which is called with the environment for it."""
    with tempfile.NamedTemporaryFile("r") as log:
        good(run({"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"), "ANSIBLE_CALLBACKS_ENABLED": "task_seconds",
                  "TASK_SECONDS_LOG": log.name}))
        return [tuple(json.loads(line)) for line in log]


def unchanged(*arguments: str) -> Run:
    """A run of site.yml that has nothing to do."""
    done = good(site(*arguments))
    assert done.total("changed") == 0, done.output
    return done


def ready() -> None:
    """The hosts of the example as site.yml leaves them."""
    if verify().status:
        for step in (site, registrar, verify):
            good(step())


def a() -> Ratio:
    """One unchanged host, and where the time goes."""
    ready()
    unchanged()
    pings = [{"name": f"Ping {number}", "ansible.builtin.ping": {}} for number in range(10)]
    run, base = in_turn(lambda: unchanged("--limit", VPS), lambda: play(pings, gather_facts=True))
    tasks = profiled(lambda environment: site("--limit", VPS, environment=environment))
    kinds: dict[str, list[float]] = {}
    for action, _name, took in tasks:
        kinds.setdefault(action, []).append(took)
    total = sum(took for _action, _name, took in tasks)
    print(f"\nWhere the time of one more unchanged run goes: {total:.1f} s, {len(tasks)} tasks")
    for action, times in sorted(kinds.items(), key=lambda item: -sum(item[1])):
        print(f"{sum(times):7.2f} s {100 * sum(times) / total:4.0f} %  {len(times):3d} x {action}")
    return Ratio("unchanged site.yml, one host", run, "facts and 10 pings, same host", base, 6)


def b() -> Ratio:
    """Ten unchanged hosts against one of them."""
    lab("up", *WEB)
    ten = ("-i", str(TEN), "--forks", "10")
    good(site(*ten))
    unchanged(*ten)
    many, one = in_turn(lambda: unchanged(*ten, "--limit", ",".join(WEB)), lambda: unchanged(*ten, "--limit", WEB[0]))
    return Ratio("unchanged site.yml, ten hosts", many, "one of them", one, 6)


def c() -> Ratio:
    """The module on 1,000 certificates, as a task on a host of the lab, less an empty task; and openssl there."""
    ready()
    on(VPS, "python3 -", stdin=CERTIFICATES)
    *lines, times = on(VPS, LOOP, seconds=900).splitlines()
    begin, end = (float(moment) for moment in times.split())
    wanted = [line.split()[0] for line in lines]
    paths = [f"/root/bench/{number:04}.pem" for number in range(1000)]
    tasks = [{"name": "Connect", "ansible.builtin.ping": {}},
             {"name": "Build the module", "selfhost.dane.tlsa_info": {"paths": paths[:1]}},
             {"name": "Nothing", "ansible.builtin.ping": {}},
             {"name": "Compute", "selfhost.dane.tlsa_info": {"paths": paths, "selector": 0}, "register": "seen"},
             {"name": "Compare", "ansible.builtin.assert": {"that": "seen.records | map(attribute='data') | list == wanted"}}]
    turns = [{name: took for _action, name, took in profiled(lambda environment: play(tasks, environment, vars={"wanted": wanted}))} for turn in range(TIMES)]
    task, nothing = (min(turn[name] for turn in turns) for name in ("Compute", "Nothing"))
    print(f"\nThe whole task takes {task:.2f} s, an empty one {nothing:.2f} s, openssl {end - begin:.2f} s")
    on(VPS, "rm -r /root/bench")
    return Ratio("tlsa_info, 1,000 certificates, one task", task - nothing, "openssl x509 | sha256sum, one by one", end - begin, 50, faster=True)


def d() -> Ratio:
    """From blank hosts to all green, and the same packages on another blank host of the same release."""
    packages = sorted({package for path in ROOT.glob("roles/*/vars/Debian.yml")
                       for key, value in yaml.safe_load(path.read_text(encoding="utf-8")).items() if key.endswith("_packages")
                       for package in value})
    lab("up", WEB[0])
    lab("reset", WEB[0])
    install = f"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends {' '.join(packages)}"
    base = seconds(lambda: on(WEB[0], install, seconds=900))
    lab("reset", WEB[0])
    blank()
    run = seconds(lambda: [good(step()) for step in (site, registrar, verify)])
    return Ratio("blank hosts to verified", run, f"apt-get install of the {len(packages)} packages", base, 3)


def e() -> Ratio:
    """The gate on 1,000 owners at four addresses, as a task on the peer, less an empty task; and dig there."""
    ready()
    owners = {f"_25._tcp.w{number}.bench.{ZONE}.": f"3 1 1 {number:064x}" for number in range(1000)}
    servers = ADDRESSES[VPS] + ADDRESSES[HOME]
    on(VPS, "cat >/root/bench.zone", stdin="".join(f"{owner} 3600 IN TLSA {record}\n" for owner, record in owners.items()))
    alter_zone("$r/root/bench.zone")
    on(PEER, "cat >/root/owners", stdin="".join(f"{owner}\n" for owner in owners))
    answers, times = on(PEER, DIG.format(" ".join(servers)), seconds=900).splitlines()
    begin, end = (float(moment) for moment in times.split())
    assert int(answers) == len(owners) * len(servers), answers
    wanted = [{"owner": owner, "records": [record]} for owner, record in owners.items()]
    tasks = [{"name": "Connect", "ansible.builtin.ping": {}},
             {"name": "Build the module", "selfhost.dane.tlsa_gate_info": {"zone": ZONE, "owners": wanted[:1]}},
             {"name": "Nothing", "ansible.builtin.ping": {}},
             {"name": "Ask", "selfhost.dane.tlsa_gate_info": {"zone": ZONE, "owners": wanted}, "register": "seen", "no_log": True},
             {"name": "Compare", "ansible.builtin.assert": {"that": ["seen.passed", f"seen.addresses | length == {len(servers)}"]}}]
    turns = [{name: took for _action, name, took in profiled(lambda environment: play(tasks, environment, hosts=PEER))} for turn in range(TIMES)]
    task, nothing = (min(turn[name] for turn in turns) for name in ("Ask", "Nothing"))
    alter_zone(r"/^_25\._tcp\.w[0-9]+\.bench\./d")
    on(PEER, "rm /root/owners")
    on(VPS, "rm /root/bench.zone")
    return Ratio("tlsa_gate_info, 1,000 owners, 4 addresses", task - nothing, "dig, one by one", end - begin, 10, faster=True)


def f() -> Ratio:
    """renew.yml where nothing is due, on the host that does everything."""
    ready()
    good(playbook("selfhost.dane.renew"))
    pings = [{"name": f"Ping {number}", "ansible.builtin.ping": {}} for number in range(10)]

    def nothing_due() -> None:
        done = good(playbook("selfhost.dane.renew"))
        assert done.total("changed") == 0, done.output

    run, base = in_turn(nothing_due, lambda: play(pings, gather_facts=True))
    return Ratio("renew.yml, nothing due", run, "facts and 10 pings, same host", base, 2)


def main(letters: str) -> int:
    """Measure, and print the table."""
    lab("up", VPS, HOME, PEER, ACME, ROOTNS, seconds=900)
    good(playbook("tests/lab/lab.yml"))
    rows = [measure() for letter, measure in (("d", d), ("a", a), ("c", c), ("e", e), ("f", f), ("b", b)) if letter in letters]
    print(f"\n{'what':42}{'seconds':>9}  {'against':42}{'seconds':>9}{'ratio':>8}  limit")
    for row in rows:
        print(f"{row.what:42}{row.seconds:9.2f}  {row.base:42}{row.base_seconds:9.2f}{row.ratio:8.1f}  "
              f"{'>=' if row.faster else '<='} {row.limit:g} {'ok' if row.good else 'NOT OK'}")
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:]) or "abcdef"))
