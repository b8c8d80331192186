"""Dense retrieval beside sentence-transformers (encoding) and numpy and faiss (search).

usage: python dense_peer.py XPIPE [MODEL DATA [TEXTS]]        (without a model the search only)

XPIPE is the program, MODEL the folder of a bi-encoder (means of tokens, length 1), DATA a BEIR folder (plain or gzip).
Both encode the same texts, cut to 100 words so that neither has to cut more; ours is the time of the whole action
(process start, model, tokens, vectors written), the peer's loading and encode.

Then 500,000 random vectors of length 1 are searched for 1,000 others, as the action dense.search does it (read from disk,
ranking written) and as numpy and faiss (when it can be imported) do it in memory, on the same 16-bit numbers made fp32.
"""
import gzip
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

xpipe, rest = sys.argv[1], sys.argv[2:]
model, data = [pathlib.Path(p).resolve() for p in rest[:2]] or [None, None]
wanted = int(rest[2]) if len(rest) > 2 else 1_000
TIMES, DOCUMENTS, QUERIES, DEPTH = 3, 500_000, 1_000, 100
STUDY = """edition 2026
axis precision = ["fp32", "bf16"]
dataset all: TestCollection = local {{ docs = "docs.jsonl", queries = "queries.jsonl", qrels = "qrels.tsv", role = test }}
stage encoded for precision = dense.encode {{
    model = checkpoint("{model}"), corpus = all.corpus, pooling = mean, normalise = true, input = 256, precision
}}
"""


def lines(name):
    for path in (data / name, data / (name + ".gz")):
        if path.exists():
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
                yield from map(json.loads, file)
            return
    sys.exit(f"{data / name} is missing")


def vectors(cache, key):
    manifest = json.loads((cache / "v1/actions" / key[:2] / f"{key}.json").read_text())
    folder = cache / "v1/trees" / manifest.get("manifest", manifest)["tree"]
    width = json.loads((folder / "dense.json").read_text())["width"]
    return np.fromfile(folder / "vectors.f16", dtype="<f2").reshape(-1, width).astype(np.float32)


def write(folder, vectors, letter):
    """A folder as dense.encode makes it."""
    folder.mkdir()
    ids = [f"{letter}{i:07}" for i in range(len(vectors))]
    header = {"format": 1, "width": vectors.shape[1], "texts": len(ids)}
    (folder / "dense.json").write_text(json.dumps(header))
    vectors.astype("<f2").tofile(folder / "vectors.f16")
    (folder / "ids.bin").write_text("".join(ids))
    np.arange(0, 8 * (len(ids) + 1), 8, dtype="<u8").tofile(folder / "ids.u64")
    np.arange(len(ids), dtype="<u4").tofile(folder / "order.u32")


def located(path):
    return {"Located": {"path": str(path), "digest": "0" * 64, "label": path.name}}


