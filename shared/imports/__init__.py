"""Many codes at once, from a file or a list, and out again into one."""
