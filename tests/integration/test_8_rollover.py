# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys roll by renew.yml, with policy times in seconds, and no DANE client meets a key that it cannot verify.

`make rolls` rolls ten times instead of once.
"""
from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lab_client import ACME, ADDRESSES, HOME, MX, PEER, ROOT, VPS, ZONE, Run, alter_zone, good, on, playbook, site, tlsa, verify, wait_for

POLICY = {"signature_validity": 3600, "signature_renewal": 1800, "timer_interval": 600, "key_lifetime": 0, "lead": 5, "session": 1,
          "cache_floor": 0, "clock_margin": 3, "fall_back": 5, "ns_ttl": 5, "highest_tlsa_ttl": 10}
FAST = ("-e", json.dumps({"dane_policy": POLICY}),
        "-e", json.dumps({"dane_zones": {ZONE: {"primary": VPS, "secondaries": [HOME], "ttl": 10, "expire": 600, "mx": {MX: 10}}}}))
KEEP = ("-e", json.dumps({"dane_policy": {**POLICY, "key_lifetime": "never"}}))
ROLLS = int(os.environ.get("ROLLS", "1"))
LIVE = f"openssl pkey -in /var/lib/selfhost-dane/live/{MX}/privkey.pem -pubout -outform der | sha256sum | cut -c-64"
STOP = "/run/dane-peers-stop"


def renew(*arguments: str) -> Run:
    """Run renew.yml with the short times."""
    return playbook("selfhost.dane.renew", *FAST, *arguments)


# Mail all the time, which is delivered where DANE holds and nowhere else; each sender's own log says what came of it.
SENDERS = {PEER: ("sendmail -f dane-only@peer.example kato@pyon.example", "/var/log/mail.log"),
           ACME: ("exim -odf -f exim@acme.example kato@pyon.example", "/var/log/exim4/mainlog")}


@dataclass
class Seen:
    """What the clients of DANE saw: each look of dane_peers.py, and what the logs of the two senders say of their mail."""

    looks: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)

    def wrong(self) -> list[dict[str, Any]]:
        """The looks that failed."""
        return [look for look in self.looks if not look["good"]]

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
        return f"{len(self.looks)} looks, {len(self.wrong())} failed; {senders}"


@contextmanager
def peers() -> Iterator[Seen]:
    """DANE clients on the peer and on another host, as long as this is open; after that it has all that they saw."""
    seen, lab = Seen(), [str(ROOT / "tests" / "lab" / "lab"), "exec", "--timeout", "1800"]
    begin = {host: int(on(host, f"cat {log} 2>/dev/null | wc -c")) for host, (_send, log) in SENDERS.items()}
    for host in SENDERS:
        on(host, f"rm -f {STOP}")
    with contextlib.ExitStack() as stack:
        looks = stack.enter_context(subprocess.Popen([*lab, PEER, "python3", "-", ZONE, f"{MX},{ZONE}", ",".join(ADDRESSES[VPS])], text=True,
                                                     stdin=stack.enter_context(Path(__file__).with_name("dane_peers.py").open()), stdout=subprocess.PIPE))
        for host, (send, _log) in SENDERS.items():
            stack.enter_context(subprocess.Popen([*lab, host, "sh", "-c", f"until test -e {STOP}; do echo hello | {send}; sleep 0.2; done"],
                                                 stdin=subprocess.DEVNULL))
        try:
            yield seen
        finally:
            for host in SENDERS:
                on(host, f"touch {STOP}")
            assert looks.stdout
            seen.looks += [json.loads(line) for line in looks.stdout]
    wait_for(lambda: on(PEER, "postqueue -j") + on(ACME, "exim -bpc").strip() == "0", "all mail has left the senders", 60)
    for host, (_send, log) in SENDERS.items():
        seen.logs[host] = on(host, f"tail -c +{begin[host] + 1} {log}")


@pytest.fixture(scope="module")
def fast(converged: None) -> Iterator[None]:
    """The hosts with policy times of seconds.  The record goes: it has the long times that were assumed when it was made."""
    on(VPS, "rm /var/lib/selfhost-dane/record.json")
    good(site(*FAST))
    yield
    good(site())


def until_another_key_is_live(most: int = 30) -> list[str]:
    """Run renew.yml again and again until the live key is another; what it said each time."""
    old, said = on(VPS, LIVE), []
    while on(VPS, LIVE) == old:
        assert len(said) < most, "\n".join(said)
        said.append(good(renew()).output)
    return said


def test_keys_roll_step_by_step_and_no_peer_notices(fast: None) -> None:
    live, runs = [on(VPS, LIVE)], []
    with peers() as seen:
        for _roll in range(ROLLS):
            runs += until_another_key_is_live()
            live.append(on(VPS, LIVE))
    assert len(set(live)) == ROLLS + 1
    print(f"{len(runs)} runs, {ROLLS} rolls, {seen.summary()}")
    assert not seen.wrong() and not seen.deferred(PEER) and not seen.deferred(ACME)
    assert len(seen.looks) > 100 and seen.delivered(PEER) > 50 and seen.delivered(ACME) > 50
    assert any(f"{VPS}, {MX}: waits: " in said for said in runs)  # it did not go at once
    good(verify(*FAST))


def keys_of(name: str) -> list[str]:
    """The SPKI digests of the private keys on the host, oldest first."""
    return [file.removesuffix(".pem").split("-")[1] for file in on(VPS, f"ls /var/lib/selfhost-dane/certificates/{name}/keys").split()]


def test_the_old_key_is_deleted_once_no_cache_can_hold_it(fast: None) -> None:
    """Of each certificate: the oldest one is not the live one any more, as all have rolled."""
    old = {name: keys_of(name)[0] for name in (MX, ZONE)}
    assert old[MX] != on(VPS, LIVE).strip()
    for _run in range(30):
        if not any(old[name] in keys_of(name) for name in old):
            break
        good(renew(*KEEP))
    for name, port in ((MX, 25), (ZONE, 443)):
        keys, published = keys_of(name), {"".join(record.split()[3:]).lower() for record in tlsa(name, port)}
        assert old[name] not in keys and len(keys) == 2 and set(keys) == published
        copies = on(VPS, f"cat /var/lib/selfhost-dane/certificates/{name}/versions/*/privkey.pem | grep -c BEGIN").strip()
        assert int(copies) <= 2


def test_nothing_due_changes_nothing(fast: None) -> None:
    good(renew(*KEEP))  # the report of the run before was from before its deletion
    done = good(renew(*KEEP))
    assert done.total("changed") == 0 and "in order: its key is kept until the operator asks for another" in " ".join(done.output.split()), done.output


def test_a_lost_live_certificate_comes_back_with_the_key_that_has_records(fast: None) -> None:
    live, directory = on(VPS, LIVE), f"/var/lib/selfhost-dane/certificates/{MX}/keys"
    on(VPS, f"""set -e
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /root/older.pem
        digest=$(openssl pkey -in /root/older.pem -pubout -outform der | sha256sum | cut -c-64)
        mv /root/older.pem {directory}/1000000000-$digest.pem
        chmod 600 {directory}/*
        rm /var/lib/selfhost-dane/live/{MX}""")
    assert keys_of(MX)[0] != live.strip()
    try:
        good(renew(*KEEP))
        assert on(VPS, LIVE) == live
    finally:
        on(VPS, f"rm -f {directory}/1000000000-*")


def test_the_clients_see_it_where_no_record_matches(fast: None) -> None:
    """What a roll without a wait would do to them; else their silence above says nothing."""
    with peers() as seen:
        alter_zone(r"s/(TLSA.3 1 1 )[0-9a-f]{8}/\100000000/")
        look = f"posttls-finger -c -l dane -L summary {ZONE}"
        wait_for(lambda: "Verified" not in on(PEER, look, check=False), "a DANE sender refuses the host", 30)
        begin = on(PEER, "date +%s")
        wait_for(lambda: int(on(PEER, "date +%s")) > int(begin) + 5, "the clients have looked again", 30)
        good(site(*FAST))  # before the senders are asked to empty their queues
    print(seen.summary())
    assert {look["kind"] for look in seen.wrong()} == {"smtp", MX, ZONE}  # browsers go by the CA
    assert seen.deferred(PEER) and seen.deferred(ACME)
