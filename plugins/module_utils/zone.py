# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone text: names, quoting, flattening, serials (RFC 1035 section 5, RFC 1982).

Every value is taken for hostile.  Zone text is made only of tokens that were judged here.
"""
from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any

from .errors import DaneError
from .files import read_file

SERIAL_BITS = 1 << 32
SERIAL_HALF = 1 << 31
TTL_MAX = (1 << 31) - 1  # RFC 2181 section 8
INCLUDES = ("mail.inc", "tlsa.inc", "records.inc")

# What an operator may write.  SOA and the types of DNSSEC are ours.
TYPES = frozenset("A AAAA CAA CDNSKEY CDS CNAME DNAME DS HINFO HTTPS LOC MX NAPTR NS OPENPGPKEY PTR RP SMIMEA SRV SSHFP SVCB TLSA TXT URI".split())
_NUMBERED_TYPE = re.compile(r"TYPE[1-9][0-9]{0,4}\Z")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 section 2.1, lower case
# One token of presentation data: a quoted string, or characters that mean nothing special to a zone parser.
_TOKEN = re.compile(r'"((?:[^"\\\x00-\x1f\x7f-\U0010ffff]|\\[\x21-\x2f\x3a-\x7e]|\\[0-9]{3})*)"|([^\s"();\x00-\x20\x7f-\U0010ffff]+)')
_ESCAPE = re.compile(r"\\(?:([0-9]{3})|.)")
# Where the names are among the tokens, by type; all others are judged by the programs that read the zone.
_NAME_AT = {"NS": (0, 1), "CNAME": (0, 1), "DNAME": (0, 1), "PTR": (0, 1), "MX": (1, 2), "SRV": (3, 4)}


def absolute(value: object, what: str, wildcard: bool = False) -> str:
    """`value` as a lower-case absolute name with its final dot; `what` names it in the error.

    Labels are letters, digits, "-" and "_", 1 to 63 octets; the name at most 253 without the final dot (RFC 1035
    section 2.3.4); "*" only as the first label where `wildcard` says so (RFC 4592).
    """
    text = value.lower() if isinstance(value, str) else ""
    labels = text.removesuffix(".").split(".")
    judged = labels[1:] if wildcard and labels[0] == "*" and len(labels) > 1 else labels
    if len(text.removesuffix(".")) > 253 or not all(LABEL.fullmatch(label) for label in judged):
        raise DaneError(f"{what} {value!r} is not a domain name; write labels of letters, digits and hyphens, at most 63 octets each "
                        f"and 253 in all")
    return ".".join(labels) + "."


def is_host_name(text: str) -> bool:
    """Whether `text` is a host name in lower case without the final dot; one label will do."""
    return len(text) <= 253 and all(HOST_LABEL.fullmatch(label) for label in text.split("."))


def number(value: object, what: str, lowest: int = 0, highest: int = TTL_MAX) -> int:
    """`value` as a whole number from `lowest` to `highest`; `what` names it in the error."""
    digits = re.fullmatch(r"[0-9]{1,10}", value) if isinstance(value, str) else None
    result = int(digits[0]) if digits else value
    if isinstance(result, bool) or not isinstance(result, int) or not lowest <= result <= highest:
        raise DaneError(f"{what} {value!r} is not a whole number from {lowest} to {highest}; correct it")
    return int(result)


def address(value: object, what: str, version: int | None = None) -> str:
    """`value` as an IP address (of `version` 4 or 6) in its usual form; `what` names it in the error."""
    try:
        result = ipaddress.ip_address(str(value))
        if isinstance(value, (str, ipaddress.IPv4Address, ipaddress.IPv6Address)) and version in (None, result.version) \
                and "%" not in str(result):
            return str(result)
    except ValueError:
        pass
    raise DaneError(f"{what} {value!r} is not an IP{'v%d' % version if version else ''} address; write one")


def quote(value: str) -> str:
    """`value` as the quoted strings of one TXT record, split at 255 octets (RFC 7208 section 3.3: joined without a space)."""
    data = value.encode()
    strings = [data[start:start + 255] for start in range(0, len(data), 255)] or [b""]
    return " ".join('"' + "".join(_quoted(octet) for octet in string) + '"' for string in strings)


def _quoted(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7f else f"\\{octet:03d}"


def tokens(data: object, what: str) -> list[str]:
    """The tokens of the presentation form `data` (RFC 1035 section 5.1), quoted ones with their quotes.

    Newlines, control characters, comments, parentheses, open quotes and strings over 255 octets are errors.
    """
    cure = "write one line of printable ASCII, with text in double quotes, each of at most 255 octets"
    if not isinstance(data, str):
        raise DaneError(f"{what}: the data {data!r} is not text; {cure}")
    result: list[str] = []
    position = 0
    while position < len(data):
        if data[position] == " ":
            position += 1
            continue
        found = _TOKEN.match(data, position)
        end = found.end() if found else 0
        if not found or (end < len(data) and data[end] != " "):
            raise DaneError(f"{what}: the data {data!r} cannot be read at character {position + 1}; {cure}")
        content = found[1] if found[1] is not None else found[2]
        if any(digits and int(digits) > 255 for digits in _ESCAPE.findall(content)) or re.search(r"(?<!\\)(?:\\\\)*\\\Z", content):
            raise DaneError(f"{what}: the data {data!r} has a bad escape; {cure}")
        if found[1] is not None and len(_ESCAPE.sub("x", content)) > 255:
            raise DaneError(f"{what}: the data has a string over 255 octets; {cure}")
        result.append(found[0])
        position = end
    if not result:
        raise DaneError(f"{what}: the data is empty; {cure}")
    return result


def _record(zone: str, default_ttl: int, raw: Mapping[str, Any]) -> dict[str, Any]:
    owner = absolute(raw.get("owner"), f"zone {zone}: the owner", wildcard=True)
    if owner != f"{zone}." and not owner.endswith(f".{zone}."):
        raise DaneError(f"zone {zone}: the owner {owner} is outside the zone; put the record into its own zone")
    kind = str(raw.get("type", "")).upper()
    what = f"zone {zone}: {owner} {kind}"
    if kind not in TYPES and not _NUMBERED_TYPE.match(kind):
        raise DaneError(f"zone {zone}: {owner} has the type {raw.get('type')!r}, which cannot be written here; use one of {', '.join(sorted(TYPES))}")
    ttl = number(raw.get("ttl", default_ttl), f"{what}: the TTL")
    words = tokens(raw.get("data"), what)
    if kind in ("A", "AAAA"):
        words = [address(" ".join(words), what, 4 if kind == "A" else 6)]
    elif kind in _NAME_AT:
        first, count = _NAME_AT[kind]
        if len(words) != count:
            raise DaneError(f"{what}: the data {raw.get('data')!r} has {len(words)} fields; write {count}")
        if words[first] not in (".", "@"):
            judged = absolute(words[first], f"{what}: the name")
            words[first] = judged if words[first].endswith(".") else judged[:-1]
    elif kind == "TXT" and not all(word.startswith('"') for word in words):
        words = [word if word.startswith('"') else f'"{word}"' for word in words]
    return {"owner": owner, "ttl": ttl, "type": kind, "data": " ".join(words)}


def checked(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The zone `raw` (shape: `primary_zones` of the slice, plus `tlsa`) with every value judged, ready for a template.

    `tlsa` is a list of `{owner, ttl, records}`; the result has them as records like all others.  Raises DaneError that
    names the zone, the owner and the cure.
    """
    name = absolute(raw.get("name"), "the zone name")[:-1]
    what = f"zone {name}"
    ttl = number(raw.get("ttl", 3600), f"{what}: ttl")
    soa = raw.get("soa")
    if not isinstance(soa, Mapping):
        raise DaneError(f"{what}: soa is missing; give mname, rname, refresh, retry, expire and minimum")
    result: dict[str, Any] = {
        "name": name, "ttl": ttl, "serial": number(raw.get("serial", 0), f"{what}: serial", highest=SERIAL_BITS - 1),
        "soa": {"mname": absolute(soa.get("mname"), f"{what}: soa.mname"), "rname": _mailbox(soa.get("rname"), f"{what}: soa.rname"),
                **{key: number(soa.get(key), f"{what}: soa.{key}") for key in ("refresh", "retry", "expire", "minimum")}},
    }
    for key in ("records", "mail_records"):
        result[key] = [_record(name, ttl, record) for record in _list(raw, key, what)]
    result["tlsa"] = [
        _record(name, ttl, {"owner": rrset.get("owner"), "ttl": rrset.get("ttl", raw.get("tlsa_ttl", ttl)), "type": "TLSA", "data": data})
        for rrset in _list(raw, "tlsa", what) for data in rrset.get("records") or ()]
    result["secondaries"] = [address(text, f"{what}: the address of the secondary {secondary.get('host')}")
                             for secondary in _list(raw, "secondaries", what)
                             for key in ("ipv4", "ipv6") for text in secondary.get(key) or ()]
    return result


