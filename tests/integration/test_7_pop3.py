# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""POP3 through ssh, as the operator reads mail: dovecot 2.4 on vps by site.yml, and 2.3 on home by the role alone."""
from __future__ import annotations

import contextlib
import json
import poplib
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from lab_client import ADDRESSES, HOME, MX, PEER, ROOT, VPS, Run, good, on, playbook, site, wait_for

PASSWORD, IN_FILE = "correct horse", "battery staple"
ADDRESS = {VPS: "kato@pyon.example", HOME: "kato@home.pyon.example"}
NAME = {VPS: MX, HOME: HOME}
PASSWORDS = "/etc/pop3-passwords"
HOSTS = pytest.mark.parametrize("host", [VPS, HOME])


def configure(**pop3: str) -> list[Run]:
    """Both hosts, with these values."""
    return [site("--limit", VPS, "-e", json.dumps({"dane_pop3": pop3})),
            playbook("tests/integration/pop3.yml", "--skip-tags", "mail", "-e", json.dumps({"pop3": pop3}))]


@pytest.fixture(scope="module", autouse=True)
def pop3(converged: None) -> Iterator[None]:
    good(site("-e", '{"dane_pop3": {}}'))
    good(playbook("tests/integration/pop3.yml"))
    for host in ADDRESS:
        on(host, f"echo 'kato:{PASSWORD}' | chpasswd; : >/var/mail/kato; chown kato:mail /var/mail/kato; chmod 660 /var/mail/kato")
    yield
    on(VPS, "systemctl disable --now dovecot")
    on(HOME, "systemctl disable --now dovecot sendmail")
    good(site())


class Client(poplib.POP3):
    """A mail program at the end of an ssh tunnel, which knows by which name the server is to be verified."""

    def start_tls(self, host: str) -> None:
        context = ssl.create_default_context(cafile=ROOT / ".cache/lab/acme-root.pem") if host == VPS else \
            ssl.create_default_context(cadata=on(HOME, f"cat /etc/ssl/lab-live/{HOME}/fullchain.pem"))
        self.host = NAME[host]  # localhost is the near end of the tunnel
        self.stls(context)


