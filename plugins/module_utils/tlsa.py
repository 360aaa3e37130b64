# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLSA records (RFC 6698, RFC 7671): computing, writing, reading and matching.  No input or output of its own."""
from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import x509
from .errors import DaneError, printable
from .zone import HOST_LABEL

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

USAGES = (0, 1, 2, 3)         # PKIX-TA, PKIX-EE, DANE-TA, DANE-EE (RFC 7218)
SELECTORS = (0, 1)            # Cert, SPKI
MATCHING_TYPES = (0, 1, 2)    # Full, SHA2-256, SHA2-512
_LENGTHS = {1: 32, 2: 64}     # octets of the digests
_MAX_DATA = 65535 - 3         # octets that fit in the RDATA

_PRESENTATION = re.compile(r"([0-9]{1,3})[ \t]+([0-9]{1,3})[ \t]+([0-9]{1,3})[ \t]+([0-9A-Fa-f \t]+)", re.ASCII)


@dataclass(frozen=True, order=True)
class TLSA:
    """The data of one TLSA record (RFC 6698 section 2.1).  DaneError where a part is out of its range.

    usage 0-3, selector 0-1, matching_type 0-2; data is the certificate association data in octets.
    """

    usage: int
    selector: int
    matching_type: int
    data: bytes

    def __post_init__(self) -> None:
        if self.usage not in USAGES:
            raise DaneError(f"the TLSA usage {self.usage} is not in use; it is 0, 1, 2 or 3")
        if self.selector not in SELECTORS:
            raise DaneError(f"the TLSA selector {self.selector} is not in use; it is 0 (certificate) or 1 (public key)")
        if self.matching_type not in MATCHING_TYPES:
            raise DaneError(f"the TLSA matching type {self.matching_type} is not in use; it is 0 (full), 1 (SHA-256) or 2 (SHA-512)")
        length = _LENGTHS.get(self.matching_type, len(self.data))
        if len(self.data) != length:
            raise DaneError(f"the TLSA data has {len(self.data)} octets where matching type {self.matching_type} has {length};"
                            " compute the record again")
        if not 1 <= length <= _MAX_DATA:
            raise DaneError(f"the TLSA data has {length} octets, and a record has 1 to {_MAX_DATA}; use matching type 1")

    def presentation(self) -> str:
        """The form of zone files (RFC 6698 section 2.2): "3 1 1 ab12..", lower case."""
        return f"{self.usage} {self.selector} {self.matching_type} {self.data.hex()}"

    @classmethod
    def parse(cls, text: str, source: str) -> TLSA:
        """Read the presentation form; white space may be within the hexadecimal.  `source` names it in errors."""
        match = _PRESENTATION.fullmatch(text.strip(" \t"))
        digits = "".join(match[4].split()) if match else "?"
        if not match or len(digits) % 2:
            raise DaneError(f"{source}: {printable(ascii(text), 80)} is not a TLSA record; write usage, selector, matching type and hexadecimal data")
        try:
            return cls(int(match[1]), int(match[2]), int(match[3]), bytes.fromhex(digits))
        except DaneError as error:
            raise DaneError(f"{source}: {error}") from error


def compute(loaded: x509.Loaded, usage: int = 3, selector: int = 1, matching_type: int = 1) -> list[TLSA]:
    """The TLSA records of what `x509.load_any` returned; today always one.

    Of a chain, usages 1 and 3 take the leaf (the first certificate), and usages 0 and 2 the certificate that issued it.
    Where the first certificate is a CA's itself, usages 0 and 2 take that one: a file with the intermediate certificates
    alone, or with a CA's own certificate, gives the record that the full chain gives.

    A key or CSR is taken for the one that the usage is about: with usages 0 and 2 the CA's.  It has no certificate, so
    selector 0 is an error.
    """
    TLSA(usage, selector, matching_type, bytes(_LENGTHS.get(matching_type, 1)))  # the ranges, before any work
    if not isinstance(loaded, list):
        if selector == 0:
            raise DaneError(f"selector 0 is about a certificate and this is a {x509.kind_of(loaded)}; use selector 1 or the certificate")
        return [TLSA(usage, selector, matching_type, _digest(x509.spki(loaded), matching_type))]
    if not loaded:
        raise DaneError("there is no certificate in the chain; give at least the server's")
    certificate = loaded[0] if usage in (1, 3) else _issuer(loaded)
    return [TLSA(usage, selector, matching_type, _digest(_selected(certificate, selector), matching_type))]


