"""Become a command that does not outlive the process that started it. Run as a file, by `Command.leashed()`:

    python -I -S parent_death.py PARENT SIGNAL UID:GID COMMAND...

On Linux the kernel sends SIGNAL to the command when PARENT dies, however it dies (prctl(2), PR_SET_PDEATHSIG). The
order matters: a change of user clears that request, so it comes after; and a parent that died before the request is
noticed by comparing getppid(2) with the PARENT that was written down.

Elsewhere there is no such call. There the next start finds what was left behind: see `orphans.py`.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
SAME_USER = "-"


def main(parent: str, death_signal: str, account: str, *command: str) -> None:
    # Python ignores SIGPIPE and SIGXFSZ, a shell's background job SIGINT: an exec would hand that on.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if account != SAME_USER:
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(f"{command[0]}: not started, because its parent has exited")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
