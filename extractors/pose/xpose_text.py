"""Text embeddings of X-Pose's prompts: CLIP ViT-B/32's text tower with the weights in X-Pose's checkpoint, run once."""

from pathlib import Path
from typing import Any

import torch

from extractors.protocols import ExtractionError

TOKENIZER_FILES = ("vocab.json", "merges.txt")
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def instance_prompt(name: str) -> str:
    """The sentence for a kind of instance, as X-Pose was trained with."""
    return f"a photo of {name.lower().replace('_', ' ').replace('-', ' ')}"


def keypoint_prompt(name: str) -> str:
    """The sentence for a keypoint, as X-Pose was trained with."""
    return f"a photo of {name.lower().replace('_', ' ')}"


def text_tower(state: dict[str, torch.Tensor]) -> Any:
    """transformers' CLIPTextModelWithProjection with the text weights of an OpenAI CLIP state dict.

    Raises ExtractionError where the weights are not those of a CLIP text tower.
    """
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    try:
        vocabulary, width = state["token_embedding.weight"].shape
        layers = 1 + max(int(n.split(".")[2]) for n in state if n.startswith("transformer.resblocks."))
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
            projection_dim=state["text_projection"].shape[1],
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 64),
            max_position_embeddings=state["positional_embedding"].shape[0],
            hidden_act="quick_gelu",
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
        model = CLIPTextModelWithProjection(config)
        model.load_state_dict(_renamed(state, layers), strict=True)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ExtractionError(
            f"the checkpoint holds no CLIP text tower ({error}): take X-Pose's own checkpoint, which does"
        ) from error
    return model.float().eval().requires_grad_(False)


def _renamed(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """OpenAI's names as transformers'; the joint query-key-value projection is split, the projection transposed."""
    renamed = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_model.final_layer_norm.weight": state["ln_final.weight"],
        "text_model.final_layer_norm.bias": state["ln_final.bias"],
        "text_projection.weight": state["text_projection"].T.contiguous(),
    }
    for layer in range(layers):
        old, new = f"transformer.resblocks.{layer}", f"text_model.encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            for name, value in zip("qkv", state[f"{old}.attn.in_proj_{kind}"].chunk(3), strict=True):
                renamed[f"{new}.self_attn.{name}_proj.{kind}"] = value
            for theirs, ours in _BLOCK.items():
                renamed[f"{new}.{ours}.{kind}"] = state[f"{old}.{theirs}.{kind}"]
    return renamed


def encode(model: Any, tokenizer_folder: Path, sentences: list[str]) -> torch.Tensor:
    """Embeddings float32 [sentences, 512]. Raises ExtractionError where the tokenizer's files are absent."""
    from transformers import CLIPTokenizer

    for name in TOKENIZER_FILES:
        if not (tokenizer_folder / name).is_file():
            raise ExtractionError(f"{tokenizer_folder / name} is absent: run `mikudance weights fetch clip-tokenizer`")
    vocabulary, merges = (str(tokenizer_folder / name) for name in TOKENIZER_FILES)
    tokenizer = CLIPTokenizer(vocabulary, merges)
    length = model.config.max_position_embeddings
    tokens = tokenizer(sentences, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        # no attention mask: CLIP's own attention is causal and it pads with what it was trained with
        embeddings: torch.Tensor = model(input_ids=tokens.input_ids).text_embeds
    return embeddings.float()
