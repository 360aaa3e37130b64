# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to name servers on loopback, that answer well, badly or not at all."""
from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dns.dnssec
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import dns_client
from ansible_collections.selfhost.dane.plugins.module_utils.dns_client import Answer
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from cryptography.hazmat.primitives.asymmetric import rsa
from wire_fakes import Reply, Signer, name_server, serving

ZONE = "pyon.example."
SOA = dns.rrset.from_text(ZONE, 3600, "IN", "SOA", "vps.pyon.example. hostmaster.pyon.example. 7 1 2 3 4")


def respond(query: bytes, *answer: dns.rrset.RRset, flags: int = dns.flags.AA, rcode: int = 0,
            authority: tuple[dns.rrset.RRset, ...] = (), additional: tuple[dns.rrset.RRset, ...] = ()) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(query))
    response.flags |= flags
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.answer.extend(answer)
    response.authority.extend(authority)
    response.additional.extend(additional)
    return response.to_wire(max_size=65535)


def asked(reply: Reply, rdtype: str = "SOA", owner: str = ZONE, timeout: float = 3, tcp: bool = False) -> Answer:
    with name_server(reply) as port:
        return dns_client.ask("127.0.0.1", owner, rdtype, timeout, tcp, port=port)


def resolved(reply: Reply, rdtype: str, owner: str) -> Answer:
    with name_server(reply) as port:
        return dns_client.resolve(owner, rdtype, 3, ["127.0.0.1"], port)


# Good answers

@pytest.mark.parametrize("tcp", [False, True])
def test_soa(tcp: bool) -> None:
    seen: list[dns.message.Message] = []

    def reply(query: bytes, over_tcp: bool) -> bytes:
        seen.append(dns.message.from_wire(query))
        assert over_tcp is tcp
        return respond(query, SOA)

    found = asked(reply, tcp=tcp)
    assert found.error == ""
    assert (found.rcode, found.aa, found.ad, found.tcp, found.serial, found.ttl) == ("NOERROR", True, False, tcp, 7, 3600)
    assert found.records == ("vps.pyon.example. hostmaster.pyon.example. 7 1 2 3 4",)
    assert seen[0].flags == 0 and seen[0].ednsflags & dns.flags.DO and seen[0].payload == dns_client.PAYLOAD


def test_records_are_sorted_and_their_signature_is_told() -> None:
    signer = Signer(ZONE)
    rrset = dns.rrset.from_text("_25._tcp.G.pyon.example.", 60, "IN", "TLSA", "3 1 1 " + "bb" * 32, "3 1 1 " + "aa" * 32)
    signature = signer.sign(rrset, 1000, 2000)
    found = asked(lambda query, _: respond(query, rrset, signature), "TLSA", "_25._TCP.g.pyon.example")
    assert found.owner == "_25._tcp.g.pyon.example."
    assert found.records == ("3 1 1 " + "aa" * 32, "3 1 1 " + "bb" * 32)
    assert [(one.signer, one.inception, one.expiration, one.algorithm) for one in found.rrsig] == [(ZONE, 1000, 2000, 13)]


def test_nothing_there_is_no_error() -> None:
    found = asked(lambda query, _: respond(query, rcode=3), "TLSA")
    assert (found.error, found.rcode, found.records, found.ttl) == ("", "NXDOMAIN", (), None)


def test_truncation_goes_to_tcp() -> None:
    def reply(query: bytes, tcp: bool) -> bytes:
        return respond(query, SOA) if tcp else respond(query, flags=dns.flags.TC)

    found = asked(reply)
    assert (found.error, found.serial, found.tcp) == ("", 7, True)


def test_a_lost_datagram_is_asked_for_again() -> None:
    times = []

    def reply(query: bytes, tcp: bool) -> bytes | None:
        times.append(tcp)
        return respond(query, SOA) if len(times) > 1 else None

    assert asked(reply, timeout=1.5).serial == 7
    assert times == [False, False]


