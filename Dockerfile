# The daemon alone: no compiler, no Node, no development tools, no root.
#
#   docker build -t bursar .
#   docker run --rm -p 8080:8080 -v bursar:/var/lib/bursar -v ./bursar.toml:/etc/bursar/bursar.toml:ro bursar

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src

# The dependencies first: their layer stays as long as the lock does.
COPY requirements-run.lock requirements-build.lock ./
RUN python -m venv /opt/bursar \
 && /opt/bursar/bin/pip install --require-hashes -r requirements-run.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY config ./config
COPY chain ./chain
COPY ledger ./ledger
COPY wallets ./wallets
COPY watcher ./watcher
COPY settlement ./settlement
COPY gateway ./gateway
COPY bursar ./bursar
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /src/dist . \
 && /opt/bursar/bin/pip install --no-deps --no-index /src/dist/*.whl \
 && /opt/bursar/bin/pip uninstall --yes pip


FROM python:3.12-slim-bookworm AS run
ENV PATH=/opt/bursar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BURSAR_CONFIG=/etc/bursar/bursar.toml
# A fixed number, so that volumes and Kubernetes' runAsNonRoot can name it.
RUN groupadd --system --gid 10001 bursar \
 && useradd --system --uid 10001 --gid bursar --no-create-home --shell /usr/sbin/nologin bursar \
 && install --directory --owner=bursar --group=bursar --mode=0700 /var/lib/bursar
COPY --from=build /opt/bursar /opt/bursar

USER 10001:10001
WORKDIR /var/lib/bursar
VOLUME ["/var/lib/bursar"]
EXPOSE 8080
# The process, not its surroundings: a daemon whose RPC is down is not helped by a restart.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('BURSAR_HTTP__PORT', '8080') + '/livez', timeout=4)"]
# SIGTERM finishes or persists what is in flight; allow it the 20 seconds (docker stop -t 25).
STOPSIGNAL SIGTERM
ENTRYPOINT ["bursar"]
CMD ["run"]
