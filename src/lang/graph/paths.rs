//! Paths in a study: the files that they name, and which arguments are inputs whose content counts.

use std::path::PathBuf;
use std::sync::Arc;

use super::env::Env;
use super::expander::Expander;
use super::names::meaning;
use crate::resolve::modules::normal;
use crate::resolve::{Declaration, ModuleId};
use crate::syntax::ast::{Expr, ExprKind, Ident, ItemKind};
use crate::types::Type;
use xpipe_base::value::{Input, Record, Value};

impl<'a> Expander<'a> {
    /// The file that a relative path names: from the folder of the file that writes it.
    pub(super) fn file_path(&self, text: &str, env: &Env<'a>) -> PathBuf {
        let base = if &*env.row == "--set" {
            self.outside.given.folder.clone()
        } else {
            // Modules of std lie in no folder: what they name is beside the study.
            let folder = |module| self.study.module(module).folder.clone();
            folder(env.module).or_else(|| folder(ModuleId(0))).unwrap_or_default()
        };
        normal(&base.join(text))
    }

    /// What a program reads by the name of a param or an axis of paths is an input, whose content counts. Text stays
    /// text.
    pub(super) fn with_files(&self, value: Value, expr: &Expr, env: &Env<'a>) -> Value {
        match (&expr.kind, value) {
            (ExprKind::Record(fields), Value::Record(record)) => {
                let each = record.iter().map(|(name, v)| {
                    let field = fields.iter().find(|f| f.name.name == *name);
                    let v = match field.map(|f| (f, &f.value)) {
                        Some((_, Some(expr))) => self.with_files(v.clone(), expr, env),
                        Some((f, None)) => self.named_file(v.clone(), std::slice::from_ref(&f.name), env),
                        None => v.clone(),
                    };
                    (name.clone(), v)
                });
                Value::Record(Record::new(each.collect::<Vec<_>>()))
            }
            (ExprKind::Path(path), value) => self.named_file(value, path, env),
            (_, value) => value,
        }
    }

    fn named_file(&self, value: Value, path: &[Ident], env: &Env<'a>) -> Value {
        let local = path.first().is_some_and(|first| env.locals.iter().any(|(n, _)| *n == first.name));
        match value {
            Value::Str(text) if !local && self.is_path(path, env.module) => {
                Value::Input(Arc::new(Input::File(self.file_path(&text, env))))
            }
            value => value,
        }
    }

    /// Whether names lead to a param or an axis that is declared to be of paths.
    fn is_path(&self, path: &[Ident], module: ModuleId) -> bool {
        let ty = match meaning(self.study, module, path) {
            Some(Declaration::Param(id)) => match &self.study.item(self.study.params[id.0]).kind {
                ItemKind::Param { ty, .. } => Some(ty),
                _ => None,
            },
            Some(Declaration::Axis(id)) => self.study.axis(id).1,
            _ => None,
        };
        ty.is_some_and(|ty| &*ty.name.name == "Path")
    }

    /// Paths of an operation's arguments are inputs, whose content counts. `by_name`: a program without a folder is one
    /// that PATH leads to.
    pub(super) fn as_input(&self, value: Value, ty: &Type, by_name: bool, env: &Env<'a>) -> Value {
        match (ty, value) {
            (Type::Program, Value::Str(name)) if by_name && !name.contains('/') => Value::Str(name),
            (Type::Path | Type::Program, Value::Str(text)) if !text.starts_with("self:") => {
                Value::Input(Arc::new(Input::File(self.file_path(&text, env))))
            }
            (Type::List(inner), Value::List(items)) if **inner == Type::Path => {
                Value::list(items.iter().map(|v| self.as_input(v.clone(), inner, false, env)).collect())
            }
            (Type::Either(any), value) => {
                let fits = |t: &&Type| match (t, &value) {
                    (Type::Path, Value::Str(_)) => true,
                    (Type::List(inner), Value::List(_)) => **inner == Type::Path,
                    _ => false,
                };
                match any.iter().find(fits) {
                    Some(ty) => self.as_input(value, ty, by_name, env),
                    None => value,
                }
            }
            (_, value) => value,
        }
    }
}
