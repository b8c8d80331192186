"""BM25 beside bm25s, and beside Lucene (Anserini) when its jar is given: indexing, searching, and the same answers.

usage: python bm25_peer.py XPIPE [--documents N] [--queries N] [--depth K] [--jar ANSERINI_FATJAR] [--java JAVA]

XPIPE is the program. The collection is generated: N documents of 20 to 100 words drawn by Zipf's law from 200,000; each
query is 2 to 8 words of one document. Nobody stems or stops: what is measured is the index. Ours are the seconds of the
whole action (process start, index opened, ranking written); bm25s's those of tokenising, indexing and retrieving from
memory; Lucene's those of its programs, start included. bm25s needs: pip install bm25s numba
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import bm25s
import numpy as np

arguments = argparse.ArgumentParser()
arguments.add_argument("xpipe")
arguments.add_argument("--documents", type=int, default=500_000)
arguments.add_argument("--queries", type=int, default=1_000)
arguments.add_argument("--depth", type=int, default=100)
arguments.add_argument("--jar")
arguments.add_argument("--java", default="java")
arguments.add_argument("--times", type=int, default=3)
options = arguments.parse_args()
K1, B = 0.9, 0.4
STUDY = """edition 2026
dataset all: TestCollection = local {{ docs = "docs.jsonl", queries = "queries.jsonl", qrels = "qrels.tsv", role = test }}
stage index = bm25.index {{ corpus = all.corpus, analysis = whitespace }}
stage found = bm25.search {{ index, queries = all.queries, depth = {depth}, lengths = exact }}
"""


def generate(folder):
    draw, vocabulary = np.random.default_rng(5), 200_000
    share = 1 / np.arange(1, vocabulary + 1) ** 1.05
    steps = np.cumsum(share / share.sum())
    lengths = draw.integers(20, 101, options.documents)
    words = np.minimum(np.searchsorted(steps, draw.random(int(lengths.sum()))), vocabulary - 1)
    texts, start = [], 0
    with open(folder / "docs.jsonl", "w") as out:
        for i, n in enumerate(lengths):
            texts.append(" ".join(f"w{w}" for w in words[start:start + n]))
            start += n
            out.write(f'{{"_id": "d{i}", "text": "{texts[-1]}"}}\n')
    choose, queries = random.Random(7), []
    with open(folder / "queries.jsonl", "w") as out, open(folder / "qrels.tsv", "w") as qrels:
        qrels.write("query-id\tcorpus-id\tscore\n")
        for i in range(options.queries):
            own = choose.choice(texts).split()
            queries.append(" ".join(choose.sample(own, choose.randint(2, 8))))
            out.write(f'{{"_id": "q{i}", "text": "{queries[-1]}"}}\n')
            qrels.write(f"q{i}\td0\t1\n")
    return texts, queries


def ours(folder):
    (folder / "study.xpipe").write_text(STUDY.format(depth=options.depth))
    study, index, search = str(folder / "study.xpipe"), [], []
    for i in range(options.times):
        common = ["--cache", str(folder / f"cache{i}")]
        subprocess.run([options.xpipe, "run", study, "--plain", *common], check=True, stdout=subprocess.DEVNULL)
        listed = subprocess.run([options.xpipe, "cache", "ls", "--json", *common], check=True, capture_output=True)
        seconds = {row["address"]: row["seconds"] for row in json.loads(listed.stdout)}
        index.append(seconds["index"])
        search.append(seconds["found"])
    to = folder / "found.run"
    subprocess.run([options.xpipe, "export", study, "found", str(to), *common], check=True, stdout=subprocess.DEVNULL)
    return index, search, by_query(to)


def by_query(path):
    run = {}
    with open(path) as rows:
        for query, _, document, _, score, _ in map(str.split, rows):
            run.setdefault(query, []).append((document, float(score)))
    return run


def theirs(texts, queries, threads):
    index, search = [], []
    split = dict(lower=False, token_pattern=r"\S+", stopwords=None, stemmer=None, show_progress=False)
    for _ in range(options.times):
        start = time.perf_counter()
        retriever = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numba")
        retriever.index(bm25s.tokenize(texts, **split), show_progress=False)
        index.append(time.perf_counter() - start)
        retriever.retrieve(bm25s.tokenize(queries[:2], **split), k=options.depth, show_progress=False)  # compiles
        start = time.perf_counter()
        documents, scores = retriever.retrieve(
            bm25s.tokenize(queries, **split), k=options.depth, show_progress=False, n_threads=threads)
        search.append(time.perf_counter() - start)
    run = {f"q{i}": [(f"d{d}", float(s)) for d, s in zip(documents[i], scores[i])] for i in range(len(queries))}
    return index, search, run


def lucene(folder, texts, queries):
    os.makedirs(folder / "lucene")
    with open(folder / "lucene/docs.jsonl", "w") as out:
        for i, text in enumerate(texts):
            out.write(f'{{"id": "d{i}", "contents": "{text}"}}\n')
    with open(folder / "topics.tsv", "w") as out:
        out.writelines(f"{i}\t{text}\n" for i, text in enumerate(queries))
    program = [options.java, "-cp", options.jar]
    start = time.perf_counter()
    subprocess.run([*program, "io.anserini.index.IndexCollection", "-collection", "JsonCollection", "-input",
                    str(folder / "lucene"), "-index", str(folder / "lucene.index"), "-generator",
                    "DefaultLuceneDocumentGenerator", "-threads", "2", "-pretokenized"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    index = time.perf_counter() - start
    start = time.perf_counter()
    subprocess.run([*program, "io.anserini.search.SearchCollection", "-index", str(folder / "lucene.index"), "-topics",
                    str(folder / "topics.tsv"), "-topicReader", "TsvInt", "-bm25", "-pretokenized", "-threads", "2",
                    "-hits", str(options.depth), "-output", str(folder / "lucene.run")],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return index, time.perf_counter() - start


def agree(a, b):
    """The largest difference of scores at the same rank; equal scores may stand in any order. bm25s lists documents
    without a term of the query too, with 0."""
    most = 0.0
    for query, hits in a.items():
        other = [hit for hit in b[query] if hit[1] > 0]
        assert len(hits) == len(other), (query, len(hits), len(other))
        most = max([most, *(abs(x[1] - y[1]) for x, y in zip(hits, other))])
    return most


def report(what, own, peer, name, n, unit):
    own, peer = statistics.median(own), statistics.median(peer)
    print(f"{what}: xpipe {own:.2f} s ({n / own:,.0f} {unit}/s), {name} {peer:.2f} s ({n / peer:,.0f} {unit}/s), "
          f"ratio {peer / own:.2f}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    texts, queries = generate(folder)
    print(f"{len(texts):,} documents, {len(queries):,} queries, the first {options.depth}; median of {options.times}")
    index, search, own = ours(folder)
    for threads in (1, 2):
        peer_index, peer_search, peer = theirs(texts, queries, threads)
        if threads == 1:
            report("index", index, peer_index, "bm25s", len(texts), "documents")
        report("search", search, peer_search, f"bm25s on {threads} threads", len(queries), "queries")
    apart = agree(own, peer)
    print(f"scores apart at most {apart:.2g}")
    assert apart < 1e-3
    if options.jar:
        took = lucene(folder, texts, queries)
        report("index", index, [took[0]], "Lucene", len(texts), "documents")
        report("search", search, [took[1]], "Lucene", len(queries), "queries")
