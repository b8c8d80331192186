//! `xpipe why`: what changed since the last run of a cell.

use super::args::{Common, WhyArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::results::Stored;
use super::runner::Local;
use super::{job, study};
use xpipe_base::diag::Span;
use xpipe_base::diag::render::Sources as _;
use xpipe_engine::{self, Heavy, Options};
use xpipe_study::report::chosen::{Chosen, chosen_for};

pub(super) fn why(args: &WhyArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(&args.study, common)?;
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = Options::new(job::threads(common), Heavy::Thread);
    let fates = xpipe_engine::forecast(&job, &runner, &store, &options);
    let stored = Stored::of_forecast(&store, &job, &fates);
    let mut all = Vec::new();
    for id in study::cells(&loaded.graph, &args.cells)? {
        let chosen = chosen_for(id, &loaded.graph, &stored);
        let answer = xpipe_engine::why(&job, id, &runner, &store, &options);
        if common.json {
            all.push(serde_json::json!({
                "address": answer.address, "outlook": answer.outlook, "since": answer.since, "reasons": answer.reasons,
                "from": answer.from, "failed": answer.failed,
                "chosen": chosen.iter().map(Chosen::json).collect::<Vec<_>>(),
            }));
            continue;
        }
        let site = loaded.graph.call_site(id);
        let place = |path: &str| {
            let inside = place_of(&loaded, site.span, path);
            Some(match site.caller.filter(|caller| caller.file != site.span.file) {
                // The study's own line first: the other one is in a module that it uses.
                Some(caller) => format!("{} ({inside})", place_of(&loaded, caller, path)),
                None => inside,
            })
        };
        out::line(answer.render(&place).trim_end());
        for c in chosen {
            out::line(&format!("  chosen: {} = {}", c.address(), c.text()));
        }
    }
    if common.json {
        out::json(&serde_json::Value::Array(all));
    }
    Ok(0)
}

/// Where an argument stands in a call: its own line where it is written, else the call's.
fn place_of(loaded: &study::Loaded, span: Span, path: &str) -> String {
    let first = path.split(['.', '[']).next().unwrap_or(path);
    let text = loaded.sources.slice(span);
    let offset = text
        .match_indices(first)
        .find(|(i, _)| {
            let before = text[..*i].chars().next_back();
            let after = text[i + first.len()..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
        .map_or(0, |(i, _)| i as u32);
    let at = loaded.sources.position(span.file, span.start + offset);
    let name = loaded.sources.name(span.file);
    let name = name.rsplit('/').next().unwrap_or(name);
    format!("{name}:{}", at.line)
}
