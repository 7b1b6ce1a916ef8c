"""A clip's sample as the trainer will see it, as pictures. Only the CLI imports the trainer, and only when asked."""

from collections.abc import Sequence

import numpy as np

from pipeline.audit.clip_page import Picture, TrainerView
from pipeline.audit.pictures import motion_colours
from schemas.release import Release

_SIDE = 160  # pixels of a picture in a row
_FRAMES = 8  # frames shown of a window


def make_trainer_view(root: str, release: Release) -> TrainerView:
    """A function from clip id to pictures: the single-frame sample of stage 1, its stylised form, and stage 2's window.

    The window and the crop are those of the reader's defaults with seed 0 and the clip's place in the release as global
    index; augmentation differs from epoch to epoch, the contents do not.
    """
    from train.data.config import ReaderConfig
    from train.data.errors import DatasetError, ShardError
    from train.data.fetch import open_store
    from train.data.order import SampleRef
    from train.data.sample import SampleReader
    from train.data.window import eligible

    places = {
        name: (number, row) for number, entry in enumerate(release.shards) for row, name in enumerate(entry.samples)
    }

    def view(clip_id: str) -> Sequence[Picture]:
        shard, row = places[clip_id]
        entry = release.shards[shard]
        pictures = []
        for title, stage, frames, styled in (
            ("stage 1", 1, 1, False),
            ("stage 1, stylised pair", 1, 1, True),
            ("stage 2", 2, 24, False),
        ):
            config = ReaderConfig(
                stage=stage, frames=frames, size=(384, 384), split=entry.split, style_share=1.0 if styled else 0.0
            )
            if not eligible(entry.frames[row], entry.frame_steps[row], config):
                continue
            store = open_store(root, config)
            reader = SampleReader(config=config, store=store, release=release)
            try:
                sample = reader.read(SampleRef(row, shard, row, styled))
            except (DatasetError, ShardError) as error:
                raise ValueError(str(error)) from error
            if styled and not bool(sample.styled[0]):
                continue
            pictures.append(Picture(_caption(title, int(sample.frame_step[0]), frames, sample), _rows(sample)))
        return pictures

    return view


def _caption(title: str, step: int, frames: int, sample: object) -> str:
    window = f"{frames} frames, step {step}" if frames > 1 else "one frame"
    order = "reference and its pose; target frames; their body, face and hand pictures; scene motion"
    return f"{title}: {window}. In order: {order}"


def _rows(sample: object) -> np.ndarray:
    """Rows of small pictures: reference, targets, pose pictures, scene motion; of a single frame all in one row."""
    batch: dict[str, np.ndarray] = {
        name: np.asarray(value[0]) for name, value in vars(sample).items() if value is not None
    }
    count = len(batch["target"])
    chosen = np.unique(np.linspace(0, count - 1, min(count, _FRAMES)).round().astype(int))
    motion = batch["scene_motion"]
    longest = max(float(np.percentile(np.abs(motion), 99)), 0.5)
    maps = [
        motion_colours(motion[i], batch["scene_motion_valid"][i].astype(bool), longest, (_SIDE, _SIDE)) for i in chosen
    ]
    rows = [
        [_small(batch["reference"]), _small(batch["reference_pose"])],
        *([_small(batch[name][i]) for i in chosen] for name in ("target", "pose_body", "pose_face", "pose_hand")),
        maps,
    ]
    if count == 1:
        rows = [[picture for row in rows for picture in row]]
    width = max(len(row) for row in rows) * _SIDE
    return np.concatenate([_padded(np.concatenate(row, axis=1), width) for row in rows])


def _small(planes: np.ndarray) -> np.ndarray:
    """Planes uint8 [3, H, W] as a small picture [side, side, 3]."""
    import cv2

    image = np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def _padded(image: np.ndarray, width: int) -> np.ndarray:
    return np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=24)
