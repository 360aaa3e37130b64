# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgements, over an internet that is a few tables: each fault turns its own rows red and no other."""
from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from ansible_collections.selfhost.dane.plugins.filter.verification_lines import verification_lines
from ansible_collections.selfhost.dane.plugins.module_utils import delegation, dns_client, verification, x509
from ansible_collections.selfhost.dane.plugins.module_utils.dns_client import Answer, absolute
from ansible_collections.selfhost.dane.plugins.module_utils.tls_client import Presented
from ansible_collections.selfhost.dane.plugins.module_utils.verification import Row
from wire_fakes import Issued, Pki, Signer, issue

NOW = 1_800_000_000
ZONE = "pyon.example."
MAIL = "_25._tcp.g.pyon.example."
WEB = "_443._tcp.g.pyon.example."
VPS, VPS6, HOME, HOME6 = "198.51.100.10", "2001:db8:51::10", "198.51.100.20", "2001:db8:51::20"
PARENT, RESOLVER = "198.51.100.2", "127.0.0.1"
G = {"ipv4": [VPS], "ipv6": [VPS6]}
WANTED: list[dict[str, Any]] = [{
    "zone": "pyon.example",
    "name_servers": [{"name": "vps.pyon.example", **G}, {"name": "home.pyon.example", "ipv4": [HOME], "ipv6": [HOME6]}],
    "mx": [{"name": "g.pyon.example", "preference": 10}],
    "endpoints": [{"name": "g.pyon.example", "service": "smtp", "port": 25, "owner": MAIL, "pair": [], **G},
                  {"name": "g.pyon.example", "service": "https", "port": 443, "owner": WEB, "pair": [], **G}],
}]
Zone = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(ZONE)


@pytest.fixture(scope="module")
def pki() -> Pki:
    root = issue("Root", ca=True, now=NOW)
    intermediate = issue("Intermediate", root, ca=True, now=NOW)
    return Pki(root, intermediate, issue("g.pyon.example", intermediate, now=NOW))


def spki(one: Issued) -> str:
    return "3 1 1 " + x509.spki_sha256(one.certificate)


