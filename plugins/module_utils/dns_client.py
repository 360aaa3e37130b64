# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to one server address, or to a validating resolver; the one guard of `import dns`.

What comes back is not trusted: it has the size that DNS gives it, every question has a time limit, and whatever is wrong
with the answer is one sentence in it.  DaneError is only for a missing library.
"""
from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import x509
from .errors import DaneError, printable

try:
    import dns.dnssec
    import dns.flags
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.rrset
    import dns.version
    HAVE_DNS = (dns.version.MAJOR, dns.version.MINOR) >= (2, 3)
except ImportError:
    HAVE_DNS = False

PAYLOAD = 1232  # octets; what passes everywhere without fragments
MOST_RECORDS = 128  # in one answer, of all sections: an RRset of 64 with what goes with it
MOST_LABELS = 2048  # in one answer, of all names: dnspython takes time with the square of what one name has
MOST_POINTERS = 16  # in one name (RFC 1035 section 4.1.4)
NAMES = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 39: (0, 1), 46: (18, 1), 47: (0, 1)}
"""Of types that may be in an answer: where in their data the names begin, and how many there are.  NS, CNAME, SOA, PTR, MX, DNAME, RRSIG, NSEC."""
NAMELESS = (1, 16, 28, 41, 43, 48, 50, 51, 52, 257)  # A, TXT, AAAA, OPT, DS, DNSKEY, NSEC3, NSEC3PARAM, TLSA, CAA
OPT, REPORT_CHANNEL = 41, 18  # the type, and the one of its options that has a name (RFC 9567)
WITHOUT_QUESTION = (1, 2, 4, 5)  # RCODEs of those that could not or would not read it: FORMERR, SERVFAIL, NOTIMP, REFUSED
MOST_SIGNATURES = 8  # tried for one RRset
MOST_COLLISIONS = 2  # keys with the tag and algorithm of a signature: more are made so that it takes time (CVE-2023-50387)
RSA = (5, 7, 8, 10)  # algorithms
MOST_EXPONENT, MOST_MODULUS = 8, 512  # octets of an RSA key; any more is for the same
DIGESTS = {2: "SHA256", 4: "SHA384"}  # of DS; RFC 9904 leaves SHA-1 behind


@dataclass(frozen=True)
class Signature:
    """One RRSIG; times in unix seconds."""

    key_tag: int
    algorithm: int
    signer: str
    inception: int
    expiration: int


@dataclass(frozen=True)
class Answer:
    """What one server said of `owner` and `rdtype`.  Names are absolute, lower case, with the final dot."""

    server: str
    owner: str
    rdtype: str
    rcode: str = ""
    """"NOERROR", "NXDOMAIN", ...; "" where there was no answer."""
    aa: bool = False
    ad: bool = False
    tcp: bool = False
    records: tuple[str, ...] = ()
    """Data in presentation form, sorted."""
    ttl: int | None = None
    serial: int | None = None
    """Of the SOA, where that was asked for."""
    rrsig: tuple[Signature, ...] = ()
    referral: tuple[str, ...] = ()
    """Names in the NS RRset of `owner` in the authority section: what a parent says."""
    glue: tuple[tuple[str, str], ...] = ()
    """(name, address) in the additional section."""
    error: str = ""
    """One sentence; "" where there was an answer, an empty one too."""
    alias: str = ""
    """Where a CNAME of `owner` leads."""
    rrset: Any = field(default=None, repr=False, compare=False)
    signatures: Any = field(default=None, repr=False, compare=False)
    authority: Any = field(default=(), repr=False, compare=False)
    """The RRsets of the authority section."""

    @property
    def authenticated(self) -> bool:
        """Whether the resolver says that it validated this answer (RFC 4035 3.2.3)."""
        return self.ad and not self.error


def require() -> None:
    """DaneError where dnspython or what it validates with is missing or too old."""
    if not HAVE_DNS:
        raise DaneError("dnspython 2.3 or later is not here; install the package python3-dnspython")
    x509.require()


def absolute(name: str) -> str:
    """`name` lower case and with the final dot."""
    return name.lower().rstrip(".") + "."


def local_resolvers(path: str = "/etc/resolv.conf") -> list[str]:
    """The resolver addresses of this host; the loopback address where none is named (resolv.conf(5))."""
    found = []
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            for line in stream:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    try:
                        found.append(str(ipaddress.ip_address(words[1])))
                    except ValueError:
                        continue
    except OSError:
        pass
    return found or ["127.0.0.1"]


def _read(blank: Answer, response: dns.message.Message, canonical: dns.name.Name, tcp: bool) -> Answer:
    """What `response` says of `canonical`, the owner asked for or the end of its CNAMEs."""
    kind = dns.rdatatype.from_text(blank.rdtype)
    rrset = response.get_rrset(response.answer, canonical, dns.rdataclass.IN, kind)
    signed = response.get_rrset(response.answer, canonical, dns.rdataclass.IN, dns.rdatatype.RRSIG, kind)
    referral = response.get_rrset(response.authority, canonical, dns.rdataclass.IN, dns.rdatatype.NS)
    alias = response.get_rrset(response.answer, canonical, dns.rdataclass.IN, dns.rdatatype.CNAME)
    return replace(
        blank,
        rcode=dns.rcode.to_text(response.rcode()),
        aa=bool(response.flags & dns.flags.AA),
        ad=bool(response.flags & dns.flags.AD),
        tcp=tcp,
        records=tuple(sorted(rdata.to_text() for rdata in rrset or ())),
        ttl=rrset.ttl if rrset is not None else None,
        serial=rrset[0].serial if rrset and kind == dns.rdatatype.SOA else None,
        rrsig=tuple(Signature(rdata.key_tag, int(rdata.algorithm), rdata.signer.to_text().lower(), rdata.inception, rdata.expiration)
                    for rdata in signed or ()),
        referral=tuple(sorted(rdata.target.to_text().lower() for rdata in referral or ())),
        glue=tuple(sorted((found.name.to_text().lower(), rdata.address) for found in response.additional
                          if found.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA) for rdata in found)),
        alias=alias[0].target.to_text().lower() if alias else "",
        rrset=rrset,
        signatures=signed,
        authority=tuple(response.authority),
    )


class _Strays(TimeoutError):
    """The time is over; the rest of the sentence on what came and is no answer."""


def _answers(octets: bytes, query: bytes, section: bytes) -> bool:
    """Whether `octets` are the response to `query`, whose question section is `section`."""
    if len(octets) < 12 or octets[:2] != query[:2] or octets[2] & 0xF8 != 0x80:  # QR, and the opcode QUERY
        return False
    if octets[4:6] == b"\0\0":
        return octets[3] & 15 in WITHOUT_QUESTION
    return octets[12:12 + len(section)].lower() == section


def _left(deadline: float) -> float:
    """Seconds.  TimeoutError where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _datagram(query: bytes, section: bytes, address: str, port: int, timeout: float) -> bytes:
    """The response over UDP to `query`, which is sent twice.  What else comes is passed over: anybody can send it."""
    family, kind, _protocol, _name, where = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    begun, strays = time.monotonic(), 0
    with socket.socket(family, kind) as datagrams:
        for until in (begun + timeout / 3, begun + timeout):
            datagrams.sendto(query, where)
            while (left := until - time.monotonic()) > 0:
                datagrams.settimeout(left)
                try:
                    octets, peer = datagrams.recvfrom(65535)
                except TimeoutError:
                    break
                if peer[:2] == where[:2] and _answers(octets, query, section):
                    return octets
                strays += 1
    raise _Strays(f", and {strays} messages with a wrong sender, id or question came" if strays else "")


