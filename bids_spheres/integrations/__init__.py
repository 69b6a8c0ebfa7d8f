"""Other platforms that start the app."""
