# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate, on an internet of name servers on loopback: a resolver, a parent, and a zone on two or three addresses."""
from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.version
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import delegation, dns_client, gate, history
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.gate import Result, Said
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA
from wire_fakes import Reply, SignedZone, Signer, name_server

ZONE = "pyon.example."
MAIL, WEB, NONE = "_25._tcp.g.pyon.example.", "_443._tcp.g.pyon.example.", "_25._tcp.none.pyon.example."
OLD, NEW, FOREIGN = "3 1 1 " + "aa" * 32, "3 1 1 " + "bb" * 32, "3 1 1 " + "cc" * 32
RESOLVER, PARENT, VPS, HOME, FURTHER = "127.0.0.9", "127.0.0.10", "127.0.0.11", "127.0.0.12", "127.0.0.13"
EXPIRE = 604800
WANTED = {MAIL: [NEW, OLD]}
signs_wildcards = pytest.mark.skipif(dns.version.MINOR < 4, reason="dnspython 2.3 signs wildcards wrongly")
Reworked = Callable[[bytes, bool], "bytes | None"]


def made(signer: Signer, serial: int = 7, records: Sequence[str] = (OLD, NEW), ends: float = 86400, ttl: int = 3600) -> SignedZone:
    """The zone as a server has it; its signatures end `ends` seconds from now."""
    zone = SignedZone(signer, time.time() - 200_000, int(time.time()) + ends)
    zone.put(ZONE, "SOA", f"vps.pyon.example. hostmaster.pyon.example. {serial} 1 2 {EXPIRE} 300")
    zone.put(ZONE, "NS", "vps.pyon.example.", "home.pyon.example.")
    zone.put(MAIL, "TLSA", *records, ttl=ttl)
    zone.put(WEB, "TLSA", OLD)
    return zone


@dataclass
class Net:
    """All name servers; a test alters it, then looks."""

    signer: Signer
    servers: dict[str, Reply] = field(default_factory=dict)
    parent_names: list[str] = field(default_factory=lambda: ["vps.pyon.example.", "home.pyon.example."])
    resolved: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    authenticated: bool = True
    rcodes: dict[tuple[str, str], int] = field(default_factory=dict)
    asked: list[tuple[str, str, str, bool]] = field(default_factory=list)
    """(server, owner, rdtype, tcp)"""

    def __post_init__(self) -> None:
        zone = made(self.signer)
        self.servers = {VPS: zone.answer, HOME: zone.answer}
        self.resolved = {
            (".", "SOA"): ["a. b. 1 1 1 1 1"], ("example.", "NS"): ["a.example."], ("a.example.", "A"): [PARENT],
            (ZONE, "DS"): [self.signer.ds()], (ZONE, "NS"): ["vps.pyon.example.", "home.pyon.example."],
            ("vps.pyon.example.", "A"): [VPS], ("home.pyon.example.", "A"): [HOME],
        }

    def resolver(self, query: bytes, _tcp: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(query))
        owner, rdtype = response.question[0].name.to_text().lower(), dns.rdatatype.to_text(response.question[0].rdtype)
        response.flags |= dns.flags.RA | (dns.flags.AD if self.authenticated else 0)
        response.set_rcode(dns.rcode.Rcode(self.rcodes.get((owner, rdtype), 0)))
        if records := self.resolved.get((owner, rdtype)):
            response.answer.append(dns.rrset.from_text(owner, 60, "IN", rdtype, *records))
        return response.to_wire()

    def parent(self, query: bytes, _tcp: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(query))
        if self.parent_names:
            response.authority.append(dns.rrset.from_text(ZONE, 60, "IN", "NS", *self.parent_names))
        return response.to_wire()

    def noted(self, address: str, reply: Reply) -> Reply:
        def noting(query: bytes, tcp: bool) -> bytes | None:
            question = dns.message.from_wire(query).question[0]
            self.asked.append((address, question.name.to_text(), dns.rdatatype.to_text(question.rdtype), tcp))
            return reply(query, tcp)
        return noting

    def started(self) -> tuple[contextlib.ExitStack, int]:
        stack, port = contextlib.ExitStack(), 0
        try:
            for address, reply in {RESOLVER: self.resolver, PARENT: self.parent, **self.servers}.items():
                port = stack.enter_context(name_server(self.noted(address, reply), address, port))
        except OSError:  # somebody has that port at another address
            stack.close()
            return self.started()
        return stack, port

    @contextlib.contextmanager
    def up(self) -> Iterator[int]:
        stack, port = self.started()
        with stack:
            yield port

    def look(self, owners: dict[str, list[str]] | None = None, timeout: float = 20, names: Sequence[str] = ()) -> Result:
        with self.up() as port:
            return gate.look("pyon.example", list((WANTED if owners is None else owners).items()), [RESOLVER], timeout=timeout, port=port, names=names)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(ZONE)


