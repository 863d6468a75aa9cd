"""Parts from outside of the package, as somebody would add them."""
