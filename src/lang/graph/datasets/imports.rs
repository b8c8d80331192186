//! The import actions of a data set: which files are read as what, with which arguments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::env::{Env, Eval, Stop};
use super::super::expander::Expander;
use super::fields::Fields;
use super::{Declared, QUERY_ID, ROW};
use crate::resolve::ModuleId;
use crate::types::{Op, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Input, Value};

/// Where the files of a field come from.
pub(super) type Source<'s> = &'s dyn Fn(&str) -> Option<Value>;

/// The imports of one data set as they are made.
pub(super) struct Importing<'i> {
    declared: Declared<'i>,
    fields: &'i Fields,
    source: Source<'i>,
    /// The operations used so far.
    made: Vec<&'static str>,
}

impl Importing<'_> {
    /// The type that files declared with a type are imported as.
    pub(super) fn of(ty: &Type) -> &Type {
        if *ty == Type::Samples { &Type::Source } else { ty }
    }

    fn is_collection(&self) -> bool {
        *self.declared.ty == Type::TestCollection
    }

    /// The format, as the imports name it.
    fn format(&self) -> Value {
        match self.fields.word("format").as_deref() {
            None | Some("auto") => Value::Null,
            Some("trec_run" | "trec_qrels") => Value::str("trec"),
            Some(format) => Value::str(format),
        }
    }

    /// The field of the declaration that gives an argument of an import, if it is for that import.
    fn field_for(&self, op: &Op, argument: &'static str) -> Option<&'static str> {
        let queries = op.returns == Type::Queries;
        let texts = queries || op.returns == Type::Corpus;
        match argument {
            "source" | "format" | "queries" | "corpus" => None,
            // In a collection `id` is the documents', `query_id` the queries'.
            "id" if queries && (self.is_collection() || self.fields.given(QUERY_ID).is_some()) => {
                Some(QUERY_ID)
            }
            // In a collection `duplicates` is for its texts, and which files are read is for its documents.
            "duplicates" if self.is_collection() && !texts => None,
            "include" | "exclude" if self.is_collection() && op.returns != Type::Corpus => None,
            name => Some(name),
        }
    }
}

impl<'a> Expander<'a> {
    /// The imports of a data set whose files come from `source`.
    pub(super) fn import(&mut self, declared: Declared<'_>, fields: &Fields, source: Source<'_>) -> Eval {
        let mut importing = Importing { declared, fields, source, made: Vec::new() };
        // `queries` and `corpus` may be data sets that ids are checked against, or, in a collection, files.
        let other = |name: &str| match fields.get(name) {
            Value::Record(r) => r.get(name).cloned().unwrap_or_default(),
            v @ Value::Artifact(_) => v,
            _ => Value::Null,
        };
        let checked = [("queries", other("queries")), ("corpus", other("corpus"))];
        let value = match Importing::of(declared.ty) {
            Type::TestCollection => self.import_collection(&mut importing)?,
            ty @ (Type::Corpus | Type::Queries) => self.import_as(&mut importing, ty, &[])?,
            ty if self.registry.importer(ty).is_some() => {
                if *ty == Type::Source
                    && let Some((name, _)) = checked.iter().find(|(_, v)| *v == Value::Null)
                {
                    return Err(self.missing(name, "a dataset of triples", declared.span));
                }
                self.import_as(&mut importing, ty, &checked)?
            }
            other => return Err(self.error(no_dataset_type(other, declared.span))),
        };
        self.unread(fields, &importing.made, declared.ty)?;
        Ok(value)
    }

    fn import_collection(&mut self, importing: &mut Importing<'_>) -> Eval {
        let (declared, fields) = (importing.declared, importing.fields);
        let corpus = self.import_as(importing, &Type::Corpus, &[])?;
        let judgements = (importing.source)("qrels").unwrap_or_default();
        let judged = [("judged_by", judgements), ("judged_format", importing.format())];
        let judged = if fields.keeps_unjudged() { &[][..] } else { &judged };
        let queries = self.import_as(importing, &Type::Queries, judged)?;
        let checked = [("queries", queries.clone()), ("corpus", corpus.clone())];
        let qrels = self.import_as(importing, &Type::Qrels, &checked)?;
        self.collection(declared.label, &[corpus, queries, qrels], fields.role().as_deref(), declared.span)
    }

