# The project with its embedded backends, for CPU and GPU machines: torch from PyPI carries CUDA.
#   docker build -f infra/docker/base.Dockerfile -t mikudance .
FROM python:3.11.13-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MIKUDANCE_WEIGHTS=/weights

WORKDIR /opt/mikudance
COPY pyproject.toml constraints.txt README.md LICENSE ./
# torch first: it changes seldom, and its layer is the large one.
RUN python -m pip install --no-cache-dir --constraint constraints.txt torch
COPY schemas schemas
COPY extractors extractors
COPY stages stages
COPY pipeline pipeline
COPY train train
RUN python -m pip install --no-cache-dir --constraint constraints.txt --editable '.[pipeline,train,audit,depth-anything]' \
    && python -m compileall -q schemas extractors stages pipeline train

RUN useradd --create-home --uid 1000 worker && mkdir /weights && chown worker /weights
USER 1000
WORKDIR /home/worker
ENTRYPOINT ["mikudance"]
