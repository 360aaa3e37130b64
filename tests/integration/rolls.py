# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolls of keys with policy times in seconds, and the clients of DANE that look on."""
from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab_client import ACME, ADDRESSES, HOME, MX, PEER, ROOT, VPS, ZONE, Run, good, on, playbook, tlsa, wait_for

TTL = int(os.environ.get("TTL", "10"))  # seconds
ROLLS = int(os.environ.get("ROLLS", "1"))
POLICY = {"signature_validity": 3600, "signature_renewal": 1800, "timer_interval": 600, "key_lifetime": 0, "lead": 5, "session": 1,
          "cache_floor": 0, "signature_skew": 0, "clock_margin": 3, "fall_back": 5, "ns_ttl": TTL, "highest_tlsa_ttl": TTL}
HOLD = 2 * TTL + POLICY["clock_margin"]  # seconds; docs/guarantees.md
FAST = ("-e", json.dumps({"dane_policy": POLICY}),
        "-e", json.dumps({"dane_zones": {ZONE: {"primary": VPS, "secondaries": [HOME], "ttl": TTL, "expire": 600, "mx": {MX: 10}}}}))
KEEP = ("-e", json.dumps({"dane_policy": {**POLICY, "key_lifetime": "never"}}))
LIVE = f"openssl pkey -in /var/lib/selfhost-dane/live/{MX}/privkey.pem -pubout -outform der | sha256sum | cut -c-64"
CERTIFICATE = f"openssl x509 -in /var/lib/selfhost-dane/live/{MX}/cert.pem -outform der | sha256sum | cut -c-64"
OWNERS = ((MX, 25), (MX, 443), (ZONE, 443))
STOP = "/run/dane-peers-stop"
GAP = 20  # seconds without a look, at most: more than openssl and posttls-finger may take where nobody answers
STATE = "/var/lib/selfhost-dane"
# The host waits for an hour before it tries a step again that has failed.
HOUR = f"sed -i -E 's/\"next_attempt\": [0-9]+/\"next_attempt\": 0/' {STATE}/certificates/*/state.json"


def renew(*arguments: str) -> Run:
    """Run renew.yml with the short times."""
    return playbook("selfhost.dane.renew", *FAST, *arguments)


# Mail all the time, which is delivered where DANE holds and nowhere else; each sender's own log says what came of it.
SENDERS = {PEER: ("sendmail -f dane-only@peer.example kato@pyon.example", "/var/log/mail.log"),
           ACME: ("exim -odf -f exim@acme.example kato@pyon.example", "/var/log/exim4/mainlog")}


def promised(look: dict[str, Any]) -> bool:
    """Whether anything is promised to the cache that this look went by."""
    return not look["kind"].startswith("endless ")


@dataclass
class Seen:
    """What the clients of DANE saw: each look of dane_peers.py, and what the logs of the two senders say of their mail.

    began, ended: of the time in which they had to look, in seconds since the epoch by the peer's clock.
    """

    looks: list[dict[str, Any]] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    logs: dict[str, str] = field(default_factory=dict)

    def wrong(self) -> list[dict[str, Any]]:
        """The looks that failed, but for those of caches that nothing is promised to."""
        return [look for look in self.looks if not look["good"] and promised(look)]

    def failed(self) -> set[str]:
        """The kinds of the looks that failed, by whatever cache."""
        return {look["kind"].removeprefix("floor ").removeprefix("stale ") for look in self.wrong()}

    def apart(self) -> str:
        """What came of the looks behind each cache that does not honour TTLs: one with a floor, one that serves expired data for a while, one without end."""
        looks = {cache: [look["good"] for look in self.looks if look["kind"].startswith(cache + " ")] for cache in ("floor", "stale", "endless")}
        return "apart: " + ", ".join(f"{cache} {len(good)} looks, {good.count(False)} failed" for cache, good in looks.items())

    def rate(self) -> float:
        """Looks in a second, but for those of caches that nothing is promised to."""
        return sum(map(promised, self.looks)) / (self.ended - self.began)

    def outages(self) -> dict[str, float]:
        """Seconds from the first to the last look of each kind that failed."""
        times: dict[str, list[float]] = {}
        for look in self.wrong():
            times.setdefault(look["kind"], []).append(look["time"])
        return {kind: max(found) - min(found) for kind, found in sorted(times.items())}

    def gap(self, kind: str = "") -> float:
        """The longest time without a look, or without one of that kind, in seconds."""
        times = [self.began, *sorted(look["time"] for look in self.looks if kind in ("", look["kind"])), self.ended]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def gaps(self) -> dict[str, float]:
        """The same for each kind that something is promised to."""
        return {kind: self.gap(kind) for kind in sorted({look["kind"] for look in self.looks if promised(look)})}

    def delivered(self, host: str) -> int:
        """How many messages were delivered over TLS that was verified by DANE."""
        return len(re.findall({PEER: r"postfix/dane-only/smtp.*status=sent", ACME: r" => kato.* CV=dane "}[host], self.logs[host]))

    def deferred(self, host: str) -> list[str]:
        """The lines of the log about a message that was not delivered."""
        return re.findall({PEER: r"^.*status=(?!sent).*$", ACME: r"^.* (?:==|\*\*|Frozen) .*$"}[host], self.logs[host], re.MULTILINE)

    def summary(self) -> str:
        """In one line, for people."""
        senders = ", ".join(f"{name} {self.delivered(host)} delivered, {len(self.deferred(host))} deferred"
                            for name, host in (("Postfix", PEER), ("Exim", ACME)))
        outages = ", ".join(f"{kind} for {seconds:.0f} s" for kind, seconds in self.outages().items())
        said = " ".join(self.wrong()[0]["said"].split())[-200:] if outages else ""
        came = f"failed: {outages} ({said})" if outages else "0 failed"
        return (f"{sum(map(promised, self.looks))} looks, {self.rate():.0f} in a second, at most {self.gap():.1f} s apart, {came}; "
                f"{senders}; {self.apart()}")


