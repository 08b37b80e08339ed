"""Values in flags and files: image references, image lists, durations, sizes, retry schedules."""
