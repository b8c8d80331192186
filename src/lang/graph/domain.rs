//! Domain rules beyond types: what operations ask about their arguments, input limits, and the validation run of a
//! selection rule.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::actions::fingerprint;
use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use crate::resolve::World;
use crate::syntax::ast::Arg;
use crate::types::op::{DefaultRunFn, Facts, Issue};
use crate::types::{Artifact, Op, Registry, Supervision, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::task::Action;
use xpipe_base::value::{ActionId, Input, Record, Value};

/// What to type when a value has another type than wanted.
pub(super) fn conversion_help(value: &Value, found: &Type, wanted: &Type) -> Option<String> {
    let n = value.to_string();
    match (found, wanted) {
        (Type::Int, Type::Budget) => Some(format!("write `steps({n})` or `epochs({n})`")),
        (Type::Int, Type::Either(any)) if any.contains(&Type::Budget) => {
            Some(format!("write `steps({n})`, or a percentage"))
        }
        (Type::Float | Type::Int, Type::Duration) => Some(format!("give a unit: `{n}h`, `{n}min` or `{n}s`")),
        (Type::Float | Type::Int, Type::Bytes) => Some(format!("give a unit: `{n}GiB` or `{n}MiB`")),
        (Type::String, Type::Backbone | Type::Model) => Some(format!("write `hf(\"{n}\")`")),
        (Type::String, Type::Either(any)) if any.contains(&Type::Backbone) => {
            conversion_help(value, found, &Type::Backbone)
        }
        (Type::String, Type::Bytes | Type::Duration) => Some("write it without quotes".to_owned()),
        (Type::Percent, Type::Float) => Some("write it as a number, for instance `0.05`".to_owned()),
        (Type::String, Type::Word(words)) => {
            xpipe_base::diag::suggest::did_you_mean(&n, words.iter().copied())
                .or_else(|| Some(format!("write {}", words.join(" or "))))
        }
        (Type::TestCollection | Type::Record, part) if part.collection_part().is_some() => {
            let part = part.collection_part().unwrap_or_default();
            Some(format!("take the part that is needed: `.{part}`"))
        }
        (found, Type::List(inner)) if found.fits(inner) => Some(format!("write a list: `[{n}]`")),
        _ => Some(format!("give {} here", wanted.with_article())),
    }
}

/// Looks up facts through artifacts, calls and records.
pub(super) struct ArgumentFacts<'e> {
    pub registry: &'e Registry,
    pub actions: &'e [Action],
    pub world: &'e dyn World,
}

impl ArgumentFacts<'_> {
    /// The checkpoint that a model was trained from.
    fn checkpoint(&self, value: &Value) -> Option<String> {
        match value {
            Value::Input(i) => match &**i {
                Input::Model { name, .. } => Some(name.clone()),
                Input::File(_) | Input::Remote { .. } => None,
            },
            Value::Artifact(id) => {
                self.actions[id.0 as usize].args.get("backbone").and_then(|v| self.checkpoint(v))
            }
            // A declaration about a model: `two_labels(model, …)`.
            Value::Call(call) => call.args.get("model").and_then(|v| self.checkpoint(v)),
            _ => None,
        }
    }

    fn config(&self, name: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&self.world.model_config(name)?).ok()
    }

    fn positions(&self, name: &str) -> Option<i64> {
        match known_backbone(name) {
            Some((_, positions)) => Some(positions),
            None => self.config(name)?.get("max_position_embeddings")?.as_i64(),
        }
    }

    fn field(record: &Record, name: &str) -> Option<Value> {
        record.get(name).filter(|v| **v != Value::Null).cloned()
    }
}

