"""Pages that show people their data."""
