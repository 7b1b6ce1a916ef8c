# Workers of the camera stage with the backend "droid". Mount the weights folder at /weights, with a checkout of
# DROID-SLAM at /weights/droid-slam-source and droid.pth at /weights/droid-slam/droid.pth.
# DROID-SLAM's three compiled packages come in as wheels that were built against this image's torch and CUDA
# (docs/backends.md says what they are): the build context "wheels" is the folder that holds them.
#   docker build -f infra/docker/droid-slam.Dockerfile --build-context wheels=./wheels -t mikudance-droid .
ARG BASE=mikudance:latest
# hadolint ignore=DL3006
FROM ${BASE}

USER 0
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-deps /wheels/*.whl \
    && python -c "import importlib.metadata as m; [m.version(n) for n in ('droid_backends', 'lietorch', 'torch_scatter')]"
USER 1000
