"""Read the datasets of other programs: find their files and group them into runs."""
