"""Conversion of data sets as distributed to the files that training reads."""
