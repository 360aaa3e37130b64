# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, orders, versions and the live link, with a fake dehydrated, a CA of our own and fake services."""
from __future__ import annotations

import datetime
import functools
import itertools
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import certificates, files, process, running, tls_client, x509
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from dying import dies

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


AUTHORITY, ANOTHER = Authority(), Authority()  # the other certificate of a pair has another intermediate


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
    loses: str = ""         # fingerprint of the version with which the unit has no TLS after its restart
    active: bool = True
    failed: bool = False
    restarts: int = 0
    leaf_only: bool = False  # until the next restart
    reload: str = "no"      # "yes", "deaf" where it changes nothing, "refused" where the unit does not like its files
    reloads: int = 0
    forgotten: bool = False
    registered: int = 0
    issued: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    def start(self) -> None:
        """The unit reads what is live."""
        self.leaf_only = False
        if self.live() == self.loses:
            self.presents = ""
        elif self.takes_new is True or self.takes_new == self.live():
            self.presents = self.live()

    def keys(self) -> list[str]:
        """The SPKI digests of the keys on disk, oldest first."""
        return [key.spki for key in certificates.read_keys(self.config, NAME)]

    def step(self, step: str, spki: str, fingerprint: str = "", retry: bool = False, **options: Any) -> certificates.Result:
        """One run with a step of a roll."""
        return self.run(steps=[{"certificate": NAME, "step": step, "spki": spki, "fingerprint": fingerprint, "retry": retry}], **options)

    def ordered(self) -> tuple[str, str]:
        """Have a certificate issued for the next key: its SPKI and fingerprint."""
        spki = self.keys()[-1]
        result = self.step("order", spki)
        assert not result.warnings and not result.failures
        return spki, result.report["certificates"][0]["keys"][-1]["certificate"]["fingerprint"]

    def run(self, **options: Any) -> certificates.Result:
        """One run."""
        return certificates.run(self.config, now=self.now, config_path=str(self.root / "etc" / "certificates.json"), **options)

    def live(self) -> str:
        """The fingerprint of what is live."""
        return os.path.basename(os.readlink(self.config.link(NAME)))

    def spki(self) -> str:
        """Of what is live."""
        return x509.spki_sha256(x509.load_certificates(Path(self.config.link(NAME), "cert.pem").read_bytes(), "live")[0])

    def process(self, argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        """In place of process.run."""
        def done(status: int = 0, out: str = "", err: str = "") -> subprocess.CompletedProcess[bytes]:
            return subprocess.CompletedProcess(argv, status, out.encode(), err.encode())

        if argv[:2] == ["systemctl", "is-active"]:
            return done(0 if self.active else 3)
        if argv[:2] == ["systemctl", "is-failed"]:
            return done(0 if self.failed else 1)
        if argv[:2] == ["systemctl", "show"]:
            assert argv[2:5] == ["--property", "CanReload", "--value"]
            return done(0, "no\n" if self.reload == "no" else "yes\n")
        if argv[:2] == ["systemctl", "reload"]:
            assert self.active
            self.reloads += 1
            if self.reload == "yes":
                self.start()
            return done(1, "", "its files are wrong") if self.reload == "refused" else done()
        if argv[0] == "systemctl":
            assert argv[1] == "restart"
            self.restarts += 1
            self.active, self.failed = True, False
            self.start()
            return done()
        assert argv[0] == "timeout" and argv[3:6] == [self.config.dehydrated_command, "--config", self.config.dehydrated_config]
        assert options["outlives"]
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
        alias = arguments[-1]
        wanted = next(one for one in self.config.certificates if one.name == alias)
        assert arguments == ["--cron", "--force", "--domain", " ".join(wanted.names), "--alias", alias]
        if (base / "lock").exists():
            return done(1, "", f"ERROR: Lock file '{base}/lock' present, aborting.\n")
        if self.forgotten:
            return done(1, "", '+ ERROR: (Status 400)\n{"type": "urn:ietf:params:acme:error:accountDoesNotExist", "detail": "who?"}')
        if self.refuse:
            return done(1, " + Requesting new certificate order from CA...\n", self.refuse)
        self.orders += 1
        csr = x509.load_csr(Path(self.config.requests, f"{alias}.csr").read_bytes(), "csr")
        names = csr.extensions.get_extension_for_class(cx509.SubjectAlternativeName).value.get_values_for_type(cx509.DNSName)
        chain = self.change((AUTHORITY if alias == NAME else ANOTHER).issue(csr.public_key(), tuple(names), self.now - 60, self.life))
        self.issued[x509.fingerprint(chain[0])] = tuple(map(x509.der, chain))
        target = base / "certs" / alias
        target.mkdir(parents=True, exist_ok=True)
        (target / f"fullchain-{self.orders}.pem").write_bytes(x509.pem(chain))
        (target / "fullchain.pem").write_bytes(x509.pem(chain))
        return done()

    def probe_many(self, endpoints: list[tuple[str, int, str, str, str]], **_options: Any) -> list[tls_client.Presented]:
        """In place of tls_client.probe_many."""
        found = []
        for address, port, service, name, family in endpoints:
            if self.presents and not family:
                found.append(tls_client.Presented(address, port, service, name, chain=self.issued[self.presents][:1 if self.leaf_only else None]))
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
    assert [key["certificate"] for key in item["keys"]] == [{"fingerprint": world.live(), "not_after": START - 60 + 90 * DAY}, None]
    assert item["live"] == {"fingerprint": world.live(), "spki": world.spki(), "not_before": START - 60, "not_after": START - 60 + 90 * DAY,
                            "since": START, "deployed": START, "proven": True}
    assert (item["algorithm"], item["bound"]) == ("ecdsa-p256", False)
    assert (item["due"], item["failures"], item["next_attempt"], item["error"], item["roll"]) == ("", 0, 0, "", None)
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


@pytest.fixture(name="alarm")
def fixture_alarm() -> Iterator[None]:
    """Else who waits for a pipe waits for ever."""
    before = signal.signal(signal.SIGALRM, lambda *_arguments: pytest.fail("it waits for a pipe"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("file", ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"])
@pytest.mark.usefixtures("alarm")
def test_a_damaged_live_version_is_replaced_with_the_same_key(world: World, file: str, pipe: bool) -> None:
    world.run()
    spki = world.spki()
    path = Path(world.config.link(NAME), file)
    if pipe:
        path.unlink()
        os.mkfifo(path, 0o600)
    else:
        path.write_bytes(b"rubbish")
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


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"renewal": 1}', '{"renewal": {"failures": Infinity}}', '{"schema": 1}', '{"host": "x"}',
                                  "[" * 100000, None])
def test_a_damaged_state_is_no_fresh_one(world: World, text: str | None) -> None:
    """What is live may be unproven; the other certificates go on."""
    other = replace(world.config.certificates[0], name="h.pyon.example", names=["h.pyon.example"], services=[])
    world.config = replace(world.config, certificates=[world.config.certificates[0], other])
    world.run()
    path = Path(world.config.certificate_directory(NAME), "state.json")
    path.unlink()
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    world.now += 65 * DAY
    before = snapshot(world.root)
    for check in (False, True):
        with pytest.raises(DaneError, match="g.pyon.example/state.json is damaged .*; move it away, then run renew.yml"):
            world.run(check=check)
    assert snapshot(world.root) == before
    result = world.run(by_timer=True)
    assert "state.json is damaged" in result.failures[0] and len(result.failures) == 1 and not result.warnings
    assert world.orders == 3 and [one["name"] for one in result.report["certificates"]] == ["h.pyon.example"]
    path.rename(f"{path}.damaged")
    assert not world.run().failures and world.orders == 4


def test_a_state_of_an_earlier_version_is_read(world: World) -> None:
    world.run()
    path = Path(world.config.certificate_directory(NAME), "state.json")
    state = json.loads(path.read_text())
    whose = {"schema": state.pop("schema"), "host": state.pop("host"), "certificate": state.pop("certificate")}
    assert whose == {"schema": 1, "host": "vps.pyon.example", "certificate": NAME}
    del state["switched"]
    path.write_text(json.dumps(state))
    assert certificates.read_state(world.config, NAME).since[world.spki()] == START and not world.run().changed
    assert whose.items() <= json.loads(path.read_text()).items()
    before = snapshot(world.root)
    assert not world.run().changed and snapshot(world.root) == before


@pytest.mark.parametrize(("other", "said"), [
    ({"schema": 3}, "has schema 3, and this version reads 1; update the collection, or move the file away, then run renew.yml"),
    ({"schema": "\x1b"}, r"has schema '\x1b', and this version reads 1; update"),
    ({"host": "x.example"}, f"is of the certificate '{NAME}' of the host 'x.example', and this is {NAME} of vps.pyon.example; if that was renamed, write"),
    ({"certificate": "x.example"}, f"is of the certificate 'x.example' of the host 'vps.pyon.example', and this is {NAME} of vps.pyon.example; if that"),
])
def test_a_state_of_another_schema_or_host_is_left_as_it_is(world: World, other: dict[str, Any], said: str) -> None:
    link = two(world)
    before_other = os.readlink(link)
    path = Path(world.config.certificate_directory(NAME), "state.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **other, "tomorrow": [1]}))
    before = snapshot(world.root)
    with pytest.raises(DaneError, match=re.escape(f"{path} {said}")):
        world.run()
    assert snapshot(world.root) == before
    result = world.run(by_timer=True)
    assert len(result.failures) == 1 and str(path) in result.failures[0] and not result.warnings and os.readlink(link) != before_other
    after = snapshot(world.root)
    home = world.config.certificate_directory(NAME)
    assert {one: what for one, what in after.items() if one.startswith(home)} == {one: what for one, what in before.items() if one.startswith(home)}
    assert after[world.config.link(NAME)] == before[world.config.link(NAME)]


def test_the_arguments_of_another_host_are_left_as_they_are(world: World) -> None:
    world.run()
    path = world.root / "etc" / "certificates.json"
    path.write_text(path.read_text().replace("vps.pyon.example", "mx2.pyon.example"))
    world.now += 65 * DAY
    before = snapshot(world.root)
    with pytest.raises(DaneError, match="certificates.json is of the host 'mx2.pyon.example', and this is vps.pyon.example; if that was renamed"):
        world.run()
    assert snapshot(world.root) == before


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
    assert certificates.read_state(world.config, NAME).renewal == certificates.Attempts()


def test_back_off_fits_into_a_short_life() -> None:
    live = certificates.Live(not_before=0, not_after=120)
    assert [certificates.back_off(n, live) for n in (1, 2, 3, 4, 9)] == [1, 3, 6, 10, 10]
    assert certificates.back_off(50, None) == DAY


# What others could read or replace

@pytest.mark.parametrize("owner", [False, True])
def test_a_version_with_a_key_that_others_could_read_does_not_go_live(world: World, monkeypatch: pytest.MonkeyPatch, owner: bool) -> None:
    world.run()
    new, fingerprint = world.ordered()
    first = world.live()
    path = Path(world.config.certificate_directory(NAME), "versions", fingerprint, "privkey.pem")
    if owner:
        real = os.lstat
        monkeypatch.setattr(certificates.os, "lstat", lambda one: os.stat_result((*real(one)[:4], 4711, *real(one)[5:])) if one == str(path) else real(one))
    else:
        path.chmod(0o644)
    for _run in range(2):
        result = world.step("deploy", new, fingerprint, retry=True)
        assert f"{path} (private key of a version of {NAME}) " in result.warnings[0] and not result.failures
        assert ("belongs to the user 4711" if owner else "is open to other users (mode 0644)") in result.warnings[0]
        assert world.live() == first == world.presents and item(result)["live"]["proven"]


def test_there_is_no_going_back_to_a_key_that_others_could_read(world: World) -> None:
    world.run()
    new, fingerprint = world.ordered()
    first, world.takes_new = world.live(), False
    before = Path(world.config.certificate_directory(NAME), "versions", first, "privkey.pem")
    restart = world.start

    def start() -> None:
        before.chmod(0o644)
        restart()

    world.start = start  # type: ignore[method-assign]
    result = world.step("deploy", new, fingerprint)
    assert f"there is no going back to the certificate before: {before} (private key of a version of {NAME}) is open to other users" in result.warnings[0]
    assert not result.failures and world.live() == fingerprint and item(result)["endpoints"][0]["error"]


@pytest.mark.parametrize("file", ["cert.pem", "chain.pem", "fullchain.pem"])
def test_the_modes_of_a_version_are_mended_before_it_goes_live(world: World, file: str) -> None:
    world.run()
    new, fingerprint = world.ordered()
    path = Path(world.config.certificate_directory(NAME), "versions", fingerprint, file)
    path.chmod(0o666)
    assert not world.step("deploy", new, fingerprint).warnings
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and world.live() == fingerprint


# What the disk refuses

def two(world: World) -> str:
    """Another certificate beside, both due; its link."""
    other = replace(world.config.certificates[0], name="h.pyon.example", names=["h.pyon.example"], services=[])
    world.config = replace(world.config, certificates=[world.config.certificates[0], other])
    world.run()
    world.now += 65 * DAY
    return world.config.link(other.name)


def full(*_arguments: Any) -> None:
    """Has no room; the call does not know for which file."""
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("by_timer", [True, False])
def test_a_directory_in_the_way_of_one_certificate_counts_and_keeps_no_other(world: World, by_timer: bool) -> None:
    link = two(world)
    live, other = world.live(), os.readlink(link)
    request = Path(world.config.requests, f"{NAME}.csr")
    request.unlink()
    request.mkdir()
    result = world.run(by_timer=by_timer)
    [said] = result.warnings
    assert f"{NAME} was not renewed: {request}: Is a directory; make room on its disk, or move away what is in its way; the live one stays" in said
    assert not result.failures and world.live() == live and os.readlink(link) != other
    assert item(result)["failures"] == 1 and item(result)["next_attempt"] == world.now + 3600
    assert "but 1 attempt failed" in world.run(by_timer=True).warnings[0] and world.orders == 3
    step = world.step("order", world.keys()[1])
    assert f"failed: {request}: Is a directory" in step.warnings[0] and item(step)["roll"]["failures"] == 1
    request.rmdir()
    assert not world.run().warnings and world.live() != live


def other_intermediate(organization: bytes) -> Any:
    """A certificate of the CA with this as its organization, and a signature that fits another one."""
    name = cx509.Name([cx509.NameAttribute(cx509.NameOID.ORGANIZATION_NAME, "x" * len(organization))])
    date = datetime.datetime.fromtimestamp(START, datetime.timezone.utc)
    made = cx509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(AUTHORITY.key.public_key()).serial_number(7) \
        .not_valid_before(date).not_valid_after(date + datetime.timedelta(days=400)).sign(AUTHORITY.key, hashes.SHA256())
    return x509.load_certificates(x509.der(made).replace(b"x" * len(organization), organization), "other")[0]


@pytest.mark.parametrize("organization", [b"\xff\xfe", "é".encode() * 150000], ids=["no UTF-8", "long"])
@pytest.mark.parametrize("by_timer", [True, False])
def test_a_chain_with_a_name_of_any_kind_keeps_no_other_certificate(world: World, organization: bytes, by_timer: bool) -> None:
    link = two(world)
    live, other = world.live(), os.readlink(link)
    odd = other_intermediate(organization)
    world.change = lambda chain: [chain[0], odd] if NAME in x509.names(chain[0]) else chain
    for _run in range(2):  # dehydrated keeps the chain
        result = world.run(by_timer=by_timer)
        assert f"{NAME} " in result.warnings[0] and len(result.warnings) == 1 and not result.failures
        assert world.live() == live and os.readlink(link) != other
        assert item(result)["failures"] and "have issued no other" in item(result)["error"] and len(item(result)["error"]) < 1000
    world.change = lambda chain: chain
    world.now += DAY
    assert not world.run(by_timer=by_timer).warnings and world.live() != live


def test_what_is_kept_of_an_error_can_be_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    world.now += 65 * DAY

    def order(*_arguments: Any) -> None:
        raise DaneError("é" * x509.MAX_SIZE)

    monkeypatch.setattr(certificates.Dehydrated, "order", order)
    world.run()
    assert len(item(world.run(check=True))["error"]) == 2000


@pytest.mark.parametrize("fault", [DaneError("it is broken; mend it"), ValueError("no text"), OSError(28, "No space left on device")])
@pytest.mark.parametrize("place", ["judge", "expired_versions", "_settle", "write_state"])
def test_the_fault_of_one_certificate_keeps_no_other(world: World, monkeypatch: pytest.MonkeyPatch, fault: Exception, place: str) -> None:
    link = two(world)
    other, real = os.readlink(link), getattr(certificates, place)

    def broken(*arguments: Any, **options: Any) -> Any:
        if any(NAME in (one, getattr(one, "name", ""), getattr(getattr(one, "wanted", None), "name", "")) for one in arguments[:2]):
            raise fault
        return real(*arguments, **options)

    monkeypatch.setattr(certificates, place, broken)
    result = world.run(by_timer=True)
    said = [*result.warnings, *result.failures]
    assert said and all(NAME in line and str(fault.args[-1]) in line for line in said)
    assert os.readlink(link) != other and [one["due"] for one in result.report["certificates"]][1] == ""


@pytest.mark.parametrize("fault", [DaneError("it is broken; mend it"), ValueError("no text"), OSError(28, "No space left on device")])
def test_the_others_are_proved_where_the_state_of_one_cannot_be_written(pair: Pair, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    pair.run()
    pair.run()
    first, second, write = pair.live(), pair.live_of(OTHER), certificates.write_state
    for name in (NAME, OTHER):
        certificates.write_state(pair.config, name, replace(certificates.read_state(pair.config, name), unproven=True))

    def broken(config: certificates.Config, name: str, state: certificates.State) -> None:
        if name == NAME:
            raise fault
        write(config, name, state)

    with monkeypatch.context() as patch:
        patch.setattr(certificates, "write_state", broken)
        result = pair.run()
    proved = {one["name"]: one["live"]["proven"] for one in result.report["certificates"]}
    assert proved == {NAME: False, OTHER: True} and (pair.live(), pair.live_of(OTHER)) == (first, second)
    assert f"whether the services present {NAME} is not proved: " in result.failures[0] and str(fault.args[-1]) in result.failures[0]
    assert not pair.run().failures and certificates.read_state(pair.config, NAME).unproven is False


def test_a_full_disk_is_one_sentence_for_each_certificate(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    link = two(world)
    live, other, path = world.live(), os.readlink(link), world.root / "etc" / "certificates.json"
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        result = world.run()
        assert not result.failures and [name in "".join(result.warnings) for name in (NAME, "h.pyon.example")] == [True, True]
        assert "state.json: No space left on device; make room on its disk" in "".join(result.warnings)
        assert item(result)["live"]["fingerprint"] == live and item(result)["due"]
        assert certificates.renew_command(str(path)) == 1 and "Traceback" not in capsys.readouterr().err
        before = snapshot(world.root)
        world.config = replace(world.config, order_timeout=1)
        with pytest.raises(DaneError, match="certificates.json: No space left"):  # the timer would not know
            world.run()
        assert snapshot(world.root) == before
    assert not world.run().warnings and world.live() != live and os.readlink(link) != other


def test_what_the_disk_refuses_after_the_switch_is_seen_to_be_live(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    live, sync = world.live(), files.sync_directory
    world.now += 65 * DAY
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_directory", lambda path: full() if path == os.path.dirname(world.config.link(NAME)) else sync(path))
        result = world.run()
    assert item(result)["live"]["fingerprint"] == world.live() == world.presents != live and "No space left" in result.warnings[0]


def test_no_key_is_deleted_where_the_disk_refuses_the_proof(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    old = world.keys()[0]
    world.step("deploy", *world.ordered())
    world.run()
    with monkeypatch.context() as patch:
        patch.setattr(certificates.Use, "prove", full)
        result = world.step("delete_key", old)
        assert result.failures == ["this host: No space left on device; make room on its disk, or move away what is in its way"] and old in world.keys()
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_directory", full)
        assert f"the key {old[:16]}... was not deleted: this host: No space left" in world.step("delete_key", old).warnings[0]
    assert not world.step("delete_key", old).warnings and old not in world.keys()


def test_a_file_in_place_of_the_keys_keeps_no_other_certificate(world: World) -> None:
    link = two(world)
    other, keys = os.readlink(link), Path(world.config.certificate_directory(NAME), "keys")
    keys.rename(f"{keys}.away")
    keys.write_text("")
    said = f"{keys}: Not a directory; make room on its disk, or move away what is in its way"
    with pytest.raises(DaneError, match=re.escape(said)):
        world.run()
    assert world.run(by_timer=True).failures == [said] and os.readlink(link) != other


@pytest.mark.parametrize(("place", "said"), [
    ("state/certificates/g.pyon.example/keys/1795000009-" + "a" * 64 + ".pem", "is no regular file"),
    ("state/certificates/g.pyon.example/state.json", "is damaged"),
    ("etc/certificates.json", "is damaged"),
    ("state/certificates/g.pyon.example/versions/" + "b" * 64 + "/fullchain.pem", ""),
    ("dehydrated/certs/g.pyon.example/fullchain-9.pem", ""),
])
@pytest.mark.usefixtures("alarm")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(world: World, place: str, said: str) -> None:
    world.config = replace(world.config, bound={NAME: False})
    world.run()
    world.now += 65 * DAY
    path = world.root / place
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    if "state.json" in place or "keys" in place:
        with pytest.raises(DaneError, match=said):
            world.run()
        assert said in world.run(by_timer=True).failures[0]
        path.unlink()
    else:
        assert said in "".join(world.run().warnings)
    assert not world.run().warnings and world.orders == 2 and not world.run().changed


def test_failures_by_a_clock_that_ran_ahead_hold_nothing_back(world: World) -> None:
    world.run()
    new = world.keys()[1]
    world.now += 85 * DAY
    world.refuse = "ERROR: no\n"
    assert world.run(by_timer=True).warnings and world.step("order", new).warnings
    world.refuse = ""
    world.now -= 20 * DAY
    report = item(world.run(check=True))
    assert [(one["failures"], one["next_attempt"]) for one in (report, report["roll"])] == [(2, 0), (1, 0)]
    assert not world.step("order", new).warnings
    assert not world.run(by_timer=True).warnings and world.orders == 3


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
    assert certificates.read_state(world.config, NAME).renewal.failures == 1 and world.orders == 2
    # not at once again, and then without another order
    restarts = world.restarts
    world.run(by_timer=True)
    assert world.restarts == restarts
    world.now += 3600
    world.takes_new = True
    process.run = original  # type: ignore[assignment]
    assert not world.run(by_timer=True).warnings
    assert world.live() != old and world.orders == 2
    assert certificates.read_state(world.config, NAME).renewal == certificates.Attempts()


@pytest.mark.parametrize(("reload", "restarts", "lives"), [("yes", 0, True), ("deaf", 2, True), ("refused", 0, False)])
def test_a_unit_that_can_is_reloaded_and_loses_no_connection(world: World, reload: str, restarts: int, lives: bool) -> None:
    world.run()
    old, begin = world.live(), world.restarts
    world.now += 65 * DAY
    world.reload = reload
    result = world.run()
    assert world.reloads and world.restarts == begin + restarts  # there are two units
    assert (world.live() != old and world.presents == world.live()) == lives
    assert bool(result.warnings) != lives


def test_going_back_touches_no_unit_that_presents_the_version_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """sendmail reads its certificate at each connection; apache, which refuses to be reloaded, has the one before still."""
    world.run()
    old, begin = world.live(), (world.restarts, world.reloads)

    def probe_many(endpoints: list[tuple[str, int, str, str, str]], **_options: Any) -> list[tls_client.Presented]:
        kept, found = world.presents, []
        for one in endpoints:
            world.presents = world.live() if one[2] == "smtp" else kept
            found += world.probe_many([one])
        world.presents = kept
        return found

    monkeypatch.setattr(tls_client, "probe_many", probe_many)
    world.now += 65 * DAY
    world.reload = "refused"
    result = world.run()
    assert world.live() == old and any("is live again" in line for line in result.warnings)
    assert (world.restarts, world.reloads) == (begin[0], begin[1] + 1)


def test_a_unit_that_presents_the_leaf_without_its_intermediates_is_restarted(world: World) -> None:
    """sendmail after a renewal by another intermediate."""
    world.run()
    begin, world.leaf_only = world.restarts, True
    assert {one["error"] for one in world.run(check=True).report["certificates"][0]["endpoints"]} == {
        f"{NAME} at {address} port {port} presents the leaf alone, without its intermediates" for address in world.config.addresses for port in (443, 25)}
    result = world.run(by_timer=True)
    assert world.restarts > begin and not result.warnings
    assert {one["error"] for one in result.report["certificates"][0]["endpoints"]} == {""}


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

    def older(unit: str, link: str, switched: running.Moment) -> bool:
        assert link == world.config.link(NAME) and switched == certificates.read_state(world.config, NAME).switched[world.live()]
        return world.active and started[unit] != world.live()

    real = world.process

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if argv[:3] == ["systemctl", "restart", "dovecot"]:
            started["dovecot"] = "" if broken else world.live()
            world.failed = bool(broken)
            return subprocess.CompletedProcess(argv, len(broken), b"", b"no such user")
        return real(argv, **options)

    broken: list[int] = []
    monkeypatch.setattr(running, "older", older)
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
    world.active, world.failed = False, True
    broken.append(1)
    for _run in range(2):
        assert world.run(by_timer=True).warnings == ["systemctl restart dovecot failed: no such user; look at journalctl -u dovecot"]
    broken.clear()
    assert not world.run(by_timer=True).warnings and started["dovecot"] == world.live()
    assert not world.run(by_timer=True).changed


def test_a_reader_that_does_not_start_at_boot_is_restarted_as_others_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.config = replace(world.config, readers={NAME: ["dovecot"]})
    world.run()
    monkeypatch.setattr(running, "read_unit", lambda name: running.Unit(True, 7, "", 10**9, boot=False))
    assert not world.run().changed


def test_a_unit_that_is_not_active_is_left_alone(world: World) -> None:
    world.active = False
    result = world.run()
    assert not result.failures and world.restarts == 0
    assert {endpoint["error"] for endpoint in result.report["certificates"][0]["endpoints"]} == {"closed"}
    assert not world.run().changed


# Rolls: other keys, by steps of the playbook

def test_a_roll_orders_deploys_and_deletes(world: World) -> None:
    world.run()
    [old, new] = world.keys()
    first, before = world.live(), snapshot(world.root)
    assert world.step("order", new, check=True).changed and snapshot(world.root) == before
    spki, fingerprint = world.ordered()
    assert (spki, world.live(), world.orders, world.spki()) == (new, first, 2, old)
    assert not world.step("order", new).changed and world.orders == 2
    world.now += DAY
    before = snapshot(world.root)
    result = world.step("deploy", new, fingerprint, check=True)
    assert result.changed and f"live {fingerprint[:16]}" in result.after and snapshot(world.root) == before
    result = world.step("deploy", new, fingerprint)
    assert not result.warnings and (world.live(), world.presents, world.spki()) == (fingerprint, fingerprint, new)
    assert result.report["certificates"][0]["live"]["since"] == world.now and result.report["certificates"][0]["live"]["proven"]
    assert world.keys() == [old, new]
    assert not world.step("deploy", new, fingerprint).warnings and world.live() == fingerprint
    assert world.keys()[:2] == [old, new] and len(world.keys()) == 3  # that run made a next key, which is younger
    before = snapshot(world.root)
    assert not world.step("deploy", new, fingerprint).changed and snapshot(world.root) == before
    assert world.step("delete_key", old, check=True).changed and snapshot(world.root) == before
    result = world.step("delete_key", old)
    assert result.changed and not result.warnings and old not in world.keys() and len(world.keys()) == 2
    secret = "PRIVATE"
    copies = [path.parent.name for path in (world.root / "state").rglob("*.pem") if not path.is_symlink() and secret in path.read_text()]
    assert sorted(copies) == sorted([fingerprint, "keys", "keys"]) and first not in copies
    assert not world.step("delete_key", old).changed


def test_one_more_key_is_made_where_the_youngest_is_still_the_same(world: World) -> None:
    world.run()
    [current, following] = world.keys()
    assert not world.step("make_key", current).changed
    before = snapshot(world.root)
    assert world.step("make_key", following, check=True).changed and snapshot(world.root) == before
    assert world.step("make_key", following).changed and world.keys()[:2] == [current, following] and len(world.keys()) == 3
    assert not world.step("make_key", following).changed and world.spki() == current


def test_an_order_for_the_next_key_takes_what_dehydrated_had_issued(world: World) -> None:
    world.run()
    new = world.keys()[1]
    public = x509.load_private_key(next(Path(world.config.certificate_directory(NAME), "keys").glob(f"*{new}.pem")).read_bytes(), "x").public_key()
    (world.root / "dehydrated" / "certs" / NAME / "fullchain-9.pem").write_bytes(x509.pem(AUTHORITY.issue(public, (NAME,), START - 60, 90 * DAY)))
    live = world.live()
    world.ordered()
    assert world.orders == 1 and world.live() == live


def test_a_failed_order_for_the_next_key_holds_back_no_renewal(world: World) -> None:
    world.run()
    [old, new] = world.keys()
    before = {path: content for path, content in snapshot(world.root / "state").items() if not path.endswith((".csr", "state.json"))}
    world.refuse = "ERROR: no\n"
    result = world.step("order", new)
    item = result.report["certificates"][0]
    assert len(result.warnings) == 1 and new[:16] in result.warnings[0] and not result.failures
    assert item["roll"]["spki"] == new and item["roll"]["failures"] == 1 and item["roll"]["next_attempt"] == START + 3600
    assert (item["failures"], item["next_attempt"]) == (0, 0)
    assert {path: content for path, content in snapshot(world.root / "state").items() if not path.endswith((".csr", "state.json"))} == before
    world.refuse = ""
    result = world.step("order", new)
    assert "not tried again before" in result.warnings[0] and world.orders == 1
    world.refuse = "ERROR: no\n"
    result = world.step("order", new, retry=True)
    assert "failed: " in result.warnings[0] and world.orders == 1 and result.report["certificates"][0]["roll"]["failures"] == 2
    world.refuse = ""
    world.now += 65 * DAY
    state = certificates.read_state(world.config, NAME)
    certificates.write_state(world.config, NAME, replace(state, roll=replace(state.roll, next_attempt=world.now + 1)))
    result = world.step("order", new)
    assert len(result.warnings) == 1 and world.orders == 2 and world.spki() == old  # renewed all the same
    world.now += 1
    assert world.ordered()[0] == new and world.orders == 3
    assert certificates.read_state(world.config, NAME).roll == certificates.Attempts()


def test_a_due_certificate_is_not_ordered_twice_where_its_key_changes(world: World) -> None:
    world.run()
    world.now += 65 * DAY
    assert world.run(check=True).report["certificates"][0]["due"].startswith("a third or less")
    live = world.live()
    spki, fingerprint = world.ordered()
    assert (world.orders, world.live()) == (2, live)
    world.step("deploy", spki, fingerprint)
    assert (world.orders, world.live()) == (2, fingerprint)


@pytest.mark.parametrize("by_timer", [True, False])
def test_a_deployed_key_is_given_up_where_a_service_loses_tls(world: World, by_timer: bool) -> None:
    world.run()
    old, first = world.spki(), world.live()
    spki, fingerprint = world.ordered()
    world.loses = fingerprint
    world.now += DAY
    result = world.step("deploy", spki, fingerprint)
    item = result.report["certificates"][0]
    assert (world.live(), world.presents, world.spki()) == (first, first, old)
    assert any("is live again" in line for line in result.warnings)
    assert certificates.read_state(world.config, NAME).previous == first
    assert item["roll"]["spki"] == spki and item["roll"]["failures"] == 1 and item["roll"]["next_attempt"] == world.now + 3600
    assert item["failures"] == 0 and item["live"]["since"] == START and item["live"]["proven"]
    restarts = world.restarts
    result = world.run(by_timer=True) if by_timer else world.step("deploy", spki, fingerprint)
    assert world.restarts == restarts and world.live() == first
    assert not result.warnings if by_timer else "as 1 attempt failed, the last with: " in result.warnings[0]
    world.loses = ""
    world.now += 3600
    assert not world.step("deploy", spki, fingerprint).warnings and world.presents == fingerprint
    assert certificates.read_state(world.config, NAME).roll == certificates.Attempts()


@pytest.mark.parametrize("state", ["active", "failed", "activating"])
def test_a_run_that_died_after_the_switch_is_proved_or_undone_by_the_timer(world: World, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    world.run()
    first = world.live()
    spki, fingerprint = world.ordered()
    with monkeypatch.context() as patch:
        patch.setattr(certificates.Use, "_systemctl", raiser)
        with pytest.raises(KeyboardInterrupt):
            world.step("deploy", spki, fingerprint)
    assert world.live() == fingerprint
    world.presents = ""  # the host went down with the run, and its services came up without TLS
    world.active, world.failed, world.loses = state == "active", state == "failed", fingerprint
    result = world.run(by_timer=True)
    if state == "activating":  # nothing is known yet
        assert world.live() == fingerprint and not result.report["certificates"][0]["live"]["proven"]
        assert "may be needed" in world.step("delete_key", world.keys()[0]).warnings[0]
        world.active = True
        result = world.run(by_timer=True)
    assert (world.live(), world.presents) == (first, first) and result.report["certificates"][0]["roll"]["failures"] == 1


def raiser(*_arguments: Any) -> None:
    """Dies."""
    raise KeyboardInterrupt


def test_going_back_to_another_key_ends_with_the_proof(world: World) -> None:
    world.run()
    spki, fingerprint = world.ordered()
    first = world.live()
    world.step("deploy", spki, fingerprint)
    world.presents, world.takes_new = first, first  # type: ignore[assignment]  # such as a service restored from a backup
    result = world.run(by_timer=True)
    assert world.live() == fingerprint and any("it has another key" in line for line in result.warnings)


def test_no_key_is_deleted_while_it_is_not_known_which_one_is_in_use(world: World) -> None:
    world.run()
    spki, fingerprint = world.ordered()
    world.step("deploy", spki, fingerprint)
    world.run()
    Path(world.config.link(NAME), "privkey.pem").write_bytes(b"rubbish")
    for key in world.keys():
        with pytest.raises(DaneError, match="no live version"):
            world.step("delete_key", key)
    assert len(world.keys()) == 3


@pytest.mark.parametrize("why", ["no unit", "a damaged version before"])
def test_no_key_is_deleted_while_an_endpoint_presents_it(world: World, why: str) -> None:
    """A restart that did not help, or that nobody can make, keeps nothing unproven."""
    world.run()
    old, first = world.spki(), world.live()
    spki, fingerprint = world.ordered()
    world.takes_new = False
    if why == "no unit":
        world.config = replace(world.config, units={})
    else:
        Path(world.config.certificate_directory(NAME), "versions", first, "fullchain.pem").write_bytes(b"rubbish")
    world.step("deploy", spki, fingerprint)
    assert (world.live(), world.presents) == (fingerprint, first)
    world.now += DAY
    result = world.step("delete_key", old)
    assert result.warnings == [f"the key {old[:16]}... was not deleted: {NAME} at 198.51.100.10 port 25 presents it; have what answers there present"
                               " what is live, then run again"]
    assert item(result)["endpoints"][0]["spki"] == old and old in world.keys()
    world.presents = fingerprint
    assert not world.step("delete_key", old).warnings and old not in world.keys()


def test_there_is_no_going_back_over_more_than_one_switch(world: World) -> None:
    world.run()
    spki, fingerprint = world.ordered()
    world.step("deploy", spki, fingerprint)
    assert certificates.read_state(world.config, NAME).previous
    os.unlink(world.config.link(NAME))
    world.run(published={NAME: [spki]}, probe=False)
    assert world.live() == fingerprint and certificates.read_state(world.config, NAME).previous == ""


def test_a_version_that_only_ran_does_not_lead_back_to_an_old_key(world: World) -> None:
    world.run()
    first = world.live()
    spki, fingerprint = world.ordered()
    world.step("deploy", spki, fingerprint)
    assert certificates.read_state(world.config, NAME).previous == first
    key = certificates.read_keys(world.config, NAME)[1]
    chain = AUTHORITY.issue(x509.load_private_key(Path(key.path).read_bytes(), "x").public_key(), (NAME,), START - 60, 80 * DAY)
    other = certificates.store_version(world.config, NAME, chain, key)
    world.issued[other] = tuple(map(x509.der, chain))
    world.presents, world.loses = other, fingerprint  # what is live was proved long ago, and now it does not work any more
    world.run(by_timer=True)
    assert world.presents == world.live() == other and certificates.read_state(world.config, NAME).previous == other


def test_steps_that_cannot_be_taken_change_nothing(world: World) -> None:
    world.run()
    [old, new] = world.keys()
    _spki, fingerprint = world.ordered()
    live = world.live()
    before = snapshot(world.root)
    one = {"certificate": NAME, "step": "order", "spki": new}
    for steps, said in [
        ([{**one, "certificate": "h.pyon.example"}], "does not have"), ([{**one, "spki": "0" * 64}], "is not in .*restore"),
        ([{**one, "spki": old}], "cannot follow"), ([{**one, "spki": "../../x"}], "SHA-256"), ([{**one, "step": "burn"}], "not one of"),
        ([one, one], "second"), (["order"], "is no step"), ([{"step": "order"}], "is no step"),
        ([{**one, "step": "deploy"}], "SHA-256"), ([{**one, "step": "deploy", "fingerprint": "0" * 64}], "is not in .*ordered first"),
        ([{**one, "step": "deploy", "fingerprint": live}], "another key"), ([{**one, "step": "delete_key"}], "next one"),
        ([{**one, "step": "delete_key", "spki": old}], "current one"),
    ]:
        for check in (True, False):
            with pytest.raises(DaneError, match=said):
                world.run(steps=steps, check=check)
    with pytest.raises(DaneError, match="with probe"):
        world.step("deploy", new, fingerprint, probe=False)
    world.now += 91 * DAY
    with pytest.raises(DaneError, match="has expired"):
        world.step("deploy", new, fingerprint)
    assert snapshot(world.root) == before


def test_a_second_run_waits_for_the_first_and_finds_its_step_done(world: World) -> None:
    """Two controllers with the same plan: one order."""
    world.run()
    spki, orders = world.keys()[-1], world.orders
    lock = Path(world.config.directory, "certificates.lock")
    with ThreadPoolExecutor(2) as pool:
        with files.lock(str(lock)):
            runs = [pool.submit(world.step, "order", spki) for _controller in range(2)]
            end = os.times().elapsed + 30
            while len(re.findall(rf"-> FLOCK .*:{lock.stat().st_ino} ", Path("/proc/locks").read_text())) < 2:
                assert os.times().elapsed < end and not any(run.done() for run in runs)
            assert world.orders == orders
        assert sorted(run.result(30).changed for run in runs) == [False, True]
    assert world.orders == orders + 1


def test_a_plan_of_another_time_leads_back_to_no_old_key(world: World) -> None:
    """A controller that slept between its plan and its step, while another one rolled two keys."""
    world.run()
    first = world.ordered()
    world.step("deploy", *first)
    world.run()
    second = world.ordered()
    world.step("deploy", *second)
    live = world.live()
    with pytest.raises(DaneError, match="older than its current one, so the plan was of another time; run the playbook again"):
        world.step("deploy", *first)
    assert world.live() == live


def test_a_next_key_of_another_algorithm_is_no_key_to_order_for(world: World) -> None:
    world.run()
    next_one = world.keys()[1]
    world.config = replace(world.config, certificates=[replace(world.config.certificates[0], algorithm="rsa-2048")])
    world.run()
    with pytest.raises(DaneError, match="rsa-2048"):
        world.step("order", next_one)
    assert world.ordered()[0] == world.keys()[2]
    assert world.step("delete_key", next_one).changed and next_one not in world.keys()  # neither current nor the newest


def test_without_a_live_version_the_published_keys_decide(world: World) -> None:
    world.run()
    [old, new] = world.keys()
    os.unlink(world.config.link(NAME))
    before = snapshot(world.root)
    with pytest.raises(DaneError, match="restore the file"):
        world.run(published={NAME: ["0" * 64]})
    for published in ({NAME: ["0"]}, {NAME: old}, {"h.pyon.example": [old]}):
        with pytest.raises(DaneError, match="published"):
            world.run(published=published)
    assert snapshot(world.root) == before
    world.run(published={NAME: [new]})
    assert world.spki() == new and world.keys()[:2] == [old, new] and len(world.keys()) == 3
    os.unlink(world.config.link(NAME))
    world.run(published={NAME: [new, old]})
    assert world.spki() == old
    world.run(published={NAME: [new]})
    assert world.spki() == old  # what is live stays


def test_a_host_without_keys_makes_none_where_others_are_published(world: World) -> None:
    with pytest.raises(DaneError, match="emergency"):
        world.run(published={NAME: ["0" * 64]})
    assert not os.path.exists(world.config.certificate_directory(NAME))
    world.run(published={NAME: []})
    assert world.spki() == world.keys()[0]


def test_where_it_is_not_known_which_keys_are_published_nothing_goes_live(world: World) -> None:
    world.run()
    spki, fingerprint = world.ordered()
    world.step("deploy", spki, fingerprint)
    world.run()
    os.unlink(world.config.link(NAME))
    versions, orders = snapshot(Path(world.config.certificate_directory(NAME), "versions")), world.orders
    keys = world.keys()
    said = "has no live version, and which of its keys have TLSA records is not known"
    result = world.run(published={NAME: None}, check=True)
    assert said in result.warnings[0] and not result.changed and not result.failures
    result = world.run(published={NAME: None})
    assert said in result.failures[0] and not result.changed and item(result)["live"] is None
    with pytest.raises(DaneError, match="cannot follow its current one"):
        world.step("order", keys[-1], published={NAME: None})
    assert not os.path.lexists(world.config.link(NAME)) and world.keys() == keys and world.orders == orders
    assert snapshot(Path(world.config.certificate_directory(NAME), "versions")) == versions
    world.run(published={NAME: [spki]})
    assert world.live() == fingerprint
    assert not world.run(published={NAME: None}).failures and world.live() == fingerprint  # what is live stays


def test_the_first_key_of_a_host_needs_nobody_who_knows(world: World) -> None:
    assert not world.run(published={NAME: None}).failures and world.spki() == world.keys()[0]


def test_renewals_keep_the_time_at_which_the_key_became_live(world: World) -> None:
    world.run()
    path = Path(world.config.certificate_directory(NAME), "state.json")
    path.unlink()
    world.now += DAY
    assert world.run().report["certificates"][0]["live"]["since"] == START - 60  # not known: the certificate's begin
    world.now += 64 * DAY
    assert world.run().report["certificates"][0]["live"]["since"] == START - 60 and world.orders == 2


def test_expired_versions_are_removed_but_for_the_one_before(world: World) -> None:
    world.run()
    first, versions = world.live(), Path(world.config.certificate_directory(NAME), "versions")
    world.now += 65 * DAY
    world.run()
    second = world.live()
    world.now += 65 * DAY
    before = snapshot(versions)
    assert "has expired" not in "".join(world.run(check=True).actions) and snapshot(versions) == before
    world.run()  # the first has expired; it was the one before until this run
    assert sorted(os.listdir(versions)) == sorted([first, second, world.live()])
    assert "has expired" in "".join(world.run(check=True).actions)
    assert "has expired" in "".join(world.run(by_timer=True).actions)
    assert sorted(os.listdir(versions)) == sorted([second, world.live()])
    assert not world.run().changed


def test_an_expired_version_whose_key_is_nowhere_else_stays(world: World) -> None:
    world.run()
    key = x509.make_private_key("ecdsa-p256")
    path = world.root / "other.pem"
    path.write_bytes(x509.private_key_pem(key))
    chain = AUTHORITY.issue(key.public_key(), (NAME,), START - 2 * DAY, DAY)
    certificates.store_version(world.config, NAME, chain, certificates.Key(str(path), 1, x509.spki_sha256(key), "ecdsa-p256"))
    assert not world.run().changed


# Another algorithm, at a unit that keeps the certificate of its start

class Sendmail(World):
    """It reads the certificate at each connection, and keeps that of its start beside it where that is of the other family."""

    started = ""
    since = 0.0
    seen: set[str]

    def start(self) -> None:
        self.started = "" if self.loses and self.live() == self.loses else self.live()
        self.since = running.moment().seconds
        self.look()

    def unit(self, name: str) -> running.Unit:
        """In place of running.read_unit."""
        assert name == "sendmail"
        return running.Unit(True, 0, "", int(self.since * 1e6), stopped=not self.active)

    def family(self, fingerprint: str) -> str:
        """Of the key in a certificate that was issued."""
        return x509.family(cx509.load_der_x509_certificate(self.issued[fingerprint][0])) if fingerprint else ""

    def given(self) -> dict[str, str]:
        """What clients are given: those with ECDSA, who prefer it, and those without."""
        return {self.family(one): one for one in (self.started, self.live())} if self.started else {}

    def look(self) -> None:
        """Clients come."""
        self.seen.update(self.given().values())

    def probe_many(self, endpoints: list[tuple[str, int, str, str, str]], **options: Any) -> list[tls_client.Presented]:
        self.presents = self.given().get("ecdsa", self.given().get("rsa", ""))
        return super().probe_many(endpoints, **options)

    def want(self, algorithm: str) -> None:
        """Change the model."""
        self.config = replace(self.config, certificates=[replace(self.config.certificates[0], algorithm=algorithm)])

    def next(self) -> tuple[str, str]:
        """Order for the next key, a day later."""
        self.now += DAY
        self.run()
        return self.ordered()


@functools.cache
def rsa_key(number: int, make: Callable[[str], Any] = x509.make_private_key) -> Any:
    """One of several: they take their time."""
    assert number < 10
    return make("rsa-2048")


@pytest.fixture(name="sendmail")
def fixture_sendmail(world: World, monkeypatch: pytest.MonkeyPatch) -> Sendmail:
    """It has started with one key of ECDSA, which is gone, and another one is live.  The clock was set back: links are from the future."""
    smtp = replace(world.config.certificates[0], services=[certificates.Service("smtp", 25, NAME)])
    sendmail = Sendmail(world.root, replace(world.config, certificates=[smtp]))
    sendmail.seen = set()
    switch, clock, ticks = files.switch_link, certificates.time.monotonic, itertools.count()

    def switched(link: str, target: str) -> None:
        switch(link, target)
        sendmail.look()

    monkeypatch.setattr(files, "switch_link", switched)
    monkeypatch.setattr(running, "read_unit", sendmail.unit)
    monkeypatch.setattr(certificates.time, "monotonic", lambda: clock() + next(ticks) / 1000)
    monkeypatch.setattr(certificates.time, "time", lambda: sendmail.now - 10 * 365 * DAY)
    make, numbers = x509.make_private_key, itertools.count()
    monkeypatch.setattr(x509, "make_private_key", lambda algorithm: rsa_key(next(numbers)) if algorithm == "rsa-2048" else make(algorithm))
    monkeypatch.setattr(x509, "load_private_key", functools.cache(x509.load_private_key))  # each of RSA is judged for long
    monkeypatch.setattr(process, "run", sendmail.process)
    monkeypatch.setattr(tls_client, "probe_many", sendmail.probe_many)
    roll(sendmail)
    roll(sendmail)
    sendmail.seen.clear()
    return sendmail


def roll(sendmail: Sendmail) -> None:
    """Its first key, or a roll with the key before deleted."""
    if not os.path.exists(sendmail.config.link(NAME)):
        sendmail.run()
        return
    old = sendmail.spki()
    sendmail.step("deploy", *sendmail.next())
    assert not sendmail.step("delete_key", old).warnings


@pytest.mark.parametrize("algorithms", [["rsa-2048"], ["rsa-2048", "rsa-2048", "ecdsa-p256"]])
def test_a_unit_with_the_certificate_of_its_start_gives_nobody_an_older_one(sendmail: Sendmail, algorithms: list[str]) -> None:
    for algorithm in algorithms:
        sendmail.want(algorithm)
        spki, fingerprint = sendmail.next()
        before, restarts = sendmail.live(), sendmail.restarts
        if sendmail.family(before) != sendmail.family(sendmail.started):
            restarts += 1
        restarts += 2 * (not algorithm.startswith(sendmail.family(before)))
        sendmail.seen.clear()
        assert not sendmail.step("deploy", spki, fingerprint).warnings
        assert sendmail.seen <= {before, fingerprint} and set(sendmail.given().values()) == {fingerprint}
        assert sendmail.restarts == restarts
        assert not sendmail.step("delete_key", sendmail.keys()[0]).warnings
        sendmail.run()
        assert not sendmail.run().changed and sendmail.restarts == restarts


def test_what_went_back_to_another_algorithm_leaves_nothing_beside_it(sendmail: Sendmail, monkeypatch: pytest.MonkeyPatch) -> None:
    sendmail.want("rsa-2048")
    spki, fingerprint = sendmail.next()
    before = sendmail.live()
    with monkeypatch.context() as patch:  # it starts with the new one, which cannot be seen
        patch.setattr(tls_client, "probe_many", lambda endpoints, **options: [
            replace(one, chain=(), error="closed") if sendmail.live() == fingerprint else one for one in sendmail.probe_many(endpoints, **options)])
        assert "is live again" in sendmail.step("deploy", spki, fingerprint).warnings[0]
    assert sendmail.given() == {"ecdsa": before, "rsa": fingerprint}  # its record stays until another one takes its place
    sendmail.run(by_timer=True)
    assert set(sendmail.given().values()) == {before}


def test_a_unit_that_does_not_start_again_is_given_no_other_algorithm(sendmail: Sendmail, monkeypatch: pytest.MonkeyPatch) -> None:
    sendmail.want("rsa-2048")
    spki, fingerprint = sendmail.next()
    before = sendmail.live()
    with monkeypatch.context() as patch:
        patch.setattr(sendmail, "start", lambda: vars(sendmail).update(started="", active=False, failed=True))
        result = sendmail.step("deploy", spki, fingerprint)
        assert "has to come before a key of another algorithm" in result.warnings[0] and sendmail.live() == before
        assert not sendmail.run().report["certificates"][0]["live"]["proven"]
    result = sendmail.run(by_timer=True)  # and it is started when that is mended
    assert sendmail.given() == {"ecdsa": before} and result.report["certificates"][0]["live"]["proven"]
    sendmail.now += 3600
    assert not sendmail.step("deploy", spki, fingerprint).warnings and sendmail.given() == {"rsa": fingerprint}


def break_restarts(sendmail: Sendmail, patch: pytest.MonkeyPatch, bus: bool, live: str = "") -> None:
    """Of a masked unit, or (`bus`) D-Bus is away; while `live` is live, by default at once."""
    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if argv[0] == "systemctl" and (bus or argv[1] == "restart") and live in ("", sendmail.live()):
            return subprocess.CompletedProcess(argv, 1, b"", b"it is refused")
        return sendmail.process(argv, **options)

    def read_unit(name: str) -> running.Unit:
        if bus and live in ("", sendmail.live()):
            raise DaneError("systemd does not tell")
        return sendmail.unit(name)

    patch.setattr(process, "run", run)
    patch.setattr(running, "read_unit", read_unit)


def back_to_ecdsa(sendmail: Sendmail) -> tuple[str, str]:
    """RSA is live, beside an older RSA certificate of its start, and ECDSA comes next: what clients are asked with shows what is live."""
    sendmail.want("rsa-2048")
    roll(sendmail)
    roll(sendmail)
    sendmail.want("ecdsa-p256")
    return sendmail.next()


@pytest.mark.parametrize("bus", [False, True])
def test_a_restart_that_did_not_happen_lets_no_other_algorithm_go_live(sendmail: Sendmail, monkeypatch: pytest.MonkeyPatch, bus: bool) -> None:
    spki, fingerprint = back_to_ecdsa(sendmail)
    before = sendmail.live()
    assert sendmail.started not in (before, fingerprint)
    with monkeypatch.context() as patch:
        break_restarts(sendmail, patch, bus)
        result = sendmail.step("deploy", spki, fingerprint)
    assert "sendmail runs with the certificate of its start, after a restart that has to come before a key of another algorithm" in result.warnings[0]
    assert sendmail.live() == before
    sendmail.seen.clear()
    sendmail.now += 3600
    assert not sendmail.step("deploy", spki, fingerprint).warnings and sendmail.given() == {"ecdsa": fingerprint}
    assert sendmail.seen == {before, fingerprint}


@pytest.mark.parametrize("bus", [False, True])
def test_a_restart_that_did_not_happen_proves_no_other_algorithm(sendmail: Sendmail, monkeypatch: pytest.MonkeyPatch, bus: bool) -> None:
    spki, fingerprint = back_to_ecdsa(sendmail)
    before, old = sendmail.live(), sendmail.spki()
    with monkeypatch.context() as patch:
        break_restarts(sendmail, patch, bus, fingerprint)
        for result in (sendmail.step("deploy", spki, fingerprint), sendmail.step("delete_key", old)):
            assert sendmail.given() == {"ecdsa": fingerprint, "rsa": before} and not item(result)["live"]["proven"]
            assert "systemctl restart sendmail failed: it is refused" in result.warnings[0]
        assert "may be needed" in result.warnings[1]
    assert item(sendmail.run(by_timer=True))["live"]["proven"] and sendmail.given() == {"ecdsa": fingerprint}
    restarts = sendmail.restarts
    assert not sendmail.step("delete_key", old).warnings and sendmail.restarts == restarts


def test_where_it_is_not_known_when_it_went_live_a_unit_is_restarted_once(sendmail: Sendmail, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier version of this program has left."""
    sendmail.want("rsa-2048")
    spki, fingerprint = sendmail.next()
    sendmail.start()
    certificates.write_state(sendmail.config, NAME, replace(certificates.read_state(sendmail.config, NAME), switched={}))
    restarts = sendmail.restarts
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "put_live", failing)
        for _attempt in range(2):
            assert "the disk is full" in sendmail.step("deploy", spki, fingerprint, retry=True).warnings[0]
    assert sendmail.restarts == restarts + 1


def failing(*_arguments: Any, **_options: Any) -> None:
    """Does not do it."""
    raise DaneError("the disk is full")


# A unit that was restarted, and did not start

def test_a_unit_that_did_not_start_again_is_started_when_it_can(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was restarted as it presented the leaf alone; what is live was proved long ago."""
    world.run()
    world.leaf_only = True
    with monkeypatch.context() as patch:
        patch.setattr(world, "start", lambda: vars(world).update(presents="", active=False, failed=True))
        for _run in range(2):
            result = world.run(by_timer=True)
            assert not item(result)["live"]["proven"] and not world.presents
    assert item(world.run(by_timer=True))["live"]["proven"] and world.presents == world.live()
    assert not world.run(by_timer=True).changed


class Split(World):
    """Its two units are apart: what each presents, and which of them does not start, or presents the same for ever."""

    shown: dict[str, str]
    broken: str = ""
    stuck: str = ""
    short: str = ""
    log: list[str]

    def process(self, argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        unit, service = argv[-1], {"sendmail": "smtp", "apache2": "https"}.get(argv[-1], "")
        if argv[0] != "systemctl" or not service or argv[1] == "show":
            return super().process(argv, **options)
        status = 0
        if argv[1] in ("is-active", "is-failed"):
            status = int(bool(self.shown[service]) == (argv[1] == "is-failed"))
        else:
            self.log.append(unit)
            status = int(unit == self.broken)
            self.shown[service] = "" if status else self.shown[service] if service == self.stuck else self.live()
        return subprocess.CompletedProcess(argv, status, b"", b"it does not start")

    def probe_many(self, endpoints: list[tuple[str, int, str, str, str]], **_options: Any) -> list[tls_client.Presented]:
        found = []
        for one in endpoints:
            self.presents, self.leaf_only = self.shown[one[2]], self.short == one[2]
            found += super().probe_many([one])
        return found

    def errors(self, **options: Any) -> tuple[list[str], bool]:
        """One run: which endpoints are wrong, and whether what is live is proven."""
        told = item(self.run(**options))
        return sorted({one["service"] for one in told["endpoints"] if one["error"]}), told["live"]["proven"]


@pytest.fixture(name="split")
def fixture_split(world: World, monkeypatch: pytest.MonkeyPatch) -> Split:
    """Both units present what is live."""
    split = Split(world.root, world.config)
    split.shown, split.log = {"smtp": "started", "https": "started"}, []
    monkeypatch.setattr(process, "run", split.process)
    monkeypatch.setattr(tls_client, "probe_many", split.probe_many)
    split.issued["started"] = tuple(map(x509.der, AUTHORITY.issue(x509.make_private_key("ecdsa-p256").public_key(), (NAME,), START, DAY)))
    assert split.errors() == ([], True)
    split.log.clear()
    return split


def test_a_unit_that_does_not_start_holds_no_renewal_back(split: Split) -> None:
    """For what else presents the certificate, it is renewed."""
    first = split.live()
    split.short, split.broken = "smtp", "sendmail"
    assert split.errors() == (["smtp"], False) and split.shown == {"smtp": "", "https": first}
    split.now += 65 * DAY
    assert split.errors(by_timer=True) == (["smtp"], False)
    assert split.live() == split.shown["https"] != first


@pytest.mark.parametrize("by_timer", [True, False])
def test_what_a_restart_did_not_help_is_not_restarted_at_every_run(split: Split, by_timer: bool) -> None:
    """As where something before the unit has a copy of the certificate."""
    first = split.live()
    assert not split.step("deploy", *split.ordered()).warnings and split.live() != first
    split.shown["https"], split.stuck = first, "https"  # with another key, so the host does not go back to it
    split.log.clear()
    assert split.errors(by_timer=by_timer) == (["https"], True) and split.log == ["apache2"]
    for _run in range(2):
        assert split.errors(by_timer=by_timer) == (["https"], True) and split.log == ["apache2"]
    assert not split.run(check=True).changed
    split.short = "smtp"  # another one is restarted for itself
    assert split.errors(by_timer=by_timer) == (["https", "smtp"], True) and split.log == ["apache2", "sendmail"]
    split.short = ""
    assert split.errors(by_timer=by_timer) == (["https"], True)
    split.stuck, split.shown["https"] = "", split.live()  # it has a copy of what is live now
    assert split.errors(by_timer=by_timer) == ([], True) and not certificates.read_state(split.config, NAME).unmoved
    split.shown["https"] = first
    assert split.errors(by_timer=by_timer) == ([], True) and split.log == ["apache2", "sendmail", "apache2"]


def test_what_a_restart_did_not_help_is_restarted_when_something_else_is_live(split: Split) -> None:
    split.short = "smtp"
    for _run in range(3):
        assert split.errors(by_timer=True) == (["smtp"], True) and split.log == ["sendmail"]
    split.now += 65 * DAY
    split.short = ""
    assert split.errors(by_timer=True) == ([], True) and split.log == ["sendmail", "sendmail", "apache2"]


def test_what_a_restart_did_not_help_is_no_witness_for_the_next_one(split: Split) -> None:
    """Of the same unit."""
    first = split.live()
    split.step("deploy", *split.ordered())
    split.config = replace(split.config, units={"smtp": "sendmail", "https": "sendmail"})
    split.shown["https"] = first
    assert "there is no going back" in split.run().warnings[0] and split.shown["smtp"] == split.live()
    split.shown["smtp"] = first
    assert not split.run().warnings and split.shown["smtp"] == split.live()


def test_a_restart_that_failed_is_tried_again(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    split.short = "smtp"
    with monkeypatch.context() as patch:
        patch.setattr(process, "run", lambda argv, **options: (
            subprocess.CompletedProcess(argv, 1, b"", b"it is masked") if argv[:2] == ["systemctl", "restart"] else split.process(argv, **options)))
        for _run in range(2):
            assert "it is masked" in split.run(by_timer=True).warnings[0]
    with monkeypatch.context() as patch:  # it ended, and what answers at its port is another process
        patch.setattr(certificates, "has_failed", lambda unit: True)
        for number in range(2):
            assert split.errors(by_timer=True) == (["smtp"], False) and split.log == ["sendmail"] * (number + 1)
    split.log.clear()
    assert split.errors(by_timer=True) == (["smtp"], True) and split.log == ["sendmail"]


def test_what_a_restart_did_not_help_keeps_nothing_unproven(split: Split) -> None:
    """While the other unit does not start."""
    split.short = "https"
    assert split.errors(by_timer=True) == (["https"], True)
    split.short, split.shown["smtp"], split.broken = "https", "started", "sendmail"
    split.now += 65 * DAY
    assert split.errors(by_timer=True)[1] is False
    split.log.clear()
    assert split.errors(by_timer=True) == (["https", "smtp"], False) and split.log == ["sendmail"]
    split.broken = ""
    assert split.errors(by_timer=True) == (["https"], True)


# Dying at every step

def crash_points(world: World, monkeypatch: pytest.MonkeyPatch, at: int) -> list[str]:
    """Die in place of the `at`-th durable effect; the list fills with the effects."""
    return dies(monkeypatch, world.root, at, [*((files, name) for name in ("write_file", "make_directory", "switch_link", "sync_directory")),
                                              (os, "rename"), (os, "unlink"), (process, "run")])


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


@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("scene", ["order", "deploy", "undo", "delete_key"])
def test_a_step_that_dies_anywhere_leaves_a_good_version_live(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, scene: str,
                                                              reboot: bool) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    world.run()
    first, [old, new], fingerprint = world.live(), world.keys(), ""
    if scene != "order":
        fingerprint = world.ordered()[1]
    if scene == "delete_key":
        world.step("deploy", new, fingerprint)
    kept, presented, began = tmp_path.parent / f"{tmp_path.name}.kept", world.presents, world.live()
    shutil.copytree(tmp_path, kept, symlinks=True)
    step = {"undo": "deploy"}.get(scene, scene)
    spki = old if scene == "delete_key" else new
    points, wrecks = 0, set()
    for at in range(200):
        shutil.rmtree(tmp_path)
        shutil.copytree(kept, tmp_path, symlinks=True)
        world.now, world.presents, world.loses = START + DAY, presented, fingerprint if scene == "undo" else ""
        with monkeypatch.context() as patch:
            seen = crash_points(world, patch, at)
            try:
                world.step(step, spki, fingerprint)
            except KeyboardInterrupt:
                pass
        points = len(seen)
        at_death = world.live()
        assert at_death in {began, fingerprint} and certificates.read_live(world.config, NAME, world.now).problem == ""  # type: ignore[union-attr]
        wrecks.add((at_death, world.presents))
        if reboot:
            world.start()
        # the timer proves what is live or goes back, takes no step, and restarts nothing after that
        result = world.run(by_timer=True)
        assert not result.failures and world.presents == world.live(), (at, seen)
        assert world.live() == (first if scene == "undo" else at_death)
        assert result.report["certificates"][0]["live"]["proven"] and spki in [*world.keys(), *([old] if scene == "delete_key" else [])]
        assert not world.run(by_timer=True).changed, (at, seen)
        # and the same step ends where it would have without
        world.now, world.loses, orders = world.now + 7200, "", world.orders
        result = world.step(step, spki, fingerprint)
        assert not result.failures and not result.warnings, (at, seen)
        assert world.presents == world.live() == (fingerprint if scene in ("deploy", "undo", "delete_key") else first)
        assert world.orders - orders <= 1 and (old in world.keys()) == (scene != "delete_key")
        world.run()
        assert not world.run().changed and len(world.keys()) == (3 if scene in ("deploy", "undo") else 2)
        assert not list((tmp_path / "state").rglob(".*")), (at, seen)
        if points <= at:
            break
    assert points > 8 and at == points, points
    if scene in ("deploy", "undo"):  # before the switch, before the restart, and after it
        assert wrecks >= {(first, first), (fingerprint, first), (fingerprint, fingerprint if scene == "deploy" else "")}


@pytest.mark.parametrize("algorithm", ["rsa-2048", "ecdsa-p256"])
def test_another_algorithm_that_dies_anywhere_gives_nobody_an_older_one(tmp_path: Path, sendmail: Sendmail, monkeypatch: pytest.MonkeyPatch,
                                                                        algorithm: str) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    if algorithm == "ecdsa-p256":
        sendmail.want("rsa-2048")
        roll(sendmail)
        roll(sendmail)
    sendmail.want(algorithm)
    spki, fingerprint = sendmail.next()
    before, started, since = sendmail.live(), sendmail.started, sendmail.since
    kept = tmp_path.parent / f"{tmp_path.name}.kept"
    shutil.copytree(tmp_path, kept, symlinks=True)
    pool, wrecks = [x509.make_private_key(algorithm) for _number in range(3)], set()
    for at in range(100):
        shutil.rmtree(tmp_path)
        shutil.copytree(kept, tmp_path, symlinks=True)
        sendmail.started, sendmail.since, spare = started, since, iter(pool)  # RSA keys take their time
        monkeypatch.setattr(x509, "make_private_key", lambda algorithm, spare=spare: next(spare))
        sendmail.seen.clear()
        with monkeypatch.context() as patch:
            seen = crash_points(sendmail, patch, at)
            try:
                sendmail.step("deploy", spki, fingerprint)
            except KeyboardInterrupt:
                pass
        assert sendmail.seen <= {before, fingerprint}, (at, seen)
        wrecks.add((sendmail.live(), sendmail.started))
        sendmail.run(by_timer=True)
        assert sendmail.seen <= {before, fingerprint}, (at, seen)
        if sendmail.live() == fingerprint:
            assert set(sendmail.given().values()) == {fingerprint}, (at, seen)
        assert not sendmail.run(by_timer=True).changed, (at, seen)
        assert not sendmail.step("deploy", spki, fingerprint).warnings
        assert sendmail.seen <= {before, fingerprint} and set(sendmail.given().values()) == {fingerprint}, (at, seen)
        if len(seen) <= at:
            break
    assert wrecks == {(before, started), (before, before), (fingerprint, before), (fingerprint, fingerprint)}


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
    (plain(bound={"h.pyon.example": True}), "for certificates that are there"),
    (plain(bound={NAME: "yes"}), "give true or false"),
    (plain(revoked=["AB" * 32]), "in hexadecimal and lower case"),
    (plain(revoked="ab" * 32), "revoked is no list"),
    (plain(revoked=[1]), "give a list"),
    (plain(more=1), "not in their shape"),
    (plain(addresses=None), "not in their shape .*addresses is no list"),
    (plain(units=None), "units is no dict"),
    (plain(readers=[]), "readers is no dict"),
    (plain(bound=[]), "bound is no dict"),
    (plain(order_timeout=None), "order_timeout is no int"),
    (plain(directory=1), "directory is no str"),
    (plain(certificates=[{"name": NAME, "algorithm": ["rsa-2048"]}]), "not one of"),
    (plain(certificates=[{"name": NAME, "services": [{"service": "smtp", "port": float("inf"), "name": NAME}]}]), "not in their shape"),
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


# --- what the CA has revoked, while the key is clean ---

def revoke(world: World, *fingerprints: str) -> None:
    """The operator says so in the runs from now on."""
    world.config = replace(world.config, revoked=list(fingerprints))


@pytest.mark.parametrize("by_timer", [True, False])
def test_a_revoked_certificate_is_ordered_again_with_its_key(world: World, by_timer: bool) -> None:
    world.run()
    live, spki, keys = world.live(), world.spki(), world.keys()
    revoke(world, live)
    result = world.run(by_timer=by_timer)
    assert not result.warnings and not result.failures
    assert (f"{NAME}: ordering a certificate for {NAME} with the key {spki[:16]}..., as the operator says that the live certificate is revoked"
            in result.actions)
    assert world.live() == world.presents != live and world.spki() == spki and world.keys() == keys and world.orders == 2
    assert item(result)["due"] == "" and item(result)["keys"][0]["certificate"]["fingerprint"] == world.live()
    before = snapshot(world.root)
    assert not world.run(by_timer=by_timer).changed and not world.run(by_timer=by_timer).changed
    assert world.orders == 2 and snapshot(world.root) == before, "what is said of another certificate does nothing"


def test_check_mode_says_that_a_revoked_certificate_is_ordered_again(world: World) -> None:
    world.run()
    live, before = world.live(), snapshot(world.root)
    revoke(world, live)
    result = world.run(check=True)
    assert f"{NAME}: order a certificate for {NAME}, as the operator says that the live certificate is revoked" in result.actions
    assert item(result)["due"] == "the operator says that the live certificate is revoked"
    assert item(result)["live"]["fingerprint"] == live and item(result)["keys"][0]["certificate"] is None
    assert result.after != result.before and world.orders == 1 and snapshot(world.root) == before


def test_the_host_remembers_what_is_revoked(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run()
    path, live = str(world.root / "etc" / "certificates.json"), world.live()
    revoke(world, live)
    world.refuse = "ERROR: no\n"
    result = world.run()
    assert "the live one stays" in result.warnings[0] and not result.failures and world.live() == live
    revoke(world, "0" * 64)
    assert world.run().warnings and certificates.read_config(path).revoked == sorted([live, "0" * 64])
    assert certificates.renew_command(path) == 1
    assert f"{NAME} is due (the operator says that the live certificate is revoked), but 2 attempts failed" in capsys.readouterr().err
    world.refuse, world.now = "", world.now + DAY
    assert certificates.renew_command(path) == 0 and world.live() != live and world.orders == 2


def test_where_it_is_lost_what_is_revoked_the_operator_is_told(world: World) -> None:
    world.config = replace(world.config, bound={NAME: False})
    world.run()
    path, live = world.root / "etc" / "certificates.json", world.live()
    revoke(world, live)
    world.refuse = "ERROR: no\n"
    world.run()
    path.write_bytes(path.read_bytes()[:100])
    revoke(world)
    world.refuse = ""
    for check in (True, False):
        assert world.run(check=check).warnings == [f"{path} is damaged, and this host has forgotten which certificates are revoked; of those that are, tell it"
                                                   " again with renew.yml and -e dane_revoked=<SHA-256>"]
    assert world.live() == live and not world.run().warnings
    revoke(world, live)
    assert not world.run().warnings and world.live() != live


def test_a_revoked_version_is_not_taken_from_disk(world: World) -> None:
    world.run()
    first = world.live()
    revoke(world, first)
    world.run()
    second = world.live()
    revoke(world, second)
    world.run()
    assert world.live() not in (first, second) and world.orders == 3, "dehydrated has the first one too"
    os.unlink(world.config.link(NAME))
    revoke(world, first, second, os.path.basename(world.presents))
    assert not world.run().failures and world.orders == 4


def test_a_ca_that_gives_the_revoked_certificate_again_is_not_asked_without_end(world: World) -> None:
    world.run()
    live, spki = world.live(), world.spki()
    chain = x509.load_certificates(Path(world.config.link(NAME), "fullchain.pem").read_bytes(), "live")
    revoke(world, live)
    world.change = lambda _chain: chain
    result = world.run()
    assert f"the CA gave the certificate {live[:16]}... again, which is revoked" in result.warnings[0] and item(result)["next_attempt"] == START + 3600
    assert world.run(by_timer=True).warnings and (world.orders, world.live(), world.spki()) == (2, live, spki)


def test_a_revoked_certificate_of_the_next_key_is_ordered_again(world: World) -> None:
    world.run()
    spki, fingerprint = world.ordered()
    live = world.live()
    revoke(world, fingerprint)
    assert item(world.run())["keys"][1]["certificate"] is None and world.live() == live
    assert world.ordered()[1] != fingerprint and world.orders == 3 and world.live() == live
    assert not world.step("deploy", spki, world.ordered()[1]).warnings and world.spki() == spki and not item(world.run())["due"]


def test_where_records_stand_for_a_revoked_certificate_the_plan_replaces_it(world: World) -> None:
    bind(world)
    live, spki = world.live(), world.spki()
    revoke(world, live)
    result = world.run()
    assert item(result)["due"] and item(result)["keys"][0]["certificate"] is None and (world.live(), world.orders) == (live, 1)
    assert not world.run(by_timer=True).changed
    fingerprint = item(world.step("order", spki))["keys"][0]["certificate"]["fingerprint"]
    assert fingerprint != live and (world.live(), world.orders) == (live, 2)
    result = world.step("deploy", spki, fingerprint)
    assert not result.warnings and world.live() == world.presents == fingerprint and item(result)["due"] == ""
    assert not world.run().changed


def test_where_a_service_loses_tls_the_revoked_certificate_is_better_than_none(world: World) -> None:
    world.run()
    live, original = world.live(), world.process
    revoke(world, live)

    def breaks(argv: list[str], **options: Any) -> Any:
        world.loses = world.live() if world.live() != live else ""
        return original(argv, **options)

    process.run = breaks  # type: ignore[assignment]  # undone with the fixture's own patch
    result = world.run()
    assert (world.live(), world.presents) == (live, live) and any("is live again" in line for line in result.warnings)
    assert item(result)["due"] and item(result)["failures"] == 1


# --- where TLSA records stand for the certificate itself ---

def bind(world: World, bound: bool = True) -> None:
    """The playbook says so."""
    world.config = replace(world.config, bound={NAME: bound})
    world.run()


def item(result: certificates.Result) -> Any:
    return result.report["certificates"][0]


def test_neither_timer_nor_playbook_renews_what_records_stand_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    bind(world)
    live, end = world.live(), START - 60 + 90 * DAY
    path = str(world.root / "etc" / "certificates.json")
    for now, status in ((end - 30 * DAY, 0), (end - 15 * DAY - 1, 0), (end - 15 * DAY, 1), (end, 1)):
        world.now = now
        result = world.run()
        assert not result.warnings and item(result)["bound"] and item(result)["due"]
        before = snapshot(world.root)
        assert not world.run(check=True).changed
        assert certificates.renew_command(path) == status, "it is for the plan, but not for ever"
        assert "run renew.yml, which has the records changed first" in "".join(capsys.readouterr())
        assert (world.live(), world.orders) == (live, 1) and snapshot(world.root) == before
    assert bool(world.run(by_timer=True).failures), "it has expired"


def test_a_run_that_is_told_nothing_keeps_what_an_earlier_one_was_told(world: World) -> None:
    bind(world)
    live = world.live()
    world.now += 65 * DAY
    world.config = replace(world.config, bound={})
    assert item(world.run())["bound"] and world.live() == live
    bind(world, bound=False)
    assert world.live() != live and not item(world.run())["bound"]


def test_a_certificate_that_is_gone_from_the_model_is_forgotten(world: World) -> None:
    bind(world)
    other = replace(world.config, certificates=[replace(world.config.certificates[0], name="h.pyon.example")], bound={})
    path = str(world.root / "etc" / "certificates.json")
    assert certificates._as_told(world.config, path)[0].bound == {NAME: True} and certificates._as_told(other, path) == (other, "")
    assert certificates._as_told(other, str(world.root / "none")) == (other, "")


@pytest.mark.parametrize("change", [{"addresses": None}, {"readers": []}, {"units": None}, {"bound": []}, {"order_timeout": float("inf")}, None])
def test_arguments_of_another_shape_are_damaged_and_written_again(
        world: World, capsys: pytest.CaptureFixture[str], change: dict[str, Any] | None) -> None:
    world.run()
    path = world.root / "etc" / "certificates.json"
    good = path.read_text()
    path.write_text("[" * 100000 if change is None else json.dumps({**json.loads(good), **change}))
    assert certificates.renew_command(str(path)) == 1
    told = capsys.readouterr().err
    assert told.startswith("renew: failed: ") and "run the role tls_certificates again" in told and told.count("\n") == 1
    assert "certificates.json is damaged" in world.run().warnings[0]
    assert certificates.read_config(str(path)) == replace(world.config, bound={NAME: True})


@pytest.mark.parametrize("text", ["", "[]", '{"host": "vps.pyon.example"}'])
def test_where_it_is_lost_what_records_stand_for_they_may(world: World, text: str) -> None:
    """Of what this run is not told."""
    bind(world)
    live = world.live()
    path = world.root / "etc" / "certificates.json"
    world.config = replace(world.config, bound={})
    world.now += 65 * DAY
    path.write_text(text)
    for check in (True, False):
        result = world.run(check=check)
        assert "certificates.json is damaged" in result.warnings[0] and NAME in result.warnings[0] and len(result.warnings) == 1
        assert item(result)["bound"] and world.live() == live
    assert not world.run().warnings and world.live() == live and certificates.read_config(str(path)).bound == {NAME: True}
    path.write_text(text)
    world.config = replace(world.config, bound={NAME: False})
    [said] = world.run().warnings
    assert "certificates.json is damaged" in said and NAME not in said and world.live() != live


def test_it_is_renewed_by_the_steps_of_the_plan(world: World) -> None:
    bind(world)
    world.now += 65 * DAY
    spki, live = world.spki(), world.live()
    result = world.step("order", spki)
    fingerprint = item(result)["keys"][0]["certificate"]["fingerprint"]
    assert not result.warnings and world.live() == live and world.orders == 2 and fingerprint != live
    assert not world.step("order", spki).changed and world.orders == 2
    assert not world.run().changed and not world.run(by_timer=True).changed and world.live() == live, "nobody else makes it live"
    world.now += DAY
    result = world.step("deploy", spki, fingerprint)
    assert not result.warnings and world.live() == world.presents == fingerprint and world.spki() == spki
    assert (item(result)["live"]["since"], item(result)["live"]["deployed"]) == (START, world.now) and item(result)["live"]["proven"]
    world.now += DAY
    assert item(world.run())["live"]["deployed"] == world.now - DAY


def test_one_that_has_waited_until_it_is_due_itself_is_not_ordered_again(world: World) -> None:
    """Its record is in the caches, and that of another one would have to wait anew."""
    bind(world)
    world.now += 65 * DAY
    spki = world.spki()
    fingerprint = item(world.step("order", spki))["keys"][0]["certificate"]["fingerprint"]
    world.now += 61 * DAY  # a third of its life is left, and what is live has ended
    again = world.step("order", spki)
    assert item(again)["keys"][0]["certificate"]["fingerprint"] == fingerprint and world.orders == 2
    assert not world.step("deploy", spki, fingerprint).warnings and world.live() == fingerprint
    report = item(world.run())
    assert report["due"] and report["keys"][0]["certificate"] is None, "what is live does not follow itself"
    assert item(world.step("order", spki))["keys"][0]["certificate"]["fingerprint"] != fingerprint and world.orders == 3


def test_a_failed_order_of_the_plan_is_tried_again_later(world: World) -> None:
    bind(world)
    world.now += 65 * DAY
    world.refuse = "ERROR: no\n"
    result = world.step("order", world.spki())
    assert len(result.warnings) == 1 and item(result)["roll"]["next_attempt"] == world.now + 3600
    world.refuse = ""
    assert "not tried again before" in world.step("order", world.spki()).warnings[0] and world.orders == 1
    world.now += 3600
    assert not world.step("order", world.spki()).warnings and world.orders == 2


def test_the_version_before_is_live_again_where_a_service_loses_tls(world: World) -> None:
    bind(world)
    world.now += 65 * DAY
    spki, live = world.spki(), world.live()
    fingerprint = item(world.step("order", spki))["keys"][0]["certificate"]["fingerprint"]
    world.loses = fingerprint
    result = world.step("deploy", spki, fingerprint)
    assert (world.live(), world.presents) == (live, live) and any("is live again" in line for line in result.warnings)
    assert item(result)["roll"]["failures"] == 1 and item(result)["failures"] == 0
    restarts = world.restarts
    assert "not tried again before" in world.step("deploy", spki, fingerprint).warnings[0] and world.restarts == restarts


def test_there_is_no_going_back_to_a_certificate_that_only_ran(world: World) -> None:
    """As in test_a_version_that_only_ran_does_not_lead_back_to_an_old_key, but the key is the same."""
    bind(world)
    world.now += 65 * DAY
    spki, first = world.spki(), world.live()
    fingerprint = item(world.step("order", spki))["keys"][0]["certificate"]["fingerprint"]
    world.step("deploy", spki, fingerprint)
    assert certificates.read_state(world.config, NAME).previous == first and not certificates.read_state(world.config, NAME).unproven
    world.presents, world.loses = first, fingerprint  # what is live was proved, and now it does not work any more
    result = world.run(by_timer=True)
    assert world.live() == fingerprint and "TLSA records stand for the live one" in result.warnings[0]
    with pytest.raises(DaneError, match="stand for the live one itself"):
        certificates.put_live(world.config, certificates.inspect(world.config, world.config.certificates[0], world.now), first, world.now)


def test_where_nothing_is_live_there_is_nothing_that_records_stand_for(world: World) -> None:
    world.config = replace(world.config, bound={NAME: True})
    assert not world.run().failures and world.orders == 1
    os.unlink(world.config.link(NAME))
    assert not world.run().failures and world.spki()


def test_a_key_of_an_algorithm_that_is_not_wanted_any_more_is_no_next_key(world: World) -> None:
    world.run()
    unwanted = world.keys()[1]
    world.config = replace(world.config, certificates=[replace(world.config.certificates[0], algorithm="rsa-2048")])
    report = item(world.run())
    assert report["algorithm"] == "rsa-2048" and [key["algorithm"] for key in report["keys"]] == ["ecdsa-p256", "ecdsa-p256", "rsa-2048"]
    world.config = replace(world.config, certificates=[replace(world.config.certificates[0], algorithm="ecdsa-p256")])
    world.run()
    assert not world.step("delete_key", world.keys()[2]).warnings and len(world.keys()) == 2, "and the other way round"
    with pytest.raises(DaneError, match="next one"):
        world.step("delete_key", unwanted)


def test_last_words_are_the_errors_and_what_the_ca_said() -> None:
    said = ' + Done\n  + ERROR: An error occurred while sending post-request (Status 403)\n\nDetails:\nHTTP/2 403\n{\n "type": "x:error:y",\n' \
           ' "detail": "no\x07pe"\n}\n'
    assert certificates.last_words(said) == "+ ERROR: An error occurred while sending post-request (Status 403) / no?pe"
    assert certificates.last_words("") == "it said nothing"
    assert len(certificates.last_words("error " * 1000)) <= 600


# An ECDSA and an RSA certificate at one endpoint

OTHER = "g-rsa"


class Pair(World):
    """Its services present what is live of the one family or of the other, as the client asks."""

    def live_of(self, name: str) -> str:
        link = self.config.link(name)
        return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""

    def start(self) -> None:
        self.shown = {family: self.live_of(name) for family, name in (("ecdsa", NAME), ("rsa", OTHER))}
        self.presents = self.shown["ecdsa"]

    def probe_many(self, endpoints: list[tuple[str, int, str, str, str]], **_options: Any) -> list[tls_client.Presented]:
        found = []
        for address, port, service, name, family in endpoints:
            shown = getattr(self, "shown", {}).get(family or "ecdsa", "")
            found.append(tls_client.Presented(address, port, service, name, chain=self.issued[shown] if shown else (),
                                              error="" if shown else "no such certificate"))
        return found

    def report(self, **options: Any) -> dict[str, Any]:
        """Of the RSA certificate, after a run in which all went well."""
        result = self.run(**options)
        assert not result.warnings and not result.failures
        return next(one for one in result.report["certificates"] if one["name"] == OTHER)  # type: ignore[no-any-return]


@pytest.fixture(name="pair")
def fixture_pair(world: World, monkeypatch: pytest.MonkeyPatch) -> Pair:
    ecdsa = world.config.certificates[0]
    pair = Pair(world.root, replace(world.config, certificates=[ecdsa, replace(ecdsa, name=OTHER, algorithm="rsa-2048")]))
    monkeypatch.setattr(process, "run", pair.process)
    monkeypatch.setattr(tls_client, "probe_many", pair.probe_many)
    return pair


def test_both_of_a_pair_are_live_at_once_where_neither_was(pair: Pair) -> None:
    report = pair.report()
    assert report["live"]["fingerprint"] == pair.shown["rsa"] != pair.shown["ecdsa"]
    assert [(one["fingerprint"], one["error"]) for one in report["endpoints"]] == [(pair.shown["rsa"], "")] * 4
    assert [key["algorithm"] for key in report["keys"]] == ["rsa-2048"] * 2
    chains = Path(pair.config.directory, "chains.pem").read_bytes()
    assert chains == x509.pem([AUTHORITY.intermediate, ANOTHER.intermediate])
    before, restarts = snapshot(pair.root), pair.restarts
    assert not pair.run().changed and not pair.run(by_timer=True).failures
    assert snapshot(pair.root) == before and pair.restarts == restarts


def test_a_single_certificate_has_no_file_of_chains(world: World) -> None:
    world.run()
    assert not os.path.exists(os.path.join(world.config.directory, "chains.pem"))


def test_the_file_of_chains_follows_a_renewal_before_the_service_is_restarted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.run()
    fresh = Authority()
    monkeypatch.setattr(sys.modules[__name__], "ANOTHER", fresh)
    pair.now += 61 * DAY
    seen: list[bytes] = []
    start = pair.start

    def start_with() -> None:
        seen.append(Path(pair.config.directory, "chains.pem").read_bytes())
        start()

    monkeypatch.setattr(pair, "start", start_with)
    result = pair.run(by_timer=True)
    assert not result.failures and not result.warnings
    assert set(seen) == {x509.pem([AUTHORITY.intermediate, fresh.intermediate])}


def test_the_file_of_chains_keeps_what_could_not_be_looked_at(pair: Pair) -> None:
    pair.run()
    chains = Path(pair.config.directory, "chains.pem")
    before = chains.read_bytes()
    Path(pair.config.certificate_directory(OTHER), "state.json").write_text("")
    assert "is damaged" in pair.run(by_timer=True).failures[0] and chains.read_bytes() == before


@pytest.mark.usefixtures("alarm")
def test_a_pipe_in_place_of_the_chains_is_replaced(pair: Pair) -> None:
    pair.run()
    path = Path(pair.config.directory, "chains.pem")
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    assert not pair.run().warnings and path.read_bytes() == content
    other = Path(pair.config.link(OTHER), "chain.pem")
    other.unlink()
    os.mkfifo(other)
    Path(pair.config.certificate_directory(OTHER), "state.json").write_text("")
    assert len(pair.run(by_timer=True).failures) == 1 and path.read_bytes() == x509.pem([AUTHORITY.intermediate])


def test_one_that_joins_is_kept_until_it_is_permitted(pair: Pair) -> None:
    both = pair.config
    pair.config = replace(both, certificates=both.certificates[:1])
    pair.run()
    live = pair.live()
    pair.config = both
    dry = pair.run(check=True)
    assert f"{OTHER}: order a certificate for {NAME}, as it has no live certificate" in dry.actions and "a new certificate" not in dry.after
    report = pair.report()
    assert report["live"] is None and pair.live_of(OTHER) == "" and pair.orders == 2
    assert [bool(key["certificate"]) for key in report["keys"]] == [True, False]
    before = snapshot(pair.root)
    again = pair.run()
    assert not again.changed and not again.warnings and not pair.run(check=True).changed
    timer = pair.run(by_timer=True)
    assert not timer.failures and not timer.warnings
    for check in (True, False):  # and that is no fault where it is not known which keys are published
        again = pair.run(published={NAME: None, OTHER: None}, check=check)
        assert not again.failures and not again.warnings and not again.changed
    assert snapshot(pair.root) == before and pair.live_of(OTHER) == "" and pair.orders == 2
    report = pair.report(joining=[OTHER], published={OTHER: [key["spki"] for key in report["keys"]]})
    assert report["live"]["spki"] == report["keys"][0]["spki"] and pair.orders == 2 and pair.live() == live
    assert {one["error"] for one in report["endpoints"]} == {""}


def test_where_records_stand_for_certificates_one_joins_by_a_step_that_names_it(pair: Pair) -> None:
    both = replace(pair.config, bound={OTHER: True})
    pair.config = replace(both, certificates=both.certificates[:1], bound={})
    pair.run()
    pair.config = both
    pair.report()
    pair.now += 61 * DAY                       # a third or less of its life is left, and others are ordered
    for _run in range(2):
        report = pair.report(joining=[OTHER])
        assert report["live"] is None and pair.orders == 4
    key = report["keys"][0]
    step = {"certificate": OTHER, "step": "deploy", "spki": key["spki"], "fingerprint": key["certificate"]["fingerprint"]}
    assert pair.report(steps=[step])["live"]["fingerprint"] == key["certificate"]["fingerprint"] == pair.shown["rsa"] and pair.orders == 4


@pytest.mark.parametrize("bound", [False, True])
def test_one_that_joins_and_dies_anywhere_does_not_join_without_permission(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch, bound: bool) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(x509, "load_private_key", functools.cache(x509.load_private_key))  # each of RSA is judged for long
    both = replace(pair.config, bound={OTHER: bound})
    pair.config = replace(both, certificates=both.certificates[:1], bound={})
    pair.run()
    pair.config = both
    key = pair.report()["keys"][0]
    step = {"certificate": OTHER, "step": "deploy", "spki": key["spki"], "fingerprint": key["certificate"]["fingerprint"]}
    permission: dict[str, Any] = {"steps": [step]} if bound else {"joining": [OTHER]}
    kept, shown, wrecks = tmp_path.parent / f"{tmp_path.name}.kept", pair.shown, set()
    shutil.copytree(tmp_path, kept, symlinks=True)
    for at in range(100):
        shutil.rmtree(tmp_path)
        shutil.copytree(kept, tmp_path, symlinks=True)
        pair.now, pair.shown = START, shown
        with monkeypatch.context() as patch:
            seen = crash_points(pair, patch, at)
            try:
                pair.run(**permission)
            except KeyboardInterrupt:
                pass
        live = pair.live_of(OTHER)
        wrecks.add((live, bool(certificates.read_state(pair.config, OTHER).since)))
        for by_timer in (True, False):
            pair.run(by_timer=by_timer)
            assert pair.live_of(OTHER) == pair.shown["rsa"] == live, (at, seen)
        if not live:  # what was permitted is due by now, and another one is not known to caches
            pair.now += 65 * DAY
            for _run in range(2):
                pair.run()
                assert pair.live_of(OTHER) == "", (at, seen)
            pair.now = START
        assert pair.report(**permission)["live"]["fingerprint"] == pair.shown["rsa"] != "", (at, seen)
        if len(seen) <= at:
            break
    fingerprint = key["certificate"]["fingerprint"]
    assert wrecks == {("", False), ("", True), (fingerprint, True)} and at == len(seen)


def test_what_joined_and_lost_its_link_does_not_wait_again(pair: Pair) -> None:
    pair.run()
    os.unlink(pair.config.link(OTHER))
    [failure] = pair.run(by_timer=True).failures
    assert "g-rsa has no live version" in failure
    assert pair.report()["live"]["fingerprint"] == pair.shown["rsa"]


def test_of_a_pair_one_rolls_and_the_other_stays(pair: Pair) -> None:
    report = pair.report()
    live, spki = pair.live(), report["keys"][1]["spki"]
    report = pair.report(steps=[{"certificate": OTHER, "step": "order", "spki": spki}])
    step = {"certificate": OTHER, "step": "deploy", "spki": spki, "fingerprint": report["keys"][1]["certificate"]["fingerprint"]}
    report = pair.report(steps=[step])
    assert (report["live"]["spki"], report["live"]["proven"], pair.live()) == (spki, True, live)
    assert {one["spki"] for one in report["endpoints"]} == {spki}


def test_the_other_one_is_no_witness_for_what_is_not_presented(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    report = pair.report()
    old, spki, live = pair.live_of(OTHER), report["keys"][1]["spki"], pair.live()
    chains = Path(pair.config.directory, "chains.pem")
    before = chains.read_bytes()
    monkeypatch.setattr(sys.modules[__name__], "ANOTHER", Authority())
    report = pair.report(steps=[{"certificate": OTHER, "step": "order", "spki": spki}])
    new = report["keys"][1]["certificate"]["fingerprint"]
    start = pair.start

    def start_without() -> None:
        start()
        if pair.shown["rsa"] == new:
            pair.shown["rsa"] = ""

    monkeypatch.setattr(pair, "start", start_without)
    result = pair.run(steps=[{"certificate": OTHER, "step": "deploy", "spki": spki, "fingerprint": new}])
    assert len(result.warnings) == 1 and "the certificate before" in result.warnings[0] and "is live again" in result.warnings[0]
    assert (pair.live_of(OTHER), pair.live()) == (old, live) and pair.shown == {"ecdsa": live, "rsa": old}
    assert chains.read_bytes() == before


def test_what_was_not_presented_is_not_missed_because_the_other_one_was(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while sendmail is not told yet that there are two."""
    start = pair.start

    def start_without() -> None:
        start()
        pair.shown["rsa"] = ""

    monkeypatch.setattr(pair, "start", start_without)
    pair.run()
    before = pair.live(), pair.live_of(OTHER)
    pair.now += 61 * DAY
    result = pair.run(by_timer=True)
    assert not result.warnings and not result.failures
    assert pair.live() == pair.shown["ecdsa"] != before[0] and pair.live_of(OTHER) != before[1]


def test_each_is_asked_for_by_the_key_that_is_live(pair: Pair) -> None:
    """Not by the algorithm that is wanted of the next one."""
    pair.run()
    ecdsa, rsa = pair.config.certificates
    pair.config = replace(pair.config, certificates=[replace(ecdsa, algorithm="rsa-2048"), replace(rsa, algorithm="ecdsa-p256")])
    assert {one["error"] for item in pair.run().report["certificates"] for one in item["endpoints"]} == {""}


def test_one_does_not_join_a_live_one_of_its_own_family(pair: Pair) -> None:
    ecdsa = pair.config.certificates[0]
    pair.config = replace(pair.config, certificates=[ecdsa])
    pair.run()
    pair.config = replace(pair.config, certificates=[replace(ecdsa, algorithm="rsa-2048"), replace(ecdsa, name="g-ec")])
    before = snapshot(pair.root)
    with pytest.raises(DaneError, match="live key of g.pyon.example is still ecdsa-p256, so g-ec with ecdsa-p256 cannot be presented beside it"):
        pair.run()
    assert snapshot(pair.root) == before
    assert "still ecdsa-p256" in pair.run(by_timer=True).failures[0]


def test_two_of_one_family_at_an_endpoint_are_refused(pair: Pair) -> None:
    arguments = json.loads(certificates.config_text(pair.config))
    assert certificates.make_config(arguments) == pair.config
    arguments["certificates"][0]["algorithm"] = "rsa-4096"
    with pytest.raises(DaneError, match="g.pyon.example and g-rsa are both RSA for smtp of g.pyon.example at port 25"):
        certificates.make_config(arguments)
