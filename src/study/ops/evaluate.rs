//! `evaluate`: measures of a run against judgements, per query and on average.

use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_data::ir::metrics::Measure;
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "evaluate",
        VERSION,
        "Metrics",
        "Evaluates a run as trec_eval does. The mean is over all judged queries; queries that the run does not contain \
         count as 0.",
    )
    .evaluates()
    .counts(&["queries"])
    .needs("run", "Run", "The run to evaluate.")
    .needs("qrels", "Qrels", "The judgements.")
    .needs("metrics", "List<Metric>", "The measures, for instance `[ndcg(10), rr(10), ap()]`.")
    .checks(check)
    .publishes(members);
    super::own_document::argument(op, "qrels.queries|run.queries|run.queries.queries|run.runs.queries")
        .runs(run::run)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let depth = args.get("run").and_then(|run| depth_of(run, facts));
    let mut issues = Vec::new();
    for call in
        args.get("metrics").and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_call)
    {
        // An invalid measure is reported by its own constructor.
        let Ok(measure) = Measure::from_call(call) else { continue };
        if let (Some(k), Some(depth)) = (measure.cutoff(), depth)
            && k as u64 > depth
        {
            issues.push(Issue {
                code: Code::CutoffTooDeep,
                argument: "metrics",
                message: format!("`{measure}` looks at {k} ranks, but the run is {depth} deep"),
                help: Some(format!(
                    "retrieve deeper (`depth = {k}`) or measure less (`{}({depth})`)",
                    call.name
                )),
            });
        }
    }
    issues
}

/// The means that a run publishes: `ndcg_10`, `ap`.
fn members(args: &Record) -> Vec<String> {
    let metrics = args.get("metrics").and_then(Value::as_list).unwrap_or_default();
    let measures = metrics.iter().filter_map(|m| Measure::from_call(m.as_call()?).ok());
    measures.map(Measure::member).collect()
}

/// Depth of a run: the `depth` of the stage that makes it, or of the run that this one re-ranks.
fn depth_of(run: &Value, facts: &dyn Facts) -> Option<u64> {
    let mut run = run.clone();
    // Runs made from runs are short chains; the bound only keeps a defect elsewhere from looping here.
    for _ in 0..16 {
        match facts.find(&run, "depth").and_then(|d| d.as_int()) {
            Some(depth) => return u64::try_from(depth).ok(),
            None => run = facts.find(&run, "run")?,
        }
    }
    None
}

mod run {
    use std::collections::HashMap;

    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome};
    use xpipe_base::value::Value;
    use xpipe_data::ir::metrics::Measure;
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::RunReader;
    use xpipe_data::table::{Cell, Kind, TableWriter};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let calls = job.arg("metrics").as_list().unwrap_or_default().iter().filter_map(Value::as_call);
        let mut measures: Vec<Measure> = Vec::new();
        for call in calls {
            let measure = Measure::from_call(call)?;
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        let qrels = Qrels::read(job.path("qrels")?)?;
        if qrels.is_empty() {
            return Err(Failure::wrong("the qrels judge no query").help("name qrels with at least one line"));
        }
        let places: HashMap<&str, usize> =
            qrels.iter().enumerate().map(|(i, (query, _))| (query, i)).collect();

        // Values of each judged query, in the order of the qrels; those the run does not answer stay 0.
        let mut values = vec![vec![0.0; measures.len()]; qrels.len()];
        let mut answered = vec![false; qrels.len()];
        let (mut unjudged, mut own_documents, mut own_first) = (0usize, 0usize, 0u64);
        let own = super::super::own_document::dropped(job);
        let mut run = RunReader::open(job.path("run")?)?;
        while let Some(query) = run.query()? {
            let (Some(place), Some(judged)) = (places.get(query.id.as_str()), qrels.get(&query.id)) else {
                unjudged += 1;
                continue;
            };
            if std::mem::replace(&mut answered[*place], true) {
                return Err(Failure::wrong(format!("query `{}` is ranked twice in the run", query.id)));
            }
            let kept = query.hits.iter().filter(|h| !own || h.document != query.id);
            let ranked: Vec<Option<i32>> = kept.map(|h| judged.get(h.document.as_str()).copied()).collect();
            own_documents += query.hits.len() - ranked.len();
            own_first += u64::from(!own && query.hits.first().is_some_and(|h| h.document == query.id));
            let grades: Vec<i32> = judged.values().copied().collect();
            values[*place] = measures.iter().map(|m| m.value(&ranked, &grades)).collect();
        }

        let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
        std::fs::create_dir_all(&job.spec.out)?;
        let mut table = TableWriter::create(&job.spec.out.join("metrics.parquet"), &columns)?;
        let names: Vec<String> = measures.iter().map(ToString::to_string).collect();
        for ((query, _), values) in qrels.iter().zip(&values) {
            for (name, value) in names.iter().zip(values) {
                table.row(&[Cell::Text(query), Cell::Text(name), Cell::Double(*value)])?;
            }
        }
        table.finish()?;

        let mut outcome = Outcome::default();
        for (i, measure) in measures.iter().enumerate() {
            let sum = values.iter().fold(0.0, |sum, v| sum + v[i]);
            outcome.values.insert(measure.member(), sum / values.len() as f64);
        }
        let missing = answered.iter().filter(|a| !**a).count();
        let first = qrels.iter().zip(&answered).find(|(_, answered)| !**answered);
        if let Some(((query, _), _)) = first {
            let (n, of) = (missing as u64, answered.len() as u64);
            let cause = "judged queries are not in the run and count 0";
            job.progress.caveat(&Caveat::part(CaveatKind::Doubt, n, of, cause).example(format!("`{query}`")));
        }
        if missing == answered.len() {
            let why = if unjudged == 0 {
                "the run ranks no document for any query"
            } else {
                "the run answers none of the judged queries: are these the ids of another collection?"
            };
            job.progress.caveat(&Caveat::sentence(CaveatKind::Doubt, why));
        }
        // Ids of queries and documents may be equal by chance, but not at the first rank again and again.
        let answered = (answered.len() - missing) as u64;
        if own_first > 0 && own_first * 2 >= answered {
            let cause =
                "queries rank a document of their own id first; `own = drop` leaves it out, as BEIR does";
            job.progress.caveat(&Caveat::part(CaveatKind::Doubt, own_first, answered, cause));
        }
        if own {
            outcome.facts.insert("own_documents_left_out".into(), own_documents.into());
        }
        outcome.facts.insert("queries".into(), qrels.len().into());
        outcome.facts.insert("queries_missing_from_run".into(), missing.into());
        outcome.facts.insert("queries_of_run_not_judged".into(), unjudged.into());
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
