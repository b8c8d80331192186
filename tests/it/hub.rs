//! Models by hub name: fetched from a server that answers as the hub, pinned, found again without network, made whole
//! where files are missing, and what is said when they cannot be had.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::hub_server::{COMMIT, Hub, Manner};
use super::space::{Ended, Space, repository};

const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
stage first = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10)
stage again = rerank.cross_encoder { model = untrained(hf("lab/tiny")), run = first, input = query_document(query = 16, document = 45) }
stage scores = evaluate { run = again, qrels = tiny.qrels, metrics = [ndcg(10)] }
"#;

/// The program with a hub, without any token of this machine.
pub(crate) fn xpipe(space: &Space, endpoint: &str, variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command = space.command(args);
    for name in [
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    ] {
        command.env_remove(name);
    }
    command.env("HF_HOME", space.path("hub")).env("HF_ENDPOINT", endpoint);
    Ended::of(command.envs(variables.iter().copied()).output().unwrap())
}

fn run(space: &Space, hub: &Hub, variables: &[(&str, &str)]) -> Ended {
    xpipe(space, &hub.address, variables, &["run", "study.xpipe", "--plain"])
}

fn model() -> PathBuf {
    repository("examples/quickstart/model")
}

/// A copy of the model that may be changed.
fn copied(to: &Path) -> PathBuf {
    let folder = to.join("repository");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "README.md"] {
        std::fs::copy(model().join(file), folder.join(file)).unwrap();
    }
    folder
}

fn snapshot(space: &Space) -> PathBuf {
    space.path("hub/hub/models--lab--tiny/snapshots").join(COMMIT)
}

#[test]
fn a_hub_model_is_fetched_pinned_and_found_again() {
    let space = Space::new(STUDY);
    let hub = Hub::of("lab/tiny", model());
    run(&space, &hub, &[]).says(0, &["fetching lab/tiny"]);
    let lock = space.read("study.lock");
    assert!(lock.contains("lab/tiny") && lock.contains(COMMIT), "{lock}");
    // The whole file came, though the connection was cut in the middle of it, and the rest was asked for alone.
    let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(bytes(&snapshot(&space)) == bytes(&model()));
    assert!(hub.asked().iter().any(|a| a.elsewhere && a.range.as_deref() == Some("bytes=500000-")));
    assert!(!snapshot(&space).join("README.md").exists(), "only what is read is fetched");
    assert!(!space.path("hub/outside.json").exists());

    let asked = hub.asked().len();
    std::fs::remove_dir_all(space.cache()).unwrap();
    let again = xpipe(&space, &hub.address, &[], &["run", "study.xpipe", "--locked", "--plain"]);
    again.says(0, &[]);
    assert_eq!(hub.asked().len(), asked, "nothing is asked of the hub again");
    std::fs::remove_dir_all(space.cache()).unwrap();
    run(&space, &hub, &[("HF_HUB_OFFLINE", "1")]).says(0, &[]);
}

#[test]
fn a_server_without_lists_is_asked_for_each_file() {
    let space = Space::new(STUDY);
    let models = [("lab/tiny".to_owned(), model())].into();
    let hub = Hub::start(Manner { models, no_list: true, ..Manner::default() });
    run(&space, &hub, &[]).says(0, &[]);
    let asked = hub.asked().len();
    std::fs::remove_dir_all(space.cache()).unwrap();
    run(&space, &hub, &[]).says(0, &[]);
    assert_eq!(hub.asked().len(), asked, "what the server does not have is noted");
}

#[test]
fn the_modules_of_a_bi_encoder_are_fetched() {
    let dense = "stage first = dense_run(collection = tiny, model = hf(\"lab/tiny\"), depth = 3)\n";
    let text = STUDY.lines().take(3).collect::<Vec<_>>().join("\n");
    let space = Space::new(&format!(
        "{}\n{dense}",
        text.replace("std.retrieval { bm25_run }", "std.dense { dense_run }")
    ));
    let hub = Hub::of("lab/tiny", repository("tests/data/dense/tiny"));
    run(&space, &hub, &[]).says(0, &[]);
    for file in [
        "modules.json",
        "1_Pooling/config.json",
        "2_Normalize/config.json",
        "config_sentence_transformers.json",
    ] {
        assert!(snapshot(&space).join(file).is_file(), "{file}");
    }
}

