# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading certificates, private keys and certificate signing requests (CSRs).

The one place that imports the library cryptography, and the one guard for hosts without it.  Works with every version
from 38.0 (Debian 12) on.
"""
from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from .errors import DaneError
from .files import read_file

try:
    import cryptography
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateSigningRequest

    PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
    PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    Key = PrivateKey | PublicKey
    Loaded = list[Certificate] | Key | CertificateSigningRequest

MINIMUM_VERSION = "38.0"
ALGORITHMS = ("ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096")  # of keys that the model may ask for
MAX_SIZE = 1 << 20  # octets of one file; all root certificates of the web together are a quarter of this
MAX_CHAIN = 32      # certificates of one chain that are looked at: each step may cost a signature check
MAX_NAME = 200      # characters of a subject or an issuer that are shown

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----([^-]*(?:-(?!----)[^-]*)*)-----END \1-----")
_CERTIFICATE = ("CERTIFICATE", "X509 CERTIFICATE")
_CSR = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_PRIVATE = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
_PUBLIC = ("PUBLIC KEY",)
_OID_PSS = bytes.fromhex("06092a864886f70d01010a")   # id-RSASSA-PSS (RFC 4055)
_OID_MGF1 = bytes.fromhex("06092a864886f70d010108")
_PSS_HASHES = {"06052b0e03021a": "SHA1", "0609608648016503040201": "SHA256", "0609608648016503040202": "SHA384",
               "0609608648016503040203": "SHA512"}
_CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}


def require() -> None:
    """Raise DaneError where the library cryptography is missing or older than MINIMUM_VERSION."""
    if not HAS_CRYPTOGRAPHY:
        raise DaneError(f"the Python library cryptography is missing for {sys.executable}; install the package python3-cryptography")
    if int(cryptography.__version__.split(".", 1)[0]) < int(MINIMUM_VERSION.split(".", 1)[0]):
        raise DaneError(f"the Python library cryptography is version {cryptography.__version__}, and {MINIMUM_VERSION} is the oldest"
                        " that works; upgrade the package python3-cryptography")


# Reading

def load_certificates(data: bytes, source: str) -> list[Certificate]:
    """The certificates of `data`, in its order: PEM with one or many, or one in DER.  `source` names it in errors."""
    return _certificates(_blocks(data, source), source)


def _certificates(blocks: list[tuple[str, bytes]], source: str) -> list[Certificate]:
    found = [der for label, der in blocks if label in (*_CERTIFICATE, "")]
    if not found:
        raise DaneError(f"{source} holds {_what(blocks)} and no certificate; name a file with a certificate or a chain")
    return [_certificate(der, source) for der in found]


def load_private_key(data: bytes, source: str) -> PrivateKey:
    """The one private key of `data`, PEM (PKCS #8, PKCS #1 or SEC 1) or DER, without a passphrase."""
    return _private_key(_single(_blocks(data, source), _PRIVATE, "private key", source), source)


def load_csr(data: bytes, source: str) -> CertificateSigningRequest:
    """The one certificate signing request of `data`, PEM or DER."""
    return _csr(_single(_blocks(data, source), _CSR, "certificate signing request", source), source)


def load_any(data: bytes, source: str) -> Loaded:
    """What `data` holds: a list of certificates, a key (private or public), or a certificate signing request.

    A file with a key and its certificates is taken for the certificates.
    """
    blocks = _blocks(data, source)
    labels = {label for label, _der in blocks}
    if labels.intersection(_CERTIFICATE):
        return _certificates(blocks, source)
    if labels.intersection(_PRIVATE):
        return _private_key(_single(blocks, _PRIVATE, "private key", source), source)
    if labels.intersection(_CSR):
        return _csr(_single(blocks, _CSR, "certificate signing request", source), source)
    if labels.intersection(_PUBLIC):
        return _public_key(_single(blocks, _PUBLIC, "public key", source), source)
    if labels == {""}:
        for load in (_certificate, _csr, _private_key, _public_key):
            try:
                loaded = load(blocks[0][1], source)
            except _UnreadableError:
                continue
            return [loaded] if load is _certificate else loaded  # type: ignore[return-value, list-item]
    raise DaneError(f"{source} holds {_what(blocks)}, and no certificate, key or certificate signing request;"
                    " name a file with one of these in PEM or DER")


def kind_of(loaded: Loaded) -> str:
    """"certificate", "csr" or "key"."""
    if isinstance(loaded, list):
        return "certificate"
    return "csr" if isinstance(loaded, x509.CertificateSigningRequest) else "key"


class _UnreadableError(DaneError):
    """Not of the kind that was tried, or damaged."""


def _blocks(data: bytes, source: str) -> list[tuple[str, bytes]]:
    """The (label, DER) of each PEM block of `data`; or the whole as one DER with the label ""."""
    require()
    if len(data) > MAX_SIZE:
        raise DaneError(f"{source} is larger than {MAX_SIZE} octets, too large for a certificate, a chain or a key; name another file")
    if not data.strip():
        raise DaneError(f"{source} is empty; write a certificate, a key or a certificate signing request in PEM or DER to it")
    begins = data.count(b"-----BEGIN ")
    if not begins:
        try:
            whole = data[:1] == b"\x30" and _end(data, 0)[1] == len(data)
        except ValueError:
            whole = False
        if not whole:
            raise DaneError(f"{source} is neither PEM nor DER; convert it to one of these")
        return [("", data)]
    matches = list(_PEM.finditer(data))
    if len(matches) != begins:
        raise DaneError(f"{source} has a PEM block that is cut off or damaged; write the file again")
    blocks = []
    for match in matches:
        label, body = match[1].decode("ascii"), match[2]
        if b":" in body:              # "Proc-Type: 4,ENCRYPTED", the only use of headers (RFC 7468 has none)
            raise DaneError(f"{source} is encrypted or has PEM headers; write it without a passphrase and headers, by openssl pkey")
        try:
            der = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error as error:
            raise DaneError(f"{source} has a PEM block that is not base64 ({label}); write the file again") from error
        blocks.append((label, der))
    return blocks


def _what(blocks: list[tuple[str, bytes]]) -> str:
    return ", ".join(sorted({label or "DER of another kind" for label, _der in blocks}))


def _single(blocks: list[tuple[str, bytes]], labels: tuple[str, ...], thing: str, source: str) -> bytes:
    found = [der for label, der in blocks if label in (*labels, "")]
    if not found:
        raise DaneError(f"{source} holds {_what(blocks)} and no {thing}; name a file with one")
    if len(found) > 1:
        raise DaneError(f"{source} holds more than one {thing}; leave one in it")
    return found[0]


def _certificate(der: bytes, source: str) -> Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _UnreadableError(f"{source} holds no certificate that can be read; write it again or name another file") from error


def _csr(der: bytes, source: str) -> CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _UnreadableError(f"{source} holds no certificate signing request that can be read; write it again or name another file") from error


def _private_key(der: bytes, source: str) -> PrivateKey:
    try:
        key = serialization.load_der_private_key(der, password=None)
    except TypeError as error:
        raise DaneError(f"{source} is an encrypted private key; write it without a passphrase, by openssl pkey") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _UnreadableError(f"{source} holds no private key that can be read; write it again, by openssl pkey, or name another file") from error
    _refuse_pss(der, source)
    if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return key
    raise DaneError(f"{source} is not an RSA, ECDSA, Ed25519 or Ed448 key; use a key of one of these")


def _public_key(der: bytes, source: str) -> PublicKey:
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _UnreadableError(f"{source} holds no public key that can be read; write it again or name another file") from error
    _refuse_pss(der, source)
    if isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return key
    raise DaneError(f"{source} is not an RSA, ECDSA, Ed25519 or Ed448 key; use a key of one of these")


def _refuse_pss(der: bytes, source: str) -> None:
    # The library drops the PSS parameters of such a key, so its SubjectPublicKeyInfo would be another than the certificate's.
    if _OID_PSS in der[:64]:
        raise DaneError(f"{source} is a key for RSA-PSS alone; use its certificate instead, or a plain RSA or ECDSA key")


def read(path: str) -> Loaded:
    """What the file `path` holds, as `load_any`."""
    return load_any(read_file(path, "certificate, key or certificate signing request", MAX_SIZE), path)


# DER (X.690), as little of it as is needed

def _end(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts and ends; ValueError where it goes beyond the data."""
    try:
        start, length = at + 2, data[at + 1]
    except IndexError as error:
        raise ValueError("DER is cut off") from error
    if length & 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise ValueError("DER length")
        length = int.from_bytes(data[start:start + octets], "big")
        start += octets
    if start + length > len(data):
        raise ValueError("DER is cut off")
    return start, start + length


def _elements(data: bytes) -> list[bytes]:
    """The elements inside the one that `data` starts with."""
    at, end = _end(data, 0)
    found = []
    while at < end:
        following = _end(data, at)[1]
        found.append(data[at:following])
        at = following
    return found


# What they say

def spki(item: Certificate | CertificateSigningRequest | Key) -> bytes:
    """The DER SubjectPublicKeyInfo (RFC 5280 section 4.1) of a certificate, a CSR, or a private or public key.

    Of a certificate or CSR these are the octets as they stand in it: what peers hash.
    """
    if isinstance(item, x509.Certificate):
        fields = _elements(item.tbs_certificate_bytes)
        return fields[6 if fields[0][0] == 0xA0 else 5]  # the version may be left out
    if isinstance(item, x509.CertificateSigningRequest):
        return _elements(item.tbs_certrequest_bytes)[2]
    return _public(item).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _public(key: Key) -> PublicKey:
    if isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return key
    return key.public_key()


def spki_sha256(item: Certificate | CertificateSigningRequest | Key) -> str:
    """The SHA-256 of the SubjectPublicKeyInfo in lower case hexadecimal."""
    return hashlib.sha256(spki(item)).hexdigest()


def der(certificate: Certificate) -> bytes:
    """The DER of a certificate."""
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificates: Iterable[Certificate]) -> bytes:
    """The PEM of certificates, one after the other."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def fingerprint(certificate: Certificate) -> str:
    """The SHA-256 of the DER certificate in lower case hexadecimal."""
    return hashlib.sha256(der(certificate)).hexdigest()


def names(certificate: Certificate) -> list[str]:
    """The dNSNames of the subjectAltName in lower case; none where it has no such extension (RFC 6125 section 6.4)."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise DaneError(f"the certificate {fingerprint(certificate)} has extensions that cannot be read; have another one issued") from error
    return [name.lower() for name in alternatives.get_values_for_type(x509.DNSName)]


def not_before(certificate: Certificate) -> int:
    """The unix time in seconds from which the certificate is valid."""
    moment = certificate.not_valid_before_utc if hasattr(certificate, "not_valid_before_utc") else certificate.not_valid_before
    return calendar.timegm(moment.timetuple())


def not_after(certificate: Certificate) -> int:
    """The unix time in seconds until which the certificate is valid."""
    moment = certificate.not_valid_after_utc if hasattr(certificate, "not_valid_after_utc") else certificate.not_valid_after
    return calendar.timegm(moment.timetuple())


def issuer_name(certificate: Certificate) -> str:
    """The name of the issuer in the form of RFC 4514, printable characters only, at most MAX_NAME of them."""
    return _shown(certificate, "issuer")


def _shown(certificate: Certificate, which: Literal["subject", "issuer"]) -> str:
    try:
        name: str = getattr(certificate, which).rfc4514_string()
    except ValueError:  # as of a text that is not in its encoding: the library finds out when it is asked
        return f"a name that cannot be read (of the {which} of {fingerprint(certificate)[:16]}...)"
    text = "".join(character if character.isprintable() else "?" for character in name[:MAX_NAME + 1])
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME - 3]}..."


def algorithm_of(item: Certificate | CertificateSigningRequest | Key) -> str:
    """The algorithm of the public key: "ecdsa-p256", "rsa-2048", "ed25519"; "unknown" where it cannot be read."""
    try:
        public = item.public_key() if isinstance(item, (x509.Certificate, x509.CertificateSigningRequest)) else _public(item)
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    if isinstance(public, rsa.RSAPublicKey):
        return f"rsa-{public.key_size}"
    if isinstance(public, ec.EllipticCurvePublicKey):
        return f"ecdsa-{_CURVES.get(public.curve.name, public.curve.name)}"
    return type(public).__name__.lower().lstrip("_").replace("publickey", "")


def family(item: Certificate | Key) -> str:
    """The kind of the public key without its size: "ecdsa", "rsa"."""
    return algorithm_of(item).split("-", 1)[0]


# Who issued what

def is_ca(certificate: Certificate) -> bool:
    """Whether basicConstraints say that the certificate may issue others (RFC 5280 section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False


def issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether `issuer` has the name that `certificate` gives as its issuer's, and its key verifies the signature.

    RSA (PKCS #1 v1.5 and PSS), ECDSA, Ed25519 and Ed448; False for others.  Dates and basicConstraints are not looked at.
    """
    # By hand: the library has verify_directly_issued_by from version 40 on only.
    try:
        if certificate.issuer != issuer.subject:
            return False
        public, signature, signed = issuer.public_key(), certificate.signature, certificate.tbs_certificate_bytes
        if isinstance(public, rsa.RSAPublicKey):
            scheme = _pss(signed) or (padding.PKCS1v15(), certificate.signature_hash_algorithm)
            public.verify(signature, signed, *scheme)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, signed, ec.ECDSA(certificate.signature_hash_algorithm))  # type: ignore[arg-type]
        elif isinstance(public, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            public.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, IndexError, AttributeError):
        return False
    return True


def _pss(signed: bytes) -> tuple[padding.PSS, hashes.HashAlgorithm] | None:
    """The parameters of an RSA-PSS signature (RFC 4055 section 3.1) of the tbsCertificate `signed`; None where it is another."""
    # By hand: the library has signature_algorithm_parameters from version 41 on only.
    fields = _elements(signed)
    algorithm = _elements(fields[2 if fields[0][0] == 0xA0 else 1])
    if algorithm[0] != _OID_PSS:
        return None
    parameters = {element[0]: _elements(element)[0] for element in _elements(algorithm[1])}
    digest = _pss_hash(parameters.get(0xA0))
    mask = digest if 0xA1 not in parameters else _pss_hash(_elements(parameters[0xA1])[1])
    if 0xA1 in parameters and _elements(parameters[0xA1])[0] != _OID_MGF1:
        raise ValueError("mask generation function")
    salt = 20
    if 0xA2 in parameters:
        start, end = _end(parameters[0xA2], 0)
        salt = int.from_bytes(parameters[0xA2][start:end], "big")
    return padding.PSS(padding.MGF1(mask), salt), digest


def _pss_hash(algorithm: bytes | None) -> hashes.HashAlgorithm:
    name = "SHA1" if algorithm is None else _PSS_HASHES.get(_elements(algorithm)[0].hex(), "")
    digest: hashes.HashAlgorithm = getattr(hashes, name)()
    return digest


def order_chain(certificates: list[Certificate]) -> list[Certificate]:
    """The same certificates, each once, leaf first, each issued by the next; DaneError where they are no chain."""
    if not certificates:
        raise DaneError("the chain is empty; it needs at least the certificate of the server")
    if len(certificates) > MAX_CHAIN:
        raise DaneError(f"the chain has {len(certificates)} certificates and {MAX_CHAIN} is the most; leave out what is not part of it")
    left = list(dict.fromkeys(certificates))
    leaves = [one for one in left if not any(other is not one and issued_by(other, one) for other in left)]
    if len(leaves) != 1:
        raise DaneError(f"{len(leaves)} of {len(left)} certificates ({', '.join(_subject(one) for one in leaves)}) have issued no other,"
                        " and a chain has one such, the server's; leave one chain")
    chain = [leaves[0]]
    left.remove(leaves[0])
    while left:
        issuer = next((one for one in left if issued_by(chain[-1], one)), None)
        if issuer is None:
            raise DaneError(f"the chain breaks after {_subject(chain[-1])}: its issuer {issuer_name(chain[-1])} is not in it;"
                            " add that certificate or leave out the rest")
        chain.append(issuer)
        left.remove(issuer)
    return chain


def _subject(certificate: Certificate) -> str:
    return _shown(certificate, "subject") or f"certificate {fingerprint(certificate)[:16]}"


# Making keys and requests

def make_private_key(algorithm: str) -> PrivateKey:
    """A new private key: ecdsa-p256, rsa-2048, rsa-3072, rsa-4096 or ed25519."""
    require()
    if algorithm == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in ("rsa-2048", "rsa-3072", "rsa-4096"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm[4:]))
    raise DaneError(f"there is no key algorithm {algorithm!r}; use ecdsa-p256, rsa-2048, rsa-3072, rsa-4096 or ed25519")


def private_key_pem(key: PrivateKey) -> bytes:
    """The key in PEM, PKCS #8 (RFC 5958), without a passphrase."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def make_csr(key: PrivateKey, names: list[str]) -> bytes:  # pylint: disable=redefined-outer-name
    """A certificate signing request (RFC 2986) for `names` in PEM.

    All names are in subjectAltName; the first one is the common name too where the 64 characters of RFC 5280 suffice.
    """
    if not names:
        raise DaneError("a certificate signing request needs at least one name; give the certificate its names")
    common = [x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])] if 0 < len(names[0]) <= 64 else []
    try:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    except ValueError as error:
        raise DaneError(f"one of the names {', '.join(map(repr, names))} is not ASCII; write it in its xn-- form") from error
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(common)).add_extension(alternatives, critical=False)
    modern = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(key, None if modern else hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
