# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs that there is no TLSA RRset: the zones of RFC 4035 and RFC 5155, appendix A, with more types where a case needs them."""
from __future__ import annotations

import dns.dnssec
import dns.name
import dns.rrset
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import denial

APEX = dns.name.from_text("example.")
PLAIN = {  # RFC 4035 appendix A
    "example.": "a.example. NS SOA MX RRSIG NSEC DNSKEY", "a.example.": "ai.example. NS DS RRSIG NSEC",
    "ai.example.": "b.example. A HINFO AAAA RRSIG NSEC", "b.example.": "ns1.example. NS RRSIG NSEC", "ns1.example.": "ns2.example. A RRSIG NSEC",
    "ns2.example.": "*.w.example. A RRSIG NSEC", "*.w.example.": "x.w.example. MX RRSIG NSEC", "x.w.example.": "x.y.w.example. MX RRSIG NSEC",
    "x.y.w.example.": "xx.example. MX RRSIG NSEC", "xx.example.": "example. A HINFO AAAA RRSIG NSEC",
}
HASHED = {  # RFC 5155 appendix A: 12 iterations, salt aabbccdd; without opt-out
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom": "2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY NS SOA NSEC3PARAM RRSIG",  # example
    "2t7b4g4vsa5smi47k61mv5bv1a22bojr": "2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",                            # ns1.example
    "2vptu5timamqttgl4luu9kg21e0aor3s": "35mthgpgcu1qg68fab165klnsnk3dpvl MX RRSIG",                           # x.y.w.example
    "35mthgpgcu1qg68fab165klnsnk3dpvl": "b4um86eghhds6nea196smvmlo4ors995 NS DS RRSIG",                        # a.example
    "b4um86eghhds6nea196smvmlo4ors995": "gjeqe526plbf1g8mklp59enfd789njgi MX RRSIG",                           # x.w.example
    "gjeqe526plbf1g8mklp59enfd789njgi": "ji6neoaepv8b5o6k4ev33abha8ht9fgc A HINFO AAAA RRSIG",                 # ai.example
    "ji6neoaepv8b5o6k4ev33abha8ht9fgc": "k8udemvp1j2f7eg6jebps17vp3n8i58h",                                    # y.w.example
    "k8udemvp1j2f7eg6jebps17vp3n8i58h": "kohar7mbb8dc2ce8a9qvl8hon4k53uhi",                                    # w.example
    "kohar7mbb8dc2ce8a9qvl8hon4k53uhi": "q04jkcevqvmu85r014c7dkba38o0ji5r A RRSIG",           # 2t7b4g4vsa5smi47k61mv5bv1a22bojr.example
    "q04jkcevqvmu85r014c7dkba38o0ji5r": "r53bq7cc2uvmubfu5ocmm6pers9tk9en A RRSIG",                            # ns2.example
    "r53bq7cc2uvmubfu5ocmm6pers9tk9en": "t644ebqk9bibcna874givr6joj62mlhv MX RRSIG",                           # *.w.example
    "t644ebqk9bibcna874givr6joj62mlhv": "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A HINFO AAAA RRSIG",                 # xx.example
}


def plain(*owners: str, **types: str) -> list[dns.rrset.RRset]:
    """NSECs of the zone (all without `owners`); `types` are added to all."""
    more = " ".join(types.values())
    return [dns.rrset.from_text(owner, 60, "IN", "NSEC", f"{PLAIN[owner]} {more}") for owner in owners or PLAIN]


def hashed(*labels: str, flags: int = 0, iterations: int = 12, more: str = "") -> list[dns.rrset.RRset]:
    """NSEC3s of the zone (all without `labels`), which are the beginnings of their hashes."""
    return [dns.rrset.from_text(f"{label}.example.", 60, "IN", "NSEC3", f"1 {flags} {iterations} aabbccdd {rest} {more}")
            for label, rest in HASHED.items() if not labels or label.startswith(labels)]


def no_tlsa(name: str, rrsets: list[dns.rrset.RRset]) -> bool:
    return denial.no_rrset(dns.name.from_text(name), denial.TLSA, APEX, rrsets)


@pytest.mark.parametrize(("name", "needed"), [
    ("ns1.example.", ["ns1.example."]),                     # RFC 4035 B.3: no such type
    ("ml.example.", ["b.example.", "example."]),            # B.2: no such name, no wildcard
    ("zz.example.", ["xx.example.", "example."]),           # after the last name
    ("a.z.w.example.", ["x.y.w.example.", "*.w.example."]),  # B.7: a wildcard without the type
    ("y.w.example.", ["x.w.example."]),                     # an empty non-terminal
    ("w.example.", ["ns2.example."]),                       # another, with a wildcard below it
    ("NS1.Example.", ["ns1.example."]),
])
def test_nsec(name: str, needed: list[str]) -> None:
    assert no_tlsa(name, plain())
    assert no_tlsa(name, plain(*needed))
    for left in needed:
        others = [one for one in PLAIN if one != left]
        assert not no_tlsa(name, plain(*others)), f"nothing proves it without the NSEC of {left}"


