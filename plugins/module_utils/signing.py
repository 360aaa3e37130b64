# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, signing, verifying, installing and reloading of the zones of one primary.

The signed file is the whole state: its first line says what it was made of and when, so it changes by one rename and
a run that dies at any point is completed by the next.  The module `signed_zones` and the timer call the same `publish`.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from . import clock
from . import zone as text
from .errors import DaneError, print_line, sentence
from .files import lock, make_directory, read_file, sync_directory, write_file
from .process import checked

ALGORITHM = 13  # ECDSA P-256 with SHA-256 (RFC 6605)
BACKDATE = 3600  # seconds that signatures begin in the past, for resolvers whose clock is behind
TOLERANCE = 60  # seconds by which a clock may go back between two runs
ASK_SECONDS = 1.0
SERVE_SECONDS = 15.0  # how long NSD may take to serve what it was told to load
_HEADER = re.compile(rb"; selfhost\.dane source=([0-9a-f]{64}) body=([0-9a-f]{64}) signed=([0-9]{1,10}) validity=([0-9]{1,10})\n")
_SERIAL = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class Places:
    """Directories on the host."""

    state: str = "/var/lib/selfhost-dane/zones"
    signed: str = "/var/lib/selfhost-dane/signed"


@dataclass(frozen=True)
class Zone:
    """One zone as the configuration says it; `secondaries` are addresses, `serial` the lowest to publish (0: any)."""

    name: str
    file: str
    serial: int
    secondaries: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """The arguments of the module `signed_zones`, judged; times in seconds, `addresses` those of the own NSD.

    checked: the clock of this host agrees with the controller's, so that a file of the future is of a clock that was ahead.
    """

    zones: tuple[Zone, ...]
    addresses: tuple[str, ...]
    validity: int
    renewal: int
    checked: bool = False


@dataclass(frozen=True)
class Signed:
    """What a signed file holds: digests, unix times, the serial (None: no readable one), and the SOA's signature in base64."""

    source: str = ""
    intact: bool = False
    signed: int = 0
    validity: int = 0
    serial: int | None = None
    signature: str = ""
    key: str = ""


@dataclass(frozen=True)
class Answer:
    """What one address answered for a SOA: `error` is one sentence where it did not answer with one."""

    serial: int | None = None
    signature: str = ""
    error: str = ""


Ask = Callable[[str, str], Answer]


@dataclass
class Judgement:
    """What is to be done for one zone: `action` is "", "reload" or "sign"; `serial` the one to sign with."""

    zone: Zone
    action: str = ""
    reason: str = ""
    before: Signed | None = None
    serial: int = 0
    source: str = ""
    served: dict[str, Answer] = field(default_factory=dict)


def settings(arguments: Mapping[str, Any]) -> Settings:
    """The judged `arguments` (`zones`, `addresses`, `signature_validity`, `signature_renewal`, and perhaps `time`)."""
    raw_zones = arguments.get("zones")
    if not isinstance(raw_zones, list) or not all(isinstance(raw, Mapping) for raw in raw_zones):
        raise DaneError("zones is not a list of mappings; give name and file of each zone")
    zones: list[Zone] = []
    for raw in raw_zones:
        name = text.absolute(raw.get("name"), "the zone name")[:-1]
        secondaries = raw.get("secondaries") or []
        path = raw.get("file")
        if not isinstance(path, str) or not os.path.isabs(path):
            raise DaneError(f"zone {name}: the file {path!r} is not an absolute path; write one")
        if not isinstance(secondaries, list):
            raise DaneError(f"zone {name}: secondaries is not a list; write the address of each")
        if name in [other.name for other in zones]:
            raise DaneError(f"zone {name} is there twice; remove one")
        zones.append(Zone(name, path, text.number(raw.get("serial", 0), f"zone {name}: serial", highest=text.SERIAL_BITS - 1),
                          tuple(text.address(item, f"zone {name}: the secondary") for item in secondaries)))
    validity = text.number(arguments.get("signature_validity"), "signature_validity", 1)
    renewal = text.number(arguments.get("signature_renewal"), "signature_renewal", 1)
    if renewal >= validity:
        raise DaneError(f"signature_renewal ({renewal}) is not shorter than signature_validity ({validity}), so the zones would go bogus; "
                        f"make it a quarter of it")
    listen = arguments.get("addresses")
    if not listen or not isinstance(listen, list):
        raise DaneError("addresses is empty, or no list; give the addresses that the own name server listens on")
    addresses = tuple(text.address(item, "the address of the name server") for item in listen)
    return Settings(tuple(zones), addresses, validity, renewal, arguments.get("time") is not None)


