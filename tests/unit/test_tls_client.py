# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is presented, by servers on loopback that do right or wrong."""
from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import tls_client
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError, printable
from wire_fakes import Pki, https, issue, server_context, serving, smtp

NAME = "g.pyon.example"
Handle = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki.make()


@pytest.fixture
def ca_file(pki: Pki, tmp_path: Path) -> str:
    file = tmp_path / "root.pem"
    file.write_bytes(pki.root.pem)
    return str(file)


@pytest.fixture
def full(pki: Pki, tmp_path: Path) -> ssl.SSLContext:
    return server_context(tmp_path, [pki.leaf, pki.intermediate])


def look(handle: Handle, service: str, ca_file: str, timeout: float = 10, net: int = socket.AF_INET,
         **more: object) -> tls_client.Presented:
    with serving(handle, net) as port:
        address = "::1" if net == socket.AF_INET6 else "127.0.0.1"
        return tls_client.probe(address, port, service, NAME, timeout, ca_file, **more)  # type: ignore[arg-type]


def listen(connection: socket.socket) -> None:
    """Say nothing for as long as the client stays."""
    while connection.recv(4096):
        pass


def leave(connection: socket.socket) -> None:
    """Go after the client's first words."""
    connection.recv(4096)


# What does right

@pytest.mark.parametrize("net", [socket.AF_INET, socket.AF_INET6])
def test_https_presents_its_chain(full: ssl.SSLContext, pki: Pki, ca_file: str, net: int) -> None:
    found = look(https(full), "https", ca_file, net=net)
    assert (found.error, found.pkix, found.version) == ("", "", "TLSv1.3")
    assert found.chain == (pki.leaf.der, pki.intermediate.der)


def test_smtp_presents_its_chain_after_starttls(full: ssl.SSLContext, pki: Pki, ca_file: str) -> None:
    heard: list[bytes] = []
    found = look(smtp(full, heard=heard), "smtp", ca_file)
    assert (found.error, found.pkix, found.version) == ("", "", "TLSv1.3")
    assert found.chain == (pki.leaf.der, pki.intermediate.der)
    assert (found.greeting, found.ehlo) == (NAME, NAME)
    assert heard == [b"EHLO [127.0.0.1]\r\n", b"STARTTLS\r\n", b"EHLO [127.0.0.1]\r\n", b"QUIT\r\n"]


def test_smtp_says_the_name_it_is_given(full: ssl.SSLContext, ca_file: str) -> None:
    heard: list[bytes] = []
    look(smtp(full, heard=heard), "smtp", ca_file, ehlo="peer.example")
    assert heard[0] == b"EHLO peer.example\r\n"


def test_banner_and_reply_of_many_lines(full: ssl.SSLContext, ca_file: str) -> None:
    banner = b"220-first.example one\r\n220-two\r\n220 three\r\n"
    found = look(smtp(full, banner=banner, ehlo=b"250-x\r\n" + b"250-SIZE\r\n" * 50 + b"250 StartTLS\r\n"), "smtp", ca_file)
    assert (found.error, found.greeting, found.ehlo) == ("", "first.example", "x")


