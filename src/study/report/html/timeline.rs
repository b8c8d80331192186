//! When actions ran: one line per stage, one bar per action. Times in which nothing ran are cut out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::chart::{Scale, label, line, px, room, short, svg};
use super::markup::Html;
use super::page::{Page, Section};
use xpipe_base::value::human;

const WIDTH: f64 = 960.0;
const LANE: f64 = 18.0;
/// The most characters of a stage's name.
const LABEL: usize = 30;
/// The most lanes that are drawn.
const LANES: usize = 60;
/// Seconds of a pause that are drawn; longer pauses, such as those between runs, are cut.
const PAUSE: f64 = 2.0;

/// A stage with when its actions ran: from, to, in seconds.
struct Lane {
    name: String,
    bars: Vec<(f64, f64)>,
}

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let mut lanes = lanes(page);
    let pauses = cut_pauses(&mut lanes);
    let end = lanes.iter().flat_map(|l| &l.bars).map(|b| b.1).fold(0.0, f64::max);
    if end <= 0.0 {
        return None;
    }
    let shown = lanes.len().min(LANES);
    let body = Html::of(|h| {
        h.tag("div", &[("class", "scroll")], |h| draw(h, &lanes[..shown], end, &pauses));
        let mut hint = format!("{} of work", human::duration(end));
        if !pauses.is_empty() {
            let pauses =
                if pauses.len() == 1 { "1 pause".to_owned() } else { format!("{} pauses", pauses.len()) };
            let _ = write!(hint, "; {pauses} cut out (dashed)");
        }
        if shown < lanes.len() {
            let _ = write!(hint, "; {} more stages are not drawn", lanes.len() - shown);
        }
        h.leaf("p", &[("class", "hint")], &hint);
    });
    Some(Section { id: "timeline", title: "Timeline", body })
}

fn lanes(page: &Page<'_>) -> Vec<Lane> {
    let mut seen = BTreeSet::new();
    let mut lanes = Vec::new();
    for row in &page.graph.rows {
        let cells = row.cells.iter().filter(|c| seen.insert(c.action));
        let made = cells.filter_map(|c| page.results.execution(c.action));
        let mut bars: Vec<(f64, f64)> = made.map(|m| (m.started, m.started + m.seconds)).collect();
        if !bars.is_empty() {
            bars.sort_by(|a, b| a.0.total_cmp(&b.0));
            lanes.push(Lane { name: row.name.clone(), bars });
        }
    }
    lanes
}

/// Moves every bar so that time begins at 0 and no pause is longer than [`PAUSE`]; returns where pauses were.
fn cut_pauses(lanes: &mut [Lane]) -> Vec<f64> {
    let mut all: Vec<(f64, f64)> = lanes.iter().flat_map(|l| l.bars.iter().copied()).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // From when, and how much is cut in all.
    let mut cuts: Vec<(f64, f64)> = Vec::new();
    let (mut busy, mut cut) = (f64::NEG_INFINITY, 0.0);
    let mut pauses = Vec::new();
    for (from, to) in all {
        if busy == f64::NEG_INFINITY {
            cut = from;
            cuts.push((from, cut));
        } else if from - busy > PAUSE {
            cut += from - busy - PAUSE;
            cuts.push((from, cut));
            pauses.push(from - cut - PAUSE / 2.0);
        }
        busy = busy.max(to);
    }
    for bar in lanes.iter_mut().flat_map(|l| &mut l.bars) {
        let after = cuts.partition_point(|(from, _)| *from <= bar.0);
        let cut = after.checked_sub(1).and_then(|i| cuts.get(i)).map_or(0.0, |c| c.1);
        *bar = (bar.0 - cut, bar.1 - cut);
    }
    pauses
}

