"""Load, faults and judgement: does every session read its own writes, whatever happens to the nodes?

workload.c   the load: many sessions on versioned registers, every access written down
checker.py   the judgement over what was written down
history.py   both together on a real cluster, with a seeded schedule of faults; also a command for long runs
million.py   one statement, then the next, a million times; and how many reads the replicas take
"""
