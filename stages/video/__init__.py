"""Everything between a video file and arrays of frames: probing, ffmpeg, cuts, fit."""
