"""The first process of a container, which has duties that no other one has.

The kernel gives it every orphan, such as what `docker exec` left behind, and these stay zombies
until it takes their status; and a signal that it has not asked for does not end it. So a small
process is the first one, and the command runs as its child.
"""

import os
import signal
from types import FrameType

_HANDED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1}


def leave_first_place() -> None:
    """If this is the first process, go on in a child of it, and end with its exit code."""
    if os.getpid() != 1:
        return
    # A signal that comes before we can hand it on waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
    command = os.fork()
    if command:
        _watch(command)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)


def _watch(command: int) -> None:
    def hand_on(number: int, frame: FrameType | None) -> None:
        os.kill(command, number)

    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)
    pid, status = os.wait()
    while pid != command:
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    # As a shell says that a signal ended something.
    os._exit(code if code >= 0 else 128 - code)
