"""The benchmark: a hub of its own under load, and others beside it.

`loads` what is measured · `contenders` who is · `ticks`, `walk`, `ledger`, `histogram`, `pace`,
`nats`, `mqtt`, `limit`, `result` pure, or nearly · `publisher`, `clients`, `server`, `peer`,
`cloop`, `broadcast`, `keeper`, `disturbers` a process each · `speech` and `outlets` what clients
and publishers say to whom · `openalgo` a copy of it · `children` starts and ends them · `usage`
what they cost · `run` one load on one contender · `rounds` all of them in turn · `report` tables ·
`__main__` the command line.

Instructions instead of time: `counted` the role under valgrind · `lockstep` what drives it ·
`callgrind`, `gate` pure · `instructions` the command line, `instructions.json` the record.
"""
