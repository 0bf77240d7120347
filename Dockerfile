# Two targets: `service` (no torch) and `builder`. Both run as an ordinary user and need no writable root file system.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --create-home recall \
    && install -d -o recall -g recall /artifacts /demo /events /state
WORKDIR /srv

# Dependencies first, then the code, so that a change of ours doesn't install them again.
FROM base AS install
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
COPY requirements.lock pyproject.toml hatch_build.py README.md LICENSE ./
RUN mkdir app models index_builder && touch app/__init__.py models/__init__.py index_builder/__init__.py

FROM install AS install-service
ARG PIP_FIND_LINKS=
RUN pip install --quiet -c requirements.lock .
COPY models models
COPY app app
RUN pip install --quiet --no-deps --force-reinstall . \
    && cd / && python -c "from models.native.library import FILE; assert FILE.exists(), f'no {FILE} was compiled'"

FROM base AS service
COPY --from=install-service /opt/venv /opt/venv
USER recall
ENV RECALL_ARTIFACTS=/artifacts RECALL_STATE=/state RECALL_HOST=0.0.0.0 RECALL_PORT=8000
EXPOSE 8000
VOLUME /artifacts /state
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['RECALL_PORT']}/readyz\", timeout=4)"]
CMD ["python", "-m", "app"]

FROM install AS install-builder
# Where pip also looks for wheels: a CPU build of torch saves gigabytes.
ARG PIP_FIND_LINKS=
RUN pip install --quiet -c requirements.lock '.[builder]'
COPY models models
COPY index_builder index_builder
RUN pip install --quiet --no-deps --force-reinstall . \
    && cd / && python -c "from models.native.library import FILE; assert FILE.exists(), f'no {FILE} was compiled'"

FROM base AS builder
COPY --from=install-builder /opt/venv /opt/venv
COPY scripts/build_in_container.sh /usr/local/bin/build_in_container
COPY scripts/nightly_schedule.py /usr/local/bin/nightly_schedule.py
USER recall
ENV HF_HUB_DISABLE_TELEMETRY=1
VOLUME /artifacts /demo /events /state
CMD ["sh", "/usr/local/bin/build_in_container"]
