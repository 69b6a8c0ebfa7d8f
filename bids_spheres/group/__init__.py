"""Outputs of the participant level to one summary of the group.

Nothing but our own outputs is read. `files` says which matrices belong to one group, and whom it
lacks; `gather` reads their sidecars (`facts`) and tables of spheres, and refuses to put together
what was made with different settings. `stream` averages the runs of each participant and hands on
one vector of edges after the other; what is computed of them keeps sums per edge or rows in a
temporary file, so that memory does not grow with the group. `head_motion` knows how much
participants moved, and what is left of it. `summary` does one group, `workflow` all of them.
"""
