# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing, with a signer that only looks like ldns and a name server that serves what it was told to load."""
from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.name
import dns.rdata
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.selfhost.dane.plugins.module_utils import cli, signing
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.modules import signed_zones, tlsa_rrsets, tsig_keys

NOW = 1795000000
OWN, SECONDARY = "198.51.100.10", "2001:db8:51::20"
PUBLIC = base64.b64encode(bytes(range(64))).decode()


class World:
    """The host: directories, the programs, what each address serves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.places = signing.Places(str(directory / "state"), str(directory / "signed"))
        self.served: dict[tuple[str, str], signing.Answer] = {}
        self.calls: list[str] = []
        self.broken = ""  # the program that fails, or kills the run
        self.crash = ""
        self.deaf = False
        self.names = ["pyon.example"]
        self.floor = 0
        self.controller: int | None = None
        self.write("pyon.example")

    def write(self, name: str, extra: str = "") -> None:
        (self.directory / name).write_text(f"{name}. 60 IN SOA ns. host. 0 1 2 3 4\n{name}. 60 IN NS ns.\n{extra}")

    def program(self, argv: list[str], **options: Any) -> bytes:
        self.calls.append(argv[0])
        if argv[0] == self.crash:
            raise KeyboardInterrupt
        if argv[0] == self.broken:
            raise DaneError(f"{argv[0]} failed")
        if argv[0] == "ldns-keygen":
            base = os.path.join(options["directory"], "K")
            for ending, content in ((".private", "secret"), (".key", f"{argv[-1]}. IN DNSKEY 257 3 13 {PUBLIC} ;{{id = 1}}\n"), (".ds", "")):
                Path(base + ending).write_text(content)
            return b"K\n"
        if argv[0] == "ldns-signzone":
            soa = next(line for line in Path(argv[-2]).read_text().split("\n") if " SOA " in line)
            name = soa.split()[0]
            signature = base64.b64encode(f"{soa} {argv[6]}".encode()).decode()
            Path(argv[8]).write_text(f"{soa}\n{name} 60 IN RRSIG SOA 13 2 60 1 2 3 {name} {signature}\n{name} 60 IN DNSKEY 257 3 13 {PUBLIC}\n")
        return b""

    def reload(self, name: str) -> None:
        self.calls.append("reload")
        if self.crash == "reload":
            raise KeyboardInterrupt
        signed = signing.read_signed(signing.signed_path(self.places, name), name)
        assert signed is not None
        if not self.deaf:
            self.served[name, OWN] = signing.Answer(signed.serial, signed.signature)

    def ask(self, name: str, address: str) -> signing.Answer:
        return self.served.get((name, address), signing.Answer(error=f"{address} is silent"))

    def arguments(self) -> dict[str, Any]:
        zones = [{"name": name, "file": str(self.directory / name), "serial": self.floor, "secondaries": [SECONDARY]} for name in self.names]
        return {"zones": zones, "addresses": [OWN], "signature_validity": 1000, "signature_renewal": 100,
                **({} if self.controller is None else {"time": self.controller, "clock_margin": 60})}

    def run(self, check: bool = False, now: int = NOW) -> dict[str, Any]:
        self.calls.clear()
        return signing.publish(self.arguments(), check=check, now=now, places=self.places, inquire=self.ask, tell=self.reload)

    def key(self, ending: str = ".private") -> Path:
        return Path(signing.key_base(self.places, "pyon.example") + ending)

    def signed(self, name: str = "pyon.example") -> bytes:
        return Path(signing.signed_path(self.places, name)).read_bytes()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    result = World(tmp_path)
    monkeypatch.setattr(signing, "checked", result.program)
    monkeypatch.setattr(signing, "SERVE_SECONDS", 0.0)
    return result


def test_the_first_run_signs_and_the_second_does_nothing(world: World) -> None:
    first = world.run()
    assert (first["changed"], first["failed"], first["zones"][0]["serial"]) == (True, [], NOW)
    assert world.calls == ["ldns-keygen", "ldns-signzone", "ldns-verify-zone", "nsd-checkzone", "reload"]
    before = world.signed()
    for check in (True, False):
        again = world.run(check)
        assert (again["changed"], again["failed"], again["diff"], world.calls) == (False, [], [], [])
        assert again["zones"][0]["ds"] == first["zones"][0]["ds"] != ""
    assert world.signed() == before


def test_the_key_is_for_nobody_else(world: World) -> None:
    world.run()
    assert world.key().stat().st_mode & 0o777 == 0o600
    assert world.key().parent.stat().st_mode & 0o777 == 0o700
    assert sorted(item.name for item in world.key().parent.parent.iterdir()) == ["key"]


def test_check_mode_changes_nothing(world: World) -> None:
    before = sorted(world.directory.rglob("*"))
    result = world.run(check=True)
    assert result["changed"] and result["diff"][0]["after"] == "signed again: it is not signed yet\n"
    assert (sorted(world.directory.rglob("*")), world.calls) == (before, [])


def test_check_mode_on_a_blank_host(world: World) -> None:
    (world.directory / "pyon.example").unlink()
    result = world.run(check=True)
    assert (result["changed"], result["failed"]) == (True, [])
    assert "write the zone file first" in world.run()["failed"][0]


@pytest.mark.parametrize(("change", "reason"), [("text", "its text changed"), ("age", "100 seconds ago"), ("altered", "altered"), ("floor", "is lower than"),
                                                ("future", "by a clock that was ahead, at 2026-11-18T")])
def test_what_is_signed_again(world: World, change: str, reason: str) -> None:
    world.run()
    now = NOW
    if change == "text":
        world.write("pyon.example", "www.pyon.example. 60 IN A 198.51.100.1\n")
    elif change == "altered":
        path = Path(signing.signed_path(world.places, "pyon.example"))
        path.write_bytes(path.read_bytes() + b";\n")
    elif change == "floor":
        world.floor = NOW + 50
    elif change == "future":
        world.controller = NOW - 90
    now = {"age": NOW + 100, "future": NOW - 61}.get(change, NOW)
    compared = world.run(check=True, now=now)["zones"][0]
    assert compared["action"] == "sign" and reason in compared["reason"]
    done = world.run(now=now)["zones"][0]
    assert done["serial"] == {"age": NOW + 100, "floor": NOW + 50}.get(change, NOW + 1)
    assert not world.run(now=now)["changed"]


def test_a_clock_that_is_not_the_controllers_signs_nothing(world: World) -> None:
    for world.controller in (NOW - 61, NOW + 61):
        for check in (True, False):
            with pytest.raises(DaneError, match="are 61 seconds apart, more than clock_margin 60; set them right"):
                world.run(check)
    assert not os.path.exists(world.places.signed)
    world.controller = NOW + 60
    assert world.run()["failed"] == []


def test_a_clock_that_was_set_back_signs_nothing_without_a_controller(world: World) -> None:
    world.run()
    before = world.signed()
    assert not world.run(now=NOW - 60)["changed"]
    world.write("pyon.example", "www.pyon.example. 60 IN A 198.51.100.1\n")
    for check in (True, False):
        failed = world.run(check, now=NOW - 5 * 365 * 86400)["failed"]
        assert len(failed) == 1 and "signed at 2026-11-18T" in failed[0] and "says 2021-11-19T" in failed[0] and "set the clock right" in failed[0]
    assert (world.signed(), world.calls) == (before, [])


@pytest.mark.parametrize("floor", [0, 2026112700])
@pytest.mark.parametrize("damage", [b"; lost\n", b"", b"\0" * 500, b" SOA ns. host. x1 ", b" SOA ns. host. 1_0 ", b" SOA ns. host. 4294967296 ",
                                    b"signed=" + b"9" * 5000])
def test_a_damaged_signed_file_is_signed_again_and_stops_no_other_zone(world: World, damage: bytes, floor: int) -> None:
    world.names, world.floor = ["bad.example", "pyon.example"], floor
    world.write("bad.example")
    world.run()
    world.write("bad.example", "x.bad.example. 60 IN A 198.51.100.1\n")
    world.run()
    path, good = Path(signing.signed_path(world.places, "bad.example")), world.signed("bad.example")
    last = world.served["bad.example", OWN].serial
    assert last == (floor or NOW) + 1
    soa = f" SOA ns. host. {last} ".encode()
    path.write_bytes(good.replace(soa, damage) if b"SOA" in damage else good.replace(f"signed={NOW}".encode(), damage) if b"=" in damage else damage)
    assert path.read_bytes() != good
    compared = world.run(check=True)
    assert [(zone["action"], zone["error"]) for zone in compared["zones"]] == [("sign", ""), ("", "")]
    done = world.run()
    assert (done["failed"], done["zones"][0]["reason"]) == ([], "its signed file was altered")
    assert done["zones"][0]["serial"] == world.served["bad.example", OWN].serial == last + 1
    assert not world.run()["changed"]


def test_what_is_only_loaded_again(world: World) -> None:
    world.run()
    world.served["pyon.example", OWN] = signing.Answer(NOW, "other")
    assert world.run(check=True)["zones"][0]["action"] == "reload"
    assert world.run()["changed"] and world.calls == ["reload"]


@pytest.mark.parametrize("address", [OWN, SECONDARY])
@pytest.mark.parametrize("later", [NOW, NOW + 7])
def test_a_later_serial_elsewhere_is_an_error(world: World, address: str, later: int) -> None:
    world.served["pyon.example", address] = signing.Answer(later, "x")
    for check in (True, False):
        failed = world.run(check)["failed"]
        assert len(failed) == 1 and str(later) in failed[0] and str(NOW) in failed[0] and f"set serial of the zone to {later + 1}" in failed[0]
    assert "ldns-signzone" not in world.calls and not world.key().exists()
    world.floor = later + 1
    assert world.run()["zones"][0]["serial"] == later + 1


def test_a_secondary_that_is_ahead_of_a_converged_zone_is_an_error(world: World) -> None:
    world.run()
    world.served["pyon.example", SECONDARY] = signing.Answer(NOW + 1, "x")
    assert f"set serial of the zone to {NOW + 2}" in world.run(check=True)["failed"][0]
    world.served["pyon.example", SECONDARY] = signing.Answer(NOW, "x")
    assert world.run(check=True)["failed"] == []


@pytest.mark.parametrize("ending", [".private", ".key", "both"])
def test_a_missing_key_is_never_made_again(world: World, ending: str) -> None:
    world.run()
    before = world.signed()
    for suffix in ((".private", ".key") if ending == "both" else (ending,)):
        world.key(suffix).unlink()
    for check in (True, False):
        assert "missing although" in world.run(check)["failed"][0]
    world.key().parent.rename(world.directory / "away")
    assert "missing although" in world.run()["failed"][0]
    assert world.signed() == before and "ldns-keygen" not in world.calls


def test_another_key_is_an_error(world: World) -> None:
    world.run()
    world.key(".key").write_text(f"pyon.example. IN DNSKEY 257 3 13 {base64.b64encode(bytes(64)).decode()}\n")
    assert "is another key" in world.run()["failed"][0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_open_to_others_is_an_error(world: World, mode: int) -> None:
    world.run()
    world.key().chmod(mode)
    for check in (True, False):
        assert f"chmod go= {world.key()}" in world.run(check)["failed"][0]


@pytest.mark.parametrize("program", ["ldns-signzone", "ldns-verify-zone", "nsd-checkzone"])
def test_what_does_not_verify_leaves_the_served_zone(world: World, program: str) -> None:
    world.names = ["bad.example", "pyon.example"]
    world.write("bad.example")
    world.run()
    before = world.signed("bad.example"), world.served["bad.example", OWN]
    world.write("bad.example", "x.bad.example. 60 IN A 1\n")
    world.broken = program
    result = world.run()
    assert not result["changed"] and len(result["failed"]) == 1
    assert result["failed"][0].startswith("zone bad.example is not published") and result["failed"][0].endswith(f"{program} failed")
    assert (world.signed("bad.example"), world.served["bad.example", OWN]) == before
    assert "reload" not in world.calls


def test_one_bad_zone_does_not_stop_the_others(world: World) -> None:
    world.names = ["bad.example", "pyon.example"]
    world.write("bad.example", "$GENERATE 1-2 a A 1\n")
    result = world.run()
    assert len(result["failed"]) == 1 and "bad.example" in result["failed"][0]
    assert world.signed() and result["changed"]


@pytest.mark.parametrize("point", ["ldns-keygen", "ldns-signzone", "ldns-verify-zone", "nsd-checkzone", "reload"])
def test_the_next_run_completes_one_that_died(world: World, point: str) -> None:
    world.crash = point
    with pytest.raises(KeyboardInterrupt):
        world.run()
    world.crash = ""
    result = world.run(now=NOW + 1)
    assert (result["changed"], result["failed"]) == (True, [])
    assert sorted(item.name for item in world.key().parent.parent.iterdir()) == ["key"]
    assert not world.run(now=NOW + 1)["changed"]


def test_a_server_that_does_not_load_is_an_error_and_completed_later(world: World) -> None:
    world.deaf = True
    assert world.run(check=True)["zones"][0]["error"] == ""
    assert "look at journalctl -u nsd" in world.run()["failed"][0]
    world.deaf = False
    assert world.run()["zones"][0]["action"] == "reload"
    assert not world.run()["changed"]


def test_all_zones_are_signed_before_one_waits_for_the_name_server(world: World) -> None:
    world.names, world.deaf = ["a.example", "b.example", "pyon.example"], True
    for name in world.names:
        world.write(name)
    failed = world.run()["failed"]
    assert [call for call in world.calls if call in ("nsd-checkzone", "reload")] == ["nsd-checkzone"] * 3 + ["reload"] * 3
    assert [sentence.split(":")[0] for sentence in failed] == [f"zone {name}" for name in world.names] and all(map(world.signed, world.names))
    world.deaf = False
    assert [zone["action"] for zone in world.run()["zones"]] == ["reload"] * 3


def test_a_deaf_address_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two own addresses one hears nothing; time passes while it is waited for."""
    monkeypatch.setattr(signing, "SERVE_SECONDS", 15.0)
    names, now, asked = [f"z{number}.example" for number in range(40)], [0.0], 0
    zones = tuple(signing.Zone(name, "/x", 0, ()) for name in names)
    wanted = signing.Settings(zones, (OWN, "198.51.100.11"), 1000, 100)

    def ask(name: str, address: str) -> signing.Answer:
        nonlocal asked
        asked += address == OWN
        return signing.Answer(NOW, "x") if address == OWN and name != names[0] else signing.Answer(error=f"{address} is silent")

    def told(name: str) -> None:
        if name == names[1]:
            raise DaneError("nsd-control failed")

    def sleep(_seconds: float) -> None:
        now[0] += 1

    signed = {name: signing.Signed(serial=NOW, signature="x") for name in names}
    troubles = signing.serve(wanted, signed, ask, told, sleep, lambda: now[0])
    assert now[0] == 16.0 and asked == 38 + 17, "one deadline for all, and what is served is not asked again"
    assert troubles[names[0]].startswith(f"zone {names[0]}: serial {NOW} is signed, but {OWN} is silent 15 seconds after")
    assert troubles[names[1]] == f"zone {names[1]}: nsd-control failed" and "198.51.100.11 is silent" in troubles[names[2]]
    assert signing.serve(replace(wanted, addresses=(OWN,)), {names[2]: signed[names[2]]}, ask, told, sleep) == {}


