//! Signatures: what an operation or constructor takes, what it gives, and how it runs.
//!
//! Each operation in `ops/` builds one of these and the registry lists it; the checker, the planner, the engine, the
//! report, `export` and `describe` read it, and none of them knows an operation by its name. An argument that is not in
//! the signature does not exist.

use super::{Artifact, ModelUse, QueryCount, Supervision, Type};
use xpipe_base::task::{Estimators, LlmRequestsFn, MemoryFn, ReadyFn, RunFn, WorkFn};
use xpipe_base::value::{Name, Record, Value};

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Makes an artifact: a stage, or an anonymous stage inside an argument.
    Stage,
    /// Makes a value: `objective.bce()`, `pairs(32)`, `ndcg(10)`.
    Constructor,
}

/// One argument.
#[derive(Clone, Debug)]
pub struct Param {
    /// The name as studies write it.
    pub name: &'static str,
    /// The type of its values.
    pub ty: Type,
    /// What it means, with unit and range.
    pub doc: &'static str,
    /// The value when it is not given. `None`: it must be given, unless it is derived.
    pub default: Option<Value>,
    /// The sibling argument it is taken from when it is not given: the corpus of a re-ranking is the corpus of its
    /// run. Looked up through artifacts, calls and records by this argument's own name; then `default` applies.
    /// `a | b` is the first of several siblings that is given; `a.b` is looked up in the argument `b` of what `a` is.
    pub derived_from: Option<&'static str>,
    /// Left out of recipes while it has its default, so that an argument that is added to an operation changes no key
    /// of a study that does not give it.
    pub added: bool,
}

/// A domain check over the arguments of one cell, after defaults. An issue whose code is
/// [`xpipe_base::diag::Code::NotImplemented`] is no mistake: `run` names it before it starts anything.
pub type CheckFn = fn(&Record, &dyn Facts) -> Vec<Issue>;

/// The names of the numbers that an operation publishes, by its arguments.
pub type PublishesFn = fn(&Record) -> Vec<String>;

/// The type of a result, by the arguments.
pub type GivesFn = fn(&Record) -> Type;

/// What a source offers to training, by the arguments.
pub type SupervisionFn = fn(&Record, &dyn Facts) -> Supervision;

/// Makes an action of an operation with some of its arguments, and returns its result; `None` when that was refused.
pub type MakeFn<'a> = dyn FnMut(&'static str, &[(&str, Value)]) -> Option<Value> + 'a;

/// Makes the run that stands in for one that the study does not give, over a collection: a record with `corpus`,
/// `queries` and `qrels`.
pub type DefaultRunFn = fn(&Record, &mut MakeFn<'_>) -> Option<Value>;

/// Something a domain check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The code of its diagnostic.
    pub code: xpipe_base::diag::Code,
    /// The argument to point at.
    pub argument: &'static str,
    /// What is wrong, as a diagnostic says it.
    pub message: String,
    /// What to type.
    pub help: Option<String>,
}

/// What a domain check may ask about arguments that are other actions' results.
pub trait Facts {
    /// The argument `name` of the action, call or record in `value`, found as [`Param::derived_from`] does.
    fn find(&self, value: &Value, name: &str) -> Option<Value>;
    /// The operation that makes this value, when an action does.
    fn op(&self, value: &Value) -> Option<&'static str>;
    /// What this value offers to training as a source of samples.
    fn supervision(&self, value: &Value) -> Supervision {
        let _ = value;
        Supervision::default()
    }
    /// The architecture of the checkpoint in `value`, or of the one that a model was trained from.
    fn architecture(&self, value: &Value) -> Option<String> {
        let _ = value;
        None
    }
}

