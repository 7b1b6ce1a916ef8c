"""Names, sources, licences, sizes and digests of the weights that the reference backends take.

A digest of None means that none is known here: the first fetch records what came in the folder's lock file, and every
later fetch and check compares with that.
"""

from pydantic import Field

from schemas.config import FrozenConfig

SHA256 = r"^[0-9a-f]{64}$"


class WeightFile(FrozenConfig):
    """One file of a set."""

    path: str = Field(description="Place below the set's folder, with forward slashes.")
    url: str | None = Field(None, description="https address of the file or of the zip that holds it; None: by hand.")
    member: str | None = Field(None, description="Member of the zip at `url`; None where the address is the file.")
    sha256: str | None = Field(None, pattern=SHA256, description="Digest of the file, or None where not known here.")
    size: int | None = Field(None, gt=0, description="Bytes of the file, or None where not known here.")


class WeightSet(FrozenConfig):
    """The files of one model, in a folder of the set's name."""

    name: str = Field(pattern=r"^[a-z0-9.-]+$")
    backend: str = Field(description="The backend that takes it.")
    title: str
    licence: str
    non_commercial: bool = Field(description="The licence forbids commercial use: fetched only when that is accepted.")
    page: str = Field(description="Where a person reads about the model and its licence, and gets it by hand.")
    files: tuple[WeightFile, ...] = Field(min_length=1)


def _hub(repository: str, revision: str, *files: WeightFile) -> tuple[WeightFile, ...]:
    """Files of a Hugging Face repository at a revision."""
    base = f"https://huggingface.co/{repository}/resolve/{revision}"
    return tuple(file.model_copy(update={"url": f"{base}/{file.path}"}) for file in files)


def _transformers(repository: str, revision: str, sha256: str | None, size: int | None) -> tuple[WeightFile, ...]:
    """The three files that a transformers depth model is loaded from."""
    return _hub(
        repository,
        revision,
        WeightFile(path="config.json"),
        WeightFile(path="preprocessor_config.json"),
        WeightFile(path="model.safetensors", sha256=sha256, size=size),
    )


_MMPOSE = "https://download.openmmlab.com/mmpose/v1/projects"
_DEPTH_SMALL = "5426e4f0f36572d16453bbda7a8389317b1bef99"