@dataclass
class Net:
    """All that is on the wire; a test alters it."""

    signer: Signer
    pki: Pki
    zones: dict[str, Zone] = field(default_factory=dict)
    """By server address."""
    signers: dict[str, Signer] = field(default_factory=dict)
    """Where a server signs by another key."""
    ends: dict[str, int] = field(default_factory=dict)
    """When the signatures of a server end."""
    dead: set[tuple[str, bool]] = field(default_factory=set)
    """(address, tcp) without an answer."""
    open_transfer: set[str] = field(default_factory=set)
    unrouted: set[str] = field(default_factory=set)
    lame: set[str] = field(default_factory=set)
    ds: list[str] = field(default_factory=list)
    parent_ns: list[str] = field(default_factory=lambda: ["vps.pyon.example.", "home.pyon.example."])
    glue: tuple[tuple[str, str], ...] = (("vps.pyon.example.", VPS), ("vps.pyon.example.", VPS6))
    validating: bool = True
    cached: Zone = field(default_factory=dict)
    """What the resolver has in place of the primary's."""
    presented: dict[tuple[str, int], Presented] = field(default_factory=dict)
    pairs: dict[str, Presented] = field(default_factory=dict)
    """By family, where there are two certificates."""
    questions: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ds = [self.signer.ds()]
        for address in (VPS, VPS6, HOME, HOME6):
            self.zones[address] = {
                (ZONE, "SOA"): ["vps.pyon.example. hostmaster.pyon.example. 7 1 2 3 4"],
                (ZONE, "NS"): ["vps.pyon.example.", "home.pyon.example."],
                (ZONE, "MX"): ["10 g.pyon.example."],
                ("vps.pyon.example.", "A"): [VPS], ("vps.pyon.example.", "AAAA"): [VPS6],
                ("home.pyon.example.", "A"): [HOME], ("home.pyon.example.", "AAAA"): [HOME6],
                ("g.pyon.example.", "A"): [VPS], ("g.pyon.example.", "AAAA"): [VPS6],
                (MAIL, "TLSA"): [spki(self.pki.leaf), "3 1 1 " + "ab" * 32], (WEB, "TLSA"): [spki(self.pki.leaf)],
            }
        for address in (VPS, VPS6):
            for port, service in ((25, "smtp"), (443, "https")):
                named = "g.pyon.example" if service == "smtp" else ""
                self.presented[address, port] = Presented(
                    address, port, service, "g.pyon.example", (self.pki.leaf.der, self.pki.intermediate.der), "TLSv1.3", pkix="",
                    greeting=named, ehlo=named)

    def everywhere(self, owner: str, rdtype: str, records: list[str]) -> None:
        for zone in self.zones.values():
            zone[owner, rdtype] = records

    def answer(self, server: str, zone: Zone, owner: str, rdtype: str, **more: Any) -> Answer:
        blank = Answer(server, owner, rdtype, "NOERROR", **more)
        signer = self.signers.get(server, self.signer)
        records = zone.get((owner, rdtype), [])
        if rdtype == "DNSKEY" and owner == ZONE:
            rrset = signer.keys()
        elif records:
            rrset = dns.rrset.from_text(owner, 3600, "IN", rdtype, *records)
        else:
            return blank
        signature = signer.sign(rrset, NOW - 100_000, self.ends.get(server, NOW + 20 * 86400))
        return replace(
            blank, records=tuple(sorted(one.to_text() for one in rrset)), ttl=3600, rrset=rrset, signatures=signature,
            serial=rrset[0].serial if rdtype == "SOA" else None,
            rrsig=tuple(dns_client.Signature(one.key_tag, 13, ZONE, one.inception, one.expiration) for one in signature))

    def bogus(self) -> bool:
        return bool(self.ds) and self.signer.ds() not in self.ds

    def resolve(self, owner: str, rdtype: str) -> Answer:
        self.questions.append(("resolve", owner, rdtype))
        blank = Answer(RESOLVER, owner, rdtype, "NOERROR", ad=self.validating)
        if owner == "." and rdtype == "SOA":
            return replace(blank, records=("a. b. 1 1 1 1 1",), serial=1)
        if rdtype == "DS":
            return replace(blank, records=tuple(self.ds))
        if owner == "example.":
            return replace(blank, records=("a.example.",)) if rdtype == "NS" else blank
        if owner == "a.example.":
            return replace(blank, records=(PARENT,)) if rdtype == "A" else blank
        if not owner.endswith(ZONE):
            return blank
        if self.bogus() and self.validating:
            return replace(blank, rcode="SERVFAIL", ad=False)
        return self.answer(RESOLVER, {**self.zones[VPS], **self.cached}, owner, rdtype, ad=self.validating and bool(self.ds))

    def ask(self, address: str, owner: str, rdtype: str, tcp: bool) -> Answer:
        self.questions.append(("ask", address, owner, rdtype, tcp))
        if address == PARENT:
            return Answer(address, owner, rdtype, "NOERROR", referral=tuple(self.parent_ns), glue=self.glue)
        if (address, tcp) in self.dead or address not in self.zones:
            return Answer(address, owner, rdtype, error=f"{address} did not answer in 5 seconds")
        return self.answer(address, self.zones[address], owner, rdtype, aa=address not in self.lame, tcp=tcp)

    def transfer(self, address: str, zone: str) -> tuple[bool | None, str]:
        self.questions.append(("transfer", address, zone))
        return (True, "NOERROR") if address in self.open_transfer else (False, "REFUSED")

    def probe(self, address: str, port: int, service: str, name: str, family: str) -> Presented:
        self.questions.append(("probe", address, port, service, name, family))
        if family:
            return replace(self.pairs[family], address=address)
        return self.presented.get((address, port), Presented(address, port, service, name, error="refused"))

    def verify(self, wanted: list[dict[str, Any]] | None = None) -> list[Row]:
        world = verification.World(ask=self.ask, resolve=self.resolve, routed=lambda address: address not in self.unrouted,
                                   transfer=self.transfer, probe=self.probe, now=NOW, ca_file="/etc/ca of ours.pem")
        return verification.verify(WANTED if wanted is None else wanted, world, 3 * 86400, workers=4)


@pytest.fixture
def net(signer: Signer, pki: Pki) -> Net:
    return Net(signer, pki)


def labels(rows: list[Row], ok: bool | None) -> set[str]:
    return {" ".join(filter(None, [row.school or row.what, row.name.removesuffix(".pyon.example"), row.address, str(row.port or "")]))
            for row in rows if row.ok is ok}