@pytest.fixture
def net(signer: Signer) -> Net:
    return Net(signer)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little patience, so that silence is short."""
    monkeypatch.setattr(gate, "PATIENCE", (0.2, 0.3))
    monkeypatch.setattr(gate, "STREAM_PATIENCE", (0.5,))
    monkeypatch.setattr(gate, "TICK", 0.02)


def of(result: Result, address: str, owner: str = MAIL) -> Said:
    return next(said for said in result.owners[owner] if said.address == address)


def only(reply: Reply, kind: str, instead: Callable[[bytes, bool], bytes | None]) -> Reply:
    """`reply`, but `instead` for questions of the type `kind`."""
    def chosen(query: bytes, tcp: bool) -> bytes | None:
        if dns.message.from_wire(query).question[0].rdtype == dns.rdatatype.from_text(kind):
            return instead(query, tcp)
        return reply(query, tcp)
    return chosen


def plain(query: bytes, *answer: dns.rrset.RRset, flags: int = dns.flags.AA, rcode: int = 0) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(query))
    response.flags |= flags
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.answer.extend(answer)
    return response.to_wire(max_size=65535)


# What is right

def test_all_match(net: Net) -> None:
    begun = int(time.time())
    result = net.look()
    assert (result.zone, result.state, result.complete, result.passed, result.held_by) == (ZONE, "secure", True, True, ())
    assert [(one.address, one.names, one.serial, one.expire, one.tcp, one.error) for one in sorted(result.addresses, key=lambda one: one.address)] == [
        (VPS, ("vps.pyon.example.",), 7, EXPIRE, True, ""), (HOME, ("home.pyon.example.",), 7, EXPIRE, True, "")]
    assert all(one.latency is not None and 0 < one.latency < 5 for one in result.addresses)
    for address in (VPS, HOME):
        said = of(result, address)
        assert (said.verdict, said.records, said.ttl, said.error) == ("matches", (OLD, NEW), 3600, "")
        assert said.signed_until is not None and begun + 86000 < said.signed_until < begun + 87000


def test_each_question_is_asked_once(net: Net) -> None:
    net.look({MAIL: [OLD, NEW], WEB: [OLD]})
    zone = sorted(question for question in net.asked if question[0] in (VPS, HOME))
    assert zone == sorted((address, *question) for address in (VPS, HOME) for question in [
        (ZONE, "SOA", False), (ZONE, "SOA", True), (ZONE, "DNSKEY", False), (ZONE, "NS", False), (MAIL, "TLSA", False), (WEB, "TLSA", False)])


def test_what_is_served_where_nothing_is_wanted(net: Net) -> None:
    result = net.look({MAIL: [], NONE: []})
    assert result.passed
    assert (of(result, VPS).verdict, of(result, VPS).records) == ("matches", (OLD, NEW))
    assert (of(result, VPS, NONE).verdict, of(result, VPS, NONE).records) == ("absent", ())


def test_history_takes_it(net: Net) -> None:
    result = net.look({MAIL: [NEW], NONE: []})
    answers = history.observed(history.History(), gate.history_answers(result, MAIL), history.Policy(), 1000)
    (rrset,) = answers.rrsets
    assert (rrset.records, rrset.ttl, rrset.expire) == (frozenset(TLSA.parse(one, "") for one in (OLD, NEW)), 3600, EXPIRE)
    assert rrset.signed_until == of(result, VPS).signed_until and set(rrset.seen) == {VPS, HOME}
    assert gate.history_answers(result, NONE) == [history.Answer(one.address, frozenset(), 0, 0, EXPIRE) for one in result.addresses]
    assert result.complete and sorted(one.address for one in result.addresses) == [VPS, HOME]


def test_record_that_no_peer_can_use(net: Net) -> None:
    net.servers[HOME] = made(net.signer, records=(OLD, "250 1 1 " + "aa" * 32)).answer
    result = net.look()
    assert of(result, HOME).records == ("250 1 1 " + "aa" * 32, OLD)
    assert {answer.address: answer.records for answer in gate.history_answers(result, MAIL)}[HOME] == frozenset({TLSA.parse(OLD, "")})


def test_unlistable_is_passed_on(net: Net) -> None:
    with net.up() as port:
        result = gate.look("pyon.example", list(WANTED.items()), [RESOLVER], [HOME], port=port)
    assert {one.address: one.unlistable for one in result.addresses} == {VPS: False, HOME: True}


def test_ipv6(net: Net) -> None:
    net.servers["::1"] = net.servers[VPS]
    net.resolved["vps.pyon.example.", "AAAA"] = ["::1"]
    result = net.look()
    assert result.passed and of(result, "::1").verdict == "matches"


def test_truncated_answer_is_had_over_tcp(net: Net) -> None:
    many = [f"3 1 1 {number:064x}" for number in range(40)]
    net.servers = dict.fromkeys(net.servers, made(net.signer, records=many).answer)
    result = net.look({MAIL: many, WEB: [OLD]})
    assert result.passed and len(of(result, VPS).records) == 40
    assert (VPS, MAIL, "TLSA", True) in net.asked and (VPS, WEB, "TLSA", True) not in net.asked


@signs_wildcards
def test_wildcard_needs_its_proof(net: Net) -> None:
    zone = made(net.signer)
    zone.put("*.pyon.example.", "TLSA", NEW)
    rrset, signature = zone.with_signature(zone.rrsets[dns.name.from_text("*.pyon.example."), dns.rdatatype.TLSA])
    name = dns.name.from_text(NONE)

    def expanded(query: bytes, tcp: bool, proven: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(query))
        response.flags |= dns.flags.AA
        response.answer += [dns.rrset.from_rdata_list(name, 3600, list(one)) for one in (rrset, signature)]
        if proven:
            response.authority += zone.with_signature(zone._nsec(name))
        return response.to_wire()

    net.servers = {VPS: only(zone.answer, "TLSA", lambda query, tcp: expanded(query, tcp, True)),
                   HOME: only(zone.answer, "TLSA", lambda query, tcp: expanded(query, tcp, False))}
    result = net.look({NONE: [NEW]})
    assert of(result, VPS, NONE).verdict == "matches"
    assert of(result, HOME, NONE).verdict == "bogus" and "wildcard" in of(result, HOME, NONE).error


# Addresses of names

NAME = "g.pyon.example."


def addressed(signer: Signer, *addresses: str) -> SignedZone:
    """The zone with these addresses of the name, which has a TXT record too."""
    zone = made(signer)
    zone.put(NAME, "TXT", '"here"')
    for kind, mine in (("A", [one for one in addresses if ":" not in one]), ("AAAA", [one for one in addresses if ":" in one])):
        if mine:
            zone.put(NAME, kind, *mine, ttl=600)
    return zone


def test_the_addresses_that_each_server_gives(net: Net) -> None:
    net.servers = {VPS: addressed(net.signer, "198.51.100.10", "2001:DB8::10", "198.51.100.12").answer, HOME: addressed(net.signer, "198.51.100.10").answer}
    result = net.look(names=[NAME])
    assert result.passed and set(result.owners) == {MAIL}
    found = {one.server: one for one in gate.given(result, "G.pyon.example")}
    assert found[VPS].addresses == {"198.51.100.10", "198.51.100.12", "2001:db8::10"} and found[HOME].addresses == {"198.51.100.10"}
    assert found[VPS].expire == EXPIRE and 86000 < found[HOME].signed_until - time.time() < 87000
    assert (VPS, NAME, "AAAA", False) in net.asked and (VPS, NAME, "TLSA", False) not in net.asked


def test_a_name_without_addresses_is_proven(net: Net) -> None:
    net.servers = {VPS: addressed(net.signer).answer, HOME: made(net.signer).answer}
    assert [one.addresses for one in gate.given(net.look(names=[NAME]), NAME)] == [frozenset(), frozenset()]


def test_addresses_that_do_not_validate_are_no_news_and_hold_nothing_up(net: Net) -> None:
    good = addressed(net.signer, "198.51.100.10", "2001:db8::10")
    net.servers = {VPS: good.answer, HOME: only(good.answer, "AAAA", lambda query, tcp: plain(query))}  # it hides them, and proves nothing
    result = net.look(names=[NAME])
    assert [one.server for one in gate.given(result, NAME)] == [VPS] and result.passed
    assert [said.verdict for said in result.names[NAME, "AAAA"] if said.address == HOME] == ["bogus"]
    net.servers[HOME] = only(good.answer, "A", lambda query, tcp: plain(query, dns.rrset.from_text(NAME, 60, "IN", "A", "192.0.2.1")))
    assert [one.server for one in gate.given(net.look(names=[NAME]), NAME)] == [VPS]


def test_addresses_of_a_zone_that_nobody_can_validate_are_no_news(net: Net) -> None:
    net.authenticated = False
    assert gate.given(net.look(names=[NAME]), NAME) == []


# What is wrong with one server

def test_stale_secondary(net: Net) -> None:
    net.servers[HOME] = made(net.signer, 6, [OLD]).answer
    result = net.look({MAIL: [OLD, NEW], WEB: [OLD]})
    assert not result.passed and result.complete
    assert [one.serial for one in result.addresses if one.address == HOME] == [6]
    said = of(result, HOME)
    assert (said.verdict, said.records) == ("differs", (OLD,))
    assert said.error.startswith("has 1 records, lacks 1 of the 2 that are wanted and has 0 others; ")
    assert [of(result, *one).verdict for one in [(VPS, MAIL), (VPS, WEB), (HOME, WEB)]] == ["matches"] * 3
    (sentence,) = result.held_by
    assert sentence.startswith(f"{HOME} (home.pyon.example., serial 6), {MAIL}: it has 1 records")
    assert {answer.address: len(answer.records) for answer in gate.history_answers(result, MAIL)} == {VPS: 2, HOME: 1}


def test_more_than_is_wanted_differs(net: Net) -> None:
    result = net.look({MAIL: [OLD]})
    assert of(result, VPS).verdict == "differs" and "has 1 others" in of(result, VPS).error


def test_absent_where_it_is_wanted(net: Net) -> None:
    result = net.look({NONE: [NEW], "_25._tcp.pyon.example.": [NEW], ZONE: [NEW], "_tcp.g.pyon.example.": [NEW]})
    for owner in result.owners:  # no such name, no such name, no such type, an empty non-terminal
        assert of(result, VPS, owner).verdict == "absent", owner
    assert not result.passed and len(result.held_by) == 2 and "3 more owners" in result.held_by[0]


def unproven(query: bytes, _tcp: bool) -> bytes:
    return plain(query)


def denied_by_another(query: bytes, _tcp: bool) -> bytes:
    forger = made(Signer(ZONE))
    del forger.rrsets[dns.name.from_text(MAIL), dns.rdatatype.TLSA]
    return forger.answer(query)


def denied_by_a_wildcards_nsec(net: Net) -> Reworked:
    """The NSEC of `*.pyon.example.` as if it were one of the name in question."""
    zone = made(net.signer)
    zone.put("*.pyon.example.", "TXT", "x")
    found = zone.with_signature(zone._nsec(dns.name.from_text("*.pyon.example.")))

    def instead(query: bytes, _tcp: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(query))
        response.flags |= dns.flags.AA
        response.authority += [dns.rrset.from_rdata_list(dns.name.from_text(MAIL), 300, list(one)) for one in found]
        return response.to_wire()
    return instead


def unsigned(query: bytes, _tcp: bool) -> bytes:
    return plain(query, dns.rrset.from_text(MAIL, 60, "IN", "TLSA", OLD, NEW))


def forged(query: bytes, _tcp: bool) -> bytes:
    return made(Signer(ZONE)).answer(query)


def malformed(query: bytes, _tcp: bool) -> bytes:
    return plain(query, dns.rrset.from_text(MAIL, 60, "IN", "TLSA", OLD))[:-5]


def huge_datagram(query: bytes, _tcp: bool) -> bytes:
    return plain(query, dns.rrset.from_text(MAIL, 60, "IN", "TLSA", *(f"3 1 1 {number:064x}" for number in range(100))))


def many_in_stream(query: bytes, tcp: bool) -> bytes:
    if not tcp:
        return plain(query, flags=dns.flags.AA | dns.flags.TC)
    return plain(query, dns.rrset.from_text(MAIL, 60, "IN", "TLSA", *(f"3 1 1 {number:064x}" for number in range(1000))))


def truncated_in_stream(query: bytes, _tcp: bool) -> bytes:
    return plain(query, flags=dns.flags.AA | dns.flags.TC)


def counts_that_lie(query: bytes, _tcp: bool) -> bytes:
    return query[:2] + b"\x84\x00\x00\x01\xff\xff\xff\xff\xff\xff" + query[12:]


@pytest.mark.parametrize(("instead", "verdict", "said"), [
    (unproven, "bogus", "no signed NSEC or NSEC3 proves it; sign the zone again"),
    (denied_by_another, "bogus", "no signed NSEC or NSEC3 proves it"),
    (unsigned, "bogus", "its TLSA RRset is not signed"),
    (forged, "bogus", "has 1 signatures, and none of them validates"),
    (malformed, "bogus", "sent what is no answer"),
    (counts_that_lie, "bogus", "too large: 52 octets, 196605 records"),
    (huge_datagram, "bogus", "too large: "),
    (many_in_stream, "bogus", " octets, 1001 records; see which program"),
    (truncated_in_stream, "bogus", "truncated TLSA answer over TCP"),
    (lambda query, tcp: plain(query, rcode=5), "lame", "answers REFUSED for TLSA"),
    (lambda query, tcp: plain(query, rcode=2), "lame", "answers SERVFAIL for TLSA"),
    (lambda query, tcp: plain(query, flags=0), "lame", "is not authoritative for TLSA"),
    (lambda query, tcp: plain(query, dns.rrset.from_text(MAIL, 60, "IN", "CNAME", "x.example.")), "differs", "an alias there, to x.example."),
])
def test_bad_answer_of_one_server(net: Net, instead: Reworked, verdict: str, said: str) -> None:
    net.servers[HOME] = only(net.servers[HOME], "TLSA", instead)
    result = net.look()
    assert (of(result, HOME).verdict, of(result, VPS).verdict) == (verdict, "matches")
    assert said in of(result, HOME).error
    assert not result.passed and len(result.held_by) == 1 and HOME in result.held_by[0] and "; " in result.held_by[0]
    assert [answer.address for answer in gate.history_answers(result, MAIL)] == [VPS]


@signs_wildcards
def test_nsec_from_a_wildcard_denies_nothing(net: Net) -> None:
    net.servers[HOME] = only(net.servers[HOME], "TLSA", denied_by_a_wildcards_nsec(net))
    assert of(net.look(), HOME).verdict == "bogus"


def test_many_denials(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures take time, so no more are looked at than a proof may need."""
    validate, seen = dns_client.valid_signatures, []

    def noted(rrset: dns.rrset.RRset, *others: dns.rrset.RRset) -> list[object]:
        seen.append(rrset.rdtype)
        return validate(rrset, *others)

    def instead(query: bytes, _tcp: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(query))
        response.flags |= dns.flags.AA
        for number in range(10):
            rrset = dns.rrset.from_text(f"w{number}.pyon.example.", 60, "IN", "NSEC", "x.pyon.example. A")
            response.authority += [rrset, net.signer.sign(rrset, 0, 1)]
        return response.to_wire(max_size=65535)

    monkeypatch.setattr(dns_client, "valid_signatures", noted)
    net.servers[HOME] = only(net.servers[HOME], "TLSA", lambda query, tcp: instead(query, tcp) if tcp else truncated_in_stream(query, tcp))
    assert of(net.look(), HOME).verdict == "bogus"
    assert seen.count(dns.rdatatype.NSEC) == gate.MOST_DENIALS