impl Facts for ArgumentFacts<'_> {
    fn find(&self, value: &Value, name: &str) -> Option<Value> {
        match value {
            Value::Artifact(id) => {
                let action = &self.actions[id.0 as usize];
                self.registry.get(action.op)?.fact(&action.args, name, self)
            }
            Value::Call(c) => {
                Self::field(&c.args, name).or_else(|| c.args.iter().find_map(|(_, v)| self.find(v, name)))
            }
            Value::Record(r) => Self::field(r, name),
            Value::List(items) => items.iter().find_map(|v| self.find(v, name)),
            _ => None,
        }
    }

    fn op(&self, value: &Value) -> Option<&'static str> {
        match value {
            Value::Artifact(id) => Some(self.actions[id.0 as usize].op),
            _ => None,
        }
    }

    fn supervision(&self, value: &Value) -> Supervision {
        let (op, args) = match value {
            Value::Artifact(id) => {
                let action = &self.actions[id.0 as usize];
                (action.op, &action.args)
            }
            Value::Call(call) => (&*call.name, &call.args),
            _ => return Supervision::default(),
        };
        self.registry.get(op).map_or_else(Supervision::default, |op| op.supervision(args, self))
    }

    fn architecture(&self, value: &Value) -> Option<String> {
        let name = self.checkpoint(value)?;
        match known_backbone(&name) {
            Some((architecture, _)) => Some(architecture.to_owned()),
            None => self.config(&name)?.get("model_type")?.as_str().map(str::to_owned),
        }
    }
}

/// The type of what an action makes.
pub(super) fn result_type(registry: &Registry, action: &Action) -> Type {
    registry.get(action.op).map_or(Type::Any, |op| op.result_type(&action.args))
}

/// What an action gives.
pub(super) fn artifact(registry: &Registry, action: &Action) -> Artifact {
    let unknown = Artifact { ty: Type::Any, counts: &[] };
    registry.get(action.op).map_or(unknown, |op| op.artifact(&action.args))
}

/// Architecture and positions of a backbone that std knows.
fn known_backbone(name: &str) -> Option<(&'static str, i64)> {
    type Known = BTreeMap<&'static str, (&'static str, i64)>;
    static KNOWN: LazyLock<Known> = LazyLock::new(|| {
        let row = |line: &'static str| {
            let mut fields = line.split(',').map(str::trim);
            Some((fields.next()?, (fields.next()?, fields.next()?.parse().ok()?)))
        };
        crate::resolve::world::BACKBONES.lines().skip(1).filter_map(row).collect()
    });
    KNOWN.get(name).copied()
}

/// The outcome of the checks of arguments.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Whether something is wrong, which has been reported.
    pub wrong: bool,
    /// What this build does not implement, which is no mistake: `run` reports it.
    pub lacking: Option<(String, Span)>,
}

/// Where an issue's argument is written, or the call when it is not.
fn place_of(issue: &Issue, args: &[Arg], head: Span) -> Span {
    args.iter()
        .find(|a| a.name.as_ref().is_some_and(|n| &*n.name == issue.argument))
        .map_or(head, |a| a.value.span)
}

impl<'a> Expander<'a> {
    pub(super) fn find_fact(&self, value: &Value, name: &str) -> Option<Value> {
        self.look().find(value, name)
    }

    /// Runs the checks of a new action.
    pub(super) fn domain_checks(&mut self, op: &'a Op, id: ActionId, args: &'a [Arg], head: Span) {
        let action = self.actions.get(id);
        let (values, cell) = (action.args.clone(), action.address.clone());
        if let Some(lacking) = self.check_arguments(op, &values, args, head, &cell).lacking {
            self.actions.unimplemented(id, lacking);
        }
        if let Some(issue) = self.input_limit(op, &values) {
            let at = place_of(&issue, args, head);
            self.reporter.issue(issue.code, at, issue.message, issue.help, cell);
        }
    }

    /// Runs the checks of an operation or constructor.
    pub(super) fn check_arguments(
        &mut self,
        op: &Op,
        values: &Record,
        args: &'a [Arg],
        head: Span,
        cell: &str,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let issues = op.check.map(|check| check(values, &self.look())).unwrap_or_default();
        for issue in issues {
            let at = place_of(&issue, args, head);
            if issue.code == Code::NotImplemented {
                verdict.lacking.get_or_insert((issue.message, at));
            } else {
                verdict.wrong = true;
                self.reporter.issue(issue.code, at, issue.message, issue.help, cell.to_owned());
            }
        }
        verdict
    }