def test_referral_and_glue() -> None:
    servers = dns.rrset.from_text(ZONE, 60, "IN", "NS", "VPS.pyon.example.", "home.pyon.example.")
    glue = dns.rrset.from_text("vps.pyon.example.", 60, "IN", "AAAA", "2001:db8:51::10")
    found = asked(lambda query, _: respond(query, flags=0, authority=(servers,), additional=(glue,)), "NS")
    assert found.referral == ("home.pyon.example.", "vps.pyon.example.")
    assert found.glue == (("vps.pyon.example.", "2001:db8:51::10"),)
    assert found.records == () and not found.aa


def test_glue_of_another_class_is_none() -> None:
    """In the class CH the address of an A record is a number."""
    glue = dns.rrset.from_text("vps.pyon.example.", 60, "CH", "A", "x. 7")
    found = asked(lambda query, _: respond(query, additional=(glue,)), "NS")
    assert found.glue == () and "it has a record of class 3, which was not asked for" in found.error


def test_resolver_is_asked_for_recursion_and_its_ad_is_told() -> None:
    def reply(query: bytes, _tcp: bool) -> bytes:
        assert dns.message.from_wire(query).flags == dns.flags.RD | dns.flags.AD
        return respond(query, SOA, flags=dns.flags.AD | dns.flags.RA)

    found = resolved(reply, "SOA", ZONE)
    assert found.authenticated and found.serial == 7


def test_resolver_follows_cnames() -> None:
    alias = dns.rrset.from_text("www.pyon.example.", 60, "IN", "CNAME", "g.pyon.example.")
    address = dns.rrset.from_text("g.pyon.example.", 60, "IN", "A", "198.51.100.10")
    assert resolved(lambda query, _: respond(query, alias, address), "A", "www.pyon.example").records == ("198.51.100.10",)


def test_a_circle_of_cnames_ends() -> None:
    one = dns.rrset.from_text("a.pyon.example.", 60, "IN", "CNAME", "b.pyon.example.")
    other = dns.rrset.from_text("b.pyon.example.", 60, "IN", "CNAME", "a.pyon.example.")
    assert "sent what is no answer" in resolved(lambda query, _: respond(query, one, other), "A", "a.pyon.example").error


def test_the_next_resolver_is_asked() -> None:
    with name_server(lambda query, _: respond(query, SOA)) as port:
        found = dns_client.resolve(ZONE, "SOA", 1, ["127.0.0.2", "127.0.0.1"], port)
    assert found.serial == 7


