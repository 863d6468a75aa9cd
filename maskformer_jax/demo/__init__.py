"""A page on this machine on which images are segmented."""
