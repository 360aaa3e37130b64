# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLSA records, judged by openssl's own DANE check."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import openssl_pki
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import tlsa, x509
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.tlsa import TLSA
from hypothesis import given, settings
from hypothesis import strategies as st
from openssl_pki import COMBINATIONS, KINDS, NAME, openssl

pytestmark = pytest.mark.filterwarnings("error")

FULL_ISSUER = [(2, 0, 0), (2, 1, 0)]  # usage 2 records with which a peer knows the issuer without seeing it


def certificates(kind: str, name: str = "all.pem") -> list[x509.Certificate]:
    return x509.load_certificates(openssl_pki.chain(kind).read(name), name)


def flipped(record: TLSA, bit: int = 0) -> TLSA:
    """The record with one bit of its data turned over, the last one unless told."""
    number = int.from_bytes(record.data, "big") ^ (1 << bit)
    return TLSA(record.usage, record.selector, record.matching_type, number.to_bytes(len(record.data), "big"))


# openssl as the judge

class Server:
    """openssl s_server on loopback with the leaf and the intermediate of one kind."""

    def __init__(self, kind: str, chain: str = "chain.pem") -> None:
        self.pki = openssl_pki.chain(kind)
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", self.pki.path("leaf.pem"), "-key", self.pki.path("leaf.key"),
             *(["-cert_chain", self.pki.path(chain)] if chain else []), "-www"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout
        self.port = next(int(line.rsplit(":", 1)[1]) for line in self.process.stdout if line.startswith("ACCEPT "))

    def judge(self, *records: TLSA, roots: bool | None = None) -> tuple[bool, str]:
        """Whether openssl s_client accepts the server by the records, and what it says.

        It has the root where the usage is 0 or 1 (PKIX), else none at all.
        """
        if roots is None:
            roots = records[0].usage < 2
        argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-verify_return_error", "-no-CApath", "-no-CAstore",
                "-dane_tlsa_domain", NAME, *(["-CAfile", self.pki.path("root.pem")] if roots else ["-no-CAfile"])]
        for record in records:
            argv += ["-dane_tlsa_rrdata", record.presentation()]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=30, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=10)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    running = Server(request.param)
    yield running
    running.stop()


@pytest.mark.parametrize(("usage", "selector", "matching_type"), COMBINATIONS)
def test_openssl_accepts_the_record_and_refuses_it_with_one_bit_flipped(server: Server, usage: int, selector: int, matching_type: int) -> None:
    presented = x509.load_certificates(server.pki.read("fullchain.pem"), "fullchain.pem")
    [record] = tlsa.compute(presented, usage, selector, matching_type)
    accepted, said = server.judge(record)
    assert accepted and "Verification: OK" in said and f"Verified peername: {NAME}" in said, said
    depth = "matched EE certificate at depth 0" if usage in (1, 3) else "TA certificate at depth 1"
    assert f"DANE TLSA {usage} {selector} {matching_type} " in said
    # With its data in full openssl may take the issuer from the record itself: still at depth 1.
    assert depth in said or ((usage, selector, matching_type) in FULL_ISSUER and "at depth 1" in said), said
    assert tlsa.matches(record, presented)

    # A full issuer's certificate is for openssl one more certificate to build the path with, and nobody checks the signature
    # on a trust anchor: with a bit flipped in that, 2 0 0 still verifies, by the same key.  So it is flipped in the key.
    full_issuer = usage in (0, 2) and (selector, matching_type) == (0, 0)
    wrong = flipped(record, last_bit_of_key(presented[1]) if full_issuer else 0)
    accepted, said = server.judge(wrong)
    assert not accepted
    reason = "no matching DANE TLSA records"
    if matching_type == 0 and (selector == 1 or full_issuer) and server.pki.kind.startswith("ecdsa"):
        reason = "Failed to import any TLSA records"  # the point is not on the curve any more: refused before it connects
    elif full_issuer:
        reason = "certificate signature failure"      # the leaf is not signed by that key
    assert reason in said, said
    assert not tlsa.matches(wrong, presented)


def last_bit_of_key(certificate: x509.Certificate) -> int:
    """The position of the last bit of the public key in the certificate, from its end."""
    data, key = x509.der(certificate), x509.spki(certificate)
    return 8 * (len(data) - data.index(key) - len(key))