SCHOOLS_25 = ["DANE sender", "opportunistic sender", "PKIX-verifying sender"]


def test_all_is_green(net: Net) -> None:
    rows = net.verify()
    assert labels(rows, False) == labels(rows, None) == set()
    assert len(rows) == 1 + 3 + 4 * 4 + 3 + 2 + 2 * (5 + 3) + 2 * (4 + 1)
    assert verification.counts(rows) == {"green": len(rows), "red": 0, "awaited": 0}
    assert verification.failures(rows) == []
    assert len(set(net.questions)) == len(net.questions)


# An ECDSA and an RSA certificate at the addresses of the host

def paired(net: Net, pki: Pki) -> list[dict[str, Any]]:
    """Both are presented at port 443, and have a record."""
    rsa = issue("g.pyon.example", pki.intermediate, now=NOW, family="rsa")
    for family, leaf in (("ecdsa", pki.leaf), ("rsa", rsa)):
        net.pairs[family] = Presented(VPS, 443, "https", "g.pyon.example", (leaf.der, pki.intermediate.der), "TLSv1.2", pkix="", family=family)
    net.everywhere(WEB, "TLSA", [spki(pki.leaf), spki(rsa)])
    mail, web = WANTED[0]["endpoints"]
    return [{**WANTED[0], "endpoints": [mail, {**web, "pair": [VPS, VPS6.upper()]}]}]


def test_each_certificate_of_a_pair_is_looked_at(net: Net, pki: Pki) -> None:
    rows = net.verify(paired(net, pki))
    assert labels(rows, False) == labels(rows, None) == set()
    assert sorted(asked[-1] for asked in net.questions if asked[0] == "probe" and asked[2] == 443) == ["ecdsa"] * 2 + ["rsa"] * 2
    seen = [row.detail for row in rows if row.school == verification.BROWSER]
    assert sorted(seen) == [f"with {family}: yes, TLSv1.2, verified by the WebPKI" for family in ("ECDSA", "ECDSA", "RSA", "RSA")]
    assert [row.command for row in rows if row.what == "TLSA match" and row.port == 443 and "-tls1_2 -cipher ECDHE+aRSA" in row.command]


def test_a_certificate_of_a_pair_without_its_record_is_red(net: Net, pki: Pki) -> None:
    wanted = paired(net, pki)
    net.everywhere(WEB, "TLSA", [spki(pki.leaf)])
    red = [row for row in net.verify(wanted) if row.ok is False]
    assert {(row.what, row.address) for row in red} == {("TLSA match", VPS), ("TLSA match", VPS6)}
    assert all(row.detail.startswith("with RSA: ") for row in red)


def test_one_of_a_pair_alone_is_no_outage(net: Net, pki: Pki) -> None:
    wanted = paired(net, pki)
    net.pairs["rsa"] = Presented(VPS, 443, "https", "g.pyon.example", error="failed in TLS", family="rsa")
    rows = net.verify(wanted)
    assert labels(rows, False) == set() and labels(rows, None) == {f"TLS g {VPS} 443", f"TLS g {VPS6} 443"}
    assert {row.detail for row in rows if row.ok is None} == {"with RSA: failed in TLS; the other certificate is presented"}
    net.pairs["ecdsa"] = replace(net.pairs["rsa"], family="ecdsa")
    red = {row.detail for row in net.verify(wanted) if row.ok is False and row.what == "TLS"}
    assert red == {"with RSA: failed in TLS", "with ECDSA: failed in TLS"}


# Each alteration, and exactly the rows it turns red

def wrong_tlsa(net: Net) -> None:
    net.everywhere(MAIL, "TLSA", ["3 1 1 " + "ab" * 32])


def wrong_kind_beside(net: Net) -> None:
    net.everywhere(MAIL, "TLSA", [spki(net.pki.leaf), "3 0 1 " + "ab" * 32])


def wrong_tlsa_in_the_cache(net: Net) -> None:
    net.cached[MAIL, "TLSA"] = ["3 1 1 " + "ab" * 32]


def starttls_gone(net: Net) -> None:
    for address in (VPS, VPS6):
        net.presented[address, 25] = Presented(address, 25, "smtp", "g.pyon.example", error="does not offer STARTTLS")


