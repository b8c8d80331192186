//! Data sets: what `local`, `download`, `beir` and `collection` become, as import actions.

mod collection;
mod fields;
mod imports;

use std::sync::Arc;

use fields::Fields;
use imports::Importing;
use indexmap::IndexMap;

use super::call::Callee;
use super::env::{Env, Eval};
use super::expander::Expander;
use super::special::{self, Form, FormKind};
use crate::resolve::ModuleId;
use crate::syntax::ast::{Expr, ExprKind, Ident};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Checksum, Input, Value};

/// The row that lists imports.
const ROW: &str = "datasets";

/// The argument of a collection that names the ids of its queries.
const QUERY_ID: &str = "query_id";

/// The argument of a collection that says whether queries without judgements are kept.
const UNJUDGED: &str = "unjudged";

/// Where BEIR's archives are.
const BEIR: &str = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/";

/// A data set that is being declared.
#[derive(Clone, Copy)]
struct Declared<'d> {
    /// The name that it is listed under.
    label: &'d str,
    ty: &'d Type,
    span: Span,
}

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
        let special = match &value.kind {
            ExprKind::Call { path, args, .. } => match self.callee(path, module)? {
                Callee::Special(form) => Some((form, args)),
                Callee::Op(_) | Callee::Def(_) => None,
            },
            _ => None,
        };
        let Some((kind, args)) = special else {
            let v = self.eval(value, Some(ty), &env)?;
            return self.conform(v, ty, value.span, &format!("dataset `{}`", name.name));
        };
        let Some(form) = special::form(kind).filter(|f| f.kind == FormKind::Dataset) else {
            return Err(self.error(declares_nothing(kind, value.span)));
        };
        let fields = self.dataset_fields(form, args, &env)?;
        let declared = Declared { label, ty, span: value.span };
        match kind {
            "local" => {
                let file = |text: &str| Value::Input(Arc::new(Input::File(self.file_path(text, &env))));
                let sources = local_files(form, &fields, &file);
                self.import(declared, &fields, &|field| sources.get(field).cloned())
            }
            "download" => self.download(declared, &fields),
            "beir" => self.beir(declared, fields),
            _ => self.parts_together(declared, form, &fields),
        }
    }

    fn download(&mut self, declared: Declared<'_>, fields: &Fields) -> Eval {
        let Some(url) = fields.word("url") else {
            return Err(self.missing("url", "download", declared.span));
        };
        let (url, digest) = self.remote(url, fields, declared.span)?;
        let member = fields.word("member");
        let input = Value::Input(Arc::new(Input::Remote { url: url.as_str().into(), digest, member }));
        let field = self.registry.importer(Importing::of(declared.ty)).and_then(|op| op.imports);
        self.import(declared, fields, &|name| (Some(name) == field).then(|| input.clone()))
    }

    fn beir(&mut self, declared: Declared<'_>, mut fields: Fields) -> Eval {
        let Some(set) = fields.word("name") else {
            return Err(self.missing("name", "beir", declared.span));
        };
        let split = fields.word("split").unwrap_or_else(|| "test".to_owned());
        // As BEIR evaluates every one of its sets (`ignore_identical_ids`).
        fields.or_insert("own", Value::str("drop"), declared.span);
        if let Some((which, at)) = fields.remove("queries") {
            let keep = if which.as_str() == Some("all") { "keep" } else { "drop" };
            fields.or_insert(UNJUDGED, Value::str(keep), at);
        }
        // The twelve forums of CQADupStack are folders of one archive.
        let archive = set.split('/').next().unwrap_or_default();
        let url = fields.word("url").unwrap_or_else(|| format!("{BEIR}{archive}.zip"));
        let (url, digest) = self.remote(url, &fields, declared.span)?;
        self.import(declared, &fields, &|field| {
            let member = match field {
                "docs" => format!("{set}/corpus.jsonl"),
                "queries" => format!("{set}/queries.jsonl"),
                "qrels" => format!("{set}/qrels/{split}.tsv"),
                _ => return None,
            };
            let (url, digest) = (url.as_str().into(), digest.clone());
            Some(Value::Input(Arc::new(Input::Remote { url, digest, member: Some(member) })))
        })
    }

    /// The address and digest of a download, checked as far as the text allows.
    fn remote(&mut self, url: String, fields: &Fields, span: Span) -> Eval<(String, Option<String>)> {
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if host.is_none_or(|h| h.is_empty() || h.starts_with('/')) {
            return Err(self.error(no_address(&url, fields.place("url", span))));
        }
        let digest = match fields.word("digest").map(|text| Checksum::parse(&text)) {
            None => None,
            Some(Ok(digest)) => Some(digest.to_string()),
            Some(Err(why)) => return Err(self.error(no_digest(why, fields.place("digest", span)))),
        };
        Ok((url, digest))
    }
}

/// The files that the fields of `local` name: one, or a list of them.
fn local_files<'f>(
    form: &'f Form,
    fields: &Fields,
    file: &dyn Fn(&str) -> Value,
) -> IndexMap<&'f str, Value> {
    let named = |name: &str| match fields.get(name) {
        Value::Str(text) => Some(file(&text)),
        Value::List(items) if !items.is_empty() => {
            items.iter().map(|v| Some(file(v.as_str()?))).collect::<Option<Vec<_>>>().map(Value::list)
        }
        _ => None,
    };
    form.names().into_iter().filter_map(|name| Some((name, named(name)?))).collect()
}

/// A form that stands after `dataset … =` and declares none.
fn declares_nothing(form: &str, span: Span) -> Diagnostic {
    let message = format!("`{form}` does not declare a dataset");
    Diagnostic::error(Code::Mismatch, message, span, "not a dataset")
        .help("write `local { … }`, `download { … }`, `collection { … }` or `beir(\"name\")`")
}

fn no_address(url: &str, at: Span) -> Diagnostic {
    Diagnostic::error(Code::OutOfRange, format!("`{url}` is not an address"), at, "not an address")
        .help("write `https://host/path`, or declare a file of this machine with `local { … }`")
}

fn no_digest(why: String, at: Span) -> Diagnostic {
    Diagnostic::error(Code::OutOfRange, why, at, "not a digest").help(
        "write it as its publisher states it, or leave it out: then the first download is pinned in the lock file",
    )
}
