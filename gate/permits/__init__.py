"""The permits room: keys, DSSE envelopes and permits; verification does no I/O."""
