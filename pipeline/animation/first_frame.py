"""The first picture of a video as a file."""

from pathlib import Path

from schemas.containers import open_options
from stages.video.ffmpeg import VideoError, as_input


def first_frame(video: Path, picture: Path) -> None:
    """Writes the first frame of a video as a picture. Raises VideoError where there is none."""
    import av

    if not video.is_file():
        raise VideoError(f"{video} does not exist")
    with av.open(as_input(video), options=open_options()) as container:
        frame = next(container.decode(video=0), None)
    if frame is None:
        raise VideoError(f"{video} has no frame")
    picture.parent.mkdir(parents=True, exist_ok=True)
    frame.to_image().save(picture)
