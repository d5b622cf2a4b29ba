"""Shelves: for each project one pickled dictionary of records, in a dbm file.

Pickles are loaded inertly, in a child process with limits (`worker`); dbm files are read by their
bytes, without a lock that could make a running `smt` fail.
"""