    fn look(&self) -> ArgumentFacts<'_> {
        ArgumentFacts { registry: self.registry, actions: self.actions.all(), world: self.world }
    }

    /// Input limits against the position table of the backbone.
    fn input_limit(&self, op: &Op, args: &Record) -> Option<Issue> {
        let limits = args.get("input").and_then(Value::as_call)?;
        let number = |n: &str| limits.args.get(n).and_then(Value::as_int).unwrap_or(0);
        let wanted = number("query") + number("document");
        let argument = if op.param("backbone").is_some() { "backbone" } else { "model" };
        let name = self.look().checkpoint(args.get(argument)?)?;
        let positions = self.look().positions(&name)?;
        // Every architecture adds at least two special tokens to a pair.
        if wanted + 2 <= positions {
            return None;
        }
        Some(Issue {
            code: Code::InputTooLong,
            argument: "input",
            message: format!(
                "query and document of {wanted} tokens do not fit {name}, which has {positions} positions"
            ),
            help: Some(format!("let query and document be at most {} tokens together", positions - 3)),
        })
    }

    /// Fills in what a selection rule leaves out: the run of each collection. A test collection is refused.
    pub(super) fn expand_selection(
        &mut self,
        op: &Op,
        values: &mut [(Value, u128)],
        span: Span,
        env: &Env<'a>,
    ) -> Eval<()> {
        let Some(at) = op.params.iter().position(|p| p.name == "select") else { return Ok(()) };
        let Value::Call(call) = values[at].0.clone() else { return Ok(()) };
        let on = match call.args.get("on") {
            Some(Value::List(items)) => items.to_vec(),
            // A record of collections, or one collection.
            Some(Value::Record(r)) if r.get("qrels").is_none() => r.iter().map(|(_, v)| v.clone()).collect(),
            Some(v @ Value::Record(_)) => vec![v.clone()],
            _ => return Ok(()),
        };
        let given = call.args.get("run").filter(|v| **v != Value::Null).cloned();
        let default_run = self.registry.get(&call.name).and_then(|rule| rule.default_run);
        let mut collections = Vec::new();
        for one in on {
            let Some(record) = one.as_record().cloned() else { continue };
            let get = |n: &str| record.get(n).cloned().unwrap_or_default();
            if get("role").as_str() == Some("test") {
                let name = get("name").as_str().unwrap_or("this collection").to_owned();
                return Err(self.error(chosen_on_test(&name, span)));
            }
            let run = match (&given, default_run) {
                (Some(run), _) => run.clone(),
                (None, Some(make)) => self.validation_run(make, &record, span, env)?,
                (None, None) => Value::Null,
            };
            // The name is for users; equal collections under two names are one recipe.
            collections.push(Value::Record(Record::of([
                ("corpus", get("corpus")),
                ("queries", get("queries")),
                ("qrels", get("qrels")),
                ("run", run),
            ])));
        }
        let args = call.args.with("on", Value::list(collections)).with("run", Value::Null);
        let value = Value::call(&call.name, args);
        let print = fingerprint(&value);
        values[at] = (value, print);
        Ok(())
    }

    /// Makes the run that a selection rule re-ranks of a collection; its actions are listed under the stage.
    fn validation_run(
        &mut self,
        make: DefaultRunFn,
        collection: &Record,
        span: Span,
        env: &Env<'a>,
    ) -> Eval<Value> {
        let row = format!("{}.validation", env.row);
        let outside = Env::at_point(env.module, &[], &[]);
        let mut stop = Stop::Reported;
        let run = make(collection, &mut |op, args| match self.make(op, args, span, &row) {
            Ok(id) => {
                self.list(&row, &[], &outside, id);
                Some(Value::Artifact(id))
            }
            Err(why) => {
                stop = why;
                None
            }
        });
        run.ok_or(stop)
    }
}

/// A selection rule over a test collection.
fn chosen_on_test(name: &str, span: Span) -> Diagnostic {
    let message = format!("`{name}` is a test collection, and `best_of` would choose on it");
    Diagnostic::error(Code::SealedTest, message, span, "test collections are sealed")
        .help("choose on a collection whose role is `validation`")
}
