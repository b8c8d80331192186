//! The fields of a data set's declaration: evaluated, and checked for those that nothing reads.

use indexmap::IndexMap;

use super::super::env::{Env, Eval};
use super::super::expander::Expander;
use super::super::special::Form;
use super::{QUERY_ID, UNJUDGED};
use crate::syntax::ast::Arg;
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::Value;

/// Fields with their values and where these are written.
pub(super) struct Fields {
    values: IndexMap<String, (Value, Span)>,
}

impl Fields {
    /// The value of a field; [`Value::Null`] when it is not given.
    pub(super) fn get(&self, name: &str) -> Value {
        self.values.get(name).map(|(v, _)| v.clone()).unwrap_or_default()
    }

    /// A field that is given, and where.
    pub(super) fn given(&self, name: &str) -> Option<(Value, Span)> {
        self.values.get(name).cloned()
    }

    /// Where a field is written, else the place of the declaration.
    pub(super) fn place(&self, name: &str, declaration: Span) -> Span {
        self.values.get(name).map_or(declaration, |(_, at)| *at)
    }

    /// The text of a field.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.get(name).as_str().map(str::to_owned)
    }

    /// Sets a field that is not given.
    pub(super) fn or_insert(&mut self, name: &str, value: Value, at: Span) {
        self.values.entry(name.to_owned()).or_insert((value, at));
    }

    /// Takes a field out.
    pub(super) fn remove(&mut self, name: &str) -> Option<(Value, Span)> {
        self.values.shift_remove(name)
    }

    /// Whether a collection keeps queries without judgements.
    pub(super) fn keeps_unjudged(&self) -> bool {
        self.word(UNJUDGED).as_deref() == Some("keep")
    }

    /// The role that is declared.
    pub(super) fn role(&self) -> Option<String> {
        self.word("role")
    }
}

impl<'a> Expander<'a> {
    /// Evaluates the arguments of a declaration; the first may be given by place.
    pub(super) fn dataset_fields(&mut self, form: &Form, args: &'a [Arg], env: &Env<'a>) -> Eval<Fields> {
        let known = form.names();
        let mut values = IndexMap::new();
        let mut stop = None;
        for (i, arg) in args.iter().enumerate() {
            let named = match &arg.name {
                Some(n) => form.param(&n.name),
                None if i == 0 => form.params.first(),
                None => {
                    stop = Some(self.too_many(arg, form.name, 1));
                    continue;
                }
            };
            let Some(param) = named else {
                if let Some(n) = &arg.name {
                    stop = Some(self.unknown_argument(n, form.name, &known));
                }
                continue;
            };
            // Whether a name is a data set or a file is decided with the import.
            let words = param.value_type(self.registry).filter(|ty| matches!(ty, Type::Word(_)));
            let want = words.clone().or_else(|| self.import_type(param.name));
            // Words of imports are checked with the import.
            let checked = words.filter(|_| !param.ty.is_empty() && param.name != "format");
            let value = self.eval(&arg.value, want.as_ref(), env).and_then(|v| match &checked {
                Some(ty) => self.conform(v, ty, arg.value.span, &format!("`{}`", param.name)),
                None => Ok(v),
            });
            match value {
                Ok(v) => {
                    values.insert(param.name.to_owned(), (v, arg.value.span));
                }
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or(Ok(Fields { values }), Err)
    }

    /// The type that the first import with such an argument declares.
    fn import_type(&self, name: &str) -> Option<Type> {
        self.registry.imports().find_map(|op| op.param(name)).map(|p| p.ty.clone())
    }

    /// Refuses fields that say how files are read, and that no import of this data set (`made`) reads.
    pub(super) fn unread(&mut self, fields: &Fields, made: &[&str], ty: &Type) -> Eval<()> {
        for (name, (_, span)) in &fields.values {
            let takers: Vec<&str> =
                self.registry.imports().filter(|op| op.param(name).is_some()).map(|op| op.name).collect();
            let read = match name.as_str() {
                "queries" | "corpus" | "format" => true,
                UNJUDGED => *ty == Type::TestCollection,
                QUERY_ID => self.registry.importer(&Type::Queries).is_some_and(|op| made.contains(&op.name)),
                _ => takers.is_empty() || made.iter().any(|op| takers.contains(op)),
            };
            if !read {
                return Err(self.error(has_no_effect(name, &takers, ty, *span)));
            }
        }
        Ok(())
    }
}

/// A field that nothing of this data set reads.
fn has_no_effect(name: &str, takers: &[&str], ty: &Type, span: Span) -> Diagnostic {
    let takers = if takers.is_empty() { "collections".to_owned() } else { takers.join(", ") };
    Diagnostic::error(
        Code::UnknownArgument,
        format!("`{name}` changes nothing in {}", ty.with_article()),
        span,
        "read by no file of this data set",
    )
    .help(format!("it is for {takers}; leave it out here"))
}
