"""Writes porter.tsv: words of Python's own documentation and their stems by NLTK (pip install nltk).

MARTIN_EXTENSIONS is the stemmer as its author's later implementations, and Lucene, have it.
"""
import pathlib, pydoc_data.topics, re
from nltk.stem.porter import PorterStemmer

words = set()
for text in pydoc_data.topics.topics.values():
    words.update(re.findall(r"[a-z]{3,}", text.lower()))
stemmer = PorterStemmer(mode=PorterStemmer.MARTIN_EXTENSIONS)
extra = """archaeology geology logics analogously possibly ably nimbly feebly conditionally valenci hesitanci
digitizer conformabli radicalli differentli vileli analogousli vietnamization predication operator feudalism
decisiveness hopefulness callousness formaliti sensitiviti sensibiliti triplicate formative formalize electriciti
electrical hopeful goodness revival allowance inference airliner gyroscopic adjustable defensible irritant
replacement adjustment dependent adoption homologou communism activate angulariti homologous effective bowdlerize
probate rate cease controll roll flies dies mules denied agreed owned humbled meeting stating siezing itemization
sensational traditional reference colonizer plotted yield yes yy ayes skies by say toy employ enjoying eye ion
lion nation pion sing string king thing bed fed seed ness able ous""".split()
chosen = sorted(words)
chosen = sorted(set(chosen[:: max(1, len(chosen) // 700)]) | set(extra))
lines = [f"{w}\t{stemmer.stem(w)}" for w in chosen]
(pathlib.Path(__file__).parent / "porter.tsv").write_text("\n".join(lines) + "\n")
