//! Everything the language knows, from the definitions that the checker uses: what `describe` prints.

use serde_json::json;

use xpipe_base::diag::{Code, Diagnostics, FileId};
use xpipe_base::task::Policy;
use xpipe_base::value::{Name, Value};
use xpipe_lang::graph::items::ITEMS;
use xpipe_lang::graph::special::{FORMS, FormParam};
use xpipe_lang::resolve::world::STD;
use xpipe_lang::syntax::ast::{Formal, Ident, Item, ItemKind, TypeExpr};
use xpipe_lang::types::{Kind, Op, Param, Registry, Type};

/// An argument as it is described.
#[derive(Clone, Debug, Default)]
pub(super) struct Argument {
    pub name: String,
    /// Its type; empty when a form takes what fits.
    pub ty: String,
    /// What holds when it is not given; `None` when it must be given.
    pub default: Option<String>,
    pub doc: String,
}

/// Something with a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// `operation`, `constructor`, …: a section of the reference.
    pub kind: &'static str,
    /// Its full name.
    pub name: String,
    pub doc: String,
    /// Raised when results for equal arguments change; of operations.
    pub version: Option<u32>,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// The type of what it gives.
    pub gives: Option<String>,
    /// More sentences.
    pub notes: Vec<String>,
    /// A line that uses it.
    pub example: Option<String>,
}

impl Entry {
    /// The first sentence about it.
    pub(super) fn brief(&self) -> &str {
        let first = self.doc.split("\n\n").next().unwrap_or_default();
        sentence(first)
    }

    /// For machines.
    pub(super) fn json(&self) -> serde_json::Value {
        let arguments: Vec<serde_json::Value> = self
            .arguments
            .iter()
            .map(|a| json!({ "name": a.name, "type": a.ty, "default": a.default, "doc": a.doc }))
            .collect();
        json!({
            "kind": self.kind, "name": self.name, "doc": self.doc, "version": self.version, "arguments": arguments,
            "gives": self.gives, "notes": self.notes, "example": self.example,
        })
    }
}

/// Every entry, by kind.
pub(super) fn entries() -> Vec<Entry> {
    let registry = xpipe_study::ops::registry();
    let mut all: Vec<Entry> = ITEMS
        .iter()
        .map(|i| Entry {
            kind: "item",
            name: i.word.to_owned(),
            doc: i.doc.to_owned(),
            arguments: i
                .fields
                .iter()
                .map(|f| Argument {
                    name: f.name.to_owned(),
                    ty: f.ty.to_owned(),
                    default: f.default.map(str::to_owned),
                    doc: f.doc.to_owned(),
                })
                .collect(),
            notes: vec![format!("Written `{}`.", i.form)],
            example: Some(i.example.to_owned()),
            ..Entry::default()
        })
        .collect();
    for kind in [Kind::Stage, Kind::Constructor] {
        all.extend(registry.iter().filter(|o| o.kind == kind).map(operation));
    }
    all.extend(FORMS.iter().map(|f| Entry {
        kind: "form",
        name: f.name.to_owned(),
        doc: f.doc.to_owned(),
        arguments: f.params.iter().map(|p| form_argument(p, &registry)).collect(),
        gives: (f.returns != "Any").then(|| f.returns.to_owned()),
        example: Some(f.example.to_owned()),
        ..Entry::default()
    }));
    all.extend(Type::all().map(|(name, ty, doc)| type_entry(name, ty, doc, &registry)));
    all.extend(STD.iter().flat_map(|(module, text)| module_entries(module, text)));
    all.push(policy());
    all.extend(Code::ALL.iter().map(|c| Entry {
        kind: "diagnostic",
        name: c.as_str().to_owned(),
        doc: paragraphs(c.page()),
        example: Some(format!("xpipe explain {}", c.as_str())),
        ..Entry::default()
    }));
    all
}

