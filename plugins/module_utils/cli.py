# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the host's program: `selfhost-dane sign`, `renew` and `tell`.  What the timers run."""
from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from .errors import DaneError, print_line, sentence

# subcommand: module of this package, its function (config path -> exit status), configuration, help.  The module is
# imported when it is asked for, so that a fault in one does not stop the other.
COMMANDS = {
    "sign": ("signing", "sign_command", "/etc/selfhost-dane/zones.json", "sign and serve the zones that need it"),
    "renew": ("certificates", "renew_command", "/etc/selfhost-dane/certificates.json", "renew the certificates that need it"),
    "tell": ("unattended", "tell_command", "/etc/selfhost-dane/unattended/verify.json", "mail the operator where an unattended run fails; for systemd"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status is 0, 1 with a sentence on standard error, or 2 for a wrong command line."""
    parser = argparse.ArgumentParser(prog="selfhost-dane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_module, _function, config, description) in COMMANDS.items():
        command = commands.add_parser(name, help=description)
        command.add_argument("--config", default=config, help="JSON file with the module's arguments (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    module, function, _config, _description = COMMANDS[chosen.command]
    try:
        return int(getattr(importlib.import_module(f".{module}", __package__), function)(chosen.config))
    except (DaneError, OSError) as error:
        print_line(f"selfhost-dane {chosen.command}: {sentence(error)}", sys.stderr)
        return 1
