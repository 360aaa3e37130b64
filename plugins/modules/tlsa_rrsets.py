#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tlsa_rrsets
short_description: Merge the reports of hosts into the TLSA RRsets of zones
version_added: 0.1.0
description:
  - Runs on the primary of the zones. Merges what the hosts report of their keys and ports with the primary's own durable
    record, and returns the TLSA RRset that each owner shall have.
  - An RRset is first published when every endpoint of every host behind the name presents a key that one of its records
    stands for. A host that is not heard from keeps its records. Nothing is removed because it is absent.
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
      - The zones whose primary this host is, as in the model. Of each C(name), C(tlsa_ttl) in seconds and C(tlsa_owners) are
        used; of an owner C(owner) and C(backends); of a backend C(host), C(certificate), C(service) and C(port).
    type: list
    elements: dict
    required: true
  reports:
    description: The reports that M(selfhost.dane.tls_certificates) returned on the hosts of this run.
    type: list
    elements: dict
    default: []
  forget:
    description: Owners whose records are removed because nothing presents them any more.
    type: list
    elements: str
    default: []
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
        tlsa_owners:
          - owner: _25._tcp.g.pyon.example.
            backends:
              - {host: vps.pyon.example, certificate: g.pyon.example, service: smtp, port: 25}
    reports: "{{ reports }}"
"""

RETURN = r"""
zones:
  description: The given zones, each with its TLSA RRsets as C(tlsa).
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
  description: The reason for each RRset, and what holds a further step back.
  returned: success
  type: list
  elements: str
  sample:
    - "_25._tcp.g.pyon.example.: published: every backend matches"
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import records
from ..module_utils.errors import DaneError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "zones": {"type": "list", "elements": "dict", "required": True},
            "reports": {"type": "list", "elements": "dict", "default": []},
            "forget": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "default": "/var/lib/selfhost-dane/record.json"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        before, after, plans = records.update(given["path"], given["host"], given["zones"], given["reports"],
                                              given["forget"], int(time.time()), write=not module.check_mode)
    except DaneError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=before != after,
        diff=[{"before_header": given["path"], "after_header": given["path"],
               "before": json.dumps(before, indent=1, sort_keys=True) + "\n",
               "after": json.dumps(after, indent=1, sort_keys=True) + "\n"}],
        zones=[{**zone, "tlsa": [{"owner": owner, "ttl": entry["ttl"], "records": entry["records"]}
                                 for owner, entry in sorted(after["zones"][zone["name"]].items())]} for zone in given["zones"]],
        plans=[f"{owner}: {'; '.join([one.reason, *one.held_by])}" for owners in plans.values() for owner, one in owners.items()])


if __name__ == "__main__":
    main()