def _octets(stream: socket.socket, count: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < count:
        stream.settimeout(_left(deadline))
        part = stream.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)


def _streamed(query: bytes, section: bytes, address: str, port: int, deadline: float) -> bytes:
    """The response over TCP, whose messages have their length before them (RFC 1035 section 4.2.2)."""
    family, kind, _protocol, _name, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    with socket.socket(family, kind) as stream:
        stream.settimeout(_left(deadline))
        stream.connect(where)
        stream.sendall(len(query).to_bytes(2, "big") + query)
        octets = _octets(stream, int.from_bytes(_octets(stream, 2, deadline), "big"), deadline)
    if not _answers(octets, query, section):
        raise DaneError("it has a wrong id or question")
    return octets


def _exchange(query: bytes, section: bytes, address: str, port: int, timeout: float, tcp: bool) -> tuple[bytes, bool]:
    """The response and whether it came over TCP, where a truncated answer is asked for again."""
    deadline = time.monotonic() + timeout
    if not tcp:
        octets = _datagram(query, section, address, port, timeout)
        if not octets[2] & 2:
            return octets, False
    return _streamed(query, section, address, port, deadline), True


def _question(address: str, owner: str, rdtype: str, timeout: float, tcp: bool, dnssec: bool, port: int, recursion: bool) -> Answer:
    require()
    blank = Answer(address, absolute(owner), rdtype)
    subject = f"{printable(address)} asked for {printable(absolute(owner))} {printable(rdtype)} over {'TCP' if tcp else 'UDP'}"
    silence = f"{subject} did not answer in {timeout:.2g} seconds"
    try:
        name = name_of(owner)
    except DaneError as error:
        return replace(blank, error=str(error))
    try:
        query = dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=dnssec, payload=PAYLOAD)
        query.flags = dns.flags.RD | dns.flags.AD if recursion else dns.flags.Flag(0)
        octets, used_tcp = _exchange(query.to_wire(), question(owner, rdtype), address, port, timeout, tcp)
    except _Strays as strays:
        return replace(blank, error=f"{silence}{strays}")
    except TimeoutError:
        return replace(blank, tcp=tcp, error=silence)
    except (OSError, UnicodeError) as error:  # of what is no address
        return replace(blank, tcp=tcp, error=f"{subject} cannot be reached: {getattr(error, 'strerror', None) or printable(error, 100)}")
    except EOFError:
        return replace(blank, tcp=tcp, error=f"{subject} closed the connection without an answer")
    except DaneError as error:
        return replace(blank, tcp=tcp, error=f"{subject} sent what is no answer: {error}")
    if rdtype == "AXFR":  # the zone is not read, and may have records of any type
        return replace(blank, tcp=used_tcp, rcode=dns.rcode.to_text(dns.rcode.Rcode(octets[3] & 15)))
    answer = read(blank, octets, used_tcp, recursion)
    return replace(answer, tcp=tcp, error=f"{subject} {answer.error}") if answer.error else answer


