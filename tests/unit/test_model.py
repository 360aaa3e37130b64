# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: what follows from a good one, and one clear sentence for each way to get it wrong."""
from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
import yaml
from ansible_collections.selfhost.dane.plugins.module_utils import zone as zone_text
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.model import ERRORS_SHOWN, judge_model, slice_of
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
ZONE = ("dane_zones", "pyon.example")
CERT = ("dane_certificates", "g.pyon.example")
SHA256 = "ab" * 32
PEM = "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"


def example() -> dict[str, dict[str, Any]]:
    """The variables of the example's hosts, as Ansible hands them over."""
    content = yaml.safe_load((ROOT / "examples/inventory.yml").read_text(encoding="utf-8"))["all"]
    shared = {key: value for key, value in content["vars"].items() if key.startswith("dane_")}
    shared["dane_zones"]["pyon.example"]["ttl"] = content["vars"]["ttl"]
    return {host: {**shared, **own} for host, own in content["hosts"].items()}


def shared_of(variables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The model-wide variables, which all hosts of `good` share as objects."""
    return {key: value for key, value in variables["peer.example"].items() if key not in ("dane_ipv4", "dane_ipv6")}


def good() -> dict[str, dict[str, Any]]:
    """A model with everything in it."""
    shared: dict[str, Any] = {
        "dane_zones": {
            "pyon.example": {
                "primary": "vps.pyon.example", "secondaries": ["home.pyon.example"], "anycast": ["198.51.100.53", "2001:DB8:53:0::53"],
                "ttl": 3600, "tlsa_ttl": 600,
                "hostmaster": "dns.master@pyon.example", "expire": 604800, "serial": 2026010101, "mx": {"g.pyon.example": 10},
                "spf": ["mx", "-all"], "dmarc": {"p": "reject", "rua": "mailto:dmarc@pyon.example"},
                "records": [
                    {"owner": "www", "type": "CNAME", "data": "pyon.example."},
                    {"owner": "@", "type": "TXT", "data": "hello; world"},
                    {"owner": "key._domainkey", "type": "TXT", "data": "v=DKIM1; k=rsa; p=" + "A" * 400},
                    {"owner": "sub", "type": "NS", "data": "ns.sub.pyon.example."},
                    {"owner": "ns.sub", "type": "A", "data": "198.51.100.77"},
                    {"owner": "sub", "type": "DS", "data": f"12345 13 2 {SHA256}"},
                    {"owner": "@", "type": "CAA", "data": "0 issue letsencrypt.org"},
                    {"owner": "_imaps._tcp", "type": "SRV", "data": "0 1 993 g.pyon.example.", "ttl": 60},
                    {"owner": "printer.pyon.example.", "type": "AAAA", "data": "2001:DB8:51:0::77"},
                    {"owner": "lists", "type": "MX", "data": "10 mail.example.net."},
                    {"owner": "vps", "type": "SSHFP", "data": f"4 2 {SHA256}"},
                ],
            },
            "kodama.example": {"primary": "home.pyon.example", "mx": {"g.pyon.example": 5}},
        },
        "dane_certificates": {
            "g.pyon.example": {"hosts": ["vps.pyon.example"], "services": {"smtp": 25, "https": 443}},
            "pyon.example": {"hosts": ["vps.pyon.example", "home.pyon.example"], "names": ["pyon.example", "kodama.example"],
                             "services": {"https": 443}, "algorithm": "ecdsa-p256"},
        },
        "dane_acme": {"directory": "https://acme.example:14000/dir", "contact": "hostmaster@pyon.example", "ca": PEM},
        "dane_mailboxes": ["kato", "alice"], "dane_make_users": True, "dane_postmaster": "alice",
        "dane_aliases": {"info": ["kato", "Outside+it@Peer.example"], "kato": ["kato", "kato@else.example"], "sales.team": ["info", "root"],
                         "boss": ["kato+boss@vps.pyon.example"]},
        "dane_virtual_users": {"sales@pyon.example": ["sales.team"], "info@pyon.example": ["sales@pyon.example", "x@elsewhere.example"],
                               "kato@g.pyon.example": ["alice"]},
        "dane_resolver": {"root_hints": [{"name": "a.root.", "addresses": ["198.51.100.1", "2001:db8:51::1"]}],
                          "trust_anchors": [f". IN DS 12345 13 2 {SHA256}"], "insecure_reverse": True},
        "dane_policy": {"signature_validity": 2419200, "signature_renewal": 604800, "timer_interval": 21600},
        "dane_vantage": "peer.example",
        "dane_redirects": {"g.pyon.example": "https://elsewhere.example/base"},
        "dane_pop3": {"tls": "optional", "password_file": "/etc/pop3-passwords"},
        "dane_unattended": {"host": "peer.example", "mail": "operator@elsewhere.example", "interval": 600, "project": "/home/kato/my project",
                            "inventory": ["inventory.yml", "more/hosts"], "files": [".cache/ca.pem"], "vault_password_file": "/root/vault",
                            "from": ["198.51.100.20", "2001:db8:51::/64"]},
    }
    return {
        "vps.pyon.example": {**shared, "dane_ipv4": ["198.51.100.10"], "dane_ipv6": ["2001:db8:51::10"]},
        "home.pyon.example": {**shared, "dane_ipv4": ["198.51.100.11"], "dane_ipv6": ["2001:db8:51::11"]},
        "peer.example": dict(shared),
    }


def put(variables: dict[str, dict[str, Any]], path: tuple[Any, ...], value: Any) -> None:
    """Set what `path` leads to: from a host's name, or from a shared variable, which is set on all hosts."""
    hosts = [path[0]] if path[0] in variables else list(variables)
    for host in hosts:
        place: Any = variables[host]
        for step in path[1 if hosts == [path[0]] else 0:-1]:
            place = place[step]
        place[path[-1]] = value


def errors_of(variables: dict[str, dict[str, Any]]) -> list[str]:
    """The sentences about `variables`."""
    try:
        judge_model(variables)
    except DaneError as error:
        return str(error).split("\n")
    return []


def record(owner: Any, kind: Any, data: Any, **more: Any) -> Callable[[dict[str, dict[str, Any]]], None]:
    """A mutation: one more record of pyon.example."""
    def change(variables: dict[str, dict[str, Any]]) -> None:
        variables["peer.example"]["dane_zones"]["pyon.example"]["records"].append({"owner": owner, "type": kind, "data": data, **more})
    return change


def records(*several: tuple[Any, Any, Any]) -> Callable[[dict[str, dict[str, Any]]], None]:
    """A mutation: more records of pyon.example."""
    def change(variables: dict[str, dict[str, Any]]) -> None:
        for one in several:
            record(*one)(variables)
    return change


def cert(name: str, hosts: list[str], services: dict[str, Any], **more: Any) -> Callable[[dict[str, dict[str, Any]]], None]:
    """A mutation: one more certificate."""
    def change(variables: dict[str, dict[str, Any]]) -> None:
        put(variables, ("dane_certificates", name), {"hosts": hosts, "services": services, **more})
    return change


def host_named(name: str) -> Callable[[dict[str, dict[str, Any]]], None]:
    """A mutation: a host of that inventory name answers for b.pyon.example with another one."""
    def change(variables: dict[str, dict[str, Any]]) -> None:
        cert("b.pyon.example", ["vps.pyon.example", name], {"https": 443})(variables)
        variables[name] = {**shared_of(variables), "dane_ipv4": ["198.51.100.12"]}
    return change


def both(*changes: Any) -> Callable[[dict[str, dict[str, Any]]], None]:
    """A mutation of several parts: functions, or (path, value)."""
    def change(variables: dict[str, dict[str, Any]]) -> None:
        for one in changes:
            if callable(one):
                one(variables)
            else:
                put(variables, *one)
    return change


LONG_LABEL = "a" * 64
LONG_NAME = ".".join(["a" * 60] * 4) + ".pyon.example"  # 256 octets
FILLED = ".".join(["a" * 60] * 3) + "." + "b" * 53 + ".pyon.example"  # 249: fits, but not with _443._tcp.

# A mutation of the good model (a function, or a path and the value there), and what the message must have in it.
BAD: list[tuple[str, Any, tuple[str, ...]]] = [
    # unknown hosts, zones, services, algorithms
    ("zone of a certificate", cert("g.pyno.example", ["vps.pyon.example"], {"https": 443}),
     ("certificate g.pyno.example, names: g.pyno.example is outside every zone of dane_zones; did you mean pyon.example?",)),
    ("host of a certificate", ((*CERT, "hosts"), ["vsp.pyon.example"]),
     ("certificate g.pyon.example, hosts: host vsp.pyon.example is not in the inventory; did you mean vps.pyon.example?",)),
    ("host far from all", ((*CERT, "hosts"), ["zzz"]), ("host zzz is not in the inventory; its hosts are: home.pyon.example,",)),
    ("primary", ((*ZONE, "primary"), "vps"), ("zone pyon.example, primary: host vps is not in the inventory",)),
    ("secondary", ((*ZONE, "secondaries"), ["hme.pyon.example"]),
     ("zone pyon.example, secondaries: host hme.pyon.example", "did you mean home.pyon.example?")),
    ("vantage", (("dane_vantage",), "peer.exmple"), ("dane_vantage: host peer.exmple is not in the inventory; did you mean peer.example?",)),
    ("service", ((*CERT, "services"), {"smpt": 25, "https": 443}),
     ("certificate g.pyon.example, services: smpt is not a service; did you mean smtp?",)),
    ("algorithm", ((*CERT, "algorithm"), "ecdsa-p265"),
     ("certificate g.pyon.example, algorithm: ecdsa-p265 is not an algorithm; did you mean ecdsa-p256?",)),
    # mx
    ("mx outside", ((*ZONE, "mx"), {"mail.example.net": 10}),
     ("zone pyon.example, mx mail.example.net: it is outside every zone", "write the MX in records")),
    ("mx without smtp", ((*CERT, "services"), {"https": 443}),
     ("mx g.pyon.example: no certificate of this name has the service smtp; add smtp: 25 to the services of its certificate",)),
    ("mx on another port", ((*CERT, "services"), {"smtp": 2525}), ("mx g.pyon.example: its smtp is not on port 25", "set smtp: 25")),
    ("mx preference", ((*ZONE, "mx"), {"g.pyon.example": 65536}),
     ("mx g.pyon.example, preference: 65536 is out of range; give a number from 0 to 65535",)),
    ("mx without preference", ((*ZONE, "mx"), {"g.pyon.example": None}), ("mx g.pyon.example: it has no preference; write name: 10",)),
    ("mx preference boolean", ((*ZONE, "mx"), {"g.pyon.example": True}), ("preference: True is not a whole number",)),
    ("mx twice", ((*ZONE, "mx"), {"g.pyon.example": 10, "G.pyon.example.": 20}), ("g.pyon.example is there more than once; keep one",)),
    # names
    ("long label", cert(f"{LONG_LABEL}.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("has 64 octets; a label has at most 63, so shorten it",)),
    ("long name", cert(LONG_NAME, ["vps.pyon.example"], {"https": 443}), ("has 256 octets; a name has at most 253",)),
    ("long tlsa owner", cert(FILLED, ["vps.pyon.example"], {"https": 443}), ("TLSA owner", "octets; a name has at most 253")),
    ("long owner", record(".".join(["a" * 60] * 4), "TXT", "x"), ("has 256 octets; a name has at most 253",)),
    ("long dmarc name", (("dane_zones", f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.example"), {"primary": "vps.pyon.example"}),
     ("which follows from dmarc, has 258 octets",)),
    ("characters", (("dane_zones", "pyon example"), {"primary": "vps.pyon.example"}),
     ("dane_zones: 'pyon example' is not a domain name; a label has a-z",)),
    ("underscore", cert("my_web.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("my_web.pyon.example is not a domain name (a host name has no underscore)",)),
    ("hyphen first", record("-a", "TXT", "x"), ("-a.pyon.example is not a domain name", "neither begins nor ends with -")),
    ("empty label", record("a..b", "TXT", "x"), ("a..b.pyon.example is not a domain name",)),
    ("one label", (("dane_zones", "pyon"), {"primary": "vps.pyon.example"}), ("pyon has 1 label; write the whole name",)),
    ("address as a name", (("dane_zones", "198.51.100.10"), {"primary": "vps.pyon.example"}), ("198.51.100.10 ends in a number",)),
    ("u-label", cert("b\u00fccher.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("is not in A-label form; write xn--bcher-kva.pyon.example",)),
    ("u-label python cannot", cert("stra\u00dfe.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("is not in A-label form; write its xn-- form",)),
    ("false a-label", cert("xn--a.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("the label xn--a of xn--a.pyon.example is no valid A-label",)),
    ("name is no text", (("dane_zones", 5), {"primary": "vps.pyon.example"}), ("dane_zones: 5 is not a domain name",)),
    ("zone twice", (("dane_zones", "PYON.example"), {"primary": "vps.pyon.example"}),
     ("dane_zones: zone pyon.example is there more than once; keep one",)),
    ("certificate twice", cert("G.pyon.example", ["vps.pyon.example"], {"https": 8443}), ("certificate g.pyon.example is there more than once",)),
    ("wildcard certificate", ((*CERT, "names"), ["*.pyon.example"]),
     ("certificate g.pyon.example, names: *.pyon.example is a wildcard", "list the names themselves")),
    # cname
    ("cname at the mx", record("g", "CNAME", "vps.pyon.example."),
     ("(g CNAME): g.pyon.example is an MX, which must not be a CNAME", "delete the CNAME")),
    ("cname at the apex", record("@", "CNAME", "example.net."), ("(@ CNAME): a CNAME at the apex of pyon.example stands beside its SOA and NS",)),
    ("cname beside operator's", record("www", "TXT", "x"),
     ("name www.pyon.example: a CNAME cannot stand beside TXT of the same name; keep one of them",)),
    ("cname twice", record("www", "CNAME", "g.pyon.example."), ("name www.pyon.example: a CNAME cannot stand beside another CNAME",)),
    ("cname beside generated address", record("home", "CNAME", "g.pyon.example."),
     ("(home CNAME): a CNAME cannot stand beside the A that follows from host home.pyon.example; delete it",)),
    ("cname beside generated tlsa", record("_443._tcp.g", "CNAME", "g.pyon.example."),
     ("a CNAME cannot stand beside the TLSA that follows from dane_certificates",)),
    ("cname beside generated txt", record("_dmarc", "CNAME", "g.pyon.example."), ("a CNAME cannot stand beside the TXT that follows from dmarc",)),
    ("mx record to a cname", record("other", "MX", "10 www.pyon.example."),
     ("(other MX): its target www.pyon.example is a CNAME; name the host itself",)),
    ("ns record to a cname", record("child", "NS", "www.pyon.example."), ("(child NS): its target www.pyon.example is a CNAME",)),
    # addresses
    ("v6 in ipv4", (("vps.pyon.example", "dane_ipv4"), ["2001:db8::1"]),
     ("host vps.pyon.example, dane_ipv4: 2001:db8::1 is an IPv6 address where IPv4 is wanted",)),
    ("v4 in ipv6", (("vps.pyon.example", "dane_ipv6"), ["198.51.100.9"]),
     ("host vps.pyon.example, dane_ipv6: 198.51.100.9 is an IPv4 address where IPv6 is wanted",)),
    ("v6 in A", record("x", "A", "2001:db8::1"), ("(x A): 2001:db8::1 is an IPv6 address where IPv4 is wanted",)),
    ("v4 in AAAA", record("x", "AAAA", "198.51.100.9"), ("(x AAAA): 198.51.100.9 is an IPv4 address where IPv6 is wanted",)),
    ("mapped", (("vps.pyon.example", "dane_ipv6"), ["::ffff:198.51.100.9"]), ("is an IPv4 address in IPv6 clothing",)),
    ("no address", (("vps.pyon.example", "dane_ipv4"), ["198.51.100.256"]), ("198.51.100.256 is not an IPv4 address; write one such as",)),
    ("scope", (("vps.pyon.example", "dane_ipv6"), ["2001:db8::1%e0"]), ("2001:db8::1%e0 is not an IPv6 address",)),
    ("prefix", (("vps.pyon.example", "dane_ipv4"), ["198.51.100.9/24"]), ("198.51.100.9/24 is not an IPv4 address",)),
    ("number as address", (("vps.pyon.example", "dane_ipv4"), [3325256714]), ("3325256714 is not an IPv4 address",)),
    ("loopback", (("vps.pyon.example", "dane_ipv4"), ["127.0.0.1"]),
     ("127.0.0.1 is not an address that others can reach; give the public addresses",)),
    ("address twice", (("vps.pyon.example", "dane_ipv6"), ["2001:db8::1", "2001:DB8:0::1"]), ("2001:db8::1 is there more than once",)),
    ("address not in a list", (("vps.pyon.example", "dane_ipv4"), "198.51.100.10"),
     ("host vps.pyon.example, dane_ipv4: 198.51.100.10 is not a list; write [198.51.100.10]",)),
    ("certificate host without addresses", cert("x.pyon.example", ["peer.example"], {"https": 443}),
     ("certificate x.pyon.example, hosts: host peer.example has no addresses; give it dane_ipv4 or dane_ipv6",)),
    ("name server without addresses", ((*ZONE, "secondaries"), ["peer.example"]),
     ("zone pyon.example, secondaries: host peer.example has no addresses",)),
    ("primary without addresses", ((*ZONE, "primary"), "peer.example"), ("zone pyon.example, primary: host peer.example has no addresses",)),
    # misspelt keys, at each level
    ("variable", (("peer.example", "dane_zonez"), {}), ("host peer.example: there is no variable dane_zonez; did you mean dane_zones?",)),
    ("host variable", (("home.pyon.example", "dane_ipv5"), []), ("host home.pyon.example: there is no variable dane_ipv5; did you mean",)),
    ("variable like none", (("peer.example", "dane_qqqqqqqqq"), 1), ("there is no variable dane_qqqqqqqqq; the variables are: dane_ipv4,",)),
    ("zone key", ((*ZONE, "secondary"), []), ("dane_zones, zone pyon.example: there is no key secondary; did you mean secondaries?",)),
    ("record key", record("x", "A", "198.51.100.9", tll=5), ("records, item 12: there is no key tll; did you mean ttl?",)),
    ("certificate key", ((*CERT, "service"), {}), ("certificate g.pyon.example: there is no key service; did you mean services?",)),
    ("acme key", (("dane_acme", "contacts"), ""), ("dane_acme: there is no key contacts; did you mean contact?",)),
    ("resolver key", (("dane_resolver", "root_hint"), []), ("dane_resolver: there is no key root_hint; did you mean root_hints?",)),
    ("root hint key", (("dane_resolver", "root_hints"), [{"name": "a.", "address": []}]),
     ("root_hints, item 1: there is no key address; did you mean addresses?",)),
    ("policy key", (("dane_policy", "signature_renewel"), 1), ("dane_policy: there is no key signature_renewel; did you mean signature_renewal?",)),
    ("dmarc key", ((*ZONE, "dmarc"), {"ruaa": "x"}), ("zone pyon.example, dmarc: there is no key ruaa; did you mean rua?",)),
    # endpoints
    ("two certificates of one algorithm", cert("second", ["vps.pyon.example"], {"https": 443}, names=["g.pyon.example"]),
     ("certificate second: certificate g.pyon.example is ECDSA too for g.pyon.example port 443 on host vps.pyon.example; delete one",)),
    ("two certificates of one family", both(((*CERT, "algorithm"), "rsa-2048"),
                                            cert("second", ["vps.pyon.example"], {"https": 443}, names=["g.pyon.example"], algorithm="rsa-4096")),
     ("certificate second: certificate g.pyon.example is RSA too for g.pyon.example port 443 on host vps.pyon.example; delete one",)),
    ("mail certificates with other names",
     cert("second", ["vps.pyon.example"], {"smtp": 25}, names=["g.pyon.example", "m.pyon.example"], algorithm="rsa-2048"),
     ("certificate second: it has other names or another port for smtp than g.pyon.example", "give both the same names and port")),
    ("three mail certificates", both(cert("second", ["vps.pyon.example"], {"smtp": 25}, names=["g.pyon.example"], algorithm="rsa-2048"),
                                     cert("third", ["vps.pyon.example"], {"smtp": 25}, names=["m.pyon.example"], algorithm="rsa-3072")),
     ("certificate third: host vps.pyon.example already presents certificate second on smtp",)),
    ("two mail certificates", cert("m.pyon.example", ["vps.pyon.example"], {"smtp": 25}),
     ("certificate m.pyon.example: host vps.pyon.example already presents certificate g.pyon.example on smtp", "give the service smtp to one of them")),
    ("two services on a port", cert("m.pyon.example", ["vps.pyon.example"], {"https": 25}),
     ("port 25 of host vps.pyon.example is wanted by https and by smtp",)),
    ("hosts differ", cert("second", ["home.pyon.example"], {"https": 443}, names=["g.pyon.example"]),
     ("name g.pyon.example: port 25 is presented by vps.pyon.example alone, but the name has the addresses of home.pyon.example too",)),
    ("another host's name", cert("home.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("name home.pyon.example: it is host home.pyon.example itself, but vps.pyon.example would answer for it too; use another name",)),
    ("one of several without a name of its own", host_named("home"),
     ("dane_certificates, name b.pyon.example: host home, one of several, has no name of its own to which the others could send the CA",
      "let its inventory name lie in a zone of dane_zones")),
    ("one of several in a foreign zone", host_named("home.elsewhere.example"), ("host home.elsewhere.example, one of several, has no name of its own",)),
    ("one of several with an underscore", host_named("home_2.pyon.example"), ("host home_2.pyon.example, one of several, has no name of its own",)),
    ("no hosts", cert("x.pyon.example", [], {"https": 443}), ("certificate x.pyon.example: it has no hosts; name the inventory hosts",)),
    ("host twice", ((*CERT, "hosts"), ["vps.pyon.example"] * 2), ("certificate g.pyon.example, hosts: vps.pyon.example is there more than once",)),
    ("no services", cert("x.pyon.example", ["vps.pyon.example"], {}), ("certificate x.pyon.example: it has no services; say what presents it",)),
    ("port 0", ((*CERT, "services"), {"smtp": 25, "https": 0}),
     ("certificate g.pyon.example, services, https: 0 is out of range; give a number from 1 to 65535",)),
    ("port 65536", ((*CERT, "services"), {"smtp": 25, "https": 65536}), ("65536 is out of range",)),
    ("port float", ((*CERT, "services"), {"smtp": 25, "https": 443.0}), ("services, https: 443.0 is not a whole number",)),
    ("port boolean", ((*CERT, "services"), {"smtp": 25, "https": True}), ("services, https: True is not a whole number",)),
    ("port text", ((*CERT, "services"), {"smtp": 25, "https": "https"}), ("services, https: https is not a whole number",)),
    ("port 80", ((*CERT, "services"), {"smtp": 25, "https": 80}), ("port 80 answers ACME challenges and redirects to https; choose another port",)),
    ("no port", ((*CERT, "services"), {"smtp": 25, "https": None}), ("services, https: it has no port; write https: 443",)),
    # redirects
    ("redirect of a name without https", both(((*CERT, "services"), {"smtp": 25}), (("dane_redirects", "g.pyon.example"), "https://elsewhere.example")),
     ("dane_redirects, g.pyon.example: no certificate of this name has the service https; did you mean pyon.example?",)),
    ("redirect of a foreign name", (("dane_redirects", "kodema.example"), "https://elsewhere.example"),
     ("dane_redirects, kodema.example: no certificate of this name has the service https; did you mean kodama.example?",)),
    ("redirect twice", (("dane_redirects",), dict.fromkeys(("pyon.example", "PYON.example."), "https://elsewhere.example")),
     ("dane_redirects: pyon.example is there more than once; keep one",)),
    *((f"redirect to {kind}", (("dane_redirects", "pyon.example"), target),
       ("dane_redirects, pyon.example: ", "is not a plain http or https URL; write one such as https://elsewhere.example/base, without user"))
      for kind, target in {
          "nothing": None, "a path": "/base", "a name": "elsewhere.example", "a number": 5, "a list": ["https://elsewhere.example"],
          "another scheme": "ftp://elsewhere.example/", "a script": "javascript:alert(1)", "no scheme": "//elsewhere.example/", "no host": "https:///base",
          "a user": "https://kato@elsewhere.example/", "a password": "https://a:b@elsewhere.example/", "a fragment": "https://elsewhere.example/#a",
          "a query": "https://elsewhere.example/?a", "a header": "https://elsewhere.example/\r\nSet-Cookie: a=b", "a line": "https://elsewhere.example/\n",
          "a quote": 'https://elsewhere.example/" [R=200]', "an apostrophe": "https://elsewhere.example/'", "a blank": "https://elsewhere.example/a b",
          "a backslash": "https://elsewhere.example\\@evil.example/", "a variable": "https://elsewhere.example/%{ENV:PATH}",
          "a map": "https://elsewhere.example/${a:b}", "half an octet": "https://elsewhere.example/%2", "a port beyond": "https://elsewhere.example:65536/",
          "port 0": "https://elsewhere.example:0/", "an address": "https://[2001:db8::1]/", "a letter": "https://elsewhere.example/\u00e9",
          "a long one": f"https://elsewhere.example/{'a' * 500}"}.items()),
    ("redirect to no domain name", (("dane_redirects", "pyon.example"), "https://else--where..example/"),
     ("dane_redirects, pyon.example, host of the target: else--where..example is not a domain name",)),
    ("redirect to an IPv4 address", (("dane_redirects", "pyon.example"), "https://198.51.100.1/"), ("198.51.100.1 ends in a number",)),
    ("redirect to itself", (("dane_redirects", "pyon.example"), "http://PYON.example./base"),
     ("dane_redirects, pyon.example: it leads back to itself (pyon.example -> pyon.example); send one of them elsewhere or delete it",)),
    ("redirects in a circle", (("dane_redirects",), {"g.pyon.example": "https://kodama.example/", "kodama.example": "http://pyon.example/a",
                                                     "pyon.example": "https://kodama.example:443/"}),
     ("dane_redirects, kodama.example: it leads back to itself (kodama.example -> pyon.example -> kodama.example); send one of them",)),
    # values for zone files
    ("newline", record("x", "TXT", "a\nb"), ("(x TXT): the value has '\\n', which must not be in it; write plain printable ASCII",)),
    ("quote", record("x", "TXT", '"v=DKIM1"'), ("(x TXT): the value has '\"', which must not be in it", "quoting and escaping are done for you")),
    ("backslash", record("x", "TXT", "v=DKIM1\\; k=rsa"), ("(x TXT): the value has '\\\\', which must not be in it",)),
    ("nul", record("x", "TXT", "a\0b"), ("the value has '\\x00'",)),
    ("control", record("x", "TXT", "a\x1bb"), ("the value has '\\x1b'",)),
    ("not ascii", record("x", "TXT", "caf\u00e9"), ("the value has '\\xe9'",)),
    ("$INCLUDE", record("x", "TXT", "$INCLUDE /etc/shadow"),
     ("(x TXT): the value has $INCLUDE, a directive of zone files; write plain text without it",)),
    ("$ORIGIN", record("x", "TXT", "$origin ."), ("the value has $origin, a directive",)),
    ("$INCLUDE as owner", record("$INCLUDE", "TXT", "x"), ("$INCLUDE.pyon.example is not a domain name",)),
    ("newline in owner", record("x\n@", "TXT", "x"), ("'x\\n@.pyon.example' is not a domain name",)),
    ("newline at the end of a name", cert("x.pyon.example\n", ["vps.pyon.example"], {"https": 443}), ("'x.pyon.example\\n' is not a domain name",)),
    ("newline in cname", record("x", "CNAME", "a.example.\nb"), ("(x CNAME): the value has '\\n'",)),
    ("no data", record("x", "TXT", ""), ("the value has 0 octets; give 1 to 4000",)),
    ("much data", record("x", "TXT", "a" * 4001), ("the value has 4001 octets; give 1 to 4000",)),
    ("number as data", record("x", "TXT", 5), ("(x TXT): 5 is not text; put it in quotes",)),
    # records
    ("tlsa", record("_25._tcp.g", "TLSA", f"3 1 1 {SHA256}"),
     ("(_25._tcp.g TLSA): records of type TLSA are not the operator's to write: TLSA records follow",)),
    ("soa", record("@", "SOA", "x"), ("records of type SOA are not the operator's to write",)),
    ("dnskey", record("@", "dnskey", "x"), ("records of type DNSKEY are not the operator's to write: signing makes it; delete it",)),
    ("rrsig", record("www", "RRSIG", "x"), ("records of type RRSIG are not the operator's to write",)),
    ("type", record("x", "AAA", "x"), ("(x AAA): AAA is not a type of record that can be written here; did you mean",)),
    ("apex ns", record("@", "NS", "ns.example.net."),
     ("(@ NS): the NS records of pyon.example follow from primary and secondaries of that zone; delete",)),
    ("apex mx", record("@", "MX", "10 mail.example.net."), ("(@ MX): the MX records of pyon.example follow from mx; move it to mx",)),
    ("apex ds", record("@", "DS", f"1 13 2 {SHA256}"), ("(@ DS): a DS belongs where a parent delegates a child", "into the parent zone")),
    ("generated address", record("g", "A", "198.51.100.9"),
     ("(g A): the addresses of g.pyon.example follow from certificate g.pyon.example; delete the record",)),
    ("host's address", record("home", "AAAA", "2001:db8::9"),
     ("(home AAAA): the addresses of home.pyon.example follow from host home.pyon.example",)),
    ("second spf", record("@", "TXT", "v=spf1 -all"),
     ("(@ TXT): the SPF record of pyon.example follows from the model; delete it and set spf of the zone",)),
    ("spf at the mail name", record("g", "TXT", "v=spf1 -all"), ("(g TXT): the SPF record of g.pyon.example follows from the model; delete it",)),
    ("two spf elsewhere", records(("lists", "TXT", "v=spf1 a -all"), ("lists", "TXT", "v=spf1 -all")),
     ("lists.pyon.example has more than one SPF record",)),
    ("second dmarc", record("_dmarc", "TXT", "v=DMARC1; p=none"), ("(_dmarc TXT): the DMARC record of _dmarc.pyon.example follows from the model",)),
    ("same record twice", record("printer", "AAAA", "2001:db8:51::77"), ("(printer AAAA): the same record is there twice; keep one",)),
    ("outside the zone", record("www.kodama.example.", "A", "198.51.100.9"),
     ("the owner www.kodama.example is outside the zone pyon.example; move it",)),
    ("forgotten dot", record("www2.pyon.example", "A", "198.51.100.9"),
     ("the owner www2.pyon.example would become www2.pyon.example.pyon.example; end it with a dot",)),
    ("forgotten dot in data", record("x", "CNAME", "g.pyon.example"),
     ("(x CNAME): the name g.pyon.example does not end with a dot; write it whole, as g.pyon.example.",)),
    ("below a delegation", record("www.sub", "A", "198.51.100.9"),
     ("(www.sub A): the name lies in sub.pyon.example, which pyon.example delegates to others",)),
    ("at a delegation", record("sub", "TXT", "x"), ("(sub TXT): the name lies in sub.pyon.example, which pyon.example delegates",)),
    ("certificate below a delegation", cert("x.sub.pyon.example", ["vps.pyon.example"], {"https": 443}),
     ("A of x.sub.pyon.example, which follows from certificate x.sub.pyon.example: the name lies in sub.pyon.example",)),
    ("ttl of an rrset", record("@", "TXT", "x", ttl=60), ("(@ TXT): its ttl 60 differs from 3600 of the other TXT records at pyon.example",)),
    ("no owner", ((*ZONE, "records"), [{"type": "A", "data": "198.51.100.9"}]),
     ("zone pyon.example, records, item 1: owner is missing; give owner, type and data",)),
    ("record is text", ((*ZONE, "records"), ["www A 198.51.100.9"]), ("records, item 1: 'www A 198.51.100.9' is not a mapping",)),
    ("mx data", record("x", "MX", "g.pyon.example."), ("(x MX): g.pyon.example. is not the data of MX; write it as in: 10 g.pyon.example.",)),
    ("srv data", record("x", "SRV", "0 0 65536 g.pyon.example."), ("(x SRV): 65536 is not a number from 0 to 65535",)),
    ("caa data", record("x", "CAA", "1 issue x"), ("(x CAA): '1 issue x' is not the data of CAA; write it as in: 0 issue letsencrypt.org",)),
    ("ds data", record("sub", "DS", "1 13 2 abcd"), ("(sub DS): '1 13 2 abcd' has no digest of the right kind and length",)),
    ("ds where nothing is delegated", record("x", "DS", f"1 13 2 {SHA256}"), ("which pyon.example does not do at x.pyon.example",)),
    ("owner", record(5, "TXT", "x"), ("5 is not an owner; write \"@\", a name relative to pyon.example, or an absolute one with its final dot",)),
    ("wildcard inside", record("a.*", "A", "198.51.100.9"), ("is not a domain name",)),
    ("underscore host", record("my_host", "A", "198.51.100.9"), ("my_host.pyon.example is not a domain name (a host name has no underscore)",)),
    # numbers and policy
    ("ttl 0", ((*ZONE, "ttl"), 0), ("zone pyon.example, ttl: 0 is out of range; give a number from 1 to 604800",)),
    ("ttl boolean", ((*ZONE, "ttl"), True), ("zone pyon.example, ttl: True is not a whole number",)),
    ("ttl text", ((*ZONE, "ttl"), "1h"), ("zone pyon.example, ttl: 1h is not a whole number; give one from 1 to 604800",)),
    ("tlsa_ttl", ((*ZONE, "tlsa_ttl"), -1), ("zone pyon.example, tlsa_ttl: -1 is out of range",)),
    ("record ttl", record("x", "A", "198.51.100.9", ttl=700000), ("(x A), ttl: 700000 is out of range",)),
    ("serial", ((*ZONE, "serial"), 2**32), ("zone pyon.example, serial: 4294967296 is out of range; give a number from 0 to 4294967295",)),
    ("expire", ((*ZONE, "expire"), "never"), ("zone pyon.example, expire: never is not a whole number",)),
    ("signatures", (("dane_policy", "signature_validity"), 1234800),
     ("dane_policy: signature_validity 1234800 - signature_renewal 604800 - timer_interval 21600 = 608400 seconds must exceed"
      " expire 604800 + highest ttl 3600 = 608400",
      "of zone pyon.example; raise signature_validity")),
    ("signatures and one ttl", both((("dane_policy", "signature_validity"), 1234801), record("x", "A", "198.51.100.9", ttl=3601)),
     ("must exceed expire 604800 + highest ttl 3601",)),
    ("verify ca", (("dane_verify_ca",), "ca.pem"), ("dane_verify_ca: ca.pem is not a plain absolute path; name a file",)),
    ("roll", (("dane_roll",), ["g.pyon.exmaple"]), ("dane_roll: there is no certificate g.pyon.exmaple; did you mean g.pyon.example?",)),
    ("compromised", (("dane_compromised",), "AB" * 32), (f"dane_compromised: {'AB' * 32} is not the SHA-256 of a key; give the 64 hexadecimal digits",)),
    ("revoked", (("dane_revoked",), [f"AB:{'cd' * 31}"]),
     (f"dane_revoked: AB:{'cd' * 31} is not the SHA-256 of a certificate; give its 64 hexadecimal digits, in lower case and without colons",)),
    ("revoked is no list", (("dane_revoked",), {"ab" * 32: True}), ("True} is not a list; write a list",)),
    ("revoke now", (("dane_revoke_now",), "perhaps"), ("dane_revoke_now: perhaps is not a boolean; write true or false",)),
    ("wait", (("dane_wait",), 1), ("dane_wait: 1 is not a boolean; write true or false",)),
    *((f"negative {key}", (("dane_policy", key), -1), (f"dane_policy, {key}: -1 is out of range; give a number from {least} to ",)) for key, least in (
        ("signature_validity", 1), ("signature_renewal", 1), ("timer_interval", 1), ("key_lifetime", 0), ("lead", 0), ("session", 0), ("cache_floor", 0),
        ("cache_hops", 1), ("clock_margin", 0), ("fall_back", 0), ("ns_ttl", 0), ("signature_skew", 0), ("highest_tlsa_ttl", 1), ("retire_after", 0))),
    ("hops", (("dane_policy", "cache_hops"), 0), ("dane_policy, cache_hops: 0 is out of range; give a number from 1 to 16",)),
    ("key lifetime", (("dane_policy", "key_lifetime"), "newer"), ("dane_policy, key_lifetime: newer is not a whole number",)),
    ("key lifetime and hold", (("dane_policy", "key_lifetime"), 356460),
     ("dane_policy: key_lifetime 356460 seconds is not more than the 356460 that a new key of zone kodama.example has to wait"
      " (fall_back 90000 + hold 7260 for the TTL 3600 + lead 259200); raise key_lifetime, or write never or 0",)),
    ("ns_ttl", both((("dane_policy", "ns_ttl"), 3599), ((*ZONE, "ttl"), 3600)),
     ("dane_policy: ns_ttl 3599 seconds is less than the TTL 3600 of the name servers of zone pyon.example, for which caches may ask one that was removed;"
      " raise ns_ttl to 3600 or more",)),
    ("ns_ttl by default", ((*ZONE, "ttl"), 604800),
     ("dane_policy: ns_ttl 172800 seconds is less than the TTL 604800 of the name servers of zone pyon.example", "; raise ns_ttl to 604800 or more")),
    ("ns_ttl and a name server in another zone", both((("dane_policy", "ns_ttl"), 3600), ((*ZONE, "ttl"), 3601)),
     ("dane_policy: ns_ttl 3600 seconds is less than the TTL 3601 of the name servers of zone kodama.example",)),
    ("ns_ttl and a delegation", both((("dane_policy", "ns_ttl"), 60), ((*ZONE, "ttl"), 61), (("dane_zones", "kodama.example", "ttl"), 60),
                                     (("dane_zones", "down.pyon.example"), {"primary": "peer.example", "ttl": 60}),
                                     (("peer.example", "dane_ipv4"), ["198.51.100.12"]), cert("down.pyon.example", ["vps.pyon.example"], {"https": 443})),
     ("dane_policy: ns_ttl 60 seconds is less than the TTL 61 of the name servers of zone down.pyon.example",)),
    ("highest_tlsa_ttl", (("dane_policy", "highest_tlsa_ttl"), 599),
     ("dane_policy: highest_tlsa_ttl 599 seconds is less than the tlsa_ttl 600 of zone pyon.example, for which caches may hold records of which nothing is"
      " on record; raise highest_tlsa_ttl to 600 or more",)),
    ("forget", (("dane_forget",), ["g.pyon.example"]), ("dane_forget: g.pyon.example is not the owner of a TLSA record; write it as in: _25._tcp.g",)),
    ("scheme", (("dane_policy", "scheme"), "2 1 1"),
     ("dane_policy, scheme: '2 1 1' is not a scheme; write 3 1 1, for records of keys, or 3 0 1, for records of certificates",)),
    ("no scheme", (("dane_policy", "scheme"), ["3 0 1"]), ("dane_policy, scheme: ['3 0 1'] is not a scheme; write 3 1 1",)),
    ("timer", (("dane_policy", "timer_interval"), 0), ("dane_policy, timer_interval: 0 is out of range; give a number from 1",)),
    # zones
    ("primary among secondaries", ((*ZONE, "secondaries"), ["vps.pyon.example"]),
     ("zone pyon.example, secondaries: vps.pyon.example is the primary; leave it out",)),
    ("secondary twice", ((*ZONE, "secondaries"), ["home.pyon.example"] * 2), ("home.pyon.example is there more than once",)),
    ("anycast name", ((*ZONE, "anycast"), ["ns.elsewhere.example"]),
     ("zone pyon.example, anycast: ns.elsewhere.example is not an IPv4 address; write one such as 198.51.100.10",)),
    ("anycast network", ((*ZONE, "anycast"), ["2001:db8::/64"]), ("zone pyon.example, anycast: 2001:db8::/64 is not an IPv6 address; write one such as",)),
    ("anycast twice", ((*ZONE, "anycast"), ["2001:db8::53", "198.51.100.53", "2001:DB8:0::53"]),
     ("zone pyon.example, anycast: 2001:db8::53 is there more than once; keep one",)),
    ("anycast loopback", ((*ZONE, "anycast"), ["::1"]),
     ("zone pyon.example, anycast: ::1 is not an address that others can reach; give the public addresses of the name server",)),
    ("anycast not in a list", ((*ZONE, "anycast"), "198.51.100.53"),
     ("zone pyon.example, anycast: 198.51.100.53 is not a list; write [198.51.100.53]",)),
    ("anycast and key_lifetime", both((("dane_zones", "kodama.example", "anycast"), ["198.51.100.53"]), (("dane_policy", "key_lifetime"), 2772060)),
     ("dane_policy: key_lifetime 2772060 seconds is not more than the 2772060 that a new key of zone kodama.example has to wait"
      " (signature_validity 2419200 + signature_skew 86400 + hold 7260 for the TTL 3600 + lead 259200); raise key_lifetime, or write never or 0",)),
    ("no primary", (("dane_zones", "kodama.example"), {}), ("zone kodama.example: it has no primary; name the inventory host that signs it",)),
    ("zone is text", (("dane_zones", "kodama.example"), "vps"), ("zone kodama.example: vps is not a mapping",)),
    ("no zones", (("dane_zones",), {}), ("dane_zones: no host of the inventory has a zone; define dane_zones for the group all",)),
    ("hostmaster", ((*ZONE, "hostmaster"), "hostmaster.pyon.example"),
     ("zone pyon.example, hostmaster: hostmaster.pyon.example is not a mail address; write one",)),
    ("long hostmaster", ((*ZONE, "hostmaster"), f"{'h' * 60}@{FILLED}"), ("zone pyon.example, hostmaster:", "octets; a name has at most 253, so choose")),
    ("hosts differ on a variable", (("home.pyon.example", "dane_mailboxes"), ["bob"]),
     ("dane_mailboxes: hosts home.pyon.example and peer.example have different values; define it once, for the group all",)),
    # spf and dmarc
    ("spf term", ((*ZONE, "spf"), ["mxx", "-all"]), ("zone pyon.example, spf: mxx is not a term of SPF; list the terms after v=spf1",)),
    ("spf version", ((*ZONE, "spf"), ["v=spf1", "mx", "-all"]), ("v=spf1 is not a term of SPF; list the terms after v=spf1",)),
    ("spf ptr", ((*ZONE, "spf"), ["ptr", "-all"]), ("ptr must not be published (RFC 7208 section 5.5)",)),
    ("spf family", ((*ZONE, "spf"), ["ip4:2001:db8::1", "-all"]), ("term ip4:2001:db8::1: 2001:db8::1 is an IPv6 address where IPv4 is wanted",)),
    ("spf after all", ((*ZONE, "spf"), ["-all", "mx"]), ("zone pyon.example, spf: mx stands after all, where nobody reads it; put all last",)),
    ("spf lookups", ((*ZONE, "spf"), [*(f"include:s{i}.example" for i in range(10)), "mx", "-all"]),
     ("zone pyon.example, spf: 11 terms ask the DNS, and receivers stop with an error after 10",)),
    ("spf blanks", ((*ZONE, "spf"), ["mx -all"]), ("'mx -all' is not a term of SPF",)),
    ("spf text", ((*ZONE, "spf"), "mx -all"), ("zone pyon.example, spf: 'mx -all' is not a list",)),
    ("spf domain", ((*ZONE, "spf"), ["include:a..b", "-all"]), ("include:a..b is not a term of SPF",)),
    ("dmarc pct", ((*ZONE, "dmarc"), {"pct": 50}), ("zone pyon.example, dmarc: the tag pct is gone since RFC 9989; delete it",)),
    ("dmarc rf", ((*ZONE, "dmarc"), {"rf": "afrf"}), ("the tag rf is gone since RFC 9989",)),
    ("dmarc p", ((*ZONE, "dmarc"), {"p": "rejct"}), ("dmarc, tag p: rejct is not a value of p; did you mean reject?",)),
    ("dmarc rua", ((*ZONE, "dmarc"), {"rua": "dmarc@pyon.example"}), ("dmarc, tag rua: dmarc@pyon.example is not a mailto: address; write mailto:",)),
    ("dmarc fo", ((*ZONE, "dmarc"), {"fo": "2"}), ("dmarc, tag fo: 2 is not a value of fo",)),
    # mailboxes, acme, resolver
    ("make users", (("dane_make_users",), "yes"), ("dane_make_users: yes is not a boolean; write true or false",)),
    # aliases and virtual users
    ("alias of nobody", (("dane_aliases", "info"), ["katto"]), ("dane_aliases, alias info: there is no mailbox or alias katto; did you mean kato?",)),
    ("alias far from all", (("dane_aliases", "info"), ["zzz"]), ("alias info: there is no mailbox or alias zzz; there are: alice, boss,",)),
    ("alias to nobody at ours", (("dane_aliases", "info"), ["zzz@pyon.example"]), ("alias info: there is no address zzz@pyon.example; did you mean",)),
    ("alias to nobody on the host", (("dane_aliases", "info"), ["zzz@vps.pyon.example"]), ("there is no address zzz@vps.pyon.example",)),
    ("alias to itself", (("dane_aliases", "info"), ["info"]), ("dane_aliases: mail goes round from info to info; take one of these targets out",)),
    ("alias to its own address", (("dane_aliases", "kato"), ["kato@pyon.example"]), ("dane_aliases: mail goes round from kato to kato;",)),
    ("alias to its own address with a detail", (("dane_aliases", "kato"), ["KATO+x@pyon.example"]), ("mail goes round from kato to kato;",)),
    ("alias to its address on the host", (("dane_aliases", "kato"), ["kato@vps.pyon.example"]), ("mail goes round from kato to kato;",)),
    ("two aliases round", both((("dane_aliases", "b"), ["a"]), (("dane_aliases", "a"), ["b"])), ("dane_aliases: mail goes round from a to b to a;",)),
    ("two mailboxes round", both((("dane_aliases", "kato"), ["alice"]), (("dane_aliases", "alice"), ["kato", "alice"])),
     ("dane_aliases: mail goes round from alice to kato to alice;",)),
    ("alias round by postmaster", (("dane_aliases", "alice"), ["postmaster"]), ("mail goes round from alice to postmaster to alice;",)),
    ("alias round by root", (("dane_aliases", "alice"), ["root"]), ("mail goes round from alice to root to alice;",)),
    ("alias round by a virtual user", (("dane_aliases", "sales.team"), ["sales@pyon.example"]),
     ("dane_aliases: mail goes round from sales.team to sales@pyon.example to sales.team;",)),
    ("virtual users round", both((("dane_virtual_users", "sales@pyon.example"), ["info@pyon.example"]),
                                 (("dane_virtual_users", "info@pyon.example"), ["Sales+x@pyon.example"])),
     ("dane_virtual_users: mail goes round from info@pyon.example to sales@pyon.example to info@pyon.example;",)),
    ("virtual user to itself", (("dane_virtual_users", "b@pyon.example"), ["B@pyon.example"]), ("mail goes round from b@pyon.example to b@pyon.example;",)),
    ("long way", both(*((("dane_aliases", f"way{place}"), [f"way{place + 1}"]) for place in range(8)), (("dane_aliases", "way8"), ["kato"])),
     ("the mail of way0: it passes through more than 8 names until it is there; name the last of them at once",)),
    ("alias of a program", (("dane_aliases", "info"), ["|/bin/sh"]),
     ("dane_aliases, alias info: |/bin/sh is neither a local name nor a mail address; name mailboxes", "no mail goes to programs, files")),
    ("alias of a quoted program", (("dane_aliases", "info"), ['"|/bin/sh -c id"']), ("is neither a local name nor a mail address",)),
    ("alias of a program with an @", (("dane_aliases", "info"), ['"|/bin/sh"@pyon.example']), ("is neither a local name nor a mail address",)),
    ("alias of a file", (("dane_aliases", "info"), ["/etc/cron.d/x"]), ("/etc/cron.d/x is neither a local name nor a mail address",)),
    ("alias of a file with an @", (("dane_aliases", "info"), ["/tmp/x@pyon.example"]), ("/tmp/x@pyon.example is neither a local name",)),
    ("alias of a list in a file", (("dane_aliases", "info"), [":include:/etc/shadow"]), (":include:/etc/shadow is neither a local name nor a mail address",)),
    ("alias with a backslash", (("dane_aliases", "info"), ["\\kato"]), ("is neither a local name nor a mail address",)),
    ("alias with a newline", (("dane_aliases", "info"), ["kato\nroot: |id"]), ("'kato\\nroot: |id' is neither a local name nor a mail address",)),
    ("alias with a newline in the domain", (("dane_aliases", "info"), ["x@peer.example\nroot"]), ("'peer.example\\nroot' is not a domain name",)),
    ("alias with a comma", (("dane_aliases", "info"), ["kato, |id"]), ("'kato, |id' is neither a local name nor a mail address",)),
    ("alias with a comment", (("dane_aliases", "info"), ["kato#"]), ("kato# is neither a local name nor a mail address",)),
    ("alias of a path through others", (("dane_aliases", "info"), ["peer%x@pyon.example"]), ("is neither a local name nor a mail address",)),
    ("alias of an error", (("dane_virtual_users", "b@pyon.example"), ["error:nouser"]), ("error:nouser is neither a local name nor a mail address",)),
    ("alias of a number", (("dane_aliases", "info"), [5]), ("alias info: 5 is neither a local name nor a mail address",)),
    ("alias of text", (("dane_aliases", "info"), "kato"), ("dane_aliases, alias info: kato is not a list; write [kato]",)),
    ("alias of nothing", (("dane_aliases", "info"), []), ("dane_aliases, alias info: it has no targets; list where its mail goes",)),
    ("alias twice the same", (("dane_aliases", "info"), ["kato", "kato"]), ("dane_aliases, alias info: kato is there more than once",)),
    ("alias with much", (("dane_aliases", "info"), [f"{place:0>60}@peer.example" for place in range(60)]),
     ("its targets have more than 4000 octets together",)),
    ("alias name", (("dane_aliases", "in fo"), ["kato"]), ("dane_aliases: 'in fo' is not the name of an alias; use a-z",)),
    ("alias name with a newline", (("dane_aliases", "a\n"), ["kato"]), ("dane_aliases: 'a\\n' is not the name of an alias",)),
    ("alias name as an address", (("dane_aliases", "info@pyon.example"), ["kato"]), ("dane_aliases: info@pyon.example is not the name of an alias",)),
    ("alias name number", (("dane_aliases", 5), ["kato"]), ("dane_aliases: 5 is not the name of an alias",)),
    ("alias name of an owner of lists", (("dane_aliases", "a:b"), ["kato"]), ("a:b is not the name of an alias",)),
    ("alias name long", (("dane_aliases", "a" * 64), ["kato"]), ("is not the name of an alias",)),
    ("alias name twice", (("dane_aliases", "INFO"), ["kato"]), ("dane_aliases, alias info: it is there more than once",)),
    ("alias postmaster", (("dane_aliases", "Postmaster"), ["kato"]),
     ("dane_aliases, alias postmaster: its mail goes to dane_postmaster; delete it and set dane_postmaster",)),
    ("virtual user elsewhere", (("dane_virtual_users", "a@pyno.example"), ["kato"]),
     ("dane_virtual_users, a@pyno.example: pyno.example is none of our mail domains; did you mean pyon.example?",)),
    ("virtual user on a host", (("dane_virtual_users", "a@vps.pyon.example"), ["kato"]), ("vps.pyon.example is none of our mail domains",)),
    ("virtual user without a mail host", both(((*CERT, "services"), {"https": 443}), ((*ZONE, "mx"), {}), (("dane_zones", "kodama.example", "mx"), {})),
     ("dane_virtual_users, sales@pyon.example: pyon.example is none of our mail domains; define one first",)),
    ("virtual user in a zone without mail", both(cert("x.kodama.example", ["home.pyon.example"], {"https": 8443}), (("dane_zones", "kodama.example", "mx"), {}),
                                                 (("dane_virtual_users", "a@kodama.example"), ["kato"])),
     ("dane_virtual_users, a@kodama.example: kodama.example is none of our mail domains;",)),
    ("virtual user of nobody", (("dane_virtual_users", "a@pyon.example"), ["b"]), ("dane_virtual_users, a@pyon.example: there is no mailbox or alias b;",)),
    ("virtual user as a name", (("dane_virtual_users", "sales"), ["kato"]), ("dane_virtual_users: sales is not a mail address; write one",)),
    ("virtual user for all", (("dane_virtual_users", "@pyon.example"), ["kato"]), ("dane_virtual_users: @pyon.example is not a mail address",)),
    ("virtual user with a detail", (("dane_virtual_users", "a+b@pyon.example"), ["kato"]), ("a+b@pyon.example: what stands before the @ is no name",)),
    ("virtual user with a newline", (("dane_virtual_users", "a@pyon.example\nb"), ["kato"]), ("'pyon.example\\nb' is not a domain name",)),
    ("virtual user twice", (("dane_virtual_users", "SALES@Pyon.example"), ["kato"]), ("dane_virtual_users, sales@pyon.example: it is there more than once",)),
    ("virtual postmaster", (("dane_virtual_users", "postmaster@kodama.example"), ["kato"]),
     ("postmaster@kodama.example: the mail of postmaster goes to dane_postmaster; delete it",)),
    ("mailbox", (("dane_mailboxes",), ["Kato"]), ("dane_mailboxes: Kato is not the name of a local user; use a-z",)),
    ("mailbox newline", (("dane_mailboxes",), ["kato\nroot"]), ("dane_mailboxes: 'kato\\nroot' is not the name of a local user",)),
    ("mailbox 33", (("dane_mailboxes",), ["a" * 33]), ("is not the name of a local user",)),
    ("pop3 tls", (("dane_pop3", "tls"), False), ("dane_pop3, tls: False is not a way to use TLS; choose from: required, optional, none",)),
    ("pop3 key", (("dane_pop3", "tsl"), "none"), ("dane_pop3: there is no key tsl; did you mean tls?",)),
    ("pop3 file", (("dane_pop3", "password_file"), "/etc/a b"), ("dane_pop3, password_file: '/etc/a b' is not a plain absolute path; name a file",)),
    ("pop3 alone", (("dane_pop3",), True), ("dane_pop3: True is not a mapping",)),
    ("unattended host", (("dane_unattended", "host"), "pear.example"), ("dane_unattended, host: host pear.example is not in the inventory; did you mean",)),
    ("unattended nowhere", (("dane_unattended",), {"mail": "a@b.example"}), ("dane_unattended, host: host None is not in the inventory; its hosts are",)),
    ("unattended mail", (("dane_unattended", "mail"), "a@b.example\nBcc: c@d.example"), ("dane_unattended, mail: 'a@b.example\\nBcc: c@d.example' is not a",)),
    ("unattended without mail", (("dane_unattended", "mail"), None), ("dane_unattended, mail: None is not a mail address",)),
    ("unattended never", (("dane_unattended", "interval"), 0), ("dane_unattended, interval: 0 is out of range; give a number from 1",)),
    ("unattended project", (("dane_unattended", "project"), "here"), ("dane_unattended, project: here is not an absolute path; name the directory",)),
    ("unattended without inventory", (("dane_unattended", "inventory"), []), ("dane_unattended, inventory: it is empty; name the files",)),
    ("unattended inventory", (("dane_unattended", "inventory"), "hosts"), ("dane_unattended, inventory: hosts is not a list; write [hosts]",)),
    ("unattended outside", (("dane_unattended", "inventory"), ["../hosts"]), ("inventory: ../hosts is not a plain path inside the project; write one",)),
    ("unattended outside below", (("dane_unattended", "files"), ["a/../../b"]), ("files: a/../../b is not a plain path inside the project",)),
    ("unattended absolute", (("dane_unattended", "files"), ["/etc/shadow"]), ("files: /etc/shadow is not a plain path inside the project",)),
    ("unattended option", (("dane_unattended", "inventory"), ["--become"]), ("inventory: --become is not a plain path inside the project",)),
    ("unattended unit", (("dane_unattended", "inventory"), ["hosts\nUser=x"]), ("inventory: 'hosts\\nUser=x' is not a plain path inside the project",)),
    ("unattended vault", (("dane_unattended", "vault_password_file"), "~/vault"), ("vault_password_file: ~/vault is not a plain absolute path; name a file",)),
    ("unattended from a name", (("dane_unattended", "from"), ["*.example"]), ("dane_unattended, from: *.example is not an address or a network; write",)),
    ("unattended from no network", (("dane_unattended", "from"), ["198.51.100.20/24"]), ("from: 198.51.100.20/24 is not an address or a network",)),
    ("unattended key", (("dane_unattended", "email"), "a@b.example"), ("dane_unattended: there is no key email; did you mean mail?",)),
    ("postmaster", (("dane_postmaster",), "alise"), ("dane_postmaster: alise is neither among dane_mailboxes nor root; did you mean alice?",)),
    ("http", (("dane_acme", "directory"), "http://acme.example/dir"),
     ("dane_acme, directory: http://acme.example/dir is not an https URL of plain characters",)),
    ("url with a command", (("dane_acme", "directory"), "https://acme.example/$(id)"),
     ("dane_acme, directory: https://acme.example/$(id) is not an https URL",)),
    ("url port", (("dane_acme", "directory"), "https://acme.example:70000/"), ("is not an https URL",)),
    ("contact", (("dane_acme", "contact"), "hostmaster"), ("dane_acme, contact: hostmaster is not a mail address",)),
    ("contact with a command", (("dane_acme", "contact"), "a;id@pyon.example"), ("dane_acme, contact: a;id@pyon.example is not a mail address",)),
    ("ca", (("dane_acme", "ca"), "/etc/ca.pem"), ("dane_acme, ca: the value is not one or more certificates in PEM",)),
    ("ca with more", (("dane_acme", "ca"), PEM + "x\n"), ("dane_acme, ca: the value is not one or more certificates in PEM",)),
    ("trust anchor", (("dane_resolver", "trust_anchors"), ["12345 13 2 ab"]), ("dane_resolver, trust_anchors: '12345 13 2 ab' is not a DS record",)),
    ("root hint address", (("dane_resolver", "root_hints"), [{"name": "a.root.", "addresses": ["x"]}]),
     ("root_hints, item 1, addresses: x is not an IPv4 address",)),
    ("root hint without address", (("dane_resolver", "root_hints"), [{"name": "a.root."}]),
     ("dane_resolver, root_hints, item 1: it has no addresses; list the addresses of the root server",)),
    ("insecure_reverse", (("dane_resolver", "insecure_reverse"), "yes"),
     ("dane_resolver, insecure_reverse: yes is not a boolean; write true or false",)),
]


@pytest.mark.parametrize(("change", "fragments"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_gets_one_clear_sentence(change: Any, fragments: tuple[str, ...]) -> None:
    variables = copy.deepcopy(good())
    both(change)(variables)
    errors = errors_of(variables)
    assert any(all(fragment in error for fragment in fragments) for error in errors), errors
    assert all(error.isascii() and error.isprintable() and "; " in error for error in errors), errors
    assert len(errors) <= 4, errors  # a mistake is not to drown in its consequences


def test_the_good_model_is_good() -> None:
    assert errors_of(good()) == []


def test_each_row_of_bad_input_is_named_once() -> None:
    assert len({row[0] for row in BAD}) == len(BAD)


def test_all_errors_are_reported_together_up_to_a_limit() -> None:
    variables = good()
    for number in range(30):
        variables["peer.example"][f"dane_zz{number:02}"] = 1
    errors = errors_of(variables)
    assert len(errors) == ERRORS_SHOWN + 1
    assert errors[-1] == "and 10 more; mend these first"


def rows(part: list[dict[str, Any]]) -> list[str]:
    """Records as lines."""
    return [f"{one['owner']} {one['ttl']} {one['type']} {one['data']}" for one in part]


def test_the_example_is_the_server_of_the_talk() -> None:
    model = judge_model(example())
    vps = slice_of(model, "vps.pyon.example")
    zone = vps["primary_zones"][0]
    assert rows(zone.pop("records")) == [
        "pyon.example. 3600 NS vps.pyon.example.", "pyon.example. 3600 NS home.pyon.example.",
        "g.pyon.example. 3600 A 198.51.100.10", "g.pyon.example. 3600 AAAA 2001:db8:51::10",
        "home.pyon.example. 3600 A 198.51.100.11", "home.pyon.example. 3600 AAAA 2001:db8:51::11",
        "pyon.example. 3600 A 198.51.100.10", "pyon.example. 3600 AAAA 2001:db8:51::10",
        "vps.pyon.example. 3600 A 198.51.100.10", "vps.pyon.example. 3600 AAAA 2001:db8:51::10",
        "pyon.example. 3600 MX 10 g.pyon.example."]
    assert rows(zone.pop("mail_records")) == [
        'pyon.example. 3600 TXT "v=spf1 mx -all"', 'g.pyon.example. 3600 TXT "v=spf1 a -all"', '_dmarc.pyon.example. 3600 TXT "v=DMARC1; p=reject"']

    def backend(certificate: str, service: str, port: int) -> dict[str, Any]:
        return {"host": "vps.pyon.example", "certificate": certificate, "service": service, "port": port}

    def endpoint(name: str, service: str, port: int) -> dict[str, Any]:
        return {"name": name, "service": service, "port": port, "owner": f"_{port}._tcp.{name}.", "ipv4": ["198.51.100.10"], "ipv6": ["2001:db8:51::10"],
                "pair": []}

    assert vps == {
        "schema": 1, "host": "vps.pyon.example", "ipv4": ["198.51.100.10"], "ipv6": ["2001:db8:51::10"],
        "policy": {"signature_validity": 2419200, "signature_renewal": 604800, "timer_interval": 21600, "key_lifetime": 7776000, "retire_after": None,
                   "lead": 259200, "session": 600, "cache_floor": 300, "cache_hops": 2, "clock_margin": 60, "fall_back": 90000, "ns_ttl": 172800,
                   "signature_skew": 86400, "highest_tlsa_ttl": 604800, "scheme": "3 1 1"},
        "acme": {"directory": "https://acme-v02.api.letsencrypt.org/directory", "contact": "hostmaster@pyon.example", "ca": ""},
        "resolver": {"root_hints": [], "trust_anchors": [], "insecure_reverse": False},
        "primary_zones": [{
            "name": "pyon.example", "ttl": 3600, "tlsa_ttl": 3600, "serial": 0,
            "soa": {"mname": "vps.pyon.example.", "rname": "hostmaster.pyon.example.", "refresh": 3600, "retry": 900, "expire": 604800, "minimum": 300},
            "secondaries": [{"host": "home.pyon.example", "ipv4": ["198.51.100.11"], "ipv6": ["2001:db8:51::11"]}], "anycast": [],
            "tlsa_owners": [
                {"owner": "_25._tcp.g.pyon.example.", "backends": [backend("g.pyon.example", "smtp", 25)]},
                {"owner": "_443._tcp.g.pyon.example.", "backends": [backend("g.pyon.example", "https", 443)]},
                {"owner": "_443._tcp.pyon.example.", "backends": [backend("pyon.example", "https", 443)]}],
            "names": [{"name": name, "hosts": [{"host": "vps.pyon.example", "addresses": ["198.51.100.10", "2001:db8:51::10"]}]}
                      for name in ("g.pyon.example.", "pyon.example.")],
        }],
        "secondary_zones": [],
        "certificates": [
            {"name": "g.pyon.example", "names": ["g.pyon.example"], "algorithm": "ecdsa-p256",
             "services": [{"service": "https", "port": 443, "name": "g.pyon.example"}, {"service": "smtp", "port": 25, "name": "g.pyon.example"}]},
            {"name": "pyon.example", "names": ["pyon.example"], "algorithm": "ecdsa-p256",
             "services": [{"service": "https", "port": 443, "name": "pyon.example"}]}],
        "web": [{"name": "g.pyon.example", "certificate": "g.pyon.example", "rsa_certificate": "", "port": 443, "redirect": ""},
                {"name": "pyon.example", "certificate": "pyon.example", "rsa_certificate": "", "port": 443, "redirect": ""}],
        "challenges": [],
        "mail": {"name": "g.pyon.example", "certificate": "g.pyon.example", "rsa_certificate": "", "port": 25, "domains": ["g.pyon.example", "pyon.example"],
                 "masquerade": "pyon.example", "mailboxes": ["kato"], "make_users": True, "postmaster": "kato", "aliases": {},
                 "virtual_users": {}, "forwards": []},
        "pop3": {},
        "verify": {"vantage": "localhost", "ca": ""},
        "unattended": {}, "unattended_by": "",
        "forget": [], "roll": [], "compromised": [], "revoke_now": False, "revoked": [], "wait": False,
        "zones": ["pyon.example"],
        "wanted": [{
            "zone": "pyon.example",
            "name_servers": [{"name": "vps.pyon.example", "ipv4": ["198.51.100.10"], "ipv6": ["2001:db8:51::10"]},
                             {"name": "home.pyon.example", "ipv4": ["198.51.100.11"], "ipv6": ["2001:db8:51::11"]}],
            "mx": [{"name": "g.pyon.example", "preference": 10}],
            "endpoints": [endpoint("g.pyon.example", "smtp", 25), endpoint("g.pyon.example", "https", 443), endpoint("pyon.example", "https", 443)],
        }],
    }
    home = slice_of(model, "home.pyon.example")
    assert home["secondary_zones"] == [
        {"name": "pyon.example", "primary": {"host": "vps.pyon.example", "ipv4": ["198.51.100.10"], "ipv6": ["2001:db8:51::10"]}}]
    assert (home["primary_zones"], home["certificates"], home["web"], home["mail"]) == ([], [], [], {})
    assert home["wanted"] == vps["wanted"]


def test_addresses_with_many_machines_reach_the_primary_in_their_usual_form() -> None:
    model = judge_model(good())
    assert [slice_of(model, host)["primary_zones"][0]["anycast"] for host in ("vps.pyon.example", "home.pyon.example")] == [
        ["198.51.100.53", "2001:db8:53::53"], []]


@pytest.mark.parametrize(("said", "slice_"), [
    ({}, {"tls": "required", "password_file": ""}),
    ({"tls": "none"}, {"tls": "none", "password_file": ""}),
    ({"tls": "optional", "password_file": "/etc/pop3"}, {"tls": "optional", "password_file": "/etc/pop3"}),
    (None, {}),
])
def test_mail_hosts_have_pop3_where_it_is_asked_for(said: Any, slice_: dict[str, str]) -> None:
    variables = good()
    put(variables, ("dane_pop3",), said)
    model = judge_model(variables)
    assert slice_of(model, "vps.pyon.example")["pop3"] == slice_
    assert slice_of(model, "home.pyon.example")["pop3"] == {}  # receives no mail


def test_one_host_works_unattended_and_logs_in_where_the_playbooks_do() -> None:
    variables = good()
    variables["ns.elsewhere.example"] = {"dane_ipv4": ["198.51.100.77"]}
    variables["peer.example"]["dane_zones"]["pyon.example"]["secondaries"] = ["ns.elsewhere.example"]
    model = judge_model(variables)
    assert slice_of(model, "peer.example")["unattended"] == {
        "host": "peer.example", "mail": "operator@elsewhere.example", "interval": 600, "project": "/home/kato/my project",
        "inventory": ["inventory.yml", "more/hosts"], "files": [".cache/ca.pem"], "vault_password_file": "/root/vault",
        "from": ["198.51.100.20/32", "2001:db8:51::/64"], "manages_itself": False}  # verify.yml looks from there
    assert [slice_of(model, host)["unattended_by"] for host in variables] == ["peer.example", "peer.example", "", ""]  # a secondary alone is not logged in to
    assert [slice_of(model, host)["unattended"] for host in variables if host != "peer.example"] == [{}, {}, {}]
    put(variables, ("dane_unattended",), {"host": "vps.pyon.example", "mail": "a@b.example"})
    model = judge_model(variables)
    assert slice_of(model, "vps.pyon.example")["unattended"] == {
        "host": "vps.pyon.example", "mail": "a@b.example", "interval": 3600, "project": "", "inventory": ["inventory.yml"], "files": [],
        "vault_password_file": "", "from": [], "manages_itself": True}
    assert [slice_of(model, host)["unattended_by"] for host in variables] == ["", "vps.pyon.example", "vps.pyon.example", ""]
    put(variables, ("dane_vantage",), "localhost")
    assert [slice_of(judge_model(variables), host)["unattended_by"] for host in ("peer.example", "localhost")] == ["", ""]


@pytest.mark.parametrize("variable", ["dane_compromised", "dane_revoked"])
@pytest.mark.parametrize("said", ["ab" * 32, ["ab" * 32], ["ab" * 32, "01" * 32], []])
def test_digests_reach_each_host(variable: str, said: Any) -> None:
    variables = good()
    put(variables, (variable,), said)
    model = judge_model(variables)
    for host in ("vps.pyon.example", "home.pyon.example"):
        assert slice_of(model, host)[variable.removeprefix("dane_")] == ([said] if isinstance(said, str) else said)


def test_a_host_without_a_part_gets_empty_lists() -> None:
    model = judge_model(good())
    for host in ("peer.example", "localhost"):
        part = slice_of(model, host)
        assert [part[key] for key in ("ipv4", "ipv6", "primary_zones", "secondary_zones", "certificates", "web", "mail")] == [[], [], [], [], [], [], {}]
        assert part["zones"] == ["kodama.example", "pyon.example"]
        assert part["host"] == host


def test_several_hosts_behind_one_name_and_zones_of_two_primaries() -> None:
    model = judge_model(good())
    zone = slice_of(model, "vps.pyon.example")["primary_zones"][0]
    apex = next(entry for entry in zone["tlsa_owners"] if entry["owner"] == "_443._tcp.pyon.example.")
    assert [backend["host"] for backend in apex["backends"]] == ["home.pyon.example", "vps.pyon.example"]
    assert [one["data"] for one in zone["records"] if one["owner"] == "pyon.example." and one["type"] == "A"] == ["198.51.100.10", "198.51.100.11"]
    other = slice_of(model, "home.pyon.example")["primary_zones"][0]
    assert [entry["owner"] for entry in other["tlsa_owners"]] == ["_443._tcp.kodama.example."]
    assert 'kodama.example. 3600 TXT "v=spf1 mx -all"' in rows(other["mail_records"])
    assert zone["soa"]["rname"] == "dns\\.master.pyon.example."
    assert slice_of(model, "vps.pyon.example")["mail"]["domains"] == ["g.pyon.example", "kodama.example", "pyon.example"]
    assert slice_of(model, "vps.pyon.example")["mail"]["postmaster"] == "alice"


def test_the_ca_is_sent_through_all_hosts_of_a_name_and_its_way_ends() -> None:
    variables = good()
    variables["third.pyon.example"] = {**shared_of(variables), "dane_ipv4": ["198.51.100.12"], "dane_ipv6": []}
    hosts = ["vps.pyon.example", "home.pyon.example", "third.pyon.example"]
    put(variables, ("dane_certificates", "pyon.example", "hosts"), hosts)
    model = judge_model(variables)
    found = {host: {one["name"]: one for one in slice_of(model, host)["challenges"]} for host in hosts}
    assert slice_of(model, "peer.example")["challenges"] == []
    for name in ("pyon.example", "kodama.example"):
        for host in hosts:
            assert found[host][name]["own"] == host
            way = [found[host][name]["first"]]
            while way[-1] and len(way) < 9:
                way.append(found[way[-1]][name]["next"])
            assert way.pop() == "" and {host, *way} == set(hosts), "all are asked, and it ends"
    zone = slice_of(model, "vps.pyon.example")["primary_zones"][0]
    assert next(one["hosts"] for one in zone["names"] if one["name"] == "pyon.example.") == [
        {"host": "home.pyon.example", "addresses": ["198.51.100.11", "2001:db8:51::11"]}, {"host": "third.pyon.example", "addresses": ["198.51.100.12"]},
        {"host": "vps.pyon.example", "addresses": ["198.51.100.10", "2001:db8:51::10"]}]
    assert [one["name"] for one in zone["names"]] == ["g.pyon.example.", "pyon.example."], "kodama.example is another primary's"


def test_a_redirect_is_of_its_name_on_each_host() -> None:
    variables = good()
    put(variables, ("dane_redirects",), {"Kodama.example.": "https://PYON.example:8443/a%20b/$1~;@", "g.pyon.example": "http://kodama.example"})
    model = judge_model(variables)
    for host in ("vps.pyon.example", "home.pyon.example"):
        assert {one["name"]: one["redirect"] for one in slice_of(model, host)["web"]} == {
            "pyon.example": "", "kodama.example": "https://PYON.example:8443/a%20b/$1~;@",
            **({"g.pyon.example": "http://kodama.example"} if host == "vps.pyon.example" else {})}


def test_two_algorithms_for_one_name() -> None:
    variables = good()
    cert("g-rsa", ["vps.pyon.example"], {"https": 443}, names=["g.pyon.example"], algorithm="rsa-2048")(variables)
    zone = slice_of(judge_model(variables), "vps.pyon.example")["primary_zones"][0]
    entry = next(entry for entry in zone["tlsa_owners"] if entry["owner"] == "_443._tcp.g.pyon.example.")
    assert [backend["certificate"] for backend in entry["backends"]] == ["g-rsa", "g.pyon.example"]


@pytest.mark.parametrize(("first", "second"), [("ecdsa-p256", "rsa-3072"), ("rsa-3072", "ecdsa-p256")])
def test_an_ecdsa_and_an_rsa_certificate_for_one_name(first: str, second: str) -> None:
    """The ECDSA one goes first, whichever of them the inventory names first."""
    variables = good()
    put(variables, ("dane_certificates", "g.pyon.example", "algorithm"), first)
    cert("other", ["vps.pyon.example"], {"smtp": 25, "https": 443}, names=["g.pyon.example"], algorithm=second)(variables)
    ecdsa, rsa = ("g.pyon.example", "other") if first == "ecdsa-p256" else ("other", "g.pyon.example")
    vps = slice_of(judge_model(variables), "vps.pyon.example")
    assert [(one["certificate"], one["rsa_certificate"]) for one in vps["web"] if one["name"] == "g.pyon.example"] == [(ecdsa, rsa)]
    assert (vps["mail"]["name"], vps["mail"]["certificate"], vps["mail"]["rsa_certificate"]) == ("g.pyon.example", ecdsa, rsa)
    assert {(one["name"], one["port"]): one["pair"] for one in vps["wanted"][1]["endpoints"]} == {
        ("g.pyon.example", 25): ["198.51.100.10", "2001:db8:51::10"], ("g.pyon.example", 443): ["198.51.100.10", "2001:db8:51::10"],
        ("pyon.example", 443): []}


def test_two_certificates_of_several_hosts_are_a_pair_where_one_host_has_both() -> None:
    variables = good()
    cert("other", ["home.pyon.example"], {"https": 443}, names=["pyon.example"], algorithm="rsa-2048")(variables)
    model = judge_model(variables)
    assert [one["rsa_certificate"] for host in ("vps.pyon.example", "home.pyon.example") for one in slice_of(model, host)["web"]
            if one["name"] == "pyon.example"] == ["", "other"]
    assert [one["pair"] for one in slice_of(model, "peer.example")["wanted"][1]["endpoints"] if one["name"] == "pyon.example"] == [
        ["198.51.100.11", "2001:db8:51::11"]]


def test_a_certificate_on_another_port_is_no_pair() -> None:
    variables = good()
    cert("other", ["vps.pyon.example"], {"https": 8443}, names=["g.pyon.example"], algorithm="rsa-2048")(variables)
    assert sorted((one["certificate"], one["rsa_certificate"], one["port"]) for one in slice_of(judge_model(variables), "vps.pyon.example")["web"]
                  if one["name"] == "g.pyon.example") == [("g.pyon.example", "", 443), ("other", "", 8443)]


def test_a_zone_delegates_to_another_zone_of_the_model() -> None:
    variables = good()
    put(variables, ("dane_zones", "deep.down.pyon.example"), {"primary": "ns.deep.down.pyon.example", "secondaries": ["vps.pyon.example"]})
    shared = shared_of(variables)
    variables["ns.deep.down.pyon.example"] = {**shared, "dane_ipv4": ["198.51.100.12"]}
    lines = rows(slice_of(judge_model(variables), "vps.pyon.example")["primary_zones"][0]["records"])
    assert [line for line in lines if "deep" in line] == [
        "deep.down.pyon.example. 3600 NS ns.deep.down.pyon.example.", "ns.deep.down.pyon.example. 3600 A 198.51.100.12",
        "deep.down.pyon.example. 3600 NS vps.pyon.example."]
    child = rows(slice_of(judge_model(variables), "ns.deep.down.pyon.example")["primary_zones"][0]["records"])
    assert "ns.deep.down.pyon.example. 3600 A 198.51.100.12" in child
    record("deep.down", "DS", f"1 13 2 {SHA256}")(variables)
    assert errors_of(variables) == []
    record("www.deep.down", "A", "198.51.100.9")(variables)
    assert any("the name lies in deep.down.pyon.example" in error for error in errors_of(variables))


@pytest.mark.parametrize(("change", "owner", "text"), [
    (((*ZONE, "spf"), ["ip4:198.51.100.0/24", "ip6:2001:db8::/32", "include:_spf.example.net", "exists:%{i}._spf.example.net",
                       "a:g.pyon.example/24//64", "~all"]),
     "pyon.example.", '"v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 include:_spf.example.net exists:%{i}._spf.example.net a:g.pyon.example/24//64 ~all"'),
    (((*ZONE, "spf"), ["redirect=_spf.example.net"]), "pyon.example.", '"v=spf1 redirect=_spf.example.net"'),
    (((*ZONE, "dmarc"), {"np": "reject", "sp": "quarantine", "fo": 1, "t": "y", "rua": ["mailto:a@pyon.example", "mailto:b@pyon.example"]}),
     "_dmarc.pyon.example.", '"v=DMARC1; p=reject; sp=quarantine; np=reject; t=y; fo=1; rua=mailto:a@pyon.example,mailto:b@pyon.example"'),
    ((("dane_zones", "kodama.example"), {"primary": "home.pyon.example"}), "kodama.example.", '"v=spf1 -all"'),
    ((("dane_zones", "kodama.example"), {"primary": "home.pyon.example", "records": [{"owner": "@", "type": "MX", "data": "10 mx.example.net."}]}),
     "kodama.example.", '"v=spf1 mx -all"'),
])
def test_mail_policy(change: Any, owner: str, text: str) -> None:
    variables = good()
    put(variables, *change)
    model = judge_model(variables)
    zones = [zone for host in variables for zone in slice_of(model, host)["primary_zones"]]
    assert text in [one["data"] for zone in zones for one in zone["mail_records"] if one["owner"] == owner]


def test_mail_of_a_zone_that_others_keep_is_wanted_too() -> None:
    variables = good()
    put(variables, ("dane_zones", "kodama.example"), {"primary": "home.pyon.example", "records": [{"owner": "@", "type": "MX", "data": "10 mx.example.net."}]})
    wanted = slice_of(judge_model(variables), "peer.example")["wanted"]
    assert next(one["mx"] for one in wanted if one["zone"] == "kodama.example") == [{"name": "mx.example.net", "preference": 10}]


def test_the_mail_name_is_the_mx_and_the_apex_may_be_it() -> None:
    variables = good()
    put(variables, (*CERT, "names"), ["mail.pyon.example", "g.pyon.example"])
    assert slice_of(judge_model(variables), "vps.pyon.example")["mail"]["name"] == "g.pyon.example"
    variables = good()
    for path in ((*ZONE, "mx"), (*ZONE, "spf"), ("dane_zones", "kodama.example", "mx")):
        put(variables, path, None)
    put(variables, ("dane_virtual_users",), None)
    put(variables, ("dane_certificates", "pyon.example"), {"hosts": ["vps.pyon.example"], "services": {"smtp": 25}})
    put(variables, (*CERT, "services"), {"https": 443})
    part = slice_of(judge_model(variables), "vps.pyon.example")
    assert [one["data"] for one in part["primary_zones"][0]["mail_records"] if one["owner"] == "pyon.example."] == ['"v=spf1 a -all"']
    assert (part["mail"]["name"], part["mail"]["masquerade"]) == ("pyon.example", "")


def test_aliases_and_virtual_users_go_to_each_mail_host() -> None:
    variables = good()
    put(variables, ("dane_certificates", "mx2.kodama.example"), {"hosts": ["home.pyon.example"], "services": {"smtp": 25}})
    put(variables, ("dane_zones", "kodama.example", "mx"), {"mx2.kodama.example": 10})
    put(variables, ("dane_virtual_users", "Info@Kodama.example."), ["info@pyon.example"])
    put(variables, ("dane_aliases", "Abuse"), ["kato", "alice"])
    put(variables, ("dane_make_users",), False)
    vps, home = (slice_of(judge_model(variables), host)["mail"] for host in ("vps.pyon.example", "home.pyon.example"))
    assert vps["aliases"] == home["aliases"] == {
        "info": ["kato", "Outside+it@peer.example"], "kato": ["kato", "kato@else.example"], "sales.team": ["info", "root"],
        "boss": ["kato+boss@vps.pyon.example"], "abuse": ["kato", "alice"]}
    assert vps["virtual_users"] == {"sales@pyon.example": ["sales.team"], "info@pyon.example": ["sales@pyon.example", "x@elsewhere.example"],
                                    "kato@g.pyon.example": ["alice"]}
    assert home["virtual_users"] == {"info@kodama.example": ["info@pyon.example"]}
    assert (vps["forwards"], home["forwards"]) == (["info", "info@pyon.example", "kato"], ["info", "kato"])
    assert (vps["make_users"], home["make_users"]) == (False, False)


@pytest.mark.parametrize(("change", "domain"), [
    (((*ZONE, "dmarc"), {"aspf": "r"}), "pyon.example"),
    (((*ZONE, "dmarc"), {"aspf": "s"}), ""),  # the envelope's name would not be aligned
    (((*ZONE, "mx"), {}), ""),                # nobody's answer would arrive
    (both(cert("mail.kodama.example", ["home.pyon.example"], {"smtp": 25}),
          ((*ZONE, "mx"), {"mail.kodama.example": 10, "g.pyon.example": 20})), "pyon.example"),
])
def test_the_zone_whose_mx_a_host_is_stands_in_the_sender_of_its_mail(change: Any, domain: str) -> None:
    variables = good()
    put(variables, ("dane_virtual_users",), None)
    both(change)(variables)
    model = judge_model(variables)
    assert slice_of(model, "vps.pyon.example")["mail"]["masquerade"] == domain
    assert slice_of(model, "home.pyon.example")["mail"].get("masquerade", "") == ""


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from("abcdef"),
                       st.lists(st.sampled_from([*"abcdef", "a@pyon.example", "b@pyon.example", "kato"]), min_size=1, unique=True)),
       st.dictionaries(st.sampled_from(["a@pyon.example", "b@pyon.example"]),
                       st.lists(st.sampled_from([*"abcdef", "b@pyon.example", "kato"]), min_size=1, unique=True)))
def test_a_loop_is_found_where_walking_comes_back(aliases: dict[str, list[str]], virtual: dict[str, list[str]]) -> None:
    variables = example()
    for name in "abcdef":
        aliases.setdefault(name, ["kato"])
    put(variables, ("dane_aliases",), aliases)
    put(variables, ("dane_virtual_users",), virtual)

    def comes_back(target: str, way: tuple[str, ...]) -> bool:
        node = target if target in virtual else target.partition("@")[0]
        return node in way or any(comes_back(end, (*way, node)) for end in (aliases | virtual).get(node, []))

    errors = errors_of(variables)
    assert any("mail goes round" in error for error in errors) == any(comes_back(name, ()) for name in [*aliases, *virtual])
    for error in errors:
        if "mail goes round" in error:
            way = error.split("from ")[1].split(";")[0].split(" to ")
            assert way[0] == way[-1]
            for start, end in zip(way, way[1:], strict=False):
                assert any(target == end or target.partition("@")[0] == end for target in (aliases | virtual)[start])


def test_numbers_as_text_and_names_with_dots_and_capitals_count() -> None:
    variables = good()
    put(variables, (*ZONE, "ttl"), "60")
    put(variables, (*ZONE, "mx"), {"G.Pyon.example.": "10"})
    zone = slice_of(judge_model(variables), "vps.pyon.example")["primary_zones"][0]
    assert zone["ttl"] == 60
    assert "pyon.example. 60 MX 10 g.pyon.example." in rows(zone["records"])


def test_short_lifetimes_of_a_lab() -> None:
    variables = good()
    put(variables, ("dane_policy",), {"signature_validity": 300, "signature_renewal": 60, "timer_interval": 10})
    for name in ("pyon.example", "kodama.example"):
        put(variables, ("dane_zones", name, "ttl"), 5)
        put(variables, ("dane_zones", name, "tlsa_ttl"), 5)
        put(variables, ("dane_zones", name, "expire"), 120)
    soa = slice_of(judge_model(variables), "vps.pyon.example")["primary_zones"][0]["soa"]
    assert (soa["refresh"], soa["retry"], soa["expire"], soa["minimum"]) == (30, 7, 120, 5)


def test_times_of_name_servers_and_records_may_be_equal_to_those_assumed_and_do_not_count_where_there_is_no_key() -> None:
    variables = good()
    put(variables, ("dane_policy",), {"ns_ttl": 3600, "highest_tlsa_ttl": 3600})
    put(variables, ("dane_zones", "parked.example"), {"primary": "vps.pyon.example", "ttl": 604800})
    assert errors_of(variables) == []


def test_a_variable_of_some_hosts_alone_is_the_models() -> None:
    variables = good()
    for host in ("home.pyon.example", "peer.example"):
        variables[host] = {key: value for key, value in variables[host].items() if key in ("dane_ipv4", "dane_ipv6")}
    assert slice_of(judge_model(variables), "home.pyon.example") == slice_of(judge_model(good()), "home.pyon.example")


def test_variables_of_others_are_not_looked_at() -> None:
    variables = good()
    variables["peer.example"] |= {"ansible_user": "root", "zones": {"dane_x": 1}, "dane": {"schema": 1}}
    assert errors_of(variables) == []


URL_CHARACTERS = {chr(code) for code in range(0x21, 0x7f)} - set("\"'#?<>[\\]^`{|}")


def same_on_the_wire(variables: dict[str, dict[str, Any]]) -> int:
    """Judge what an accepted model yields: dnspython and zone.py read each record as what was meant.  The number of records."""
    count = 0
    model = judge_model(variables)
    for host in variables:
        part = slice_of(model, host)
        assert json.loads(json.dumps(part)) == part
        assert all(not set(one["redirect"]) - URL_CHARACTERS and (one["redirect"] + "http").startswith("http") for one in part["web"])
        for zone in part["primary_zones"]:
            checked = zone_text.checked(zone)
            for key in ("records", "mail_records"):
                for one, again in zip(zone[key], checked[key], strict=True):
                    assert one == again
                    owner = dns.name.from_text(one["owner"])
                    assert owner.is_subdomain(dns.name.from_text(zone["name"]))
                    assert str(owner) == one["owner"]
                    data = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(one["type"]), one["data"], relativize=False)
                    assert data.to_text().lower() == one["data"].lower()
                    count += 1
            said = next(content["dane_zones"] for content in variables.values() if content.get("dane_zones"))
            given_texts = {str(one["data"]) for one in (said.get(zone["name"]) or {}).get("records") or ()
                           if isinstance(one, dict) and one.get("type") == "TXT"}
            for text in given_texts:
                assert text.encode() in [b"".join(getattr(dns.rdata.from_text("IN", "TXT", one["data"]), "strings"))  # noqa: B009
                                         for one in zone["records"] if one["type"] == "TXT"]
    return count


def test_records_are_on_the_wire_what_was_written() -> None:
    assert same_on_the_wire(good()) == 35
    assert same_on_the_wire({**example(), "peer.example": example()["vps.pyon.example"] | {"dane_ipv4": None, "dane_ipv6": None}}) == 14


HOSTILE = ["\n", "\0", '"', "\\", "$INCLUDE /etc/shadow", "$ORIGIN .", ";", "(", ")", "a b", "@", ".", "..", "*", "{{ 1 }}", "`id`",
           "$(id)", "\u00e9", "\u212a", "\udcff", "xn--a", "a" * 300, "1" * 5000, 10**400, -1, 0, True, None, 1.5, float("nan"), [], {}, [[]], {"a": {}},
           "<VirtualHost>", "\r", "\u2028",
           "dnl", "')", "%00", "198.51.100.10", "2001:db8::1", "g.pyon.example", "g.pyon.example.", "www",
           "vps.pyon.example", "v=spf1 -all", "3600", "10 a.example."]
values = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=30), st.integers(), st.from_regex(r"[a-z0-9_.*@ ;-]{1,20}", fullmatch=True),
    st.builds(lambda left, right: f"{left}{right}", st.sampled_from(["g.pyon.example", "www", "mailto:a@b.example", "10 ", "0 issue "]),
              st.sampled_from([item for item in HOSTILE if isinstance(item, str)])))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inside for deeper in places(item, (*path, key)))]


PLACES = [path for path in places(good()) if path]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.one_of(values, st.lists(values, max_size=3), st.dictionaries(values.filter(
    lambda item: not isinstance(item, (list, dict))), values, max_size=3)), st.booleans()), min_size=1, max_size=3))
def test_hostile_values_are_refused_in_words_or_written_as_meant(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    variables = good()
    for path, value, as_key in changes:
        place: Any = variables
        try:
            for step in path[:-1]:
                place = place[step]
            if as_key and isinstance(place, dict) and not isinstance(value, (list, dict)) and len(path) > 1:
                place[value] = place.pop(path[-1])
            else:
                place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    variables = {host: content for host, content in variables.items() if isinstance(content, dict)}  # as Ansible sees to
    errors = errors_of(variables)
    assert all(line.isascii() and line.isprintable() for line in errors)
    if not errors:
        same_on_the_wire(variables)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7e), min_size=1, max_size=700))
def test_any_accepted_text_is_on_the_wire_what_was_written(text: str) -> None:
    variables = good()
    record("x", "TXT", text)(variables)
    if errors_of(variables):
        assert '"' in text or "\\" in text or "$" in text or not text.strip() or text.lower().startswith(("v=spf1", "v=dmarc1"))
    else:
        same_on_the_wire(variables)


def test_an_inventory_name_of_other_characters_is_refused() -> None:
    variables = good()
    variables["Web 1"] = {**shared_of(variables), "dane_ipv4": ["198.51.100.12"]}
    assert errors_of(variables) == []
    cert("x.pyon.example", ["Web 1"], {"https": 443})(variables)
    assert errors_of(variables) == [("dane_certificates, certificate x.pyon.example, hosts: the inventory name 'Web 1' has characters that "
                                     "the model cannot use; name the host with a-z, 0-9, -, _ and . in the inventory")]


def test_a_value_that_contains_itself_is_refused() -> None:
    variables = good()
    loop: list[Any] = []
    loop.append(loop)
    variables["peer.example"]["dane_mailboxes"] = loop
    assert "does a YAML anchor contain itself?" in errors_of(variables)[0]
