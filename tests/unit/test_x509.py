# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, keys and CSRs as the openssl command line makes and reads them."""
from __future__ import annotations

import datetime
import itertools
import re
import subprocess
import sys
from pathlib import Path

import openssl_pki
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import x509
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from cryptography import x509 as cx509
from openssl_pki import KINDS, NAME, OTHER, openssl, sha256

# Nothing that the library means to take away may be used.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=KINDS)
def pki(request: pytest.FixtureRequest) -> openssl_pki.Chain:
    return openssl_pki.chain(request.param)


def test_pem_and_der_are_read(pki: openssl_pki.Chain) -> None:
    everything = x509.load_certificates(pki.read("all.pem"), "all.pem")
    assert [x509.der(one) for one in everything] == [pki.read(f"{name}.der") for name in ("leaf", "intermediate", "root")]
    assert x509.load_certificates(pki.read("leaf.der"), "leaf.der") == everything[:1]
    assert x509.load_certificates(pki.read("all.pem").replace(b"\n", b"\r\n"), "all.pem") == everything
    assert x509.load_certificates(b"subject=CN = text before\n" + pki.read("all.pem"), "all.pem") == everything
    assert x509.load_certificates(x509.pem(everything), "ours") == everything


def test_what_a_certificate_says(pki: openssl_pki.Chain) -> None:
    leaf, intermediate, root = x509.load_certificates(pki.read("all.pem"), "all.pem")
    printed = openssl("x509", "-in", pki.path("leaf.pem"), "-noout", "-fingerprint", "-sha256").decode()
    assert x509.fingerprint(leaf) == printed.strip().split("=")[1].replace(":", "").lower()
    for option, seconds in (("-startdate", x509.not_before(leaf)), ("-enddate", x509.not_after(leaf))):
        text = openssl("x509", "-in", pki.path("leaf.pem"), "-noout", option).decode().strip().split("=")[1]
        moment = datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=datetime.UTC)
        assert seconds == moment.timestamp()
    assert x509.names(leaf) == [NAME, OTHER]  # the certificate has the second in capitals
    assert x509.names(root) == []
    assert x509.issuer_name(leaf) == f"CN=intermediate {pki.kind}"
    assert [x509.is_ca(one) for one in (leaf, intermediate, root)] == [False, True, True]


def test_one_key_has_one_spki_in_every_form(pki: openssl_pki.Chain) -> None:
    expected = openssl("pkey", "-in", pki.path("leaf.key"), "-pubout", "-outform", "DER")
    public = openssl("pkey", "-in", pki.path("leaf.key"), "-pubout")
    forms = [
        *x509.load_certificates(pki.read("leaf.pem"), "leaf.pem"),
        x509.load_private_key(pki.read("leaf.key"), "leaf.key"),
        x509.load_private_key(openssl("pkey", "-in", pki.path("leaf.key"), "-outform", "DER"), "leaf.key in DER"),
        x509.load_csr(pki.read("leaf.csr"), "leaf.csr"),
        x509.load_csr(openssl("req", "-in", pki.path("leaf.csr"), "-outform", "DER"), "leaf.csr in DER"),
        x509.load_any(public, "public"),
        x509.load_any(expected, "public in DER"),
    ]
    for form in forms:
        assert not isinstance(form, list)
        assert x509.spki(form) == expected
        assert x509.spki_sha256(form) == sha256(expected)
        assert x509.algorithm_of(form) == pki.kind.removesuffix("-signing-by-pss")


def test_traditional_keys_are_read(tmp_path: Path) -> None:
    rsa = openssl_pki.chain("rsa-2048")
    pkcs1 = openssl("rsa", "-in", rsa.path("leaf.key"), "-traditional")
    assert b"RSA PRIVATE KEY" in pkcs1
    assert x509.spki(x509.load_private_key(pkcs1, "pkcs1")) == x509.spki(x509.load_private_key(rsa.read("leaf.key"), "pkcs8"))
    sec1 = openssl("ecparam", "-name", "prime256v1", "-genkey")
    assert b"EC PARAMETERS" in sec1 and b"EC PRIVATE KEY" in sec1
    expected = sha256(openssl("pkey", "-pubout", "-outform", "DER", stdin=sec1))
    assert x509.spki_sha256(x509.load_private_key(sec1, "sec1")) == expected
    assert x509.kind_of(x509.load_any(sec1, "sec1")) == "key"