/// An operation or constructor.
#[derive(Clone, Debug)]
pub struct Op {
    /// Full name: `train.cross_encoder`.
    pub name: &'static str,
    /// Raised by hand when the output for the same arguments changes. Part of the key.
    pub version: u32,
    /// One or more sentences for users.
    pub doc: &'static str,
    /// Stage or constructor.
    pub kind: Kind,
    /// Arguments in positional order.
    pub params: Vec<Param>,
    /// The type of the result; `gives` may narrow it.
    pub returns: Type,
    /// Whether it draws at random: then `seed` must be given.
    pub random: bool,
    /// Whether it runs in a worker process of its own.
    pub heavy: bool,
    /// The implementation; `None` when this build or version has none.
    pub run: Option<RunFn>,
    /// Domain checks.
    pub check: Option<CheckFn>,
    /// The numbers it publishes: the members of its result.
    pub publishes: Option<PublishesFn>,
    /// The fields of `with { … }` that it reads, besides those of the engine: `batch`, `micro_batch`, `checkpoint`.
    pub policy_keys: &'static [&'static str],
    /// Estimates of the memory and work that it will need.
    pub resources: Option<Estimators>,
    /// Whether it can start on this machine, asked before a run starts anything.
    pub ready: Option<ReadyFn>,
    /// A call for its page, where the required arguments alone make none that `check` accepts.
    pub example: Option<&'static str>,
    /// The type of the result where it depends on the arguments.
    pub gives: Option<GivesFn>,
    /// Arguments whose facts are also the result's: a fusion belongs to the collection of its `runs`.
    pub inherits: &'static [&'static str],
    /// What its result offers to training, where the type does not say it.
    pub supervision: Option<SupervisionFn>,
    /// The facts it records that count work, in the order of the report's columns.
    pub counts: &'static [&'static str],
    /// The argument that is a model, and what the operation does with it.
    pub model: Option<(&'static str, ModelUse)>,
    /// Whether it waits for a model on another machine, and so needs next to nothing of this one.
    pub remote: Option<fn(&Record) -> bool>,
    /// The argument that is an external program.
    pub program: Option<&'static str>,
    /// The field of `local { … }` that names the files it imports.
    pub imports: Option<&'static str>,
    /// The operation that takes one part of the collection it gives.
    pub parts: Option<&'static str>,
    /// The run for an argument `run` that is not given.
    pub default_run: Option<DefaultRunFn>,
    /// Whether it measures results by the judgements of a collection.
    pub evaluates: bool,
    /// How many queries its result has, where its arguments tell before it runs.
    pub query_count: Option<QueryCount>,
}

impl Op {
    fn new(kind: Kind, name: &'static str, version: u32, returns: &str, doc: &'static str) -> Self {
        let returns =
            Type::parse(returns).unwrap_or_else(|| panic!("BUG: {name} returns unknown type {returns}"));
        Self {
            name,
            version,
            doc,
            kind,
            params: Vec::new(),
            returns,
            random: false,
            heavy: false,
            run: None,
            check: None,
            example: None,
            publishes: None,
            policy_keys: &[],
            resources: None,
            ready: None,
            gives: None,
            inherits: &[],
            supervision: None,
            counts: &[],
            model: None,
            remote: None,
            program: None,
            imports: None,
            parts: None,
            default_run: None,
            evaluates: false,
            query_count: None,
        }
    }

    /// An operation that makes an artifact.
    #[must_use]
    pub fn stage(name: &'static str, version: u32, returns: &str, doc: &'static str) -> Self {
        Self::new(Kind::Stage, name, version, returns, doc)
    }

    /// A constructor of a value. Its version is that of the operations that read it.
    #[must_use]
    pub fn constructor(name: &'static str, returns: &str, doc: &'static str) -> Self {
        Self::new(Kind::Constructor, name, 0, returns, doc)
    }

    fn push(mut self, name: &'static str, ty: &str, default: Option<Value>, doc: &'static str) -> Self {
        let ty =
            Type::parse(ty).unwrap_or_else(|| panic!("BUG: {}: {name} has unknown type {ty}", self.name));
        self.params.push(Param { name, ty, doc, default, derived_from: None, added: false });
        self
    }

    /// An argument that must be given.
    #[must_use]
    pub fn needs(self, name: &'static str, ty: &str, doc: &'static str) -> Self {
        self.push(name, ty, None, doc)
    }

    /// An argument with a default, which enters the key.
    #[must_use]
    pub fn takes(self, name: &'static str, ty: &str, default: Value, doc: &'static str) -> Self {
        self.push(name, ty, Some(default), doc)
    }