@contextmanager
def peers(names: tuple[str, ...] = (MX, ZONE), addresses: tuple[str, ...] = ADDRESSES[VPS], rsa: tuple[str, ...] = ()) -> Iterator[Seen]:
    """DANE clients on the peer and on another host, as long as this is open; after that it has all that they saw.

    names: of web servers, which all of the addresses have; those of mail servers are asked by mail.  rsa: of mail and web servers, for clients without ECDSA.
    """
    seen, lab = Seen(), [str(ROOT / "tests" / "lab" / "lab"), "exec", "--timeout", "7200"]
    begin = {host: int(on(host, f"cat {log} 2>/dev/null | wc -c")) for host, (_send, log) in SENDERS.items()}
    for host in SENDERS:
        on(host, f"rm -f {STOP}")
    with contextlib.ExitStack() as stack:
        # a file: a pipe holds some 1,290 lines, and then all clients wait
        file = stack.enter_context(tempfile.TemporaryFile("w+"))
        looks = stack.enter_context(subprocess.Popen([*lab, PEER, "python3", "-", ZONE, ",".join(names), ",".join(addresses), *rsa], text=True,
                                                     stdin=stack.enter_context(Path(__file__).with_name("dane_peers.py").open()), stdout=file))
        for host, (send, _log) in SENDERS.items():
            stack.enter_context(subprocess.Popen([*lab, host, "sh", "-c", f"until test -e {STOP}; do echo hello | {send}; sleep 0.2; done"],
                                                 stdin=subprocess.DEVNULL))
        seen.began = float(on(PEER, "date +%s.%N"))
        try:
            yield seen
        finally:
            seen.ended = float(on(PEER, "date +%s.%N"))
            for host in SENDERS:
                on(host, f"touch {STOP}")
            looks.wait(120)
            file.seek(0)
            seen.looks += [json.loads(line) for line in file]
    wait_for(lambda: on(PEER, "postqueue -j") + on(ACME, "exim -bpc").strip() == "0", "all mail has left the senders", 60)
    for host, (_send, log) in SENDERS.items():
        seen.logs[host] = on(host, f"tail -c +{begin[host] + 1} {log}")
    assert seen.gap() < GAP, f"nobody looked for {seen.gap():.0f} s"
    gaps = seen.gaps()
    print("each kind of look, longest time without one:", ", ".join(f"{kind} {gap:.1f} s" for kind, gap in gaps.items()))
    assert seen.rate() > 3, f"only {seen.rate():.1f} looks in a second"
    still = [kind for kind, gap in gaps.items() if gap >= 3 * GAP]  # some are made every 12 seconds, and may wait for a server that is off
    assert not still, f"for {3 * GAP} s there was no look of the kind {still}"


def blackhole(host: str, *to: str) -> tuple[str, str]:
    """The commands by which a host cannot reach others, and by which it can again."""
    routes = [f"ip {'-6 ' if ':' in address else ''}route %s unreachable {address}" for one in to for address in ADDRESSES[one]]
    return "; ".join(route % "replace" for route in routes), "; ".join(route % "del" for route in routes)


def served() -> dict[tuple[str, int], list[str]]:
    """The TLSA data of each owner, as the peer's resolver has it."""
    return {owner: sorted(tlsa(*owner)) for owner in OWNERS}


def schemes() -> set[str]:
    """The schemes of all TLSA records that are served."""
    return {record[:5] for records in served().values() for record in records}


def keys_of(name: str) -> list[str]:
    """The SPKI digests of the private keys that the vps has for a certificate, oldest first."""
    return [file.removesuffix(".pem").split("-")[1] for file in on(VPS, f"ls {STATE}/certificates/{name}/keys").split()]


def settled() -> bool:
    """Whether the vps has the live key of the mail server and the next one, and none that has yet to be deleted."""
    keys = keys_of(MX)
    return len(keys) == 2 and keys[0] == on(VPS, LIVE).strip()


def runs_until(fact: Callable[[], object], *arguments: str, status: int = 0) -> int:
    """Run renew.yml, which is to end with `status`, until it is so; how many runs it took."""
    for run in range(1, 30):
        done = renew(*arguments)
        assert done.status == status, done.output
        if fact():
            return run
    raise AssertionError(f"not so after {run} runs; served: {served()}")


def until_another_key_is_live(most: int = 30, *arguments: str) -> list[str]:
    """Run renew.yml again and again until the live key is another; what it said each time."""
    old, said = on(VPS, LIVE), []
    while on(VPS, LIVE) == old:
        assert len(said) < most, "\n".join(said)
        said.append(good(renew(*arguments)).output)
    return said
