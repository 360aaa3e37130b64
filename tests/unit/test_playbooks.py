# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""renew.yml, roll_tls_key.yml and status.yml as real plays, with modules that only say what a script has them say.

What the modules do has tests of its own, and the lab has real hosts; here it is what the plays hand from one to the other.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
A, B, C = "a" * 64, "b" * 64, "c" * 64
VPS, MX2, CERTIFICATE, OTHER = "vps.pyon.example", "mx2.pyon.example", "g.pyon.example", "m.pyon.example"
MODULE = '''#!/usr/bin/python3
# WANT_JSON
import json, os, sys
directory, name = {directory!r}, {name!r}
with open(sys.argv[1]) as stream:
    arguments = json.load(stream)
host = arguments.get("host", "")
call = {{"module": name, "host": host, "check": arguments.get("_ansible_check_mode", False),
         "arguments": {{key: value for key, value in arguments.items() if not key.startswith("_")}}}}
with open(os.path.join(directory, "calls"), "a") as stream:
    stream.write(json.dumps(call) + "\\n")
path = os.path.join(directory, f"{{name}}.{{host}}.json")
answer = {{"changed": False, "zones": []}}
if os.path.exists(path):
    with open(path) as stream:
        answers = json.load(stream)
    if name == "tls_certificates" and arguments.get("steps"):
        answer = answers["steps"].pop(0)
    elif name == "tlsa_rrsets" and not arguments.get("observe"):
        answer = answers["recorded"]
    else:
        answer = answers["looks"].pop(0) if len(answers["looks"]) > 1 else answers["looks"][0]
    with open(path, "w") as stream:
        json.dump(answers, stream)
print(json.dumps(answer))
'''


def ordered(*burnt: str) -> dict[str, Any]:
    return {"live": A, "asked": "", "burnt": [*burnt], "compromised": [*burnt]}


def step(kind: str, spki: str = B, host: str = VPS, certificate: str = CERTIFICATE, not_before: int | None = None,
         held: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"host": host, "certificate": certificate, "step": kind, "spki": spki, "fingerprint": C, "reason": f"because of {kind}", "held_by": list(held),
            "not_before": not_before, "deadline": None, "ordered": ordered()}


def report(live: str = A, keys: tuple[str, ...] = (A, B), host: str = VPS, certificate: str = CERTIFICATE) -> dict[str, Any]:
    return {"changed": False, "actions": [], "report": {"schema": 1, "host": host, "time": 5, "timers": {"renew": True}, "certificates": [{
        "name": certificate, "keys": [{"spki": key, "created": 10 + n, "algorithm": "ecdsa-p256", "certificate": {"fingerprint": key, "not_after": 99}}
                                      for n, key in enumerate(keys)],
        "live": {"fingerprint": live, "spki": live, "not_after": 99, "since": 10, "proven": True}, "due": "", "failures": 0, "next_attempt": 0, "error": "",
        "roll": None, "endpoints": []}]}}


