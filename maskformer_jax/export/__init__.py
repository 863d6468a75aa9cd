"""A model as one file that runs wherever JAX does, without this package."""
