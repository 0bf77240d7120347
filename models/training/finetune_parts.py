"""Which weights of a model may change: all, its last layers, or low-rank adapters that are merged afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from sentence_transformers import SentenceTransformer

from models.errors import EncoderError

_RANK = 16
_ALPHA = 32
_DROPOUT = 0.05


@contextmanager
def open_parts(model: SentenceTransformer, mode: str, *, layers: int) -> Iterator[None]:
    """Lets only some weights change; afterwards all of them may again.

    Args:
        model: Gets adapters in the mode "lora".
        mode: "last_layers", "full" or "lora".
        layers: Last layers that may change, in the mode "last_layers".

    Raises:
        EncoderError: The model has no such layers, or takes no adapters.
    """
    if mode == "last_layers":
        stack = _layers(model)
        if layers > len(stack):
            raise EncoderError(f"finetune_layers is {layers}, the model has {len(stack)}; ask for fewer")
        model.requires_grad_(False)
        stack[-layers:].requires_grad_(True)
    elif mode == "lora":
        _add_adapters(model)
    try:
        yield
    finally:
        model.requires_grad_(True)


def merge_adapters(model: SentenceTransformer) -> None:
    """Adds what the adapters learnt to the weights and removes the adapters: a plain model again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    net = model.transformers_model
    assert net is not None
    for name, module in list(net.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            net.set_submodule(name, module.get_base_layer())
    net._hf_peft_config_loaded = False
    del net.peft_config


def _add_adapters(model: SentenceTransformer) -> None:
    from peft import LoraConfig, TaskType

    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=_RANK,
        lora_alpha=_ALPHA,
        lora_dropout=_DROPOUT,
        target_modules="all-linear",
    )
    try:
        model.add_adapter(config)
    except ValueError as error:
        raise EncoderError(f'the model takes no adapters ({error}); use finetune = "last_layers"') from error


def _layers(model: SentenceTransformer) -> torch.nn.ModuleList:
    """Returns the stack of a transformer's layers, whatever its architecture calls it."""
    net = getattr(model, "transformers_model", None)
    n_layers = getattr(getattr(net, "config", None), "num_hidden_layers", None)
    for module in () if net is None else net.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers:
            return module
    raise EncoderError('the model has no stack of layers to open the last of; use finetune = "full"')