def test_sni_is_the_name(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    context = server_context(tmp_path, [issue("other.example")])
    right = server_context(tmp_path, [pki.leaf, pki.intermediate])

    def choose(tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name == NAME:
            tls.context = right

    context.sni_callback = choose
    assert look(https(context), "https", ca_file).pkix == ""


def test_older_tls_is_said(full: ssl.SSLContext, ca_file: str) -> None:
    full.maximum_version = ssl.TLSVersion.TLSv1_2
    assert look(https(full), "https", ca_file).version == "TLSv1.2"


# Two certificates

def test_each_certificate_of_a_pair_is_asked_for(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    rsa = issue(NAME, pki.intermediate, family="rsa")
    both = server_context(tmp_path, [pki.leaf, pki.intermediate], [rsa, pki.intermediate])
    for service, handle in (("https", https(both)), ("smtp", smtp(both))):
        for family, leaf in (("ecdsa", pki.leaf), ("rsa", rsa)):
            found = look(handle, service, ca_file, family=family)
            assert (found.error, found.pkix, found.version, found.family) == ("", "", "TLSv1.2", family)
            assert found.chain == (leaf.der, pki.intermediate.der)
    assert look(https(both), "https", ca_file).version == "TLSv1.3"


def test_what_cannot_be_had_of_a_pair_is_said(full: ssl.SSLContext, ca_file: str) -> None:
    found = look(https(full), "https", ca_file, family="rsa")
    assert found.chain == () and f"{NAME} at 127.0.0.1 port " in found.error
    assert ", asked in TLS 1.2 for its RSA certificate, failed in TLS: " in found.error
    full.minimum_version = ssl.TLSVersion.TLSv1_3
    assert look(https(full), "https", ca_file, family="ecdsa").error.endswith(", asked in TLS 1.2 for its ECDSA certificate, does not offer TLS 1.2")


# What does wrong in its chain: still presented, and PKIX says why not

def test_leaf_alone(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    found = look(https(server_context(tmp_path, [pki.leaf])), "https", ca_file)
    assert found.error == ""
    assert found.chain == (pki.leaf.der,)
    assert "unable to get local issuer certificate" in found.pkix
    assert NAME in found.pkix and "127.0.0.1" in found.pkix


def test_other_name(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    other = issue("other.example", pki.intermediate)
    found = look(smtp(server_context(tmp_path, [other, pki.intermediate])), "smtp", ca_file)
    assert found.error == "" and len(found.chain) == 2
    assert "ostname mismatch" in found.pkix


def test_common_name_is_not_a_name(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    nameless = issue(NAME, pki.intermediate, ca=True)  # no subjectAltName
    assert "ostname mismatch" in look(https(server_context(tmp_path, [nameless, pki.intermediate])), "https", ca_file).pkix


def test_expired(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    old = issue(NAME, pki.intermediate, begins=-7200, ends=-3600)
    found = look(https(server_context(tmp_path, [old, pki.intermediate])), "https", ca_file)
    assert found.error == "" and "expired" in found.pkix


def test_self_signed_and_the_system_store(tmp_path: Path) -> None:
    own = issue(NAME)
    with serving(https(server_context(tmp_path, [own]))) as port:
        found = tls_client.probe("127.0.0.1", port, "https", NAME)
    assert found.error == "" and found.chain == (own.der,)
    assert "self" in found.pkix


def test_without_verification_one_connection_is_enough(pki: Pki, ca_file: str, tmp_path: Path) -> None:
    connections = []
    inner = https(server_context(tmp_path, [pki.leaf]))

    def handle(connection: socket.socket) -> None:
        connections.append(1)
        inner(connection)

    found = look(handle, "https", ca_file, verify=False)
    assert (found.error, found.pkix, len(connections)) == ("", tls_client.NOT_CHECKED, 1)


# What does wrong in SMTP

def test_no_starttls(full: ssl.SSLContext, ca_file: str) -> None:
    found = look(smtp(full, ehlo=b"250-g.pyon.example\r\n250 SIZE 1000\r\n"), "smtp", ca_file)
    assert found.error.endswith("does not offer STARTTLS")
    assert found.chain == () and NAME in found.error


def test_starttls_refused(full: ssl.SSLContext, ca_file: str) -> None:
    found = look(smtp(full, starttls=b"454 4.3.3 TLS not available\r\n"), "smtp", ca_file)
    assert found.error.endswith("said 454 4.3.3 TLS not available to STARTTLS")


def test_plain_text_after_the_reply_to_starttls(full: ssl.SSLContext, ca_file: str) -> None:
    found = look(smtp(full, starttls=b"220 go\r\n250 injected\r\n"), "smtp", ca_file)
    assert found.error.endswith("sent plain text after its reply to STARTTLS")
    assert found.chain == ()


def test_plain_text_in_place_of_tls(full: ssl.SSLContext, ca_file: str) -> None:
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        connection.recv(1024)
        connection.sendall(b"250-x\r\n250 STARTTLS\r\n")
        connection.recv(1024)
        connection.sendall(b"220 go\r\n")
        connection.recv(1024)
        connection.sendall(b"250 not TLS at all\r\n")
        connection.recv(1024)

    assert "failed in TLS" in look(handle, "smtp", ca_file).error


@pytest.mark.parametrize(("banner", "said"), [
    (b"554 no\r\n", "said 554 no as its greeting"),
    (b"SSH-2.0-OpenSSH\r\n", "sent no SMTP reply as its greeting: SSH-2.0-OpenSSH"),
    (b"220-x\r\n554 y\r\n", "said 554 y as its greeting"),
    (b"\x1b[31m220 x\r\n", "sent no SMTP reply as its greeting: ?[31m220 x"),
    (b"220 " + b"x" * 5000 + b"\r\n", "sent a line longer than 2048 octets"),
    (b"x" * 100000, "sent a line longer than 2048 octets"),
    (b"220-x\r\n" * 200 + b"220 x\r\n", "sent more than 100 lines as its greeting"),
])
def test_bad_greeting(full: ssl.SSLContext, ca_file: str, banner: bytes, said: str) -> None:
    assert look(smtp(full, banner=banner), "smtp", ca_file).error.endswith(said)


def test_control_characters_are_not_repeated(full: ssl.SSLContext, ca_file: str) -> None:
    found = look(smtp(full, banner=b"220 \x1b]0;owned\x07.example x\r\n"), "smtp", ca_file)
    assert found.error == "" and found.greeting == "?]0;owned?.example"


def test_refusal_within_tls(full: ssl.SSLContext, ca_file: str) -> None:
    assert look(smtp(full, within=b"421 too busy\r\n"), "smtp", ca_file).error.endswith("said 421 too busy to EHLO within TLS")


# Bounds

@pytest.mark.parametrize("service", ["https", "smtp"])
def test_silence_ends_with_the_deadline(ca_file: str, service: str) -> None:
    begun = time.monotonic()
    found = look(listen, service, ca_file, timeout=0.3)
    assert found.error.endswith("did not finish in time")
    assert time.monotonic() - begun < 2


def test_a_slow_drip_does_not_move_the_deadline(ca_file: str) -> None:
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"220")
        connection.settimeout(0.05)
        while True:
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
            connection.sendall(b"-")

    begun = time.monotonic()
    assert look(handle, "smtp", ca_file, timeout=0.5).error.endswith("did not finish in time")
    assert time.monotonic() - begun < 2


def test_an_endless_greeting_ends(ca_file: str) -> None:
    def handle(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-" + b"x" * 2000 + b"\r\n")

    found = look(handle, "smtp", ca_file)
    assert found.error.endswith("sent more than 100 lines as its greeting")


def test_the_octets_of_a_connection_are_bounded(ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_client, "MOST_LINES", 10**9)

    def handle(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-x\r\n" * 1000)

    assert look(handle, "smtp", ca_file).error.endswith("sent more than 262144 octets")


def test_closed_at_once(ca_file: str) -> None:
    assert look(lambda _: None, "smtp", ca_file).error.endswith("closed the connection")
    assert "closed the connection" in look(leave, "https", ca_file).error


def test_nobody_listens(ca_file: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = tls_client.probe("127.0.0.1", taken.getsockname()[1], "https", NAME, 5, ca_file)
    assert found.error.endswith("cannot be connected to: Connection refused")


# Callers' mistakes

@pytest.mark.parametrize(("address", "service", "ca", "said"), [
    ("127.0.0.1", "imap", None, "the service imap of g.pyon.example is unknown; use one of https, smtp"),
    ("localhost", "https", None, "localhost of g.pyon.example is not an IP address"),
    ("127.0.0.1", "https", "/nonexistent.pem", "/nonexistent.pem is not a readable file of CA certificates"),
])
def test_mistakes(address: str, service: str, ca: str | None, said: str) -> None:
    with pytest.raises(DaneError) as caught:
        tls_client.probe(address, 9, service, NAME, 1, ca)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["", "a" * 64 + ".example", ".example", "x\0y"])
def test_names_that_cannot_be_asked_for(full: ssl.SSLContext, name: str) -> None:
    with serving(https(full)) as port:
        assert tls_client.probe("127.0.0.1", port, "https", name, 5).error


def test_many_at_once_keep_their_order(full: ssl.SSLContext, ca_file: str) -> None:
    begun = time.monotonic()
    with serving(https(full)) as good, serving(listen) as bad:
        ports = [good, bad, good, bad]
        found = tls_client.probe_many([("127.0.0.1", port, "https", NAME, "") for port in ports], 4, 1, ca_file)
    assert [one.port for one in found] == ports
    assert [bool(one.error) for one in found] == [False, True, False, True]
    assert time.monotonic() - begun < 1.9  # both silent ones at the same time
    assert tls_client.probe_many([]) == []


def test_printable_bounds_what_others_sent() -> None:
    assert printable("a\r\n\x1b[0mé", 20) == "a???[0m?"
    assert printable("x" * 300, 10) == "xxxxxxx..."
