"""The code of both web and workers: rules (pure), stores (SQL), messages, clients of PostgreSQL and Redis."""

import zoneinfo

# Time zones come from the pinned tzdata package in every process. The files of the operating system are searched first
# otherwise, and are often years older: days would then start an hour off, and differently on each machine.
zoneinfo.reset_tzpath(())