def ask(zone: str, address: str) -> Answer:
    """What `address` answers for the SOA of `zone`, with its signature."""
    from . import dns_client  # here: nothing else of this file needs dnspython

    answer = dns_client.ask(address, zone, "SOA", timeout=ASK_SECONDS)
    if answer.error:
        return Answer(error=answer.error)
    if answer.serial is None or not answer.aa:
        return Answer(error=f"{address} does not serve the zone ({answer.rcode})")
    signatures = sorted(base64.b64encode(rdata.signature).decode() for rdata in answer.signatures or ())
    return Answer(answer.serial, signatures[0] if signatures else "")


def read_signed(path: str, zone: str) -> Signed | None:
    """What the signed file `path` of `zone` holds; None where there is none.  One without our header or a serial is not intact."""
    if not os.path.lexists(path):
        return None
    data = read_file(path, f"the signed zone {zone}")
    header = _HEADER.match(data)
    if not header:
        return Signed()
    body = data[header.end():]
    serial, signature, key = None, "", ""
    for line in body.decode("ascii", "replace").split("\n"):
        fields = line.split(";")[0].split()
        if len(fields) < 7 or fields[0].lower() != f"{zone}.":
            continue
        if fields[3] == "SOA":
            serial = int(fields[6]) if _SERIAL.fullmatch(fields[6]) and int(fields[6]) < text.SERIAL_BITS else None
        elif fields[3] == "DNSKEY":
            key = " ".join(fields[4:])
        elif fields[3:5] == ["RRSIG", "SOA"]:
            signature = "".join(fields[12:])
    intact = serial is not None and hashlib.sha256(body).hexdigest() == header[2].decode()
    return Signed(header[1].decode(), intact, int(header[3]), int(header[4]), serial, signature, key)


def key_base(places: Places, zone: str) -> str:
    """The path of the zone key without its endings `.key` and `.private`."""
    return f"{places.state}/{zone}/key/zone"


def judge_key(places: Places, zone: Zone, before: Signed | None) -> bool:
    """Whether `zone` has its key; DaneError where it is open to others, or missing or another than the signed zone's."""
    base = key_base(places, zone.name)
    present = [os.path.lexists(base + ending) for ending in (".private", ".key")]
    if not all(present):
        signed = signed_path(places, zone.name)
        if os.path.lexists(signed) or any(present) or os.path.lexists(os.path.dirname(base)):
            missing = base + (".key" if present[0] else ".private")
            raise DaneError(f"zone {zone.name}: its key {missing} is missing although the zone has been signed before, and a new key would "
                            f"break the DS of the parent; restore {os.path.dirname(base)} from a backup, or remove {signed} and "
                            f"{os.path.dirname(base)} and give the parent the new DS")
        return False
    for path, others in ((base + ".private", 0o077), (os.path.dirname(base), 0o022)):
        status = os.lstat(path)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & others or stat.S_ISLNK(status.st_mode):
            raise DaneError(f"zone {zone.name}: the key {path} is open to others than root (mode {stat.S_IMODE(status.st_mode):04o}, "
                            f"owner {status.st_uid}); run: chown root:root {path} && chmod go= {path}, and roll the key if others had it")
    public = _dnskey(places, zone.name)
    if before and before.intact and before.key and before.key.split() != public:
        raise DaneError(f"zone {zone.name}: {base}.key is another key than the one its signed zone has, and would break the DS of the "
                        f"parent; restore the old one, or remove {signed_path(places, zone.name)} and give the parent the new DS")
    return True


def _dnskey(places: Places, zone: str) -> list[str]:
    path = key_base(places, zone) + ".key"
    for line in read_file(path, f"the public key of {zone}").decode("ascii", "replace").split("\n"):
        fields = line.split(";")[0].split()
        if "DNSKEY" in fields:
            rdata = fields[fields.index("DNSKEY") + 1:]
            if fields[0].lower() == f"{zone}." and rdata[:3] == ["257", "3", str(ALGORITHM)]:
                return [*rdata[:3], "".join(rdata[3:])]
    raise DaneError(f"zone {zone}: {path} does not hold its algorithm {ALGORITHM} key with flags 257; restore it from a backup")


