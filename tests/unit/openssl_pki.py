# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates made by the openssl command line, so that they owe nothing to the code under test."""
from __future__ import annotations

import functools
import hashlib
import subprocess
import tempfile
from pathlib import Path

NAME = "g.pyon.example"
OTHER = "pyon.example"
# How openssl req makes a key of the kind, and how certificates are signed.
KINDS: dict[str, tuple[list[str], list[str]]] = {
    "rsa-2048": (["-newkey", "rsa:2048"], []),
    "ecdsa-p256": (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], []),
    "ecdsa-p384": (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], ["-sha384"]),
    "ed25519": (["-newkey", "ed25519"], []),
    # an RSA key that signs certificates by PSS
    "rsa-2048-signing-by-pss": (["-newkey", "rsa:2048"], ["-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48"]),
}
COMBINATIONS = [(usage, selector, matching_type) for usage in range(4) for selector in range(2) for matching_type in range(3)]

_CONFIG = f"""
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:{NAME}, DNS:{OTHER.upper()}
[plain]
subjectAltName = DNS:{NAME}
"""


def openssl(*argv: str, stdin: bytes = b"") -> bytes:
    """The output of one openssl command."""
    done = subprocess.run(["openssl", *argv], input=stdin, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, (argv, done.stderr.decode())
    return done.stdout


class Chain:
    """Files root, intermediate and leaf (.pem, .der, .key, .csr) and fullchain.pem, chain.pem of one kind."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory, self.kind = directory, kind
        directory.mkdir()
        (directory / "openssl.cnf").write_text(_CONFIG)
        key, sign = KINDS[kind]
        config = ["-config", self.path("openssl.cnf")]
        openssl("req", "-x509", *config, *key, *sign, "-nodes", "-keyout", self.path("root.key"), "-out", self.path("root.pem"),
                "-subj", f"/CN=Root {kind}", "-days", "30", "-extensions", "ca")
        openssl("req", "-new", *config, "-key", self.path("root.key"), "-subj", f"/CN=Root {kind}", "-out", self.path("root.csr"))
        for name, issuer, extensions in (("intermediate", "root", "ca"), ("leaf", "intermediate", "server")):
            openssl("req", "-new", *config, *key, "-nodes", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"),
                    "-subj", f"/CN={name} {kind}")
            openssl("x509", "-req", *sign, "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{issuer}.pem"), "-CAkey",
                    self.path(f"{issuer}.key"), "-set_serial", "7", "-days", "30", "-extfile", self.path("openssl.cnf"),
                    "-extensions", extensions, "-out", self.path(f"{name}.pem"))
        for name in ("root", "intermediate", "leaf"):
            openssl("x509", "-in", self.path(f"{name}.pem"), "-outform", "DER", "-out", self.path(f"{name}.der"))
        (directory / "chain.pem").write_bytes(self.read("intermediate.pem"))
        (directory / "fullchain.pem").write_bytes(self.read("leaf.pem") + self.read("intermediate.pem"))
        (directory / "all.pem").write_bytes(self.read("fullchain.pem") + self.read("root.pem"))

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def expected(self, name: str, usage: int, selector: int, matching_type: int) -> str:
        """The record of the certificate `name` as a pipeline of openssl commands computes it."""
        return f"{usage} {selector} {matching_type} {_pipeline(self.path(f'{name}.pem'), selector, matching_type)}"


@functools.cache
def _pipeline(certificate: str, selector: int, matching_type: int) -> str:
    if selector == 0:
        data = openssl("x509", "-in", certificate, "-outform", "DER")
    else:
        data = openssl("pkey", "-pubin", "-outform", "DER", stdin=openssl("x509", "-in", certificate, "-noout", "-pubkey"))
    if matching_type:
        data = openssl("dgst", "-sha256" if matching_type == 1 else "-sha512", "-binary", stdin=data)
    return data.hex()


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="openssl-pki-")  # removed when the process ends


@functools.cache
def chain(kind: str) -> Chain:
    """The one chain of `kind` in this run of the tests."""
    return Chain(Path(_directory().name) / kind, kind)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
