# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tlsa_gate_info: its arguments and what it returns, on name servers on loopback."""
from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.selfhost.dane.plugins.module_utils import gate
from ansible_collections.selfhost.dane.plugins.modules import tlsa_gate_info
from test_gate import HOME, MAIL, NEW, OLD, RESOLVER, VPS, WEB, ZONE, Net, made
from wire_fakes import Signer


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the module with arguments on a port; its result."""
    look = gate.look

    def runner(port: int, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(gate, "look", partial(look, port=port))
        with patch_module_args(arguments), pytest.raises(SystemExit):
            tlsa_gate_info.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result
    return runner


@pytest.mark.parametrize("check", [False, True])
def test_result(run: Any, check: bool) -> None:
    net = Net(Signer(ZONE))
    net.servers[HOME] = made(net.signer, 6, [OLD]).answer
    with net.up() as port:
        result = run(port, zone="pyon.example", owners=[{"owner": WEB}, {"owner": "_25._tcp.g.pyon.example", "records": [OLD, NEW]}],
                     resolvers=[RESOLVER], unlistable=[HOME], _ansible_check_mode=check)
    assert (result["changed"], result["zone_state"], result["passed"], result["complete"]) == (False, "secure", False, True)
    assert len(result["held_by"]) == 1 and HOME in result["held_by"][0]
    assert {one["address"]: (one["names"], one["serial"], one["tcp"], one["unlistable"], one["error"]) for one in result["addresses"]} == {
        VPS: (["vps.pyon.example."], 7, True, False, ""), HOME: (["home.pyon.example."], 6, True, True, "")}
    assert [one["owner"] for one in result["owners"]] == [WEB, MAIL]
    mail = {one["address"]: one for one in result["owners"][1]["answers"]}
    assert (mail[VPS]["verdict"], mail[VPS]["records"], mail[VPS]["ttl"]) == ("matches", [OLD, NEW], 3600)
    assert (mail[HOME]["verdict"], mail[HOME]["records"]) == ("differs", [OLD])
    assert {one["verdict"] for one in result["owners"][0]["answers"]} == {"matches"}


def test_bad_input_is_one_sentence(run: Any) -> None:
    result = run(53, zone="pyon.example", owners=[{"owner": MAIL, "records": ["3 1 1"]}])
    assert result["failed"] and "is not a TLSA record" in result["msg"]
