"""How a child process notices that its supervisor is gone. Not how it is stopped in good order: that is SIGTERM."""

import os
import signal
import threading


def end_with_parent() -> None:
    """Stop this process when the supervisor is gone: its end of our standard input is then closed."""

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock must be free when the interpreter ends
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()