/// The first sentence of a text: up to a `. ` that ends no abbreviation.
fn sentence(text: &str) -> &str {
    const SHORT: [&str; 6] = ["al", "e.g", "i.e", "cf", "vs", "etc"];
    let ends = |n: &usize| {
        let last = text[..*n].rsplit([' ', '(']).next().unwrap_or_default();
        let initial = last.chars().count() == 1 && last.chars().all(char::is_uppercase);
        !SHORT.contains(&last) && !initial
    };
    text.match_indices(". ").map(|(n, _)| n).find(ends).map_or(text, |n| &text[..=n])
}

fn operation(op: &Op) -> Entry {
    let mut notes = Vec::new();
    let mut note = |when: bool, text: String| {
        if when {
            notes.push(text);
        }
    };
    note(op.random, "Draws at random: the same seed gives the same result.".to_owned());
    note(op.heavy, "Runs in a worker process of its own.".to_owned());
    let keys: Vec<String> = op.policy_keys.iter().map(|w| format!("`{w}`")).collect();
    note(!keys.is_empty(), format!("Reads {} of `with`.", keys.join(", ")));
    note(
        op.kind == Kind::Stage && op.run.is_none(),
        "This build checks and plans it, and cannot run it.".to_owned(),
    );
    Entry {
        kind: if op.kind == Kind::Stage { "operation" } else { "constructor" },
        name: op.name.to_owned(),
        doc: op.doc.to_owned(),
        version: (op.kind == Kind::Stage).then_some(op.version),
        arguments: op.params.iter().map(argument).collect(),
        gives: Some(op.returns.to_string()),
        notes,
        example: Some(op.example.map_or_else(|| example(op), str::to_owned)),
    }
}

fn argument(p: &Param) -> Argument {
    let given = |v: &Value| if *v == Value::Null { "absent".to_owned() } else { format!("{v:#}") };
    let default = match (p.derived_from, &p.default) {
        (Some(from), None | Some(Value::Null)) => Some(format!("that of {}", from.replace(" | ", " or "))),
        (Some(from), Some(v)) => Some(format!("that of {}, else {}", from.replace(" | ", " or "), given(v))),
        (None, v) => v.as_ref().map(given),
    };
    Argument { name: p.name.to_owned(), ty: p.ty.to_string(), default, doc: p.doc.to_owned() }
}

/// An argument of a form; where it is passed on to imports, as the first of them documents it.
fn form_argument(param: &FormParam, registry: &Registry) -> Argument {
    let imported = registry.imports().find_map(|op| op.param(param.name)).filter(|_| param.ty.is_empty());
    let mut argument = imported.map_or_else(
        || Argument {
            name: param.name.to_owned(),
            ty: param.ty.to_owned(),
            default: param.default.map(str::to_owned),
            doc: param.doc.to_owned(),
        },
        argument,
    );
    if let (true, Some(ty)) = (param.ty.is_empty(), param.value_type(registry)) {
        argument.ty = ty.to_string();
    }
    argument
}

/// A line that gives what must be given.
fn example(op: &Op) -> String {
    let stage = op.kind == Kind::Stage;
    let needed = |p: &&Param| p.default.is_none() && p.derived_from.is_none();
    let mut args: Vec<String> = op
        .params
        .iter()
        .filter(needed)
        .map(|p| match sample(&p.ty) {
            Some(value) => format!("{} = {value}", p.name),
            None if stage => p.name.to_owned(),
            None => format!("{} = {}", p.name, p.name),
        })
        .collect();
    if args.is_empty() && !stage {
        let shown = |p: &&Param| p.default.as_ref().is_some_and(|v| *v != Value::Null);
        let first = op.params.iter().find(shown);
        args.extend(first.and_then(|p| p.default.as_ref().map(|v| format!("{} = {v:#}", p.name))));
    }
    match stage {
        true if args.is_empty() => format!("{} {{}}", op.name),
        true => format!("{} {{ {} }}", op.name, args.join(", ")),
        false => format!("{}({})", op.name, args.join(", ")),
    }
}

