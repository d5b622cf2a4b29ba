"""Parameter sets: their text as Sumatra writes it, their values, and their meaning.

`content` handles all types of parameter sets; `simple`, `nested` and `config` have those with a syntax of
their own.
"""
