# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, orders, versions and the live link, with a fake dehydrated, a CA of our own and fake services."""
from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import certificates, files, process, tls_client, x509
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "g.pyon.example"
DAY = 86400
START = 1795000000


class Authority:
    """A root and an intermediate that sign CSRs."""

    def __init__(self) -> None:
        self.root_key, self.key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign("Root", self.root_key.public_key(), "Root", self.root_key, START - DAY, 4000 * DAY, True)
        self.intermediate = self._sign("Intermediate", self.key.public_key(), "Root", self.root_key, START - DAY, 2000 * DAY, True)

    def _sign(self, subject: str, public: Any, issuer: str, key: Any, start: int, life: int, ca: bool, names: tuple[str, ...] = ()) -> Any:
        def name(text: str) -> Any:
            return cx509.Name([cx509.NameAttribute(cx509.NameOID.COMMON_NAME, text)])

        def date(moment: int) -> Any:
            return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)

        builder = cx509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(public) \
            .serial_number(cx509.random_serial_number()).not_valid_before(date(start)).not_valid_after(date(start + life)) \
            .add_extension(cx509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(cx509.SubjectAlternativeName([cx509.DNSName(one) for one in names]), critical=False)
        return builder.sign(key, hashes.SHA256())

    def issue(self, public: Any, names: tuple[str, ...], start: int, life: int) -> list[Any]:
        """Leaf and intermediate."""
        return [self._sign("leaf", public, "Intermediate", self.key, start, life, False, names), self.intermediate]


AUTHORITY = Authority()


@dataclass
class World:
    """One host: its disk, what the CA does, what the services present, and the time."""

    root: Path
    config: certificates.Config
    now: int = START
    life: int = 90 * DAY
    orders: int = 0
    refuse: str = ""
    change: Callable[[list[Any]], list[Any]] = staticmethod(lambda chain: chain)  # type: ignore[assignment]
    presents: str = ""      # fingerprint; "" is a closed port
    takes_new: bool = True  # the unit presents what is live after its restart
    active: bool = True
    restarts: int = 0
    forgotten: bool = False
    registered: int = 0
    issued: dict[str, bytes] = field(default_factory=dict)

    def run(self, **options: Any) -> certificates.Result:
        """One run."""
        return certificates.run(self.config, now=self.now, config_path=str(self.root / "etc" / "certificates.json"), **options)

    def live(self) -> str:
        """The fingerprint of what is live."""
        return os.path.basename(os.readlink(self.config.link(NAME)))

    def spki(self) -> str:
        """Of what is live."""
        return x509.spki_sha256(x509.load_certificates(Path(self.config.link(NAME), "cert.pem").read_bytes(), "live")[0])

    def process(self, argv: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        """In place of process.run."""
        def done(status: int = 0, out: str = "", err: str = "") -> subprocess.CompletedProcess[bytes]:
            return subprocess.CompletedProcess(argv, status, out.encode(), err.encode())

        if argv[:2] == ["systemctl", "is-active"]:
            return done(0 if self.active else 3)
        if argv[0] == "systemctl":
            assert argv[1] == "restart"
            self.restarts += 1
            if self.takes_new is True or self.takes_new == self.live():
                self.presents = self.live()
            return done()
        assert argv[0] == "timeout" and argv[3:6] == [self.config.dehydrated_command, "--config", self.config.dehydrated_config]
        arguments, base = argv[6:], self.root / "dehydrated"
        if arguments == ["--env"]:
            return done(0, "".join(f'declare -- {key}="{base}/{value}"\n' for key, value in {
                "ACCOUNT_KEY": "key", "ACCOUNT_KEY_JSON": "info.json", "ACCOUNT_ID_JSON": "id.json", "CERTDIR": "certs", "LOCKFILE": "lock",
                "CA": "dir"}.items()))
        if arguments[0] == "--register":
            self.registered += 1
            if "--privkey" in arguments:
                assert arguments[-1] == f"{base}/key"
                for file in ("key.json", "key_id.json"):
                    (base / file).write_text("again")
                self.forgotten = False
            else:
                (base / "key").write_text("account")
            return done()
        assert arguments == ["--cron", "--force", "--domain", " ".join(self.config.certificates[0].names), "--alias", NAME]
        if (base / "lock").exists():
            return done(1, "", f"ERROR: Lock file '{base}/lock' present, aborting.\n")
        if self.forgotten:
            return done(1, "", '+ ERROR: (Status 400)\n{"type": "urn:ietf:params:acme:error:accountDoesNotExist", "detail": "who?"}')
        if self.refuse:
            return done(1, " + Requesting new certificate order from CA...\n", self.refuse)
        self.orders += 1
        csr = x509.load_csr(Path(self.config.requests, f"{NAME}.csr").read_bytes(), "csr")
        names = csr.extensions.get_extension_for_class(cx509.SubjectAlternativeName).value.get_values_for_type(cx509.DNSName)
        chain = self.change(AUTHORITY.issue(csr.public_key(), tuple(names), self.now - 60, self.life))
        self.issued[x509.fingerprint(chain[0])] = x509.der(chain[0])
        target = base / "certs" / NAME
        target.mkdir(parents=True, exist_ok=True)
        (target / f"fullchain-{self.orders}.pem").write_bytes(x509.pem(chain))
        (target / "fullchain.pem").write_bytes(x509.pem(chain))
        return done()

    def probe_many(self, endpoints: list[tuple[str, int, str, str]], **_options: Any) -> list[tls_client.Presented]:
        """In place of tls_client.probe_many."""
        found = []
        for address, port, service, name in endpoints:
            if self.presents:
                found.append(tls_client.Presented(address, port, service, name, chain=(self.issued[self.presents],)))
            else:
                found.append(tls_client.Presented(address, port, service, name, error="closed"))
        return found


@pytest.fixture(name="world")
def fixture_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A host on which nothing has happened yet; time stands still but for what waits."""
    program = tmp_path / "dehydrated.sh"
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "dehydrated").mkdir()
    wanted = certificates.Wanted(NAME, [NAME], "ecdsa-p256", [certificates.Service("smtp", 25, NAME), certificates.Service("https", 443, NAME)])
    config = certificates.Config("vps.pyon.example", ["198.51.100.10", "2001:db8:51::10"], [wanted], {"smtp": "sendmail", "https": "apache2"},
                                 str(program), "/etc/dehydrated/config", str(tmp_path / "state" / "requests"), str(tmp_path / "state"))
    world = World(tmp_path, config)
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(process, "run", world.process)
    monkeypatch.setattr(tls_client, "probe_many", world.probe_many)
    monkeypatch.setattr(certificates.time, "sleep", sleep)
    monkeypatch.setattr(certificates.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(certificates.time, "time", lambda: world.now)
    monkeypatch.setattr(certificates, "running_scripts", lambda name: iter(()))
    return world


def snapshot(root: Path) -> dict[str, Any]:
    """All files and links with their inode, so that a file written anew counts as another."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path)] = os.readlink(path) if path.is_symlink() else (status.st_ino, status.st_mode, path.is_file() and path.read_bytes())
    return found


def test_first_issue_makes_two_private_keys_and_one_version(world: World) -> None:
    result = world.run()
    assert result.changed and not result.failures and not result.warnings
    keys = sorted(Path(world.config.certificate_directory(NAME), "keys").iterdir())
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600]
    assert stat.S_IMODE(keys[0].parent.stat().st_mode) == 0o700
    assert [key.name[:10] for key in keys] == [str(START), str(START + 1)]
    assert world.spki() == keys[0].name[11:-4]
    live = Path(world.config.link(NAME))
    assert sorted(path.name for path in live.iterdir()) == ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]
    assert stat.S_IMODE((live / "privkey.pem").stat().st_mode) == 0o600
    assert not os.path.isabs(os.readlink(live))
    assert (live / "fullchain.pem").read_bytes() == (live / "cert.pem").read_bytes() + (live / "chain.pem").read_bytes()
    assert (live / "privkey.pem").read_bytes() == keys[0].read_bytes()


