"""Real Sumatra for tests: environments, projects, stores, and fixtures of them.

Tests never import Sumatra; the scripts beside this file do, in their own processes.
"""
