"""What every part needs and what knows nothing of rooms: clock, tasks, locks, caches, limits, logs, metrics."""
