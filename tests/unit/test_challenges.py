# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""http-01 for a name with several hosts: the CA finds the token, whichever host it asks, by what the model and apache's template say."""
from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.selfhost.dane.plugins.module_utils.model import judge_model, slice_of

ROLE = Path(__file__).resolve().parents[2] / "roles/apache"
NAMES = ["a.pyon.example", "b.pyon.example", "c.pyon.example"]
RULE = re.compile(r'RewriteRule "\^/\[\.\]well-known/acme-challenge/(\(.*?\))\$" "http://(\S+?)/\.well-known/acme-challenge/\$1\?(\S+)" \[R=302,L\]')


@cache
def slices(*hosts: str) -> dict[str, Any]:
    variables = {"dane_zones": {"pyon.example": {"primary": hosts[0]}},
                 "dane_certificates": {"g.pyon.example": {"hosts": list(hosts), "services": {"smtp": 25}},
                                       "w.pyon.example": {"hosts": list(hosts[1:]), "services": {"https": 443}},
                                       "own": {"hosts": [hosts[-1]], "names": [hosts[-1]], "services": {"https": 443}}}}
    model = judge_model({host: {**variables, "dane_ipv4": [f"198.51.100.{number}"]} for number, host in enumerate(hosts, 1)})
    return {host: slice_of(model, host) for host in hosts}


@cache
def configuration(host: str, *hosts: str) -> dict[str, tuple[list[tuple[str, str, str, str]], str]]:
    """Of each name on port 80: (query, directory, pattern of the token, where to, for which name) of each rule, and all else that is said."""
    part = slices(*hosts)[host]
    variables: dict[str, Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text()) | yaml.safe_load((ROLE / "vars/Debian.yml").read_text())
    variables |= {"apache_hosts": part["web"], "apache_challenges": part["challenges"], "__apache_all": [
        {"name": one["name"], "port": one["port"], "redirect": "", "root": "/var/www", "lives": ["/live"]} for one in part["web"]]}
    text = Templar(DataLoader(), variables=variables).template(trust_as_template((ROLE / "templates/selfhost-dane.conf.j2").read_text()))
    found = {}
    for name, content in re.findall(r"<VirtualHost \*:80>\n    ServerName (\S+)\n(.*?)</VirtualHost>", text, re.DOTALL):
        rules, query = [], ""
        for line in content.splitlines():
            if condition := re.search(r'RewriteCond "%\{QUERY_STRING\}" "=(.*)"', line):
                query = condition[1]
            if rule := RULE.search(line):
                rules.append((query, *rule.groups()))
                query = ""
        assert name not in found
        found[name] = rules, content
        assert content.count("acme-challenges/$1\" !-f") == len(rules), "a token that is there is given"
    return found


def ask(name: str, at: str, holder: str, *hosts: str) -> list[str]:
    """The hosts that the CA comes to when it asks `at` for a token of `name` that `holder` has."""
    way, asked, query = [at], name, ""
    while way[-1] != holder and len(way) < 10:
        rules, _content = configuration(way[-1], *hosts).get(asked, ([], ""))
        target = next(((to, mark) for wanted, _token, to, mark in rules if wanted in ("", query)), None)
        if target is None:
            return [*way, "404"]
        asked, query = target
        way.append(asked)
    return way


@pytest.mark.parametrize("number", [2, 3])
def test_the_ca_finds_the_token_wherever_it_asks(number: int) -> None:
    hosts = NAMES[:number]
    for name, several in (("g.pyon.example", hosts), ("w.pyon.example", hosts[1:])):
        for at in several:
            for holder in several:
                way = ask(name, at, holder, *hosts)
                assert way[-1] == holder and len(way) <= number + 1 and set(way) <= set(several), way
            nowhere = ask(name, at, "nobody", *hosts)
            assert nowhere[-1] == "404" and {*nowhere[:-1]} == set(several), "all are asked, and it ends"


def test_nothing_but_tokens_goes_on_and_only_to_hosts_of_the_name() -> None:
    for host in NAMES:
        for name, (rules, content) in configuration(host, *NAMES).items():
            assert all(token == "([A-Za-z0-9_-]+)" and to in NAMES for _query, token, to, _name in rules)
            assert len(rules) <= 1 if name.startswith(("g", "w")) else all(query for query, *_rest in rules), "an own name asks for which"
            assert ("RedirectMatch 404" in content) != ("https://" in content), "and all else goes to https, or nowhere"
    assert configuration(NAMES[0], *NAMES)["unknown.invalid"][0] == []
    assert "https://" in configuration(NAMES[2], *NAMES)[NAMES[2]][1]
