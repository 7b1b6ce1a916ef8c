"""The demo's input, rendered by the project: videos of a dancing character and of camera motion, with exact truth.

`render_demo` writes the videos and their ground truth; `render_shot` (pipeline/demo/shot.py) renders one camera path
in memory, which is what tests and the fidelity report use.
"""

from pipeline.demo.shot import ShotTruth, render_shot
from pipeline.demo.videos import DemoVideo, render_demo

__all__ = ["DemoVideo", "ShotTruth", "render_demo", "render_shot"]
