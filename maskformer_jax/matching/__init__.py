"""One-to-one matching of queries and segments: the costs, and the assignment of least cost."""
