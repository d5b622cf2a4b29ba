"""`python -m smtd` is the `smtd` command."""

from smtd.cli.main import main

main()
