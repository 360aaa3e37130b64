# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small PKI, and servers on loopback that misbehave on demand."""
from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.dnssec
import dns.name
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def issue(name: str, issuer: Issued | None = None, *, ca: bool = False, begins: int = -86400, ends: int = 60 * 86400,
          now: float | None = None) -> Issued:
    """`name` is the common name, and for a leaf the one subjectAltName; `begins` and `ends` in seconds from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    moment = datetime.datetime.fromtimestamp(now if now is not None else datetime.datetime.now().timestamp(), datetime.UTC)
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.certificate.subject if issuer else subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before((moment + datetime.timedelta(seconds=begins)).replace(tzinfo=None))
               .not_valid_after((moment + datetime.timedelta(seconds=ends)).replace(tzinfo=None))
               .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@dataclass(frozen=True)
class Pki:
    """A root, an intermediate, and a leaf for g.pyon.example."""

    root: Issued
    intermediate: Issued
    leaf: Issued

    @classmethod
    def make(cls, name: str = "g.pyon.example") -> Pki:
        root = issue("Root of the tests", ca=True)
        intermediate = issue("Intermediate of the tests", root, ca=True)
        return cls(root, intermediate, issue(name, intermediate))


def server_context(directory: Path, chain: list[Issued]) -> ssl.SSLContext:
    """A server's context that sends `chain`, the leaf first."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = directory / f"{chain[0].certificate.serial_number}-{len(chain)}.pem"
    file.write_bytes(b"".join(one.pem for one in chain) + chain[0].key_pem)
    made.load_cert_chain(file)
    return made


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None], family: int = socket.AF_INET, port: int = 0) -> Iterator[int]:
    """Serve each connection on loopback by `handle` in a thread of its own; yields the port."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
    listener.listen()
    ended = threading.Event()
    threads: list[threading.Thread] = []
    open_ones: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:  # the client may go at any time, and the test ends the rest
            connection.settimeout(20)
            handle(connection)

    def run() -> None:
        while not ended.is_set():
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            open_ones.append(connection)
            threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=run, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        accepting.join(5)
        for thread in threads:
            thread.join(5)


def https(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """TLS at once."""
    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1024)
    return handle


def smtp(context: ssl.SSLContext, *, banner: bytes = b"220 g.pyon.example ESMTP\r\n",
         ehlo: bytes = b"250-g.pyon.example greets you\r\n250-SIZE 1000\r\n250 STARTTLS\r\n", starttls: bytes = b"220 go ahead\r\n",
         within: bytes = b"250 g.pyon.example\r\n", heard: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """A mail server, with replies to choose from."""
    heard = heard if heard is not None else []

    def handle(connection: socket.socket) -> None:
        connection.sendall(banner)
        heard.append(connection.recv(1024))
        connection.sendall(ehlo)
        heard.append(connection.recv(1024))
        connection.sendall(starttls)
        with context.wrap_socket(connection, server_side=True) as tls:
            heard.append(tls.recv(1024))
            tls.sendall(within)
            heard.append(tls.recv(1024))
    return handle


# DNS

Reply = Callable[[bytes, bool], "bytes | None"]


@contextlib.contextmanager
def name_server(reply: Reply) -> Iterator[int]:
    """A name server on 127.0.0.1, UDP and TCP on one port: `reply(query, tcp)`, None for silence."""
    stream, datagram = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.bind(("127.0.0.1", 0))
    port = stream.getsockname()[1]
    datagram.bind(("127.0.0.1", port))
    stream.close()

    def udp() -> None:
        while True:
            query, peer = datagram.recvfrom(65535)
            if query == b"end":
                return
            answer = reply(query, False)
            if answer is not None:
                datagram.sendto(answer, peer)

    def tcp(connection: socket.socket) -> None:
        length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
        answer = reply(connection.recv(length, socket.MSG_WAITALL), True)
        if answer is not None:
            connection.sendall(len(answer).to_bytes(2, "big") + answer)
            connection.recv(1)

    thread = threading.Thread(target=udp, daemon=True)
    thread.start()
    try:
        with serving(tcp, port=port):
            yield port
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", port))
        thread.join(5)
        datagram.close()


class Signer:
    """One algorithm 13 key that signs a zone (`zone` with the final dot)."""

    def __init__(self, zone: str) -> None:
        self.zone = dns.name.from_text(zone)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dns.dnssec.make_dnskey(self.key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)

    def keys(self) -> dns.rrset.RRset:
        return dns.rrset.from_rdata_list(self.zone, 3600, [self.dnskey])

    def ds(self) -> str:
        return dns.dnssec.make_ds(self.zone, self.dnskey, "SHA256").to_text()

    def sign(self, rrset: dns.rrset.RRset, begins: float, ends: float) -> dns.rrset.RRset:
        """The RRSIG of `rrset`, valid from `begins` to `ends` in unix seconds."""
        rdata = dns.dnssec.sign(rrset, self.key, self.zone, self.dnskey, inception=int(begins), expiration=int(ends))
        return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, [rdata])
