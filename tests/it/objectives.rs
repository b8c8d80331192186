//! Objectives from the study to the trained model: every one learns, and a sum is its parts and weights.

use serde_json::Value as Json;

use crate::space::Space;

/// A teacher that a contrastive training gives, and a model for each objective that learns from it.
const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }
axis objective: Objective = {
    bce        = objective.bce(temperature = 0.5)
    mse        = objective.mse()
    kl         = objective.kl(temperature = 2)
    list_net   = objective.list_net()
    list_mle   = objective.list_mle()
    p_list_mle = objective.p_list_mle()
    lambda     = objective.lambda()
    graded     = objective.lambda(grade = score, mu = 1)
    first      = objective.localized_contrastive()
    judged     = objective.localized_contrastive(temperature = 0.5)
    sum        = objective.sum([objective.infonce(), objective.margin_mse()], [1, 0.05])
    lists      = objective.sum([objective.list_mle(), objective.kl()], [0.1, 1])
}
let grouped = [bce, judged, sum]
let input   = query_document(query = 16, document = 32)
let rate    = adamw { learning_rate = 5e-4 }

stage found = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10)
stage hard  = data.samples { source = candidates { run = found, qrels = tiny.qrels }, shape = group(positives = 1, negatives = 2), seed = 1 }
stage teacher = train.cross_encoder {
    backbone = checkpoint("MODEL"), objective = objective.infonce(), data = hard, input, seed = 1
    steps = steps(40), batch = queries(4), optimiser = rate
}
stage taught  = score.cross_encoder { model = teacher, run = found }
stage samples for objective = data.samples {
    source = candidates { run = found, qrels = tiny.qrels, scores = taught }
    shape  = if objective in grouped then group(positives = 1, negatives = 2) else ranked_list(depth = 4)
    seed   = 2
}
stage model for objective = train.cross_encoder {
    backbone = checkpoint("MODEL"), objective, data = samples, input, seed = 2
    steps = steps(20), batch = queries(4), optimiser = rate
}
"#;

/// `training.json` of a cell.
fn training(space: &Space, cell: &str) -> Json {
    let list = space.xpipe(&["cache", "ls", "--json"]).json();
    let entry = list.as_array().unwrap().iter().find(|e| e["address"] == cell).unwrap();
    let key = entry["key"].as_str().unwrap();
    let path = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
    let json: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let tree = json.get("manifest").unwrap_or(&json)["tree"].as_str().unwrap().to_owned();
    let file = space.cache().join("v1/trees").join(tree).join("training.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The mean loss of the first and of the last five steps.
fn ends(training: &Json) -> (f64, f64) {
    let losses: Vec<f64> =
        training["curve"].as_array().unwrap().iter().map(|p| p["loss"].as_f64().unwrap()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    (mean(&losses[..5]), mean(&losses[losses.len() - 5..]))
}

#[test]
fn every_objective_trains_and_its_loss_falls() {
    let space = Space::new(STUDY);
    let ended = space.xpipe(&["run", "study.xpipe"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let labels = [
        "bce",
        "mse",
        "kl",
        "list_net",
        "list_mle",
        "p_list_mle",
        "lambda",
        "graded",
        "first",
        "judged",
        "sum",
        "lists",
    ];
    for label in labels {
        let training = training(&space, &format!("model[{label}]"));
        let (before, after) = ends(&training);
        eprintln!("{label}: {before:.4} to {after:.4}");
        assert!(after < before, "{label}: {before} to {after}");
    }
    let sum = &training(&space, "model[sum]")["objective"];
    assert_eq!(sum["source"], "objective.sum");
    assert_eq!(sum["arguments"]["weights"], serde_json::json!([1.0, 0.05]));
    assert_eq!(sum["arguments"]["parts"][1]["source"], "objective.margin_mse");

    // Another weight is another model; another way to write the same sum is not.
    space.edit("study.xpipe", "[1, 0.05]", "[1, 0.5]");
    let why = space.xpipe(&["why", "study.xpipe", "model[sum]"]).out;
    assert!(why.contains("objective.weights") && why.contains("0.05 -> 0.5"), "{why}");
    let infonce = "objective.infonce()";
    space.edit("study.xpipe", &format!("sum([{infonce}, objective.margin_mse()], [1, 0.5])"), "sum { SAME }");
    let same =
        "weights = [1.0, 1 / 20], parts = [objective.infonce(temperature = 1), objective.margin_mse()]";
    space.edit("study.xpipe", "SAME", same);
    let ran = space.run();
    assert_eq!((ran.0, ran.2), (0, 0));
}
