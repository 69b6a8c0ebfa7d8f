"""What the package knows of BIDS: where inputs are found, how outputs are named and described."""
