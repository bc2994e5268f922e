"""The composition root and the processes of a node: opens stores, forks, listens, supervises.

`wiring` alone knows which adapters run. May import every folder but `cli`.
"""
