"""The benchmark: `python -m stream.bench`. Its parts run in processes of their own and speak JSON."""