    /// An argument that may be absent ([`Value::Null`]).
    #[must_use]
    pub fn optional(self, name: &'static str, ty: &str, doc: &'static str) -> Self {
        self.push(name, ty, Some(Value::Null), doc)
    }

    /// An argument that the operation did not have from the beginning: it is left out of the recipe, and of
    /// [`xpipe_base::task::Job`], while it has its default.
    #[must_use]
    pub fn added(self, name: &'static str, ty: &str, default: Value, doc: &'static str) -> Self {
        let mut op = self.push(name, ty, Some(default), doc);
        if let Some(p) = op.params.last_mut() {
            p.added = true;
        }
        op
    }

    /// An argument taken from a sibling when not given, and then from the default, if there is one.
    #[must_use]
    pub fn derived(
        self,
        name: &'static str,
        ty: &str,
        from: &'static str,
        default: Option<Value>,
        doc: &'static str,
    ) -> Self {
        let mut op = self.push(name, ty, default, doc);
        if let Some(p) = op.params.last_mut() {
            p.derived_from = Some(from);
        }
        op
    }

    /// The last argument is taken from a sibling when not given, before its default applies.
    #[must_use]
    pub fn taken_from(mut self, from: &'static str) -> Self {
        if let Some(p) = self.params.last_mut() {
            p.derived_from = Some(from);
        }
        self
    }

    /// Marks it as drawing at random: adds the argument `seed`, which must be given.
    #[must_use]
    pub fn random(mut self) -> Self {
        self.random = true;
        self.needs("seed", "Int", "Seed of every random draw of this operation.")
    }

    /// Sets the call on its page.
    #[must_use]
    pub fn example(mut self, call: &'static str) -> Self {
        self.example = Some(call);
        self
    }

    /// Marks it as running in a worker process.
    #[must_use]
    pub fn heavy(mut self) -> Self {
        self.heavy = true;
        self
    }

    /// Sets the implementation.
    #[must_use]
    pub fn runs(mut self, run: RunFn) -> Self {
        self.run = Some(run);
        self
    }

    /// Sets the domain checks.
    #[must_use]
    pub fn checks(mut self, check: CheckFn) -> Self {
        self.check = Some(check);
        self
    }