def tlsa_missing(net: Net) -> None:
    net.everywhere(MAIL, "TLSA", [])


def tlsa_missing_at_one(net: Net) -> None:
    net.zones[HOME6][MAIL, "TLSA"] = []


def leaf_only(net: Net) -> None:
    net.presented[VPS, 25] = replace(net.presented[VPS, 25], chain=(net.pki.leaf.der,), pkix="unable to get local issuer certificate")


def leaf_only_with_usage_2(net: Net) -> None:
    net.everywhere(MAIL, "TLSA", ["2 1 1 " + x509.spki_sha256(net.pki.intermediate.certificate)])
    leaf_only(net)


def stale_secondary(net: Net) -> None:
    net.zones[HOME][ZONE, "SOA"] = ["vps.pyon.example. hostmaster.pyon.example. 5 1 2 3 4"]


def stale_over_the_wrap(net: Net) -> None:
    net.everywhere(ZONE, "SOA", ["vps.pyon.example. hostmaster.pyon.example. 3 1 2 3 4"])
    net.zones[HOME][ZONE, "SOA"] = ["vps.pyon.example. hostmaster.pyon.example. 4294967290 1 2 3 4"]


def wrong_ds(net: Net) -> None:
    net.ds = [Signer(ZONE).ds()]


def expired_rrsig(net: Net) -> None:
    net.ends[HOME] = NOW - 10


def rrsig_near_its_end(net: Net) -> None:
    net.ends[HOME] = NOW + 86400


def other_zone_key_at_one(net: Net) -> None:
    net.signers[HOME6] = Signer(ZONE)


def one_bad_ipv6_address(net: Net) -> None:
    net.presented[VPS6, 25] = Presented(VPS6, 25, "smtp", "g.pyon.example", error="cannot be connected to: Connection refused")


def other_key_at_ipv6(net: Net) -> None:
    other = issue("g.pyon.example", net.pki.intermediate, now=NOW)
    net.presented[VPS6, 443] = replace(net.presented[VPS6, 443], chain=(other.der, net.pki.intermediate.der))


def expired_certificate(net: Net) -> None:
    old = issue("g.pyon.example", net.pki.intermediate, begins=-100_000, ends=-90_000, now=NOW)
    net.presented[VPS, 443] = replace(net.presented[VPS, 443], chain=(old.der, net.pki.intermediate.der), pkix="expired")
    net.everywhere(WEB, "TLSA", [spki(old), spki(net.pki.leaf)])


def other_name_in_certificate(net: Net) -> None:
    other = issue("x.pyon.example", net.pki.intermediate, now=NOW)
    net.everywhere(MAIL, "TLSA", [spki(other), spki(net.pki.leaf)])
    net.presented[VPS, 25] = replace(net.presented[VPS, 25], chain=(other.der, net.pki.intermediate.der), pkix="Hostname mismatch")


def no_chain(net: Net) -> None:
    net.presented[VPS, 25] = replace(net.presented[VPS, 25], chain=(net.pki.leaf.der, net.pki.root.der))


def silent_over_tcp(net: Net) -> None:
    net.dead.add((HOME6, True))


def silent(net: Net) -> None:
    net.dead |= {(HOME6, True), (HOME6, False)}


def lame(net: Net) -> None:
    net.lame.add(HOME)


def open_transfer(net: Net) -> None:
    net.open_transfer.add(HOME)


def other_ns_at_parent(net: Net) -> None:
    net.parent_ns = ["vps.pyon.example."]


def other_mx(net: Net) -> None:
    net.zones[VPS6][ZONE, "MX"] = ["20 g.pyon.example."]


def other_address(net: Net) -> None:
    net.everywhere("home.pyon.example.", "A", ["198.51.100.21"])
    net.zones["198.51.100.21"] = net.zones[HOME]


def wrong_glue(net: Net) -> None:
    net.glue = (("vps.pyon.example.", VPS),)


def other_ehlo(net: Net) -> None:
    net.presented[VPS, 25] = replace(net.presented[VPS, 25], ehlo="\x1b[31mvps.pyon.example")


def pkix_usage_for_mail(net: Net) -> None:
    net.everywhere(MAIL, "TLSA", ["1 1 1 " + x509.spki_sha256(net.pki.leaf.certificate)])


