"""`qdqnp`, and `python -m qdqnp`."""

import signal
import sys


def main() -> None:
    """Run the command line, and survive a Ctrl-C from the first moment on: importing it takes a while."""
    try:
        from qdqnp.interrupts import leaving_at_once

        with leaving_at_once():
            from qdqnp.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        # The exit code is decided: another Ctrl-C changes nothing, and neither does the first. Where that fell into an
        # exec(), as when a dataclass is made, Python would kill itself in the end, had not another exec() ended well.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        exec("")


if __name__ == "__main__":
    main()
