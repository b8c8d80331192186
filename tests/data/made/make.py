"""Makes the fixtures of this folder with transformers, in the layout of ../fixtures, and weight files of other kinds.

usage: python make.py [NAME…]        (needs torch, transformers, safetensors; the figures were made with transformers 5.23)

Tiny random weights; dropout off; BCEWithLogits (mean) on labels [1, 0, 1]; one AdamW step with learning rate 1e-3,
betas (0.9, 0.999), eps 1e-3, weight decay 0.01 on parameters of two or more dimensions and 0 on others.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = dict(vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, num_labels=1)
DEBERTA = dict(
    BASE, max_position_embeddings=48, relative_attention=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0
)
MODELS = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaForSequenceClassification,
                    dict(BASE, max_position_embeddings=50, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)),
    # As the larger DeBERTa-v2: a convolution after the first layer.
    "deberta-v2-conv": (DebertaV2Config, DebertaV2ForSequenceClassification,
                        dict(DEBERTA, conv_kernel_size=3, conv_act="gelu", norm_rel_ebd="layer_norm", share_att_key=True,
                             position_buckets=8, position_biased_input=False)),
    # Its own projections of positions, positions in the input too, no buckets, no norm of the table.
    "deberta-v2-own": (DebertaV2Config, DebertaV2ForSequenceClassification,
                       dict(DEBERTA, share_att_key=False, max_relative_positions=12, position_biased_input=True)),
    # Embeddings as wide as the hidden states, so no projection.
    "electra-wide": (ElectraConfig, ElectraForSequenceClassification,
                     dict(BASE, embedding_size=16, max_position_embeddings=48)),
    # The score is the second logit less the first.
    "two-labels": (BertConfig, BertForSequenceClassification, dict(BASE, max_position_embeddings=48, num_labels=2)),
    # Weights in shards with their index, as save_pretrained writes them.
    "sharded": (DistilBertConfig, DistilBertForSequenceClassification,
                dict(vocab_size=64, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=48, num_labels=1)),
}
DISTILBERT = dict(vocab_size=67, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=48)
# Masked language models, one with its words' table tied to the embeddings and one with its own.
MASKED = {
    "bert-masked": (BertConfig, BertForMaskedLM, dict(BASE, max_position_embeddings=48)),
    "distilbert-masked": (DistilBertConfig, DistilBertForMaskedLM, dict(DISTILBERT, tie_word_embeddings=False)),
}


def randomise(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(0.25 * torch.randn(p.shape, generator=g))
            if p.dim() == 1 and name.endswith(".weight"):
                p.add_(1.0)


def batch(vocabulary, length=40):
    g = torch.Generator().manual_seed(7)
    ids = torch.randint(5, vocabulary, (3, length), generator=g)
    mask = torch.zeros(3, length, dtype=torch.long)
    for row, n in enumerate((40, 23, 31)):
        mask[row, :n] = 1
    return ids * mask + (1 - mask), mask


def one_label(name, two, expected):
    """The model with one label that a training from two starts from; its classifier's gradient replaces that of two."""
    config, model_class, fields = MODELS[name]
    one = model_class._from_config(config(**dict(fields, num_labels=1)), attn_implementation="eager").float().eval()
    weights = two.state_dict()
    for part in ("weight", "bias"):
        weights[f"classifier.{part}"] = weights[f"classifier.{part}"][1:] - weights[f"classifier.{part}"][:1]
    one.load_state_dict(weights)
    out = one(expected["input_ids"], attention_mask=expected["attention_mask"])
    torch.testing.assert_close(out.logits.detach(), expected["logits"])
    torch.nn.functional.binary_cross_entropy_with_logits(out.logits[:, 0], expected["labels"]).backward()
    for n, p in one.named_parameters():
        if not n.startswith("classifier."):
            torch.testing.assert_close(p.grad, expected[f"grad.{n}"], rtol=1e-4, atol=1e-6)
        expected[f"grad.{n}"] = p.grad.clone()
    return one