def search(folder, threads):
    """The action, as the engine starts it: its seconds."""
    out = folder / "found"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    args = [["corpus", "Null"], ["depth", {"Int": DEPTH}], ["documents", located(folder / "documents")],
            ["queries", "Null"], ["vectors", located(folder / "queries")]]
    spec = dict(op="dense.search", version=1, key="", address="found", args=args, policy=[], out=str(out),
                scratch=str(folder / "scratch"), threads=threads, device="cpu", kernels="auto")
    start = time.perf_counter()
    worker = subprocess.Popen([xpipe, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    worker.stdin.write(json.dumps({"say": "start", "spec": spec}) + "\n")
    worker.stdin.flush()
    for line in worker.stdout:
        said = json.loads(line)
        if said["say"] in ("done", "failed"):
            break
    took = time.perf_counter() - start
    worker.stdin.close()
    worker.wait()
    assert said["say"] == "done", said
    return took


def by_numpy(documents, queries):
    best = []
    for start in range(0, len(queries), 128):
        scores = queries[start:start + 128] @ documents.T
        first = np.argpartition(scores, -DEPTH, axis=1)[:, -DEPTH:]
        kept = np.take_along_axis(scores, first, axis=1)
        order = np.argsort(-kept, axis=1)
        best.append((np.take_along_axis(first, order, axis=1), np.take_along_axis(kept, order, axis=1)))
    return np.concatenate([b[0] for b in best]), np.concatenate([b[1] for b in best])


def timed(work):
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def searches():
    with tempfile.TemporaryDirectory() as folder:
        folder, draw = pathlib.Path(folder), np.random.default_rng(1)
        both = {}
        for name, n in (("documents", DOCUMENTS), ("queries", QUERIES)):
            made = draw.standard_normal((n, 384), dtype=np.float32)
            made /= np.linalg.norm(made, axis=1, keepdims=True)
            both[name] = made.astype(np.float16).astype(np.float32)
            write(folder / name, made, name[0])
        peers = {"numpy": lambda: by_numpy(both["documents"], both["queries"])}
        try:
            import faiss

            faiss.omp_set_num_threads(2)
            flat = faiss.IndexFlatIP(384)
            flat.add(both["documents"])
            peers["faiss IndexFlatIP"] = lambda: flat.search(both["queries"], DEPTH)
        except ImportError:
            print("no faiss here")
        own = statistics.median(search(folder, 2) for _ in range(TIMES))
        for name, peer in peers.items():
            took = timed(peer)
            print(f"search {DOCUMENTS:,} for {QUERIES:,}, the first {DEPTH}: xpipe {QUERIES / own:.0f} queries/s "
                  f"({own:.2f} s), {name} {QUERIES / took:.0f} queries/s ({took:.2f} s), ratio {took / own:.2f}")


def encodes():
    with tempfile.TemporaryDirectory() as folder:
        folder, texts = pathlib.Path(folder), []
        with open(folder / "docs.jsonl", "w") as out:
            for i, doc in zip(range(wanted), lines("corpus.jsonl")):
                texts.append(" ".join(f"{doc.get('title', '')} {doc['text']}".split()[:100]))
                out.write(json.dumps({"_id": f"d{i}", "text": texts[-1]}) + "\n")
        (folder / "queries.jsonl").write_text('{"_id": "q", "text": "none"}\n')
        (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
        (folder / "study.xpipe").write_text(STUDY.format(model=model))
        own = {"fp32": [], "bf16": []}
        for i in range(TIMES):
            cache = folder / f"cache{i}"
            common = ["--cache", str(cache)]
            subprocess.run([xpipe, "run", str(folder / "study.xpipe"), "--plain", *common], check=True,
                           stdout=subprocess.DEVNULL)
            listed = subprocess.run([xpipe, "cache", "ls", "--json", *common], check=True, capture_output=True)
            rows = {row["address"]: row for row in json.loads(listed.stdout)}
            for precision, list_ in own.items():
                list_.append(rows[f"encoded[{precision}]"]["seconds"])
        ours = {p: vectors(cache, rows[f"encoded[{p}]"]["key"]) for p in own}

        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Normalize, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling

        torch.set_num_threads(2)
        print(f"{len(texts)} texts, median of {TIMES}")
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            peer = []
            for _ in range(TIMES):
                start = time.perf_counter()
                transformer = Transformer(str(model), max_seq_length=256, model_kwargs={"torch_dtype": dtype})
                modules = [transformer, Pooling(transformer.get_embedding_dimension(), "mean"), Normalize()]
                encoded = SentenceTransformer(modules=modules, device="cpu").encode(texts, batch_size=32)
                peer.append(time.perf_counter() - start)
            mine, theirs = statistics.median(own[precision]), statistics.median(peer)
            cosine = float((ours[precision] * encoded.astype(np.float32)).sum(1).min())
            print(f"encode, {precision}: xpipe {len(texts) / mine:.0f} texts/s ({mine:.1f} s), sentence-transformers "
                  f"{len(texts) / theirs:.0f} texts/s ({theirs:.1f} s), ratio {theirs / mine:.2f}; least cosine {cosine:.5f}")


searches()
if model:
    encodes()