@contextlib.contextmanager
def mail_program(host: str) -> Iterator[Client]:
    """ssh -L 1110:localhost:110, with any free port in place of 1110, and a POP3 connection through it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tunnel = subprocess.Popen(["ssh", "-N", "-L", f"{port}:localhost:110", "-i", str(ROOT / ".cache/lab/id"), "-o", "ExitOnForwardFailure=yes",
                               "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                               "-o", "IdentitiesOnly=yes", f"root@{ADDRESSES[host][0]}"])
    try:
        def opened() -> bool:
            assert tunnel.poll() is None, "ssh ended"
            with socket.socket() as end:
                return end.connect_ex(("127.0.0.1", port)) == 0
        wait_for(opened, "the tunnel")
        client = Client("127.0.0.1", port, timeout=30)
        try:
            yield client
        finally:
            client.close()
    finally:
        tunnel.kill()  # ssh polls without a signal mask, so a SIGTERM just before that waits for the next packet, which may never come
        tunnel.wait(10)


def login(client: Client, password: str = PASSWORD) -> None:
    client.user("kato")
    client.pass_(password)


def subjects(host: str, password: str = PASSWORD, delete: bool = False) -> list[str]:
    """The subjects of all mail, read over TLS; taken away with `delete`."""
    found = []
    with mail_program(host) as client:
        client.start_tls(host)
        login(client, password)
        for number in range(1, client.stat()[0] + 1):
            found += [line[9:].decode() for line in client.retr(number)[1] if line.startswith(b"Subject: ")]
            if delete:
                client.dele(number)
        client.quit()
    return found


def send(host: str, *said: str) -> None:
    """Mail of the peer, one for each subject."""
    on(PEER, "".join(f"printf 'Subject: {subject}\\n\\nhello\\n' | sendmail -f peer@peer.example {ADDRESS[host]};" for subject in said))


def refused(host: str, password: str, tls: bool) -> str:
    """What the server says to a login that is to fail; empty where it succeeds."""
    with mail_program(host) as client:
        if tls:
            client.start_tls(host)
        try:
            login(client, password)
        except poplib.error_proto as error:
            return str(error)
        client.quit()
    return ""


@HOSTS
def test_mail_from_the_peer_is_read_through_ssh(host: str) -> None:
    version = {VPS: "2.4.", HOME: "2.3."}[host]
    assert on(host, "dovecot --version").startswith(version)
    send(host, "first")
    assert wait_for(lambda: subjects(host), "the mail") == ["first"]
    assert "AUTH" in refused(host, "wrong", tls=True)
    on(host, "systemctl restart dovecot")
    with mail_program(host) as client:
        client.start_tls(host)
        login(client)
        known = client.uidl()[1]
        client.quit()
    send(host, "second")
    wait_for(lambda: subjects(host) == ["first", "second"], "the second mail")
    with mail_program(host) as client:
        client.start_tls(host)
        login(client)
        assert client.uidl()[1][:1] == known  # what a program knows that leaves mail on the server
        client.quit()


@HOSTS
def test_mail_that_arrives_while_mail_is_taken_away_is_not_lost(host: str) -> None:
    subjects(host, delete=True)
    wanted = [f"{number:02}" for number in range(30)]
    send(host, *wanted)
    taken: list[str] = []

    def all_there() -> bool:
        taken.extend(subjects(host, delete=True))
        return len(taken) >= len(wanted)

    wait_for(all_there, "all mail", 120)
    assert sorted(taken) == wanted


@HOSTS
def test_pop3_answers_on_no_public_address(host: str) -> None:
    for address in ADDRESSES[host]:
        connect = f"python3 -c 'import socket, sys; socket.create_connection((\"{address}\", int(sys.argv[1])), 5)' "
        assert on(PEER, f"{connect} 25") == ""  # the way is open
        for port in (110, 143, 993, 995):
            assert "ConnectionRefusedError" in on(PEER, f"{connect} {port}", check=False)
    listening = re.findall(r"^LISTEN +\d+ +\d+ +(\S+):(110|995) ", on(host, "ss -ltn"), re.MULTILINE)
    assert sorted(listening) == [("127.0.0.1", "110"), ("127.0.0.1", "995"), ("[::1]", "110"), ("[::1]", "995")]


@HOSTS
def test_with_tls_required_the_right_password_is_refused_without_it(host: str) -> None:
    assert "AUTH" in refused(host, PASSWORD, tls=False)
    assert not refused(host, PASSWORD, tls=True)


def test_the_timer_has_dovecot_present_a_renewed_certificate() -> None:
    show = "openssl s_client -connect localhost:995 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint"
    before = on(VPS, show)
    live = f"/var/lib/selfhost-dane/live/{MX}"
    on(VPS, f"echo >{live}/fullchain.pem; rm -rf /var/lib/dehydrated/certs/{MX}")  # so that a new one is due
    on(VPS, "systemctl start selfhost-dane-renew.service", seconds=180)
    now = wait_for(lambda: on(VPS, show, check=False), "an answer")
    assert now != before
    assert now == on(VPS, f"openssl x509 -noout -fingerprint -in {live}/cert.pem")
    started = on(VPS, "systemctl show --property=MainPID dovecot")
    on(VPS, "systemctl start selfhost-dane-renew.service", seconds=180)
    assert on(VPS, "systemctl show --property=MainPID dovecot") == started  # once


@pytest.mark.parametrize(("fault", "said"), [
    (f"chmod 644 {PASSWORDS}", f"the password file {PASSWORDS} has mode 0644 and is open to others; make it a file of root with mode 0600"),
    (f"chown kato {PASSWORDS}", "belongs to the user"),
    (f"rm {PASSWORDS}", "does not exist"),
    (f"rm {PASSWORDS}; mkdir {PASSWORDS}", "is not a plain file"),
])
def test_a_password_file_that_is_open_to_others_stops_all_before_it_begins(fault: str, said: str) -> None:
    on(VPS, f"rm -rf {PASSWORDS}; umask 077; : >{PASSWORDS}; {fault}")
    before = on(VPS, "systemctl show --property=MainPID dovecot; sha256sum /etc/dovecot/dovecot.conf")
    done = site("--limit", VPS, "-e", json.dumps({"dane_pop3": {"password_file": PASSWORDS}}))
    on(VPS, f"rm -rf {PASSWORDS}")
    assert done.status == 2 and said in re.sub(r"\s+", " ", done.output), done.output
    assert done.recap[VPS]["changed"] == 0
    assert before == on(VPS, "systemctl show --property=MainPID dovecot; sha256sum /etc/dovecot/dovecot.conf")


def test_optional_tls_and_a_password_file() -> None:
    for host in ADDRESS:
        on(host, f"umask 077; echo \"kato:$(doveadm pw -s SHA512-CRYPT -p '{IN_FILE}')\" >{PASSWORDS}")
    for done in configure(tls="optional", password_file=PASSWORDS):
        good(done)
    for host in ADDRESS:
        for tls in (False, True):
            assert not refused(host, IN_FILE, tls)
        assert "AUTH" in refused(host, PASSWORD, tls=True)  # PAM is not asked


def test_no_tls_and_a_second_run() -> None:
    for done in configure(tls="none"):
        good(done)
    for host in ADDRESS:
        with mail_program(host) as client:
            assert "STLS" not in client.capa()
        assert not refused(host, PASSWORD, tls=False)
    again: list[Any] = [good(done).total("changed") for done in configure(tls="none")]
    assert again == [0, 0]
