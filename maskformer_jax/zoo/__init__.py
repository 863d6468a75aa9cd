"""Models by name, what is known of the published ones, and how size and cost are counted."""
