"""FPN-like pixel decoder with a transformer encoder on the coarsest feature map."""
