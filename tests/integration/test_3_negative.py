# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host altered behind Ansible's back: its own judge refuses, and verify.yml turns red where it should."""
from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lab_client import ADDRESSES, HOME, MX, PEER, VPS, ZONE, alter_zone, good, on, site, timers_rest, tlsa, verify, wait_for

pytestmark = pytest.mark.usefixtures("converged")
SIGN = (VPS, "systemctl start selfhost-dane-sign.service")
LIVE = f"/var/lib/selfhost-dane/live/{MX}"


@contextmanager
def mended(*commands: tuple[str, str]) -> Iterator[None]:
    """After the test the `commands` (host, shell) take the fault away, and all is green again."""
    with timers_rest():
        try:
            yield
        finally:
            for host, command in commands:
                on(host, command)
            on(PEER, f"unbound-control flush_zone {ZONE}")
    wait_for(lambda: not red(), "verify.yml is green again", 60)


def red() -> str:
    """The lines of verify.yml that are red, "" where it is green."""
    done = verify()
    lines = "\n".join(line for line in done.output.splitlines() if re.search(r"^\W*RED ", line))
    assert bool(done.status) == bool(lines), done.output
    return lines


def deliver(sender: str = "peer") -> str:
    """What Postfix on peer logs of a try to deliver; mail of `sender` dane-only goes by the transport of that name."""
    token = uuid.uuid4().hex
    on(PEER, f"printf 'Subject: {token}\\n\\n' | /usr/sbin/sendmail -f {sender}@peer.example {token}+kato@{ZONE}")
    lines = wait_for(lambda: re.findall(rf".*to=<{token}\+kato@.*", on(PEER, "cat /var/log/mail.log")), "Postfix tried to deliver", 60)
    on(PEER, "postsuper -d ALL deferred", check=False)
    return "\n".join(lines)


def test_wrong_tlsa_is_deferred() -> None:
    with mended(SIGN):
        alter_zone(r"/^_25\._tcp\.g\..*TLSA/s/(3 1 1 )(.)/\1#\2/; s/#[0-7]/f/; s/#[89a-f]/0/")
        said = deliver()
        assert "status=deferred" in said and "Server certificate not verified" in said, said
        found = red()
        assert "TLSA match" in found and "DANE sender" in found


def test_starttls_gone_is_deferred() -> None:
    with mended((VPS, f"chmod 600 {LIVE}/privkey.pem; systemctl restart sendmail")):
        on(VPS, f"chmod 644 {LIVE}/privkey.pem; systemctl restart sendmail")
        said = deliver()
        assert "status=deferred" in said and "TLS" in said, said
        assert "STARTTLS" in red()


def test_missing_tlsa_is_refused_by_dane_only() -> None:
    with mended(SIGN):
        alter_zone(r"/^_25\._tcp\.g\./d")
        wait_for(lambda: not tlsa(MX, 25), "the peer's resolver has no record either")
        said = deliver("dane-only")
        assert "postfix/dane-only/smtp" in said and "status=deferred" in said and "TLSA" in said, said
        found = red()
        assert re.search(r"RED +TLSA +_25\._tcp", found) and "DANE sender" in found


def test_leaf_only_chain_is_refused_by_openssl() -> None:
    command = f"openssl s_client -connect {MX}:443 -servername {MX} -verify_return_error -CAfile /etc/ssl/lab-acme-root.pem </dev/null"
    assert "Verification: OK" in on(PEER, command)
    with mended((VPS, f"cat {LIVE}/cert.pem {LIVE}/chain.pem > {LIVE}/fullchain.pem; systemctl restart apache2")):
        on(VPS, f"cp {LIVE}/cert.pem {LIVE}/fullchain.pem; systemctl restart apache2")
        assert re.search("verify error:num=2[01]:unable to ", on(PEER, command, check=False))
        assert re.search(r"RED +chain +g\.pyon\.example .*:443", red())


def test_stale_secondary_is_seen_by_its_soa() -> None:
    with mended((HOME, "mv /etc/nsd/nsd.conf.kept /etc/nsd/nsd.conf && systemctl restart nsd"), SIGN):
        on(HOME, "cp -a /etc/nsd/nsd.conf /etc/nsd/nsd.conf.kept;"
           " sed -i 's/^ *\\(request-xfr\\|allow-notify\\): .*//' /etc/nsd/nsd.conf && systemctl restart nsd")
        before = on(PEER, f"dig +short +norec @{ADDRESSES[HOME][0]} {ZONE} SOA")
        alter_zone("s/^$//", everywhere=False)
        for address in ADDRESSES[HOME]:
            assert on(PEER, f"dig +short +norec @{address} {ZONE} SOA") == before
        found = red()
        for address in ADDRESSES[HOME]:
            assert re.search(rf"RED +serial +home\.pyon\.example +\[?{re.escape(address)}", found), found


def test_a_host_altered_by_hand_is_mended_by_the_next_run() -> None:
    on(VPS, "rm /etc/apache2/conf-enabled/*dane*; systemctl restart apache2;"
       " sed -i '/[tT][lL][sS]\\|Cert/d' /etc/mail/sendmail.cf; systemctl restart sendmail")
    assert red()
    good(site())
    wait_for(lambda: not red(), "verify.yml is green again", 60)
    assert site("--check").total("changed") == 0
