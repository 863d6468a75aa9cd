"""Workdirs in object stores: gs:// and s3:// addresses, by fsspec."""
