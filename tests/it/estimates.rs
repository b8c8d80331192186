//! Memory and time told before a run, beside what the run then needs; what cannot fit is refused.

use serde_json::Value as Json;
use xpipe_base::value::rng::Stream;
use xpipe_nn::config::Fields;
use xpipe_nn::{arch, weights};

use crate::space::{Space, TRAINING, repository};

const MIB: f64 = 1_048_576.0;

/// The line of a stage in `plan --json`.
#[track_caller]
fn planned(space: &Space, stage: &str, more: &[&str]) -> Json {
    let ended = space.xpipe(&[&["plan", "study.xpipe", "--json"], more].concat());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let plan = ended.json();
    let lines = plan["stages"].as_array().unwrap();
    lines.iter().find(|l| l["stage"] == stage).unwrap_or_else(|| panic!("{plan:#}")).clone()
}

/// What estimates count for the process itself.
const PROCESS: f64 = 20.0 * MIB;

/// The manifests of an operation.
fn manifests(space: &Space, op: &str) -> Vec<Json> {
    let mut found = all_manifests(space);
    found.retain(|m| m["op"] == op);
    found
}

/// The memory of a process of this build that computes next to nothing. Most of it are pages of the program's file; how
/// many of a large development build count depends on what the kernel has read ahead.
fn idle_process(space: &Space) -> f64 {
    let peaks = all_manifests(space).into_iter().filter_map(|m| m["peak_memory"].as_f64());
    peaks.fold(f64::MAX, f64::min)
}

fn all_manifests(space: &Space) -> Vec<Json> {
    let mut found = Vec::new();
    for shard in std::fs::read_dir(space.cache().join("v1/actions")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let json: Json = serde_json::from_str(&text).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json).clone();
            found.push(manifest);
        }
    }
    found
}

/// A model with BERT's shape and random weights that needs much memory for little work, and long texts.
fn deep(space: &Space) {
    let config = r#"{"model_type": "bert", "vocab_size": 8000, "hidden_size": 64, "num_hidden_layers": 12,
        "num_attention_heads": 4, "intermediate_size": 256, "max_position_embeddings": 512}"#;
    let model = arch::from_fields(&Fields::parse("config.json", config.as_bytes()).unwrap()).unwrap();
    let parameters = arch::layout(&model.declared());
    let (s, total) = (Stream::new(1, &["deep"]), parameters.iter().map(xpipe_nn::Parameter::len).sum());
    let numbers: Vec<f32> = (0..total).map(|i: usize| 0.02 * s.normal(i as u64) as f32).collect();
    weights::save(&*model, &parameters, &numbers, &space.path("deep")).unwrap();
    let tokenizer = repository("examples/quickstart/model/tokenizer.json");
    std::fs::copy(tokenizer, space.path("deep/tokenizer.json")).unwrap();
    let corpus = space.read("data/corpus.jsonl");
    let longer: Vec<String> = corpus
        .lines()
        .map(|line| {
            let mut document: Json = serde_json::from_str(line).unwrap();
            let text = document["text"].as_str().unwrap().repeat(10);
            document["text"] = text.into();
            document.to_string()
        })
        .collect();
    space.write("data/corpus.jsonl", &longer.join("\n"));
}

/// The training study over the deep model: about 4,000 tokens a step.
fn study(policy: &str, seed: u32) -> String {
    TRAINING
        .replace("MODEL", "deep")
        .replace("steps(24)", "steps(2)")
        .replace("queries(4)", "queries(20)")
        .replace("document = 32", "document = 60")
        .replace("seed      = 7", &format!("seed      = {seed}"))
        .replace("checkpoint = steps(4)", policy)
}

