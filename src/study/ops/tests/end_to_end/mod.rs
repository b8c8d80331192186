//! The operations of training together, over a small collection with a committed model; and by hand over MedQuAD.

mod dense;
mod medquad;
mod sparse;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use xpipe_base::task::{Failure, FailureKind, Job, Outcome, Policy, Progress, Silent, Spec};
use xpipe_base::value::{Budget, Digest, Located, Record, Value};
use xpipe_data::qrels::Qrels;
use xpipe_data::run::{Hit, Run, RunQuery};
use xpipe_data::scores::Scores;
use xpipe_data::store_writer::TextStoreWriter;

/// A folder of artifacts, and how operations run on them.
struct Bench {
    dir: tempfile::TempDir,
    threads: usize,
}

impl Bench {
    fn new(threads: usize) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), threads }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn at(&self, name: &str) -> Value {
        located(&self.path(name))
    }

    fn run(
        &self,
        op: &str,
        out: &str,
        args: &[(&'static str, Value)],
        policy: &Policy,
        progress: &dyn Progress,
    ) -> Result<Outcome, Failure> {
        let registry = crate::ops::registry();
        let op = registry.get(op).unwrap();
        let given = Record::of(args.iter().cloned());
        // Defaults and derived arguments, as the graph fills them in.
        let full = op.params.iter().map(|p| {
            let value = given.get(p.name).cloned().or_else(|| p.default.clone()).unwrap_or_default();
            (p.name, value)
        });
        std::fs::create_dir_all(self.path(out)).unwrap();
        let spec = Spec {
            op: op.name.into(),
            version: op.version,
            key: out.into(),
            address: out.into(),
            args: Record::of(full),
            policy: policy.clone(),
            out: self.path(out),
            temp: std::path::PathBuf::default(),
            log: std::path::PathBuf::default(),
            scratch: self.path(&format!("{out}.scratch")),
            answers: self.path("answers"),
            threads: self.threads,
            device: "cpu".into(),
            kernels: xpipe_base::task::Kernels::Auto,
        };
        (op.run.unwrap())(&Job { spec: &spec, progress })
    }

    fn ok(&self, op: &str, out: &str, args: &[(&'static str, Value)]) -> Outcome {
        self.run(op, out, args, &Policy::default(), &Silent).unwrap()
    }

    /// `data.samples` over candidates of the run `run`.
    fn samples(
        &self,
        out: &str,
        shape: &Value,
        scores: Option<&str>,
        seed: i64,
    ) -> Vec<(&'static str, Value)> {
        let scores = scores.map_or(Value::Null, |s| self.at(s));
        let fields = [("run", self.at("run")), ("qrels", self.at("qrels")), ("scores", scores)];
        let source = call("candidates", &fields);
        let texts = [("corpus", self.at("corpus")), ("queries", self.at("queries"))];
        let mut args = vec![("source", source.clone()), ("shape", shape.clone()), ("seed", Value::Int(seed))];
        args.extend(texts.clone());
        self.ok("data.samples", out, &args);
        let mut training = vec![("data", self.at(out)), ("source", source), ("shape", shape.clone())];
        training.extend(texts);
        training
    }
}

fn located(path: &Path) -> Value {
    let label = path.file_name().unwrap().to_string_lossy().into_owned();
    Value::Located(Arc::new(Located { path: path.to_owned(), digest: Digest::of(label.as_bytes()), label }))
}

fn call(name: &str, args: &[(&'static str, Value)]) -> Value {
    Value::call(name, Record::of(args.iter().cloned()))
}

fn adamw(rate: f64) -> Value {
    let defaults =
        [("weight_decay", 0.0), ("clip_norm", 1.0), ("beta1", 0.9), ("beta2", 0.999), ("eps", 1e-8)];
    let all = defaults.into_iter().chain([("learning_rate", rate)]);
    call("adamw", &all.map(|(n, x)| (n, Value::Float(x))).collect::<Vec<_>>())
}

fn group(negatives: i64) -> Value {
    call("group", &[("positives", Value::Int(1)), ("negatives", Value::Int(negatives))])
}

fn store(dir: &Path, texts: impl Iterator<Item = (String, String)>) {
    let mut writer = TextStoreWriter::create(dir).unwrap();
    texts.for_each(|(id, text)| writer.push(&id, &text, "test", 1).unwrap());
    writer.finish().unwrap();
}

/// Sixteen queries `wi`; document `q.d` of six has the query's word or not: number 2 has, and is judged.
fn small() -> Bench {
    let bench = Bench::new(2);
    let backbone = bench.path("backbone");
    std::fs::create_dir_all(&backbone).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/fixtures/bert");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture.join(file), backbone.join(file)).unwrap();
    }
    let mut words: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    words.extend((5..128).map(|i| format!("w{}", i - 5)));
    std::fs::write(backbone.join("vocab.txt"), words.join("\n")).unwrap();
    store(&bench.path("queries"), (0..16).map(|q| (format!("q{q}"), format!("w{q}"))));
    let text = |q: usize, d: usize| {
        let filler = format!("w{} w{}", 20 + (7 * q + d) % 40, 60 + (3 * q + 5 * d) % 40);
        if d == 2 { format!("w{q} w100 {filler}") } else { format!("w101 {filler} w{}", (q + d + 1) % 16) }
    };
    let documents = (0..16).flat_map(|q| (0..6).map(move |d| (format!("d{q}.{d}"), text(q, d))));
    store(&bench.path("corpus"), documents);
    let hits = |q: usize| {
        (0..6).map(|d| Hit { document: format!("d{q}.{d}"), score: 6.0 - d as f32 }).collect::<Vec<_>>()
    };
    Run::new((0..16).map(|q| RunQuery::new(format!("q{q}"), hits(q)).unwrap()).collect())
        .unwrap()
        .write(&bench.path("run"))
        .unwrap();
    let mut qrels = Qrels::new();
    (0..16).for_each(|q| assert_eq!(qrels.insert(&format!("q{q}"), &format!("d{q}.2"), 1), None));
    qrels.write(&bench.path("qrels")).unwrap();
    bench
}

impl Bench {
    fn training(
        &self,
        data: &[(&'static str, Value)],
        objective: &str,
        steps: u64,
    ) -> Vec<(&'static str, Value)> {
        let mut args = vec![
            ("backbone", self.at("backbone")),
            ("objective", call(objective, &[])),
            ("steps", Value::Budget(Budget::Steps(steps))),
            ("batch", call("queries", &[("n", Value::Int(4))])),
            ("optimiser", adamw(5e-3)),
            ("seed", Value::Int(1)),
        ];
        args.extend(data.iter().cloned());
        args
    }

    fn validated(&self, args: &mut Vec<(&'static str, Value)>) {
        let on = Record::of([
            ("name", Value::str("v")),
            ("corpus", self.at("corpus")),
            ("queries", self.at("queries")),
            ("qrels", self.at("qrels")),
            ("run", self.at("run")),
        ]);
        let fields = [
            ("on", Value::list(vec![Value::Record(on)])),
            ("metric", call("rr", &[("k", Value::Int(10))])),
            ("every", Value::Budget(Budget::Steps(5))),
        ];
        args.push(("select", call("best_of", &fields)));
    }

    fn rerank(&self, model: &str, out: &str, policy: &Policy) -> f64 {
        let args = [
            ("model", self.at(model)),
            ("run", self.at("run")),
            ("corpus", self.at("corpus")),
            ("queries", self.at("queries")),
        ];
        self.run("rerank.cross_encoder", out, &args, policy, &Silent).unwrap();
        rr(&Run::read(&self.path(out)).unwrap(), &Qrels::read(&self.path("qrels")).unwrap())
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }
}

/// The mean over the run's queries of one over the rank of the first relevant document.
fn rr(run: &Run, qrels: &Qrels) -> f64 {
    let one = |q: &RunQuery| {
        let first = q.hits.iter().position(|h| qrels.grade(&q.id, &h.document).is_some_and(|g| g > 0));
        first.map_or(0.0, |p| 1.0 / (p + 1) as f64)
    };
    run.queries().iter().map(one).sum::<f64>() / run.len() as f64
}

/// Asks to stop after so many questions.
struct StopAfter(AtomicI64);

impl Progress for StopAfter {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

#[test]
fn a_model_learns_is_selected_and_can_be_trained_on() {
    let bench = small();
    let data = bench.samples("data", &group(3), None, 1);
    let untrained = bench.training(&data, "objective.infonce", 0);
    bench.ok("train.cross_encoder", "untrained", &untrained);
    let mut args = bench.training(&data, "objective.infonce", 60);
    bench.validated(&mut args);
    let outcome = bench.ok("train.cross_encoder", "model", &args);
    let (before, after) = (
        bench.rerank("untrained", "run0", &Policy::default()),
        bench.rerank("model", "run1", &Policy::default()),
    );
    assert!(after > 0.9 && before < 0.7, "{before} to {after}");
    let record: serde_json::Value = serde_json::from_slice(&bench.bytes("model/training.json")).unwrap();
    assert_eq!(record["validation"].as_array().unwrap().len(), 12);
    assert_eq!(record["documents"], 60 * 4 * 4);
    assert_eq!(record["metric"], "RR@10");
    assert_eq!(outcome.facts["selected_step"], record["selected_step"]);
    // What was selected is what was saved: its validation is its re-ranking.
    assert_eq!(outcome.facts["best"].as_f64().unwrap(), after);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(bench.path("model").join(file).exists(), "{file}");
    }
    let mut more = bench.training(&data, "objective.hinge", 1);
    more[0].1 = bench.at("model");
    bench.ok("train.cross_encoder", "more", &more);
    assert!(bench.rerank("more", "run2", &Policy::default()) > 0.8);
}

#[test]
fn stopped_and_resumed_with_any_threads_gives_the_same_files() {
    let mut bench = small();
    let data = bench.samples("data", &group(3), None, 1);
    let mut args = bench.training(&data, "objective.infonce", 12);
    bench.validated(&mut args);
    bench.ok("train.cross_encoder", "whole", &args);
    for stop in [1, 4, 9] {
        bench.threads = 1 + stop as usize % 3;
        let out = "resumed";
        let scratch = bench.path("resumed.scratch");
        std::fs::remove_dir_all(&scratch).ok();
        let stopped = bench
            .run("train.cross_encoder", out, &args, &Policy::default(), &StopAfter(AtomicI64::new(stop)))
            .unwrap_err();
        assert_eq!(stopped.kind, FailureKind::Interrupted);
        assert!(scratch.join("checkpoint").exists());
        bench.ok("train.cross_encoder", out, &args);
        for file in ["model.safetensors", "training.json", "config.json"] {
            assert!(bench.bytes(&format!("whole/{file}")) == bench.bytes(&format!("{out}/{file}")), "{file}");
        }
    }
}

#[test]
fn teachers_score_and_students_learn_from_the_mean() {
    let bench = small();
    let data = bench.samples("data", &group(3), None, 1);
    let texts = [("corpus", bench.at("corpus")), ("queries", bench.at("queries"))];
    for (name, seed) in [("a", 1), ("b", 2)] {
        let mut args = bench.training(&data, "objective.infonce", 40);
        args.retain(|(n, _)| *n != "seed");
        args.push(("seed", Value::Int(seed)));
        bench.ok("train.cross_encoder", name, &args);
        let mut args = vec![("model", bench.at(name)), ("run", bench.at("run"))];
        args.extend(texts.clone());
        bench.ok("score.cross_encoder", &format!("scores_{name}"), &args);
    }
    let both = Value::list(vec![bench.at("scores_a"), bench.at("scores_b")]);
    bench.ok("score.mean", "teacher", &[("scores", both), ("normalise", Value::str("min_max"))]);
    let teacher = Scores::read(&bench.path("teacher")).unwrap();
    assert_eq!(teacher.pairs(), 96);
    assert!(teacher.iter().flat_map(|(_, d)| d.values()).all(|s| (0.0..=1.0).contains(s)));
    for (objective, shape, batch) in [
        ("objective.margin_mse", call("pairs", &[]), "pairs"),
        ("objective.ranknet", call("ranked_list", &[("depth", Value::Int(6))]), "queries"),
        ("objective.approx_rank_mse", call("ranked_list", &[("depth", Value::Int(6))]), "queries"),
    ] {
        let data = bench.samples(&format!("data_{objective}"), &shape, Some("teacher"), 1);
        let mut args = bench.training(&data, objective, 60);
        args[3].1 = call(batch, &[("n", Value::Int(4))]);
        bench.ok("train.cross_encoder", objective, &args);
        let rr = bench.rerank(objective, "student", &Policy::default());
        assert!(rr > 0.75, "{objective}: {rr}");
    }
    // An order is no scores, also when only the data itself can tell.
    let lists = bench.samples("order", &call("ranked_list", &[("depth", Value::Int(6))]), None, 1);
    for (objective, learns) in [("objective.kl", false), ("objective.list_mle", true)] {
        let args = bench.training(&lists, objective, 1);
        let ended = bench.run("train.cross_encoder", "ordered", &args, &Policy::default(), &Silent);
        assert_eq!(ended.is_ok(), learns, "{objective}: {ended:?}");
    }
    // Without the teacher's scores the same data is refused.
    let data = bench.samples("bare", &call("pairs", &[]), None, 1);
    let failure = bench.run(
        "train.cross_encoder",
        "no",
        &bench.training(&data, "objective.margin_mse", 1),
        &Policy::default(),
        &Silent,
    );
    assert!(failure.unwrap_err().message.contains("needs teacher scores"));
}

#[test]
fn scores_do_not_depend_on_batches_and_finite_samples_are_scored_once() {
    let bench = small();
    let data = bench.samples("data", &group(3), None, 1);
    bench.ok("train.cross_encoder", "model", &bench.training(&data, "objective.bce", 5));
    bench.rerank("model", "one", &Policy { batch: Some(1), ..Policy::default() });
    bench.rerank("model", "many", &Policy::default());
    assert_eq!(bench.bytes("one/run.parquet"), bench.bytes("many/run.parquet"));
    let source = data.iter().find(|(n, _)| *n == "source").unwrap().1.clone();
    let texts = [("corpus", bench.at("corpus")), ("queries", bench.at("queries"))];
    let mut args =
        vec![("source", source), ("shape", group(5)), ("seed", Value::Int(3)), ("count", Value::Int(40))];
    args.extend(texts.clone());
    bench.ok("data.samples", "finite", &args);
    let mut args = vec![("model", bench.at("model")), ("samples", bench.at("finite"))];
    args.extend(texts);
    bench.ok("score.cross_encoder", "scores", &args);
    // Forty samples of six documents are 96 different pairs; their scores are those of the re-ranking.
    let scores = Scores::read(&bench.path("scores")).unwrap();
    assert_eq!(scores.pairs(), 96);
    let run = Run::read(&bench.path("many")).unwrap();
    for query in run.queries() {
        for hit in &query.hits {
            assert_eq!(scores.score(&query.id, &hit.document), Some(hit.score));
        }
    }
    // A model without a head is no teacher.
    store(&bench.path("part"), (0..3).map(|q| (format!("q{q}"), format!("w{q}"))));
    args[0].1 = bench.at("model");
    args[3].1 = bench.at("part");
    let outcome = bench.ok("score.cross_encoder", "scores_of_part", &args);
    assert_eq!((&outcome.facts["queries"], &outcome.facts["queries_passed_over"]), (&3.into(), &13.into()));
}

#[test]
fn two_labels_score_as_declared_and_training_goes_on_with_one() {
    let bench = small();
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/made/two-labels");
    std::fs::create_dir_all(bench.path("two")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(made.join(file), bench.path("two").join(file)).unwrap();
    }
    let words = bench.bytes("backbone/vocab.txt");
    let words: Vec<&str> = std::str::from_utf8(&words).unwrap().lines().take(64).collect();
    std::fs::write(bench.path("two/vocab.txt"), words.join("\n")).unwrap();
    let declared = |model: &str, score: &str| {
        call("two_labels", &[("model", bench.at(model)), ("score", Value::str(score))])
    };
    let args = |model: Value| {
        let of = |name: &'static str| (name, bench.at(name));
        [("model", model), of("run"), of("corpus"), of("queries")]
    };
    let score = |model: Value, out: &str| {
        bench.run("score.cross_encoder", out, &args(model), &Policy::default(), &Silent)
    };
    let help = score(bench.at("two"), "no").unwrap_err().help.unwrap();
    assert!(help.contains("two_labels(…, score = difference)"), "{help}");
    score(declared("two", "difference"), "differences").unwrap();
    score(declared("two", "softmax"), "probabilities").unwrap();
    let read = |out: &str| Scores::read(&bench.path(out)).unwrap();
    let (differences, probabilities) = (read("differences"), read("probabilities"));
    let mut seen = std::collections::BTreeSet::new();
    for (query, documents) in differences.iter() {
        for (document, difference) in documents {
            let probability = probabilities.score(query, document).unwrap();
            assert!((probability - 1.0 / (1.0 + (-difference).exp())).abs() < 1e-6);
            seen.insert(probability.to_bits());
        }
    }
    assert!(seen.len() > 30, "scores that say nothing");
    bench.ok("rerank.cross_encoder", "reranked", &args(declared("two", "softmax")));
    for query in Run::read(&bench.path("reranked")).unwrap().queries() {
        assert!(query.hits.iter().all(|h| probabilities.score(&query.id, &h.document) == Some(h.score)));
    }
    // A training of no step keeps the scores, in a model of one label.
    let data = bench.samples("data", &group(3), None, 1);
    let mut training = bench.training(&data, "objective.infonce", 0);
    training[0].1 = declared("two", "difference");
    bench.ok("train.cross_encoder", "one", &training);
    score(bench.at("one"), "again").unwrap();
    assert_eq!(bench.bytes("again/scores.parquet"), bench.bytes("differences/scores.parquet"));
    assert!(score(declared("one", "difference"), "no").unwrap_err().message.contains("has 1 label"));
}

/// Keeps the caveats.
#[derive(Default)]
struct MessageLog(std::sync::Mutex<Vec<String>>);

impl Progress for MessageLog {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn caveat(&self, caveat: &xpipe_base::task::Caveat) {
        self.0.lock().unwrap().push(caveat.to_string());
    }
    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_head_that_is_drawn_scores_when_the_study_says_so_and_the_result_says_it_too() {
    let bench = small();
    // The fixture has a head; the same encoder without it is what an embedding model is.
    std::fs::create_dir_all(bench.path("encoder")).unwrap();
    for file in ["config.json", "vocab.txt"] {
        std::fs::copy(bench.path("backbone").join(file), bench.path("encoder").join(file)).unwrap();
    }
    let bytes = bench.bytes("backbone/model.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kept = tensors.tensors().into_iter().filter(|(name, _)| !name.starts_with("classifier"));
    let file = bench.path("encoder/model.safetensors");
    safetensors::serialize_to_file(kept, None, &file).unwrap();
    let untrained =
        |model: &str, seed: i64| call("untrained", &[("model", bench.at(model)), ("seed", Value::Int(seed))]);
    let run = |op: &str, model: Value, out: &str| {
        let of = |name: &'static str| (name, bench.at(name));
        let told = MessageLog::default();
        let ended = bench.run(
            op,
            out,
            &[("model", model), of("run"), of("corpus"), of("queries")],
            &Policy::default(),
            &told,
        );
        ended.map(|_| told.0.into_inner().unwrap())
    };
    for op in ["rerank.cross_encoder", "score.cross_encoder"] {
        let e = run(op, bench.at("encoder"), "no").unwrap_err();
        assert!(e.message.contains("no trained head") && e.message.contains("`classifier.weight`"), "{e}");
        assert!(e.kind == xpipe_base::task::FailureKind::Missing && e.help.unwrap().contains("untrained(…)"));
        let e = run(op, untrained("backbone", 0), "no").unwrap_err();
        assert!(e.message.contains("it has a trained head"), "{e}");
        let told = run(op, untrained("encoder", 0), &format!("{op}.drawn")).unwrap();
        assert!(told.len() == 1 && told[0].contains("drawn at random"), "{told:?}");
        assert_eq!(run(op, bench.at("backbone"), &format!("{op}.own")).unwrap(), [""; 0]);
    }
    run("rerank.cross_encoder", untrained("encoder", 1), "other").unwrap();
    let scores = |out: &str| Run::read(&bench.path(out)).unwrap().queries()[0].hits[0].score;
    assert!(scores("other").to_bits() != scores("rerank.cross_encoder.drawn").to_bits());
}
