"""What an auditor or an operator asks of the log: history, proof, checks, past, copies.

May import everything that `projections` may, and it. Another question is a folder or a module here.
"""
