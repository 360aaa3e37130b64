# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tlsa_info against pipelines of openssl commands."""
from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import openssl_pki
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.selfhost.dane.plugins.module_utils import x509
from ansible_collections.selfhost.dane.plugins.modules import tlsa_info
from openssl_pki import COMBINATIONS, KINDS, openssl


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module with arguments; its result."""
    def runner(**arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            tlsa_info.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result
    return runner


@pytest.mark.parametrize("kind", KINDS)
def test_all_24_combinations_agree_with_openssl(run: Any, kind: str) -> None:
    pki = openssl_pki.chain(kind)
    openssl("pkey", "-in", pki.path("leaf.key"), "-outform", "DER", "-out", pki.path("leaf.key.der"))
    openssl("req", "-in", pki.path("root.csr"), "-outform", "DER", "-out", pki.path("root.csr.der"))
    for usage, selector, matching_type in COMBINATIONS:
        certificate = "leaf" if usage in (1, 3) else "intermediate"
        expected = [(name, "certificate", pki.expected(certificate, usage, selector, matching_type))
                    for name in ("fullchain.pem", "all.pem", f"{certificate}.pem", f"{certificate}.der")]
        if selector == 1:
            own, kinds = ("leaf", ("key", "csr", "key.der")) if usage in (1, 3) else ("root", ("key", "csr", "csr.der"))
            expected += [(f"{own}.{one}", one[:3], pki.expected(own, usage, selector, matching_type)) for one in kinds]
        result = run(paths=[pki.path(name) for name, _what, _record in expected], usage=usage, selector=selector, matching_type=matching_type)
        assert result["changed"] is False
        assert result["records"] == [
            {"path": pki.path(name), "kind": what, "record": record, "usage": usage, "selector": selector,
             "matching_type": matching_type, "data": record.split()[3]} for name, what, record in expected]


def test_the_default_is_3_1_1_and_check_mode_says_the_same(run: Any) -> None:
    pki = openssl_pki.chain("ecdsa-p256")
    result = run(paths=[pki.path("leaf.key")])
    assert [one["record"] for one in result["records"]] == [pki.expected("leaf", 3, 1, 1)]
    assert run(paths=[pki.path("leaf.key")], _ansible_check_mode=True, _ansible_diff=True) == result
    assert run(paths=pki.path("leaf.pem"))["records"][0]["record"] == result["records"][0]["record"]
    assert run(paths=[])["records"] == []


def test_bad_input_gets_one_sentence_with_the_path_and_the_cure(run: Any, tmp_path: Path) -> None:
    pki = openssl_pki.chain("ecdsa-p256")
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "cut").write_bytes(pki.read("leaf.pem")[:-30])
    for path, arguments, sentence in (
        (str(tmp_path / "none"), {}, "No such file or directory; make it readable or name another file"),
        (str(tmp_path), {}, "Is a directory; make it readable or name another file"),
        ("/dev/zero", {}, "is no regular file; name another file"),
        (str(tmp_path / "text"), {}, "is neither PEM nor DER; convert it"),
        (str(tmp_path / "empty"), {}, "is empty; write"),
        (str(tmp_path / "cut"), {}, "has a PEM block that is cut off or damaged; write the file again"),
        (pki.path("leaf.key"), {"selector": 0}, "selector 0 is about a certificate and this is a key; use selector 1 or the certificate"),
        (pki.path("leaf.csr"), {"selector": 0}, "selector 0 is about a certificate and this is a csr; use selector 1 or the certificate"),
        (pki.path("leaf.pem"), {"usage": 2}, "CN=intermediate ecdsa-p256 is not there; give the full chain or the issuer's certificate"),
        (pki.path("leaf.pem"), {"usage": 0, "selector": 0}, "is not there; give the full chain or the issuer's certificate"),
    ):
        result = run(paths=[pki.path("fullchain.pem"), path], **arguments) if not arguments else run(paths=[path], **arguments)
        assert result["failed"] is True
        assert path in result["msg"] and sentence in result["msg"] and "\n" not in result["msg"]


def test_arguments_out_of_range_are_refused(run: Any) -> None:
    for arguments, sentence in (({"usage": 4}, "usage must be one of: 0, 1, 2, 3"), ({"selector": 2}, "selector must be one of: 0, 1"),
                                ({"matching_type": 3}, "matching_type must be one of: 0, 1, 2")):
        assert sentence in run(paths=["/nowhere"], **arguments)["msg"]
    assert "missing required arguments: paths" in run()["msg"]


def test_a_host_without_the_library_is_told_the_package(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x509, "HAS_CRYPTOGRAPHY", False)
    message = run(paths=[openssl_pki.chain("ed25519").path("leaf.pem")])["msg"]
    assert "cryptography is missing" in message and message.endswith("install the package python3-cryptography")


def test_a_thousand_certificates_are_quick(run: Any, tmp_path: Path) -> None:
    paths = [str(tmp_path / str(number)) for number in range(1000)]
    for path in paths:
        Path(path).write_bytes(openssl_pki.chain("ecdsa-p256").read("leaf.pem"))
    began = time.process_time()
    records = [record for path in paths for record in tlsa_info.records_of(path, 3, 1, 1)]
    seconds = time.process_time() - began
    assert len(records) == 1000
    assert seconds < 0.9, "one process has 0.3 s for them on an idle machine"
    assert run(paths=paths)["records"] == records
