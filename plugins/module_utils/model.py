# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: what the operator said in the inventory, judged as a whole, and the slice of it that each host needs.

Pure and for the controller: the dane_* variables of all hosts in, plain dicts, lists, str, int and bool out.
Every value that leaves this file matched a whitelist, because zone files, mc files and apache's configuration come after.
The shapes are in docs/model.md.
"""
from __future__ import annotations

import base64
import copy
import difflib
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .errors import DaneError, printable
from .history import hold
from .rollover import SCHEMES, make_rules
from .tls_client import SERVICES
from .x509 import ALGORITHMS
from .zone import HOST_LABEL, LABEL, is_host_name, quote

SCHEMA = 1
ERRORS_SHOWN = 20
DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory"
HOST_VARIABLES = ("dane_ipv4", "dane_ipv6")
SHARED_VARIABLES = ("dane_zones", "dane_certificates", "dane_acme", "dane_mailboxes", "dane_make_users", "dane_postmaster", "dane_aliases",
                    "dane_virtual_users", "dane_resolver", "dane_policy", "dane_vantage", "dane_verify_ca", "dane_forget", "dane_redirects",
                    "dane_pop3", "dane_roll", "dane_compromised", "dane_revoke_now", "dane_revoked", "dane_wait",
                    "dane_unattended")
ZONE_KEYS = ("primary", "secondaries", "anycast", "ttl", "tlsa_ttl", "hostmaster", "expire", "serial", "mx", "spf", "dmarc", "records")
CERTIFICATE_KEYS = ("hosts", "names", "services", "algorithm")
POP3_TLS = ("required", "optional", "none")
UNATTENDED_KEYS = ("host", "mail", "interval", "project", "inventory", "files", "vault_password_file", "from")
RECORD_TYPES = ("A", "AAAA", "CAA", "CNAME", "DS", "MX", "NS", "PTR", "SRV", "SSHFP", "TXT")
OWN_TYPES = {  # an operator must not write these, and why
    "TLSA": "TLSA records follow from dane_certificates and the keys in use",
    "SOA": "the SOA follows from the keys of the zone",
    **dict.fromkeys(("RRSIG", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "CDS", "CDNSKEY", "ZONEMD"), "signing makes it"),
}
TTL_MAX = 604800  # a week; resolvers cap what is above (RFC 8767 section 4)
TEXT_MAX = 4000   # octets of one TXT value
SECONDS_MAX = 2**31 - 1
STEPS_MAX = 8     # from name to name on the way to a mailbox; sendmail gives up after 10, and may count a virtual user twice
TARGETS_MAX = 4000  # octets of an alias and its targets; sendmail reads lines of 8191
OWN_ALIASES = ("postmaster", "mailer-daemon", "root")

_TOKEN = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_LOCAL_PART = re.compile(r"[A-Za-z0-9_]+([.+-][A-Za-z0-9_]+)*")
_MAILBOX = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_ALIAS = re.compile(r"(?=[^@]{1,63}$)[a-z0-9_]+([.-][a-z0-9_]+)*")
_URL = re.compile(r"https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_TARGET = re.compile(r"(https?)://([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(/([A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?")  # RFC 3986, without '
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END CERTIFICATE-----\n")
_DIRECTIVE = re.compile(r"\$(INCLUDE|ORIGIN|TTL|GENERATE)", re.IGNORECASE)
_ANCHOR = re.compile(r"(\.|[A-Za-z0-9.-]+)(?:[ \t]+[0-9]{1,10})?(?:[ \t]+IN)?[ \t]+DS[ \t]+"
                     r"([0-9]{1,5}[ \t]+[0-9]{1,3}[ \t]+[0-9][ \t]+[0-9A-Fa-f \t]+)")  # of . or a name: optional TTL and class
_HEX = re.compile(r"([0-9a-fA-F]{2})+")
_MACRO = re.compile(r"%(\{[slodiphcrtvSLODIPHCRTV][0-9]{0,3}r?[.+,/_=-]*\}|%|_|-)")  # RFC 7208 section 7.1
_DS_DIGEST = {2: 64, 4: 96}  # hexadecimal digits; SHA-1 is not for new use (RFC 8624)
_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_INNER_PATH = re.compile(r"(?!(.*/)?\.{1,2}(/|$))[A-Za-z0-9._][A-Za-z0-9._-]*(/[A-Za-z0-9._][A-Za-z0-9._-]*)*")
_TLSA_OWNER = re.compile(r"_[1-9][0-9]{0,4}\._tcp(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+\.")
_SSHFP_DIGEST = {1: 40, 2: 64}


def show(value: object) -> str:
    """`value` for a message: one line of printable ASCII, shortened."""
    if isinstance(value, str) and 0 < len(value) <= 80 and re.fullmatch(r"[!#-&(-~]+", value):
        return str.__str__(value)
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number beyond all bounds"
    return printable(ascii(plain(value) if isinstance(value, (str, int, float)) else value), 80)


def plain(value: Any, depth: int = 0) -> Any:
    """A copy of `value` in exact dict, list, str, int, float, bool and None; other things become their text.

    Ansible's strings and containers carry tags and template lazily; none of that may travel in a fact.
    Raises DaneError where the nesting is deeper than any variable of the model can be.
    """
    if depth > 12:
        raise DaneError("a dane_* variable is nested deeper than any part of the model; does a YAML anchor contain itself?")
    if isinstance(value, Mapping):
        return {plain(key, depth + 1): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return str.__str__(str(value))


@dataclass(frozen=True)
class Host:
    """An inventory host and its public addresses."""

    name: str
    ipv4: list[str]
    ipv6: list[str]

    def addressed(self) -> bool:
        """Has it any address?"""
        return bool(self.ipv4 or self.ipv6)

    def brief(self) -> dict[str, Any]:
        """As the slice names another host."""
        return {"host": self.name, "ipv4": list(self.ipv4), "ipv6": list(self.ipv6)}


@dataclass(frozen=True)
class Record:
    """One record.  `owner` has no final dot; `source` says where it comes from, `own` whether the operator wrote it."""

    owner: str
    ttl: int
    type: str
    data: str
    source: str
    own: bool = False

    def brief(self) -> dict[str, Any]:
        """As in the slice."""
        return {"owner": f"{self.owner}.", "ttl": self.ttl, "type": self.type, "data": self.data}


@dataclass
class Zone:
    """A zone as the operator said it, then (`records`, `mail_records`) as it will be."""

    name: str
    where: str
    primary: str = ""
    secondaries: list[str] = field(default_factory=list)
    anycast: list[str] = field(default_factory=list)
    ttl: int = 3600
    tlsa_ttl: int = 3600
    rname: str = ""
    expire: int = 604800
    serial: int = 0
    mx: dict[str, int] = field(default_factory=dict)
    spf: list[str] = field(default_factory=list)
    dmarc: dict[str, str] = field(default_factory=dict)
    own: list[Record] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    mail_records: list[Record] = field(default_factory=list)

    def servers(self) -> list[str]:
        """Its name servers, the primary first (inventory hosts)."""
        return [host for host in [self.primary, *self.secondaries] if host]

    def all_mx(self) -> list[tuple[str, int]]:
        """(name, preference) of every MX at the apex, the operator's own records included."""
        own = [record.data.split() for record in self.own if record.type == "MX" and record.owner == self.name]
        return sorted([*self.mx.items(), *((name.rstrip("."), int(preference)) for preference, name in own)],
                      key=lambda item: (item[1], item[0]))


@dataclass
class Certificate:
    """A certificate: what is in it, who has it and what presents it (service: port)."""

    name: str
    where: str
    hosts: list[str]
    names: list[str]
    services: dict[str, int]
    algorithm: str

    def family(self) -> str:
        """ecdsa or rsa: a server presents at most one certificate of each for a name."""
        return self.algorithm.split("-", 1)[0]


@dataclass
class Model:
    """The judged model; `slice_of` cuts it."""

    hosts: dict[str, Host]
    zones: dict[str, Zone]
    certificates: dict[str, Certificate]
    acme: dict[str, str]
    mailboxes: list[str]
    make_users: bool
    postmaster: str
    aliases: dict[str, list[str]]
    virtual_users: dict[str, list[str]]
    resolver: dict[str, Any]
    policy: dict[str, Any]
    verify: dict[str, str]
    forget: list[str]
    roll: list[str]
    compromised: list[str]
    revoke_now: bool
    revoked: list[str]
    wait: bool
    redirects: dict[str, str]
    pop3: dict[str, str]
    unattended: dict[str, Any]

    def zone_of(self, name: str) -> Zone | None:
        """The deepest zone that `name` lies in."""
        labels = name.split(".")
        for start in range(len(labels)):
            zone = self.zones.get(".".join(labels[start:]))
            if zone is not None:
                return zone
        return None

    def presenting(self, name: str, service: str) -> list[Certificate]:
        """The certificates that `service` presents for `name`."""
        return [one for one in self.certificates.values() if name in one.names and service in one.services]

    def named_hosts(self) -> dict[str, list[str]]:
        """Each name of a certificate, and the hosts that answer for it; both sorted."""
        found: dict[str, set[str]] = {}
        for one in self.certificates.values():
            for name in one.names:
                found.setdefault(name, set()).update(one.hosts)
        return {name: sorted(hosts) for name, hosts in sorted(found.items())}

    def mail_name(self, certificate: Certificate) -> str:
        """The name a mail host with this certificate greets with: its first name that is an MX, else its first."""
        wanted = {name for zone in self.zones.values() for name in zone.mx}
        return next((name for name in certificate.names if name in wanted), certificate.names[0])

    def mail_domains(self, certificate: Certificate) -> set[str]:
        """What a mail host with this certificate receives mail for."""
        domains = {self.mail_name(certificate)}
        for zone in self.zones.values():
            here = set(zone.mx) & set(certificate.names)
            domains |= here | ({zone.name} if here else set())
        return domains

    def renewed(self) -> set[str]:
        """The hosts that renew.yml changes."""
        return {zone.primary for zone in self.zones.values()} | {host for one in self.certificates.values() for host in one.hosts}

    def mail_hosts(self) -> dict[str, Certificate]:
        """Each mail host and its certificate; the ECDSA one where it has two."""
        ordered = sorted(self.certificates.values(), key=Certificate.family, reverse=True)  # the last one of a host counts
        return {host: one for one in ordered if "smtp" in one.services for host in one.hosts}

    def beside(self, host: str, certificate: Certificate, name: str, service: str) -> Certificate | None:
        """The other certificate that `service` of `host` presents for `name`, of the other family."""
        return next((one for one in self.presenting(name, service) if host in one.hosts and one is not certificate
                     and one.services[service] == certificate.services[service]), None)

    def local_domains(self) -> set[str]:
        """All that some mail host takes for its own: mail domains, its inventory name, and no domain at all."""
        hosts = self.mail_hosts()
        return {"", *hosts}.union(*(self.mail_domains(one) for one in hosts.values()))


