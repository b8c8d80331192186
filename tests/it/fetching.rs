//! From addresses to tables: a server on loopback has small files in the field's formats; `fetch` brings them, `run`
//! reads them. What servers do wrong is told or borne.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::server::{Deed, Server};
use crate::space::{Ended, RETRIEVAL, Space};
use xpipe_testing::archives::{gzip, tar, zip};

/// The program in a space, with nothing of this machine's network settings.
fn command(space: &Space, args: &[&str]) -> Command {
    let mut command = space.command(args);
    for name in
        ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "XPIPE_MIRROR"]
    {
        command.env_remove(name);
    }
    command
}

pub(crate) fn xpipe(space: &Space, args: &[&str]) -> Ended {
    Ended::of(command(space, args).output().unwrap())
}

/// tests/data/tiny as BEIR's archives are made.
fn beir(space: &Space) -> Vec<u8> {
    let read = |name: &str| space.read(&format!("data/{name}")).into_bytes();
    zip(&[
        ("tiny/corpus.jsonl", &read("corpus.jsonl")),
        ("tiny/queries.jsonl", &read("queries.jsonl")),
        ("tiny/qrels/test.tsv", &read("qrels.tsv")),
    ])
}

/// `id<tab>text` lines of a JSON lines file of tests/data/tiny, as MS MARCO and LoTTE have them.
fn tsv(space: &Space, name: &str) -> String {
    let line = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let title = json["title"].as_str().map(|t| format!("{t} ")).unwrap_or_default();
        format!("{}\t{title}{}\n", json["_id"].as_str().unwrap(), json["text"].as_str().unwrap())
    };
    space.read(&format!("data/{name}")).lines().map(line).collect()
}

const LOCAL: &str =
    r#"local { docs = "{data}/corpus.jsonl", queries = "{data}/queries.jsonl", qrels = "{data}/qrels.tsv" }"#;

/// The study of [`RETRIEVAL`] with its collection declared in another way.
fn with(dataset: &str) -> Space {
    let space = Space::new(RETRIEVAL);
    space.edit("study.xpipe", LOCAL, dataset);
    space
}

/// The table of a run that must go well.
#[track_caller]
fn table(space: &Space, args: &[&str]) -> String {
    let ended = xpipe(space, &[&["run", "study.xpipe", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended.json()["results"]["tables"][0]["csv"].as_str().unwrap().to_owned()
}

fn expected() -> String {
    table(&Space::new(RETRIEVAL), &[])
}

/// `sha256:…` of bytes by the system's own program.
fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let out = Command::new("sha256sum").arg(file.path()).output().unwrap();
    format!("sha256:{}", String::from_utf8(out.stdout).unwrap().split(' ').next().unwrap())
}

fn parts(space: &Space) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(space.cache().join("v1/downloads/parts")).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "part")).collect();
    all.sort();
    all
}