#[test]
fn a_plan_fetches_nothing() {
    let space = Space::new(STUDY);
    let hub = Hub::of("lab/tiny", model());
    let plan = xpipe(&space, &hub.address, &[], &["plan", "study.xpipe"]);
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    assert!(hub.asked().is_empty());
}

#[test]
fn a_snapshot_that_is_not_whole_is_made_whole() {
    for missing in ["tokenizer.json", "model.safetensors", "tokenizer_config.json", "config.json"] {
        let space = Space::new(STUDY);
        let folder = copied(space.folder.path());
        std::fs::write(folder.join("tokenizer_config.json"), r#"{"model_max_length": 64}"#).unwrap();
        let hub = Hub::of("lab/tiny", folder);
        run(&space, &hub, &[]).says(0, &[]);
        let link = snapshot(&space).join(missing);
        // Once the link and once the bytes behind it, as a cut copy of the cache leaves it.
        for path in [link.clone(), std::fs::canonicalize(&link).unwrap()] {
            std::fs::remove_file(path).unwrap();
            std::fs::remove_dir_all(space.cache()).unwrap();
            let offline = run(&space, &hub, &[("HF_HUB_OFFLINE", "1")]);
            offline.says(4, &["not whole", missing, "HF_HUB_OFFLINE"]);
            run(&space, &hub, &[]).says(0, &[]);
            assert!(link.is_file(), "{missing}");
        }
    }
}

#[test]
fn files_that_may_be_missing_are_asked_for_once() {
    let space = Space::new(STUDY);
    let folder = copied(space.folder.path());
    let hub = Hub::of("lab/tiny", folder.clone());
    run(&space, &hub, &[]).says(0, &[]);
    let notes = space.path("hub/hub/models--lab--tiny/.no_exist").join(COMMIT);
    assert!(notes.join("tokenizer_config.json").is_file() && notes.join("modules.json").is_file());
    // Without the note that there is none, nothing tells how texts become tokens.
    std::fs::remove_file(notes.join("tokenizer_config.json")).unwrap();
    run(&space, &hub, &[("HF_HUB_OFFLINE", "1")]).says(4, &["tokenizer_config.json"]);
    // A copy of the whole repository has what all repositories have.
    std::fs::write(snapshot(&space).join(".gitattributes"), "").unwrap();
    run(&space, &hub, &[("HF_HUB_OFFLINE", "1")]).says(0, &[]);
    std::fs::remove_file(snapshot(&space).join(".gitattributes")).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), "{}").unwrap();
    run(&space, &hub, &[]).says(0, &[]);
    assert!(snapshot(&space).join("tokenizer_config.json").is_file());
}

#[test]
fn a_token_goes_to_the_hub_and_nowhere_else() {
    let space = Space::new(STUDY);
    let models = [("lab/tiny".to_owned(), model())].into();
    let private = Some(("lab/tiny".to_owned(), "secret".to_owned()));
    let hub = Hub::start(Manner { models, private, ..Manner::default() });
    for variables in
        [&[][..], &[("HF_TOKEN", "other")], &[("HF_TOKEN", "secret"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]]
    {
        run(&space, &hub, variables).says(4, &["lab/tiny", "token"]);
    }
    run(&space, &hub, &[]).says(4, &["no public model lab/tiny", "set HF_TOKEN"]);
    std::fs::create_dir_all(space.path("hub")).unwrap();
    std::fs::write(space.path("hub/token"), "secret\n").unwrap();
    let before = hub.asked().len();
    let done = run(&space, &hub, &[]);
    done.says(0, &[]);
    assert!(!format!("{}{}{}", done.out, done.err, space.read("study.lock")).contains("secret"));
    let asked = hub.asked().split_off(before);
    assert!(asked.iter().any(|a| a.elsewhere), "large files are elsewhere");
    for a in asked {
        assert_eq!(a.authorization.as_deref(), (!a.elsewhere).then_some("Bearer secret"), "{}", a.line);
    }
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        let space = Space::new(STUDY);
        run(&space, &hub, &[(name, "secret")]).says(0, &[]);
    }
}

