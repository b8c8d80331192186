//! Texts for readers: titles and sentences, display names of labels, the measure of a table, the fields of `study`.

use super::env::{Env, Eval};
use super::expander::Expander;
use super::fields::value_of;
use crate::resolve::{AxisId, ModuleId};
use crate::syntax::ast::{self, Field};
use crate::types::Type;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::each;
use xpipe_base::value::{Name, Pending, Record, Value};

/// Maximum number of characters of a text that is printed as a name.
const LONGEST_NAME: usize = 60;

impl<'a> Expander<'a> {
    /// The field `names`: what labels of rows and columns are called where people read them.
    pub(super) fn printed_names(&mut self, fields: &'a [Field], sides: &[AxisId]) -> Eval<Record> {
        let Some(given) = value_of(fields, "names") else { return Ok(Record::default()) };
        let env = Env::at_point(ModuleId(0), &[], &[]);
        let value = self.eval(given, None, &env)?;
        let Value::Record(names) = value else {
            let found = self.type_of(&value);
            return Err(self.mismatch("`names` is a record of labels and texts", given.span, &found));
        };
        let mut labels: Vec<Name> = Vec::new();
        for axis in sides {
            labels.extend(self.axis(*axis, given.span).entries.iter().map(|e| e.label.clone()));
        }
        for (label, text) in names.iter() {
            self.conform(text.clone(), &Type::String, given.span, &format!("the name of `{label}`"))?;
            if !labels.contains(label) {
                return Err(self.error(no_such_label(label, &labels, given.span)));
            }
        }
        Ok(names)
    }

    /// What a label is called where people read it: as `names` says, else the text of an axis of type `String`, unless
    /// it is no name (long, or of several lines), else the label.
    pub(super) fn printed_name(&self, axis: AxisId, i: usize, names: &Record) -> Option<Name> {
        let entry = self.memo.entry(axis, i)?;
        if let Some(Value::Str(text)) = names.get(&entry.label) {
            return Some(text.clone());
        }
        let is_string = self.study.axis(axis).1.is_some_and(|t| &*t.name.name == "String");
        match &entry.value {
            Ok(Value::Str(text))
                if is_string
                    && !text.trim().is_empty()
                    && !text.contains(['\n', '\r'])
                    && text.chars().count() <= LONGEST_NAME =>
            {
                Some(text.clone())
            }
            _ => Some(entry.label.clone()),
        }
    }

    /// The fields of `study`.
    pub(super) fn study_fields(&mut self, fields: &'a [ast::Field]) -> Vec<(String, String)> {
        let env = Env::at_point(ModuleId(0), &[], &[]);
        fields
            .iter()
            .filter_map(|f| {
                let value = f.value.as_ref()?;
                let at = value.span;
                let value = self.eval(value, None, &env).ok()?;
                if matches!(value, Value::Pending(_)) {
                    self.error(pending_field(at));
                    return None;
                }
                Some((f.name.name.to_string(), value.to_string()))
            })
            .collect()
    }
}

/// A text that is known or will be.
pub(super) fn text_of(value: Value) -> Value {
    match value {
        Value::Str(_) | Value::Pending(_) => value,
        other => Value::str(&other.to_string()),
    }
}

/// The member that all numbers of some values are of; `None` when they are of several.
pub(super) fn only_member<'v>(values: impl Iterator<Item = &'v Value>) -> Option<String> {
    let mut found: Option<&Name> = None;
    let mut several = false;
    for value in values {
        each(value, &mut |p| {
            if let Pending::Metric { member, .. } = p {
                several |= found.is_some_and(|known| known != member);
                found = Some(member);
            }
        });
    }
    found.filter(|_| !several).map(ToString::to_string)
}

fn no_such_label(label: &str, labels: &[Name], span: Span) -> Diagnostic {
    let message = format!("`names` names `{label}`, which is no label of the rows or columns");
    Diagnostic::error(Code::UnknownLabel, message, span, "not a label of this table")
        .maybe_help(did_you_mean(label, labels.iter().map(|l| &**l)))
}

fn pending_field(span: Span) -> Diagnostic {
    let message = "a field of `study` cannot use what is known only after a stage has run";
    Diagnostic::error(Code::PendingShape, message, span, "known too late")
        .help("such values may stand in titles of tables and reports")
}
