"""Processes behind the web: the Dramatiq workers, the scheduler and the relay."""
