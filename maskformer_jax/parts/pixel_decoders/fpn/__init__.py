"""FPN-like pixel decoder, the published one."""