def test_large_rrset_that_is_signed(net: Net) -> None:
    net.servers[HOME] = made(net.signer, records=[f"3 1 1 {number:064x}" for number in range(65)]).answer
    assert "has 65 TLSA records in one RRset" in of(net.look(), HOME).error


def test_expired_signature(net: Net) -> None:
    stale = made(net.signer, ends=-5000)
    net.servers[HOME] = only(net.servers[HOME], "TLSA", stale.answer)
    said = of(net.look(), HOME)
    assert said.verdict == "bogus" and said.records == ()
    assert "its TLSA RRset has a signature that expired 50" in said.error


def test_only_signatures_that_validate_count(net: Net) -> None:
    def with_another(query: bytes, tcp: bool) -> bytes:
        response = dns.message.from_wire(made(net.signer).answer(query))
        rrset, signature = response.answer
        rrset.ttl = 99999
        forged_one = Signer(ZONE).sign(dns.rrset.from_rdata_list(rrset.name, 99999, list(rrset)), time.time() - 100, time.time() + 9_000_000)
        signature.add(forged_one[0])
        return response.to_wire()

    net.servers[HOME] = only(net.servers[HOME], "TLSA", with_another)
    said = of(net.look(), HOME)
    assert (said.verdict, said.ttl) == ("matches", 3600)
    assert said.signed_until is not None and said.signed_until < time.time() + 90_000