def test_report_has_the_shape_and_no_private_key(world: World) -> None:
    world.run()
    report = world.run().report
    assert (report["schema"], report["host"], report["time"], report["timers"]) == (1, "vps.pyon.example", START, {"renew": True})
    [item] = report["certificates"]
    assert item["name"] == NAME and [key["algorithm"] for key in item["keys"]] == ["ecdsa-p256"] * 2
    assert item["live"] == {"fingerprint": world.live(), "spki": world.spki(), "not_after": START - 60 + 90 * DAY}
    assert len(item["endpoints"]) == 4
    assert item["endpoints"][0] == {"service": "smtp", "port": 25, "name": NAME, "address": "198.51.100.10", "spki": world.spki(),
                                    "fingerprint": world.live(), "error": ""}
    assert "PRIVATE" not in json.dumps(report)


def test_second_run_changes_nothing_at_all(world: World) -> None:
    world.run()
    before = snapshot(world.root)
    result = world.run()
    assert not result.changed and not result.actions and result.before == result.after
    assert snapshot(world.root) == before
    assert (world.orders, world.restarts) == (1, 2)


def test_check_mode_says_what_it_would_do_and_does_nothing(world: World) -> None:
    before = snapshot(world.root)
    result = world.run(check=True)
    assert result.changed and snapshot(world.root) == before and not world.orders
    assert "order a certificate" in "\n".join(result.actions) and result.after.count("a new key") == 2
    world.run()
    before = snapshot(world.root)
    assert not world.run(check=True).changed
    world.now += 61 * DAY
    assert world.run(check=True).changed and snapshot(world.root) == before and world.orders == 1


