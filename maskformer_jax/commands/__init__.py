"""The command line: each module reads the arguments of one command and calls one function."""
