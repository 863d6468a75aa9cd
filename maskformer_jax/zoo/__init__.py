"""What is known of the published models, and how their size and cost are counted."""