@pytest.mark.parametrize("life", [90 * DAY, 120])
@pytest.mark.parametrize("by_timer", [True, False])
def test_renewal_at_a_third_of_the_life_keeps_the_key(world: World, life: int, by_timer: bool) -> None:
    world.life = life
    world.run()
    first, spki = world.live(), world.spki()
    world.now = START - 60 + life - life // 3 - 1
    assert not world.run(by_timer=by_timer).changed
    world.now += 1
    result = world.run(by_timer=by_timer)
    assert result.changed and world.live() != first and world.spki() == spki and world.presents == world.live()
    assert world.orders == 2 and len(os.listdir(Path(world.config.certificate_directory(NAME), "keys"))) == 2


def test_other_names_are_ordered(world: World) -> None:
    world.run()
    world.config = replace(world.config, certificates=[replace(world.config.certificates[0], names=[NAME, "pyon.example"])])
    spki = world.spki()
    world.run()
    assert world.orders == 2 and world.spki() == spki


@pytest.mark.parametrize("file", ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"])
def test_a_damaged_live_version_is_replaced_with_the_same_key(world: World, file: str) -> None:
    world.run()
    spki = world.spki()
    Path(world.config.link(NAME), file).write_bytes(b"rubbish")
    result = world.run()
    assert not result.failures and world.spki() == spki
    certificates.judge_chain(x509.load_certificates(Path(world.config.link(NAME), "fullchain.pem").read_bytes(), "x"), world.now)
    assert certificates.read_live(world.config, NAME, world.now).problem == ""  # type: ignore[union-attr]


def test_another_algorithm_makes_a_next_key_and_keeps_the_current(world: World) -> None:
    world.run()
    spki = world.spki()
    world.config = replace(world.config, certificates=[replace(world.config.certificates[0], algorithm="rsa-2048")])
    report = world.run().report
    assert [key["algorithm"] for key in report["certificates"][0]["keys"]] == ["ecdsa-p256", "ecdsa-p256", "rsa-2048"]
    assert world.spki() == spki and world.orders == 1


# What must not happen

def spoil_mode(path: Path) -> None:
    path.chmod(0o640)


def spoil_content(path: Path) -> None:
    path.write_bytes(b"not PEM")


def spoil_other(path: Path) -> None:
    path.write_bytes(x509.private_key_pem(x509.make_private_key("ecdsa-p256")))


def spoil_link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


def spoil_directory(path: Path) -> None:
    path.parent.chmod(0o755)


def spoil_missing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("spoil", "said"), [
    (spoil_mode, "open to other users"), (spoil_content, "neither PEM nor DER"), (spoil_other, "another key than its name"),
    (spoil_link, "symbolic link"), (spoil_directory, "open to other users"), (spoil_missing, "is missing in"),
])
def test_key_files_are_judged_before_anything_changes(world: World, spoil: Callable[[Path], None], said: str) -> None:
    world.run()
    spoil(min(Path(world.config.certificate_directory(NAME), "keys").iterdir()))
    world.now += 80 * DAY
    before = snapshot(world.root)
    for check in (False, True):
        with pytest.raises(DaneError, match=said):
            world.run(check=check)
    assert snapshot(world.root) == before and world.orders == 1
    result = world.run(by_timer=True)
    assert said in result.failures[0] and snapshot(world.root) == before


