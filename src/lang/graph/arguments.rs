//! Arguments of a call: by name or place, defaults, memory of what they were, and what is wrong with them.

use std::rc::Rc;

use super::actions::fingerprint;
use super::conform::an;
use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::memo::{Printed, Signature};
use crate::resolve::StageId;
use crate::syntax::ast::{Arg, Ident};
use crate::types::{Op, Param};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Value};

/// Which arguments of a call are for which of a signature.
struct Given {
    /// By the order of the signature: the index of the argument in the call.
    places: Vec<Option<usize>>,
    /// What unknown arguments seem to mean: those are not reported as missing.
    meant: Vec<String>,
    /// Whether something was wrong and reported.
    stop: Option<Stop>,
}

impl<'a> Expander<'a> {
    /// The arguments of a call in the order of the signature, with fingerprints; derived ones are still `Null`.
    pub(super) fn arguments(
        &mut self,
        op: &'a Op,
        args: &'a [Arg],
        head: Span,
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<Vec<Printed>> {
        let Given { places, meant, mut stop } = self.assign(op, args);
        let by_name = op.params.iter().zip(&places).any(|(p, given)| p.name == "version" && given.is_some());
        let mut values = Vec::with_capacity(op.params.len());
        let signature = self.signature(op);
        for ((param, given), default) in op.params.iter().zip(&places).zip(&signature.defaults) {
            let value = match (given, default) {
                (Some(i), _) => self.argument(param, &args[*i], *i, by_name, env, memo),
                (None, _) if param.derived_from.is_some() => Ok((Value::Null, 0)),
                (None, Some(known)) => Ok(known.clone()),
                (None, None) if op.random && param.name == "seed" => Err(self.unseeded(op.name, head, args)),
                (None, None) if meant.iter().any(|m| m.contains(&format!("`{}`", param.name))) => {
                    Err(Stop::Reported)
                }
                (None, None) => Err(self.missing_at(param.name, op.name, head, args)),
            };
            match value {
                Ok(v) => values.push(v),
                Err(s) => {
                    values.push((Value::Null, 0));
                    stop = Some(if stop == Some(Stop::Reported) { Stop::Reported } else { s });
                }
            }
        }
        stop.map_or(Ok(values), Err)
    }

    /// Assigns the arguments of a call to those of a signature.
    fn assign(&mut self, op: &Op, args: &[Arg]) -> Given {
        let mut given = Given { places: vec![None; op.params.len()], meant: Vec::new(), stop: None };
        let mut next = 0;
        for (i, arg) in args.iter().enumerate() {
            let place = match &arg.name {
                Some(n) => match op.params.iter().position(|p| *p.name == *n.name) {
                    Some(p) => p,
                    None => {
                        let known: Vec<&str> = op.params.iter().map(|p| p.name).collect();
                        given.stop = Some(self.unknown_argument(n, op.name, &known));
                        given.meant.extend(did_you_mean(&n.name, known.iter().copied()));
                        continue;
                    }
                },
                None => {
                    next += 1;
                    if next > op.params.len() {
                        given.stop = Some(self.too_many(arg, op.name, op.params.len()));
                        continue;
                    }
                    next - 1
                }
            };
            if given.places[place].is_some() {
                given.stop = Some(self.twice(op.params[place].name, arg.value.span));
                continue;
            }
            given.places[place] = Some(i);
        }
        given
    }

    pub(super) fn signature(&mut self, op: &Op) -> Rc<Signature> {
        let known = self.memo.signatures.entry(op.name).or_insert_with(|| {
            let default = |p: &Param| p.default.as_ref().map(|v| (v.clone(), fingerprint(v)));
            Rc::new(Signature {
                names: op.params.iter().map(|p| Name::from(p.name)).collect(),
                defaults: op.params.iter().map(default).collect(),
            })
        });
        known.clone()
    }

    fn argument(
        &mut self,
        param: &'a Param,
        arg: &'a Arg,
        index: usize,
        by_name: bool,
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<Printed> {
        let key = memo.map(|id| {
            let axes = &self.memo.stages[id.0].memos[index].axes;
            let point: Vec<usize> = axes.iter().map(|a| env.at(*a).unwrap_or(0)).collect();
            (id, self.memo.point_key(axes, &point))
        });
        if let Some((id, key)) = key
            && let Some(known) = self.memo.stages[id.0].memos[index].known.get(&key)
        {
            return known.clone();
        }
        let value = self
            .within(param.name, |e| e.eval(&arg.value, Some(&param.ty), env))
            .and_then(|v| self.conform(v, &param.ty, arg.value.span, &format!("`{}`", param.name)))
            .map(|v| self.as_input(v, &param.ty, by_name, env))
            .map(|v| if param.name == "reads" { self.with_files(v, &arg.value, env) } else { v })
            .map(|v| {
                let print = fingerprint(&v);
                (v, print)
            });
        if let Some((id, key)) = key {
            self.memo.stages[id.0].memos[index].known.insert(key, value.clone());
        }
        value
    }

    /// Reports an argument that is not given.
    pub(super) fn missing(&mut self, name: &str, callee: &str, span: Span) -> Stop {
        self.missing_at(name, callee, span, &[])
    }

    /// The same for a call with arguments: the place is after the one that stands before it in the signature.
    pub(super) fn missing_at(&mut self, name: &str, callee: &str, head: Span, args: &[Arg]) -> Stop {
        if self.study.is_in_broken_item(head) {
            return Stop::Reported;
        }
        let after = self.place_after(name, callee, args);
        let param = self.registry.get(callee).and_then(|o| o.param(name));
        self.error(missing(name, callee, param, head, after))
    }

    /// Reports an operation that draws at random without a seed.
    fn unseeded(&mut self, callee: &str, head: Span, args: &[Arg]) -> Stop {
        if self.study.is_in_broken_item(head) {
            return Stop::Reported;
        }
        let after = self.place_after("seed", callee, args);
        self.error(unseeded(callee, head, after))
    }

    /// The argument that a missing one would follow, when there is one in its order.
    fn place_after(&self, name: &str, callee: &str, args: &[Arg]) -> Option<Span> {
        let params = &self.registry.get(callee)?.params;
        let at = params.iter().position(|p| p.name == name)?;
        params[..at].iter().rev().find_map(|p| {
            let arg = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.name == p.name))?;
            Some(arg.name.as_ref()?.span)
        })
    }

