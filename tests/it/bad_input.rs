//! Input that is wrong: what the program says about it, its exit code, and that nothing is lost.

use std::io::Write as _;

use crate::space::{Ended, RETRIEVAL, Space, TRAINING, repository};

/// After the mistake is mended the same command succeeds and uses what was finished.
#[track_caller]
fn mended(space: &Space, actions: u64, at_least_cached: u64) {
    space.is_whole();
    let (ran, cached, code) = space.run();
    assert_eq!((ran + cached, code), (actions, 0));
    assert!(cached >= at_least_cached, "{cached} cached");
    space.is_whole();
}

fn run(space: &Space) -> Ended {
    space.xpipe(&["run", "study.xpipe"])
}

#[test]
fn a_missing_file_is_named_with_the_stage_that_reads_it() {
    let space = Space::new(RETRIEVAL);
    std::fs::remove_file(space.path("data/qrels.tsv")).unwrap();
    run(&space).says(4, &["there is no file", "data/qrels.tsv", "tiny.queries", "help: "]);
    assert!(space.contents().is_empty(), "something was started");
    // `plan` tells it as a note.
    let plan = space.xpipe(&["plan", "study.xpipe"]);
    assert_eq!(plan.code, Some(0));
    assert!(plan.out.contains("data/qrels.tsv"), "{}", plan.out);
}

#[test]
fn a_truncated_gzip_is_an_error_that_names_the_file_and_the_line() {
    let space = Space::new(RETRIEVAL);
    // Longer than what is looked at first, to tell the format.
    let more = |i: usize| format!("{{\"_id\": \"x{i}\", \"text\": \"a note about number {i}\"}}\n");
    let text = space.read("data/corpus.jsonl") + &(0..300).map(more).collect::<String>();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(text.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    std::fs::remove_file(space.path("data/corpus.jsonl")).unwrap();
    space.edit("study.xpipe", "corpus.jsonl", "corpus.jsonl.gz");
    std::fs::write(space.path("data/corpus.jsonl.gz"), &whole[..whole.len() / 2]).unwrap();
    run(&space).says(1, &["data/corpus.jsonl.gz", "truncated", "after line 1", "help: copy or download"]);
    std::fs::write(space.path("data/corpus.jsonl.gz"), &whole).unwrap();
    // The queries were read in the run that failed.
    mended(&space, 8, 1);
}

#[test]
fn wrong_columns_unknown_ids_and_empty_queries_name_file_and_line() {
    // 7: the searches are done, their evaluations are not. 1: nothing that was asked for is done, since judgements that
    // cannot be read do not say which queries the collection has.
    let cases: [(i32, &str, &str, &str, &[&str]); 6] = [
        (1, "qrels.tsv", "q-bread-0\td1\t1", "q-bread-0\td1", &["qrels.tsv:3", "2 columns", "expected 3"]),
        (
            1,
            "qrels.tsv",
            "q-bread-0\td1\t1",
            "q-bread-0\td1\tgood",
            &["qrels.tsv:3", "`good`", "a whole number"],
        ),
        (7, "qrels.tsv", "q-bread-1\td2\t", "q-bread-1\td999\t", &["qrels.tsv:5", "`d999`", "36 documents"]),
        (7, "qrels.tsv", "q-bread-1\td2\t", "q-cake-1\td2\t", &["qrels.tsv:5", "`q-cake-1`", "18 queries"]),
        (1, "queries.jsonl", "\"sail mast\"", "\"\"", &["queries.jsonl:4", "q-boats-0", "empty text"]),
        (
            1,
            "corpus.jsonl",
            "{\"_id\": \"d2\",",
            "{\"_id\": \"d2\"",
            &["corpus.jsonl:3", "expected one JSON object"],
        ),
    ];
    for (code, file, from, to, said) in cases {
        let space = Space::new(RETRIEVAL);
        let file = format!("data/{file}");
        let before = space.read(&file);
        space.edit(&file, from, to);
        run(&space).says(code, said);
        space.write(&file, &before);
        mended(&space, 8, 1);
    }
}

/// A run and scores from elsewhere.
const GIVEN: &str = r#"edition 2026
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
dataset given: Run = local { run = "given.run", queries = tiny.queries, corpus = tiny.corpus }
dataset taught: Scores = local { scores = "taught.tsv", queries = tiny.queries, corpus = tiny.corpus }
stage both = score.mean { scores = [taught, taught], normalise = raw }
stage scores = evaluate { run = given, qrels = tiny.qrels, metrics = [rr(10)] }
table t { rows = [], value = scores.rr_10 }
"#;

#[test]
fn runs_and_scores_from_elsewhere_are_checked_line_by_line() {
    let study = GIVEN.replace("table t { rows = [], value = scores.rr_10 }\n", "");
    let good_run = "q-bread-0 Q0 d0 1 2.5 x\nq-bread-0 Q0 d1 2 1.5 x\n";
    let good_scores = "q-bread-0\td0\t0.5\nq-bread-0\td1\t0.25\n";
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "q-bread-0 Q0 d0 1 2.5 x\nq-bread-0 Q0 d1 2 1.5\n",
            good_scores,
            &["given.run:2", "5 columns", "expected 6 columns"],
        ),
        ("q-bread-0 Q0 d0 1 high x\n", good_scores, &["given.run:1", "`high`", "a finite number"]),
        (good_run, "q-bread-0\td0\t0.5\nq-bread-0\td1\tNaN\n", &["taught.tsv:2", "`NaN`", "a finite number"]),
        (good_run, "q-bread-0\td0\tinf\n", &["taught.tsv:1", "`inf`", "a finite number"]),
        (good_run, "q-bread-0\td77\t0.5\n", &["taught.tsv:1", "`d77`", "36 documents"]),
    ];
    for (run_text, scores, said) in cases {
        let space = Space::new(&study);
        space.write("given.run", run_text);
        space.write("taught.tsv", scores);
        run(&space).says(7, said);
        space.write("given.run", good_run);
        space.write("taught.tsv", good_scores);
        mended(&space, 7, 3);
    }
}

