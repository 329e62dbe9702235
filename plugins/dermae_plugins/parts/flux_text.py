"""What FLUX is told: captions as a sequence of embeddings, and one pooled embedding.

`GivenText` is FLUX.1's own: the sequence is T5's, the pooled one CLIP's. `SmallText` is ours: words and a few layers,
small enough to be trained with the transformer. Both answer `encode(captions)` with float tensors (B, L, D) and (B, P).
Like FLUX.1 they know no mask: what fills a short caption up is part of the sequence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from dermae_bench import api

Said = tuple[Tensor, Tensor]
"""A sequence (B, L, D) and a pooled embedding (B, P)."""
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*|[^\w\s]")
"""Words, with inner hyphens and apostrophes, and single punctuation marks."""
FILL, UNKNOWN, END = range(3)
LETTERS = 12
"""Bytes that a word of the vocabulary takes on average, its separator included."""


@dataclass(frozen=True, kw_only=True)
class SmallTextConfig:
    """A text encoder of our own. With `weights` CLIP and T5 are used; leave it as it is."""

    text_layers: Annotated[int, api.Between(1)] = 2
    """Transformer layers over the words."""
    text_width: Annotated[int, api.Between(8)] = 128
    """Width of the embeddings."""
    text_heads: Annotated[int, api.Between(1)] = 4
    """Attention heads; must divide the width."""
    words: Annotated[int, api.Between(1)] = 64
    """Words and punctuation marks of a caption that are read; what follows is cut off."""
    vocabulary: Annotated[int, api.Between(1)] = 1024
    """Different words that are known: the most frequent ones of the training captions, in lower case. All others are
    one word, "unknown"."""

    def check_text(self) -> None:
        """Raises ValueError: the heads do not divide the width."""
        if self.text_width % self.text_heads:
            raise ValueError(f"text_width {self.text_width} is not divisible by text_heads {self.text_heads}")


def words_of(caption: str) -> list[str]:
    """The words of a caption in lower case, punctuation marks included."""
    return WORD.findall(caption.lower())


class SmallText(nn.Module):
    """A word-level tokenizer and a transformer encoder.

    The vocabulary is built from the training captions and travels in the state dict: the buffer `spelling` holds the
    words in the order of their numbers, as UTF-8 with a line feed after each, filled up with zeros.
    """

    spelling: Tensor

    def __init__(self, config: SmallTextConfig) -> None:
        from diffusers.models.attention import BasicTransformerBlock

        super().__init__()
        self.most, self.length, self.width = config.vocabulary, config.words + 1, config.text_width
        self.register_buffer("spelling", torch.zeros(LETTERS * self.most, dtype=torch.uint8))
        self.embedding = nn.Embedding(self.most + END + 1, self.width)
        self.position = nn.Parameter(0.02 * torch.randn(self.length, self.width))
        nn.init.normal_(self.embedding.weight, std=0.02)
        head = self.width // config.text_heads
        self.layers = nn.ModuleList(
            BasicTransformerBlock(self.width, config.text_heads, head, activation_fn="gelu", attention_bias=True)
            for _ in range(config.text_layers)
        )
        self.norm = nn.LayerNorm(self.width)
        self._numbers: dict[str, int] | None = None

    # -- words -------------------------------------------------------------------------------------------------------

    def learn_words(self, captions: Iterable[str]) -> None:
        """Build the vocabulary: frequent words first, ties in the order of the alphabet, as many as there is room."""
        counts = Counter(word for caption in captions for word in words_of(caption))
        spelt, room = [], len(self.spelling)
        for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: self.most]:
            letters = f"{word}\n".encode()
            if len(letters) <= room:
                spelt.append(letters)
                room -= len(letters)
        joined = torch.frombuffer(bytearray(b"".join(spelt).ljust(len(self.spelling), b"\0")), dtype=torch.uint8)
        self.spelling.copy_(joined)
        self._numbers = None

    def vocabulary(self) -> list[str]:
        """The words that are known, in the order of their numbers."""
        spelt = self.spelling.cpu().numpy().tobytes().rstrip(b"\0").decode()
        return spelt.split("\n")[:-1]

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """int64 (B, L): the numbers of the words, END, and FILL up to L = words + 1."""
        if self._numbers is None:
            self._numbers = {word: number for number, word in enumerate(self.vocabulary(), END + 1)}
        known = self._numbers
        rows = []
        for caption in captions:
            found = [known.get(word, UNKNOWN) for word in words_of(caption)][: self.length - 1]
            rows.append([*found, END, *[FILL] * (self.length - 1 - len(found))])
        return torch.tensor(rows, dtype=torch.int64, device=self.spelling.device)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._numbers = None

    # -- embeddings --------------------------------------------------------------------------------------------------

    def forward(self, tokens: Tensor) -> Said:
        """int64 (B, L) -> the sequence, and its mean over the words and END."""
        x = self.embedding(tokens) + self.position
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        said = (tokens != FILL).unsqueeze(-1).to(x.dtype)
        return x, (x * said).sum(1) / said.sum(1)

    def encode(self, captions: Sequence[str]) -> Said:
        """Embeddings of captions, with gradient where there is one."""
        found: Said = self(self.tokens(captions))
        return found

    def cost(self, trained: bool) -> list[api.CostUnit]:
        """One caption."""
        empty = torch.zeros(1, self.length, dtype=torch.int64, device=self.spelling.device)
        return [api.CostUnit(self, (empty,), backward="all" if trained else "none")]


class GivenText(nn.Module):
    """FLUX.1's text encoders: T5's last hidden states, and CLIP's pooled output (Black Forest Labs 2024).

    Args:
        clip, t5: encoders of transformers (CLIPTextModel, T5EncoderModel), and their tokenizers.
        length: tokens that T5 reads (FluxPipeline: 512).
    """

    def __init__(self, clip: Any, clip_tokenizer: Any, t5: Any, t5_tokenizer: Any, length: int) -> None:
        super().__init__()
        self.clip, self.t5 = clip, t5
        self.clip_tokenizer, self.t5_tokenizer = clip_tokenizer, t5_tokenizer
        # a tokenizer that was never told a limit says an absurd one
        self.clip_length = min(int(clip_tokenizer.model_max_length), int(clip.config.max_position_embeddings))
        self.widths = int(t5.config.d_model), int(clip.config.hidden_size)
        self.length = length

    def encode(self, captions: Sequence[str]) -> Said:
        """Embeddings of captions, in the encoders' precision, without gradient."""
        device = next(self.parameters()).device
        with torch.no_grad():
            said = [self._one(caption, device) for caption in captions]
        return torch.cat([sequence for sequence, _ in said]), torch.cat([pooled for _, pooled in said])

    def _one(self, caption: str, device: torch.device) -> Said:
        t5: Any = self.t5(_numbers(self.t5_tokenizer, caption, self.length).to(device))
        clip: Any = self.clip(_numbers(self.clip_tokenizer, caption, self.clip_length).to(device))
        return t5.last_hidden_state, clip.pooler_output

    def cost(self, trained: bool) -> list[api.CostUnit]:
        """One caption; never trained."""
        device = next(self.parameters()).device
        lengths = ((self.t5, self.length), (self.clip, self.clip_length))
        return [
            api.CostUnit(net, (torch.zeros(1, length, dtype=torch.int64, device=device),), backward="none")
            for net, length in lengths
        ]