    /// Names the fields of `with { … }` that it reads.
    #[must_use]
    pub fn policy_keys(mut self, fields: &'static [&'static str]) -> Self {
        self.policy_keys = fields;
        self
    }

    /// Sets the estimates of memory and work.
    #[must_use]
    pub fn resources(mut self, memory: MemoryFn, work: WorkFn) -> Self {
        self.resources = Some(Estimators { memory, work, asked: None });
        self
    }

    /// Sets the estimates of memory, work and requests to a language model.
    #[must_use]
    pub fn resources_and_requests(mut self, memory: MemoryFn, work: WorkFn, requests: LlmRequestsFn) -> Self {
        self.resources = Some(Estimators { memory, work, asked: Some(requests) });
        self
    }

    /// Sets the type of the result by the arguments.
    #[must_use]
    pub fn gives(mut self, gives: GivesFn) -> Self {
        self.gives = Some(gives);
        self
    }

    /// Names the arguments whose facts (corpus, queries, depth, …) are also the result's.
    #[must_use]
    pub fn inherits(mut self, arguments: &'static [&'static str]) -> Self {
        self.inherits = arguments;
        self
    }

    /// Sets what its result offers to training.
    #[must_use]
    pub fn supervises(mut self, supervision: SupervisionFn) -> Self {
        self.supervision = Some(supervision);
        self
    }

    /// Names the facts it records that count work.
    #[must_use]
    pub fn counts(mut self, facts: &'static [&'static str]) -> Self {
        self.counts = facts;
        self
    }

    /// Names the argument that is a model, and what is done with it.
    #[must_use]
    pub fn uses_model(mut self, argument: &'static str, how: ModelUse) -> Self {
        self.model = Some((argument, how));
        self
    }

    /// Sets when it waits for a model on another machine.
    #[must_use]
    pub fn remote(mut self, remote: fn(&Record) -> bool) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Names the argument that is an external program.
    #[must_use]
    pub fn starts(mut self, argument: &'static str) -> Self {
        self.program = Some(argument);
        self
    }

    /// Names the field of `local { … }` whose files it imports.
    #[must_use]
    pub fn imports(mut self, field: &'static str) -> Self {
        self.imports = Some(field);
        self
    }

    /// Names the operation that takes a part of the collection it gives: by arguments `of` and `part`.
    #[must_use]
    pub fn parts(mut self, op: &'static str) -> Self {
        self.parts = Some(op);
        self
    }

    /// Sets the run of each collection for an argument `run` that is not given.
    #[must_use]
    pub fn default_run(mut self, make: DefaultRunFn) -> Self {
        self.default_run = Some(make);
        self
    }

    /// Marks it as measuring results by judgements.
    #[must_use]
    pub fn evaluates(mut self) -> Self {
        self.evaluates = true;
        self
    }

    /// Sets how many queries its result has.
    #[must_use]
    pub fn query_count(mut self, count: QueryCount) -> Self {
        self.query_count = Some(count);
        self
    }

    /// Sets the check whether it can start on this machine.
    #[must_use]
    pub fn ready(mut self, ready: ReadyFn) -> Self {
        self.ready = Some(ready);
        self
    }

    /// Sets the names of the numbers it publishes.
    #[must_use]
    pub fn publishes(mut self, names: PublishesFn) -> Self {
        self.publishes = Some(names);
        self
    }

    /// The arguments of one call as recipes have them, from values in the order of the signature.
    pub fn record(&self, names: &[Name], values: impl IntoIterator<Item = Value>) -> Record {
        let all = self.params.iter().zip(names).zip(values);
        let kept = all.filter(|((p, _), v)| !(p.added && p.default.as_ref() == Some(v)));
        Record::new(kept.map(|((_, name), v)| (name.clone(), v)))
    }

    /// The type of the result for these arguments.
    pub fn result_type(&self, args: &Record) -> Type {
        self.gives.map_or_else(|| self.returns.clone(), |gives| gives(args))
    }

    /// What its action with these arguments gives.
    pub fn artifact(&self, args: &Record) -> Artifact {
        Artifact { ty: self.result_type(args), counts: self.counts }
    }

    /// A fact of its result: the argument of that name, else that of what it inherits from.
    pub fn fact(&self, args: &Record, name: &str, facts: &dyn Facts) -> Option<Value> {
        let given = |name: &str| args.get(name).filter(|v| **v != Value::Null);
        let inherited = || self.inherits.iter().find_map(|from| facts.find(given(from)?, name));
        given(name).cloned().or_else(inherited)
    }

    /// What its result offers to training; by default, a run is a ranking and nothing is known of other types.
    pub fn supervision(&self, args: &Record, facts: &dyn Facts) -> Supervision {
        match self.supervision {
            Some(supervision) => supervision(args, facts),
            None if self.result_type(args) == Type::Run => {
                Supervision::ranking(self.fact(args, "depth", facts).and_then(|d| d.as_int()))
            }
            None => Supervision::default(),
        }
    }

    /// Whether it waits for a model on another machine.
    pub fn is_remote(&self, args: &Record) -> bool {
        self.remote.is_some_and(|remote| remote(args))
    }

    /// The argument of a name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_argument_is_part_of_a_recipe_only_when_it_is_given() {
        let op = Op::stage("t", 1, "Run", "Test.")
            .optional("old", "String", "There from the beginning.")
            .added("new", "String", Value::Null, "Came later.")
            .added("wide", "Int", Value::Int(3), "Came later.");
        let names: Vec<Name> = op.params.iter().map(|p| Name::from(p.name)).collect();
        let record = |values: [Value; 3]| op.record(&names, values);
        let before = Record::of([("old", Value::Null)]);
        assert_eq!(record([Value::Null, Value::Null, Value::Int(3)]), before);
        let given = record([Value::Null, Value::str("x"), Value::Int(4)]);
        assert_eq!(given, before.with("new", Value::str("x")).with("wide", Value::Int(4)));
    }
}
