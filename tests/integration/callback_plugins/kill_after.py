# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill the play after its N-th changed task, as a power cut of the controller would; count them where N is 0."""
from __future__ import annotations

import os
import signal

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: kill_after
type: aggregate
short_description: Kill the play after its N-th changed task
description: For the tests. Writes each changed task to a file and kills the run after the N-th.
options:
  changed:
    description: After how many changed tasks the run is killed; 0 never.
    env: [{name: KILL_AFTER}]
    type: int
    default: 0
  log:
    description: File that gets the name of each changed task.
    env: [{name: KILL_AFTER_LOG}]
    type: path
    required: true
"""


class CallbackModule(CallbackBase):
    """Counts changed tasks over all hosts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_after"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def v2_runner_on_ok(self, result) -> None:  # noqa: ANN001
        if not result.result.get("changed", False):
            return
        self.seen += 1
        with open(self.get_option("log"), "a", encoding="utf-8") as stream:
            print(self.seen, result.host.get_name(), result.task.get_name(), file=stream)
        if self.seen == self.get_option("changed"):
            os.killpg(os.getpgrp(), signal.SIGKILL)