@pytest.mark.parametrize("usage", [0, 1])
def test_openssl_wants_a_trusted_root_too_for_usages_0_and_1(server: Server, usage: int) -> None:
    [record] = tlsa.compute(x509.load_certificates(server.pki.read("fullchain.pem"), "x"), usage)
    accepted, said = server.judge(record, roots=False)
    assert not accepted and "unable to get" in said and "issuer certificate" in said, said


def test_openssl_goes_by_any_record_of_the_set(server: Server) -> None:
    presented = x509.load_certificates(server.pki.read("fullchain.pem"), "x")
    [record] = tlsa.compute(presented)
    assert server.judge(flipped(record), record)[0]
    assert not server.judge(flipped(record), flipped(record, 1))[0]


def test_without_the_issuer_in_the_chain_openssl_and_we_refuse_its_digest() -> None:
    leaf_only = Server("ecdsa-p256", chain="")
    try:
        for usage, accepted in ((2, False), (3, True)):
            [record] = tlsa.compute(certificates("ecdsa-p256"), usage)
            assert leaf_only.judge(record)[0] == accepted
            assert tlsa.matches(record, certificates("ecdsa-p256", "leaf.pem")) == accepted
    finally:
        leaf_only.stop()


def test_an_rsa_pss_key_is_hashed_as_openssl_does(tmp_path: Path) -> None:
    openssl("req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes", "-keyout", str(tmp_path / "key"),
            "-out", str(tmp_path / "pem"), "-subj", "/CN=pss")
    public = openssl("pkey", "-pubin", "-outform", "DER", stdin=openssl("x509", "-in", str(tmp_path / "pem"), "-noout", "-pubkey"))
    [record] = tlsa.compute(x509.read(str(tmp_path / "pem")))
    assert record.data == openssl("dgst", "-sha256", "-binary", stdin=public)


# What is hashed

@pytest.mark.parametrize("kind", KINDS)
def test_usages_0_and_2_take_the_issuer_from_whatever_holds_it(kind: str) -> None:
    pki = openssl_pki.chain(kind)
    for usage, selector, matching_type in COMBINATIONS:
        if usage in (1, 3):
            continue
        expected = pki.expected("intermediate", usage, selector, matching_type)
        leaf, intermediate, root = certificates(kind)
        for chain in ([leaf, intermediate], [leaf, intermediate, root], [leaf, root, intermediate], [intermediate], [intermediate, root]):
            assert [one.presentation() for one in tlsa.compute(chain, usage, selector, matching_type)] == [expected]
        assert [one.presentation() for one in tlsa.compute([root], usage, selector, matching_type)] == [
            pki.expected("root", usage, selector, matching_type)]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_and_requests_give_the_record_of_their_certificate(kind: str) -> None:
    pki = openssl_pki.chain(kind)
    for usage, selector, matching_type in COMBINATIONS:
        for suffix, what in (("key", "key"), ("csr", "csr")):
            name = "leaf" if usage in (1, 3) else "root"
            loaded = x509.load_any(pki.read(f"{name}.{suffix}"), name)
            if selector == 0:
                with pytest.raises(DaneError, match=f"selector 0 is about a certificate and this is a {what}; use selector 1"):
                    tlsa.compute(loaded, usage, selector, matching_type)
            else:
                [record] = tlsa.compute(loaded, usage, selector, matching_type)
                assert record.presentation() == pki.expected(name, usage, selector, matching_type)


def test_a_chain_without_the_issuer_is_an_error() -> None:
    leaf, _intermediate, root = certificates("rsa-2048")
    for chain in ([leaf], [leaf, root], [leaf, *certificates("ecdsa-p256")]):
        for usage in (0, 2):
            with pytest.raises(DaneError, match="CN=intermediate rsa-2048 is not there; give the full chain or the issuer"):
                tlsa.compute(chain, usage)
    with pytest.raises(DaneError, match="no certificate in the chain; give"):
        tlsa.compute([])


def test_combinations_that_do_not_exist_are_errors() -> None:
    for combination, sentence in (((4, 1, 1), "usage 4"), ((-1, 1, 1), "usage -1"), ((3, 2, 1), "selector 2"), ((3, 1, 3), "type 3")):
        with pytest.raises(DaneError, match=f"{sentence} is not in use; it is 0"):
            tlsa.compute(certificates("ed25519"), *combination)


# Matching