#[test]
fn a_gated_model_says_where_to_consent() {
    let space = Space::new(STUDY);
    let models = [("lab/tiny".to_owned(), model())].into();
    let gated = Some(("lab/tiny".to_owned(), "consented".to_owned()));
    let hub = Hub::start(Manner { models, gated, ..Manner::default() });
    let page = format!("{}/lab/tiny", hub.address);
    run(&space, &hub, &[]).says(4, &["gated", &page, "set HF_TOKEN", "401"]);
    run(&space, &hub, &[("HF_TOKEN", "other")]).says(4, &["gated", &page, "account of the token", "403"]);
    run(&space, &hub, &[("HF_TOKEN", "consented")]).says(0, &[]);
}

#[test]
fn a_name_that_is_wrong_is_told_with_those_that_are_like_it() {
    let space = Space::new(STUDY);
    let models = [("lab/tiny-base".to_owned(), model()), ("other/large".to_owned(), model())].into();
    let hub = Hub::start(Manner { models, ..Manner::default() });
    let ended = run(&space, &hub, &[]);
    ended.says(4, &["no public model lab/tiny", "did you mean `lab/tiny-base`?", "(401"]);
    assert!(!ended.err.contains("other/large") && !space.path("study.lock").exists(), "{}", ended.err);
    space.edit("study.xpipe", "lab/tiny\"", "lab/tiny-base\", revision = \"v9\"");
    run(&space, &hub, &[]).says(4, &["lab/tiny-base has no revision `v9`"]);
    space.edit("study.xpipe", "lab/tiny-base", "../../lab/tiny");
    run(&space, &hub, &[]).says(4, &["not a valid model name of the hub"]);
    let asked = hub.asked();
    assert!(asked.iter().all(|a| !a.line.contains("..")), "{asked:?}");
}

#[test]
fn a_model_that_moved_is_followed() {
    let space = Space::new(STUDY);
    let models = [("new-lab/tiny".to_owned(), model())].into();
    let renamed = Some(("/lab/tiny".to_owned(), "/new-lab/tiny".to_owned()));
    let hub = Hub::start(Manner { models, renamed, ..Manner::default() });
    run(&space, &hub, &[("HF_TOKEN", "t")]).says(0, &[]);
    assert!(
        hub.asked().iter().all(|a| a.elsewhere || a.authorization.is_some()),
        "the same host gets the token"
    );
}

#[test]
fn bytes_that_are_others_than_the_list_says_are_not_kept() {
    let space = Space::new(STUDY);
    let models = [("lab/tiny".to_owned(), copied(space.folder.path()))].into();
    let hub = Hub::start(Manner { models, wrong_size: true, ..Manner::default() });
    run(&space, &hub, &[]).says(4, &["model.safetensors", "the hub's list says"]);
    assert!(!snapshot(&space).join("model.safetensors").exists() && !space.path("study.lock").exists());
}

#[test]
fn a_model_of_other_programs_is_told_by_what_it_has() {
    let cases: [(&[&str], &str); 4] = [
        (
            &["config.json", "tokenizer.json", "onnx/model.onnx", "tf_model.h5"],
            "ONNX (onnx/model.onnx), TensorFlow (tf_model.h5)",
        ),
        (&["config.json", "tokenizer.json", "flax_model.msgpack"], "Flax (flax_model.msgpack)"),
        (&["config.json", "model-q4.gguf"], "GGUF (model-q4.gguf)"),
        (&["README.md", "data.csv"], "README.md, data.csv"),
    ];
    for (files, told) in cases {
        let space = Space::new(STUDY);
        let folder = space.path("repository");
        for file in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        let hub = Hub::of("lab/tiny", folder);
        run(&space, &hub, &[]).says(4, &["lab/tiny has no", told]);
        let large = hub.asked().into_iter().filter(|a| a.elsewhere).count();
        assert_eq!(large, 0, "nothing large is fetched for nothing");
    }
}

#[test]
fn a_model_that_cannot_be_had_says_what_to_do() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let space = Space::new(STUDY);
    let ended = xpipe(&space, &format!("http://{silent}"), &[], &["run", "study.xpipe", "--plain"]);
    ended.says(4, &["lab/tiny", "--models", "the connection was refused"]);
    assert!(!space.path("study.lock").exists(), "nothing is pinned");
}