class World:
    """A copy of the collection whose modules do as a script says, and an inventory of two hosts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        collection = directory / "ansible_collections/selfhost/dane"
        for part in ("playbooks", "roles", "plugins", "meta"):
            shutil.copytree(ROOT / part, collection / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "galaxy.yml", collection)
        for name in ("tlsa_rrsets", "tls_certificates", "signed_zones", "zone_files"):
            (collection / "plugins/modules" / f"{name}.py").write_text(MODULE.format(directory=str(directory), name=name), encoding="utf-8")
        (collection / "plugins/action/zone_files.py").unlink()
        self.inventory = {"all": {
            "hosts": {VPS: {"dane_ipv4": ["198.51.100.10"]}, MX2: {"dane_ipv4": ["198.51.100.12"]}},
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable,
                     "dane_zones": {"pyon.example": {"primary": VPS}},
                     "dane_certificates": {CERTIFICATE: {"hosts": [VPS], "services": {"smtp": 25}}, OTHER: {"hosts": [MX2], "services": {"https": 443}}},
                     "dane_policy": {"fall_back": 10}}}}
        self.look()

    def say(self, module: str, host: str, **answers: Any) -> None:
        """What the module says on that host: at each look (the last one for ever), to its steps, of its record."""
        (self.directory / f"{module}.{host}.json").write_text(json.dumps(answers), encoding="utf-8")

    def look(self, *plans: list[dict[str, Any]], reports: tuple[dict[str, Any], ...] = (), steps: tuple[dict[str, Any], ...] = (),
             exposures: tuple[dict[str, Any], ...] = (), published: tuple[dict[str, Any], ...] = (), alarms: tuple[str, ...] = ()) -> None:
        """The steps that each look of the primary gives, and the reports of the vps to its looks and steps."""
        zones = [{"name": "pyon.example", "tlsa": [{"owner": f"_25._tcp.{CERTIFICATE}.", "ttl": 3600, "records": [f"3 1 1 {A}", f"3 1 1 {B}"]}],
                  "tlsa_owners": [{"owner": f"_25._tcp.{CERTIFICATE}.", "backends": [{"host": VPS, "certificate": CERTIFICATE}]}]}]
        rest = step("rest", host=MX2, certificate=OTHER)
        self.say("tlsa_rrsets", VPS, recorded={"changed": False, "zones": zones, "published": list(published), "time": int(time.time())},
                 looks=[{"changed": False, "zones": zones, "steps": [*plan, rest], "seen": [], "exposures": list(exposures), "published": [], "plans": [],
                         "hosts": [], "alarms": list(alarms), "time": int(time.time())} for plan in plans or ([step("rest")],)])
        self.say("tls_certificates", VPS, looks=list(reports) or [report()], steps=list(steps))
        self.say("tls_certificates", MX2, looks=[report(host=MX2, certificate=OTHER)], steps=[])

    def play(self, name: str, *arguments: str, **more: str) -> tuple[int, str]:
        """The exit status and output of a playbook of the collection, its lines joined; `more` of the environment."""
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(self.inventory), encoding="utf-8")
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "examples/ansible.cfg"), "ANSIBLE_HOME": str(self.directory / "home"),
                       "ANSIBLE_COLLECTIONS_PATH": str(self.directory), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "False", **more}
        done = subprocess.run([str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(self.directory / "inventory.yml"), f"selfhost.dane.{name}",
                               *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, cwd=self.directory, env=environment,
                              check=False)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def calls(self, module: str, host: str = VPS) -> list[dict[str, Any]]:
        """The calls of a module on a host so far."""
        lines = (self.directory / "calls").read_text(encoding="utf-8").splitlines() if (self.directory / "calls").exists() else []
        return [call for call in map(json.loads, lines) if (call["module"], call["host"]) == (module, host)]

    def taken(self) -> list[str]:
        """The steps that the vps was told to take, in their order."""
        return [one["step"] for call in self.calls("tls_certificates") for one in call["arguments"].get("steps", ())]

    def plans(self) -> list[dict[str, Any]]:
        """The calls that asked the name servers."""
        return [call for call in self.calls("tlsa_rrsets") if call["arguments"].get("observe")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def recap(said: str, host: str) -> dict[str, int]:
    found = re.search(rf"{re.escape(host)} : ((?:\w+=\d+ ?)+)", said)
    assert found, said
    return {key: int(value) for key, value in (pair.split("=") for pair in found.group(1).split())}


def test_a_run_takes_one_step_and_ends(world: World) -> None:
    world.look([step("order")], [step("deploy")], steps=(report(),))
    status, said = world.play("renew")
    assert status == 0, said
    assert world.taken() == ["order"] and len(world.plans()) == 1
    assert sorted(one["host"] for one in world.plans()[0]["arguments"]["reports"]) == [MX2, VPS]
    assert f"{VPS}, {CERTIFICATE}: orders its next certificate: because of order" in said
    signed = [call["arguments"] for call in world.calls("signed_zones", "")]
    assert signed and all(0 <= time.time() - int(one["time"]) < 300 and int(one["clock_margin"]) == 60 for one in signed), "signs by a clock that is checked"


def test_each_host_is_told_which_certificates_are_revoked(world: World) -> None:
    status, said = world.play("renew", "-e", f"dane_revoked={C}")
    assert status == 0, said
    for host in (VPS, MX2):
        assert [call["arguments"]["revoked"] for call in world.calls("tls_certificates", host)] == [[C]]


def test_a_host_learns_which_of_its_keys_are_published_and_where_nobody_knows(world: World) -> None:
    world.look(published=({"host": VPS, "certificate": CERTIFICATE, "keys": [A]},))
    assert world.play("renew")[0] == 0
    told = [world.calls("tls_certificates", host)[-1]["arguments"]["published"] for host in (VPS, MX2)]
    assert told == [{CERTIFICATE: [A]}, {OTHER: []}]
    world.say("tlsa_rrsets", VPS, recorded={"failed": True, "msg": "the record is damaged"}, looks=[{}])
    world.play("renew")
    assert world.calls("tls_certificates", MX2)[-1]["arguments"]["published"] == {OTHER: None}


def test_a_host_stays_as_it_is_where_a_name_would_go_to_a_certificate_that_caches_do_not_know(world: World) -> None:
    world.look()
    answers = json.loads((world.directory / f"tlsa_rrsets.{VPS}.json").read_text(encoding="utf-8"))
    answers["recorded"]["moved"] = [{"host": MX2, "certificate": OTHER, "reason": "m would have another certificate; leave it"}]
    world.say("tlsa_rrsets", VPS, **answers)
    status, said = world.play("renew")
    assert status == 2 and "m would have another certificate; leave it" in said, said
    assert not world.calls("tls_certificates", MX2) and world.calls("tls_certificates", VPS), "no other host stops"
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    names = [play.get("name") for play in plays]
    at = names.index("Names that would go to another certificate")
    assert plays[at]["hosts"] == "dane_certificate_hosts" and plays[at]["tasks"][0]["ansible.builtin.import_tasks"] == "tasks/moved.yml"
    assert names.index("Zones, with the TLSA records that are on record") < at < names.index("Web servers, for the challenges of the CA")


def test_a_host_speaks_for_itself_alone(world: World) -> None:
    world.look()
    world.say("tls_certificates", MX2, looks=[report(host=VPS, certificate=CERTIFICATE, live=C, keys=(C, B))], steps=[])
    world.play("renew")
    told = {one["host"]: one["certificates"][0]["live"]["spki"] for one in world.plans()[0]["arguments"]["reports"]}
    assert told == {VPS: A, MX2: C}


def test_a_host_does_not_speak_for_another_by_the_facts_that_it_returns(world: World) -> None:
    """Also where Ansible makes variables of them: then a host can say that it has the name of another one."""
    forged = report(host=VPS, certificate=CERTIFICATE, live=C, keys=(C, B))
    world.look()
    world.say("tls_certificates", MX2, looks=[{**forged, "ansible_facts": {"inventory_hostname": VPS, "tls_certificates_report": forged["report"]}}], steps=[])
    world.play("renew", ANSIBLE_INJECT_FACT_VARS="true")
    told = [[(one["host"], one["certificates"][0]["live"]["spki"]) for one in call["arguments"]["reports"]] for call in world.plans()]
    assert told and all(sorted(one) == [(MX2, C), (VPS, A)] for one in told)


def test_a_primary_has_no_say_in_the_zones_of_others_whatever_slice_it_returns(world: World) -> None:
    forged = {"primary_zones": [{"name": "pyon.example", "tlsa_owners": [{"owner": f"_25._tcp.{CERTIFICATE}.",
                                                                         "backends": [{"host": VPS, "certificate": CERTIFICATE}]}]}]}
    world.inventory["all"]["vars"]["dane_zones"]["elsewhere.example"] = {"primary": MX2}
    world.look([step("order")], steps=(report(),))
    world.say("tlsa_rrsets", MX2, looks=[{}], recorded={
        "changed": False, "zones": [], "time": int(time.time()), "bound": [{"host": VPS, "certificate": CERTIFICATE, "bound": True}],
        "published": [{"host": VPS, "certificate": CERTIFICATE, "keys": [C]}], "ansible_facts": {"dane": forged}})
    world.play("renew")
    told = world.calls("tls_certificates")[0]["arguments"]
    assert (told["bound"], told["published"]) == ({}, {CERTIFICATE: []})
    assert world.taken() == ["order"]


def test_a_host_gives_keys_under_its_own_name_alone(world: World) -> None:
    """Those for zone transfers, and those by which ssh knows it."""
    plays = {play["name"]: play for play in yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8")) if "name" in play}
    tsig = plays["Name servers"]["tasks"][0]["vars"]["nsd_tsig_keys"]
    known = plays["The host that works unattended"]["tasks"][1]["vars"]["unattended_known_hosts"]
    said = {"name": "Say it", "ansible.builtin.set_fact": {
        "nsd_tsig_made": [{"name": VPS, "secret": "of {{ inventory_hostname }}"}],
        "unattended_reached": {"name": "192.0.2.1", "port": 22, "keys": ["of {{ inventory_hostname }}"]},
        "ansible_facts": {"dane": {"secondary_zones": [{"primary": {"host": VPS}}, {"primary": {"host": MX2}}]}}}}
    group = {"name": "Name them", "ansible.builtin.group_by": {"key": "dane_unattended_reached"}}
    path = world.directory / "found.json"
    write = {"name": "Write it", "ansible.builtin.copy": {"dest": str(path), "content": "{{ {'tsig': tsig, 'known': known} | to_json }}"}, "run_once": True,
             "vars": {"tsig": tsig, "known": known}}
    (world.directory / "ansible_collections/selfhost/dane/playbooks/keys.yml").write_text(yaml.safe_dump(
        [{"name": "Keys", "hosts": "all", "gather_facts": False, "tasks": [said, group, write]}]), encoding="utf-8")
    world.inventory["all"]["hosts"][VPS] |= {"ansible_host": "192.0.2.1", "ansible_port": 2222}
    status, output = world.play("keys")
    assert status == 0, output
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["tsig"] == [{"name": VPS, "secret": f"of {VPS}"}, {"name": MX2, "secret": f"of {MX2}"}]
    assert sorted(found["known"], key=lambda one: -one["port"]) == [{"name": "192.0.2.1", "port": 2222, "keys": [f"of {VPS}"]},
                                                                    {"name": MX2, "port": 22, "keys": [f"of {MX2}"]}]


def failed(again: int = 3600) -> dict[str, Any]:
    """The report of a host that tried to order for another key, and does so again after so many seconds."""
    told = report()
    told["report"]["certificates"][0]["roll"] = {"spki": B, "failures": 1, "next_attempt": int(time.time()) + again, "error": "the CA is down"}
    return told


def test_a_run_in_which_something_failed_says_so_and_does_the_rest(world: World) -> None:
    world.look([step("order")], steps=(failed(),))
    status, said = world.play("renew")
    assert status == 2 and f"{CERTIFICATE} does not go over to another key: 1 attempt failed, the last with: the CA is down" in said, said
    assert recap(said, VPS)["failed"] == 1 and recap(said, MX2)["failed"] == 0


def test_what_the_operator_has_to_see_to_is_a_failure_beside_what_failed(world: World) -> None:
    world.look([step("order")], reports=(failed(),), steps=(failed(),), alarms=("ALARM: pyon.example had a DS",))
    status, said = world.play("renew")
    assert status == 2 and "ALARM: pyon.example had a DS | " in said and "the last with: the CA is down" in said, said
    world.look([step("rest")], alarms=("ALARM: pyon.example had a DS",))
    assert world.play("renew")[0] == 2
    world.look([step("rest")])
    assert world.play("renew")[0] == 0


def test_a_primary_that_was_not_told_of_a_compromised_key_is_named(world: World) -> None:
    world.inventory["all"]["vars"]["dane_zones"]["elsewhere.example"] = {"primary": MX2}
    world.inventory["all"]["vars"]["dane_certificates"][CERTIFICATE]["names"] = [CERTIFICATE, "g.elsewhere.example"]
    world.look([{**step("deploy"), "ordered": ordered(A)}])
    world.say("tlsa_rrsets", MX2, recorded={"changed": False, "zones": [], "time": int(time.time())}, looks=[
        {"changed": False, "zones": [], "steps": [step("rest")], "seen": [], "plans": [], "hosts": [], "alarms": [], "time": int(time.time())}])
    status, said = world.play("renew")
    assert status == 2 and f"{VPS} knows that others may have a key of it, and {MX2}, in whose zones it has names too, was not told" in said, said
    assert not world.taken()
    assert recap(said, VPS)["failed"] == 1 and recap(said, MX2)["failed"] == 0


def test_what_failed_is_said_although_it_is_not_tried_again_yet(world: World) -> None:
    world.look([step("order")], reports=(failed(),), steps=(failed(),))
    assert world.play("renew")[0] == 2
    world.look([step("rest")], reports=(failed(),))
    assert world.play("renew")[0] == 0  # nobody wants it any more


def test_where_somebody_waits_what_failed_is_tried_at_once_but_not_in_each_round(world: World) -> None:
    world.look([step("order")], [step("order")], [step("rest")], reports=(failed(),), steps=(failed(again=0), report()))
    status, said = world.play("renew", "-e", "dane_wait=true")
    assert [one.get("retry", False) for call in world.calls("tls_certificates") for one in call["arguments"].get("steps", ())] == [True, False], said
    world.look([step("order")], steps=(report(),))
    world.play("renew")
    assert not world.calls("tls_certificates")[-1]["arguments"]["steps"][0].get("retry")


def test_a_run_that_waits_goes_on_until_all_rest(world: World) -> None:
    world.look([step("publish")], [step("wait", not_before=int(time.time()) + 3600)], [step("order")], [step("deploy")], [step("rest")],
               steps=(report(), report(live=B)))
    status, said = world.play("renew", "-e", "dane_wait=true", "-e", f"dane_roll={CERTIFICATE}")
    assert status == 0, said
    assert world.taken() == ["order", "deploy"]
    assert [call["arguments"]["roll"] for call in world.plans()] == [[CERTIFICATE], [], [], [], []], "asked for once, or it would roll again and again"
    assert "waits: because of wait; goes on at the latest in" in said


def test_it_stops_where_only_somebody_else_can_help(world: World) -> None:
    path = world.directory / "ansible_collections/selfhost/dane/plugins/module_utils/progress.py"
    path.write_text(path.read_text(encoding="utf-8").replace("PATIENCE = 5 ", "PATIENCE = 1 "), encoding="utf-8")
    world.look([step("wait", held=("198.51.100.11 is mute",))])
    status, said = world.play("renew", "-e", "dane_wait=true")
    assert status == 2
    assert len(world.plans()) == 2
    assert f"Not arrived: {VPS}, {CERTIFICATE}: waits: because of wait; held back: 198.51.100.11 is mute. Cure that, and run it again" in said


def test_a_host_that_is_lost_in_a_later_round_is_back_in_the_next(world: World) -> None:
    """In the second round the primary fails, in the third the other host is unreachable."""
    ssh = world.directory / "ssh"
    ssh.write_text(f"""#!/bin/sh
