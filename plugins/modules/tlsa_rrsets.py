#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tlsa_rrsets
short_description: Plan the TLSA RRsets of zones and the keys of their hosts
version_added: 0.1.0
description:
  - Runs on the primary of the zones. Merges what the hosts report of their keys and ports with the primary's own durable
    record, and returns the TLSA RRset that each owner shall have.
  - An RRset is first published when every endpoint of every host behind the name presents a key that one of its records
    stands for. A host that is not heard from keeps its records.
  - Says which step each certificate of each host may take towards another key or, in the scheme 3 0 1, another certificate.
    With O(observe) the name servers of the zones are asked first, as M(selfhost.dane.tlsa_gate_info) does; a key goes live only after that.
author: The selfhost.dane authors (@selfhost-dane)
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  host:
    description: The inventory name of this primary; a record of another host is refused.
    type: str
    required: true
  zones:
    description:
      - The zones whose primary this host is, as in the model. Of each C(name), C(tlsa_ttl) in seconds, C(soa) and C(tlsa_owners)
        are used; of the SOA C(expire) in seconds; of an owner C(owner) and C(backends); of a backend C(host), C(certificate), C(service) and C(port).
      - Where C(anycast) has addresses of name servers, more machines stand behind each of them than can be asked. One that answers says
        nothing of the others, so such an address may serve what was replaced until its signatures have expired.
      - Where C(names) say whose addresses each name is to have, with C(ttl) in seconds, those of a host that is added are left out of
        C(records) until no cache can hold TLSA records that its keys do not match.
    type: list
    elements: dict
    required: true
  reports:
    description: The reports that M(selfhost.dane.tls_certificates) returned on the hosts of this run.
    type: list
    elements: dict
    default: []
  policy:
    description: What the operator said in C(dane_policy), with all defaults.
    type: dict
    required: true
  observe:
    description: Ask all name servers of the zones what they serve.
    type: bool
    default: false
  timeout:
    description: Seconds for the questions about one zone.
    type: int
    default: 30
  time:
    description:
      - The unix time on the controller. Where it differs from the clock of this host by more than C(clock_margin) of O(policy),
        nothing is changed.
    type: int
  forget:
    description: Owners whose records are removed because nothing presents them any more.
    type: list
    elements: str
    default: []
  roll:
    description: Certificates whose keys are to be rolled as soon as it is safe.
    type: list
    elements: str
    default: []
  compromised:
    description: The SHA-256 of the SPKI, in hexadecimal, of keys that others may have.
    type: list
    elements: str
    default: []
  revoke_now:
    description: Where a compromised key is live and no other may go live yet, switch all the same. DANE peers fail for one hold.
    type: bool
    default: false
  path:
    description: The record of this primary.
    type: path
    default: /var/lib/selfhost-dane/record.json
"""

EXAMPLES = r"""
- name: Merge what the hosts report
  selfhost.dane.tlsa_rrsets:
    host: vps.pyon.example
    zones:
      - name: pyon.example
        tlsa_ttl: 3600
        soa: {expire: 604800}
        tlsa_owners:
          - owner: _25._tcp.g.pyon.example.
            backends:
              - {host: vps.pyon.example, certificate: g.pyon.example, service: smtp, port: 25}
    reports: "{{ reports }}"
    policy: "{{ ansible_facts['dane'].policy }}"
"""

RETURN = r"""
zones:
  description: The given zones, each with its TLSA RRsets as C(tlsa), and C(records) without the addresses of hosts that have to wait.
  returned: success
  type: list
  elements: dict
  sample:
    - name: pyon.example
      tlsa_ttl: 3600
      tlsa_owners: []
      tlsa:
        - owner: _25._tcp.g.pyon.example.
          ttl: 3600
          records:
            - 3 1 1 8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4
            - 3 1 1 d54f7bb1c1c9ba7b8a5cb4a91d2ad9b6b7ce4e9b8bcb8fd77ff8b1bdb45ff78f
plans:
  description: The reason for each RRset, and what holds a further change back.
  returned: success
  type: list
  elements: str
  sample:
    - "_25._tcp.g.pyon.example.: published: every backend matches"
