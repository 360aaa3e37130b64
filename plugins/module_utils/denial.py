# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NSEC and NSEC3 records prove (RFC 4035 section 5.4, RFC 5155 section 8).  Pure: their signatures were validated before.

Names are those of dnspython; they compare in the canonical order (RFC 4034 section 6.1).
"""
from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

A, NS, CNAME, SOA, AAAA, DNAME, NSEC, NSEC3, TLSA = 1, 2, 5, 6, 28, 39, 47, 50, 52  # numbers of types
MOST_ITERATIONS = 100  # RFC 9276 section 3.2: more need not be borne
OPT_OUT = 1


def no_rrset(name: Any, kind: int, apex: Any, rrsets: Sequence[Any]) -> bool:
    """Whether the NSEC and NSEC3 RRsets of the zone `apex` prove that `name` has no RRset of the type `kind` (below 256) and no CNAME,
    by a wildcard neither."""
    plain, hashed = _Plain(rrsets), _Hashed(rrsets)
    return plain.no_rrset(name, kind) or hashed.no_rrset(name, kind, apex)


def no_name(name: Any, labels: int, rrsets: Sequence[Any]) -> bool:
    """Whether they prove that `name` does not exist, nor what is between it and the wildcard with `labels` labels below the `*`, so that
    this is what answers (RFC 4035 section 5.3.4).

    `labels` is the field of the RRSIG (RFC 4034 section 3.1.3).
    """
    return _Plain(rrsets).encloser(name) == labels + 1 or _Hashed(rrsets).covers(name.split(labels + 2)[1])


def _has(rdata: Any, *kinds: int) -> bool:
    """Whether one of the types `kinds`, all below 256, is in the bit map of an NSEC or NSEC3 (RFC 4034 section 4.1.2)."""
    octets = next((bytes(bitmap) for window, bitmap in rdata.windows if window == 0), b"")
    return any(kind // 8 < len(octets) and octets[kind // 8] & 0x80 >> kind % 8 for kind in kinds)


def _cut(rdata: Any) -> bool:
    """Whether what is below is not in this zone (RFC 6840 section 4.1)."""
    return _has(rdata, DNAME) or (_has(rdata, NS) and not _has(rdata, SOA))


def _without(rdata: Any, kind: int) -> bool:
    return not _has(rdata, kind, CNAME) and not (_has(rdata, NS) and not _has(rdata, SOA))


def _wildcard(encloser: Any) -> Any:
    return type(encloser)((b"*", *encloser.labels))


class _Plain:
    """NSEC (RFC 4034 section 4)."""

    def __init__(self, rrsets: Iterable[Any]) -> None:
        self.records = [(rrset.name, rdata) for rrset in rrsets if rrset.rdtype == NSEC for rdata in rrset]

    def _covering(self, name: Any) -> Any:
        """The owner and the NSEC between which and its next name `name` would be."""
        for owner, rdata in self.records:
            last = not owner < rdata.next  # its next name is the apex again
            if owner < name and (last or name < rdata.next) and not (name.is_subdomain(owner) and _cut(rdata)):
                return owner, rdata
        return None

    def covers(self, name: Any) -> bool:
        return self.encloser(name) > 0

    def encloser(self, name: Any) -> int:
        """How many labels, the root's too, the longest name above `name` has that exists; 0 where `name` is not proven to be absent."""
        found = self._covering(name)
        if found is None or found[1].next.is_subdomain(name):
            return 0
        shared: int = max(name.fullcompare(other)[2] for other in (found[0], found[1].next))
        return shared

    def no_rrset(self, name: Any, kind: int) -> bool:
        for owner, rdata in self.records:
            if owner == name:
                return _without(rdata, kind)
        found = self._covering(name)
        if found is None:
            return False
        if found[1].next.is_subdomain(name):  # nothing but names below it
            return True
        wildcard = _wildcard(name.split(self.encloser(name))[1])
        return self.covers(wildcard) or any(owner == wildcard and _without(rdata, kind) for owner, rdata in self.records)


class _Hashed:
    """NSEC3 (RFC 5155), all with the parameters of the first."""

    def __init__(self, rrsets: Iterable[Any]) -> None:
        found = [(rrset.name.labels[0].decode("ascii", "replace").upper(), rdata) for rrset in rrsets if rrset.rdtype == NSEC3 for rdata in rrset]
        first = found[0][1] if found else None
        self.salt: bytes = first.salt if first else b""
        self.iterations: int = first.iterations if first else 0
        self.records = [(label, base64.b32hexencode(rdata.next).decode().rstrip("="), rdata) for label, rdata in found
                        if (rdata.algorithm, rdata.salt, rdata.iterations) == (1, self.salt, self.iterations) and self.iterations <= MOST_ITERATIONS]

    def _hash(self, name: Any) -> str:
        digest = hashlib.sha1(name.to_digestable() + self.salt, usedforsecurity=False).digest()  # the only one there is
        for _turn in range(self.iterations):
            digest = hashlib.sha1(digest + self.salt, usedforsecurity=False).digest()
        return base64.b32hexencode(digest).decode()

    def _matching(self, name: Any) -> Any:
        hashed = self._hash(name)
        return next((rdata for label, _following, rdata in self.records if label == hashed), None)

    def covers(self, name: Any) -> bool:
        if not self.records:
            return False
        hashed = self._hash(name)
        return any((label < hashed < following) if label < following else (label < hashed or hashed < following)
                   for label, following, rdata in self.records if not rdata.flags & OPT_OUT)

    def no_rrset(self, name: Any, kind: int, apex: Any) -> bool:
        if not self.records:
            return False
        found = self._matching(name)
        if found is not None:
            return _without(found, kind)
        while name != apex:
            closer, name = name, name.parent()
            found = self._matching(name)
            if found is not None:  # the closest encloser
                wildcard = self._matching(_wildcard(name))
                return not _cut(found) and self.covers(closer) and (_without(wildcard, kind) if wildcard is not None else self.covers(_wildcard(name)))
        return False
