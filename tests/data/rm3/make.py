"""What Anserini finds in CACM with RM3: what bm25.rm3 must give.

usage: python make.py CACM_FOLDER ANSERINI_FATJAR        (needs Java 21; made with Anserini 1.7.1, defaults)

Writes cacm.tsv beside this file: query, document, score, the first ten of each query.
"""
import json
import os
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
data, jar = sys.argv[1], sys.argv[2]


def anserini(*arguments):
    subprocess.run(["java", "-cp", jar, *arguments], check=True, stdout=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/docs")
    with open(f"{folder}/docs/docs.jsonl", "w") as out, tarfile.open(f"{data}/cacm.tar.gz") as archive:
        for member in archive:
            if member.isfile():
                text = archive.extractfile(member).read().decode()
                for tag in ("<html>", "<pre>", "</pre>", "</html>"):
                    text = text.replace(tag, "")
                name = os.path.splitext(os.path.basename(member.name))[0]
                out.write(json.dumps({"id": name, "contents": text}) + "\n")
    with open(f"{folder}/topics.tsv", "w") as out:
        for part in open(f"{data}/topics.cacm.txt").read().split("<DOC>")[1:]:
            name, text = part.split("</DOCNO>", 1)
            out.write(f"{name.replace('<DOCNO>', '').strip()}\t{' '.join(text.split('</DOC>')[0].split())}\n")
    anserini("io.anserini.index.IndexCollection", "-collection", "JsonCollection", "-input", f"{folder}/docs",
             "-index", f"{folder}/index", "-generator", "DefaultLuceneDocumentGenerator", "-threads", "1",
             "-storeDocvectors")
    anserini("io.anserini.search.SearchCollection", "-index", f"{folder}/index", "-topics", f"{folder}/topics.tsv",
             "-topicReader", "TsvInt", "-bm25", "-rm3", "-hits", "1000", "-output", f"{folder}/run.txt")
    with open(f"{folder}/run.txt") as run, open(os.path.join(HERE, "cacm.tsv"), "w") as out:
        for query, _, document, rank, score, _ in map(str.split, run):
            if int(rank) <= 10:
                out.write(f"{query}\t{document}\t{score}\n")
