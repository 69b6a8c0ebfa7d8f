"""Options, each declared once, and the frozen settings that they make."""
