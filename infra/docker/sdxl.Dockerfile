# Workers of the stylize stage with the backend "sdxl". Mount the weights folder at /weights.
#   docker build -f infra/docker/sdxl.Dockerfile -t mikudance-sdxl .
ARG BASE=mikudance:latest
# hadolint ignore=DL3006
FROM ${BASE}

USER 0
WORKDIR /opt/mikudance
RUN python -m pip install --no-cache-dir --constraint constraints.txt --editable '.[pipeline,sdxl]'
USER 1000
WORKDIR /home/worker