    pub(super) fn unknown_argument(&mut self, name: &Ident, callee: &str, known: &[&str]) -> Stop {
        self.error(unknown_argument(name, callee, known))
    }

    pub(super) fn too_many(&mut self, arg: &Arg, callee: &str, n: usize) -> Stop {
        self.error(too_many(arg, callee, n))
    }
}

fn missing(name: &str, callee: &str, param: Option<&Param>, head: Span, after: Option<Span>) -> Diagnostic {
    let message = format!("`{callee}` needs `{name}`");
    let help = match param {
        Some(p) => format!("add `{name} = …`, {}: {}", an(&p.ty), p.doc),
        None => format!("add `{name} = …`"),
    };
    let label = format!("no `{name}` given");
    in_call(Diagnostic::error(Code::MissingArgument, message, after.unwrap_or(head), label), head).help(help)
}

fn unseeded(callee: &str, head: Span, after: Option<Span>) -> Diagnostic {
    let message = format!("`{callee}` draws at random and has no seed");
    let d = Diagnostic::error(Code::Unseeded, message, after.unwrap_or(head), "no `seed` given");
    in_call(d, head).help("add `seed` (an axis or a number), so that the same study gives the same bytes")
}

/// With the place of the call, where the diagnostic points at one of its arguments.
fn in_call(d: Diagnostic, head: Span) -> Diagnostic {
    if d.primary.span == head { d } else { d.related(head, "in this call") }
}

fn unknown_argument(name: &Ident, callee: &str, known: &[&str]) -> Diagnostic {
    let help = did_you_mean(&name.name, known.iter().copied()).unwrap_or_else(|| match known {
        [] => format!("`{callee}` takes no arguments"),
        known => format!("it takes {}", known.join(", ")),
    });
    let message = format!("`{callee}` has no argument `{}`", name.name);
    Diagnostic::error(Code::UnknownArgument, message, name.span, "not an argument").help(help)
}

fn too_many(arg: &Arg, callee: &str, n: usize) -> Diagnostic {
    let message = format!("`{callee}` takes {n} argument{}", if n == 1 { "" } else { "s" });
    Diagnostic::error(Code::UnknownArgument, message, arg.value.span, "one too many")
        .help("remove it, or name what it is for")
}