/// A value of a type as studies write it; `None` where they would name a result.
fn sample(ty: &Type) -> Option<String> {
    let fixed = match ty {
        Type::Bool => "true",
        Type::Int => "10",
        Type::Float => "0.5",
        Type::String => "\"…\"",
        Type::Path => "\"folder/file\"",
        Type::Program => "\"tool.py\"",
        Type::Bytes => "16GiB",
        Type::Duration => "2h",
        Type::Percent => "10%",
        Type::Budget => "steps(1_000)",
        Type::Metric => "ndcg(10)",
        Type::Shape => "pairs()",
        Type::Batch => "pairs(32)",
        Type::Objective => "objective.infonce()",
        Type::Optimiser => "adamw { learning_rate = 1e-5 }",
        Type::Schedule => "linear(warmup = 10%)",
        Type::Word(words) => words.first().copied().unwrap_or_default(),
        Type::List(inner) => return sample(inner).map(|s| format!("[{s}]")),
        Type::Either(types) => return types.iter().find_map(sample),
        _ => return None,
    };
    Some(fixed.to_owned())
}

fn type_entry(name: &str, ty: &Type, doc: &str, registry: &Registry) -> Entry {
    let mut notes = Vec::new();
    // `Any` fits everything and says nothing.
    if *ty != Type::Any {
        let made: Vec<String> =
            registry.iter().filter(|o| o.returns == *ty).map(|o| format!("`{}`", o.name)).collect();
        let taken: Vec<String> = registry
            .iter()
            .filter(|o| o.params.iter().any(|p| mentions(&p.ty, ty)))
            .map(|o| format!("`{}`", o.name))
            .collect();
        if !made.is_empty() {
            notes.push(format!("Made by {}.", made.join(", ")));
        }
        if !made.is_empty() && !taken.is_empty() {
            notes.push(format!("Taken by {}.", taken.join(", ")));
        }
    }
    Entry { kind: "type", name: name.to_owned(), doc: doc.to_owned(), notes, ..Entry::default() }
}

fn mentions(ty: &Type, wanted: &Type) -> bool {
    match ty {
        Type::List(inner) => mentions(inner, wanted),
        Type::Either(types) => types.iter().any(|t| mentions(t, wanted)),
        t => t == wanted,
    }
}

fn policy() -> Entry {
    Entry {
        kind: "policy",
        name: "with".to_owned(),
        doc: "How a stage runs, written after its call. No field changes a result or a key.".to_owned(),
        arguments: Policy::FIELDS
            .iter()
            .map(|field| Argument {
                name: field.name.to_owned(),
                ty: field.ty.to_owned(),
                default: Some("absent".to_owned()),
                doc: field.doc().to_owned(),
            })
            .collect(),
        example: Some("with { gpu = 1, vram = 16GiB, retries = 2 }".to_owned()),
        ..Entry::default()
    }
}

/// What a module of std declares.
fn module_entries(module: &str, text: &str) -> Vec<Entry> {
    let file = xpipe_lang::syntax::parse(FileId(0), text, &mut Diagnostics::new());
    file.items.iter().filter_map(|item| declared(module, item)).collect()
}

fn declared(module: &str, item: &Item) -> Option<Entry> {
    let doc = item.docs.join(" ");
    let full = |name: &Ident| format!("std.{module}.{}", name.name);
    let using = |name: &Ident| Some(format!("use std.{module} {{ {} }}", name.name));
    match &item.kind {
        ItemKind::Dataset { name, ty, .. } => Some(Entry {
            kind: "data set",
            name: full(name),
            doc,
            gives: Some(type_text(ty)),
            example: using(name),
            ..Entry::default()
        }),
        ItemKind::Let(l) => Some(Entry {
            kind: "value of std",
            name: full(&l.name),
            doc,
            gives: l.ty.as_ref().map(type_text),
            example: using(&l.name),
            ..Entry::default()
        }),
        ItemKind::Def(d) => Some(Entry {
            kind: "def of std",
            name: full(&d.name),
            doc,
            arguments: d.formals.iter().map(|f| formal(f, text_of(module))).collect(),
            gives: Some(type_text(&d.returns)),
            example: using(&d.name),
            ..Entry::default()
        }),
        _ => None,
    }
}

