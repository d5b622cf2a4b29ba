"""The daemon: keeps pairs in sync as their stores change, and answers the control socket."""