steps:
  description: What each certificate of each host may do.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The inventory name of the host.
      type: str
      sample: vps.pyon.example
    certificate:
      description: The name of the certificate.
      type: str
      sample: g.pyon.example
    step:
      description:
        - V(make_key), V(order), V(deploy) or V(delete_key) for the host, V(publish) or V(withdraw) for the primary, V(wait) where
          something else has to happen first, V(rest) where nothing has to.
      type: str
      sample: deploy
    reason:
      description: Why, in a sentence.
      type: str
      sample: its key has been live for its lifetime; no cache holds records that the next one does not match
    spki:
      description: The SHA-256 of the key that the step is about, or nothing.
      type: str
      sample: 8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4
    fingerprint:
      description: The SHA-256 of the certificate that is to go live, or nothing.
      type: str
      sample: d54f7bb1c1c9ba7b8a5cb4a91d2ad9b6b7ce4e9b8bcb8fd77ff8b1bdb45ff78f
    held_by:
      description: What holds it back, in sentences that name addresses.
      type: list
      elements: str
      sample: []
    not_before:
      description:
        - With V(wait) the unix time at which it goes on at the latest, as far as is known now; it comes nearer as name servers answer.
        - With V(rest) the unix time until which nothing has to happen.
        - Nothing where no time is known.
      type: int
      sample: 1795000000
    deadline:
      description: The unix time at which the live certificate ends, where it is due and this step is on the way to the next one.
      type: int
      sample: 1795600000
    ordered:
      description: What this primary was told by the operator that is of the certificate.
      type: dict
      contains:
        live:
          description: The SHA-256 of its live key, as far as is known.
          type: str
          sample: d54f7bb1c1c9ba7b8a5cb4a91d2ad9b6b7ce4e9b8bcb8fd77ff8b1bdb45ff78f
        asked:
          description: The SHA-256 of the live key that is to be rolled, or nothing.
          type: str
          sample: ""
        burnt:
          description: The SHA-256 of those of its keys that others may have.
          type: list
          elements: str
          sample: []
        compromised:
          description: The SHA-256 of all keys that others may have.
          type: list
          elements: str
          sample: []
published:
  description: The keys of each certificate of each host, as it last said, that have TLSA records.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The inventory name of the host.
      type: str
      sample: vps.pyon.example
    certificate:
      description: The name of the certificate.
      type: str
      sample: g.pyon.example
    keys:
      description: The SHA-256 of the SPKI of each.
      type: list
      elements: str
      sample: [8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4]
bound:
  description:
    - For each certificate of each host whether records stand for the certificate itself, or may in some cache, so that the host's timer
      must not renew it. Without those of which nobody knows, as the record was lost.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The inventory name of the host.
      type: str
      sample: vps.pyon.example
    certificate:
      description: The name of the certificate.
      type: str
      sample: g.pyon.example
    bound:
      description: Whether it is so.
      type: bool
      sample: false
held:
  description:
    - The certificates that are not to become live yet, as they join another one of their host at the same name and port, and caches may
      hold records of that one alone.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The inventory name of the host.
      type: str
      sample: vps.pyon.example
    certificate:
      description: The name of the certificate.
      type: str
      sample: g-rsa
moved:
  description:
    - The certificates that take the place of another one of their host at some name and port, while caches may hold records of that one
      alone. No service is to be changed for the sake of such a certificate.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The inventory name of the host.
      type: str
      sample: vps.pyon.example
    certificate:
      description: The name of the certificate.
      type: str
      sample: w.pyon.example
    reason:
      description: Which name goes from where to where, and the cure, in a sentence.
      type: str
      sample: >-
        vps.pyon.example: _443._tcp.w.pyon.example would have the certificate w.pyon.example, and caches may hold TLSA records of g.pyon.example
        alone, so DANE peers would refuse w.pyon.example; leave the name with g.pyon.example, have a new certificate of the other kind (RSA
        beside ECDSA) join that, and take the name from g.pyon.example when both are presented (docs/model.md, A name that goes to another
        certificate)
  sample: []
alarms:
  description: What the operator has to do something about, in sentences.
  returned: success
  type: list
  elements: str
  sample: []
hosts:
  description: Hosts that are not yet, or no more, behind a name, and what that waits for.
  returned: success
  type: list
  elements: str
  sample:
    - >-
      g.pyon.example: mx2.pyon.example is not among its addresses yet: caches may hold TLSA records that its keys do not match,
      until 2026-12-01 10:00:00 UTC at the latest; 198.51.100.11 may still serve the RRset 3 1 1 8755cdaa.., 3 1 1 d54f7bb1..
exposures:
  description: What a compromised key that is live means, of each certificate and host that has one; to choose O(revoke_now) by.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The inventory name of the host.
      type: str
      sample: vps.pyon.example
    certificate:
      description: The name of the certificate.
      type: str
      sample: g.pyon.example
    earliest:
      description: The unix time at which a clean key that is published now may go live, if all name servers answer.
      type: int
      sample: 1795097800
    latest:
      description: The same, whatever the name servers do.
      type: int
      sample: 1795612060
    cached:
      description: Seconds for which caches may hold the key after it has left the records.
      type: int
      sample: 7260
    signed:
      description: Seconds for which its old records are signed after that, so that they can be replayed.
      type: int
      sample: 2419200
  sample: []
time:
  description: The O(time) of this plan.
  returned: success
  type: int
  sample: 1795000000
seen:
  description: What is wrong with the name servers, in sentences; nothing where they were not asked.
  returned: success
  type: list
  elements: str
  sample: []
