# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging whole zones from the wire alone: what every name server and every endpoint says, and which peers can connect.

First everything is asked, in parallel and before one deadline (`Look`); then it is judged, without any more traffic.
Names and numbers come from the model and were judged there; everything else was sent by somebody and is only shown
through `printable`.
"""
from __future__ import annotations

import ipaddress
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from . import delegation, dns_client, tls_client, tlsa, x509
from .delegation import Server, address_questions, failed, parent_answers, routed
from .dns_client import absolute
from .errors import DaneError, printable
from .tls_client import Presented
from .zone import serial_after

DAY = 86400
BROWSER = "browser (WebPKI)"
OPPORTUNISTIC = "opportunistic sender"
PKIX_SENDER = "PKIX-verifying sender"
DANE_SENDER = "DANE sender"
CAN_CONNECT = "can connect"


@dataclass(frozen=True)
class Row:
    """One judgement.  `ok` is None where it is awaited or cannot be told from here: not green, and no outage."""

    zone: str
    what: str
    name: str
    address: str = ""
    port: int | None = None
    ok: bool | None = None
    school: str = ""
    """The school of peer whose view this is; "" for a check of one part."""
    detail: str = ""
    cure: str = ""
    """What to do; "" where nothing is wrong."""
    command: str = ""
    """What to type next to see it, quoted for a shell."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class World(delegation.Wire):
    """The wire.  Tests give another one."""

    transfer: Callable[[str, str], tuple[bool | None, str]]
    """(address, zone)"""
    probe: Callable[[str, int, str, str, str], Presented]
    """(address, port, service, name, family)"""
    now: float
    """Unix seconds."""
    ca_file: str = ""
    """What `probe` trusts; "" for the system's CAs."""


def world(resolvers: Sequence[str] = (), ca_file: str | None = None, timeout: float = 60) -> World:
    """The real one: everything that is begun ends within `timeout` seconds from now."""
    end = time.monotonic() + timeout
    resolver_addresses = list(resolvers) or dns_client.local_resolvers()

    def limit(wanted: float) -> float:
        return max(0.05, min(wanted, end - time.monotonic()))

    return World(
        ask=lambda address, owner, rdtype, tcp: dns_client.ask(address, owner, rdtype, limit(5), tcp),
        resolve=lambda owner, rdtype: dns_client.resolve(owner, rdtype, limit(8), resolver_addresses),
        transfer=lambda address, zone: dns_client.transfer(address, zone, limit(5)),
        probe=lambda address, port, service, name, family: tls_client.probe(address, port, service, name, limit(20), ca_file, family=family),
        routed=routed,
        now=time.time(),
        ca_file=ca_file or "",
    )


class Look(delegation.Look):
    """What was asked and answered, also ("transfer", address, zone) and ("probe", address, port, service, name, family)."""

    world: World


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address))


def _model_addresses(entry: Mapping[str, Any]) -> list[str]:
    return [_canonical(address) for address in [*entry["ipv4"], *entry["ipv6"]]]


# Commands to try next

def _dig(server: str, owner: str, rdtype: str, *more: str) -> str:
    where = [f"@{server}"] if server else []
    return shlex.join(["dig", "+dnssec", *more, *where, absolute(owner), rdtype])


