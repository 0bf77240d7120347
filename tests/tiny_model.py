"""A sentence-transformers model made on the spot: a randomly initialised BERT with a WordPiece tokenizer."""

import string
from pathlib import Path

WORDS = "a the web framework to build query passage warm light boots for walks in mountains tea fresh ground coffee"
HANZI = "山道を歩くための軽い靴轻便的登山"
MAX_POSITIONS = 64


def write_tiny_model(
    folder: Path,
    *,
    dim: int = 32,
    prompts: dict[str, str] | None = None,
    max_seq_length: int = 24,
    include_prompt: bool = True,
    seed: int = 0,
) -> Path:
    """Writes a model of a few kB into `folder` and returns it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    parts = folder.with_name(f"{folder.name}.parts")
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        max_position_embeddings=MAX_POSITIONS,
        initializer_range=0.5,  # the usual 0.02 gives every text nearly the same vector
    )
    BertModel(config).save_pretrained(parts)
    tokenizer.save_pretrained(parts)
    transformer = Transformer(str(parts), max_seq_length=max_seq_length)
    pooling = Pooling(dim, pooling_mode="mean", include_prompt=include_prompt)
    model = SentenceTransformer(modules=[transformer, pooling], prompts=prompts, device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    letters = string.ascii_lowercase + string.digits
    pieces = [
        "[PAD]",
        "[UNK]",
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
