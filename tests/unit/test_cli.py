# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the host's program, and what it says of a disk that refuses."""
from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.selfhost.dane.plugins.module_utils import certificates, cli, signing, unattended
from ansible_collections.selfhost.dane.plugins.modules import tls_certificates

REFUSALS = [
    (errno.ENOSPC, "/var/lib/x", "/var/lib/x: No space left on device; make room on its disk, or move away what is in its way"),
    (errno.EACCES, "/var/lib/x", "/var/lib/x: Permission denied; run this as root, on a disk that can be written"),
    (errno.EROFS, None, "this host: Read-only file system; run this as root, on a disk that can be written"),
]


@pytest.mark.parametrize(("number", "path", "said"), REFUSALS)
@pytest.mark.parametrize(("command", "module"), [("sign", signing), ("renew", certificates), ("tell", unattended)])
def test_what_the_disk_refuses_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, module: Any, number: int,
                                               path: str | None, said: str) -> None:
    def refused(_config: str) -> int:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(module, f"{command}_command", refused)
    assert cli.main([command]) == 1
    assert capsys.readouterr() == ("", f"selfhost-dane {command}: {said}\n")


@pytest.mark.parametrize(("number", "path", "said"), REFUSALS)
def test_what_the_disk_refuses_to_the_module_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int,
                                                             path: str | None, said: str) -> None:
    def refused(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(tls_certificates, "run", refused)
    with patch_module_args({"host": "vps.pyon.example", "addresses": [], "certificates": []}), pytest.raises(SystemExit):
        tls_certificates.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"] and result["msg"] == said
