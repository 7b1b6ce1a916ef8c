"""The errors that a command of the trainer ends with in words, not with a traceback."""

from train.checkpoint import CheckpointError
from train.config import ConfigError
from train.data.errors import DatasetError, ShardError, StateError
from train.model.saving import SavedModelError
from train.step import NonFiniteLossError
from train.weights.files import WeightsError

EXPECTED = (
    CheckpointError,
    ConfigError,
    DatasetError,
    NonFiniteLossError,
    SavedModelError,
    ShardError,
    StateError,
    WeightsError,
)
