"""Weights that sentence-transformers gives words: what sparse.encode must give for the model bert-tiny.

usage: python make.py MODEL_FOLDER        (needs torch, sentence-transformers; made with sentence-transformers 6.2 and
                                           transformers 5.23)
"""
import json
import os
import sys

from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

TEXTS = [
    "How long does a flea live?",
    "Fleas live for up to a hundred days, and lay their eggs in the fur of cats and dogs.",
    "",
    "The Müllers' new café — open 24h — serves naïve désserts; e-mail a.b@c.com!",
    "a long text about the growth of trees in the mountains and what it means for rivers " * 5,
]
LIMIT = 32

if __name__ == "__main__":
    transformer = MLMTransformer(sys.argv[1], max_seq_length=LIMIT)
    encoder = SparseEncoder(modules=[transformer, SpladePooling(pooling_strategy="max")], device="cpu")
    texts = []
    for text, row in zip(TEXTS, encoder.encode(TEXTS, convert_to_sparse_tensor=False)):
        above = [(int(term), float(row[term])) for term in row.nonzero().flatten()]
        heaviest = sorted(above, key=lambda x: -x[1])[:15]
        total = sum(w for _, w in above)
        texts.append(dict(text=text, terms=len(above), total=round(total, 4), heaviest=[[t, round(w, 5)] for t, w in heaviest]))
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "splade.json")
    with open(out, "w") as f:
        json.dump(dict(limit=LIMIT, texts=texts), f, indent=1, ensure_ascii=False)
        f.write("\n")
