"""Which query answers for which segment: costs, and the assignment of least cost."""
