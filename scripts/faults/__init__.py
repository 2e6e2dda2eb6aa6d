"""Random faults under load, and what clients got meanwhile: scripts/chaos.

`plan` which faults, `account` and `ledger` what clients may get, `outcome` and `report` what came
of it: pure · `proxy` a line that fails, for integration tests too · `server`, `publisher` a process
each · `hub` the handle on a hub that is under fault · `connection`, `clients` who proves what came
· `scene` all of them together · `deed` one fault as it is done, `roles` and `lines` the ways of it,
`vandal` publishers that misbehave · `run` from start to end · `__main__` the command line.
"""
