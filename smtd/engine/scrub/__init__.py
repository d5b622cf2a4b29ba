"""Verify that both stores of a pair hold the baselines: compare records, and explain or report differences.

`smtd verify` compares the stores whole (`verify`), the daemon's scrubber a slice at a time (`slices`; the
journal has how far it has come). What is not explained (`classify`) is reported (`findings`). No cycle
depends on this package.
"""