def test_a_key_of_another_user_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    monkeypatch.setattr(certificates.os, "geteuid", lambda: 4711)
    with pytest.raises(DaneError, match="belongs to the user"):
        world.run()


@pytest.mark.parametrize("said", ["ERROR: Problem connecting to server (get for https://ca/dir; curl returned with 7)\n",
                                  'ERROR: x\x1b[31m\n{"type": "rateLimited", "detail": "too many \\"orders\\""}\n'])
def test_a_ca_that_refuses_leaves_all_as_it_was(world: World, said: str) -> None:
    world.run()
    world.refuse, world.now = said, world.now + 65 * DAY
    live, restarts = world.live(), world.restarts
    result = world.run()
    assert not result.failures and len(result.warnings) == 1 and world.live() == live and world.restarts == restarts
    assert NAME in result.warnings[0] and "ERROR: " in result.warnings[0] and "\x1b" not in result.warnings[0]


def test_no_certificate_at_all_is_a_failure_with_the_words_of_the_ca(world: World) -> None:
    world.refuse = 'ERROR: x\n{"detail": "policy forbids"}\n'
    result = world.run()
    assert len(result.failures) == 1 and NAME in result.failures[0] and "policy forbids" in result.failures[0]
    world.refuse = ""
    assert not world.run().failures and world.live()
    assert len(os.listdir(Path(world.config.certificate_directory(NAME), "keys"))) == 2


@pytest.mark.parametrize(("change", "said"), [
    (lambda chain: chain[:1], "leaf alone"),
    (lambda chain: chain[::-1], "another key|not in its order"),
    (lambda chain: AUTHORITY.issue(x509.make_private_key("ecdsa-p256").public_key(), (NAME,), START - 60, DAY), "another key"),
    (lambda chain: AUTHORITY.issue(chain[0].public_key(), ("other.example",), START - 60, DAY), "has the names other.example"),
    (lambda chain: AUTHORITY.issue(chain[0].public_key(), (NAME,), START - 2 * DAY, DAY), "has expired"),
    (lambda chain: AUTHORITY.issue(chain[0].public_key(), (NAME,), START + 600, DAY), "only from"),
    (lambda chain: [chain[0], Authority().intermediate], "issued no other"),
])
def test_what_the_ca_sent_is_judged_before_it_is_live(world: World, change: Any, said: str) -> None:
    world.change = change  # type: ignore[method-assign]
    result = world.run()
    assert not os.path.lexists(world.config.link(NAME))
    assert not os.listdir(Path(world.config.certificate_directory(NAME), "versions"))
    assert re.search(said, result.failures[0])


