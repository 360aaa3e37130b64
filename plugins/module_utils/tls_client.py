# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an address and port presents: TLS at once (https) or after STARTTLS (smtp, RFC 3207).

Whoever answers is not trusted: each probe has one deadline for everything it does (not one per read) and a bound on the
bytes it reads, and what it reports of foreign text is printable and short.

A chain is judged by the WebPKI in the handshake itself (the oldest `cryptography` we support has no path validation).
Where that fails, OpenSSL has thrown the chain away, so a second connection without verification fetches it: one
connection where all is well, two where it is not, both before the same deadline.

A server with an ECDSA and an RSA certificate presents the one that suits the client.  Python cannot say in TLS 1.3 which
that is to be (RFC 8446 4.2.3), so one of the two is asked for in TLS 1.2, whose cipher suites name it (RFC 8422 2).
"""
from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .errors import DaneError, printable

SERVICES = ("https", "smtp")
FAMILIES = {"ecdsa": "ECDHE+aECDSA", "rsa": "ECDHE+aRSA"}  # of certificates, and the cipher suites of TLS 1.2 that go with them
LONGEST_LINE = 2048  # octets; RFC 5321 4.5.3.1.5 allows 512
MOST_LINES = 100  # of one SMTP reply
MOST_BYTES = 262144  # read in one connection
NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Presented:
    """What `address` and `port` presented to a client that asked for `name`."""

    address: str
    port: int
    service: str
    name: str
    chain: tuple[bytes, ...] = ()
    """DER, all certificates as sent, the leaf first; empty where no TLS was had."""
    version: str = ""
    """As OpenSSL says it, "TLSv1.3"."""
    error: str = ""
    """One sentence; "" where the handshake (and for smtp the EHLO within TLS) was had."""
    pkix: str = NOT_CHECKED
    """"" where the chain verifies for `name` up to a trusted CA, else one sentence."""
    greeting: str = ""
    """smtp: the host name in the banner."""
    ehlo: str = ""
    """smtp: the host name in the reply to the first EHLO."""
    family: str = ""
    """"ecdsa" or "rsa" where the client took no other certificate."""


class _Failure(Exception):
    """A sentence without its subject; `unverified` where only the chain's verification failed."""

    def __init__(self, said: str, unverified: bool = False) -> None:
        super().__init__(said)
        self.unverified = unverified


