#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: verification_info
short_description: Judge zones, name servers and endpoints from the wire alone
version_added: 0.1.0
description:
  - Runs on a host from which to look, by default the controller. Asks every address of every name server, and connects to
    every address and port of every endpoint. Nothing is read from the managed hosts' disks, and nothing is changed.
  - Judges the delegation, the name servers (authority, serial, signatures, transfers), NS, MX and address records, TLSA
    RRsets, STARTTLS or TLS, certificates and their chains, and says for each address and port which school of peer can
    connect.
  - Needs dnspython 2.3 or later and cryptography 38 or later on that host, and a resolver that validates.
author: The selfhost.dane authors (@selfhost-dane)
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: It changes nothing.
options:
  zones:
    description: What the model expects of each zone. The action plugin M(selfhost.dane.model_facts) returns it as
      C(dane.wanted).
    type: list
    elements: dict
    required: true
    suboptions:
      zone:
        description: Name of the zone.
        type: str
        required: true
      name_servers:
        description: Its name servers and their addresses.
        type: list
        elements: dict
        required: true
        suboptions: &addressed
          name:
            description: Host name.
            type: str
            required: true
          ipv4:
            description: Its IPv4 addresses.
            type: list
            elements: str
            default: []
          ipv6:
            description: Its IPv6 addresses.
            type: list
            elements: str
            default: []
      mx:
        description: Its MX records.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Host name.
            type: str
            required: true
          preference:
            description: Preference.
            type: int
            required: true
      endpoints:
        description: Names, services and ports that present certificates.
        type: list
        elements: dict
        default: []
        suboptions:
          <<: *addressed
          service:
            description: How TLS begins, at once or after STARTTLS.
            type: str
            choices: [https, smtp]
            required: true
          port:
            description: TCP port.
            type: int
            required: true
          owner:
            description: Owner name of its TLSA records.
            type: str
            required: true
          pair:
            description: Those of the addresses at which an ECDSA and an RSA certificate are presented. Each is asked for, in TLS 1.2.
            type: list
            elements: str
            default: []
  ca_file:
    description: File of CA certificates in PEM on the host where the module runs. By default those of the system.
    type: path
  resolvers:
    description: Addresses of validating resolvers. By default those of C(/etc/resolv.conf).
    type: list
    elements: str
    default: []
  signature_margin:
    description: The least time in seconds that each signature has to last.
    type: int
    default: 259200
  timeout:
    description: Seconds after which no more is asked.
    type: int
    default: 60
  workers:
    description: How many questions are open at the same time.
    type: int
    default: 16
"""

EXAMPLES = r"""
- name: Judge the model
  selfhost.dane.model_facts:

- name: Look from the wire
  selfhost.dane.verification_info:
    zones: "{{ dane.wanted }}"
  register: seen

- name: Show each name, address and port
  ansible.builtin.debug:
    msg: "{{ seen.rows | selfhost.dane.verification_lines }}"
"""

RETURN = r"""
rows:
  description: The judgements.
  returned: success
  type: list
  elements: dict
  contains:
    zone:
      description: Zone, empty for the resolver of this host.
      type: str
    what:
      description: What is judged.
      type: str
    name:
      description: Name.
      type: str
    address:
      description: Address, empty where the judgement is about no single one.
      type: str
    port:
      description: Port, or none.
      type: int
    ok:
      description: Good, bad, or none where it is awaited or cannot be judged from here.
      type: bool
    school:
      description: The school of peer whose view this is, empty for a check of one part.
      type: str
    detail:
      description: What was found.
      type: str
    cure:
      description: What to do about it.
      type: str
    command:
      description: The command to try next, quoted for a shell.
      type: str
  sample:
    - zone: pyon.example
      what: can connect
      name: g.pyon.example
      address: 198.51.100.10
      port: 25
      ok: true
      school: DANE sender
      detail: yes, TLSv1.3, verified by TLSA
      cure: ""
      command: posttls-finger -l dane -L summary '[g.pyon.example]:25'
failures:
  description: One sentence for each row that is bad, those of single parts first.
  returned: success
  type: list
  elements: str
  sample: ["serial of home.pyon.example (198.51.100.20 port 53): home.pyon.example is behind: 5, and vps.pyon.example has 7"]
counts:
  description: How many rows are good, bad and neither.
  returned: success
  type: dict
  sample: {green: 41, red: 1, awaited: 2}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import verification
from ..module_utils.errors import DaneError

ADDRESSED = {
    "name": {"type": "str", "required": True},
    "ipv4": {"type": "list", "elements": "str", "default": []},
    "ipv6": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zones": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "zone": {"type": "str", "required": True},
                    "name_servers": {"type": "list", "elements": "dict", "required": True, "options": ADDRESSED},
                    "mx": {
                        "type": "list", "elements": "dict", "default": [],
                        "options": {
                            "name": {"type": "str", "required": True},
                            "preference": {"type": "int", "required": True},
                        },
                    },
                    "endpoints": {
                        "type": "list", "elements": "dict", "default": [],
                        "options": {
                            **ADDRESSED,
                            "service": {"type": "str", "choices": ["https", "smtp"], "required": True},
                            "port": {"type": "int", "required": True},
                            "owner": {"type": "str", "required": True},
                            "pair": {"type": "list", "elements": "str", "default": []},
                        },
                    },
                },
            },
            "ca_file": {"type": "path"},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "signature_margin": {"type": "int", "default": 259200},
            "timeout": {"type": "int", "default": 60},
            "workers": {"type": "int", "default": 16},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        wire = verification.world(options["resolvers"], options["ca_file"], options["timeout"])
        rows = verification.verify(options["zones"], wire, options["signature_margin"], options["workers"])
    except DaneError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, rows=[row.as_dict() for row in rows], failures=verification.failures(rows),
                     counts=verification.counts(rows))


if __name__ == "__main__":
    main()