def ask(address: str, owner: str, rdtype: str, timeout: float = 5, tcp: bool = False, dnssec: bool = True, port: int = 53) -> Answer:
    """Ask the name server at `address`, without recursion.  `timeout` in seconds is for all of it; see `Answer.error`."""
    return _question(address, owner, rdtype, timeout, tcp, dnssec, port, recursion=False)


def resolve(owner: str, rdtype: str, timeout: float = 5, addresses: Sequence[str] | None = None, port: int = 53) -> Answer:
    """Ask the resolvers at `addresses` (default: this host's) in turn until one knows.  CNAMEs are followed.

    `timeout`, in seconds, is for all of them.  `Answer.authenticated` is worth what the way to that resolver is worth: loopback is best.
    """
    answer = Answer("", absolute(owner), rdtype, error="no resolver is named")
    deadline = time.monotonic() + timeout
    turns = list(addresses or local_resolvers())
    for place, address in enumerate(turns):
        share = max(deadline - time.monotonic(), 0.01) / (len(turns) - place)
        answer = _question(address, owner, rdtype, share, False, True, port, recursion=True)
        if answer.rcode in ("NOERROR", "NXDOMAIN"):
            return answer
    return answer


def name_of(owner: str) -> Any:
    """`owner` as a name of dnspython.  DaneError where no name can be so."""
    require()
    try:
        return dns.name.from_text(absolute(owner))
    except Exception as error:  # noqa: BLE001  older versions let struct.error through
        raise DaneError(f"{printable(owner)} is no name that DNS can have: {printable(error, 100)}") from error


