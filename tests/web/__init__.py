"""Tests of the pages: in a real browser, of a real server, and of the pure parts."""
