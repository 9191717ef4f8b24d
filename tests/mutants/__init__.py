"""Deliberate faults in the product, each of which a named test must notice.

``python -m tests.mutants [--only GROUP …]`` puts them one at a time into a scratch copy and
runs the tests that must die; the lists are data (``tests/mutants/paying.py`` and its neighbours).
"""
