"""``python -m bids_spheres``, and the command ``bids-spheres``."""

import sys

from bids_spheres.execute.ending import ended_at_once


def main() -> int:
    """Run the command line; until it is loaded, a signal ends the process with one line."""
    with ended_at_once():
        from bids_spheres.app.main import main as run  # noqa: PLC0415 - takes a while

    return run()


if __name__ == "__main__":
    sys.exit(main())