class _Judge:
    """Collects what is wrong, so that the operator reads all of it at once."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def say(self, where: str, wrong: str, cure: str) -> None:
        """One sentence: where, what is wrong, and the cure."""
        sentence = f"{where}: {wrong}; {cure}"
        if sentence not in self.errors:
            self.errors.append(sentence)

    def end(self) -> None:
        """Raise DaneError with one sentence a line where anything was wrong."""
        if not self.errors:
            return
        shown = self.errors[:ERRORS_SHOWN]
        if len(self.errors) > ERRORS_SHOWN:
            shown.append(f"and {len(self.errors) - ERRORS_SHOWN} more; mend these first")
        raise DaneError("\n".join(shown))

    def mapping(self, where: str, value: Any, keys: Iterable[str]) -> dict[str, Any]:
        """`value` as a mapping of known `keys`; a key without a value counts as not given."""
        known = tuple(keys)
        content = self.table(where, value)
        for key in content:
            if key not in known:
                self.say(where, f"there is no key {show(key)}", did_you_mean(key, known, "the keys are"))
        return {key: item for key, item in content.items() if key in known and item is not None}

    def table(self, where: str, value: Any) -> dict[Any, Any]:
        """`value` as a mapping whose keys are the operator's."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.say(where, f"{show(value)} is not a mapping", "write it as key: value")
            return {}
        return value

    def items(self, where: str, value: Any) -> list[Any]:
        """`value` as a list."""
        if value is None:
            return []
        if not isinstance(value, list):
            self.say(where, f"{show(value)} is not a list", f"write [{show(value)}]" if isinstance(value, str) else "write a list")
            return []
        return value

    def distinct(self, where: str, values: list[str]) -> list[str]:
        """`values` without repetition, which is an error."""
        for value in sorted({value for value in values if values.count(value) > 1}):
            self.say(where, f"{value} is there more than once", "keep one")
        return list(dict.fromkeys(values))

    def integer(self, where: str, value: Any, low: int, high: int, default: int) -> int:
        """A whole number from `low` to `high`.  Decimal text counts, because `-e ttl=60` is text; a boolean does not."""
        if value is None:
            return default
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.say(where, f"{show(value)} is not a whole number", f"give one from {low} to {high}")
        elif not low <= value <= high:
            self.say(where, f"{show(value)} is out of range", f"give a number from {low} to {high}")
        else:
            return value
        return default

    def choice(self, where: str, value: Any, choices: Iterable[str], what: str) -> str | None:
        """One of `choices`."""
        known = tuple(choices)
        if isinstance(value, str) and value in known:
            return value
        self.say(where, f"{show(value)} is not {what}", did_you_mean(value, known, "choose from"))
        return None

    def text(self, where: str, value: Any, limit: int = TEXT_MAX) -> str | None:
        """Printable ASCII without quotes, backslashes and directives of zone files."""
        if not isinstance(value, str):
            self.say(where, f"{show(value)} is not text", "put it in quotes in the YAML")
            return None
        bad = re.search(r'[^ -~]|["\\]', value)
        if bad:
            self.say(where, f"the value has {ascii(bad.group())}, which must not be in it",
                     "write plain printable ASCII; quoting and escaping are done for you")
        elif _DIRECTIVE.search(value):
            self.say(where, f"the value has {_DIRECTIVE.search(value).group()}, a directive of zone files",  # type: ignore[union-attr]
                     "write plain text without it")
        elif not value.strip() or len(value) > limit:
            self.say(where, f"the value has {len(value)} octets", f"give 1 to {limit}, not blanks alone")
        else:
            return value
        return None

    def name(self, where: str, value: Any, *, any_label: bool = False, wildcard: bool = False, least: int = 2) -> str | None:
        """A domain name: lower case, no final dot, at least `least` labels, limits of RFC 1035 section 2.3.4.

        Labels are those of host names (RFC 1123 section 2.1); with `any_label` an underscore is allowed.
        """
        if not isinstance(value, str) or not value:
            self.say(where, f"{show(value)} is not a domain name", "write one such as g.pyon.example")
            return None
        if not value.isascii():
            self.say(where, f"{show(value)} is not in A-label form", f"write {_a_label(value)}")
            return None
        name = value.lower().removesuffix(".")
        labels = name.split(".")
        if len(name) > 253:
            self.say(where, f"the name {show(name)} has {len(name)} octets", "a name has at most 253, so shorten it")
            return None
        pattern = LABEL if any_label else HOST_LABEL
        for place, label in enumerate(labels):
            if len(label) > 63:
                self.say(where, f"the label {show(label)} of {show(name)} has {len(label)} octets", "a label has at most 63, so shorten it")
                return None
            if wildcard and place == 0 and label == "*" and len(labels) > 1:
                continue
            if not pattern.fullmatch(label):
                also = " (a host name has no underscore)" if "_" in label and not any_label else ""
                self.say(where, f"{show(value)} is not a domain name{also}",
                         "a label has a-z, 0-9 and -, and neither begins nor ends with -")
                return None
            if label[2:4] == "--" and not _good_a_label(label):
                self.say(where, f"the label {label} of {show(name)} is no valid A-label", "write xn-- and its punycode, or another name")
                return None
        if len(labels) < least:
            self.say(where, f"{show(value)} has {len(labels)} label", "write the whole name, such as g.pyon.example")
            return None
        if labels[-1].isdigit():
            self.say(where, f"{show(value)} ends in a number, as an address does", "write a domain name")
            return None
        return name

    def absolute(self, where: str, value: str, any_label: bool = False) -> str | None:
        """A name in the data of an operator's record: with its final dot, so that nobody has to guess."""
        name = self.name(where, value, any_label=any_label)
        if name is not None and not value.endswith("."):
            self.say(where, f"the name {show(value)} does not end with a dot", f"write it whole, as {name}.")
            return None
        return name

    def address(self, where: str, value: Any, family: int) -> str | None:
        """An address of `family` (4 or 6) in canonical form (RFC 5952)."""
        parsed: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
        if isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f:.]{2,45}", value):
            try:
                parsed = ipaddress.ip_address(str.__str__(value))
            except ValueError:
                pass
        if parsed is None:
            self.say(where, f"{show(value)} is not an IPv{family} address", f"write one such as {'198.51.100.10' if family == 4 else '2001:db8::10'}")
        elif parsed.version != family:
            self.say(where, f"{parsed} is an IPv{parsed.version} address where IPv{family} is wanted",
                     f"move it to where IPv{parsed.version} addresses go or write an IPv{family} address")
        elif isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            self.say(where, f"{show(value)} is an IPv4 address in IPv6 clothing", "write the IPv4 address among the IPv4 addresses")
        else:
            return str(parsed)
        return None

    def mail_address(self, where: str, value: Any) -> tuple[str, str] | None:
        """(local part, domain) of a mail address."""
        if isinstance(value, str) and value.isascii() and value.count("@") == 1:
            local, domain = value.split("@")
            if _LOCAL_PART.fullmatch(local) and len(local) <= 63:
                name = self.name(where, domain)
                return (local, name) if name else None
        self.say(where, f"{show(value)} is not a mail address", "write one such as hostmaster@pyon.example")
        return None


def did_you_mean(value: object, known: Iterable[str], otherwise: str) -> str:
    """The cure for an unknown name."""
    names = list(known)
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(value.lower(), folded, 1, 0.6) if isinstance(value, str) and len(value) <= 253 else []
    if close:
        return f"did you mean {folded[close[0]]}?"
    return f"{otherwise}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "define one first"


def _a_label(value: str) -> str:
    """What to write instead of the U-labels of `value`, where Python knows it for sure."""
    try:
        encoded = value[:253].encode("idna").decode("ascii")
        # IDNA 2003 maps some letters; those are not for us to guess
        if re.fullmatch(r"[A-Za-z0-9._-]+", encoded) and encoded.encode("ascii").decode("idna") == value:
            return encoded
    except UnicodeError:
        pass
    return "its xn-- form"


def _good_a_label(label: str) -> bool:
    """Is `label`, which has "--" in third place, an A-label?  Not all of RFC 5892: punycode of assigned, visible characters."""
    if not label.startswith("xn--"):
        return False
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        again = decoded.encode("punycode").decode("ascii")
    except (ValueError, OverflowError):  # UnicodeError is a ValueError
        return False
    return not decoded.isascii() and again == label[4:] and all(unicodedata.category(one)[0] in "LMNPS" or one in "\u200c\u200d" for one in decoded)


def _below(name: str, top: str) -> bool:
    return name == top or name.endswith(f".{top}")


# --- reading the variables -------------------------------------------------------------------------------------------

