# Workers of the pose stage with the backends "xpose" and "rtmw". Mount the weights folder at /weights.
# X-Pose's own code is not in the image: its licence is for non-commercial research. Mount a checkout of it at
# /weights/xpose-source; nothing of it has to be compiled.
#   docker build -f infra/docker/xpose.Dockerfile -t mikudance-xpose .
ARG BASE=mikudance:latest
# hadolint ignore=DL3006
FROM ${BASE}

USER 0
WORKDIR /opt/mikudance
# rtmlib without its dependencies, which would bring a second OpenCV.
RUN python -m pip install --no-cache-dir --constraint constraints.txt --editable '.[pipeline,xpose]' \
    && python -m pip install --no-cache-dir --no-deps rtmlib==0.0.16
USER 1000
WORKDIR /home/worker
