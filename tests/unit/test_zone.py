# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone text: only judged tokens get in, includes are flattened, serials follow RFC 1982."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import zone
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from hypothesis import given
from hypothesis import strategies as st

SOA = {"mname": "ns.pyon.example.", "rname": "host\\.master.pyon.example.", "refresh": 3600, "retry": 60, "expire": 604800, "minimum": 60}


def raw(**changes: Any) -> dict[str, Any]:
    """A zone as the model gives it."""
    return {"name": "pyon.example", "ttl": 60, "soa": SOA, "records": [{"owner": "pyon.example.", "type": "NS", "data": "ns.pyon.example."}],
            **changes}


def one(**record: Any) -> dict[str, Any]:
    """The record as it comes out of a zone that has only it."""
    return zone.checked(raw(records=[{"owner": "www.pyon.example.", **record}]))["records"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("data", ["a\n$INCLUDE /etc/shadow", "a ; comment", "( a", 'a "open', "a\r", "a\x00", "a\tb", "\u00e9", "", "\\", '"a" b"c"', "\\999",
                                  '"' + "x" * 256 + '"', "a)", '"a"b'])
@pytest.mark.parametrize("kind", ["TXT", "CAA", "TYPE65280"])
def test_hostile_data_is_refused(data: str, kind: str) -> None:
    with pytest.raises(DaneError, match="pyon.example"):
        one(type=kind, data=data)


@pytest.mark.parametrize("owner", ["www", "www.other.example.", "xpyon.example.", "a b.pyon.example.", "$INCLUDE.pyon.example.", "a\n.pyon.example.",
                                   "-a.pyon.example.", "x" * 64 + ".pyon.example.", ".pyon.example.", "../x.pyon.example.", "a.*.pyon.example.", None])
def test_hostile_owner_is_refused(owner: Any) -> None:
    with pytest.raises(DaneError, match="pyon.example"):
        one(owner=owner, type="TXT", data='"x"')


@pytest.mark.parametrize(("kind", "data"), [("SOA", "a. b. 1 2 3 4 5"), ("RRSIG", "x"), ("DNSKEY", "257 3 13 AAAA"), ("A\nB", "x"), ("A", "2001:db8::1"),
                                            ("AAAA", "198.51.100.1"), ("A", "198.51.100.1 x"), ("MX", "mail.pyon.example."), ("NS", "a b"),
                                            ("CNAME", "a..b."), ("AAAA", "fe80::1%eth0")])
def test_wrong_types_and_data_are_refused(kind: str, data: str) -> None:
    with pytest.raises(DaneError):
        one(type=kind, data=data)


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", "", "a" * 254, "a b", "x\n", None, 3])
def test_a_zone_name_is_no_path(name: Any) -> None:
    with pytest.raises(DaneError):
        zone.checked(raw(name=name))


@pytest.mark.parametrize("ttl", [-1, 1 << 31, "60 IN", True, 1.5, None])
def test_a_ttl_is_a_number(ttl: Any) -> None:
    with pytest.raises(DaneError, match="ttl"):
        zone.checked(raw(ttl=ttl))


def test_good_data_is_kept() -> None:
    assert one(type="txt", data='"v=spf1 -all; \\"x\\""')["data"] == '"v=spf1 -all; \\"x\\""'
    assert one(type="TXT", data="bare")["data"] == '"bare"'
    assert one(type="MX", data="10  Mail.Pyon.Example.")["data"] == "10 mail.pyon.example."
    assert one(owner="*.pyon.example.", type="AAAA", data="2001:DB8:0::1") == {"owner": "*.pyon.example.", "ttl": 60, "type": "AAAA", "data": "2001:db8::1"}
    assert one(type="TYPE65280", data="\\# 1 ff")["data"] == "\\# 1 ff"
    tlsa = zone.checked(raw(tlsa_ttl=5, tlsa=[{"owner": "_25._tcp.g.pyon.example.", "records": ["3 1 1 " + "ab" * 32]}]))["tlsa"]
    assert tlsa == [{"owner": "_25._tcp.g.pyon.example.", "ttl": 5, "type": "TLSA", "data": "3 1 1 " + "ab" * 32}]


@given(st.text(max_size=40))
def test_whatever_is_let_in_is_one_record_of_one_line(data: str) -> None:
    try:
        record = one(type="TXT", data=data)
    except DaneError:
        return
    text = f"@ 60 IN SOA a. b. 1 2 3 4 5\n@ 60 IN NS a.\n{record['owner']} 60 IN TXT {record['data']}\n"
    parsed = dns.zone.from_text(text, "pyon.example.", relativize=False)
    assert sum(len(rdataset) for _name, rdataset in parsed.iterate_rdatasets()) == 3
    assert len(parsed["www.pyon.example."].rdatasets) == 1


@given(st.text(max_size=600))
def test_quote_round_trips(value: str) -> None:
    record = one(type="TXT", data=zone.quote(value))
    parsed = dns.zone.from_text(f"@ 60 IN SOA a. b. 1 2 3 4 5\n@ 60 IN NS a.\n@ 60 IN TXT {record['data']}\n", "pyon.example.")
    strings = parsed["@"].get_rdataset(dns.rdataclass.IN, dns.rdatatype.TXT)[0].strings
    assert b"".join(strings) == value.encode()
    assert all(len(string) <= 255 for string in strings)


def write(directory: Path, text: str) -> str:
    """A zone file with this text and its includes; its path."""
    (directory / "mail.inc").write_text("; comment\npyon.example. 60 IN TXT \"a;b\"\n")
    (directory / "zone").write_text(text)
    return str(directory / "zone")


def test_flatten(tmp_path: Path) -> None:
    path = write(tmp_path, "; comment\n$ORIGIN pyon.example.\n\npyon.example. 60 IN SOA a. b. 0 1 2 3 4\n$INCLUDE mail.inc\n")
    flat = zone.flatten(path, "pyon.example")
    assert flat == '$ORIGIN pyon.example.\npyon.example. 60 IN SOA a. b. 0 1 2 3 4\npyon.example. 60 IN TXT "a;b"\n'
    assert " SOA a. b. 4294967295 1 2 3 4\n" in zone.with_serial(flat, "pyon.example", 4294967295)


@pytest.mark.parametrize("line", ["$INCLUDE /etc/shadow", "$INCLUDE ../x", "$INCLUDE mail.inc other.", "$INCLUDE zone", "$GENERATE 1-9 a A 1.2.3.$",
                                  "$include missing.inc", "$INCLUDE tlsa.inc"])
def test_flatten_includes_nothing_else(tmp_path: Path, line: str) -> None:
    with pytest.raises(DaneError, match="pyon.example"):
        zone.flatten(write(tmp_path, line + "\n"), "pyon.example")


def test_an_include_has_records_only(tmp_path: Path) -> None:
    path = write(tmp_path, "$INCLUDE mail.inc\n")
    (tmp_path / "mail.inc").write_text("$ORIGIN other.\n")
    with pytest.raises(DaneError, match="mail.inc"):
        zone.flatten(path, "pyon.example")


@pytest.mark.parametrize("text", ["", "pyon.example. IN SOA a. b. ( 0\n", "x.pyon.example. IN SOA a. b. 0 1 2 3 4\n", "pyon.example. IN SOA a. b. 0 1\n" * 2])
def test_one_soa_on_one_line(text: str) -> None:
    with pytest.raises(DaneError, match="SOA"):
        zone.with_serial(text, "pyon.example", 1)


@pytest.mark.parametrize(("left", "right", "after"), [(1, 0, True), (0, 1, False), (0, 4294967295, True), (5, 5, False), (2147483647, 0, True),
                                                      (2147483648, 0, False), (0, 2147483648, False), (2147483649, 0, False)])
def test_serial_order(left: int, right: int, after: bool) -> None:
    assert zone.serial_after(left, right) is after


@pytest.mark.parametrize(("last", "now", "floor", "serial"), [(None, 1795000000, 0, 1795000000), (1795000000, 1795000000, 0, 1795000001),
                                                              (1795000009, 1795000000, 0, 1795000010), (5, 100, 2000, 2000), (2100, 100, 2000, 2101),
                                                              (4294967295, 1795000000, 0, 1795000000), (None, 1795000000, 4294967295, 1795000000),
                                                              (0, 0, 2147483648, 1), (2147483649, 2, 1, 2147483650)])
def test_next_serial(last: int | None, now: int, floor: int, serial: int) -> None:
    assert zone.next_serial(last, now, floor) == serial


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_next_serial_is_later(last: int, now: int, floor: int) -> None:
    assert zone.serial_after(zone.next_serial(last, now, floor), last)
