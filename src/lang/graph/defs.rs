//! Calls of defs: arguments are evaluated where the call stands, the body in the def's own file.

use std::rc::Rc;

use super::env::{Env, Eval, Item, Local};
use super::expander::Expander;
use crate::resolve::{DefId, ModuleId};
use crate::syntax::ast::{Arg, Def, DefItem, Formal};
use xpipe_base::diag::Span;
use xpipe_base::value::{Name, Value};

impl<'a> Expander<'a> {
    /// What a def yields for some arguments.
    pub(super) fn def_call(&mut self, id: DefId, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        self.reads(Item::Def(id));
        let def = self.study.def(id);
        let module = self.study.defs[id.0].module;
        let mut locals = self.def_arguments(def, module, args, span, env)?;
        let caller = Rc::new((env.row.clone(), env.policy.clone()));
        for item in &def.items {
            locals.push(match item {
                DefItem::Stage(s) => (s.name.name.clone(), Local::Stage(s, caller.clone())),
                DefItem::Let(l) => (l.name.name.clone(), Local::Let(l)),
            });
        }
        let mut inner = env.clone();
        inner.module = module;
        inner.locals = Rc::new(locals);
        if env.module == ModuleId(0) {
            inner.caller = inner.caller.or(Some(span));
        }
        self.enter(Item::Def(id), span, |e| {
            let ty = e.type_expr(&def.returns);
            let value = e.eval(&def.result, Some(&ty), &inner)?;
            e.conform(value, &ty, def.result.span, &format!("what `{}` yields", def.name.name))
        })
    }

    /// The arguments of a def by name, by place, or by default.
    fn def_arguments(
        &mut self,
        def: &'a Def,
        module: ModuleId,
        args: &'a [Arg],
        span: Span,
        env: &Env<'a>,
    ) -> Eval<Vec<(Name, Local<'a>)>> {
        let mut locals: Vec<(Name, Local<'a>)> = Vec::new();
        let mut stop = None;
        let mut positional = args.iter().filter(|a| a.name.is_none());
        for formal in &def.formals {
            let named = |a: &&Arg| a.name.as_ref().is_some_and(|n| n.name == formal.name.name);
            let given = args.iter().find(named).or_else(|| positional.next());
            match self.def_argument(formal, given, (&def.name.name, span), module, env) {
                Ok(v) => locals.push((formal.name.name.clone(), Local::Value(v))),
                Err(s) => stop = Some(s),
            }
        }
        let known: Vec<&str> = def.formals.iter().map(|f| &*f.name.name).collect();
        for name in args.iter().filter_map(|arg| arg.name.as_ref()) {
            if !known.contains(&&*name.name) {
                stop = Some(self.unknown_argument(name, &def.name.name, &known));
            }
        }
        if let Some(extra) = positional.next() {
            stop = Some(self.too_many(extra, &def.name.name, known.len()));
        }
        stop.map_or(Ok(locals), Err)
    }

    fn def_argument(
        &mut self,
        formal: &'a Formal,
        given: Option<&'a Arg>,
        (def, span): (&str, Span),
        module: ModuleId,
        env: &Env<'a>,
    ) -> Eval<Value> {
        let ty = self.type_expr(&formal.ty);
        let name = &formal.name.name;
        let (value, at) = match (given, &formal.default) {
            (Some(arg), _) => (self.within(name, |e| e.eval(&arg.value, Some(&ty), env))?, arg.value.span),
            (None, Some(default)) => {
                let mut inner = Env::at_point(module, &[], &[]);
                inner.row = env.row.clone();
                (self.eval(default, Some(&ty), &inner)?, default.span)
            }
            (None, None) => return Err(self.missing(name, def, span)),
        };
        self.conform(value, &ty, at, &format!("`{name}`"))
    }
}
