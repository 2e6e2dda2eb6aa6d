"""What a person types: the command `hub`.

`main` names the commands and turns errors into one message; each family of commands has a file of
its own, loaded when it is used; `render`, `usage`, `ticks` and `banner` are pure.
"""
