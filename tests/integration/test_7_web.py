# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarding hosts: names with certificate and TLSA whose visitors are sent elsewhere, with what they asked for."""
from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lab_client import ADDRESSES, INVENTORY, PEER, VPS, ZONE, good, on, playbook, site, tlsa, verify, wait_for

WWW, OLD = f"www.{ZONE}", f"old.{ZONE}"
TARGETS = {WWW: "https://elsewhere.example/a%20b/$1/", OLD: "http://elsewhere.example:8080"}
CHALLENGES = "/.well-known/acme-challenge/"
# Whatever is asked is put after these. (An empty query goes without its question mark.)
ASKED = ["/", "/a", "/a/?x=1&y=%20+2", "/a?b?c//d=%2F", "/a%2Fb%3Fc%23d", "/a%3Fb?c", "/a//b/", "/a/../b/./c", "/%25", "/%20b%09", "/%e9%7E~",
         "/a;b=c,d&e@f:g", "/$0$1&", "//evil.example/x", "///evil.example", "/@evil.example", "/.evil.example", "/\\evil.example", "/<b>'", "/%22%3E",
         "/%0d%0aSet-Cookie:%20a=b", "/%0a", "/?%0d%0aSet-Cookie:%20a=b", "/${a:b}", "/.well-known/other"]
REFUSED = ["/%1", "/%{HTTP_HOST}", "/%00", "/../a"]


def model() -> tuple[str, str]:
    """The example's model and the forwarding hosts, as arguments."""
    certificates = yaml.safe_load(Path(INVENTORY[1]).read_text())["all"]["vars"]["dane_certificates"]
    certificates |= {WWW: {"hosts": [VPS], "names": [WWW, OLD], "services": {"https": 443}}}
    return "-e", json.dumps({"dane_certificates": certificates, "dane_redirects": TARGETS})


@pytest.fixture(scope="module", autouse=True)
def forwarding(converged: None) -> Iterator[None]:
    """The vps with the forwarding hosts, and without them again."""
    good(site(*model()))
    yield
    good(site("-e", json.dumps({"dane_forget": [f"_443._tcp.{name}." for name in TARGETS]})))


def locations(family: str, host: str, asked: list[str]) -> dict[str, str]:
    """Where curl is sent, with the status and any cookie, when it asks `host` (with its scheme) for each of `asked`."""
    form = "%{http_code} %header{location}%header{set-cookie}\\n"
    urls = " ".join(f"-o /dev/null {shlex.quote(host + path)}" for path in asked)
    said = on(PEER, f"curl -{family} -gsS --path-as-is --cacert /etc/ssl/lab-acme-root.pem -w '{form}' {urls}")
    return dict(zip(asked, said.splitlines(), strict=True))


def test_a_second_run_changes_nothing_and_all_is_green_from_outside() -> None:
    assert good(site(*model())).total("changed") == 0
    good(verify(*model()))


@pytest.mark.parametrize("address", ADDRESSES[VPS])
@pytest.mark.parametrize("name", TARGETS)
def test_the_served_tlsa_match_the_certificate(name: str, address: str) -> None:
    data = wait_for(lambda: tlsa(name, 443), f"TLSA of {name}")
    assert len(data) == 2
    host = f"[{address}]" if ":" in address else address
    for records, verified in ((data, True), ([f"{one[:-4]}0000" for one in data], False)):
        said = on(PEER, f"openssl s_client -connect {host}:443 -servername {name} -verify_return_error -dane_tlsa_domain {name} "
                  + " ".join(f"-dane_tlsa_rrdata '{one}'" for one in records) + " </dev/null", check=False)
        assert ("Verification: OK" in said and "DANE TLSA 3 1 1" in said) == verified, said


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize("name", TARGETS)
def test_path_and_query_are_passed_on_as_they_came(name: str, family: str) -> None:
    assert locations(family, f"https://{name}", ASKED) == {path: f"301 {TARGETS[name].removesuffix('/')}{path}" for path in ASKED}
    assert set(locations(family, f"https://{name}", REFUSED).values()) <= {"400 ", "404 "}


@pytest.mark.parametrize("family", ["4", "6"])
def test_port_80_answers_challenges_and_sends_to_https_of_the_same_name(family: str) -> None:
    assert locations(family, f"http://{WWW}", ASKED) == {path: f"301 https://{WWW}{path}" for path in ASKED}
    on(VPS, "echo answer > /var/lib/dehydrated/acme-challenges/token")
    try:
        assert on(PEER, f"curl -{family} -sS --fail http://{WWW}{CHALLENGES}token") == "answer\n"
        assert locations(family, f"http://{WWW}", [f"{CHALLENGES}other"]) == {f"{CHALLENGES}other": "404 "}
    finally:
        on(VPS, "rm /var/lib/dehydrated/acme-challenges/token")


def test_no_request_is_sent_to_a_place_of_its_own_choice() -> None:
    """What curl does not send: targets that are no path, other hosts, line ends."""
    base = TARGETS[WWW].removesuffix("/")
    sent_to = {"/a": f"{base}/a", "//evil.example/x": f"{base}//evil.example/x", f"https://{WWW}": base, f"https://{WWW}?a": f"{base}?a",
               f"HTTPS://{WWW}:443//b": f"{base}//b", f"https://evil@{WWW}/": "", "@evil.example/": "", ".evil.example/": "",
               "evil.example:1": "", "*": "", "/a\tb": "", "/a\r\nX-Evil: b": "", "/a\n b": "", "https://evil.example/x": ""}
    script = f"""
import json, socket, ssl
context = ssl.create_default_context(cafile="/etc/ssl/lab-acme-root.pem")
sent_to = dict()
for target in json.loads({json.dumps(sent_to)!r}):
    with context.wrap_socket(socket.create_connection(("{WWW}", 443), 20), server_hostname="{WWW}") as stream:
        stream.sendall(f"GET {{target}} HTTP/1.1\\r\\nHost: {WWW}\\r\\nConnection: close\\r\\n\\r\\n".encode())
        head = b"".join(iter(lambda: stream.recv(65536), b"")).decode("latin-1").split("\\r\\n\\r\\n")[0].split("\\r\\n")
    sent_to[target] = " ".join(line[len("location: "):] for line in head if line.lower().startswith("location:"))
    assert not any("x-evil" in line.lower() for line in head), head
print(json.dumps(sent_to))
"""
    assert json.loads(on(PEER, "python3 -", stdin=script)) == sent_to


@pytest.mark.parametrize("target", ["elsewhere", 'https://elsewhere.example/" [P]', "https://elsewhere.example/\nProxyPass / http://evil.example/"])
def test_a_target_that_is_no_url_is_named_before_anything_is_changed(target: str, tmp_path: Path) -> None:
    done = site("-e", json.dumps({"dane_redirects": {ZONE: target}}))
    assert done.status == 2 and f"dane_redirects, {ZONE}: " in done.output and "is not a plain http or https URL" in done.output, done.output
    assert all(figures["ok"] == 0 for figures in done.recap.values())
    alone = tmp_path / "alone.yml"
    role = {"ansible.builtin.import_role": {"name": "selfhost.dane.apache"}, "vars": {"apache_hosts": [{"name": ZONE, "redirect": target}]}}
    alone.write_text(json.dumps([{"hosts": VPS, "tasks": [role]}]))
    done = playbook(str(alone))
    assert done.status == 2 and "a plain http or https URL; correct apache_hosts" in done.output, done.output
    assert done.recap[VPS]["changed"] == 0
