"""The daemon: keeps pairs in step as things happen, and does what the control socket asks."""
