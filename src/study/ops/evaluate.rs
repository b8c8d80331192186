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
    use std::path::Path;

    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome};
    use xpipe_base::value::Value;
    use xpipe_data::ir::metrics::Measure;
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::RunReader;
    use xpipe_data::table::{Cell, Kind, TableWriter};

    /// What a run is evaluated by.
    struct Evaluation<'j> {
        qrels: &'j Qrels,
        measures: &'j [Measure],
        /// Whether the document with the id of the query is left out.
        drop_own: bool,
    }

    /// What came of it.
    struct Evaluated {
        /// The measures of each judged query, in the order of the qrels; those that the run does not answer stay 0.
        values: Vec<Vec<f64>>,
        /// Whether the run answers each judged query.
        answered: Vec<bool>,
        /// Queries of the run that are not judged.
        unjudged: usize,
        /// Documents left out because they have the id of their query.
        own_documents: usize,
        /// Queries that rank a document of their own id first.
        own_first: u64,
    }

    impl Evaluation<'_> {
        fn of(&self, mut run: RunReader) -> Result<Evaluated, Failure> {
            let queries = self.qrels.iter().enumerate();
            let places: HashMap<&str, usize> = queries.map(|(i, (query, _))| (query, i)).collect();
            let mut found = Evaluated {
                values: vec![vec![0.0; self.measures.len()]; self.qrels.len()],
                answered: vec![false; self.qrels.len()],
                unjudged: 0,
                own_documents: 0,
                own_first: 0,
            };
            while let Some(query) = run.query()? {
                let (Some(place), Some(judged)) = (places.get(query.id.as_str()), self.qrels.get(&query.id))
                else {
                    found.unjudged += 1;
                    continue;
                };
                if std::mem::replace(&mut found.answered[*place], true) {
                    return Err(Failure::wrong(format!("query `{}` is ranked twice in the run", query.id)));
                }
                let kept = query.hits.iter().filter(|h| !self.drop_own || h.document != query.id);
                let ranked: Vec<Option<i32>> =
                    kept.map(|h| judged.get(h.document.as_str()).copied()).collect();
                found.own_documents += query.hits.len() - ranked.len();
                let own_first = query.hits.first().is_some_and(|h| h.document == query.id);
                found.own_first += u64::from(!self.drop_own && own_first);
                let grades: Vec<i32> = judged.values().copied().collect();
                found.values[*place] = self.measures.iter().map(|m| m.value(&ranked, &grades)).collect();
            }
            Ok(found)
        }
    }

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let measures = measures(job)?;
        let qrels = Qrels::read(job.path("qrels")?)?;
        if qrels.is_empty() {
            return Err(Failure::wrong("the qrels judge no query").help("name qrels with at least one line"));
        }
        let drop_own = super::super::own_document::dropped(job);
        let evaluation = Evaluation { qrels: &qrels, measures: &measures, drop_own };
        let found = evaluation.of(RunReader::open(job.path("run")?)?)?;
        write(&job.spec.out, &qrels, &measures, &found.values)?;
        add_caveats(job, &qrels, &found);
        let mut outcome = Outcome::default();
        for (i, measure) in measures.iter().enumerate() {
            let sum = found.values.iter().fold(0.0, |sum, v| sum + v[i]);
            outcome.values.insert(measure.member(), sum / found.values.len() as f64);
        }
        if drop_own {
            outcome.facts.insert("own_documents_left_out".into(), found.own_documents.into());
        }
        let missing = found.answered.iter().filter(|a| !**a).count();
        outcome.facts.insert("queries".into(), qrels.len().into());
        outcome.facts.insert("queries_missing_from_run".into(), missing.into());
        outcome.facts.insert("queries_of_run_not_judged".into(), found.unjudged.into());
        Ok(outcome)
    }

    /// The measures to compute, each once.
    fn measures(job: &Job<'_>) -> Result<Vec<Measure>, Failure> {
        let mut measures: Vec<Measure> = Vec::new();
        for call in job.arg("metrics").as_list().unwrap_or_default().iter().filter_map(Value::as_call) {
            let measure = Measure::from_call(call)?;
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        Ok(measures)
    }

    /// Writes the table of values: a row for each query and measure.
    fn write(out: &Path, qrels: &Qrels, measures: &[Measure], values: &[Vec<f64>]) -> Result<(), Failure> {
        let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
        std::fs::create_dir_all(out)?;
        let mut table = TableWriter::create(&out.join("metrics.parquet"), &columns)?;
        let names: Vec<String> = measures.iter().map(ToString::to_string).collect();
        for ((query, _), values) in qrels.iter().zip(values) {
            for (name, value) in names.iter().zip(values) {
                table.row(&[Cell::Text(query), Cell::Text(name), Cell::Double(*value)])?;
            }
        }
        table.finish()
    }

    /// Adds what a reader of the means must know.
    fn add_caveats(job: &Job<'_>, qrels: &Qrels, found: &Evaluated) {
        let judged = found.answered.len();
        let missing = found.answered.iter().filter(|a| !**a).count();
        if let Some(((query, _), _)) = qrels.iter().zip(&found.answered).find(|(_, answered)| !**answered) {
            let cause = "judged queries are not in the run and count 0";
            let caveat = Caveat::part(CaveatKind::Doubt, missing as u64, judged as u64, cause);
            job.progress.caveat(&caveat.example(format!("`{query}`")));
        }
        if missing == judged {
            let why = if found.unjudged == 0 {
                "the run ranks no document for any query"
            } else {
                "the run answers none of the judged queries: are these the ids of another collection?"
            };
            job.progress.caveat(&Caveat::sentence(CaveatKind::Doubt, why));
        }
        // Ids of queries and documents may be equal by chance, but not at the first rank again and again.
        let answered = (judged - missing) as u64;
        if found.own_first > 0 && found.own_first * 2 >= answered {
            let cause =
                "queries rank a document of their own id first; `own = drop` leaves it out, as BEIR does";
            job.progress.caveat(&Caveat::part(CaveatKind::Doubt, found.own_first, answered, cause));
        }
    }
}

#[cfg(test)]
mod tests;