def delegation(zone: str, dnskey: list[str]) -> str:
    """The DS record of `dnskey` (flags, protocol, algorithm, base64) for the parent of `zone` (RFC 4034 section 5.1.4, digest 2)."""
    flags, protocol, algorithm = (int(item) for item in dnskey[:3])
    try:
        rdata = flags.to_bytes(2, "big") + bytes((protocol, algorithm)) + base64.b64decode(dnskey[3], validate=True)
    except (binascii.Error, ValueError) as error:
        raise DaneError(f"zone {zone}: its public key is not base64; restore it from a backup") from error
    tag = sum(octet << 8 if index % 2 == 0 else octet for index, octet in enumerate(rdata))  # RFC 4034 appendix B
    tag = (tag + (tag >> 16)) & 0xffff
    owner = b"".join(bytes((len(label),)) + label.encode() for label in zone.split(".")) + b"\0"
    return f"{zone}. IN DS {tag} {algorithm} 2 {hashlib.sha256(owner + rdata).hexdigest()}"


def signed_path(places: Places, zone: str) -> str:
    """The signed file of `zone`, the one that NSD reads."""
    return f"{places.signed}/{zone}.signed"


def judge(places: Places, wanted: Settings, zone: Zone, answers: Mapping[str, Answer], now: int) -> Judgement:
    """What `zone` needs, and whether it may have it; changes nothing.  `answers` by address; `now` in unix seconds."""
    result = Judgement(zone, served=dict(answers))
    path = signed_path(places, zone.name)
    result.before = before = read_signed(path, zone.name)
    has_key = judge_key(places, zone, before)
    if before and before.signed - now > TOLERANCE and not wanted.checked:  # signatures in the past would be bogus, and the own tools use the same clock
        raise DaneError(f"zone {zone.name}: it was signed at {_time(before.signed)}, and the clock of this host says {_time(now)}, so it is not signed again; "
                        f"set the clock right, or where it was ahead then, run site.yml, which signs anew")
    serial = before.serial if before else None
    if not os.path.exists(zone.file) and not before:
        result.action, result.reason = "sign", f"{zone.file} is not there yet"
    else:
        result.source = text.flatten(zone.file, zone.name)
        result.action, result.reason = _needs(wanted, zone, result, has_key, now)
    if result.action == "sign":
        if before and not before.intact:  # its serial says little: what was signed last the own name server still has
            for served in (answers[address].serial for address in wanted.addresses):
                if served is not None and (serial is None or text.serial_after(served, serial)):
                    serial = served
        result.serial = serial = text.next_serial(serial, now, zone.serial)
    for address in (*wanted.addresses, *zone.secondaries):
        later = answers[address].serial
        own = address in wanted.addresses
        if later is None or serial is None:
            continue
        if text.serial_after(later, serial) or later == serial and result.action == "sign":
            raise DaneError(f"zone {zone.name}: the {'own name server' if own else 'secondary'} {address} serves serial {later}, which is not "
                            f"earlier than {serial}, the one to be published; set serial of the zone to {(later + 1) % text.SERIAL_BITS}")
    return result


def _needs(wanted: Settings, zone: Zone, judged: Judgement, has_key: bool, now: int) -> tuple[str, str]:
    before = judged.before
    if before is None or not has_key:
        return "sign", "it is not signed yet"
    if before.serial is None or not before.intact:
        return "sign", "its signed file was altered"
    if before.source != _digest(judged.source):
        return "sign", "its text changed"
    if before.validity != wanted.validity:
        return "sign", f"signature_validity was {before.validity} seconds"
    if before.signed - now > TOLERANCE:
        return "sign", f"its signatures were made by a clock that was ahead, at {_time(before.signed)}"
    if now - before.signed >= wanted.renewal:
        return "sign", f"its signatures were made {now - before.signed} seconds ago"
    if zone.serial and text.serial_after(zone.serial, before.serial):
        return "sign", f"its serial {before.serial} is lower than {zone.serial}"
    for address in wanted.addresses:
        answer = judged.served[address]
        if answer.error:
            return "reload", answer.error
        if (answer.serial, answer.signature) != (before.serial, before.signature):
            return "reload", f"{address} serves serial {answer.serial} instead of the signed file's {before.serial}"
    return "", ""


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def make_key(places: Places, zone: str) -> None:
    """Make the key of `zone` (0600 in 0700): whole in a directory of its own, then there by one rename."""
    directory = f"{places.state}/{zone}"
    temporary = tempfile.mkdtemp(prefix="key.new.", dir=directory)
    name = checked(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone], directory=temporary).decode().strip()
    for ending, mode in ((".private", 0o600), (".key", 0o644)):
        write_file(f"{temporary}/zone{ending}", read_file(f"{temporary}/{name}{ending}", f"the new key of {zone}"), mode)
    for ending in (".private", ".key", ".ds"):
        os.unlink(f"{temporary}/{name}{ending}")
    sync_directory(temporary)
    os.rename(temporary, os.path.dirname(key_base(places, zone)))
    sync_directory(directory)


