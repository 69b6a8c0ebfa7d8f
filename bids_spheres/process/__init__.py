"""The process itself: how a signal ends it, and versions of what it runs."""
