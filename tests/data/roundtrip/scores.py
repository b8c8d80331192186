"""Scores a model folder written by xpipe with transformers and with sentence-transformers' CrossEncoder.

usage: scores.py FOLDER < pairs.json     prints {"transformers": [...], "cross_encoder": [...] or null, "versions": {...}}

Run by the test `tests::roundtrip` of xpipe-nn when XPIPE_PYTHON names a Python with torch and transformers; with XPIPE_UPDATE=1 that
test writes the scores to figures.json, which it compares with where there is no Python.
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

transformers.logging.set_verbosity_error()
folder, pairs = sys.argv[1], json.load(sys.stdin)
versions = {"torch": torch.__version__, "transformers": transformers.__version__}
tokenizer = AutoTokenizer.from_pretrained(folder)
model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
    assert not info[what], (what, info[what])
assert model.config.num_labels == 1
model.eval()
with torch.no_grad():
    # A list of one pair: given as two strings, an empty document would silently make a single text of the query.
    scores = [model(**tokenizer([[q, d]], return_tensors="pt")).logits.squeeze().item() for q, d in pairs]
cross = None
try:
    import sentence_transformers
    versions["sentence-transformers"] = sentence_transformers.__version__
    cross = [float(s) for s in sentence_transformers.CrossEncoder(folder, device="cpu").predict(pairs, batch_size=3)]
except ImportError:
    pass
print(json.dumps({"transformers": scores, "cross_encoder": cross, "versions": versions}))
