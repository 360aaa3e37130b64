#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: tlsa_info
short_description: Compute TLSA records from certificates, keys or CSRs
version_added: 0.1.0
description:
  - Computes the TLSA records (RFC 6698, RFC 7671) of certificates, certificate chains, keys and certificate signing requests
    (CSRs). Writes nothing and asks no DNS.
  - Keys may be RSA, ECDSA, Ed25519 or Ed448; files may be PEM or DER.
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
  - Python library cryptography, version 38.0 or later (package C(python3-cryptography))
options:
  paths:
    description:
      - Files, each with a certificate, a chain with the certificate of the server first, a key, or a CSR.
      - Of a file with a key and certificates the certificates count.
      - Keys must have no passphrase. Keys for RSA-PSS alone are refused; name the certificate instead.
    type: list
    elements: path
    required: true
  usage:
    description:
      - The certificate usage. With V(1) (PKIX-EE) and V(3) (DANE-EE) the record is about the certificate of the server, the
        first one of the file.
      - With V(0) (PKIX-TA) and V(2) (DANE-TA) it is about the certificate that issued the first one, so the file must have
        both. Where the first one is itself the certificate of a CA, it is about that one.
      - A key or CSR is taken for the one that the usage is about, so with V(0) and V(2) give the CA's.
    type: int
    choices: [0, 1, 2, 3]
    default: 3
  selector:
    description:
      - What the record is about, V(0) the whole certificate, or V(1) its public key.
      - V(0) cannot be had of a key or a CSR.
    type: int
    choices: [0, 1]
    default: 1
  matching_type:
    description: What the record has of it, V(0) all octets, V(1) the SHA-256, or V(2) the SHA-512.
    type: int
    choices: [0, 1, 2]
    default: 1
"""

EXAMPLES = r"""
- name: Compute the 3 1 1 record of the certificate that the services use
  selfhost.dane.tlsa_info:
    paths: /var/lib/selfhost-dane/live/g.pyon.example/fullchain.pem
  register: tlsa

- name: Show it as a line of a zone file
  ansible.builtin.debug:
    msg: "_25._tcp.g.pyon.example. IN TLSA {{ tlsa.records[0].record }}"

- name: Compute 2 1 1 records of the CA that issued two certificates
  selfhost.dane.tlsa_info:
    paths:
      - /etc/ssl/g.pyon.example/fullchain.pem
      - /etc/ssl/pyon.example/fullchain.pem
    usage: 2
"""

RETURN = r"""
records:
  description: One record for each of O(paths), in that order.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /var/lib/selfhost-dane/live/g.pyon.example/fullchain.pem
    kind:
      description: What was in it, V(certificate) (one or a chain), V(key) or V(csr).
      type: str
      sample: certificate
    record:
      description: The record in the form of zone files.
      type: str
      sample: 3 1 1 8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4
    usage:
      description: Its certificate usage.
      type: int
      sample: 3
    selector:
      description: Its selector.
      type: int
      sample: 1
    matching_type:
      description: Its matching type.
      type: int
      sample: 1
    data:
      description: Its certificate association data in hexadecimal, lower case.
      type: str
      sample: 8755cdaa8fe24ef16cc0f2c918063185e433faaf1415664911d9e30a924138c4
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import tlsa, x509
from ..module_utils.errors import DaneError


def records_of(path: str, usage: int, selector: int, matching_type: int) -> list[dict[str, Any]]:
    """The records of the file `path` as the module returns them."""
    loaded = x509.read(path)
    try:
        found = tlsa.compute(loaded, usage, selector, matching_type)
    except DaneError as error:
        raise DaneError(f"{path}: {error}") from error
    return [{"path": path, "kind": x509.kind_of(loaded), "record": one.presentation(), "usage": one.usage, "selector": one.selector,
             "matching_type": one.matching_type, "data": one.data.hex()} for one in found]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "required": True},
            "usage": {"type": "int", "choices": [0, 1, 2, 3], "default": 3},
            "selector": {"type": "int", "choices": [0, 1], "default": 1},
            "matching_type": {"type": "int", "choices": [0, 1, 2], "default": 1},
        },
        supports_check_mode=True,
    )
    wanted = [module.params[part] for part in ("usage", "selector", "matching_type")]
    try:
        records = [record for path in module.params["paths"] for record in records_of(path, *wanted)]
    except DaneError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, records=records)


if __name__ == "__main__":
    main()
