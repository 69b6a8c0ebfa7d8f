"""``python -m bids_spheres.brainlife``."""

import sys

from bids_spheres.brainlife.command import main

if __name__ == "__main__":
    sys.exit(main())