fn text_of(module: &str) -> &'static str {
    STD.iter().find(|(name, _)| *name == module).map_or("", |(_, text)| text)
}

fn formal(f: &Formal, text: &str) -> Argument {
    let written = |e: &xpipe_lang::syntax::ast::Expr| {
        text.get(e.span.start as usize..e.span.end as usize).unwrap_or_default().to_owned()
    };
    Argument {
        name: f.name.name.to_string(),
        ty: type_text(&f.ty),
        default: f.default.as_ref().map(written),
        doc: String::new(),
    }
}

fn type_text(ty: &TypeExpr) -> String {
    let args: Vec<String> = ty.args.iter().map(type_text).collect();
    let name: &Name = &ty.name.name;
    if args.is_empty() { name.to_string() } else { format!("{name}<{}>", args.join(", ")) }
}

/// The paragraphs of a page up to its examples, each on one line.
fn paragraphs(page: &str) -> String {
    let words = page.split("\n\n").take_while(|p| !p.trim_end().ends_with(':') && !p.starts_with("    "));
    words.map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_described_and_every_name_is_one() {
        let all = entries();
        let mut seen = std::collections::BTreeSet::new();
        for e in &all {
            assert!(seen.insert((e.kind, e.name.clone())), "{} twice", e.name);
            // `with` is its own section; types and forms have no type of what they give.
            assert!(!e.doc.is_empty() || e.kind == "value of std", "{} has no words", e.name);
            for a in
                e.arguments.iter().filter(|_| matches!(e.kind, "operation" | "constructor" | "form" | "item"))
            {
                assert!(!a.doc.is_empty() && !a.ty.is_empty(), "{}: {}", e.name, a.name);
            }
        }
        let count = |kind| all.iter().filter(|e| e.kind == kind).count();
        let registry = xpipe_study::ops::registry();
        assert_eq!(count("operation") + count("constructor"), registry.iter().count());
        assert_eq!(count("diagnostic"), Code::ALL.len());
        assert_eq!(count("type"), Type::names().count());
        assert!(count("data set") > 40 && count("def of std") >= 2);
    }

    #[test]
    fn a_first_sentence_ends_at_no_abbreviation() {
        assert_eq!(
            sentence("MarginMSE of Hofstätter et al. (2020). More."),
            "MarginMSE of Hofstätter et al. (2020)."
        );
        assert_eq!(sentence("By S. Robertson, e.g. in Okapi. More."), "By S. Robertson, e.g. in Okapi.");
        assert_eq!(sentence("One"), "One");
    }

    /// What examples name, declared. A name stands for a value of the type that its argument has.
    const DECLARED: &str = r#"edition 2026
dataset tests: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "r.tsv", role = test }
dataset dev: TestCollection = local { docs = "d2.jsonl", queries = "q2.jsonl", qrels = "r2.tsv", role = validation }
dataset given: TestCollection = local { docs = "d2.jsonl", queries = "q3.jsonl", qrels = "r3.tsv", role = train }
dataset docs: Corpus = local { docs = "d.jsonl" }
dataset topics: Queries = local { queries = "q.jsonl" }
dataset judged: Qrels = local { qrels = "r.tsv" }
dataset triples: Source = local { triples = "t.tsv", queries = given.queries, corpus = given.corpus }
dataset scored: Scores = local { scores = "s.tsv", queries = given.queries, corpus = given.corpus }
axis seed = [1, 2]
axis learning_rate = [1e-5, 2e-5]
axis system: String = { bm25 = "BM25", both = "both" }
axis backbone: Backbone = { tiny = checkpoint("m"), small = checkpoint("m2") }
axis objective: Objective = { bce = objective.bce() }
let seeds = [1, 2]
let corpus = given.corpus
let queries = given.queries
let qrels = given.qrels
let source = candidates { run, qrels }
let model = checkpoint("m")
let published = csv("published.csv", key = [backbone, objective])
stage index = bm25.index { corpus }
stage run = bm25.search { index, queries }
stage second = bm25.search { index, queries, depth = 10 }
stage data = data.samples { source, shape = pairs(), seed = 1 }
stage teacher = score.cross_encoder { model, run }
stage second_teacher = score.cross_encoder { model, run, depth = 10 }
stage sparse_documents = sparse.encode { model, corpus }
stage sparse_queries = sparse.encode { model, queries }
stage postings = sparse.index { vectors = sparse_documents }
stage dense_documents = dense.encode { model, corpus }
stage dense_queries = dense.encode { model, queries }
stage made = exec { program = "self:rust-docs", gives = "TestCollection" }
stage found for seed, learning_rate = bm25.search { index, queries, depth = 10 + seed, k1 = learning_rate }
stage scores for seed, learning_rate = evaluate { run = found, qrels, metrics = [ndcg(10)] }
"#;

    /// Checks a text as `xpipe check` does, in a folder with files of the names that [`DECLARED`] uses.
    fn check(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let names = "d.jsonl q.jsonl r.tsv d2.jsonl q2.jsonl r2.tsv q3.jsonl r3.tsv s.tsv t.tsv docs.jsonl \
                     queries.jsonl qrels.tsv";
        for name in names.split_whitespace() {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::write(dir.path().join("published.csv"), "backbone,objective,DL19\ntiny,bce,0.5\n").unwrap();
        let path = dir.path().join("s.xpipe");
        std::fs::write(&path, text).unwrap();
        let world = xpipe_lang::resolve::Disk::default();
        let (mut sources, mut sink) = Default::default();
        let study = xpipe_lang::resolve::load(&path, &world, &mut sources, &mut sink).unwrap();
        xpipe_lang::graph::expand(
            &study,
            &xpipe_study::ops::registry(),
            &world,
            &Default::default(),
            &mut sink,
        );
        sink.sorted().iter().map(|d| d.message.clone()).collect()
    }

    #[test]
    fn examples_are_accepted_by_check() {
        let mut wrong = Vec::new();
        for e in entries() {
            let Some(example) = &e.example else { continue };
            let bound = match e.name.as_str() {
                "mean" | "sd" | "min" | "max" | "all" => " for learning_rate",
                "near" => " for seed, learning_rate, backbone, objective",
                _ => "",
            };
            let line = match (e.kind, e.name.as_str()) {
                ("form", "local" | "beir" | "collection") => {
                    format!("dataset example: TestCollection = {example}")
                }
                ("form", "download") => format!("dataset example: Qrels = {example}"),
                ("operation", _) => format!("stage example = {example}"),
                ("constructor" | "form", _) => format!("let example{bound} = {example}"),
                _ => continue,
            };
            let told = check(&format!("{DECLARED}{line}\n"));
            if !told.is_empty() {
                wrong.push(format!("{example}: {}", told.join("; ")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn arguments_say_what_holds_without_them() {
        let all = entries();
        let of = |name: &str| all.iter().find(|e| e.name == name).unwrap().clone();
        let rerank = of("rerank.cross_encoder");
        let default = |n: &str| rerank.arguments.iter().find(|a| a.name == n).unwrap().default.clone();
        assert_eq!(default("model"), None);
        assert_eq!(default("precision").as_deref(), Some("fp32"));
        assert_eq!(default("corpus").as_deref(), Some("that of run"));
        assert_eq!(
            default("input").as_deref(),
            Some("that of model, else query_document(document = 256, query = 32)")
        );
        assert_eq!(rerank.example.as_deref(), Some("rerank.cross_encoder { model, run }"));
        let bm25 = of("std.retrieval.bm25_run");
        assert_eq!(bm25.gives.as_deref(), Some("Run"));
        assert_eq!(bm25.arguments[2].default.as_deref(), Some("1_000"));
    }
}