def other_records_same_serial(net: Net) -> None:
    net.zones[HOME][WEB, "TLSA"] = [spki(net.pki.leaf), "3 1 1 " + "cd" * 32]


DANE_25 = {f"DANE sender g {address} 25" for address in (VPS, VPS6)}
MATCH_25 = {f"TLSA match g {address} 25" for address in (VPS, VPS6)}
EVERYONE = {f"{school} g {address} 25" for school in SCHOOLS_25 for address in (VPS, VPS6)} | {
    f"browser (WebPKI) g {address} 443" for address in (VPS, VPS6)}
FAULTS: list[tuple[Callable[[Net], None], set[str]]] = [
    (wrong_tlsa, MATCH_25 | DANE_25),
    (wrong_kind_beside, MATCH_25 | DANE_25),
    (wrong_tlsa_in_the_cache, MATCH_25 | DANE_25),
    (starttls_gone, {f"STARTTLS g {address} 25" for address in (VPS, VPS6)}
     | {f"{school} g {address} 25" for school in SCHOOLS_25 for address in (VPS, VPS6)}),
    (tlsa_missing, {"TLSA _25._tcp.g 25"} | DANE_25),
    (tlsa_missing_at_one, {f"TLSA _25._tcp.g {HOME6} 25"} | DANE_25),
    (leaf_only, {f"chain g {VPS} 25", f"PKIX-verifying sender g {VPS} 25"}),
    (leaf_only_with_usage_2, {f"chain g {VPS} 25", f"PKIX-verifying sender g {VPS} 25", f"TLSA match g {VPS} 25", f"DANE sender g {VPS} 25"}),
    (stale_secondary, {f"serial home {HOME} 53"}),
    (stale_over_the_wrap, {f"serial home {HOME} 53"}),
    (wrong_ds, {"delegation pyon.example", "addresses vps", "addresses home", "addresses g", "TLSA _25._tcp.g 25", "TLSA _443._tcp.g 443"}
     | EVERYONE),
    (expired_rrsig, {f"signatures home {HOME} 53"}),
    (rrsig_near_its_end, {f"signatures home {HOME} 53"}),
    (other_zone_key_at_one, {f"signatures home {HOME6} 53"}),
    (one_bad_ipv6_address, {f"{what} g {VPS6} 25" for what in ["STARTTLS", *SCHOOLS_25]}),
    (other_key_at_ipv6, {f"TLSA match g {VPS6} 443"}),
    (expired_certificate, {f"{what} g {VPS} 443" for what in ("certificate", "chain", "browser (WebPKI)")}),
    (other_name_in_certificate, {f"{what} g {VPS} 25" for what in ("certificate", "chain", "PKIX-verifying sender")}),
    (no_chain, {f"chain g {VPS} 25"}),
    (silent_over_tcp, {f"name server home {HOME6} 53"}),
    (silent, {f"name server home {HOME6} 53"}),
    (lame, {f"name server home {HOME} 53"}),
    (open_transfer, {f"transfer home {HOME} 53"}),
    (other_ns_at_parent, {f"NS set pyon.example {PARENT}"}),
    (other_mx, {f"MX set pyon.example {VPS6}"}),
    (other_address, {"addresses home"}),
    (wrong_glue, {"addresses vps"}),
    (other_ehlo, {f"EHLO name g {VPS} 25"}),
    (pkix_usage_for_mail, {"TLSA _25._tcp.g 25"} | DANE_25),
    (other_records_same_serial, {f"TLSA _443._tcp.g {HOME} 443"}),
]


@pytest.mark.parametrize(("alter", "red"), FAULTS, ids=[alter.__name__ for alter, _red in FAULTS])
def test_each_fault_turns_its_rows_red(net: Net, alter: Callable[[Net], None], red: set[str]) -> None:
    alter(net)
    rows = net.verify()
    assert labels(rows, False) == red
    assert labels(rows, None) == set()
    for row in rows:
        assert bool(row.cure) is (row.ok is not True), row
        assert row.detail and row.command, row
        shlex.split(row.command)
        for text in (row.name, row.detail, row.cure, row.command):
            assert text.isprintable() and text.isascii() and len(text) < 2000
    failures = verification.failures(rows)
    assert len(failures) == len(red)
    peers = [" ".join(failure.split()[:2]) for failure in failures]
    assert "DANE sender" not in peers[:1]  # the part that is wrong comes first


