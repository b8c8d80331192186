"""PyTorch on the work of encoder.rs: python encoder_peer.py SHAPE [threads] [runs] [pairs] [fp32|bf16]

Scoring: pairs sorted by length in padded batches of 32, as sentence-transformers does it; with bf16 the model's weights
are bfloat16. Training: a step of 16 pairs of 128 and 256 tokens with dropout 0.1: forward, backward, clip by global norm,
AdamW (fused); with bf16 under autocast.
"""
import math
import random
import resource
import statistics
import sys
import time

import torch
from transformers import (
    BertConfig, BertForSequenceClassification, DebertaV2Config, DebertaV2ForSequenceClassification, DistilBertConfig,
    DistilBertForSequenceClassification, ModernBertConfig, ModernBertForSequenceClassification,
)

shape = sys.argv[1]
given = sys.argv[2:] + ["2", "3", "384", "fp32"][len(sys.argv) - 2:]
threads, runs, count = (int(x) for x in given[:3])
bf16 = given[3] == "bf16"
torch.set_num_threads(threads)


def bert(layers, hidden, heads, **more):
    return dict(vocab_size=30522, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                intermediate_size=4 * hidden, num_labels=1, **more)


def modern(layers, hidden, heads, inner):
    return dict(vocab_size=50368, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                intermediate_size=inner, embedding_dropout=0.1, attention_dropout=0.1, mlp_dropout=0.1,
                classifier_dropout=0.1, num_labels=1, pad_token_id=0)


config, model = {
    "minilm-l6": lambda: (BertConfig(**bert(6, 384, 12)), BertForSequenceClassification),
    "minilm-l12": lambda: (BertConfig(**bert(12, 384, 12)), BertForSequenceClassification),
    "bert-base": lambda: (BertConfig(**bert(12, 768, 12)), BertForSequenceClassification),
    "distilbert": lambda: (DistilBertConfig(num_labels=1), DistilBertForSequenceClassification),
    "deberta-v3-base": lambda: (
        DebertaV2Config(**bert(12, 768, 12), relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=256,
                        norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False,
                        max_position_embeddings=512),
        DebertaV2ForSequenceClassification),
    "modernbert-base": lambda: (ModernBertConfig(**modern(22, 768, 12, 1152)), ModernBertForSequenceClassification),
    "ettin-32m": lambda: (ModernBertConfig(**modern(10, 384, 6, 576)), ModernBertForSequenceClassification),
}[shape]()
torch.manual_seed(1)
model = model(config)
draw = random.Random(2)
lengths = sorted(min(256, max(16, int(math.exp(4.4 + 0.38 * draw.gauss(0, 1))))) for _ in range(count))


def batches():
    for i in range(0, len(lengths), 32):
        part = lengths[i:i + 32]
        ids = torch.randint(1000, 30000, (len(part), part[-1]))
        mask = (torch.arange(part[-1])[None] < torch.tensor(part)[:, None]).long()
        yield ids * mask, mask


model.eval()
if bf16:
    model.bfloat16()
times = []
with torch.no_grad():
    for run in range(runs + 1):
        work = list(batches())
        start = time.perf_counter()
        for ids, mask in work:
            model(input_ids=ids, attention_mask=mask).logits
        if run:
            times.append(time.perf_counter() - start)
seconds = statistics.median(times)
print(f"{shape}, torch {torch.__version__}, {threads} threads, {given[3]}")
print(f"score: {count / seconds:.1f} pairs/s, {sum(lengths) / seconds:.0f} tokens/s (best {count / min(times):.1f} pairs/s)")
model.float().train()
optimiser = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
for length in (128, 256):
    times = []
    for run in range(runs + 1):
        ids = torch.randint(1000, 30000, (16, length))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, 0]
        torch.logsumexp(logits.float(), 0).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if run:
            times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"train 16 x {length}: step {1e3 * statistics.median(times):.0f} ms (best {1e3 * min(times):.0f}), peak {peak:.0f} MB")