fn draw(h: &mut Html, lanes: &[Lane], end: f64, pauses: &[f64]) {
    let left = lanes.iter().map(|l| room(&short(&l.name, LABEL))).fold(40.0, f64::max) + 14.0;
    let scale = Scale::over([0.0, end], left, WIDTH - 20.0);
    let bottom = lanes.len() as f64 * LANE + 4.0;
    svg(h, WIDTH, bottom + 24.0, "When each stage ran", |h| {
        for (at, text) in clock(end) {
            line(h, "grid", (scale.at(at), 0.0), (scale.at(at), bottom));
            label(h, "tick", "middle", (scale.at(at), bottom + 16.0), &text);
        }
        for at in pauses {
            line(h, "pause", (scale.at(*at), 0.0), (scale.at(*at), bottom));
        }
        for (i, lane) in lanes.iter().enumerate() {
            let y = i as f64 * LANE + 4.0;
            label(h, "label", "end", (left - 8.0, y + 11.0), &short(&lane.name, LABEL));
            let mut path = String::new();
            for (from, to) in merged(&lane.bars, end / 900.0) {
                let (x, w) = (scale.at(from), (scale.at(to) - scale.at(from)).max(1.5));
                let _ = write!(path, "M{} {}h{}v{}h-{}z", px(x), px(y), px(w), px(LANE - 6.0), px(w));
            }
            let seconds: f64 = lane.bars.iter().map(|b| b.1 - b.0).sum();
            let tip = format!(
                "{}: {}, {}",
                lane.name,
                human::counted(lane.bars.len(), "actions"),
                human::duration(seconds)
            );
            h.tag("path", &[("class", "span"), ("d", &path)], |h| h.leaf("title", &[], &tip));
        }
    });
}

/// Bars, joined where the gap is too small to be seen.
fn merged(bars: &[(f64, f64)], near: f64) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for bar in bars {
        match out.last_mut() {
            Some(last) if bar.0 <= last.1 + near => last.1 = last.1.max(bar.1),
            _ => out.push(*bar),
        }
    }
    out
}

/// Round times for the axis.
fn clock(end: f64) -> Vec<(f64, String)> {
    const STEPS: [(f64, f64, &str); 16] = [
        (0.1, 1.0, "s"),
        (0.5, 1.0, "s"),
        (1.0, 1.0, "s"),
        (5.0, 1.0, "s"),
        (20.0, 1.0, "s"),
        (60.0, 60.0, "min"),
        (300.0, 60.0, "min"),
        (900.0, 60.0, "min"),
        (3600.0, 3600.0, "h"),
        (3.0 * 3600.0, 3600.0, "h"),
        (12.0 * 3600.0, 3600.0, "h"),
        (86_400.0, 86_400.0, "d"),
        (7.0 * 86_400.0, 86_400.0, "d"),
        (30.0 * 86_400.0, 86_400.0, "d"),
        (90.0 * 86_400.0, 86_400.0, "d"),
        (365.0 * 86_400.0, 86_400.0, "d"),
    ];
    let (step, unit, word) = STEPS.into_iter().find(|s| end / s.0 <= 10.0).unwrap_or(STEPS[15]);
    let times = (0..=100).map(|i| f64::from(i) * step).take_while(|t| *t <= end);
    times.map(|t| (t, format!("{} {word}", (t / unit * 10.0).round() / 10.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_runs_are_cut_out() {
        let lane = |bars: &[(f64, f64)]| Lane { name: String::new(), bars: bars.to_vec() };
        let mut lanes =
            [lane(&[(100.0, 110.0), (1000.0, 1005.0)]), lane(&[(105.0, 120.0), (1003.0, 1004.0)])];
        assert_eq!(cut_pauses(&mut lanes), [21.0]);
        assert_eq!(lanes[0].bars, [(0.0, 10.0), (22.0, 27.0)]);
        assert_eq!(lanes[1].bars, [(5.0, 20.0), (25.0, 26.0)]);
        assert_eq!(merged(&[(0.0, 1.0), (1.05, 2.0), (3.0, 4.0)], 0.1), [(0.0, 2.0), (3.0, 4.0)]);
    }

    #[test]
    fn clocks_have_few_round_times() {
        for end in [0.05, 3.0, 64.0, 1234.0, 86_400.0, 3e7, 1e12] {
            let n = clock(end).len();
            assert!((1..=101).contains(&n), "{end}: {n}");
        }
        let texts: Vec<String> = clock(100.0).into_iter().map(|(_, t)| t).collect();
        assert_eq!(texts[..2], ["0 s", "20 s"]);
    }
}
