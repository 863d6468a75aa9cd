"""The published transformer decoder (paper section 3.4), that of DETR."""
