"""What asv measures at every commit; cases are fixed here, so that a change of the package's own tables changes no history."""