def test_leaf_only_is_called_that(net: Net) -> None:
    leaf_only(net)
    assert [row.detail for row in net.verify() if row.what == "chain" and not row.ok] == ["the leaf alone is sent, without its intermediates"]


# What is awaited, and what cannot be told from here: neither green nor red

def test_ds_missing_is_awaited(net: Net, signer: Signer) -> None:
    net.ds = []
    rows = net.verify()
    assert labels(rows, False) == set()
    assert labels(rows, None) == {"delegation pyon.example", "TLSA _25._tcp.g 25", "TLSA _443._tcp.g 443"} | DANE_25
    delegation = next(row for row in rows if row.what == "delegation")
    assert f"pyon.example. IN DS {signer.ds()}" in delegation.cure


def test_ds_missing_and_expired_signatures(net: Net) -> None:
    net.ds = []
    net.ends[VPS] = NOW - 10
    assert labels(net.verify(), False) == {f"signatures vps {VPS} 53"}


def test_wrong_ds_beside_the_right_one_is_no_fault(net: Net) -> None:
    net.ds = [Signer(ZONE).ds(), *net.ds]
    assert labels(net.verify(), False) == set()


def test_resolver_that_does_not_validate(net: Net) -> None:
    net.validating = False
    rows = net.verify()
    assert labels(rows, False) == {f"resolver this host {RESOLVER} 53"}
    assert labels(rows, None) == {"delegation pyon.example", "TLSA _25._tcp.g 25", "TLSA _443._tcp.g 443"} | DANE_25
    assert "unbound" in rows[0].cure


def test_no_ipv6_here_is_said_and_not_called_a_fault(net: Net) -> None:
    net.unrouted = {VPS6, HOME6}
    rows = net.verify()
    assert labels(rows, False) == set()
    assert labels(rows, None) == {f"name server vps {VPS6} 53", f"name server home {HOME6} 53"} | {
        f"{school} g {VPS6} {port}" for port, schools in ((25, SCHOOLS_25), (443, ["browser (WebPKI)"])) for school in schools}
    assert not [question for question in net.questions if VPS6 in question or HOME6 in question]


def test_renewal_overdue_is_red_while_everybody_can_connect_still(net: Net) -> None:
    late = issue("g.pyon.example", net.pki.intermediate, begins=-80 * 86400, ends=10 * 86400, now=NOW)
    net.presented[VPS, 443] = replace(net.presented[VPS, 443], chain=(late.der, net.pki.intermediate.der))
    net.everywhere(WEB, "TLSA", [spki(late), spki(net.pki.leaf), spki(net.pki.intermediate).replace("3", "2", 1)])
    rows = net.verify()
    assert labels(rows, False) == {f"certificate g {VPS} 443"} and labels(rows, None) == set()


def test_nothing_answers_at_all(net: Net) -> None:
    net.dead = {(address, tcp) for address in (VPS, VPS6, HOME, HOME6) for tcp in (False, True)}
    net.zones = {VPS: {}}
    net.presented = {}
    rows = net.verify()
    assert {f"name server {name} {address} 53" for name, addresses in (("vps", (VPS, VPS6)), ("home", (HOME, HOME6)))
            for address in addresses} < labels(rows, False)
    assert "delegation pyon.example" in labels(rows, False)
    assert all(row.cure for row in rows if not row.ok)


def test_resolver_is_dead(net: Net) -> None:
    net.resolve = lambda owner, rdtype: Answer(RESOLVER, owner, rdtype, error="127.0.0.1 did not answer")  # type: ignore[method-assign]
    rows = net.verify()
    assert f"resolver this host {RESOLVER} 53" in labels(rows, False)
    assert f"STARTTLS g {VPS} 25" in labels(rows, True)  # by the addresses that the zone's own servers gave


# Hostile data

HOSTILE = "\\027[31m\\;\\$\\(reboot\\)'.example."


def test_hostile_names_are_shown_and_quoted(net: Net) -> None:
    net.parent_ns = [HOSTILE]
    net.everywhere(ZONE, "MX", [f"10 {HOSTILE}"])
    rows = net.verify()
    assert {f"NS set pyon.example {PARENT}", f"MX set pyon.example {VPS}"} == labels(rows, False)
    assert all(text.isprintable() and text.isascii() for row in rows for text in (row.name, row.detail, row.command))


