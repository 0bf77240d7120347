"""A sentence-transformers model made on the spot: a randomly initialised BERT with a WordPiece tokenizer."""

import json
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from index_builder.config import EncoderConfig
from index_builder.demo import small_catalogue_folder
from index_builder.encode import prepare_encoder
from models.artifact import ENCODER
from models.encoder import Encoder, EncoderFacts
from models.text import TextRecipe

WORDS = "a the web framework to build query passage warm light boots for walks in mountains tea fresh ground coffee"
HANZI = "山道を歩くための軽い靴轻便的登山"
MAX_POSITIONS = 64


@dataclass(frozen=True)
class Prepared:
    """An encoder as a builder puts it into an artifact.

    Attributes:
        model: The name or folder that it came from.
        folder: Its files.
        facts: What the manifest would say.
        load: Loads the item side.
    """

    model: str
    folder: Path
    facts: EncoderFacts
    load: Callable[[], Encoder]


def prepare(model: str | Path, folder: Path, *, texts: Sequence[str] = ("a text",), **config: Any) -> Prepared:
    """Does what a build does with a model, into `folder`."""
    folder.mkdir(parents=True)
    facts, load = prepare_encoder(
        EncoderConfig(model=str(model), **config), TextRecipe(), folder, texts=texts, parent=None
    )
    return Prepared(str(model), folder / ENCODER, facts, load)


def real_texts() -> list[str]:
    """Texts of the small catalogue: titles and descriptions."""
    lines = (small_catalogue_folder() / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[field] for line in lines for field in ("title", "description")]


def write_tiny_model(
    folder: Path,
    *,
    dim: int = 32,
    prompts: dict[str, str] | None = None,
    default_prompt_name: str | None = None,
    max_seq_length: int = 24,
    include_prompt: bool = True,
    initializer_range: float = 0.5,
    seed: int = 0,
    kind: Literal["bert", "xlm-roberta", "mpnet"] = "bert",
    heads: int = 2,
    pooling_mode: str = "mean",
) -> Path:
    """Writes a model of about 200 kB into `folder` and returns it.

    The usual initializer_range of 0.02 gives every text nearly the same vector.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, XLMRobertaConfig, XLMRobertaModel

    parts = folder.with_name(f"{folder.name}.parts")
    tokenizer = _tokenizer(["[UNK]", "[PAD]"] if kind == "mpnet" else ["[PAD]", "[UNK]"])  # MPNet's padding is token 1
    torch.manual_seed(seed)
    config_of, model_of = {
        "bert": (BertConfig, BertModel),
        "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
        "mpnet": (MPNetConfig, MPNetModel),
    }[kind]
    config = config_of(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=2 * dim,
        max_position_embeddings=MAX_POSITIONS + (0 if kind == "bert" else tokenizer.pad_token_id + 1),
        initializer_range=initializer_range,
        pad_token_id=tokenizer.pad_token_id,
        type_vocab_size=2,
    )
    model_of(config).save_pretrained(parts)
    tokenizer.save_pretrained(parts)
    transformer = Transformer(str(parts), max_seq_length=max_seq_length)
    pooling = Pooling(dim, pooling_mode=pooling_mode, include_prompt=include_prompt)
    model = SentenceTransformer(
        modules=[transformer, pooling], prompts=prompts, default_prompt_name=default_prompt_name, device="cpu"
    )
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _tokenizer(first: list[str]):
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    letters = string.ascii_lowercase + string.digits
    pieces = [
        *first,
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS.split(),
        *letters,
        *(f"##{letter}" for letter in letters),
    ]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*pieces, *string.punctuation, *HANZI]))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=MAX_POSITIONS,
    )
