"""The CLIP text tower from OpenAI's names, against blocks built on torch's own attention as OpenAI's are."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from extractors.pose.xpose_text import encode, instance_prompt, keypoint_prompt, text_tower
from extractors.protocols import ExtractionError

WIDTH, HEADS, LAYERS, LENGTH = 128, 2, 3, 77


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 4 * WIDTH))
        self.mlp.add_module("c_proj", nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        causal = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=causal)[0]
        hidden = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))


class Tower(nn.Module):
    """CLIP's text tower under the names of OpenAI's checkpoint."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(LENGTH, WIDTH) * 0.1)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, 16) * 0.1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = (self.token_embedding(ids) + self.positional_embedding).transpose(0, 1)
        for block in self.transformer.resblocks:
            x = block(x)
        x = self.ln_final(x.transpose(0, 1))
        return x[torch.arange(len(ids)), ids.argmax(-1)] @ self.text_projection


@pytest.fixture
def vocabulary(tmp_path: Path) -> tuple[Path, dict[str, int]]:
    characters = [chr(code) for code in range(33, 127)]
    names = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    numbers = {name: i for i, name in enumerate(names)}
    (tmp_path / "vocab.json").write_text(json.dumps(numbers))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    return tmp_path, numbers


def test_embeddings_are_those_of_openais_tower(vocabulary: tuple[Path, dict[str, int]]) -> None:
    folder, numbers = vocabulary
    torch.manual_seed(0)
    tower = Tower(len(numbers)).eval()
    for parameter in tower.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 0.5, 0.3)  # defaults of 0 and 1 would hide a mix-up
    sentences = ["a photo of person", "a photo of left eye"]
    ids = torch.zeros(2, LENGTH, dtype=torch.long)
    for row, sentence in enumerate(sentences):
        tokens = [c + "</w>" if end else c for word in sentence.split() for c, end in _letters(word)]
        ids[row, : len(tokens) + 2] = torch.tensor(
            [numbers["<|startoftext|>"], *(numbers[t] for t in tokens), numbers["<|endoftext|>"]]
        )
    with torch.no_grad():
        expected = tower(ids)
    ours = encode(text_tower(tower.state_dict()), folder, sentences)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def _letters(word: str) -> list[tuple[str, bool]]:
    return [(letter, place == len(word) - 1) for place, letter in enumerate(word)]


def test_prompts_read_as_published() -> None:
    assert instance_prompt("Person") == "a photo of person"
    assert instance_prompt("short-hair_cat") == "a photo of short hair cat"
    assert keypoint_prompt("left_eye 1") == "a photo of left eye 1"


def test_checkpoint_without_a_tower_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExtractionError, match="no CLIP text tower"):
        text_tower({})
    tower = text_tower(Tower(190).state_dict())
    with pytest.raises(ExtractionError, match="weights fetch clip-tokenizer"):
        encode(tower, tmp_path, ["a"])