    /// Makes the import of one type.
    fn import_as(&mut self, importing: &mut Importing<'_>, ty: &Type, extra: &[(&str, Value)]) -> Eval {
        let Importing { declared, fields, source, .. } = *importing;
        let registry = self.registry;
        let Some((op, field)) = registry.importer(ty).and_then(|op| Some((op, op.imports?))) else {
            return Err(self.error(no_dataset_type(ty, declared.span)));
        };
        let Some(files) = source(field) else {
            if let Some((value, at)) = fields.given(field) {
                let paths = Type::Either(vec![Type::Path, Type::List(Box::new(Type::Path))]);
                return self.conform(value, &paths, at, &format!("`{field}`")).and(Err(Stop::Reported));
            }
            return Err(self.missing(field, "the dataset", declared.span));
        };
        let (files, pattern) = self.split_pattern(files, fields, fields.place(field, declared.span))?;
        let mut given = vec![("source", files), ("format", importing.format())];
        given.extend(pattern.map(|p| ("include", Value::list(vec![Value::str(&p)]))));
        for param in &op.params {
            let Some(name) = importing.field_for(op, param.name) else { continue };
            let Some((value, at)) = fields.given(name).filter(|(v, _)| *v != Value::Null) else { continue };
            given.push((param.name, self.conform(value, &param.ty, at, &format!("`{name}`"))?));
        }
        importing.made.push(op.name);
        given.extend(extra.iter().cloned());
        // Parts of a collection are listed by their member names.
        let address = match ty.collection_part().filter(|_| importing.is_collection()) {
            Some(part) => format!("{}.{part}", declared.label),
            None => declared.label.to_owned(),
        };
        let id = self.make(op.name, &given, declared.span, &address)?;
        let env = Env::at_point(ModuleId(0), &[], &[]);
        self.list(ROW, &[], &env, id);
        let made = Value::Artifact(id);
        // A part that is declared alone has the role that it declares; documents have none.
        if !importing.is_collection()
            && *declared.ty != Type::Corpus
            && let Some(role) = fields.role()
        {
            self.seal.holds(&made, declared.label, Some(&role));
        }
        Ok(made)
    }

    /// A path with `*` or `?` is its folder and a pattern for the files in it.
    fn split_pattern(&mut self, source: Value, fields: &Fields, at: Span) -> Eval<(Value, Option<String>)> {
        let files: Vec<&Path> = match &source {
            Value::List(items) => items.iter().filter_map(file_of).collect(),
            one => file_of(one).into_iter().collect(),
        };
        let Some((path, first)) = files.iter().find_map(|p| Some((*p, first_pattern(p)?))) else {
            return Ok((source, None));
        };
        let help = match (&source, fields.given("include").is_some()) {
            (Value::List(_), _) => {
                "in a list of files each is named; a pattern stands alone, or name a folder and `include`"
            }
            (_, true) => "say which files are read once: name the folder, and all patterns in `include`",
            _ => {
                let folder: PathBuf = path.components().take(first).collect();
                let rest: PathBuf = path.components().skip(first).collect();
                let folder = Value::Input(Arc::new(Input::File(folder)));
                return Ok((folder, Some(format!("./{}", rest.display()))));
            }
        };
        let message = format!("`{}` has a pattern", path.display());
        Err(self.error(Diagnostic::error(Code::OutOfRange, message, at, "a pattern").help(help)))
    }
}

/// The number of the first component with a wildcard.
fn first_pattern(path: &Path) -> Option<usize> {
    path.components().position(|c| c.as_os_str().to_str().is_some_and(|c| c.contains(['*', '?'])))
}

/// The file of an input.
fn file_of(value: &Value) -> Option<&Path> {
    let Value::Input(input) = value else { return None };
    if let Input::File(path) = &**input { Some(path) } else { None }
}

/// A type that no file is imported as.
fn no_dataset_type(ty: &Type, span: Span) -> Diagnostic {
    let message = format!("a dataset cannot be {}", ty.with_article());
    Diagnostic::error(Code::Mismatch, message, span, "declared with this type")
        .help("datasets are TestCollection, Corpus, Queries, Qrels, Run, Scores or Source")
}