def test_addresses_of_resolv_conf(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 192.0.2.1\nnameserver ::1\nnameserver bad\noptions trust-ad\nnameserver\nnameserver 127.0.0.53\n")
    assert dns_client.local_resolvers(str(file)) == ["::1", "127.0.0.53"]
    assert dns_client.local_resolvers(str(tmp_path / "none")) == ["127.0.0.1"]


# Bad answers: always a sentence with who and what

def wrong_id(query: bytes) -> bytes:
    answer = bytearray(respond(query, SOA))
    answer[0] ^= 0xFF
    return bytes(answer)


def wrong_question(query: bytes) -> bytes:
    other = dns.message.make_query("other.example.", "SOA", id=dns.message.from_wire(query).id)
    return respond(other.to_wire(), SOA)


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("reply", [
    wrong_id,
    wrong_question,
    lambda query: respond(query, SOA)[:-5],
    lambda query: respond(query, SOA) + b"trailing",
    lambda query: query[:2] + b"\x84\x00\x00\x01\xff\xff\x00\x00\x00\x00" + query[12:],
    lambda query: query[:2] + b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00" + query[12:] + b"\xc0\xff" * 20,
    lambda query: b"",
    lambda query: b"\0",
    lambda query: query,
    lambda query: query[:2] + b"\xff" * 1400,
    lambda query: query[:2] + bytes(65000),
])
def test_malformed(reply: object, tcp: bool) -> None:
    begun = time.monotonic()
    found = asked(lambda query, _: reply(query), tcp=tcp, timeout=1)  # type: ignore[operator]
    assert found.error.startswith("127.0.0.1 asked for pyon.example. SOA over ")
    assert found.records == () and found.rcode == "" and found.serial is None
    assert time.monotonic() - begun < 2.5


@contextlib.contextmanager
def datagrams(handle: Callable[[socket.socket, bytes, tuple[str, int]], None]) -> Iterator[int]:
    """A name server over UDP that sends what it likes for each question."""
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as last:
        server.bind(("127.0.0.1", 0))

        def run() -> None:
            while (got := server.recvfrom(65535))[0] != b"end":
                handle(server, *got)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            last.sendto(b"end", server.getsockname())
            thread.join(5)


def from_another(query: bytes, peer: tuple[str, int]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        other.sendto(respond(query, SOA), peer)


@pytest.mark.parametrize("stray", [
    lambda server, query, peer: server.sendto(wrong_id(query), peer),
    lambda server, query, peer: server.sendto(wrong_question(query), peer),
    lambda server, query, peer: server.sendto(query, peer),
    lambda server, query, peer: server.sendto(b"", peer),
    lambda server, query, peer: from_another(query, peer),
])
def test_stray_datagrams_are_passed_over(stray: Callable[[socket.socket, bytes, tuple[str, int]], None]) -> None:
    right = dns.rrset.from_rdata(ZONE, 3600, SOA[0].replace(serial=8))

    def handle(server: socket.socket, query: bytes, peer: tuple[str, int]) -> None:
        stray(server, query, peer)
        time.sleep(0.05)
        server.sendto(respond(query, right), peer)

    with datagrams(handle) as port:
        assert dns_client.ask("127.0.0.1", ZONE, "SOA", 2, port=port).serial == 8


def test_nothing_but_stray_datagrams() -> None:
    found = asked(lambda query, _: wrong_id(query), timeout=0.4)
    assert found.error.endswith("did not answer in 0.4 seconds, and 2 messages with a wrong sender, id or question came")


def test_refused_without_the_question() -> None:
    found = asked(lambda query, _: query[:2] + b"\x80\x05" + bytes(8))
    assert (found.rcode, found.error) == ("REFUSED", "")
    assert "did not answer" in asked(lambda query, _: query[:2] + b"\x80\x00" + bytes(8), timeout=0.2).error


def test_answer_that_drips() -> None:
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"\xff\xff")
        while True:
            connection.sendall(b"\0")
            time.sleep(0.05)

    with serving(handle) as port:
        begun = time.monotonic()
        assert "did not answer in 0.5 seconds" in dns_client.ask("127.0.0.1", ZONE, "SOA", 0.5, tcp=True, port=port).error
        assert time.monotonic() - begun < 0.8


def test_answer_that_ends_early() -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"\xff\xff\0")

    with serving(handle) as port:
        assert "closed the connection without an answer" in dns_client.ask("127.0.0.1", ZONE, "SOA", 2, tcp=True, port=port).error


def test_what_is_no_address() -> None:
    for address in ("x", "x" * 100, "2001:db8::zz"):
        assert "cannot be reached" in dns_client.ask(address, ZONE, "SOA", 1).error


# Messages that are made so that reading them takes long

def record(kind: int, data: bytes, owner: bytes = b"\0") -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def message(*records: bytes) -> bytes:
    return struct.pack("!6H", 1, 0x8400, 1, len(records), 0, 0) + dns_client.question(ZONE, "SOA") + b"".join(records)


def chain(pointers: int) -> tuple[bytes, bytes]:
    """A record with pointers to pointers, and a name that comes to its end with so many."""
    begin = len(message()) + 11 + 4
    places = [len(message()) - 5, *range(begin, begin + 2 * pointers - 2, 2)]  # the first has the root
    octets = [struct.pack("!H", 0xC000 | place) for place in places]
    return record(48, bytes(4) + b"".join(octets[:-1])), octets[-1]