@pytest.mark.parametrize("kind", ["TLSA", "CNAME"])
def test_nsec_that_has_the_type(kind: str) -> None:
    assert not no_tlsa("ns1.example.", plain("ns1.example.", kind=kind))
    assert not no_tlsa("a.z.w.example.", plain(kind=kind)), "the wildcard has it"


@pytest.mark.parametrize("name", ["b.example.", "mc.b.example.", "_25._tcp.mc.b.example."])
def test_nsec_at_a_delegation_says_nothing_of_the_child(name: str) -> None:
    assert not no_tlsa(name, plain())


def test_nsec_above_a_dname() -> None:
    assert no_tlsa("c.ai.example.", plain())
    assert not no_tlsa("c.ai.example.", plain(kind="DNAME"))


@pytest.mark.parametrize(("name", "needed"), [
    ("ns1.example.", ["2t7b"]),                             # RFC 5155 B.2: no such type
    ("y.w.example.", ["ji6n"]),                             # B.2.1: an empty non-terminal
    ("c.x.w.example.", ["b4um", "0p9m", "35mt", "t644", "q04j", "gjeq", "k8ud", "2vpt", "2t7b", "ji6n", "koha", "r53b"]),
    ("a.z.w.example.", ["k8ud", "q04j", "r53b"]),           # B.5: a wildcard without the type
])
def test_nsec3(name: str, needed: list[str]) -> None:
    assert no_tlsa(name, hashed(*needed))
    assert no_tlsa(name, hashed())


@pytest.mark.parametrize(("name", "needed"), [("ns1.example.", "2t7b"), ("y.w.example.", "ji6n"), ("a.z.w.example.", "k8ud"), ("a.z.w.example.", "q04j"),
                                              ("a.z.w.example.", "r53b")])
def test_nsec3_of_which_one_lacks(name: str, needed: str) -> None:
    assert not no_tlsa(name, hashed(*(label for label in HASHED if not label.startswith(needed))))


@pytest.mark.parametrize("kind", ["TLSA", "CNAME"])
def test_nsec3_that_has_the_type(kind: str) -> None:
    assert not no_tlsa("ns1.example.", hashed("2t7b", more=kind))
    assert not no_tlsa("a.z.w.example.", hashed(more=kind))


def test_nsec3_with_opt_out_proves_no_absence() -> None:
    assert not no_tlsa("a.z.w.example.", hashed(flags=1))
    assert no_tlsa("ns1.example.", hashed(flags=1))


@pytest.mark.parametrize("name", ["a.example.", "mc.a.example."])
def test_nsec3_at_a_delegation_says_nothing_of_the_child(name: str) -> None:
    assert not no_tlsa(name, hashed())


@pytest.mark.parametrize(("iterations", "borne"), [(0, True), (100, True), (101, False)])
def test_nsec3_iterations(iterations: int, borne: bool) -> None:
    label = dns.dnssec.nsec3_hash("ns1.example.", "aabbccdd", iterations, 1)
    rrset = dns.rrset.from_text(f"{label}.example.", 60, "IN", "NSEC3", f"1 0 {iterations} aabbccdd {'0' * 32} A RRSIG")
    assert no_tlsa("ns1.example.", [rrset]) is borne


def test_nothing_proves_nothing() -> None:
    assert not no_tlsa("ns1.example.", [])
    assert not denial.no_name(dns.name.from_text("a.z.w.example."), 2, [])


def test_answer_from_a_wildcard() -> None:
    """RFC 4035 B.6, RFC 5155 B.4: a.z.w.example from *.w.example."""
    name = dns.name.from_text("a.z.w.example.")
    assert denial.no_name(name, 2, plain("x.y.w.example."))
    assert not denial.no_name(name, 2, plain("x.w.example."))
    assert denial.no_name(name, 2, hashed("q04j"))
    assert not denial.no_name(name, 2, hashed(*(label for label in HASHED if not label.startswith("q04j"))))
    assert not denial.no_name(dns.name.from_text("x.w.example."), 2, plain()), "it exists"
    assert not denial.no_name(dns.name.from_text("y.w.example."), 2, plain()), "it exists, without records"


@pytest.mark.parametrize(("name", "labels"), [("c.ai.example.", 1), ("a.z.w.example.", 1), ("a.z.y.w.example.", 2), ("a.z.ns1.example.", 1)])
def test_answer_from_a_wildcard_above_a_name_that_exists(name: str, labels: int) -> None:
    """A name between them is the closest encloser, so nothing comes from the wildcard (RFC 4592 section 3.3.1)."""
    for rrsets in (plain(), hashed()):
        assert not denial.no_name(dns.name.from_text(name), labels, rrsets)
        assert denial.no_name(dns.name.from_text(name), labels + 1, rrsets), "from one right above it"


@pytest.mark.parametrize(("kind", "proven"), [(denial.A, False), (denial.AAAA, True)])
def test_other_types_than_tlsa(kind: int, proven: bool) -> None:
    """ns1.example. has an A."""
    for rrsets in (plain(), hashed()):
        assert denial.no_rrset(dns.name.from_text("ns1.example."), kind, APEX, rrsets) is proven
        assert denial.no_rrset(dns.name.from_text("a.z.w.example."), kind, APEX, rrsets), "nor has the wildcard any"
