"""A process of which one thread has a time limit: `python -m tests.infra.hanging_process MODE`. It prints `done` at
its end.

gil      the thread hangs in C and holds the interpreter lock
no-gil   the thread hangs in C without the interpreter lock
in-time  the thread ends within its limit; the process works on
"""

import ctypes
import sys
import threading
import time

from workers.time_limits import time_limits

LIMIT_SECONDS, FOREVER = 0.5, 60
mode = sys.argv[1]
libc = ctypes.PyDLL(None) if mode == "gil" else ctypes.CDLL(None)


def work() -> None:
    with time_limits.limit(LIMIT_SECONDS):
        # Progress extends the limit: this takes twice as long.
        for _ in range(10):
            time.sleep(LIMIT_SECONDS / 5)
            time_limits.extend()
        if mode != "in-time":
            libc.sleep(FOREVER)


time_limits.enable()
thread = threading.Thread(target=work)
thread.start()
thread.join()
time.sleep(2 * LIMIT_SECONDS)
print("done")
