"""A sample between reading and decoding."""

from dataclasses import dataclass

from schemas.sample import SampleJson
from train.data.mapped import Data
from train.data.window import Window

MOTION, VALID = "scene_motion.npy", "scene_motion_valid.npy"


@dataclass(frozen=True)
class EncodedSample:
    """The bytes of one sample's window. place: shard and clip, for messages. pictures: JPEGs by member name, the
    reference first, then the targets. arrays: whole `.npy` members by name. maps: of the scene-motion members one
    raw map a frame of the window, float16 [2, h, w] and uint8 [h, w]; empty where they are not read.
    """

    global_index: int
    place: str
    meta: SampleJson
    window: Window
    pictures: dict[str, Data]
    arrays: dict[str, Data]
    maps: dict[str, list[Data]]
