# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail as the operator has it: who gets what, in whose name, over which TLS; and what is refused."""
from __future__ import annotations

import json
import re
import uuid

import pytest
from lab_client import ADDRESSES, FLEET, MAIL_HOSTS, MX, PEER, VPS, ZONE, good, on, site, wait_for

LIVE = f"/var/lib/selfhost-dane/live/{MX}"
OUTSIDE = "peer@peer.example"  # tests/lab/group_vars/lab.yml has mail for info and sales@pyon.example go there too
# A client: say() sends octets as they are and returns the whole reply, or "closed".
CLIENT = """
import socket, ssl, sys
def connect():
    global sock, stream
    sock = socket.create_connection((host, 25), 20)
    stream = sock.makefile("rb")
    reply()
    say(b"EHLO peer.example\\r\\n")
def reply():
    lines = []
    while not lines or lines[-1][3:4] == b"-":
        try:
            lines.append(stream.readline())
        except ConnectionError:
            return "closed"
        if not lines[-1]:
            return "closed"
    return b"".join(lines).decode()
def say(octets):
    try:
        sock.sendall(octets)
    except ConnectionError:
        return "closed"
    return reply()
def wrap(certificate=None, key=None):
    global sock, stream
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    sock = context.wrap_socket(sock, server_hostname=host)
    stream = sock.makefile("rb")
host = sys.argv[1]
connect()
"""
pytestmark = pytest.mark.usefixtures("fleet")
every_mail_host = pytest.mark.parametrize("name", MAIL_HOSTS)


def client(host: str, script: str, name: str, *arguments: str) -> str:
    """What `script` prints that talks on `host` with the mail server `name`."""
    return on(host, " ".join(("python3 -", name, *arguments)), stdin=CLIENT + script)


def message(host: str, user: str, token: str) -> str:
    """The message with `token` in the mailbox of `user`, as soon as it is there."""
    box = wait_for(lambda: (text if token in (text := on(host, f"cat /var/mail/{user}", check=False)) else ""), f"{token} in the mailbox of {user}", 60)
    return next(one for one in ("\n" + box).split("\nFrom ") if token in one)


@pytest.mark.parametrize("address", ["info@" + ZONE, "INFO@" + MX, "sales@" + ZONE])
def test_mail_to_an_alias_and_a_virtual_user_stays_and_goes_on_in_the_zones_name(address: str) -> None:
    token = uuid.uuid4().hex
    on(VPS, f"printf 'Subject: {token}\\n\\nhello\\n' | runuser -u kato -- /usr/sbin/sendmail {address}")
    assert token in message(VPS, "kato", token)
    there = message(PEER, "peer", token)
    assert re.search(rf"^From: .*\bkato@{re.escape(ZONE)}>?$", there, re.MULTILINE), there
    assert re.search(rf"^Return-Path: <kato@{re.escape(MX)}>$", there, re.MULTILINE), there
    assert "TLSv1.3" in there, there


def test_a_virtual_user_is_nobody_elsewhere_and_an_alias_is_no_mailbox() -> None:
    said = client(PEER, f"""
say(b"MAIL FROM:<>\\r\\n")
for who in ("sales@{ZONE}", "info@{ZONE}", "info+detail@{ZONE}", "sales@{MX}", "sales={ZONE}@{ZONE}x", "none@{ZONE}"):
    print(who, say(b"RCPT TO:<%s>\\r\\n" % who.encode())[:3])
""", MX)
    assert said.splitlines() == [f"sales@{ZONE} 250", f"info@{ZONE} 250", f"info+detail@{ZONE} 250", f"sales@{MX} 550", f"sales={ZONE}@{ZONE}x 550",
                                 f"none@{ZONE} 550"]


def test_spf_is_at_both_names_and_dmarc_is_relaxed() -> None:
    """What aligns the From of the zone with an envelope of the host (RFC 7489 section 3.1.2; RFC 9989)."""
    assert on(PEER, f"dig +short {ZONE} TXT") == '"v=spf1 mx -all"\n'
    assert on(PEER, f"dig +short {MX} TXT") == '"v=spf1 a -all"\n'
    dmarc = on(PEER, f"dig +short _dmarc.{ZONE} TXT")
    assert "v=DMARC1" in dmarc and "aspf" not in dmarc, dmarc


