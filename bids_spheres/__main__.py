"""``python -m bids_spheres``, and the command ``bids-spheres``."""

import sys

from bids_spheres.process.signals import ended_at_once


def main() -> int:
    """Run the command line; until it is loaded, a signal ends the process with one line."""
    with ended_at_once():
        from bids_spheres.app.main import main as run  # noqa: PLC0415 - takes a while

    if sys.argv[1:] == ["--bids-exec-spec"]:
        from bids_spheres.integrations.boutiques import text  # noqa: PLC0415 - for this alone

        sys.stdout.write(text(draft=True))
        return 0
    return run()


if __name__ == "__main__":
    sys.exit(main())