def _connect(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _s_client(address: str, endpoint: Mapping[str, Any], ca_file: str, family: str, records: Sequence[str] = ()) -> str:
    words = ["openssl", "s_client", "-connect", _connect(address, endpoint["port"]), "-servername", endpoint["name"]]
    if family:
        words += ["-tls1_2", "-cipher", tls_client.FAMILIES[family]]
    if endpoint["service"] == "smtp":
        words += ["-starttls", "smtp"]
    if records:
        words += ["-dane_tlsa_domain", endpoint["name"]]
        for record in records:
            words += ["-dane_tlsa_rrdata", printable(record, 400)]
    else:
        words += ["-verify_hostname", endpoint["name"]]
    if ca_file:
        words += ["-CAfile", ca_file]
    return shlex.join([*words, "-verify_return_error", "-showcerts"]) + " </dev/null"


def _school_command(school: str, address: str, endpoint: Mapping[str, Any], ca_file: str) -> str:
    if school == BROWSER:
        target = f"[{address}]" if ":" in address else address
        url = f"https://{endpoint['name']}:{endpoint['port']}/"
        trusted = ["--cacert", ca_file] if ca_file else []
        return shlex.join(["curl", "-sSI", *trusted, "--resolve", f"{endpoint['name']}:{endpoint['port']}:{target}", url])
    level = {DANE_SENDER: "dane", PKIX_SENDER: "secure", OPPORTUNISTIC: "may"}[school]
    return shlex.join(["posttls-finger", "-l", level, "-L", "summary", *(["-F", ca_file] if ca_file else []),
                       f"[{endpoint['name']}]:{endpoint['port']}"])


# Asking

def _servers(look: Look, wanted: Mapping[str, Any]) -> list[Server]:
    """Every address that the model, the zone or the parent names, the model's first."""
    known = [(absolute(entry["name"]), address) for entry in wanted["name_servers"] for address in _model_addresses(entry)]
    return delegation.name_servers(look, wanted["zone"], known, (absolute(entry["name"]) for entry in wanted["name_servers"]))


def gather(look: Look, zones: Sequence[Mapping[str, Any]]) -> dict[str, list[Server]]:
    """Ask everything, in a few waves; returns the name servers of each zone."""
    first: list[tuple[Any, ...]] = [("resolve", ".", "SOA")]
    for wanted in zones:
        zone = absolute(wanted["zone"])
        first += [*delegation.zone_questions(zone), ("resolve", zone, "MX")]
        first += address_questions([entry["name"] for entry in [*wanted["name_servers"], *wanted["endpoints"]]])
        first += [("resolve", absolute(endpoint["owner"]), "TLSA") for endpoint in wanted["endpoints"]]
    look.fetch(first)
    look.fetch(question for wanted in zones for question in delegation.parent_questions(look, wanted["zone"]))
    servers = {absolute(wanted["zone"]): _servers(look, wanted) for wanted in zones}
    look.fetch(("ask", server.address, zone, "SOA", tcp)
               for zone, of_zone in servers.items() for server in of_zone if look.world.routed(server.address)
               for tcp in (False, True))
    second: list[tuple[Any, ...]] = []
    for wanted in zones:
        zone = absolute(wanted["zone"])
        for server in _alive(look, zone, servers[zone]):
            second += [("ask", server.address, zone, rdtype, False) for rdtype in ("NS", "MX", "DNSKEY")]
            second += [("ask", server.address, absolute(endpoint["owner"]), "TLSA", False) for endpoint in wanted["endpoints"]]
            second += [("ask", server.address, name, rdtype, False)
                       for endpoint in wanted["endpoints"] for _method, name, rdtype in address_questions([endpoint["name"]])
                       if failed(look.resolved(name, rdtype))]
            second.append(("transfer", server.address, zone))
    look.fetch(second)
    look.fetch(("probe", address, endpoint["port"], endpoint["service"], endpoint["name"], family)
               for wanted in zones for endpoint in wanted["endpoints"]
               for address in _endpoint_addresses(look, wanted, servers[absolute(wanted["zone"])], endpoint)
               if look.world.routed(address) for family in _families(endpoint, address))
    return servers


def _alive(look: Look, zone: str, servers: Sequence[Server]) -> list[Server]:
    """The servers that have the zone, as far as the SOA tells."""
    return [server for server in servers if look.world.routed(server.address)
            and any(look.asked(server.address, zone, "SOA", tcp).serial is not None for tcp in (False, True))]


def _serial(look: Look, zone: str, server: Server) -> int:
    serials = [look.asked(server.address, zone, "SOA", tcp).serial for tcp in (False, True)]
    return next(serial for serial in serials if serial is not None)


def _newest(look: Look, zone: str, alive: Sequence[Server]) -> int | None:
    newest = None
    for server in alive:
        serial = _serial(look, zone, server)
        if newest is None or serial_after(serial, newest):
            newest = serial
    return newest


def _endpoint_addresses(look: Look, wanted: Mapping[str, Any], servers: Sequence[Server],
                        endpoint: Mapping[str, Any]) -> list[str]:
    """The addresses on the wire: by the resolver, or where it fails by the zone's own servers, or else by the model."""
    found: list[str] = list(look.addresses(endpoint["name"]))
    zone = absolute(wanted["zone"])
    for rdtype in ("A", "AAAA"):
        if failed(look.resolved(endpoint["name"], rdtype)):
            for server in _alive(look, zone, servers):
                found += look.asked(server.address, endpoint["name"], rdtype).records
    if not found:
        found = _model_addresses(endpoint)
    return list(dict.fromkeys(found))


def _families(endpoint: Mapping[str, Any], address: str) -> tuple[str, ...]:
    """Which certificates are to be looked at there: whichever is presented, or an ECDSA and an RSA one."""
    return tuple(tls_client.FAMILIES) if address in map(_canonical, endpoint["pair"]) else ("",)


# Judging

@dataclass(frozen=True)
class _Zone:
    """What the judgements of one zone share."""

    look: Look
    wanted: Mapping[str, Any]
    servers: Sequence[Server]
    alive: Sequence[Server]
    state: str
    """secure, awaited (no DS yet), bogus, or unknown (this host's resolver does not validate)."""
    margin: float
    row: Callable[..., Row]

    @property
    def zone(self) -> str:
        return absolute(self.wanted["zone"])

    def current(self) -> list[Server]:
        """The servers with the newest serial."""
        newest = _newest(self.look, self.zone, self.alive)
        return [server for server in self.alive if _serial(self.look, self.zone, server) == newest]


def _resolver_row(look: Look) -> Row:
    answer = look.resolved(".", "SOA")
    if answer.authenticated:
        return Row("", "resolver", "this host", answer.server, 53, True, detail="validates (AD)", command=_dig(answer.server, ".", "SOA"))
    return Row("", "resolver", "this host", answer.server, 53, False,
               detail=failed(answer) or f"the resolver {answer.server} does not validate: no AD on the root's SOA",
               cure="give this host a validating resolver on its loopback address (role selfhost.dane.unbound), and name it in"
                    " /etc/resolv.conf or in the resolvers of this check",
               command=_dig(answer.server, ".", "SOA"))


def _delegation(look: Look, zone: str, alive: Sequence[Server], row: Callable[..., Row]) -> tuple[str, Row]:
    """The state of the zone, and the row on its DS."""
    ds = look.resolved(zone, "DS")
    judged = partial(row, what="delegation", name=zone.rstrip("."), command=_dig("", zone, "DS"))
    with_keys = [keys for keys in (look.asked(server.address, zone, "DNSKEY") for server in alive) if keys.rrset is not None]
    give = sorted({record for keys in with_keys for record in dns_client.ds_records(keys)})
    to_give = "give the parent (registrar): " + "; ".join(f"{zone} IN DS {record}" for record in give)
    if not look.resolved(".", "SOA").authenticated:
        return "unknown", judged(ok=None, detail="cannot be judged: the resolver here does not validate",
                                 cure="see the row of the resolver")
    if failed(ds):
        return "bogus", judged(ok=False, detail=f"the DS cannot be looked up: {printable(failed(ds))}",
                               cure="ask the parent's name servers; the fault is at them or on the way")
    if not ds.records:
        denied = "securely denied" if ds.authenticated else "and the parent is not secure"
        return "awaited", judged(ok=None, detail=f"awaited: there is no DS in the parent ({denied})",
                                 cure=to_give if give else "bring a name server up first, then give the parent the DS")
    if not ds.authenticated:
        return "bogus", judged(ok=False, detail="there is a DS, but the chain of trust above it is broken",
                               cure="ask the parent's operator; until then nobody sees this zone as secure")
    if not with_keys:
        return "bogus", judged(ok=False, detail="there is a DS, and no name server gives a DNSKEY",
                               cure="sign the zone (playbook site), or have the DS taken out of the parent")
    tags = ", ".join(record.split()[0] for record in ds.records)
    if any(dns_client.matching_keys(keys, ds.records) for keys in with_keys):
        return "secure", judged(ok=True, detail=f"secure: the DS {tags} names a key of the zone")
    return "bogus", judged(ok=False, detail=f"the DS {tags} in the parent names no key of the zone: it is bogus for all who validate",
                           cure=to_give + "; and have the wrong one taken out")


def _server_rows(zone: _Zone) -> list[Row]:
    look, apex = zone.look, zone.zone
    newest = _newest(look, apex, zone.alive)
    holder = next((server for server in zone.alive if _serial(look, apex, server) == newest), None)
    rows = []
    for server in zone.servers:
        row = partial(zone.row, name=server.shown, address=server.address, port=53)
        if not look.world.routed(server.address):
            rows.append(row(what="name server", ok=None, detail="cannot be judged: this host has no route to it",
                            cure="look from a host with both IPv4 and IPv6 (dane_vantage)",
                            command=_dig(server.address, apex, "SOA", "+norecurse")))
            continue
        faults = []
        for tcp in (False, True):
            answer = look.asked(server.address, apex, "SOA", tcp)
            over = "TCP" if tcp else "UDP"
            if answer.error:
                faults.append(printable(answer.error))
            elif answer.rcode != "NOERROR" or answer.serial is None:
                faults.append(f"answers {answer.rcode} without the SOA over {over}")
            elif not answer.aa:
                faults.append(f"is not authoritative over {over}")
        command = _dig(server.address, apex, "SOA", "+norecurse", *(["+tcp"] if faults and "TCP" in faults[0] else []))
        if server not in zone.alive:
            rows.append(row(what="name server", ok=False, detail="; ".join(faults), command=command,
                            cure=f"start the name server on {server.shown} and open port 53 for UDP and TCP (playbook site)"))
            continue
        rows.append(row(what="name server", ok=not faults, command=command,
                        detail="; ".join(faults) or "authoritative over UDP and TCP",
                        cure=f"open port 53 of {server.shown} for UDP and TCP" if faults else ""))
        rows.append(_serial_row(zone, server, newest, holder, row))
        rows.append(_signature_row(zone, server, row))
        rows.append(_transfer_row(zone, server, row))
    return rows


def _serial_row(zone: _Zone, server: Server, newest: int | None, holder: Server | None, row: Callable[..., Row]) -> Row:
    serial = _serial(zone.look, zone.zone, server)
    command = _dig(server.address, zone.zone, "SOA", "+norecurse", "+short")
    if serial == newest or holder is None:
        return row(what="serial", ok=True, detail=f"{serial}", command=command)
    return row(what="serial", ok=False, command=command,
               detail=f"{server.shown} is behind: {serial}, and {holder.shown} ({holder.address}) has {newest}",
               cure=f"on {server.shown}: nsd-control force_transfer {shlex.quote(zone.zone.rstrip('.'))};"
                    " see its log for NOTIFY and TSIG")


def _signature_row(zone: _Zone, server: Server, row: Callable[..., Row]) -> Row:
    look, apex, now = zone.look, zone.zone, zone.look.world.now
    keys = look.asked(server.address, apex, "DNSKEY")
    ds = look.resolved(apex, "DS").records if zone.state == "secure" else ()
    faults = []
    fault = f"{server.address}: {printable(failed(keys))}" if failed(keys) else dns_client.validated(keys, keys, ds, now)
    if fault:
        faults.append((fault, "DNSKEY", apex))
    answers = [keys, look.asked(server.address, apex, "SOA", look.asked(server.address, apex, "SOA").serial is None)]
    answers += [look.asked(server.address, apex, rdtype) for rdtype in ("NS", "MX")]
    answers += [look.asked(server.address, endpoint["owner"], "TLSA") for endpoint in zone.wanted["endpoints"]]
    signed = [answer for answer in answers if answer.records]
    for answer in signed:
        if answer is keys:
            continue
        fault = dns_client.validated(answer, keys, (), now)
        if fault:
            faults.append((fault, answer.rdtype, answer.owner))
    cure = "on the primary: selfhost-dane sign, and see why its timer did not"
    if faults:
        fault, rdtype, owner = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return row(what="signatures", ok=False, detail=printable(fault) + more, cure=cure,
                   command=_dig(server.address, owner, rdtype, "+norecurse", "+multiline"))
    # each RRset lasts as long as its longest-lived signature
    ends = min((max(signature.expiration for signature in answer.rrsig), answer.owner, answer.rdtype) for answer in signed)
    left = ends[0] - now
    return row(what="signatures", ok=left >= zone.margin, cure="" if left >= zone.margin else cure,
               detail=f"valid, the first ({ends[1]} {ends[2]}) ends in {_span(left)}"
                      + ("" if left >= zone.margin else f", and {_span(zone.margin)} is the least"),
               command=_dig(server.address, ends[1], ends[2], "+norecurse", "+multiline"))


def _span(seconds: float) -> str:
    """A time for people."""
    for unit, size in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _transfer_row(zone: _Zone, server: Server, row: Callable[..., Row]) -> Row:
    given, said = zone.look.seen[("transfer", server.address, zone.zone)]
    command = shlex.join(["dig", f"@{server.address}", zone.zone, "AXFR"])
    if given:
        return row(what="transfer", ok=False, detail="gives the whole zone to strangers", command=command,
                   cure=f"limit provide-xfr on {server.shown} to the secondaries and their TSIG key (playbook site)")
    if given is None:
        return row(what="transfer", ok=None, detail=printable(said), command=command, cure="look again")
    return row(what="transfer", ok=True, detail=f"refused to strangers ({printable(said, 40)})", command=command)


def _set_row(what: str, apex: str, expected: set[str], said: Sequence[tuple[str, str, set[str]]], unknown: str,
             row: Callable[..., Row]) -> Row:
    """`said` by whom, at which address, what."""
    rdtype = what.split()[0]
    for who, address, values in said:
        if values != expected:
            shown = ", ".join(printable(value, 80) for value in sorted(values)) or "nothing"
            return row(what=what, name=apex.rstrip("."), address=address, ok=False,
                       detail=f"{who} says {shown}; the model says {', '.join(sorted(expected)) or 'nothing'}",
                       cure="the parent is told by your registrar, the servers by the playbook site" if rdtype == "NS"
                            else "run the playbook site",
                       command=_dig(address, apex, rdtype, "+norecurse"))
    return row(what=what, name=apex.rstrip("."), ok=None if unknown or not said else True,
               detail=unknown or (", ".join(sorted(expected)) or "none, as in the model") if said else "nobody answered",
               cure="see the rows of the name servers" if not said else f"ask again: {unknown}" if unknown else "",
               command=_dig("", apex, rdtype))


def _set_rows(zone: _Zone) -> list[Row]:
    look, apex = zone.look, zone.zone
    servers = zone.current()
    names = {absolute(entry["name"]) for entry in zone.wanted["name_servers"]}
    said = []
    for server in servers:
        answer = look.asked(server.address, apex, "NS")
        if not failed(answer):
            said.append((server.shown, server.address, {record.lower() for record in answer.records}))
    parents = parent_answers(look, apex)
    for answer in parents:
        by_parent = set(answer.referral) or {record.lower() for record in answer.records}
        said.append((f"the parent ({answer.server})", answer.server, by_parent))
    rows = [_set_row("NS set", apex, names, said, "" if parents else "the parent's name servers did not answer", zone.row)]
    preferences = {f"{entry['preference']} {absolute(entry['name'])}" for entry in zone.wanted["mx"]}
    said = []
    for server in servers:
        answer = look.asked(server.address, apex, "MX")
        if not failed(answer):
            said.append((server.shown, server.address, {record.lower() for record in answer.records}))
    return [*rows, _set_row("MX set", apex, preferences, said, "", zone.row)]


def _address_rows(zone: _Zone) -> list[Row]:
    look = zone.look
    glue = {pair for answer in parent_answers(look, zone.zone) for pair in answer.glue}
    rows = []
    entries = {entry["name"]: entry for entry in [*zone.wanted["name_servers"], *zone.wanted["endpoints"]]}
    for name, entry in entries.items():
        faults = []
        command = _dig("", name, "AAAA" if entry["ipv6"] else "A")
        expected = set(_model_addresses(entry))
        answers = [look.resolved(name, rdtype) for rdtype in ("A", "AAAA")]
        failures = [failed(answer) for answer in answers if failed(answer)]
        found = set(look.addresses(name))
        if failures:
            faults.append(f"the lookup fails: {printable(failures[0])}")
        elif found != expected:
            faults.append(f"on the wire {', '.join(sorted(found)) or 'no address'}; in the model {', '.join(sorted(expected))}")
        elif zone.state == "secure" and not all(answer.authenticated for answer in answers):
            faults.append("the answer is not secure (no AD), though the zone is")
        glued = {address for owner, address in glue if owner == absolute(name)}
        if glued and glued != expected:
            faults.append(f"the parent's glue has {', '.join(sorted(glued))}; the model {', '.join(sorted(expected))}")
        rows.append(zone.row(what="addresses", name=name, ok=not faults, command=command,
                             detail="; ".join(faults) or ", ".join(sorted(expected)),
                             cure="" if not faults else "see the rows of the delegation and of the name servers" if failures
                             else "run the playbook site, which says which hosts have to wait; where it is the glue, tell the parent (registrar)"))
    return rows


@dataclass(frozen=True)
class _Records:
    """The TLSA RRset of an owner as the world sees it."""

    row: Row
    sets: tuple[tuple[tlsa.TLSA, ...], ...]
    """Each different set that somebody may have got: the resolver's, and those of all servers."""
    shown: tuple[str, ...]


def _tlsa(zone: _Zone, endpoint: Mapping[str, Any]) -> _Records:
    look = zone.look
    answer = look.resolved(endpoint["owner"], "TLSA")
    by_server = {server: look.asked(server.address, endpoint["owner"], "TLSA") for server in zone.alive}
    row = partial(zone.row, what="TLSA", name=endpoint["owner"].rstrip("."), port=endpoint["port"],
                  command=_dig("", endpoint["owner"], "TLSA"))
    publish = "run the playbook site: it publishes the records once every endpoint presents a chain that matches"
    sets: dict[tuple[str, ...], tuple[tlsa.TLSA, ...]] = {}
    fault = ""
    for one in [answer, *by_server.values()]:
        if one.records:
            try:
                sets[one.records] = tuple(tlsa.TLSA.parse(record, one.owner) for record in one.records)
            except DaneError as error:
                fault = f"unusable: {printable(error)}"
    shown = answer.records or next(iter(sets), ())

    def done(ok: bool | None, detail: str, cure: str = "", **more: Any) -> _Records:
        return _Records(row(ok=ok, detail=detail, cure=cure, **more), tuple(sets.values()), shown)

    if not sets and not fault and not failed(answer):
        return done(False, "no TLSA is served", publish)
    current = zone.current()
    for server in current:
        if failed(by_server[server]):
            return done(False, printable(failed(by_server[server])), "see the rows of that name server", address=server.address)
        if not by_server[server].records:
            return done(False, f"{server.shown} serves no TLSA here", publish, address=server.address,
                        command=_dig(server.address, endpoint["owner"], "TLSA", "+norecurse"))
        if by_server[server].records != by_server[current[0]].records:
            return done(False, f"{server.shown} serves other records than {current[0].shown} under the same serial",
                        "re-sign the zone on the primary and let the secondaries transfer it", address=server.address,
                        command=_dig(server.address, endpoint["owner"], "TLSA", "+norecurse"))
    if fault:
        return done(False, fault, publish)
    if endpoint["service"] == "smtp" and any(record.usage in (0, 1) for one in sets.values() for record in one):
        return done(False, "usages 0 and 1 are of no use to mail (RFC 7672 3.1.3)", publish)
    if zone.state == "unknown":
        return done(None, "served; whether it is secure cannot be judged: the resolver here does not validate",
                    "see the row of the resolver")
    if failed(answer):
        return done(False, f"the lookup fails, so DANE senders defer: {printable(failed(answer))}",
                    "see the rows of the delegation and the signatures")
    if not answer.records:
        return done(False, "the resolver has none yet (it keeps an older answer), the name servers do", "look again after the TTL")
    if zone.state == "awaited":
        return done(None, "served; awaited: it is not secure before the DS is in the parent", "see the row of the delegation")
    if not answer.authenticated:
        return done(False, "served, but the answer is not secure (no AD)", "see the rows of the delegation and the signatures")
    return done(True, "; ".join(f"{record[:16]}.." if len(record) > 18 else record for record in map(printable, answer.records)))


def _name_covers(pattern: str, name: str) -> bool:
    """RFC 9525 6.3: equal, or one whole left-most label by the wildcard."""
    if pattern.startswith("*."):
        return "." in name and name.split(".", 1)[1] == pattern[2:]
    return pattern == name


@dataclass(frozen=True)
class _Chain:
    rows: list[Row]
    matched: bool | None
    """By the TLSA sets; None where there are none."""


def _chain(zone: _Zone, endpoint: Mapping[str, Any], found: Presented, records: _Records, row: Callable[..., Row]) -> _Chain:
    """The rows on what was presented: certificate, chain, TLSA match."""
    now, name, ca_file = zone.look.world.now, endpoint["name"], zone.look.world.ca_file
    command = _s_client(found.address, endpoint, ca_file, found.family)
    renew = "on the host: selfhost-dane renew; then the playbook site, which restarts what does not present it"
    try:
        chain = [certificate for der in found.chain for certificate in x509.load_certificates(der, f"the chain of {name}")]
        names = x509.names(chain[0])
        begins, ends = x509.not_before(chain[0]), x509.not_after(chain[0])
        linked = all(x509.issued_by(one, issuer) for one, issuer in zip(chain, chain[1:], strict=False))
        alone = len(chain) == 1 and not x509.issued_by(chain[0], chain[0])
    except (DaneError, ValueError) as error:
        return _Chain([row(what="certificate", ok=False, detail=printable(error), cure=renew, command=command)],
                      False if records.sets else None)
    rows = []
    named = any(_name_covers(pattern, name) for pattern in names)
    if not named:
        fault = f"is for {', '.join(printable(one, 60) for one in names[:5]) or 'no name'} and not for {name}"
    elif now > ends:
        fault = f"expired {_span(now - ends)} ago"
    elif now < begins:
        fault = f"is valid only in {_span(begins - now)}"
    else:
        fault = ""
    unfit = bool(fault)
    # The host renews from a third of its life on; at a sixth that has failed for long, and a person still has time.
    overdue = (ends - now) < (ends - begins) / 6
    rows.append(row(what="certificate", ok=not (fault or overdue), command=command, cure=renew if fault or overdue else "",
                    detail=fault or f"{_span(ends - now)} left" + (", and renewal is overdue" if overdue else "")))
    if alone and found.pkix:
        fault, cure = "the leaf alone is sent, without its intermediates", "have the server send the full chain (playbook site)"
    elif not linked:
        fault, cure = "what is sent is no chain: one certificate has not issued the one before", "have the server send fullchain.pem"
    else:
        fault, cure = found.pkix, "see the row of the certificate; for a CA of your own set dane_verify_ca"
    rows.append(row(what="chain", ok=not fault, command=command, cure=cure if fault else "",
                    detail=printable(fault) or f"{len(chain)} certificates, verifies for {name}"))
    matched: bool | None = None
    if records.sets:
        usages = {record.usage for one in records.sets for record in one}
        matched = all(tlsa.rrset_matches(one, chain) for one in records.sets)
        why = "a TLSA set that is served does not match what is presented"
        if matched and 2 in usages and unfit:  # RFC 7671 5.2: usage 2 wants the name and the dates too
            matched, why = False, f"the chain matches, but the certificate {rows[0].detail}"
        if matched and usages & {0, 1} and found.pkix:
            matched, why = False, "the chain matches, but usages 0 and 1 want it verified by the WebPKI too"
        rows.append(row(what="TLSA match", ok=matched, command=_s_client(found.address, endpoint, ca_file, found.family, records.shown),
                        detail=f"all {len(usages)} kinds of record match" if matched and len(usages) > 1
                        else "matches" if matched else why,
                        cure="" if matched else "do not touch the key; the playbook site publishes what is presented"))
    return _Chain(rows, matched)


def _endpoint_rows(zone: _Zone, endpoint: Mapping[str, Any]) -> list[Row]:
    look, name, service, port = zone.look, endpoint["name"], endpoint["service"], endpoint["port"]
    ca_file = look.world.ca_file
    records = _tlsa(zone, endpoint)
    rows = [records.row]
    lookups = [("A", look.resolved(name, "A")), ("AAAA", look.resolved(name, "AAAA"))]
    is_mx = any(absolute(entry["name"]) == absolute(name) for entry in zone.wanted["mx"])
    if is_mx:
        lookups.append(("MX", look.resolved(zone.zone, "MX")))
    unresolved = next((f"the lookup of its {kind} fails" for kind, answer in lookups if failed(answer)), "")
    insecure = next((f"its {kind} is not secure" for kind, answer in lookups if not answer.authenticated), "")
    for address in _endpoint_addresses(look, zone.wanted, zone.servers, endpoint):
        row = partial(zone.row, name=name, address=address, port=port)
        schools = [BROWSER] if service == "https" else [DANE_SENDER, OPPORTUNISTIC, PKIX_SENDER]
        if not look.world.routed(address):
            rows += [row(what=CAN_CONNECT, school=school, ok=None, detail="cannot be judged: this host has no route to it",
                         cure="look from a host with both IPv4 and IPv6 (dane_vantage)",
                         command=_school_command(school, address, endpoint, ca_file)) for school in schools]
            continue
        seen = [look.seen[("probe", address, port, service, name, family)] for family in _families(endpoint, address)]
        for found in seen:
            rows += _presented_rows(zone, endpoint, found, records, row, any(not other.error for other in seen), schools, unresolved, insecure)
    return rows


def _presented_rows(zone: _Zone, endpoint: Mapping[str, Any], found: Presented, records: _Records, row: Callable[..., Row], has_tls: bool,
                    schools: Sequence[str], unresolved: str, insecure: str) -> list[Row]:
    """The rows on one look at an address: on what it presents, and on who can connect.

    `has_tls`: it presents this certificate or the other one of a pair.  That there is only one of them is no outage: it is so while
    the caches of peers do not know the records of a new one.
    """
    service, name, ca_file = endpoint["service"], endpoint["name"], zone.look.world.ca_file
    what = "STARTTLS" if service == "smtp" else "TLS"
    server = "mail" if service == "smtp" else "web"
    note = f"with {found.family.upper()}: " if found.family else ""
    command = _s_client(found.address, endpoint, ca_file, found.family)

    if found.error and has_tls:
        return [row(what=what, ok=None, command=command, detail=f"{note}{printable(found.error)}; the other certificate is presented",
                    cure="a new certificate is presented when caches know its records: run the playbooks renew and site; see the log of the"
                         f" {server} server if it was presented before")]
    rows = [row(what=what, ok=not found.error, detail=printable(found.error) or found.version,
                cure=f"run the playbook site, and see the log of the {server} server on that host" if found.error else "",
                command=command)]
    matched: bool | None = None
    if found.chain and not found.error:
        chain = _chain(zone, endpoint, found, records, row)
        rows += chain.rows
        matched = chain.matched
    if service == "smtp" and (found.greeting or found.ehlo):
        wrong = [said for said in (found.greeting, found.ehlo) if absolute(said) != absolute(name)]
        rows.append(row(what="EHLO name", ok=not wrong, command=command,
                        detail=f"calls itself {printable(wrong[0], 80)}, not {name}" if wrong else f"calls itself {name}",
                        cure="run the playbook site: the mail server's own name is the name of its MX" if wrong else ""))
    for school in schools:
        ok, why = _judge_school(school, zone, found, records, matched, unresolved, insecure)
        rows.append(row(what=CAN_CONNECT, school=school, ok=ok, detail=printable(why),
                        cure="" if ok else "see the rows above for this name and address",
                        command=_school_command(school, found.address, endpoint, ca_file)))
    return [replace(one, detail=note + one.detail) for one in rows]


def _judge_school(school: str, zone: _Zone, found: Presented, records: _Records, matched: bool | None, unresolved: str,
                  insecure: str) -> tuple[bool | None, str]:
    """Whether a peer of `school` can connect, and why (not)."""
    if unresolved:
        return False, f"no: {unresolved}"
    if found.error:
        if school == OPPORTUNISTIC:
            return False, f"in the clear at best: {found.error}"
        return False, f"no: {found.error}"
    if school == OPPORTUNISTIC:
        return True, f"yes, {found.version}"
    if school in (BROWSER, PKIX_SENDER):
        return (False, f"no: {found.pkix}") if found.pkix else (True, f"yes, {found.version}, verified by the WebPKI")
    if matched is False:
        return False, "no: the TLSA records do not match, so mail is deferred"
    if records.row.ok is False and not records.sets:
        return False, f"without DANE only: {records.row.detail}"
    if zone.state in ("awaited", "unknown"):
        return None, f"without DANE as yet: {records.row.detail}"
    if records.row.ok is False:
        return False, f"no: {records.row.detail}"
    if insecure:
        return False, f"without DANE only: {insecure}"
    return True, f"yes, {found.version}, verified by TLSA"


def judge(look: Look, zones: Sequence[Mapping[str, Any]], servers: Mapping[str, Sequence[Server]], margin: float) -> list[Row]:
    """The rows, from what was gathered."""
    rows = [_resolver_row(look)]
    for wanted in zones:
        apex = absolute(wanted["zone"])
        row = partial(Row, wanted["zone"])
        alive = _alive(look, apex, servers[apex])
        state, delegation = _delegation(look, apex, alive, row)
        zone = _Zone(look, wanted, servers[apex], alive, state, margin, row)
        rows += [delegation, *_set_rows(zone), *_server_rows(zone), *_address_rows(zone)]
        for endpoint in wanted["endpoints"]:
            rows += _endpoint_rows(zone, endpoint)
    return rows


def verify(zones: Sequence[Mapping[str, Any]], wire: World, margin: float = 3 * DAY, workers: int = 16) -> list[Row]:
    """Look at `zones` (the `wanted` of the slice) and judge them.

    `margin`, in seconds, is the least that a signature has to last.  DaneError only where a library is missing or the
    file of CAs cannot be read.
    """
    dns_client.require()
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        look = Look(wire, pool)
        servers = gather(look, zones)
    return judge(look, zones, servers, margin)


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows are green, red and neither."""
    found = {"green": 0, "red": 0, "awaited": 0}
    for row in rows:
        found["awaited" if row.ok is None else "green" if row.ok else "red"] += 1
    return found


def failures(rows: Iterable[Row]) -> list[str]:
    """One sentence for each red row; what is wrong with a part comes before who cannot connect because of it."""
    red = sorted((row for row in rows if row.ok is False), key=lambda row: bool(row.school))
    return [f"{row.school or row.what} of {row.name}{_place(row)}: {row.detail}" for row in red]


def _place(row: Row) -> str:
    if not row.address:
        return ""
    return f" ({row.address} port {row.port})" if row.port else f" ({row.address})"