def test_what_a_parent_may_name_is_bounded(net: Net) -> None:
    net.parent_ns = [f"n{number}.evil.example." for number in range(5000)]
    net.glue = tuple((f"n{number}.evil.example.", f"198.51.{100 + number // 250}.{number % 250}") for number in range(1000))
    net.verify()
    assert len({question[1] for question in net.questions if question[0] == "ask"}) <= delegation.MOST_SERVERS + 1
    assert len({question[1] for question in net.questions if question[0] == "resolve"}) < delegation.MOST_SERVERS + 20


@pytest.mark.parametrize("record", ["255 1 1 00", "3 1 1 00", "3 9 1 " + "00" * 32])
def test_unusable_records(net: Net, record: str) -> None:
    resolve = net.resolve

    def altered(owner: str, rdtype: str) -> Answer:  # dnspython from 2.8 on refuses such records itself
        return replace(resolve(owner, rdtype), records=(record,)) if owner == MAIL else resolve(owner, rdtype)

    net.resolve = altered  # type: ignore[method-assign]
    assert labels(net.verify(), False) == {"TLSA _25._tcp.g 25"} | DANE_25


@pytest.mark.parametrize("der", [b"", b"x", b"\x30\x03\x02\x01\x01", b"-----BEGIN CERTIFICATE-----"])
def test_certificate_that_is_none(net: Net, der: bytes) -> None:
    net.presented[VPS, 25] = replace(net.presented[VPS, 25], chain=(der,), pkix="bad")
    assert {f"certificate g {VPS} 25", f"DANE sender g {VPS} 25"} <= labels(net.verify(), False)


@pytest.mark.parametrize(("pattern", "name", "covers"), [
    ("g.pyon.example", "g.pyon.example", True), ("*.pyon.example", "g.pyon.example", True), ("*.pyon.example", "pyon.example", False),
    ("*.example", "g.pyon.example", False), ("g*.pyon.example", "g.pyon.example", False), ("pyon.example", "g.pyon.example", False)])
def test_names_covered(pattern: str, name: str, covers: bool) -> None:
    assert verification._name_covers(pattern, name) is covers


# Several zones, and the table

def test_zones_are_judged_apart_and_asked_together(net: Net) -> None:
    other = {**WANTED[0], "zone": "other.example", "endpoints": [], "mx": []}
    rows = net.verify([*WANTED, other])
    assert labels([row for row in rows if row.zone == "pyon.example"], False) == set()
    assert {row.what for row in rows if row.zone == "other.example" and row.ok is False} >= {"name server"}
    assert absolute("other.example") in {question[1] for question in net.questions if question[0] == "resolve"}


def test_table(net: Net) -> None:
    stale_secondary(net)
    rows = [row.as_dict() for row in net.verify()]
    lines = verification_lines(rows)
    text = "\n".join(lines)
    assert lines[0] == "Here" and "Zone pyon.example" in lines and "Zone pyon.example: who can connect" in lines
    assert ["RED", "serial", "home.pyon.example", f"{HOME}:53", "home.pyon.example", "is", "behind:"] in [line.split()[:7] for line in lines]
    assert "         next: dig +dnssec +norecurse +short @198.51.100.20 pyon.example. SOA" in lines
    assert "home.pyon.example is behind: 5, and vps.pyon.example (198.51.100.10) has 7" in text
    assert "         next: posttls-finger -l dane -L summary -F '/etc/ca of ours.pem' '[g.pyon.example]:25'" in lines
    assert "[2001:db8:51::10]:25" in text and "--cacert '/etc/ca of ours.pem'" in text
    assert lines[-1] == f"{len(rows) - 1} ok, 1 RED, 0 awaited or not to be judged from here (--)"


def test_table_of_something_else() -> None:
    with pytest.raises(Exception, match="takes the rows"):
        verification_lines([{"x": 1}])


def test_real_world_ends_in_time() -> None:
    world = verification.world(["127.0.0.1"], None, 0.0)
    assert world.resolve("example.", "SOA").error
    assert world.probe("127.0.0.1", 9, "https", "g.pyon.example", "").error
    assert world.routed("127.0.0.1")