def question(owner: str, rdtype: str) -> bytes:
    """The question section on `owner` and `rdtype` (RFC 1035 section 4.1.2).  DaneError where no name can be so."""
    octets: bytes = name_of(owner).to_digestable()
    return octets + struct.pack("!HH", dns.rdatatype.from_text(rdtype), dns.rdataclass.IN)


def query(number: int, section: bytes) -> bytes:
    """The message that asks a name server for `section`, a question section, without recursion, with DO (RFC 6891, RFC 4035 3.2.1)."""
    return struct.pack("!6H", number, 0, 1, 0, 0, 1) + section + struct.pack("!BHHIH", 0, 41, PAYLOAD, 0x8000, 0)


def _message(octets: bytes) -> dns.message.Message:
    """`octets`, read by dnspython.  That may take seconds for one message: some versions follow pointers to pointers without end, and all
    are slow with names of many labels.  So what has names is walked through before (RFC 1035 section 4.1), and refused where there
    may be names that are not known here.  DaneError says why."""
    labels = 0

    def after_name(place: int) -> int:
        nonlocal labels
        end = pointers = 0
        while length := octets[place]:
            if length < 0xC0:
                labels += 1
                place += 1 + length
            else:
                pointers += 1
                end = end or place + 2
                place = (length & 0x3F) << 8 | octets[place + 1]
            if pointers > MOST_POINTERS or labels > MOST_LABELS:
                raise DaneError(f"it has more than {MOST_POINTERS} pointers in a name or {MOST_LABELS} labels")
        return end or place + 1

    questions, *counts = struct.unpack_from("!4H", octets, 4)
    if questions > 1:
        raise DaneError(f"it has {questions} questions")
    place = after_name(12) + 4 if questions else 12
    for _record in range(sum(counts)):
        place = after_name(place)
        kind, rdclass, _ttl, length = struct.unpack_from("!HHIH", octets, place)
        if kind not in NAMES and kind not in NAMELESS:
            raise DaneError(f"it has a record of type {kind}, which was not asked for")
        if rdclass != dns.rdataclass.IN and kind != OPT:  # an A record of the class CH has a name
            raise DaneError(f"it has a record of class {rdclass}, which was not asked for")
        if kind == OPT and length > PAYLOAD:
            raise DaneError(f"it has options of {length} octets")
        begin, names = NAMES.get(kind, (0, 0))
        end = place + 10 + length
        place += 10 + begin
        for _name in range(names):
            place = after_name(place)
        while kind == OPT and place < end:
            option, size = struct.unpack_from("!HH", octets, place)
            if option == REPORT_CHANNEL:
                after_name(place + 4)
            place += 4 + size
        place = end
    return dns.message.from_wire(octets)


def read(blank: Answer, response: bytes, tcp: bool = False, recursion: bool = False) -> Answer:
    """`blank` (server, owner and rdtype) with what the message `response` says; its `error` goes on from the name of the server.

    recursion: CNAMEs are followed.
    """
    try:
        records = sum(struct.unpack_from("!3H", response, 6))
        if records > MOST_RECORDS or (not tcp and len(response) > PAYLOAD):
            return replace(blank, error=f"sent an answer that is too large: {len(response)} octets, {records} records")
        message, canonical = _message(response), name_of(blank.owner)
        if recursion and isinstance(message, dns.message.QueryMessage) and message.rcode() == dns.rcode.NOERROR:
            canonical = message.resolve_chaining().canonical_name
        return _read(blank, message, canonical, tcp)
    except DaneError as error:
        return replace(blank, error=f"sent what is no answer: {error}")
    except Exception as error:  # noqa: BLE001  the parser is not ours, and what it reads may be made to break it
        return replace(blank, error=f"sent what is no answer: {type(error).__name__} {printable(error, 100)}".rstrip())


def rrset_of(rrset: dns.rrset.RRset, rdatas: Sequence[Any]) -> dns.rrset.RRset:
    """`rdatas` with owner and TTL of `rrset`."""
    return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, list(rdatas))


