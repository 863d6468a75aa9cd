"""From data sets as they are distributed to what training reads."""