def test_the_timer_backs_off_and_the_playbook_does_not(world: World) -> None:
    world.run()
    world.now += 65 * DAY
    world.refuse = "ERROR: no\n"
    tries = 0
    moments = []
    original = world.process

    def counted(argv: list[str], **options: Any) -> Any:
        nonlocal tries
        if "--cron" in argv:
            tries += 1
            moments.append(world.now)
        return original(argv, **options)

    process.run = counted  # type: ignore[assignment]  # undone with the fixture's own patch
    for _hour in range(48):
        result = world.run(by_timer=True)
        assert result.warnings
        world.now += 1800
    assert [moments[i + 1] - moments[i] for i in range(len(moments) - 1)] == [3600, 7200, 14400, 28800]
    done = tries
    world.run()
    assert tries == done + 1
    world.refuse = ""
    world.run()
    assert certificates.read_state(world.config, NAME) == certificates.State()


def test_back_off_fits_into_a_short_life() -> None:
    live = certificates.Live(not_before=0, not_after=120)
    assert [certificates.back_off(n, live) for n in (1, 2, 3, 4, 9)] == [1, 3, 6, 10, 10]
    assert certificates.back_off(50, None) == DAY


def test_the_timer_makes_nothing_live_where_nothing_is(world: World) -> None:
    world.run()
    os.unlink(world.config.link(NAME))
    result = world.run(by_timer=True)
    assert "run the playbook" in result.failures[0] and not os.path.lexists(world.config.link(NAME))
    world.run()
    assert world.live() and world.orders == 1  # the version was there


def test_a_version_with_another_key_is_never_made_live(world: World) -> None:
    world.run()
    found = certificates.inspect(world.config, world.config.certificates[0], world.now)
    chain = AUTHORITY.issue(x509.load_private_key(Path(found.keys[1].path).read_bytes(), "x").public_key(), (NAME,), START, DAY)
    fingerprint = certificates.store_version(world.config, NAME, chain, found.keys[1])
    live = world.live()
    with pytest.raises(DaneError, match="another key"):
        certificates.put_live(world.config, found, fingerprint, world.now)
    assert world.live() == live
    world.now += 65 * DAY
    spki = world.spki()
    world.run()
    assert world.spki() == spki


# Accounts and locks

def test_a_forgotten_account_is_registered_again_with_its_key(world: World) -> None:
    world.run()
    assert world.registered == 1
    world.forgotten, world.now = True, world.now + 65 * DAY
    assert not world.run(by_timer=True).warnings
    assert world.registered == 2 and (world.root / "dehydrated" / "id.json").read_text() == "again"
    assert (world.root / "dehydrated" / "key").read_text() == "account"


def test_the_lock_of_a_killed_dehydrated_is_removed(world: World) -> None:
    (world.root / "dehydrated" / "lock").write_text("date")
    assert not world.run().failures and world.live()


def test_the_lock_of_a_living_dehydrated_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = world.root / "dehydrated" / "lock"
    lock.write_text("date")
    monkeypatch.setattr(certificates, "running_scripts", lambda name: iter((4242,)))
    result = world.run()
    assert "process 4242" in result.failures[0] and lock.exists() and not world.orders
    asked = []

    def ends(_name: str) -> Any:
        asked.append(1)
        if len(asked) == 3:
            lock.unlink()
        return iter((4242,))

    monkeypatch.setattr(certificates, "running_scripts", ends)
    assert not world.run().failures and world.orders == 1