def test_ds_agrees_with_dnspython() -> None:
    key = dns.rdata.from_text("IN", "DNSKEY", f"257 3 13 {PUBLIC}")
    expected = dns.dnssec.make_ds(dns.name.from_text("pyon.example."), key, "SHA256").to_text()
    assert signing.delegation("pyon.example", ["257", "3", "13", PUBLIC]) == f"pyon.example. IN DS {expected}"


@pytest.mark.parametrize("changes", [{"zones": None}, {"zones": [{"name": "../x", "file": "/x"}]}, {"zones": [{"name": "x.example", "file": "x"}]},
                                     {"zones": [{"name": "x.example", "file": "/x"}] * 2}, {"addresses": []}, {"addresses": ["x"]}, {"addresses": 5},
                                     {"zones": [{"name": "x.example", "file": "/x", "secondaries": 5}]},
                                     {"signature_renewal": 1000}, {"signature_validity": "x"},
                                     {"zones": [{"name": "x.example", "file": "/x", "serial": 1 << 32}]}])
def test_bad_settings_are_one_sentence(world: World, changes: dict[str, Any]) -> None:
    with pytest.raises(DaneError):
        signing.settings({**world.arguments(), **changes})


def test_the_command_signs_with_the_same_configuration(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    publish = signing.publish
    monkeypatch.setattr(signing, "publish", lambda arguments: publish(arguments, now=NOW, places=world.places, inquire=world.ask, tell=world.reload))
    config = world.directory / "zones.json"
    config.write_text(json.dumps(world.arguments()))
    assert cli.main(["sign", "--config", str(config)]) == 0
    assert f"serial {NOW} is served" in capsys.readouterr().out
    world.key().chmod(0o644)
    assert cli.main(["sign", "--config", str(config)]) == 1
    world.key().chmod(0o600)
    monkeypatch.setattr(signing, "publish", lambda arguments: publish(arguments, now=NOW - 99, places=world.places, inquire=world.ask, tell=world.reload))
    capsys.readouterr()
    assert cli.main(["sign", "--config", str(config)]) == 1
    assert "so it is not signed again; set the clock right" in capsys.readouterr().out
    config.write_text("{")
    assert cli.main(["sign", "--config", str(config)]) == 1
    assert "is not JSON" in capsys.readouterr().err
    for other in ("[]", "null", "5"):
        config.write_text(other)
        assert cli.main(["sign", "--config", str(config)]) == 1
        assert f"{config} is not a JSON object; run the playbook again" in capsys.readouterr().err


def refused(*_arguments: Any, **_options: Any) -> Any:
    raise OSError(28, "No space left on device", "/var/lib/x")


REFUSED = "/var/lib/x: No space left on device; make room on its disk, or move away what is in its way"


@pytest.mark.parametrize("module, function, arguments", [
    (signed_zones, "publish", {"zones": [], "addresses": [OWN]}), (tsig_keys, "ensure", {"keys": []}),
    (tlsa_rrsets, "observations", {"host": "vps", "zones": [], "policy": {}, "observe": True})])
def test_what_the_disk_refuses_is_one_sentence(
        module: Any, function: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, function, refused)
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["failed"], result["msg"]) == (True, REFUSED)


def test_what_the_disk_refuses_to_the_command_is_one_sentence(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(signing, "publish", refused)
    config = world.directory / "zones.json"
    config.write_text(json.dumps(world.arguments()))
    assert cli.main(["sign", "--config", str(config)]) == 1
    assert capsys.readouterr().err == f"selfhost-dane sign: {REFUSED}\n"
