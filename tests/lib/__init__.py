"""What every outside test, the benchmark and the demo are built from.

cluster.py   a real PostgreSQL cluster: a primary and streaming standbys
proxy.py     a Seawall in front of one
peers.py     PgBouncer and HAProxy in the same place, for comparison
wire.py      the protocol byte by byte, for what no driver would send
wait.py      waiting for an event with a deadline
proc.py      processes and directories that end with the test, however it ends
"""