def test_running_scripts_finds_a_script_by_its_name(tmp_path: Path) -> None:
    script = tmp_path / "dehydrated-for-a-test"
    script.write_text("#!/bin/sh\necho there\nread line\n")
    script.chmod(0o755)
    with subprocess.Popen([str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"there\n"
        assert list(certificates.running_scripts(script.name)) == [running.pid]
        running.communicate(b"\n")
    assert not list(certificates.running_scripts(script.name))


# Use

def test_a_service_that_does_not_take_it_is_given_the_old_one_back(world: World) -> None:
    world.run()
    old = world.live()
    world.now += 65 * DAY
    world.takes_new = old  # type: ignore[assignment]
    world.presents = old

    original = world.process

    def breaks(argv: list[str], **options: Any) -> Any:
        if argv[:2] == ["systemctl", "restart"] and world.live() != old:
            world.presents = ""  # STARTTLS is gone
        return original(argv, **options)

    process.run = breaks  # type: ignore[assignment]
    result = world.run(by_timer=True)
    assert world.live() == old and world.presents == old
    assert any("is live again" in line for line in result.warnings)
    assert [endpoint["error"] for endpoint in result.report["certificates"][0]["endpoints"]] == [""] * 4
    assert certificates.read_state(world.config, NAME).failures == 1 and world.orders == 2
    # not at once again, and then without another order
    restarts = world.restarts
    world.run(by_timer=True)
    assert world.restarts == restarts
    world.now += 3600
    world.takes_new = True
    process.run = original  # type: ignore[assignment]
    assert not world.run(by_timer=True).warnings
    assert world.live() != old and world.orders == 2
    assert certificates.read_state(world.config, NAME) == certificates.State()


def test_going_back_is_refused_to_an_expired_certificate(world: World) -> None:
    world.run()
    old = world.live()
    world.now += 91 * DAY
    world.takes_new = False
    result = world.run()
    assert world.live() != old and any("no going back" in line for line in result.warnings)


def test_a_service_that_was_missed_is_restarted_later(world: World) -> None:
    world.run()
    old = world.presents
    world.now += 65 * DAY
    world.run(probe=False)
    assert world.presents == old != world.live()
    assert world.run().changed and world.presents == world.live()
    assert not world.run().changed


def test_a_reader_is_restarted_when_it_is_older_than_what_is_live(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as dovecot, which presents the certificate on localhost, where nobody probes."""
    started = {"dovecot": ""}  # with the certificate that was live then

    def judge(service: Any) -> str:
        assert service.files == [world.config.link(NAME)]
        return "" if started[service.unit] == world.live() else "it is old"

    real = world.process

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if argv[:3] == ["systemctl", "restart", "dovecot"]:
            started["dovecot"] = world.live()
            return subprocess.CompletedProcess(argv, 0, b"", b"")
        return real(argv, **options)

    monkeypatch.setattr(certificates.running, "judge", judge)
    monkeypatch.setattr(process, "run", run)
    world.config = replace(world.config, readers={NAME: ["dovecot"]})
    assert "restarting dovecot" in world.run().actions
    assert not world.run().changed
    world.now += 65 * DAY
    world.run(probe=False)
    assert started["dovecot"] != world.live()
    assert "restart dovecot" in world.run(check=True).actions
    assert world.run(by_timer=True).changed and started["dovecot"] == world.live()
    world.active, started["dovecot"] = False, ""
    assert not world.run().changed  # somebody has stopped it


def test_a_unit_that_is_not_active_is_left_alone(world: World) -> None:
    world.active = False
    result = world.run()
    assert not result.failures and world.restarts == 0
    assert {endpoint["error"] for endpoint in result.report["certificates"][0]["endpoints"]} == {"closed"}
    assert not world.run().changed


# Dying at every step

def crash_points(world: World, monkeypatch: pytest.MonkeyPatch, at: int) -> list[str]:
    """Die in place of the `at`-th durable effect; the list fills with the effects."""
    seen: list[str] = []

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def dying(*arguments: Any, **options: Any) -> Any:
            if owner is os and not str(arguments[0]).startswith(str(world.root)):
                return original(*arguments, **options)
            seen.append(name)
            if len(seen) == at + 1:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, dying)

    for name in ("write_file", "make_directory", "switch_link", "sync_directory"):
        wrap(files, name)
    wrap(os, "rename")
    wrap(process, "run")
    return seen


@pytest.mark.parametrize("scene", ["first", "renewal", "undo"])
def test_a_run_that_dies_anywhere_is_completed_by_the_next(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, scene: str) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    points = 0
    if scene != "first":
        world.run()
    kept, issued = tmp_path.parent / f"{tmp_path.name}.kept", world.presents
    shutil.copytree(tmp_path, kept, symlinks=True)
    for at in range(200):
        shutil.rmtree(tmp_path)
        shutil.copytree(kept, tmp_path, symlinks=True)
        world.now, world.presents, world.takes_new = START, issued, True
        spki = ""
        if scene != "first":
            spki = world.spki()
            world.now += 65 * DAY
            if scene == "undo":
                world.takes_new = world.live()  # type: ignore[assignment]
        with monkeypatch.context() as patch:
            seen = crash_points(world, patch, at)
            try:
                world.run()
            except KeyboardInterrupt:
                pass
        points = len(seen)
        if os.path.lexists(world.config.link(NAME)):
            assert certificates.read_live(world.config, NAME, world.now).problem == ""  # type: ignore[union-attr]
            assert not spki or world.spki() == spki
        orders = world.orders
        world.takes_new = True
        world.now += 7200
        result = world.run()
        assert not result.failures and not result.warnings, (at, seen)
        assert world.orders - orders <= 1
        assert world.presents == world.live() and (not spki or world.spki() == spki)
        assert not world.run().changed
        leftovers = list((tmp_path / "state").rglob(".*"))
        assert not leftovers, (at, seen)
        if points <= at:
            break
    assert points > 20, points


# Arguments

def plain(**more: Any) -> dict[str, Any]:
    """Arguments as a playbook gives them."""
    return {"host": "h", "addresses": ["192.0.2.1"], "certificates": [{"name": NAME, "services": [
        {"service": "smtp", "port": 25, "name": NAME}]}], **more}


def test_the_arguments_go_to_the_timer_and_come_back(world: World) -> None:
    world.run()
    assert certificates.read_config(str(world.root / "etc" / "certificates.json")) == world.config


@pytest.mark.parametrize(("arguments", "said"), [
    (plain(certificates=[{"name": "../../etc"}]), "is not a host name"),
    (plain(certificates=[{"name": NAME, "names": ["a\nb"]}]), "is not a host name"),
    (plain(certificates=[{"name": NAME, "names": ["*.pyon.example"]}]), "is not a host name"),
    (plain(certificates=[{"name": "a." * 127 + "b"}]), "is not a host name"),
    (plain(certificates=[{"name": NAME}, {"name": NAME}]), "twice"),
    (plain(certificates=[{"name": NAME, "algorithm": "dsa"}]), "not one of"),
    (plain(certificates=[{"name": NAME, "services": [{"service": "smtp", "port": 0, "name": NAME}]}]), "1 to 65535"),
    (plain(certificates=[{"name": NAME, "services": [{"service": "pop", "port": 1, "name": NAME}]}]), "the services are"),
    (plain(addresses=["localhost"]), "not an IP address"),
    (plain(units={"smtp": "--now"}), "systemd unit"),
    (plain(readers={NAME: ["--now"]}), "systemd unit"),
    (plain(readers={NAME: [1]}), "systemd unit"),
    (plain(readers={NAME: "dovecot"}), "give a list"),
    (plain(readers={"h.pyon.example": ["dovecot"]}), "not among the certificates"),
    (plain(more=1), "not in their shape"),
    ({"certificates": []}, "not in their shape"),
])
def test_bad_arguments_get_one_clear_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(DaneError, match=said):
        certificates.make_config(arguments)


def test_the_command_of_the_timer(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run()
    path = str(world.root / "etc" / "certificates.json")
    assert certificates.renew_command(path) == 0
    assert "1 certificates are in order" in capsys.readouterr().out
    world.refuse, world.now = "ERROR: no\n", world.now + 65 * DAY
    assert certificates.renew_command(path) == 1
    assert NAME in capsys.readouterr().err
    Path(path).write_text("{")
    assert certificates.renew_command(path) == 1
    assert "is not JSON" in capsys.readouterr().err


def test_last_words_are_the_errors_and_what_the_ca_said() -> None:
    said = ' + Done\n  + ERROR: An error occurred while sending post-request (Status 403)\n\nDetails:\nHTTP/2 403\n{\n "type": "x:error:y",\n' \
           ' "detail": "no\x07pe"\n}\n'
    assert certificates.last_words(said) == "+ ERROR: An error occurred while sending post-request (Status 403) / no?pe"
    assert certificates.last_words("") == "it said nothing"
    assert len(certificates.last_words("error " * 1000)) <= 600
