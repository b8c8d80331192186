"""Figures of transformers and sentence-transformers for bi-encoders: what dense.encode must give.

usage: python make.py [MINILM_FOLDER]    (needs torch, sentence-transformers; made with sentence-transformers 6.2 and
                                          transformers 5.23)

- tiny/: a small random model in the layout of sentence-transformers, and tiny.json, vectors of texts by encode,
  encode_query and encode_document, with its own pooling and with others;
- encoders.json: the last hidden states of ../fixtures' models, pooled by their means and first tokens;
- minilm.json (with MINILM_FOLDER, which holds all-MiniLM-L6-v2): vectors of the real model, their first numbers.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModel, BertConfig, BertModel, BertTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "fixtures")
TEXTS = [
    "how long does a flea live",
    "Fleas live for up to a hundred days, and lay their eggs in the fur of cats and dogs.",
    "",
    "The Müllers' new café — open 24h — serves naïve désserts; e-mail a.b@c.com!",
    "a long text about the growth of trees in the mountains and what it means for rivers " * 5,
]
LIMIT = 20
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["cls", "mean"]]


def rounded(rows, first=None):
    return [[round(float(x), 6) for x in row[:first]] for row in rows]


def write(name, value):
    with open(os.path.join(HERE, name), "w") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


def tiny():
    folder = os.path.join(HERE, "tiny")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("abcdefghijklmnopqrstuvwxyz0123456789.,;:!'@-")
    words += ["##" + w for w in "abcdefghijklmnopqrstuvwxyz0123456789"] + ["the", "of", "in", "flea", "cat"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.txt"), "w") as f:
        f.write("\n".join(words) + "\n")
    config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=24, max_position_embeddings=48)
    torch.manual_seed(11)
    bert = BertModel(config, add_pooling_layer=True).float().eval()
    with torch.no_grad():
        for name, p in bert.named_parameters():
            p.copy_(0.25 * torch.randn(p.shape))
            if p.dim() == 1 and name.endswith(".weight"):
                p.add_(1.0)
    bert.save_pretrained(folder)
    BertTokenizerFast(vocab=os.path.join(folder, "vocab.txt")).save_pretrained(folder)
    transformer = Transformer(folder, max_seq_length=LIMIT)
    prompts = {"query": "q: ", "document": "p: "}
    model = SentenceTransformer(modules=[transformer, Pooling(16, "mean"), Normalize()], device="cpu", prompts=prompts)
    model.save(folder, create_model_card=False)
    for name in ("special_tokens_map.json", "vocab.txt"):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    again = SentenceTransformer(folder, device="cpu")
    figures = dict(texts=TEXTS, query=rounded(again.encode_query(TEXTS)), document=rounded(again.encode_document(TEXTS)))
    figures["modes"] = []
    for mode in MODES:
        pooled = SentenceTransformer(modules=[Transformer(folder), Pooling(16, mode)], device="cpu")
        names = [mode] if isinstance(mode, str) else mode
        figures["modes"].append(dict(kinds=names, vectors=rounded(pooled.encode(TEXTS))))
    write("tiny.json", figures)


def encoders():
    figures = {}
    for name in sorted(os.listdir(FIXTURES)):
        folder = os.path.join(FIXTURES, name)
        if not os.path.exists(os.path.join(folder, "expected.safetensors")):
            continue
        expected = load_file(os.path.join(folder, "expected.safetensors"))
        model = AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()
        given = {k: expected[k] for k in ("input_ids", "attention_mask", "token_type_ids") if k in expected}
        with torch.no_grad():
            states = model(**given).last_hidden_state
        mask = given["attention_mask"].unsqueeze(-1).float()
        mean = (states * mask).sum(1) / mask.sum(1)
        figures[name] = dict(mean=rounded(mean), cls=rounded(states[:, 0]))
    write("encoders.json", figures)
    print(sorted(figures))


def minilm(folder):
    modules = [Transformer(folder, max_seq_length=64), Pooling(384, "mean"), Normalize()]
    model = SentenceTransformer(modules=modules, device="cpu")
    vectors = model.encode(TEXTS)
    products = (vectors @ vectors.T).tolist()
    write("minilm.json", dict(limit=64, texts=TEXTS, first=rounded(vectors, 24), products=rounded(products)))


if __name__ == "__main__":
    tiny()
    encoders()
    if len(sys.argv) > 1:
        minilm(sys.argv[1])