def test_an_rsa_pss_certificate_has_the_spki_that_stands_in_it(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    openssl("req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes", "-keyout", key, "-out", certificate,
            "-subj", "/CN=pss")
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    one = x509.load_certificates(Path(certificate).read_bytes(), "pss")[0]
    assert x509.spki(one) == openssl("pkey", "-pubin", "-outform", "DER", stdin=public)
    assert x509.issued_by(one, one)
    # of the key alone the library forgets that it is one: no hash is better than a wrong one
    for data in (Path(key).read_bytes(), public):
        with pytest.raises(DaneError, match="pss: key|pss .*key for RSA-PSS alone"):
            x509.load_any(data, "pss")


def test_load_any_says_what_it_is(pki: openssl_pki.Chain) -> None:
    kinds = {"leaf.pem": "certificate", "all.pem": "certificate", "leaf.der": "certificate", "leaf.key": "key", "leaf.csr": "csr"}
    assert {name: x509.kind_of(x509.load_any(pki.read(name), name)) for name in kinds} == kinds
    for command, kind in (("pkey", "key"), ("req", "csr")):
        name = "leaf.key" if command == "pkey" else "leaf.csr"
        assert x509.kind_of(x509.load_any(openssl(command, "-in", pki.path(name), "-outform", "DER"), name)) == kind
    combined = x509.load_any(pki.read("leaf.key") + pki.read("fullchain.pem"), "key and chain in one file")
    assert combined == x509.load_certificates(pki.read("fullchain.pem"), "fullchain.pem")
    assert x509.spki(x509.load_private_key(pki.read("leaf.key") + pki.read("fullchain.pem"), "both")) == x509.spki(combined[0])


# Who issued what

def test_issued_by(pki: openssl_pki.Chain) -> None:
    leaf, intermediate, root = x509.load_certificates(pki.read("all.pem"), "all.pem")
    true = {(leaf, intermediate), (intermediate, root), (root, root)}
    for pair in itertools.product((leaf, intermediate, root), repeat=2):
        assert x509.issued_by(*pair) == (pair in true)


def test_a_certificate_with_one_bit_of_its_signature_flipped_is_issued_by_none(pki: openssl_pki.Chain) -> None:
    leaf, intermediate, _root = x509.load_certificates(pki.read("all.pem"), "all.pem")
    data = bytearray(x509.der(leaf))
    data[-1] ^= 1
    assert not x509.issued_by(x509.load_certificates(bytes(data), "flipped")[0], intermediate)


@pytest.mark.parametrize("other", KINDS)
def test_a_namesake_with_another_key_is_no_issuer(pki: openssl_pki.Chain, other: str, tmp_path: Path) -> None:
    leaf, intermediate = x509.load_certificates(pki.read("fullchain.pem"), "fullchain.pem")
    openssl("req", "-x509", "-config", pki.path("openssl.cnf"), "-extensions", "ca", *KINDS[other][0], "-nodes", "-keyout",
            str(tmp_path / "key"), "-out", str(tmp_path / "namesake"), "-subj", f"/CN=intermediate {pki.kind}")
    namesake = x509.load_certificates((tmp_path / "namesake").read_bytes(), "namesake")[0]
    assert namesake.subject == intermediate.subject
    assert not x509.issued_by(leaf, namesake)
    assert x509.issued_by(leaf, intermediate)


def test_the_right_key_under_another_name_is_no_issuer(tmp_path: Path) -> None:
    pki = openssl_pki.chain("ecdsa-p256")
    openssl("req", "-x509", "-config", pki.path("openssl.cnf"), "-extensions", "ca", "-key", pki.path("intermediate.key"), "-out",
            str(tmp_path / "renamed"), "-subj", "/CN=renamed")
    renamed = x509.load_certificates((tmp_path / "renamed").read_bytes(), "renamed")[0]
    leaf, intermediate = x509.load_certificates(pki.read("fullchain.pem"), "fullchain.pem")
    assert x509.spki(renamed) == x509.spki(intermediate)
    assert not x509.issued_by(leaf, renamed)


@pytest.mark.parametrize(("digest", "salt"), [("sha1", "20"), ("sha256", "32"), ("sha256", "0"), ("sha512", "64")])
def test_pss_signatures_of_all_parameters(digest: str, salt: str, tmp_path: Path) -> None:
    pki = openssl_pki.chain("rsa-2048")
    openssl("req", "-x509", "-config", pki.path("openssl.cnf"), "-key", pki.path("root.key"), f"-{digest}", "-sigopt",
            "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}", "-out", str(tmp_path / "pss"), "-subj", "/CN=pss")
    one = x509.load_certificates((tmp_path / "pss").read_bytes(), "pss")[0]
    assert x509.issued_by(one, one)
    assert not x509.issued_by(one, x509.load_certificates(pki.read("leaf.pem"), "leaf.pem")[0])


def test_order_chain_takes_any_order(pki: openssl_pki.Chain) -> None:
    chain = x509.load_certificates(pki.read("all.pem"), "all.pem")
    for length in (1, 2, 3):
        for mixed in itertools.permutations(chain[:length]):
            assert x509.order_chain(list(mixed)) == chain[:length]
    assert x509.order_chain([*chain, *chain]) == chain


def test_order_chain_says_where_it_breaks(pki: openssl_pki.Chain) -> None:
    leaf, intermediate, root = x509.load_certificates(pki.read("all.pem"), "all.pem")
    other = openssl_pki.chain("ecdsa-p256" if pki.kind == "rsa-2048" else "rsa-2048")
    stranger = x509.load_certificates(other.read("root.pem"), "root.pem")[0]
    for certificates, sentence in (
        ([], "the chain is empty"),
        ([leaf, root], "2 of 2 certificates .*CN=leaf .* have issued no other"),
        ([leaf, intermediate, stranger], "2 of 3 certificates .*CN=Root .* have issued no other"),
        ([leaf] * (x509.MAX_CHAIN + 1), "has 33 certificates and 32 is the most"),
    ):
        with pytest.raises(DaneError, match=sentence):
            x509.order_chain(certificates)


# Bad input

def _encrypted(pki: openssl_pki.Chain) -> bytes:
    return openssl("pkey", "-in", pki.path("leaf.key"), "-aes128", "-passout", "pass:secret")


BAD = {
    "empty": lambda _: (b" \n", "is empty; write"),
    "text": lambda _: (b"hello, world\n", "is neither PEM nor DER; convert it"),
    "binary": lambda _: (bytes(range(256)), "is neither PEM nor DER; convert it"),
    "an unrelated DER": lambda _: (bytes.fromhex("3003020101"), "holds DER of another kind, and no certificate, key or"),
    "DER with a tail": lambda pki: (pki.read("leaf.der") + b"\0", "is neither PEM nor DER"),
    "DER cut off": lambda pki: (pki.read("leaf.der")[:-1], "is neither PEM nor DER"),
    "PEM cut off": lambda pki: (pki.read("leaf.pem")[:-20], "a PEM block that is cut off or damaged; write the file again"),
    "second PEM cut off": lambda pki: (pki.read("fullchain.pem")[:-20], "a PEM block that is cut off or damaged"),
    "PEM of no base64": lambda _: (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "is not base64"),
    "PEM of no certificate": lambda _: (b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n", "no certificate that can be read"),
    "PEM of no key": lambda _: (b"-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n", "no private key that can be read"),
    "PEM of no CSR": lambda _: (b"-----BEGIN CERTIFICATE REQUEST-----\nMAMCAQE=\n-----END CERTIFICATE REQUEST-----\n",
                                "no certificate signing request that can be read"),
    "another PEM": lambda _: (openssl("crl2pkcs7", "-nocrl"), "holds PKCS7, and no certificate, key or"),
    "EC PARAMETERS alone": lambda _: (openssl("ecparam", "-name", "prime256v1"), "holds EC PARAMETERS, and no certificate, key"),
    "encrypted PKCS8": lambda pki: (_encrypted(pki), "is an encrypted private key; write it without a passphrase"),
    "encrypted PKCS8 in DER": lambda pki: (openssl("pkcs8", "-topk8", "-in", pki.path("leaf.key"), "-passout", "pass:x", "-outform", "DER"),
                                           "is an encrypted private key; write it without a passphrase"),
    "encrypted by headers": lambda pki: (openssl("rsa", "-in", pki.path("leaf.key"), "-traditional", "-aes128", "-passout", "pass:secret"),
                                         "is encrypted or has PEM headers; write it without a passphrase"),
    "two keys": lambda pki: (pki.read("leaf.key") * 2, "holds more than one private key; leave one"),
    "a DH key": lambda _: (openssl("genpkey", "-algorithm", "x25519"), "is not an RSA, ECDSA, Ed25519 or Ed448 key"),
    "huge": lambda pki: (pki.read("leaf.pem") * 2000, "is larger than 1048576 octets"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence(case: str) -> None:
    data, sentence = BAD[case](openssl_pki.chain("rsa-2048"))
    with pytest.raises(DaneError) as caught:
        x509.load_any(data, "/etc/x.pem")
    message = str(caught.value)
    assert message.startswith("/etc/x.pem ") and sentence in message and "\n" not in message
    assert ";" in message  # the cure follows


def test_the_wrong_kind_is_named(pki: openssl_pki.Chain) -> None:
    for load, name, sentence in (
        (x509.load_certificates, "leaf.key", "x holds PRIVATE KEY and no certificate; name"),
        (x509.load_private_key, "leaf.pem", "x holds CERTIFICATE and no private key; name"),
        (x509.load_csr, "leaf.pem", "x holds CERTIFICATE and no certificate signing request; name"),
        (x509.load_private_key, "leaf.der", "x holds no private key that can be read"),
    ):
        with pytest.raises(DaneError, match=sentence):
            load(pki.read(name), "x")


def test_read_takes_regular_files_of_some_size(tmp_path: Path) -> None:
    (tmp_path / "leaf").write_bytes(openssl_pki.chain("ed25519").read("leaf.pem"))
    assert x509.kind_of(x509.read(str(tmp_path / "leaf"))) == "certificate"
    (tmp_path / "huge").write_bytes(b"-" * (x509.MAX_SIZE + 1))
    (tmp_path / "closed").symlink_to("/nowhere")
    subprocess.run(["mkfifo", str(tmp_path / "pipe")], check=True)
    for name, sentence in (("huge", "is larger than 1048576 octets; name"), ("closed", "No such file or directory; make it readable or"),
                           ("pipe", "is no regular file; name"), ("", "(no regular file|Is a directory);")):
        with pytest.raises(DaneError, match=sentence):
            x509.read(str(tmp_path / name))
    with pytest.raises(DaneError, match="no regular file"):
        x509.read("/dev/zero")


def test_extensions_that_cannot_be_read_are_no_names() -> None:
    data = openssl_pki.chain("ed25519").read("leaf.der")
    name = NAME.encode()
    assert data.count(b"\x82" + bytes([len(name)]) + name) == 1
    broken = x509.load_certificates(data.replace(b"\x82" + bytes([len(name)]) + name, b"\x82\x7f" + name), "broken")[0]
    with pytest.raises(DaneError, match="has extensions that cannot be read; have another one issued"):
        x509.names(broken)


@pytest.mark.parametrize(("organization", "shown"), [
    (b"\xff\xfe", "a name that cannot be read (of the subject of "), ("é".encode() * 100000, "O=" + "é" * 195 + "..."), (b"a\x1bb", "O=a?b)"),
])
def test_a_name_of_any_kind_is_shown_in_a_few_words(organization: bytes, shown: str) -> None:
    key = x509.make_private_key("ed25519")
    name = cx509.Name([cx509.NameAttribute(cx509.NameOID.ORGANIZATION_NAME, "x" * len(organization))])
    start = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
    made = (cx509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
            .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=30)).sign(key, None))
    other = x509.load_certificates(x509.der(made).replace(b"x" * len(organization), organization), "other")[0]
    with pytest.raises(DaneError, match=re.escape(shown)) as caught:
        x509.order_chain([*x509.load_certificates(openssl_pki.chain("ed25519").read("leaf.pem"), "leaf"), other])
    assert len(str(caught.value)) < 500 and len(x509.issuer_name(other)) <= 200


def test_without_the_library_the_package_is_named() -> None:
    program = ("import sys; sys.modules['cryptography'] = None\n"
               "from ansible_collections.selfhost.dane.plugins.module_utils import tlsa, x509\n"
               "assert tlsa.TLSA.parse('3 1 1 ' + 64 * 'a', 'x').presentation() == '3 1 1 ' + 64 * 'a'\n"
               "try: x509.load_any(b'', 'x')\n"
               "except x509.DaneError as error: print(error)\n")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == f"the Python library cryptography is missing for {sys.executable}; install the package python3-cryptography\n"


def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x509.cryptography, "__version__", "37.0.4")
    with pytest.raises(DaneError, match="version 37.0.4, and 38.0 is the oldest that works; upgrade the package python3-cryptography"):
        x509.require()


# Making keys and requests

@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-2048", "rsa-3072", "ed25519"])
def test_openssl_reads_our_keys_and_requests(algorithm: str, tmp_path: Path) -> None:
    key = x509.make_private_key(algorithm)
    assert x509.algorithm_of(key) == algorithm
    data = x509.private_key_pem(key)
    assert data.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert sha256(openssl("pkey", "-pubout", "-outform", "DER", stdin=data)) == x509.spki_sha256(key)
    assert x509.spki(x509.load_private_key(data, "key")) == x509.spki(key)
    request = x509.make_csr(key, [NAME, OTHER])
    (tmp_path / "csr").write_bytes(request)
    text = openssl("req", "-in", str(tmp_path / "csr"), "-noout", "-verify", "-text").decode()
    assert f"DNS:{NAME}, DNS:{OTHER}" in text and f"Subject: CN = {NAME}\n" in text
    assert x509.spki(x509.load_csr(request, "csr")) == x509.spki(key)


def test_a_name_too_long_for_the_common_name_is_only_an_alternative() -> None:
    key = x509.make_private_key("ecdsa-p256")
    for first, subject in ((f"{'a' * 52}.example.org", f"CN = {'a' * 52}.example.org"), (f"{'a' * 53}.example.org", "")):
        text = openssl("req", "-noout", "-text", stdin=x509.make_csr(key, [first, NAME])).decode()
        assert f"DNS:{first}, DNS:{NAME}" in text
        assert f"Subject: {subject}\n" in text
        assert "Alternative Name: critical" not in text  # dehydrated looks for the line without the word


def test_keys_and_requests_that_cannot_be_made() -> None:
    key = x509.make_private_key("ecdsa-p256")
    for call, sentence in (
        (lambda: x509.make_private_key("dsa"), "no key algorithm 'dsa'; use ecdsa-p256, rsa-2048"),
        (lambda: x509.make_csr(key, []), "needs at least one name; give"),
        (lambda: x509.make_csr(key, ["köln.example"]), "is not ASCII; write it in its xn-- form"),
    ):
        with pytest.raises(DaneError, match=sentence):
            call()
