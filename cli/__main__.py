"""`python -m cli` is the command `hub`."""

from cli.main import main

main(prog_name="hub")