@every_mail_host
@pytest.mark.parametrize(("certificate", "verdict"), [("of a trusted CA", "OK"), ("signed by itself", "FAIL"), ("", "NO")])
def test_the_received_line_says_whether_the_sender_is_verified(name: str, certificate: str, verdict: str) -> None:
    token = uuid.uuid4().hex
    files = {"of a trusted CA": (f"{LIVE}/fullchain.pem", f"{LIVE}/privkey.pem"), "signed by itself": ("/tmp/self.pem",) * 2}.get(certificate, ())
    on(VPS, "test -e /tmp/self.pem || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=peer.example -days 9"
            " -keyout /tmp/self.key -out /tmp/self.crt 2>/dev/null && cat /tmp/self.key /tmp/self.crt >/tmp/self.pem")
    said = client(VPS, f"""
assert say(b"STARTTLS\\r\\n").startswith("220")
wrap(*sys.argv[2:])
for command in (b"EHLO peer.example", b"MAIL FROM:<peer@peer.example>", b"RCPT TO:<kato@{ZONE}>", b"DATA", b"Subject: {token}\\r\\n\\r\\nhello\\r\\n."):
    print(say(command + b"\\r\\n")[:3])
""", name, *files)
    assert said.split() == ["250", "250", "250", "354", "250"]
    received = message(MAIL_HOSTS[name], "kato", token)
    assert re.search(rf"by {re.escape(name)} [^;]*\(version=TLSv1\.3 [^)]*verify={verdict}\)", received), received


def test_a_connection_to_others_is_verified_and_logged() -> None:
    token = uuid.uuid4().hex
    on(VPS, f"printf 'Subject: {token}\\n\\nhello\\n' | runuser -u kato -- /usr/sbin/sendmail {OUTSIDE}")
    message(PEER, "peer", token)
    log = on(VPS, "journalctl --no-pager -o cat --since -60s | grep 'STARTTLS=client, relay=peer.example' | tail -1")
    assert "version=TLSv1.3, verify=OK" in log, log


@every_mail_host
def test_the_chain_is_whole_and_few_cas_are_named_to_clients(name: str) -> None:
    said = on(PEER, f"openssl s_client -connect {name}:25 -starttls smtp -servername {name} -showcerts </dev/null")
    pem = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
    chain = pem.findall(on(MAIL_HOSTS[name], f"cat /var/lib/selfhost-dane/live/{name}/fullchain.pem"))
    presented = pem.findall(said.partition("Server certificate")[0])
    assert len(chain) == 2 and presented[:2] == chain
    assert [one.strip() for one in presented[2:]] in ([], [on(PEER, "cat /etc/ssl/lab-acme-root.pem").strip()])
    named = re.search(r"Acceptable client certificate CA names\n((?:.*=.*\n)*)", said)
    assert named is not None and 1 <= named[1].count("\n") <= 2, said  # it asks, and names its own intermediate


def test_a_client_certificate_is_presented_where_it_is_said() -> None:
    on(PEER, "postconf -e smtpd_tls_ask_ccert=yes; postfix reload")
    try:
        for option, words in ((LIVE, '(Client CN "", Issuer "Pebble Intermediate'), ("", "(Client did not present a certificate)")):
            good(site(*FLEET, "--limit", VPS, "-e", json.dumps({"sendmail_client_certificate": option})))
            token = uuid.uuid4().hex
            on(VPS, f"printf 'Subject: {token}\\n\\nhello\\n' | runuser -u kato -- /usr/sbin/sendmail {OUTSIDE}")
            assert words in message(PEER, "peer", token)
    finally:
        on(PEER, "postconf -X smtpd_tls_ask_ccert; postfix reload")


def test_a_client_certificate_that_others_may_read_is_named_and_a_missing_user_too() -> None:
    before = on(VPS, "sha256sum /etc/mail/sendmail.cf /etc/passwd /etc/aliases")
    on(VPS, f"mkdir -p /root/client && cp {LIVE}/*.pem /root/client/ && chmod 644 /root/client/privkey.pem")
    done = site(*FLEET, "--limit", VPS, "-e", json.dumps({"sendmail_client_certificate": "/root/client"}))
    on(VPS, "rm -r /root/client")
    assert done.status == 2 and "/root/client has no fullchain.pem and privkey.pem with a key that is root's" in done.output, done.output
    done = site(*FLEET, "--limit", VPS, "-e", json.dumps({"dane_make_users": False, "dane_mailboxes": ["kato", "ghost"]}))
    assert done.status == 2 and f"{VPS}: there is no user ghost, who is to receive mail; make the user" in done.output, done.output
    assert done.total("changed") == 0 and before == on(VPS, "sha256sum /etc/mail/sendmail.cf /etc/passwd /etc/aliases")


