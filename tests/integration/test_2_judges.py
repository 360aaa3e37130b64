# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs that are not ours say: Postfix, curl, openssl, unbound."""
from __future__ import annotations

import re
import uuid

import pytest
from lab_client import ADDRESSES, HOME, MX, PEER, VPS, ZONE, good, on, playbook, registrar, tlsa, wait_for

pytestmark = pytest.mark.usefixtures("converged")
WEB = (MX, ZONE)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_posttls_finger_says_verified(family: str) -> None:
    said = on(PEER, f"posttls-finger -c -a {family} -l dane -L summary {ZONE}")
    address = ADDRESSES[VPS][family == "ipv6"]
    assert re.search(rf"Verified TLS connection established to {re.escape(MX)}\[{re.escape(address)}\]:25: TLSv1\.3", said), said


def test_postfix_delivers_over_a_verified_connection_and_the_reply_comes_over_tls_1_3() -> None:
    token = uuid.uuid4().hex
    on(PEER, f"printf 'Subject: {token}\\n\\nhello\\n' | /usr/sbin/sendmail -f peer@peer.example kato@{ZONE}")
    wait_for(lambda: token in on(VPS, "cat /var/mail/kato", check=False), "the mail in kato's mailbox", 60)
    log = on(PEER, "journalctl --no-pager -o cat -u 'postfix*' | tail -50; tail -50 /var/log/mail.log", check=False)
    assert f"Verified TLS connection established to {MX}[" in log, log

    answer = uuid.uuid4().hex
    on(VPS, f"printf 'Subject: {answer}\\n\\nback\\n' | runuser -u kato -- /usr/sbin/sendmail -f kato@{ZONE} peer@peer.example", seconds=120)
    wait_for(lambda: answer in on(PEER, "cat /var/mail/peer", check=False), "the reply in peer's mailbox", 60)
    message = on(PEER, "cat /var/mail/peer")
    received = message[:message.index(answer)].rsplit("\nFrom ", 1)[-1]
    assert "TLSv1.3" in received and MX in received, received


def test_postmaster_is_reachable_and_relaying_is_refused() -> None:
    script = f"""
import smtplib
with smtplib.SMTP("{MX}", timeout=20) as mail:
    mail.ehlo("peer.example"); mail.starttls(); mail.ehlo("peer.example"); mail.mail("")
    for who in ("postmaster@{ZONE}", "postmaster@{MX}", "kato@{ZONE}", "nobody-here@{ZONE}", "x@elsewhere.example", "x%elsewhere.example@{ZONE}"):
        print(who, mail.rcpt(who)[0])
    print("VRFY", mail.verify("kato")); print("EXPN", mail.expn("postmaster"))
"""
    said = on(PEER, "python3 -", stdin=script)
    for who, code in ((f"postmaster@{ZONE}", 250), (f"postmaster@{MX}", 250), (f"kato@{ZONE}", 250), (f"nobody-here@{ZONE}", 550),
                      ("x@elsewhere.example", 550), (f"x%elsewhere.example@{ZONE}", 550)):
        assert f"{who} {code}\n" in said, said
    assert "VRFY (25" in said and "EXPN (50" in said and "/var/mail" not in said, said


@pytest.mark.parametrize("name", WEB)
@pytest.mark.parametrize("family", ["4", "6"])
def test_curl_that_trusts_the_labs_ca_only_opens_the_page(name: str, family: str) -> None:
    assert on(PEER, f"curl -{family} -sS --fail --cacert /etc/ssl/lab-acme-root.pem https://{name}/")
    said = on(PEER, f"curl -{family} -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' http://{name}/path")
    assert said == f"301 https://{name}/path"


@pytest.mark.parametrize(("name", "port"), [(MX, 25), (MX, 443), (ZONE, 443)])
@pytest.mark.parametrize("address", ADDRESSES[VPS])
def test_openssl_verifies_with_the_served_tlsa_and_sees_the_intermediate(name: str, port: int, address: str) -> None:
    data = tlsa(name, port)
    assert len(data) == 2
    records = " ".join(f"-dane_tlsa_rrdata '{one}'" for one in data)
    start = "-starttls smtp" if port == 25 else ""
    host = f"[{address}]" if ":" in address else address
    said = on(PEER, f"openssl s_client -connect {host}:{port} {start} -servername {name} -showcerts -verify_return_error"
              f" -dane_tlsa_domain {name} {records} </dev/null")
    assert "Verification: OK" in said and "DANE TLSA 3 1 1" in said, said
    assert said.partition("Server certificate")[0].count("-----BEGIN CERTIFICATE-----") in ((2, 3) if port == 25 else (2,)), said  # sendmail may add the root
    wrong = re.sub(r"'(\d \d \d )(.)", lambda found: f"'{found[1]}{'0' if found[2] != '0' else '1'}", records)
    refused = on(PEER, f"openssl s_client -connect {host}:{port} {start} -verify_return_error -dane_tlsa_domain {name} {wrong} </dev/null",
                 check=False)
    assert "Verification: OK" not in refused


@pytest.mark.parametrize(("name", "kind"), [
    (ZONE, "SOA"), (ZONE, "NS"), (ZONE, "MX"), (ZONE, "A"), (ZONE, "AAAA"), (ZONE, "TXT"), (MX, "A"), (MX, "AAAA"), (MX, "TXT"),
    (f"_dmarc.{ZONE}", "TXT"), (f"_25._tcp.{MX}", "TLSA"), (f"_443._tcp.{MX}", "TLSA"), (f"_443._tcp.{ZONE}", "TLSA")])
def test_a_validating_resolver_answers_with_ad(name: str, kind: str) -> None:
    said = on(PEER, f"dig +adflag {name} {kind}")
    assert re.search(r"flags:[^;]* ad[ ;]", said) and "ANSWER: 0" not in said, said


def test_home_serves_the_same_serial_and_signatures() -> None:
    answers = [on(PEER, f"for q in '{ZONE} SOA' '_25._tcp.{MX} TLSA' '{MX} AAAA'; do dig +norec +dnssec +noall +answer @{address} $q | sort; done")
               for host in (VPS, HOME) for address in ADDRESSES[host]]
    assert "RRSIG" in answers[0] and len(set(answers)) == 1, answers


def test_with_the_wrong_ds_nothing_resolves() -> None:
    wrong = f"{ZONE}. IN DS 12345 13 2 " + "ab" * 32
    good(registrar("-e", f'{{"registrar_ds": ["{wrong}"]}}'))
    try:
        on(PEER, f"unbound-control flush_zone {ZONE}")
        assert "SERVFAIL" in on(PEER, f"dig {MX} A")
    finally:
        good(registrar())
    assert re.search(r"flags:[^;]* ad[ ;]", on(PEER, f"dig +adflag {MX} A"))


def test_nothing_but_the_package_proxy_can_be_reached_from_the_hosts() -> None:
    good(playbook("tests/lab/hermetic.yml"))
