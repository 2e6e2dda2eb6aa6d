"""The benchmark: a hub of its own under load, beside a plain loop of `send()`.

`loads` what is measured · `ticks`, `walk`, `ledger`, `histogram`, `pace` pure · `publisher`,
`clients`, `peer`, `server` a process each · `children` starts and ends them · `usage` what they
cost · `run` one load from start to end · `report` tables · `__main__` the command line.
"""
