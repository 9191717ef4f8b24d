"""How fast, how large, how many requests: measured against baselines in the same run.

``python -m benchmarks [name …] [--quick]``; see ``docs/benchmarks.md``.
"""
