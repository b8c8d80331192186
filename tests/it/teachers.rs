//! Language models as teachers, end to end, with a server of this machine that answers well, badly, slowly or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::chat_server::{Reply, Server, by_text};
use crate::space::{Ended, Space, events};

const KEY: &str = "sk-very-secret-4711";

/// A first stage that a language model ranks anew.
const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }
stage found = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10)
stage ranked = rerank.llm {
    model = llm.endpoint { model = "judge-1" }
    run   = found
} with { concurrency = 2, timeout = 2s }
stage scores = evaluate { run = ranked, qrels = tiny.qrels, metrics = [ndcg(10)] }
table t { title = "nDCG@10", rows = none, value = scores.ndcg_10 }
axis none: Int = { all = 1 }
"#;

/// Queries of the collection.
const QUERIES: usize = 18;

fn study(call: &str, policy: &str) -> String {
    STUDY
        .replace("run   = found\n", &format!("run   = found\n    {call}\n"))
        .replace("concurrency = 2, timeout = 2s", policy)
}

/// The program with the server's address and a key in its environment.
fn xpipe(space: &Space, server: &Server, args: &[&str]) -> Ended {
    let mut command = space.command(args);
    command.env("XPIPE_LLM_URL", server.url()).env("XPIPE_LLM_KEY", KEY);
    Ended::of(command.output().unwrap())
}

fn run(space: &Space, server: &Server) -> Ended {
    xpipe(space, server, &["run", "study.xpipe", "--plain"])
}

/// The manifest of the stage `ranked`, and the folder of its result.
fn ranked(space: &Space, server: &Server) -> (Json, std::path::PathBuf) {
    for entry in xpipe(space, server, &["cache", "ls", "--json"]).json().as_array().unwrap() {
        if entry["address"] == "ranked" {
            let key = entry["key"].as_str().unwrap();
            let path = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
            let json: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json).clone();
            let folder = space.cache().join("v1/trees").join(manifest["tree"].as_str().unwrap());
            return (manifest, folder);
        }
    }
    panic!("no result of `ranked`");
}

/// Every file below a folder with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()))
        }
    }
    found
}

/// How many answers are kept.
fn kept(space: &Space) -> usize {
    files(&space.cache().join("v1/answers")).iter().filter(|(name, _)| name.ends_with(".json")).count()
}

#[track_caller]
fn is_secret(space: &Space, server: &Server, said: &Ended) {
    let address = server.url();
    let host = address.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    for secret in [KEY, &host] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{said:#?}");
        for (name, bytes) in files(space.folder.path()) {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} is in {name}");
        }
    }
}

/// The order of documents by query.
fn orders(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let run = xpipe::data::run::Run::read(folder).unwrap();
    let order = |q: &xpipe::data::run::RunQuery| q.hits.iter().map(|h| h.document.clone()).collect();
    run.queries().iter().map(|q| (q.id.clone(), order(q))).collect()
}

