//! A study with as many cells as one asks for: `match`, `let`, `where` and three modules.

use std::collections::BTreeMap;
use std::path::PathBuf;

use xpipe_lang::resolve::world::MemoryFiles;

/// Cells of the study that [`large`] writes: four for each model, and one of samples for each objective and seed.
pub(crate) fn cells(rates: usize, seeds: usize) -> usize {
    4 * seeds + 4 * models(rates, seeds)
}

/// Its models: the largest rate is left out for one objective.
pub(crate) fn models(rates: usize, seeds: usize) -> usize {
    (4 * rates - 1) * SIZES * seeds
}

const SIZES: usize = 5;

/// The study in memory, its root being `/study/root.xpipe`.
pub(crate) fn large(rates: usize, seeds: usize) -> MemoryFiles {
    // long: the text of a study
    let rates: Vec<String> = (1..=rates).map(|i| format!("r{i} = {i}e-6")).collect();
    let last = rates.len();
    let root = format!(
        r#"edition 2026
use "./data.xpipe" as data
use "./axes.xpipe" {{ objective, backbone, small, batches }}
use std.retrieval

param steps: Budget = steps(10_000)
axis seed = 1 .. {seeds}
axis rate: Float = {{ {} }}

let sizes = if steps == steps(1) then 1 else 2
let width for backbone = if backbone in small then 64 * sizes else 32 * sizes

stage shortlist = retrieval.bm25_run(corpus = data.toy.corpus, queries = data.toy.queries, depth = 100)

stage samples for objective, seed = data.samples {{
    source = candidates {{ run = shortlist, qrels = data.toy.qrels }}
    shape  = match objective {{
        bce | hinge => pairs()
        infonce     => group(positives = 1, negatives = 7)
        ranknet     => ranked_list(depth = 50)
    }}
    seed
}}

stage model for objective, backbone, rate, seed where not (rate in [r{last}] and objective in [bce]) = train.cross_encoder {{
    backbone
    objective
    data  = samples
    steps
    batch = match objective {{
        bce | hinge => pairs(width)
        infonce     => queries(8)
        _           => queries(batches)
    }}
    optimiser = adamw {{ learning_rate = rate, weight_decay = 0.01 }}
    schedule  = linear(warmup = 2.5%)
    seed
}} with {{ gpu = 1, time = 2h }}

stage reranked for objective, backbone, rate, seed = rerank.cross_encoder {{ model, run = shortlist }}
stage scores for objective, backbone, rate, seed = evaluate {{
    run = reranked, qrels = data.toy.qrels, metrics = [ndcg(10), rr(10)]
}}
stage kept for objective, backbone, rate, seed = evaluate {{
    run = reranked, qrels = data.toy.qrels, metrics = match objective {{ bce => [ap()], _ => [recall(100)] }}
}}

table t {{
    title   = "nDCG@10 over {{len(seed)}} seeds"
    rows    = backbone
    columns = objective
    value   = max(mean(scores.ndcg_10, over = seed), over = rate)
}}
"#,
        rates.join(", ")
    );
    let data = r#"edition 2026
dataset toy: TestCollection = local { docs = "d.jsonl", queries = "q.jsonl", qrels = "q.tsv", role = validation }
"#;
    let axes = r#"edition 2026
axis objective: Objective = {
    bce = objective.bce(), hinge = objective.hinge(), infonce = objective.infonce(), ranknet = objective.ranknet()
}
axis backbone: Backbone = {
    tiny = hf("prajjwal1/bert-tiny"), l6 = hf("nreimers/MiniLM-L6-H384-uncased")
    l12 = hf("microsoft/MiniLM-L12-H384-uncased"), base = hf("google-bert/bert-base-uncased")
    ettin = hf("jhu-clsp/ettin-encoder-17m")
}
let small   = [tiny, l6, l12]
let batches = 1 + 3
"#;
    let files: [(&str, &str); 3] = [("root", &root), ("data", data), ("axes", axes)];
    let place = |name: &str| PathBuf::from(format!("/study/{name}.xpipe"));
    MemoryFiles(files.iter().map(|(n, t)| (place(n), (*t).to_owned())).collect::<BTreeMap<_, _>>())
}
