"""Containers of foreign videos that may be opened, and how: for stages, animation and evaluation alike."""

DEMUXERS = (
    "3gp,asf,avi,avs2,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,"
    "vvc,wtv,y4m,yuv4mpegpipe"
)
"""Names of ffmpeg's demuxers. Playlists and scripts (hls, concat, …) are left out: they can name other files."""
MAX_PIXELS = 8192 * 8192
"""Largest coded picture that is decoded where no setting says otherwise."""


def open_options(max_pixels: int = MAX_PIXELS) -> dict[str, str]:
    """ffmpeg's options (those of `av.open`, too) that keep it on one local media file."""
    return {"protocol_whitelist": "file,pipe", "format_whitelist": DEMUXERS, "max_pixels": str(max_pixels)}
