//! Models fetched from a hub in the layouts in which they are published: each backbone of the study that examples/paper
//! replicates, both SPLADE models, and published re-rankers. The names of files are those of the repositories; weights are
//! tiny, and vocabularies are letters.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::json;
use xpipe_nn::tokenizer::Tokenizer;

use super::hub_server::{COMMIT, Hub, Manner};
use super::space::{Space, repository};

/// How a repository lays out a model.
struct Layout {
    name: &'static str,
    /// The configuration and weights to take.
    like: &'static str,
    /// What stands for its vocabulary.
    words: Words,
    /// Files that are read.
    read: &'static [&'static str],
    /// Files that are not.
    others: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq)]
enum Words {
    Pieces,
    Bytes,
    Deberta,
    XlmRoberta,
}

const ETTIN: &[&str] = &[
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];
const ETTIN_OTHERS: &[&str] = &[".gitattributes", "README.md", "pytorch_model.bin"];

const LAYOUTS: &[Layout] = &[
    Layout {
        name: "jhu-clsp/ettin-encoder-17m",
        like: "fixtures/ettin",
        words: Words::Bytes,
        read: ETTIN,
        others: ETTIN_OTHERS,
    },
    Layout {
        name: "jhu-clsp/ettin-encoder-32m",
        like: "fixtures/ettin",
        words: Words::Bytes,
        read: ETTIN,
        others: ETTIN_OTHERS,
    },
    Layout {
        name: "microsoft/MiniLM-L12-H384-uncased",
        like: "fixtures/minilm",
        words: Words::Pieces,
        read: &[
            "config.json",
            "pytorch_model.bin",
            "vocab.txt",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[
            ".gitattributes",
            "README.md",
            "convert_model.py",
            "flax_model.msgpack",
            "log.txt",
            "tf_model.h5",
        ],
    },
    Layout {
        name: "jhu-clsp/ettin-encoder-68m",
        like: "fixtures/ettin",
        words: Words::Bytes,
        read: ETTIN,
        others: ETTIN_OTHERS,
    },
    Layout {
        name: "google-bert/bert-base-uncased",
        like: "fixtures/bert",
        words: Words::Pieces,
        read: &["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
        others: &[
            ".gitattributes",
            "LICENSE",
            "README.md",
            "coreml/fill-mask/float32_model.mlpackage/Manifest.json",
            "flax_model.msgpack",
            "model.onnx",
            "pytorch_model.bin",
            "rust_model.ot",
            "tf_model.h5",
            "vocab.txt",
        ],
    },
    Layout {
        name: "google/electra-base-discriminator",
        like: "fixtures/electra",
        words: Words::Pieces,
        read: &["config.json", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json"],
        others: &[
            ".gitattributes",
            "README.md",
            "flax_model.msgpack",
            "rust_model.ot",
            "tf_model.h5",
            "vocab.txt",
        ],
    },
    Layout {
        name: "FacebookAI/roberta-base",
        like: "fixtures/roberta",
        words: Words::Bytes,
        read: &["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
        others: &[
            ".gitattributes",
            "README.md",
            "dict.txt",
            "flax_model.msgpack",
            "merges.txt",
            "pytorch_model.bin",
            "rust_model.ot",
            "tf_model.h5",
            "vocab.json",
        ],
    },
    Layout {
        name: "jhu-clsp/ettin-encoder-150m",
        like: "fixtures/ettin",
        words: Words::Bytes,
        read: ETTIN,
        others: ETTIN_OTHERS,
    },
    Layout {
        name: "microsoft/deberta-v3-base",
        like: "fixtures/deberta-v3",
        words: Words::Deberta,
        read: &["config.json", "pytorch_model.bin", "spm.model", "tokenizer_config.json"],
        others: &[".gitattributes", "README.md", "rust_model.ot", "tf_model.h5"],
    },
    // A RoBERTa of the time before tokenizer.json, as distilroberta re-rankers and many fine-tuned ones are.
    Layout {
        name: "lab/roberta-of-two-files",
        like: "fixtures/roberta",
        words: Words::Bytes,
        read: &[
            "config.json",
            "model.safetensors",
            "vocab.json",
            "merges.txt",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[".gitattributes", "README.md", "training_args.bin"],
    },
    Layout {
        name: "BAAI/bge-reranker-base",
        like: "made/xlm-roberta",
        words: Words::XlmRoberta,
        read: &[
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[
            ".gitattributes",
            "README.md",
            "onnx/model.onnx",
            "onnx/tokenizer.json",
            "pytorch_model.bin",
            "sentencepiece.bpe.model",
        ],
    },
    Layout {
        name: "BAAI/bge-reranker-large",
        like: "made/xlm-roberta",
        words: Words::XlmRoberta,
        read: &[
            "config.json",
            "model.safetensors",
            "sentencepiece.bpe.model",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[".gitattributes", "README.md", "pytorch_model.bin"],
    },
    Layout {
        name: "cross-encoder/ms-marco-MiniLM-L-6-v2",
        like: "fixtures/minilm",
        words: Words::Pieces,
        read: &[
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[
            ".gitattributes",
            "CEBinaryClassificationEvaluator_MS-Marco_results.csv",
            "README.md",
            "flax_model.msgpack",
            "onnx/model.onnx",
            "onnx/model_O3.onnx",
            "openvino/openvino_model.xml",
            "openvino/openvino_model.bin",
            "pytorch_model.bin",
            "vocab.txt",
        ],
    },
    Layout {
        name: "cross-encoder/ms-marco-MiniLM-L-12-v2",
        like: "fixtures/minilm",
        words: Words::Pieces,
        read: &[
            "config.json",
            "pytorch_model.bin",
            "vocab.txt",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[
            ".gitattributes",
            "CEBinaryClassificationEvaluator_MS-Marco_results.csv",
            "README.md",
            "flax_model.msgpack",
        ],
    },
    Layout {
        name: "cross-encoder/ms-marco-electra-base",
        like: "fixtures/electra",
        words: Words::Pieces,
        read: &[
            "config.json",
            "model.safetensors",
            "vocab.txt",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[
            ".gitattributes",
            "CEBinaryClassificationEvaluator_MS-Marco_results.csv",
            "README.md",
            "pytorch_model.bin",
        ],
    },
];

const SPLADE: &[Layout] = &[
    Layout {
        name: "naver/splade-v3-distilbert",
        like: "made/distilbert-masked",
        words: Words::Pieces,
        read: &[
            "config.json",
            "pytorch_model.bin",
            "tokenizer.json",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[
            ".gitattributes",
            "README.md",
            "data_args.json",
            "model_args.json",
            "training_args.json",
            "vocab.txt",
        ],
    },
    Layout {
        name: "naver/splade-cocondenser-ensembledistil",
        like: "made/bert-masked",
        words: Words::Pieces,
        read: &[
            "config.json",
            "pytorch_model.bin",
            "tokenizer.json",
            "special_tokens_map.json",
            "tokenizer_config.json",
        ],
        others: &[".gitattributes", "README.md", "vocab.txt"],
    },
];

fn letters() -> impl Iterator<Item = String> {
    ('a'..='z').map(String::from)
}

/// A SentencePiece model of letters: pieces with score and type.
fn sentence_piece(first: &[(&str, u8)]) -> Vec<u8> {
    let piece = |text: &str, score: f32, kind: u8| {
        let mut inner = vec![0x0a, text.len() as u8];
        inner.extend(text.as_bytes());
        inner.push(0x15);
        inner.extend(score.to_le_bytes());
        inner.extend([0x18, kind]);
        [vec![0x0a, inner.len() as u8], inner].concat()
    };
    let mut model: Vec<u8> = first.iter().flat_map(|(text, kind)| piece(text, 0.0, *kind)).collect();
    model.extend(piece("▁", -2.0, 1));
    model.extend(letters().flat_map(|l| piece(&l, -3.0, 1)));
    model.extend([0x12, 2, 0x18, 1]);
    model
}

/// Writes the vocabulary of a kind in all of its forms.
fn write_words(words: Words, folder: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    match words {
        Words::Pieces => {
            let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
            let all: Vec<String> =
                special.into_iter().chain(letters()).chain(letters().map(|l| format!("##{l}"))).collect();
            write("vocab.txt", all.join("\n").as_bytes());
        }
        Words::Bytes => {
            let special = ["<s>", "<pad>", "</s>", "<unk>"].map(String::from);
            let signs = ["Ġ", ":", ",", ".", "A", "th", "Ġth", "Ġthe", "<mask>"].map(String::from);
            let all = special.into_iter().chain(letters()).chain(signs);
            let map: serde_json::Map<String, serde_json::Value> =
                all.enumerate().map(|(i, w)| (w, i.into())).collect();
            write("vocab.json", serde_json::to_string(&map).unwrap().as_bytes());
            write("merges.txt", "#version: 0.2\nt h\nĠ th\nĠth e\n".as_bytes());
        }
        Words::Deberta => {
            write("spm.model", &sentence_piece(&[("[PAD]", 3), ("[CLS]", 3), ("[SEP]", 3), ("[UNK]", 2)]));
        }
        Words::XlmRoberta => {
            write("sentencepiece.bpe.model", &sentence_piece(&[("<unk>", 2), ("<s>", 3), ("</s>", 3)]));
        }
    }
    write("tokenizer_config.json", b"{}");
    let made = Tokenizer::load(folder).unwrap();
    write("tokenizer.json", made.json());
    write("special_tokens_map.json", b"{}");
}

/// `torch.save` of tensors in fp32, as a zip archive.
fn torch_file(tensors: &SafeTensors<'_>) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let text = |t: &str| [b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
    let number = |n: usize| [b"J", &(n as i32).to_le_bytes()[..]].concat();
    let mut pickle = b"\x80\x02}(".to_vec();
    let mut all = tensors.tensors();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    for (i, (name, view)) in all.iter().enumerate() {
        let count: usize = view.shape().iter().product();
        let strides: Vec<usize> =
            (0..view.shape().len()).map(|d| view.shape()[d + 1..].iter().product()).collect();
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend([text(&i.to_string()), text("cpu"), number(count), b"tQ".to_vec(), number(0)].concat());
        for sizes in [view.shape(), &strides] {
            pickle.push(b'(');
            sizes.iter().for_each(|n| pickle.extend(number(*n)));
            pickle.push(b't');
        }
        pickle.extend(b"\x89}tR");
        archive.start_file(format!("archive/data/{i}"), stored).unwrap();
        archive.write_all(view.data()).unwrap();
    }
    pickle.extend(b"u.");
    archive.start_file("archive/data.pkl", stored).unwrap();
    archive.write_all(&pickle).unwrap();
    archive.finish().unwrap().into_inner()
}

/// Writes a repository in its layout.
fn write_layout(layout: &Layout, folder: &Path) {
    let all = tempfile::tempdir().unwrap();
    let like = repository("tests/data").join(layout.like);
    let weights = std::fs::read(like.join("model.safetensors")).unwrap();
    std::fs::copy(like.join("config.json"), all.path().join("config.json")).unwrap();
    std::fs::write(
        all.path().join("pytorch_model.bin"),
        torch_file(&SafeTensors::deserialize(&weights).unwrap()),
    )
    .unwrap();
    std::fs::write(all.path().join("model.safetensors"), weights).unwrap();
    write_words(layout.words, all.path());
    for file in layout.read.iter().chain(layout.others) {
        let (from, to) = (all.path().join(file), folder.join(file));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        match from.is_file() {
            true => drop(std::fs::copy(from, to).unwrap()),
            false => std::fs::write(to, "not read").unwrap(),
        }
    }
}

/// The hub of layouts, and the same models as folders beside the study.
fn hub(space: &Space, layouts: &[Layout]) -> Hub {
    let mut models = BTreeMap::new();
    for layout in layouts {
        let folder = space.path("repositories").join(layout.name);
        write_layout(layout, &folder);
        models.insert(layout.name.to_owned(), folder);
    }
    Hub::start(Manner { models, ..Manner::default() })
}

fn axis(layouts: &[Layout]) -> String {
    let cell = |(i, l): (usize, &Layout)| {
        format!("hub{i} = hf(\"{0}\"), folder{i} = checkpoint(\"repositories/{0}\")", l.name)
    };
    layouts.iter().enumerate().map(cell).collect::<Vec<_>>().join(", ")
}

/// Exactly what is read has come.
fn has_what_is_read(space: &Space, layout: &Layout) {
    let snapshot =
        space.path(&format!("hub/hub/models--{}/snapshots/{COMMIT}", layout.name.replace('/', "--")));
    let mut come: Vec<String> = std::fs::read_dir(&snapshot)
        .unwrap_or_else(|e| panic!("{}: {e}", layout.name))
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut read: Vec<String> = layout.read.iter().map(|f| (*f).to_owned()).collect();
    come.sort();
    read.sort();
    assert_eq!(come, read, "{}", layout.name);
}

#[test]
fn published_re_rankers_and_backbones_are_fetched_and_score_as_their_folders() {
    let study = format!(
        r#"edition 2026
use std.retrieval {{ bm25_run }}
dataset tiny: TestCollection = local {{ docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }}
axis model: Backbone = {{ {} }}
stage first = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 3)
stage scored for model = score.cross_encoder {{ model, run = first, input = query_document(query = 12, document = 24) }}
"#,
        axis(LAYOUTS)
    );
    let space = Space::new(&study);
    let hub = hub(&space, LAYOUTS);
    let run = super::hub::xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--plain"]);
    run.says(0, &[]);
    let mut seen = BTreeMap::new();
    for (i, layout) in LAYOUTS.iter().enumerate() {
        has_what_is_read(&space, layout);
        let scores = |label: &str| {
            let cell = format!("scored[{label}{i}]");
            let out = format!("{label}{i}.tsv");
            super::hub::xpipe(&space, &hub.address, &[], &["export", "study.xpipe", &cell, &out])
                .says(0, &[]);
            space.read(&out)
        };
        let fetched = scores("hub");
        assert_eq!(fetched, scores("folder"), "{}", layout.name);
        assert!(fetched.lines().count() > 50, "{fetched}");
        seen.entry(layout.like).or_insert(fetched);
    }
    // The scores are those of different models.
    let different: BTreeSet<_> = seen.values().collect();
    assert_eq!(different.len(), seen.len());
}

#[test]
fn published_splade_models_are_fetched_and_search() {
    let study = format!(
        r#"edition 2026
use std.sparse {{ splade_run }}
dataset tiny: TestCollection = local {{ docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }}
axis model: Backbone = {{ {} }}
stage found for model = splade_run(collection = tiny, model = model, depth = 5)
"#,
        axis(SPLADE)
    );
    let space = Space::new(&study);
    let hub = hub(&space, SPLADE);
    super::hub::xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--plain"]).says(0, &[]);
    for (i, layout) in SPLADE.iter().enumerate() {
        has_what_is_read(&space, layout);
        let run = |label: &str| {
            let (cell, out) = (format!("found[{label}{i}]"), format!("{label}{i}.run"));
            super::hub::xpipe(&space, &hub.address, &[], &["export", "study.xpipe", &cell, &out])
                .says(0, &[]);
            space.read(&out)
        };
        assert_eq!(run("hub"), run("folder"), "{}", layout.name);
    }
}

/// Writes a model whose weights are shards, and gives the names of the shards.
fn write_shards(folder: &Path, from: &Path, index: &str, config: &Path) -> BTreeSet<String> {
    std::fs::create_dir(folder).unwrap();
    write_words(Words::Pieces, folder);
    std::fs::copy(config.join("config.json"), folder.join("config.json")).unwrap();
    let text = std::fs::read_to_string(from.join(index)).unwrap();
    std::fs::write(folder.join(index), &text).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let map = json["weight_map"].as_object().unwrap();
    let shards: BTreeSet<String> = map.values().map(|v| v.as_str().unwrap().to_owned()).collect();
    for shard in &shards {
        std::fs::copy(from.join(shard), folder.join(shard)).unwrap();
    }
    shards
}

#[test]
fn sharded_weights_of_both_kinds_are_fetched() {
    let sharded = repository("tests/data/made/sharded");
    let kinds = repository("tests/data/made/kinds");
    for (index, from, config) in [
        ("model.safetensors.index.json", sharded.clone(), sharded),
        ("pytorch_model.bin.index.json", kinds, repository("tests/data/made/electra-wide")),
    ] {
        let space = Space::new(
            r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
axis model: Backbone = { hub = hf("lab/shards"), folder = checkpoint("repository") }
stage first = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 3)
stage scored for model = score.cross_encoder { model, run = first, input = query_document(query = 12, document = 24) }
"#,
        );
        let folder = space.path("repository");
        let shards = write_shards(&folder, &from, index, &config);
        assert!(shards.len() > 1);
        let hub = Hub::of("lab/shards", folder.clone());
        super::hub::xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--plain"]).says(0, &[]);
        let scores = |label: &str| {
            let (cell, out) = (format!("scored[{label}]"), format!("{label}.tsv"));
            super::hub::xpipe(&space, &hub.address, &[], &["export", "study.xpipe", &cell, &out])
                .says(0, &[]);
            space.read(&out)
        };
        assert_eq!(scores("hub"), scores("folder"));

        // A shard that is gone from the cache is fetched again; one that leads out of it is none.
        let snapshot = space.path(&format!("hub/hub/models--lab--shards/snapshots/{COMMIT}"));
        let shard = shards.iter().next_back().unwrap();
        std::fs::remove_file(snapshot.join(shard)).unwrap();
        std::fs::remove_dir_all(space.cache()).unwrap();
        let offline = [("HF_HUB_OFFLINE", "1")];
        super::hub::xpipe(&space, &hub.address, &offline, &["run", "study.xpipe", "--plain"])
            .says(4, &[shard]);
        super::hub::xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--plain"]).says(0, &[]);

        let out = json!({"weight_map": {"a": "../../../../../outside.bin"}}).to_string();
        std::fs::write(folder.join(index), out).unwrap();
        let study = "edition 2026\nuse std.retrieval { bm25_run }\ndataset tiny: TestCollection = local { docs = \"data/corpus.jsonl\", \
             queries = \"data/queries.jsonl\", qrels = \"data/qrels.tsv\" }\nstage first = bm25_run(corpus = tiny.corpus, queries = \
             tiny.queries, depth = 3)\nstage scored = score.cross_encoder { model = hf(\"lab/shards\"), run = first, input = \
             query_document(query = 12, document = 24) }\n";
        let space = Space::new(study);
        let hub = Hub::of("lab/shards", folder);
        let ended = super::hub::xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--plain"]);
        assert!(ended.code != Some(0) && ended.err.contains("leads out of its folder"), "{}", ended.err);
        assert!(hub.asked().iter().all(|a| !a.line.contains("outside")));
    }
}