class _Wire:
    """One connection with a deadline, a bound on what is read, and TLS when asked for."""

    def __init__(self, address: str, port: int, deadline: float) -> None:
        self.deadline = deadline
        self.left = MOST_BYTES
        self.pending = b""
        self.tls: ssl.SSLObject | None = None
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._in_time("did not answer the connection")
            self.socket.connect((address, port))
        except TimeoutError as error:
            self.socket.close()
            raise _Failure("did not answer the connection in time") from error
        except OSError as error:
            self.socket.close()
            raise _Failure(f"cannot be connected to: {error.strerror or error}") from error
        except BaseException:
            self.socket.close()
            raise

    def _in_time(self, doing: str) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise _Failure(f"{doing} in time")
        self.socket.settimeout(remaining)

    def _receive(self) -> bytes:
        """Some octets as they come, b"" at the end."""
        if self.left <= 0:
            raise _Failure(f"sent more than {MOST_BYTES} octets")
        self._in_time("did not finish")
        try:
            data = self.socket.recv(min(16384, self.left))
        except TimeoutError as error:
            raise _Failure("did not finish in time") from error
        except OSError as error:
            raise _Failure(f"broke the connection: {error.strerror or error}") from error
        self.left -= len(data)
        return data

    def _send(self, data: bytes) -> None:
        self._in_time("did not read")
        try:
            self.socket.sendall(data)  # the time limit of sendall is for all of it
        except TimeoutError as error:
            raise _Failure("did not read in time") from error
        except OSError as error:
            raise _Failure(f"broke the connection: {error.strerror or error}") from error

    def _flush(self) -> None:
        """Send what the TLS object has for the peer."""
        data = self.outgoing.read()
        if data:
            self._send(data)

    def _pump(self, step: Callable[..., object], *arguments: object) -> bytes:
        """Run `step` of the TLS object until it has what it needs; what it read, if it reads."""
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._receive()
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
                continue
            except ssl.SSLCertVerificationError as error:
                self._alert()
                raise _Failure(printable(error.verify_message or error), unverified=True) from error
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                raise _Failure("closed the connection within TLS") from error
            except (ssl.SSLError, ValueError) as error:
                self._alert()
                if getattr(error, "reason", None) == "TLSV1_ALERT_PROTOCOL_VERSION":
                    raise _Failure("does not offer TLS 1.2") from error
                raise _Failure(f"failed in TLS: {printable(error)}") from error
            self._flush()
            return result if isinstance(result, bytes) else b""

    def _alert(self) -> None:
        """Tell the peer why, if it still listens."""
        with contextlib.suppress(_Failure):
            self._flush()

    def start_tls(self, context: ssl.SSLContext, name: str) -> ssl.SSLObject:
        try:
            self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        except (TypeError, ValueError, ssl.SSLError) as error:  # TypeError: a NUL
            raise _Failure(f"cannot be asked for this name: {printable(error)}") from error
        self._pump(self.tls.do_handshake)
        return self.tls

    def write(self, data: bytes) -> None:
        if self.tls is None:
            self._send(data)
        else:
            self._pump(self.tls.write, data)

    def line(self) -> bytes:
        """One line without its end."""
        while b"\n" not in self.pending:
            if len(self.pending) > LONGEST_LINE:
                raise _Failure(f"sent a line longer than {LONGEST_LINE} octets")
            data = self._receive() if self.tls is None else self._pump(self.tls.read, 16384)
            if not data:
                raise _Failure("closed the connection")
            self.pending += data
        line, _end, self.pending = self.pending.partition(b"\n")
        if len(line) > LONGEST_LINE:
            raise _Failure(f"sent a line longer than {LONGEST_LINE} octets")
        return line.rstrip(b"\r")

    def reply(self, after: str, expected: str) -> list[str]:
        """The texts of one SMTP reply (RFC 5321 4.2) with the code `expected`."""
        texts: list[str] = []
        while True:
            line = self.line()
            match = re.fullmatch(rb"([2-5][0-9]{2})(?:([ -])(.*))?", line, re.DOTALL)
            if match is None:
                raise _Failure(f"sent no SMTP reply {after}: {printable(line.decode('latin-1'), 60)}")
            text = (match[3] or b"").decode("latin-1")
            if match[1].decode() != expected:
                raise _Failure(f"said {printable(line.decode('latin-1'), 120)} {after}")
            texts.append(text)
            if len(texts) > MOST_LINES:
                raise _Failure(f"sent more than {MOST_LINES} lines {after}")
            if match[2] != b"-":
                return texts

    def close(self, farewell: bytes) -> None:
        """Say `farewell` if the peer will have it; what it answers does not matter."""
        try:
            if farewell:
                self.write(farewell)
            if self.tls is not None:
                with contextlib.suppress(ssl.SSLError, ValueError):
                    self.tls.unwrap()  # the peer's own close_notify is not waited for
                self._alert()
        except _Failure:
            pass
        finally:
            self.socket.close()


def _sent_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """All certificates that the server sent, DER.  Public from Python 3.13 on; 3.10 to 3.12 have it within."""
    if hasattr(tls, "get_unverified_chain"):
        return tuple(tls.get_unverified_chain())
    import _ssl  # the encoding's number is only there
    inner: Any = tls._sslobj  # type: ignore[attr-defined]
    return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in inner.get_unverified_chain() or ())


