"""Outputs of the participant level to one summary of the group.

Design
------
Nothing but our own outputs is read, by their names: `files` finds matrices and says which of them
belong to one group. `gather` reads their sidecars (`facts`) and tables of spheres (`spheres`),
and refuses to put together what was made with different settings (`agreement`). `stream` then
averages the runs of each participant and hands on one vector of edges after the other; whatever
is computed of them (`moments`, `networks`, `qc_fc`, `regression`, `stacked`) keeps sums per edge
and never a participant, so that memory does not grow with the group. `head_motion` knows how much
participants moved, `absent` whom a group lacks and why, `motion` what is left of motion, `zero`
when tests against 0 do not hold. `summary` does one group, `workflow` all of them.
"""