def _issuer(chain: list[Certificate]) -> Certificate:
    if x509.is_ca(chain[0]):
        return chain[0]
    for candidate in chain[1:x509.MAX_CHAIN]:
        if x509.issued_by(chain[0], candidate):
            return candidate
    raise DaneError(f"usages 0 and 2 are about the issuer of the certificate, and {x509.issuer_name(chain[0]) or 'it'} is not there;"
                    " give the full chain or the issuer's certificate")


def _selected(certificate: Certificate, selector: int) -> bytes:
    return x509.spki(certificate) if selector else x509.der(certificate)


def _digest(data: bytes, matching_type: int) -> bytes:
    if matching_type == 0:
        return data
    return (hashlib.sha256 if matching_type == 1 else hashlib.sha512)(data).digest()


def matches(record: TLSA, chain: list[Certificate]) -> bool:
    """Whether the chain that a server presents, leaf first, satisfies `record`.

    Usages 1 and 3: the leaf.  Usages 0 and 2: a CA certificate of the chain other than the leaf, from which signatures lead
    to the leaf; it must be presented, even where the record has it in full (RFC 7671 section 5.2.2).  Names, dates and,
    for usages 0 and 1, the trust in a root are the caller's to judge.
    """
    candidates = chain[:1] if record.usage in (1, 3) else _issuers(chain)
    return any(_digest(_selected(one, record.selector), record.matching_type) == record.data for one in candidates)


def _issuers(chain: list[Certificate]) -> list[Certificate]:
    """The CA certificates of the chain from which signatures lead to the leaf; the leaf is none of them."""
    reached, left = chain[:1], [one for one in chain[1:x509.MAX_CHAIN] if x509.is_ca(one)]
    for subject in reached:  # grows as it goes
        found = [one for one in left if x509.issued_by(subject, one)]
        left = [one for one in left if one not in found]
        reached += found
    return reached[1:]


def rrset_matches(records: Iterable[TLSA], chain: list[Certificate]) -> bool:
    """Whether every (usage, selector, matching type) of the set has a record that the chain satisfies (RFC 7671 section 8).

    An empty set matches nothing.
    """
    groups: dict[tuple[int, int, int], bool] = {}
    for record in records:
        group = (record.usage, record.selector, record.matching_type)
        groups[group] = groups.get(group, False) or matches(record, chain)
    return bool(groups) and all(groups.values())


def owner(name: str, port: int, transport: str = "tcp") -> str:
    """The owner of the TLSA records of a service (RFC 6698 section 3): "_25._tcp.g.pyon.example.", lower case."""
    bare = name.lower()
    bare = bare[:-1] if bare.endswith(".") else bare
    if not all(HOST_LABEL.fullmatch(label) for label in bare.split(".")):
        raise DaneError(f"{printable(ascii(name), 80)} is not a host name; use letters, digits and hyphens, with 1 to 63 in each label")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise DaneError(f"{name}: {port!r} is not a port; use a number from 1 to 65535")
    if transport not in ("tcp", "udp", "sctp"):
        raise DaneError(f"{name}: {printable(ascii(transport), 80)} is not a transport; use tcp, udp or sctp")
    full = f"_{port}._{transport}.{bare}."
    if len(full) > 254:
        raise DaneError(f"{full} has {len(full) - 1} octets and a name has at most 253; use a shorter host name")
    return full


def spki_record(spki_hex: str) -> TLSA:
    """The 3 1 1 record of a key that is known by the SHA-256 of its SPKI in hexadecimal."""
    return TLSA.parse(f"3 1 1 {spki_hex}", "the SHA-256 of a key")


def certificate_record(fingerprint: str) -> TLSA:
    """The 3 0 1 record of a certificate that is known by the SHA-256 of its DER form in hexadecimal."""
    return TLSA.parse(f"3 0 1 {fingerprint}", "the SHA-256 of a certificate")
