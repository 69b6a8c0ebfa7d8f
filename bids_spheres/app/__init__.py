"""One call of the command line: arguments to settings, a level, an exit status."""
