"""The command lines: the only places that print, exit, or read the environment."""