@pytest.mark.parametrize(("kind", "instead", "verdict", "said"), [
    ("SOA", lambda query, tcp: plain(query, rcode=5), "lame", "answers REFUSED for SOA"),
    ("SOA", lambda query, tcp: plain(query), "lame", "has no SOA"),
    ("SOA", forged, "bogus", "its SOA has 1 signatures"),
    ("SOA", malformed, "bogus", "sent what is no answer"),
    ("DNSKEY", unsigned, "bogus", "its DNSKEY RRset is not there"),
    ("DNSKEY", forged, "bogus", "has 1 DNSKEY records, and the parent's DS names none of them"),
    ("NS", lambda query, tcp: plain(query), "bogus", "its NS RRset is not there"),
])
def test_server_that_is_not_to_be_believed(net: Net, kind: str, instead: Reworked, verdict: str, said: str) -> None:
    net.servers[HOME] = only(net.servers[HOME], kind, instead)
    result = net.look({MAIL: [OLD, NEW], WEB: [OLD]})
    assert result.state == "secure"
    assert {of(result, HOME, owner).verdict for owner in (MAIL, WEB)} == {verdict}
    assert said in of(result, HOME).error and of(result, HOME).error in [one.error for one in result.addresses]
    assert (HOME, MAIL, "TLSA", False) not in net.asked
    assert len(result.held_by) == 1 and "and 1 more owners" in result.held_by[0]


