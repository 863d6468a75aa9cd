"""The training loss: match, compare classes, compare masks, weigh, add (paper section 3.2)."""
