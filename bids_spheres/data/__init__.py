"""What ships with the package: seed sets, strategies, references."""