def test_matches_follows_signatures_and_not_positions() -> None:
    leaf, intermediate, root = certificates("ecdsa-p256")
    stranger = certificates("rsa-2048", "root.pem")[0]
    by_root, by_stranger = tlsa.compute([root], 2)[0], tlsa.compute([stranger], 2)[0]
    assert tlsa.matches(by_root, [leaf, intermediate, root])
    assert tlsa.matches(by_root, [leaf, root, intermediate])       # TLS 1.3 allows any order
    assert not tlsa.matches(by_root, [leaf, root])                 # no signature leads there
    assert not tlsa.matches(by_stranger, [leaf, intermediate, root, stranger])
    assert not tlsa.matches(by_root, [root])                       # openssl too: the leaf is no trust anchor
    assert not tlsa.matches(by_root, [])


def test_an_issuer_that_is_no_ca_does_not_count(tmp_path: Path) -> None:
    pki = openssl_pki.chain("ecdsa-p256")
    openssl("x509", "-req", "-in", openssl_pki.chain("ed25519").path("leaf.csr"), "-CA", pki.path("leaf.pem"), "-CAkey", pki.path("leaf.key"),
            "-set_serial", "9", "-out", str(tmp_path / "below"))
    below = x509.read(str(tmp_path / "below"))
    leaf = certificates("ecdsa-p256")[0]
    assert isinstance(below, list) and x509.issued_by(below[0], leaf)
    for selector in (0, 1):
        record = TLSA(2, selector, 1, tlsa.compute([leaf], 3, selector)[0].data)
        assert not tlsa.matches(record, [*below, *certificates("ecdsa-p256")])


@pytest.mark.parametrize(("usage", "selector", "matching_type"), COMBINATIONS)
@settings(max_examples=20, deadline=None)
@given(bit=st.integers(min_value=0))
def test_no_record_with_a_flipped_bit_matches(usage: int, selector: int, matching_type: int, bit: int) -> None:
    chain = certificates("ed25519")
    [record] = tlsa.compute(chain, usage, selector, matching_type)
    assert tlsa.matches(record, chain)
    assert not tlsa.matches(flipped(record, bit % (8 * len(record.data))), chain)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(COMBINATIONS), st.booleans()), max_size=8))
def test_every_group_of_the_set_needs_a_record_that_matches(wanted: list[tuple[tuple[int, int, int], bool]]) -> None:
    chain = certificates("ed25519")
    records = []
    for position, (combination, right) in enumerate(wanted):
        [record] = tlsa.compute(chain, *combination)
        records.append(record if right else flipped(record, position))
    satisfied = {combination for combination, right in wanted if right}
    assert tlsa.rrset_matches(records, chain) == (bool(wanted) and satisfied == {combination for combination, _right in wanted})
    assert tlsa.rrset_matches(iter(records), chain) == tlsa.rrset_matches(reversed(records), chain)


def test_an_empty_set_matches_nothing() -> None:
    assert not tlsa.rrset_matches([], certificates("ed25519"))


# Writing and reading

@st.composite
def records_(draw: st.DrawFn) -> TLSA:
    matching_type = draw(st.integers(0, 2))
    length = {1: 32, 2: 64}.get(matching_type)
    return TLSA(draw(st.integers(0, 3)), draw(st.integers(0, 1)), matching_type,
                draw(st.binary(min_size=length or 1, max_size=length or 2000)))


@given(records_(), st.sampled_from([" ", "\t", "  "]), st.booleans(), st.integers(0, 200))
def test_what_is_written_is_read_back(record: TLSA, space: str, upper: bool, gap: int) -> None:
    text = record.presentation()
    assert TLSA.parse(text, "x") == record
    *numbers, data = text.split(" ")
    data = data.upper() if upper else data
    assert TLSA.parse(space.join([*numbers, data[:gap], data[gap:]]), "x") == record


