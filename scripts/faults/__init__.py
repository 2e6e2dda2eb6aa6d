"""Random faults under load, and a proxy that makes them: scripts/chaos.

`plan` which faults, `ledger` what clients may get, `report` what is told of it: pure · `proxy` a
line that fails between client and shard, for integration tests too · `server`, `publisher` a
process each · `hub` the handle on a hub that is under fault · `clients` who proves what came ·
`vandal` publishers that misbehave · `deeds` how a fault is done and what is waited for · `run` from
start to end · `__main__` the command line.
"""