def _list(raw: Mapping[str, Any], key: str, what: str) -> list[Mapping[str, Any]]:
    value = raw.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise DaneError(f"{what}: {key} is not a list of mappings; write one")
    return value


def _mailbox(value: object, what: str) -> str:
    r"""The RNAME `value`: a name whose first label may hold dots as "\." (RFC 1035 section 8)."""
    text = value.lower() if isinstance(value, str) else ""
    first, rest = re.match(r"((?:[a-z0-9_+-]|\\\.)*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if not first or len(first.replace("\\", "")) > 63 or not rest.startswith("."):
        raise DaneError(f"{what} {value!r} is not a mailbox written as a domain name; write hostmaster.example.org.")
    return f"{first}.{absolute(rest[1:], what)}"


def flatten(path: str, zone: str) -> str:
    """The zone file `path` of `zone` with its includes in place, without comments, its serial still what is written (0).

    One record a line.  An include is a plain file name in the same directory, one level deep: ldns-signzone refuses
    `$INCLUDE`, and nothing else of the host is to be read through it.
    """
    lines: list[str] = []
    for line in _lines(path, zone):
        if line.split(None, 1)[0].upper() != "$INCLUDE":
            lines.append(line)
            continue
        words = line.split()
        if len(words) != 2 or words[1] not in INCLUDES:
            raise DaneError(f"zone {zone}: {path} has {line!r}; include only {', '.join(INCLUDES)}, without an origin")
        lines += _lines(os.path.join(os.path.dirname(path), words[1]), zone, included=True)
    return "\n".join(lines) + "\n"


def _lines(path: str, zone: str, included: bool = False) -> list[str]:
    try:
        text = read_file(path, f"the zone text of {zone}").decode("ascii")
    except UnicodeDecodeError as error:
        raise DaneError(f"zone {zone}: {path} is not ASCII; write octets above 127 as \\DDD") from error
    result = [line.strip() for line in text.split("\n") if line.strip() and not line.lstrip().startswith(";")]
    directives = ("$INCLUDE", "$ORIGIN", "$TTL")
    for line in result:
        if line.startswith("$") and (included or line.split()[0].upper() not in directives):
            raise DaneError(f"zone {zone}: {path} has {line!r}; write records only" + ("" if included else f", {', '.join(directives)}"))
    return result


def with_serial(text: str, zone: str, serial: int) -> str:
    """The flat zone `text` of `zone` with `serial` in its SOA, which must be there once, on one line."""
    pattern = re.compile(rf"^({re.escape(zone)}\.\s+(?:[0-9]+\s+)?(?:IN\s+)?SOA\s+\S+\s+\S+\s+)[0-9]+(?=\s)", re.IGNORECASE | re.MULTILINE)
    result, count = pattern.subn(rf"\g<1>{serial}", text)
    if count != 1:
        raise DaneError(f"zone {zone}: its text has {count} SOA records on one line; write one")
    return result


def serial_after(left: int, right: int) -> bool:
    """Whether the serial `left` is later than `right` (RFC 1982 section 3.2); at a distance of 2^31 neither is."""
    return 0 < (left - right) % SERIAL_BITS < SERIAL_HALF


def next_serial(last: int | None, now: int, floor: int) -> int:
    """The serial to publish: the latest of `last` + 1, `now` (unix seconds) and `floor` (0: none), by RFC 1982."""
    result = now % SERIAL_BITS if last is None else (last + 1) % SERIAL_BITS
    for candidate in (now % SERIAL_BITS, floor):
        # what is after the one that comes next need not be after the last one
        if candidate and serial_after(candidate, result) and (last is None or serial_after(candidate, last)):
            result = candidate
    return result