def fixture(name):
    config, model_class, fields = MODELS[name]
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    model = model_class._from_config(config(**fields), attn_implementation="eager").float().eval()
    randomise(model, 3)
    weights = {n: p.detach().clone().contiguous() for n, p in model.named_parameters()}
    if name == "sharded":
        model.save_pretrained(folder, max_shard_size="8KB")
    else:
        save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(json.loads(model.config.to_json_string(use_diff=True)), f, indent=1, sort_keys=True)
        f.write("\n")
    ids, mask = batch(fields["vocab_size"])
    labels = torch.tensor([1.0, 0.0, 1.0])
    given = dict(input_ids=ids, attention_mask=mask)
    out = model(**given, output_hidden_states=True)
    logits = out.logits if fields["num_labels"] == 1 else out.logits[:, 1:] - out.logits[:, :1]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels)
    loss.backward()
    expected = dict(given, labels=labels, logits=logits.detach(), bce_loss=loss.detach().reshape(1))
    for i, h in enumerate(out.hidden_states):
        expected[f"hidden_states.{i}"] = h.detach()
    none = [n for n, p in model.named_parameters() if p.grad is None]
    assert not none, none
    for n, p in model.named_parameters():
        expected[f"grad.{n}"] = p.grad.clone()
    if fields["num_labels"] == 2:
        expected["probabilities"] = out.logits.detach().softmax(1)[:, 1]
        model = one_label(name, model, expected)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [dict(params=matrices, weight_decay=0.01), dict(params=vectors, weight_decay=0.0)]
    torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-3).step()
    with torch.no_grad():
        expected["logits_after_adamw_step"] = model(**given).logits
    save_file({k: v.contiguous() for k, v in expected.items()}, os.path.join(folder, "expected.safetensors"))
    print(name, out.logits.flatten().tolist(), float(loss))
    return weights


def masked(name):
    """Logits of every token, and of every text the weights that SPLADE gives words: max over its tokens of
    log(1 + relu(logit)), as SpladePooling of sentence-transformers computes it."""
    config, model_class, fields = MASKED[name]
    folder = os.path.join(HERE, name)
    model = model_class._from_config(config(**fields), attn_implementation="eager").float().eval()
    randomise(model, 5)
    model.save_pretrained(folder)
    ids, mask = batch(fields["vocab_size"])
    given = dict(input_ids=ids, attention_mask=mask)
    with torch.no_grad():
        logits = model(**given).logits
    weights = (torch.log1p(torch.relu(logits)) * mask.unsqueeze(-1)).amax(1)
    expected = dict(given, logits=logits, weights=weights)
    save_file({k: v.contiguous() for k, v in expected.items()}, os.path.join(folder, "expected.safetensors"))
    print(name, sorted(load_file(os.path.join(folder, "model.safetensors"))), (weights > 0).float().mean())


def kinds(weights):
    """One model's weights as torch saves them: the zip format, the older one, in halves, in shards, with a tied view."""
    folder = os.path.join(HERE, "kinds")
    os.makedirs(folder, exist_ok=True)
    at = lambda name: os.path.join(folder, name)
    torch.save(weights, at("zip.bin"))
    torch.save(weights, at("legacy.bin"), _use_new_zipfile_serialization=False)
    torch.save({k: v.half() for k, v in weights.items()}, at("half.bin"))
    torch.save({k: v.bfloat16() for k, v in weights.items()}, at("bfloat.bin"))
    # Transposed views and parts of one storage, and parameters instead of tensors.
    whole = torch.cat([v.reshape(-1) for v in weights.values()])
    views, start = {}, 0
    for k, v in weights.items():
        part = whole[start:start + v.numel()].reshape(v.shape)
        start += v.numel()
        if k.endswith("dense.weight"):
            part = part.t().contiguous().t()
        views[k] = torch.nn.Parameter(part) if k.startswith("classifier") else part
    torch.save(views, at("views.bin"))
    names = list(weights)
    shards = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
    for file, part in shards.items():
        torch.save({k: weights[k] for k in part}, at(file))
    index = {"metadata": {}, "weight_map": {k: file for file, part in shards.items() for k in part}}
    with open(at("pytorch_model.bin.index.json"), "w") as f:
        json.dump(index, f)


if __name__ == "__main__":
    wanted = sys.argv[1:] or [*MODELS, *MASKED]
    kept = {name: fixture(name) for name in wanted if name in MODELS}
    for name in wanted:
        if name in MASKED:
            masked(name)
    if "electra-wide" in kept:
        kinds(kept["electra-wide"])
