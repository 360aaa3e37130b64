# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail to the operator about runs that nobody looks at: when one fails, once a day while it does, and when it is well again.

systemd starts this after each run (ExecStopPost) and says in the environment how it ended (systemd.exec(5)).
"""
from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from typing import Any

from .errors import NO_SHAPE, DaneError, print_line, printable
from .files import make_directory, read_file, write_file
from .process import checked, run

LOCKED = 75
"""Exit status of a run that has waited in vain for the other one, as the units have it (EX_TEMPFAIL)."""
LINE_MAX = 900  # octets; RFC 5322 section 2.1.1 has 998
LINES_MAX = 200
_TIMES = range(2**33)  # unix seconds, until the year 2242
_STATUS = {  # of ansible-playbook
    "1": "it stopped with an error",
    "2": "a host failed",
    "4": "a host could not be reached, or the inventory cannot be read",
    "5": "its command line is wrong",
    "8": "a host failed",
    str(LOCKED): "the run before had not ended after an hour",
}
_ADDRESS = re.compile(r"[A-Za-z0-9_]+([.+-][A-Za-z0-9_]+)*@[a-z0-9-]+(\.[a-z0-9-]+)+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Config:
    """What the role has written: of one of the two runs on this host."""

    run: str
    host: str
    mail: str
    unit: str
    state: str
    """File that remembers what the operator has been told."""
    sendmail: str
    remind: int
    """Seconds until the same failure is told again."""


@dataclass(frozen=True)
class Told:
    """What the operator knows: `reason` is "" where all was well, `since` and `told` are unix seconds."""

    reason: str = ""
    since: int = 0
    told: int = 0


def load_config(path: str) -> Config:
    """The configuration at `path`, judged, as some of it goes into the header of a mail."""
    wrong = DaneError(f"{path} is not what the role unattended writes; run the playbook site again")
    try:
        config = Config(**json.loads(read_file(path, "what to tell the operator", 2**16)))
    except (ValueError, TypeError) as error:
        raise wrong from error
    texts = [config.run, config.host, config.unit]
    if not all(isinstance(text, str) and _NAME.fullmatch(text) and len(text) < 256 for text in texts) \
            or not isinstance(config.mail, str) or not _ADDRESS.fullmatch(config.mail) or len(config.mail) > 320 \
            or not all(isinstance(text, str) and os.path.isabs(text) for text in (config.state, config.sendmail)) \
            or isinstance(config.remind, bool) or not isinstance(config.remind, int):
        raise wrong
    return config


def ended(environment: Mapping[str, str]) -> str | None:
    """Why the run has failed, "" where it has not, None where it was stopped from outside and nothing is known."""
    result, code, status = (environment.get(key, "") for key in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"))
    if (result, code, status) == ("success", "exited", "0"):
        return ""
    if result == "success":  # somebody stopped it, or the host goes down
        return None
    if result == "timeout":
        return "it did not end in time and was stopped"
    if result == "exit-code":
        return _STATUS.get(status, f"it ended with exit status {printable(status, 10)}")
    if not result:
        raise DaneError("there is no SERVICE_RESULT in the environment; leave it to systemd to start this")
    return f"it was ended ({printable(result, 40)}, {printable(status, 20)})"


def decide(known: Told, reason: str, now: int, remind: int) -> tuple[str, Told]:
    """What to tell after a run that failed for `reason` ("" where it did not), and what is known once that is told.

    "" for nothing, else failed (also where the reason is another one), still, or over.
    """
    if not reason:
        return ("over" if known.reason else ""), Told()
    if reason != known.reason:
        return "failed", Told(reason, known.since if known.reason else now, now)
    if 0 <= now - known.told < remind:
        return "", known
    return "still", Told(reason, known.since, now)


def message(config: Config, what: str, reason: str, since: int, lines: list[str]) -> bytes:
    """The mail, plain ASCII.  No text of others gets into its header."""
    subject = {"failed": "failed", "still": "still fails", "over": "is well again"}[what]
    begun = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since))
    if what == "over":
        text = [f"The run {config.run} on {config.host}, which failed since {begun}, has ended well."]
    else:
        text = [f"The run {config.run} on {config.host} failed: {reason}.", *([f"It fails since {begun}."] if what == "still" else []),
                "Keys and records stay as they are where a run fails; certificates are renewed and zones signed by each host itself.",
                "It will be tried again. While it fails you are told once a day, and when it is well again.", "",
                f"All of its output, on {config.host}: journalctl --unit {config.unit}", "",
                "The end of it:", "", *lines]
    mail = EmailMessage()
    mail["To"] = config.mail
    mail["Subject"] = f"{config.run} on {config.host} {subject}"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    mail.set_content("\n".join(text) + "\n", charset="us-ascii", cte="7bit")
    return mail.as_bytes()


def output(invocation: str) -> list[str]:
    """The last lines that a run has written, from the journal; printable, and none too long for a mail."""
    if not re.fullmatch(r"[0-9a-f]{32}", invocation):
        return ["(systemd did not say which lines of the journal are its own)"]
    try:
        run(["journalctl", "--sync"], timeout=30)  # what was written just now
        said = checked(["journalctl", "--output=cat", "--no-pager", f"--lines={LINES_MAX}", f"_SYSTEMD_INVOCATION_ID={invocation}"], timeout=60)
    except DaneError as error:
        return [f"(the journal cannot be read: {printable(error)})"]
    found = []
    for line in said.decode("utf-8", "replace").splitlines():
        shown = printable(line, 20 * LINE_MAX)
        found += [shown[start:start + LINE_MAX] for start in range(0, max(len(shown), 1), LINE_MAX)]
    return found[-LINES_MAX:]


def _known(config: Config) -> Told:
    """What the operator was told; nothing where that is lost, cannot be read or is not whole."""
    if not os.path.exists(config.state):
        return Told()
    try:
        content: dict[str, Any] = json.loads(read_file(config.state, "what the operator was told", 2**16))
        known = Told(**content)
        if isinstance(known.reason, str) and all(isinstance(value, int) and value in _TIMES for value in (known.since, known.told)):
            return known
    except (DaneError, *NO_SHAPE):
        pass
    print_line(f"selfhost-dane: {config.state} cannot be read or is not whole, so what it says is taken for not told")
    return Told()


def tell_command(path: str) -> int:
    """Tell the operator what there is to tell after a run; the exit status."""
    config = load_config(path)
    reason = ended(os.environ)
    if reason is None:
        return 0
    known = _known(config)
    what, then = decide(known, reason, int(time.time()), config.remind)
    if what:
        lines = output(os.environ.get("INVOCATION_ID", "")) if reason else []
        checked([config.sendmail, "-i", "-t"], timeout=120, stdin=message(config, what, reason, then.since or known.since, lines))
        print_line(f"selfhost-dane: told {config.mail}")
    if then != known:
        try:
            make_directory(os.path.dirname(config.state), 0o700)
            write_file(config.state, json.dumps(asdict(then)).encode(), 0o600)
        except OSError as error:
            raise DaneError(f"cannot write {config.state} (what the operator was told): {error.strerror}; make room or correct what is in the way, "
                            "or the same is told after each run") from error
    return 0
