"""Models by name, facts about the published ones, and the counting of size and cost."""
