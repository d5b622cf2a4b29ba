"""Altered bytes for every parser of what others wrote: an error of ours or a result, and nothing else."""
