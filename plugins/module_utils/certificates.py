# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys and certificates of a host: keys, CSRs, orders, versions and the live link.

One run looks at what is on disk and on the ports and takes the steps that are missing, so a run that died anywhere is
completed by the next.  The module `tls_certificates` and the host's own timer both call `run`.

What a renewal may never do is change the key: it is made for the current key, which is the live certificate's, and no
TLSA record has to change (RFC 7671 section 8.1 speaks of new keys, and there is none).  Keys change by the steps that the
playbook asks for, as it alone knows which records caches may hold; the timer takes none.  What is live changes by one
rename of a symbolic link, and only to a version that has been judged and is on disk in full.
"""
from __future__ import annotations

import json
import math
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from . import files, process, running, tls_client, x509, zone
from .errors import FAULTS, NO_SHAPE, DaneError, print_line, printable, sentence

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SCHEMA = 1        # of the report
STATE_SCHEMA = 1  # of state.json
CONFIG = "/etc/selfhost-dane/certificates.json"
TIMER = "selfhost-dane-renew.timer"

_KEY_FILE = re.compile(r"([0-9]{10})-([0-9a-f]{64})\.pem")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9@:_.-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_ERROR = 2000  # characters of an error that are kept: what the CA sends must not make state.json larger than is read
_KINDS = {"str": str, "int": int, "list": list, "dict": dict}
_SETTING = re.compile(rb'^declare -[-x]+ ([A-Z_]+)="([^"\\$`\n]*)"$', re.MULTILINE)

Say = Callable[[str], None]


# What is wanted

@dataclass(frozen=True)
class Service:
    """A port of this host that presents the certificate to those who ask for `name`."""

    service: str  # smtp or https
    port: int
    name: str


@dataclass(frozen=True)
class Wanted:
    """One certificate of the model."""

    name: str
    names: list[str]
    algorithm: str = "ecdsa-p256"
    services: list[Service] = field(default_factory=list)

    def family(self) -> str:
        """ecdsa or rsa."""
        return self.algorithm.split("-", 1)[0]


@dataclass(frozen=True)
class Config:
    """The arguments of one run; the same for the module and, from a file, for the timer.  Times are in seconds."""

    host: str
    addresses: list[str]
    certificates: list[Wanted]
    units: dict[str, str] = field(default_factory=dict)  # service -> systemd unit
    dehydrated_command: str = "/usr/bin/dehydrated"
    dehydrated_config: str = "/etc/dehydrated/config"
    requests: str = "/var/lib/selfhost-dane/requests"  # where dehydrated's hook finds our CSRs
    directory: str = "/var/lib/selfhost-dane"
    order_timeout: int = 300
    probe_timeout: int = 10
    readers: dict[str, list[str]] = field(default_factory=dict)  # certificate -> units that present it at no address of ours
    bound: dict[str, bool] = field(default_factory=dict)  # certificate -> TLSA records stand for it, so it is not ours to renew
    revoked: list[str] = field(default_factory=list)  # fingerprints of certificates that their CA has revoked or will revoke

    def certificate_directory(self, name: str) -> str:
        """Where the keys and versions of the certificate `name` are."""
        return os.path.join(self.directory, "certificates", name)

    def link(self, name: str) -> str:
        """The symbolic link that services read."""
        return os.path.join(self.directory, "live", name)


def make_config(arguments: dict[str, Any]) -> Config:
    """A judged Config from plain data (module arguments or JSON); DaneError names what is wrong."""
    try:
        certificates = [Wanted(item["name"], list(item.get("names") or [item["name"]]), item.get("algorithm") or "ecdsa-p256",
                               [Service(one["service"], int(one["port"]), one["name"]) for one in item.get("services") or []])
                        for item in arguments["certificates"]]
        config = Config(**{**arguments, "certificates": certificates})
        for one in fields(config):
            value, kind = getattr(config, one.name), str(one.type).split("[", 1)[0]
            if not isinstance(value, _KINDS[kind]):
                raise TypeError(f"{one.name} is no {kind}")
    except NO_SHAPE as error:
        raise DaneError(f"the arguments of tls_certificates are not in their shape ({printable(repr(error))}); run the role"
                        " tls_certificates again") from error
    seen: set[str] = set()
    for wanted in config.certificates:
        for name in [wanted.name, *wanted.names, *(service.name for service in wanted.services)]:
            if not isinstance(name, str) or not zone.is_host_name(name):
                raise DaneError(f"{printable(repr(name))} of the certificate {printable(repr(wanted.name))} is not a host name in lower case"
                                " without the final dot; correct it")
        if wanted.name in seen:
            raise DaneError(f"the certificate {wanted.name} is there twice; leave one")
        seen.add(wanted.name)
        if len(set(wanted.names)) != len(wanted.names):
            raise DaneError(f"a name of the certificate {wanted.name} is there twice; leave one")
        if wanted.algorithm not in list(x509.ALGORITHMS):  # which may be a list itself
            raise DaneError(f"the algorithm {printable(repr(wanted.algorithm))} of the certificate {wanted.name} is not one of"
                            f" {', '.join(x509.ALGORITHMS)}; choose one of these")
        for service in wanted.services:
            if service.service not in tls_client.SERVICES or not 0 < service.port < 65536:
                raise DaneError(f"the certificate {wanted.name} has a service {printable(repr(service.service))} at port {service.port};"
                                f" the services are {', '.join(tls_client.SERVICES)}, the ports 1 to 65535")
    presented: dict[tuple[Service, str], str] = {}
    for wanted in config.certificates:
        for service in wanted.services:
            other = presented.setdefault((service, wanted.family()), wanted.name)
            if other != wanted.name:
                raise DaneError(f"the certificates {other} and {wanted.name} are both {wanted.family().upper()} for {service.service} of {service.name} at port"
                                f" {service.port}, where only one of each of {' and '.join(tls_client.FAMILIES)} can be presented; take it from one of them")
    for address in config.addresses:
        zone.address(address, f"the address of {printable(config.host)}:")
    for name, units in config.readers.items():
        if name not in seen:
            raise DaneError(f"readers names the certificate {printable(repr(name))}, which is not among the certificates; correct it")
        if not isinstance(units, list):
            raise DaneError(f"readers of the certificate {name} is {printable(repr(units))}; give a list of systemd units")
    for name, known in config.bound.items():
        if name not in seen or not isinstance(known, bool):
            raise DaneError(f"bound says {printable(repr(known))} of {printable(repr(name))}; give true or false for certificates that are there")
    if not all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in config.revoked):
        raise DaneError(f"revoked is {printable(repr(config.revoked))}; give a list of SHA-256 digests of certificates, in hexadecimal and lower case")
    for unit in [*config.units.values(), *(unit for several in config.readers.values() for unit in several)]:
        if not isinstance(unit, str) or not _UNIT.fullmatch(unit):
            raise DaneError(f"{printable(repr(unit))} is not the name of a systemd unit; correct it")
    return config


def paired(config: Config, wanted: Wanted, service: Service) -> bool:
    """Whether another certificate, of the other family, is presented there for the same name too."""
    return any(service in other.services for other in config.certificates if other is not wanted)


def _read(path: str, purpose: str) -> bytes:
    """The content of a file of ours, or of dehydrated's: what is none, as a pipe that nobody writes to, is an error and not waited for."""
    return files.read_file(path, purpose, x509.MAX_SIZE)


def config_text(config: Config) -> bytes:
    """What the timer reads: the arguments, as JSON for people."""
    return (json.dumps(asdict(config), indent=2, sort_keys=True) + "\n").encode()


def read_config(path: str) -> Config:
    """The Config in the file `path`."""
    try:
        arguments = json.loads(_read(path, "what this host's certificates are to be"))
        if not isinstance(arguments, dict):
            raise DaneError(f"{path} is not a JSON object; run the role tls_certificates again, it writes it")
        return make_config(arguments)
    except (ValueError, RecursionError) as error:
        raise DaneError(f"{path} is not JSON that can be read; run the role tls_certificates again, it writes it") from error


def _as_told(config: Config, path: str) -> tuple[Config, str]:
    """With what an earlier run was told: of certificates in `bound`, as far as this one is told nothing, and all that is `revoked`.

    And a sentence where that is lost.
    """
    names = {wanted.name for wanted in config.certificates}
    before = replace(config, bound={}, revoked=[])
    lost = ""
    if path and os.path.lexists(path):
        try:
            before = read_config(path)
        except DaneError:                      # the worst: what records stand for would be renewed without them
            before = replace(before, bound=dict.fromkeys(names, True))
            lost = (f"{path} is damaged, and this host has forgotten which certificates are revoked; of those that are, tell it again with renew.yml and"
                    " -e dane_revoked=<SHA-256>")
            untold = sorted(names - set(config.bound))
            if untold:
                lost += (f". This run is not told either whether TLSA records stand for the certificates {', '.join(untold)} themselves, so they are left to"
                         " renew.yml; run it when the primaries of their zones can be reached")
        if before.host != config.host:
            raise DaneError(f"{path} is of the host {printable(repr(before.host), 80)}, and this is {config.host}; if that was renamed, write its new name"
                            " there, else move the file away")
    return replace(config, bound={**{name: known for name, known in before.bound.items() if name in names}, **config.bound},
                   revoked=sorted({*before.revoked, *config.revoked})), lost


# What is on disk

@dataclass(frozen=True)
class Key:
    """A private key on disk."""

    path: str
    created: int  # unix seconds
    spki: str
    algorithm: str

    def family(self) -> str:
        """ecdsa or rsa."""
        return self.algorithm.split("-", 1)[0]


@dataclass(frozen=True)
class Live:
    """What the live link points to.  `problem` says why it cannot stay, and is "" where it can.  revoked: so the operator says."""

    fingerprint: str = ""
    spki: str = ""
    not_before: int = 0
    not_after: int = 0
    names: tuple[str, ...] = ()
    problem: str = ""
    revoked: bool = False

    def valid(self, now: int) -> bool:
        """Peers accept it now."""
        return not self.problem and self.not_before <= now < self.not_after