def sign(places: Places, wanted: Settings, judged: Judgement, now: int) -> Signed:
    """Sign, verify and install one zone; where anything fails, the installed file stays as it was."""
    zone = judged.zone
    directory = f"{places.state}/{zone.name}"
    make_directory(directory, 0o700)
    for name in os.listdir(directory):
        if name.startswith(("sign.", "key.new.")):
            shutil.rmtree(f"{directory}/{name}")  # left by a run that died
    if not judge_key(places, zone, judged.before):
        make_key(places, zone.name)
    work = tempfile.mkdtemp(prefix="sign.", dir=directory)
    try:
        write_file(f"{work}/zone", text.with_serial(judged.source, zone.name, judged.serial).encode())
        _tool(zone, ["ldns-signzone", "-o", f"{zone.name}.", "-i", str(now - BACKDATE), "-e", str(now + wanted.validity),
                     "-f", f"{work}/signed", f"{work}/zone", key_base(places, zone.name)])
        body = read_file(f"{work}/signed", f"the signed zone {zone.name}")
        header = f"; selfhost.dane source={_digest(judged.source)} body={hashlib.sha256(body).hexdigest()} signed={now} validity={wanted.validity}\n"
        write_file(f"{work}/signed", header.encode() + body)
        _tool(zone, ["ldns-verify-zone", "-V", "1", "-k", key_base(places, zone.name) + ".key", f"{work}/signed"])
        _tool(zone, ["nsd-checkzone", zone.name, f"{work}/signed"])
        signed = read_signed(f"{work}/signed", zone.name)
        if signed is None or signed.serial != judged.serial or not signed.signature:
            raise DaneError(f"zone {zone.name}: ldns-signzone did not sign its SOA with serial {judged.serial}; look at {zone.file}")
        make_directory(places.signed)
        write_file(signed_path(places, zone.name), header.encode() + body)
        return signed
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tool(zone: Zone, argv: list[str]) -> None:
    try:
        checked(argv, timeout=300)
    except DaneError as error:
        raise DaneError(f"zone {zone.name} is not published and what is served stays as it was; correct its records in {zone.file}: {error}") from error


def serve(wanted: Settings, signed: Mapping[str, Signed], inquire: Ask, tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep,
          seconds: Callable[[], float] = time.monotonic) -> dict[str, str]:
    """Have the own NSD load each zone of `signed` and wait until all of its addresses serve it, `SERVE_SECONDS` for all zones together.

    Returns a sentence for each zone that it does not serve then.
    """
    troubles: dict[str, str] = {}
    for name in signed:
        try:
            tell(name)
        except (DaneError, OSError) as error:
            troubles[name] = _about(name, error)
    end = seconds() + SERVE_SECONDS
    missing = [(name, address) for name in signed if name not in troubles for address in wanted.addresses]
    while missing:
        answers = _ask_pairs(missing, inquire)
        missing = [pair for pair in missing if (answers[pair].serial, answers[pair].signature) != (signed[pair[0]].serial, signed[pair[0]].signature)]
        if not missing:
            break
        if seconds() > end:
            for name, address in missing:
                said = answers[name, address].error or f"{address} serves serial {answers[name, address].serial}"
                troubles.setdefault(name, f"zone {name}: serial {signed[name].serial} is signed, but {said} {SERVE_SECONDS:g} seconds after nsd-control "
                                          f"reload; look at journalctl -u nsd")
            break
        sleep(0.05)
    return troubles


def reload(zone: str) -> None:
    """Tell NSD to read `zone` again; it only says that it was told (the rest is to be seen on the wire)."""
    checked(["nsd-control", "reload", zone], timeout=30)