def _numbers(tokenizer: Any, caption: str, length: int) -> Tensor:
    found: Tensor = tokenizer(
        [caption], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return found


Text = SmallText | GivenText
Encode = Callable[[Sequence[str]], Said]


class Remembered:
    """Embeddings of a frozen text encoder, each distinct caption encoded once, as far as the memory allows.

    Captions beyond the limit are encoded whenever they are asked for. Every caption is encoded alone, in the encoder's
    own precision, so what is remembered, and what a resumed run remembers anew, changes no bit.

    Args:
        limit: bytes that the embeddings may take, on the encoder's device.
    """

    def __init__(self, text: Text, limit: int) -> None:
        self.text, self.limit = text, limit
        self._held: dict[str, Said] = {}
        self._bytes = 0

    def __call__(self, captions: Sequence[str]) -> Said:
        said = [self._one(caption) for caption in captions]
        return torch.cat([sequence for sequence, _ in said]), torch.cat([pooled for _, pooled in said])

    def _one(self, caption: str) -> Said:
        if caption in self._held:
            return self._held[caption]
        device = next(self.text.parameters()).device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            said = self.text.encode([caption])
        size = sum(part.numel() * part.element_size() for part in said)
        if self._bytes + size <= self.limit:
            self._held[caption] = said
            self._bytes += size
        return said