@dataclass
class Found:
    """One certificate: what is wanted and what is on disk."""

    wanted: Wanted
    keys: list[Key]
    live: Live | None
    published: frozenset[str] | None = frozenset()  # the keys that have TLSA records; None where that is not known

    def lost(self) -> bool:
        """Nothing is live, and which of its keys have records is not known, so none may go live."""
        return self.published is None and not (self.live and self.live.spki)

    def current(self) -> Key | None:
        """The key that orders are made for: the live certificate's, else the oldest published one, else the oldest; none where that is lost."""
        if self.live and self.live.spki:
            return self.key(self.live.spki)
        published = self.published
        return None if published is None else next((key for key in self.keys if key.spki in published or not published), None)

    def key(self, spki: str) -> Key | None:
        """The key on disk with this SPKI."""
        return next((key for key in self.keys if key.spki == spki), None)

    def missing(self) -> int:
        """How many of current and next are not there.  Next is made after current."""
        current = self.current()
        if current is None:
            return 0 if self.lost() else 2
        later = [key for key in self.keys if key.created > current.created and key.algorithm == self.wanted.algorithm]
        return 0 if later else 1


def _private(path: str, what: str, mode: int) -> None:
    """`path` is ours and closed to others, else DaneError with the cure."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise DaneError(f"{path} ({what}) is a symbolic link; put the file itself there")
    if status.st_uid != os.geteuid():
        raise DaneError(f"{path} ({what}) belongs to the user {status.st_uid}, who could change it; if the key is yours, chown it to"
                        f" {os.geteuid()}, else move it away")
    if status.st_mode & 0o077:
        raise DaneError(f"{path} ({what}) is open to other users (mode {status.st_mode & 0o7777:04o}); if nobody has read it, chmod"
                        f" {mode:o} it, else the key must be replaced")


def read_keys(config: Config, name: str) -> list[Key]:
    """The private keys of the certificate `name`, oldest first.  Any that is not as it must be is an error."""
    directory = os.path.join(config.certificate_directory(name), "keys")
    try:
        found = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    what = f"private keys of {name}"
    _private(directory, what, 0o700)
    keys: list[Key] = []
    for file in found:
        path = os.path.join(directory, file)
        match = _KEY_FILE.fullmatch(file)
        if match is None:
            if file.startswith("."):
                continue  # left by a run that died, see _sweep
            raise DaneError(f"{path} is not named <created>-<SHA-256 of its SPKI>.pem as the {what} are; name it so or move it away")
        _private(path, what, 0o600)
        key = x509.load_private_key(_read(path, what), path)
        if x509.spki_sha256(key) != match[2]:
            raise DaneError(f"{path} holds another key than its name says; restore it from a backup or move it away")
        if keys and keys[-1].created >= int(match[1]):
            raise DaneError(f"{path} was made in the same second as another key of {name}, so nobody can tell which one follows; move the"
                            " one away that is not published")
        keys.append(Key(path, int(match[1]), match[2], x509.algorithm_of(key)))
    return keys


def read_live(config: Config, name: str, now: int) -> Live | None:
    """What is live; None where there is no link.  A version that cannot be read or is no chain has a `problem`."""
    link = config.link(name)
    if not os.path.islink(link):
        if os.path.lexists(link):
            raise DaneError(f"{link} is not a symbolic link; move it away")
        return None
    path = os.path.join(link, "privkey.pem")
    if os.path.lexists(path):
        _private(path, f"private key of the live certificate of {name}", 0o600)
    certificate: Live | None = None
    spki = ""
    try:
        spki = x509.spki_sha256(x509.load_private_key(_read(path, "private key"), path))
        path = os.path.join(link, "fullchain.pem")
        chain = x509.load_certificates(_read(path, "live certificate"), path)
        leaf = chain[0]
        certificate = Live(x509.fingerprint(leaf), x509.spki_sha256(leaf), x509.not_before(leaf), x509.not_after(leaf),
                           tuple(sorted(x509.names(leaf))), revoked=x509.fingerprint(leaf) in config.revoked)
        if certificate.spki != spki:
            raise DaneError(f"the private key beside it is another ({spki[:16]}...)")
        judge_chain(chain, now)
        for file, part in (("cert.pem", chain[:1]), ("chain.pem", chain[1:])):
            path = os.path.join(link, file)
            if _read(path, "live certificate") != x509.pem(part):
                raise DaneError(f"{path} is not part of fullchain.pem")
    except FAULTS as error:
        return replace(certificate or Live(spki=spki), problem=sentence(error).split(";", 1)[0])  # the cure is to order
    return certificate


def inspect(config: Config, wanted: Wanted, now: int, published: Iterable[str] | None = ()) -> Found:
    """All that is on disk for one certificate, judged before anything is changed.  DaneError names the file and the cure."""
    keys = read_keys(config, wanted.name)
    # where there is no key, none can be the wrong one
    found = Found(wanted, keys, read_live(config, wanted.name, now), None if published is None and keys else frozenset(published or ()))
    read_state(config, wanted.name)
    directory = os.path.join(config.certificate_directory(wanted.name), "keys")
    if not (found.live and found.live.spki) and found.published and found.current() is None:
        raise DaneError(f"{wanted.name} has no live certificate, and no key in {directory} is one that its TLSA records are for"
                        f" ({', '.join(f'{spki[:16]}...' for spki in sorted(found.published))}); restore the file of such a key from a"
                        " backup, or, if they are lost, have the records replaced as in an emergency")
    if found.live and found.live.spki and found.key(found.live.spki) is None:
        raise DaneError(f"the key of the live certificate of {wanted.name} is missing in {directory}; restore"
                        f" <created>-{found.live.spki}.pem there, its content is in {config.link(wanted.name)}/privkey.pem")
    return found


def judge_chain(chain: list[Certificate], now: int) -> None:
    """Leaf first, each issued by the next, with an intermediate, all valid now; else DaneError."""
    leaf = printable(", ".join(x509.names(chain[0])) or x509.fingerprint(chain[0])[:16])
    if len(chain) < 2:
        raise DaneError(f"the chain of {leaf} is the leaf alone, without the intermediate that peers need; ask the CA for the full chain")
    if x509.order_chain(chain) != chain:
        raise DaneError(f"the chain of {leaf} is not in its order, leaf first; ask the CA for an ordered chain (RFC 8555 section 9.1)")
    for one in chain:
        if now < x509.not_before(one):
            raise DaneError(f"the chain of {leaf} is valid only from {_date(x509.not_before(one))}; look at this host's clock")
        if now >= x509.not_after(one):
            raise DaneError(f"the chain of {leaf} has expired at {_date(x509.not_after(one))}; have a new one issued")


def judge(chain: list[Certificate], wanted: Wanted, spki: str, now: int) -> None:
    """The chain is what was ordered: our key, the wanted names, ordered, complete and valid; else DaneError."""
    if x509.spki_sha256(chain[0]) != spki:
        raise DaneError(f"the CA's certificate for {wanted.name} is for another key than the ordered one; look at dehydrated's hook")
    if sorted(x509.names(chain[0])) != sorted(wanted.names):
        raise DaneError(f"the CA's certificate for {wanted.name} has the names {printable(', '.join(x509.names(chain[0])))}, and"
                        f" {', '.join(wanted.names)} were ordered; look at the CA's answer")
    judge_chain(chain, now)


def why_due(live: Live | None, wanted: Wanted, now: int) -> str:
    """Why a certificate must be ordered, as the end of a sentence; "" where it need not."""
    if live is None:
        return "it has no live certificate"
    if live.problem:
        return f"its live certificate cannot stay: {live.problem}"
    if live.revoked:
        return "the operator says that the live certificate is revoked"
    if set(live.names) != set(wanted.names):
        return f"the live certificate has the names {', '.join(live.names)}, and {', '.join(sorted(wanted.names))} are wanted"
    if now >= renewal_time(live):
        return f"a third or less of its life is left, until {_date(live.not_after)}"
    return ""


def renewal_time(live: Live) -> int:
    """The unix time from which a certificate is due: a third of its life is left."""
    return live.not_after - (live.not_after - live.not_before) // 3


def _date(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


# What earlier runs leave for later ones

@dataclass
class Attempts:
    """What failed in a row, and when it may be tried again (unix seconds)."""

    failures: int = 0
    next_attempt: int = 0
    error: str = ""

    def after(self, error: str, now: int, live: Live | None) -> Attempts:
        """With one more failure."""
        return Attempts(self.failures + 1, now + back_off(self.failures + 1, live), printable(error, _MAX_ERROR))

    def not_before(self, now: int, live: Live | None) -> int:
        """When it may be tried again; 0 where it was written down by a clock that ran ahead, as that may be far away."""
        return self.next_attempt if self.next_attempt - now <= back_off(self.failures, live) else 0

    def words(self) -> str:
        """What failed, as part of a sentence."""
        return f"{self.failures} attempt{'s' if self.failures > 1 else ''} failed, the last with: {self.error}"


@dataclass
class State:
    """What cannot be seen on disk."""

    renewal: Attempts = field(default_factory=Attempts)
    """With the current key: the timer backs off."""
    roll: Attempts = field(default_factory=Attempts)
    """With another key, `roll_spki`, apart from the renewals, which it must not hold back."""
    roll_spki: str = ""
    unproven: bool = False
    """It has yet to be shown that the services present what is live."""
    previous: str = ""
    """Fingerprint of the version that was live before: where to go back to, as long as the live one is unproven."""
    working: list[str] = field(default_factory=list)
    """The endpoints that had TLS before what is unproven became live."""
    since: dict[str, int] = field(default_factory=dict)
    """SPKI, and fingerprint of what is live: when that key, and that certificate, became live (unix seconds)."""
    switched: dict[str, running.Moment] = field(default_factory=dict)
    """Fingerprint of what is live: when it went live, by the clock of systemd; that is not known of what earlier versions have left."""
    unmoved: dict[str, str] = field(default_factory=dict)
    """Endpoints that a restart did not help: what they presented, and what was live then, see Endpoint.seen."""

    def rolling(self, spki: str) -> Attempts:
        """The attempts with the key `spki`, which is not the current one."""
        return self.roll if self.roll_spki == spki else Attempts()


def read_state(config: Config, name: str) -> State:
    """The state; a fresh one where there is none.  One without a schema is of the version before that had one.

    DaneError where it is damaged, of a newer schema, or of another host or certificate: a fresh one would say that all is proved.
    """
    def attempts(item: dict[str, Any]) -> Attempts:
        return Attempts(int(item["failures"]), int(item["next_attempt"]), str(item["error"]))

    path = os.path.join(config.certificate_directory(name), "state.json")
    if not os.path.lexists(path):
        return State()
    try:
        value = json.loads(_read(path, f"state of {name}"))
        whose = _whose(config, name)
        of = {key: value[key] for key in whose} if any(key in value for key in whose) else whose
    except (DaneError, *NO_SHAPE) as error:
        raise _damaged(path, error) from error
    if of["schema"] != STATE_SCHEMA:
        raise DaneError(f"{path} has schema {printable(repr(of['schema']), 40)}, and this version reads {STATE_SCHEMA}; update the collection, or move the"
                        " file away, then run renew.yml, which looks at all services")
    if of != whose:
        raise DaneError(f"{path} is of the certificate {printable(repr(of['certificate']), 80)} of the host {printable(repr(of['host']), 80)}, and this is"
                        f" {name} of {config.host}; if that was renamed, write its new name there, else move the file away, then run renew.yml, which looks at"
                        " all services")
    try:
        return State(attempts(value["renewal"]), attempts(value["roll"]), str(value["roll_spki"]), bool(value["unproven"]),
                     str(value["previous"]), [str(endpoint) for endpoint in value["working"]],
                     {str(spki): int(moment) for spki, moment in value["since"].items()},
                     {str(one): running.Moment(str(moment["boot_id"]), float(moment["seconds"])) for one, moment in value.get("switched", {}).items()},
                     {str(endpoint): str(seen) for endpoint, seen in value.get("unmoved", {}).items()})
    except NO_SHAPE as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> DaneError:
    return DaneError(f"{path} is damaged ({printable(repr(error))}), so it is not known whether the services present what is live, which version was"
                     " live before, nor which attempts failed; move it away, then run renew.yml, which looks at all services")


def _whose(config: Config, name: str) -> dict[str, Any]:
    """What state.json says of itself."""
    return {"schema": STATE_SCHEMA, "host": config.host, "certificate": name}


def write_state(config: Config, name: str, state: State) -> None:
    """Write the state, if it is another, or is there without its schema."""
    path = os.path.join(config.certificate_directory(name), "state.json")
    text = (json.dumps({**_whose(config, name), **asdict(state)}, indent=2, sort_keys=True) + "\n").encode()
    if read_state(config, name) != state or (os.path.lexists(path) and _read(path, f"state of {name}") != text):
        files.write_file(path, text)


def back_off(failures: int, live: Live | None) -> int:
    """Seconds to wait after so many failures in a row: doubling, and in keeping with how long the certificate lives.

    An hour to a day for 90 days of life; less for shorter ones, so that some attempts fit into the last third.
    """
    window = (live.not_after - live.not_before) / 3 if live and live.not_after else 30 * 86400
    first, most = min(3600.0, window / 24), min(86400.0, window / 4)
    return max(1, int(min(first * 2 ** min(failures - 1, 20), most)))


# Keys, orders, versions

def make_keys(config: Config, found: Found, now: int, say: Say, one_more: bool = False) -> None:
    """Make the missing ones of current and next; where none is missing, `one_more`."""
    directory = os.path.join(config.certificate_directory(found.wanted.name), "keys")
    for _number in range(found.missing() or int(one_more)):
        key = x509.make_private_key(found.wanted.algorithm)
        created = max(now, found.keys[-1].created + 1 if found.keys else 0)
        made = Key(os.path.join(directory, f"{created:010d}-{x509.spki_sha256(key)}.pem"), created, x509.spki_sha256(key),
                   found.wanted.algorithm)
        files.write_file(made.path, x509.private_key_pem(key), 0o600)
        found.keys.append(made)
        say(f"{found.wanted.name}: made the key {made.spki[:16]}... ({made.algorithm})")


def _sweep(config: Config, name: str) -> None:
    """Remove what a run that died left half-made: never a key or a version, they get their names last."""
    home, link = config.certificate_directory(name), config.link(name)
    left = [os.path.join(directory, file) for directory in (home, os.path.join(home, "keys"), os.path.join(home, "versions"), config.requests)
            for file in os.listdir(directory) if file.startswith(".") and file.endswith(".new")]
    left.append(os.path.join(os.path.dirname(link), f".{os.path.basename(link)}.new"))
    for path in left:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def candidates(directories: list[str], wanted: Wanted, spki: str, now: int, revoked: list[str], beyond: float = math.inf) -> list[list[Certificate]]:
    """Good chains that are on disk already, the longest lasting first; those that are due themselves only where they last `beyond` that unix time.

    A version that did not become live, or one that dehydrated had from the CA when the run died: the CA need not be
    asked again (its limits are low).
    """
    good: list[tuple[int, list[Certificate]]] = []
    for directory in directories:
        try:
            found = os.listdir(directory)
        except OSError:
            continue
        for file in found:
            if file.startswith("."):
                continue
            path = os.path.join(directory, file)
            if os.path.isdir(path):
                path = os.path.join(path, "fullchain.pem")
            elif not file.startswith("fullchain"):
                continue
            try:
                chain = x509.load_certificates(_read(path, "issued certificate"), path)
                judge(chain, wanted, spki, now)
                leaf = Live(not_before=x509.not_before(chain[0]), not_after=x509.not_after(chain[0]), names=tuple(wanted.names),
                            revoked=x509.fingerprint(chain[0]) in revoked)
            except FAULTS:  # it may stay for ever where dehydrated keeps it
                continue
            if not why_due(leaf, wanted, now) or leaf.not_after > beyond and not leaf.revoked:
                good.append((leaf.not_after, chain))
    good.sort(key=lambda item: item[0], reverse=True)
    return [chain for _until, chain in good]


def store_version(config: Config, name: str, chain: list[Certificate], key: Key) -> str:
    """Write the version of this chain in full, under a temporary name, and rename it; return its fingerprint."""
    fingerprint = x509.fingerprint(chain[0])
    directory = os.path.join(config.certificate_directory(name), "versions")
    final, temporary = os.path.join(directory, fingerprint), os.path.join(directory, f".{fingerprint}.new")
    parts = (("cert.pem", x509.pem(chain[:1]), 0o644), ("chain.pem", x509.pem(chain[1:]), 0o644),
             ("fullchain.pem", x509.pem(chain), 0o644), ("privkey.pem", _read(key.path, "private key"), 0o600))
    if os.path.isdir(final):  # complete when it got its name; mend what was damaged since
        for file, content, mode in parts:
            path = os.path.join(final, file)
            if not os.path.isfile(path) or _read(path, "version") != content:
                files.write_file(path, content, mode)
            elif file == "privkey.pem":
                _private_version(config, name, fingerprint)  # if others had it, its mode alone is no cure
            elif stat.S_ISLNK((status := os.lstat(path)).st_mode) or (stat.S_IMODE(status.st_mode), status.st_uid) != (mode, os.geteuid()):
                files.write_file(path, content, mode)
        return fingerprint
    shutil.rmtree(temporary, ignore_errors=True)
    files.make_directory(temporary)
    for file, content, mode in parts:
        files.write_file(os.path.join(temporary, file), content, mode)
    os.rename(temporary, final)
    files.sync_directory(directory)
    return fingerprint


def read_chain(config: Config, name: str, fingerprint: str) -> list[Certificate]:
    """The chain of a version on disk, leaf first; DaneError where there is none."""
    path = os.path.join(config.certificate_directory(name), "versions", fingerprint, "fullchain.pem")
    chain = x509.load_certificates(_read(path, f"version of {name}"), path)
    if x509.fingerprint(chain[0]) != fingerprint:
        raise DaneError(f"{path} holds another certificate than its name says; move the directory away")
    return chain


def _private_version(config: Config, name: str, fingerprint: str) -> None:
    _private(os.path.join(config.certificate_directory(name), "versions", fingerprint, "privkey.pem"), f"private key of a version of {name}", 0o600)


def put_live(config: Config, found: Found, fingerprint: str, now: int, by_plan: bool = False) -> None:
    """Point the live link to a version.  Its TLSA records must be those of what is live; `by_plan` says that they need not."""
    name = found.wanted.name
    directory = os.path.join(config.certificate_directory(name), "versions", fingerprint)
    spki = x509.spki_sha256(read_chain(config, name, fingerprint)[0])
    if found.live and found.live.fingerprint not in ("", fingerprint) and config.bound.get(name) and not by_plan:
        raise DaneError(f"the version {fingerprint[:16]}... of {name} is not what is live, and TLSA records stand for the live one itself; it is"
                        " changed by renew.yml, which changes the records first")
    if found.live and found.live.spki and found.live.spki != spki and not (by_plan and found.key(spki)):
        raise DaneError(f"the version {fingerprint[:16]}... of {name} has another key than what is live, and peers may know the live one"
                        " alone; keys are changed by the playbook that changes the TLSA records first")
    _private_version(config, name, fingerprint)  # once it is live there is no way back
    try:
        files.switch_link(config.link(name), os.path.relpath(directory, os.path.dirname(config.link(name))))
    finally:  # an error may come after the rename
        found.live = read_live(config, name, now)


# dehydrated

class Dehydrated:
    """The ACME client, run for one certificate at a time."""

    def __init__(self, config: Config, say: Say) -> None:
        self.config = config
        self.say = say
        self.settings: dict[str, str] = {}

    def _run(self, *arguments: str) -> tuple[int, str]:
        # timeout(1) signals the whole group, and after a TERM dehydrated removes its lock.  Where we are killed it goes on, and
        # the next run takes the certificate that it got.
        argv = ["timeout", "--kill-after=10", str(self.config.order_timeout), self.config.dehydrated_command,
                "--config", self.config.dehydrated_config, *arguments]
        done = process.run(argv, timeout=self.config.order_timeout + 30, outlives=True)
        said = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
        if done.returncode == 124:
            said += f"\nERROR: no end within {self.config.order_timeout} seconds"
        return done.returncode, said

    def prepare(self) -> None:
        """Learn where dehydrated keeps its things, and wait for or clear away its lock."""
        if not os.access(self.config.dehydrated_command, os.X_OK):
            raise DaneError(f"{self.config.dehydrated_command} is not installed; run the role dehydrated")
        status, said = self._run("--env")
        self.settings = {name.decode(): value.decode("utf-8", "replace") for name, value in _SETTING.findall(said.encode())}
        wanted = ("ACCOUNT_KEY", "ACCOUNT_KEY_JSON", "ACCOUNT_ID_JSON", "CERTDIR", "LOCKFILE", "CA")
        if status or not all(self.settings.get(name) for name in wanted):
            raise DaneError(f"dehydrated does not accept {self.config.dehydrated_config} ({last_words(said)}); correct it or run the role"
                            " dehydrated again")
        self._free_lock()

    def _free_lock(self) -> None:
        """dehydrated's lock outlives a holder that was killed; remove it once no dehydrated is left."""
        lock = self.settings["LOCKFILE"]
        end = time.monotonic() + self.config.order_timeout
        told = False
        while os.path.lexists(lock):
            holders = list(running_scripts(os.path.basename(self.config.dehydrated_command)))
            if not holders:
                self.say(f"removed {lock}, the lock of a dehydrated that was killed")
                try:
                    os.unlink(lock)
                except FileNotFoundError:
                    pass
                return
            if time.monotonic() > end:
                raise DaneError(f"dehydrated (process {holders[0]}) holds {lock}; wait until it has ended, or end it")
            if not told:
                self.say(f"waiting for dehydrated (process {holders[0]}) to end")
                told = True
            time.sleep(0.5)

    def issued(self, name: str) -> str:
        """The directory into which it writes the certificate `name`."""
        return os.path.join(self.settings["CERTDIR"], name)

    def order(self, wanted: Wanted, key: Key) -> None:
        """Have one certificate issued for our key; DaneError has the CA's words."""
        request = x509.make_csr(x509.load_private_key(_read(key.path, "private key"), key.path), wanted.names)
        files.write_file(os.path.join(self.config.requests, f"{wanted.name}.csr"), request)
        if not os.path.exists(self.settings["ACCOUNT_KEY"]):
            self.say(f"registering an account at {printable(self.settings['CA'])}")
            status, said = self._run("--register", "--accept-terms")
            if status:
                raise DaneError(f"the CA {printable(self.settings['CA'])} gave no account: {last_words(said)}")
        arguments = ["--cron", "--force", "--domain", " ".join(wanted.names), "--alias", wanted.name]
        status, said = self._run(*arguments)
        if status and "accountDoesNotExist" in said:
            self.say(f"the CA {printable(self.settings['CA'])} does not know the account; registering its key again")
            self._register_again()
            status, said = self._run(*arguments)
        if status:
            raise DaneError(f"the CA {printable(self.settings['CA'])} gave no certificate for {', '.join(wanted.names)}: {last_words(said)}")

    def _register_again(self) -> None:
        """Register the account key that is there.  With --privkey dehydrated does, and writes beside the key."""
        key = self.settings["ACCOUNT_KEY"]
        for path in (f"{key}.json", f"{key}_id.json"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
        status, said = self._run("--register", "--accept-terms", "--privkey", key)
        if status:
            raise DaneError(f"the CA {printable(self.settings['CA'])} gave no account: {last_words(said)}")
        os.rename(f"{key}_id.json", self.settings["ACCOUNT_ID_JSON"])
        os.rename(f"{key}.json", self.settings["ACCOUNT_KEY_JSON"])


def running_scripts(name: str) -> Iterator[int]:
    """The process ids of running programs or scripts called `name`."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    argv = [os.path.basename(part) for part in stream.read().decode("utf-8", "replace").split("\0")]
            except OSError:
                continue
            if argv[0] == name or (argv[0] in ("bash", "sh", "dash", "python3") and name in argv[1:2]):
                yield int(entry)


def last_words(said: str) -> str:
    """What a person needs of dehydrated's output: its errors and the CA's problem document (RFC 7807), fit for one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    chosen = [line for line in lines if re.search(r"error|terms of service", line, re.IGNORECASE)
              and not re.match(r'["{]', line)]
    details = re.findall(r'"detail":\s*"((?:[^"\\]|\\.){1,300})', said)
    words = [*chosen[-3:], *dict.fromkeys(details)] or lines[-3:]
    return printable(" / ".join(words), 600) or "it said nothing"


# Use

@dataclass
class Endpoint:
    """An address and port that is to present the certificate, and what it presented."""

    found: Found
    service: Service
    address: str
    pair: bool = False  # an ECDSA and an RSA certificate are presented there
    spki: str = ""
    fingerprint: str = ""
    error: str = ""
    short: bool = False  # the right leaf, but not the chain on disk behind it

    def label(self) -> str:
        """What it is called in State.working."""
        text = f"{self.service.service} {self.service.port} {self.service.name} {self.address}"
        return f"{text} {self.found.wanted.name}" if self.pair else text

    def family(self) -> str:
        """Which of the two certificates is to be asked for: that with a key such as the live one's; "" where there is one."""
        key = self.found.key(self.found.live.spki) if self.found.live else None
        return (key or self.found.wanted).family() if self.pair else ""

    def right(self) -> bool:
        """It presents what is live."""
        return bool(self.fingerprint) and self.found.live is not None and self.fingerprint == self.found.live.fingerprint and not self.short

    def seen(self) -> str:
        """The fingerprints of what it presents and of what is live."""
        return f"{self.fingerprint} {self.found.live.fingerprint if self.found.live else ''}"

    def unmoved(self, state: State) -> bool:
        """A restart did not help before, and it presents what it did then, while the same is live."""
        return state.unmoved.get(self.label()) == self.seen()


def is_active(unit: str) -> bool:
    """Whether the systemd unit runs."""
    return process.run(["systemctl", "is-active", "--quiet", unit], timeout=20).returncode == 0


def can_reload(unit: str) -> bool:
    """Whether the systemd unit knows how to read its files again while it runs."""
    return process.run(["systemctl", "show", "--property", "CanReload", "--value", "--", unit], timeout=20).stdout.strip() == b"yes"


def has_failed(unit: str) -> bool:
    """Whether the systemd unit ended badly, so that nobody has stopped it."""
    return process.run(["systemctl", "is-failed", "--quiet", unit], timeout=20).returncode == 0


class Use:
    """Has services present what is live, proves it at every endpoint, and goes back where that fails."""

    def __init__(self, config: Config, founds: list[Found], say: Say, now: int) -> None:
        self.config = config
        self.founds = founds
        self.say = say
        self.now = now
        self.endpoints = [Endpoint(found, service, address, paired(config, found.wanted, service))
                          for found in founds for service in found.wanted.services for address in config.addresses]
        self.problems: list[str] = []
        self.refused: set[str] = set()  # units of which a restart or reload failed
        self.faults: dict[str, str] = {}  # certificate -> why it cannot be proved, a sentence

    @contextmanager
    def _apart(self, found: Found) -> Iterator[None]:
        """What goes wrong with one certificate keeps no other from being proved."""
        try:
            yield
        except FAULTS as error:
            self.faults.setdefault(found.wanted.name, f"whether the services present {found.wanted.name} is not proved: {sentence(error)}")

    def _sound(self) -> list[Found]:
        return [found for found in self.founds if found.wanted.name not in self.faults]

    def working(self, found: Found) -> list[str]:
        """Look which endpoints of a certificate have TLS at all, before another version becomes live."""
        concerned = [one for one in self.endpoints if one.found is found]
        self.look(concerned)
        return [one.label() for one in concerned if one.fingerprint]

    def look(self, endpoints: list[Endpoint] | None = None) -> None:
        """Ask the endpoints (all of them by default) what they present."""
        asked = self.endpoints if endpoints is None else endpoints
        answers = tls_client.probe_many([(one.address, one.service.port, one.service.service, one.service.name, one.family()) for one in asked],
                                        timeout=self.config.probe_timeout, verify=False)
        for one, answer in zip(asked, answers, strict=True):
            one.spki = one.fingerprint = ""
            one.error, one.short = answer.error, False
            if answer.chain and not answer.error:
                try:
                    leaf = x509.load_certificates(answer.chain[0], f"{one.address} port {one.service.port}")[0]
                    one.spki, one.fingerprint = x509.spki_sha256(leaf), x509.fingerprint(leaf)
                except FAULTS as error:
                    one.error = sentence(error)
            if one.right():  # sendmail reads its leaf at each connection, and the intermediates when it starts
                try:
                    on_disk = running.chain_on_disk(os.path.join(self.config.link(one.found.wanted.name), "fullchain.pem"))
                    difference = running.differs(on_disk, list(answer.chain))
                    one.short = bool(difference)
                    one.error = f"{one.service.name} at {one.address} port {one.service.port} presents {difference}" if difference else ""
                except FAULTS as error:  # damaged since this run has looked at it: a restart would not help
                    one.error = sentence(error)
            elif one.fingerprint:
                one.error = f"{one.service.name} at {one.address} port {one.service.port} presents the certificate" \
                            f" {one.fingerprint[:16]}..., which is not the live one of {one.found.wanted.name}"

    def to_restart(self) -> list[str]:
        """The units that run with something else than what is live.

        An endpoint without TLS is no reason (it may be cut off from here), unless we have just changed what it reads.
        A unit that is not active was stopped by somebody, unless it failed with what we have changed.  What a restart did not
        help is not restarted at every run.
        """
        units: dict[str, bool] = {}
        for one in self.endpoints:
            unit = self.config.units.get(one.service.service, "")
            if not unit or one.right() or one.found.live is None or one.found.wanted.name in self.faults:
                continue
            with self._apart(one.found):
                state = read_state(self.config, one.found.wanted.name)
                versions = os.path.join(self.config.certificate_directory(one.found.wanted.name), "versions")
                if not one.unmoved(state) and (state.unproven or (one.fingerprint and os.path.isdir(os.path.join(versions, one.fingerprint)))):
                    units[unit] = units.get(unit, False) or (state.unproven and one.label() in state.working)
        chosen = [unit for unit, worked in units.items() if is_active(unit) or (worked and has_failed(unit))]
        old: list[str] = []
        for found in self._sound():
            with self._apart(found):
                old += self.stale(found)
        return list(dict.fromkeys([*old, *chosen]))

    def stale(self, found: Found) -> list[str]:
        """The units that may give clients a certificate of another family than the live one, of which the record may go."""
        return self.from_before(found) if self._was_of_another_family(found) else []

    def from_before(self, found: Found) -> list[str]:
        """The units of a certificate that cannot be reloaded, and run since before what is live went live.

        sendmail reads the certificate at each connection, and keeps the one of its start beside it where that is of the other
        family: clients are given this one or that one.
        """
        units = dict.fromkeys(self.config.units.get(service.service, "") for service in found.wanted.services)
        return [unit for unit in units if unit and not can_reload(unit) and self._older(unit, found)]

    def _older(self, unit: str, found: Found) -> bool:
        """Whether the unit runs since before what is live went live.  Where systemd does not tell it does."""
        switched = read_state(self.config, found.wanted.name).switched.get(found.live.fingerprint) if found.live else None
        try:
            return running.older(unit, self.config.link(found.wanted.name), switched)
        except DaneError:
            return True

    def _was_of_another_family(self, found: Found) -> bool:
        """Whether a key of another family than the live one was live, as far as its key is kept; its record may go next."""
        live = found.key(found.live.spki) if found.live else None
        since = read_state(self.config, found.wanted.name).since
        return live is not None and any(key.family() != live.family() and (key.spki in since or live.spki not in since) for key in found.keys)

    def start_again(self, found: Found, key: Key) -> None:
        """Before a key of another family goes live: have what keeps the certificate of its start start with the live one.

        The record of the live one stays for a hold after the switch; that of an earlier one may be gone.
        """
        name, live = found.wanted.name, found.key(found.live.spki) if found.live else None
        if found.live is None or live is None or live.family() == key.family():
            return
        state = read_state(self.config, name)
        state.switched.setdefault(found.live.fingerprint, running.moment())  # where it is not known no unit is younger
        write_state(self.config, name, state)
        units = self.from_before(found)
        if not units:
            return
        working = self.working(found)
        if not state.unproven:  # a run that dies here is followed by one that proves, and that has nowhere else to go back to
            state.unproven, state.previous, state.working = True, found.live.fingerprint, working
            write_state(self.config, name, state)
        witnesses = [one for one in self.endpoints if one.found is found and one.label() in working
                     and self.config.units.get(one.service.service) in units]
        self.restart(units, witnesses)
        wrong = [one.error for one in witnesses if not one.right()]
        wrong += [f"{unit} runs with the certificate of its start" for unit in self.from_before(found)]
        if wrong:
            raise DaneError(f"{wrong[0]}, after a restart that has to come before a key of another algorithm; look at the service's journal")

    def old_readers(self) -> list[str]:
        """The units that read a certificate for no address of ours, and run since before it went live, or did not start with it."""
        old: list[str] = []
        for found in self.founds:
            with self._apart(found):
                units = self.config.readers.get(found.wanted.name, ()) if found.live else ()
                old += [unit for unit in units if has_failed(unit) or self._older(unit, found)]
        return list(dict.fromkeys(old))

    def _systemctl(self, verb: str, unit: str) -> bool:
        """Restart or reload the unit; whether it went well."""
        self.say(f"{verb}ing {unit}")
        try:
            done = process.run(["systemctl", verb, unit], timeout=120)
            wrong = f"systemctl {verb} {unit} failed: {printable(done.stderr.decode('utf-8', 'replace').strip())}" if done.returncode else ""
        except DaneError as error:
            wrong = str(error)
        if wrong:
            self.refused.add(unit)
            self.problems.append(f"{wrong}; look at journalctl -u {unit}")
        return not wrong

    def restart(self, units: list[str], witnesses: list[Endpoint]) -> None:
        """Have the units read what is live, and look again until all `witnesses` are right, for at most 20 seconds.

        A reload loses no connection, so it comes first where there is one.  Where it was refused a restart is not tried: a
        service that runs is better than one that does not start with its files.
        """
        reloaded = [unit for unit in units if is_active(unit) and can_reload(unit)]
        accepted = [unit for unit in reloaded if self._systemctl("reload", unit)]
        for unit in units:
            if unit not in reloaded:
                self._systemctl("restart", unit)
        self._await(units, witnesses)
        deaf = [unit for unit in accepted if any(not one.right() for one in witnesses if self.config.units.get(one.service.service) == unit)]
        for unit in deaf:
            self._systemctl("restart", unit)
        if deaf:
            self._await(deaf, witnesses)

    def _await(self, units: list[str], witnesses: list[Endpoint]) -> None:
        concerned = [one for one in self.endpoints if self.config.units.get(one.service.service) in units]
        end = time.monotonic() + (20 if witnesses else 3)
        pause = 0.1
        while True:
            self.look(concerned)
            if all(one.right() for one in (witnesses or concerned)) or time.monotonic() > end:
                return
            time.sleep(pause)
            pause = min(pause * 2, 2)

    def prove(self) -> None:
        """Look; restart where something else is presented; go back where that did not help.  `faults` has what is not proved."""
        self.look()
        units = self.to_restart()
        witnesses: list[Endpoint] = []
        if units:
            states = {}
            for found in self._sound():
                with self._apart(found):
                    states[found.wanted.name] = read_state(self.config, found.wanted.name)
            worked = {one.label() for one in self.endpoints if one.fingerprint}  # also those that did before a run that died
            worked |= {label for state in states.values() if state.unproven for label in state.working}
            before = {one.label(): one.fingerprint for one in self.endpoints}
            witnesses = [one for one in self.endpoints if one.label() in worked and self.config.units.get(one.service.service) in units
                         and one.found.wanted.name in states and not one.unmoved(states[one.found.wanted.name])]
            for found in self._sound():  # first: a unit may not start again, and this run may die
                with self._apart(found):
                    state, labels = states[found.wanted.name], [one.label() for one in witnesses if one.found is found]
                    if labels or self.stale(found):
                        write_state(self.config, found.wanted.name, replace(state, unproven=True, previous=state.previous if state.unproven else "",
                                                                            working=sorted({*state.working, *labels})))
            if self.faults:  # what could not be written down is no reason to restart
                wanted = self.to_restart()
                units = [unit for unit in units if unit in wanted]
                witnesses = [one for one in witnesses if one.found.wanted.name not in self.faults and self.config.units[one.service.service] in units]
            self.restart(units, witnesses)
            self._undo([one for one in witnesses if not one.right()], before, worked)
        for unit in self.old_readers():
            self._systemctl("restart", unit)
        well = [unit for unit in units if unit not in self.refused and not has_failed(unit)]
        tried = {one.label() for one in witnesses if one.fingerprint and self.config.units.get(one.service.service) in well}
        for found in self._sound():
            with self._apart(found):
                state = read_state(self.config, found.wanted.name)
                known = state.unmoved
                state.unmoved = {one.label(): seen for one in self.endpoints if one.found is found and not one.right()
                                 and (seen := one.seen() if one.label() in tried else known.get(one.label(), ""))}
                if found.live and not self._missed(found, state, units):
                    state.unproven, state.working = False, []
                write_state(self.config, found.wanted.name, state)

    def _missed(self, found: Found, state: State, restarted: list[str]) -> bool:
        """An endpoint that worked has shown nothing yet: its unit is just starting, did not start, or somebody has stopped it.

        Or it may show some clients what is not live.
        """
        units = {self.config.units.get(one.service.service, "") for one in self.endpoints
                 if one.found is found and one.label() in state.working and not one.right() and not one.unmoved(state)}
        return any(unit and (unit not in restarted or has_failed(unit)) for unit in units) or bool(self.stale(found))

    def _go_back(self, one: Endpoint, presented: str) -> None:
        """Make the version live that was before, else `presented`; where it cannot be `problems` says why."""
        found, live, said = one.found, one.found.live, one.error
        name = found.wanted.name
        state = read_state(self.config, name)
        switched = state.unproven and bool(state.previous)
        old = state.previous if switched else presented
        if live is None or old in ("", live.fingerprint):
            return
        try:
            chain = read_chain(self.config, name, old)
            judge_chain(chain, self.now)
            _private_version(self.config, name, old)
            # The record before stays for a hold after another one was needed, but not for ever.
            spki, bound = x509.spki_sha256(chain[0]), self.config.bound.get(name, False)
            if (spki != live.spki or bound) and not (switched and found.key(spki)):
                raise DaneError("it has another key" if spki != live.spki else "TLSA records stand for the live one")
        except FAULTS as error:
            self.problems.append(f"{said}; there is no going back to the certificate before: {sentence(error)}")
            return
        state.unproven, state.previous = True, old  # where a run that dies here has nothing more to go back to
        state.switched[old] = running.moment()
        if spki == live.spki and not bound:
            state.renewal = state.renewal.after(said, self.now, live)
        else:
            state.roll, state.roll_spki = state.rolling(live.spki).after(said, self.now, live), live.spki
        write_state(self.config, name, state)
        put_live(self.config, found, old, self.now, by_plan=True)
        self.say(f"{name}: {said}; went back to {old[:16]}...")
        self.problems.append(f"{said}, even after a restart; the certificate before ({old[:16]}...) is live again; look at the service's"
                             " journal, then run again")

    def _undo(self, wrong: list[Endpoint], before: dict[str, str], worked: set[str]) -> None:
        """Back to the version that was live before, else to what the endpoint presented, which has the same key."""
        undone: list[Found] = []
        for one in wrong:
            if not any(one.found is other for other in undone):
                live = one.found.live
                with self._apart(one.found):
                    self._go_back(one, before[one.label()])
                if one.found.live != live:  # an error may come after the rename
                    undone.append(one.found)
        if undone:
            try:
                _keep_chains(self.config, self.founds, False, self.say)
            except FAULTS as error:
                self.problems.append(sentence(error))
            witnesses = [one for one in self.endpoints if any(one.found is found for found in undone) and one.label() in worked]
            self.look(witnesses)  # what was not reloaded has the one before still, and sendmail has it again by itself
            units = [self.config.units[one.service.service] for one in witnesses if not one.right() and one.service.service in self.config.units]
            if units:
                self.restart(list(dict.fromkeys(units)), witnesses)


# Steps that the playbook asks for

@dataclass(frozen=True)
class Step:
    """One step of a roll, for one certificate.

    order: a certificate for the key `spki`, to be kept as a version.  deploy: make the version `fingerprint` with the key
    `spki` live.  delete_key: remove the private key `spki` and all copies of it.  make_key: make one more, where `spki` is
    still the youngest.  retry: now, although it failed a short time ago.
    """

    certificate: str
    step: str
    spki: str
    fingerprint: str = ""
    retry: bool = False


def make_steps(items: list[dict[str, Any]], config: Config, probe: bool) -> dict[str, Step]:
    """The steps by certificate, from plain data; DaneError names what is wrong."""
    steps: dict[str, Step] = {}
    for item in items:
        try:
            step = Step(item["certificate"], item["step"], item["spki"], item.get("fingerprint") or "", bool(item.get("retry")))
        except (KeyError, TypeError, AttributeError) as error:
            raise DaneError(f"{printable(repr(item))} is no step; give certificate, step, spki and, to deploy, fingerprint") from error
        what = f"the step {printable(repr(step.step))} of the certificate {printable(repr(step.certificate))}"
        if step.step not in ("make_key", "order", "deploy", "delete_key"):
            raise DaneError(f"{what} is not one of make_key, order, deploy, delete_key; correct it")
        for digest in (step.spki, step.fingerprint) if step.step == "deploy" else (step.spki,):
            if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
                raise DaneError(f"{what} has {printable(repr(digest))} where a SHA-256 in hexadecimal belongs; correct it")
        if all(step.certificate != wanted.name for wanted in config.certificates):
            raise DaneError(f"{what} is for a certificate that {printable(config.host)} does not have; correct it")
        if step.step == "deploy" and not probe:
            raise DaneError(f"{what} needs a look at the endpoints; run it with probe")
        if step.certificate in steps:
            raise DaneError(f"{what} is the second for that certificate; give one step in a run")
        steps[step.certificate] = step
    return steps


def judge_step(config: Config, found: Found, step: Step, now: int) -> None:
    """What the step speaks of is there and can be used; else DaneError, before anything is changed."""
    name = found.wanted.name
    directory = os.path.join(config.certificate_directory(name), "keys")
    key, current = found.key(step.spki), found.current()
    if step.step == "make_key":
        return
    if step.step == "delete_key":
        if key and not (found.live and found.live.spki):
            raise DaneError(f"{name} has no live version, so which key is in use is not known; run the playbook again, which makes one live")
        later = [one for one in found.keys if current and one.created > current.created and one.algorithm == found.wanted.algorithm]
        if key and (key is current or key in later[-1:]):
            raise DaneError(f"the key {step.spki[:16]}... of {name} is its {'current' if key is current else 'next'} one and is not deleted;"
                            " another key has to take its place first")
        return
    if key is None:
        raise DaneError(f"the key {step.spki[:16]}... of {name} is not in {directory}; restore it from a backup, or run the playbook again,"
                        " which looks at what is there")
    if step.step == "deploy":
        versions = os.path.join(config.certificate_directory(name), "versions")
        if not os.path.isdir(os.path.join(versions, step.fingerprint)):
            raise DaneError(f"the version {step.fingerprint[:16]}... of {name} is not in {versions}; have a certificate for that key ordered first")
        if current and key.created < current.created:
            raise DaneError(f"the key {step.spki[:16]}... of {name} is older than its current one, so the plan was of another time; run the playbook"
                            " again, which looks at what is there")
        judge(read_chain(config, name, step.fingerprint), found.wanted, step.spki, now)
    elif not (key is current and config.bound.get(name)) and (
            current is None or key.created <= current.created or key.algorithm != found.wanted.algorithm):
        raise DaneError(f"the key {step.spki[:16]}... of {name} cannot follow its current one: it is not younger, or not"
                        f" {found.wanted.algorithm}; run the playbook again, which looks at what is there")


def delete_key(config: Config, found: Found, spki: str, act: Say) -> None:
    """Remove a private key that is neither current nor next: the versions with a copy of it, then its own file.

    dehydrated has no copy, as it only gets a CSR.
    """
    name = found.wanted.name
    versions = os.path.join(config.certificate_directory(name), "versions")
    live = os.path.basename(os.path.realpath(config.link(name)))
    for fingerprint in sorted(os.listdir(versions)):
        if fingerprint != live and spki in _keys_of(os.path.join(versions, fingerprint)):
            act(f"{name}: removing the version {fingerprint[:16]}... with the key {spki[:16]}...")
            remove_version(versions, fingerprint)
    key = found.key(spki)
    if key:
        act(f"{name}: removing the key {spki[:16]}...")
        os.unlink(key.path)
        files.sync_directory(os.path.dirname(key.path))
        found.keys.remove(key)


def _keys_of(version: str) -> set[str]:
    """The SPKI digests of the key and of the leaf in a version, which may be damaged."""
    keys = set()
    for file in ("privkey.pem", "cert.pem", "fullchain.pem"):
        path = os.path.join(version, file)
        try:
            data = _read(path, "version")
            keys.add(x509.spki_sha256(x509.load_private_key(data, path) if file == "privkey.pem" else x509.load_certificates(data, path)[0]))
        except FAULTS:
            continue
    return keys


def remove_version(versions: str, fingerprint: str) -> None:
    """Take the version away by one rename; what is left after a death is swept by the next run."""
    gone = os.path.join(versions, f".{fingerprint}.new")
    shutil.rmtree(gone, ignore_errors=True)
    os.rename(os.path.join(versions, fingerprint), gone)
    files.sync_directory(versions)
    shutil.rmtree(gone)
    files.sync_directory(versions)


def expired_versions(config: Config, found: Found, now: int) -> list[str]:
    """Versions that nobody needs any more.  One whose key is nowhere else is left."""
    name = found.wanted.name
    versions = os.path.join(config.certificate_directory(name), "versions")
    kept = {read_state(config, name).previous, found.live.fingerprint if found.live else ""}
    expired = []
    for fingerprint in sorted(os.listdir(versions)) if os.path.isdir(versions) else []:
        if fingerprint in kept or not _SHA256.fullmatch(fingerprint):
            continue
        try:
            leaf = read_chain(config, name, fingerprint)[0]
            if now >= x509.not_after(leaf) and found.key(x509.spki_sha256(leaf)):
                expired.append(fingerprint)
        except FAULTS:
            continue
    return expired


# One run

@dataclass
class Result:
    """What a run did (in check mode: would do) and saw."""

    changed: bool = False
    report: dict[str, Any] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What went wrong while a valid certificate is live; one sentence each."""
    failures: list[str] = field(default_factory=list)
    """Certificates that are not there at all; one sentence each."""
    before: str = ""
    after: str = ""


def _of(name: str, error: DaneError | OSError | ValueError) -> str:
    """The sentence, with the certificate that it is about."""
    said = sentence(error)
    return said if name in said else f"the certificate {name}: {said}"


@contextmanager
def _noted(result: Result, found: Found | None, now: int) -> Iterator[None]:
    """What goes wrong with one certificate is said, and keeps no other; of one that is valid it is a warning."""
    try:
        yield
    except FAULTS as error:
        said = _of(found.wanted.name, error) if found else sentence(error)
        (result.warnings if found and found.live and found.live.valid(now) else result.failures).append(said)


@contextmanager
def _lock(config: Config) -> Iterator[None]:
    files.make_directory(config.directory)
    with files.lock(os.path.join(config.directory, "certificates.lock")):
        yield


def run(config: Config, *, by_timer: bool = False, check: bool = False, probe: bool = True, config_path: str = "",
        steps: list[dict[str, Any]] | None = None, published: dict[str, list[str] | None] | None = None, joining: Iterable[str] = (),
        say: Say = lambda line: None, now: int | None = None) -> Result:
    """Take every missing step for all certificates of the host.

    by_timer: the host's own timer.  It backs off after failures, and makes nothing live where nothing is.
    check: change nothing and ask no CA; endpoints of this host are looked at all the same.
    probe: look at the endpoints, and restart what presents something else than the live certificate.
    config_path: where to leave the arguments for the timer.
    steps: what the playbook wants done to keys, see Step.  published: certificate -> SPKI digests that have TLSA records; None
    where that is not known, and then nothing goes live where nothing is.
    joining: certificates that may become live beside another one of the same endpoints, as all caches know their keys.
    Raises DaneError, before anything is changed, for key files that are not as they must be, and for steps that cannot be taken.
    """
    result = Result()

    def act(line: str) -> None:
        result.changed = True
        result.actions.append(line)
        say(line)

    wanted_steps = make_steps(steps or [], config, probe)
    _judge_published(config, published or {})
    if not check:
        x509.require()
    with nullcontext() if check else _lock(config):
        config, lost = _as_told(config, config_path)
        result.warnings += [lost] if lost else []
        moment = int(time.time()) if now is None else now
        founds: list[Found] = []
        for wanted in config.certificates:
            try:
                founds.append(inspect(config, wanted, moment, (published or {}).get(wanted.name, ())))
            except FAULTS as error:
                if not by_timer:
                    raise DaneError(_of(wanted.name, error)) from error
                result.failures.append(_of(wanted.name, error))  # the others can still be renewed
        try:
            judge_pairs(founds)
        except DaneError as error:
            if not by_timer:
                raise
            result.failures.append(str(error))
        for found in founds:
            if found.wanted.name in wanted_steps:
                judge_step(config, found, wanted_steps[found.wanted.name], moment)
        held = held_back(config, founds, joining)
        result.before = _summary(founds)
        _keep_config(config, config_path, check, act)
        foreseen: dict[str, str] = {}
        dehydrated = Dehydrated(config, say)
        use = Use(config, founds, act, moment) if probe else None
        for found in founds:
            wanted_step = wanted_steps.get(found.wanted.name)
            with _noted(result, found, moment):
                if check:
                    _foresee(config, found, wanted_step, moment, act, foreseen, found.wanted.name in held)
                    result.warnings += [_lost(found)] if found.lost() and found.wanted.name not in held else []
                else:
                    _step(config, found, dehydrated, use, wanted_step, moment, by_timer, act, result, found.wanted.name in held)
        with _noted(result, None, moment):
            _keep_chains(config, founds, check, act)
        if use:
            try:
                if check:
                    use.look()
                    for unit in [*use.to_restart(), *use.old_readers()]:
                        act(f"restart {unit}")
                else:
                    use.prove()
            except FAULTS as error:  # what is presented is not known, so no key is deleted
                result.failures.append(sentence(error))
                wanted_steps = {}
            result.failures += use.faults.values()
            wanted_steps = {name: step for name, step in wanted_steps.items() if name not in use.faults}
            result.warnings += use.problems
        for found in [] if check else founds:
            wanted_step = wanted_steps.get(found.wanted.name)
            if wanted_step and wanted_step.step == "delete_key":  # last: what is live has been proved, or is another one again
                _delete_key(config, found, use, wanted_step.spki, moment, act, result)
            with _noted(result, found, moment):
                _settle(config, found, moment)
        result.report = _report(config, founds, use.endpoints if use else [], int(time.time()) if now is None else now)
        result.after = _summary(founds, foreseen, {step.spki for step in wanted_steps.values() if check and step.step == "delete_key"})
    return result


def held_back(config: Config, founds: list[Found], joining: Iterable[str]) -> frozenset[str]:
    """The certificates that have never been live and are to stand beside one that is, but for those of `joining`.

    Peers may know the records of that one alone, and each of them is given either certificate.  Where records stand for
    certificates all wait for a step that names the certificate: another one that was ordered meanwhile is not known.
    """
    def was_live(name: str) -> bool:
        state = read_state(config, name)
        return bool(state.since) and not (state.unproven and not state.previous)  # a run that dies has written `since` before the switch

    live = [found for found in founds if found.live]
    return frozenset(new.wanted.name for new in founds if new.live is None and not was_live(new.wanted.name)
                     and (new.wanted.name not in joining or config.bound.get(new.wanted.name))
                     and any(service in old.wanted.services for old in live for service in new.wanted.services))


def judge_pairs(founds: list[Found]) -> None:
    """A certificate that is to stand beside another one has a key of the other family; else DaneError.

    The model has seen to what is wanted, but the live key may be from before its algorithm was changed.
    """
    for new in founds:
        for old in founds if new.live is None else []:
            key = old.key(old.live.spki) if old.live else None
            if (old is not new and key and key.algorithm != old.wanted.algorithm and key.family() == new.wanted.family()
                    and any(service in old.wanted.services for service in new.wanted.services)):
                raise DaneError(f"the live key of {old.wanted.name} is still {key.algorithm}, so {new.wanted.name} with {new.wanted.algorithm} cannot be"
                                f" presented beside it; have it rolled first (-e dane_roll={old.wanted.name}), and add {new.wanted.name} then")


def _one_more(found: Found, step: Step | None) -> bool:
    """Whether `step` asks for a key that nobody has made since."""
    return bool(step and step.step == "make_key" and found.keys and found.keys[-1].spki == step.spki)


def _judge_published(config: Config, published: dict[str, list[str] | None]) -> None:
    names = {wanted.name for wanted in config.certificates}
    for name, keys in published.items():
        if name not in names:
            raise DaneError(f"published names the certificate {printable(repr(name))}, which is not among the certificates; correct it")
        if keys is not None and (not isinstance(keys, list) or not all(isinstance(spki, str) and _SHA256.fullmatch(spki) for spki in keys)):
            raise DaneError(f"published of the certificate {name} is {printable(repr(keys))}; give a list of SHA-256 digests in hexadecimal, or null")


def _delete_key(config: Config, found: Found, use: Use | None, spki: str, now: int, act: Say, result: Result) -> None:
    name = found.wanted.name
    try:
        judge_step(config, found, Step(name, "delete_key", spki), now)  # again: the run may have gone back to it
        if read_state(config, name).unproven:
            raise DaneError(f"it has not been seen that the services of {name} present what is live, so its key before may be needed;"
                            " run again with probe")
        for one in use.endpoints if use else []:  # proved or not: a restart may not have helped, or there is no unit
            if one.spki == spki:
                raise DaneError(f"{one.service.name} at {one.address} port {one.service.port} presents it; have what answers there present what is"
                                " live, then run again")
        delete_key(config, found, spki, act)
    except FAULTS as error:
        result.warnings.append(f"the key {spki[:16]}... was not deleted: {sentence(error)}")


def _settle(config: Config, found: Found, now: int) -> None:
    """Forget the failures that are overcome, and what is known of keys and versions that are gone."""
    state = read_state(config, found.wanted.name)
    if not why_due(found.live, found.wanted, now):  # not at once: going back has to count up too
        state.renewal = Attempts()
    if found.key(state.roll_spki) is None or (found.live and found.live.spki == state.roll_spki and not state.unproven
                                              and not why_due(found.live, found.wanted, now)):
        state.roll, state.roll_spki = Attempts(), ""
    if not os.path.isdir(os.path.join(config.certificate_directory(found.wanted.name), "versions", state.previous)):
        state.previous = ""
    live = found.live.fingerprint if found.live else ""
    state.since = {one: moment for one, moment in state.since.items() if found.key(one) or one == live}
    state.switched = {one: moment for one, moment in state.switched.items() if one == live}
    write_state(config, found.wanted.name, state)


def _keep_config(config: Config, path: str, check: bool, act: Say) -> None:
    if not path:
        return
    text = config_text(config)
    try:
        if _read(path, "what this host's certificates are to be") == text:
            return
    except DaneError:
        pass
    act(f"write {path}" if check else f"wrote {path}")
    if not check:
        try:
            files.make_directory(os.path.dirname(path))
            files.write_file(path, text)
        except OSError as error:  # what the timer is not told it may do wrong, so nothing is changed
            raise DaneError(sentence(error)) from error


def _keep_chains(config: Config, founds: list[Found], check: bool, act: Say) -> None:
    """The intermediates of all that is live, in one file, for a server with two certificates that takes them from one place."""
    if not any(paired(config, found.wanted, service) for found in founds for service in found.wanted.services):
        return
    looked = {found.wanted.name: bool(found.live and not found.live.problem) for found in founds}
    paths = {wanted.name: os.path.join(config.link(wanted.name), "chain.pem") for wanted in config.certificates}
    parts = [_read(path, "live chain") for name, path in paths.items() if looked.get(name, os.path.isfile(path))]
    path, text = os.path.join(config.directory, "chains.pem"), b"".join(dict.fromkeys(parts))
    if not parts or (os.path.isfile(path) and _read(path, "live chains") == text):
        return
    act(f"write {path}" if check else f"wrote {path}")
    if not check:
        files.write_file(path, text)


def _foresee(config: Config, found: Found, step: Step | None, now: int, act: Say, foreseen: dict[str, str], held: bool) -> None:
    name = found.wanted.name
    for fingerprint in expired_versions(config, found, now):
        act(f"{name}: remove the version {fingerprint[:16]}..., which has expired")
    for _number in range(found.missing() or int(_one_more(found, step))):
        act(f"{name}: make a key ({found.wanted.algorithm})")
    if step and step.step == "delete_key":
        if found.key(step.spki):
            act(f"{name}: delete the key {step.spki[:16]}...")
    elif step and step.step != "make_key" and not _waiting(config, found, step, now):
        if step.step == "deploy" and not _is_live(found, step.fingerprint):
            act(f"{name}: make {step.fingerprint[:16]}... live, with the key {step.spki[:16]}...")
            foreseen[name] = f"live {step.fingerprint[:16]}..."
        if step.step == "order" and not deployable(config, found, step.spki, now):
            act(f"{name}: order a certificate for {', '.join(found.wanted.names)} with the key {step.spki[:16]}...")
        if found.live and found.live.valid(now):
            return
    reason = why_due(found.live, found.wanted, now)
    current = found.current()
    if held and current and deployable(config, found, current.spki, now):
        return
    if reason and name not in foreseen and not found.lost() and not _for_the_plan(config, found):
        act(f"{name}: order a certificate for {', '.join(found.wanted.names)}, as {reason}")
        if not held:
            foreseen[name] = f"a new certificate for {', '.join(found.wanted.names)}"


def _step(config: Config, found: Found, dehydrated: Dehydrated, use: Use | None, step: Step | None, now: int, by_timer: bool, act: Say,
          result: Result, held: bool) -> None:
    """Keys, the step of a roll, and the certificate if it is due.  What goes wrong with it does not keep the others."""
    name = found.wanted.name
    home = config.certificate_directory(name)
    for directory, mode in ((home, 0o755), (os.path.join(home, "keys"), 0o700), (os.path.join(home, "versions"), 0o755),
                            (os.path.dirname(config.link(name)), 0o755), (config.requests, 0o755)):
        files.make_directory(directory, mode)
    _sweep(config, name)
    for fingerprint in expired_versions(config, found, now):
        act(f"{name}: removing the version {fingerprint[:16]}..., which has expired")
        remove_version(os.path.join(home, "versions"), fingerprint)
    make_keys(config, found, now, act, one_more=_one_more(found, step))
    if step and step.step in ("order", "deploy") and _roll(config, found, dehydrated, use, step, now, act, result):
        return
    reason = why_due(found.live, found.wanted, now)
    state = read_state(config, name)
    if not reason:
        return
    if found.live and _for_the_plan(config, found):
        if by_timer:
            said = (f"the certificate {name} is due ({reason}), and TLSA records stand for the certificate itself, so this host does not renew it;"
                    " run renew.yml, which has the records changed first")
            half = found.live.not_after - (found.live.not_after - found.live.not_before) // 6
            if found.live.valid(now) and now < half:
                dehydrated.say(said)
            else:
                (result.warnings if found.live.valid(now) else result.failures).append(said)
        return
    if by_timer and held:
        return
    if by_timer and (found.live is None or not found.live.spki):
        result.failures.append(f"the certificate {name} has no live version, and which key its TLSA records have is known to the playbook"
                               " alone; run the playbook")
        return
    if by_timer and now < state.renewal.not_before(now, found.live):
        result.warnings.append(f"the certificate {name} is due ({reason}), but {state.renewal.words()}; the next"
                               f" is not before {_date(state.renewal.next_attempt)}")
        return
    if found.lost():
        if not held:
            result.failures.append(_lost(found))
        return
    live = found.live
    try:
        key = found.current()
        if key is None:
            raise DaneError(f"the certificate {name} has no key; run again")
        if held and deployable(config, found, key.spki, now):
            return
        fingerprint = _obtain(config, found, key, dehydrated, now, reason, act)
        if held:
            act(f"{name}: {fingerprint[:16]}... is kept until its key may be used")
            return
        _switch(config, found, fingerprint, use, max(now, int(time.time())), act)  # with the same key, or it is refused
    except FAULTS as error:
        said = sentence(error)
        if live and live.valid(now):
            result.warnings.append(f"the certificate {name} was not renewed: {said}; the live one stays, until {_date(live.not_after)}")
        else:
            result.failures.append(f"the certificate {name} was not issued, and {'the live one is not valid' if live else 'none is live'}:"
                                   f" {said}; cure that and run again")
        state = read_state(config, name)
        write_state(config, name, replace(state, renewal=state.renewal.after(said, now, live)))


def _lost(found: Found) -> str:
    return (f"the certificate {found.wanted.name} has no live version, and which of its keys have TLSA records is not known, as a primary of its names was not"
            " heard; run the playbook again when it answers")


def _for_the_plan(config: Config, found: Found) -> bool:
    """Whether TLSA records stand for what is live, so that the playbook alone may put another certificate in its place."""
    return config.bound.get(found.wanted.name, False) and found.live is not None and bool(found.live.fingerprint)


def _roll(config: Config, found: Found, dehydrated: Dehydrated, use: Use | None, step: Step, now: int, act: Say, result: Result) -> bool:
    """Order for another key, or make it live.  True where the current key needs no renewal in this run for that."""
    name = found.wanted.name
    waiting = _waiting(config, found, step, now)
    if waiting:
        result.warnings.append(waiting)
        return False
    try:
        key = found.key(step.spki)
        if key is None:
            raise DaneError(f"the key {step.spki[:16]}... is gone; run again")
        if step.step == "deploy" and not _is_live(found, step.fingerprint):
            fingerprint = store_version(config, name, read_chain(config, name, step.fingerprint), key)  # mends what is damaged
            if use:
                use.start_again(found, key)
            _switch(config, found, fingerprint, use, now, act, by_plan=True)
        if step.step == "order" and not deployable(config, found, step.spki, now):
            fingerprint = _obtain(config, found, key, dehydrated, now, "the key is to be changed", act)
            act(f"{name}: {fingerprint[:16]}... is kept until its key may be used")
            state = read_state(config, name)
            write_state(config, name, replace(state, roll=Attempts(), roll_spki=""))
    except FAULTS as error:
        said = sentence(error)
        result.warnings.append(f"the step {step.step} of {name} with the key {step.spki[:16]}... failed: {said}; what is live stays")
        state = read_state(config, name)
        write_state(config, name, replace(state, roll=state.rolling(step.spki).after(said, now, found.live), roll_spki=step.spki))
        return False
    return found.live is not None and found.live.valid(now)


def _waiting(config: Config, found: Found, step: Step, now: int) -> str:
    """Why the step is not tried again yet, as a sentence; "" where it is."""
    attempts = read_state(config, found.wanted.name).rolling(step.spki)
    if step.retry or now >= attempts.not_before(now, found.live):
        return ""
    return (f"the step {step.step} of {found.wanted.name} with the key {step.spki[:16]}... is not tried again before"
            f" {_date(attempts.next_attempt)}, as {attempts.words()}")


def _is_live(found: Found, fingerprint: str) -> bool:
    return found.live is not None and found.live.fingerprint == fingerprint and not found.live.problem


def deployable(config: Config, found: Found, spki: str, now: int) -> list[Certificate]:
    """The chain of the version that would become live with the key `spki`; empty where there is no good one.

    Where the plan renews, its record has been published, and another one would have to wait anew: so one that outlasts the live one will do.
    """
    beyond = found.live.not_after if found.live and _for_the_plan(config, found) else math.inf
    chains = candidates([os.path.join(config.certificate_directory(found.wanted.name), "versions")], found.wanted, spki, now, config.revoked, beyond)
    return chains[0] if chains else []


def _obtain(config: Config, found: Found, key: Key, dehydrated: Dehydrated, now: int, reason: str, act: Say) -> str:
    """A good version for the key: from disk, else ordered; its fingerprint."""
    name = found.wanted.name
    if not dehydrated.settings:
        dehydrated.prepare()
    places = [os.path.join(config.certificate_directory(name), "versions"), dehydrated.issued(name)]
    chains = candidates(places, found.wanted, key.spki, now, config.revoked)
    if chains:
        act(f"{name}: taking a certificate that was issued before, as {reason}")
        chain = chains[0]
    else:
        act(f"{name}: ordering a certificate for {', '.join(found.wanted.names)} with the key {key.spki[:16]}..., as {reason}")
        dehydrated.order(found.wanted, key)
        path = os.path.join(dehydrated.issued(name), "fullchain.pem")
        chain = x509.load_certificates(_read(path, "issued certificate"), path)
        judge(chain, found.wanted, key.spki, max(now, int(time.time())))
        if x509.fingerprint(chain[0]) in config.revoked:
            raise DaneError(f"the CA gave the certificate {x509.fingerprint(chain[0])[:16]}... again, which is revoked; look at the CA's answer")
    return store_version(config, name, chain, key)


def _switch(config: Config, found: Found, fingerprint: str, use: Use | None, now: int, act: Say, by_plan: bool = False) -> None:
    """Make the version live; written down before: that it is unproven, what was live, and what worked."""
    name, live = found.wanted.name, found.live
    spki = x509.spki_sha256(read_chain(config, name, fingerprint)[0])
    state = read_state(config, name)
    working = use.working(found) if use else []
    if state.unproven:  # what was live before this is no place to go back to
        working = sorted({*working, *state.working})
    if not state.unproven:
        state.previous = live.fingerprint if live else ""
    if live and live.spki:
        state.since.setdefault(live.spki, live.not_before or now)
    if live is None or live.spki != spki:
        state.since[spki] = now
    state.since[fingerprint] = now
    state.switched[fingerprint] = running.moment()
    state.unproven, state.working = True, working
    write_state(config, name, state)
    put_live(config, found, fingerprint, now, by_plan)
    act(f"{name}: {fingerprint[:16]}... is live, until {_date(found.live.not_after) if found.live else 'never'}")


def _summary(founds: list[Found], foreseen: dict[str, str] | None = None, gone: Iterable[str] = ()) -> str:
    """Keys and live certificates for people, before and after."""
    lines = []
    for found in founds:
        extra = found.missing() if foreseen is not None else 0
        lines += [f"{found.wanted.name}: key {key.spki[:16]}... ({key.algorithm})" for key in found.keys if key.spki not in gone]
        lines += [f"{found.wanted.name}: a new key ({found.wanted.algorithm})"] * extra
        if foreseen and found.wanted.name in foreseen:
            lines.append(f"{found.wanted.name}: {foreseen[found.wanted.name]}")
        elif found.live:
            lines.append(f"{found.wanted.name}: live {found.live.fingerprint[:16]}... until {_date(found.live.not_after)}")
    return "".join(f"{line}\n" for line in lines)


def _report(config: Config, founds: list[Found], endpoints: list[Endpoint], now: int) -> dict[str, Any]:
    """In the shape of docs/architecture.md."""
    timer = False
    try:
        timer = is_active(TIMER)
    except DaneError:
        pass
    return {
        "schema": SCHEMA, "host": config.host, "time": now, "timers": {"renew": timer},
        "certificates": [_report_certificate(config, found, [one for one in endpoints if one.found is found], now) for found in founds],
    }


def _report_certificate(config: Config, found: Found, endpoints: list[Endpoint], now: int) -> dict[str, Any]:
    state, live = read_state(config, found.wanted.name), found.live

    def certificate(key: Key) -> dict[str, Any] | None:
        chain = deployable(config, found, key.spki, now)
        return {"fingerprint": x509.fingerprint(chain[0]), "not_after": x509.not_after(chain[0])} if chain else None

    return {
        "name": found.wanted.name, "algorithm": found.wanted.algorithm, "bound": config.bound.get(found.wanted.name, False),
        "keys": [{"spki": key.spki, "created": key.created, "algorithm": key.algorithm, "certificate": certificate(key)} for key in found.keys],
        "live": {"fingerprint": live.fingerprint, "spki": live.spki, "not_before": live.not_before, "not_after": live.not_after,
                 "since": state.since.get(live.spki, live.not_before), "deployed": state.since.get(live.fingerprint, live.not_before),
                 "proven": not state.unproven} if live and live.fingerprint else None,
        "due": why_due(live, found.wanted, now),
        **asdict(state.renewal), "next_attempt": state.renewal.not_before(now, live),
        "roll": {"spki": state.roll_spki, **asdict(state.roll), "next_attempt": state.roll.not_before(now, live)} if state.roll_spki else None,
        "endpoints": [{"service": one.service.service, "port": one.service.port, "name": one.service.name, "address": one.address,
                       "spki": one.spki, "fingerprint": one.fingerprint, "error": one.error} for one in endpoints],
    }


def renew_command(config_path: str = CONFIG) -> int:
    """`selfhost-dane renew`: what the timer does.  Returns the exit status, 1 where anything is not as it should be."""
    try:
        config = read_config(config_path)
        result = run(config, by_timer=True, say=print_line)
    except FAULTS as error:
        print_line(f"renew: failed: {sentence(error)}", sys.stderr)
        return 1
    wrong = result.failures + result.warnings
    wrong += [endpoint["error"] for item in result.report["certificates"] for endpoint in item["endpoints"] if endpoint["error"]]
    for line in wrong:
        print_line(f"renew: failed: {line}", sys.stderr)
    if not wrong:
        until = [item["live"]["not_after"] for item in result.report["certificates"] if item["live"]]
        print_line(f"renew: {len(config.certificates)} certificates are in order"
                   + (f", the first to expire does at {_date(min(until))}" if until else ""))
    return 1 if wrong else 0