def publish(arguments: Mapping[str, Any], check: bool = False, now: int | None = None, places: Places = Places(), inquire: Ask = ask,
            tell: Callable[[str], None] = reload) -> dict[str, Any]:
    """Bring every zone of `arguments` to be signed and served; with `check` say what would be done.

    Where the `arguments` have the controller's `time`, a clock of this host more than `clock_margin` seconds from it is a DaneError.
    Returns `changed`, `failed` (sentences, one for each zone that could not be served; the others are), `diff` and
    `zones` with name, changed, action, reason, serial, ds and error.
    """
    wanted = settings(arguments)
    trouble = clock.apart(time.time() if now is None else now, arguments["time"], arguments["clock_margin"]) if wanted.checked else ""
    if trouble:
        raise DaneError(trouble)
    if not check:
        make_directory(places.state, 0o700)
    with nullcontext() if check else lock(f"{places.state}/.lock"):
        moment = int(time.time()) if now is None else now  # after the lock: the holder may have taken long
        answers = _ask_all(wanted, places, inquire)
        judged = [_one(places, wanted, zone, answers, moment, check) for zone in wanted.zones]
        # after all are signed: an address that is deaf, or a name server that hangs, keeps no zone from that
        troubles = serve(wanted, {result["name"]: signed for result, signed in judged if signed}, inquire, tell)
    results = [{**result, "error": troubles[result["name"]], "ds": ""} if result["name"] in troubles else result for result, _signed in judged]
    return {"changed": any(result["changed"] for result in results), "failed": [result["error"] for result in results if result["error"]],
            "diff": [result.pop("diff") for result in results if result["diff"]],
            "zones": [{key: value for key, value in result.items() if key != "diff"} for result in results]}


def _ask_all(wanted: Settings, places: Places, inquire: Ask) -> dict[tuple[str, str], Answer]:
    """All answers, asked at once.  Without a zone file there is nothing to compare yet: a blank host is not asked."""
    pairs = [(zone.name, address) for zone in wanted.zones for address in (*wanted.addresses, *zone.secondaries)
             if os.path.exists(zone.file) or os.path.exists(signed_path(places, zone.name))]
    result = {(zone.name, address): Answer(error="not asked") for zone in wanted.zones for address in (*wanted.addresses, *zone.secondaries)}
    return {**result, **_ask_pairs(pairs, inquire)} if pairs else result


def _ask_pairs(pairs: Sequence[tuple[str, str]], inquire: Ask) -> dict[tuple[str, str], Answer]:
    with ThreadPoolExecutor(min(32, len(pairs))) as pool:
        return dict(zip(pairs, pool.map(lambda pair: inquire(*pair), pairs), strict=True))


def _one(places: Places, wanted: Settings, zone: Zone, answers: Mapping[tuple[str, str], Answer], now: int,
         check: bool) -> tuple[dict[str, Any], Signed | None]:
    """What is done for one zone, and what the own NSD has to load then."""
    signed = None
    result: dict[str, Any] = {"name": zone.name, "changed": False, "action": "", "reason": "", "serial": None, "ds": "", "diff": None, "error": ""}
    try:
        judged = judge(places, wanted, zone, {address: answer for (name, address), answer in answers.items() if name == zone.name}, now)
        before = judged.before
        result.update(action=judged.action, reason=judged.reason, changed=bool(judged.action), serial=before.serial if before else None)
        if judged.action:
            old = "not signed" if not before else "damaged" if before.serial is None else f"serial {before.serial}, signed {_time(before.signed)}"
            new = f"signed again: {judged.reason}" if judged.action == "sign" else f"loaded again: {judged.reason}"
            result["diff"] = {"before_header": zone.name, "after_header": zone.name, "before": old + "\n", "after": new + "\n"}
        if judged.action and not check:
            signed = before if judged.action == "reload" else None
            if signed is None:
                if not judged.source:
                    raise DaneError(f"zone {zone.name}: {zone.file} is not there; write the zone file first")
                result["changed"] = False
                signed = sign(places, wanted, judged, now)
                result.update(changed=True, serial=signed.serial)
        if os.path.exists(key_base(places, zone.name) + ".key"):
            result["ds"] = delegation(zone.name, _dnskey(places, zone.name))
    except (DaneError, OSError) as error:
        result["error"] = _about(zone.name, error)
    return result, signed


def _about(zone: str, error: DaneError | OSError) -> str:
    said = sentence(error)
    return said if zone in said else f"zone {zone}: {said}"


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def sign_command(config_path: str) -> int:
    """The subcommand `sign`: publish what `config_path` (JSON, the module's arguments) says; 1 where a zone failed."""
    try:
        arguments = json.loads(read_file(config_path, "what to sign"))
    except (ValueError, RecursionError) as error:
        raise DaneError(f"{config_path} is not JSON ({error}); run the playbook again") from error
    if not isinstance(arguments, dict):
        raise DaneError(f"{config_path} is not a JSON object; run the playbook again")
    result = publish(arguments)
    for zone in result["zones"]:
        if zone["changed"] and not zone["error"]:
            print_line(f"{zone['name']}: {zone['reason']}: serial {zone['serial']} is served")
    for failure in result["failed"]:
        print_line(failure)
    return 1 if result["failed"] else 0
