//! Parts of drawings: scales, round ticks, coordinates, colours of series.

use super::markup::Html;

/// How many colours there are for series (`--c0` … of the style sheet); more series use them again.
pub(super) const COLOURS: usize = 8;

/// The class that colours a series.
pub(super) fn colour(series: usize) -> String {
    format!("c{}", series % COLOURS)
}

/// A coordinate with at most one digit after the point.
pub(super) fn px(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A linear scale from values to coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale over the finite values given, `from` standing for the lowest; never without width.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let finite = values.into_iter().filter(|x| x.is_finite());
        let (low, high) =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let room = if high > low { 0.0 } else { low.abs().max(1.0) * 0.5 };
        Self { low: low - room, high: high + room, from, to }
    }

    /// The same scale, its ends moved out to ticks.
    pub(super) fn rounded(mut self, about: usize) -> Self {
        let step = self.step(about);
        self.low = (self.low / step + 1e-9).floor() * step;
        self.high = (self.high / step - 1e-9).ceil() * step;
        self
    }

    /// Where a value is.
    pub(super) fn at(&self, x: f64) -> f64 {
        self.from + (x - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The smallest of 1, 2, 5 · 10^k that gives at most about as many steps.
    fn step(&self, about: usize) -> f64 {
        let raw = (self.high - self.low) / about.max(1) as f64;
        let magnitude = 10f64.powf(raw.log10().floor());
        [1.0, 2.0, 5.0]
            .into_iter()
            .map(|m| m * magnitude)
            .find(|s| *s >= raw * 0.999)
            .unwrap_or(magnitude * 10.0)
    }

    /// Round values within the scale, with their texts.
    pub(super) fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        let step = self.step(about);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) =
            ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        // A scale of nonsense makes few ticks, not many.
        (first..=last.min(first + 100)).map(|i| (i as f64 * step, tick(i as f64 * step, digits))).collect()
    }
}

fn tick(x: f64, digits: usize) -> String {
    if x.abs() >= 10_000.0 {
        let (scaled, unit) = if x.abs() >= 1e6 { (x / 1e6, "M") } else { (x / 1e3, "k") };
        return format!("{scaled}{unit}");
    }
    super::super::layout::number(x, digits)
}

/// A drawing of a size, scaled down where there is less space; `label` is for screen readers.
pub(super) fn svg(h: &mut Html, width: f64, height: f64, label: &str, inner: impl FnOnce(&mut Html)) {
    let (w, t) = (px(width), px(height));
    let attributes = [
        ("class", "chart"),
        ("viewBox", &*format!("0 0 {w} {t}")),
        ("width", &w),
        ("height", &t),
        ("role", "img"),
        ("aria-label", label),
    ];
    h.tag("svg", &attributes, inner);
}

/// A line.
pub(super) fn line(h: &mut Html, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let at = [px(x1), px(y1), px(x2), px(y2)];
    h.leaf("line", &[("class", class), ("x1", &at[0]), ("y1", &at[1]), ("x2", &at[2]), ("y2", &at[3])], "");
}

/// A rectangle with a tooltip, which may be empty.
pub(super) fn rect(h: &mut Html, class: &str, (x, y): (f64, f64), (w, t): (f64, f64), tip: &str) {
    let at = [px(x), px(y), px(w.max(0.0)), px(t)];
    let attributes = [("class", class), ("x", &*at[0]), ("y", &at[1]), ("width", &at[2]), ("height", &at[3])];
    h.tag("rect", &attributes, |h| {
        if !tip.is_empty() {
            h.leaf("title", &[], tip);
        }
    });
}

/// Text at a place; `anchor` is `start`, `middle` or `end`.
pub(super) fn label(h: &mut Html, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
    h.leaf("text", &[("class", class), ("text-anchor", anchor), ("x", &px(x)), ("y", &px(y))], text);
}

/// The approximate width of a text in a 12 px font.
pub(super) fn room(text: &str) -> f64 {
    7.4 * text.chars().count() as f64
}

/// A text cut to `most` characters.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale, about: usize) -> Vec<String> {
        scale.ticks(about).into_iter().map(|(_, t)| t).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::over([0.0, 0.63], 0.0, 100.0).rounded(5);
        assert_eq!(texts(scale, 5), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!((scale.at(0.0), scale.at(0.4), scale.at(0.8)), (0.0, 50.0, 100.0));
        assert_eq!(texts(Scale::over([-0.03, 0.052], 0.0, 1.0), 4), ["0.00", "0.05"]);
        assert_eq!(texts(Scale::over([0.0, 200_000.0], 0.0, 1.0), 4), ["0", "50k", "100k", "150k", "200k"]);
        assert_eq!(texts(Scale::over([0.0, 300.0], 0.0, 1.0), 3), ["0", "100", "200", "300"]);
    }

    #[test]
    fn nothing_to_scale_is_a_scale() {
        for values in [vec![], vec![f64::NAN], vec![0.5, 0.5], vec![0.0], vec![1e300]] {
            let scale = Scale::over(values, 0.0, 10.0);
            assert!(scale.at(0.5).is_finite() && !scale.ticks(4).is_empty());
        }
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!((px(1.0), px(0.25), px(-3.96)), ("1".into(), "0.2".into(), "-4".into()));
        assert_eq!((short("abc", 3), short("abcd", 3)), ("abc".into(), "ab…".into()));
    }
}
