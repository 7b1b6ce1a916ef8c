"""Camera geometry, scene motion and keypoint drawing, shared by the stages, the trainer and inference (no I/O, no Ray).

Conventions: OpenCV axes (x right, y down, z forward), `cam_to_world` 4×4, pixel (0, 0) the centre of the top-left
pixel.
"""
