"""A sparsegpt2 model for `transformers`: AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).

This file is copied into exported models. It only wraps `sparsegpt2.GPT`, which does the forward pass, so it needs the
package `sparsegpt2`. Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from sparsegpt2.config import GPTConfig, from_dict, to_dict
from sparsegpt2.model.gpt import GPT, sinusoids


class SparseGPT2Config(PreTrainedConfig):
    """`model` holds the fields of `sparsegpt2.GPTConfig`."""

    model_type = "sparsegpt2"

    def __init__(self, model: dict[str, Any] | None = None, **kwargs: Any) -> None:
        config = from_dict(GPTConfig, model or {}, "the config's `model`")
        self.model = to_dict(config)
        self.vocab_size, self.hidden_size = config.vocab_size, config.d_model
        self.num_hidden_layers, self.num_attention_heads = config.n_layer, config.n_head
        self.max_position_embeddings = config.context
        kwargs["tie_word_embeddings"] = config.tied_unembedding
        kwargs["use_cache"] = False
        super().__init__(**kwargs)


class SparseGPT2ForCausalLM(PreTrainedModel, GenerationMixin):
    """A causal language model without a key-value cache."""

    config_class = SparseGPT2Config
    _tied_weights_keys = {"gpt.unembed.weight": "gpt.wte.weight"}  # noqa: RUF012 (transformers reads the class)

    def __init__(self, config: SparseGPT2Config) -> None:
        super().__init__(config)
        self.gpt = GPT(from_dict(GPTConfig, config.model, "the config's `model`"))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Compute the table of sinusoids, which the file does not contain. It contains all weights."""
        if isinstance(module, GPT) and module.config.positions == "concat_sinusoidal":
            table = sinusoids(module.config.context, module.config.d_pos)
            module.register_buffer("sinusoids", table.to(module.wte.weight.device), persistent=False)

    def get_input_embeddings(self) -> nn.Module:
        return self.gpt.wte

    def get_output_embeddings(self) -> nn.Module:
        return self.gpt.unembed

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **_: Any
    ) -> CausalLMOutput:
        """input_ids [B, T] -> logits [B, T, V], and with labels [B, T] (-100: not counted) the loss in nats per token.

        Padding must be on the right, where it changes nothing; `ValueError` for padding elsewhere.
        """
        if attention_mask is not None and bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any()):
            raise ValueError("sparsegpt2 models allow no padding before text; pad on the right, or pass single rows")
        logits = self.gpt(input_ids)
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """Inputs for the next step of generation: the last tokens that fit into the context."""
        context = self.config.max_position_embeddings
        mask = None if attention_mask is None else attention_mask[:, -context:]
        return {"input_ids": input_ids[:, -context:], "attention_mask": mask}