CATALOG: tuple[WeightSet, ...] = (
    WeightSet(
        name="depth-anything-v2-small",
        backend="depth-anything",
        title="Depth-Anything V2 Small (24.8 M parameters)",
        licence="Apache-2.0",
        non_commercial=False,
        page="https://huggingface.co/depth-anything/Depth-Anything-V2-Small-hf",
        files=_hub(
            "depth-anything/Depth-Anything-V2-Small-hf",
            _DEPTH_SMALL,
            WeightFile(path="config.json", sha256="c56698d3643dde1f83ea2212759e6b31a22b8f827246a36dd007ee8a22b3ff75"),
            WeightFile(
                path="preprocessor_config.json",
                sha256="d41175c0d889477ca8fc67191e540faef14baf6275157b3fdecf78469e6bbf84",
            ),
            WeightFile(
                path="model.safetensors",
                sha256="3152477ce0d8d6978d76b995120de97cb5b928701fd0f817769f59e249a16b70",
                size=99_173_660,
            ),
        ),
    ),
    WeightSet(
        name="depth-anything-v2-base",
        backend="depth-anything",
        title="Depth-Anything V2 Base (97.5 M parameters)",
        licence="CC-BY-NC-4.0",
        non_commercial=True,
        page="https://huggingface.co/depth-anything/Depth-Anything-V2-Base-hf",
        files=_transformers("depth-anything/Depth-Anything-V2-Base-hf", "main", None, None),
    ),
    WeightSet(
        name="depth-anything-v2-large",
        backend="depth-anything",
        title="Depth-Anything V2 Large (335 M parameters)",
        licence="CC-BY-NC-4.0",
        non_commercial=True,
        page="https://huggingface.co/depth-anything/Depth-Anything-V2-Large-hf",
        files=_transformers(
            "depth-anything/Depth-Anything-V2-Large-hf",
            "7581137eff8d4e94f6e796d3baea0e9fa79b22d2",
            "4e01e34ed5549b529b70b92d53226bc370f03041977b390d3dde45d47f516cf9",
            1_341_322_868,
        ),
    ),
    WeightSet(
        name="dpt-hybrid-midas",
        backend="depth-anything",
        title="DPT-Hybrid MiDaS, the depth network of the published MikuDance code",
        licence="Apache-2.0",
        non_commercial=False,
        page="https://huggingface.co/Intel/dpt-hybrid-midas",
        files=_transformers("Intel/dpt-hybrid-midas", "main", None, None),
    ),
    WeightSet(
        name="rtmw-l-384",
        backend="rtmw",
        title="RTMW-l whole-body pose, 384×288, with the YOLOX-m person detector trained on HumanArt",
        licence="Apache-2.0",
        non_commercial=False,
        page="https://github.com/Tau-J/rtmlib",
        files=(
            WeightFile(
                path="detector.onnx",
                url=f"{_MMPOSE}/rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip",
                member="end2end.onnx",
            ),
            WeightFile(
                path="pose.onnx",
                url=f"{_MMPOSE}/rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip",
                member="end2end.onnx",
                sha256="bd033156e5104c4f5d2edfe0453e02661e30a2f3da453ec93c8764d561b83054",
            ),
        ),
    ),
    WeightSet(
        name="dwpose-l-384",
        backend="rtmw",
        title="DWPose-l whole-body pose, 384×288, with the YOLOX-l detector",
        licence="Apache-2.0",
        non_commercial=False,
        page="https://huggingface.co/yzd-v/DWPose",
        files=(
            WeightFile(
                path="detector.onnx",
                url="https://huggingface.co/yzd-v/DWPose/resolve/main/yolox_l.onnx",
                sha256="7860ae79de6c89a3c1eb72ae9a2756c0ccfbe04b7791bb5880afabd97855a411",
                size=216_746_733,
            ),
            WeightFile(
                path="pose.onnx",
                url="https://huggingface.co/yzd-v/DWPose/resolve/main/dw-ll_ucoco_384.onnx",
                sha256="724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843",
                size=134_399_116,
            ),
        ),
    ),
    WeightSet(
        name="xpose-swin-t",
        backend="xpose",
        title="X-Pose (UniPose) Swin-T",
        licence="IDEA licence for non-commercial scientific research",
        non_commercial=True,
        page="https://github.com/IDEA-Research/X-Pose",
        files=(WeightFile(path="unipose_swint.pth"),),
    ),
    WeightSet(
        name="clip-tokenizer",
        backend="xpose",
        title="Byte-pair vocabulary of CLIP, for X-Pose's prompts",
        licence="MIT",
        non_commercial=False,
        page="https://huggingface.co/openai/clip-vit-base-patch32",
        files=_hub(
            "openai/clip-vit-base-patch32", "main", WeightFile(path="vocab.json"), WeightFile(path="merges.txt")
        ),
    ),
    WeightSet(
        name="droid-slam",
        backend="droid",
        title="DROID-SLAM",
        licence="BSD-3-Clause",
        non_commercial=False,
        page="https://github.com/princeton-vl/DROID-SLAM",
        files=(WeightFile(path="droid.pth"),),
    ),
    WeightSet(
        name="sdxl-depth-controlnet",
        backend="sdxl",
        title="Depth ControlNet for SDXL",
        licence="CreativeML Open RAIL++-M",
        non_commercial=False,
        page="https://huggingface.co/diffusers/controlnet-depth-sdxl-1.0",
        files=_hub(
            "diffusers/controlnet-depth-sdxl-1.0",
            "main",
            WeightFile(path="config.json"),
            WeightFile(path="diffusion_pytorch_model.safetensors"),
        ),
    ),
)


def find(name: str) -> WeightSet:
    """The set of that name. Raises KeyError that lists the names there are."""
    for entry in CATALOG:
        if entry.name == name:
            return entry
    raise KeyError(f"no weights are called {name!r}; known: {', '.join(entry.name for entry in CATALOG)}")