@pytest.mark.usefixtures("hasty")
def test_silent(net: Net) -> None:
    net.servers[HOME] = lambda query, tcp: None
    result = net.look()
    assert (of(result, HOME).verdict, of(result, VPS).verdict) == ("silent", "matches")
    assert "did not answer within 0.5 seconds over UDP; start the name server there and open port 53" in of(result, HOME).error
    assert len([one for one in net.asked if one[0] == HOME]) == 6, "three questions, twice"


def test_nobody_there(net: Net) -> None:
    del net.servers[HOME]
    said = of(net.look(), HOME)
    assert said.verdict == "silent" and "cannot be reached: Connection refused" in said.error


@pytest.mark.usefixtures("hasty")
def test_wrong_id_and_wrong_question_are_no_answers(net: Net) -> None:
    right = net.servers[HOME]

    def wrong(query: bytes, tcp: bool) -> bytes | None:
        answer = right(query, tcp) or b""
        if dns.message.from_wire(query).question[0].rdtype != dns.rdatatype.TLSA:
            return answer
        return answer[:13] + b"x" + answer[14:] if len(net.asked) % 2 else bytes([answer[0] ^ 1]) + answer[1:]

    net.servers[HOME] = wrong
    said = of(net.look(), HOME)
    assert said.verdict == "silent" and "and sent 2 messages with a wrong id or question" in said.error