[ "$(grep -c '"tlsa_rrsets"' {world.directory}/calls)" != 4 ] || exit 255
for last; do :; done
exec sh -c "$last"
""", encoding="utf-8")
    ssh.chmod(0o755)
    world.inventory["all"]["hosts"][MX2] |= {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh), "ansible_ssh_transfer_method": "piped"}
    world.look([step("publish")], [step("wait", not_before=int(time.time()) + 3600)], [step("order")], [step("rest")],
               reports=(report(), {"failed": True, "msg": "out of order"}, report()), steps=(report(),))
    status, said = world.play("renew", "-e", "dane_wait=true")
    assert status == 0, said
    assert f"{VPS} was not reached, or failed, in this round" in said and f"{MX2} was not reached, or failed, in this round" in said
    assert recap(said, VPS)["rescued"] == recap(said, MX2)["rescued"] == 1
    assert world.taken() == ["order"]
    assert [len(call["arguments"]["reports"]) for call in world.plans()] == [2, 1, 2, 2]


def test_a_plan_from_before_the_controller_slept_is_not_acted_on(world: World) -> None:
    path = world.directory / f"tlsa_rrsets.{VPS}.json"
    world.look([step("order")])
    path.write_text(path.read_text(encoding="utf-8").replace(f'"time": {int(time.time())}', f'"time": {int(time.time()) - 901}'), encoding="utf-8")
    status, said = world.play("renew")
    assert status == 2 and "as if this controller had slept; others may have planned anew, so nothing is published: run it again" in said, said
    assert not world.taken()


def test_a_wrong_answer_is_one_sentence_and_touches_nothing(world: World) -> None:
    status, said = world.play("roll_tls_key", "-e", "roll_why=stolen", "-e", "roll_host=vsp.pyon.example")
    assert status == 2 and "roll_host: no host 'vsp.pyon.example' has a certificate; did you mean vps.pyon.example?" in said, said
    assert not (world.directory / "calls").exists()


EXPOSED = {"host": VPS, "certificate": CERTIFICATE, "earliest": 0, "latest": 0, "cached": 7260, "signed": 2419200}


def test_a_stolen_key_rolls_at_once_where_a_clean_one_may_go_live(world: World) -> None:
    world.look([step("rest")], [step("order")], [step("order")], [step("deploy")], [step("rest")], reports=(report(), report(), report(), report(live=B)),
               steps=(report(), report(live=B)), exposures=(EXPOSED,))
    status, said = world.play("roll_tls_key", "-e", "roll_why=stolen", "-e", f"roll_certificate={CERTIFICATE}")
    assert status == 0, said
    assert [(call["check"], call["arguments"]["compromised"], call["arguments"]["revoke_now"]) for call in world.plans()] == [
        (True, [], False), (True, [A], False), (False, [A], False), (False, [A], False), (False, [A], False)]
    assert "A clean key can go live at once, and nobody is refused" in said and "7260 seconds" in said
    assert (f"cp /var/lib/selfhost-dane/certificates/{CERTIFICATE}/versions/{A}/cert.pem /root/{CERTIFICATE}-{A[:16]}.pem &&"
            f" dehydrated --config /etc/dehydrated/config --revoke /root/{CERTIFICATE}-{A[:16]}.pem") in said
    assert all(call["check"] for call in world.calls("tls_certificates")[:1])


@pytest.mark.parametrize(("answer", "revoke_now"), [("revoke_now", True), ("", None)])
def test_the_harm_is_asked_for_where_there_is_one(world: World, answer: str, revoke_now: bool | None) -> None:
    now = int(time.time())
    world.look([step("rest")], [step("wait")], [step("rest")], exposures=({**EXPOSED, "earliest": now + 97260, "latest": now + 700000},),
               published=({"host": VPS, "certificate": CERTIFICATE, "keys": [A, B, C]},))
    status, said = world.play("roll_tls_key", "-e", "roll_why=lost", "-e", f"roll_host={VPS}", *(("-e", f"roll_harm={answer}") if answer else ()))
    acted = [call["arguments"] for call in world.plans() if not call["check"]]
    assert "stay_up: everybody can connect" in said and "revoke_now: the key changes within minutes" in said
    assert f"{VPS} is the primary of pyon.example, so who has it has the key of that zone too" in said
    if revoke_now is None:
        assert status == 2 and "roll_harm is not answered, and no clean key may go live yet; answer stay_up or revoke_now" in said
        assert not acted and all(call["check"] for call in world.calls("tls_certificates"))
    else:
        assert status == 0, said
        assert [(one["compromised"], one["revoke_now"]) for one in acted] == [([A, B, C], revoke_now)]


def test_the_status_writes_nothing(world: World) -> None:
    world.look([step("wait", not_before=int(time.time()) + 3 * 86400 + 60, held=("198.51.100.11 may still serve it",))])
    status, said = world.play("status")
    assert status == 0, said
    assert world.calls("tlsa_rrsets") and all(call["check"] for call in [*world.calls("tlsa_rrsets"), *world.calls("tls_certificates")])
    assert not [line for line in (world.directory / "calls").read_text(encoding="utf-8").splitlines() if "zone" in json.loads(line)["module"]]
    for wanted in (f"{CERTIFICATE} on {VPS}: waits", "held by 198.51.100.11 may still serve it",
                   "it goes over to its next certificate, at the latest in 3 days (",
                   f"keys live {A[:16]}... for", f"next {B[:16]}... made", f"records _25._tcp.{CERTIFICATE}. 3600 TLSA 3 1 1 aaaaaaaa.., 3 1 1 bbbbbbbb.."):
        assert wanted in said, said


@pytest.mark.parametrize("tasks", ["tsig.yml", "configure.yml"])
def test_what_is_wrong_with_a_tsig_key_is_said_without_its_secret(world: World, tasks: str) -> None:
    keys, secret = world.directory / "keys", "c2VjcmV0IQ=="
    keys.mkdir()
    (keys / f"{VPS}.conf").write_text(f'key:\n    secret: "{secret}"\n', encoding="utf-8")
    collection = world.directory / "ansible_collections/selfhost/dane"
    call = {"name": "Call it", "ansible.builtin.import_role": {"name": "selfhost.dane.nsd", "tasks_from": tasks},
            "vars": {"nsd_listen": ["198.51.100.10"], "nsd_primary_zones": [{"name": "pyon.example"}]}}
    paths = {"name": "Load the paths", "ansible.builtin.include_vars": str(collection / "roles/nsd/vars/Debian.yml")}
    system = {"name": "Name the system", "ansible.builtin.set_fact": {"ansible_facts": {
        "distribution": "Debian", "distribution_major_version": "12", "os_family": "Debian"}}}
    play = {"name": "Keys", "hosts": VPS, "gather_facts": False, "tasks": [system, paths, call]}
    (collection / "playbooks/keys.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    status, said = world.play("keys", "-vvv", "-e", f"__nsd_tsig_directory={keys}")
    assert status == 2 and f"{VPS}: the secret of the TSIG key {VPS} is not base64 of 16 octets or more; remove its file on the primary" in said, said
    assert secret not in said
