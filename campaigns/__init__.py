"""How much smtd survives, in numbers: `python -m campaigns` runs what no test has the time for."""
