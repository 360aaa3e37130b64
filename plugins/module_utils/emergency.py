# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator answers to roll_tls_key.yml, judged, and what follows from it.  Pure: no input or output, no clock.

`slices` are those of the hosts with certificates, `reports` those of tls_certificates, `published` and `exposures` what tlsa_rrsets
returned, in the shapes of docs/architecture.md.
"""
from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import DaneError, printable
from .progress import date, span

Json = Mapping[str, Any]
Place = tuple[str, str]  # host, certificate

WHY = ("planned", "stolen", "lost")
HARM = ("stay_up", "revoke_now")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def places(slices: Sequence[Json], host: str, certificate: str, why: str) -> list[Place]:
    """The (host, certificate) that are meant; DaneError with one sentence for an answer that is none.

    host: "" for every host of the certificate.  certificate: "" or "all" for every one of the host.
    """
    known = sorted((str(one["host"]), str(entry["name"])) for one in slices for entry in one["certificates"])
    host, certificate = host.strip().lower().rstrip("."), certificate.strip().lower().rstrip(".")
    if why.strip().lower() not in WHY:
        raise DaneError(f"roll_why is {_shown(why)}; answer planned, stolen (somebody may have the live key) or lost (somebody may have the host)")
    if certificate == "all" and not any(name == "all" for _host, name in known):
        certificate = ""
    if not host and not certificate:
        raise DaneError("neither roll_host nor roll_certificate says what is to be rolled; name a host, a certificate, or both")
    if why.strip().lower() == "lost" and not host:
        raise DaneError("roll_why is lost and roll_host does not say which host; name it")
    if host and host not in [name for name, _certificate in known]:
        raise DaneError(f"roll_host: no host {_shown(host)} has a certificate; {_choose(host, [name for name, _certificate in known])}")
    found = [place for place in known if host in ("", place[0]) and certificate in ("", place[1])]
    if not found:
        raise DaneError(f"roll_certificate: {f'{host} has' if host else 'there is'} no certificate {_shown(certificate)};"
                        f" {_choose(certificate, [name for one, name in known if host in ('', one)])}")
    return found


def compromised(meant: Sequence[Place], why: str, reports: Iterable[Json], published: Iterable[Json]) -> list[str]:
    """The SPKI digests of the keys that others may have: stolen, the live one of each; lost, all.  DaneError where they are not known."""
    if why.strip().lower() == "planned":
        return []
    told = {(str(report["host"]), str(one["name"])): one for report in reports for one in report["certificates"]}
    recorded = {(str(one["host"]), str(one["certificate"])): one["keys"] for one in published}
    digests: set[str] = set()
    for place in meant:
        one = told.get(place)
        if why.strip().lower() == "lost":
            keys = {*(key["spki"] for key in (one or {"keys": ()})["keys"]), *recorded.get(place, ())}
        else:
            keys = {one["live"]["spki"]} if one and one["live"] and one["live"]["spki"] else set()
        if not keys:
            raise DaneError(f"which key {place[1]} has on {place[0]} is not known, as the host has {'not reported' if one is None else 'none live'};"
                            + (" run it again when the host can be reached, or answer lost" if why.strip().lower() == "stolen" else
                               " run site.yml on the host that takes its place"))
        digests |= {str(key) for key in keys}
    return sorted(digests)


def wishes(slices: Sequence[Json], meant: Sequence[Place], why: str, burnt: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What the plan is to be told, as the slice has it, and what is to be known beforehand, in sentences."""
    names = sorted({certificate for _host, certificate in meant})
    planned = why.strip().lower() == "planned"
    lines = [f"{certificate} on {host} gets another key." for host, certificate in meant]
    for one in slices:
        host, certificates = str(one["host"]), [str(entry["name"]) for entry in one["certificates"]]
        others = [name for name in certificates if name in names and (host, name) not in meant]
        if planned:
            lines += [f"{name} on {host} gets another key too: a roll that is planned is one of all hosts of the certificate." for name in others]
        if why.strip().lower() == "lost" and host in [name for name, _certificate in meant]:
            lines += [f"{host} is the primary of {zone['name']}, so who has it has the key of that zone too, and can sign whatever records they like:"
                      " replace that key and its DS as well, which nothing here does." for zone in one["primary_zones"]]
    lines += [f"The key {digest[:16]}... counts as known to others from now on; no run forgets that." for digest in burnt]
    return {"forget": [], "roll": names if planned else [], "compromised": list(burnt), "revoke_now": False}, lines


