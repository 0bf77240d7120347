# Two targets: `service` (no torch) and `builder`. Both run as an ordinary user and need no writable root file system.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --create-home recall \
    && install -d -o recall -g recall /artifacts /demo
WORKDIR /srv

FROM base AS install
# Where pip also looks for wheels, for machines with a mirror of their own; a CPU build of torch saves gigabytes.
ARG PIP_FIND_LINKS=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY models models
COPY app app
COPY index_builder index_builder

FROM install AS install-service
RUN pip install --quiet -c requirements.lock .

FROM install AS install-builder
RUN pip install --quiet -c requirements.lock '.[builder]'

FROM base AS builder
COPY --from=install-builder /opt/venv /opt/venv
COPY scripts/build_in_container.sh /usr/local/bin/build_in_container
USER recall
ENV HF_HUB_DISABLE_TELEMETRY=1
VOLUME /artifacts
CMD ["sh", "/usr/local/bin/build_in_container"]

FROM base AS service
COPY --from=install-service /opt/venv /opt/venv
USER recall
ENV RECALL_ARTIFACTS=/artifacts RECALL_HOST=0.0.0.0 RECALL_PORT=8000
EXPOSE 8000
VOLUME /artifacts
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['RECALL_PORT']}/readyz\", timeout=4)"]
CMD ["python", "-m", "app"]