/// A copy of the small model beside the study.
fn with_model() -> Space {
    let space = Space::new(TRAINING);
    let model = repository("examples/quickstart/model");
    std::fs::create_dir(space.path("model")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(model.join(file), space.path("model").join(file)).unwrap();
    }
    space.edit("study.xpipe", &model.display().to_string(), "model");
    space
}

#[test]
fn a_config_that_the_model_code_does_not_know_is_refused_before_anything_starts() {
    let cases: [(&str, &str, i32, &[&str]); 4] = [
        (
            "\"model_type\": \"bert\"",
            "\"model_type\": \"mamba\"",
            4,
            &["model/config.json", "\"mamba\"", "this version runs bert", "model[slow]", "study.xpipe:12"],
        ),
        (
            "\"hidden_act\": \"gelu\"",
            "\"hidden_act\": \"swish\"",
            4,
            &["model/config.json", "`hidden_act`", "swish", "gelu", "model[slow]", "study.xpipe:12"],
        ),
        (
            "\"model_type\": \"bert\"",
            "\"model_type\": \"bert\", \"rope_theta\": 10000.0",
            4,
            &["model/config.json", "`rope_theta`", "study.xpipe:12"],
        ),
        (
            "\"model_type\": \"bert\"",
            "\"model_type\": bert",
            4,
            &["model/config.json", "not JSON", "study.xpipe:12"],
        ),
    ];
    for (from, to, code, said) in cases {
        let space = with_model();
        let config = space.read("model/config.json");
        space.edit("model/config.json", from, to);
        run(&space).says(code, said);
        assert!(space.contents().is_empty(), "something was started");
        space.write("model/config.json", &config);
    }
}

#[test]
fn a_model_folder_that_lacks_files_or_holds_other_tensors_is_refused() {
    let space = with_model();
    let weights = std::fs::read(space.path("model/model.safetensors")).unwrap();
    std::fs::write(space.path("model/model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    run(&space).says(
        4,
        &[
            "for model[slow]",
            "model/model.safetensors",
            "not a whole safetensors file",
            "nothing was started",
        ],
    );
    assert!(space.contents().is_empty(), "something was started");
    std::fs::remove_file(space.path("model/model.safetensors")).unwrap();
    run(&space).says(4, &["model.safetensors", "help: "]);
    assert!(space.contents().is_empty(), "something was started");
}
