"""Files and their names: atomic writing, text, entities, git-annex."""
