"""``python -m bids_spheres.integrations.brainlife``."""

import sys

from bids_spheres.integrations.brainlife.command import main

if __name__ == "__main__":
    sys.exit(main())
