"""Parameter sets: their text as Sumatra writes it, their values, and what they mean.

One module for each of Sumatra's five types; `content` is the door to them.
"""