@every_mail_host
def test_no_form_of_an_address_makes_it_relay(name: str) -> None:
    forms = ["x@elsewhere.example", f"x%elsewhere.example@{name}", f"x%elsewhere.example@{ZONE}", f"elsewhere.example!x@{name}", "elsewhere.example!x",
             f'"x@elsewhere.example"@{name}', '"x@elsewhere.example"', f"@{name}:x@elsewhere.example", f"@{name},@{ZONE}:x@elsewhere.example",
             f"x@elsewhere.example@{name}", "x@elsewhere.example@", "x%elsewhere.example@", "x%elsewhere.example@[127.0.0.1]",
             f"x%elsewhere.example@[{ADDRESSES[MAIL_HOSTS[name]][0]}]", "x@[198.51.100.20]", "x@[IPv6:2001:db8:51::20]", f'"x%elsewhere.example"@{name}',
             f"elsewhere.example!x%peer.example@{name}", "|/bin/sh", "/tmp/x", ":include:/etc/passwd"]
    said = client(PEER, f"""
for sender in (b"", b"peer@peer.example", b"kato@{ZONE}", b"kato@{name}", b"kato"):
    for form in {forms!r}:
        say(b"RSET\\r\\n")
        say(b"MAIL FROM:<%s>\\r\\n" % sender)
        print("<%s> %s" % (sender.decode(), form), say(b"RCPT TO:<%s>\\r\\n" % form.encode())[:3])
for command in (b"RSET", b"MAIL FROM:<>", b"RCPT TO:<postmaster>"):
    print(command.decode(), say(command + b"\\r\\n")[:3])
""", name)
    answers = dict(line.rsplit(" ", 1) for line in said.splitlines())
    assert [answers.pop(command) for command in ("RSET", "MAIL FROM:<>", "RCPT TO:<postmaster>")] == ["250"] * 3  # null sender, no domain
    assert len(answers) == 5 * len(forms) and [line for line in answers.items() if line[1][0] != "5"] == []


@every_mail_host
def test_nothing_that_comes_before_the_handshake_counts_after_it(name: str) -> None:
    """What came with STARTTLS is refused with it, or forgotten: the first reply is that of NOOP, and there is no sender."""
    said = client(PEER, f"""
for after in (b"RSET", b"MAIL FROM:<peer@peer.example>", b"EHLO elsewhere.example\\r\\nMAIL FROM:<x@peer.example>"):
    connect()
    first = say(b"STARTTLS\\r\\n" + after + b"\\r\\n")
    if first.startswith("220"):
        wrap()
        print("220", say(b"NOOP\\r\\n")[:12], say(b"RCPT TO:<kato@{ZONE}>\\r\\n")[:3])
    else:
        print(first[:3])
""", name)
    assert len(said.splitlines()) == 3 and [line for line in said.splitlines() if not re.fullmatch(r"220 250 2\.0\.0 OK 503|[45]\d\d", line)] == [], said


@every_mail_host
def test_only_crlf_dot_crlf_ends_a_message(name: str) -> None:
    """Else a mail in a mail is one more for us, from whoever it says (SMTP smuggling)."""
    token = uuid.uuid4().hex
    said = client(PEER, f"""
for end in (b"\\n.\\n", b"\\n.\\r\\n", b"\\r\\n.\\n", b"\\r.\\r", b"\\r\\n.\\r", b"\\r.\\r\\n", b"\\n.\\r", b"\\r\\n\\0.\\r\\n", b"\\r\\n.\\0\\r\\n"):
    connect()
    for command in (b"MAIL FROM:<peer@peer.example>", b"RCPT TO:<kato@{ZONE}>", b"DATA"):
        last = say(command + b"\\r\\n")
    print(end, last[:3], say(b"Subject: {token}\\r\\n\\r\\nhello" + end + b"MAIL FROM:<forged@peer.example>\\r\\nRCPT TO:<kato@{ZONE}>\\r\\nDATA\\r\\n"
                             b"Subject: {token}\\r\\n\\r\\nforged\\r\\n.\\r\\n")[:3], say(b"NOOP\\r\\n")[:12].strip())
connect()  # when this is in the mailbox, all before it is
for command in (b"MAIL FROM:<peer@peer.example>", b"RCPT TO:<kato@{ZONE}>", b"DATA", b"Subject: last-{token}\\r\\n\\r\\nhello\\r\\n."):
    say(command + b"\\r\\n")
""", name)
    lines = said.splitlines()  # one reply to all of it: accepted as one message, or refused; then the next command's own, or an end
    assert len(lines) == 9 and [line for line in lines if not re.search(r" 354 (250|5\d\d|421) (250 2\.0\.0 OK|closed)$", line)] == [], said
    message(MAIL_HOSTS[name], "kato", f"last-{token}")
    assert "From forged@" not in on(MAIL_HOSTS[name], "cat /var/mail/kato"), said
