#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin model_facts, which runs on the controller."""
from __future__ import annotations

DOCUMENTATION = r"""
module: model_facts
short_description: Judge the inventory and return what concerns a host
version_added: 0.1.0
author: The selfhost.dane authors (@selfhost-dane)
description:
  - Reads the C(dane_*) variables of all hosts of the inventory, judges them as a whole, and returns the slice of the
    model that concerns the host as the fact C(dane).
  - Runs on the controller and touches no host, so it works for hosts that cannot be reached. Hosts outside the play or
    the limit are part of the model all the same.
  - Fails with one sentence for each mistake. It names the zone, host, certificate or variable, and the cure.
  - Variables that concern the whole model, such as C(dane_zones), must be the same on every host that defines them.
    Only variables of the inventory and extra variables count, not those of plays and roles.
  - The variables and the shape of the fact are described in C(docs/model.md).
extends_documentation_fragment:
  - selfhost.dane.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options: {}
"""

EXAMPLES = r"""
- name: Judge the inventory
  hosts: all
  gather_facts: false
  tasks:
    - name: Know what concerns this host
      selfhost.dane.model_facts:

    - name: Show the zones that this host signs
      ansible.builtin.debug:
        msg: "{{ ansible_facts['dane'].primary_zones | map(attribute='name') | list }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts that are added.
  returned: success
  type: dict
  contains:
    dane:
      description: The slice of the model that concerns this host; see C(docs/model.md).
      returned: success
      type: dict
      sample:
        schema: 1
        host: home.pyon.example
        ipv4: [198.51.100.11]
        ipv6: ["2001:db8:51::11"]
        policy: {signature_validity: 2419200, signature_renewal: 604800, timer_interval: 21600}
        acme: {directory: "https://acme-v02.api.letsencrypt.org/directory", contact: hostmaster@pyon.example, ca: ""}
        resolver: {root_hints: [], trust_anchors: [], insecure_reverse: false}
        primary_zones: []
        secondary_zones:
          - name: pyon.example
            primary: {host: vps.pyon.example, ipv4: [198.51.100.10], ipv6: ["2001:db8:51::10"]}
        certificates: []
        web: []
        mail: {}
        zones: [pyon.example]
        wanted:
          - zone: pyon.example
            name_servers:
              - {name: vps.pyon.example, ipv4: [198.51.100.10], ipv6: ["2001:db8:51::10"]}
              - {name: home.pyon.example, ipv4: [198.51.100.11], ipv6: ["2001:db8:51::11"]}
            mx: [{name: g.pyon.example, preference: 10}]
            endpoints:
              - name: g.pyon.example
                service: smtp
                port: 25
                owner: _25._tcp.g.pyon.example.
                ipv4: [198.51.100.10]
                ipv6: ["2001:db8:51::10"]
"""