def fault(octets: bytes) -> str:
    begun = time.process_time()
    found = dns_client.read(Answer("127.0.0.1", ZONE, "SOA"), octets, tcp=True)
    assert time.process_time() - begun < 1 and (not found.error or (found.records, found.rcode) == ((), ""))
    return found.error


@pytest.mark.parametrize("pointers", [16, 17, 8000])
@pytest.mark.parametrize(("kind", "before"), [(2, b""), (5, b""), (6, b""), (6, b"\0"), (12, b""), (15, b"\0\1"), (39, b""), (46, bytes(18)), (47, b""),
                                              (41, struct.pack("!HHHH", 3, 0, 18, 2)), (52, None)])
def test_pointers_to_pointers(kind: int, before: bytes | None, pointers: int) -> None:
    first, name = chain(pointers)
    last = record(kind, b"", name) if before is None else record(kind, before + name + (b"\0" + bytes(20) if kind == 6 else b""))
    assert (fault(message(first, last)) == "sent what is no answer: it has more than 16 pointers in a name or 2048 labels") is (pointers > 16)


def test_a_pointer_to_itself() -> None:
    assert "16 pointers" in fault(message()[:12] + b"\xc0\x0c\0\6\0\1")


@pytest.mark.parametrize(("records", "labels", "error"), [(14, 127, ""), (2, 128, "NameTooLong"), (17, 127, "2048 labels"), (127, 120, "2048 labels"),
                                                          (1, 30000, "2048 labels")])
def test_many_labels(records: int, labels: int, error: str) -> None:
    """All names are the first."""
    last = [record(2, struct.pack("!H", 0xC000 | len(message())), bytes([1, 65 + place % 26]) + b"\0") for place in range(records)]
    found = fault(message(record(16, b"\0", b"\1x" * labels + b"\0"), *last))
    assert error in found and bool(error) is bool(found)


@pytest.mark.parametrize("kind", [0, 3, 13, 17, 24, 33, 35, 55, 64, 65, 249, 250, 255, 65535])
def test_types_that_are_not_asked_for(kind: int) -> None:
    """Those of them that have names could have them anywhere, as HIP has tens of thousands."""
    first, name = chain(8000)
    assert fault(message(first, record(kind, name * 20000))) == f"sent what is no answer: it has a record of type {kind}, which was not asked for"


def test_many_options() -> None:
    assert "it has options of 60000 octets" in fault(message(record(41, bytes(60000))))


def test_many_questions() -> None:
    octets = bytearray(message())
    octets[4:6] = b"\xff\xff"
    assert "it has 65535 questions" in fault(bytes(octets))


@pytest.mark.parametrize("octets", [message()[:-1], message(record(1, b"1234"))[:-1], message(b"\0"), message(b"\xc0"), message(record(6, b"\1")), b"",
                                    bytes(11)])
def test_messages_that_end_early(octets: bytes) -> None:
    assert fault(octets).startswith("sent what is no answer: ")


def test_many_records_in_one_answer() -> None:
    many = dns.rrset.from_text(ZONE, 60, "IN", "A", *(f"192.0.2.{number}" for number in range(129)))
    assert "sent an answer that is too large: " in asked(lambda query, _: respond(query, many), "A", tcp=True).error


@pytest.mark.parametrize("tcp", [False, True])
def test_silence(tcp: bool) -> None:
    begun = time.monotonic()
    found = asked(lambda query, _: None, tcp=tcp, timeout=0.4)
    assert time.monotonic() - begun < 2
    assert ("closed the connection" if tcp else "did not answer in 0.4 seconds") in found.error


def test_nobody_there() -> None:
    assert "cannot be reached" in dns_client.ask("127.0.0.1", ZONE, "SOA", 1, tcp=True, port=1).error


