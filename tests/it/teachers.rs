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
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
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
    let run = xpipe_data::run::Run::read(folder).unwrap();
    let order = |q: &xpipe_data::run::RunQuery| q.hits.iter().map(|h| h.document.clone()).collect();
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
    let found = xpipe(&space, &server, &["export", "study.xpipe", "found", "found.run"]);
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
        String::from_utf8(page.1)
            .unwrap()
            .contains("15 of 18 answers of a language model were not as asked for")
    );
    let notes: Vec<Json> = events(&space.cache()).into_iter().filter(|e| e["event"] == "note").collect();
    let told = |n: &Json| {
        n["text"].as_str().unwrap().contains("15 of 18 answers of a language model were not as asked for")
    };
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
    let space = Space::new(&study("", "concurrency = 1, timeout = 1s"));
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
    for text in ["429: slow down", "500: oh no", "not JSON", "timed out"] {
        assert!(notes.iter().any(|n| n.contains(text)), "{text}: {notes:#?}");
    }
    assert_eq!(notes.iter().filter(|n| n.contains("retrying")).count(), 5, "{notes:#?}");
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

/// As OpenAI's newer models refuse it.
#[test]
fn a_server_that_wants_the_newer_name_of_the_most_tokens_gets_it() {
    let refusal = |message: &str| {
        let error = json!({ "message": message, "param": "max_tokens", "code": "unsupported_parameter" });
        Reply::Status(400, "", json!({ "error": error }).to_string())
    };
    let server = Server::new(move |_, asked| match asked.body.get("max_tokens") {
        Some(_) => refusal(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ),
        None => by_text(asked),
    });
    let space = Space::new(&study("max_tokens = 99", "concurrency = 1"));
    run(&space, &server).says(0, &[]);
    let (older, newer): (Vec<_>, Vec<_>) =
        server.asked().into_iter().partition(|a| a.body.get("max_tokens").is_some());
    assert_eq!((older.len(), newer.len()), (1, QUERIES), "it is told once");
    assert!(newer.iter().all(|a| a.body["max_completion_tokens"] == 99), "{newer:#?}");
    assert_eq!(ranked(&space, &server).0["facts"]["requests"], json!(QUERIES));
    // The result is that of a server that knows the older name.
    let knows = Server::new(|_, asked| by_text(asked));
    let other = Space::new(&study("max_tokens = 99", "concurrency = 1"));
    run(&other, &knows).says(0, &[]);
    assert_eq!(other.contents(), space.contents());

    // One that refuses both is asked twice, and told of.
    let neither = Server::new(move |_, _| refusal("neither max_tokens nor max_completion_tokens is known"));
    let space = Space::new(&study("max_tokens = 99", "concurrency = 1"));
    run(&space, &neither).says(7, &["refuses the request with 400: neither max_tokens nor"]);
    assert_eq!(neither.count(), 2);
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
    said.says(7, &["the limit of 1,500 tokens (`token_limit`)", "answers are kept"]);
    let paid = server.count();
    assert!((3..=13).contains(&paid) && kept(&space) == paid, "{paid}");
    // The same limit again pays for nothing more than before.
    run(&space, &server).says(7, &["token_limit"]);
    assert!(server.count() * 110 <= 1_500, "{}", server.count());
    let paid = server.count();
    // With room for the most that three requests under way may cost.
    let money = "cost_limit = 0.6, input_price = 100.0, output_price = 1_000.0";
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

/// Another stage of a language model over the same run.
fn replaced(op: &str, call: &str) -> String {
    study(call, "concurrency = 2").replace("rerank.llm {", &format!("{op} {{"))
}

/// An answer whose first token is yes with probability `p`, as servers write it.
fn yes(p: f64) -> Reply {
    let body = json!({
        "choices": [{
            "message": { "content": "yes" }, "finish_reason": "length",
            "logprobs": { "content": [{ "token": "yes", "top_logprobs": [
                { "token": "yes", "logprob": p.ln() }, { "token": "No", "logprob": (1.0 - p).ln() },
            ] }] },
        }],
        "usage": { "prompt_tokens": 40, "completion_tokens": 1 },
    });
    Reply::Body(body.to_string())
}

/// How often the first word of the query is in a pointwise question.
fn matches(question: &str) -> usize {
    let query = question.split("Query: ").nth(1).unwrap().split_whitespace().next().unwrap();
    question.split("Passage: ").nth(1).unwrap().matches(query).count()
}

#[test]
fn scores_come_from_log_probabilities_or_from_text() {
    let question =
        |asked: &crate::chat_server::Asked| asked.body["messages"][1]["content"].as_str().unwrap().to_owned();
    let server = Server::new(move |_, asked| {
        assert_eq!(asked.body["logprobs"], true);
        yes(0.2 + 0.6 * matches(&question(asked)).min(1) as f64)
    });
    let scored = |study: &str| study.replace("run = ranked", "run = found");
    let space = Space::new(&scored(&replaced("score.llm", "depth = 3")));
    run(&space, &server).says(0, &[]);
    let (manifest, folder) = ranked(&space, &server);
    let scores = xpipe_data::scores::Scores::read(&folder).unwrap();
    let queries: BTreeMap<String, String> = space
        .read("data/queries.jsonl")
        .lines()
        .map(|l| serde_json::from_str::<Json>(l).unwrap())
        .map(|q| (q["_id"].as_str().unwrap().to_owned(), q["text"].as_str().unwrap().to_owned()))
        .collect();
    let texts = space.read("data/corpus.jsonl");
    let mut seen = [0, 0];
    for (query, documents) in scores.iter() {
        for (document, score) in documents {
            let line = texts.lines().find(|l| l.contains(&format!("\"{document}\""))).unwrap();
            let document: Json = serde_json::from_str(line).unwrap();
            let text =
                format!("{} {}", document["title"].as_str().unwrap(), document["text"].as_str().unwrap());
            let has = text.contains(queries[query].split(' ').next().unwrap());
            let expected = if has { (0.8f64 / 0.2).ln() } else { (0.2f64 / 0.8).ln() };
            assert!((f64::from(*score) - expected).abs() < 1e-5, "{query} {score} {expected}");
            seen[usize::from(has)] += 1;
        }
    }
    assert!(seen[1] > 10, "{seen:?}");
    assert_eq!(manifest["facts"]["pairs"], json!(scores.pairs()));
    assert_eq!(server.count(), scores.pairs());

    // A server that gives no log-probabilities: a clear end, and by text it goes.
    let plain = Server::new(move |n, asked| match n % 3 {
        0 => Reply::Says("I do not know".into()),
        _ => Reply::Says(if matches(&question(asked)) > 0 { "3" } else { "Grade: 0" }.into()),
    });
    run(&Space::new(&scored(&replaced("score.llm", "depth = 3"))), &plain)
        .says(7, &["gives no log-probabilities", "read = text"]);
    let space = Space::new(&scored(&replaced("score.llm", "depth = 3, prompt = grade, read = text")));
    let before = plain.count();
    run(&space, &plain).says(0, &[]);
    let (manifest, folder) = ranked(&space, &plain);
    let (asked, scores) = (plain.count() - before, xpipe_data::scores::Scores::read(&folder).unwrap());
    let unread = manifest["facts"]["answers"]["unreadable"].as_u64().unwrap() as usize;
    assert!(unread > 5 && scores.pairs() == asked - unread, "{unread} {asked}");
    assert!(scores.iter().flat_map(|(_, d)| d.values()).all(|s| *s == 3.0 || *s == 0.0));
}

#[test]
fn documents_are_compared_two_at_a_time() {
    // The longer passage is better; of equal ones the one in front.
    let server = Server::new(|_, asked| {
        let text = asked.body["messages"][0]["content"].as_str().unwrap().to_owned();
        let passage =
            |x: &str| text.split(&format!("Passage {x}: ")).nth(1).unwrap().split('\n').next().unwrap().len();
        Reply::Says(if passage("A") >= passage("B") { "Passage A" } else { "Passage B" }.into())
    });
    let lengths = |space: &Space| -> BTreeMap<String, usize> {
        let corpus = space.read("data/corpus.jsonl");
        let documents = corpus.lines().map(|l| serde_json::from_str::<Json>(l).unwrap());
        let length =
            |d: &Json| format!("{} {}", d["title"].as_str().unwrap(), d["text"].as_str().unwrap()).len();
        documents.map(|d| (d["_id"].as_str().unwrap().to_owned(), length(&d))).collect()
    };
    let mut found = Vec::new();
    for call in ["compare = all", "passes = 9"] {
        let space = Space::new(&replaced("rerank.llm_pairwise", call));
        run(&space, &server).says(0, &[]);
        let (_, folder) = ranked(&space, &server);
        let (orders, lengths) = (orders(&folder), lengths(&space));
        for order in orders.values() {
            assert!(order.windows(2).all(|p| lengths[&p[0]] >= lengths[&p[1]]), "{call}: {order:?}");
        }
        found.push(orders);
    }
    assert_eq!(found[0], found[1]);
}

/// A cross-encoder that learns a language model's order, which is the wrong way round: the student follows the teacher.
#[test]
fn a_cross_encoder_learns_the_order_of_a_language_model() {
    const LEARN: &str = r#"
stage lists = data.samples { source = ranked_lists { run = ranked }, shape = ranked_list(depth = 6), seed = 1 }
axis objective: Objective = { ranknet = objective.ranknet(labels = teacher), p_list_mle = objective.p_list_mle() }
stage model for objective = train.cross_encoder {
    backbone  = checkpoint("MODEL")
    objective
    data      = lists
    input     = query_document(query = 16, document = 32)
    steps     = steps(60)
    batch     = queries(3)
    optimiser = adamw { learning_rate = 2e-3 }
    schedule  = linear(warmup = 10%)
    seed      = 7
}
stage student for objective = rerank.cross_encoder { model, run = found }
"#;
    let server = Server::new(|_, asked| by_text(asked));
    let space = Space::new(&format!("{STUDY}{LEARN}"));
    run(&space, &server).says(0, &[]);
    let (_, teacher) = ranked(&space, &server);
    let teacher = orders(&teacher);
    for objective in ["ranknet", "p_list_mle"] {
        let cell = format!("student[{objective}]");
        let file = format!("{objective}.run");
        xpipe(&space, &server, &["export", "study.xpipe", &cell, &file]).says(0, &[]);
        let mut student: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in space.read(&file).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            student.entry(words[0].into()).or_default().push(words[2].into());
        }
        // Pairs of documents in the teacher's order.
        let (mut same, mut all) = (0, 0);
        for (query, order) in &teacher {
            let place = |d: &String| student[query].iter().position(|x| x == d).unwrap();
            for (i, a) in order.iter().enumerate() {
                for b in &order[i + 1..] {
                    all += 1;
                    same += usize::from(place(a) < place(b));
                }
            }
        }
        let share = f64::from(same as u32) / f64::from(all as u32);
        println!("{objective}: {share:.3} of {all} pairs as the teacher has them");
        assert!(share > 0.8, "{objective}: {share}");
    }
}
