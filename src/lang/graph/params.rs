//! Values of params: from `--set`, from the chosen profile, or by default.

use super::env::{Env, Eval, Item, Stop};
use super::expander::Expander;
use super::overrides::SetBy;
use crate::resolve::{ModuleId, ParamId};
use crate::syntax::ast::{Ident, ItemKind};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::Value;

impl<'a> Expander<'a> {
    /// The value of a param: `--set`, then the profile, then its default.
    pub(super) fn param(&mut self, id: ParamId, span: Span) -> Eval {
        if let Some(value) = &self.memo.params[id.0] {
            return value.clone();
        }
        let place = self.study.params[id.0];
        let ItemKind::Param { name, ty, default } = &self.study.item(place).kind else {
            return Err(Stop::Reported);
        };
        let value = self.enter(Item::Param(id), span, |e| {
            let ty = e.type_expr(ty);
            let mut env = Env::at_point(place.module, &[], &[]);
            let expr = match (e.outside.settings.get(&id), default) {
                (Some(setting), _) => {
                    // What is set is written in the root file or on the command line, wherever the param is declared.
                    env.module = ModuleId(0);
                    if setting.by == SetBy::CommandLine {
                        env.row = "--set".into();
                    }
                    setting.expr
                }
                (None, Some(default)) => default,
                (None, None) => {
                    return Err(e.error(no_value(name)));
                }
            };
            let value = e.eval(expr, Some(&ty), &env)?;
            let value = e.conform(value, &ty, expr.span, &format!("param `{}`", name.name))?;
            // A path is relative to what wrote it: the file, or for `--set` the working directory.
            match (&ty, &value) {
                (Type::Path, Value::Str(text)) => {
                    Ok(Value::str(&e.file_path(text, &env).display().to_string()))
                }
                _ => Ok(value),
            }
        });
        self.memo.params[id.0] = Some(value.clone());
        value
    }
}

fn no_value(param: &Ident) -> Diagnostic {
    let message = format!("param `{}` has no value", param.name);
    Diagnostic::error(Code::ParamMissing, message, param.span, "declared without a default")
        .help(format!("run with `--set '{}=…'`", param.name))
}
