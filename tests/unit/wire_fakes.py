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
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

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
          now: float | None = None, family: str = "ecdsa") -> Issued:
    """`name` is the common name, and for a leaf the one subjectAltName; `begins` and `ends` in seconds from now."""
    key = ec.generate_private_key(ec.SECP256R1()) if family == "ecdsa" else rsa.generate_private_key(65537, 2048)
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


def server_context(directory: Path, chain: list[Issued], *others: list[Issued]) -> ssl.SSLContext:
    """A server's context that sends `chain`, the leaf first; or one of `others`, with keys of other kinds, as it suits the client."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for one in (chain, *others):
        file = directory / f"{one[0].certificate.serial_number}-{len(one)}.pem"
        file.write_bytes(b"".join(part.pem for part in one) + one[0].key_pem)
        made.load_cert_chain(file)
    return made


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None], family: int = socket.AF_INET, port: int = 0, address: str = "") -> Iterator[int]:
    """Serve each connection on loopback (`address`) by `handle` in a thread of its own; yields the port."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address or ("::1" if family == socket.AF_INET6 else "127.0.0.1"), port))
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
def name_server(reply: Reply, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A name server on loopback, UDP and TCP on one port: `reply(query, tcp)`, None for silence."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    stream, datagram = socket.socket(family), socket.socket(family, socket.SOCK_DGRAM)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stream.bind((address, port))
    port = stream.getsockname()[1]
    datagram.bind((address, port))
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
        while length := int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big"):
            answer = reply(connection.recv(length, socket.MSG_WAITALL), True)
            if answer is None:
                return
            connection.sendall(len(answer).to_bytes(2, "big") + answer)

    thread = threading.Thread(target=udp, daemon=True)
    thread.start()
    try:
        with serving(tcp, family, port, address):
            yield port
    finally:
        with socket.socket(family, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", (address, port))
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


class SignedZone:
    """A zone that is signed as it is asked, with NSEC.  `begins` and `ends` of its signatures are unix seconds."""

    def __init__(self, signer: Signer, begins: float, ends: float) -> None:
        self.signer = signer
        self.begins = begins
        self.ends = ends
        self.rrsets: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
        self.signed: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
        self.add(signer.keys())

    def add(self, rrset: dns.rrset.RRset) -> None:
        self.rrsets[rrset.name, rrset.rdtype] = rrset
        self.signed.clear()

    def put(self, owner: str, rdtype: str, *records: str, ttl: int = 3600) -> None:
        self.add(dns.rrset.from_text(owner, ttl, "IN", rdtype, *records))

    def with_signature(self, rrset: dns.rrset.RRset) -> list[dns.rrset.RRset]:
        known = rrset.name, rrset.rdtype
        if known not in self.signed:
            self.signed[known] = self.signer.sign(rrset, self.begins, self.ends)
        return [rrset, self.signed[known]]

    def _nsec(self, name: dns.name.Name) -> dns.rrset.RRset:
        """The NSEC of `name`, or the one that covers it."""
        names = sorted({owner for owner, _kind in self.rrsets})
        at = max(place for place, owner in enumerate(names) if owner <= name)
        types = " ".join(dns.rdatatype.to_text(kind) for owner, kind in self.rrsets if owner == names[at])
        return dns.rrset.from_text(names[at], 300, "IN", "NSEC", f"{names[(at + 1) % len(names)]} {types} RRSIG NSEC")

    def answer(self, query: bytes, tcp: bool = True) -> bytes:
        """The response of an authoritative server."""
        response = dns.message.make_response(dns.message.from_wire(query))
        response.flags |= dns.flags.AA
        name, kind = response.question[0].name, response.question[0].rdtype
        found = self.rrsets.get((name, kind)) or self.rrsets.get((name, dns.rdatatype.CNAME))
        if found is not None:
            response.answer += self.with_signature(found)
        else:
            if not any(owner.is_subdomain(name) for owner, _kind in self.rrsets):
                response.set_rcode(dns.rcode.NXDOMAIN)
            wildcard = dns.name.Name((b"*", *self.signer.zone.labels))
            for one in (self.rrsets[self.signer.zone, dns.rdatatype.SOA], self._nsec(name), self._nsec(wildcard)):
                if one not in response.authority:
                    response.authority += self.with_signature(one)
        wire: bytes = response.to_wire(max_size=65535)
        if not tcp and len(wire) > 1232:
            response = dns.message.make_response(dns.message.from_wire(query))
            response.flags |= dns.flags.AA | dns.flags.TC
            wire = response.to_wire()
        return wire
