"""The command line of operators: `waymark`, one module per group of commands."""
