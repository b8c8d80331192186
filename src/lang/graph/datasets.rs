//! Datasets: what `local`, `download`, `beir` and `collection` come to, as import actions.

use std::sync::Arc;

use indexmap::IndexMap;

use super::call::Callee;
use super::conform::an;
use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use crate::resolve::ModuleId;
use crate::syntax::ast::{Arg, Expr, ExprKind, Ident};
use crate::types::{Registry, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::task::Action;
use xpipe_base::value::{ActionId, Checksum, Input, Record, Value};

/// The row that lists imports.
pub(super) const ROW: &str = "datasets";

/// The operations that read files of a data set.
pub const IMPORTS: [&str; 6] =
    ["import.corpus", "import.queries", "import.qrels", "import.run", "import.scores", "import.triples"];

/// The argument of a collection that names the ids of its queries.
const QUERY_ID: &str = "query_id";

/// The argument of a collection that says what becomes of queries without a judgement.
const UNJUDGED: &str = "unjudged";

/// The forms that declare a data set.
const DECLARING: [&str; 4] = ["local", "download", "beir", "collection"];

/// The type of what an action makes; for external programs it depends on the arguments.
pub(super) fn result_type(registry: &Registry, action: &Action) -> Type {
    let text = |name: &str| action.args.get(name).and_then(Value::as_str).unwrap_or_default();
    match action.op {
        "exec" => Type::parse(text("gives")).unwrap_or(Type::Any),
        "exec.part" => match text("part").split('.').next() {
            Some("corpus") => Type::Corpus,
            Some("queries") => Type::Queries,
            Some("qrels") => Type::Qrels,
            _ => Type::Any,
        },
        op => registry.get(op).map_or(Type::Any, |o| o.returns.clone()),
    }
}

/// The fields of a dataset's call, evaluated.
struct Fields {
    values: IndexMap<String, (Value, Span)>,
}

impl Fields {
    fn get(&self, name: &str) -> Value {
        self.values.get(name).map(|(v, _)| v.clone()).unwrap_or_default()
    }

    fn word(&self, name: &str) -> Option<String> {
        self.get(name).as_str().map(str::to_owned)
    }
}

/// Where one file of a dataset comes from.
type Source<'s> = &'s dyn Fn(&str) -> Option<Value>;

impl<'a> Expander<'a> {
    pub(super) fn dataset_value(
        &mut self,
        label: &str,
        name: &'a Ident,
        ty: &Type,
        value: &'a Expr,
        module: ModuleId,
    ) -> Eval {
        let mut env = Env::at_point(module, &[], &[]);
        env.row = ROW.into();
        let ExprKind::Call { path, args, .. } = &value.kind else {
            let v = self.eval(value, Some(ty), &env)?;
            return self.conform(v, ty, value.span, &format!("dataset `{}`", name.name));
        };
        let Callee::Special(kind) = self.callee(path, module)? else {
            let v = self.eval(value, Some(ty), &env)?;
            return self.conform(v, ty, value.span, &format!("dataset `{}`", name.name));
        };
        let Some(form) = super::special::form(kind).filter(|f| DECLARING.contains(&f.name)) else {
            return Err(self.error(
                Diagnostic::error(
                    Code::Mismatch,
                    format!("`{kind}` does not declare a dataset"),
                    value.span,
                    "not a dataset",
                )
                .help("write `local { … }`, `download { … }`, `collection { … }` or `beir(\"name\")`"),
            ));
        };
        let mut fields = self.dataset_fields(form, args, &env)?;
        let role = self.role(&fields)?;
        match kind {
            "local" => {
                let file = |e: &Self, n: &str| match fields.get(n) {
                    Value::Str(text) => Some(Value::Input(Arc::new(Input::File(e.file_path(&text, &env))))),
                    Value::List(items) if !items.is_empty() => items
                        .iter()
                        .map(|v| Some(Value::Input(Arc::new(Input::File(e.file_path(v.as_str()?, &env))))))
                        .collect::<Option<Vec<_>>>()
                        .map(Value::list),
                    _ => None,
                };
                let sources: IndexMap<&str, Option<Value>> =
                    ["docs", "queries", "qrels", "run", "scores", "triples"]
                        .into_iter()
                        .map(|n| (n, file(self, n)))
                        .collect();
                let from = |n: &str| sources.get(n).cloned().flatten();
                self.import(label, ty, &fields, &role, value.span, &from)
            }
            "download" => {
                let Some(url) = fields.word("url") else {
                    return Err(self.missing("url", "download", value.span));
                };
                let (url, digest) = self.remote(url, &fields, value.span)?;
                let member = fields.word("member");
                let url = url.as_str().into();
                let input = Value::Input(Arc::new(Input::Remote { url, digest, member }));
                let from = |n: &str| (n == primary(ty)).then(|| input.clone());
                self.import(label, ty, &fields, &role, value.span, &from)
            }
            "beir" => {
                let Some(set) = fields.word("name") else {
                    return Err(self.missing("name", "beir", value.span));
                };
                let split = fields.word("split").unwrap_or_else(|| "test".to_owned());
                // As BEIR evaluates every one of its sets (`ignore_identical_ids`).
                fields.values.entry("own".to_owned()).or_insert_with(|| (Value::str("drop"), value.span));
                if let Some((which, at)) = fields.values.shift_remove("queries") {
                    let keep = if which.as_str() == Some("all") { "keep" } else { "drop" };
                    fields.values.insert(UNJUDGED.to_owned(), (Value::str(keep), at));
                }
                // The twelve forums of CQADupStack are folders of one archive.
                let archive = set.split('/').next().unwrap_or_default();
                let url = fields.word("url").unwrap_or_else(|| format!("{BEIR}{archive}.zip"));
                let (url, digest) = self.remote(url, &fields, value.span)?;
                let from = move |n: &str| {
                    let member = match n {
                        "docs" => format!("{set}/corpus.jsonl"),
                        "queries" => format!("{set}/queries.jsonl"),
                        "qrels" => format!("{set}/qrels/{split}.tsv"),
                        _ => return None,
                    };
                    Some(Value::Input(Arc::new(Input::Remote {
                        url: url.as_str().into(),
                        digest: digest.clone(),
                        member: Some(member),
                    })))
                };
                self.import(label, ty, &fields, &role, value.span, &from)
            }
            _ => {
                let mut parts = Vec::new();
                for (part, wanted) in
                    [("corpus", Type::Corpus), ("queries", Type::Queries), ("qrels", Type::Qrels)]
                {
                    let Some((v, span)) = fields.values.get(part).cloned() else {
                        return Err(self.missing(part, "collection", value.span));
                    };
                    parts.push(self.conform(v, &wanted, span, &format!("`{part}`"))?);
                }
                parts[1] = self.queries_of(label, &parts[1], &parts[2], &fields, value.span)?;
                let said = fields.word("role").is_some();
                self.collection(label, &parts, (&role, said), value.span)
            }
        }
    }

    fn dataset_fields(
        &mut self,
        form: &super::special::Form,
        args: &'a [Arg],
        env: &Env<'a>,
    ) -> Eval<Fields> {
        let (kind, known) = (form.name, form.names());
        let mut values = IndexMap::new();
        let mut stop = None;
        for (i, arg) in args.iter().enumerate() {
            let name = match &arg.name {
                Some(n) if known.contains(&&*n.name) => n.name.to_string(),
                Some(n) => {
                    stop = Some(self.unknown_argument(n, kind, &known));
                    continue;
                }
                None if i == 0 => known[0].to_owned(),
                None => {
                    stop = Some(self.too_many(arg, kind, 1));
                    continue;
                }
            };
            let words = match name.as_str() {
                "queries" if kind == "beir" => Type::parse("'judged' | 'all'"),
                UNJUDGED => Type::parse("'drop' | 'keep'"),
                "role" => Type::parse("'train' | 'validation' | 'test'"),
                // What each kind of data set takes is checked with its import.
                "duplicates" => Type::parse("'error' | 'first' | 'drop' | 'max'"),
                "format" => Type::parse(
                    "'auto' | 'jsonl' | 'tsv' | 'csv' | 'trec' | 'html' | 'topics' | 'beir' | 'trec_run' | 'trec_qrels' | 'triples' | 'scored_triples' | 'parquet' | 'msmarco'",
                ),
                other => self.reading_type(other),
            };
            let value = self.eval(&arg.value, words.as_ref(), env).and_then(|v| match (&words, &v) {
                (Some(t), Value::Str(_)) if name == "role" || name == UNJUDGED || name == "own" => {
                    self.conform(v, t, arg.value.span, &format!("`{name}`"))
                }
                (Some(t), _) if name == "queries" && kind == "beir" => {
                    self.conform(v, t, arg.value.span, &format!("`{name}`"))
                }
                _ => Ok(v),
            });
            match value {
                Ok(v) => {
                    values.insert(name, (v, arg.value.span));
                }
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or(Ok(Fields { values }), Err)
    }

    /// Whether a collection has queries that its judgements do not name.
    fn keeps_unjudged(fields: &Fields) -> bool {
        fields.word(UNJUDGED).as_deref() == Some("keep")
    }

    /// The queries of a collection that is put together: of an import those that the judgements name. What a stage made is
    /// taken as it is.
    fn queries_of(
        &mut self,
        label: &str,
        queries: &Value,
        qrels: &Value,
        fields: &Fields,
        span: Span,
    ) -> Eval {
        let import = |e: &Self, v: &Value, op: &str| match v {
            Value::Artifact(id) => Some(e.actions.get(*id)).filter(|a| a.op == op).map(|a| a.args.clone()),
            _ => None,
        };
        let read = import(self, queries, "import.queries").zip(import(self, qrels, "import.qrels"));
        let Some((of_queries, of_qrels)) = read else {
            for name in [UNJUDGED, "own"] {
                if let Some((_, at)) = fields.values.get(name) {
                    let message = format!("`{name}` changes nothing here");
                    let note = "the queries or judgements are made by a stage";
                    let d = Diagnostic::error(Code::UnknownArgument, message, *at, note);
                    return Err(self.error(d.help("leave it out: such queries are taken as they are")));
                }
            }
            return Ok(queries.clone());
        };
        let changed = ["judged_by", "judged_format", "own"];
        let mut given: Vec<(&str, Value)> = of_queries
            .iter()
            .filter(|(n, _)| !changed.contains(&&**n))
            .map(|(n, v)| (&**n, v.clone()))
            .collect();
        if !Self::keeps_unjudged(fields) {
            for (name, of) in [("judged_by", "source"), ("judged_format", "format")] {
                given.push((name, of_qrels.get(of).cloned().unwrap_or_default()));
            }
        }
        let own = fields.values.get("own").map(|(v, _)| v.clone());
        given.push(("own", own.or_else(|| of_queries.get("own").cloned()).unwrap_or_default()));
        let id = self.make("import.queries", &given, span, &format!("{label}.queries"))?;
        let env = Env::at_point(ModuleId(0), &[], &[]);
        self.list(ROW, &[], &env, id);
        Ok(Value::Artifact(id))
    }

    /// The type of an argument that says how files are read.
    fn reading_type(&self, name: &str) -> Option<Type> {
        let params = IMPORTS.iter().filter_map(|op| self.registry.get(op)?.param(name));
        params.map(|p| p.ty.clone()).next()
    }

    /// Arguments that say how files are read, and that no import of this data set reads.
    fn unread(&mut self, fields: &Fields, made: &[&str], ty: &Type) -> Eval<()> {
        let reads =
            |e: &Self, op: &str, name: &str| e.registry.get(op).is_some_and(|o| o.param(name).is_some());
        for (name, (_, span)) in &fields.values {
            let reading =
                [QUERY_ID, UNJUDGED].contains(&&**name) || IMPORTS.iter().any(|op| reads(self, op, name));
            let used = match name.as_str() {
                "queries" | "corpus" | "format" => true,
                UNJUDGED => *ty == Type::TestCollection,
                QUERY_ID => made.contains(&"import.queries"),
                _ => made.iter().any(|op| reads(self, op, name)),
            };
            if reading && !used {
                let mut takers: Vec<&str> =
                    IMPORTS.iter().copied().filter(|op| reads(self, op, name)).collect();
                takers.dedup();
                let message = format!("`{name}` changes nothing in {}", an(ty));
                let d = Diagnostic::error(
                    Code::UnknownArgument,
                    message,
                    *span,
                    "read by no file of this data set",
                );
                let takers = if takers.is_empty() { "collections".to_owned() } else { takers.join(", ") };
                return Err(self.error(d.help(format!("it is for {takers}; leave it out here"))));
            }
        }
        Ok(())
    }

    /// The address and digest of a download, as far as the text tells whether they are right.
    fn remote(&mut self, url: String, fields: &Fields, span: Span) -> Eval<(String, Option<String>)> {
        let at = |name: &str| fields.values.get(name).map_or(span, |(_, at)| *at);
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if host.is_none_or(|h| h.is_empty() || h.starts_with('/')) {
            let help = "write `https://host/path`, or declare a file of this machine with `local { … }`";
            let message = format!("`{url}` is not an address");
            let d = Diagnostic::error(Code::OutOfRange, message, at("url"), "not an address");
            return Err(self.error(d.help(help)));
        }
        let digest = match fields.word("digest").map(|text| Checksum::parse(&text)) {
            None => None,
            Some(Ok(digest)) => Some(digest.to_string()),
            Some(Err(why)) => {
                let d = Diagnostic::error(Code::OutOfRange, why, at("digest"), "not a digest");
                let help = "write it as its publisher states it, or leave it out: then the first download is pinned in \
                            the lock file";
                return Err(self.error(d.help(help)));
            }
        };
        Ok((url, digest))
    }

    fn role(&mut self, fields: &Fields) -> Eval<String> {
        Ok(fields.word("role").unwrap_or_else(|| "test".to_owned()))
    }

    fn import(
        &mut self,
        label: &str,
        ty: &Type,
        fields: &Fields,
        role: &str,
        span: Span,
        from: Source<'_>,
    ) -> Eval {
        // `queries` and `corpus` may be datasets that ids are checked against, or, in a collection, files.
        let other = |n: &str| match fields.get(n) {
            v @ (Value::Artifact(_) | Value::Record(_)) => v,
            _ => Value::Null,
        };
        let format = match fields.word("format").as_deref() {
            None | Some("auto") => Value::Null,
            Some("trec_run" | "trec_qrels") => Value::str("trec"),
            Some(f) => Value::str(f),
        };
        let made = std::cell::RefCell::new(Vec::new());
        let one = |e: &mut Self, op: &str, file: &str, extra: &[(&str, Value)]| -> Eval {
            let Some(source) = from(file) else {
                if let Some((value, at)) = fields.values.get(file).cloned() {
                    let paths = Type::Either(vec![Type::Path, Type::List(Box::new(Type::Path))]);
                    return e.conform(value, &paths, at, &format!("`{file}`")).and(Err(Stop::Reported));
                }
                return Err(e.missing(file, "the dataset", span));
            };
            let at = fields.values.get(file).map_or(span, |(_, at)| *at);
            let (source, pattern) = e.split_pattern(source, fields, at)?;
            let mut given = vec![("source", source), ("format", format.clone())];
            given.extend(pattern.map(|p| ("include", Value::list(vec![Value::str(&p)]))));
            for param in e.registry.get(op).map_or(&[][..], |o| &o.params) {
                // In a collection `id` is the documents', `query_id` the queries'.
                let name = match (param.name, op, ty) {
                    ("source" | "format" | "queries" | "corpus", ..) => continue,
                    ("id", "import.queries", Type::TestCollection) => QUERY_ID,
                    ("id", "import.queries", _) if fields.values.contains_key(QUERY_ID) => QUERY_ID,
                    (name, ..) => name,
                };
                let Some((value, at)) = fields.values.get(name).cloned() else { continue };
                if value == Value::Null {
                    continue;
                }
                // Of a collection, `duplicates` is for its texts, and which files are read is for its documents.
                let whole = matches!(ty, Type::TestCollection);
                if whole && name == "duplicates" && !is_texts(op)
                    || whole && matches!(name, "include" | "exclude") && op != "import.corpus"
                {
                    continue;
                }
                given.push((param.name, e.conform(value, &param.ty, at, &format!("`{name}`"))?));
            }
            made.borrow_mut().push(IMPORTS.iter().copied().find(|i| *i == op).unwrap_or_default());
            given.extend(extra.iter().cloned());
            // Parts of a collection are told apart by the names of its members.
            let address = match (ty, op.strip_prefix("import.")) {
                (Type::TestCollection, Some(part)) => format!("{label}.{part}"),
                _ => label.to_owned(),
            };
            let id = e.make(op, &given, span, &address)?;
            let env = Env::at_point(ModuleId(0), &[], &[]);
            e.list(ROW, &[], &env, id);
            let made = Value::Artifact(id);
            // A part that is declared alone has a role when it says so; documents have none.
            if !matches!(ty, Type::TestCollection | Type::Corpus)
                && let Some(role) = fields.word("role")
            {
                e.seal.holds(&made, label, Some(&role));
            }
            Ok(made)
        };
        let texts = |v: Value, part: &str| match v {
            Value::Record(r) => r.get(part).cloned().unwrap_or_default(),
            v => v,
        };
        let queries = texts(other("queries"), "queries");
        let corpus = texts(other("corpus"), "corpus");
        let value = match ty {
            Type::Corpus => one(self, "import.corpus", "docs", &[]),
            Type::Queries => one(self, "import.queries", "queries", &[]),
            Type::Qrels => one(self, "import.qrels", "qrels", &[("queries", queries), ("corpus", corpus)]),
            Type::Run => one(self, "import.run", "run", &[("queries", queries), ("corpus", corpus)]),
            Type::Scores => one(self, "import.scores", "scores", &[("queries", queries), ("corpus", corpus)]),
            Type::Source | Type::Samples => {
                for (n, v) in [("queries", &queries), ("corpus", &corpus)] {
                    if *v == Value::Null {
                        return Err(self.missing(n, "a dataset of triples", span));
                    }
                }
                one(self, "import.triples", "triples", &[("queries", queries), ("corpus", corpus)])
            }
            Type::TestCollection => {
                let corpus = one(self, "import.corpus", "docs", &[])?;
                let judged =
                    [("judged_by", from("qrels").unwrap_or_default()), ("judged_format", format.clone())];
                let judged = if Self::keeps_unjudged(fields) { &[][..] } else { &judged };
                let queries = one(self, "import.queries", "queries", judged)?;
                let checked = [("queries", queries.clone()), ("corpus", corpus.clone())];
                let qrels = one(self, "import.qrels", "qrels", &checked)?;
                self.collection(label, &[corpus, queries, qrels], (role, fields.word("role").is_some()), span)
            }
            other => Err(self.error(
                Diagnostic::error(
                    Code::Mismatch,
                    format!("a dataset cannot be {}", an(other)),
                    span,
                    "declared with this type",
                )
                .help("datasets are TestCollection, Corpus, Queries, Qrels, Run, Scores or Source"),
            )),
        }?;
        self.unread(fields, &made.into_inner(), ty)?;
        Ok(value)
    }

    /// A path with `*` or `?` is its folder and a pattern for the files in it.
    fn split_pattern(&mut self, source: Value, fields: &Fields, at: Span) -> Eval<(Value, Option<String>)> {
        let wild = |path: &std::path::Path| {
            path.components().position(|c| c.as_os_str().to_str().is_some_and(|c| c.contains(['*', '?'])))
        };
        let files: Vec<&std::path::Path> = match &source {
            Value::List(items) => items.iter().filter_map(file_of).collect(),
            one => file_of(one).into_iter().collect(),
        };
        let Some((path, first)) = files.iter().find_map(|p| Some((*p, wild(p)?))) else {
            return Ok((source, None));
        };
        let help = match (&source, fields.values.contains_key("include")) {
            (Value::List(_), _) => {
                "in a list of files each is named; a pattern stands alone, or name a folder and `include`"
            }
            (_, true) => "say which files are read once: name the folder, and all patterns in `include`",
            _ => {
                let folder: std::path::PathBuf = path.components().take(first).collect();
                let rest: std::path::PathBuf = path.components().skip(first).collect();
                let folder = Value::Input(Arc::new(Input::File(folder)));
                return Ok((folder, Some(format!("./{}", rest.display()))));
            }
        };
        let message = format!("`{}` has a pattern", path.display());
        let d = Diagnostic::error(Code::OutOfRange, message, at, "a pattern");
        Err(self.error(d.help(help)))
    }

    /// `said`: whether the role is written in the study.
    fn collection(&mut self, label: &str, parts: &[Value], (role, said): (&str, bool), span: Span) -> Eval {
        if let Some(Value::Artifact(qrels)) = parts.get(2) {
            match self.roles.get(qrels).cloned() {
                Some((first, other, at)) if other != role => {
                    return Err(self.error(
                        Diagnostic::error(
                            Code::RolesOverlap,
                            format!("`{label}` and `{first}` are the same collection in two roles"),
                            span,
                            format!("role {role}"),
                        )
                        .related(at, format!("role {other}"))
                        .help("a collection is for training, validation or testing, not for two of them"),
                    ));
                }
                Some(_) => {}
                None => {
                    self.roles.insert(*qrels, (label.to_owned(), role.to_owned(), span));
                }
            }
        }
        let [corpus, queries, qrels] = parts else { return Err(Stop::Reported) };
        self.seal.holds(queries, label, said.then_some(role));
        self.seal.holds(qrels, label, said.then_some(role));
        Ok(Value::Record(Record::of([
            ("corpus", corpus.clone()),
            ("queries", queries.clone()),
            ("qrels", qrels.clone()),
            ("role", Value::str(role)),
            ("name", Value::str(label)),
        ])))
    }

    /// `docs.corpus`, `docs.qrels_train` of a collection that an external program gives.
    pub(super) fn collection_part(&mut self, id: ActionId, name: &Ident) -> Eval {
        let part = match name.name.split_once('_') {
            Some(("qrels", split)) => format!("qrels.{split}"),
            _ => name.name.to_string(),
        };
        if !["corpus", "queries", "qrels"].contains(&part.split('.').next().unwrap_or_default()) {
            return Err(self.no_member(name, "a collection", &["corpus", "queries", "qrels", "qrels_SPLIT"]));
        }
        let address = format!("{}.{}", self.actions.get(id).address, name.name);
        let made = self.make(
            "exec.part",
            &[("of", Value::Artifact(id)), ("part", Value::str(&part))],
            name.span,
            &address,
        )?;
        let env = Env::at_point(ModuleId(0), &[], &[]);
        self.list(ROW, &[], &env, made);
        Ok(Value::Artifact(made))
    }
}

/// The file of an input.
fn file_of(value: &Value) -> Option<&std::path::Path> {
    let Value::Input(input) = value else { return None };
    if let Input::File(path) = &**input { Some(path) } else { None }
}

/// Whether an import reads texts.
fn is_texts(op: &str) -> bool {
    matches!(op, "import.corpus" | "import.queries")
}

/// The file that a dataset of one type is.
fn primary(ty: &Type) -> &'static str {
    match ty {
        Type::Corpus => "docs",
        Type::Queries => "queries",
        Type::Qrels => "qrels",
        Type::Run => "run",
        Type::Scores => "scores",
        _ => "triples",
    }
}

/// Where BEIR's archives lie.
const BEIR: &str = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/";