@given(st.text(max_size=200) | st.text(alphabet="0123 abAB\n\t\u0660", max_size=80))
def test_what_is_read_is_a_record_or_one_sentence(text: str) -> None:
    said = ""
    try:
        record = TLSA.parse(text, "zone x")
    except DaneError as error:
        said = str(error)
    if said:
        assert said.startswith("zone x: ") and "\n" not in said and ";" in said
    else:
        assert TLSA.parse(record.presentation(), "again") == record


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "'' is not a TLSA record; write"),
    ("3 1 1", "is not a TLSA record"),
    ("3 1 1 " + "0" * 63, "is not a TLSA record"),
    ("3 1 1 " + "g" * 64, "is not a TLSA record"),
    ("3 1 1 " + "a" * 64 + "\n", "is not a TLSA record"),
    ("3\n1 1 " + "a" * 64, "is not a TLSA record"),
    ("3 1 1\n" + "a" * 64, "is not a TLSA record"),
    ("+3 1 1 " + "a" * 64, "is not a TLSA record"),
    ("3 1 1_ " + "a" * 64, "is not a TLSA record"),
    ("\u0663 1 1 " + "a" * 64, "is not a TLSA record"),
    ("3 1 1 " + "a" * 62, "the TLSA data has 31 octets where matching type 1 has 32; compute"),
    ("3 1 2 " + "a" * 64, "the TLSA data has 32 octets where matching type 2 has 64; compute"),
    ("4 1 1 " + "a" * 64, "usage 4 is not in use; it is 0, 1, 2 or 3"),
    ("255 1 1 " + "a" * 64, "usage 255 is not in use"),
    ("3 2 1 " + "a" * 64, "selector 2 is not in use; it is 0"),
    ("3 1 3 " + "a" * 64, "matching type 3 is not in use; it is 0"),
    ("3 1 0 " + "aa" * 65533, "has 65533 octets, and a record has 1 to 65532; use matching type 1"),
])
def test_records_that_are_none_get_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(DaneError) as caught:
        TLSA.parse(text, "_25._tcp.g.pyon.example.")
    message = str(caught.value)
    assert message.startswith("_25._tcp.g.pyon.example.: ") and sentence in message and "\n" not in message and len(message) < 250


def test_records_sort_and_hash_by_their_parts() -> None:
    one, two = TLSA.parse("2 1 1 " + "b" * 64, "x"), TLSA.parse("3 1 1 " + "a" * 64, "x")
    assert sorted({two, one, two}) == [one, two]


def test_the_record_of_a_known_key() -> None:
    [record] = tlsa.compute(certificates("ecdsa-p256"))
    assert tlsa.spki_record(x509.spki_sha256(certificates("ecdsa-p256")[0])) == record
    with pytest.raises(DaneError, match="the SHA-256 of a key: the TLSA data has 31 octets"):
        tlsa.spki_record("a" * 62)


# Owners

@pytest.mark.parametrize(("arguments", "expected"), [
    (("g.pyon.example", 25), "_25._tcp.g.pyon.example."),
    (("G.Pyon.Example.", 443), "_443._tcp.g.pyon.example."),
    (("example", 65535, "udp"), "_65535._udp.example."),
    (("xn--kln-sna.example", 1, "sctp"), "_1._sctp.xn--kln-sna.example."),
    (("a" * 63 + ".example", 25), "_25._tcp." + "a" * 63 + ".example."),
    ((".".join(["a" * 60] * 4), 25), "_25._tcp." + ".".join(["a" * 60] * 4) + "."),
    ((".".join(["a" * 60] * 4) + ".", 4), "_4._tcp." + ".".join(["a" * 60] * 4) + "."),
    ((".".join(["a" * 61] * 3 + ["a" * 58]), 25), "_25._tcp." + ".".join(["a" * 61] * 3 + ["a" * 58]) + "."),   # 253 octets
])
def test_owner(arguments: tuple[str, int], expected: str) -> None:
    assert tlsa.owner(*arguments) == expected


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("", 25), "'' is not a host name; use letters"),
    ((".", 25), "'.' is not a host name"),
    (("g..example", 25), "is not a host name"),
    (("g.example..", 25), "is not a host name"),
    (("-g.example", 25), "is not a host name"),
    (("g-.example", 25), "is not a host name"),
    (("*.example", 25), "is not a host name"),
    (("g_.example", 25), "is not a host name"),
    (("g.example\n", 25), "is not a host name"),
    (('g".example', 25), "is not a host name"),
    (("köln.example", 25), "is not a host name"),
    (("a" * 64 + ".example", 25), "is not a host name"),
    ((".".join(["a" * 60] * 4) + ".aa", 25), "has 255 octets and a name has at most 253; use a shorter"),
    ((".".join(["a" * 61] * 3 + ["a" * 59]), 25), "has 254 octets and a name has at most 253; use a shorter"),
    (("g.example", 0), "g.example: 0 is not a port; use a number"),
    (("g.example", 65536), "65536 is not a port"),
    (("g.example", "25"), "'25' is not a port"),
    (("g.example", True), "True is not a port"),
    (("g.example", 25, "tls"), "g.example: 'tls' is not a transport; use tcp"),
])
def test_owners_that_are_none_get_one_sentence(arguments: tuple[str, int], sentence: str) -> None:
    with pytest.raises(DaneError) as caught:
        tlsa.owner(*arguments)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
