# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys roll by renew.yml, with policy times in seconds, and no DANE client meets a key that it cannot verify.

`make rolls` rolls ten times instead of once.
"""
from __future__ import annotations

from pathlib import Path

from lab_client import ACME, MX, PEER, VPS, ZONE, alter_zone, good, on, site, timers_rest, tlsa, verify, wait_for
from rolls import FAST, KEEP, LIVE, ROLLS, TTL, keys_of, peers, renew, runs_until, settled, until_another_key_is_live


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


def test_the_old_key_is_deleted_once_no_cache_can_hold_it(fast: None) -> None:
    """Of each certificate: the oldest one is not the live one any more, as all have rolled."""
    old = {name: keys_of(name)[0] for name in (MX, ZONE)}
    assert old[MX] != on(VPS, LIVE).strip()
    runs_until(lambda: all(old[name] not in keys_of(name) and len(keys_of(name)) == 2 for name in old), *KEEP)
    for name, port in ((MX, 25), (ZONE, 443)):
        keys, published = keys_of(name), {"".join(record.split()[3:]).lower() for record in tlsa(name, port)}
        assert set(keys) == published
        copies = on(VPS, f"cat /var/lib/selfhost-dane/certificates/{name}/versions/*/privkey.pem | grep -c BEGIN").strip()
        assert int(copies) <= 2


def test_nothing_due_changes_nothing(fast: None) -> None:
    good(renew(*KEEP))  # the report of the run before was from before its deletion
    done = good(renew(*KEEP))
    assert done.total("changed") == 0 and "in order: its key is kept until the operator asks for another" in " ".join(done.output.split()), done.output


def test_a_lost_live_certificate_comes_back_with_the_key_that_has_records(fast: None) -> None:
    assert settled()  # or the other key has records too
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


def test_the_script_of_the_talk_has_an_outage(fast: None) -> None:
    """Old and new record published and the services restarted at once, just after a peer's cache was filled, before the same peers."""
    ttl = max(TTL, 30)  # seconds: more than it takes to sign, and to restart

    def talk(step: str) -> None:
        on(VPS, f"sh -s {step} {ZONE} {MX} {ttl}", stdin=Path(__file__).with_name("talk.sh").read_text())

    def verified() -> bool:
        return "Verified" in on(PEER, f"posttls-finger -c -l dane -L summary {ZONE}", check=False)

    try:
        with timers_rest():
            try:
                talk("begin")
                wait_for(lambda: tlsa(MX, 25)[0].startswith("3 0 1") and verified(), "the talk's first certificate is verified", ttl + 20)
                talk("order")
                with peers() as seen:
                    on(PEER, f"unbound-control flush_zone {ZONE}; dig TLSA _25._tcp.{MX}")
                    talk("switch")
                    wait_for(verified, "the cache has the new record", ttl + 30)
                    begin = on(PEER, "date +%s")
                    wait_for(lambda: int(on(PEER, "date +%s")) > int(begin) + 2, "all clients have looked again", 30)
            finally:
                talk("end")
        print(f"the talk's script at a TTL of {ttl}: {seen.summary()}")
        for host in (PEER, ACME):
            assert any("ertificate" in line for line in seen.deferred(host)), "not only while the services restarted"
        assert any(look["kind"] == "smtp" and "efused" not in look["said"] for look in seen.wrong())
    finally:
        good(site(*FAST))


def test_the_clients_see_it_where_no_record_matches(fast: None) -> None:
    """What a roll without a wait would do to them; else their silence above says nothing."""
    with timers_rest(), peers() as seen:
        alter_zone(r"s/(TLSA.3 1 1 )[0-9a-f]{8}/\100000000/")
        look = f"posttls-finger -c -l dane -L summary {ZONE}"
        wait_for(lambda: "Verified" not in on(PEER, look, check=False), "a DANE sender refuses the host", 30)
        begin = on(PEER, "date +%s")
        wait_for(lambda: int(on(PEER, "date +%s")) > int(begin) + 5, "the clients have looked again", 30)
        good(site(*FAST))  # before the senders are asked to empty their queues
    print(seen.summary())
    assert seen.failed() == {"smtp", MX, ZONE} <= set(seen.outages())  # browsers go by the CA; others may have the records of before
    assert seen.deferred(PEER) and seen.deferred(ACME)
