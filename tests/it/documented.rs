//! Examples in documentation are accepted by `check`: of operations and items (`xpipe describe`), of diagnostics (their
//! wrong examples give the diagnostic), of README.md, grammar/README.md and the folder `examples`.
//!
//! What an example uses and does not declare is declared by [`DECLARED`]; `…` in the block of a call stands for the required
//! arguments that are left out ([`LEFT_OUT`]). So every example is checked whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xpipe_base::diag::{Code, Diagnostics, FileId, Severity};
use xpipe_lang::graph::{Overrides, expand};
use xpipe_lang::resolve::{Disk, load};
use xpipe_lang::syntax::ast::{ItemKind, UseFrom};
use xpipe_lang::syntax::{SourceMap, format, parse, parse_setting};

use crate::space::{Space, repository};

/// Names that examples use, each with its declaration.
const DECLARED: &[(&str, &str)] = &[
    (
        "tests",
        r#"dataset tests: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "r.tsv", role = test }"#,
    ),
    (
        "c",
        r#"dataset c: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "r.tsv", role = test }"#,
    ),
    (
        "dev",
        r#"dataset dev: TestCollection = local { docs = "d2.jsonl", queries = "q2.jsonl", qrels = "r2.tsv", role = validation }"#,
    ),
    (
        "given",
        r#"dataset given: TestCollection = local { docs = "d2.jsonl", queries = "q3.jsonl", qrels = "r3.tsv", role = train }"#,
    ),
    ("docs", r#"dataset docs: Corpus = local { docs = "d.jsonl" }"#),
    ("topics", r#"dataset topics: Queries = local { queries = "q.jsonl" }"#),
    ("judged", r#"dataset judged: Qrels = local { qrels = "r.tsv" }"#),
    (
        "triples",
        r#"dataset triples: Source = local { triples = "t.tsv", queries = given.queries, corpus = given.corpus }"#,
    ),
    (
        "scored",
        r#"dataset scored: Scores = local { scores = "s.tsv", queries = given.queries, corpus = given.corpus }"#,
    ),
    ("dl19", "use std.trec { dl19 }"),
    ("dl20", "use std.trec { dl20 }"),
    ("msmarco", "use std.msmarco"),
    ("nano_beir", "use std.beir { nano_beir }"),
    ("bm25_run", "use std.retrieval { bm25_run }"),
    ("seed", "axis seed = [1, 2]"),
    ("learning_rate", "axis learning_rate = [1e-5, 2e-5]"),
    ("rate", "axis rate = [1e-5, 2e-5]"),
    ("system", r#"axis system: String = { a = "A", bm25 = "BM25", both = "both" }"#),
    ("backbone", r#"axis backbone: Backbone = { tiny = checkpoint("m"), small = checkpoint("m2") }"#),
    (
        "objective",
        "axis objective: Objective = { bce = objective.bce(), hinge = objective.hinge(), infonce = objective.infonce() }",
    ),
    ("eval", "axis eval: TestCollection = { dl19, dl20 }"),
    ("a", "let a = 1"),
    ("b", "let b = 2"),
    ("seeds", "param seeds: List<Int> = [1, 2]"),
    ("quality", "table quality { rows = backbone, value = 1.0 }"),
    ("helps", "claim helps { expect = true }"),
    ("corpus", "let corpus = given.corpus"),
    ("queries", "let queries = given.queries"),
    ("qrels", "let qrels = given.qrels"),
    ("source", "let source = candidates { run, qrels }"),
    ("model", r#"let model = checkpoint("m")"#),
    ("teacher", "stage teacher = score.cross_encoder { model, run }"),
    ("published", r#"let published = csv("published.csv", key = [backbone, objective])"#),
    ("index", "stage index = bm25.index { corpus }"),
    ("run", "stage run = bm25.search { index, queries }"),
    ("second", "stage second = bm25.search { index, queries, depth = 10 }"),
    ("first", "stage first = bm25.search { index, queries, depth = 20 }"),
    (
        "reranked",
        "stage reranked for backbone, seed = rerank.cross_encoder { model = untrained(backbone, seed), run }",
    ),
    ("samples", "stage samples = data.samples { source, shape = pairs(), seed = 1, count = 10 }"),
    ("data", "stage data = data.samples { source, shape = pairs(), seed = 1 }"),
    ("second_teacher", "stage second_teacher = score.cross_encoder { model, run, depth = 10 }"),
    ("sparse_documents", "stage sparse_documents = sparse.encode { model, corpus }"),
    ("sparse_queries", "stage sparse_queries = sparse.encode { model, queries }"),
    ("postings", "stage postings = sparse.index { vectors = sparse_documents }"),
    ("dense_documents", "stage dense_documents = dense.encode { model, corpus }"),
    ("dense_queries", "stage dense_queries = dense.encode { model, queries }"),
    ("made", r#"stage made = exec { program = "self:rust-docs", gives = "TestCollection" }"#),
];
/// Files that the declarations name.
const FILES: &str = "d.jsonl q.jsonl r.tsv d2.jsonl q2.jsonl r2.tsv q3.jsonl r3.tsv s.tsv t.tsv docs.jsonl queries.jsonl \
                     qrels.tsv d.tsv q.tsv q.qrels q1.tsv q1.qrels q2.tsv q2.qrels train.py";

/// What `check` says of a text: severities, codes and messages.
struct Said(Vec<(Severity, String, String)>);

impl Said {
    /// The messages of errors.
    fn errors(&self) -> Vec<&str> {
        self.0.iter().filter(|(severity, ..)| *severity == Severity::Error).map(|(.., m)| &**m).collect()
    }

    fn has(&self, code: Code) -> bool {
        self.0.iter().any(|(_, c, _)| c == code.as_str())
    }
}

/// The names that a text declares or imports.
fn declares(text: &str) -> BTreeSet<String> {
    let file = parse(FileId(0), text, &mut Diagnostics::new());
    let mut names = BTreeSet::new();
    for item in &file.items {
        match &item.kind {
            ItemKind::Use(u) => {
                let path = match &u.from {
                    UseFrom::Path(path) => path.last().map(|i| i.name.to_string()),
                    UseFrom::File(_) => None,
                };
                let alias = u.alias.as_ref().map(|i| i.name.to_string());
                match &u.names {
                    Some(listed) => names.extend(listed.iter().map(|i| i.name.to_string())),
                    None => names.extend(alias.or(path)),
                }
            }
            ItemKind::Param { name, .. }
            | ItemKind::Axis { name, .. }
            | ItemKind::Dataset { name, .. }
            | ItemKind::Table { name, .. }
            | ItemKind::Claim { name, .. }
            | ItemKind::Report { name, .. }
            | ItemKind::Profile { name, .. } => {
                names.insert(name.name.to_string());
            }
            ItemKind::Let(l) => {
                names.insert(l.name.name.to_string());
            }
            ItemKind::Stage(s) => {
                names.insert(s.name.name.to_string());
            }
            ItemKind::Def(d) => {
                names.insert(d.name.name.to_string());
            }
            ItemKind::Edition { .. } | ItemKind::Requires { .. } | ItemKind::Study { .. } => {}
        }
    }
    names
}

/// Words of a text, without those after a dot.
fn words(text: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    text.split(|c| !is_word(c)).filter_map(|w| w.split('.').next()).filter(|w| !w.is_empty()).collect()
}

/// Axes that the results `found` and `scores` may vary over: an example fits one of these.
const VARIED: &[&[&str]] = &[
    &[],
    &["seed"],
    &["learning_rate"],
    &["seed", "learning_rate"],
    &["rate"],
    &["seed", "rate"],
    &["system"],
    &["backbone"],
    &["backbone", "seed"],
    &["objective"],
    &["objective", "seed"],
    &["backbone", "objective"],
    &["backbone", "objective", "seed"],
];

/// The declarations of `found` and `scores`, which vary over some axes.
fn varied(axes: &[&str]) -> [(&'static str, String); 2] {
    let over = if axes.is_empty() { String::new() } else { format!(" for {}", axes.join(", ")) };
    [
        ("found", format!("stage found{over} = bm25.search {{ index, queries, depth = 10 }}")),
        ("scores", format!("stage scores{over} = evaluate {{ run = found, qrels, metrics = [ndcg(10)] }}")),
    ]
}

/// What `check` says of an example with the declarations that it needs, where the results that it uses vary over axes
/// that suit it: the first answer that `good` accepts, else the first one.
fn said_of(
    example: &str,
    files: &[(&str, &str)],
    settings: &[String],
    good: &dyn Fn(&Said) -> bool,
) -> (Said, String) {
    let mut first = None;
    for axes in VARIED {
        let text = completed(example, axes);
        let said = check(&text, files, settings);
        if good(&said) {
            return (said, text);
        }
        let uses_results = text.contains("stage scores") || text.contains("stage found");
        first.get_or_insert((said, text));
        if !uses_results {
            break;
        }
    }
    first.unwrap()
}

/// The text of an example with the declarations that it needs.
fn completed(example: &str, axes: &[&str]) -> String {
    let results = varied(axes);
    let own = declares(example);
    let mut text = String::new();
    let mut added: BTreeSet<&str> = BTreeSet::new();
    let mut wanted: Vec<String> = vec![example.to_owned()];
    while let Some(next) = wanted.pop() {
        for word in words(&next) {
            let known =
                DECLARED.iter().copied().chain(results.iter().map(|(name, line)| (*name, line.as_str())));
            let declared = known.into_iter().find(|d| d.0 == word && !own.contains(word));
            if let Some((_, line)) = declared.filter(|d| added.insert(d.0)) {
                text.push_str(line);
                text.push('\n');
                wanted.push(line.to_owned());
            }
        }
    }
    match example.lines().next().filter(|first| first.starts_with("edition ")) {
        Some(first) => format!("{first}\n{text}{}\n", &example[first.len()..]),
        None => format!("edition 2026\n{text}{example}\n"),
    }
}

/// Checks a text in a folder with files, with settings.
fn check(text: &str, files: &[(&str, &str)], settings: &[String]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    std::fs::create_dir_all(&study).unwrap();
    std::fs::create_dir_all(folder.path().join("tables")).unwrap();
    for name in FILES.split_whitespace() {
        std::fs::write(study.join(name), "").unwrap();
    }
    for (name, content) in files {
        std::fs::write(study.join(name), content).unwrap();
    }
    let path = study.join("s.xpipe");
    std::fs::write(&path, text).unwrap();
    checked(&path, settings)
}

fn checked(path: &Path, settings: &[String]) -> Said {
    let world = Disk::default();
    let mut sources = SourceMap::new();
    let mut sink = Diagnostics::new();
    let study = load(path, &world, &mut sources, &mut sink).unwrap();
    let mut overrides = Overrides::default();
    for setting in settings {
        let file = sources.add("--set", setting.as_str());
        overrides.set.extend(parse_setting(file, setting, &mut sink));
    }
    expand(&study, &xpipe_study::ops::registry(), &world, &overrides, &mut sink);
    let said = sink.sorted().into_iter();
    Said(said.map(|d| (d.severity, d.code.as_str().to_owned(), d.message.clone())).collect())
}

const PUBLISHED: (&str, &str) = ("published.csv", "backbone,objective,DL19\ntiny,bce,0.5\n");

/// What a required argument is where an example leaves it out, if not the declaration of its name.
const LEFT_OUT: &[(&str, &str)] = &[
    ("backbone", r#"checkpoint("m")"#),
    ("objective", "objective.bce()"),
    ("batch", "pairs(32)"),
    ("steps", "steps(1_000)"),
    ("optimiser", "adamw { learning_rate = 1e-5 }"),
    ("seed", "1"),
    ("vectors", "sparse_queries"),
];

/// The example with the required arguments that `…` stands for, in the block of each call.
fn filled(example: &str) -> String {
    let registry = xpipe_study::ops::registry();
    let mut text = example.to_owned();
    while let Some(at) = text.find('…') {
        let open = enclosing(&text[..at]).unwrap_or_else(|| panic!("`…` stands in no block: {example}"));
        let callee = text[..open].trim_end().rsplit(|c: char| c.is_whitespace()).next().unwrap();
        let op = registry.get(callee).unwrap_or_else(|| panic!("no operation `{callee}`: {example}"));
        let given = words(&text[open..at]);
        let missing = op
            .params
            .iter()
            .filter(|p| p.default.is_none() && p.derived_from.is_none() && !given.contains(p.name));
        let missing: Vec<String> = missing
            .map(|p| match LEFT_OUT.iter().find(|(name, _)| *name == p.name) {
                Some((name, value)) => format!("{name} = {value}"),
                None => p.name.to_owned(),
            })
            .collect();
        text.replace_range(at..at + '…'.len_utf8(), &missing.join(", "));
    }
    text
}

/// Where the block begins that a text ends in.
fn enclosing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().rev().find_map(|(i, c)| {
        depth += i32::from(c == '}') - i32::from(c == '{');
        (depth < 0).then_some(i)
    })
}

#[test]
fn examples_of_the_reference_are_accepted() {
    let space = Space::new("");
    let ended = space.xpipe(&["describe", "--json"]);
    let entries: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in entries.as_array().unwrap() {
        let (kind, name) = (entry["kind"].as_str().unwrap(), entry["name"].as_str().unwrap());
        let Some(example) = entry["example"].as_str() else { continue };
        let bound = match name {
            "mean" | "sd" | "min" | "max" | "all" => " for learning_rate",
            "near" => " for seed, learning_rate, backbone, objective",
            _ => "",
        };
        let text = match (kind, name) {
            ("diagnostic", _) => continue,
            ("form", "local" | "beir" | "collection") => {
                format!("dataset example: TestCollection = {example}")
            }
            ("form", "download") => format!("dataset example: Qrels = {example}"),
            ("operation", _) => format!("stage example = {example}"),
            ("constructor" | "form", _) => format!("let example{bound} = {example}"),
            ("policy", _) => format!("stage example = bm25.index {{ corpus }} {example}"),
            _ => example.to_owned(),
        };
        count += 1;
        let (said, _) = said_of(&text, &[PUBLISHED], &[], &|said| said.errors().is_empty());
        let errors = said.errors();
        if !errors.is_empty() {
            wrong.push(format!("{kind} {name}: {example}\n    {}", errors.join("\n    ")));
        }
    }
    assert!(count > 150, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The examples below a line of a page that starts with a word: text, and the settings of its command line.
fn examples<'p>(page: &'p str, heading: &str) -> (String, Vec<String>) {
    let after = page.lines().skip_while(|l| !l.starts_with(heading)).skip(1);
    let block: Vec<&'p str> =
        after.skip_while(|l| l.is_empty()).take_while(|l| l.is_empty() || l.starts_with("    ")).collect();
    let lines = || block.iter().map(|l| l.strip_prefix("    ").unwrap_or(l));
    let text: Vec<&str> = lines().filter(|l| !l.starts_with("xpipe ")).collect();
    let settings = lines().filter_map(|l| l.strip_prefix("xpipe ")?.split_once("--set '"));
    let settings = settings.filter_map(|(_, s)| Some(s.split_once('\'')?.0.to_owned())).collect();
    (text.join("\n").trim().to_owned(), settings)
}

/// Names and texts of files beside a study.
type Files = Vec<(&'static str, &'static str)>;

#[test]
fn pages_of_diagnostics_show_what_they_say() {
    let mut failed = Vec::new();
    for code in Code::ALL {
        let (wrong_files, right_files): (Files, Files) = match code {
            Code::MissingFile => (vec![], vec![("../tables/published.csv", "backbone,DL19\ntiny,0.5\n")]),
            Code::Table => (
                vec![("published.csv", "model,DL19\ntiny,0.5\n")],
                vec![("published.csv", "backbone,DL19\ntiny,0.5\n")],
            ),
            _ => (vec![("negatives.xpipe", "edition 2026\n")], vec![("negatives.xpipe", "edition 2026\n")]),
        };
        let (text, settings) = examples(code.page(), "Wrong");
        // The wrong example needs a build without models.
        if *code != Code::NotImplemented {
            let (said, text) = match code {
                Code::Edition => (check(&text, &wrong_files, &settings), text),
                _ => said_of(&filled(&text), &wrong_files, &settings, &|said| said.has(*code)),
            };
            if !said.has(*code) {
                failed.push(format!("{code}, wrong: {:?}\n{text}", said.0));
            }
        }
        let (text, settings) = examples(code.page(), "Right");
        let (said, text) = said_of(&filled(&text), &right_files, &settings, &|said| said.errors().is_empty());
        if !said.errors().is_empty() {
            failed.push(format!("{code}, right: {:?}\n{text}", said.errors()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The fenced blocks of a page that name no other language.
fn blocks(page: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let block: Vec<&str> =
                lines.by_ref().take_while(|l| !l.trim_start().starts_with("```")).collect();
            if matches!(language, "" | "xpipe") {
                out.push(block.iter().map(|l| format!("{}\n", l.get(indent..).unwrap_or(l))).collect());
            }
        }
    }
    out
}

/// Blocks of a page that are studies or items: they parse.
fn studies_in(page: &str) -> Vec<String> {
    let is_study = |text: &String| {
        let mut found = Diagnostics::new();
        let text = text.replace(", …", "").replace('…', "");
        let file = parse(FileId(0), &text, &mut found);
        !file.items.is_empty() && found.iter().all(|d| d.severity < Severity::Error)
    };
    blocks(page).into_iter().filter(is_study).collect()
}

#[test]
fn studies_of_the_read_me_are_the_files_that_it_names() {
    let page = std::fs::read_to_string(repository("README.md")).unwrap();
    let studies = studies_in(&page);
    assert!(!studies.is_empty());
    let files: Vec<String> =
        all_studies(&repository("examples")).iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    for study in studies {
        assert!(files.contains(&study), "no file of examples has this text:\n{study}");
    }
}

#[test]
fn examples_of_the_description_of_the_language_are_accepted() {
    let page = std::fs::read_to_string(repository("grammar/README.md")).unwrap();
    let studies = studies_in(&page);
    assert!(studies.len() >= 3, "{studies:?}");
    // One example a row of the table of items; two rows point to the text below it.
    let table = page.lines().skip_while(|l| *l != "| item | form | example |").skip(2);
    let rows = table.take_while(|l| l.starts_with("| "));
    let cells = rows.filter_map(|l| l.strip_suffix("` |")?.rsplit(" | `").next());
    let items: Vec<String> = cells.map(str::to_owned).collect();
    assert!(items.len() >= 10, "{items:?}");
    for example in studies.iter().chain(&items) {
        let (said, text) = said_of(&filled(example), &[PUBLISHED], &[], &|said| said.errors().is_empty());
        assert!(said.errors().is_empty(), "{:#?}\n{text}", said.errors());
    }
    for study in studies {
        let formatted = format(FileId(0), &study);
        assert_eq!(formatted.ok().as_deref(), Some(study.as_str()), "not as `xpipe fmt` writes it");
    }
}

fn all_studies(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(all_studies(&path));
        } else if path.extension().is_some_and(|e| e == "xpipe") {
            out.push(path);
        }
    }
    out
}

#[test]
fn studies_of_the_folder_examples_are_accepted() {
    let studies = all_studies(&repository("examples"));
    assert!(studies.len() >= 5, "{studies:?}");
    for path in studies {
        let said = checked(&path, &[]);
        assert!(said.errors().is_empty(), "{}: {:#?}", path.display(), said.errors());
    }
}
