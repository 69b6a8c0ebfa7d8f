"""Other people's datasets: which files there are, and which of them make a run."""