@pytest.mark.usefixtures("hasty")
def test_silent_after_a_while_is_let_alone(net: Net) -> None:
    net.servers[HOME] = only(net.servers[HOME], "TLSA", lambda query, tcp: None)
    owners: dict[str, list[str]] = {f"_25._tcp.w{number}.pyon.example.": [] for number in range(50)}
    result = net.look(owners)
    assert all(of(result, HOME, owner).verdict == "silent" for owner in owners)
    assert len({one for one in net.asked if one[0] == HOME and one[2] == "TLSA"}) == gate.MOST_LOST


@pytest.mark.usefixtures("hasty")
def test_lost_datagrams_are_asked_for_again(net: Net) -> None:
    right, times = net.servers[HOME], []

    def losing(query: bytes, tcp: bool) -> bytes | None:
        times.append(query)
        return right(query, tcp) if tcp or times.count(query) > 1 else None

    net.servers[HOME] = losing
    assert of(net.look(), HOME).verdict == "matches"


@pytest.mark.usefixtures("hasty")
def test_without_tcp(net: Net) -> None:
    right = net.servers[HOME]
    net.servers[HOME] = lambda query, tcp: None if tcp else right(query, tcp)
    result = net.look()
    assert result.passed
    assert [(one.tcp, one.error.split(";")[0]) for one in result.addresses if one.address == HOME] == [
        (False, "closed the connection before it had answered over TCP")]


@pytest.mark.usefixtures("hasty")
def test_truncated_and_then_nothing_over_tcp(net: Net) -> None:
    net.servers[HOME] = only(net.servers[HOME], "TLSA", lambda query, tcp: None if tcp else truncated_in_stream(query, tcp))
    said = of(net.look(), HOME)
    assert said.verdict == "silent"
    assert said.error.startswith("closed the connection before it had answered over TCP, where a truncated answer is asked for again; ")


