"""The policy room: a versioned decision table and the one pure function that evaluates it."""