#[test]
fn the_memory_of_a_training_is_told_within_a_quarter() {
    let space = Space::new("");
    deep(&space);
    let mut told = Vec::new();
    for (seed, policy) in
        [(1, "retries = 0"), (2, "micro_batch = 1_024"), (3, "activation_checkpointing = true")]
    {
        space.write("study.xpipe", &study(policy, seed));
        let before = manifests_of_trainings(&space);
        // Once its inputs are there, lengths are known.
        let ended = space.xpipe(&["run", "study.xpipe", "--target", "samples", "--threads", "2"]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let line = planned(&space, "model", &["--only", "rate=fast", "--threads", "2"]);
        let ended = space.xpipe(&[
            "run",
            "study.xpipe",
            "--only",
            "rate=fast",
            "--target",
            "model",
            "--threads",
            "2",
        ]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let after = manifests_of_trainings(&space);
        let new = after.iter().find(|m| !before.contains(m)).unwrap();
        let bytes = line["memory"].as_f64().unwrap();
        let peak = new["peak_memory"].as_f64().unwrap() - idle_process(&space) + PROCESS;
        println!("{policy}: told {:.0} MiB, used {:.0} MiB", bytes / MIB, peak / MIB);
        told.push((policy, bytes / peak, bytes));
    }
    for (policy, ratio, _) in &told {
        assert!((0.75..1.25).contains(ratio), "{policy}: {ratio:.2}");
    }
    // Both settings are worth it.
    assert!(told[1].2 < 0.6 * told[0].2 && told[2].2 < 0.6 * told[0].2, "{told:?}");
}

fn manifests_of_trainings(space: &Space) -> Vec<Json> {
    if space.cache().join("v1/actions").exists() {
        manifests(space, "train.cross_encoder")
    } else {
        Vec::new()
    }
}

#[test]
fn what_cannot_fit_is_refused_before_anything_starts() {
    let space = Space::new("");
    deep(&space);
    space.write("study.xpipe", &study("retries = 0", 1));
    let call = ["run", "study.xpipe", "--memory", "100MiB"];
    let refused = space.xpipe(&call);
    refused.says(
        4,
        &[
            "error: model[slow] needs up to ",
            " of memory, and 100.0 MiB are there (",
            "model[fast] needs up to ",
            "nothing was started; write `with { micro_batch = ",
            "the results are the same bits",
        ],
    );
    assert!(manifests_of_trainings(&space).is_empty());
    assert_eq!(space.contents().len(), 0, "something ran");
    let json = space.xpipe(&[&call[..], &["--json"]].concat()).json();
    assert_eq!(json["exit"], 4, "{json:#}");
    let plan = space.xpipe(&["plan", "study.xpipe", "--memory", "100MiB"]);
    assert!(plan.out.contains("note: model[slow] needs up to "), "{plan:#?}");
    // What the stage says of itself is believed, and so is the advice.
    for (seed, policy) in [(1, "memory = 60MiB"), (2, "micro_batch = 1_024")] {
        space.write("study.xpipe", &study(policy, seed));
        let ended = space.xpipe(&[&call[..], &["--only", "rate=fast", "--set", "steps=steps(1)"]].concat());
        assert_eq!(ended.code, Some(0), "{policy}: {ended:#?}");
    }
    // A stage that is done needs no memory.
    space.write("study.xpipe", &study("retries = 0", 1));
    let ended = space.xpipe(&[&call[..], &["--only", "rate=fast", "--set", "steps=steps(1)"]].concat());
    assert!(ended.code == Some(0) && ended.out.contains("nothing to do"), "{ended:#?}");
    space.xpipe(&["run", "study.xpipe", "--memory", "much"]).says(2, &["for instance `24GiB`"]);
}

#[test]
fn time_is_told_from_what_was_measured() {
    let space = Space::new(TRAINING);
    let seconds = |line: &Json| line["seconds"].as_f64().unwrap_or_else(|| panic!("{line:#}"));
    // Nothing is there yet: lengths are the limits, speed is a probe's, and how much is re-ranked is not known.
    let first = planned(&space, "model", &[]);
    assert!(seconds(&first) > 0.0 && first["seconds_at_most"] == true && first["memory_at_most"] == true);
    let ranked = planned(&space, "ranked", &[]);
    assert!(ranked["seconds"].is_null(), "{ranked:#}");
    let (why, n) = ranked["not_estimated"].as_object().unwrap().iter().next().unwrap();
    assert!(why.contains("the number of queries is unknown") && *n == 2, "{ranked:#}");
    let text = space.xpipe(&["plan", "study.xpipe"]).out;
    assert!(
        text.contains("≤ ") && text.contains(" + ? on ") && text.contains("a probe of matrix products"),
        "{text}"
    );
    assert!(
        text.contains("note: the time of 2 actions is unknown: its input run does not exist yet"),
        "{text}"
    );

    assert_eq!(space.run(), (12, 0, 0));
    let text = space.xpipe(&["plan", "study.xpipe"]).out;
    assert!(!text.contains("time") && !text.contains("models:"), "{text}");
    let file = space.cache().join("v1/rates.json");
    let rates: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(rates["format"], 2);
    assert_eq!(rates["rates"][0]["shape"], "bert 2x128/2/512", "{rates:#}");

    // Ten times the steps take about ten times as long, by the same rate.
    let work = |m: &Json| m["facts"]["work"][0]["seconds"].as_f64().unwrap();
    let took: f64 = manifests(&space, "train.cross_encoder").iter().map(work).sum();
    let more = ["--set", "steps=steps(240)"];
    let line = planned(&space, "model", &more);
    assert_eq!(line["seconds_at_most"], false, "{line:#}");
    let ratio = seconds(&line) / took;
    assert!((4.0..25.0).contains(&ratio), "{ratio:.1} times as long: {line:#}");
    let plan = space.xpipe(&[&["plan", "study.xpipe", "--json"], &more[..]].concat()).json();
    assert_eq!(
        (&plan["total"]["speed"], &plan["total"]["cached"]),
        (&"measured".into(), &6.into()),
        "{plan:#}"
    );
    let ranked = planned(&space, "ranked", &more);
    assert!(seconds(&ranked) > 0.0 && ranked["not_estimated"].as_object().unwrap().is_empty(), "{ranked:#}");

    // Rates that cannot be read are none.
    std::fs::write(&file, "{").unwrap();
    let plan = space.xpipe(&[&["plan", "study.xpipe", "--json"], &more[..]].concat()).json();
    assert_eq!(plan["total"]["speed"], "probed", "{plan:#}");
}