@pytest.mark.usefixtures("hasty")
def test_endless_stream(net: Net) -> None:
    """A server that truncates, and then dribbles over TCP."""
    begun, ended = time.monotonic(), threading.Event()
    server = only(net.servers[VPS], "TLSA", truncated_in_stream)
    with net.up() as port, socket.create_server((FURTHER, port)) as listener:
        def dribble(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                connection.sendall(b"\xff\xff")
                while not ended.wait(0.1):
                    connection.sendall(b"\0")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    threading.Thread(target=dribble, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.bind((FURTHER, port))

            def answer() -> None:
                while (got := datagram.recvfrom(65535))[0] != b"end":
                    reply = server(got[0], False)
                    datagram.sendto(reply or b"", got[1])

            udp = threading.Thread(target=answer, daemon=True)
            udp.start()
            net.resolved["home.pyon.example.", "A"] = [FURTHER]
            result = gate.look("pyon.example", list(WANTED.items()), [RESOLVER], timeout=20, port=port)
            datagram.sendto(b"end", (FURTHER, port))
            udp.join(5)
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert [of(result, FURTHER, owner).verdict for owner in WANTED] == ["silent"]
    (further,) = [one for one in result.addresses if one.address == FURTHER]
    assert not further.tcp and "its last answer ended after" in further.error and "octets over TCP" in further.error
    assert time.monotonic() - begun < 10


def test_unreachable_family(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.resolved["vps.pyon.example.", "AAAA"] = ["2001:db8::1"]
    net.resolved["home.pyon.example.", "AAAA"] = ["2001:db8::2"]
    monkeypatch.setattr(delegation, "routed", lambda address: ":" not in address)
    result = net.look({MAIL: [OLD, NEW], WEB: [OLD]})
    assert {of(result, "2001:db8::1", owner).verdict for owner in (MAIL, WEB)} == {"unreachable"}
    (sentence,) = result.held_by
    assert sentence.startswith("this host has no IPv6, so it cannot ask 2001:db8::") and "2001:db8::1" in sentence and "2001:db8::2" in sentence
    assert not result.passed and result.complete


# Who serves the zone

def test_parent_and_zone_name_different_servers(net: Net) -> None:
    """One is known to the parent alone, one to the zone alone, and one to a single server."""
    zone, other = made(net.signer), made(net.signer)
    zone.put(ZONE, "NS", "vps.pyon.example.", "further.pyon.example.")
    other.put(ZONE, "NS", "vps.pyon.example.")
    net.parent_names = ["home.pyon.example."]
    net.resolved[ZONE, "NS"] = ["vps.pyon.example."]
    net.resolved["further.pyon.example.", "A"] = [FURTHER]
    net.servers = {VPS: other.answer, HOME: zone.answer, FURTHER: made(net.signer, 5, [OLD]).answer}
    result = net.look()
    assert result.complete
    assert result.complete and sorted(one.address for one in result.addresses) == [VPS, HOME, FURTHER]
    assert of(result, FURTHER).verdict == "differs"


def test_names_without_end(net: Net) -> None:
    """Each server is named only by the one before it."""
    chain = [f"127.0.4.{number}" for number in range(6)]
    net.parent_names = net.resolved[ZONE, "NS"] = ["n0.pyon.example."]
    net.servers = {}
    for number, address in enumerate(chain):
        net.resolved[f"n{number}.pyon.example.", "A"] = [address]
        zone = made(net.signer)
        zone.put(ZONE, "NS", f"n{number}.pyon.example.", f"n{number + 1}.pyon.example.")
        net.servers[address] = zone.answer
    result = net.look()
    assert sorted(one.address for one in result.addresses) == chain[:gate.MOST_ROUNDS]
    assert not result.complete
    assert result.held_by == (f"n{gate.MOST_ROUNDS}.pyon.example.: this name server became known too late to be asked; ask again",)


def test_glue_that_the_zone_has_not(net: Net) -> None:
    def parent(query: bytes, _tcp: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(query))
        response.authority.append(dns.rrset.from_text(ZONE, 60, "IN", "NS", "vps.pyon.example."))
        response.additional.append(dns.rrset.from_text("vps.pyon.example.", 60, "IN", "A", FURTHER))
        return response.to_wire()

    net.parent = parent  # type: ignore[method-assign]
    net.servers[FURTHER] = made(net.signer, records=[OLD]).answer
    assert of(net.look(), FURTHER).verdict == "differs"


def test_parent_that_does_not_say(net: Net) -> None:
    net.parent_names = []
    result = net.look()
    assert not result.complete and not result.passed
    assert "the parent's name servers do not say" in result.held_by[0]


def test_name_whose_addresses_cannot_be_had(net: Net) -> None:
    net.rcodes["home.pyon.example.", "AAAA"] = 2
    result = net.look()
    assert of(result, HOME).verdict == "matches"
    assert not result.complete and not result.passed
    assert result.held_by[0].startswith("home.pyon.example.: the addresses of this name server cannot be looked up")


def test_too_many_name_servers(net: Net) -> None:
    net.resolved["vps.pyon.example.", "A"] = [f"127.0.3.{number}" for number in range(70)]
    result = net.look()
    assert len(result.addresses) == delegation.MOST_SERVERS and not result.complete


# The zone

def test_no_ds(net: Net) -> None:
    del net.resolved[ZONE, "DS"]
    result = net.look()
    assert result.state == "insecure" and not result.passed
    assert result.held_by == (f"{ZONE}: the parent has no DS; give it the zone's DS",)
    assert of(result, VPS).verdict == "matches", "by the zone's own keys"


@pytest.mark.parametrize(("rcode", "state"), [(2, "bogus"), (0, "bogus")])
def test_bogus_zone(net: Net, rcode: int, state: str) -> None:
    """The resolver refuses it, or the DS is that of another key."""
    net.rcodes[ZONE, "DS"] = rcode
    net.resolved[ZONE, "DS"] = [Signer(ZONE).ds()]
    result = net.look()
    assert (result.state, result.passed) == (state, False)
    assert result.held_by[0].startswith(f"{ZONE}: ")
    assert rcode or of(result, VPS).verdict == "bogus"


def test_resolver_that_does_not_validate(net: Net) -> None:
    net.authenticated = False
    result = net.look()
    assert result.state == "unknown" and not result.passed
    assert f"the resolver {RESOLVER} does not validate" in result.held_by[0]
    assert gate.history_answers(result, MAIL) == []


@pytest.mark.parametrize("ds", [True, False])
def test_two_resolvers_of_which_one_validates(net: Net, ds: bool) -> None:
    """It does not believe the DS; the other says what somebody on the way made of it."""
    def second(query: bytes, _tcp: bool) -> bytes:
        question = dns.message.from_wire(query).question[0]
        return plain(query, *[dns.rrset.from_text(ZONE, 60, "IN", "DS", net.signer.ds())] if ds and question.rdtype == dns.rdatatype.DS else [], flags=0)

    net.rcodes[ZONE, "DS"] = 2
    net.servers[FURTHER] = second
    with net.up() as port:
        result = gate.look("pyon.example", list(WANTED.items()), [RESOLVER, FURTHER], port=port)
    assert result.state == "unknown" and not result.passed
    assert result.held_by[0] == (f"{ZONE}: the resolver {RESOLVER} validates, but the DS is from {FURTHER}, of which that is not known; ask again, "
                                 "or name the one that validates")
    assert gate.history_answers(result, MAIL) == []


# Bounds

@pytest.mark.parametrize("everybody", [False, True])
def test_the_time_limit_is_kept(net: Net, everybody: bool) -> None:
    """All servers of the zone are silent, and in the second case the resolver and the parent too."""
    net.servers = dict.fromkeys(net.servers, lambda query, tcp: None)
    if everybody:
        net.resolver = net.parent = lambda query, tcp: None  # type: ignore[assignment,method-assign,return-value]
    with net.up() as port:
        begun = time.monotonic()
        result = gate.look("pyon.example", list(WANTED.items()), [RESOLVER], timeout=1, port=port)
        assert time.monotonic() - begun < 2
    assert not result.passed and result.held_by
    if everybody:
        assert not result.complete
    else:
        assert of(result, HOME).error.startswith("had not answered everything when the time limit of 1 seconds was over")


def test_nothing_is_read_when_the_time_limit_is_over(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading takes so long that the answers of both servers wait."""
    zone, read, times = net.servers[HOME], dns_client.read, []

    def slow(blank: dns_client.Answer, response: bytes, tcp: bool, recursion: bool = False) -> dns_client.Answer:
        times.append(time.monotonic())
        time.sleep(0.3 if blank.rdtype == "TLSA" else 0)
        return read(blank, response, tcp, recursion)

    monkeypatch.setattr(dns_client, "read", slow)
    net.servers = dict.fromkeys(net.servers, only(zone, "TLSA", lambda query, tcp: (zone if tcp else truncated_in_stream)(query, tcp)))
    owners: dict[str, list[str]] = {f"_25._tcp.w{number}.pyon.example.": [] for number in range(40)}
    with net.up() as port:
        begun = time.monotonic()
        result = gate.look("pyon.example", list(owners.items()), [RESOLVER], timeout=1, port=port)
    assert begun + 0.5 < max(times) < begun + 1.3
    assert all("time limit of 1 seconds was over" in one.error for one in result.addresses)


def test_open_questions_are_bounded(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: dict[str, list[str]] = {f"_25._tcp.w{number}.pyon.example.": [] for number in range(40)}
    most = 0
    fill = gate._Window.fill

    def counted(window: gate._Window) -> None:
        nonlocal most
        fill(window)
        most = max(most, len(window.open))

    monkeypatch.setattr(gate._Window, "fill", counted)
    result = net.look(owners)
    assert all(of(result, VPS, owner).verdict == "absent" for owner in owners)
    assert most == gate.WINDOW == 8


@pytest.mark.parametrize(("owners", "said"), [
    ({"_25._tcp.elsewhere.example.": [OLD]}, "is not in the zone"),
    ({MAIL: ["3 1 1 xyz"]}, "is not a TLSA record"),
    ({MAIL: [OLD], MAIL.upper(): [NEW]}, "named twice"),
    ({"a b.pyon.example.": []}, "not a domain name"),
    ({f"w{number}.pyon.example.": [] for number in range(10_001)}, "10001 owners are asked for at once"),
])
def test_input_that_is_not_fit(owners: dict[str, list[str]], said: str) -> None:
    with pytest.raises(DaneError, match=said):
        gate.look("pyon.example", list(owners.items()), [RESOLVER])


def test_other_input_that_is_not_fit() -> None:
    with pytest.raises(DaneError, match="is not in the zone"):
        gate.look("pyon.example", list(WANTED.items()), [RESOLVER], names=["g.elsewhere.example"])
    with pytest.raises(DaneError, match="time limit 0 is not"):
        gate.look("pyon.example", list(WANTED.items()), [RESOLVER], timeout=0)
    with pytest.raises(DaneError, match="resolver 'x'"):
        gate.look("pyon.example", list(WANTED.items()), ["x"])
    with pytest.raises(DaneError, match="unlistable address"):
        gate.look("pyon.example", list(WANTED.items()), [RESOLVER], ["x"])
