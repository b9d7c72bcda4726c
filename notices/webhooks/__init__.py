"""Events that leave for other systems: kept in the outbox with what happened, signed, delivered at least once, in order."""
