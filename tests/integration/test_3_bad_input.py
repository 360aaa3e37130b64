# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong is named in one sentence, and whatever runs goes on as it was."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from lab_client import ADDRESSES, HOME, INVENTORY, MX, PEER, SIGNED, VPS, ZONE, alter_zone, good, on, site, wait_for

pytestmark = pytest.mark.usefixtures("converged")
STATE = "/var/lib/selfhost-dane"


def running() -> str:
    """What peers and the process table see of the vps."""
    seen = on(VPS, "ps -eo lstart=,pid=,comm= | grep -E ' (nsd.*|unbound|sendmail-mta|apache2)$' | sort")
    for port, start in ((25, "-starttls smtp"), (443, f"-servername {MX}"), (443, f"-servername {ZONE}")):
        seen += on(PEER, f"openssl s_client -connect {MX}:{port} {start} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256")
    return seen + on(PEER, "".join(f"dig +norec +noall +answer @{address} {ZONE} SOA; dig +norec +noall +answer @{address} _25._tcp.{MX} TLSA;"
                                   for address in ADDRESSES[VPS]))


def test_a_ca_that_is_down_leaves_everything_as_it_was() -> None:
    places = {f"{STATE}/live/{ZONE}": "live", f"{STATE}/certificates/{ZONE}/versions": "versions", f"/var/lib/dehydrated/certs/{ZONE}": "issued"}
    on(VPS, "mkdir /root/kept; " + "; ".join(f"mv {place} /root/kept/{name}" for place, name in places.items()))
    before = running()
    on(VPS, "ip route add unreachable 198.51.100.30; ip -6 route add unreachable 2001:db8:51::30")
    try:
        done = site("--limit", VPS)
        assert done.status == 2
        assert f"the certificate {ZONE} was not issued, and none is live" in done.output, done.output
        assert running() == before
    finally:
        on(VPS, "ip route del unreachable 198.51.100.30; ip -6 route del unreachable 2001:db8:51::30; "
           + "; ".join(f"rm -rf {place}; mv /root/kept/{name} {place}" for place, name in places.items()) + "; rmdir /root/kept")
    good(site())  # apache is older than the link that came back


@pytest.mark.parametrize(("spoil", "mend", "said"), [
    (f"chmod 644 {STATE}/certificates/{MX}/keys/*", f"chmod 600 {STATE}/certificates/{MX}/keys/*", "is open to other users"),
    (f"mv {STATE}/zones/{ZONE}/key /root/key", f"mv /root/key {STATE}/zones/{ZONE}/key", f"{STATE}/zones/{ZONE}/key"),
    (f"for f in {STATE}/certificates/{MX}/keys/*; do cp -a $f /root/$(basename $f).kept; echo junk > $f; done",
     f"for f in {STATE}/certificates/{MX}/keys/*; do mv /root/$(basename $f).kept $f; done", "keys/"),
])
def test_a_key_that_is_not_as_it_must_be_is_named(spoil: str, mend: str, said: str) -> None:
    before = running()
    on(VPS, spoil)
    try:
        done = site("--limit", VPS)
        assert done.status == 2 and said in done.output, done.output
        assert running() == before
    finally:
        on(VPS, mend)


def test_a_serial_that_is_lower_than_a_secondarys_is_named_with_its_cure() -> None:
    """The primary got an old zone back, of which its secondary has a later one."""
    on(VPS, f"cp -a {SIGNED} /root/kept")
    alter_zone("s/^$//", ahead=30)
    later = int(on(PEER, f"dig +short +norec @{ADDRESSES[HOME][0]} {ZONE} SOA").split()[2])
    on(VPS, f"cat /root/kept > {SIGNED}; rm /root/kept; nsd-control reload {ZONE}")
    wait_for(lambda: f" {later} " not in on(PEER, f"dig +short +norec @{ADDRESSES[VPS][0]} {ZONE} SOA"), "the primary serves the old zone")
    before = running()
    done = site("--limit", VPS)
    assert done.status == 2 and f"serves serial {later}" in done.output and f"set serial of the zone to {later + 1}" in done.output, done.output
    assert running() == before
    zones = yaml.safe_load(Path(INVENTORY[1]).read_text())["all"]["vars"]["dane_zones"]
    zones[ZONE]["serial"] = later + 1
    cure = ("-e", json.dumps({"dane_zones": zones}))
    good(site(*cure))
    assert good(site("--check", *cure)).total("changed") == 0
    good(site())


def test_an_unsupported_system_is_named_and_the_others_go_on() -> None:
    on(HOME, "cp -a /etc/os-release /root/os-release; cp -aL /etc/os-release /etc/os-release.new; mv /etc/os-release.new /etc/os-release;"
       " sed -i 's/^VERSION_ID=.*/VERSION_ID=\"11\"/' /etc/os-release; cp -a /etc/debian_version /root/; echo 11.9 > /etc/debian_version")
    try:
        done = site("--check")
        assert done.status == 2 and f"{HOME} runs Debian 11; the role unattended supports Debian 12 and 13" in done.output, done.output
        assert done.recap[VPS]["failed"] == 0 and done.recap[VPS]["ok"] > 50
    finally:
        on(HOME, "rm /etc/os-release; mv /root/os-release /etc/os-release; mv /root/debian_version /etc/debian_version")
    again = site("--check")
    assert again.status == 0 and again.total("changed") == 0, again.output


def test_a_wrong_model_touches_no_host() -> None:
    done = site("-e", '{"dane_mailboxes": ["kato", "a\\n$INCLUDE /etc/shadow"]}')
    assert done.status == 2 and "dane_mailboxes" in done.output, done.output
    assert all(figures["ok"] == 0 for figures in done.recap.values())
