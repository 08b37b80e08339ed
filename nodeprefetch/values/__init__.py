"""Values that users write: image references, lists, durations, sizes, retry schedules."""