#[test]
fn a_run_is_ranked_once_and_address_and_key_are_nowhere() {
    let server = Server::new(|_, asked| by_text(asked));
    let space = Space::new(STUDY);
    run(&space, &server).says(0, &[]);
    assert_eq!(server.count(), QUERIES);
    let first = &server.asked()[0];
    assert!(first.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", first.head);
    assert!(first.head.to_lowercase().contains(&format!("authorization: bearer {KEY}")), "{}", first.head);
    assert_eq!((&first.body["model"], &first.body["temperature"]), (&json!("judge-1"), &json!(0)));
    assert_eq!((&first.body["seed"], &first.body["max_tokens"]), (&json!(0), &json!(232)));

    // The order is that of the passages' texts, for every query.
    let texts: BTreeMap<String, String> = space
        .read("data/corpus.jsonl")
        .lines()
        .map(|l| serde_json::from_str::<Json>(l).unwrap())
        .map(|d| {
            let text = format!("{} {}", d["title"].as_str().unwrap(), d["text"].as_str().unwrap());
            (d["_id"].as_str().unwrap().to_owned(), text)
        })
        .collect();
    let (manifest, folder) = ranked(&space, &server);
    let orders = orders(&folder);
    assert_eq!(orders.len(), QUERIES);
    for order in orders.values() {
        let mut sorted = order.clone();
        sorted.sort_by(|a, b| texts[b].cmp(&texts[a]));
        assert_eq!(*order, sorted);
    }
    let facts = &manifest["facts"];
    let of = |name: &str| facts[name].as_u64().unwrap_or_else(|| panic!("{name} of {facts:#}"));
    assert_eq!((of("requests"), of("new_requests")), (18, 18));
    assert_eq!((of("prompt_tokens"), of("completion_tokens"), of("tokens")), (1800, 180, 1980));
    assert_eq!((of("answers_repaired"), facts["answers"]["answers"].as_u64()), (0, Some(18)));
    assert_eq!(facts["prompt"], "rank_gpt 1");
    assert!(facts.get("cost").is_none());

    let again = run(&space, &server);
    assert!(again.says(0, &[]).out.contains("nothing to do"), "{again:?}");
    // Without results, answers are still there: nothing is paid for twice.
    let before = space.contents();
    for folder in ["actions", "trees", "objects"] {
        std::fs::remove_dir_all(space.cache().join("v1").join(folder)).unwrap();
    }
    let said = run(&space, &server);
    said.says(0, &[]);
    assert_eq!(server.count(), QUERIES);
    assert_eq!(space.contents(), before);
    let (manifest, _) = ranked(&space, &server);
    assert_eq!((&manifest["facts"]["requests"], &manifest["facts"]["new_requests"]), (&json!(18), &json!(0)));
    is_secret(&space, &server, &said);
}

#[test]
fn bad_answers_are_repaired_and_counted() {
    let server = Server::new(|n, asked| {
        let k = asked.passages().len();
        let good = (1..=k).map(|i| format!("[{i}]")).collect::<Vec<_>>().join(" > ");
        match n % 6 {
            0 => Reply::Says("I am sorry, I cannot do that.".into()),
            1 => Reply::Says(format!("[1] > {good} > [99]")),
            2 => Reply::CutOff("[1] > [".into()),
            3 => Reply::Body(r#"{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}"#.into()),
            4 => Reply::Says(good.replace(['[', ']'], "")),
            _ => Reply::Says(good),
        }
    });
    // One at a time, so that the server's number is the query's.
    let space = Space::new(&study("", "concurrency = 1"));
    run(&space, &server).says(0, &[]);
    let (manifest, folder) = ranked(&space, &server);
    assert_eq!(
        manifest["facts"]["answers"],
        json!({
            "answers": 18, "repaired": 15, "unreadable": 6, "truncated": 3, "bare": 3, "duplicates": 3,
            "out_of_range": 3, "missing": 9,
        })
    );
    // Repaired, every one of these keeps the order of the first stage, and every document.
    let found = xpipe(&space, &server, &["export", "study.xpipe", "found", "--output", "found.run"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let mut first: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in space.read("found.run").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        first.entry(words[0].into()).or_default().push(words[2].into());
    }
    assert_eq!(orders(&folder), first);
    let page =
        files(space.folder.path()).into_iter().find(|(name, _)| name.ends_with("report.html")).unwrap();
    assert!(
        String::from_utf8(page.1).unwrap().contains("15 answers of a language model were not as asked for")
    );
    let notes: Vec<Json> = events(&space.cache()).into_iter().filter(|e| e["event"] == "note").collect();
    let told = |n: &Json| n["text"].as_str().unwrap().contains("15 of 18 answers were not as asked for");
    assert!(notes.iter().any(told), "{notes:?}");
}

#[test]
fn what_may_go_well_another_time_is_tried_again() {
    let begun = Instant::now();
    let server = Server::new(|n, asked| match n {
        0 => Reply::Status(429, "retry-after: 1\r\n", r#"{"error":{"message":"slow down"}}"#.into()),
        1 => Reply::Status(500, "", "oh no".into()),
        2 => Reply::Body("<html>not JSON".into()),
        3 => Reply::HangsUp,
        4 => Reply::After(Duration::from_secs(3), Box::new(Reply::Says("[1]".into()))),
        _ => by_text(asked),
    });
    let space = Space::new(&study("depth = 2", "concurrency = 1, timeout = 1s"));
    let said = run(&space, &server);
    said.says(0, &[]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let (manifest, _) = ranked(&space, &server);
    let n = manifest["facts"]["requests"].as_u64().unwrap() as usize;
    assert_eq!(server.count(), n + 5);
    let notes: Vec<String> = events(&space.cache())
        .into_iter()
        .filter(|e| e["event"] == "note")
        .map(|e| e["text"].as_str().unwrap().to_owned())
        .collect();
    for text in ["429: slow down", "500: oh no", "no JSON", "not answer in time"] {
        assert!(notes.iter().any(|n| n.contains(text)), "{text}: {notes:#?}");
    }
    assert_eq!(notes.iter().filter(|n| n.contains("trying again")).count(), 5, "{notes:#?}");
    is_secret(&space, &server, &said);
}

#[test]
fn what_will_not_go_well_is_told_without_address_and_key() {
    let refusing = Server::new(|_, asked| {
        let message = format!("no such key: {}", asked.head);
        Reply::Status(401, "", json!({ "error": { "message": message } }).to_string())
    });
    let space = Space::new(STUDY);
    let said = run(&space, &refusing);
    said.says(4, &["ranked", "refuses the request with 401", "set XPIPE_LLM_KEY"]);
    is_secret(&space, &refusing, &said);
    assert!(refusing.count() <= 2, "a request that was refused is not repeated");

    let too_long = Server::new(|_, _| Reply::Status(400, "", "the context is too long".into()));
    run(&space, &too_long).says(7, &["400: the context is too long", "smaller `window`"]);

    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    let gone = Ended::of(command.env("XPIPE_LLM_URL", format!("http://127.0.0.1:{port}")).output().unwrap());
    gone.says(7, &["gave no answer in 3 attempts", "XPIPE_LLM_URL"]);
    assert!(!gone.err.contains(&port.to_string()), "{gone:?}");
}

#[test]
fn without_an_address_nothing_starts() {
    let space = Space::new(STUDY);
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    let ended = Ended::of(command.env_remove("XPIPE_LLM_URL").output().unwrap());
    ended.says(4, &["XPIPE_LLM_URL is not set", "for instance", "study.xpipe:5:16"]);
    assert!(space.contents().is_empty());
    // An endpoint with a name has variables of its own.
    space.edit("study.xpipe", "timeout = 2s", "timeout = 2s, endpoint = \"mine\"");
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    let ended = Ended::of(command.env("XPIPE_LLM_URL", "http://127.0.0.1:1").output().unwrap());
    ended.says(4, &["XPIPE_LLM_MINE_URL is not set"]);
    let server = Server::new(|_, asked| by_text(asked));
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    Ended::of(command.env("XPIPE_LLM_MINE_URL", server.url()).output().unwrap()).says(0, &[]);
    assert!(!server.asked()[0].head.to_lowercase().contains("authorization"));
    // With its result at hand, no address is needed.
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    Ended::of(command.env_remove("XPIPE_LLM_MINE_URL").output().unwrap()).says(0, &[]);
}

#[test]
fn killed_in_the_middle_it_asks_only_for_what_is_missing() {
    let whole = Server::new(|_, asked| by_text(asked));
    let unbroken = Space::new(STUDY);
    run(&unbroken, &whole).says(0, &[]);

    let server = Server::new(|_, asked| Reply::After(Duration::from_millis(60), Box::new(by_text(asked))));
    let space = Space::new(STUDY);
    let mut command = space.command(&["run", "study.xpipe", "--plain"]);
    let mut child = command.env("XPIPE_LLM_URL", server.url()).spawn().unwrap();
    let begun = Instant::now();
    while kept(&space) < 5 {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The worker goes with it.
    std::thread::sleep(Duration::from_millis(300));
    let (there, asked) = (kept(&space), server.count());
    assert!((5..QUERIES).contains(&there), "{there}");
    assert!(asked <= there + 2, "{asked} asked, {there} kept: more than what was under way was lost");
    run(&space, &server).says(0, &[]);
    assert_eq!(server.count() - asked, QUERIES - there);
    assert_eq!(space.contents(), unbroken.contents());
    let (manifest, _) = ranked(&space, &server);
    assert_eq!(manifest["facts"]["new_requests"], json!(QUERIES - there));
}

#[test]
fn a_limit_stops_it_and_what_was_answered_is_kept() {
    let server = Server::new(|_, asked| by_text(asked));
    // An answer takes 110 tokens of the server's counting.
    let space = Space::new(&study("max_tokens = 40", "token_limit = 1_500, concurrency = 3"));
    let said = run(&space, &server);
    said.says(7, &["the limit of 1500 tokens (`token_limit`)", "answers are kept"]);
    let paid = server.count();
    assert!((3..=13).contains(&paid) && kept(&space) == paid, "{paid}");
    // The same limit again pays for nothing more than before.
    run(&space, &server).says(7, &["token_limit"]);
    assert!(server.count() * 110 <= 1_500, "{}", server.count());
    let paid = server.count();
    let money = "cost_limit = 0.5, input_price = 100.0, output_price = 1_000.0";
    space.edit("study.xpipe", "token_limit = 1_500", money);
    run(&space, &server).says(0, &[]);
    assert_eq!(server.count(), QUERIES);
    let facts = &ranked(&space, &server).0["facts"];
    // 1,800 tokens at 100 a million, 180 at 1,000.
    assert!((facts["cost"].as_f64().unwrap() - 0.36).abs() < 1e-12, "{facts:#}");
    assert_eq!(facts["new_requests"], json!(QUERIES - paid));
    // A limit in money needs prices.
    space.edit("study.xpipe", money, "cost_limit = 0.5");
    space.edit("study.xpipe", "max_tokens = 40", "max_tokens = 41");
    run(&space, &server).says(4, &["`cost_limit` in `with` needs prices"]);
}

#[test]
fn plan_tells_how_much_will_be_asked() {
    let server = Server::new(|_, asked| by_text(asked));
    let study =
        study("window = 3, stride = 2, prompt = rank_zephyr", "input_price = 100.0, output_price = 1_000.0");
    let space = Space::new(&study);
    let plan = |what: &[&str]| xpipe(&space, &server, &[&["plan", "study.xpipe"], what].concat());
    let line = || -> Json {
        let plan = plan(&["--json"]).json();
        plan["stages"].as_array().unwrap().iter().find(|l| l["stage"] == "ranked").unwrap().clone()
    };
    xpipe(&space, &server, &["run", "study.xpipe", "--target", "found"]).says(0, &[]);
    let told = line();
    assert_eq!(told["requests_at_most"], false, "{told:#}");
    let text = plan(&[]).out;
    assert!(text.contains("ranked: ") && text.contains(" questions to a language model: about "), "{text}");
    run(&space, &server).says(0, &[]);
    let asked = server.asked();
    assert_eq!(told["requests"].as_f64().unwrap(), asked.len() as f64);
    assert_eq!(told["completion_tokens_at_most"].as_f64().unwrap(), 62.0 * asked.len() as f64);
    let bytes: usize = asked
        .iter()
        .flat_map(|a| a.body["messages"].as_array().unwrap().clone())
        .map(|m| m["content"].as_str().unwrap().len())
        .sum();
    let (about, is) = (told["prompt_tokens"].as_f64().unwrap(), bytes as f64 / 4.0);
    assert!((0.9..1.15).contains(&(about / is)), "{about} {is}");
    assert!(told["cost"].as_f64().unwrap() > 0.0);
    // Before the run is there: an upper bound.
    let fresh = Space::new(&study);
    let bound = xpipe(&fresh, &server, &["plan", "study.xpipe", "--json"]).json();
    let bound = bound["stages"].as_array().unwrap().iter().find(|l| l["stage"] == "ranked").unwrap().clone();
    match bound["requests"].as_f64() {
        Some(n) => assert!(n >= asked.len() as f64 && bound["requests_at_most"] == true, "{bound:#}"),
        None => assert!(!bound["not_estimated"].as_object().unwrap().is_empty(), "{bound:#}"),
    }
}
