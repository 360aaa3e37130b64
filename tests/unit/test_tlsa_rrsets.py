# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module tlsa_rrsets: a host comes to a name and leaves it, as name servers on loopback say."""
from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.selfhost.dane.plugins.module_utils import clock, gate
from ansible_collections.selfhost.dane.plugins.modules import tlsa_rrsets
from test_gate import HOME, MAIL, NAME, RESOLVER, VPS, ZONE, Net, addressed
from test_records import A, B, C, D, report, zones_of
from wire_fakes import Signer

POLICY = {"lead": 300, "session": 10, "cache_floor": 5, "cache_hops": 2, "clock_margin": 1, "fall_back": 150, "ns_ttl": 60, "highest_tlsa_ttl": 60,
          "signature_validity": 5000, "signature_skew": 0, "scheme": "3 1 1", "timer_interval": 20, "key_lifetime": 10**6,
          "retire_after": None}
REPORTS = {"vps": report(keys=(A, B), live=A), "mx2": report("mx2", keys=(C, D), live=C)}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the module at a time with hosts in the model, while the name servers have these keys and addresses; its result, and what they were asked."""
    look, signer = gate.look, Signer(ZONE)

    def runner(now: int, hosts: tuple[str, ...], keys: tuple[str, ...], *addresses: str) -> tuple[dict[str, Any], set[tuple[str, str]]]:
        net = Net(signer)
        zone = addressed(signer, *addresses)
        zone.put(MAIL, "TLSA", *(f"3 1 1 {key}" for key in keys), ttl=100)
        net.servers = {VPS: zone.answer, HOME: zone.answer}
        monkeypatch.setattr(clock, "read", lambda: clock.Reading(now, now, "a"))
        with net.up() as port:
            monkeypatch.setattr(gate, "look", partial(look, resolvers=[RESOLVER], port=port))
            arguments = {"host": "vps", "zones": zones_of(*hosts), "reports": [REPORTS[host] for host in hosts], "policy": POLICY, "observe": True,
                         "path": str(tmp_path / "record.json")}
            with patch_module_args(arguments), pytest.raises(SystemExit):
                tlsa_rrsets.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert not result.get("failed"), result
        return result, {(owner, kind) for server, owner, kind, _tcp in net.asked if server in (VPS, HOME)}
    return runner


def given(result: dict[str, Any]) -> list[str]:
    return [one["data"] for one in result["zones"][0]["records"] if one["owner"] == NAME]


def test_addresses_come_after_the_keys_and_keys_go_after_the_addresses(run: Any) -> None:
    four, other, six = "198.51.100.10", "198.51.100.12", "2001:db8::12"
    begin = 1_000_000
    run(begin, ("vps",), (A, B), four)
    added, asked = run(begin + 10, ("vps", "mx2"), (A, B), four)
    assert added["changed"] and added["moved"] == [] and given(added) == [four] and len(added["zones"][0]["tlsa"][0]["records"]) == 4
    assert (NAME, "A") not in asked, "nothing has left"
    assert added["hosts"] == ["g.pyon.example: mx2 is not among its addresses yet: caches may hold TLSA records that its keys do not match; "
                              f"the primary publishes the RRset 3 1 1 {A[:8]}.., 3 1 1 {B[:8]}.."]
    waiting, _asked = run(begin + 20, ("vps", "mx2"), (A, B, C, D), four)
    assert ", until " in waiting["hosts"][0] and " UTC at the latest; " in waiting["hosts"][0] and f"{HOME} may still serve" in waiting["hosts"][0]
    run(begin + 170, ("vps", "mx2"), (A, B, C, D), four)
    entered, _asked = run(begin + 1000, ("vps", "mx2"), (A, B, C, D), four)
    assert given(entered) == [four, other, six] and entered["hosts"] == []

    left, _asked = run(begin + 1010, ("vps",), (A, B, C, D), four, other, six)
    assert given(left) == [four] and len(left["zones"][0]["tlsa"][0]["records"]) == 4
    behind, asked = run(begin + 1020, ("vps",), (A, B, C, D), four, six)
    assert {(NAME, "A"), (NAME, "AAAA")} <= asked and f"{VPS} may still give {six}" in behind["hosts"][0]
    run(begin + 1030, ("vps",), (A, B, C, D), four)
    run(begin + 1180, ("vps",), (A, B, C, D), four)
    gone, _asked = run(begin + 2000, ("vps",), (A, B, C, D), four)
    assert gone["zones"][0]["tlsa"][0]["records"] == [f"3 1 1 {A}", f"3 1 1 {B}"] and gone["hosts"] == []


def test_zones_without_names_are_as_they_were(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = zones_of("vps", "mx2")
    del zones[0]["names"], zones[0]["ttl"]
    monkeypatch.setitem(globals(), "zones_of", lambda *hosts: zones)
    result, _asked = run(1_000_000, ("vps", "mx2"), (A, B), "198.51.100.10")
    assert len(given(result)) == 3 and result["hosts"] == []