@pytest.mark.parametrize("owner", ["a" * 64 + ".example", "a..example", ".".join(["a" * 60] * 5), "\\999.example"])
def test_a_name_that_is_none(owner: str) -> None:
    assert "is no name that DNS can have" in dns_client.ask("127.0.0.1", owner, "A", 1, port=1).error


def test_hostile_text_is_escaped() -> None:
    text = dns.rrset.from_text(ZONE, 60, "IN", "TXT", '"\\027[31m\\010x"')
    shown = asked(lambda query, _: respond(query, text), "TXT").records[0]
    assert all(" " <= character <= "~" for character in shown)


# Validation, with real keys

NOW = 1_800_000_000


def answer_of(rrset: dns.rrset.RRset, signatures: dns.rrset.RRset | None, rdtype: str) -> Answer:
    rrsig = tuple(dns_client.Signature(one.key_tag, 13, ZONE, one.inception, one.expiration) for one in signatures or ())
    return Answer("198.51.100.10", rrset.name.to_text(), rdtype, "NOERROR", aa=True, rrset=rrset, signatures=signatures, rrsig=rrsig,
                  records=tuple(sorted(one.to_text() for one in rrset)))


def signed(signer: Signer, rrset: dns.rrset.RRset, rdtype: str, begins: int = NOW - 100, ends: int = NOW + 100) -> Answer:
    return answer_of(rrset, signer.sign(rrset, begins, ends), rdtype)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(ZONE)


def test_valid(signer: Signer) -> None:
    keys = signed(signer, signer.keys(), "DNSKEY")
    assert dns_client.validated(keys, keys, [signer.ds()], NOW) == ""
    assert dns_client.validated(signed(signer, SOA, "SOA"), keys, (), NOW) == ""
    assert dns_client.ds_records(keys) == [signer.ds()]


def test_several_ds_where_one_is_right(signer: Signer) -> None:
    keys = signed(signer, signer.keys(), "DNSKEY")
    assert dns_client.validated(keys, keys, [Signer(ZONE).ds(), "1 2 3", "x", signer.ds()], NOW) == ""


def test_sha384_ds(signer: Signer) -> None:
    keys = signed(signer, signer.keys(), "DNSKEY")
    ds = dns.dnssec.make_ds(signer.zone, signer.dnskey, "SHA384").to_text()
    assert dns_client.validated(keys, keys, [ds], NOW) == ""


def test_wrong_ds(signer: Signer) -> None:
    keys = signed(signer, signer.keys(), "DNSKEY")
    assert "no key of the zone" in dns_client.validated(keys, keys, [Signer(ZONE).ds()], NOW)
    flipped = signer.ds()[:-1] + ("0" if signer.ds()[-1] != "0" else "1")
    assert "no key of the zone" in dns_client.validated(keys, keys, [flipped], NOW)


def test_keys_signed_by_another_than_the_ds_names(signer: Signer) -> None:
    other = Signer(ZONE)
    both = dns.rrset.from_rdata_list(signer.zone, 3600, [signer.dnskey, other.dnskey])
    keys = signed(other, both, "DNSKEY")
    assert "does not validate" in dns_client.validated(keys, keys, [signer.ds()], NOW)


@pytest.mark.parametrize(("begins", "ends", "said"), [
    (NOW - 200, NOW - 100, "its signature has expired"),
    (NOW + 100, NOW + 200, "its signature does not validate"),
])
def test_dates(signer: Signer, begins: int, ends: int, said: str) -> None:
    keys = signed(signer, signer.keys(), "DNSKEY")
    fault = dns_client.validated(signed(signer, SOA, "SOA", begins, ends), keys, (), NOW)
    assert said in fault and "198.51.100.10" in fault and "SOA" in fault


