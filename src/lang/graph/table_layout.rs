//! How a table is laid out: the mark of the best value, the significance test, digits and files.

use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::fields::{argument_place, value_of};
use super::output_options::{BestPer, CorrectionMethod, FORMATS, Format, TestKind, TestSpec};
use crate::resolve::{AxisId, ModuleId};
use crate::syntax::ast::Field;
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Call, Name, Value};

/// Number of labels that a message lists.
const FEW_LABELS: usize = 8;

/// What a table says besides its values.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub best_per: Option<BestPer>,
    pub smallest: bool,
    pub test: Option<TestSpec>,
    pub digits: usize,
    pub write: Vec<Format>,
}

impl<'a> Expander<'a> {
    /// The layout of a table; `sides` are the axes of its rows and columns.
    pub(super) fn layout(&mut self, fields: &'a [Field], sides: &[AxisId]) -> Eval<Layout> {
        let parsed = |ty: &str| Type::parse(ty).unwrap_or(Type::Any);
        let mark = self.layout_field(fields, "mark", &parsed("Mark"))?;
        let test = self.layout_field(fields, "test", &parsed("Test"))?;
        let digits = self.layout_field(fields, "digits", &parsed("Int"))?;
        let write = self.layout_field(fields, "write", &Type::List(Box::new(parsed(FORMATS))))?;
        let mark = mark.as_ref().and_then(Value::as_call);
        let test = match test.as_ref().and_then(Value::as_call) {
            Some(call) => Some(self.significance_test(call, fields, sides)?),
            None => None,
        };
        let formats = write.as_ref().and_then(Value::as_list).unwrap_or_default();
        Ok(Layout {
            best_per: mark.map(|m| word(m, "per").and_then(BestPer::parse).unwrap_or(BestPer::Row)),
            smallest: mark.is_some_and(|m| m.args.get("smallest") == Some(&Value::Bool(true))),
            test,
            digits: digits.and_then(|d| d.as_int()).map_or(3, |d| d.clamp(0, 12) as usize),
            write: formats.iter().filter_map(|v| Format::parse(v.as_str()?)).collect(),
        })
    }

    fn layout_field(&mut self, fields: &'a [Field], name: &str, ty: &Type) -> Eval<Option<Value>> {
        let Some(expr) = value_of(fields, name) else { return Ok(None) };
        let env = Env::at_point(ModuleId(0), &[], &[]);
        let value = self.eval(expr, Some(ty), &env)?;
        self.conform(value, ty, expr.span, &format!("`{name}`")).map(Some)
    }

    /// The test that a call describes, which compares with a label of the rows or columns.
    fn significance_test(&mut self, call: &Call, fields: &'a [Field], sides: &[AxisId]) -> Eval<TestSpec> {
        let span = value_of(fields, "test").map_or(fields[0].span, |e| e.span);
        let given = call.args.get("against").unwrap_or(&Value::Null);
        let against = self.reference(given, sides, argument_place(fields, "test", "against", span))?;
        let names = self.axis_names(sides);
        if !names.contains(&against.0) {
            return Err(self.error(not_a_side(&against.0, &names, span)));
        }
        let alpha = match call.args.get("alpha") {
            Some(Value::Percent(p)) => p / 100.0,
            Some(v) => v.as_f64().unwrap_or(0.05),
            None => 0.05,
        };
        let Some(kind) = TestKind::parse(&call.name) else {
            return Err(self.error(unknown_test(&call.name, span)));
        };
        let whole = |n: &str| call.args.get(n).and_then(Value::as_int);
        Ok(TestSpec {
            kind,
            against,
            correct: word(call, "correct")
                .and_then(CorrectionMethod::parse)
                .unwrap_or(CorrectionMethod::Holm),
            alpha,
            draws: whole("draws").map_or(10_000, |n| n.max(1) as u64),
            seed: whole("seed").unwrap_or(0) as u64,
        })
    }

    /// The label that a test compares with: `axis.label`, or a number or text that is a value of the rows or columns.
    fn reference(&mut self, given: &Value, sides: &[AxisId], span: Span) -> Eval<(Name, Name)> {
        if let Some(call) = given.as_call().filter(|c| &*c.name == "label")
            && let (Some(axis), Some(label)) = (word(call, "axis"), word(call, "label"))
        {
            return Ok((axis.into(), label.into()));
        }
        let mut found = Vec::new();
        let mut choices = Vec::new();
        for axis in sides {
            let name = self.axis_name(*axis);
            let state = self.axis(*axis, span);
            if state.broken {
                return Err(Stop::Reported);
            }
            for entry in &state.entries {
                let Ok(value) = &entry.value else { return Err(Stop::Reported) };
                if is_value_or_label(given, value, &entry.label) {
                    found.push((name.clone(), entry.label.clone()));
                }
                choices.push(written(&name, &entry.label, value));
            }
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(self.error(no_reference(choices, span))),
            [..] => Err(self.error(two_references(span))),
        }
    }
}

fn word<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
    call.args.get(name).and_then(Value::as_str)
}

fn is_value_or_label(given: &Value, value: &Value, label: &str) -> bool {
    match (given.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => value == given || given.as_str() == Some(label),
    }
}

/// How a study names a label of an axis as a reference.
fn written(axis: &Name, label: &Name, value: &Value) -> String {
    match value {
        Value::Int(_) | Value::Float(_) | Value::Bytes(_) | Value::Seconds(_) | Value::Percent(_) => {
            label.to_string()
        }
        Value::Str(text) if **text == **label => format!("\"{text}\""),
        _ => format!("{axis}.{label}"),
    }
}

fn unknown_test(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::NotImplemented,
        format!("this version has no significance test `{name}`"),
        span,
        "this test",
    )
}

fn not_a_side(axis: &Name, sides: &[Name], span: Span) -> Diagnostic {
    let message = format!("`against` is a label of `{axis}`, which is neither rows nor columns");
    Diagnostic::error(Code::Mismatch, message, span, "nothing of this table to compare with")
        .help(format!("compare with a label of {}", sides.join(" or ")))
}

fn two_references(span: Span) -> Diagnostic {
    let message = "`against` is a label of the rows and of the columns";
    Diagnostic::error(Code::Mismatch, message, span, "may mean either")
        .help("give the labels of one axis names: `axis k = { ten = 10, twenty = 20 }`, then `k.ten`")
}

fn no_reference(mut choices: Vec<String>, span: Span) -> Diagnostic {
    let more = if choices.len() > FEW_LABELS { ", …" } else { "" };
    choices.truncate(FEW_LABELS);
    let message = "`against` must be a label of the rows or columns";
    Diagnostic::error(Code::Mismatch, message, span, "no label to compare with")
        .help(format!("write one of `{}`{more}", choices.join("`, `")))
}
