"""Pages from what was written, never from what was computed."""