"""

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import clock, gate, reach, records
from ..module_utils.errors import DaneError, sentence
from ..module_utils.rollover import make_rules


def observations(given: dict[str, Any]) -> tuple[dict[str, records.Observation], list[str]]:
    """What the name servers of each zone say of the owners that are on record or in the model, and what is wrong with them."""
    record = records.read(given["path"], given["host"])
    found: dict[str, records.Observation] = {}
    wrong: list[str] = []
    for zone in given["zones"]:
        owners = {*records.owners(record, zone["name"]), *(entry["owner"] for entry in zone["tlsa_owners"])}
        names = records.leaving(record, zone["name"])
        seen = gate.look(zone["name"], [(owner, ()) for owner in sorted(owners)], unlistable=zone.get("anycast", ()), timeout=given["timeout"],
                         names=names)
        trouble = "; ".join(seen.held_by[:1]) if seen.state in ("bogus", "unknown") else ""
        found[zone["name"]] = records.Observation([one.address for one in seen.addresses], {owner: gate.history_answers(seen, owner) for owner in owners},
                                                  trouble, {name: gate.given(seen, name) for name in names},
                                                  {"secure": True, "insecure": False}.get(seen.state), seen.complete)
        wrong += seen.held_by
    return found, wrong


def noted(note: reach.Note, ahead: int) -> str:
    """`note` with what it waits for, and until when at the latest by the host's clock."""
    when = "" if note.not_before is None else time.strftime(", until %Y-%m-%d %H:%M:%S UTC at the latest", time.gmtime(note.not_before + ahead))
    return "; ".join([note.text + when, *note.held_by])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "zones": {"type": "list", "elements": "dict", "required": True},
            "reports": {"type": "list", "elements": "dict", "default": []},
            "policy": {"type": "dict", "required": True},
            "observe": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 30},
            "time": {"type": "int"},
            "forget": {"type": "list", "elements": "str", "default": []},
            "roll": {"type": "list", "elements": "str", "default": []},
            "compromised": {"type": "list", "elements": "str", "default": []},
            "revoke_now": {"type": "bool", "default": False},
            "path": {"type": "path", "default": "/var/lib/selfhost-dane/record.json"},
        },
        supports_check_mode=True,
    )
    given, begin = module.params, clock.read()
    policy = given["policy"]
    roll = {(entry["host"], entry["certificate"]) for zone in given["zones"] for owner in zone["tlsa_owners"] for entry in owner["backends"]
            if entry["certificate"] in given["roll"]}
    order = records.Order(frozenset(given["forget"]), frozenset(roll), frozenset(given["compromised"]), given["revoke_now"])
    try:
        found, wrong = observations(given) if given["observe"] else ({}, [])
        now = clock.read()  # not before: what was served then has to count as served
        controller = None if given["time"] is None else given["time"] + now.boot - begin.boot
        rules = make_rules(policy)
        done = records.update(given["path"], given["host"], given["zones"], given["reports"], found, order, rules,
                              policy["signature_validity"], now, controller, not module.check_mode, lambda: records.signed(given["zones"]))
    except (DaneError, OSError) as error:
        module.fail_json(msg=sentence(error))
    module.exit_json(
        changed=done.changed(),
        diff=[{"before_header": given["path"], "after_header": given["path"],
               "before": json.dumps(records.lasting(done.before), indent=1, sort_keys=True) + "\n",
               "after": json.dumps(records.lasting(done.after), indent=1, sort_keys=True) + "\n"}],
        zones=[{**zone, "records": records.address_records(done.after, zone),
                "tlsa": [{"owner": owner, "ttl": ttl, "records": texts}
                         for owner, (texts, ttl) in records.published(done.after, zone["name"]).items()]} for zone in given["zones"]],
        plans=[f"{owner}: {'; '.join([one.reason, *one.held_by])}" for owner, one in sorted(done.plan.rrsets.items())],
        steps=[{"host": host, "certificate": certificate, "step": step.kind.replace(" ", "_"), "reason": step.reason, "spki": step.spki,
                "fingerprint": step.fingerprint, "held_by": list(step.held_by), "not_before": None if step.not_before is None else step.not_before + done.ahead,
                "deadline": None if step.deadline is None else step.deadline + done.ahead,
                "ordered": records.ordered(done.after, host, certificate)}
               for (host, certificate), step in sorted(done.plan.steps.items())],
        published=[{"host": host, "certificate": certificate, "keys": keys}
                   for (host, certificate), keys in records.published_keys(done.after, given["zones"]).items()],
        bound=[{"host": host, "certificate": certificate, "bound": bound}
               for (host, certificate), bound in records.bound_certificates(done.before, given["zones"], rules).items()],
        held=[{"host": host, "certificate": certificate} for host, certificate in done.plan.held],
        moved=[{"host": host, "certificate": certificate, "reason": reason}
               for (host, certificate), reason in records.moved(done.after, given["zones"], rules.caches, done.now).items()],
        alarms=list(done.alarms),
        hosts=[noted(note, done.ahead) for note in done.notes],
        exposures=[{"host": host, "certificate": certificate, "earliest": one.earliest + done.ahead, "latest": one.latest + done.ahead,
                    "cached": one.cached, "signed": one.signed}
                   for (host, certificate), one in sorted(records.exposures(done.after, given["zones"], make_rules(policy), policy["signature_validity"],
                                                                            done.now).items())],
        time=given["time"],
        seen=wrong)


if __name__ == "__main__":
    main()
