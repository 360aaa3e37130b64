#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tlsa_gate_info
short_description: Ask every name server of a zone whether it serves the TLSA records that are wanted
version_added: 0.1.0
description:
  - Asks every IPv4 and IPv6 address of every name server that the parent or the zone names, all at the same time, and says what
    each answers for each TLSA owner. Whoever runs the zone. Nothing is changed.
  - Answers count only if they are authoritative and their signatures validate from the DS at the parent down (RFC 4035); that there
    is no record is proven likewise, by NSEC or NSEC3.
  - TLSA RRsets are asked for over UDP, and over TCP where an answer is truncated. Each address is asked for the SOA over TCP too.
  - Each address has one socket and at most eight open questions. One that does not answer is soon let alone, and all ends within
    O(timeout).
author: The selfhost.dane authors (@selfhost-dane)
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: N/A
    details: It changes nothing.
requirements:
  - Python libraries dnspython, version 2.3 or later, and cryptography, version 38.0 or later (packages C(python3-dnspython) and
    C(python3-cryptography))
  - A resolver that validates (DNSSEC), on the way to which nobody can interfere; on the loopback address is best
options:
  zone:
    description: Name of the zone.
    type: str
    required: true
  owners:
    description: The owners, 10,000 at most.
    type: list
    elements: dict
    required: true
    suboptions:
      owner:
        description: Owner name of TLSA records, in the zone.
        type: str
        required: true
      records:
        description:
          - All records that it should have, in the form of zone files.
          - Without any the module only says what is served.
        type: list
        elements: str
        default: []
  resolvers:
    description: Addresses of validating resolvers. By default those of C(/etc/resolv.conf).
    type: list
    elements: str
    default: []
  unlistable:
    description: Addresses of name servers behind which there are more machines than can be asked (anycast). They are marked in
      RV(ignore:addresses), nothing more.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds in which all of it ends. What was not answered then counts as V(silent).
    type: int
    default: 30
seealso:
  - module: selfhost.dane.tlsa_info
"""

EXAMPLES = r"""
- name: Ask all name servers for the new records
  selfhost.dane.tlsa_gate_info:
    zone: pyon.example
    owners:
      - owner: _25._tcp.g.pyon.example
        records:
          - 3 1 1 8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4
          - 3 1 1 2f1c9d7f4a53b5e0d1bb0c53b1f7e1a0a0d8f2a6c0f9b1e4d3c2b1a090807060
  register: gate
  until: gate.passed
  retries: 10
  delay: 60

- name: See what is served
  selfhost.dane.tlsa_gate_info:
    zone: pyon.example
    owners:
      - owner: _443._tcp.pyon.example
"""

RETURN = r"""
zone_state:
  description:
    - V(secure), V(insecure) (the parent has no DS, and answers were validated by the zone's own keys), V(bogus), or V(unknown) where
      no resolver here can tell.
  returned: success
  type: str
  sample: secure
passed:
  description: Whether the zone is secure, all its name servers are known, and each of their addresses has exactly the wanted
    records of all owners that have any.
  returned: success
  type: bool
held_by:
  description: Why not, in sentences that name the addresses.
  returned: success
  type: list
  elements: str
  sample: ["198.51.100.20 (home.pyon.example., serial 6), _25._tcp.g.pyon.example.: it has 1 records, lacks 1 of the 2 that are wanted and
    has 0 others; publish what is wanted, or wait until this name server has transferred it"]
complete:
  description: Whether all addresses that parent and zone name are in RV(addresses).
  returned: success
  type: bool
addresses:
  description: The addresses of the name servers.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address.
      type: str
    names:
      description: The names of name servers that lead to it.
      type: list
      elements: str
    unlistable:
      description: Whether it is in O(unlistable).
      type: bool
    serial:
      description: Serial of its SOA, if that validates.
      type: int
    expire:
      description: Expire time of its SOA, in seconds.
      type: int
    latency:
      description: Seconds until its first answer.
      type: float
    tcp:
      description: Whether it gave its SOA over TCP too.
      type: bool
    error:
      description: What is wrong with it, in one sentence.
      type: str
  sample:
    - address: 198.51.100.10
      names: [vps.pyon.example.]
      unlistable: false
      serial: 7
      expire: 604800
      latency: 0.012
      tcp: true
      error: ""
owners:
  description: The owners, in the order of O(owners).
  returned: success
  type: list
  elements: dict
  contains:
    owner:
      description: The owner name.
      type: str
    answers:
      description:
        - What each address of RV(addresses) said, in that order.
        - C(verdict) is V(matches), V(differs), V(absent), V(silent) (no answer), V(lame) (not authoritative, or an error), V(bogus)
          (does not validate, malformed or too large), or V(unreachable) (this host has no route). C(ttl) is the original TTL in
          seconds, C(signed_until) the expiration of the signature in unix seconds.
      type: list
      elements: dict
  sample:
    - owner: _25._tcp.g.pyon.example.
      answers:
        - address: 198.51.100.10
          verdict: matches
          records: [3 1 1 8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4]
          ttl: 3600
          signed_until: 1797000000
          error: ""
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gate
from ..module_utils.errors import DaneError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zone": {"type": "str", "required": True},
            "owners": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "owner": {"type": "str", "required": True},
                    "records": {"type": "list", "elements": "str", "default": []},
                },
            },
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "unlistable": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    options = module.params
    owners = [(entry["owner"], entry["records"]) for entry in options["owners"]]
    try:
        result = gate.look(options["zone"], owners, options["resolvers"], options["unlistable"], options["timeout"])
    except DaneError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, zone_state=result.state, passed=result.passed, held_by=result.held_by, complete=result.complete,
                     addresses=[asdict(one) for one in result.addresses],
                     owners=[{"owner": owner, "answers": [asdict(one) for one in said]} for owner, said in result.owners.items()])


if __name__ == "__main__":
    main()
