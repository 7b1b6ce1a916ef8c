"""The pose networks, loaded once; tests that need them are skipped, saying why, where they cannot be had."""

import pytest

from extractors.pose.mediapipe import MediaPipeConfig, MediaPipePose
from extractors.pose.mediapipe_files import ensure_files
from extractors.protocols import ExtractionError


@pytest.fixture(scope="session")
def pose_files():
    try:
        return ensure_files()
    except ExtractionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def extractor(pose_files) -> MediaPipePose:
    return MediaPipeConfig().build()
