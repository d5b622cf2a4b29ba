"""Real Sumatra, for tests to meet: environments, projects, stores, and fixtures of them.

Tests never import Sumatra; the scripts beside this file do, in processes of their own.
"""