def context(verify: bool, ca_file: str | None, family: str = "") -> ssl.SSLContext:
    """A client's context: TLS 1.2 and later; verifying with the CAs in `ca_file` (PEM) or else the system's.

    With a `family` ("ecdsa" or "rsa") TLS 1.2 alone, and only with a certificate of that family.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if family:
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers(FAMILIES[family])
    made.hostname_checks_common_name = False  # RFC 9525 2: only subjectAltName
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif ca_file:
        try:
            made.load_verify_locations(cafile=ca_file)
        except (OSError, ValueError) as error:
            raise DaneError(f"{ca_file} is not a readable file of CA certificates in PEM ({printable(error)}); "
                            "name another file") from error
    else:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return made


def _first_word(texts: list[str]) -> str:
    return printable((texts[0].split() or [""])[0], 253)


def _own_literal(wire: _Wire) -> str:
    """Our own address as RFC 5321 4.1.3 has it: true, and known without asking any resolver."""
    own = str(wire.socket.getsockname()[0])
    return f"[IPv6:{own}]" if ":" in own else f"[{own}]"


def _attempt(blank: Presented, wire: _Wire, tls_context: ssl.SSLContext, ehlo: str) -> Presented:
    """All that one connection tells; raises _Failure."""
    greeting = said = ""
    if blank.service == "smtp":
        greeting = _first_word(wire.reply("as its greeting", "220"))
        hello = f"EHLO {ehlo or _own_literal(wire)}\r\n".encode()
        wire.write(hello)
        texts = wire.reply("to EHLO", "250")
        said = _first_word(texts)
        if not any(text.strip().upper() == "STARTTLS" for text in texts[1:]):
            raise _Failure("does not offer STARTTLS")
        wire.write(b"STARTTLS\r\n")
        wire.reply("to STARTTLS", "220")
        if wire.pending:  # whoever put it there wants it taken for protected
            raise _Failure("sent plain text after its reply to STARTTLS")
    tls = wire.start_tls(tls_context, blank.name)
    found = replace(blank, chain=_sent_chain(tls), version=tls.version() or "", greeting=greeting, ehlo=said)
    if blank.service == "smtp":  # in TLS 1.3 a server can still refuse after our side has finished
        wire.write(hello)
        wire.reply("to EHLO within TLS", "250")
    return found


def probe(address: str, port: int, service: str, name: str, timeout: float = 10, ca_file: str | None = None, *,
          verify: bool = True, ehlo: str = "", family: str = "") -> Presented:
    """Connect to `address` and `port` as a client of `name`, and tell what is presented.

    `service` is https or smtp; SNI is `name`.  `timeout`, in seconds, is for all of it.  `verify` asks for `pkix` too
    (a second connection where it fails).  `ehlo` is the name in EHLO, by default the literal of the own address.
    `family` is "ecdsa" or "rsa" to be given that one of two certificates, which only a server with TLS 1.2 can do.

    What the peer does wrong is in `error` and `pkix`; DaneError is for the caller's mistakes (`ca_file`, `service`).
    """
    if service not in SERVICES:
        raise DaneError(f"the service {printable(service)} of {printable(name)} is unknown; use one of {', '.join(SERVICES)}")
    try:
        address = str(ipaddress.ip_address(address))
    except ValueError as error:
        raise DaneError(f"{printable(address)} of {printable(name)} is not an IP address; correct it") from error
    blank = Presented(address, port, service, name, family=family)
    where = f"{name} at {address} port {port}" + (f", asked in TLS 1.2 for its {family.upper()} certificate," if family else "")
    deadline = time.monotonic() + timeout
    pkix = NOT_CHECKED
    for verifying in (True, False) if verify else (False,):
        tls_context = context(verifying, ca_file, family)
        farewell = b""
        try:
            wire = _Wire(address, port, deadline)
            try:
                found = _attempt(blank, wire, tls_context, ehlo)
                farewell = b"QUIT\r\n" if service == "smtp" else b""
            finally:
                wire.close(farewell)
        except _Failure as failure:
            if failure.unverified:
                trusted = ca_file if ca_file else f"the CAs of {os.uname().nodename}"
                pkix = f"the chain of {name} at {address} port {port} does not verify with {trusted}: {failure}"
                continue
            return replace(blank, pkix=pkix, error=f"{where} {failure}")
        return replace(found, pkix="" if verifying else pkix)
    raise AssertionError("a connection without verification failed in verification")


def probe_many(endpoints: Iterable[tuple[str, int, str, str, str]], workers: int = 8, timeout: float = 10,
               ca_file: str | None = None, *, verify: bool = True, ehlo: str = "") -> list[Presented]:
    """Probe (address, port, service, name, family) at the same time, `workers` at once; results in the order given."""
    wanted = list(endpoints)
    if not wanted:
        return []

    def one(endpoint: tuple[str, int, str, str, str]) -> Presented:
        address, port, service, name, family = endpoint
        return probe(address, port, service, name, timeout, ca_file, verify=verify, ehlo=ehlo, family=family)

    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(wanted)))) as pool:
        return list(pool.map(one, wanted))
