# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: what every address of every name server of a zone answers for TLSA owners, and as addresses of names, validated from the DS down.

First the parent and the zone are asked who serves it (`delegation`), then all addresses at the same time.  Politeness: each
address has one socket and WINDOW open questions, and one that does not answer is soon let alone.  All of it ends within the
time limit, whatever the servers do.
"""
from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from . import delegation, denial, dns_client, history, zone
from .delegation import MOST_SERVERS, Look, Server, failed
from .dns_client import Answer, absolute
from .errors import DaneError, printable
from .tlsa import TLSA

MOST_OWNERS = 10_000
MOST_SECONDS = 3600       # of time limit
MOST_IN_RRSET = 64       # records
MOST_DENIALS = 8         # NSEC and NSEC3 RRsets of one answer that are validated: 3 prove whatever there is to prove
WINDOW = 8               # questions that are open at one address
PATIENCE = (1.0, 2.0, 2.0)  # seconds to wait after each datagram with the same question
STREAM_PATIENCE = (5.0,)  # over TCP nothing is sent twice
TICK = 0.1               # seconds from one look at the open questions to the next
MOST_LOST = 8            # questions in a row without an answer, after which an address is not asked any more
MOST_ROUNDS = 3          # of name servers that name further ones
WORKERS = 16             # questions to resolvers and to the parent that are open
RRSIG = 46               # number of the type
ASKED = {"TLSA": denial.TLSA, "A": denial.A, "AAAA": denial.AAAA}

MATCHES = "matches"
DIFFERS = "differs"
ABSENT = "absent"
SILENT = "silent"
LAME = "lame"
BOGUS = "bogus"
UNREACHABLE = "unreachable"
CURES = {
    SILENT: "start the name server there and open port 53 for UDP and TCP",
    LAME: "let this name server load the zone, or take it out of the NS RRset",
    BOGUS: "sign the zone again, reload it, and see that this name server transfers it",
    DIFFERS: "publish what is wanted, or wait until this name server has transferred it",
    ABSENT: "publish what is wanted, or wait until this name server has transferred it",
    UNREACHABLE: "look from a host that has it",
}
BROKEN = "see which program answers there, and whether it is a name server"
Take = Callable[[bytes, bytes, float], None]


@dataclass(frozen=True)
class Said:
    """What one address said of one owner.

    verdict: MATCHES (exactly the wanted records, or some where nothing is wanted), DIFFERS, ABSENT (proven by NSEC or NSEC3),
    SILENT, LAME (not authoritative, or an RCODE that is an error), BOGUS (malformed, too large, unsigned, expired, unproven) or
    UNREACHABLE (this host has no route).  records: presentation form, sorted.  ttl: the original TTL in seconds (RFC 4034
    section 3.1.4).  signed_until: unix seconds, the latest of the signatures that validate.  error: one sentence, "" for MATCHES.
    """

    address: str
    verdict: str
    records: tuple[str, ...] = ()
    ttl: int | None = None
    signed_until: int | None = None
    error: str = ""


@dataclass(frozen=True)
class Address:
    """One address of a name server.  serial and expire (seconds) are those of its SOA, where that validates; latency, in seconds,
    that of its first answer over UDP; tcp: whether it gave its SOA over TCP too (which holds nothing
    up); error: one sentence on what is wrong with it."""

    address: str
    names: tuple[str, ...]
    unlistable: bool = False
    serial: int | None = None
    expire: int | None = None
    latency: float | None = None
    tcp: bool = False
    error: str = ""


@dataclass(frozen=True)
class Result:
    """What the gate saw of one zone.

    state: "secure", "insecure" (the parent has no DS), "bogus", or "unknown" (no resolver here can tell); where no DS is to be had,
    answers are validated by the zone's own DNSKEY RRset.  owners: by owner, one `Said` for each of `addresses`, in that order.  names: the
    same of A and of AAAA, by name and type.  complete: whether all addresses that parent and zone name are among `addresses`.
    held_by: why not `passed`, in sentences.
    """

    zone: str
    state: str
    addresses: tuple[Address, ...]
    owners: Mapping[str, tuple[Said, ...]]
    complete: bool
    passed: bool
    held_by: tuple[str, ...]
    names: Mapping[tuple[str, str], tuple[Said, ...]] = field(default_factory=dict)


def history_answers(result: Result, owner: str) -> list[history.Answer]:
    """What `history.observed` takes: the answers on `owner` that validate, where the zone is secure or awaits its DS.

    TLSA records that no peer can use (RFC 6698 section 4.1) are left out.
    """
    if result.state not in ("secure", "insecure"):
        return []
    expires = {one.address: one.expire for one in result.addresses}
    found = []
    for said in result.owners[absolute(owner)]:
        expire = expires[said.address]
        if expire is not None and (said.ttl is not None or said.verdict == ABSENT):
            records = frozenset(record for record in map(_usable, said.records) if record)
            found.append(history.Answer(said.address, records, said.ttl or 0, said.signed_until or 0, expire))
    return found


def given(result: Result, name: str) -> list[history.Given]:
    """What `reach.observed` takes: all addresses that each name server gives for `name`, where its answers on A and AAAA validate."""
    if result.state not in ("secure", "insecure"):
        return []
    found = []
    for one, four, six in zip(result.addresses, result.names[absolute(name), "A"], result.names[absolute(name), "AAAA"], strict=True):
        if one.expire is not None and all(said.ttl is not None or said.verdict == ABSENT for said in (four, six)):
            addresses = frozenset(zone.address(text, "a name server") for text in (*four.records, *six.records))
            found.append(history.Given(one.address, addresses, max(four.signed_until or 0, six.signed_until or 0), one.expire))
    return found


def _usable(record: str) -> TLSA | None:
    try:
        return TLSA.parse(record, "a name server")
    except DaneError:
        return None


# --- sending and receiving ---

class _Window:
    """Questions to one address over one socket, WINDOW of them open at a time.  `ended` is done when no more is to come."""

    def __init__(self, questions: Iterable[bytes], take: Take, patience: Sequence[float]) -> None:
        self.waiting = deque(questions)
        self.take = take
        self.patience = patience
        self.open: dict[int, tuple[bytes, float, int, float]] = {}  # by id: the question, first sent, times sent before, last sent
        self.lost = 0
        self.answered = 0
        self.strays = 0
        self.why = ""  # there is no answer to what is left
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.send: Callable[[bytes], object] = len

    def begin(self, send: Callable[[bytes], object]) -> None:
        self.send = send
        self.loop.call_later(TICK, self.tick)
        self.fill()

    def fill(self) -> None:
        while self.waiting and len(self.open) < WINDOW:
            number = random.SystemRandom().getrandbits(16)
            if number not in self.open:
                question, now = self.waiting.popleft(), self.loop.time()
                self.open[number] = question, now, 0, now
                self.send(dns_client.query(number, question))
        if not self.open:
            self.end()

    def received(self, response: bytes) -> None:
        number = int.from_bytes(response[:2], "big")
        question, first, *_rest = self.open.get(number, (b"", 0.0))
        if not question or len(response) < 12 or not response[2] & 0x80 or response[12:12 + len(question)].lower() != question.lower():
            self.strays += 1
            return
        del self.open[number]
        self.lost = 0
        self.answered += 1
        try:
            self.take(question, response[2:], self.loop.time() - first)
        except Exception as error:  # noqa: BLE001  it goes on in the task that waits
            if not self.ended.done():
                self.ended.set_exception(error)
        self.fill()

    def tick(self) -> None:
        if self.ended.done():
            return
        now = self.loop.time()
        for number, (question, first, times, last) in list(self.open.items()):
            if now - last < self.patience[times]:
                continue
            if times + 1 < len(self.patience):
                self.open[number] = question, first, times + 1, now
                self.send(dns_client.query(number, question))
            else:
                del self.open[number]
                self.lost += 1
                self.why = self.silence()
        self.loop.call_later(TICK, self.tick)
        if self.lost >= MOST_LOST:
            self.end()
        elif not self.open:  # where some are open, no more are sent before one is answered
            self.fill()

    def silence(self) -> str:
        stray = f", and sent {self.strays} messages with a wrong id or question" if self.strays else ""
        return f"did not answer within {sum(self.patience):g} seconds{stray}"

    def end(self, why: str = "") -> None:
        self.why = why or self.why
        if not self.ended.done():
            self.ended.set_result(None)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, window: _Window) -> None:
        self.window = window

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self.window.received(data)

    def error_received(self, exc: Exception) -> None:
        self.window.end(_unreachable(exc))


class _Stream(asyncio.Protocol):
    """Messages with their length before them (RFC 1035 section 4.2.2)."""

    def __init__(self, window: _Window) -> None:
        self.window = window
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) > 1 and len(self.buffer) >= (end := 2 + int.from_bytes(self.buffer[:2], "big")):
            message = bytes(self.buffer[2:end])
            del self.buffer[:end]
            self.window.received(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.window.end(_unreachable(exc) if exc else "closed the connection before it had answered")


def _framed(transport: asyncio.WriteTransport) -> Callable[[bytes], object]:
    return lambda message: transport.write(len(message).to_bytes(2, "big") + message)


def _unreachable(error: Exception) -> str:
    return f"cannot be reached: {getattr(error, 'strerror', None) or printable(error, 100) or type(error).__name__}"


async def _over_udp(address: str, port: int, questions: Iterable[bytes], take: Take) -> str:
    """Ask over UDP; returns why what was not answered has no answer."""
    window = _Window(questions, take, PATIENCE)
    try:
        transport, _protocol = await window.loop.create_datagram_endpoint(lambda: _Datagrams(window), remote_addr=(address, port))
    except OSError as error:
        return _unreachable(error)
    try:
        window.begin(transport.sendto)
        await window.ended
    finally:
        transport.close()
    return window.why


async def _over_tcp(address: str, port: int, questions: Iterable[bytes], take: Take) -> str:
    """Ask over TCP, on one connection after the other as long as each brings answers (RFC 7766 section 6.2.1)."""
    left = dict.fromkeys(questions)

    def took(question: bytes, response: bytes, seconds: float) -> None:
        del left[question]
        take(question, response, seconds)

    why = ""
    while left:
        window = _Window(list(left), took, STREAM_PATIENCE)
        stream = _Stream(window)
        try:
            async with asyncio.timeout(STREAM_PATIENCE[0]):
                transport, _protocol = await window.loop.create_connection(lambda stream=stream: stream, address, port)  # type: ignore[misc]
        except TimeoutError:
            return f"did not take the connection within {STREAM_PATIENCE[0]:g} seconds"
        except OSError as error:
            return _unreachable(error)
        try:
            window.begin(_framed(transport))
            await window.ended
        finally:
            transport.abort()
        why = window.why
        if stream.buffer:
            why = f"{why}; its last answer ended after {len(stream.buffer)} octets"
        if not window.answered or window.lost:
            break
    return why


# --- judging ---

class _Fault(Exception):
    """Why nothing of what an address says counts, or nothing on one owner: the verdict, and the sentence."""

    def __init__(self, verdict: str, error: str, cure: str = "") -> None:
        super().__init__(error)
        self.verdict = verdict
        self.error = f"{error}; {cure or CURES[verdict]}"


@dataclass
class _Seen:
    """What is known of one address so far."""

    server: Server
    serial: int | None = None
    expire: int | None = None
    latency: float | None = None
    tcp: bool = False
    error: str = ""
    fault: _Fault | None = None
    """What holds for all owners that are not in `said`."""
    names: tuple[str, ...] = ()
    """The NS RRset that it has, if that validates."""
    said: dict[tuple[str, str], Said] = field(default_factory=dict)
    """By name and type."""


class _Gate:
    """One zone, and what was seen of it.  `end` is a time of time.monotonic()."""

    def __init__(self, apex: str, wanted: Mapping[str, frozenset[str]], names: Sequence[str], ds: Sequence[str], port: int, limit: float,
                 end: float) -> None:
        self.apex = apex
        self.apex_name = dns_client.name_of(apex)
        self.wanted = wanted
        self.ds = ds
        self.port = port
        self.limit = limit
        self.end = end
        self.soa, self.dnskey, self.ns = (dns_client.question(apex, rdtype) for rdtype in ("SOA", "DNSKEY", "NS"))
        self.names = [(name, rdtype) for name in names for rdtype in ("A", "AAAA")]
        self.questions = {dns_client.question(*asked): asked for asked in [*((owner, "TLSA") for owner in wanted), *self.names]}
        self.keys: dict[bytes, Any] = {}
        self.judged: dict[tuple[int, bytes], Said] = {}
        self.validated: dict[Any, list[Any]] = {}
        self.seen: dict[str, _Seen] = {}

    async def examine(self, servers: Iterable[Server]) -> None:
        """Ask all `servers` everything."""
        for server in servers:
            self.seen[server.address] = _Seen(server)
        await asyncio.gather(*(self._examine(self.seen[server.address]) for server in servers))

    async def _examine(self, seen: _Seen) -> None:
        if not delegation.routed(seen.server.address):
            seen.fault = _Fault(UNREACHABLE, f"this host has no {_family(seen.server.address)}")
            return
        try:
            async with asyncio.timeout(max(0.0, self.end - time.monotonic())):
                keys = await self._survey(seen)
                await self._ask_owners(seen, keys)
        except TimeoutError:
            seen.fault = _Fault(SILENT, f"had not answered everything when the time limit of {self.limit:g} seconds was over")
        except _Fault as fault:
            seen.fault = fault

    async def _survey(self, seen: _Seen) -> Any:
        """Ask for SOA, DNSKEY and NS, and the SOA over TCP too; returns the DNSKEY RRset.  _Fault where all that it says is void."""
        said: dict[bytes, bytes] = {}
        streamed: dict[bytes, bytes] = {}

        def take(question: bytes, response: bytes, seconds: float) -> None:
            said[question] = response
            seen.latency = seconds if seen.latency is None else seen.latency

        address = seen.server.address
        why = await _over_udp(address, self.port, (self.soa, self.dnskey, self.ns), take)
        if not said:
            raise _Fault(SILENT, f"{why} over UDP")
        truncated = [question for question, response in said.items() if _truncated(response)]
        stream_why = await _over_tcp(address, self.port, {self.soa: None, **dict.fromkeys(truncated)},
                                     lambda question, response, _seconds: streamed.__setitem__(question, response))
        for question in truncated:
            del said[question]
            if question in streamed:
                said[question] = streamed[question]
        for question in (self.soa, self.dnskey):
            if question not in said:
                raise _Fault(SILENT, stream_why + " over TCP, where a truncated answer is asked for again" if question in truncated else f"{why} over UDP")
        soa = self._authoritative("SOA", said[self.soa], self.soa in truncated)
        if soa.rrset is None:
            raise _Fault(LAME, "has no SOA of the zone")
        keys = self._keys(said[self.dnskey], self.dnskey in truncated)
        self._signatures("its SOA", soa.rrset, soa.signatures, keys)
        seen.serial, seen.expire = soa.serial, soa.rrset[0].expire
        try:
            if self.soa not in streamed:
                raise _Fault(SILENT, f"{stream_why} over TCP")
            again = self._authoritative("SOA", streamed[self.soa], True)
            self._signatures("its SOA over TCP", again.rrset, again.signatures, keys)
            seen.tcp = True
        except _Fault as fault:
            seen.error = fault.error
        if self.ns in said:
            servers = self._authoritative("NS", said[self.ns], self.ns in truncated)
            self._signatures("its NS RRset", servers.rrset, servers.signatures, keys)
            seen.names = tuple(record.lower() for record in servers.records)
        return keys

    async def _ask_owners(self, seen: _Seen, keys: Any) -> None:
        truncated: list[bytes] = []

        def take(question: bytes, response: bytes, _seconds: float) -> None:
            if _truncated(response):
                truncated.append(question)
            else:
                seen.said[self.questions[question]] = self._said(question, response, keys, False)

        def take_stream(question: bytes, response: bytes, _seconds: float) -> None:
            seen.said[self.questions[question]] = self._said(question, response, keys, True)

        why = await _over_udp(seen.server.address, self.port, self.questions, take)
        if why:
            seen.fault = _Fault(SILENT, f"{why} over UDP")
        if truncated:
            why = await _over_tcp(seen.server.address, self.port, truncated, take_stream)
            if why:
                seen.fault = _Fault(SILENT, f"{why} over TCP, where a truncated answer is asked for again")

    def _authoritative(self, rdtype: str, response: bytes, tcp: bool, owner: str = "") -> Answer:
        """The answer, if it is one and authoritative.  _Fault otherwise, TimeoutError where the time is over."""
        if time.monotonic() > self.end:  # nobody stops what has come at once and is read in one turn of the loop
            raise TimeoutError
        answer = dns_client.read(Answer("", owner or self.apex, rdtype), bytes(2) + response, tcp)
        if answer.error:
            raise _Fault(BOGUS, answer.error, BROKEN)
        if answer.rcode not in ("NOERROR", "NXDOMAIN"):
            raise _Fault(LAME, f"answers {answer.rcode} for {rdtype}")
        if not answer.aa:
            raise _Fault(LAME, f"is not authoritative for {rdtype}")
        if tcp and _truncated(response):
            raise _Fault(BOGUS, f"sent a truncated {rdtype} answer over TCP", BROKEN)
        if answer.rrset is not None and len(answer.rrset) > MOST_IN_RRSET:
            raise _Fault(BOGUS, f"has {len(answer.rrset)} {rdtype} records in one RRset, and {MOST_IN_RRSET} is the most that is read",
                         "take some away")
        return answer

    def _keys(self, response: bytes, tcp: bool) -> Any:
        """The DNSKEY RRset, validated by the DS; where there is no DS, by itself."""
        if response not in self.keys:
            answer = self._authoritative("DNSKEY", response, tcp)
            trusted = answer.rrset
            if self.ds and trusted is not None:
                matching = dns_client.matching_keys(answer, self.ds)
                if not matching:
                    raise _Fault(BOGUS, f"has {len(trusted)} DNSKEY records, and the parent's DS names none of them")
                trusted = dns_client.rrset_of(answer.rrset, matching)
            self._signatures("its DNSKEY RRset", answer.rrset, answer.signatures, trusted)
            self.keys[response] = answer.rrset
        return self.keys[response]

    def _signatures(self, what: str, rrset: Any, signatures: Any, keys: Any) -> list[Any]:
        """The RRSIGs of `rrset` that validate, at least one.  _Fault otherwise."""
        if rrset is None:
            raise _Fault(BOGUS, f"{what} is not there")
        if signatures is None:
            raise _Fault(BOGUS, f"{what} is not signed")
        known = (frozenset(keys), rrset.name, rrset.rdtype, frozenset(rrset), frozenset(signatures))
        if known not in self.validated:
            self.validated[known] = dns_client.valid_signatures(rrset, signatures, keys)
        found = self.validated[known]
        if not found:
            past = int(time.time()) - max(signature.expiration for signature in signatures)
            raise _Fault(BOGUS, f"{what} has a signature that expired {past} seconds ago" if past > 0
                         else f"{what} has {len(signatures)} signatures, and none of them validates")
        return found

    def _said(self, question: bytes, response: bytes, keys: Any, tcp: bool) -> Said:
        """The judgement, without the address: servers that send the same octets are judged once."""
        known = id(keys), response
        if known not in self.judged:
            try:
                self.judged[known] = self._judge(self.questions[question], response, keys, tcp)
            except _Fault as fault:
                self.judged[known] = Said("", fault.verdict, error=fault.error)
        return self.judged[known]

    def _judge(self, asked: tuple[str, str], response: bytes, keys: Any, tcp: bool) -> Said:
        owner, rdtype = asked
        answer = self._authoritative(rdtype, response, tcp, owner)
        name = dns_client.name_of(owner)
        wanted = self.wanted[owner] if rdtype == "TLSA" else frozenset()
        if answer.alias:
            raise _Fault(DIFFERS, f"has an alias there, to {printable(answer.alias)}, and no {rdtype}")
        if answer.rrset is None:
            if not denial.no_rrset(name, ASKED[rdtype], self.apex_name, self._denials(answer, keys)):
                raise _Fault(BOGUS, f"answers {answer.rcode} without {rdtype}, and no signed NSEC or NSEC3 proves it")
            return Said("", ABSENT, error=f"has no {rdtype} there; {CURES[ABSENT]}" if wanted else f"has no {rdtype} there")
        signatures = self._signatures(f"its {rdtype} RRset", answer.rrset, answer.signatures, keys)
        labels = min(signature.labels for signature in signatures)
        if labels < len(name.labels) - 1 and not denial.no_name(name, labels, self._denials(answer, keys)):
            raise _Fault(BOGUS, "answers from a wildcard, and no signed NSEC or NSEC3 proves that this name does not exist")
        records = tuple(sorted(f"{one.usage} {one.selector} {one.mtype} {one.cert.hex()}" for one in answer.rrset)) if rdtype == "TLSA" else answer.records
        lacking = wanted.difference(records)
        foreign = set(records) - wanted if wanted else set()
        said = Said("", MATCHES, records, max(one.original_ttl for one in signatures), max(one.expiration for one in signatures))
        if lacking or foreign:
            return replace(said, verdict=DIFFERS, error=f"has {len(records)} records, lacks {len(lacking)} of the {len(wanted)} that are wanted"
                                                        f" and has {len(foreign)} others; {CURES[DIFFERS]}")
        return said

    def _denials(self, answer: Answer, keys: Any) -> list[Any]:
        """The NSEC and NSEC3 RRsets of the answer that are signed as they stand, by no wildcard."""
        found = []
        for rrset in [one for one in answer.authority if one.rdtype in (denial.NSEC, denial.NSEC3)][:MOST_DENIALS]:
            signed = next((one for one in answer.authority if (one.name, one.rdtype, one.covers) == (rrset.name, RRSIG, rrset.rdtype)), None)
            try:
                signatures = self._signatures("its denial", rrset, signed, keys)
            except _Fault:
                continue
            if all(one.labels == len(rrset.name.labels) - 1 - rrset.name.is_wild() for one in signatures):
                found.append(rrset)
        return found


def _truncated(response: bytes) -> bool:
    """`response` is without its id."""
    return bool(response[0] & 2)


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _state(look: Look, apex: str) -> tuple[str, str, list[str]]:
    """What a validating resolver says of the zone, why it is not "secure", and the DS records."""
    root, ds = look.resolved(".", "SOA"), look.resolved(apex, "DS")
    if not root.authenticated:
        return "unknown", (failed(root) or f"the resolver {root.server} does not validate: no AD on the root's SOA") \
            + "; give this host a validating resolver on its loopback address, or name one", []
    if ds.error:
        return "unknown", f"the DS cannot be looked up: {ds.error}; ask again, or name another resolver", []
    if failed(ds):
        return "bogus", f"the DS cannot be looked up: {failed(ds)}; ask the parent's name servers what is wrong", []
    if ds.server != root.server:  # AD on the root's SOA says nothing of who else answers
        return "unknown", f"the resolver {root.server} validates, but the DS is from {ds.server}, of which that is not known" \
            + "; ask again, or name the one that validates", []
    if not ds.records:
        return "insecure", "the parent has no DS" + ("" if ds.authenticated else ", and is not secure itself") + "; give it the zone's DS", []
    if not ds.authenticated:
        return "bogus", "the parent has a DS, but the chain of trust above it is broken; ask the parent's operator", []
    return "secure", "", list(ds.records)


def _wanted(apex: str, owners: Sequence[tuple[str, Sequence[str]]]) -> dict[str, frozenset[str]]:
    if len(owners) > MOST_OWNERS:
        raise DaneError(f"{apex}: {len(owners)} owners are asked for at once, and {MOST_OWNERS} is the most; ask in parts")
    found: dict[str, frozenset[str]] = {}
    for owner, records in owners:
        name = zone.absolute(owner, "the owner")
        if not name.endswith("." + apex) and name != apex:
            raise DaneError(f"{name} is not in the zone {apex}; name the zone that it is in")
        if name in found:
            raise DaneError(f"{name} is named twice; give all its records at once")
        found[name] = frozenset(TLSA.parse(record, name).presentation() for record in records)
    return found


def look(zone_name: str, owners: Sequence[tuple[str, Sequence[str]]], resolvers: Sequence[str] = (), unlistable: Iterable[str] = (),
         timeout: float = 30, port: int = 53, names: Iterable[str] = ()) -> Result:
    """Ask every name server of the zone for the TLSA RRsets of `owners` (each with the records that are wanted, or none to only look),
    and for the addresses of `names`, which hold nothing up.

    `resolvers`: addresses of validating resolvers (default: this host's).  `unlistable`: addresses behind which there are more
    machines than can be asked; it is only passed on.  `timeout`, in seconds, is for all of it.  DaneError where the input is not
    fit or a library is missing.
    """
    if not 1 <= timeout <= MOST_SECONDS:
        raise DaneError(f"the time limit {timeout} is not one of 1 to {MOST_SECONDS} seconds; correct it")
    end = time.monotonic() + timeout
    apex = zone.absolute(zone_name, "the zone")
    wanted = _wanted(apex, owners)
    addressed = sorted(_wanted(apex, [(name, ()) for name in names]))
    flagged = {zone.address(address, "the unlistable address") for address in unlistable}
    recursive = [zone.address(address, "the resolver") for address in resolvers] or dns_client.local_resolvers()

    def limit() -> float:
        return max(0.05, min(timeout / 4, 5, end - time.monotonic()))

    wire = delegation.Wire(
        ask=lambda address, owner, rdtype, tcp: dns_client.ask(address, owner, rdtype, limit(), tcp, port=port),
        resolve=lambda owner, rdtype: dns_client.resolve(owner, rdtype, limit(), recursive, port),
        routed=delegation.routed,
    )
    more: set[str] = set()
    with ThreadPoolExecutor(WORKERS) as pool:
        asked = Look(wire, pool)
        asked.fetch([("resolve", ".", "SOA"), *delegation.zone_questions(apex)])
        asked.fetch(delegation.parent_questions(asked, apex))
        state, error, ds = _state(asked, apex)
        gate = _Gate(apex, wanted, addressed, ds, port, timeout, end)
        for _round in range(MOST_ROUNDS):
            servers = delegation.name_servers(asked, apex, more=more)
            new = [server for server in servers if server.address not in gate.seen]
            if not new:
                break
            asyncio.run(gate.examine(new))
            more.update(name for seen in gate.seen.values() for name in seen.names)
        doubts = _doubts(asked, apex, servers, more)
    if state == "secure" and not gate.keys:
        state, error = "bogus", "no name server has a DNSKEY RRset that the parent's DS names and that is signed; sign the zone, or correct the DS"
    return _result(gate, state, error, doubts, flagged, servers)


def _doubts(asked: Look, apex: str, servers: Sequence[Server], more: Iterable[str]) -> list[str]:
    """Why `servers` may not be all, in sentences."""
    found = []
    if not any(answer.referral or answer.records for answer in delegation.parent_answers(asked, apex)):
        found.append(f"{apex}: the parent's name servers do not say which name servers the zone has; ask again, or give it name servers there")
    if not asked.resolved(apex, "NS").records and not more:
        found.append(f"{apex}: the zone's own NS RRset cannot be had; see that one of its name servers answers")
    chosen = delegation.names(asked, apex, more)
    if max(len(chosen), len(servers)) >= MOST_SERVERS:
        found.append(f"{apex}: it has {MOST_SERVERS} name server addresses or more, and fewer can be asked; take some away")
    for name in chosen:
        answers = [asked.seen[question] for question in delegation.address_questions([name]) if question in asked.seen]
        if not answers:
            found.append(f"{printable(name)}: this name server became known too late to be asked; ask again")
        elif why := next((failed(answer) for answer in answers if failed(answer)), ""):
            found.append(f"{printable(name)}: the addresses of this name server cannot be looked up: {printable(why)}; ask again")
    return found


def _result(gate: _Gate, state: str, error: str, doubts: Sequence[str], flagged: set[str], servers: Sequence[Server]) -> Result:
    """What was seen, put in order."""
    seen = [replace(gate.seen[server.address], server=server) for server in servers if server.address in gate.seen]
    addresses = tuple(
        Address(one.server.address, one.server.names, one.server.address in flagged, one.serial, one.expire, one.latency, one.tcp,
                one.fault.error if one.fault else one.error) for one in seen)
    said = {owner: tuple(_of(one, (owner, "TLSA")) for one in seen) for owner in gate.wanted}
    names = {asked: tuple(_of(one, asked) for one in seen) for asked in gate.names}
    held = [f"{gate.apex}: {error}"] if error else []
    held += doubts
    held += _held(gate, addresses, said)
    if not addresses:
        held.append(f"{gate.apex}: no address of a name server is known; see that its name servers have addresses")
    return Result(gate.apex, state, addresses, said, complete=not doubts, passed=not held, held_by=tuple(held), names=names)


def _of(seen: _Seen, asked: tuple[str, str]) -> Said:
    said = seen.said.get(asked)
    if said is not None:
        return replace(said, address=seen.server.address)
    fault = seen.fault or _Fault(SILENT, "did not answer")
    return Said(seen.server.address, fault.verdict, error=fault.error)


def _held(gate: _Gate, addresses: Iterable[Address], said: Mapping[str, Sequence[Said]]) -> list[str]:
    """One sentence for each family that this host lacks, and for each fault of each address."""
    lacking: dict[str, list[str]] = {}
    faults: dict[tuple[str, str, str], list[str]] = {}
    for owner, answers in said.items():
        for answer in answers:
            if answer.verdict == UNREACHABLE:
                lacking.setdefault(_family(answer.address), []).append(answer.address)
            elif answer.verdict != MATCHES and gate.wanted[owner]:
                faults.setdefault((answer.address, answer.verdict, answer.error), []).append(owner)
    found = [f"this host has no {family}, so it cannot ask {', '.join(dict.fromkeys(those))}; {CURES[UNREACHABLE]}" for family, those in lacking.items()]
    shown = {one.address: f"{one.address} ({printable(one.names[0], 100)}{'' if one.serial is None else f', serial {one.serial}'})" for one in addresses}
    for (address, verdict, error), owners in faults.items():
        others = f" and {len(owners) - 1} more owners" if len(owners) > 1 else ""
        found.append(f"{shown[address]} is {verdict} for {owners[0]}{others}: it {error}" if verdict not in (DIFFERS, ABSENT)
                     else f"{shown[address]}, {owners[0]}{others}: it {error}")
    return found