def _shared(judge: _Judge, variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The model-wide variables, which must be the same on every host that defines them."""
    found: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    known = (*HOST_VARIABLES, *SHARED_VARIABLES)
    unknown: dict[str, str] = {}
    for host in sorted(variables):
        for key, value in variables[host].items():
            if not isinstance(key, str) or not key.startswith("dane_"):
                continue
            if key not in known:
                unknown.setdefault(key, host)
            elif key in SHARED_VARIABLES and value is not None:
                if key not in found:
                    found[key], said_by[key] = value, host
                elif found[key] != value:
                    judge.say(key, f"hosts {show(said_by[key])} and {show(host)} have different values",
                              "define it once, for the group all")
    for key, host in unknown.items():
        judge.say(f"host {show(host)}", f"there is no variable {show(key)}", did_you_mean(key, known, "the variables are"))
    return found


def _hosts(judge: _Judge, variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Host]:
    hosts = {}
    for host, content in variables.items():
        families: dict[str, list[str]] = {}
        for key, family in (("dane_ipv4", 4), ("dane_ipv6", 6)):
            families[key] = _public(judge, f"host {show(host)}, {key}", content.get(key), family, "host")
        hosts[host] = Host(host, families["dane_ipv4"], families["dane_ipv6"])
    return hosts


def _public(judge: _Judge, where: str, value: Any, family: int | None, whose: str) -> list[str]:
    """A list of addresses of `family` (4 or 6; None for both) that others can reach."""
    read = []
    for item in judge.items(where, value):
        address = judge.address(where, item, family or (6 if isinstance(item, str) and ":" in item else 4))
        if address is None:
            continue
        parsed = ipaddress.ip_address(address)
        if parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast or parsed.is_link_local:
            judge.say(where, f"{address} is not an address that others can reach", f"give the public addresses of the {whose}")
        else:
            read.append(address)
    return judge.distinct(where, read)


def _role_host(judge: _Judge, where: str, value: Any, hosts: Mapping[str, Host], content: Mapping[str, Any]) -> str | None:
    """An inventory host that takes a part in the model; it must have an address."""
    if not isinstance(value, str) or value not in hosts:
        judge.say(where, f"host {show(value)} is not in the inventory", did_you_mean(value, sorted(hosts), "its hosts are"))
        return None
    if len(value) > 253 or not _TOKEN.fullmatch(value):
        judge.say(where, f"the inventory name {show(value)} has characters that the model cannot use",
                  "name the host with a-z, 0-9, -, _ and . in the inventory")
        return None
    if not hosts[value].addressed() and not any(content.get(key) for key in HOST_VARIABLES):
        judge.say(where, f"host {value} has no addresses", "give it dane_ipv4 or dane_ipv6")
    return value


def _server(judge: _Judge, where: str, value: Any, hosts: Mapping[str, Host], content: Mapping[str, Any]) -> str | None:
    """A name server: its inventory name goes into NS records, so it must be a domain name."""
    host = _role_host(judge, where, value, hosts, content)
    if host is None:
        return None
    if judge.name(f"{where}, host {host}, whose inventory name becomes the NS record", host) is None:
        return None
    return host


def _spf_domain(value: str) -> bool:
    """A domain-spec with its macros (RFC 7208 section 7.1)."""
    rest = _MACRO.sub("m", value)
    return 0 < len(rest) <= 253 and all(LABEL.fullmatch(label) for label in rest.lower().rstrip(".").split("."))


def _spf(judge: _Judge, where: str, terms: list[Any]) -> list[str]:
    """The terms of an SPF record (RFC 7208): known, well formed, at most ten that ask the DNS."""
    good: list[str] = []
    lookups = 0
    seen_all = False
    modifiers: set[str] = set()
    for term in terms:
        text = judge.text(where, term)
        if text is None:
            continue
        mechanism = re.fullmatch(r"([+?~-]?)([a-z0-9]+)(?::([^/ ]+))?(/\d{1,3})?(//\d{1,3})?", text) if not text.startswith(("ip4:", "ip6:")) \
            and not re.match(r"[+?~-]ip[46]:", text) else None
        address = re.fullmatch(r"[+?~-]?ip([46]):([0-9A-Fa-f:.]+)(?:/(\d{1,3}))?", text)
        modifier = re.fullmatch(r"(redirect|exp)=(\S+)", text)
        correct = False
        if address:
            family, length = int(address.group(1)), int(address.group(3) or 0)
            correct = judge.address(f"{where}, term {show(text)}", address.group(2), family) is not None and length <= (32 if family == 4 else 128)
        elif modifier:
            correct = _spf_domain(modifier.group(2)) and modifier.group(1) not in modifiers
            modifiers.add(modifier.group(1))
            lookups += modifier.group(1) == "redirect"
        elif mechanism:
            word, domain = mechanism.group(2), mechanism.group(3)
            ranges = [int(part.lstrip("/")) for part in mechanism.groups()[3:] if part]
            good_domain = domain is None or _spf_domain(domain)
            if word == "all":
                correct = domain is None and not ranges
            elif word in ("a", "mx"):
                correct = good_domain and int((mechanism.group(4) or "/0")[1:]) <= 32 and int((mechanism.group(5) or "//0")[2:]) <= 128
            elif word in ("include", "exists"):
                correct = domain is not None and good_domain and not ranges
            lookups += word in ("a", "mx", "include", "exists")
        if not correct:
            reason = "must not be published (RFC 7208 section 5.5)" if re.match(r"[+?~-]?ptr\b", text) else "is not a term of SPF"
            judge.say(where, f"{show(text)} {reason}",
                      "list the terms after v=spf1, each once: all, include:, a, mx, ip4:, ip6:, exists:, redirect=, exp= (RFC 7208)")
            continue
        if seen_all and not (modifier and modifier.group(1) == "exp"):
            judge.say(where, f"{show(text)} stands after all, where nobody reads it", "put all last")
        seen_all = seen_all or bool(mechanism and mechanism.group(2) == "all")
        good.append(str.__str__(text))
    if lookups > 10:
        judge.say(where, f"{lookups} terms ask the DNS, and receivers stop with an error after 10", "name fewer of include, a, mx, exists and redirect")
    return good


_POLICIES = ("none", "quarantine", "reject")
_DMARC: dict[str, tuple[str, ...]] = {"p": _POLICIES, "sp": _POLICIES, "np": _POLICIES, "t": ("y", "n"), "adkim": ("r", "s"),
                                      "aspf": ("r", "s"), "psd": ("y", "n", "u"), "fo": (), "rua": (), "ruf": ()}


def _dmarc(judge: _Judge, where: str, value: Any) -> dict[str, str]:
    """The tags of a DMARC record (RFC 9989 section 4.7)."""
    content = dict(judge.table(where, value))
    for gone in ("pct", "rf", "ri"):
        if gone in content:
            judge.say(where, f"the tag {gone} is gone since RFC 9989", "delete it" + ("; t: y is for testing" if gone == "pct" else ""))
            del content[gone]
    tags = {"p": "reject"}
    for tag, item in judge.mapping(where, content, _DMARC).items():
        here = f"{where}, tag {tag}"
        if _DMARC[tag]:
            chosen = judge.choice(here, item, _DMARC[tag], f"a value of {tag}")
        elif tag == "fo":
            text = str(item) if isinstance(item, int) and not isinstance(item, bool) else item
            chosen = text if isinstance(text, str) and re.fullmatch(r"[01ds](:[01ds])*", text) else None
            if chosen is None:
                judge.say(here, f"{show(item)} is not a value of fo", "give some of 0, 1, d and s, with : between them")
        else:
            addresses = []
            for one in (item if isinstance(item, list) else [part.strip() for part in item.split(",")] if isinstance(item, str) else [item]):
                if not isinstance(one, str) or not one.startswith("mailto:"):
                    judge.say(here, f"{show(one)} is not a mailto: address", "write mailto:dmarc@pyon.example, or a list of such")
                    continue
                parts = judge.mail_address(here, one[len("mailto:"):])
                if parts:
                    addresses.append(f"mailto:{parts[0]}@{parts[1]}")
            chosen = ",".join(addresses)
        if chosen:
            tags[tag] = str.__str__(chosen)
    return {tag: tags[tag] for tag in _DMARC if tag in tags}


def _numbers(judge: _Judge, where: str, fields: list[str], limits: list[int]) -> list[int] | None:
    """The leading numbers of a record's data."""
    numbers = []
    for text, limit in zip(fields, limits, strict=False):
        if not _NUMBER.fullmatch(text) or int(text) > limit:
            judge.say(where, f"{show(text)} is not a number from 0 to {limit}", "write the data as in a zone file")
            return None
        numbers.append(int(text))
    return numbers


def _data(judge: _Judge, where: str, kind: str, value: Any) -> str | None:
    """The data of an operator's record in canonical presentation form; names absolute, text quoted by us."""
    text = judge.text(where, value)
    if text is None:
        return None
    if kind in ("A", "AAAA"):
        return judge.address(where, text, 4 if kind == "A" else 6)
    if kind == "TXT":
        return quote(text)
    if kind in ("CNAME", "NS", "PTR"):
        name = judge.absolute(where, text, any_label=kind == "CNAME")
        return f"{name}." if name else None
    shapes = {"MX": ([65535], "10 g.pyon.example."), "SRV": ([65535] * 3, "0 5 5061 g.pyon.example."), "CAA": ([255], "0 issue letsencrypt.org"),
              "DS": ([65535, 255, 255], "12345 13 2 and the digest"), "SSHFP": ([255, 255], "4 2 and the digest")}
    limits, sample = shapes[kind]
    fields = text.split(None, len(limits) + (kind == "CAA"))
    if len(fields) != len(limits) + 1 + (kind == "CAA"):
        judge.say(where, f"{show(text)} is not the data of {kind}", f"write it as in: {sample}")
        return None
    numbers = _numbers(judge, where, fields, limits)
    if numbers is None:
        return None
    head = " ".join(str(number) for number in numbers)
    if kind in ("MX", "SRV"):
        name = judge.absolute(where, fields[-1])
        return f"{head} {name}." if name else None
    if kind == "CAA":
        tag, content = fields[1].lower(), fields[2].rstrip()
        if numbers[0] not in (0, 128) or not re.fullmatch(r"[a-z0-9]{1,15}", tag) or len(content) > 255:
            judge.say(where, f"{show(text)} is not the data of CAA", f"write it as in: {sample} (RFC 8659)")
            return None
        return f"{head} {tag} {quote(content)}"
    digits = "".join(fields[-1].split())
    length = (_DS_DIGEST if kind == "DS" else _SSHFP_DIGEST).get(numbers[-1])
    if length is None or not _HEX.fullmatch(digits) or len(digits) != length:
        judge.say(where, f"{show(text)} has no digest of the right kind and length", f"write it as in: {sample}, in hexadecimal")
        return None
    return f"{head} {digits.lower()}"


def _own_record(judge: _Judge, zone: Zone, place: int, value: Any) -> Record | None:
    """An operator's record, as far as it can be judged alone."""
    where = f"{zone.where}, records, item {place + 1}"
    content = judge.mapping(where, value, ("owner", "type", "data", "ttl"))
    missing = [key for key in ("owner", "type", "data") if key not in content]
    if missing:
        if isinstance(value, dict):
            judge.say(where, f"{', '.join(missing)} is missing", "give owner, type and data")
        return None
    kind = content["type"].upper() if isinstance(content["type"], str) and content["type"].isascii() else content["type"]
    if isinstance(content["owner"], str):
        where = f"{where} ({show(content['owner'])} {show(kind)})"
    if isinstance(kind, str) and kind in OWN_TYPES:
        judge.say(where, f"records of type {kind} are not the operator's to write: {OWN_TYPES[kind]}", "delete it")
        return None
    kind = judge.choice(where, kind, RECORD_TYPES, "a type of record that can be written here")
    owner = _owner(judge, zone, where, content["owner"], kind or "TXT")
    data = _data(judge, where, kind, content["data"]) if kind else None
    ttl = judge.integer(f"{where}, ttl", content.get("ttl"), 1, TTL_MAX, zone.ttl)
    if owner is None or kind is None or data is None:
        return None
    return Record(owner, ttl, kind, data, where, True)


def _owner(judge: _Judge, zone: Zone, where: str, value: Any, kind: str) -> str | None:
    """The owner of an operator's record: "@", relative to the zone, or absolute with its final dot."""
    if value == "@":
        return zone.name
    if not isinstance(value, str) or not value or value == ".":
        judge.say(where, f"{show(value)} is not an owner", f'write "@", a name relative to {zone.name}, or an absolute one with its final dot')
        return None
    if value.isascii() and not value.endswith(".") and _below(value.lower(), zone.name):
        judge.say(where, f"the owner {show(value)} would become {show(f'{value}.{zone.name}')}", "end it with a dot, or leave the zone's name out")
        return None
    name = judge.name(where, value if value.endswith(".") else f"{value}.{zone.name}",
                      any_label=kind in ("TXT", "CNAME", "SRV", "PTR"), wildcard=kind not in ("NS", "DS"))
    if name is not None and not _below(name, zone.name):
        judge.say(where, f"the owner {name} is outside the zone {zone.name}", "move it to its own zone, or leave the final dot out")
        return None
    return name


def _zone(judge: _Judge, name: str, value: Any, hosts: Mapping[str, Host], variables: Mapping[str, Mapping[str, Any]]) -> Zone:
    where = f"dane_zones, zone {name}"
    content = judge.mapping(where, value, ZONE_KEYS)
    zone = Zone(name, where)

    def server(key: str, item: Any) -> str | None:
        return _server(judge, f"{where}, {key}", item, hosts, variables.get(item, {}) if isinstance(item, str) else {})

    if "primary" not in content:
        judge.say(where, "it has no primary", "name the inventory host that signs it, as primary")
    else:
        zone.primary = server("primary", content["primary"]) or ""
    read = [server("secondaries", item) for item in judge.items(f"{where}, secondaries", content.get("secondaries"))]
    zone.secondaries = judge.distinct(f"{where}, secondaries", [host for host in read if host])
    if zone.primary and zone.primary in zone.secondaries:
        judge.say(f"{where}, secondaries", f"{zone.primary} is the primary", "leave it out of the secondaries")
        zone.secondaries.remove(zone.primary)
    zone.anycast = _public(judge, f"{where}, anycast", content.get("anycast"), None, "name server")
    zone.ttl = judge.integer(f"{where}, ttl", content.get("ttl"), 1, TTL_MAX, 3600)
    zone.tlsa_ttl = judge.integer(f"{where}, tlsa_ttl", content.get("tlsa_ttl"), 1, TTL_MAX, zone.ttl)
    zone.expire = judge.integer(f"{where}, expire", content.get("expire"), 8, SECONDS_MAX, 604800)
    zone.serial = judge.integer(f"{where}, serial", content.get("serial"), 0, 2**32 - 1, 0)
    hostmaster = judge.mail_address(f"{where}, hostmaster", content.get("hostmaster", f"hostmaster@{name}"))
    if hostmaster:
        zone.rname = f"{hostmaster[0].lower()}.{hostmaster[1]}"
        if len(zone.rname) > 253:
            judge.say(f"{where}, hostmaster", f"{show(zone.rname)} has {len(zone.rname)} octets", "a name has at most 253, so choose a shorter address")
        zone.rname = hostmaster[0].lower().replace(".", "\\.") + f".{hostmaster[1]}."  # RFC 1035 section 5.3
    for target, preference in judge.table(f"{where}, mx", content.get("mx")).items():
        mx = judge.name(f"{where}, mx", target)
        number = judge.integer(f"{where}, mx {show(target)}, preference", preference, 0, 65535, -1)
        if preference is None:
            judge.say(f"{where}, mx {show(target)}", "it has no preference", "write name: 10")
        if mx in zone.mx:
            judge.say(f"{where}, mx", f"{mx} is there more than once", "keep one")
        if mx and number >= 0:
            zone.mx[mx] = number
    zone.own = [record for place, item in enumerate(judge.items(f"{where}, records", content.get("records")))
                if (record := _own_record(judge, zone, place, item))]
    zone.spf = _spf(judge, f"{where}, spf", judge.items(f"{where}, spf", content.get("spf")))
    zone.dmarc = _dmarc(judge, f"{where}, dmarc", content.get("dmarc"))
    return zone


def _certificate(judge: _Judge, key: Any, value: Any, hosts: Mapping[str, Host],
                 variables: Mapping[str, Mapping[str, Any]]) -> Certificate | None:
    where = f"dane_certificates, certificate {show(key)}"
    content = judge.mapping(where, value, CERTIFICATE_KEYS)
    name = judge.name(where, key, least=1 if content.get("names") else 2)
    read_hosts = [_role_host(judge, f"{where}, hosts", item, hosts, variables.get(item, {}) if isinstance(item, str) else {})
                  for item in judge.items(f"{where}, hosts", content.get("hosts"))]
    if not content.get("hosts"):
        judge.say(where, "it has no hosts", "name the inventory hosts that present it, as hosts")
    names = [name]
    if content.get("names"):
        names = []
        for item in judge.items(f"{where}, names", content["names"]):
            if isinstance(item, str) and item.startswith("*."):
                judge.say(f"{where}, names", f"{show(item)} is a wildcard, which http-01 cannot prove", "list the names themselves")
            else:
                names.append(judge.name(f"{where}, names", item))
    services = {}
    for service, port in judge.table(f"{where}, services", content.get("services")).items():
        if service not in SERVICES:
            judge.say(f"{where}, services", f"{show(service)} is not a service", did_you_mean(service, SERVICES, "choose from"))
            continue
        here = f"{where}, services, {service}"
        usual = 25 if service == "smtp" else 443
        if port is None:
            judge.say(here, "it has no port", f"write {service}: {usual}")
        services[service] = judge.integer(here, port, 1, 65535, usual)
        if services[service] == 80:
            judge.say(here, "port 80 answers ACME challenges and redirects to https", "choose another port")
    if not content.get("services"):
        judge.say(where, "it has no services", "say what presents it, such as services: {https: 443}")
    algorithm = judge.choice(f"{where}, algorithm", content.get("algorithm", ALGORITHMS[0]), ALGORITHMS, "an algorithm") or ALGORITHMS[0]
    good_names = judge.distinct(f"{where}, names", [item for item in names if item])
    if not name or not good_names:
        return None
    return Certificate(name, where, judge.distinct(f"{where}, hosts", [host for host in read_hosts if host]), good_names, services, algorithm)


def _acme(judge: _Judge, value: Any) -> dict[str, str]:
    content = judge.mapping("dane_acme", value, ("directory", "contact", "ca"))
    acme = {"directory": DIRECTORY, "contact": "", "ca": ""}
    directory = content.get("directory", DIRECTORY)
    match = _URL.fullmatch(directory) if isinstance(directory, str) and len(directory) <= 500 else None
    if match is None or int((match.group(2) or ":443")[1:]) not in range(1, 65536):
        judge.say("dane_acme, directory", f"{show(directory)} is not an https URL of plain characters", f"write one such as {DIRECTORY}")
    else:
        acme["directory"] = str.__str__(directory)
    if content.get("contact"):
        contact = judge.mail_address("dane_acme, contact", content["contact"])
        acme["contact"] = f"{contact[0]}@{contact[1]}" if contact else ""
    if content.get("ca"):
        acme["ca"] = _pem(judge, "dane_acme, ca", content["ca"])
    return acme


def _pem(judge: _Judge, where: str, value: Any) -> str:
    """Certificates in PEM and nothing else; the only value of the model that has newlines."""
    text = "".join(f"{line.strip()}\n" for line in value.split("\n") if line.strip()) if isinstance(value, str) and value.isascii() else ""
    blocks = _PEM.findall(text)
    try:
        whole = bool(blocks) and not _PEM.sub("", text) and all(base64.b64decode(block.replace("\n", ""), validate=True)[:1] == b"0" for block in blocks)
    except ValueError:
        whole = False
    if not whole:
        judge.say(where, "the value is not one or more certificates in PEM", "give the certificates alone, from BEGIN to END CERTIFICATE")
        return ""
    return text


def _mailboxes(judge: _Judge, value: Any, postmaster: Any) -> tuple[list[str], str]:
    boxes = []
    for item in judge.items("dane_mailboxes", value):
        if isinstance(item, str) and _MAILBOX.fullmatch(item):
            boxes.append(str.__str__(item))
        else:
            judge.say("dane_mailboxes", f"{show(item)} is not the name of a local user", "use a-z, 0-9, _ and -, at most 32, a letter or _ first")
    boxes = judge.distinct("dane_mailboxes", boxes)
    reader = boxes[0] if boxes else "root"
    if postmaster is not None:
        if isinstance(postmaster, str) and postmaster in (*boxes, "root"):
            reader = str.__str__(postmaster)
        else:
            judge.say("dane_postmaster", f"{show(postmaster)} is neither among dane_mailboxes nor root",
                      did_you_mean(postmaster, [*boxes, "root"], "choose from"))
    return boxes, reader


def _make_users(judge: _Judge, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return value is not False
    judge.say("dane_make_users", f"{show(value)} is not a boolean", "write true or false")
    return True


def _targets(judge: _Judge, where: str, value: Any) -> list[str]:
    """Where mail goes on to: local names, and addresses with the domain in lower case."""
    targets = []
    for item in judge.items(where, value):
        if isinstance(item, str) and (_MAILBOX.fullmatch(item) or _ALIAS.fullmatch(item)):
            targets.append(str.__str__(item))
        elif isinstance(item, str) and re.fullmatch(r"[A-Za-z0-9_.+-]+@[^@]+", item):
            parts = judge.mail_address(where, item)
            targets += [f"{parts[0]}@{parts[1]}"] if parts else []
        else:
            judge.say(where, f"{show(item)} is neither a local name nor a mail address",
                      "name mailboxes, aliases and addresses such as peer@peer.example; no mail goes to programs, files and lists in files")
    if value is None or value == []:
        judge.say(where, "it has no targets", "list where its mail goes")
    if sum(len(target) + 2 for target in targets) > TARGETS_MAX:
        judge.say(where, f"its targets have more than {TARGETS_MAX} octets together", "put some of them behind an alias of their own")
    return judge.distinct(where, targets)


def _aliases(judge: _Judge, value: Any) -> dict[str, list[str]]:
    aliases: dict[str, list[str]] = {}
    for key, item in judge.table("dane_aliases", value).items():
        name = str.__str__(key).lower() if isinstance(key, str) and key.isascii() else ""
        if not _ALIAS.fullmatch(name):
            judge.say("dane_aliases", f"{show(key)} is not the name of an alias", "use a-z, 0-9 and _, with . and - between them, at most 63")
        elif name in OWN_ALIASES:
            judge.say(f"dane_aliases, alias {name}", "its mail goes to dane_postmaster", "delete it and set dane_postmaster")
        elif name in aliases:
            judge.say(f"dane_aliases, alias {name}", "it is there more than once", "keep one")
        else:
            aliases[name] = _targets(judge, f"dane_aliases, alias {name}", item)
    return aliases


def _virtual_users(judge: _Judge, value: Any) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for key, item in judge.table("dane_virtual_users", value).items():
        parts = judge.mail_address("dane_virtual_users", key)
        if parts is None:
            continue
        address = f"{parts[0].lower()}@{parts[1]}"
        where = f"dane_virtual_users, {address}"
        if not _ALIAS.fullmatch(parts[0].lower()):
            judge.say(where, "what stands before the @ is no name of a user", "use a-z, 0-9 and _, with . and - between them, at most 63")
        elif parts[0].lower() in OWN_ALIASES:
            judge.say(where, f"the mail of {parts[0].lower()} goes to dane_postmaster", "delete it and set dane_postmaster")
        elif address in users:
            judge.say(where, "it is there more than once", "keep one")
        else:
            users[address] = _targets(judge, where, item)
    return users


def _resolver(judge: _Judge, value: Any) -> dict[str, Any]:
    content = judge.mapping("dane_resolver", value, ("root_hints", "trust_anchors", "insecure_reverse"))
    hints = []
    for place, item in enumerate(judge.items("dane_resolver, root_hints", content.get("root_hints"))):
        where = f"dane_resolver, root_hints, item {place + 1}"
        hint = judge.mapping(where, item, ("name", "addresses"))
        name = judge.name(f"{where}, name", hint.get("name"), least=1)
        addresses = []
        for one in judge.items(f"{where}, addresses", hint.get("addresses")):
            address = judge.address(f"{where}, addresses", one, 6 if isinstance(one, str) and ":" in one else 4)
            if address:
                addresses.append(address)
        if not hint.get("addresses"):
            judge.say(where, "it has no addresses", "list the addresses of the root server")
        if name:
            hints.append({"name": f"{name}.", "addresses": judge.distinct(f"{where}, addresses", addresses)})
    anchors = []
    for item in judge.items("dane_resolver, trust_anchors", content.get("trust_anchors")):
        match = _ANCHOR.fullmatch(item.strip(" ")) if isinstance(item, str) and item.isascii() and len(item) <= 1000 else None
        if match is None:
            judge.say("dane_resolver, trust_anchors", f"{show(item)} is not a DS record", "write it as in: . IN DS 12345 13 2 and the digest")
            continue
        owner = "." if match.group(1) == "." else judge.name("dane_resolver, trust_anchors", match.group(1), least=1)
        data = _data(judge, "dane_resolver, trust_anchors", "DS", match.group(2).replace("\t", " "))
        if owner and data:
            anchors.append(f"{owner if owner == '.' else f'{owner}.'} IN DS {data}")
    insecure = content.get("insecure_reverse", False)
    if not isinstance(insecure, bool):
        judge.say("dane_resolver, insecure_reverse", f"{show(insecure)} is not a boolean", "write true or false")
    return {"root_hints": hints, "trust_anchors": judge.distinct("dane_resolver, trust_anchors", anchors), "insecure_reverse": insecure is True}


# default and least; seconds, but for the number of caches one behind the other
_POLICY = {"signature_validity": (2419200, 1), "signature_renewal": (604800, 1), "timer_interval": (21600, 1), "key_lifetime": (7776000, 0),
           "lead": (259200, 0), "session": (600, 0), "cache_floor": (300, 0), "cache_hops": (2, 1), "clock_margin": (60, 0),
           "fall_back": (90000, 0), "ns_ttl": (172800, 0), "signature_skew": (86400, 0), "highest_tlsa_ttl": (604800, 1)}


def _policy(judge: _Judge, value: Any) -> dict[str, Any]:
    content = judge.mapping("dane_policy", value, [*_POLICY, "retire_after", "scheme"])
    policy: dict[str, Any] = {}
    for key, (default, least) in _POLICY.items():
        most = 16 if key == "cache_hops" else SECONDS_MAX
        never = key == "key_lifetime" and content.get(key) == "never"
        policy[key] = None if never else judge.integer(f"dane_policy, {key}", content.get(key), least, most, default)
    after = content.get("retire_after")
    policy["retire_after"] = None if after is None else judge.integer("dane_policy, retire_after", after, 0, SECONDS_MAX, 0)
    policy["scheme"] = content.get("scheme") or "3 1 1"
    if not isinstance(policy["scheme"], str) or policy["scheme"] not in SCHEMES:
        judge.say("dane_policy, scheme", f"{show(policy['scheme'])} is not a scheme", "write 3 1 1, for records of keys, or 3 0 1, for records of certificates")
        policy["scheme"] = "3 1 1"
    return policy


def _verify(judge: _Judge, shared: Mapping[str, Any], hosts: Mapping[str, Host]) -> dict[str, str]:
    vantage, trusted = shared.get("dane_vantage", "localhost"), shared.get("dane_verify_ca", "")
    if not isinstance(vantage, str) or vantage not in (*hosts, "localhost"):
        judge.say("dane_vantage", f"host {show(vantage)} is not in the inventory", did_you_mean(vantage, [*sorted(hosts), "localhost"], "choose from"))
        vantage = "localhost"
    if not isinstance(trusted, str) or not (trusted == "" or _PATH.fullmatch(trusted)):
        judge.say("dane_verify_ca", f"{show(trusted)} is not a plain absolute path", "name a file with the CAs in PEM on the host dane_vantage")
        trusted = ""
    return {"vantage": vantage, "ca": trusted}


def _forget(judge: _Judge, value: Any) -> list[str]:
    owners = [value] if isinstance(value, str) else judge.items("dane_forget", value)
    for owner in owners:
        if not isinstance(owner, str) or not _TLSA_OWNER.fullmatch(owner):
            judge.say("dane_forget", f"{show(owner)} is not the owner of a TLSA record", "write it as in: _25._tcp.g.pyon.example.")
    return [owner for owner in owners if isinstance(owner, str)]


def _roll(judge: _Judge, value: Any, certificates: Mapping[str, Certificate]) -> list[str]:
    names = [value] if isinstance(value, str) else judge.items("dane_roll", value)
    for name in names:
        if name not in certificates:
            judge.say("dane_roll", f"there is no certificate {show(name)}", did_you_mean(name, sorted(certificates), "choose from"))
    return [name for name in names if isinstance(name, str)]


def _digests(judge: _Judge, where: str, value: Any, what: str, cure: str) -> list[str]:
    digests = [value] if isinstance(value, str) else judge.items(where, value)
    for digest in digests:
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            judge.say(where, f"{show(digest)} is not the SHA-256 of a {what}", cure)
    return [digest for digest in digests if isinstance(digest, str)]


def _flag(judge: _Judge, where: str, value: Any) -> bool:
    """A boolean of one run; by default false."""
    if isinstance(value, str) and value.lower() in ("true", "false"):  # -e dane_wait=true is text
        value = value.lower() == "true"
    if value is not None and not isinstance(value, bool):
        judge.say(where, f"{show(value)} is not a boolean", "write true or false")
    return value is True


def _redirects(judge: _Judge, value: Any) -> dict[str, str]:
    redirects: dict[str, str] = {}
    for key, target in judge.table("dane_redirects", value).items():
        name = judge.name("dane_redirects", key)
        where = f"dane_redirects, {name}"
        match = _TARGET.fullmatch(target) if isinstance(target, str) and len(target) <= 500 else None
        if name in redirects:
            judge.say("dane_redirects", f"{name} is there more than once", "keep one")
        if name and (match is None or int(match.group(3) or 443) not in range(1, 65536)):
            judge.say(where, f"{show(target)} is not a plain http or https URL",
                      "write one such as https://elsewhere.example/base, without user, query and fragment")
        elif name and match and judge.name(f"{where}, host of the target", match.group(2)):
            redirects[name] = str.__str__(target)
    return redirects


def _pop3(judge: _Judge, value: Any) -> dict[str, str]:
    """How mailboxes are read; empty where nobody asked for it."""
    if value is None:
        return {}
    content = judge.mapping("dane_pop3", value, ("tls", "password_file"))
    tls = judge.choice("dane_pop3, tls", content.get("tls", POP3_TLS[0]), POP3_TLS, "a way to use TLS")
    passwords = content.get("password_file", "")
    if not isinstance(passwords, str) or not (passwords == "" or _PATH.fullmatch(passwords)):
        judge.say("dane_pop3, password_file", f"{show(passwords)} is not a plain absolute path", "name a file on each mail host")
        passwords = ""
    return {"tls": tls or POP3_TLS[0], "password_file": str.__str__(passwords)}


def _unattended(judge: _Judge, value: Any, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """Which host runs renew.yml and verify.yml, and with what; empty where nobody asked for it."""
    if value is None:
        return {}
    content = judge.mapping("dane_unattended", value, UNATTENDED_KEYS)
    host = content.get("host")
    if not isinstance(host, str) or host not in hosts:
        judge.say("dane_unattended, host", f"host {show(host)} is not in the inventory", did_you_mean(host, sorted(hosts), "its hosts are"))
    elif host == "localhost" or len(host) > 253 or not _TOKEN.fullmatch(host):
        judge.say("dane_unattended, host", f"the inventory name {show(host)} does not tell the host from others",
                  "give it a name of its own, of a-z, 0-9, -, _ and .")
    mail = judge.mail_address("dane_unattended, mail", content.get("mail"))
    project = content.get("project", "")
    if not isinstance(project, str) or not (project == "" or re.fullmatch(r"/[ -~]{0,1000}", project)):
        judge.say("dane_unattended, project", f"{show(project)} is not an absolute path", "name the directory with your inventory on the controller")
    paths: dict[str, list[str]] = {}
    for key, default in (("inventory", ["inventory.yml"]), ("files", [])):
        where = f"dane_unattended, {key}"
        paths[key] = []
        for path in judge.items(where, content.get(key, default)):
            if isinstance(path, str) and len(path) <= 1000 and _INNER_PATH.fullmatch(path):
                paths[key].append(str.__str__(path))
            else:
                judge.say(where, f"{show(path)} is not a plain path inside the project",
                          "write one such as group_vars/all.yml, of letters, digits, ., _, - and /")
        paths[key] = judge.distinct(where, paths[key])
    if content.get("inventory") == []:
        judge.say("dane_unattended, inventory", "it is empty", "name the files of your inventory, relative to the project")
    vault = content.get("vault_password_file", "")
    if not isinstance(vault, str) or not (vault == "" or _PATH.fullmatch(vault)):
        judge.say("dane_unattended, vault_password_file", f"{show(vault)} is not a plain absolute path", "name a file on the host")
    sources = []
    for source in judge.items("dane_unattended, from", content.get("from")):
        try:
            if not isinstance(source, str) or not re.fullmatch(r"[0-9A-Fa-f:./]{2,50}", source):
                raise ValueError
            sources.append(str(ipaddress.ip_network(str.__str__(source))))
        except ValueError:
            judge.say("dane_unattended, from", f"{show(source)} is not an address or a network", "write one such as 198.51.100.5 or 2001:db8::/64")
    return {"host": host, "mail": "@".join(mail or ()), "interval": judge.integer("dane_unattended, interval", content.get("interval"), 1, SECONDS_MAX, 3600),
            "project": project, **paths, "vault_password_file": vault, "from": judge.distinct("dane_unattended, from", sources)}


# --- what follows from them ------------------------------------------------------------------------------------------

def _judge_mail(judge: _Judge, model: Model) -> None:
    for zone in model.zones.values():
        for name in zone.mx:
            where = f"{zone.where}, mx {name}"
            if model.zone_of(name) is None:
                judge.say(where, "it is outside every zone of dane_zones", "add its zone, or, if others keep the mail of this zone, write the MX in records")
            elif not model.presenting(name, "smtp"):
                judge.say(where, "no certificate of this name has the service smtp", "add smtp: 25 to the services of its certificate in dane_certificates")
            elif any(one.services["smtp"] != 25 for one in model.presenting(name, "smtp")):
                judge.say(where, "its smtp is not on port 25, where senders look for an MX", "set smtp: 25 in dane_certificates")
    taken: dict[str, list[Certificate]] = {}
    for one in model.certificates.values():
        for host in one.hosts if "smtp" in one.services else []:
            others = taken.setdefault(host, [])
            alike = [other for other in others if other.family() == one.family()]
            if alike:
                judge.say(one.where, f"host {host} already presents certificate {alike[0].name} on smtp, and a mail server has one certificate of"
                          " ECDSA and one of RSA at the most", "give the service smtp to one of them, with all names it needs in names")
            elif others and (set(others[0].names), others[0].services["smtp"]) != (set(one.names), one.services["smtp"]):
                judge.say(one.where, f"it has other names or another port for smtp than {others[0].name}, and the mail server of host {host} presents either"
                          " of them to anybody", "give both the same names and port")
            others.append(one)


def _judge_forwarding(judge: _Judge, model: Model) -> None:
    """Aliases and virtual users: each name is somebody's, and each way ends.  Where all else is right, or one mistake would have many sentences."""
    if judge.errors:
        return
    hosts = model.mail_hosts()
    domains = {domain for one in hosts.values() for domain in model.mail_domains(one)}
    ours = model.local_domains()
    names = {*model.mailboxes, *model.aliases, *OWN_ALIASES}
    goes: dict[str, list[str]] = {"postmaster": [model.postmaster], "mailer-daemon": ["postmaster"],
                                  "root": [model.postmaster] if model.postmaster != "root" else []}

    def local(target: str) -> str | None:
        """Which of our names gets the mail for `target`; "" where nobody does, None where it is for others."""
        user, domain = target.partition("@")[::2]
        if domain not in ours:
            return None
        if domain:
            user = user.lower()
            for address in (f"{user}@{domain}", f"{user.partition('+')[0]}@{domain}"):
                if address in model.virtual_users:
                    return address
            user = user.partition("+")[0]
        return user if user in names else ""

    for where, ways in (("dane_aliases, alias ", model.aliases), ("dane_virtual_users, ", model.virtual_users)):
        for start, targets in ways.items():
            goes[start] = []
            domain = start.partition("@")[2]
            if domain and domain not in domains:
                judge.say(f"{where}{start}", f"{domain} is none of our mail domains", did_you_mean(domain, sorted(domains), "they are"))
            for target in targets:
                found = local(target)
                if found == "":
                    what = "address" if "@" in target else "mailbox or alias"
                    judge.say(f"{where}{start}", f"there is no {what} {target}", did_you_mean(target, sorted({*names, *model.virtual_users}), "there are"))
                elif found and not (found == target == start and start in model.mailboxes):  # that keeps a copy in the mailbox
                    goes[start].append(found)
    _judge_ways(judge, goes)


def _judge_ways(judge: _Judge, goes: dict[str, list[str]]) -> None:
    """No way from name to name comes back to where it was or is too long."""
    comes: dict[str, list[str]] = {}
    for start, ends in goes.items():
        for end in ends:
            comes.setdefault(end, []).append(start)
    left = {start: len(ends) for start, ends in goes.items()}  # ends whose own ways are not known yet
    steps: dict[str, int] = {}
    known = [name for name in {*goes, *comes} if not left.get(name)]
    while known:
        name = known.pop()
        steps[name] = 1 + max((steps[end] for end in goes.get(name, [])), default=-1)
        if steps[name] == STEPS_MAX + 1:
            judge.say(f"the mail of {name}", f"it passes through more than {STEPS_MAX} names until it is there", "name the last of them at once")
        for start in comes.get(name, []):
            left[start] -= 1
            if not left[start]:
                known.append(start)
    while rest := {name for name in goes if name not in steps}:
        way = [min(rest)]
        while way[-1] not in way[:-1]:
            way.append(min(end for end in goes[way[-1]] if end not in steps))
        loop = way[way.index(way[-1]):-1]
        first = loop.index(min(loop))
        loop = [*loop[first:], *loop[:first]]
        judge.say("dane_virtual_users" if "@" in loop[0] else "dane_aliases", f"mail goes round from {' to '.join([*loop, loop[0]])}",
                  "take one of these targets out")
        steps.update(dict.fromkeys({*way}, 0))
        # what only leads to a loop is no loop of its own
        leading = list(way)
        while leading:
            for start in comes.get(leading.pop(), []):
                if start not in steps:
                    steps[start] = 0
                    leading.append(start)


def _judge_endpoints(judge: _Judge, model: Model) -> None:
    """Each name and port: inside a zone, one certificate of a family, and presented at every address of the name."""
    seen: dict[tuple[str, str, int, str], Certificate] = {}
    ports: dict[tuple[str, int], tuple[str, Certificate]] = {}
    for one in model.certificates.values():
        for name in one.names:
            if model.zone_of(name) is None:
                judge.say(f"{one.where}, names", f"{name} is outside every zone of dane_zones", did_you_mean(name, model.zones, "the zones are"))
        for host in one.hosts:
            for service, port in one.services.items():
                other = ports.setdefault((host, port), (service, one))
                if other[0] != service:
                    judge.say(one.where, f"port {port} of host {host} is wanted by {service} and by {other[0]} of certificate {other[1].name}",
                              "give one of them another port")
                for name in one.names:
                    first = seen.setdefault((host, name, port, one.family()), one)
                    if first is not one:
                        judge.say(one.where, f"certificate {first.name} is {one.family().upper()} too for {name} port {port} on host {host}",
                                  "delete one, or give one of them an algorithm of the other kind")
    for name, several in model.named_hosts().items():
        hosts = set(several)
        if name in model.hosts and model.hosts[name].addressed() and hosts - {name}:
            judge.say(f"dane_certificates, name {name}", f"it is host {name} itself, but {', '.join(sorted(hosts - {name}))} would answer for it too",
                      "use another name for what several or other hosts serve")
        by_port: dict[int, set[str]] = {}
        for one in model.certificates.values():
            for port in one.services.values() if name in one.names else []:
                by_port.setdefault(port, set()).update(one.hosts)
        for port, there in sorted(by_port.items()):
            if hosts - there:
                judge.say(f"dane_certificates, name {name}", f"port {port} is presented by {', '.join(sorted(there))} alone, but the name has the addresses of "
                          f"{', '.join(sorted(hosts - there))} too", "give all certificates of a name the same hosts, or use two names")
        for host in several if len(several) > 1 and model.zone_of(name) else []:  # where the CA finds the token, whichever of them it asks
            if not is_host_name(host) or model.zone_of(host) is None:
                judge.say(f"dane_certificates, name {name}", f"host {host}, one of several, has no name of its own to which the others could send the CA",
                          "let its inventory name lie in a zone of dane_zones")


def _judge_redirects(judge: _Judge, model: Model) -> None:
    """Each name is one of ours with https, and nobody is sent round in a circle."""
    ports = {name: {one.services["https"] for one in model.presenting(name, "https")} for name in model.redirects}
    known = [name for one in model.certificates.values() if "https" in one.services for name in one.names]
    for name in model.redirects:
        if not ports[name]:
            judge.say(f"dane_redirects, {name}", "no certificate of this name has the service https", did_you_mean(name, known, "the names with https are"))

    def following(name: str) -> str | None:
        """The name of the model to which `name` sends, where apache sends on."""
        target = urlsplit(model.redirects[name])
        host = (target.hostname or "").removesuffix(".")
        port = target.port or (443 if target.scheme == "https" else 80)
        return host if host in ports and port in ports[host] | {80} else None

    circles: set[str] = set()
    for name in sorted(model.redirects):
        way = [name]
        while (after := following(way[-1])) is not None and after not in way:
            way.append(after)
        if after == name and name not in circles:
            judge.say(f"dane_redirects, {name}", f"it leads back to itself ({' -> '.join([*way, name])})", "send one of them elsewhere or delete it")
            circles.update(way)


def _addresses(model: Model) -> dict[str, tuple[list[str], list[str], str]]:
    """name: (IPv4, IPv6, why) of every name whose addresses follow from the model."""
    found: dict[str, tuple[set[str], set[str], str]] = {}

    def add(name: str, host: Host, why: str) -> None:
        entry = found.setdefault(name, (set(), set(), why))
        entry[0].update(host.ipv4)
        entry[1].update(host.ipv6)

    for host in model.hosts.values():
        if host.addressed() and is_host_name(host.name) and model.zone_of(host.name):
            add(host.name, host, f"host {host.name}")
    for one in model.certificates.values():
        for name in one.names:
            for member in one.hosts:
                add(name, model.hosts[member], f"certificate {one.name}")
    return {name: (_sorted(four), _sorted(six), why) for name, (four, six, why) in sorted(found.items())}


def _sorted(addresses: Iterable[str]) -> list[str]:
    return sorted(set(addresses), key=lambda text: int(ipaddress.ip_address(text)))


def _make_records(judge: _Judge, model: Model, zone: Zone) -> None:
    """NS, addresses, MX, delegations to other zones of the model and mail policy; then the operator's own."""
    made: list[Record] = []

    def add(owner: str, kind: str, data: str, source: str, into: list[Record] | None = None) -> None:
        if len(owner) > 253:
            judge.say(zone.where, f"the name {show(owner)}, which follows from {source}, has {len(owner)} octets",
                      "a name has at most 253, so shorten the name it is made of")
        (made if into is None else into).append(Record(owner, zone.ttl, kind, data, source))

    for host in zone.servers():
        add(zone.name, "NS", f"{host}.", f"name server {host}")
    addresses = _addresses(model)
    for name, (ipv4, ipv6, why) in addresses.items():
        if model.zone_of(name) is zone:
            for kind, values in (("A", ipv4), ("AAAA", ipv6)):
                for value in values:
                    add(name, kind, value, why)
    for name, preference in sorted(zone.mx.items(), key=lambda item: (item[1], item[0])):
        add(zone.name, "MX", f"{preference} {name}.", f"mx {name}")
    for child in sorted(model.zones.values(), key=lambda other: other.name):
        if child is zone or model.zone_of(child.name.partition(".")[2]) is not zone:
            continue
        for host in child.servers():
            add(child.name, "NS", f"{host}.", f"zone {child.name}")
            for kind, values in (("A", model.hosts[host].ipv4), ("AAAA", model.hosts[host].ipv6)):
                for value in _sorted(values) if _below(host, child.name) else []:
                    add(host, kind, value, f"zone {child.name}")
    mail_names = {name for other in model.zones.values() for name in other.mx}
    mail_names.update(model.mail_name(one) for one in model.certificates.values() if "smtp" in one.services)
    terms = zone.spf or (["mx", "-all"] if zone.all_mx() else ["a", "-all"] if zone.name in mail_names else ["-all"])
    add(zone.name, "TXT", quote(" ".join(["v=spf1", *terms])), "spf", zone.mail_records)
    for name in sorted(mail_names - {zone.name}):
        if model.zone_of(name) is zone:
            add(name, "TXT", quote("v=spf1 a -all"), f"the mail server {name}", zone.mail_records)
    tags = "; ".join(["v=DMARC1", *(f"{tag}={value}" for tag, value in zone.dmarc.items())])
    add(f"_dmarc.{zone.name}", "TXT", quote(tags), "dmarc", zone.mail_records)
    zone.records = [*made, *zone.own]


def _tlsa_owners(model: Model, zone: Zone) -> list[dict[str, Any]]:
    owners: dict[str, list[dict[str, Any]]] = {}
    for one in model.certificates.values():
        for name in one.names:
            if model.zone_of(name) is zone:
                for service, port in one.services.items():
                    backends = owners.setdefault(f"_{port}._tcp.{name}.", [])
                    backends += [{"host": host, "certificate": one.name, "service": service, "port": port} for host in one.hosts]
    return [{"owner": owner, "backends": sorted(owners[owner], key=lambda one: (one["host"], one["certificate"]))} for owner in sorted(owners)]


def _names(model: Model, zone: Zone) -> list[dict[str, Any]]:
    """The names of certificates in `zone`, and the hosts whose addresses each is to have."""
    return [{"name": f"{name}.", "hosts": [{"host": host, "addresses": _sorted([*model.hosts[host].ipv4, *model.hosts[host].ipv6])} for host in hosts]}
            for name, hosts in model.named_hosts().items() if model.zone_of(name) is zone]


def _challenges(model: Model, host: str) -> list[dict[str, str]]:
    """Where `host` sends the CA for a token that it lacks, for each name that it has with others.

    The way leads by the hosts' own names through all of them in their order, so it ends.
    """
    shared = [(name, [other for other in hosts if other != host]) for name, hosts in model.named_hosts().items() if host in hosts and len(hosts) > 1]
    return [{"name": name, "own": host, "first": others[0], "next": next((other for other in others if other > host), "")} for name, others in shared]


def _judge_records(judge: _Judge, model: Model, zone: Zone) -> None:
    """The operator's records beside each other and beside what follows from the model."""
    tlsa = {entry["owner"][:-1] for entry in _tlsa_owners(model, zone)}
    for owner in sorted(tlsa):
        if len(owner) > 253:
            judge.say(zone.where, f"the TLSA owner {show(owner)} has {len(owner)} octets", "a name has at most 253, so shorten the certificate's name")
    made = [*(record for record in zone.records if not record.own), *zone.mail_records,
            *(Record(owner, zone.tlsa_ttl, "TLSA", "", "dane_certificates") for owner in tlsa)]
    made_at: dict[str, dict[str, Record]] = {}
    for record in made:
        made_at.setdefault(record.owner, {}).setdefault(record.type, record)
    _judge_own(judge, zone, made_at)
    _judge_cname(judge, model, zone, made_at)
    _judge_delegations(judge, zone, made)
    ttls: dict[tuple[str, str], Record] = {}
    for record in [*made, *zone.own]:
        first = ttls.setdefault((record.owner, record.type), record)
        if first.ttl != record.ttl:
            judge.say(record.source, f"its ttl {record.ttl} differs from {first.ttl} of the other {record.type} records at {record.owner}",
                      "records of one name and type have one ttl (RFC 2181 section 5.2)")
    for record in zone.own:  # a name that mail or service goes to must not be an alias (RFC 2181 section 10.3)
        if record.type in ("MX", "SRV", "NS"):
            target = record.data.split()[-1].rstrip(".")
            if any(other.type == "CNAME" and other.owner == target for every in model.zones.values() for other in every.own):
                judge.say(record.source, f"its target {target} is a CNAME", "name the host itself")


def _judge_own(judge: _Judge, zone: Zone, made_at: dict[str, dict[str, Record]]) -> None:
    seen: set[tuple[str, str, str]] = set()
    policies: set[tuple[str, str]] = set()
    delegated = {record.owner for record in zone.own if record.type == "NS"} | {owner for owner, kinds in made_at.items() if "NS" in kinds}
    for record in zone.own:
        made = made_at.get(record.owner, {})
        if (record.owner, record.type, record.data) in seen:
            judge.say(record.source, "the same record is there twice", "keep one")
        seen.add((record.owner, record.type, record.data))
        if record.type in ("A", "AAAA") and ("A" in made or "AAAA" in made):
            maker = made.get("A") or made["AAAA"]
            judge.say(record.source, f"the addresses of {record.owner} follow from {maker.source}",
                      "delete the record, because dane_ipv4 and dane_ipv6 of the host say them")
        elif record.type == "NS" and "NS" in made:
            judge.say(record.source, f"the NS records of {record.owner} follow from primary and secondaries of that zone", "delete the record")
        elif record.type == "MX" and "MX" in made:
            judge.say(record.source, f"the MX records of {record.owner} follow from mx", "move it to mx")
        elif record.type == "DS" and (record.owner == zone.name or record.owner not in delegated):
            judge.say(record.source, f"a DS belongs where a parent delegates a child, which {zone.name} does not do at {record.owner}",
                      "put it into the parent zone, beside the NS records of the child")
        if record.type == "TXT":
            for start, key in (('"v=spf1', "spf"), ('"v=dmarc1', "dmarc")):
                if not record.data.lower().startswith(start):
                    continue
                if key == "spf" and "TXT" in made or key == "dmarc" and record.owner == f"_dmarc.{zone.name}":
                    judge.say(record.source, f"the {key.upper()} record of {record.owner} follows from the model",
                              f"delete it and set {key} of the zone" if record.owner in (zone.name, f"_dmarc.{zone.name}") else "delete it")
                elif (record.owner, key) in policies:
                    judge.say(record.source, f"{record.owner} has more than one {key.upper()} record, so receivers use none", "keep one")
                policies.add((record.owner, key))


def _judge_cname(judge: _Judge, model: Model, zone: Zone, made_at: dict[str, dict[str, Record]]) -> None:
    mail_names = {name for other in model.zones.values() for name in other.mx}
    for record in zone.own:
        if record.type != "CNAME":
            continue
        others = [other for other in zone.own if other.owner == record.owner and other is not record]
        made = made_at.get(record.owner, {})
        if record.owner == zone.name:
            judge.say(record.source, f"a CNAME at the apex of {zone.name} stands beside its SOA and NS", "write A and AAAA, or use a certificate name")
        elif record.owner in mail_names:
            judge.say(record.source, f"{record.owner} is an MX, which must not be a CNAME (RFC 2181 section 10.3)", "delete the CNAME")
        elif made:
            first = next(iter(made.values()))
            judge.say(record.source, f"a CNAME cannot stand beside the {first.type} that follows from {first.source}", "delete it or rename it")
        elif others:
            more = "another CNAME" if others[0].type == "CNAME" else f"{others[0].type} of the same name"
            judge.say(f"{zone.where}, records, name {record.owner}", f"a CNAME cannot stand beside {more}", "keep one of them")


def _judge_delegations(judge: _Judge, zone: Zone, made: list[Record]) -> None:
    """Below a delegation there is only glue: what else is there is the child's to say."""
    everything = [*made, *zone.own]
    children: dict[str, set[str]] = {}
    for record in everything:
        if record.type == "NS" and record.owner != zone.name:
            children.setdefault(record.owner, set()).add(record.data.rstrip("."))
    for record in everything:
        labels = record.owner.split(".")
        top = next((child for start in reversed(range(len(labels))) if (child := ".".join(labels[start:])) in children), None)
        if top is None or record.owner == top and record.type in ("NS", "DS"):
            continue
        if record.type in ("A", "AAAA") and record.owner in children[top]:
            continue
        where = record.source if record.own else f"{zone.where}, {record.type} of {record.owner}, which follows from {record.source}"
        judge.say(where, f"the name lies in {top}, which {zone.name} delegates to others", "move it to that zone, or delete the NS records of it")


def _server_ttl(model: Model, zone: Zone) -> int:
    """The highest TTL with which zones of the model say which name servers `zone` has, and where these are."""
    return max((record.ttl for other in model.zones.values() for record in other.records
                if (record.owner, record.type) == (zone.name, "NS") or record.owner in zone.servers() and record.type in ("A", "AAAA")), default=0)


def _judge_policy(judge: _Judge, model: Model) -> None:
    validity, renewal, interval = (model.policy[key] for key in ("signature_validity", "signature_renewal", "timer_interval"))
    left = validity - renewal - interval  # of the oldest signature that the timer can leave
    for zone in model.zones.values():
        highest = max([zone.ttl, zone.tlsa_ttl, *(record.ttl for record in zone.own)])
        if left <= zone.expire + highest:
            judge.say("dane_policy", f"signature_validity {validity} - signature_renewal {renewal} - timer_interval {interval} = {left} seconds must exceed "
                      f"expire {zone.expire} + highest ttl {highest} = {zone.expire + highest} of zone {zone.name}",
                      "raise signature_validity, or lower signature_renewal, timer_interval, expire or the ttl")
        lifetime, fall_back, lead = (model.policy[key] for key in ("key_lifetime", "fall_back", "lead"))
        skew, held = model.policy["signature_skew"], hold(zone.tlsa_ttl, make_rules(model.policy).caches)
        served, why = (validity + skew, f"signature_validity {validity} + signature_skew {skew}") if zone.anycast else (fall_back, f"fall_back {fall_back}")
        wait = served + held + lead  # at the least, from a key's publication to its use
        if lifetime and lifetime <= wait:
            judge.say("dane_policy", f"key_lifetime {lifetime} seconds is not more than the {wait} that a new key of zone {zone.name} has to wait"
                      f" ({why} + hold {held} for the TTL {zone.tlsa_ttl} + lead {lead})",
                      "raise key_lifetime, or write never or 0")
        if not _tlsa_owners(model, zone):
            continue  # there is no key that has to match what caches hold of it
        ns_ttl, highest_tlsa_ttl, server_ttl = model.policy["ns_ttl"], model.policy["highest_tlsa_ttl"], _server_ttl(model, zone)
        if ns_ttl < server_ttl:
            judge.say("dane_policy", f"ns_ttl {ns_ttl} seconds is less than the TTL {server_ttl} of the name servers of zone {zone.name},"
                      " for which caches may ask one that was removed", f"raise ns_ttl to {server_ttl} or more")
        if highest_tlsa_ttl < zone.tlsa_ttl:
            judge.say("dane_policy", f"highest_tlsa_ttl {highest_tlsa_ttl} seconds is less than the tlsa_ttl {zone.tlsa_ttl} of zone {zone.name},"
                      " for which caches may hold records of which nothing is on record", f"raise highest_tlsa_ttl to {zone.tlsa_ttl} or more")


def judge_model(variables: Mapping[str, Mapping[str, Any]]) -> Model:
    """The model that `variables` describe: {inventory host: its variables}; those without dane_ in front are not looked at.

    Raises DaneError with one sentence a line, at most ERRORS_SHOWN of them.
    """
    judge = _Judge()
    content = {plain(host): {key: plain(value) for key, value in entries.items() if isinstance(key, str) and key.startswith("dane_")}
               for host, entries in variables.items()}
    shared = _shared(judge, content)
    hosts = _hosts(judge, content)
    zones = {}
    for key, value in judge.table("dane_zones", shared.get("dane_zones")).items():
        name = judge.name("dane_zones", key)
        if name in zones:
            judge.say("dane_zones", f"zone {name} is there more than once", "keep one")
        elif name:
            zones[name] = _zone(judge, name, value, hosts, content)
    if not shared.get("dane_zones"):
        judge.say("dane_zones", "no host of the inventory has a zone", "define dane_zones for the group all")
    certificates: dict[str, Certificate] = {}
    for key, value in judge.table("dane_certificates", shared.get("dane_certificates")).items():
        certificate = _certificate(judge, key, value, hosts, content)
        if certificate and certificate.name in certificates:
            judge.say("dane_certificates", f"certificate {certificate.name} is there more than once", "keep one")
        elif certificate:
            certificates[certificate.name] = certificate
    mailboxes, postmaster = _mailboxes(judge, shared.get("dane_mailboxes"), shared.get("dane_postmaster"))
    model = Model(hosts, zones, certificates, _acme(judge, shared.get("dane_acme")), mailboxes, _make_users(judge, shared.get("dane_make_users")),
                  postmaster, _aliases(judge, shared.get("dane_aliases")), _virtual_users(judge, shared.get("dane_virtual_users")),
                  _resolver(judge, shared.get("dane_resolver")), _policy(judge, shared.get("dane_policy")),
                  _verify(judge, shared, hosts), _forget(judge, shared.get("dane_forget")),
                  _roll(judge, shared.get("dane_roll"), certificates),
                  _digests(judge, "dane_compromised", shared.get("dane_compromised"), "key",
                           "give the 64 hexadecimal digits of its 3 1 1 record, in lower case"),
                  _flag(judge, "dane_revoke_now", shared.get("dane_revoke_now")),
                  _digests(judge, "dane_revoked", shared.get("dane_revoked"), "certificate",
                           "give its 64 hexadecimal digits, in lower case and without colons"),
                  _flag(judge, "dane_wait", shared.get("dane_wait")),
                  _redirects(judge, shared.get("dane_redirects")), _pop3(judge, shared.get("dane_pop3")),
                  _unattended(judge, shared.get("dane_unattended"), hosts))
    _judge_mail(judge, model)
    _judge_forwarding(judge, model)
    _judge_endpoints(judge, model)
    _judge_redirects(judge, model)
    for zone in model.zones.values():
        _make_records(judge, model, zone)
    for zone in model.zones.values():
        _judge_records(judge, model, zone)
    _judge_policy(judge, model)
    judge.end()
    return model


# --- the slice -------------------------------------------------------------------------------------------------------

def _primary_zone(model: Model, zone: Zone) -> dict[str, Any]:
    refresh = min(3600, zone.expire // 4)
    return {
        "name": zone.name, "ttl": zone.ttl, "tlsa_ttl": zone.tlsa_ttl, "serial": zone.serial,
        "soa": {"mname": f"{zone.primary}.", "rname": zone.rname, "refresh": refresh, "retry": max(1, refresh // 4),
                "expire": zone.expire, "minimum": min(zone.ttl, 300)},
        "records": [record.brief() for record in zone.records],
        "mail_records": [record.brief() for record in zone.mail_records],
        "secondaries": [model.hosts[host].brief() for host in zone.secondaries],
        "anycast": list(zone.anycast),
        "tlsa_owners": _tlsa_owners(model, zone),
        "names": _names(model, zone),
    }


def _wanted(model: Model, zone: Zone) -> dict[str, Any]:
    endpoints: dict[tuple[str, int], dict[str, Any]] = {}
    for one in model.certificates.values():
        for name in one.names:
            for service, port in one.services.items() if model.zone_of(name) is zone else []:
                entry = endpoints.setdefault((name, port), {"name": name, "service": service, "port": port, "owner": f"_{port}._tcp.{name}.",
                                                            "ipv4": [], "ipv6": [], "pair": []})
                pairs = [model.hosts[host] for host in one.hosts if model.beside(host, one, name, service)]
                entry["pair"] = _sorted([*entry["pair"], *(address for host in pairs for address in [*host.ipv4, *host.ipv6])])
                for family in ("ipv4", "ipv6"):
                    entry[family] = _sorted([*entry[family], *(address for host in one.hosts for address in getattr(model.hosts[host], family))])
    return {
        "zone": zone.name,
        "name_servers": [{"name": host, "ipv4": list(model.hosts[host].ipv4), "ipv6": list(model.hosts[host].ipv6)} for host in zone.servers()],
        "mx": [{"name": name, "preference": preference} for name, preference in zone.all_mx()],
        "endpoints": [endpoints[key] for key in sorted(endpoints)],
    }


def _mail(model: Model, host: str) -> dict[str, Any]:
    one = model.mail_hosts().get(host)
    if one is None:
        return {}
    name = model.mail_name(one)
    domains = model.mail_domains(one)
    zone = model.zone_of(name)
    masked = zone is not None and name in zone.mx and name != zone.name and zone.dmarc.get("aspf") != "s"
    virtual = {address: list(targets) for address, targets in model.virtual_users.items() if address.partition("@")[2] in domains}
    ours = model.local_domains()
    rsa = model.beside(host, one, name, "smtp")
    return {"name": name, "certificate": one.name, "rsa_certificate": rsa.name if rsa else "", "port": one.services["smtp"], "domains": sorted(domains),
            "masquerade": zone.name if zone and masked else "",
            "mailboxes": list(model.mailboxes), "make_users": model.make_users, "postmaster": model.postmaster,
            "aliases": {name: list(targets) for name, targets in model.aliases.items()}, "virtual_users": virtual,
            "forwards": sorted(start for start, targets in {**model.aliases, **virtual}.items() if {to.partition("@")[2] for to in targets} - ours)}


def _unattended_slice(model: Model, host: str) -> dict[str, Any]:
    """For the host that works unattended, and for those that renew.yml and verify.yml log in to from there."""
    by = model.unattended.get("host", "")
    if host == by:
        return {"unattended": {**copy.deepcopy(model.unattended), "manages_itself": host in model.renewed()}, "unattended_by": ""}
    reached = host in model.renewed() or host == model.verify["vantage"] != "localhost"
    return {"unattended": {}, "unattended_by": by if reached else ""}


def slice_of(model: Model, host: str) -> dict[str, Any]:
    """What concerns `host`, in the shape of docs/model.md; empty lists for one that has no part in the model."""
    this = model.hosts.get(host, Host(host, [], []))
    mine = [one for name, one in sorted(model.certificates.items()) if host in one.hosts]
    zones = [zone for name, zone in sorted(model.zones.items())]
    return {
        "schema": SCHEMA, "host": host, "ipv4": list(this.ipv4), "ipv6": list(this.ipv6),
        "policy": dict(model.policy), "acme": dict(model.acme),
        "resolver": {"root_hints": [dict(hint) for hint in model.resolver["root_hints"]],
                     "trust_anchors": list(model.resolver["trust_anchors"]), "insecure_reverse": model.resolver["insecure_reverse"]},
        "primary_zones": [_primary_zone(model, zone) for zone in zones if zone.primary == host],
        "secondary_zones": [{"name": zone.name, "primary": model.hosts[zone.primary].brief()} for zone in zones if host in zone.secondaries],
        "certificates": [{"name": one.name, "names": list(one.names), "algorithm": one.algorithm,
                          "services": [{"service": service, "port": port, "name": name}
                                       for service, port in sorted(one.services.items()) for name in one.names]} for one in mine],
        "web": [{"name": name, "certificate": one.name, "rsa_certificate": beside.name if beside else "", "port": one.services["https"],
                 "redirect": model.redirects.get(name, "")}
                for one in mine if "https" in one.services for name in one.names
                if not (beside := model.beside(host, one, name, "https")) or one.family() == "ecdsa"],
        "challenges": _challenges(model, host),
        "mail": _mail(model, host),
        "pop3": dict(model.pop3) if any("smtp" in one.services for one in mine) else {},
        "verify": dict(model.verify),
        **_unattended_slice(model, host),
        "forget": list(model.forget), "roll": list(model.roll), "compromised": list(model.compromised), "revoke_now": model.revoke_now,
        "revoked": list(model.revoked), "wait": model.wait,
        "zones": [zone.name for zone in zones],
        "wanted": [_wanted(model, zone) for zone in zones],
    }