def matching_keys(dnskey: Answer, ds: Sequence[str]) -> list[Any]:
    """The keys in `dnskey` that one of the DS records `ds` (presentation form) names (RFC 4035 5.2)."""
    require()
    wanted = set()
    for record in ds:
        words = record.split()
        if len(words) >= 4 and words[2].isdigit() and int(words[2]) in DIGESTS:
            wanted.add((words[0], int(words[2]), "".join(words[3:]).lower()))
    found = []
    for key in dnskey.rrset or ():
        for number, digest in DIGESTS.items():
            made = dns.dnssec.make_ds(dnskey.rrset.name, key, digest)
            if (str(made.key_tag), number, made.digest.hex()) in wanted:
                found.append(key)
                break
    return found


def ds_records(dnskey: Answer) -> list[str]:
    """The DS records (SHA-256) that a parent should have for the secure entry points in `dnskey`."""
    require()
    return sorted(dns.dnssec.make_ds(dnskey.rrset.name, key, "SHA256").to_text()
                  for key in dnskey.rrset or () if key.flags & 1 and key.flags & 256)


def _usable(key: Any) -> bool:
    """Whether `key`, if it is one of RSA (RFC 3110 section 2), has numbers that are not too long."""
    octets = bytes(key.key)
    begin, length = (3, int.from_bytes(octets[1:3], "big")) if octets[:1] == b"\0" else (1, int.from_bytes(octets[:1], "big"))
    return key.algorithm not in RSA or (length <= MOST_EXPONENT and len(octets) - begin - length <= MOST_MODULUS)


def valid_signatures(rrset: dns.rrset.RRset, signatures: dns.rrset.RRset, keys: dns.rrset.RRset, now: float | None = None) -> list[Any]:
    """Those of the RRSIGs `signatures` by which a key of the DNSKEY RRset `keys` signs `rrset` (RFC 4035 section 5.3)."""
    found = []
    usable: dict[tuple[int, int], list[Any]] = {}
    for key in filter(_usable, keys):
        usable.setdefault((dns.dnssec.key_id(key), key.algorithm), []).append(key)
    for signature in list(signatures)[:MOST_SIGNATURES]:
        named = usable.get((signature.key_tag, signature.algorithm), [])
        if not 0 < len(named) <= MOST_COLLISIONS:
            continue
        try:
            dns.dnssec.validate_rrsig(rrset, signature, {keys.name: rrset_of(keys, named)}, None, now)
        except ImportError as error:
            raise DaneError("cryptography is not here or too old for dnspython; install the package python3-cryptography") from error
        except Exception:  # noqa: BLE001, S112  as in read: keys and signatures are what a server sent
            continue
        found.append(signature)
    return found


def validated(answer: Answer, keys: Answer, ds: Sequence[str] = (), now: float | None = None) -> str:
    """"" where the RRset in `answer` has a valid signature by a key of the DNSKEY RRset `keys`, else one sentence.

    Validate `keys` itself first, with `ds`, the parent's DS records: then only the keys that those name count.
    """
    require()
    what = f"{printable(answer.owner)} {answer.rdtype} at {printable(answer.server)}"
    if answer.rrset is None:
        return f"{what} has no records to validate"
    if answer.signatures is None:
        return f"{what} is not signed"
    if keys.rrset is None:
        return f"{what} cannot be validated: the zone has no DNSKEY"
    trusted = keys.rrset
    if ds:
        matching = matching_keys(keys, ds)
        if not matching:
            return f"{what}: no key of the zone is the one that the parent's DS names"
        trusted = rrset_of(keys.rrset, matching)
    if valid_signatures(answer.rrset, answer.signatures, trusted, now):
        return ""
    moment = time.time() if now is None else now
    if all(signature.expiration < moment for signature in answer.rrsig):
        return f"{what}: its signature has expired"
    return f"{what}: its signature does not validate"


def transfer(address: str, zone: str, timeout: float = 5, port: int = 53) -> tuple[bool | None, str]:
    """Whether `address` gives `zone` (AXFR) to whoever asks, and how it said so; None where it did not say."""
    answer = ask(address, zone, "AXFR", timeout, tcp=True, dnssec=False, port=port)
    if "closed the connection" in answer.error:
        return False, "connection closed"
    if answer.error:
        return None, answer.error
    return answer.rcode == "NOERROR", answer.rcode
