"""``python -m bids_spheres``."""

import sys

from bids_spheres.app.main import main

if __name__ == "__main__":
    sys.exit(main())
