"""xpipe's re-ranking beside sentence-transformers' CrossEncoder, end to end: python rerank_peer.py XPIPE MODEL DATA [queries]

XPIPE is the program, MODEL a folder with a one-label cross-encoder, DATA a BEIR folder (plain or gzip). Both score the
same pairs: BM25's first 20 documents of so many queries, cut to 60 words so that neither has to cut more. xpipe's time
is that of the whole action (process start, model, tokens, scores written); the peer's is loading and predict, in fp32
and bf16. Then the scores themselves are compared: with the peer's, and bf16 with fp32.
"""
import gzip
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

xpipe, model, data = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3])
wanted = int(sys.argv[4]) if len(sys.argv) > 4 else 60
STUDY = """edition 2026
use std.retrieval {{ bm25_run }}
axis precision = ["fp32", "bf16"]
dataset all: TestCollection = local {{ docs = "docs.jsonl", queries = "queries.jsonl", qrels = "qrels.tsv", role = test }}
stage found  = bm25_run(corpus = all.corpus, queries = all.queries, depth = 20)
stage ranked for precision = rerank.cross_encoder {{
    model = checkpoint("{model}"), run = found, input = query_document(query = 64, document = 300), precision
}}
"""


def lines(name):
    for path in (data / name, data / (name + ".gz")):
        if path.exists():
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
                yield from map(json.loads, file)
            return
    sys.exit(f"{data / name} is missing")


def cut(text):
    return " ".join(text.split()[:60])


def run_file(path):
    rows = [line.split() for line in open(path)]
    return {(row[0], row[2]): float(row[4]) for row in rows}


def kendall(a, b):
    """Mean over queries of Kendall's tau-b between two scorings."""
    queries = {}
    for query, document in a:
        queries.setdefault(query, []).append((a[query, document], b[query, document]))
    taus = []
    for rows in queries.values():
        score = same_a = same_b = pairs = 0
        for i, (x, y) in enumerate(rows):
            for u, v in rows[:i]:
                pairs += 1
                same_a += x == u
                same_b += y == v
                score += ((x > u) - (x < u)) * ((y > v) - (y < v))
        if pairs:
            taus.append(score / (((pairs - same_a) * (pairs - same_b)) ** 0.5 or 1))
    return statistics.mean(taus)


def compare(what, a, b):
    apart = [abs(a[pair] - b[pair]) for pair in a]
    print(f"{what}: scores apart at most {max(apart):.2g}, in the mean {statistics.mean(apart):.2g}; "
          f"Kendall {kendall(a, b):.4f}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    texts, queries = {}, {}
    with open(folder / "docs.jsonl", "w") as out:
        for doc in lines("corpus.jsonl"):
            texts[doc["_id"]] = cut(f"{doc.get('title', '')} {doc['text']}".strip())
            out.write(json.dumps({"_id": doc["_id"], "text": texts[doc["_id"]]}) + "\n")
    with open(folder / "queries.jsonl", "w") as out, open(folder / "qrels.tsv", "w") as qrels:
        qrels.write("query-id\tcorpus-id\tscore\n")
        for query in lines("queries.jsonl"):
            if len(queries) < wanted and query["_id"] not in queries:
                queries[query["_id"]] = cut(query["text"])
                out.write(json.dumps({"_id": query["_id"], "text": queries[query["_id"]]}) + "\n")
                qrels.write(f"{query['_id']}\t{next(iter(texts))}\t1\n")
    (folder / "study.xpipe").write_text(STUDY.format(model=model))
    common = ["--cache", str(folder / "cache")]
    study = str(folder / "study.xpipe")
    subprocess.run([xpipe, "run", study, *common, "--plain"], check=True, stdout=subprocess.DEVNULL)
    listed = json.loads(subprocess.run([xpipe, "cache", "ls", "--json", *common], check=True, capture_output=True).stdout)
    seconds = {row["address"]: row["seconds"] for row in listed}
    ours, theirs = {}, {}
    for precision in ("fp32", "bf16"):
        to = folder / f"{precision}.run"
        subprocess.run([xpipe, "export", study, f"ranked[{precision}]", str(to), *common], check=True,
                       stdout=subprocess.DEVNULL)
        ours[precision] = run_file(to)
    keys = list(ours["fp32"])
    print(f"{len(keys)} pairs of {len(queries)} queries")

    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        start = time.perf_counter()
        peer = CrossEncoder(str(model), max_length=512, device="cpu", activation_fn=torch.nn.Identity(),
                            model_kwargs={"torch_dtype": dtype})
        scores = peer.predict([(queries[q], texts[d]) for q, d in keys], batch_size=32, show_progress_bar=False)
        took = time.perf_counter() - start
        theirs[precision] = dict(zip(keys, map(float, scores)))
        own = seconds[f"ranked[{precision}]"]
        print(f"{precision}: xpipe {len(keys) / own:.1f} pairs/s ({own:.1f} s), sentence-transformers "
              f"{len(keys) / took:.1f} pairs/s ({took:.1f} s), ratio {took / own:.2f}")
    compare("xpipe and the peer, fp32", ours["fp32"], theirs["fp32"])
    compare("xpipe, bf16 and fp32", ours["bf16"], ours["fp32"])
    compare("the peer, bf16 and fp32", theirs["bf16"], theirs["fp32"])