def test_altered_unsigned_and_absent(signer: Signer) -> None:
    keys = signed(signer, signer.keys(), "DNSKEY")
    good = signed(signer, SOA, "SOA")
    other = dns.rrset.from_text(ZONE, 3600, "IN", "SOA", "vps.pyon.example. hostmaster.pyon.example. 8 1 2 3 4")
    assert "does not validate" in dns_client.validated(replace(good, rrset=other), keys, (), NOW)
    assert "is not signed" in dns_client.validated(answer_of(SOA, None, "SOA"), keys, (), NOW)
    assert "no records" in dns_client.validated(replace(good, rrset=None), keys, (), NOW)
    assert "no DNSKEY" in dns_client.validated(good, Answer("x", ZONE, "DNSKEY"), (), NOW)


def test_key_of_another_zone_does_not_count(signer: Signer) -> None:
    foreign = Signer("example.")
    keys = signed(foreign, foreign.keys(), "DNSKEY")
    assert "does not validate" in dns_client.validated(signed(signer, SOA, "SOA"), keys, (), NOW)


@pytest.mark.parametrize(("others", "valid"), [(1, True), (2, False), (31, False)])
def test_keys_with_one_tag(signer: Signer, others: int, valid: bool) -> None:
    """The tag is a sum, so the key with its parts in another order has the same."""
    octets = signer.dnskey.key
    turned = [signer.dnskey.replace(key=octets[2 * place:] + octets[:2 * place]) for place in range(1, others + 1)]
    assert {dns.dnssec.key_id(one) for one in turned} == {dns.dnssec.key_id(signer.dnskey)}
    keys = signed(signer, dns.rrset.from_rdata_list(signer.zone, 3600, [signer.dnskey, *turned]), "DNSKEY")
    assert (dns_client.validated(signed(signer, SOA, "SOA"), keys, (), NOW) == "") is valid


@pytest.mark.parametrize(("exponent", "modulus", "valid"), [(3, 256, True), (8, 512, True), (9, 256, False), (3, 513, False)])
def test_rsa_keys_with_long_numbers(exponent: int, modulus: int, valid: bool) -> None:
    """Zeros before a number make it no larger, only longer."""
    signer = Signer(ZONE)
    signer.key = rsa.generate_private_key(65537, 2048)
    numbers = signer.key.public_key().public_numbers()
    signer.dnskey = signer.dnskey.replace(algorithm=8, key=bytes([exponent]) + numbers.e.to_bytes(exponent, "big") + numbers.n.to_bytes(modulus, "big"))
    keys = signed(signer, signer.keys(), "DNSKEY")
    assert (dns_client.validated(keys, keys, [signer.ds()], NOW) == "") is valid


@pytest.mark.parametrize("octets", [b"", b"\0", b"\0\xff", b"\0\xff\xff" + bytes(1000), b"\xff", bytes(3)])
def test_rsa_keys_that_are_none(signer: Signer, octets: bytes) -> None:
    broken = signer.dnskey.replace(algorithm=8, key=octets)
    keys = signed(signer, dns.rrset.from_rdata_list(signer.zone, 3600, [signer.dnskey, broken]), "DNSKEY")
    assert dns_client.validated(keys, keys, [signer.ds()], NOW) == ""


# Transfers

@pytest.mark.parametrize(("reply", "given"), [
    (lambda query, tcp: respond(query, rcode=5), False),
    (lambda query, tcp: respond(query, rcode=9), False),
    (lambda query, tcp: respond(query, SOA), True),
    (lambda query, tcp: respond(query, SOA, dns.rrset.from_text("a.pyon.example.", 60, "IN", "SRV", *(f"0 0 {port} b." for port in range(999)))), True),
    (lambda query, tcp: None, False),
    (lambda query, tcp: b"\xff" * 20, None),
])
def test_transfer(reply: Reply, given: bool | None) -> None:
    with name_server(reply) as port:
        assert dns_client.transfer("127.0.0.1", ZONE, 1, port)[0] is given


def test_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_client, "HAVE_DNS", False)
    with pytest.raises(DaneError, match="python3-dnspython"):
        dns_client.resolve(ZONE, "SOA")