#[test]
fn a_beir_archive_is_fetched_once_pinned_and_read() {
    let server = Server::start();
    let url = format!("{}/BEIR/tiny.zip", server.address);
    let space = with(&format!(r#"beir("tiny", url = "{url}")"#));
    let bytes = beir(&space);
    server.put("/BEIR/tiny.zip", bytes.clone());

    // Planning needs nothing of it.
    let plan = xpipe(&space, &["plan", "study.xpipe"]);
    assert_eq!(plan.code, Some(0), "{plan:#?}");
    assert!(plan.out.contains("to be downloaded") && plan.out.contains("xpipe fetch"), "{}", plan.out);
    let list = xpipe(&space, &["fetch", "study.xpipe", "--list"]);
    assert_eq!((list.code, list.out.trim()), (Some(0), &*url));
    assert!(server.asked().is_empty());

    let fetched = xpipe(&space, &["fetch", "study.xpipe", "--json"]);
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    let json = fetched.json();
    let file = &json["files"][0];
    assert_eq!(
        (&file["state"], &file["pinned"], &file["url"]),
        (&"fetched".into(), &true.into(), &(&*url).into())
    );
    assert_eq!(file["digest"], sha256(&bytes));
    assert_eq!(file["members"].as_array().unwrap().len(), 3);
    assert_eq!(server.asked().len(), 1, "three files of one archive");
    assert!(space.read("study.lock").contains(&sha256(&bytes)), "{}", space.read("study.lock"));

    let again = xpipe(&space, &["fetch", "study.xpipe", "--json", "--locked"]);
    assert_eq!(again.json()["files"][0]["state"], "here", "{again:#?}");
    assert_eq!(table(&space, &["--offline"]), expected());
    // What was read is cached; the archive may go.
    std::fs::remove_dir_all(space.cache().join("v1/downloads")).unwrap();
    let idle = xpipe(&space, &["run", "study.xpipe", "--json", "--offline"]);
    assert_eq!((idle.counts().0, idle.code), (0, Some(0)), "{idle:#?}");
    let nothing = xpipe(&space, &["fetch", "study.xpipe"]);
    assert!(nothing.out.contains("nothing to fetch"), "{nothing:#?}");
    assert_eq!(server.asked().len(), 1);
}

/// The judgements of tests/data/tiny: query, document, grade.
fn judgements(space: &Space) -> Vec<[String; 3]> {
    let text = space.read("data/qrels.tsv");
    let rows = text.lines().skip(1).map(|l| l.split('\t').map(str::to_owned).collect::<Vec<_>>());
    rows.map(|row| row.try_into().unwrap()).collect()
}

#[test]
fn run_fetches_what_is_missing_in_the_layout_of_ms_marco() {
    // One archive of tables, queries also alone, judgements of four columns.
    let server = Server::start();
    let space = with(
        r#"collection { corpus = docs, queries = topics, qrels = judged }
dataset docs: Corpus = download { url = "SERVER/collectionandqueries.tar.gz", digest = "DIGEST", member = "collection.tsv", format = tsv }
dataset topics: Queries = download { url = "SERVER/queries.tsv.gz?download=1", format = tsv }
dataset judged: Qrels = download { url = "SERVER/collectionandqueries.tar.gz", digest = "DIGEST", member = "qrels.dev.small.tsv", format = trec }
"#,
    );
    let qrels: String =
        judgements(&space).iter().map(|[q, d, grade]| format!("{q} 0 {d} {grade}\n")).collect();
    let docs = tsv(&space, "corpus.jsonl");
    let archive = gzip(&tar(&[
        ("collection.tsv", docs.as_bytes()),
        ("queries.train.tsv", b"x\ty\n"),
        ("qrels.dev.small.tsv", qrels.as_bytes()),
    ]));
    server.put("/collectionandqueries.tar.gz", archive.clone());
    server.put("/queries.tsv.gz?download=1", gzip(tsv(&space, "queries.jsonl").as_bytes()));
    let text =
        space.read("study.xpipe").replace("SERVER", &server.address).replace("DIGEST", &sha256(&archive));
    space.write("study.xpipe", &text);
    assert_eq!(table(&space, &[]), expected());
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    let lock = space.read("study.lock");
    assert!(lock.contains("queries.tsv.gz") && !lock.contains("collectionandqueries"), "{lock}");
}

#[test]
fn run_fetches_what_is_missing_in_the_layout_of_lotte() {
    // Tables, and answers as JSON lines, which all count 1.
    let (server, grades) = (Server::start(), Space::new(RETRIEVAL));
    let rows = judgements(&grades);
    let ones: String = rows.iter().map(|[q, d, _]| format!("{q}\t{d}\t1\n")).collect();
    grades.write("data/qrels.tsv", &ones);
    let space = with(
        r#"collection { corpus = docs, queries = topics, qrels = judged }
dataset docs: Corpus = download { url = "SERVER/lotte.tar.gz", member = "lotte/tiny/test/collection.tsv", format = tsv }
dataset topics: Queries = download { url = "SERVER/lotte.tar.gz", member = "lotte/tiny/test/questions.search.tsv", format = tsv }
dataset judged: Qrels = download { url = "SERVER/lotte.tar.gz", member = "lotte/tiny/test/qas.search.jsonl" }
"#,
    );
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    for [query, document, _] in rows {
        match answers.last_mut().filter(|(q, _)| *q == query) {
            Some((_, all)) => all.push(document),
            None => answers.push((query, vec![document])),
        }
    }
    let jsonl: String = answers
        .iter()
        .map(|(q, all)| format!("{}\n", serde_json::json!({ "qid": q, "query": "…", "answer_pids": all })))
        .collect();
    let (docs, topics) = (tsv(&space, "corpus.jsonl"), tsv(&space, "queries.jsonl"));
    let archive = tar(&[
        ("lotte/tiny/test/collection.tsv", docs.as_bytes()),
        ("lotte/tiny/test/questions.search.tsv", topics.as_bytes()),
        ("lotte/tiny/test/qas.search.jsonl", jsonl.as_bytes()),
    ]);
    server.put("/lotte.tar.gz", gzip(&archive));
    space.edit("study.xpipe", "SERVER", &server.address);
    let text = space.read("study.xpipe").replace("SERVER", &server.address);
    space.write("study.xpipe", &text);
    assert_eq!(table(&space, &[]), table(&grades, &[]));
    assert_eq!(server.ranges("/lotte.tar.gz"), [None]);
}

#[test]
fn runs_triples_and_scored_triples_are_read_where_they_were_fetched() {
    let server = Server::start();
    let space = Space::new(&format!(
        r#"edition 2026
dataset tiny: TestCollection = local {{ docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv", role = train }}
dataset given: Run = download {{ url = "{0}/a.run", format = trec_run, queries = tiny.queries, corpus = tiny.corpus }}
dataset plain: Source = download {{ url = "{0}/t.tsv.gz", format = triples, queries = tiny.queries, corpus = tiny.corpus }}
dataset scored: Source = download {{ url = "{0}/s.tsv", format = scored_triples, queries = tiny.queries, corpus = tiny.corpus }}
stage scores = evaluate {{ run = given, qrels = tiny.qrels, metrics = [rr(10)] }}
stage pairs  = data.samples {{ source = plain, shape = pairs(), seed = 1, count = 2 }}
stage taught = data.samples {{ source = scored, shape = pairs(), seed = 1, count = 2 }}
claim third {{ text = "the answer is third", expect = scores.rr_10 > 0.018 and scores.rr_10 < 0.019 }}
"#,
        server.address
    ));
    // One of 18 queries, with its answer at rank 3: 1/3/18.
    server.put("/a.run", "q-bread-0 Q0 d30 1 9.5 x\nq-bread-0 Q0 d31 2 9.0 x\nq-bread-0 Q0 d0 3 8.5 x\n");
    server.put("/t.tsv.gz", gzip(b"q-bread-0\td0\td30\nq-bread-0\td0\td31\n"));
    server.put("/s.tsv", "9.5\t1.25\tq-bread-0\td0\td30\n8.5\t2.0\tq-bread-0\td0\td31\n");
    let ended = xpipe(&space, &["run", "study.xpipe", "--plain"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.err.contains("start    a.run  127.0.0.1:"), "{}", ended.err);
    assert!(ended.err.contains("pinned") && ended.err.contains("in study.lock"), "{}", ended.err);
    // Only what a target needs.
    let other = Space::new(&space.read("study.xpipe"));
    let one = xpipe(&other, &["fetch", "study.xpipe", "--target", "pairs", "--json"]);
    let files = one.json()["files"].as_array().unwrap().clone();
    assert_eq!((files.len(), &files[0]["url"]), (1, &format!("{}/t.tsv.gz", server.address).into()));
}

#[test]
fn connections_that_are_cut_go_on_where_they_were() {
    let server = Server::start();
    let url = format!("{}/tiny.zip", server.address);
    let space = with(&format!(r#"beir("tiny", url = "{url}")"#));
    let bytes = beir(&space);
    let (half, more) = (bytes.len() / 2, bytes.len() / 4);
    server.put("/tiny.zip", bytes.clone());
    server.first("/tiny.zip", &[Deed::Cut(half), Deed::Status(500, "X-A: b"), Deed::Cut(more)]);
    assert_eq!(table(&space, &[]), expected());
    let asked = server.ranges("/tiny.zip");
    assert_eq!((asked.len(), asked[0]), (4, None), "{asked:?}");
    assert!(asked[1] == Some(half) && asked[2] == Some(half) && asked[3] == Some(half + more), "{asked:?}");
    assert!(parts(&space).is_empty());

    // A server that knows no ranges sends everything again.
    let space = with(&format!(r#"beir("tiny", url = "{url}", digest = "{}")"#, sha256(&bytes)));
    server.without_ranges();
    server.first("/tiny.zip", &[Deed::Cut(half)]);
    assert_eq!(table(&space, &[]), expected());

    // The file changed between the two parts: what fits together has the digest that is declared.
    let server = Server::start();
    server.put("/tiny.zip", bytes.clone());
    let mut older = bytes.clone();
    older[10] ^= 1;
    let url = format!("{}/tiny.zip", server.address);
    let space = with(&format!(r#"beir("tiny", url = "{url}", digest = "{}")"#, sha256(&bytes)));
    server.put("/tiny.zip", older);
    server.first("/tiny.zip", &[Deed::Cut(half), Deed::Status(404, "X-A: b")]);
    let ended = xpipe(&space, &["fetch", "study.xpipe"]);
    ended.says(4, &["404", "no longer at this address"]);
    assert_eq!(parts(&space).len(), 1, "what has arrived is kept");
    server.put("/tiny.zip", bytes);
    assert_eq!(table(&space, &[]), expected());
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    let server = Server::start();
    let url = format!("{}/tiny.zip", server.address);
    let space = with(&format!(r#"beir("tiny", url = "{url}")"#));
    server.put("/tiny.zip", beir(&space));
    server.first("/tiny.zip", &[Deed::Status(429, "Retry-After: 2"), Deed::Status(503, "X-A: b")]);
    let begun = Instant::now();
    let ended = xpipe(&space, &["fetch", "study.xpipe", "--plain"]);
    ended.says(0, &["429", "retrying in 2.00 s", "503"]);
    assert!(begun.elapsed() > Duration::from_secs(2));
    // One that asks for an hour is not.
    let space = with(&format!(r#"beir("tiny", url = "{url}")"#));
    server.first("/tiny.zip", &[Deed::Status(429, "Retry-After: 3600")]);
    xpipe(&space, &["fetch", "study.xpipe"]).says(4, &["cannot fetch", "asks to wait", "--mirror"]);
}

#[test]
fn wrong_bytes_are_told_and_not_kept() {
    let server = Server::start();
    let url = format!("{}/tiny.zip", server.address);
    let model = Space::new(RETRIEVAL);
    let bytes = beir(&model);
    let space = with(&format!(r#"beir("tiny", url = "{url}", digest = "{}")"#, sha256(&bytes)));
    server.put("/tiny.zip", bytes.clone());
    let mut other = bytes.clone();
    other[100] ^= 1;
    server.first("/tiny.zip", &[Deed::Instead(other.clone()), Deed::Instead(other.clone())]);
    let ended = xpipe(&space, &["fetch", "study.xpipe", "--json"]);
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    let json = ended.json();
    let said = json["error"].as_str().unwrap();
    assert!(said.contains(&sha256(&other)) && said.contains(&sha256(&bytes)), "{said}");
    assert!(said.contains("study.xpipe:4:"), "{said}");
    assert_eq!((&json["files"][0]["state"], parts(&space).len()), (&"failed".into(), 0));
    xpipe(&space, &["run", "study.xpipe"]).says(4, &["has the digest", "nothing of it was kept"]);
    assert_eq!(table(&space, &[]), expected());

    // The same for what was pinned: another file at the address is no update.
    let space = with(&format!(r#"beir("tiny", url = "{url}")"#));
    xpipe(&space, &["fetch", "study.xpipe"]).says(0, &["pinned"]);
    std::fs::remove_dir_all(space.cache()).unwrap();
    server.put("/tiny.zip", other);
    xpipe(&space, &["run", "study.xpipe"]).says(4, &["study.lock says sha256:"]);
    // Two digests for one address cannot both be right.
    let space = with(&format!(
        "beir(\"tiny\", url = \"{url}\", digest = \"md5:{0}\")\ndataset more: Qrels = download {{ url = \"{url}\", digest = \"md5:{1}\" }}\nstage seen = data.judged {{ qrels = more, queries = tiny.queries }}",
        "a".repeat(32),
        "b".repeat(32)
    ));
    xpipe(&space, &["fetch", "study.xpipe"]).says(4, &["has two digests", "study.xpipe:5:"]);
}

#[test]
fn without_network_a_mirror_has_the_files() {
    let space = with(r#"beir("tiny")"#);
    let url = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/tiny.zip";
    let place = "public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/tiny.zip";
    let ended = xpipe(&space, &["run", "study.xpipe", "--offline"]);
    ended.says(4, &[url, "`--offline` forbids", &format!("DIR/{place}"), "--mirror DIR"]);
    xpipe(&space, &["run", "study.xpipe", "--mirror", "none"]).says(4, &["there is no mirror none"]);
    assert!(!space.path("study.lock").exists());

    let file = space.path("mirror").join(place);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, beir(&space)).unwrap();
    assert_eq!(table(&space, &["--offline", "--mirror", "mirror"]), expected());
    // By the environment too.
    let other = with(r#"beir("tiny")"#);
    let out = command(&other, &["fetch", "study.xpipe", "--offline", "--json"])
        .env("XPIPE_MIRROR", space.path("mirror"))
        .output()
        .unwrap();
    assert_eq!(Ended::of(out).json()["files"][0]["state"], "mirror");
    // The mirror may go.
    std::fs::remove_dir_all(space.path("mirror")).unwrap();
    assert_eq!(table(&other, &["--offline"]), expected());
}

#[test]
fn killed_while_it_downloads_it_goes_on() {
    let server = Server::start();
    let space = with(&format!(r#"beir("tiny", url = "{}/tiny.zip")"#, server.address));
    let bytes = beir(&space);
    let half = bytes.len() / 2;
    server.put("/tiny.zip", bytes);
    server.first("/tiny.zip", &[Deed::Hang(half)]);
    let mut child = command(&space, &["fetch", "study.xpipe", "--plain"]).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    let arrived =
        |space: &Space| parts(space).first().and_then(|p| std::fs::metadata(p).ok()).map_or(0, |m| m.len());
    while arrived(&space) < half as u64 {
        assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "nothing arrives");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = xpipe(&space, &["fetch", "study.xpipe", "--plain"]);
    ended.says(0, &["resuming after"]);
    assert_eq!(server.ranges("/tiny.zip"), [None, Some(half)]);
    assert_eq!(table(&space, &["--offline"]), expected());
    assert!(parts(&space).is_empty());
}

#[test]
fn several_files_arrive_together_and_one_failure_is_not_all() {
    let server = Server::start();
    let declare =
        |i: usize| format!("dataset q{i}: Qrels = download {{ url = \"{}/{i}.tsv\" }}\n", server.address);
    let stage = |i: usize| format!("stage s{i} = data.judged {{ qrels = q{i}, queries = tiny.queries }}\n");
    let space = Space::new(RETRIEVAL);
    let more: String = (0..6).map(|i| declare(i) + &stage(i)).collect();
    let text = space.read("study.xpipe");
    space.write("study.xpipe", &(text + &more));
    for i in 0..6 {
        server.put(&format!("/{i}.tsv"), format!("q-bread-0 0 d{i} 1\n"));
        server.first(
            &format!("/{i}.tsv"),
            &[if i == 3 { Deed::Status(403, "X-A: b") } else { Deed::Status(503, "X-A: b") }],
        );
    }
    let ended = xpipe(&space, &["fetch", "study.xpipe", "--json"]);
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    let json = ended.json();
    let states: Vec<&str> =
        json["files"].as_array().unwrap().iter().map(|f| f["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["fetched", "fetched", "fetched", "failed", "fetched", "fetched"]);
    assert!(json["error"].as_str().unwrap().contains("3.tsv: the server answers 403"), "{json:#}");
    assert!(json["help"].as_str().unwrap().contains("accept terms"), "{json:#}");
    assert!(server.most_open() <= 4, "{}", server.most_open());
    // What came is pinned, and is not asked for again.
    let lock = space.read("study.lock");
    assert!(lock.contains("/2.tsv") && !lock.contains("/3.tsv"), "{lock}");
    let before = server.asked().len();
    xpipe(&space, &["fetch", "study.xpipe"]).says(0, &["pinned"]);
    assert_eq!(server.asked().len(), before + 1);

    let usage = xpipe(&space, &["cache", "du", "--json"]).json();
    assert_eq!(usage["downloads"]["results"], 6, "{usage:#}");
    assert!(xpipe(&space, &["cache", "verify"]).out.contains("6 downloaded files"));
    // A download that was changed is found, forgotten, and brought again.
    let mut files = Vec::new();
    for entry in std::fs::read_dir(space.cache().join("v1/downloads")).unwrap().flatten() {
        files.extend(std::fs::read_dir(entry.path()).unwrap().flatten().map(|e| e.path()));
    }
    let changed = files.iter().find(|f| f.ends_with("2.tsv")).unwrap();
    spoil(changed);
    let verified = xpipe(&space, &["cache", "verify", "--set-aside"]);
    assert_eq!(verified.code, Some(5), "{verified:#?}");
    assert!(
        verified.out.contains("damaged: the download") && verified.out.contains("/2.tsv"),
        "{}",
        verified.out
    );
    xpipe(&space, &["fetch", "study.xpipe", "--locked"]).says(0, &[]);
    assert_eq!(xpipe(&space, &["cache", "verify"]).code, Some(0));
}

/// Other bytes of the same length.
fn spoil(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, vec![b'x'; bytes.len()]).unwrap();
}

#[test]
fn what_cannot_be_an_address_or_a_digest_is_said_before_anything_runs() {
    for (dataset, said) in [
        (r#"beir("tiny", url = "tiny.zip")"#, "`tiny.zip` is not an address"),
        (r#"beir("tiny", digest = "md5:12")"#, "md5 has 32 hexadecimal digits"),
        (r#"beir("tiny", digest = "crc32:12")"#, "`crc32` is none of `md5:`"),
    ] {
        xpipe(&with(dataset), &["check", "study.xpipe"]).says(3, &[said, "help:"]);
    }
    let space = with(r#"beir("tiny")"#);
    let ended = xpipe(&space, &["fetch", "study.xpipe", "--locked", "--offline"]);
    ended.says(4, &["--offline"]);
}

#[test]
fn a_disk_that_is_full_is_named_and_what_arrived_is_kept() {
    let tried = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !tried.is_ok_and(|o| o.status.success()) {
        return;
    }
    let server = Server::start();
    let space = with(&format!(r#"beir("tiny", url = "{}/tiny.zip")"#, server.address));
    // What does not pack: more than there is room for.
    let filler: Vec<u8> =
        (0..10_000u32).flat_map(|i| xpipe_base::value::Digest::of(&i.to_le_bytes()).0).collect();
    server.put("/tiny.zip", zip(&[("tiny/filler", &filler)]));
    let script = r#"mkdir -p small && mount -t tmpfs -o size=200k tmpfs small || exit 99
"$1" fetch study.xpipe --cache small"#;
    let out = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_xpipe")])
        .current_dir(space.folder.path())
        .output()
        .unwrap();
    Ended::of(out).says(4, &["the disk is full", "help:", "free space"]);
}
