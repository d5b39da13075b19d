# rwkv-server in two stages: a virtual environment is built, then copied onto a slim image.
#
#   docker build -t rwkv-server .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/models:/models:ro" \
#     -v rwkv-data:/data rwkv-server
#
# Arguments:
#   BASE   the Python image of both stages
#   TORCH  cpu or cuda: what torch in the image must be able to do. On x86-64 the usual package
#          index gives a build with CUDA, which also runs on the CPU but is several gigabytes
#          larger. For a small image pass the CPU index that the PyTorch installation page names as
#          PIP_EXTRA_INDEX_URL; for another CUDA version, its index.
#   PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_CERT
#          as pip knows them, for mirrors

ARG BASE=python:3.12-slim

FROM ${BASE} AS builder
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The package compiles its library for RWKV-7 on the CPU; without it the server runs on torch.
# Any version of the compiler that the base image's Debian has will do.
# hadolint ignore=DL3008
RUN command -v c++ || { apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /venv
WORKDIR /build

# The dependencies first: they change seldom, and torch takes longest.
COPY pyproject.toml constraints.txt ./
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && /venv/bin/pip install -c constraints.txt -r requirements.txt

ARG TORCH=cpu
RUN case "${TORCH}" in \
        cpu) ;; \
        cuda) /venv/bin/python -c 'import torch, sys; sys.exit(not torch.version.cuda and "TORCH=cuda was asked for, but the package index gave a torch without CUDA: pass PIP_EXTRA_INDEX_URL.")' ;; \
        *) echo "TORCH must be cpu or cuda, but is ${TORCH}." >&2; exit 1 ;; \
    esac

COPY README.md LICENSE hatch_build.py ./
COPY models models
COPY server server
RUN /venv/bin/pip install --no-deps .

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rwkv \
    && mkdir /models /data && chown 10001 /data && chmod 700 /data
COPY --from=builder /venv /venv
COPY docker/healthcheck.py /usr/local/lib/rwkv-server/healthcheck.py

# Packed weights and pulled checkpoints lie in the cache folder, which has to outlive the container.
# Inside the container every address is needed, or no published port would reach the server;
# who can reach the container is decided where the port is published.
ENV PATH=/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    RWKV_SERVER_HOST=0.0.0.0 \
    RWKV_SERVER_PORT=8000 \
    RWKV_SERVER_DATA_DIR=/data \
    XDG_CACHE_HOME=/data/cache
USER 10001
# A config.toml beside the checkpoints is read from here.
WORKDIR /models
VOLUME /models /data
EXPOSE 8000
# Loading a large checkpoint from a slow disk takes minutes.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5m --retries=3 \
    CMD ["python3", "/usr/local/lib/rwkv-server/healthcheck.py"]
ENTRYPOINT ["rwkv-server"]
CMD ["serve"]