def is_hard(exposures: Iterable[Json], now: int) -> bool:
    """Whether somewhere no clean key may go live at once, so that the operator has to choose."""
    return any(one["latest"] > now for one in exposures)


def judge_harm(answer: str) -> str:
    """The harm that the operator chooses; DaneError where it is none."""
    if answer.strip().lower() not in HARM:
        raise DaneError(f"roll_harm is {_shown(answer)}, and no clean key may go live yet; answer stay_up or revoke_now")
    return answer.strip().lower()


def harm_lines(exposures: Iterable[Json], now: int) -> list[str]:
    """For how long who can do what, in words and in seconds."""
    lines = []
    for one in exposures:
        what, poses = f"{one['certificate']} on {one['host']}", f"{_long(one['cached'])} more, until caches have dropped its records"
        lines.append(f"{what}: others may have its live key.")
        if one["latest"] <= now:
            lines.append("  A clean key can go live at once, and nobody is refused. Whoever has the old one can pose as the host towards DANE peers for"
                         f" {poses}.")
        else:
            early, late = one["earliest"] - now, one["latest"] - now
            lines += [f"  No clean key can go live yet without harm: caches have records that it does not match, for {_long(early)} at the least"
                      f" (until {date(one['earliest'], now)}), and {_long(late)} where name servers do not answer (until {date(one['latest'], now)}).",
                      "  stay_up: everybody can connect, and the key changes after that time. Until then whoever has the old one can pose as the host"
                      f" towards everybody; towards DANE peers for {poses}.",
                      f"  revoke_now: the key changes within minutes. Until caches have dropped the old records DANE peers refuse the host (mail waits at"
                      f" its senders): for {_long(one['cached'])} where all name servers take the new records at once, for {_long(late)} at the most. Whoever"
                      f" has the old key can pose as the host towards DANE peers for {_long(one['cached'])}."]
        lines.append("  Either way: who has the old key and can also change the DNS answers that a peer gets can replay the old records until their"
                     f" signatures end, {_long(one['signed'])} after they were withdrawn. Towards all others the old certificate is good until it is revoked.")
    return lines


def revocation(place: Place, fingerprint: str) -> str:
    """The commands, for a shell of root on the host, that have the CA revoke the certificate.

    dehydrated renames the file that it is given (`cert.pem-revoked`), so it gets a copy.  A sentence where the fingerprint is none: who has a
    host can report what they like.
    """
    if not _SHA256.fullmatch(fingerprint):
        return (f"{place[0]}: the report of the host has {printable(repr(fingerprint), 80)} where the SHA-256 of a certificate of {place[1]} belongs, so there"
                " is no command to revoke it; look for the certificate in the logs of the CA, and have the CA revoke it")
    copy = f"/root/{place[1]}-{fingerprint[:16]}.pem"
    return (f"{place[0]}: cp /var/lib/selfhost-dane/certificates/{place[1]}/versions/{fingerprint}/cert.pem {copy} &&"
            f" dehydrated --config /etc/dehydrated/config --revoke {copy}")


def revocations(meant: Sequence[Place], burnt: Sequence[str], before: Iterable[Json], after: Iterable[Json]) -> list[str]:
    """What to revoke, and with which command, now that other keys are live: the certificates that were good for the keys `burnt`.

    before, after: the reports before and after the roll.  Where there is nothing on a host, a sentence that says so.
    """
    now = {(str(report["host"]), str(one["name"])): one for report in after for one in report["certificates"]}
    lines = []
    for report in before:
        for one in report["certificates"]:
            place = (str(report["host"]), str(one["name"]))
            good = {str(key["certificate"]["fingerprint"]) for key in one["keys"] if key["certificate"] and key["spki"] in burnt}
            good |= {str(one["live"]["fingerprint"])} if one["live"] and one["live"]["spki"] in burnt else set()
            live = now.get(place, {}).get("live") or {}
            if place in meant and good and live and live["spki"] not in burnt:
                lines += [revocation(place, fingerprint) for fingerprint in sorted(good)]
    return lines or ["No host that presents another key now has a certificate that was good for the old ones. Where there may be one, have the CA revoke it:"
                     " it asks for the account that ordered it, or for the old key (RFC 8555 section 7.6)."]


def _long(seconds: int) -> str:
    return f"{span(seconds)} ({max(0, seconds)} seconds)"


def _shown(answer: str) -> str:
    return printable(ascii(answer), 80) if answer.strip() else "not answered"


def _choose(answer: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(answer, known, 1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(dict.fromkeys(known))}"
