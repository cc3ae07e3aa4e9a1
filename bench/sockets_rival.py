"""The rival of live events: `python -m bench.sockets_rival PORT COUNT` sends what it receives in a plain loop.

The first connection sends messages, each with its length in four bytes. The next COUNT connections receive them.
"""

import socket
import sys

from script.stack.ports import LOOPBACK


def main(port: int, count: int) -> None:
    """Serve until the first connection ends."""
    with socket.create_server((LOOPBACK, port), backlog=count) as listening:
        trigger = listening.accept()[0].makefile("rb")
        receivers = [listening.accept()[0] for _ in range(count)]
        while length := trigger.read(4):
            message = trigger.read(int.from_bytes(length, "big"))
            for receiver in receivers:
                receiver.sendall(message)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
